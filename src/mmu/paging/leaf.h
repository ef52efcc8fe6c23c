/* SPDX-License-Identifier: MIT */
/* mmu/paging/leaf.h - changes of a leaf in place, in tables of both paging modes. */
#ifndef MMU_LEAF_H
#define MMU_LEAF_H

#include "mmu/paging/table.h"

/* Clears and sets bits of the leaf.  False: nothing has changed, or it is no leaf.  Adds what that
 * owes to *due. */
static inline bool leaf_change(struct mmu *m, const struct table_place *at, uint64_t clear,
			       uint64_t set, enum flush_due *due)
{
	spte_t old = at->spte, new;

	do {
		new.raw = (old.raw & ~clear) | set;
		if (!spte_is_leaf(old) || new.raw == old.raw)
			return false;
	} while (!sptep_cmpxchg(at->sptep, &old, new));
	flush_raise(due, table_entry_changed(m, at->gfn, at->level, old, new));
	return true;
}

/* Takes W for the dirty log.  WPROT_LOGGING_KEEPS_MMUW. */
static inline bool leaf_protect(struct mmu *m, const struct table_place *at, enum flush_due *due)
{
	return leaf_change(m, at, SPTE_W, 0, due);
}

/* Was it used since that was last cleared? */
static inline bool leaf_age(struct mmu *m, const struct table_place *at, enum age how)
{
	enum flush_due due = FLUSH_NOT_DUE; /* A is not a right; but see AGE_LEAVES_DEBT */

	if (how == AGE_TEST)
		return spte_is_leaf(at->spte) && (at->spte.raw & SPTE_A);
	return leaf_change(m, at, SPTE_A, 0, &due);
}

/* What leaf_protect() has done since the lock was taken. */
struct leafs_protected {
	uint64_t n;
	enum flush_due due;
};

/* Before the lock is dropped: YIELD_FLUSHES.  The flush may come after that, except with the older
 * policy. */
static inline void leafs_protected_record(struct mmu *m, struct leafs_protected *p)
	REQUIRES_SHARED(m->lock)
{
	flush_record(m, &p->due);
	mmu_count_n(m, VM_STAT_mmu_write_protected, p->n);
	p->n = 0;
}

#endif
