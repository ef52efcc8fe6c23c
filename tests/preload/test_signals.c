/* SPDX-License-Identifier: MIT */
/*
 * tests/preload/test_signals.c - to a program's signals a call of ours is a system call,
 * and what it knows of its handlers, masks and stacks stays true.
 */
#include "tests/preload/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

static struct client client;
static pthread_t vcpu_thread;

/* What the last handler has seen. */
static struct {
	volatile int n;
	int sig;
	siginfo_t info;
	sigset_t mask, mask_outside;
	uintptr_t stack;
	double number;
} seen;

static void note(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	int here;

	seen.sig = sig;
	seen.info = *info;
	pthread_sigmask(SIG_BLOCK, NULL, &seen.mask);
	seen.mask_outside = uc->uc_sigmask;
	seen.stack = (uintptr_t)&here;
	/* Registers of floating point are the handler's too. */
	seen.number = seen.number * 1.5 + 1;
	errno = E2BIG;
	seen.n++;
}

static void set(int sig, void (*handler)(int, siginfo_t *, void *), int flags, int also_blocks)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	if (also_blocks)
		sigaddset(&action.sa_mask, also_blocks);
	assert_int_equal(sigaction(sig, &action, NULL), 0);
}

static uint64_t mask_now(void)
{
	uint64_t mask = 0;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof(mask));
	return mask;
}

static int set_up(void **state)
{
	(void)state;
	vcpu_thread = pthread_self();
	memset(&seen, 0, sizeof(seen));
	return client_create(&client);
}

static int tear_down(void **state)
{
	(void)state;
	client_destroy(&client);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
	signal(SIGSEGV, SIG_DFL);
	return mask_now() ? -1 : 0;
}

/* Sends it as soon as the guest runs, again and again until the handler has. */
static void *send_when_running(void *arg)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	int sig = (int)(intptr_t)arg;

	while (!*(volatile uint32_t *)(client.memory + 0x2000))
		sched_yield();
	for (int n = seen.n; n == seen.n; nanosleep(&moment, NULL))
		pthread_kill(vcpu_thread, sig);
	return NULL;
}

/* incl 0x2000; jmp: says that it runs. */
static const uint8_t code_count[] = { 0xff, 0x05, 0x00, 0x20, 0x00, 0x00, 0xeb, 0xf8 };

static pthread_t start_sending(int sig)
{
	pthread_t t;

	client_load_array(&client, code_count, 0, 0);
	*(volatile uint32_t *)(client.memory + 0x2000) = 0;
	assert_int_equal(pthread_create(&t, NULL, send_when_running, (void *)(intptr_t)sig), 0);
	return t;
}

static void interrupt_by(int sig)
{
	int n = seen.n, err;
	pthread_t t = start_sending(sig);

	do
		err = client_run(&client);
	while (!err);
	assert_int_equal(err, -EINTR);
	assert_int_equal(client.run->exit_reason, KVM_EXIT_INTR);
	assert_true(seen.n > n);
	pthread_join(t, NULL);
}

static void a_handler_runs_as_the_kernel_runs_it(void **state)
{
	double number = 3.25;

	(void)state;
	set(SIGUSR1, note, 0, SIGUSR2);
	interrupt_by(SIGUSR1);
	assert_int_equal(seen.sig, SIGUSR1);
	assert_int_equal(seen.info.si_signo, SIGUSR1);
	assert_int_equal(seen.info.si_code, SI_TKILL);
	assert_int_equal(seen.info.si_pid, getpid());
	assert_true(sigismember(&seen.mask, SIGUSR1) && sigismember(&seen.mask, SIGUSR2));
	assert_false(sigismember(&seen.mask, SIGTERM));
	assert_false(sigismember(&seen.mask_outside, SIGUSR1));
	assert_int_equal(mask_now(), 0);
	assert_true(number == 3.25);

	set(SIGUSR1, note, SA_NODEFER, 0);
	interrupt_by(SIGUSR1);
	assert_false(sigismember(&seen.mask, SIGUSR1) || sigismember(&seen.mask, SIGUSR2));
}

