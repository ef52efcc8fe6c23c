/* SPDX-License-Identifier: MIT */
/*
 * sync/window.c - interrupting a thread in a window, natively: see sync/window.h.
 *
 * When tgkill(2) has returned, the signal is pending for the thread.  A thread with a pending
 * signal handles it before its next instruction in user mode, wherever in the kernel it is:
 * preempted, in a page fault, asleep.  A thread that is running in user mode is forced through
 * the kernel by membarrier(2), which returns only when every CPU that runs a thread of ours has
 * executed a barrier since the call.  Who may send it, and until when: sync/line.h.
 */
#include "sync/window.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync/line.h"
#include "sync/thread.h"

/* Of this thread, if one is bound. */
static __thread struct window_line *bound __attribute__((tls_model("initial-exec")));
/* The thread's number, cached as it is used often, and the era in which it was asked for. */
static __thread int own_id __attribute__((tls_model("initial-exec")));
static __thread uint32_t own_id_era __attribute__((tls_model("initial-exec")));

static struct thread_once once;
static struct atomic32 is_taken;	/* the signal is ours */
static struct atomic32 may_interrupt;	/* and it and the barrier may be used */

static void forget_own_id(void)
{
	own_id_era = 0;
}

static int thread_id(void)
{
	uint32_t era = atomic32_load_relaxed(&thread_era);

	if (own_id_era != era) {
		own_id = (int)syscall(SYS_gettid);
		own_id_era = era;
	}
	return own_id;
}

static void on_interrupt(int sig UNUSED, siginfo_t *info UNUSED, void *context)
{
	struct window_line *line = bound;

	if (line)
		line_answer(line);
	guarded_leave_window(context);
}

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

/* ThreadSanitizer does not understand a handler that changes where its thread resumes. */
#ifdef BUILT_WITH_TSAN
#define HANDLERS_ARE_SEEN 0
#else
#define HANDLERS_ARE_SEEN 1
#endif

static void set_up(void)
{
	struct sigaction action = {
		.sa_sigaction = on_interrupt,
		.sa_flags = SA_SIGINFO | SA_RESTART,
	};
	struct sigaction old;
	int saved_errno = errno;

	/* No other handler on top of it. */
	memset(&action.sa_mask, 0xff, sizeof(action.sa_mask));
	/* The signal may be the program's already. */
	if (HANDLERS_ARE_SEEN && !sigaction(WINDOW_SIGNAL, NULL, &old) &&
	    !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL &&
	    !thread_at_fork(forget_own_id) &&
	    !membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) &&
	    !sigaction(WINDOW_SIGNAL, &action, NULL)) {
		atomic32_store_release(&is_taken, 1);
		atomic32_store_release(&may_interrupt, 1);
	}
	errno = saved_errno;
}

bool window_has_signal(int sig)
{
	return sig == WINDOW_SIGNAL && atomic32_load_acquire(&is_taken);
}

void window_forbid(void)
{
	/* Make these calls now, while they are allowed. */
	thread_run_once(&once, set_up);
	atomic32_store_release(&may_interrupt, 0);
}

void window_bind(struct window_line *line)
{
	thread_run_once(&once, set_up);
	/* Only one vCPU of a thread at a time: flushes wait for the others. */
	if (bound || !atomic32_load_relaxed(&may_interrupt))
		return;
	bound = line;
	line->thread = thread_id();
	line_bind(line);
}

/* Any system call will do, and no filter forbids this one. */
static void enter_kernel(struct window_line *line)
{
	wait_wake_all(&line->state);
}

void window_unbind(struct window_line *line)
{
	if (bound != line)
		return;
	line_unbind(line, enter_kernel);
	bound = NULL;
}

/* The program may have replaced the handler behind our back, by a raw system call. */
static bool is_still_ours(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} now = { 0 };

	return !syscall(SYS_rt_sigaction, WINDOW_SIGNAL, NULL, &now, sizeof(now.mask)) &&
	       now.handler == (void *)(uintptr_t)on_interrupt;
}

static bool send(struct window_line *line)
{
	return is_still_ours() && !syscall(SYS_tgkill, getpid(), line->thread, WINDOW_SIGNAL);
}

bool window_interrupt(struct window_line *line)
{
	return atomic32_load_acquire(&may_interrupt) && line_interrupt(line, send);
}

bool window_barrier(void)
{
	return atomic32_load_acquire(&may_interrupt) &&
	       !membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}
