/* SPDX-License-Identifier: MIT */
/* mmu/tdp/entry.c - finding an entry of the direct tables, from the root. */
#include "mmu/tdp/internal.h"

struct table_entry tdp_lookup(const struct mmu *m, gfn_t gfn)
{
	struct table_entry e = {
		.unlinks = atomic64_load_acquire(&m->unlinks),
		.sptep = &m->root->spte[level_index(gfn, TDP_ROOT_LEVEL)],
		.level = TDP_ROOT_LEVEL,
	};

	tdp_descend(&e, gfn);
	return e;
}
