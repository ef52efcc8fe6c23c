/* SPDX-License-Identifier: MIT */
#include "mmu/tlb/request.h"

#include "mmu/limits.h"
#include "mmu/mmu.h"
#include "mmu/tlb/tlb.h"

void request_service_mmu(struct mmu_vcpu *v)
{
	/* CLEAR_BEFORE_SERVICE: one that is posted meanwhile is seen at the next check. */
	if (request_take(v, REQUEST_ROOTS))
		v->mmu->ops->drop_roots(v);
	/* The TLB last: after that nothing stale can be cached. */
	if (request_take(v, REQUEST_TLB_FLUSH)) {
		tlb_flush_all(v);
		vcpu_count(v, requests);
	}
}

/* --- waiting for vCPUs ------------------------------------------------------ */

static struct mmu_vcpu *vcpu_at(struct mmu *m, uint32_t i) REQUIRES(m->flush_lock)
{
	return atomic_ptr_load_relaxed(&m->vcpus[i]);
}

#define for_each_awaited(m, i, v)                                            \
	for (uint32_t i = 0; i < atomic32_load_acquire(&(m)->n_vcpus); i++)  \
		if ((v = vcpu_at(m, i)) && v->awaited_seq)

/* Selects those that are in guest mode now. */
static uint32_t find_awaited(struct mmu *m) REQUIRES(m->flush_lock)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < atomic32_load_acquire(&m->n_vcpus); i++) {
		struct mmu_vcpu *v = vcpu_at(m, i);
		uint32_t seq = v ? atomic32_load_acquire(&v->guest_seq) : 0;

		if (!v)
			continue;
		v->awaited_seq = (seq & 1) && rule(WAIT_MEANS_LEFT_GUEST) ? seq : 0;
		n += !!v->awaited_seq;
	}
	return n;
}

static uint32_t count_still_awaited(struct mmu *m) REQUIRES(m->flush_lock)
{
	struct mmu_vcpu *v;
	uint32_t n = 0;

	for_each_awaited(m, i, v) {
		if (atomic32_load_acquire(&v->guest_seq) != v->awaited_seq)
			v->awaited_seq = 0;
		else
			n++;
	}
	return n;
}

/* Until it is no longer @seen.  Whoever changes it looks at @v's waiters then. */
static void sleep_on(struct mmu_vcpu *v, struct atomic32 *word, uint32_t seen)
{
	atomic32_fetch_add(&v->waiters, 1);
	/* guest_unpin() has no barrier between its store and its look at waiters. */
	if (word != &v->pin || window_barrier())
		while (atomic32_load_acquire(word) == seen)
			wait_on(word, seen);
	atomic32_fetch_add(&v->waiters, (uint32_t)-1);
}

/* Its thread is preempted in a walk: wait for its next time slice. */
static void wait_until_unpinned(struct mmu_vcpu *v)
{
	uint32_t pin = atomic32_load_acquire(&v->pin);

	if (!(pin & 1))
		return;
	for (int i = 0; i < REQUEST_SPINS; i++) {
		if (atomic32_load_acquire(&v->pin) != pin)
			return;
		cpu_relax();
	}
	mmu_count(v->mmu, remote_tlb_flush_pinned);
	sleep_on(v, &v->pin, pin);
}

/*
 * No longer waits for those whose threads can be interrupted.  INTERRUPT_BEFORE_BARRIER: when
 * the barrier returns, the signal has been delivered.
 */
static void interrupt_awaited(struct mmu *m) REQUIRES(m->flush_lock)
{
	struct mmu_vcpu *v;
	bool any = false;

	for_each_awaited(m, i, v) {
		v->interrupted = window_interrupt(&v->line);
		any |= v->interrupted;
	}
	if (!any || (rule(BARRIER_BEFORE_PIN) && !window_barrier()))
		return;
	for_each_awaited(m, i, v) {
		if (!v->interrupted)
			continue;
		mmu_count(m, remote_tlb_flush_interrupts);
		if (rule(WALKS_ARE_PINNED))
			wait_until_unpinned(v);
		v->awaited_seq = 0;
	}
}

/* The only place that waits for vCPUs. */
void request_wait_all(struct mmu *m)
{
	uint32_t n = find_awaited(m);
	struct mmu_vcpu *v;

	mutex_assert_held(&m->flush_lock);
	if (!n)
		return;
	mmu_count_n(m, VM_STAT_remote_tlb_flush_waits, n);
	for (int i = 0; i < REQUEST_SPINS; i++) {
		if (!count_still_awaited(m))
			return;
		cpu_relax();
	}
	interrupt_awaited(m);
	if (!count_still_awaited(m))
		return;
	for_each_awaited(m, i, v) {
		mmu_count(m, remote_tlb_flush_sleeps);
		sleep_on(v, &v->guest_seq, v->awaited_seq);
	}
}
