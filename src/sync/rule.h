/* SPDX-License-Identifier: MIT */
/*
 * sync/rule.h - the mark of a coherence rule: if (rule(FLUSH_BEFORE_FREE)) ...
 *
 * It stands before what a rule of mem/rules.h makes us do.  Here it is the constant
 * true; in the checker's build it is a switch.  Never negated: what else the absence of a
 * rule needs is a patch of the checker's (check/mutants).
 */
#ifndef SYNC_RULE_H
#define SYNC_RULE_H

#include <stdbool.h>

#ifdef UMBRA_CHECKED
#include "sync/checked.h"
#define rule(name) (checked_rule_is_on[RULE_##name])
#else
#define rule(name) ((bool)(RULE_##name < N_RULES))
#endif

#endif
