/* SPDX-License-Identifier: MIT */
/* mmu/tdp/entry.c - finding an entry of the direct tables, from the root. */
#include "mmu/tdp/internal.h"

void tdp_find(const struct mmu *m, struct table_entry *e, gfn_t gfn)
{
	uint64_t unlinks = atomic64_load_acquire(&m->unlinks);
	struct table *table = m->root;
	int level = TDP_ROOT_LEVEL;
	struct spte_word *sptep;
	spte_t spte;

	for (;; level--) {
		sptep = &table->spte[gfn_index(gfn, level)];
		spte = sptep_read(sptep);
		if (!spte_is_link(spte))
			break;
		table = spte_link(spte);
	}
	/* Field by field: whoever reads one next need not wait for all. */
	e->sptep = sptep;
	e->spte = spte;
	e->level = level;
	e->unlinks = unlinks;
}
