/* SPDX-License-Identifier: MIT */
/* tests/unit/mmu/test_notifier.c - host memory that is taken away under the guest. */
#include "vm_fixture.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "mmu/fault.h"
#include "mmu/notifier.h"
#include "mmu/tdp/internal.h"
#include "mmu/tlb/flush.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"

#define N_PAGES 64u
#define BYTES(pages) ((uint64_t)(pages) << PAGE_SHIFT)

#define DIFFER(a, b) (!__builtin_types_compatible_p(a, b))
_Static_assert(DIFFER(hva_t, gfn_t) && DIFFER(hva_t, gpa_t) && DIFFER(hva_t, gva_t) &&
		       DIFFER(gva_t, gpa_t) && DIFFER(gva_t, gfn_t) && DIFFER(gpa_t, gfn_t) &&
		       DIFFER(hva_t, uint64_t) && DIFFER(gfn_t, uint64_t),
	       "an invalidation by frames (KVM 6d3085e4d89a) does not compile");

/* Slot 0: page n of the memory is frame n.  Slot 1: pages 8 to 15 again at 1000. */
static int setup(void **state)
{
	struct test_vm *vm = vm_make_sim(2, N_PAGES);

	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	vm_slot(vm, 1, BYTES(1000), 8, 8, 0);
	*state = vm;
	return 0;
}

static int teardown(void **state)
{
	hook_clear(HOOK_RDLOCK);
	hook_clear(HOOK_WAIT);
	vm_free(*state);
	return 0;
}

static void begin(struct test_vm *vm, uint64_t page, uint64_t n, struct invalidation *inv)
{
	mmu_invalidate_begin(&vm->mmu, vm_hva(vm, page), vm_hva(vm, page + n), inv);
}

static bool retries(struct test_vm *vm, uint64_t seq, uint64_t page)
{
	bool retry;

	rwlock_rdlock(&vm->mmu.lock);
	retry = mmu_invalidate_retry(&vm->mmu, seq, vm_hva(vm, page), vm_hva(vm, page + 1));
	rwlock_rdunlock(&vm->mmu.lock);
	return retry;
}

static uint64_t seq_now(const struct test_vm *vm)
{
	return atomic64_load_relaxed(&vm->mmu.invalidate_seq);
}

static enum fault_verdict fault(struct test_vm *vm, uint64_t gfn, enum access access)
{
	return tdp_fault(&vm->vcpu[0], gpa_of(BYTES(gfn)), access);
}

static bool is_mapped(struct test_vm *vm, uint64_t gfn)
{
	bool mapped;

	rcu_read_begin();
	mapped = spte_is_leaf(tdp_lookup(&vm->mmu, gfn_of(gfn)).spte);
	rcu_read_end();
	return mapped;
}

/* --- what begin does --------------------------------------------------------- */

static void an_invalidation_drops_what_maps_its_pages_and_no_other(void **state)
{
	struct test_vm *vm = *state;
	struct invalidation inv;

	for (uint64_t gfn = 0; gfn < N_PAGES; gfn++)
		assert_int_equal(fault(vm, gfn, gfn & 1), FAULT_FIXED);
	begin(vm, 20, 3, &inv);
	for (uint64_t gfn = 0; gfn < N_PAGES; gfn++)
		assert_int_equal(is_mapped(vm, gfn), gfn < 20 || gfn >= 23);
	mmu_invalidate_end(&inv);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_zapped), 3);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_notifier_overlaps), 1);
}

static void a_part_of_a_page_is_the_page(void **state)
{
	struct test_vm *vm = *state;
	struct invalidation inv;

	for (uint64_t gfn = 19; gfn < 24; gfn++)
		assert_int_equal(fault(vm, gfn, ACCESS_WRITE), FAULT_FIXED);
	mmu_invalidate_begin(&vm->mmu, hva_add(vm_hva(vm, 20), 4095),
			     hva_add(vm_hva(vm, 22), 1), &inv);
	mmu_invalidate_end(&inv);
	for (uint64_t gfn = 19; gfn < 24; gfn++)
		assert_int_equal(is_mapped(vm, gfn), gfn == 19 || gfn == 23);
}

