/* SPDX-License-Identifier: MIT */
#include "mmu/tlb/flush.h"

#include "base/trace.h"
#include "mmu/tlb/request.h"

/*
 * One round: requests a TLB flush of every vCPU (TLB_OWNER_ONLY), and waits for or interrupts
 * those in guest mode.  One outside services its request on entry.
 */
static void flush_round(struct mmu *m) REQUIRES(m->flush_lock)
{
	uint32_t n = atomic32_load_acquire(&m->n_vcpus);

	for (uint32_t i = 0; i < n; i++) {
		struct mmu_vcpu *v = atomic_ptr_load_relaxed(&m->vcpus[i]);

		if (v)
			request_post(v, REQUEST_TLB_FLUSH);
	}
	request_wait_all(m);
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
		debt = atomic64_load_acquire(&m->owed);
		flush_round(m);
		atomic64_store_release(&m->paid, debt);
		trace_remote_flush(debt);
	}
	mutex_unlock(&m->flush_lock);
}

void flush_always(struct mmu *m)
{
	flush_owe(m);
	flush_settle(m);
}
