/* SPDX-License-Identifier: MIT */
#include "check/world/line.h"

#include "check/engine/arena.h"
#include "check/engine/sched.h"
#include "check/engine/timeline.h"
#include "check/world/machine.h"
#include "sync/line.h"
#include "sync/lock.h"

/* To the owner. */
enum signal {
	SIGNAL_NONE,
	SIGNAL_PENDING,		/* may come */
	SIGNAL_DUE,		/* comes before the next step */
};

static struct world {
	struct window_line line;
	struct mutex flush_lock;		/* one flusher at a time */
	struct atomic32 is_mapped[LINE_PAGES];
	struct atomic32 is_freed[LINE_PAGES];
	struct atomic32 signal;			/* the kernel's: enum signal */
	/* the owner's */
	uint64_t epoch;
	struct atomic32 is_in_program;
} *w;

static void answer(struct window_line *line UNUSED)
{
	w->epoch++;
}

void line_make(void)
{
	machine_make((struct machine_options){ 0 });
	w = arena_alloc(sizeof(*w));
	mutex_init(&w->flush_lock, RANK_FLUSH);
	w->line.answer = answer;
	line_bind(&w->line);
	for (unsigned int i = 0; i < LINE_PAGES; i++)
		atomic32_store_relaxed(&w->is_mapped[i], 1);
	timeline_register(&w->line.state, 4, 0, WORD_HEX, "line.state");
	timeline_register(&w->signal, 4, 0, WORD_NUMBER, "signal");
	timeline_register(w->is_mapped, sizeof(w->is_mapped), 4, WORD_NUMBER, "mapped");
	timeline_register(w->is_freed, sizeof(w->is_freed), 4, WORD_NUMBER, "freed");
}

/* --- the owner ----------------------------------------------------------------------- */

static void handle_signal(void)
{
	atomic32_xchg(&w->signal, SIGNAL_NONE);
	timeline_note("the handler");
	line_answer(&w->line);
}

/* Before each of its steps. */
static void take_signal(void)
{
	uint32_t signal = atomic32_load_relaxed(&w->signal);

	if (signal == SIGNAL_DUE || (signal == SIGNAL_PENDING && sched_ask(2, 0, true)))
		handle_signal();
}

/* If a signal has become due until the access it does not take place. */
static void use_in_window(unsigned int page, uint64_t epoch)
{
	uint32_t is_freed;

	do {
		take_signal();
		if (w->epoch != epoch)
			return;
		is_freed = atomic32_load_relaxed(&w->is_freed[page]);
	} while (atomic32_load_relaxed(&w->signal) == SIGNAL_DUE);
	timeline_note("uses page %u", page);
	if (is_freed)
		sched_fail(VERDICT_FREED_PAGE, "the owner uses page %u after it was freed", page);
}

void line_use_page(unsigned int page)
{
	uint64_t epoch;

	take_signal();
	epoch = w->epoch;
	if (!atomic32_load_relaxed(&w->is_mapped[page]))
		return;
	timeline_note("has translated page %u", page);
	use_in_window(page, epoch);
}

static void enter_kernel(struct window_line *line UNUSED)
{
	if (atomic32_load_relaxed(&w->signal) != SIGNAL_NONE)
		handle_signal();
}

void line_owner_leaves(void)
{
	take_signal();
	line_unbind(&w->line, enter_kernel);
	atomic32_xchg(&w->is_in_program, 1);
	timeline_note("is back in its program");
	if (atomic32_load_relaxed(&w->signal) != SIGNAL_NONE)
		sched_fail(VERDICT_WRONG, "a signal is pending for the program's own code");
}

/* --- flushers ------------------------------------------------------------------------- */

static bool send(struct window_line *line UNUSED)
{
	atomic32_xchg(&w->signal, SIGNAL_PENDING);
	if (atomic32_load_relaxed(&w->is_in_program))
		sched_fail(VERDICT_WRONG, "a signal is sent to the program's own code");
	return true;
}

static void barrier_of_all(void)
{
	uint32_t signal = SIGNAL_PENDING;

	atomic32_cmpxchg(&w->signal, &signal, SIGNAL_DUE);
}

/* Whoever cannot be interrupted is not bound any more, and has used its last page. */
void line_free_page(unsigned int page)
{
	atomic32_xchg(&w->is_mapped[page], 0);
	mutex_lock(&w->flush_lock);
	if (line_interrupt(&w->line, send))
		barrier_of_all();
	mutex_unlock(&w->flush_lock);
	timeline_note("frees page %u", page);
	atomic32_xchg(&w->is_freed[page], 1);
}
