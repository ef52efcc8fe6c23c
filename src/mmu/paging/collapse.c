/* SPDX-License-Identifier: MIT */
#include "mmu/paging/collapse.h"

#include "mmu/mmu.h"

static void collapse_frame(struct mmu *m, const struct memslot *slot, gfn_t gfn, int level)
{
	if (memslot_max_level(slot, gfn) >= level && m->ops->is_split(m, gfn, level) &&
	    host_level(&m->host, memslot_gfn_to_hva(slot, gfn), level) >= level)
		m->ops->collapse(m, gfn, level);
}

/*
 * A logged slot is mapped by 4 KiB pages.  Where the host has a large page, that can be mapped
 * again: zap the small ones, and faults do the rest.  One large page at a time, each under the
 * lock for as long as it takes to check its table.
 */
void collapse_slot(struct mmu *m, const struct memslot *slot)
{
	gfn_t end = memslot_gfn_end(slot);

	for (int level = LEVEL_2M; level <= LEVEL_1G; level++) {
		uint64_t step = level_pages(level);

		gfn_t gfn = level_align(gfn_add(slot->base_gfn, step - 1), level);

		for (; gfn_lt(gfn, end); gfn = gfn_add(gfn, step)) {
			collapse_frame(m, slot, gfn, level);
			m->ops->reap(m, REAP_IF_MANY);
		}
	}
	m->ops->reap(m, REAP_ALL);
}
