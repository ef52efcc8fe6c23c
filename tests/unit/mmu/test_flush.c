/* SPDX-License-Identifier: MIT */
/* tests/unit/mmu/test_flush.c - the flush debt, guest mode and requests. */
#include "vm_fixture.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "mmu/tlb/flush.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"

#define N_VCPUS 3u

static int setup(void **state)
{
	*state = vm_make(N_VCPUS, 1);
	return 0;
}

static int teardown(void **state)
{
	hook_clear(HOOK_WAIT);
	vm_free(*state);
	return 0;
}

static void owe(struct test_vm *vm)
{
	rwlock_rdlock(&vm->mmu.lock);
	flush_owe(&vm->mmu);
	rwlock_rdunlock(&vm->mmu.lock);
}

static uint64_t debt(struct test_vm *vm)
{
	return atomic64_load_relaxed(&vm->mmu.owed) - atomic64_load_relaxed(&vm->mmu.paid);
}

static uint64_t rounds(struct test_vm *vm)
{
	return vm_stat(vm, VM_STAT_remote_tlb_flush);
}

static bool is_asked(const struct mmu_vcpu *v)
{
	return atomic32_load_relaxed(&v->requests) & REQUEST_TLB_FLUSH;
}

/* --- the debt -------------------------------------------------------------- */

static void without_debt_nobody_is_asked(void **state)
{
	struct test_vm *vm = *state;

	watch_mutex(&vm->mmu.flush_lock);
	flush_settle(&vm->mmu);
	assert_int_equal(watched_locks(), 0);
	watch_mutex(NULL);
	assert_int_equal(rounds(vm), 0);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_requests), 1);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_elided), 1);
	for (unsigned int i = 0; i < N_VCPUS; i++)
		assert_false(is_asked(&vm->vcpu[i]));
}

static void a_debt_is_paid_once_by_asking_every_vcpu(void **state)
{
	struct test_vm *vm = *state;

	owe(vm);
	owe(vm);
	assert_int_equal(debt(vm), 2);
	flush_settle(&vm->mmu);
	assert_int_equal(debt(vm), 0);
	assert_int_equal(rounds(vm), 1);
	for (unsigned int i = 0; i < N_VCPUS; i++)
		assert_true(is_asked(&vm->vcpu[i]));
	flush_settle(&vm->mmu);
	assert_int_equal(rounds(vm), 1);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_elided), 1);
}

static void a_flush_may_be_settled_under_the_mmu_lock(void **state)
{
	struct test_vm *vm = *state;

	rwlock_wrlock(&vm->mmu.lock);
	flush_owe(&vm->mmu);
	flush_settle(&vm->mmu);
	rwlock_wrunlock(&vm->mmu.lock);
	assert_int_equal(debt(vm), 0);
}

/* --- one flusher and one vCPU ---------------------------------------------- */

struct flusher {
	struct test_vm *vm;
	sem_t moment;		/* it waits, or has returned */
	bool waits, returned;
};

static void note_that_it_waits(void *ctx)
{
	struct flusher *f = ctx;

	f->waits = true;
	sem_post(&f->moment);
}

static void *settle(void *arg)
{
	struct flusher *f = arg;

	flush_settle(&f->vm->mmu);
	f->returned = true;
	sem_post(&f->moment);
	return NULL;
}

/* A flusher in a thread; comes back when that waits for the vCPU in guest mode. */
static void start_flusher(struct flusher *f, struct test_vm *vm, pthread_t *t)
{
	f->vm = vm;
	sem_init(&f->moment, 0, 0);
	hook_once(HOOK_WAIT, note_that_it_waits, f);
	owe(vm);
	thread_start(t, settle, f);
	sem_wait(&f->moment);
}

/* WAIT_MEANS_LEFT_GUEST */
static void a_flush_waits_for_a_vcpu_in_guest_mode(void **state)
{
	struct test_vm *vm = *state;
	struct mmu_vcpu *v = &vm->vcpu[1];
	struct flusher f = { 0 };
	pthread_t t;

	guest_enter(v);
	start_flusher(&f, vm, &t);
	assert_true(f.waits);
	assert_int_equal(debt(vm), 1);
	assert_true(request_pending(v));
	guest_leave(v);
	thread_end(t);
	assert_true(f.returned);
	assert_int_equal(debt(vm), 0);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_waits), 1);
	sem_destroy(&f.moment);
}

