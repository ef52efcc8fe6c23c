/* SPDX-License-Identifier: MIT */
/*
 * sync/thread.h - what we keep about the client's threads.
 *
 * A thread is "in the library" while it runs our code or a library's on our
 * behalf: libc calls made then are ours and are not interposed.  Between
 * thread_hold_signals() and thread_release_signals() no handler of the program
 * runs on the thread: a call into us is to the program what a system call is,
 * and our locks are never held by code that the program's handlers interrupt.
 */
#ifndef SYNC_THREAD_H
#define SYNC_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

extern __thread bool thread_is_in_library __attribute__((tls_model("initial-exec")));

/* Returns what thread_leave_library() wants back.  With signals held: a handler that jumped
 * would take all of the thread's later calls along. */
static inline bool thread_enter_library(void)
{
	bool was = thread_is_in_library;

	thread_is_in_library = true;
	return was;
}

static inline void thread_leave_library(bool was)
{
	thread_is_in_library = was;
}

/* The kernel's own signal set: one bit a signal, signal 1 in bit 0. */
typedef uint64_t thread_sigmask_t;
#define SIGNAL_BIT(sig) (1ull << ((sig)-1))
/* What no call of ours and no deferred signal blocks: SIGBUS, SIGSEGV, WINDOW_SIGNAL.
 * Guest memory that is not there raises the first two.  The third may come whenever the
 * thread is in guest mode: who sends it relies on its handler. */
#define SIGNALS_NEEDED (SIGNAL_BIT(7) | SIGNAL_BIT(11) | SIGNAL_BIT(61))
/* The two that the C library keeps for itself, and blocks only by the way. */
#define SIGNALS_OF_LIBC (SIGNAL_BIT(32) | SIGNAL_BIT(33))

/*
 * Two ways to hold signals.  By the thread's mask, which is a system call on the way
 * in and one on the way out.  Or, where every handler of the program is known (it was
 * installed by way of preload/), by deferring: a handler that finds the thread in a
 * call notes its signal and is called at the end.  That needs no system call, and
 * KVM_RUN learns of the signal at once instead of asking every now and then.
 *
 * No signal set contains SIGKILL: its bit says that signals are deferred.
 */
#define SIGNALS_DEFERRED SIGNAL_BIT(9)
/* With it: those that the thread's mask blocks count too (KVM_SET_SIGNAL_MASK). */
#define SIGNALS_ALSO_PENDING SIGNAL_BIT(19)

struct thread_deferral {
	void (*hold)(void);		/* with guarded_holds */
	void (*release)(void);
	bool (*waits)(thread_sigmask_t blocked);	/* has one been deferred? */
	void (*sleep)(void);				/* until one is */
	void (*look_again)(void);	/* for handlers that came another way */
	void (*after_fork)(void);	/* in a child: locks of threads that it does not have */
};

/* Once, before there are threads. */
void thread_defer_signals(const struct thread_deferral *d);
void thread_look_for_handlers(void);

/* A word and bits of it that are set as soon as a signal is deferred: the owner of
 * the thread looks at it more often than at anything else.  NULL: nobody does. */
struct atomic32;
extern __thread struct atomic32 *thread_kick_word __attribute__((tls_model("initial-exec")));
extern __thread uint32_t thread_kick_bits __attribute__((tls_model("initial-exec")));

/* From here on no handler of the program runs.  The signals blocked so far, or
 * SIGNALS_DEFERRED. */
thread_sigmask_t thread_hold_signals(void);
/* Handlers that have waited are called, and may not come back (longjmp): the caller
 * has finished all else. */
void thread_release_signals(thread_sigmask_t saved);
/*
 * Does a signal wait, other than those of @blocked, that would interrupt a system
 * call?  One that is ignored waits too while it is blocked, but would not.
 */
bool thread_signal_waits(thread_sigmask_t blocked);
/* The same, but false where it would take a system call to know. */
bool thread_signal_deferred(thread_sigmask_t blocked);
/* Sleeps until one does.  It stays blocked and is not consumed. */
void thread_sleep_until_signal(thread_sigmask_t blocked);

/* Somebody is about to restrict the system calls of this thread.  What has to be done
 * once for each is done now; and what only helps, but takes a call that may not be
 * allowed, is done no more. */
void thread_before_filter(void);
bool thread_is_filtered(void);

void thread_yield(void);

/* Makes RCU ready for fork(2); @in_child, if not NULL, is called in the child after that.
 * Any number of times.  0 or -errno. */
int thread_at_fork(void (*in_child)(void)) MUST_CHECK;
/* @before is called before every fork(2), the others after it.  Called before the first
 * thread_at_fork(), @before runs with RCU's locks held.  0 or -errno. */
int thread_around_fork(void (*before)(void), void (*in_parent)(void),
		       void (*in_child)(void)) MUST_CHECK;

/* In a child that fork(2) or clone(2) made past the C library, and RCU with it. */
void thread_after_raw_fork(void);

/* Runs @init in the first of all calls with this @once; the others wait for it. */
struct thread_once {
	int native;
};
void thread_run_once(struct thread_once *once, void (*init)(void));

#endif