static void memory_that_two_slots_share_goes_from_both(void **state)
{
	struct test_vm *vm = *state;
	struct invalidation inv;

	for (uint64_t i = 0; i < 8; i++) {
		assert_int_equal(fault(vm, 8 + i, ACCESS_WRITE), FAULT_FIXED);
		assert_int_equal(fault(vm, 1000 + i, ACCESS_WRITE), FAULT_FIXED);
	}
	begin(vm, 6, 4, &inv);
	mmu_invalidate_end(&inv);
	for (uint64_t i = 0; i < 8; i++) {
		assert_int_equal(is_mapped(vm, 8 + i), i >= 2);
		assert_int_equal(is_mapped(vm, 1000 + i), i >= 2);
	}
}

/* The range goes far beyond the slots on either side. */
static void everything_goes_with_everything(void **state)
{
	struct test_vm *vm = *state;
	struct invalidation inv;

	assert_int_equal(fault(vm, 0, ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(fault(vm, N_PAGES - 1, ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(fault(vm, 1007, ACCESS_WRITE), FAULT_FIXED);
	mmu_invalidate_begin(&vm->mmu, hva_of(0), hva_of(~0ull), &inv);
	mmu_invalidate_end(&inv);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_4k), 0);
}

struct yield {
	struct test_vm *vm;
	unsigned int n_locks;
	uint64_t owed;			/* when the lock was about to be taken again */
	uint64_t still_mapped;
};

static void look_at_the_debt(void *ctx)
{
	struct yield *y = ctx;

	if (++y->n_locks == 1) {
		hook_once(HOOK_WRLOCK, look_at_the_debt, y);
		return;
	}
	y->owed = atomic64_load_relaxed(&y->vm->mmu.owed);
	y->still_mapped = vm_stat(y->vm, VM_STAT_pages_4k);
}

/* YIELD_FLUSHES.  Who comes in between finds nothing mapped, but the debt. */
static void a_large_one_lets_others_in_and_has_said_what_it_owes(void **state UNUSED)
{
	const uint64_t n = 4500;
	struct test_vm *vm = vm_make_sim(1, n);
	struct yield y = { .vm = vm };
	struct invalidation inv;
	uint64_t owed;

	vm_slot(vm, 0, 0, 0, n, 0);
	for (uint64_t gfn = 0; gfn < n; gfn++)
		assert_int_equal(fault(vm, gfn, ACCESS_WRITE), FAULT_FIXED);
	owed = atomic64_load_relaxed(&vm->mmu.owed);
	hook_once(HOOK_WRLOCK, look_at_the_debt, &y);
	begin(vm, 0, n, &inv);
	hook_clear(HOOK_WRLOCK);
	mmu_invalidate_end(&inv);
	assert_int_equal(y.n_locks, 2);
	assert_true(y.still_mapped < n);
	assert_true(y.owed > owed);
	assert_int_equal(atomic64_load_relaxed(&vm->mmu.paid),
			 atomic64_load_relaxed(&vm->mmu.owed));
	vm_free(vm);
}

static void what_no_slot_has_costs_no_mmu_lock(void **state)
{
	struct test_vm *vm = *state;
	uint64_t n_reads = hook_count(HOOK_RDLOCK), n_writes = hook_count(HOOK_WRLOCK);
	uint64_t seq = seq_now(vm);
	struct invalidation inv;

	watch_mutex(&vm->mmu.flush_lock);
	mmu_invalidate_begin(&vm->mmu, vm_hva(vm, N_PAGES), vm_hva(vm, N_PAGES + 5), &inv);
	mmu_invalidate_end(&inv);
	mmu_invalidate_begin(&vm->mmu, hva_add(vm_hva(vm, 0), -4096ull), vm_hva(vm, 0), &inv);
	mmu_invalidate_end(&inv);
	assert_int_equal(hook_count(HOOK_RDLOCK), n_reads);
	assert_int_equal(hook_count(HOOK_WRLOCK), n_writes);
	assert_int_equal(watched_locks(), 0);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_notifier_invalidations), 2);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_notifier_overlaps), 0);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_requests), 0);
	assert_true(seq_now(vm) == seq);
	watch_mutex(NULL);
	/* It was closed all the same. */
	assert_int_equal(atomic32_load_relaxed(&vm->mmu.changes->n_open), 0);
}

