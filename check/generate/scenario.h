/* SPDX-License-Identifier: MIT */
/* check/generate/scenario.h - a generated program as a scenario like those written by hand. */
#ifndef CHECK_GENERATE_SCENARIO_H
#define CHECK_GENERATE_SCENARIO_H

#include <stdio.h>

#include "check/generate/program.h"
#include "check/world/scenario.h"

/* What @text says; NULL: it is no program.  Good until the process ends. */
const struct scenario *generated_scenario(const char *text);
/* The same without the text, in @s, for as long as @s and @g stay. */
void generated_fill(const struct generated *g, struct scenario *s);

/*
 * One that is kept: as `umbra check --generate` prints it (check/scenarios/generated.c).
 */
void generated_register(struct scenario *s, const char *id, const char *text);
#define GENERATED(id, text, ...)                                                     \
	static struct scenario id##_scenario = { __VA_ARGS__ };                      \
	__attribute__((constructor)) static void id##_register(void)                 \
	{                                                                            \
		generated_register(&id##_scenario, #id, text);                       \
	}

/* How a person would write it down, to keep it. */
void generated_print(FILE *out, const char *text, enum mmu_mode mode, const char *sentence,
		     unsigned int preemptions);

#endif
