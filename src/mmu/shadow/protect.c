/* SPDX-License-Identifier: MIT */
/* mmu/shadow/protect.c - shadow translations changed in place: for the dirty log, and for age. */
#include "mmu/paging/leaf.h"
#include "mmu/shadow/internal.h"

/* --- the dirty log ------------------------------------------------------------ */

static void protect_frame(struct mmu *m, struct leafs_protected *p, gfn_t gfn,
			  const struct frame *frame)
	REQUIRES(m->lock)
{
	struct spte_cursor c;
	struct spte_ref ref;

	spte_list_begin(&frame->rmap, &c);
	while (spte_list_next(&c, &ref)) {
		struct table_place at = shadow_place(ref, gfn);

		p->n += leaf_protect(m, &at, &p->due);
	}
}

void shadow_write_protect(struct mmu *m, const struct memslot *slot, int first_level)
{
	struct range r = range_make(slot->base_gfn, memslot_gfn_end(slot));
	struct leafs_protected p = { 0 };

	while (range_more(&r)) {
		rwlock_wrlock(&m->lock);
		shadow_for_each_frame(it, m, &r)
			if (it.i.level >= first_level)
				protect_frame(m, &p, it.i.gfn, it.frame);
		leafs_protected_record(m, &p);
		rwlock_wrunlock(&m->lock);
	}
}

void shadow_write_protect_mask(struct mmu *m, const struct memslot *slot, uint64_t offset,
			       uint64_t mask)
{
	struct leafs_protected p = { 0 };

	rwlock_wrlock(&m->lock);
	for (; mask; mask &= mask - 1) {
		gfn_t gfn = gfn_add(slot->base_gfn,
				    offset + (unsigned int)__builtin_ctzll(mask));

		for (int level = LEVEL_4K; level <= LEVEL_1G; level++) {
			struct frame *frame = frames_find(&m->shadow->frames, gfn, level);

			if (frame)
				protect_frame(m, &p, level_align(gfn, level), frame);
		}
	}
	leafs_protected_record(m, &p);
	rwlock_wrunlock(&m->lock);
}

/* --- young -------------------------------------------------------------------- */

static bool age_frame(struct mmu *m, gfn_t gfn, const struct frame *frame, enum age how)
{
	struct spte_cursor c;
	struct spte_ref ref;
	bool young = false;

	spte_list_begin(&frame->rmap, &c);
	while (spte_list_next(&c, &ref)) {
		struct table_place at = shadow_place(ref, gfn);

		young |= leaf_age(m, &at, how);
	}
	return young;
}

bool shadow_age(struct mmu *m, struct range *r, enum age how)
{
	bool young = false;

	rwlock_assert_held_write(&m->lock);
	shadow_for_each_frame(it, m, r)
		young |= age_frame(m, it.i.gfn, it.frame, how);
	return young;
}
