/* SPDX-License-Identifier: MIT */
/*
 * mem/rules.h - the coherence rules, by name.
 *
 * docs/coherence.md says what each of mem/rules.def is for and where it is kept.
 */
#ifndef MEM_RULES_H
#define MEM_RULES_H

#include "sync/rule.h"

enum rule_id {
#define RULE(name, sentence) RULE_##name,
#include "mem/rules.def"
#undef RULE
	N_RULES,
};

#endif
