/* SPDX-License-Identifier: MIT */
/*
 * check/world/scenario.h - what the scenarios have in common.
 *
 * A scenario is a short function for each thread, the world that they start in, and the
 * last look.  To add one: a file in check/scenarios/, a line in scenario.c's list and
 * one in meson.build.
 */
#ifndef CHECK_WORLD_SCENARIO_H
#define CHECK_WORLD_SCENARIO_H

#include "check/engine/arena.h"
#include "check/world/guest.h"
#include "check/world/machine.h"
#include "check/world/oracle.h"
#include "check/engine/sched.h"
#include "mem/dirty_log.h"

struct scenario {
	const char *name;
	const char *about;	/* one sentence: what races with what */
	struct program program;	/* .name is the scenario's */
	unsigned int modes;	/* TDP_ONLY, SHADOW_ONLY; 0: both */
	int bound;		/* of preemptions: added to the default, or taken off */
	bool random;		/* too large to be complete: by chance, for a while */
};
#define TDP_ONLY (1u << MMU_TDP)
#define SHADOW_ONLY (1u << MMU_SHADOW)
#define DEFAULT_BOUND 3

#define SCENARIO(id, ...) const struct scenario scenario_##id = { __VA_ARGS__ }

extern const struct scenario *const scenarios[];
extern const unsigned int n_scenarios;
const struct scenario *scenario_find(const char *name);

/* gva, or gpa where paging is off, of guest frame @gfn. */
static inline gva_t page(gfn_t gfn)
{
	return gfn << PAGE_SHIFT;
}

/* Nothing more to see than what the oracles have seen on the way. */
void look_no_further(void);

#endif