/* To zap.  Its end concerns only the record. */
static void an_invalidation_takes_the_mmu_lock_once(void **state)
{
	struct test_vm *vm = *state;
	uint64_t n = hook_count(HOOK_WRLOCK);
	struct invalidation inv;

	begin(vm, 3, 1, &inv);
	assert_int_equal(hook_count(HOOK_WRLOCK), n + 1);
	mmu_invalidate_end(&inv);
	assert_int_equal(hook_count(HOOK_WRLOCK), n + 1);
}

/* FLUSH_BEFORE_FREE */
static void a_vcpu_has_forgotten_the_page_when_begin_returns(void **state)
{
	struct test_vm *vm = *state;
	struct mmu_vcpu *v = &vm->vcpu[0];
	struct mmu_result result;
	struct invalidation inv;

	guest_enter(v);
	assert_int_equal(mmu_translate(v, gva_of(BYTES(3)), ACCESS_WRITE, &result), MMU_OK);
	assert_non_null(tlb_write(v, gva_of(BYTES(3)), 8));
	guest_leave(v);
	begin(vm, 3, 1, &inv);
	guest_enter(v);
	assert_null(tlb_read(v, gva_of(BYTES(3)), 8));
	assert_null(tlb_write(v, gva_of(BYTES(3)), 8));
	guest_leave(v);
	mmu_invalidate_end(&inv);
}

struct other {
	struct test_vm *vm;
	struct invalidation inv;
	sem_t moment;		/* it waits, or has come through */
	bool waits, through;
};

static void note_that_it_waits(void *ctx)
{
	struct other *o = ctx;

	o->waits = true;
	sem_post(&o->moment);
}

static void *begin_in_a_thread(void *arg)
{
	struct other *o = arg;

	begin(o->vm, 3, 1, &o->inv);
	o->through = true;
	sem_post(&o->moment);
	mmu_invalidate_end(&o->inv);
	return NULL;
}

static void begin_waits_for_a_vcpu_that_may_be_using_the_page(void **state)
{
	struct test_vm *vm = *state;
	struct other o = { .vm = vm };
	struct mmu_vcpu *v = &vm->vcpu[0];
	struct mmu_result result;
	pthread_t t;

	sem_init(&o.moment, 0, 0);
	guest_enter(v);
	assert_int_equal(mmu_translate(v, gva_of(BYTES(3)), ACCESS_READ, &result), MMU_OK);
	hook_once(HOOK_WAIT, note_that_it_waits, &o);
	thread_start(&t, begin_in_a_thread, &o);
	sem_wait(&o.moment);
	assert_true(o.waits);
	guest_leave(v);
	thread_end(t);
	assert_true(o.through);
	sem_destroy(&o.moment);
}

/* NO_SPTE_IMPLIES_NO_TLB: another thread has dropped it and not flushed yet. */
static void a_debt_of_somebody_else_is_paid_before_begin_returns(void **state)
{
	struct test_vm *vm = *state;
	struct mmu_vcpu *v = &vm->vcpu[0];
	struct range r = { gfn_of(3), gfn_of(4), ~0ull };
	struct mmu_result result;
	struct invalidation inv;

	guest_enter(v);
	assert_int_equal(mmu_translate(v, gva_of(BYTES(3)), ACCESS_READ, &result), MMU_OK);
	guest_leave(v);
	rwlock_wrlock(&vm->mmu.lock);
	assert_int_equal(tdp_zap_leafs(&vm->mmu, &r), 1);
	flush_owe(&vm->mmu);
	rwlock_wrunlock(&vm->mmu.lock);

	begin(vm, 3, 1, &inv);
	assert_true(atomic64_load_relaxed(&vm->mmu.owed) == atomic64_load_relaxed(&vm->mmu.paid));
	guest_enter(v);
	assert_null(tlb_read(v, gva_of(BYTES(3)), 1));
	guest_leave(v);
	mmu_invalidate_end(&inv);
}

struct deletion {
	struct test_vm *vm;
	bool found;
};

static void invalidate_while_it_is_deleted(void *ctx)
{
	struct deletion *d = ctx;
	struct invalidation inv;

	begin(d->vm, 3, 1, &inv);
	d->found = !is_mapped(d->vm, 3);
	mmu_invalidate_end(&inv);
}