static void a_handler_runs_on_the_stack_it_asked_for(void **state)
{
	static char other[1 << 16];
	const stack_t stack = { .ss_sp = other, .ss_size = sizeof(other) };
	stack_t none = { .ss_flags = SS_DISABLE }, now;

	(void)state;
	assert_int_equal(sigaltstack(&stack, NULL), 0);
	set(SIGUSR1, note, 0, 0);
	interrupt_by(SIGUSR1);
	assert_false(seen.stack - (uintptr_t)other < sizeof(other));
	set(SIGUSR1, note, SA_ONSTACK, 0);
	interrupt_by(SIGUSR1);
	assert_true(seen.stack - (uintptr_t)other < sizeof(other));
	assert_int_equal(sigaltstack(NULL, &now), 0);
	assert_ptr_equal(now.ss_sp, other);
	assert_int_equal(now.ss_size, sizeof(other));
	assert_int_equal(now.ss_flags, 0);
	sigaltstack(&none, NULL);
}

static volatile int counts[NSIG];

static void count(int sig)
{
	counts[sig]++;
}

/* As many SIGSEGVs as were sent are handled: nothing says any more that a call runs. */
static void assert_thread_is_in_no_call(void)
{
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	assert_int_equal(state, PTHREAD_CANCEL_ENABLE);
	signal(SIGSEGV, count);
	counts[SIGSEGV] = 0;
	raise(SIGSEGV);
	assert_int_equal(counts[SIGSEGV], 1);
	signal(SIGSEGV, SIG_DFL);
}

static sigjmp_buf back;

static void jump(int sig, siginfo_t *info, void *context)
{
	note(sig, info, context);
	siglongjmp(back, 1);
}

static void a_handler_may_jump_out_of_the_call(void **state)
{
	(void)state;
	for (volatile int i = 0; i < 3; i++) {
		pthread_t t;

		set(SIGUSR1, jump, 0, 0);
		t = start_sending(SIGUSR1);
		if (!sigsetjmp(back, 1))
			for (;;)
				client_run(&client);
		/* One more may come, sent before the sender saw the handler's mark: who
		 * jumps out of pthread_join() may be cancelled anywhere from then on. */
		set(SIGUSR1, note, 0, 0);
		pthread_join(t, NULL);
		assert_int_equal(mask_now(), 0);
		client_load_array(&client, code_halt, 0, 0);
		while (client_run(&client) == -EINTR)
			;
		assert_int_equal(client.run->exit_reason, KVM_EXIT_HLT);
	}
}

/* Its signals are held by the mask, and its handlers run as soon as that changes. */
static void a_handler_may_jump_out_of_a_thread_that_may_be_cancelled(void **state)
{
	int before;

	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
	a_handler_may_jump_out_of_the_call(state);
	assert_thread_is_in_no_call();
	pthread_setcanceltype(before, &before);
}

static void a_handler_for_once_runs_once(void **state)
{
	struct sigaction now;

	(void)state;
	set(SIGUSR1, note, (int)SA_RESETHAND, 0);
	client_load_array(&client, code_halt, 0, 0);
	raise(SIGUSR1);
	assert_int_equal(seen.n, 1);
	sigaction(SIGUSR1, NULL, &now);
	assert_ptr_equal(now.sa_handler, SIG_DFL);
}

static void what_was_installed_is_shown(void **state)
{
	struct sigaction now;

	(void)state;
	set(SIGUSR1, note, SA_RESTART, SIGUSR2);
	sigaction(SIGUSR1, NULL, &now);
	assert_ptr_equal(now.sa_sigaction, note);
	assert_int_equal(now.sa_flags & ~0x04000000, SA_RESTART | SA_SIGINFO);
	assert_true(sigismember(&now.sa_mask, SIGUSR2));
	assert_ptr_equal(signal(SIGUSR1, SIG_IGN), (sighandler_t)(void *)note);
	assert_ptr_equal(signal(SIGUSR1, SIG_DFL), SIG_IGN);
	assert_ptr_equal(signal(SIGKILL, SIG_IGN), SIG_ERR);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(signal(0, SIG_IGN), SIG_ERR);
	assert_int_equal(sigaction(65, NULL, &now), -1);
}

#define ROUNDS 100

static void *send_many(void *arg)
{
	int sig = (int)(intptr_t)arg;

	for (int i = 0; i < ROUNDS; i++) {
		int before = counts[sig];

		if (pthread_kill(vcpu_thread, sig))
			return arg;
		while (counts[sig] == before)
			sched_yield();
	}
	return NULL;
}

