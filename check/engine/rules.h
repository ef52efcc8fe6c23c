/* SPDX-License-Identifier: MIT */
/* check/engine/rules.h - the switches behind rule(). */
#ifndef CHECK_ENGINE_RULES_H
#define CHECK_ENGINE_RULES_H

#include <stdbool.h>

/* Every rule on. */
void rules_reset(void);
/* False: there is no such name. */
bool rules_switch_off(const char *name);

unsigned int rules_count(void);
const char *rules_name(unsigned int i);
const char *rules_sentence(unsigned int i);
/* "" if there is no such rule. */
const char *rules_find_sentence(const char *name);

#endif
