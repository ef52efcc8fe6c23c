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

/*
 * A leaf has changed in place: sets what is owed for it, and whether to settle before the MMU
 * lock is dropped.  Never resets either.
 *
 * W_LOSS_OWES.  A TLB may still write if the entry had W, whoever cleared that and for whatever
 * reason; the next thread finds nothing to protect, but finds the debt.
 */
static inline void flush_note_change(const struct mmu *m, spte_t old, spte_t new, bool *debt,
				     bool *now)
{
	*debt |= rule(W_LOSS_OWES) && (old.raw & ~new.raw & SPTE_W);
	*now |= flush_owed_by_change(m, old, new);
}

/*
 * Returns once no TLB holds anything that was revoked before the call.  Not in guest mode; with
 * or without the MMU lock.
 */
void flush_settle(struct mmu *m);

/* The same regardless of the debt: for callers that decide otherwise. */
void flush_always(struct mmu *m);

/* @n leafs have lost W for logging.  Under the MMU lock; the flush may come after it, except
 * with the older policy. */
static inline void flush_owe_for_log(struct mmu *m, uint64_t n) REQUIRES_SHARED(m->lock)
{
	rwlock_assert_held(&m->lock);
	if (!n)
		return;
	flush_owe(m);
	if (atomic32_load_relaxed(&m->flush_policy) == FLUSH_IF_W_CLEARED)
		flush_settle(m);
	mmu_count_n(m, VM_STAT_mmu_write_protected, n);
}

#endif