static const int many[] = { SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH };
static volatile bool all_sent, has_left;

static void *send_all(void *arg)
{
	const struct timespec moment = { .tv_nsec = 1000000 };
	void *result, *failed = NULL;
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, send_many, (void *)(intptr_t)many[i]);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &result);
		failed = result ? arg : failed;
	}
	for (all_sent = true; !has_left; nanosleep(&moment, NULL))
		pthread_kill(vcpu_thread, SIGRTMIN + 3);
	return failed;
}

/* None is lost, none comes twice, and the mask is what it was. */
static void many_signals_at_once_are_all_handled(void **state)
{
	uint64_t before = mask_now();
	void *failed;
	pthread_t t;

	memset((void *)counts, 0, sizeof(counts));
	client_load_array(&client, code_spin, 0, 0);
	signal(SIGRTMIN + 3, count);
	for (int i = 0; i < 4; i++) {
		struct sigaction action = { .sa_handler = count, .sa_flags = i ? SA_NODEFER : 0 };

		if (i == 2)
			sigfillset(&action.sa_mask);
		sigaction(many[i], &action, NULL);
	}
	all_sent = has_left = false;
	pthread_create(&t, NULL, send_all, state);
	while (!all_sent)
		assert_int_equal(client_run(&client), -EINTR);
	has_left = true;
	pthread_join(t, &failed);
	assert_null(failed);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(counts[many[i]], ROUNDS);
		signal(many[i], SIG_DFL);
	}
	signal(SIGRTMIN + 3, SIG_DFL);
	assert_int_equal(mask_now(), before);
}

#define QUEUED 40
static volatile int sum;

static void add(int sig, siginfo_t *info, void *context)
{
	(void)context;
	sum += info->si_value.sival_int;
	counts[sig]++;
}

static void *queue_many(void *arg)
{
	int sig = SIGRTMIN + 4;

	while (!*(volatile uint32_t *)(client.memory + 0x2000))
		sched_yield();
	for (int i = 1; i <= QUEUED; i++) {
		siginfo_t info = { .si_signo = sig, .si_code = SI_QUEUE };

		info.si_pid = getpid();
		info.si_value.sival_int = i;
		if (syscall(SYS_rt_tgsigqueueinfo, getpid(), *(pid_t *)arg, sig, &info))
			return arg;
	}
	return NULL;
}

/* They interrupt each other, more often than there are entries for. */
static void a_long_queue_of_signals_is_handled_in_full(void **state)
{
	pid_t self = (pid_t)syscall(SYS_gettid);
	void *failed;
	pthread_t t;

	(void)state;
	sum = counts[SIGRTMIN + 4] = 0;
	set(SIGRTMIN + 4, add, SA_NODEFER, 0);
	client_load_array(&client, code_count, 0, 0);
	*(volatile uint32_t *)(client.memory + 0x2000) = 0;
	pthread_create(&t, NULL, queue_many, &self);
	while (counts[SIGRTMIN + 4] < QUEUED)
		assert_int_equal(client_run(&client), -EINTR);
	pthread_join(t, &failed);
	assert_null(failed);
	assert_int_equal(sum, QUEUED * (QUEUED + 1) / 2);
	signal(SIGRTMIN + 4, SIG_DFL);
}

static void block(int how, int sig)
{
	sigset_t mask;

	if (sig) {
		sigemptyset(&mask);
		sigaddset(&mask, sig);
	} else {
		sigfillset(&mask);
	}
	assert_int_equal(pthread_sigmask(how, &mask, NULL), 0);
}

static void assert_hole_is_efault(void)
{
	client_load_array(&client, code_load, 0, CLIENT_HOLE + 0x3000);
	assert_int_equal(client_run(&client), -EFAULT);
}

static void with_every_signal_blocked_a_bad_page_is_efault(void **state)
{
	uint64_t mask;

	(void)state;
	for (int i = 0; i < 3; i++) {
		block(SIG_BLOCK, 0);
		mask = mask_now();
		assert_hole_is_efault();
		/* A bad argument too. */
		assert_int_equal(ioctl(client.vcpu, KVM_GET_REGS, 8), -1);
		assert_int_equal(errno, EFAULT);
		assert_int_equal(mask_now(), mask);
		block(SIG_UNBLOCK, 0);
		block(SIG_BLOCK, SIGSEGV);
		assert_hole_is_efault();
		assert_int_equal(mask_now(), 1ull << (SIGSEGV - 1));
		block(SIG_UNBLOCK, SIGSEGV);
		assert_hole_is_efault();
	}
}

