/* SPDX-License-Identifier: MIT */
/*
 * mmu/notifier.h - host memory is about to change under the guest.
 *
 * Whoever unmaps, moves, replaces or protects host memory calls begin before and end after.  Once
 * begin has returned, no vCPU uses the range, and none will before end.  Slots may be created and
 * deleted in between.
 */
#ifndef MMU_NOTIFIER_H
#define MMU_NOTIFIER_H

#include "mmu/mmu.h"

/* Between begin and end; the caller's, on its stack. */
struct invalidation {
	struct mmu *mmu;
	struct host_change change;
};

/* Any thread, not in guest mode, no lock held.  Every begin needs its end, on whatever
 * thread. */
void mmu_invalidate_begin(struct mmu *m, hva_t start, hva_t end, struct invalidation *inv);
void mmu_invalidate_end(struct invalidation *inv);

/*
 * The same in parts, where several MMUs share the record (m->changes): put it on record, withdraw
 * from each; change; restore to each, take it off the record.  MMUs created or destroyed
 * meanwhile need no call.
 */
void mmu_withdraw(struct mmu *m, hva_t start, hva_t end);
void mmu_restore(struct mmu *m, hva_t start, hva_t end);

/* True if the range has changed since @seq was read, or is about to.  For a fault, in the section
 * of the MMU lock in which it installs. */
bool mmu_invalidate_retry(const struct mmu *m, uint64_t seq, hva_t start, hva_t end);

/* True if the guest has used any page of the range since that was last cleared.  Any thread, not
 * in guest mode, no lock held. */
bool mmu_age(struct mmu *m, hva_t start, hva_t end, enum age how);

#endif
