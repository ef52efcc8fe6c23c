/* SPDX-License-Identifier: MIT */
/* mmu/dirty.h - records a vCPU's writes in the slot's log: bitmap or ring. */
#ifndef MMU_DIRTY_H
#define MMU_DIRTY_H

#include "mem/dirty_log.h"
#include "mmu/mmu.h"

/* The ring takes precedence over a bitmap that a slot may still have from before. */
static inline bool dirty_ring_blocks(const struct mmu_vcpu *v, const struct memslot *slot)
{
	return rule(RING_SOFT_LIMIT) && memslot_is_logged(slot) && v->ring.entries &&
	       dirty_ring_is_full(&v->ring);
}

/*
 * SET_BIT_ORDER_VCPU: after the translation became writable.  In the other order, a harvest
 * between the two would take the mark and find nothing to protect.  RCU section of the lookup, or
 * the MMU lock after a look at the slot's version.
 */
static inline void dirty_mark(struct mmu_vcpu *v, const struct memslot *slot, gfn_t gfn)
{
	if (!memslot_is_logged(slot))
		return;
	if (v->ring.entries)
		dirty_ring_push(&v->ring, slot->id, memslot_page(slot, gfn));
	else if (slot->dirty)
		dirty_log_mark(slot, gfn);
	vcpu_count(v, pages_dirtied);
}

#endif
