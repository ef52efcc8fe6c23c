/* SPDX-License-Identifier: MIT */
/* mmu/tdp/iter.c - iteration over a range of the direct tables. */
#include "mmu/tdp/internal.h"

bool tdp_iter_next(struct tdp_iter *it)
{
	struct range_iter *i = &it->i;

	while (range_iter_next(i)) {
		struct table *t = i->node[i->level];
		struct spte_word *sptep = &t->spte[range_iter_index(i)];
		spte_t spte = i->after ? spte_make_link(i->node[i->level - 1]) :
					 sptep_read(sptep);

		it->at = (struct table_place){ sptep, spte, i->gfn, i->level };
		if (spte_kind(spte) != SPTE_NONE)
			return true;
	}
	mmu_count_n(it->mmu, VM_STAT_mmu_visited, it->left - i->range->left);
	return false;
}