static void *run_in_thread(void *arg)
{
	uint64_t mask = mask_now();

	client_load_array(&client, code_load, 0, CLIENT_HOLE);
	if (client_run(&client) != -EFAULT || mask_now() != mask)
		return NULL;
	return arg;
}

/* The mask comes with the thread, by no call that could be seen. */
static void a_thread_that_is_born_blocked_gets_efault_too(void **state)
{
	void *result;
	pthread_t t;

	block(SIG_BLOCK, 0);
	assert_int_equal(pthread_create(&t, NULL, run_in_thread, state), 0);
	pthread_join(t, &result);
	block(SIG_UNBLOCK, 0);
	assert_ptr_equal(result, state);
}

static void a_vcpu_thread_with_sigsegv_blocked_is_interrupted(void **state)
{
	(void)state;
	block(SIG_BLOCK, SIGSEGV);
	set(SIGUSR1, note, 0, 0);
	interrupt_by(SIGUSR1);
	assert_true(sigismember(&seen.mask_outside, SIGSEGV));
	assert_hole_is_efault();
	assert_int_equal(mask_now(), 1ull << (SIGSEGV - 1));
	block(SIG_UNBLOCK, SIGSEGV);
}

static void run_in_handler(int sig, siginfo_t *info, void *context)
{
	client_load_array(&client, code_load, 0, CLIENT_HOLE);
	if (client_run(&client) == -EFAULT)
		note(sig, info, context);
}

static void a_bad_page_is_efault_in_a_handler_that_blocks_all(void **state)
{
	struct sigaction action = { .sa_sigaction = run_in_handler, .sa_flags = SA_SIGINFO };

	(void)state;
	sigfillset(&action.sa_mask);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	assert_int_equal(seen.n, 1);
	sigaction(SIGSEGV, &action, NULL);
	raise(SIGSEGV);
	assert_int_equal(seen.n, 2);
	assert_int_equal(mask_now(), 0);
	assert_hole_is_efault();
}

/* Sent, not raised by a fault: it is the program's, when the call has ended. */
static void *send_segv(void *arg)
{
	while (!*(volatile uint32_t *)(client.memory + 0x2000))
		sched_yield();
	for (int i = 0; i < 3; i++)
		pthread_kill(vcpu_thread, SIGSEGV);
	pthread_kill(vcpu_thread, SIGUSR1);
	return arg;
}

static void run_while_segv_is_sent(void)
{
	pthread_t t;

	set(SIGUSR1, note, 0, 0);
	client_load_array(&client, code_count, 0, 0);
	*(volatile uint32_t *)(client.memory + 0x2000) = 0;
	pthread_create(&t, NULL, send_segv, NULL);
	while (!client_run(&client))
		;
	pthread_join(t, NULL);
}

static void a_sigsegv_that_is_sent_while_blocked_waits(void **state)
{
	sigset_t pending;

	(void)state;
	set(SIGSEGV, note, 0, 0);
	block(SIG_BLOCK, SIGSEGV);
	run_while_segv_is_sent();
	assert_int_equal(seen.sig, SIGUSR1);
	assert_hole_is_efault();
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGSEGV));
	seen.n = 0;
	block(SIG_UNBLOCK, SIGSEGV);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.sig, SIGSEGV);
	assert_int_equal(seen.info.si_code, SI_TKILL);
	assert_int_equal(seen.info.si_pid, getpid());
}

static void a_sigsegv_that_is_sent_reaches_its_handler(void **state)
{
	(void)state;
	set(SIGSEGV, note, 0, 0);
	run_while_segv_is_sent();
	raise(SIGSEGV);
	assert_int_equal(seen.n, 3);
	assert_hole_is_efault();
}

/* --- the other ways to install a handler ------------------------------------- */

static volatile uint8_t *volatile page;

static void repair(int sig)
{
	counts[sig]++;
	mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
}