/* It waits until the vCPU was outside once, not until it stays there. */
static void a_vcpu_that_goes_back_in_is_not_waited_for_again(void **state)
{
	struct test_vm *vm = *state;
	struct mmu_vcpu *v = &vm->vcpu[0];
	uint64_t number;
	struct flusher f = { 0 };
	pthread_t t;

	guest_enter(v);
	number = tlb_flush_number(v);
	start_flusher(&f, vm, &t);
	assert_true(f.waits);
	guest_leave(v);
	guest_enter(v);
	thread_end(t);
	assert_true(f.returned);
	/* And it has emptied its TLB in between. */
	assert_int_not_equal(tlb_flush_number(v), number);
	guest_leave(v);
	sem_destroy(&f.moment);
}

/* This thread is the vCPU's and stays outside: it would wait for itself. */
static void a_flush_does_not_wait_for_a_vcpu_outside(void **state)
{
	struct test_vm *vm = *state;

	for (unsigned int i = 0; i < N_VCPUS; i++) {
		guest_enter(&vm->vcpu[i]);
		guest_leave(&vm->vcpu[i]);
	}
	owe(vm);
	flush_settle(&vm->mmu);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_waits), 0);
}

/* DEBT_READ_BEFORE_REQUEST */
static void what_comes_to_be_owed_during_a_round_is_not_paid_by_it(void **state)
{
	struct test_vm *vm = *state;
	struct flusher f = { 0 };
	pthread_t t;

	guest_enter(&vm->vcpu[0]);
	start_flusher(&f, vm, &t);
	assert_true(f.waits);
	owe(vm);
	guest_leave(&vm->vcpu[0]);
	thread_end(t);
	assert_int_equal(debt(vm), 1);
	assert_int_equal(rounds(vm), 1);
	flush_settle(&vm->mmu);
	assert_int_equal(debt(vm), 0);
	assert_int_equal(rounds(vm), 2);
	sem_destroy(&f.moment);
}

static void flushers_who_wait_share_the_next_round(void **state)
{
	struct test_vm *vm = *state;
	struct flusher first = { 0 }, others[4];
	pthread_t t[4];

	watch_mutex(&vm->mmu.flush_lock);
	guest_enter(&vm->vcpu[0]);
	start_flusher(&first, vm, &t[0]);
	owe(vm);
	for (int i = 1; i < 4; i++) {
		others[i] = (struct flusher){ .vm = vm };
		sem_init(&others[i].moment, 0, 0);
		thread_start(&t[i], settle, &others[i]);
	}
	while (watched_locks() < 4)
		sched_yield();
	assert_int_equal(rounds(vm), 0);
	guest_leave(&vm->vcpu[0]);
	for (int i = 0; i < 4; i++)
		thread_end(t[i]);
	assert_int_equal(debt(vm), 0);
	assert_int_equal(rounds(vm), 2);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_elided), 2);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_requests), 4);
	watch_mutex(NULL);
	sem_destroy(&first.moment);
}

/* --- entering and leaving ---------------------------------------------------- */

/* DEKKER_ENTRY, CLEAR_BEFORE_SERVICE */
static void a_vcpu_meets_its_request_when_it_enters(void **state)
{
	struct test_vm *vm = *state;
	struct mmu_vcpu *v = &vm->vcpu[0];
	uint64_t number = tlb_flush_number(v);

	owe(vm);
	flush_settle(&vm->mmu);
	assert_int_equal(tlb_flush_number(v), number);
	guest_enter(v);
	assert_true(guest_mode(v));
	assert_int_equal(tlb_flush_number(v), number + 1);
	assert_false(request_pending(v));
	assert_int_equal(vcpu_stat(v, VCPU_STAT_requests), 1);
	assert_int_equal(vcpu_stat(v, VCPU_STAT_tlb_flushes), 1);
	guest_leave(v);
	assert_false(guest_mode(v));
	/* Once. */
	guest_enter(v);
	assert_int_equal(tlb_flush_number(v), number + 1);
	guest_leave(v);
}

