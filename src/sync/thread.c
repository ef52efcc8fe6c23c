/* SPDX-License-Identifier: MIT */
#include "sync/thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/guarded.h"
#include "sync/atomic.h"
#include "sync/rcu.h"
#include "sync/wait.h"
#include "sync/window.h"

__thread bool thread_is_in_library __attribute__((tls_model("initial-exec")));

__thread struct atomic32 *thread_kick_word __attribute__((tls_model("initial-exec")));
__thread uint32_t thread_kick_bits __attribute__((tls_model("initial-exec")));

_Static_assert(SIGNALS_NEEDED == (SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGSEGV) |
				  SIGNAL_BIT(WINDOW_SIGNAL)) &&
		       SIGNALS_DEFERRED == SIGNAL_BIT(SIGKILL) &&
		       SIGNALS_ALSO_PENDING == SIGNAL_BIT(SIGSTOP),
	       "the numbers of signals");

static const struct thread_deferral *deferral;	/* (c) once there is a second thread */
static struct atomic32 is_filtered;		/* (a) */

void thread_defer_signals(const struct thread_deferral *d)
{
	deferral = d;
}

void thread_look_for_handlers(void)
{
	guarded_take_back();
	if (deferral)
		deferral->look_again();
}

#define HELD_MASK (~SIGNALS_NEEDED)

static thread_sigmask_t set_mask(thread_sigmask_t mask)
{
	thread_sigmask_t saved = 0;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &saved, sizeof(mask));
	return saved;
}

/*
 * By raw system calls: libc's functions leave out the two signals that it uses for
 * pthread_cancel() and setuid(), and neither's handler may run here.
 */
static thread_sigmask_t hold_by_mask(void)
{
	guarded_holds_by_mask = true;
	return set_mask(HELD_MASK);
}

/* No mask contains SIGKILL and SIGSTOP, and liburcu may have let libc's two in again. */
static bool is_of_a_call(thread_sigmask_t mask)
{
	return (mask | SIGNALS_OF_LIBC | SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP)) == HELD_MASK;
}

/*
 * The second call runs handlers, which need not return: by then the signals that were sent are
 * pending for the thread.  More may have arrived in between; they wait until here, or until the
 * next call ends.
 */
static void release_by_mask(thread_sigmask_t saved)
{
	bool is_last = !is_of_a_call(saved);

	if (is_last && guarded_has_kept()) {
		set_mask(~0ull);
		guarded_send_kept();
	}
	set_mask(saved);
	if (is_last) {
		guarded_holds_by_mask = false;
		guarded_send_kept();
	}
}

/* Per thread: how often cancellation is held off, and the previous state. */
static __thread struct {
	unsigned int holds;
	int state;
} cancel __attribute__((tls_model("initial-exec")));

/* What we call may be a cancellation point, and a cancelled thread would never release our
 * locks. */
static void hold_cancellation(void)
{
	if (!cancel.holds++)
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel.state);
}

/* The type is deferred: nothing happens here. */
static void release_cancellation(void)
{
	int state;

	if (cancel.holds && !--cancel.holds)
		pthread_setcancelstate(cancel.state, &state);
}

static thread_sigmask_t hold_handlers(void)
{
	if (!deferral)
		return hold_by_mask();
	deferral->hold();
	return SIGNALS_DEFERRED;
}

/*
 * A thread that may be cancelled at any instruction must not be cancelled here, by a handler of
 * the C library that we cannot defer: the mask must keep it out.  The cancel state is left alone,
 * or pthread_cancel(3) would not send the signal that ends KVM_RUN.
 */
thread_sigmask_t thread_hold_signals(void)
{
	thread_sigmask_t saved;
	int type;

	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
	if (likely(type == PTHREAD_CANCEL_DEFERRED)) {
		saved = hold_handlers();
		/* After it: a handler that jumps would leave cancellation disabled. */
		hold_cancellation();
		return saved;
	}
	saved = hold_by_mask();
	pthread_setcanceltype(type, &type);
	return saved;
}

