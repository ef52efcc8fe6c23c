/* SPDX-License-Identifier: MIT */
#include "sync/thread.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync/rcu.h"
#include "sync/window.h"

__thread bool thread_is_in_library __attribute__((tls_model("initial-exec")));

#define SIGBIT(sig) (1ull << ((sig)-1))
#define SYNCHRONOUS \
	(SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGFPE) | SIGBIT(SIGILL) | SIGBIT(SIGTRAP))

/*
 * By raw system calls: libc's would leave out the two signals that it uses for
 * pthread_cancel() and setuid(), and a handler of either must not run here.
 */
thread_sigmask_t thread_hold_signals(void)
{
	thread_sigmask_t ours = SIGBIT(WINDOW_SIGNAL), block = ~(SYNCHRONOUS | ours), saved = 0;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &block, &saved, sizeof(block));
	/* In a call the thread can be interrupted, whatever the program blocks. */
	if (saved & ours)
		syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &ours, NULL, sizeof(ours));
	return saved;
}

void thread_release_signals(thread_sigmask_t saved)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &saved, NULL, sizeof(saved));
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
	thread_sigmask_t waiting = pending_signals() & ~blocked;

	for (; waiting; waiting &= waiting - 1)
		if (!is_ignored(__builtin_ctzll(waiting) + 1))
			return true;
	return false;
}

void thread_sleep_until_signal(thread_sigmask_t blocked)
{
	while (!thread_signal_waits(blocked)) {
		thread_sigmask_t wanted = ~blocked;
		struct pollfd p = { .events = POLLIN };
		sigset_t set;

		sigemptyset(&set);
		memcpy(&set, &wanted, sizeof(wanted));
		p.fd = signalfd(-1, &set, SFD_CLOEXEC);
		/* A moment at a time: an ignored signal makes it readable for
		 * ever, and there may be no descriptor left. */
		poll(&p, 1, 50);
		if (p.fd >= 0)
			close(p.fd);
	}
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

void thread_after_raw_fork(void)
{
	rcu_before_fork();
	rcu_after_fork_child();
}

_Static_assert(sizeof(pthread_once_t) == sizeof(int) && PTHREAD_ONCE_INIT == 0,
	       "struct thread_once is a pthread_once_t");

void thread_run_once(struct thread_once *once, void (*init)(void))
{
	pthread_once(&once->native, init);
}
