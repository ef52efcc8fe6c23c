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

/* Returns what thread_leave_library() wants back. */
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

/* Blocks every signal except those that a fault of the thread itself raises. */
thread_sigmask_t thread_hold_signals(void);
void thread_release_signals(thread_sigmask_t saved);
/*
 * Does a signal wait, other than those of @blocked, that would interrupt a system
 * call?  One that is ignored waits too while it is blocked, but would not.
 */
bool thread_signal_waits(thread_sigmask_t blocked);
/* Sleeps until one does.  It stays blocked and is not consumed. */
void thread_sleep_until_signal(thread_sigmask_t blocked);

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