/* The program's own fault is the program's, the guest's is not. */
static void assert_faults_go_where_they_belong(void)
{
	int before = counts[SIGSEGV];

	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	page[7] = 1;
	munmap((void *)page, 4096);
	assert_int_equal(counts[SIGSEGV], before + 1);
	assert_hole_is_efault();
	assert_int_equal(counts[SIGSEGV], before + 1);
}

static void jump_out_of_a_fault(int sig)
{
	counts[sig]++;
	siglongjmp(back, 1);
}

/*
 * The C library reads and writes what is passed to sigaction() itself: a bad pointer is the
 * program's own fault, whose handler may jump.  The system call answers EFAULT.
 */
static void a_bad_pointer_to_sigaction_is_a_fault_of_the_programs(void **state)
{
	static const int signals[] = { SIGUSR1, SIGSEGV, SIGBUS };
	struct sigaction *volatile bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
					      -1, 0);
	struct client other;

	(void)state;
	signal(SIGSEGV, jump_out_of_a_fault);
	counts[SIGSEGV] = 0;
	for (volatile int i = 0; i < 3; i++) {
		if (!sigsetjmp(back, 1))
			sigaction(signals[i], bad, NULL);
		if (!sigsetjmp(back, 1))
			sigaction(signals[i], NULL, bad);
		assert_int_equal(counts[SIGSEGV], 2 * i + 2);
		assert_int_equal(syscall(SYS_rt_sigaction, SIGUSR1, bad, NULL, 8), -1);
		assert_int_equal(errno, EFAULT);
	}
	/* Calls are still seen to be the program's. */
	assert_int_equal(client_create(&other), 0);
	client_destroy(&other);
	assert_hole_is_efault();
	assert_thread_is_in_no_call();
	munmap(bad, 4096);
}

sighandler_t bsd_signal(int sig, sighandler_t handler);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void no_call_takes_the_handler_of_faults_away(void **state)
{
	struct sigaction now;

	(void)state;
	bsd_signal(SIGSEGV, repair);
	assert_faults_go_where_they_belong();
	assert_ptr_equal(sysv_signal(SIGSEGV, repair), repair);
	assert_faults_go_where_they_belong();
	/* That was for once. */
	sigaction(SIGSEGV, NULL, &now);
	assert_ptr_equal(now.sa_handler, SIG_DFL);
	assert_ptr_equal(sigset(SIGSEGV, repair), SIG_DFL);
	assert_faults_go_where_they_belong();
	assert_int_equal(sighold(SIGSEGV), 0);
	assert_hole_is_efault();
	assert_ptr_equal(sigset(SIGSEGV, repair), SIG_HOLD);
	assert_faults_go_where_they_belong();
	assert_ptr_equal(sigset(SIGSEGV, SIG_HOLD), repair);
	assert_hole_is_efault();
	assert_int_equal(sigrelse(SIGSEGV), 0);
	assert_int_equal(siginterrupt(SIGSEGV, 1), 0);
	sigaction(SIGSEGV, NULL, &now);
	assert_false(now.sa_flags & SA_RESTART);
	assert_int_equal(siginterrupt(SIGSEGV, 0), 0);
	assert_faults_go_where_they_belong();
	assert_int_equal(sigignore(SIGSEGV), 0);
	assert_hole_is_efault();
	assert_ptr_equal(ssignal(SIGSEGV, SIG_DFL), SIG_IGN);
	assert_hole_is_efault();
}
#pragma GCC diagnostic pop