/* ZAP_BEFORE_UNREACHABLE: the lock that is taken is that of the slot's zapper. */
static void a_slot_about_to_go_is_still_found_by_the_notifier(void **state)
{
	struct test_vm *vm = *state;
	struct deletion d = { .vm = vm };

	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_FIXED);
	hook_once(HOOK_RDLOCK, invalidate_while_it_is_deleted, &d);
	assert_int_equal(set_slot(&vm->slots, 0, 0, 0, 0, 0), 0);
	assert_true(d.found);
}

/* --- the window --------------------------------------------------------------- */

static void faults_retry_while_an_invalidation_of_their_page_is_open(void **state)
{
	struct test_vm *vm = *state;
	struct invalidation inv;

	begin(vm, 3, 2, &inv);
	assert_int_equal(fault(vm, 3, ACCESS_READ), FAULT_RETRY);
	assert_int_equal(fault(vm, 4, ACCESS_WRITE), FAULT_RETRY);
	assert_false(is_mapped(vm, 3) || is_mapped(vm, 4));
	/* Others go on. */
	assert_int_equal(fault(vm, 2, ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(fault(vm, 5, ACCESS_WRITE), FAULT_FIXED);
	mmu_invalidate_end(&inv);
	assert_int_equal(fault(vm, 3, ACCESS_READ), FAULT_FIXED);
	assert_int_equal(fault(vm, 4, ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(vcpu_stat(&vm->vcpu[0], VCPU_STAT_pf_retry), 2);
}

/* WINDOW_UNION: each for itself, and all of them. */
static void a_fault_meets_every_open_invalidation_and_nothing_between(void **state)
{
	struct test_vm *vm = *state;
	struct invalidation a, b, c;
	uint64_t seq;

	begin(vm, 10, 2, &a);
	seq = seq_now(vm);
	assert_true(retries(vm, seq, 10) && retries(vm, seq, 11));
	assert_false(retries(vm, seq, 9) || retries(vm, seq, 12));
	begin(vm, 20, 1, &b);
	begin(vm, 5, 1, &c);
	for (uint64_t page = 0; page < 30; page++)
		assert_int_equal(retries(vm, seq, page), page == 5 || page == 10 || page == 11 ||
								 page == 20);
	mmu_invalidate_end(&c);
	seq = seq_now(vm);
	for (uint64_t page = 0; page < 30; page++)
		assert_int_equal(retries(vm, seq, page), page == 10 || page == 11 || page == 20);
	mmu_invalidate_end(&a);
	mmu_invalidate_end(&b);
	seq = seq_now(vm);
	for (uint64_t page = 0; page < 30; page++)
		assert_false(retries(vm, seq, page));
}

/* OPEN_WITHOUT_SLOT.  The thread that has it open may itself change slots. */
static void slots_come_and_go_while_an_invalidation_is_open(void **state)
{
	struct test_vm *vm = *state;
	struct invalidation inv;
	uint64_t seq;

	assert_int_equal(set_slot(&vm->slots, 0, 0, 0, 0, 0), 0);
	assert_int_equal(set_slot(&vm->slots, 1, 0, 0, 0, 0), 0);
	begin(vm, 3, 1, &inv);
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	seq = seq_now(vm);
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_RETRY);
	assert_int_equal(fault(vm, 4, ACCESS_WRITE), FAULT_FIXED);
	mmu_invalidate_end(&inv);
	/* Results from before the end are stale, though begin met no slot. */
	assert_true(retries(vm, seq, 3));
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_FIXED);

	begin(vm, 3, 1, &inv);
	assert_int_equal(set_slot(&vm->slots, 0, 0, 0, 0, 0), 0);
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_MMIO);
	mmu_invalidate_end(&inv);
	assert_int_equal(atomic32_load_relaxed(&vm->mmu.changes->n_open), 0);
}

/* NOTIFIER_NEVER_TAKES_SLOTS_LOCK */
static void an_invalidation_takes_no_slots_lock(void **state)
{
	struct test_vm *vm = *state;
	struct invalidation inv;

	watch_mutex(&vm->slots.lock);
	begin(vm, 3, 1, &inv);
	mmu_invalidate_end(&inv);
	assert_int_equal(watched_locks(), 0);
	watch_mutex(NULL);
}

struct faulter {
	struct test_vm *vm;
	pthread_t thread;
	sem_t sleeps;
	enum fault_verdict verdict;
};

static void note_sleep(void *ctx)
{
	sem_post(&((struct faulter *)ctx)->sleeps);
}

static void *fault_until_fixed(void *arg)
{
	struct faulter *f = arg;

	do
		f->verdict = fault(f->vm, 3, ACCESS_WRITE);
	while (f->verdict == FAULT_RETRY);
	return NULL;
}

static void a_fault_sleeps_until_the_invalidation_of_its_page_ends(void **state)
{
	struct test_vm *vm = *state;
	struct faulter f = { .vm = vm };
	struct invalidation inv;

	sem_init(&f.sleeps, 0, 0);
	begin(vm, 3, 1, &inv);
	hook_once(HOOK_WAIT, note_sleep, &f);
	thread_start(&f.thread, fault_until_fixed, &f);
	sem_wait(&f.sleeps);
	assert_false(is_mapped(vm, 3));
	mmu_invalidate_end(&inv);
	thread_end(f.thread);
	assert_int_equal(f.verdict, FAULT_FIXED);
	sem_destroy(&f.sleeps);
}

static void the_end_of_an_invalidation_moves_the_sequence(void **state)
{
	struct test_vm *vm = *state;
	struct invalidation a, b;
	uint64_t seq = seq_now(vm);

	begin(vm, 10, 2, &a);
	begin(vm, 20, 2, &b);
	assert_true(seq_now(vm) == seq);
	mmu_invalidate_end(&a);
	assert_true(seq_now(vm) == seq + 1);
	/* Far away from both, but looked up before. */
	assert_true(retries(vm, seq, 50));
	assert_false(retries(vm, seq + 1, 50));
	mmu_invalidate_end(&b);
	assert_true(seq_now(vm) == seq + 2);
}

/* It is wider than the access that asked for it. */
static void a_large_page_of_which_a_part_changes_is_used_by_its_small_ones(void **state UNUSED)
{
	struct test_vm *vm = vm_make_sim(1, 1024);
	struct invalidation inv;

	vm->sim.level = LEVEL_2M;
	vm_slot(vm, 0, 0, 0, 1024, 0);
	begin(vm, 511, 1, &inv);
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_4k), 1);
	assert_int_equal(fault(vm, 511, ACCESS_WRITE), FAULT_RETRY);
	assert_int_equal(fault(vm, 512, ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 1);
	mmu_invalidate_end(&inv);
	begin(vm, 1023, 1, &inv);
	mmu_invalidate_end(&inv);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 0);
	vm_free(vm);
}