void thread_release_signals(thread_sigmask_t saved)
{
	int saved_errno = errno;

	/* First: a handler need not return. */
	release_cancellation();
	if (saved & SIGNALS_DEFERRED)
		deferral->release();
	else
		release_by_mask(saved);
	/* A handler's is not the call's. */
	errno = saved_errno;
}

bool thread_signal_deferred(thread_sigmask_t blocked)
{
	return (blocked & SIGNALS_DEFERRED) && deferral->waits(blocked);
}

void thread_before_filter(void)
{
	thread_sigmask_t saved = thread_hold_signals();
	bool was = thread_enter_library();

	atomic32_store_relaxed(&is_filtered, 1);
	window_forbid();
	rcu_read_begin();
	rcu_read_end();
	thread_leave_library(was);
	thread_release_signals(saved);
}

bool thread_is_filtered(void)
{
	return atomic32_load_relaxed(&is_filtered);
}

static thread_sigmask_t pending_signals(void)
{
	thread_sigmask_t pending = 0;

	syscall(SYS_rt_sigpending, &pending, sizeof(pending));
	return pending;
}

static bool is_ignored(int sig)
{
	struct sigaction action;

	if (sigaction(sig, NULL, &action) || (action.sa_flags & SA_SIGINFO))
		return false;
	if (action.sa_handler == SIG_IGN)
		return true;
	return action.sa_handler == SIG_DFL &&
	       (sig == SIGCHLD || sig == SIGURG || sig == SIGWINCH || sig == SIGCONT);
}

bool thread_signal_waits(thread_sigmask_t blocked)
{
	thread_sigmask_t waiting;

	if (blocked & SIGNALS_DEFERRED) {
		if (deferral->waits(blocked))
			return true;
		if (!(blocked & SIGNALS_ALSO_PENDING))
			return false;
	}
	waiting = pending_signals() & ~blocked;
	for (; waiting; waiting &= waiting - 1)
		if (!is_ignored(__builtin_ctzll(waiting) + 1))
			return true;
	return false;
}

/* -1 if it cannot be made.  The sleeper rechecks the word after it was made: see thread.h. */
static int bell_fd(struct thread_bell *bell, bool *is_new)
{
	uint32_t known = atomic32_load_acquire(&bell->fd);
	int fd;

	*is_new = false;
	if (known)
		return (int)known - 1;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -1;
	/* A full barrier: whoever changes the word after the next look at it finds the bell. */
	atomic32_xchg(&bell->fd, (uint32_t)fd + 1);
	*is_new = true;
	return fd;
}

/* Signals that would end the sleep: an ignored one that is pending would end it for ever. */
static int wanted_signals(thread_sigmask_t blocked)
{
	thread_sigmask_t wanted = ~blocked, pending = pending_signals() & wanted;
	sigset_t set;

	for (; pending; pending &= pending - 1)
		if (is_ignored(__builtin_ctzll(pending) + 1))
			wanted &= ~(pending & -pending);
	sigemptyset(&set);
	memcpy(&set, &wanted, sizeof(wanted));
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/*
 * No handler runs between the look at the word and the sleep: the thread's own mask, @saved,
 * holds while it sleeps.  A moment at a time where a descriptor is missing.
 */
static void poll_word(struct atomic32 *word, uint32_t value, struct thread_bell *bell,
		      thread_sigmask_t blocked, thread_sigmask_t saved)
{
	struct timespec moment = { .tv_sec = 1 };
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };
	uint64_t rings;
	bool is_new;

	p[0].fd = bell_fd(bell, &is_new);
	if (is_new)
		return;
	p[1].fd = wanted_signals(blocked);
	if (p[0].fd < 0 || p[1].fd < 0)
		moment = (struct timespec){ .tv_nsec = 10000000 };
	if (atomic32_load_acquire(word) == value && !thread_signal_waits(blocked))
		syscall(SYS_ppoll, p, 2, &moment, &saved, sizeof(saved));
	/* What it rang for is in the word. */
	if (p[0].fd >= 0 && read(p[0].fd, &rings, sizeof(rings)) < 0)
		rings = 0;
	if (p[1].fd >= 0)
		close(p[1].fd);
}

