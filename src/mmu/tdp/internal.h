/* SPDX-License-Identifier: MIT */
/* mmu/tdp/internal.h - private to this folder and its tests. */
#ifndef MMU_TDP_INTERNAL_H
#define MMU_TDP_INTERNAL_H

#include "mmu/fault.h"
#include "mmu/tdp/tdp.h"

/* --- table.c --- */

/* NULL: no memory. */
struct table *tdp_table_new(struct mmu *m, int level);
/* Of one that was never linked, or that nobody can be in any more. */
void tdp_table_free(struct mmu *m, struct table *t);
void tdp_table_free_dead(struct mmu *m, struct table *dead);
/* Of one that was unlinked: owes a flush, and is freed after it. */
void tdp_table_bury(struct mmu *m, struct table *t) REQUIRES(m->lock);
/* mmu_ops.reap */
void tdp_reap(struct mmu *m, enum reap which) EXCLUDES(m->lock);

/* --- iter.c --- */

/* One piece of a range, entry by entry: mmu/paging/range.h.  Under the MMU lock. */
struct tdp_iter {
	struct mmu *mmu;
	struct range_iter i;
	uint64_t left;			/* of the range, at the beginning */
	struct table_place at;		/* an entry that is not empty */
};

static inline struct tdp_iter tdp_iter_begin(struct mmu *m, struct range *r)
{
	return (struct tdp_iter){
		.mmu = m, .left = r->left, .i = range_iter_begin(r, m->root, TDP_ROOT_LEVEL),
	};
}

bool tdp_iter_next(struct tdp_iter *it);

/* Whether it is a link that was entered, and all below it is done. */
static inline bool tdp_iter_is_after(const struct tdp_iter *it)
{
	return it->i.after;
}

/* If the entry is a link that was not entered yet. */
static inline void tdp_iter_enter(struct tdp_iter *it)
{
	if (!it->i.after && spte_is_link(it->at.spte))
		range_iter_enter(&it->i, spte_link(it->at.spte));
}

#define tdp_for_each(it, m, r) \
	for (struct tdp_iter it = tdp_iter_begin(m, r); tdp_iter_next(&it);)

/* --- map.c --- */

/*
 * Maps @page at f->gfn by a leaf with @bits, at the highest level that @page and the tables allow,
 * from f->entry on, which becomes the leaf; a page over 4 KiB is mapped from its own start.  MMU
 * lock for read, RCU section.
 */
enum fault_verdict tdp_map(struct mmu *m, struct fault *f, const struct host_page *page,
			   uint64_t bits) REQUIRES_SHARED(m->lock);
/* Tables made only to cache that there is no memory: a guest that probes its whole address space
 * must not exhaust ours. */
#define MAX_TABLES_FOR_MMIO 16384u
/* Notes that f->gfn has no memory, under f->generation.  Best effort. */
void tdp_map_mmio(struct mmu *m, struct fault *f) REQUIRES_SHARED(m->lock);

/* The highest level at which a fault can map that has found an entry of @level. */
static inline int tdp_max_level(int level)
{
	return MIN(level, (int)LEVEL_1G);
}

/* --- fault.c, translate.c --- */

/*
 * Makes the direct tables translate f->gpa, for reading or writing, given what stands in its
 * place.  The vCPU's thread, outside guest mode; may block in the host.
 */
enum fault_verdict tdp_fault_at(struct mmu_vcpu *v, struct fault *f);
/* For a caller that has not looked. */
enum fault_verdict tdp_fault(struct mmu_vcpu *v, gpa_t gpa, enum access access);

/* mmu_ops.translate, prefault */
enum mmu_verdict tdp_translate(struct mmu_vcpu *v, gva_t gva, enum access access,
			       struct mmu_result *result);
enum mmu_verdict tdp_prefault(struct mmu_vcpu *v, gpa_t gpa, uint64_t *bytes);

/* --- protect.c: slots_ops.write_protect, write_protect_mask; mmu_ops.age --- */

void tdp_write_protect(struct mmu *m, const struct memslot *slot, int first_level)
	EXCLUDES(m->lock);
void tdp_write_protect_mask(struct mmu *m, const struct memslot *slot, uint64_t offset,
			    uint64_t mask) EXCLUDES(m->lock);
bool tdp_age(struct mmu *m, struct range *r, enum age how) REQUIRES(m->lock);

/* --- zap.c: mmu_ops.zap_leafs, is_split, collapse; slots_ops.zap_mmio, zap --- */

/* Drops every leaf that overlaps a piece of @r; returns their number.  The tables stay.  The
 * caller owes the flush. */
uint64_t tdp_zap_leafs(struct mmu *m, struct range *r) REQUIRES(m->lock);
bool tdp_is_split(struct mmu *m, gfn_t gfn, int level) EXCLUDES(m->lock);
void tdp_collapse(struct mmu *m, gfn_t gfn, int level) EXCLUDES(m->lock);

/* Drops every MMIO entry, in pieces.  None is installed meanwhile: the generation is marked
 * (slots_lock).  No other lock held. */
void tdp_zap_mmio(struct mmu *m) EXCLUDES(m->lock);

/*
 * Drops everything in @slot, tables too, and flushes, while faults elsewhere go on.  No
 * new translation is made in it meanwhile: it is invalid.  One such call at a time
 * (slots_lock); no other lock held.
 */
void tdp_zap_slot(struct mmu *m, const struct memslot *slot) EXCLUDES(m->lock);

/* --- tdp.c --- */

/* Checks that every entry is legal and in its place: for tests.  MMU lock for write. */
bool tdp_is_valid(struct mmu *m);

#endif
