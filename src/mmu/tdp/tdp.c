/* SPDX-License-Identifier: MIT */
/* mmu/tdp/tdp.c - paging by the direct tables, as a whole. */
#include "mmu/tdp/tdp.h"

#include "mmu/tlb/flush.h"
#include "mmu/mmio.h"
#include "mmu/paging/collapse.h"
#include "mmu/tdp/internal.h"

static int tdp_init(struct mmu *m)
{
	pool_init(&m->tables, m->alloc, sizeof(struct table));
	m->root = tdp_table_new(m, TDP_ROOT_LEVEL);
	return m->root ? 0 : -ENOMEM;
}

static void free_tree(struct mmu *m, struct table *t)
{
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++) {
		spte_t spte = sptep_read(&t->spte[i]);

		if (spte_is_link(spte))
			free_tree(m, spte_link(spte));
	}
	tdp_table_free(m, t);
}

static void tdp_destroy(struct mmu *m)
{
	tdp_reap(m, REAP_ALL);
	if (m->root)
		free_tree(m, m->root);
	pool_destroy(&m->tables);
}

static bool table_is_valid(const struct table *t, gfn_t base)
{
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++) {
		spte_t spte = sptep_read(&t->spte[i]);
		const struct table *below;

		if (!spte_is_legal(spte))
			return false;
		if (spte_is_leaf(spte) &&
		    (spte_level(spte) != t->level ||
		     !IS_ALIGNED(spte_pfn(spte), level_pages(t->level))))
			return false;
		if (!spte_is_link(spte))
			continue;
		below = spte_link(spte);
		if (below->level != t->level - 1 ||
		    !table_is_valid(below, gfn_add(base, i * level_pages(t->level))))
			return false;
	}
	return true;
}

bool tdp_is_valid(const struct mmu *m)
{
	return table_is_valid(m->root, gfn_of(0));
}

const struct mmu_ops tdp_ops = {
	.init = tdp_init,
	.destroy = tdp_destroy,
	.translate = tdp_translate,
	.prefault = tdp_prefault,
	.zap_leafs = tdp_zap_leafs,
	.age = tdp_age,
	.is_split = tdp_is_split,
	.collapse = tdp_collapse,
	.reap = tdp_reap,
	.slots = {
		.zap = tdp_zap_slot,
		.write_protect = tdp_write_protect,
		.write_protect_mask = tdp_write_protect_mask,
		.log_ended = collapse_slot,
		.flush = flush_always,
		.generation_wraps = mmio_generation_wraps,
		.zap_mmio = tdp_zap_mmio,
	},
};
