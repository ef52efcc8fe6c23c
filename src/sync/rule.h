/* SPDX-License-Identifier: MIT */
/*
 * sync/rule.h - the mark of a coherence rule: if (rule(FLUSH_BEFORE_FREE)) ...
 *
 * Here it is the constant true.  It names, in the code, the place where a rule
 * of base/rules.def is kept.
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

#define rule(name) ((bool)(RULE_##name < N_RULES))

#endif
