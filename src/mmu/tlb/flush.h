/* SPDX-License-Identifier: MIT */
/*
 * mmu/tlb/flush.h - the debt of TLB flushes.
 *
 * Whoever revokes a translation (or a permission) increments `owed` before dropping the MMU lock.
 * `paid` is the highest `owed` that a completed flush had read before it began.  A TLB can hold a
 * stale translation only while paid < owed; so whoever needs to know that none is left settles,
 * even without having zapped anything (NO_SPTE_IMPLIES_NO_TLB).
 *
 * Both numbers only grow: a delayed flusher cannot mistake new debt for debt that it has paid, as
 * it could with a counter that is reset to zero.
 */
#ifndef MMU_FLUSH_H
#define MMU_FLUSH_H

#include "mmu/mmu.h"
#include "mmu/paging/spte.h"

/* Under the MMU lock, for read or write; after the entries were changed. */
static inline void flush_owe(struct mmu *m)
{
	if (rule(DEBT_INC_UNDER_LOCK_BEFORE_UNLOCK))
		atomic64_fetch_add(&m->owed, 1);
}

/*
 * FLUSH_IFF_MMUW_CLEARED.  True if the change of a leaf requires a flush before the MMU lock is
 * dropped.  With the older policy no TLB can write where no entry has W, and clearing MMUW in one
 * without W costs nothing.
 */
static inline bool flush_owed_by_change(const struct mmu *m, spte_t old, spte_t new)
{
	uint64_t bit = rule(FLUSH_IFF_MMUW_CLEARED) &&
				       atomic32_load_relaxed(&m->flush_policy) ==
					       FLUSH_IF_MMUW_CLEARED ?
			       SPTE_MMUW : SPTE_W;

	return old.raw & ~new.raw & bit;
}

/* What changes of entries owe, the least first. */
enum flush_due {
	FLUSH_NOT_DUE,
	FLUSH_DUE_LATER,	/* on record before the MMU lock is dropped, paid when needed */
	FLUSH_DUE_NOW,		/* paid before the lock is dropped */
};

/*
 * What one change owes.
 *
 * W_LOSS_OWES.  A TLB may still write if the entry had W, whoever cleared that and for whatever
 * reason; the next thread finds nothing to protect, but finds the debt.
 */
static inline enum flush_due flush_due_of_change(const struct mmu *m, spte_t old, spte_t new)
{
	if (!spte_is_leaf(old) || spte_is_link(new))
		return FLUSH_NOT_DUE;
	if (!spte_is_leaf(new))
		return FLUSH_DUE_LATER;
	if (flush_owed_by_change(m, old, new))
		return FLUSH_DUE_NOW;
	return rule(W_LOSS_OWES) && (old.raw & ~new.raw & SPTE_W) ? FLUSH_DUE_LATER :
								     FLUSH_NOT_DUE;
}

/* Adds what one more change owes. */
static inline void flush_raise(enum flush_due *due, enum flush_due more)
{
	*due = MAX(*due, more);
}

/*
 * Returns once no TLB holds anything that was revoked before the call.  Not in guest mode; with
 * or without the MMU lock.
 */
void flush_settle(struct mmu *m);

/* The same regardless of the debt: for callers that decide otherwise. */
void flush_always(struct mmu *m);

/* Whatever is due now is no more afterwards; call it before the MMU lock is dropped. */
static inline void flush_record(struct mmu *m, enum flush_due *due) REQUIRES_SHARED(m->lock)
{
	rwlock_assert_held(&m->lock);
	if (*due != FLUSH_NOT_DUE)
		flush_owe(m);
	if (*due == FLUSH_DUE_NOW)
		flush_settle(m);
	*due = FLUSH_NOT_DUE;
}

#endif
