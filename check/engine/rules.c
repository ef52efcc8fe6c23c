/* SPDX-License-Identifier: MIT */
#include "check/engine/rules.h"

#include <string.h>

#include "mem/rules.h"

bool checked_rule_is_on[N_RULES];

struct text {
	const char *name, *sentence;
};

static const struct text rules[] = {
#define RULE(name, sentence) { #name, sentence },
#include "mem/rules.def"
#undef RULE
};

void rules_reset(void)
{
	memset(checked_rule_is_on, true, sizeof(checked_rule_is_on));
}

bool rules_switch_off(const char *name)
{
	for (unsigned int i = 0; i < N_RULES; i++) {
		if (strcmp(rules[i].name, name))
			continue;
		checked_rule_is_on[i] = false;
		return true;
	}
	return false;
}

unsigned int rules_count(void)
{
	return N_RULES;
}

const char *rules_name(unsigned int i)
{
	return rules[i].name;
}

const char *rules_sentence(unsigned int i)
{
	return rules[i].sentence;
}

const char *rules_find_sentence(const char *name)
{
	for (unsigned int i = 0; i < N_RULES; i++)
		if (strcmp(rules[i].name, name) == 0)
			return rules[i].sentence;
	return "";
}