/* The kernel's struct sigaction. */
struct raw_action {
	void (*handler)(int sig, siginfo_t *info, void *context);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static void install_raw(int sig, void (*handler)(int, siginfo_t *, void *))
{
	struct raw_action action;

	syscall(SYS_rt_sigaction, sig, NULL, &action, sizeof(uint64_t));
	/* The restorer there is the C library's. */
	action.handler = handler;
	action.flags |= SA_SIGINFO;
	action.mask = 0;
	assert_int_equal(syscall(SYS_rt_sigaction, sig, &action, NULL, sizeof(uint64_t)), 0);
}

static void raw_repair(int sig, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	repair(sig);
}

static void handlers_from_system_calls_are_taken_over_by_the_next_vm(void **state)
{
	struct client other;
	struct sigaction now;

	(void)state;
	set(SIGUSR1, jump, 0, 0);
	install_raw(SIGSEGV, raw_repair);
	install_raw(SIGUSR1, note);
	assert_int_equal(client_create(&other), 0);
	client_destroy(&other);
	sigaction(SIGSEGV, NULL, &now);
	assert_ptr_equal(now.sa_sigaction, raw_repair);
	assert_faults_go_where_they_belong();
	interrupt_by(SIGUSR1);
}

static void a_signal_for_the_vcpu_alone_interrupts_and_stays(void **state)
{
	uint64_t mask[2] = { 0 };
	struct kvm_signal_mask *m = (void *)mask;
	siginfo_t info;
	sigset_t set;

	(void)state;
	seen.n = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	block(SIG_BLOCK, SIGUSR1);
	m->len = 8;
	assert_int_equal(ioctl(client.vcpu, KVM_SET_SIGNAL_MASK, m), 0);
	client_load_array(&client, code_spin, 0, 0);
	pthread_kill(vcpu_thread, SIGUSR1);
	assert_int_equal(client_run(&client), -EINTR);
	assert_int_equal(sigwaitinfo(&set, &info), SIGUSR1);
	block(SIG_UNBLOCK, SIGUSR1);
}

static volatile bool is_halted, woken;

static void *wake(void *arg)
{
	const struct timespec moment = { .tv_nsec = 2000000 };

	while (!is_halted)
		sched_yield();
	while (!woken) {
		nanosleep(&moment, NULL);
		pthread_kill(vcpu_thread, SIGUSR1);
	}
	return arg;
}

/* With an interrupt controller HLT waits in the call. */
static void a_halted_vcpu_wakes_for_a_signal(void **state)
{
	struct client c = client;
	pthread_t t;

	c.vm = ioctl(c.system, KVM_CREATE_VM, 0);
	assert_int_equal(ioctl(c.vm, KVM_CREATE_IRQCHIP, 0), 0);
	c.vcpu = ioctl(c.vm, KVM_CREATE_VCPU, 1);
	assert_true(c.vcpu >= 0);
	set(SIGUSR1, note, 0, 0);
	pthread_create(&t, NULL, wake, state);
	is_halted = true;
	/* It waits to be started, which is the same. */
	assert_int_equal(client_run(&c), -EINTR);
	woken = true;
	pthread_join(t, NULL);
	assert_true(seen.n >= 1);
	close(c.vcpu);
	close(c.vm);
}

/* --- the mask by other ways ---------------------------------------------------- */

static void a_mask_that_a_jump_changes_is_known(void **state)
{
	const uint64_t segv = 1ull << (SIGSEGV - 1);
	sigjmp_buf to;

	(void)state;
	block(SIG_BLOCK, SIGSEGV);
	if (!sigsetjmp(to, 1)) {
		block(SIG_UNBLOCK, SIGSEGV);
		assert_hole_is_efault();
		siglongjmp(to, 1);
	}
	assert_hole_is_efault();
	assert_int_equal(mask_now(), segv);
	block(SIG_UNBLOCK, SIGSEGV);
	if (!sigsetjmp(to, 1)) {
		block(SIG_BLOCK, SIGSEGV);
		assert_hole_is_efault();
		siglongjmp(to, 1);
	}
	assert_hole_is_efault();
	assert_int_equal(mask_now(), 0);
}

static void run_and_jump(int sig)
{
	(void)sig;
	client_load_array(&client, code_load, 0, CLIENT_HOLE);
	seen.n += client_run(&client) == -EFAULT;
	siglongjmp(back, 1);
}

static void a_handler_that_runs_the_vcpu_and_jumps_leaves_the_mask(void **state)
{
	struct sigaction action = { .sa_handler = run_and_jump };

	(void)state;
	sigfillset(&action.sa_mask);
	sigaction(SIGUSR1, &action, NULL);
	if (!sigsetjmp(back, 1))
		raise(SIGUSR1);
	assert_int_equal(seen.n, 1);
	assert_hole_is_efault();
	assert_int_equal(mask_now(), 0);
}

/* Calls that wait with a mask of their own; the handler has that one. */
static void wait_in_sigsuspend(const sigset_t *mask)
{
	sigsuspend(mask);
}

static void wait_in_ppoll(const sigset_t *mask)
{
	ppoll(NULL, 0, NULL, mask);
}

static void wait_in_pselect(const sigset_t *mask)
{
	pselect(0, NULL, NULL, NULL, NULL, mask);
}

static void wait_in_epoll(const sigset_t *mask)
{
	struct epoll_event event;
	int fd = epoll_create1(0);

	epoll_pwait(fd, &event, 1, -1, mask);
	close(fd);
}

static void the_mask_of_a_call_that_waits_is_known_in_its_handlers(void **state)
{
	static void (*const wait[])(const sigset_t *mask) = { wait_in_sigsuspend, wait_in_ppoll,
							      wait_in_pselect, wait_in_epoll };
	sigset_t mask;

	(void)state;
	sigemptyset(&mask);
	sigaddset(&mask, SIGSEGV);
	set(SIGUSR1, run_in_handler, 0, 0);
	for (int i = 0; i < 4; i++) {
		block(SIG_BLOCK, SIGUSR1);
		raise(SIGUSR1);
		assert_hole_is_efault();
		wait[i](&mask);
		assert_int_equal(seen.n, i + 1);
		assert_true(sigismember(&seen.mask, SIGSEGV));
		assert_hole_is_efault();
		block(SIG_UNBLOCK, SIGUSR1);
	}
}

static ucontext_t main_context, other_context;

static void run_in_context(void)
{
	client_load_array(&client, code_load, 0, CLIENT_HOLE);
	seen.n += client_run(&client) == -EFAULT;
	swapcontext(&other_context, &main_context);
}

static void a_mask_that_comes_with_a_context_is_known(void **state)
{
	static char stack[1 << 17];

	(void)state;
	assert_hole_is_efault();
	getcontext(&other_context);
	sigaddset(&other_context.uc_sigmask, SIGSEGV);
	other_context.uc_stack.ss_sp = stack;
	other_context.uc_stack.ss_size = sizeof(stack);
	makecontext(&other_context, run_in_context, 0);
	swapcontext(&main_context, &other_context);
	assert_int_equal(seen.n, 1);
	assert_hole_is_efault();
	assert_int_equal(mask_now(), 0);
}

static void a_mask_that_a_system_call_changes_is_known(void **state)
{
	uint64_t segv = 1ull << (SIGSEGV - 1);

	(void)state;
	assert_hole_is_efault();
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &segv, NULL, sizeof(segv));
	assert_hole_is_efault();
	assert_int_equal(mask_now(), segv);
	syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &segv, NULL, sizeof(segv));
	assert_hole_is_efault();
	assert_int_equal(mask_now(), 0);
}

