/* SPDX-License-Identifier: MIT */
/*
 * Windows and interrupts: an access can be sent back at each of its instructions, and a
 * flush waits for no thread that sleeps in one.
 */
#include "vm_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "mmu/tlb/flush.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"
#include "mmu/translate.h"
#include "sync/thread.h"
#include "../uffd.h"

#define N_PAGES 16
#define GPA (5ull << PAGE_SHIFT)
#define SEEN 0x1122334455667788ull
#define STORED 0x99aabbccddeeff00ull

static struct test_vm *vm;
static struct mmu_vcpu *v;

static int setup(void **state UNUSED)
{
	vm = vm_make(2, N_PAGES);
	v = &vm->vcpu[0];
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	return 0;
}

static int teardown(void **state UNUSED)
{
	hook_clear(HOOK_WAIT);
	assert_no_thread_failed();
	vm_free(vm);
	return 0;
}

static struct mmu_result translate(enum access access)
{
	struct mmu_result r;

	assert_int_equal(mmu_translate(v, gva_of(GPA), access, &r), MMU_OK);
	return r;
}

static void owe_and_flush(void)
{
	rwlock_rdlock(&vm->mmu.lock);
	flush_owe(&vm->mmu);
	rwlock_rdunlock(&vm->mmu.lock);
	flush_settle(&vm->mmu);
}

/* --- every instruction of a window ------------------------------------------- */

/* Set by the trap flag: at the @at-th instruction in a window the handler answers as for
 * an interrupt.  Outside of windows it only counts. */
static int at, n_in_window;

static void on_trap(int sig UNUSED, siginfo_t *info UNUSED, void *context)
{
	ucontext_t *uc = context;
	uintptr_t begin = guarded_window_of((uintptr_t)uc->uc_mcontext.gregs[REG_RIP]);

	if (!begin || n_in_window++ != at)
		return;
	v->line.answer(&v->line);
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)begin;
}

#define TRAP_FLAG "0x100"
static ALWAYS_INLINE void trap(void)
{
	__asm__ __volatile__("lea -128(%%rsp), %%rsp\n\tpushfq\n\torq $" TRAP_FLAG
			     ", (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::: "memory", "cc");
}

static ALWAYS_INLINE void untrap(void)
{
	__asm__ __volatile__("lea -128(%%rsp), %%rsp\n\tpushfq\n\tandq $~" TRAP_FLAG
			     ", (%%rsp)\n\tpopfq\n\tlea 128(%%rsp), %%rsp" ::: "memory", "cc");
}

#define STEPPED(call)              \
	({                         \
		bool ok_;          \
				   \
		trap();            \
		ok_ = (call);      \
		untrap();          \
		ok_;               \
	})

/* One kind of access each: was it made?  *value becomes what was loaded. */
static bool hit_load(struct mmu_result *r UNUSED, uint64_t *value)
{
	return STEPPED(tlb_load64(v, gva_of(GPA), value));
}

static bool hit_store(struct mmu_result *r UNUSED, uint64_t *value UNUSED)
{
	return STEPPED(tlb_store64(v, gva_of(GPA), STORED));
}

static bool found_load(struct mmu_result *r, uint64_t *value)
{
	return STEPPED(window_load64(&v->epoch, r->epoch, r->host, value));
}

static bool found_store(struct mmu_result *r, uint64_t *value UNUSED)
{
	return STEPPED(window_store64(&v->epoch, r->epoch, r->host, STORED));
}

static bool found_cmpxchg(struct mmu_result *r, uint64_t *value)
{
	*value = SEEN;
	return STEPPED(window_cmpxchg64(&v->epoch, r->epoch, r->host, value, STORED));
}

static bool found_xadd(struct mmu_result *r, uint64_t *value)
{
	uint64_t v64 = STORED - SEEN;
	bool ok = STEPPED(window_xadd64(&v->epoch, r->epoch, r->host, &v64));

	if (ok)
		*value = v64;
	return ok;
}

static bool found_xchg(struct mmu_result *r, uint64_t *value)
{
	uint64_t v64 = STORED;
	bool ok = STEPPED(window_xchg64(&v->epoch, r->epoch, r->host, &v64));

	if (ok)
		*value = v64;
	return ok;
}

struct kind {
	bool (*make)(struct mmu_result *r, uint64_t *value);
	bool loads, stores;
};

/* False: there is no such instruction; the access was made. */
static bool interrupted_at(const struct kind *k, int instruction)
{
	uint64_t value = 0, *memory = (uint64_t *)(vm->memory + GPA);
	struct mmu_result r = translate(ACCESS_WRITE);
	bool ok;

	*memory = SEEN;
	at = instruction;
	n_in_window = 0;
	ok = k->make(&r, &value);
	if (n_in_window <= instruction) {
		assert_true(ok);
		assert_int_equal(*memory, k->stores ? STORED : SEEN);
		if (k->loads)
			assert_int_equal(value, SEEN);
		return false;
	}
	/* It began again, and found that everything is stale. */
	assert_false(ok);
	assert_int_equal(*memory, SEEN);
	return true;
}

static void an_access_can_be_sent_back_at_each_of_its_instructions(void **state UNUSED)
{
	static const struct kind kinds[] = {
		{ hit_load, true, false },	{ hit_store, false, true },
		{ found_load, true, false },	{ found_store, false, true },
		{ found_cmpxchg, true, true },	{ found_xadd, true, true },
		{ found_xchg, true, true },
	};
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO }, old;

	sigaction(SIGTRAP, &action, &old);
	guest_enter(v);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int n = 0;

		while (interrupted_at(&kinds[i], n))
			n++;
		/* The comparison, the jump and the access, at least. */
		assert_true(n >= 3);
	}
	guest_leave(v);
	sigaction(SIGTRAP, &old, NULL);
}

