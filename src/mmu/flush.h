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
 * Returns when no TLB holds anything that was revoked before the call.  Not in
 * guest mode; with or without the MMU lock.
 */
void flush_settle(struct mmu *m);

#endif
