/* SPDX-License-Identifier: MIT */
/*
 * mmu/notifier.h - host memory is about to change under the guest.
 *
 * Whoever unmaps, moves, replaces or protects host memory calls begin before and
 * end after.  When begin has returned, no vCPU uses the range, and none will
 * before end.
 */
#ifndef MMU_NOTIFIER_H
#define MMU_NOTIFIER_H

#include "mmu/mmu.h"

/* Between begin and end; the caller's, on its stack. */
struct invalidation {
	struct mmu *mmu;
	bool overlaps;		/* begin raised the count: so end lowers it */
};

/* Any thread, not in guest mode, no lock held; must not be interrupted by code
 * that changes slots.  Every begin needs its end, on the same thread. */
void mmu_invalidate_begin(struct mmu *m, hva_t start, hva_t end, struct invalidation *inv);
void mmu_invalidate_end(struct invalidation *inv);

/* For a fault, under the MMU lock: has the range changed since @seq was read? */
bool mmu_invalidate_retry(const struct mmu *m, uint64_t seq, hva_t start, hva_t end)
	REQUIRES_SHARED(m->lock);

enum age {
	AGE_TEST,
	AGE_CLEAR,		/* TLBs keep what they have: it costs only precision
				 * (A_CLEAR_MAY_NOT_FLUSH) */
	AGE_CLEAR_FLUSH,	/* an access from now on is seen */
};

/* Has the guest used any page of the range since that was last cleared?  Any thread,
 * not in guest mode, no lock held. */
bool mmu_age(struct mmu *m, hva_t start, hva_t end, enum age how);

#endif