/* What has been copied has; the rest is not touched any more. */
static void a_copy_that_is_sent_back_stops_where_it_is(void **state UNUSED)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO }, old;
	uint8_t to[16], from[16];

	memset(from, 0x5a, sizeof(from));
	sigaction(SIGTRAP, &action, &old);
	guest_enter(v);
	for (int n = 0; n < 12; n++) {
		struct mmu_result r = translate(ACCESS_WRITE);
		unsigned int copied = 0;

		memset(vm->memory + GPA, 0, 16);
		memset(to, 0, sizeof(to));
		at = n;
		n_in_window = 0;
		assert_false(STEPPED(window_copy(&v->epoch, r.epoch, r.host, from, 16)));
		while (copied < 16 && vm->memory[GPA + copied] == 0x5a)
			copied++;
		assert_true(copied < 16);
		for (unsigned int i = copied; i < 16; i++)
			assert_int_equal(vm->memory[GPA + i], 0);
	}
	guest_leave(v);
	sigaction(SIGTRAP, &old, NULL);
}

/* What was found before an interrupt does not come to be believed after it. */
static void a_fill_that_an_interrupt_came_before_makes_nothing_hit(void **state UNUSED)
{
	struct tlb_stamp stamp;
	uint64_t value;

	guest_enter(v);
	translate(ACCESS_READ);
	stamp = tlb_stamp(v);
	v->line.answer(&v->line);
	tlb_fill(v, gva_of(GPA), ACCESS_READ, stamp, (struct tlb_page){ .host = vm->memory + GPA });
	assert_null(tlb_read(v, gva_of(GPA), 8));
	assert_false(tlb_load64(v, gva_of(GPA), &value));
	guest_leave(v);
}

