/* SPDX-License-Identifier: MIT */
/* mmu/shadow/protect.c - shadow translations changed in place: for the dirty log, and for age. */
#include "mmu/paging/leaf.h"
#include "mmu/shadow/internal.h"
#include "mmu/tlb/flush.h"

/* --- the dirty log ------------------------------------------------------------ */

struct protect {
	int first_level;
	uint64_t n;
};

static bool protect_frame(void *ctx, gfn_t gfn UNUSED, int level, struct frame *frame)
{
	struct protect *p = ctx;
	struct spte_cursor c;
	struct spte_ref ref;

	if (level < p->first_level)
		return true;
	spte_list_begin(&frame->rmap, &c);
	while (spte_list_next(&c, &ref)) {
		struct spte_word *sptep = shadow_sptep(ref);

		p->n += leaf_protect(sptep, sptep_read(sptep));
	}
	return true;
}

void shadow_write_protect(struct mmu *m, const struct memslot *slot, int first_level)
{
	struct range r = range_make(slot->base_gfn, memslot_gfn_end(slot));

	while (range_more(&r)) {
		struct protect p = { .first_level = first_level };

		rwlock_wrlock(&m->lock);
		shadow_visit_frames(m, &r, protect_frame, &p);
		/* YIELD_FLUSHES. */
		flush_owe_for_log(m, p.n);
		rwlock_wrunlock(&m->lock);
	}
}

void shadow_write_protect_mask(struct mmu *m, const struct memslot *slot, uint64_t offset,
			       uint64_t mask)
{
	struct protect p = { .first_level = LEVEL_4K };

	rwlock_wrlock(&m->lock);
	for (; mask; mask &= mask - 1) {
		gfn_t gfn = gfn_add(slot->base_gfn,
				    offset + (unsigned int)__builtin_ctzll(mask));

		for (int level = LEVEL_4K; level <= LEVEL_1G; level++) {
			struct frame *frame = frames_find(&m->shadow->frames, gfn, level);

			if (frame)
				protect_frame(&p, gfn, level, frame);
		}
	}
	flush_owe_for_log(m, p.n);
	rwlock_wrunlock(&m->lock);
}

/* --- young -------------------------------------------------------------------- */

struct ageing {
	bool clear, young;
};

static bool age_frame(void *ctx, gfn_t gfn UNUSED, int level UNUSED, struct frame *frame)
{
	struct ageing *a = ctx;
	struct spte_cursor c;
	struct spte_ref ref;

	spte_list_begin(&frame->rmap, &c);
	while (spte_list_next(&c, &ref)) {
		struct spte_word *sptep = shadow_sptep(ref);

		a->young |= leaf_age(sptep, sptep_read(sptep), a->clear);
	}
	return true;
}

bool shadow_age(struct mmu *m, struct range *r, bool clear)
{
	struct ageing a = { .clear = clear };

	rwlock_assert_held_write(&m->lock);
	shadow_visit_frames(m, r, age_frame, &a);
	return a.young;
}
