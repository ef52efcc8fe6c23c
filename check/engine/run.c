/* SPDX-License-Identifier: MIT */
#include "check/engine/run.h"

#include "check/engine/arena.h"
#include "check/engine/locks.h"
#include "check/engine/memory.h"
#include "check/engine/timeline.h"
#include "check/engine/window.h"

static const struct sched_parts parts = {
	.memory_state = memory_state,
	.commit = memory_commit,
	.allow = locks_allow,
	.describe = locks_describe,
	.at_exit = locks_at_exit,
	.signal_state = window_state,
	.deliver = window_deliver,
};

void run_program(const struct program *p, choose_fn choose, void *ctx, struct run_result *result)
{
	*result = (struct run_result){ .thread = -1 };
	sched_begin(p, &parts, choose, ctx, result);
	memory_begin_run();
	locks_begin_run();
	window_begin_run();
	arena_begin_run();
	timeline_begin_run();

	sched_run_setup();
	if (result->verdict == VERDICT_HOLDS)
		sched_run_threads();
	if (result->verdict == VERDICT_HOLDS)
		memory_drain_all();
	result->ticks = sched_tick();
	result->new_shared_word = memory_found_shared();
	if (result->verdict == VERDICT_HOLDS)
		sched_run_finish();
	sched_end();
}
