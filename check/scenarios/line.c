/* SPDX-License-Identifier: MIT */
/* A thread in a window is interrupted by flushers, and stops being bound: sync/line.h. */
#include "check/world/line.h"
#include "check/world/scenario.h"

static void owner_uses_both_pages_and_leaves(void)
{
	line_use_page(0);
	line_use_page(1);
	line_owner_leaves();
}

static void flusher_frees_page_0(void)
{
	line_free_page(0);
}

static void flusher_frees_page_1(void)
{
	line_free_page(1);
}

static void flusher_frees_both_pages(void)
{
	line_free_page(0);
	line_free_page(1);
}

SCENARIO(line_two_flushers,
	.about = "two flushers interrupt a thread that uses what they take away, and leaves",
	.modes = TDP_ONLY,
	.program = {
		.setup = line_make,
		.thread = {
			{ "owner", owner_uses_both_pages_and_leaves },
			{ "flusher A", flusher_frees_page_0 },
			{ "flusher B", flusher_frees_page_1 },
		},
	});

SCENARIO(line_twice,
	.about = "a flusher interrupts the same thread twice",
	.modes = TDP_ONLY,
	.program = {
		.setup = line_make,
		.thread = {
			{ "owner", owner_uses_both_pages_and_leaves },
			{ "flusher", flusher_frees_both_pages },
		},
	});
