/* SPDX-License-Identifier: MIT */
/*
 * mmu/flush.h - the debt of TLB flushes.
 *
 * Who revokes a translation (or a permission) raises `owed` before it drops the
 * MMU lock.  `paid` is the highest `owed` that a completed flush had read before
 * it began.  TLBs may hold what no table holds any more exactly while
 * paid < owed; so whoever needs to know that nothing is left settles, even if
 * it found nothing to zap itself (NO_SPTE_IMPLIES_NO_TLB).
 *
 * Both numbers only grow: a flusher that was delayed cannot mistake new debt for
 * that which it has paid, as it could with a counter that is reset to zero.
 */
#ifndef MMU_FLUSH_H
#define MMU_FLUSH_H

#include "mmu/mmu.h"

/* Under the MMU lock, for read or write; after the entries were changed. */
static inline void flush_owe(struct mmu *m)
{
	if (rule(DEBT_INC_UNDER_LOCK_BEFORE_UNLOCK))
		atomic64_fetch_add(&m->owed, 1);
}

/*
 * FLUSH_IFF_MMUW_CLEARED.  Whether the change of a leaf owes a flush before the MMU
 * lock is dropped.  With the older policy there is never a TLB that may write
 * where no entry has W, and to take MMUW from one without W costs nothing.
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
 * A leaf has changed in place: what is owed for it, and whether that is to be settled
 * before the MMU lock is dropped.  Neither is ever reset here.
 *
 * W_LOSS_OWES.  A TLB may write for as long as the entry had W, whoever has taken that and
 * for whatever reason; who comes next finds nothing to protect, and the debt.
 */
static inline void flush_note_change(const struct mmu *m, spte_t old, spte_t new, bool *debt,
				     bool *now)
{
	*debt |= rule(W_LOSS_OWES) && (old.raw & ~new.raw & SPTE_W);
	*now |= flush_owed_by_change(m, old, new);
}

/*
 * Returns when no TLB holds anything that was revoked before the call.  Not in
 * guest mode; with or without the MMU lock.
 */
void flush_settle(struct mmu *m);

/* The same without a look at what is owed: for who goes by something else. */
void flush_always(struct mmu *m);

/* Leafs have lost W for logging.  Under the MMU lock; the flush may trail it, but
 * for the older policy. */
static inline void flush_owe_for_log(struct mmu *m)
{
	flush_owe(m);
	if (atomic32_load_relaxed(&m->flush_policy) == FLUSH_IF_W_CLEARED)
		flush_settle(m);
}

#endif
