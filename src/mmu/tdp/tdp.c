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

static void free_tables(struct mmu *m)
{
	struct range r = range_of_tree(TDP_ROOT_LEVEL);

	tdp_for_each(it, m, &r) {
		if (!spte_is_link(it.at.spte))
			continue;
		if (tdp_iter_is_after(&it) || it.at.level == LEVEL_2M)
			tdp_table_free(m, spte_link(it.at.spte));
		else
			tdp_iter_enter(&it);
	}
	tdp_table_free(m, m->root);
}

static void tdp_destroy(struct mmu *m)
{
	tdp_reap(m, REAP_ALL);
	if (m->root)
		free_tables(m);
	pool_destroy(&m->tables);
}

static bool entry_is_valid(const struct table_place *at)
{
	const struct table *below = spte_is_link(at->spte) ? spte_link(at->spte) : NULL;

	if (below)
		return below->level == at->level - 1;
	return spte_is_legal(at->spte) &&
	       (!spte_is_leaf(at->spte) ||
		(spte_level(at->spte) == at->level &&
		 IS_ALIGNED(spte_pfn(at->spte), level_pages(at->level))));
}

bool tdp_is_valid(struct mmu *m)
{
	struct range r = range_of_tree(TDP_ROOT_LEVEL);
	bool valid = true;

	tdp_for_each(it, m, &r) {
		valid &= entry_is_valid(&it.at);
		if (valid)
			tdp_iter_enter(&it);
	}
	return valid;
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
