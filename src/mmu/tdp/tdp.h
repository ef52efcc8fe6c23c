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

/* The lowest entry for @gfn that there is: a leaf, or what stands in its place.
 * Guest mode or RCU section. */
struct tdp_entry {
	struct spte_word *sptep;
	spte_t spte;
	int level;
};

static inline struct tdp_entry tdp_lookup(const struct mmu *m, gfn_t gfn)
{
	struct table *table = m->root;
	struct tdp_entry e;

	for (e.level = TDP_ROOT_LEVEL;; e.level--) {
		e.sptep = &table->spte[level_index(gfn, e.level)];
		e.spte = sptep_read(e.sptep);
		if (!spte_is_link(e.spte))
			return e;
		table = spte_link(e.spte);
	}
}

#endif