/* Earlier translations are stale afterwards, as this shows. */
static void every_entry_is_told_from_the_one_before(void **state)
{
	struct test_vm *vm = *state;
	struct mmu_vcpu *v = &vm->vcpu[0];
	uint32_t entries = v->guest_entries;

	for (int i = 0; i < 3; i++) {
		guest_enter(v);
		assert_int_not_equal(v->guest_entries, entries);
		entries = v->guest_entries;
		guest_leave(v);
	}
	request_post(v, REQUEST_TLB_FLUSH);
	guest_enter(v);
	assert_int_not_equal(v->guest_entries, entries);
	guest_leave(v);
}

/* It is for whoever runs the vCPU. */
static void a_kick_does_not_keep_a_vcpu_out_and_is_not_taken(void **state)
{
	struct test_vm *vm = *state;
	struct mmu_vcpu *v = &vm->vcpu[0];

	request_post(v, REQUEST_KICK);
	guest_enter(v);
	assert_true(guest_mode(v) && request_pending(v));
	guest_leave(v);
	assert_false(request_take(v, REQUEST_TLB_FLUSH));
	assert_true(request_take(v, REQUEST_KICK));
	assert_false(request_take(v, REQUEST_KICK));
	assert_false(request_pending(v));
}

static void a_taken_request_leaves_the_others(void **state)
{
	struct test_vm *vm = *state;
	struct mmu_vcpu *v = &vm->vcpu[0];

	request_post(v, REQUEST_KICK | REQUEST_TLB_FLUSH);
	guest_enter(v);
	assert_int_equal(atomic32_load_relaxed(&v->requests), REQUEST_KICK);
	guest_leave(v);
}

/* A vCPU made after the others is asked like them. */
static void a_new_vcpu_is_asked_too(void **state)
{
	struct test_vm *vm = *state;
	struct mmu_vcpu *v = aligned_alloc(CACHE_LINE, sizeof(*v));

	memset(v, 0, sizeof(*v));
	assert_int_equal(mmu_vcpu_init(v, &vm->mmu), 0);
	assert_int_equal(v->index, N_VCPUS);
	owe(vm);
	flush_settle(&vm->mmu);
	assert_true(is_asked(v));
	mmu_vcpu_destroy(v);
	free(v);
}

static void there_are_not_more_vcpus_than_fit(void **state)
{
	struct test_vm *vm = *state;
	struct mmu_vcpu *v = aligned_alloc(CACHE_LINE, sizeof(*v));

	memset(v, 0, sizeof(*v));
	for (uint32_t i = N_VCPUS; i < MMU_MAX_VCPUS; i++)
		atomic_ptr_store_relaxed(&vm->mmu.vcpus[i], v);
	assert_int_equal(mmu_vcpu_init(v, &vm->mmu), -EINVAL);
	for (uint32_t i = N_VCPUS; i < MMU_MAX_VCPUS; i++)
		atomic_ptr_store_relaxed(&vm->mmu.vcpus[i], NULL);
	atomic64_store_relaxed(&vm->alloc.fail_in, 1);
	assert_int_equal(mmu_vcpu_init(v, &vm->mmu), -ENOMEM);
	assert_int_equal(atomic32_load_relaxed(&vm->mmu.n_vcpus), N_VCPUS);
	free(v);
}

/* --- all threads at once ------------------------------------------------------- */

/*
 * What TLBs hold is played by a number: a vCPU takes the current version when it
 * empties its TLB, and shows which one it uses while in guest mode.  A flusher
 * makes a new version (revokes all older ones), settles, and must then find no
 * vCPU that uses an older one.
 */
struct race {
	struct test_vm *vm;
	unsigned int rounds;
	struct atomic64 version;
	struct atomic64 in_use[N_VCPUS];	/* 0: outside */
	struct atomic32 next_vcpu, stop;
};

static void *run_vcpu(void *arg)
{
	struct race *race = arg;
	uint32_t me = atomic32_fetch_add(&race->next_vcpu, 1);
	struct mmu_vcpu *v = &race->vm->vcpu[me];
	uint64_t version = atomic64_load_acquire(&race->version), number = 0;

	while (!atomic32_load_relaxed(&race->stop)) {
		guest_enter(v);
		if (tlb_flush_number(v) != number) {
			number = tlb_flush_number(v);
			version = atomic64_load_acquire(&race->version);
		}
		atomic64_store_release(&race->in_use[me], version);
		for (uint32_t i = v->guest_entries % 8 * 4; i && !request_pending(v); i--)
			cpu_relax();
		atomic64_store_release(&race->in_use[me], 0);
		guest_leave(v);
		if (v->guest_entries % 64 == 0)
			sched_yield();
	}
	return NULL;
}

