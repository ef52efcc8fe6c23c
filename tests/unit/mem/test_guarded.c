/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/mem/test_guarded.c - accesses to memory that is not there, and whose
 * signal it is.
 */
#include "vm_fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/guarded.h"
#include "base/system_call.h"

static int install(void **state UNUSED)
{
	return guarded_install();
}

static uint8_t *map(uint64_t pages, int protection)
{
	uint8_t *p = mmap(NULL, pages << PAGE_SHIFT, protection, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void unmap(void *p, uint64_t pages)
{
	munmap(p, pages << PAGE_SHIFT);
}

/* --- whose signal it is -------------------------------------------------- */

/*
 * Each in a child of its own, where nothing has been installed yet: so these
 * tests come first.  A child says by its exit status that all was right.
 */
static int status_of(int (*child)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct rlimit no_core = { 0 };

		setrlimit(RLIMIT_CORE, &no_core);
		_exit(child());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void assert_child_is_content(int (*child)(void))
{
	int status = status_of(child);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void assert_child_dies_of(int sig, int (*child)(void))
{
	int status = status_of(child);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), sig);
}

/* The exit status says in which line. */
#define child_assert(cond)                         \
	do {                                       \
		if (!(cond))                       \
			_exit(1 + __LINE__ % 200); \
	} while (0)

static volatile uint8_t *volatile page;
static volatile int n_calls;
static sigset_t mask_in_handler;

static void set_action(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGUSR1);
	if (!guarded_sigaction(sig, &action, NULL))
		child_assert(!sigaction(sig, &action, NULL));
}

static void set_default(int sig)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	if (!guarded_sigaction(sig, &action, NULL))
		child_assert(!sigaction(sig, &action, NULL));
}