#define JUMPS 500
static volatile bool can_jump;

static void *map_and_jump(void *arg)
{
	int segment = memfd_create("mapped", 0);

	assert_int_equal(ftruncate(segment, 1 << 16), 0);
	sigsetjmp(back, 1);
	can_jump = true;
	while (seen.n < JUMPS) {
		void *p = mmap(NULL, 1 << 16, PROT_READ, MAP_SHARED, segment, 0);

		munmap(p, 1 << 16);
	}
	close(segment);
	assert_thread_is_in_no_call();
	return arg;
}

static void *open_and_jump(void *arg)
{
	int first = dup(client.system), fd;

	sigsetjmp(back, 1);
	can_jump = true;
	while (seen.n < JUMPS) {
		fd = open("/dev/kvm", O_RDWR);
		dup2(fd, first);
		dup(fd);
		/* Those too that a jump has left open. */
		close_range((unsigned int)first, ~0u, 0);
	}
	assert_int_equal(ioctl(open("/dev/kvm", O_RDWR), KVM_GET_API_VERSION, 0),
			 KVM_API_VERSION);
	close_range((unsigned int)first, ~0u, 0);
	assert_thread_is_in_no_call();
	return arg;
}

static void jump_out_of(void *(*calls)(void *arg), void *arg)
{
	pthread_t t;

	can_jump = false;
	set(SIGUSR1, jump, 0, 0);
	assert_int_equal(pthread_create(&t, NULL, calls, arg), 0);
	while (!can_jump)
		sched_yield();
	while (seen.n < JUMPS) {
		int n = seen.n;

		pthread_kill(t, SIGUSR1);
		while (seen.n == n)
			sched_yield();
	}
	pthread_join(t, NULL);
}

