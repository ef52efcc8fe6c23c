/* SPDX-License-Identifier: MIT */
#include "sync/thread.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

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
	thread_sigmask_t block = ~SYNCHRONOUS, saved = 0;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &block, &saved, sizeof(block));
	return saved;
}

void thread_release_signals(thread_sigmask_t saved)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &saved, NULL, sizeof(saved));
}

thread_sigmask_t thread_pending_signals(void)
{
	thread_sigmask_t pending = 0;

	syscall(SYS_rt_sigpending, &pending, sizeof(pending));
	return pending;
}

void thread_yield(void)
{
	sched_yield();
}
