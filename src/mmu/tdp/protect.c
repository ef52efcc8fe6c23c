/* SPDX-License-Identifier: MIT */
/* mmu/tdp/protect.c - direct translations changed in place: for the dirty log, and for age. */
#include "mmu/paging/leaf.h"
#include "mmu/tdp/internal.h"

static void protect_piece(struct mmu *m, struct leafs_protected *p, struct range *r,
			  int first_level)
{
	tdp_for_each(it, m, r) {
		p->n += leaf_protect(m, &it.at, &p->due);
		if (it.at.level > first_level)
			tdp_iter_enter(&it);
	}
}

void tdp_write_protect(struct mmu *m, const struct memslot *slot, int first_level)
{
	struct range r = range_make(slot->base_gfn, memslot_gfn_end(slot));
	struct leafs_protected p = { 0 };

	while (range_more(&r)) {
		rwlock_rdlock(&m->lock);
		protect_piece(m, &p, &r, first_level);
		leafs_protected_record(m, &p);
		rwlock_rdunlock(&m->lock);
	}
}

static void protect_mask(struct mmu *m, struct leafs_protected *p, gfn_t first, uint64_t mask)
	REQUIRES_SHARED(m->lock)
{
	while (mask) {
		unsigned int bit = (unsigned int)__builtin_ctzll(mask);
		struct table_entry e = tdp_lookup(m, gfn_add(first, bit));

		/* One lookup serves all its neighbours in the same table. */
		do {
			p->n += leaf_protect(m, &(struct table_place){ e.sptep, e.spte,
				gfn_add(first, bit), e.level }, &p->due);
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
}

void tdp_write_protect_mask(struct mmu *m, const struct memslot *slot, uint64_t offset,
			    uint64_t mask)
{
	struct leafs_protected p = { 0 };

	rwlock_rdlock(&m->lock);
	protect_mask(m, &p, gfn_add(slot->base_gfn, offset), mask);
	leafs_protected_record(m, &p);
	rwlock_rdunlock(&m->lock);
}

bool tdp_age(struct mmu *m, struct range *r, enum age how)
{
	bool young = false;

	rwlock_assert_held_write(&m->lock);
	tdp_for_each(it, m, r) {
		young |= leaf_age(m, &it.at, how);
		tdp_iter_enter(&it);
	}
	return young;
}
