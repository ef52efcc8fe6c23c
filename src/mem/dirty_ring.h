/* SPDX-License-Identifier: MIT */
/*
 * mem/dirty_ring.h - which pages a vCPU has written: a ring of their numbers.
 *
 * The entries lie in memory shared with the client, which takes those marked DIRTY, marks them
 * RESET, and calls KVM_RESET_DIRTY_RINGS. What it writes there is not trusted.
 */
#ifndef MEM_DIRTY_RING_H
#define MEM_DIRTY_RING_H

#include "mem/slots.h"

/* A vCPU stops this many entries before its ring is full: one walk of a guest's
 * page tables may mark several pages. */
#define DIRTY_RING_RESERVED 64u

struct dirty_ring {
	struct kvm_dirty_gfn *entries;	/* (c) client-writable; NULL: no ring */
	uint32_t size;			/* (c) power of two */
	struct atomic32 pushed;		/* (a) written by the vCPU only */
	struct atomic32 reset;		/* (a) written under slots_lock */
};

void dirty_ring_init(struct dirty_ring *ring, void *entries, uint32_t bytes);

static inline uint32_t dirty_ring_free(const struct dirty_ring *ring)
{
	return ring->size - (atomic32_load_relaxed(&ring->pushed) -
			     atomic32_load_acquire(&ring->reset));
}

/* No further page may be dirtied before the client has emptied the ring. */
static inline bool dirty_ring_is_full(const struct dirty_ring *ring)
{
	return dirty_ring_free(ring) <= DIRTY_RING_RESERVED;
}

/* Not even one that was translated before: for callers without a limit of their own. */
static inline bool dirty_ring_is_nearly_exhausted(const struct dirty_ring *ring)
{
	return dirty_ring_free(ring) <= DIRTY_RING_RESERVED / 2;
}

/* By the vCPU's own thread, which has seen that the ring is not full. */
void dirty_ring_push(struct dirty_ring *ring, uint32_t slot_id, uint64_t page);

/*
 * Frees the entries marked RESET and write-protects their pages.  The caller flushes before it
 * drops slots_lock.  Returns how many entries were taken.
 */
uint32_t dirty_ring_reset(struct slots *s, struct dirty_ring *ring) REQUIRES(s->lock);

#endif
