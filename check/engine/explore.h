/* SPDX-License-Identifier: MIT */
/*
 * check/engine/explore.h - which runs of a program are made.
 *
 * Depth first: every run in which at most `bound` times a thread was preempted (or a
 * store delayed, a yield ignored, or a translation lost) at will; to leave a thread that
 * waits, yields or has ended is free.  A run is given up where it comes to a state that another
 * came to at no greater cost (check/engine/sched.h says what a state is), so of all orders
 * of independent steps one is followed: partial-order reduction by what was reached
 * instead of by what is independent, which stays complete under a bound.  Bounds are
 * tried from 0 up: a failure is found with the fewest preemptions first.
 *
 * Or at random: priorities for the threads, changed at a few random places (PCT), which
 * finds a bug of depth d in n steps with a chance of 1 in t*n^(d-1) at least.
 */
#ifndef CHECK_ENGINE_EXPLORE_H
#define CHECK_ENGINE_EXPLORE_H

#include "check/engine/sched.h"

#define MAX_TOKEN 256
#define WARM_UP 60u

/* A run, by the choices that were not the first offered. */
struct token {
	unsigned int n;
	struct {
		uint64_t tick;
		uint8_t what;
	} choice[MAX_TOKEN];
};

struct explore_options {
	unsigned int first_bound; /* those below are known to hold */
	unsigned int bound;
	double seconds;		/* 0: as long as it takes */
	uint64_t max_runs;	/* 0: no limit */
	bool random;
	uint64_t seed;
	unsigned int warm_up;	/* runs at random before all others; 0: WARM_UP */
	bool no_pruning;	/* every run of its own: for the checker's tests */
	bool no_warm_up;	/* no run beyond the bound: likewise */
	void (*after_run)(void *ctx);	/* after each at random; or NULL */
	/* called now and then */
	void (*progress)(void *ctx, uint64_t runs, unsigned int bound);
	void *progress_ctx;
};

struct exploration {
	uint64_t runs;		/* schedules: executed, to their end or to a known state */
	uint64_t complete_runs;	/* to their end */
	uint64_t states;
	bool complete;		/* nothing is left within the bound */
	unsigned int bound;	/* the last that was begun */
	double seconds;
	bool failed;
	struct run_result result;
	struct token token;
	unsigned int preemptions;	/* of the failing run */
};

void explore(const struct program *p, const struct explore_options *o, struct exploration *e);

/* Makes the token's run.  A choice that is not there any more is passed by. */
void replay(const struct program *p, const struct token *t, struct run_result *result);

/* Leaves out what the failure does not need. */
void shrink(const struct program *p, struct exploration *e);

/* Of this process, on a processor: others' work does not count. */
double explore_now(void);

#endif
