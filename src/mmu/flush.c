/* SPDX-License-Identifier: MIT */
#include "mmu/flush.h"

#include "base/trace.h"
#include "mmu/request.h"
#include "mmu/tlb.h"

/*
 * One round: requests a TLB flush of every vCPU, and waits for or interrupts those in guest mode.
 * One outside services its request on entry.
 */
static void flush_round(struct mmu *m) REQUIRES(m->flush_lock)
{
	uint32_t n = atomic32_load_acquire(&m->n_vcpus);

	for (uint32_t i = 0; i < n; i++) {
		struct mmu_vcpu *v = atomic_ptr_load_relaxed(&m->vcpus[i]);

		if (!v || (mutant(FLUSH_ONLY_RUNNING) && !guest_mode(v)))
			continue;
		if (rule(TLB_OWNER_ONLY))
			request_post(v, REQUEST_TLB_FLUSH);
		else
			tlb_flush_all(v);
	}
	if (rule(TLB_OWNER_ONLY))
		request_wait_all(m);
	mmu_count(m, remote_tlb_flush);
}

/* The published form of 2010, for the checker: A/B/A (docs/findings.md). */
static void settle_by_reset(struct mmu *m)
{
	uint64_t debt = atomic64_load_acquire(&m->owed);

	if (!debt)
		return;
	mutex_lock(&m->flush_lock);
	flush_round(m);
	mutex_unlock(&m->flush_lock);
	if (mutant(DEBT_IS_A_FLAG))
		atomic64_store_release(&m->owed, 0);
	else
		atomic64_cmpxchg(&m->owed, &debt, 0);
}

void flush_settle(struct mmu *m)
{
	uint64_t debt = atomic64_load_acquire(&m->owed);

	if (mutant(DEBT_RESET_TO_ZERO) || mutant(DEBT_IS_A_FLAG)) {
		settle_by_reset(m);
		return;
	}
	if (mutant(DEBT_NARROW))
		debt &= 0xff;
	mmu_count(m, remote_tlb_flush_requests);
	if (atomic64_load_acquire(&m->paid) >= debt) {
		mmu_count(m, remote_tlb_flush_elided);
		return;
	}

	/* All threads that wait here during a flush share the next round, since each round pays
	 * all the debt that it saw. */
	mutex_lock(&m->flush_lock);
	if (atomic64_load_relaxed(&m->paid) >= debt) {
		mmu_count(m, remote_tlb_flush_elided);
	} else {
		/*
		 * DEBT_READ_BEFORE_REQUEST: debt from here on may be for an entry that a vCPU
		 * creates after its flush.
		 */
		if (rule(DEBT_READ_BEFORE_REQUEST))
			debt = atomic64_load_acquire(&m->owed);
		if (mutant(PAID_BEFORE_DONE))
			atomic64_store_release(&m->paid, debt);
		flush_round(m);
		if (!rule(DEBT_READ_BEFORE_REQUEST))
			debt = atomic64_load_acquire(&m->owed);
		atomic64_store_release(&m->paid, debt);
		trace_remote_flush(debt);
	}
	mutex_unlock(&m->flush_lock);
}

void flush_always(struct mmu *m)
{
	if (!mutant(LOG_FLUSH_BY_DEBT))
		flush_owe(m);
	flush_settle(m);
}
