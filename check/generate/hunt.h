/* SPDX-License-Identifier: MIT */
/* check/generate/hunt.h - generated programs, one after the other, until one fails. */
#ifndef CHECK_GENERATE_HUNT_H
#define CHECK_GENERATE_HUNT_H

#include "check/engine/explore.h"
#include "check/generate/program.h"
#include "check/world/scenario.h"

struct hunt {
	/* what is asked */
	unsigned int part, parts;	/* only every so manieth program */
	unsigned int size;		/* all of at most so many operations; 0: all, then chance */
	bool in_turns;			/* some of each size, again and again, and some by chance */
	bool only_chance;
	unsigned int modes;		/* bits by enum mmu_mode */
	enum memory_model memory;
	unsigned int bound;
	double seconds;			/* 0: all up to .size, or the enumerated ones */
	uint64_t seed;
	uint64_t max_runs;		/* of a program and a bound; 0: no limit */
	/* called before each program; false: stop */
	bool (*go_on)(void *ctx, const struct hunt *h);
	void *ctx;
	/* what came of it */
	uint64_t programs, complete, runs;
	unsigned int size_done;		/* all programs up to it were explored */
	double used;
	bool failed;
	enum mmu_mode mode;
	struct generated program;
	struct exploration e;
};

void hunt(struct hunt *h);

#endif
