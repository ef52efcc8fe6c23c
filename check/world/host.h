/* SPDX-License-Identifier: MIT */
/*
 * check/world/host.h - the simulated host: pages of host virtual memory, frames behind them.
 *
 * A frame that the host has taken back is poisoned and never used again in the run;
 * an access of the guest to it is oracle O1's failure, one that the host has since
 * forbidden O3's.  The code under test sees only `struct host_memory` and calls of
 * mmu/notifier.h.
 */
#ifndef CHECK_WORLD_HOST_H
#define CHECK_WORLD_HOST_H

#include "mem/host.h"
#include "mmu/mmu.h"

/* Host virtual page @n. */
#define HOST_BASE 0x7e0000000000ull
static inline hva_t host_hva(unsigned int n)
{
	return HOST_BASE + ((hva_t)n << PAGE_SHIFT);
}

/* @n_pages pages, page n on frame n.  @level: the largest mapping that it offers. */
struct host_memory host_make(unsigned int n_pages, int level);

/* What the process does; each is a call of the system between begin and end of an
 * invalidation. */
void host_unmap(struct mmu *m, unsigned int first, unsigned int n);
void host_replace(struct mmu *m, unsigned int first, unsigned int n);
void host_protect(struct mmu *m, unsigned int first, unsigned int n);
/* The memory changes, what is in it does not: a copy is put in its place; or an empty
 * page is, and then filled. */
void host_move(struct mmu *m, unsigned int first, unsigned int n);
void host_refill(struct mmu *m, unsigned int first, unsigned int n);
/* The host maps a page where none is: nothing to invalidate. */
void host_map(unsigned int page);
/* Whoever touches one of the first 64 pages without having it waits for another thread to
 * provide it, as with userfaultfd. */
void host_await(unsigned int page);
void host_provide(unsigned int page);

/* Which host page a frame was made for. */
unsigned int host_page_of(const void *at);
bool host_is_frame(const void *at);
unsigned int host_frame_of(const void *at);

/* The word of the guest's that a page holds, wherever it is now: for oracles. */
uint64_t host_peek(unsigned int page);
bool host_has(unsigned int page);
/* To prepare guest memory in a scenario's setup: @offset in bytes. */
void host_poke(unsigned int page, unsigned int offset, uint64_t value);
uint64_t host_peek_at(unsigned int page, unsigned int offset);

/* A read of the whole page by the client, as oracle O2's copy. */
uint64_t host_copy(unsigned int page);

#endif
