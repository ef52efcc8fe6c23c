/* SPDX-License-Identifier: MIT */
/*
 * sync/rule.h - the mark of a coherence rule: if (rule(FLUSH_BEFORE_FREE)) ...
 *
 * It names, in the code, the place where a rule of base/rules.def is kept.  Here it
 * is the constant true; in the checker's build it is a switch.
 *
 * mutant(NAME) is the same for a bug of base/mutants.def that is more than the
 * absence of one rule: the constant false.
 */
#ifndef SYNC_RULE_H
#define SYNC_RULE_H

#include <stdbool.h>

enum rule_id {
#define RULE(name, sentence) RULE_##name,
#include "base/rules.def"
#undef RULE
	N_RULES,
};

enum mutant_id {
#define MUTANT(name, sentence) MUTANT_##name,
#include "base/mutants.def"
#undef MUTANT
	N_MUTANTS,
};

#ifdef UMBRA_CHECKED
#include "sync/checked.h"
#define rule(name) (checked_rule_is_on[RULE_##name])
#define mutant(name) (checked_mutant_is_on[MUTANT_##name])
#else
#define rule(name) ((bool)(RULE_##name < N_RULES))
#define mutant(name) ((bool)(MUTANT_##name >= N_MUTANTS))
#endif

#endif
