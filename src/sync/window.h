/* SPDX-License-Identifier: MIT */
/*
 * sync/window.h - restartable accesses to guest memory.
 *
 * A *window* is a few instructions in one piece of assembler: a comparison that decides whether a
 * translation is still valid, then the one access that uses it.  Whoever revokes a translation
 * need not wait until a thread has left its window.  window_interrupt() sends the thread a
 * signal, window_barrier() ensures that no such thread executes another instruction of the
 * program before its handler has run (the thread may not run for a long time, being preempted or
 * asleep in a page fault), and the handler, in the thread itself, restarts the window.  Before
 * that it changes what the window compares with, so that nothing matches the second time.
 *
 * The comparison is with one of two words, both accessed only by the owner's thread and its
 * handler: the tag of a TLB entry (window_hit_*(), mmu/tlb/tlb.h), or the *epoch*, for a host
 * address that was found in another way and is kept for a moment.  The epoch is read before the
 * address is looked up:
 *
 *	n = epoch_read(e);  host = ...a walk...;  window_load32(e, n, host, &value)
 *
 * False: it faulted, or is stale.  Flushes wait for a thread that uses addresses outside of
 * windows (mmu/tlb/request.h, "pinned").
 */
#ifndef SYNC_WINDOW_H
#define SYNC_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guarded.h"
#include "sync/atomic.h"

/* Changes whenever host addresses found before become stale. */
struct epoch {
	uint64_t number;	/* the owner's thread's, and its handler's */
};

static ALWAYS_INLINE uint64_t epoch_read(const struct epoch *e)
{
	uint64_t number = *(const volatile uint64_t *)&e->number;

	/* Read it before looking up anything that it covers. */
	owner_barrier();
	return number;
}

#ifdef UMBRA_CHECKED
#include "sync/window_checked.h"
#else
#include "sync/window_native.h"
#endif

static ALWAYS_INLINE void epoch_advance(struct epoch *e)
{
	uint64_t number = e->number;

	while (!owner_swap(&e->number, &number, number + 1))
		;
}

/* The signal of that handler: a real-time signal, which is then not available to the program. */
#define WINDOW_SIGNAL 61

/*
 * The vCPU's side, for flushers to interrupt.  It is bound to the thread that runs the vCPU, from
 * before guest mode until after; while it is unbound, no interrupt is possible. (c) constant  (a)
 * atomic  [b] written by the owner while not bound
 */
struct window_line {
	struct atomic32 state;		/* (a) LINE_* */
	int thread;			/* [b] for window_interrupt() */
	/* (c) Called in the owner's thread, between any two of its instructions: makes stale what
	 * windows compare with. */
	void (*answer)(struct window_line *line);
};

/*
 * The owner, outside guest mode.  Until window_unbind() no signal handler of the program may run
 * on the thread: it would run inside a window, and ours on top of it would not see the window.
 * (thread_hold_signals().)
 */
void window_bind(struct window_line *line);
void window_unbind(struct window_line *line);

/*
 * For a flusher, one at a time for each vCPU: makes the owner's handler run soon.  False: not
 * possible, wait for the owner.  A full barrier: the owner sees the caller's earlier stores after
 * its handler.
 */
bool window_interrupt(struct window_line *line) MUST_CHECK;
/*
 * Once it has returned true, an interrupted thread executes nothing of its own before its
 * handler, and all earlier stores of this process's threads are visible to the caller, as if each
 * had executed a full barrier.  Bound threads only.
 */
bool window_barrier(void) MUST_CHECK;

/* Permanent: the two functions above make no more system calls.  Any thread. */
void window_forbid(void);
/* True if this is the signal that was taken from the program. */
bool window_has_signal(int sig);

#endif
