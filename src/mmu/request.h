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
 * its requests again at the end of every block.  It holds no lock there.
 *
 * The host may have taken the processor from the vCPU's thread, or it may sleep in a
 * page fault of the host's, whose page the sender is about to provide.  So the sender
 * waits for a moment, as long as a few blocks take, and then for nobody who does not run:
 * it interrupts the thread (sync/window.h).  From there on the thread uses nothing in a
 * window that it has translated before.  What it does in guest mode without a window, to
 * walk our tables and to fill its TLB, is *pinned*, and waited for:
 *
 *	vCPU                            sender
 *	pin++ (odd)                     change a table
 *	walk, fill the TLB              interrupt, barrier
 *	pin++                           read pin: odd?  wait until it changes
 *
 * The barrier is the sender's alone.  What the vCPU has stored before it the sender sees;
 * what the vCPU does after it comes after its handler, and sees the change.  If pin is
 * even, it walks no tables that it may have found before the change; if it is odd, what it
 * finds is stale by the time it is used, but the tables must stay until it is done.
 * Pinned code is short, blocks nowhere and touches no memory of the guest's.
 *
 * Where threads cannot be interrupted (seccomp, ThreadSanitizer, a vCPU that is not bound
 * to a thread) the sender waits until the vCPU leaves guest mode.
 */
#ifndef MMU_REQUEST_H
#define MMU_REQUEST_H

#include "mmu/mmu.h"
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
		epoch_advance(&v->epoch);
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

/* The owner, in guest mode: begins and ends what is waited for.  Not nested. */
static inline void guest_pin(struct mmu_vcpu *v)
{
	if (!rule(WALKS_ARE_PINNED))
		return;
	atomic32_store_relaxed(&v->pin, atomic32_load_relaxed(&v->pin) + 1);
	owner_barrier();
}

/* The sender who counts itself among the waiters makes a barrier before it looks at pin
 * again: this side needs none. */
static inline void guest_unpin(struct mmu_vcpu *v)
{
	if (!rule(WALKS_ARE_PINNED))
		return;
	atomic32_store_release(&v->pin, atomic32_load_relaxed(&v->pin) + 1);
	owner_barrier();
	if (unlikely(atomic32_load_relaxed(&v->waiters)))
		wait_wake_all(&v->pin);
}

static inline bool guest_is_pinned(const struct mmu_vcpu *v)
{
	return atomic32_load_relaxed(&v->pin) & 1;
}

/*
 * Waits until no vCPU uses what was translated before the call: each has been outside of
 * guest mode, or was interrupted.  Any thread, not in guest mode.
 */
void request_wait_all(struct mmu *m) REQUIRES(m->flush_lock);

#endif