struct part {
	struct test_vm *vm;
	struct invalidation inv;
};

static void open_a_part(void *ctx)
{
	struct part *p = ctx;

	begin(p->vm, 511, 1, &p->inv);
}

static void a_large_page_of_which_a_part_began_to_change_is_not_installed(void **state UNUSED)
{
	struct part p = { .vm = vm_make_sim(1, 1024) };

	p.vm->sim.level = LEVEL_2M;
	vm_slot(p.vm, 0, 0, 0, 1024, 0);
	hook_once(HOOK_RDLOCK, open_a_part, &p);
	assert_int_equal(fault(p.vm, 3, ACCESS_WRITE), FAULT_RETRY);
	assert_int_equal(vm_stat(p.vm, VM_STAT_pages_2m), 0);
	mmu_invalidate_end(&p.inv);
	assert_int_equal(fault(p.vm, 3, ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(vm_stat(p.vm, VM_STAT_pages_2m), 1);
	vm_free(p.vm);
}

/* --- faults that race ----------------------------------------------------------- */

struct race_at {
	struct test_vm *vm;
	uint64_t page;
	struct invalidation inv;
	bool leave_open;
	unsigned int n;
};

static void invalidate_now(void *ctx)
{
	struct race_at *r = ctx;

	r->n++;
	begin(r->vm, r->page, 1, &r->inv);
	if (!r->leave_open)
		mmu_invalidate_end(&r->inv);
}

static void invalidate_while_resolving(void *ctx, hva_t hva UNUSED, bool write UNUSED)
{
	struct race_at *r = ctx;

	r->vm->sim.on_resolve = NULL;
	invalidate_now(r);
}

/* SEQ_BEFORE_PFN: from before the page was asked for. */
static void a_page_resolved_before_an_invalidation_is_not_installed(void **state)
{
	struct test_vm *vm = *state;
	struct race_at r = { .vm = vm, .page = 3 };

	for (int write = 0; write < 2; write++) {
		vm->sim.on_resolve = invalidate_while_resolving;
		vm->sim.ctx = &r;
		assert_int_equal(fault(vm, 3, write), FAULT_RETRY);
		assert_false(is_mapped(vm, 3));
	}
	assert_int_equal(r.n, 2);
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_FIXED);
}

/* RETRY_UNDER_LOCK: between the page and the lock there is time for all of it. */
static void an_invalidation_just_before_the_lock_is_noticed_under_it(void **state)
{
	struct test_vm *vm = *state;
	struct race_at r = { .vm = vm, .page = 3 };

	hook_once(HOOK_RDLOCK, invalidate_now, &r);
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_RETRY);
	assert_int_equal(r.n, 1);
	assert_false(is_mapped(vm, 3));

	r.leave_open = true;
	hook_once(HOOK_RDLOCK, invalidate_now, &r);
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_RETRY);
	assert_int_equal(r.n, 2);
	assert_false(is_mapped(vm, 3));
	mmu_invalidate_end(&r.inv);
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_FIXED);
}

