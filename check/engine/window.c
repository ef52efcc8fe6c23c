/* SPDX-License-Identifier: MIT */
/*
 * check/engine/window.c - sync/window.h on the scheduler: threads that are interrupted.
 *
 * A signal is *sent* by window_interrupt(), and may be taken at any step from then on or
 * not; window_barrier() makes it *due*: the handler runs before the thread's next step.
 * One that stood in a window then begins it again (sync/window_checked.h).
 */
#include "check/engine/window.h"

#include <string.h>

#include "check/engine/buffer.h"
#include "check/engine/memory.h"
#include "check/engine/sched.h"
#include "check/engine/timeline.h"
#include "sync/window.h"

enum signal { SIGNAL_NONE, SIGNAL_SENT, SIGNAL_DUE };

static struct target {
	struct window_line *line;	/* bound to the thread */
	enum signal signal;
	bool in_window, sent_back;
} targets[MAX_THREADS];

void window_begin_run(void)
{
	memset(targets, 0, sizeof(targets));
}

static struct target *self(void)
{
	return sched_is_running() ? &targets[sched_self()] : NULL;
}

uint64_t window_state(int t)
{
	return (uint64_t)targets[t].signal;
}

void window_bind(struct window_line *line)
{
	struct target *t = self();

	if (!t || t->line)
		return;
	t->line = line;
	line->thread = sched_self() + 1;
}

void window_unbind(struct window_line *line)
{
	struct target *t = self();

	if (!t || t->line != line)
		return;
	t->line = NULL;
	line->thread = 0;
}

bool window_interrupt(struct window_line *line)
{
	/* Comes before or after every step of its thread. */
	sched_point(true);
	memory_drain(sched_self());
	memory_note_write(&line->state);
	memory_note_step(line->thread ? STEP_SIGNAL : STEP_BARRIER);
	if (!line->thread)
		return false;
	if (targets[line->thread - 1].signal == SIGNAL_NONE)
		targets[line->thread - 1].signal = SIGNAL_SENT;
	timeline_note("interrupts %s", sched_thread_name(line->thread - 1));
	return true;
}

static bool any_is_sent(void)
{
	for (unsigned int i = 0; i < MAX_THREADS; i++)
		if (targets[i].signal == SIGNAL_SENT)
			return true;
	return false;
}

bool window_barrier(void)
{
	sched_point(buffer_any() || any_is_sent());
	for (unsigned int i = 0; i < MAX_THREADS; i++)
		if (targets[i].signal == SIGNAL_SENT)
			targets[i].signal = SIGNAL_DUE;
	memory_drain_all();
	memory_note_step(STEP_BARRIER);
	memory_is_seen();
	sched_progress();
	return true;
}

void window_deliver(void)
{
	struct target *t = self();

	if (!t || t->signal == SIGNAL_NONE)
		return;
	if (t->signal == SIGNAL_SENT && !sched_ask(2, 0, true))
		return;
	t->signal = SIGNAL_NONE;
	memory_note_read(&t->line->state);
	t->line->answer(t->line);
	t->sent_back = t->in_window;
	timeline_note("is interrupted%s", t->in_window ? ": begins its access again" : "");
}

bool window_is_sent_back(void)
{
	struct target *t = self();

	return t && t->sent_back;
}

void checked_window_begin(void)
{
	struct target *t = self();

	if (!t)
		return;
	t->in_window = true;
	t->sent_back = false;
}

bool checked_window_again(void)
{
	struct target *t = self();
	bool again = t && t->sent_back;

	if (t)
		t->in_window = t->sent_back = false;
	return again;
}