/* Repairs what was wrong: the instruction runs again. */
static void repair(int sig, siginfo_t *info, void *context)
{
	child_assert(sig == SIGSEGV && info->si_addr == page + 5 && context);
	n_calls++;
	pthread_sigmask(SIG_BLOCK, NULL, &mask_in_handler);
	mprotect((void *)page, PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static void touch_what_is_not_there(void)
{
	page = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	page[5] = 9;
}

static int a_handler_from_before(void)
{
	child_assert(!guarded_sigaction(SIGSEGV, NULL, NULL));
	set_action(SIGSEGV, repair, SA_SIGINFO);
	child_assert(!guarded_install());
	touch_what_is_not_there();
	child_assert(n_calls == 1 && page[5] == 9);
	return 0;
}

static void a_foreign_fault_reaches_the_handler_from_before(void **state UNUSED)
{
	assert_child_is_content(a_handler_from_before);
}

static int a_handler_from_after(void)
{
	struct sigaction old;

	set_default(SIGSEGV);
	child_assert(!guarded_install());
	child_assert(guarded_sigaction(SIGSEGV, NULL, &old) && old.sa_handler == SIG_DFL);
	set_action(SIGSEGV, repair, SA_SIGINFO);
	child_assert(guarded_sigaction(SIGSEGV, NULL, &old) && old.sa_sigaction == repair);
	child_assert(old.sa_flags == SA_SIGINFO && sigismember(&old.sa_mask, SIGUSR1));
	touch_what_is_not_there();
	child_assert(n_calls == 1 && page[5] == 9);
	return 0;
}

static void a_foreign_fault_reaches_the_handler_from_after(void **state UNUSED)
{
	assert_child_is_content(a_handler_from_after);
}

static void plain_repair(int sig)
{
	n_calls += sig == SIGSEGV;
	mprotect((void *)page, PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static int a_handler_with_one_argument(void)
{
	struct sigaction action = { .sa_handler = plain_repair };

	child_assert(!guarded_install());
	child_assert(guarded_sigaction(SIGSEGV, &action, NULL));
	touch_what_is_not_there();
	child_assert(n_calls == 1 && page[5] == 9);
	return 0;
}

static void a_handler_may_have_one_argument(void **state UNUSED)
{
	assert_child_is_content(a_handler_with_one_argument);
}

static int a_second_install(void)
{
	set_action(SIGSEGV, repair, SA_SIGINFO);
	child_assert(!guarded_install());
	child_assert(!guarded_install());
	touch_what_is_not_there();
	child_assert(n_calls == 1);
	return 0;
}

/* Else the handler would hand its faults to itself. */
static void installing_twice_takes_over_once(void **state UNUSED)
{
	assert_child_is_content(a_second_install);
}

static int what_is_ours(void)
{
	struct sigaction action = { .sa_handler = SIG_IGN };

	child_assert(!guarded_install());
	child_assert(guarded_sigaction(SIGSEGV, NULL, NULL));
	child_assert(guarded_sigaction(SIGBUS, NULL, NULL));
	child_assert(!guarded_sigaction(SIGUSR1, &action, NULL));
	child_assert(!guarded_sigaction(SIGFPE, NULL, NULL));
	child_assert(!guarded_sigaction(0, NULL, NULL) && !guarded_sigaction(-1, NULL, NULL));
	return 0;
}

static void only_two_signals_are_ours(void **state UNUSED)
{
	assert_child_is_content(what_is_ours);
}

static int guarded_faults_with_a_handler(void)
{
	uint64_t value;

	set_action(SIGSEGV, repair, SA_SIGINFO);
	child_assert(!guarded_install());
	page = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	child_assert(!guarded_load64((void *)page, &value));
	child_assert(!guarded_store8((void *)(page + 5), 1));
	child_assert(n_calls == 0);
	return 0;
}

static void a_fault_of_ours_does_not_reach_the_program(void **state UNUSED)
{
	assert_child_is_content(guarded_faults_with_a_handler);
}

/* It has handlers run with every signal blocked. */
#ifdef BUILT_WITH_TSAN
#define RUNS_UNDER_TSAN true
#else
#define RUNS_UNDER_TSAN false
#endif

static int masks_around_a_handler(void)
{
	sigset_t before, after;

	set_action(SIGSEGV, repair, SA_SIGINFO);
	child_assert(!guarded_install());
	pthread_sigmask(SIG_BLOCK, NULL, &before);
	touch_what_is_not_there();
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	child_assert(sigismember(&mask_in_handler, SIGUSR1));
	child_assert(sigismember(&mask_in_handler, SIGSEGV));
	child_assert(RUNS_UNDER_TSAN || !sigismember(&mask_in_handler, SIGUSR2));
	for (int sig = 1; sig < 32; sig++)
		child_assert(sigismember(&before, sig) == sigismember(&after, sig));

	set_action(SIGSEGV, repair, SA_SIGINFO | SA_NODEFER);
	touch_what_is_not_there();
	child_assert(sigismember(&mask_in_handler, SIGUSR1));
	child_assert(RUNS_UNDER_TSAN || !sigismember(&mask_in_handler, SIGSEGV));
	return 0;
}

static void a_handler_runs_under_the_mask_that_it_asked_for(void **state UNUSED)
{
	assert_child_is_content(masks_around_a_handler);
}

static sigjmp_buf out;

static void jump_out(int sig UNUSED, siginfo_t *info UNUSED, void *context UNUSED)
{
	n_calls++;
	siglongjmp(out, 1);
}

static int a_handler_that_jumps(void)
{
	sigset_t mask;

	set_action(SIGSEGV, jump_out, SA_SIGINFO);
	child_assert(!guarded_install());
	for (volatile int i = 0; i < 3; i++)
		if (!sigsetjmp(out, 1))
			touch_what_is_not_there();
	child_assert(n_calls == 3);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	child_assert(!sigismember(&mask, SIGSEGV) && !sigismember(&mask, SIGUSR1));
	return 0;
}

static void a_handler_may_jump_out(void **state UNUSED)
{
	assert_child_is_content(a_handler_that_jumps);
}

static int a_fault_by_default(void)
{
	set_default(SIGSEGV);
	child_assert(!guarded_install());
	touch_what_is_not_there();
	return 0;
}

static int a_fault_ignored(void)
{
	struct sigaction action = { .sa_handler = SIG_IGN };

	child_assert(!guarded_install());
	child_assert(guarded_sigaction(SIGSEGV, &action, NULL));
	touch_what_is_not_there();
	return 0;
}

static int a_bus_error_by_default(void)
{
	set_default(SIGBUS);
	child_assert(!guarded_install());
	page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		    memfd_create("empty", 0), 0);
	page[5] = 9;
	return 0;
}

static void a_foreign_fault_without_a_handler_kills(void **state UNUSED)
{
	assert_child_dies_of(SIGSEGV, a_fault_by_default);
	assert_child_dies_of(SIGBUS, a_bus_error_by_default);
	/* As the kernel has it: to ignore a fault is to die of it. */
	assert_child_dies_of(SIGSEGV, a_fault_ignored);
}

static int a_sent_signal_by_default(void)
{
	set_default(SIGSEGV);
	child_assert(!guarded_install());
	kill(getpid(), SIGSEGV);
	return 0;
}

static void a_sent_signal_without_a_handler_kills(void **state UNUSED)
{
	assert_child_dies_of(SIGSEGV, a_sent_signal_by_default);
}

static int a_sent_signal_ignored(void)
{
	struct sigaction action = { .sa_handler = SIG_IGN };

	child_assert(!guarded_install());
	child_assert(guarded_sigaction(SIGSEGV, &action, NULL));
	kill(getpid(), SIGSEGV);
	/* The flag is for a handler, which this is not. */
	action.sa_flags = SA_SIGINFO;
	child_assert(guarded_sigaction(SIGSEGV, &action, NULL));
	kill(getpid(), SIGSEGV);
	return 0;
}

/* It is no fault: nothing would happen again. */
static void a_sent_signal_may_be_ignored(void **state UNUSED)
{
	assert_child_is_content(a_sent_signal_ignored);
}

static volatile sig_atomic_t n_handled;

static void count(int sig UNUSED, siginfo_t *info UNUSED, void *context UNUSED)
{
	n_handled++;
}

/* By a system call: no handler of fork(3) tells the child. */
static void assert_a_clone_handles_nothing(void)
{
	int status;
	long pid = system_call(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);

	if (!pid) {
		guarded_holds = 0;
		guarded_send_kept();
		system_call(SYS_exit_group, n_handled, 0, 0, 0, 0, 0);
	}
	child_assert(pid > 0 && waitpid((pid_t)pid, &status, 0) == pid);
	child_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int a_sent_signal_beside_a_fork(void)
{
	child_assert(guarded_install() == 0);
	set_action(SIGSEGV, count, 0);
	guarded_holds = 1;
	raise(SIGSEGV);
	child_assert(n_handled == 0 && guarded_has_kept());
	assert_a_clone_handles_nothing();
	guarded_holds = 0;
	guarded_send_kept();
	child_assert(n_handled == 1 && !guarded_has_kept());
	return 0;
}

static void a_sent_signal_is_the_parents_not_the_childs(void **state UNUSED)
{
	assert_child_is_content(a_sent_signal_beside_a_fork);
}

/* A second is kept in the child; what the parent's says is not in the way. */
static int a_fork_beside_a_sent_signal(void)
{
	pid_t pid;
	int status;

	child_assert(guarded_install() == 0);
	set_action(SIGSEGV, count, 0);
	guarded_holds = 1;
	raise(SIGSEGV);
	pid = fork();
	if (!pid) {
		raise(SIGSEGV);
		guarded_holds = 0;
		guarded_send_kept();
		_exit(n_handled);
	}
	child_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
	child_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	guarded_after_fork();
	guarded_holds = 0;
	guarded_send_kept();
	child_assert(n_handled == 0);
	return 0;
}

static void a_child_keeps_signals_of_its_own(void **state UNUSED)
{
	assert_child_is_content(a_fork_beside_a_sent_signal);
}

static int faults_with_a_handler_for_one(void)
{
	struct sigaction old;

	set_action(SIGSEGV, repair, SA_SIGINFO | (int)SA_RESETHAND);
	child_assert(!guarded_install());
	touch_what_is_not_there();
	child_assert(n_calls == 1);
	child_assert(guarded_sigaction(SIGSEGV, NULL, &old) && old.sa_handler == SIG_DFL);
	return 0;
}

static int two_faults_with_a_handler_for_one(void)
{
	faults_with_a_handler_for_one();
	touch_what_is_not_there();
	return 0;
}

/* SA_SIGINFO stays set with the default action, which is not to be called. */
static void a_handler_for_one_fault_is_gone_after_it(void **state UNUSED)
{
	assert_child_is_content(faults_with_a_handler_for_one);
	assert_child_dies_of(SIGSEGV, two_faults_with_a_handler_for_one);
}

/* --- accesses ------------------------------------------------------------ */

#define FOR_EACH_SIZE(X) X(8) X(16) X(32) X(64)

#define ASSERT_ALL_REFUSED(bits)                                     \
	do {                                                         \
		uint##bits##_t v = 0x5a;                             \
                                                                     \
		assert_false(guarded_load##bits(nowhere, &v));       \
		assert_false(guarded_store##bits(nowhere, v));       \
		assert_false(guarded_cmpxchg##bits(nowhere, &v, 1)); \
		assert_false(guarded_xchg##bits(nowhere, &v));       \
		assert_false(guarded_xadd##bits(nowhere, &v));       \
		assert_int_equal(v, 0x5a);                           \
	} while (0);

static void no_access_to_a_page_that_is_not_there_succeeds(void **state UNUSED)
{
	uint8_t *nowhere = map(1, PROT_NONE);

	FOR_EACH_SIZE(ASSERT_ALL_REFUSED)
	assert_false(guarded_touch_read(nowhere));
	assert_false(guarded_touch_write(nowhere));
	unmap(nowhere, 1);
	FOR_EACH_SIZE(ASSERT_ALL_REFUSED)
	assert_false(guarded_touch_read(nowhere));
	assert_false(guarded_touch_write(nowhere));
	nowhere = NULL;
	FOR_EACH_SIZE(ASSERT_ALL_REFUSED)
}

#define ASSERT_READ_ONLY(bits)                                  \
	do {                                                    \
		uint##bits##_t v = 7;                           \
                                                                \
		assert_true(guarded_load##bits(rom, &v));       \
		assert_int_equal(v, 0);                         \
		assert_false(guarded_store##bits(rom, v));      \
		assert_false(guarded_cmpxchg##bits(rom, &v, 1)); \
		assert_false(guarded_xchg##bits(rom, &v));      \
		assert_false(guarded_xadd##bits(rom, &v));      \
	} while (0);

static void a_page_that_can_only_be_read_is_read_but_not_written(void **state UNUSED)
{
	uint8_t *rom = map(1, PROT_READ);

	FOR_EACH_SIZE(ASSERT_READ_ONLY)
	assert_true(guarded_touch_read(rom));
	assert_false(guarded_touch_write(rom));
	unmap(rom, 1);
}

/* The neighbours of what is written keep their value. */
#define ASSERT_ALL_WORK(bits)                                                          \
	do {                                                                           \
		const uint##bits##_t a = (uint##bits##_t)0x8182838485868788ull;        \
		const uint##bits##_t b = (uint##bits##_t)0x9192939495969798ull;        \
		uint##bits##_t word[3] = { a, 0, a }, v = 0;                           \
                                                                                       \
		assert_true(guarded_store##bits(&word[1], b));                         \
		assert_true(word[0] == a && word[1] == b && word[2] == a);             \
		assert_true(guarded_load##bits(&word[1], &v) && v == b);               \
                                                                                       \
		v = a;                                                                 \
		assert_true(guarded_cmpxchg##bits(&word[1], &v, 5));                   \
		assert_true(v == b && word[1] == b);                                   \
		assert_true(guarded_cmpxchg##bits(&word[1], &v, a));                   \
		assert_true(v == b && word[1] == a);                                   \
                                                                                       \
		v = b;                                                                 \
		assert_true(guarded_xchg##bits(&word[1], &v));                         \
		assert_true(v == a && word[1] == b);                                   \
		v = a;                                                                 \
		assert_true(guarded_xadd##bits(&word[1], &v));                         \
		assert_true(v == b && word[1] == (uint##bits##_t)(a + b));             \
		assert_true(word[0] == a && word[2] == a);                             \
	} while (0);

static void accesses_do_what_the_instructions_do(void **state UNUSED)
{
	FOR_EACH_SIZE(ASSERT_ALL_WORK)
}

static void touching_for_writing_changes_nothing(void **state UNUSED)
{
	uint8_t bytes[3] = { 1, 0, 3 };

	assert_true(guarded_touch_write(&bytes[1]));
	assert_true(bytes[0] == 1 && bytes[1] == 0 && bytes[2] == 3);
}

static void an_access_that_leaves_its_page_for_nowhere_fails(void **state UNUSED)
{
	uint8_t *p = map(2, PROT_READ | PROT_WRITE);
	uint64_t v = 1;

	unmap(p + PAGE_SIZE, 1);
	assert_false(guarded_load64(p + PAGE_SIZE - 4, &v));
	assert_false(guarded_store64(p + PAGE_SIZE - 4, ~0ull));
	assert_true(guarded_load64(p + PAGE_SIZE - 8, &v));
	assert_int_equal(v, 0);
	unmap(p, 1);
}

static void a_fault_leaves_errno_alone(void **state UNUSED)
{
	errno = 77;
	assert_false(guarded_touch_read(NULL));
	assert_int_equal(errno, 77);
}

/* --- copies -------------------------------------------------------------- */

static void a_copy_copies_every_byte_and_no_other(void **state UNUSED)
{
	uint8_t from[100], to[102];

	for (unsigned int i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i + 1);
	for (unsigned int n = 0; n <= sizeof(from); n++) {
		memset(to, 0xee, sizeof(to));
		assert_true(guarded_copy(to + 1, from, n));
		assert_int_equal(to[0], 0xee);
		assert_memory_equal(to + 1, from, n);
		assert_int_equal(to[1 + n], 0xee);
	}
}

static void a_copy_of_nothing_touches_nothing(void **state UNUSED)
{
	assert_true(guarded_copy(NULL, NULL, 0));
}

/* Mapped, a hole, mapped: as a client's buffer may be. */
static void a_copy_that_meets_a_hole_fails_after_the_bytes_before_it(void **state UNUSED)
{
	uint8_t *p = map(3, PROT_READ | PROT_WRITE), buffer[64];

	unmap(p + PAGE_SIZE, 1);
	memset(p, 0xab, PAGE_SIZE);
	memset(buffer, 0, sizeof(buffer));
	assert_false(guarded_copy(buffer, p + PAGE_SIZE - 10, sizeof(buffer)));
	for (unsigned int i = 0; i < sizeof(buffer); i++)
		assert_int_equal(buffer[i], i < 10 ? 0xab : 0);

	memset(buffer, 0xcd, sizeof(buffer));
	assert_false(guarded_copy(p + PAGE_SIZE - 10, buffer, sizeof(buffer)));
	assert_int_equal(p[PAGE_SIZE - 11], 0xab);
	assert_int_equal(p[PAGE_SIZE - 10], 0xcd);
	assert_int_equal(p[PAGE_SIZE - 1], 0xcd);
	assert_int_equal(p[2 * PAGE_SIZE], 0);
	unmap(p, 3);
}

static void a_copy_from_or_to_nowhere_fails(void **state UNUSED)
{
	uint8_t *nowhere = map(1, PROT_NONE), buffer[8] = { 0 };

	assert_false(guarded_copy(buffer, nowhere, sizeof(buffer)));
	assert_false(guarded_copy(nowhere, buffer, sizeof(buffer)));
	unmap(nowhere, 1);
}

/* --- a file that was cut short ------------------------------------------- */

static void a_page_behind_the_end_of_its_file_is_not_there(void **state UNUSED)
{
	int fd = memfd_create("short", MFD_CLOEXEC);
	uint64_t v;
	uint8_t *p;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 2 * PAGE_SIZE), 0);
	p = mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	assert_true(guarded_store64(p + PAGE_SIZE, 5));
	assert_int_equal(ftruncate(fd, PAGE_SIZE), 0);
	assert_false(guarded_load64(p + PAGE_SIZE, &v));
	assert_false(guarded_store64(p + PAGE_SIZE, 5));
	assert_false(guarded_touch_write(p + PAGE_SIZE));
	assert_true(guarded_load64(p, &v));
	/* And is there again when the file has grown. */
	assert_int_equal(ftruncate(fd, 2 * PAGE_SIZE), 0);
	assert_true(guarded_load64(p + PAGE_SIZE, &v));
	assert_int_equal(v, 0);
	munmap(p, 2 * PAGE_SIZE);
	close(fd);
}

/* --- several threads ----------------------------------------------------- */

#define N_THREADS 3

struct race {
	uint64_t word;
	uint8_t *nowhere;
};

static void *add_and_fault(void *arg)
{
	struct race *race = arg;

	for (unsigned int i = 0; i < STEPS(3000); i++) {
		uint64_t old = 0, one = 1;

		note_unless(guarded_xadd64(&race->word, &one));
		note_unless(!guarded_load64(race->nowhere, &one));
		note_unless(guarded_load64(&race->word, &old));
		for (;;) {
			uint64_t seen = old;

			note_unless(guarded_cmpxchg64(&race->word, &seen, old + 1));
			if (seen == old)
				break;
			old = seen;
		}
	}
	return NULL;
}

static void threads_add_and_fault_side_by_side(void **state UNUSED)
{
	struct race race = { .nowhere = map(1, PROT_NONE) };
	pthread_t t[N_THREADS];

	for (int i = 0; i < N_THREADS; i++)
		thread_start(&t[i], add_and_fault, &race);
	for (int i = 0; i < N_THREADS; i++)
		thread_end(t[i]);
	assert_no_thread_failed();
	assert_int_equal(race.word, 2 * N_THREADS * STEPS(3000));
	unmap(race.nowhere, 1);
}

#define guarded_test(f) cmocka_unit_test_setup(f, install)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_foreign_fault_reaches_the_handler_from_before),
		cmocka_unit_test(a_foreign_fault_reaches_the_handler_from_after),
		cmocka_unit_test(a_handler_may_have_one_argument),
		cmocka_unit_test(installing_twice_takes_over_once),
		cmocka_unit_test(only_two_signals_are_ours),
		cmocka_unit_test(a_fault_of_ours_does_not_reach_the_program),
		cmocka_unit_test(a_handler_runs_under_the_mask_that_it_asked_for),
		cmocka_unit_test(a_handler_may_jump_out),
		cmocka_unit_test(a_foreign_fault_without_a_handler_kills),
		cmocka_unit_test(a_sent_signal_without_a_handler_kills),
		cmocka_unit_test(a_sent_signal_may_be_ignored),
		cmocka_unit_test(a_sent_signal_is_the_parents_not_the_childs),
		cmocka_unit_test(a_child_keeps_signals_of_its_own),
		cmocka_unit_test(a_handler_for_one_fault_is_gone_after_it),
		guarded_test(no_access_to_a_page_that_is_not_there_succeeds),
		guarded_test(a_page_that_can_only_be_read_is_read_but_not_written),
		guarded_test(accesses_do_what_the_instructions_do),
		guarded_test(touching_for_writing_changes_nothing),
		guarded_test(an_access_that_leaves_its_page_for_nowhere_fails),
		guarded_test(a_fault_leaves_errno_alone),
		guarded_test(a_copy_copies_every_byte_and_no_other),
		guarded_test(a_copy_of_nothing_touches_nothing),
		guarded_test(a_copy_that_meets_a_hole_fails_after_the_bytes_before_it),
		guarded_test(a_copy_from_or_to_nowhere_fails),
		guarded_test(a_page_behind_the_end_of_its_file_is_not_there),
		guarded_test(threads_add_and_fault_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