static void replace_the_slot(void *ctx)
{
	struct race_at *r = ctx;

	r->n++;
	assert_int_equal(set_slot(&r->vm->slots, 0, 0, 0, 0, 0), 0);
	/* The same frames, other memory. */
	if (!r->leave_open)
		vm_slot(r->vm, 0, 0, 1, N_PAGES - 1, 0);
}

/* STALE_ROOT_RETRY */
static void a_page_of_a_slot_that_was_replaced_is_not_installed(void **state)
{
	struct test_vm *vm = *state;
	struct race_at r = { .vm = vm };

	hook_once(HOOK_RDLOCK, replace_the_slot, &r);
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_RETRY);
	assert_false(is_mapped(vm, 3));
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_FIXED);

	r.leave_open = true;
	hook_once(HOOK_RDLOCK, replace_the_slot, &r);
	assert_int_equal(fault(vm, 4, ACCESS_WRITE), FAULT_RETRY);
	assert_false(is_mapped(vm, 4));
	assert_int_equal(r.n, 2);
	assert_int_equal(fault(vm, 4, ACCESS_WRITE), FAULT_MMIO);
}

/* --- a host without the page ------------------------------------------------------ */

static void a_page_that_the_host_does_not_have_is_a_host_fault(void **state)
{
	struct test_vm *vm = *state;

	vm->sim.refuse = true;
	assert_int_equal(fault(vm, 3, ACCESS_READ), FAULT_HOST);
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_HOST);
	assert_int_equal(vcpu_stat(&vm->vcpu[0], VCPU_STAT_pf_host_fault), 2);
	vm->sim.refuse = false;
	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_FIXED);
}

/* Somebody is just exchanging it: what he finds at the end counts. */
static void a_host_fault_during_an_invalidation_of_the_page_retries(void **state)
{
	struct test_vm *vm = *state;
	struct invalidation inv;

	vm->sim.refuse = true;
	begin(vm, 3, 1, &inv);
	assert_int_equal(fault(vm, 3, ACCESS_READ), FAULT_RETRY);
	/* It is about this page. */
	assert_int_equal(fault(vm, 4, ACCESS_READ), FAULT_HOST);
	mmu_invalidate_end(&inv);
	assert_int_equal(fault(vm, 3, ACCESS_READ), FAULT_HOST);
}

static void a_host_fault_that_an_invalidation_overtook_retries(void **state)
{
	struct test_vm *vm = *state;
	struct race_at r = { .vm = vm, .page = 3 };

	vm->sim.refuse = true;
	vm->sim.on_resolve = invalidate_while_resolving;
	vm->sim.ctx = &r;
	assert_int_equal(fault(vm, 3, ACCESS_READ), FAULT_RETRY);
	assert_int_equal(fault(vm, 3, ACCESS_READ), FAULT_HOST);
	assert_int_equal(vcpu_stat(&vm->vcpu[0], VCPU_STAT_pf_host_fault), 1);
}

static void replace_while_resolving(void *ctx, hva_t hva UNUSED, bool write UNUSED)
{
	struct race_at *r = ctx;

	r->vm->sim.on_resolve = NULL;
	replace_the_slot(r);
}

