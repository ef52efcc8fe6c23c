/* SPDX-License-Identifier: MIT */
/*
 * sync/line.h - the state of a window_line: may its thread be sent the signal, and is one on its
 * way?  The system's part, to send it and to enter the kernel, is the caller's; so the checker
 * runs these very steps (check/world/line.h).
 *
 *	flusher                             owner
 *	state |= SENT | SENDING             ...in a window...
 *	send the signal
 *	state &= ~SENDING
 *	barrier                             handler: state &= ~SENT (full barrier),
 *	                                    answer, window begins again
 *
 * SENT avoids a second signal while the first is pending, so that signals do not pile up on a
 * preempted thread.  The handler clears SENT, with a full barrier, *before* it makes anything
 * stale.  So a flusher that still finds SENT set changed its tables before the lookups that this
 * handler will force.
 *
 * SENDING keeps the thread bound until the signal has been sent: after line_unbind() it would
 * arrive in the program's own code and could interrupt a sleep there.  With SENT and without
 * SENDING it is or was pending: a thread that then leaves the kernel has handled it.
 */
#ifndef SYNC_LINE_H
#define SYNC_LINE_H

#include "sync/wait.h"
#include "sync/window.h"

#define LINE_BOUND (1u << 0)
#define LINE_SENT (1u << 1)
#define LINE_SENDING (1u << 2)

/* The owner, outside guest mode. */
static inline void line_bind(struct window_line *line)
{
	atomic32_xchg(&line->state, LINE_BOUND);
}

/* @enter_kernel: a system call.  When it has returned no signal is pending. */
static inline void line_unbind(struct window_line *line,
			       void (*enter_kernel)(struct window_line *line))
{
	uint32_t state = atomic32_fetch_and(&line->state, ~LINE_BOUND) & ~LINE_BOUND;

	while (state & LINE_SENDING) {
		wait_on(&line->state, state);
		state = atomic32_load_acquire(&line->state);
	}
	if (state & LINE_SENT) {
		enter_kernel(line);
		atomic32_fetch_and(&line->state, ~LINE_SENT);
	}
}

/* In the handler, on the owner's thread. */
static inline void line_answer(struct window_line *line)
{
	atomic32_fetch_and(&line->state, ~LINE_SENT);
	line->answer(line);
}

/* A flusher, one at a time.  @send: false, it could not.  True: the signal is pending, or the
 * handler has begun that it was for. */
static inline bool line_interrupt(struct window_line *line, bool (*send)(struct window_line *line))
{
	uint32_t state = LINE_BOUND, undo = LINE_SENDING;

	if (!atomic32_cmpxchg(&line->state, &state, LINE_BOUND | LINE_SENT | LINE_SENDING))
		return (state & LINE_SENT) && (state & LINE_BOUND);
	if (!send(line))
		undo |= LINE_SENT;
	if (!(atomic32_fetch_and(&line->state, ~undo) & LINE_BOUND))
		wait_wake_all(&line->state);
	return !(undo & LINE_SENT);
}

#endif
