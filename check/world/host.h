/* SPDX-License-Identifier: MIT */
/*
 * check/world/host.h - the simulated host: pages of host virtual memory, frames behind them.
 *
 * To the code under test it is `struct host_memory`, calls of mmu/notifier.h, and memory at
 * host virtual addresses (check/shim/base/guarded.h).  A frame that the host has taken back
 * is never used again in the run: an access of the guest to it is oracle O1's failure, a
 * write to one that the host has since made read-only O3's.  So are a write to one that the host
 * has copied to put the copy in its place, and a use of one that it has yet to fill.
 *
 * Pages are named by their number from HOST_BASE on.  There are as many as host_make() was
 * asked for; to name another is a mistake of the scenario's.
 */
#ifndef CHECK_WORLD_HOST_H
#define CHECK_WORLD_HOST_H

#include "mem/host.h"
#include "mmu/mmu.h"

#define HOST_BASE 0x7e0000000000ull

/* Where page @n begins. */
static inline hva_t host_hva(unsigned int n)
{
	return hva_of(HOST_BASE + ((uint64_t)n << PAGE_SHIFT));
}

/*
 * A new host for the run: @n_pages pages, all mapped for writing, page n on frame n, and
 * all zero.  @level is the largest mapping that it offers, until something in those 2 MiB
 * changes.  Returns what the MMU is to ask.
 */
struct host_memory host_make(unsigned int n_pages, int level);

/* --- system calls of the process -------------------------------------------------- */

/*
 * Each is one invalidation: begin, the @n pages from @first one by one, end.  A frame that
 * goes is free for anybody to use as soon as its page's entry has changed.
 */

/* munmap: no page is there any more. */
void host_unmap(struct mmu *m, unsigned int first, unsigned int n);
/* mmap over it: other frames, which are zero. */
void host_replace(struct mmu *m, unsigned int first, unsigned int n);
/* mprotect(PROT_READ): the same frames; whoever still writes to them fails O3. */
void host_protect(struct mmu *m, unsigned int first, unsigned int n);
/* As migration does it: other frames with the same contents, copied before the change. */
void host_move(struct mmu *m, unsigned int first, unsigned int n);
/* Other frames, zero at first, and filled with the same contents after the change. */
void host_refill(struct mmu *m, unsigned int first, unsigned int n);

/* --- userfaultfd ------------------------------------------------------------------- */

/* In the setup: whoever touches @page, one of the first 64, sleeps until it is provided. */
void host_await(unsigned int page);
/* It is there, as a frame of zeros: wakes those that sleep. */
void host_provide(unsigned int page);

/* --- frames, for the machine ------------------------------------------------------- */

/* Is @at in a frame?  If so: in which, and for which page that was made. */
bool host_is_frame(const void *at);
unsigned int host_frame_of(const void *at);
unsigned int host_page_of(const void *at);

/* --- contents, for setups and oracles ----------------------------------------------- */

/* The 8 bytes at @offset of @page, wherever it is now; 0 if it is nowhere.  No access: not
 * a point of the schedule. */
uint64_t host_peek(unsigned int page);
uint64_t host_peek_at(unsigned int page, unsigned int offset);
bool host_has(unsigned int page);
/* Prepares the guest's memory, in the setup. */
void host_poke(unsigned int page, unsigned int offset, uint64_t value);

/* A number that stands for all that is in @page: pages with equal contents have equal ones. */
uint64_t host_fingerprint(unsigned int page);
/* The client reads all of @page, in one step; its fingerprint. */
uint64_t host_copy(unsigned int page);

/* For an oracle's own step: it depends on the accesses to @page that were made before, and, if
 * it notes a write, they on it. */
bool host_page_is_shared(unsigned int page);
void host_note_read(unsigned int page);
void host_note_write(unsigned int page);

/* Was there a time since @moment at which the host had no such page, or for @write no writable
 * one?  A point. */
uint32_t host_moment(void);
bool host_was_absent(unsigned int page, bool write, uint32_t moment);

bool host_has_large_pages(void);

#endif
