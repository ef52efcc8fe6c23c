/* SPDX-License-Identifier: MIT */
/* mmu/paging/table.h - page tables of ours: what one is, how many there are and may be. */
#ifndef MMU_TABLE_H
#define MMU_TABLE_H

#include "mmu/mmu.h"
#include "mmu/paging/spte.h"

/* One of our page tables, and what we record about it. */
struct table {
	struct spte_word spte[ENTRIES_PER_TABLE];
	struct table *next_dead;	/* [l] or of its zapper: unlinked, not yet freed */
	int level;			/* (c) of its entries */
	bool for_mmio;			/* (c) direct: made to remember MMIO */
};

/* There are @n more tables; more leafs of this level. */
static inline void table_count(struct mmu *m, int64_t n)
{
	mmu_count_n(m, VM_STAT_mmu_tables, (uint64_t)n);
}

void table_count_leafs(struct mmu *m, int level, int64_t n);

#endif
