/* SPDX-License-Identifier: MIT */
/*
 * sync/window.c - interrupting a thread in a window, natively: see sync/window.h.
 *
 * The signal is pending for the thread when tgkill(2) has returned.  A thread with a
 * pending signal takes it before it executes the next instruction in user mode, wherever
 * in the kernel it is: preempted, in a page fault, asleep.  One that runs in user mode at
 * that moment is sent through the kernel by membarrier(2), whose return means that every
 * processor that runs a thread of ours has executed a barrier since the call.
 *
 *	flusher                             owner
 *	state |= SENT | SENDING             ...in a window...
 *	tgkill
 *	state &= ~SENDING
 *	membarrier                          handler: state &= ~SENT (full barrier),
 *	                                    answer, window begins again
 *
 * SENT saves a second signal while the first has not been taken: a thread without a
 * processor is not buried under them.  Its handler takes SENT away *before* it makes
 * anything stale, by a full barrier.  So a flusher who still finds it there has changed
 * its tables before what this handler makes the thread look up again.
 *
 * SENDING keeps the thread bound until the signal is on its way: it would arrive in the
 * program's own code, and interrupt a sleep of the program's, after window_unbind().  With
 * SENT and without SENDING it is pending, or was: a thread that then leaves the kernel has
 * taken it.
 */
#include "sync/window.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync/thread.h"
#include "sync/wait.h"

#define LINE_BOUND (1u << 0)
#define LINE_SENT (1u << 1)
#define LINE_SENDING (1u << 2)

/* Of this thread, if one is bound. */
static __thread struct window_line *bound __attribute__((tls_model("initial-exec")));
/* Kept, as it is asked for often; 0: not known. */
static __thread int own_id __attribute__((tls_model("initial-exec")));

static struct thread_once once;
static struct atomic32 is_taken;	/* the signal is ours */
static struct atomic32 may_interrupt;	/* and it and the barrier may be used */

void window_after_fork(void)
{
	own_id = 0;
}

static int thread_id(void)
{
	if (!own_id)
		own_id = (int)syscall(SYS_gettid);
	return own_id;
}

static void on_interrupt(int sig UNUSED, siginfo_t *info UNUSED, void *context)
{
	struct window_line *line = bound;

	if (line) {
		atomic32_fetch_and(&line->state, ~LINE_SENT);
		line->answer(line);
	}
	guarded_leave_window(context);
}

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

/* A handler that moves its thread on is beyond ThreadSanitizer. */
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
	    !thread_at_fork(window_after_fork) &&
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
	/* Its calls too are made now, or never. */
	thread_run_once(&once, set_up);
	atomic32_store_release(&may_interrupt, 0);
}

void window_bind(struct window_line *line)
{
	thread_run_once(&once, set_up);
	/* One vCPU of a thread's at a time: others are waited for. */
	if (bound || !atomic32_load_relaxed(&may_interrupt))
		return;
	bound = line;
	line->thread = thread_id();
	atomic32_xchg(&line->state, LINE_BOUND);
}

void window_unbind(struct window_line *line)
{
	uint32_t state;

	if (bound != line)
		return;
	state = atomic32_fetch_and(&line->state, ~LINE_BOUND) & ~LINE_BOUND;
	while (state & LINE_SENDING) {
		wait_on(&line->state, state);
		state = atomic32_load_acquire(&line->state);
	}
	/* Any system call does, and this one no filter forbids. */
	if (state & LINE_SENT) {
		wait_wake_all(&line->state);
		atomic32_fetch_and(&line->state, ~LINE_SENT);
	}
	bound = NULL;
}

/* Somebody may have taken the signal over behind our back, by a raw system call. */
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

bool window_interrupt(struct window_line *line)
{
	uint32_t state = LINE_BOUND, undo = LINE_SENDING;

	if (!atomic32_load_acquire(&may_interrupt))
		return false;
	if (!atomic32_cmpxchg(&line->state, &state, LINE_BOUND | LINE_SENT | LINE_SENDING))
		return (state & LINE_SENT) && (state & LINE_BOUND);
	if (!is_still_ours() ||
	    syscall(SYS_tgkill, getpid(), line->thread, WINDOW_SIGNAL))
		undo |= LINE_SENT;
	if (!(atomic32_fetch_and(&line->state, ~undo) & LINE_BOUND))
		wait_wake_all(&line->state);
	return !(undo & LINE_SENT);
}

bool window_barrier(void)
{
	return atomic32_load_acquire(&may_interrupt) &&
	       !membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}
