/* SPDX-License-Identifier: MIT */
/*
 * mmu/tdp/tdp.h - the direct tables: guest frame to host page.
 *
 * Five levels, one root for the life of the VM.  Faults add to them in parallel, under the MMU
 * lock for read, by compare-and-swap.  Walks without the lock are made in guest mode or in an RCU
 * section (WALKER_ANNOUNCE): a table is freed only after it was unlinked, every TLB flushed, and
 * a grace period has passed (UNLINK_FLUSH_FREE).
 */
#ifndef MMU_TDP_TDP_H
#define MMU_TDP_TDP_H

#include "mmu/mmu.h"
#include "mmu/paging/table.h"

extern const struct mmu_ops tdp_ops;

#define TDP_ROOT_LEVEL LEVEL_256T
/* Width of guest physical addresses; higher ones must not be looked up. */
#define TDP_ADDRESS_BITS (PAGE_SHIFT + TDP_ROOT_LEVEL * LEVEL_BITS)

/* The lowest entry for @gfn that there is: a leaf, or what stands in its place.  From the root:
 * a first touch of a page does it once.  Guest mode, pinned, or RCU section. */
void tdp_find(const struct mmu *m, struct table_entry *e, gfn_t gfn);

static inline struct table_entry tdp_lookup(const struct mmu *m, gfn_t gfn)
{
	struct table_entry e;

	tdp_find(m, &e, gfn);
	return e;
}

/* Reads the entry for @gfn again, and goes on down if it is a link now. */
static inline void tdp_descend(struct table_entry *e, gfn_t gfn)
{
	struct table *below;

	for (;;) {
		e->spte = sptep_read(e->sptep);
		if (!spte_is_link(e->spte))
			return;
		below = spte_link(e->spte);
		e->level--;
		e->sptep = &below->spte[gfn_index(gfn, e->level)];
	}
}

/* tdp_find(), from where @e was found before if it is still there. */
static inline void tdp_look_again(const struct mmu *m, struct table_entry *e, gfn_t gfn)
{
	if (table_entry_holds(m, e))
		tdp_descend(e, gfn);
	else
		tdp_find(m, e, gfn);
}

/*
 * A TLB entry is about to be made of @e: sets A, and D if @want says SPTE_W and it has that.
 * False: it is no leaf, or lacks @need (SPTE_W or 0).
 */
static inline bool tdp_use(struct table_entry *e, gfn_t gfn, uint64_t need, uint64_t want)
{
	spte_t new;

	for (;; tdp_descend(e, gfn)) {
		if (!spte_is_leaf(e->spte) || (e->spte.raw & need) != need)
			return false;
		new.raw = e->spte.raw | SPTE_A | (e->spte.raw & want ? SPTE_D : 0);
		if (e->spte.raw == new.raw || sptep_cmpxchg(e->sptep, &e->spte, new))
			return true;
	}
}

#endif