/* Handlers never wipe what their owner may be writing; its numbers do not come round. */
static void when_the_numbers_run_out_in_handlers_nothing_hits(void **state UNUSED)
{
	uint64_t value;

	guest_enter(v);
	translate(ACCESS_READ);
	for (uint64_t i = 0; i < 3 * TLB_FLUSH_MAX; i++) {
		v->line.answer(&v->line);
		assert_false(tlb_load64(v, gva_of(GPA), &value));
	}
	assert_int_equal(tlb_flush_number(v), TLB_FLUSH_DEAD);
	translate(ACCESS_READ);
	assert_true(tlb_load64(v, gva_of(GPA), &value));
	tlb_set_privilege(v);
	assert_true(tlb_load64(v, gva_of(GPA), &value));
	guest_leave(v);
}

/* --- threads ------------------------------------------------------------------ */

struct sleeper {
	sem_t ready, go;
	bool pinned;
	bool made;		/* its access was */
	uint64_t value;
};

/* As in KVM_RUN. */
static void *vcpu_thread(void *arg)
{
	struct sleeper *s = arg;
	thread_sigmask_t saved = thread_hold_signals();
	struct mmu_result r;

	window_bind(&v->line);
	guest_enter(v);
	note_unless(mmu_translate(v, gva_of(GPA), ACCESS_READ, &r) == MMU_OK);
	if (s->pinned)
		guest_pin(v);
	sem_post(&s->ready);
	while (sem_wait(&s->go))
		;
	if (s->pinned)
		guest_unpin(v);
	else
		s->made = tlb_load64(v, gva_of(GPA), &s->value);
	guest_leave(v);
	window_unbind(&v->line);
	thread_release_signals(saved);
	return NULL;
}

static void start(struct sleeper *s, pthread_t *t)
{
	sem_init(&s->ready, 0, 0);
	sem_init(&s->go, 0, 0);
	thread_start(t, vcpu_thread, s);
	sem_wait(&s->ready);
}

static void end(struct sleeper *s, pthread_t t)
{
	thread_end(t);
	sem_destroy(&s->ready);
	sem_destroy(&s->go);
}

/* Can this system, and this build, interrupt threads? */
static bool can_interrupt(void)
{
	bool can;

	window_bind(&v->line);
	can = window_barrier();
	window_unbind(&v->line);
	return can;
}

/* It stands in guest mode and does not run: nothing of it is waited for. */
static void a_flush_does_not_wait_for_a_thread_that_sleeps_in_guest_mode(void **state UNUSED)
{
	struct sleeper s = { 0 };
	uint64_t sleeps;
	pthread_t t;

	if (!can_interrupt())
		skip();
	start(&s, &t);
	sleeps = vm_stat(vm, VM_STAT_remote_tlb_flush_sleeps);
	for (int i = 0; i < 3; i++)
		owe_and_flush();
	assert_true(guest_mode(v));
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_interrupts), 3);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_sleeps), sleeps);
	sem_post(&s.go);
	end(&s, t);
	assert_false(s.made);
	assert_true(vcpu_stat(v, VCPU_STAT_flush_interrupts) >= 1);
}

static void unpin(void *ctx)
{
	struct sleeper *s = ctx;

	sem_post(&s->go);
}

/* WALKS_ARE_PINNED: it is let go only when the flush has come to wait for it. */
static void a_flush_waits_for_a_thread_that_is_pinned(void **state UNUSED)
{
	struct sleeper s = { .pinned = true };
	pthread_t t;

	if (!can_interrupt())
		skip();
	start(&s, &t);
	hook_once(HOOK_WAIT, unpin, &s);
	owe_and_flush();
	assert_int_equal(hook_count(HOOK_WAIT) > 0, 1);
	assert_false(guest_is_pinned(v));
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_pinned), 1);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_sleeps), 0);
	end(&s, t);
}

#define CALLS 20000

static struct atomic32 has_ended;

static void *call_and_sleep(void *arg UNUSED)
{
	const struct timespec moment = { .tv_nsec = 1000 };

	/* There are no handlers to hold: so no system call comes between. */
	for (int i = 0; i < CALLS; i++) {
		window_bind(&v->line);
		/* Of various lengths, to interrupt it on its way out. */
		for (volatile int n = i % 64; n; n--)
			;
		window_unbind(&v->line);
		note_unless(ppoll(NULL, 0, &moment, NULL) == 0);
	}
	atomic32_store_release(&has_ended, 1);
	return NULL;
}

