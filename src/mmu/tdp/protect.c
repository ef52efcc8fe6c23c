/* SPDX-License-Identifier: MIT */
/* mmu/tdp/protect.c - direct translations changed in place: for the dirty log, and for age. */
#include "mmu/paging/leaf.h"
#include "mmu/tdp/internal.h"
#include "mmu/tlb/flush.h"

struct protect {
	int first_level;
	uint64_t n;
};

static bool protect_entry(void *ctx, const struct tdp_place *at)
{
	struct protect *p = ctx;

	p->n += leaf_protect(at->sptep, at->spte);
	return at->level > p->first_level;
}

void tdp_write_protect(struct mmu *m, const struct memslot *slot, int first_level)
{
	struct range r = range_make(slot->base_gfn, memslot_gfn_end(slot));

	while (range_more(&r)) {
		struct protect p = { .first_level = first_level };

		rwlock_rdlock(&m->lock);
		tdp_visit(m, &r, &(struct tdp_visitor){ .fn = protect_entry, .ctx = &p });
		/* YIELD_FLUSHES. */
		flush_owe_for_log(m, p.n);
		rwlock_rdunlock(&m->lock);
	}
}

static uint64_t protect_mask(struct mmu *m, gfn_t first, uint64_t mask) REQUIRES_SHARED(m->lock)
{
	uint64_t n = 0;

	while (mask) {
		unsigned int bit = (unsigned int)__builtin_ctzll(mask);
		struct table_entry e = tdp_lookup(m, gfn_add(first, bit));

		/* One lookup serves all its neighbours in the same table. */
		do {
			n += leaf_protect(e.sptep, e.spte);
			mask &= mask - 1;
			if (!mask || e.level != LEVEL_4K)
				break;
			unsigned int next = (unsigned int)__builtin_ctzll(mask);

			if (!gfn_eq(level_align(gfn_add(first, next), LEVEL_2M),
				    level_align(gfn_add(first, bit), LEVEL_2M)))
				break;
			e.sptep += next - bit;
			e.spte = sptep_read(e.sptep);
			bit = next;
		} while (true);
	}
	return n;
}

void tdp_write_protect_mask(struct mmu *m, const struct memslot *slot, uint64_t offset,
			    uint64_t mask)
{
	rwlock_rdlock(&m->lock);
	flush_owe_for_log(m, protect_mask(m, gfn_add(slot->base_gfn, offset), mask));
	rwlock_rdunlock(&m->lock);
}

struct ageing {
	bool clear, young;
};

static bool age_entry(void *ctx, const struct tdp_place *at)
{
	struct ageing *a = ctx;

	a->young |= leaf_age(at->sptep, at->spte, a->clear);
	return true;
}

bool tdp_age(struct mmu *m, struct range *r, bool clear)
{
	struct ageing a = { .clear = clear };

	rwlock_assert_held_write(&m->lock);
	tdp_visit(m, r, &(struct tdp_visitor){ .fn = age_entry, .ctx = &a });
	return a.young;
}