/* Until the first vCPU has entered or left, and then a little longer. */
static void wait_for_the_vcpu(struct race *race, unsigned int longer)
{
	struct atomic32 *seq = &race->vm->vcpu[0].guest_seq;
	uint32_t before = atomic32_load_relaxed(seq);

	for (unsigned int i = 1; atomic32_load_relaxed(seq) == before; i++)
		if (i % 1000 == 0)
			sched_yield();
	while (longer--)
		__asm__ __volatile__("nop");
}

static void *revoke_and_flush(void *arg)
{
	struct race *race = arg;
	struct mmu *m = &race->vm->mmu;

	for (unsigned int i = 0; i < race->rounds; i++) {
		uint64_t mine;

		wait_for_the_vcpu(race, i % 256);
		rwlock_rdlock(&m->lock);
		mine = atomic64_fetch_add(&race->version, 1) + 1;
		flush_owe(m);
		rwlock_rdunlock(&m->lock);
		flush_settle(m);
		for (unsigned int n = 0; n < N_VCPUS; n++) {
			uint64_t used = atomic64_load_acquire(&race->in_use[n]);

			note_unless(!used || used >= mine);
		}
	}
	return NULL;
}

#define N_FLUSHERS 3u

static void run_race(struct test_vm *vm, unsigned int n_vcpus, unsigned int n_flushers,
		     unsigned int n_rounds)
{
	struct race race = { .vm = vm, .rounds = n_rounds };
	pthread_t vcpu[N_VCPUS], flusher[N_FLUSHERS];

	atomic64_store_relaxed(&race.version, 1);
	for (unsigned int i = 0; i < n_vcpus; i++)
		thread_start(&vcpu[i], run_vcpu, &race);
	for (unsigned int i = 0; i < n_flushers; i++)
		thread_start(&flusher[i], revoke_and_flush, &race);
	for (unsigned int i = 0; i < n_flushers; i++)
		thread_end(flusher[i]);
	atomic32_store_relaxed(&race.stop, 1);
	for (unsigned int i = 0; i < n_vcpus; i++)
		thread_end(vcpu[i]);
	assert_no_thread_failed();
	assert_int_equal(debt(vm), 0);
	assert_int_equal(rounds(vm) + vm_stat(vm, VM_STAT_remote_tlb_flush_elided),
			 n_flushers * n_rounds);
}

static void after_a_flush_no_vcpu_uses_what_was_revoked_before(void **state)
{
	run_race(*state, N_VCPUS, N_FLUSHERS, STEPS(800));
}

/* DEKKER_ENTRY: two that really run side by side meet more often. */
static void one_flusher_and_one_vcpu_do_not_miss_each_other(void **state)
{
	run_race(*state, 1, 1, STEPS(6000));
}

#define flush_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		flush_test(without_debt_nobody_is_asked),
		flush_test(a_debt_is_paid_once_by_asking_every_vcpu),
		flush_test(a_flush_may_be_settled_under_the_mmu_lock),
		flush_test(a_flush_waits_for_a_vcpu_in_guest_mode),
		flush_test(a_vcpu_that_goes_back_in_is_not_waited_for_again),
		flush_test(a_flush_does_not_wait_for_a_vcpu_outside),
		flush_test(what_comes_to_be_owed_during_a_round_is_not_paid_by_it),
		flush_test(flushers_who_wait_share_the_next_round),
		flush_test(a_vcpu_meets_its_request_when_it_enters),
		flush_test(every_entry_is_told_from_the_one_before),
		flush_test(a_kick_does_not_keep_a_vcpu_out_and_is_not_taken),
		flush_test(a_taken_request_leaves_the_others),
		flush_test(a_new_vcpu_is_asked_too),
		flush_test(there_are_not_more_vcpus_than_fit),
		flush_test(after_a_flush_no_vcpu_uses_what_was_revoked_before),
		flush_test(one_flusher_and_one_vcpu_do_not_miss_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
