/* SPDX-License-Identifier: MIT */
/*
 * mmu/tlb/request.h - requests to a vCPU, and guest mode.
 *
 * A vCPU uses its TLB only in guest mode.  guest_seq goes up on every entry and every exit, so it
 * is odd inside, and a thread that sees it change knows that the vCPU has been outside.
 *
 *	vCPU                            sender
 *	guest_seq++                     requests |= X
 *	(full barrier)                  (full barrier)
 *	read requests                   read guest_seq: odd?  wait until it changes
 *
 * One of the two sees the other (DEKKER_ENTRY).  In guest mode the vCPU checks its requests at
 * the end of every block.  It holds no lock there.
 *
 * The vCPU's thread may be preempted, or asleep in a host page fault on a page that the sender is
 * about to provide.  So the sender waits for a moment, the time of a few blocks, and no longer
 * for a thread that does not run: it interrupts the thread (sync/window.h).  From then on no
 * window of the thread uses an earlier translation.  What it does in guest mode outside of
 * windows, to walk our tables and to fill its TLB, is *pinned*, and the sender waits for it:
 *
 *	vCPU                            sender
 *	pin++ (odd)                     change a table
 *	walk, fill the TLB              interrupt, barrier
 *	pin++                           read pin: odd?  wait until it changes
 *
 * Only the sender has a barrier.  It sees what the vCPU stored before that; what the vCPU does
 * after that comes after its handler, and sees the change.  If pin is even, the vCPU does not
 * walk tables found before the change; if it is odd, what it finds is stale before it is used,
 * but the tables must stay until the walk ends.  Pinned code is short, never blocks and touches
 * no guest memory.
 *
 * Where threads cannot be interrupted (seccomp, ThreadSanitizer, a vCPU that is not bound
 * to a thread) the sender waits until the vCPU leaves guest mode.
 */
#ifndef MMU_REQUEST_H
#define MMU_REQUEST_H

#include "mem/rules.h"
#include "mmu/mmu.h"
#include "mmu/vcpu.h"
#include "sync/wait.h"

/* Bits of mmu_vcpu.requests. */
enum {
	REQUEST_TLB_FLUSH = 1u << 0,
	REQUEST_ROOTS = 1u << 1,	/* some of the shadow roots are obsolete */
	/* Not the MMU's: leave the guest and check what has changed. */
	REQUEST_KICK = 1u << 8,
	REQUEST_CLOCK = 1u << 9, /* the page of its clock is out of date */
};
#define REQUESTS_OF_MMU (REQUEST_TLB_FLUSH | REQUEST_ROOTS)

/* Any thread.  Full barrier. */
static inline void request_post(struct mmu_vcpu *v, uint32_t request)
{
	atomic32_fetch_or(&v->requests, request);
}

static ALWAYS_INLINE bool request_pending(const struct mmu_vcpu *v)
{
	return unlikely(atomic32_load_relaxed(&v->requests));
}

/* For the MMU itself? */
static ALWAYS_INLINE bool request_mmu_pending(const struct mmu_vcpu *v)
{
	return rule(NO_ENTRY_PAST_PENDING) &&
	       unlikely(atomic32_load_relaxed(&v->requests) & REQUESTS_OF_MMU);
}

/* The owner, outside guest mode: tests and clears a request.  CLEAR_BEFORE_SERVICE. */
static inline bool request_take(struct mmu_vcpu *v, uint32_t request)
{
	return (atomic32_load_relaxed(&v->requests) & request) &&
	       (atomic32_fetch_and(&v->requests, ~request) & request);
}

/* Services the MMU's requests.  The owner, outside guest mode. */
void request_service_mmu(struct mmu_vcpu *v);

static inline bool guest_mode(const struct mmu_vcpu *v)
{
	return atomic32_load_relaxed(&v->guest_seq) & 1;
}

static inline void guest_leave(struct mmu_vcpu *v)
{
	atomic32_fetch_add(&v->guest_seq, 1);
	if (unlikely(atomic32_load_relaxed(&v->waiters)))
		wait_wake_all(&v->guest_seq);
}

/* Returns in guest mode with every request of the MMU serviced. */
static inline void guest_enter(struct mmu_vcpu *v)
{
	for (;;) {
		v->guest_entries++;
		epoch_advance(&v->epoch);
		/* DEKKER_ENTRY: a full barrier before the look at the requests. */
		atomic32_fetch_add(&v->guest_seq, 1);
		if (!request_mmu_pending(v))
			return;
		guest_leave(v);
		request_service_mmu(v);
	}
}

/* WALKS_ARE_PINNED.  The owner, in guest mode: begins and ends a section that senders wait for.
 * Not nested. */
static inline void guest_pin(struct mmu_vcpu *v)
{
	atomic32_store_relaxed(&v->pin, atomic32_load_relaxed(&v->pin) + 1);
	owner_barrier();
}

/* A sender that registers as a waiter has a barrier before it reads pin again: this side needs
 * none. */
static inline void guest_unpin(struct mmu_vcpu *v)
{
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
 * Waits until no vCPU uses translations from before the call: each has left guest mode, or was
 * interrupted.  Any thread, not in guest mode.
 */
void request_wait_all(struct mmu *m) REQUIRES(m->flush_lock);

#endif
