/* SPDX-License-Identifier: MIT */
/* mmu/shadow/protect.c - shadow translations changed in place: for the dirty log, and for age. */
#include "mmu/paging/leaf.h"
#include "mmu/shadow/internal.h"
#include "mmu/tlb/flush.h"

/* --- the dirty log ------------------------------------------------------------ */

struct protect {
	struct mmu *mmu;
	int first_level;
	/* since the last piece */
	uint64_t n;
	enum flush_due due;
};

/* The end of a piece: YIELD_FLUSHES.  The flush may come after the lock, except with the older
 * policy. */
static void record(struct protect *p) REQUIRES(p->mmu->lock)
{
	flush_record(p->mmu, &p->due);
	mmu_count_n(p->mmu, VM_STAT_mmu_write_protected, p->n);
	p->n = 0;
}

static bool protect_frame(void *ctx, gfn_t gfn, int level, struct frame *frame)
{
	struct protect *p = ctx;
	struct spte_cursor c;
	struct spte_ref ref;

	if (level < p->first_level)
		return true;
	spte_list_begin(&frame->rmap, &c);
	while (spte_list_next(&c, &ref)) {
		struct table_place at = shadow_place(ref, gfn);

		p->n += leaf_protect(p->mmu, &at, &p->due);
	}
	return true;
}

void shadow_write_protect(struct mmu *m, const struct memslot *slot, int first_level)
{
	struct range r = range_make(slot->base_gfn, memslot_gfn_end(slot));
	struct protect p = { .mmu = m, .first_level = first_level };

	while (range_more(&r)) {
		rwlock_wrlock(&m->lock);
		shadow_visit_frames(m, &r, protect_frame, &p);
		record(&p);
		rwlock_wrunlock(&m->lock);
	}
}

void shadow_write_protect_mask(struct mmu *m, const struct memslot *slot, uint64_t offset,
			       uint64_t mask)
{
	struct protect p = { .mmu = m, .first_level = LEVEL_4K };

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
	record(&p);
	rwlock_wrunlock(&m->lock);
}

/* --- young -------------------------------------------------------------------- */

struct ageing {
	struct mmu *mmu;
	enum age how;
	bool young;
};

static bool age_frame(void *ctx, gfn_t gfn, int level UNUSED, struct frame *frame)
{
	struct ageing *a = ctx;
	struct spte_cursor c;
	struct spte_ref ref;

	spte_list_begin(&frame->rmap, &c);
	while (spte_list_next(&c, &ref)) {
		struct table_place at = shadow_place(ref, gfn);

		a->young |= leaf_age(a->mmu, &at, a->how);
	}
	return true;
}

bool shadow_age(struct mmu *m, struct range *r, enum age how)
{
	struct ageing a = { .mmu = m, .how = how };

	rwlock_assert_held_write(&m->lock);
	shadow_visit_frames(m, r, age_frame, &a);
	return a.young;
}