/* What the program does next is not interrupted by what was for the call. */
static void the_signal_comes_before_the_thread_has_left(void **state UNUSED)
{
	pthread_t t;
	bool sent;

	if (!can_interrupt())
		skip();
	atomic32_store_relaxed(&has_ended, 0);
	thread_start(&t, call_and_sleep, NULL);
	while (!atomic32_load_acquire(&has_ended))
		sent = window_interrupt(&v->line);
	(void)sent;
	thread_end(t);
}

/* Whose number it was told by must be asked for anew. */
static void assert_child_knows_itself(pid_t child)
{
	int status;

	if (!child) {
		/* fork(3) has called it; whoever clones calls it before it makes a VM. */
		if (!can_interrupt())
			_exit(2);
		window_bind(&v->line);
		_exit(v->line.thread == (int)syscall(SYS_gettid) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_forked_thread_is_interrupted_by_its_own_number(void **state UNUSED)
{
	pid_t child;

	if (!can_interrupt())
		skip();
	assert_child_knows_itself(fork());
	child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (!child)
		thread_after_raw_fork();
	assert_child_knows_itself(child);
}

/* --- asleep in a page fault ---------------------------------------------------- */

/* The page is taken away without a word: behind the TLB entry there is nothing. */
static void take_page(int uffd)
{
	assert_int_equal(uffd_register(uffd, vm->memory + GPA, PAGE_SIZE,
				       UFFDIO_REGISTER_MODE_MISSING), 0);
	assert_int_equal(madvise(vm->memory + GPA, PAGE_SIZE, MADV_DONTNEED), 0);
}

static void a_flush_does_not_wait_for_an_access_that_sleeps_in_a_page_fault(void **state UNUSED)
{
	struct sleeper s = { 0 };
	pthread_t t;
	int uffd = uffd_open(UFFD_USER_MODE_ONLY, 0);

	if (uffd < 0 || !can_interrupt()) {
		close(uffd);
		skip();
	}
	start(&s, &t);
	take_page(uffd);
	sem_post(&s.go);
	/* Until it is in the fault. */
	uffd_wait(uffd);
	owe_and_flush();
	/* Whether it is awake or not: it does not make that access any more. */
	uffd_give_zeros(uffd, vm->memory + GPA, PAGE_SIZE);
	*(volatile uint64_t *)(vm->memory + GPA) = SEEN;
	end(&s, t);
	assert_false(s.made);
	assert_int_equal(s.value, 0);
	close(uffd);
}

/* Where the system refuses, all is as without: it is waited for, and counted.  The last
 * test: it is for ever. */
static void where_it_is_forbidden_a_flush_waits(void **state UNUSED)
{
	struct sleeper s = { 0 };
	pthread_t t;

	window_forbid();
	start(&s, &t);
	hook_once(HOOK_WAIT, unpin, &s);
	owe_and_flush();
	assert_false(guest_mode(v));
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_interrupts), 0);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush_sleeps), 1);
	end(&s, t);
	assert_true(s.made);
}

#define window_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		window_test(an_access_can_be_sent_back_at_each_of_its_instructions),
		window_test(a_copy_that_is_sent_back_stops_where_it_is),
		window_test(a_fill_that_an_interrupt_came_before_makes_nothing_hit),
		window_test(when_the_numbers_run_out_in_handlers_nothing_hits),
		window_test(a_flush_does_not_wait_for_a_thread_that_sleeps_in_guest_mode),
		window_test(the_signal_comes_before_the_thread_has_left),
		window_test(a_forked_thread_is_interrupted_by_its_own_number),
		window_test(a_flush_waits_for_a_thread_that_is_pinned),
		window_test(a_flush_does_not_wait_for_an_access_that_sleeps_in_a_page_fault),
		window_test(where_it_is_forbidden_a_flush_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
