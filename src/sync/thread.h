/* SPDX-License-Identifier: MIT */
/*
 * sync/thread.h - what we keep about the client's threads.
 *
 * A thread is "in the library" while it runs our code or a library's on our behalf: libc calls
 * made then are ours and are not interposed.  Between thread_hold_signals() and
 * thread_release_signals() no handler of the program runs on the thread: to the program a call
 * into the library is like a system call, and its handlers never interrupt code that holds our
 * locks.
 */
#ifndef SYNC_THREAD_H
#define SYNC_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "sync/atomic.h"

extern __thread bool thread_is_in_library __attribute__((tls_model("initial-exec")));

/* Returns the argument of thread_leave_library().  With signals held: if a handler jumped out,
 * all later calls of the thread would count as ours. */
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
/* Never blocked by a call of ours or a deferred signal: SIGBUS, SIGSEGV, WINDOW_SIGNAL.  Accesses
 * to missing guest memory raise the first two.  The third can arrive whenever the thread is in
 * guest mode, and its sender relies on the handler. */
#define SIGNALS_NEEDED (SIGNAL_BIT(7) | SIGNAL_BIT(11) | SIGNAL_BIT(61))
/* The two that the C library reserves for itself, and blocks only as a side effect. */
#define SIGNALS_OF_LIBC (SIGNAL_BIT(32) | SIGNAL_BIT(33))

/*
 * Two ways to hold signals.  By the thread's mask, which is a system call on the way in and one
 * on the way out.  Or, where every handler of the program is known (installed through preload/),
 * by deferring: if the thread is in a call, the signal is recorded, and its handler is called at
 * the end.  That needs no system call, and KVM_RUN learns of the signal at once instead of
 * polling for it.
 *
 * No signal set contains SIGKILL: its bit says that signals are deferred.
 */
#define SIGNALS_DEFERRED SIGNAL_BIT(9)
/* Combined with it: signals that the thread's mask blocks count too (KVM_SET_SIGNAL_MASK). */
#define SIGNALS_ALSO_PENDING SIGNAL_BIT(19)

struct thread_deferral {
	void (*hold)(void);		/* with guarded_holds */
	void (*release)(void);
	bool (*waits)(thread_sigmask_t blocked);	/* has one been deferred? */
	void (*look_again)(void);	/* for handlers installed another way */
	void (*after_fork)(void);	/* in a child: locks of threads that no longer exist */
};

/* Once, before there are threads. */
void thread_defer_signals(const struct thread_deferral *d);
void thread_look_for_handlers(void);

/* A word, and the bits of it to set as soon as a signal is deferred: the thread polls it anyway.
 * NULL: none. */
struct atomic32;
extern __thread struct atomic32 *thread_kick_word __attribute__((tls_model("initial-exec")));
extern __thread uint32_t thread_kick_bits __attribute__((tls_model("initial-exec")));

/* From here on no handler of the program runs.  The signals blocked so far, or
 * SIGNALS_DEFERRED. */
thread_sigmask_t thread_hold_signals(void);
/* Calls the deferred handlers, which may not return (longjmp): the caller must have finished
 * everything else. */
void thread_release_signals(thread_sigmask_t saved);
/*
 * True if a signal is pending, other than those in @blocked, that would interrupt a system call.
 * An ignored signal can be pending too while it is blocked, but would not interrupt.
 */
bool thread_signal_waits(thread_sigmask_t blocked);
/* The same, but false where it would take a system call to know. */
bool thread_signal_deferred(thread_sigmask_t blocked);

/*
 * Sleeps while *word == value and no signal is pending other than those in @blocked; it stays
 * pending.  May return early: recheck.  Where signals are deferred the word is to be
 * thread_kick_word.  Elsewhere a futex knows nothing of signals that the thread blocks: it polls
 * for them, and whoever wakes it writes to a descriptor, which is made when it is first needed.
 */
struct thread_bell {
	struct atomic32 fd;		/* (a) plus 1; 0: there is none */
};

void thread_sleep_on(struct atomic32 *word, uint32_t value, struct thread_bell *bell,
		     thread_sigmask_t blocked);
/* Any thread, after it has changed the word. */
void thread_wake(struct atomic32 *word, struct thread_bell *bell);
void thread_bell_destroy(struct thread_bell *bell);

/* This thread's system calls are about to be restricted.  Does now what must be done once for
 * each thread; from now on optional calls that may be forbidden are not made. */
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

/* In a child that fork(2) or clone(2) made past the C library, and RCU with it.  Any of
 * its threads, while the others are not in the library. */
void thread_after_raw_fork(void);
/*
 * Raised by that.  What a thread keeps of itself (that RCU knows it, its number) was
 * true in the parent if it was kept in an earlier era; it may be another thread of the
 * child that finds out that there is a new one.  Never 0.
 */
extern struct atomic32 thread_era;

/* Runs @init in the first call with this @once; the others wait for it. */
struct thread_once {
	int native;
};
void thread_run_once(struct thread_once *once, void (*init)(void));

/*
 * Threads of our own.  Such a thread is in the library all its life, and no signal is delivered
 * to it.  A child made by fork(2) does not have it.
 */
struct service {
	void (*run)(void *arg);
	void *arg;
	unsigned long native;
};

/* Calls @run in a new thread.  0 or -errno. */
int service_start(struct service *s, void (*run)(void *arg), void *arg) MUST_CHECK;
/* Waits until it has returned. */
void service_join(struct service *s);

#endif