/* Calls on memory keep no lock either. */
static void a_handler_may_jump_out_of_a_call_on_memory(void **state)
{
	jump_out_of(map_and_jump, state);
}

static void a_handler_may_jump_out_of_an_open_and_a_dup(void **state)
{
	jump_out_of(open_and_jump, state);
	assert_hole_is_efault();
}

/* --- cancellation ----------------------------------------------------------------- */

static void *run_until_cancelled(void *arg)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;)
		client_run(&client);
	return arg;
}

static void a_thread_that_is_cancelled_in_a_call_keeps_no_lock(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		volatile uint32_t *counts_here = (volatile uint32_t *)(client.memory + 0x2000);
		void *result;
		pthread_t t;

		client_load_array(&client, code_count, 0, 0);
		*counts_here = 0;
		assert_int_equal(pthread_create(&t, NULL, run_until_cancelled, NULL), 0);
		while (!*counts_here)
			sched_yield();
		assert_int_equal(pthread_cancel(t), 0);
		pthread_join(t, &result);
		assert_ptr_equal(result, PTHREAD_CANCELED);
		assert_hole_is_efault();
	}
}

/* No call of these is a point of cancellation, whatever it does inside.
 * AddressSanitizer is not told when a thread leaves its frames at pthread_testcancel(). */
__attribute__((no_sanitize_address)) static void *call_while_cancelled(void *arg)
{
	struct kvm_ioeventfd e = { .addr = CLIENT_MMIO, .len = 4, .fd = *(int *)arg };
	int result;

	pthread_cancel(pthread_self());
	result = ioctl(client.vm, KVM_IOEVENTFD, &e);
	client_load_array(&client, code_fill, 1, CLIENT_MMIO);
	result |= client_run(&client);
	e.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
	result |= ioctl(client.vm, KVM_IOEVENTFD, &e);
	seen.n = result ? -1 : 1;
	pthread_testcancel();
	return arg;
}

static void no_call_is_a_point_of_cancellation(void **state)
{
	int fd = eventfd(0, 0);
	uint64_t value;
	void *result;
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, call_while_cancelled, &fd), 0);
	pthread_join(t, &result);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	assert_int_equal(seen.n, 1);
	assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
	assert_int_equal(client.run->exit_reason, KVM_EXIT_HLT);
	close(fd);
	assert_hole_is_efault();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_handler_runs_as_the_kernel_runs_it),
		TEST(a_handler_runs_on_the_stack_it_asked_for),
		TEST(a_handler_may_jump_out_of_the_call),
		TEST(a_handler_may_jump_out_of_a_thread_that_may_be_cancelled),
		TEST(a_handler_for_once_runs_once),
		TEST(what_was_installed_is_shown),
		TEST(many_signals_at_once_are_all_handled),
		TEST(a_long_queue_of_signals_is_handled_in_full),
		TEST(with_every_signal_blocked_a_bad_page_is_efault),
		TEST(a_thread_that_is_born_blocked_gets_efault_too),
		TEST(a_vcpu_thread_with_sigsegv_blocked_is_interrupted),
		TEST(a_bad_page_is_efault_in_a_handler_that_blocks_all),
		TEST(a_sigsegv_that_is_sent_while_blocked_waits),
		TEST(a_sigsegv_that_is_sent_reaches_its_handler),
		TEST(no_call_takes_the_handler_of_faults_away),
		TEST(a_bad_pointer_to_sigaction_is_a_fault_of_the_programs),
		TEST(handlers_from_system_calls_are_taken_over_by_the_next_vm),
		TEST(a_signal_for_the_vcpu_alone_interrupts_and_stays),
		TEST(a_halted_vcpu_wakes_for_a_signal),
		TEST(a_mask_that_a_jump_changes_is_known),
		TEST(a_handler_that_runs_the_vcpu_and_jumps_leaves_the_mask),
		TEST(the_mask_of_a_call_that_waits_is_known_in_its_handlers),
		TEST(a_mask_that_comes_with_a_context_is_known),
		TEST(a_mask_that_a_system_call_changes_is_known),
		TEST(a_handler_may_jump_out_of_a_call_on_memory),
		TEST(a_handler_may_jump_out_of_an_open_and_a_dup),
		TEST(a_thread_that_is_cancelled_in_a_call_keeps_no_lock),
		TEST(no_call_is_a_point_of_cancellation),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