void thread_sleep_on(struct atomic32 *word, uint32_t value, struct thread_bell *bell,
		     thread_sigmask_t blocked)
{
	thread_sigmask_t saved;

	if ((blocked & SIGNALS_DEFERRED) && !(blocked & SIGNALS_ALSO_PENDING)) {
		wait_on(word, value);
		return;
	}
	saved = set_mask(HELD_MASK);
	poll_word(word, value, bell, blocked, saved);
	set_mask(saved);
}

void thread_wake(struct atomic32 *word, struct thread_bell *bell)
{
	/* Acquires the descriptor's making, in whatever thread. */
	uint32_t fd = atomic32_load_acquire(&bell->fd);
	const uint64_t one = 1;

	wait_wake_all(word);
	/* A full counter has rung already. */
	if (fd && write((int)fd - 1, &one, sizeof(one)) < 0)
		return;
}

void thread_bell_destroy(struct thread_bell *bell)
{
	uint32_t fd = atomic32_load_acquire(&bell->fd);

	if (fd)
		close((int)fd - 1);
}

void thread_yield(void)
{
	sched_yield();
}

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_err;

static void prepare_rcu_for_fork(void)
{
	fork_err = pthread_atfork(rcu_before_fork, rcu_after_fork_parent, rcu_after_fork_child);
}

int thread_at_fork(void (*in_child)(void))
{
	/* Child handlers run in the order of registration: RCU's first, and once. */
	pthread_once(&fork_once, prepare_rcu_for_fork);
	if (fork_err || !in_child)
		return -fork_err;
	return -pthread_atfork(NULL, NULL, in_child);
}

int thread_around_fork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void))
{
	return -pthread_atfork(before, in_parent, in_child);
}

struct atomic32 thread_era = { 1 };

void thread_after_raw_fork(void)
{
	atomic32_fetch_add(&thread_era, 1);
	if (deferral)
		deferral->after_fork();
	rcu_after_raw_fork();
}

_Static_assert(sizeof(pthread_once_t) == sizeof(int) && PTHREAD_ONCE_INIT == 0,
	       "struct thread_once is a pthread_once_t");

void thread_run_once(struct thread_once *once, void (*init)(void))
{
	pthread_once(&once->native, init);
}

/* --- threads of our own --------------------------------------------------------------- */

#define STACK_BYTES (128u << 10)

_Static_assert(sizeof(pthread_t) == sizeof(unsigned long), "struct service holds a pthread_t");

static void *serve(void *arg)
{
	struct service *s = arg;

	thread_is_in_library = true;
	s->run(s->arg);
	return NULL;
}

/* It inherits the mask of the thread that makes it. */
static int start_masked(struct service *s, const pthread_attr_t *attr)
{
	sigset_t all, saved;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	err = pthread_create((pthread_t *)&s->native, attr, serve, s);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return -err;
}

int service_start(struct service *s, void (*run)(void *arg), void *arg)
{
	bool was = thread_enter_library();
	pthread_attr_t attr;
	int err;

	s->run = run;
	s->arg = arg;
	err = -pthread_attr_init(&attr);
	if (!err) {
		pthread_attr_setstacksize(&attr, STACK_BYTES);
		err = start_masked(s, &attr);
		pthread_attr_destroy(&attr);
		/* The program's own thread-local variables lie there too, and may need more. */
		if (err == -EINVAL)
			err = start_masked(s, NULL);
	}
	thread_leave_library(was);
	return err;
}

void service_join(struct service *s)
{
	pthread_join((pthread_t)s->native, NULL);
}
