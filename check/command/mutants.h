/* SPDX-License-Identifier: MIT */
/* check/command/mutants.h - ways to be wrong: a rule switched off, or a bug of the past. */
#ifndef CHECK_COMMAND_MUTANTS_H
#define CHECK_COMMAND_MUTANTS_H

#include <stdbool.h>

struct mutation {
	const char *name;
	const char *from;	/* where the bug was; NULL: a rule of ours */
	const char *sentence;
	const char *off;	/* this rule, where it is marked; NULL, or no rule's: none */
	const char *patch;	/* of check/mutants; NULL: none */
	const char *scenarios;	/* that kill it, by blanks, best first; NULL: any */
	const char *survives;	/* why nothing kills it; NULL: something does */
};

unsigned int mutations_count(void);
const struct mutation *mutation_at(unsigned int i);

/* NULL: there is none of this name. */
const struct mutation *mutation_find(const char *name);
/* Every rule on; then off the one of @m (NULL: none). */
void mutation_apply(const struct mutation *m);
bool mutation_is_rule(const struct mutation *m);

#endif
