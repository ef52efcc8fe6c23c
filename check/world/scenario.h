/* SPDX-License-Identifier: MIT */
/*
 * check/world/scenario.h - what the scenarios have in common.
 *
 * A scenario is a short function for each thread, the world that they start in, and the
 * last look.  To add one: a SCENARIO() in the file of its theme, in check/scenarios/.
 */
#ifndef CHECK_WORLD_SCENARIO_H
#define CHECK_WORLD_SCENARIO_H

#include "check/engine/arena.h"
#include "check/engine/sched.h"
#include "check/world/guest.h"
#include "check/world/machine.h"
#include "check/world/oracle.h"
#include "mem/dirty_log.h"

#define SCENARIO_NAME 400
struct generated;

struct scenario {
	char name[SCENARIO_NAME];	/* its identifier's, with hyphens; or all that it does */
	const char *about;	/* one sentence: what races with what */
	struct program program;	/* .name and .n_threads are filled in */
	unsigned int modes;	/* TDP_ONLY, SHADOW_ONLY; 0: both */
	int bound;		/* of preemptions: added to the default, or taken off */
	const struct generated *generated; /* what its threads do (check/generate); or NULL */
};
/* Whose program is run: for those whose threads are the same functions. */
extern const struct scenario *scenario_selected;
#define TDP_ONLY (1u << MMU_TDP)
#define SHADOW_ONLY (1u << MMU_SHADOW)
#define DEFAULT_BOUND 3

#define MAX_SCENARIOS 128
extern const struct scenario *scenarios[MAX_SCENARIOS];
extern unsigned int n_scenarios;
const struct scenario *scenario_find(const char *name);

/* Before main(), in the order of the files and of the lines. */
void scenario_register(struct scenario *s, const char *id);
#define SCENARIO(id, ...)                                                            \
	static struct scenario id##_scenario = { __VA_ARGS__ };                      \
	__attribute__((constructor)) static void id##_register(void)                 \
	{                                                                            \
		scenario_register(&id##_scenario, #id);                              \
	}

/* gva, or gpa where paging is off, of guest frame @gfn. */
static inline uint64_t page(uint64_t gfn)
{
	return gfn << PAGE_SHIFT;
}

/* --- what threads of many scenarios do ------------------------------------------- */

void host_unmaps_page_1(void);
void host_unmaps_page_2(void);
void client_harvests(void);

/* A last look: a copy of the first four pages, kept by the log, is like the memory. */
void log_missed_nothing(void);

#endif
