/* SPDX-License-Identifier: MIT */
#include "mmu/paging/table.h"

#include "sync/rcu.h"

/* Default limit: one shadow page per this many guest pages, as in KVM. */
#define PAGES_PER_TABLE 50u

void table_count_leafs(struct mmu *m, int level, int64_t n)
{
	static const enum vm_stat gauge[] = {
		[LEVEL_4K] = VM_STAT_pages_4k,
		[LEVEL_2M] = VM_STAT_pages_2m,
		[LEVEL_1G] = VM_STAT_pages_1g,
	};

	mmu_count_n(m, gauge[level], (uint64_t)n);
}

uint64_t mmu_page_limit(const struct mmu *m)
{
	uint64_t n_pages, limit = atomic64_load_relaxed(&m->max_pages);

	if (limit)
		return limit;
	rcu_read_begin();
	n_pages = slots_current(m->slots)->n_pages;
	rcu_read_end();
	return MAX(n_pages / PAGES_PER_TABLE, MMU_MIN_PAGES);
}

void mmu_set_page_limit(struct mmu *m, uint64_t n_pages)
{
	atomic64_store_relaxed(&m->max_pages, n_pages);
	/* YIELD_FLUSHES: each zap has recorded its debt. */
	while (m->ops->trim && m->ops->trim(m))
		;
}
