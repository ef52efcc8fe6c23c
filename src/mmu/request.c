/* SPDX-License-Identifier: MIT */
#include "mmu/request.h"

#include "mmu/mmu.h"
#include "mmu/shadow.h"
#include "mmu/tlb.h"

/* About as long as a few blocks take; a vCPU that needs longer is not running. */
#ifndef SPINS
#define SPINS 256
#endif

/* Mostly a matter of a moment.  If not, somebody else needs this processor. */
static void wait_for_end_of_round(struct mmu *m)
{
	for (int i = 0; i < SPINS; i++) {
		if (!atomic32_load_acquire(&m->flush_round))
			return;
		cpu_relax();
	}
	atomic32_fetch_add(&m->flush_parked, 1);
	wait_on(&m->flush_round, 1);
	atomic32_fetch_add(&m->flush_parked, (uint32_t)-1);
}

void request_service_mmu(struct mmu_vcpu *v)
{
	bool flush;

	if (!rule(CLEAR_BEFORE_SERVICE)) {
		if (v->mmu->mode == MMU_SHADOW)
			shadow_drop_roots(v, false);
		tlb_flush_all(v);
		request_take(v, REQUESTS_OF_MMU);
		return;
	}
	/* FLUSH_AFTER_MMU_REQUESTS: after this one nothing old is left to be cached. */
	if (request_take(v, REQUEST_ROOTS))
		shadow_drop_roots(v, false);
	flush = request_take(v, REQUEST_TLB_FLUSH);
	if (flush) {
		tlb_flush_all(v);
		vcpu_count(v, requests);
		if (atomic32_load_acquire(&v->mmu->flush_round))
			wait_for_end_of_round(v->mmu);
	}
}

/* The one place that waits for a vCPU. */
void request_wait_left_guest(struct mmu_vcpu *v)
{
	uint32_t seq = atomic32_load_acquire(&v->guest_seq);

	if (!(seq & 1) || !rule(WAIT_MEANS_LEFT_GUEST))
		return;
	mmu_count(v->mmu, remote_tlb_flush_waits);
	for (int i = 0; i < SPINS; i++) {
		if (atomic32_load_acquire(&v->guest_seq) != seq)
			return;
		cpu_relax();
	}
	/* Its thread is not on a processor.  Give it ours. */
	atomic32_fetch_add(&v->waiters, 1);
	while (atomic32_load_acquire(&v->guest_seq) == seq)
		wait_on(&v->guest_seq, seq);
	atomic32_fetch_add(&v->waiters, (uint32_t)-1);
}
