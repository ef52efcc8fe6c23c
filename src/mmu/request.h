/* SPDX-License-Identifier: MIT */
/*
 * mmu/request.h - how others get a vCPU's attention, and guest mode.
 *
 * A vCPU uses its TLB only in guest mode.  guest_seq goes up on every entry and
 * every exit, so that it is odd inside, and who sees it change knows that the
 * vCPU has been outside.
 *
 *	vCPU                            sender
 *	guest_seq++                     requests |= X
 *	(full barrier)                  (full barrier)
 *	read requests                   read guest_seq: odd?  wait until it changes
 *
 * One of the two sees the other (DEKKER_ENTRY).  In guest mode the vCPU looks at
 * its requests again at the end of every block.  It never blocks there and holds
 * no lock, so that a sender waits for no more than a block.
 *
 * Unless the host has taken the processor from the vCPU's thread.  Then the sender
 * sleeps, and every vCPU that has done its part waits outside the guest until the
 * round is over: only threads that it still waits for are left to run, and the host
 * gives each of them a processor at once instead of after the others' time slices.
 */
#ifndef MMU_REQUEST_H
#define MMU_REQUEST_H

#include "mmu/vcpu.h"
#include "sync/rule.h"
#include "sync/wait.h"

/* Any thread.  Full barrier. */
static inline void request_post(struct mmu_vcpu *v, uint32_t request)
{
	atomic32_fetch_or(&v->requests, request);
}

static ALWAYS_INLINE bool request_pending(const struct mmu_vcpu *v)
{
	return unlikely(atomic32_load_relaxed(&v->requests));
}

/* The owner, outside guest mode: was it posted?  CLEAR_BEFORE_SERVICE. */
static inline bool request_take(struct mmu_vcpu *v, uint32_t request)
{
	return (atomic32_load_relaxed(&v->requests) & request) &&
	       (atomic32_fetch_and(&v->requests, ~request) & request);
}

/* Does what the MMU's requests ask for.  The owner, outside guest mode. */
void request_service_mmu(struct mmu_vcpu *v);

static inline bool guest_mode(const struct mmu_vcpu *v)
{
	return atomic32_load_relaxed(&v->guest_seq) & 1;
}

static inline void guest_leave(struct mmu_vcpu *v)
{
	bool waited_for = mutant(LEAVE_LOOKS_FIRST) && atomic32_load_relaxed(&v->waiters);

	atomic32_fetch_add(&v->guest_seq, 1);
	if (waited_for ||
	    (!mutant(LEAVE_LOOKS_FIRST) && unlikely(atomic32_load_relaxed(&v->waiters))))
		wait_wake_all(&v->guest_seq);
}

/* Returns in guest mode with every request of the MMU serviced. */
static inline void guest_enter(struct mmu_vcpu *v)
{
	for (;;) {
		v->guest_entries++;
		if (rule(DEKKER_ENTRY))
			atomic32_fetch_add(&v->guest_seq, 1);
		else
			atomic32_store_relaxed(&v->guest_seq,
					       atomic32_load_relaxed(&v->guest_seq) + 1);
		if (!rule(NO_ENTRY_PAST_PENDING) ||
		    likely(!(atomic32_load_relaxed(&v->requests) & REQUESTS_OF_MMU)))
			return;
		guest_leave(v);
		request_service_mmu(v);
	}
}

/* Waits until @v has been outside guest mode.  Any thread, not in guest mode. */
void request_wait_left_guest(struct mmu_vcpu *v);

#endif
