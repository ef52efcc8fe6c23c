/* SPDX-License-Identifier: MIT */
/*
 * sync/window.h - accesses to guest memory that can be sent back, and how.
 *
 * A *window* is a few instructions in one piece of assembler: a comparison that says
 * whether a translation is still good, and behind it the one access that uses it.
 * Whoever takes a translation away need not wait until a thread has come out of its
 * window.  window_interrupt() sends the thread a signal, window_barrier() makes sure
 * that no such thread executes another instruction of the program before its handler
 * has run (it may not run at all for long, being preempted or asleep in a page fault),
 * and the handler, in the thread itself, lets the window begin again.  Before that it
 * changes what the window compares with: the second time nothing matches.
 *
 * What is compared is one of two words, both touched by nobody but the owner's thread
 * and its handler: the tag of a TLB entry (window_hit_*(), mmu/tlb.h), or the *epoch*,
 * for a host address that was found in some other way and is kept for a moment.  The
 * number of the epoch is read before the address is looked for:
 *
 *	n = epoch_read(e);  host = ...a walk...;  window_load32(e, n, host, &value)
 *
 * False: it faulted, or is stale.  What a thread does with addresses outside of windows
 * has to be waited for (mmu/request.h, "pinned").
 */
#ifndef SYNC_WINDOW_H
#define SYNC_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/guarded.h"
#include "sync/atomic.h"

/* Changes whenever host addresses that were found before become void. */
struct epoch {
	uint64_t number;	/* the owner's thread's, and its handler's */
};

static ALWAYS_INLINE uint64_t epoch_read(const struct epoch *e)
{
	uint64_t number = *(const volatile uint64_t *)&e->number;

	/* Before whatever is found under it. */
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

/* Whose handler does it: one of the real-time signals, which the program cannot have. */
#define WINDOW_SIGNAL 61

/*
 * The vCPU's end of the line that flushers call on.  It is bound to the thread that runs
 * the vCPU, from before guest mode until after; while it is not, nobody can interrupt.
 * (c) constant  (a) atomic  [b] written by the owner while not bound
 */
struct window_line {
	struct atomic32 state;		/* (a) LINE_* */
	int thread;			/* [b] for window_interrupt() */
	/* (c) In the owner's thread, between any two of its instructions: makes stale
	 * what windows compare with. */
	void (*answer)(struct window_line *line);
};

/*
 * The owner, outside guest mode.  Until window_unbind() the thread must be deaf to all
 * signals with a handler of the program's: its handler would run inside of a window, and
 * ours on top of it would not see the window.  (thread_hold_signals().)
 */
void window_bind(struct window_line *line);
void window_unbind(struct window_line *line);

/*
 * For a flusher, one at a time for each line: lets the owner's handler run before long.
 * False: it cannot be done, wait for the owner.  A full barrier: what the caller has
 * stored before is seen by what the owner does after its handler.
 */
bool window_interrupt(struct window_line *line) MUST_CHECK;
/*
 * When it has returned true: no thread that was interrupted before executes anything of
 * its own but after its handler; and all that threads of this process have stored before
 * is visible to the caller, as if each had executed a full barrier.  Bound threads only.
 */
bool window_barrier(void) MUST_CHECK;

/* In a child, which has another thread of this number. */
void window_after_fork(void);
/* For ever: no more of the system calls that the two above make.  Any thread. */
void window_forbid(void);
/* Is it the signal that has been taken from the program? */
bool window_has_signal(int sig);

#endif