static void a_host_fault_of_a_slot_that_was_replaced_retries(void **state)
{
	struct test_vm *vm = *state;
	struct race_at r = { .vm = vm };

	vm->sim.refuse = true;
	vm->sim.on_resolve = replace_while_resolving;
	vm->sim.ctx = &r;
	assert_int_equal(fault(vm, 3, ACCESS_READ), FAULT_RETRY);
	assert_int_equal(fault(vm, 3, ACCESS_READ), FAULT_HOST);
}

/* An access met nothing: the page is asked for again, and only the page. */
static void a_translation_that_led_nowhere_is_dropped(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(fault(vm, 3, ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(fault(vm, 4, ACCESS_WRITE), FAULT_FIXED);
	mmu_host_fault(&vm->vcpu[0], hva_add(vm_hva(vm, 3), 123));
	assert_false(is_mapped(vm, 3));
	assert_true(is_mapped(vm, 4));
	assert_int_equal(atomic32_load_relaxed(&vm->mmu.changes->n_open), 0);
}

/* --- all threads at once -------------------------------------------------------------- */

/*
 * Each page of the guest has two frames, of which the host shows one.  Who takes
 * a page back poisons the frame once begin has returned, and shows the other.  A
 * vCPU that reads poison used a page that was free.
 */
#define N_INVALIDATORS 3u
#define POISON 0xdeadull
#define INVALIDATIONS STEPS(5000)

struct frames {
	struct test_vm *vm;
	struct atomic32 shown[N_PAGES];
	struct atomic32 next, stop;
};

static uint64_t *frame(struct frames *f, uint64_t page, uint32_t which)
{
	return (uint64_t *)(f->vm->memory + BYTES(2 * page + which));
}

static int resolve_frame(void *ctx, hva_t hva, bool write UNUSED, int max_level UNUSED,
			 struct host_page *page)
{
	struct frames *f = ctx;
	uint64_t n = (hva.raw - TEST_HVA) >> PAGE_SHIFT;

	*page = (struct host_page){
		.pfn = (uintptr_t)frame(f, n, atomic32_load_acquire(&f->shown[n])) >> PAGE_SHIFT,
		.writable = true,
		.level = LEVEL_4K,
	};
	return 0;
}

static int frame_level(void *ctx UNUSED, hva_t hva UNUSED, int max_level UNUSED)
{
	return LEVEL_4K;
}

static const struct host_memory_ops frame_ops = {
	.resolve = resolve_frame,
	.level = frame_level,
};

static void exchange_page(struct frames *f, uint64_t page)
{
	uint32_t old = atomic32_load_relaxed(&f->shown[page]);

	__atomic_store_n(frame(f, page, old), POISON, __ATOMIC_RELAXED);
	__atomic_store_n(frame(f, page, !old), page << 32, __ATOMIC_RELAXED);
	atomic32_store_release(&f->shown[page], !old);
}

/* Ranges of its own, so that they do not exchange a page twice at once; ranges
 * of different threads overlap in time. */
static void *take_pages_back(void *arg)
{
	struct frames *f = arg;
	uint64_t me = atomic32_fetch_add(&f->next, 1), share = N_PAGES / N_INVALIDATORS;
	struct run run;

	run_begin(&run, 71 + me);
	for (; run.step < INVALIDATIONS; run.step++) {
		uint64_t first = me * share + run_below(&run, share), n = 1;
		struct invalidation inv;

		while (n < 4 && first + n < (me + 1) * share && run_chance(&run, 50))
			n++;
		mmu_invalidate_begin(&f->vm->mmu, hva_of(TEST_HVA + BYTES(first)),
				     hva_of(TEST_HVA + BYTES(first + n)), &inv);
		for (uint64_t page = first; page < first + n; page++)
			exchange_page(f, page);
		mmu_invalidate_end(&inv);
		sched_yield();
	}
	return NULL;
}

static void read_page(struct mmu_vcpu *v, uint64_t page)
{
	struct mmu_result result;
	uint64_t *at = tlb_read(v, gva_of(BYTES(page)), 8);

	if (!at && mmu_translate(v, gva_of(BYTES(page)), ACCESS_READ, &result) == MMU_OK)
		at = result.host;
	if (at)
		note_unless(__atomic_load_n(at, __ATOMIC_RELAXED) == page << 32);
}

static void *use_pages(void *arg)
{
	struct frames *f = arg;
	uint32_t me = atomic32_fetch_add(&f->next, 1);
	struct mmu_vcpu *v = &f->vm->vcpu[me];
	struct run run;

	run_begin(&run, 81 + me);
	while (!atomic32_load_relaxed(&f->stop)) {
		guest_enter(v);
		for (int i = 0; i < 32 && !request_pending(v); i++)
			read_page(v, run_below(&run, N_PAGES));
		guest_leave(v);
	}
	return NULL;
}

static void no_vcpu_reads_a_page_that_was_taken_back(void **state UNUSED)
{
	struct frames f = { .vm = vm_make(2, 2 * N_PAGES) };
	pthread_t vcpu[2], invalidator[N_INVALIDATORS];

	f.vm->mmu.host = (struct host_memory){ .ops = &frame_ops, .ctx = &f };
	for (uint64_t page = 0; page < N_PAGES; page++) {
		*frame(&f, page, 0) = page << 32;
		*frame(&f, page, 1) = POISON;
	}
	assert_int_equal(set_slot(&f.vm->slots, 0, 0, N_PAGES, TEST_HVA, 0), 0);
	for (int i = 0; i < 2; i++)
		thread_start(&vcpu[i], use_pages, &f);
	while (atomic32_load_relaxed(&f.next) < 2)
		sched_yield();
	atomic32_store_relaxed(&f.next, 0);
	for (unsigned int i = 0; i < N_INVALIDATORS; i++)
		thread_start(&invalidator[i], take_pages_back, &f);
	for (unsigned int i = 0; i < N_INVALIDATORS; i++)
		thread_end(invalidator[i]);
	atomic32_store_relaxed(&f.stop, 1);
	for (int i = 0; i < 2; i++)
		thread_end(vcpu[i]);
	assert_no_thread_failed();
	assert_int_equal(atomic32_load_relaxed(&f.vm->mmu.changes->n_open), 0);
	assert_true(vcpu_stat(&f.vm->vcpu[0], VCPU_STAT_pf_fixed) > 0);
	vm_free(f.vm);
}

#define notifier_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		notifier_test(an_invalidation_drops_what_maps_its_pages_and_no_other),
		notifier_test(a_part_of_a_page_is_the_page),
		notifier_test(memory_that_two_slots_share_goes_from_both),
		notifier_test(everything_goes_with_everything),
		cmocka_unit_test(a_large_one_lets_others_in_and_has_said_what_it_owes),
		notifier_test(what_no_slot_has_costs_no_mmu_lock),
		notifier_test(an_invalidation_takes_the_mmu_lock_once),
		notifier_test(a_vcpu_has_forgotten_the_page_when_begin_returns),
		notifier_test(begin_waits_for_a_vcpu_that_may_be_using_the_page),
		notifier_test(a_debt_of_somebody_else_is_paid_before_begin_returns),
		notifier_test(a_slot_about_to_go_is_still_found_by_the_notifier),
		notifier_test(faults_retry_while_an_invalidation_of_their_page_is_open),
		notifier_test(a_fault_meets_every_open_invalidation_and_nothing_between),
		notifier_test(slots_come_and_go_while_an_invalidation_is_open),
		notifier_test(an_invalidation_takes_no_slots_lock),
		notifier_test(a_fault_sleeps_until_the_invalidation_of_its_page_ends),
		notifier_test(the_end_of_an_invalidation_moves_the_sequence),
		cmocka_unit_test(a_large_page_of_which_a_part_changes_is_used_by_its_small_ones),
		cmocka_unit_test(a_large_page_of_which_a_part_began_to_change_is_not_installed),
		notifier_test(a_page_resolved_before_an_invalidation_is_not_installed),
		notifier_test(an_invalidation_just_before_the_lock_is_noticed_under_it),
		notifier_test(a_page_of_a_slot_that_was_replaced_is_not_installed),
		notifier_test(a_page_that_the_host_does_not_have_is_a_host_fault),
		notifier_test(a_host_fault_during_an_invalidation_of_the_page_retries),
		notifier_test(a_host_fault_that_an_invalidation_overtook_retries),
		notifier_test(a_host_fault_of_a_slot_that_was_replaced_retries),
		notifier_test(a_translation_that_led_nowhere_is_dropped),
		cmocka_unit_test(no_vcpu_reads_a_page_that_was_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
