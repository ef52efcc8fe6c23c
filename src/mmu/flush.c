/* SPDX-License-Identifier: MIT */
#include "mmu/flush.h"

#include "base/trace.h"
#include "mmu/request.h"

/*
 * One round: every vCPU is asked to empty its TLB, and those in guest mode are
 * waited for.  One outside will meet its request on entry.
 */
static void flush_round(struct mmu *m)
{
	uint32_t n = atomic32_load_acquire(&m->n_vcpus);

	atomic32_store_release(&m->flush_round, 1);
	for (uint32_t i = 0; i < n; i++) {
		struct mmu_vcpu *v = atomic_ptr_load_relaxed(&m->vcpus[i]);

		if (v)
			request_post(v, REQUEST_TLB_FLUSH);
	}
	for (uint32_t i = 0; i < n; i++) {
		struct mmu_vcpu *v = atomic_ptr_load_relaxed(&m->vcpus[i]);

		if (v)
			request_wait_left_guest(v);
	}
	atomic32_xchg(&m->flush_round, 0);
	if (atomic32_load_relaxed(&m->flush_parked))
		wait_wake_all(&m->flush_round);
	mmu_count(m, remote_tlb_flush);
}

void flush_settle(struct mmu *m)
{
	uint64_t debt = atomic64_load_acquire(&m->owed);

	mmu_count(m, remote_tlb_flush_requests);
	if (atomic64_load_acquire(&m->paid) >= debt) {
		mmu_count(m, remote_tlb_flush_elided);
		return;
	}

	/* Who waits here while another flushes shares the next round with all
	 * who wait, since each round pays all the debt that it saw. */
	mutex_lock(&m->flush_lock);
	if (atomic64_load_relaxed(&m->paid) >= debt) {
		mmu_count(m, remote_tlb_flush_elided);
	} else {
		/*
		 * DEBT_READ_BEFORE_REQUEST: what is owed from here on may be
		 * for an entry that a vCPU makes after its flush.
		 */
		if (rule(DEBT_READ_BEFORE_REQUEST))
			debt = atomic64_load_acquire(&m->owed);
		flush_round(m);
		atomic64_store_release(&m->paid, debt);
		trace_remote_flush(debt, 0);
	}
	mutex_unlock(&m->flush_lock);
}
