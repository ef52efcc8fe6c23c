/* SPDX-License-Identifier: MIT */
/*
 * check/command/token.c - umbra1/SCENARIO/MODE/MEMORY/MUTATION/TICK.CHOICE,TICK.CHOICE,...
 * Numbers are hexadecimal.
 */
#include "check/command/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/generate/scenario.h"

static const char *const modes[] = { [MMU_TDP] = "tdp", [MMU_SHADOW] = "shadow" };
static const char *const memories[] = {
	[MEMORY_SC] = "sc", [MEMORY_TSO] = "tso", [MEMORY_WEAK] = "weak",
};

void token_print(const struct run_id *id, char *text, size_t bytes)
{
	size_t n = (size_t)snprintf(text, bytes, "umbra1/%s/%s/%s/%s/", id->scenario->name,
				    modes[id->mode], memories[id->memory],
				    id->mutation ? id->mutation->name : "-");

	for (unsigned int i = 0; i < id->token.n && n < bytes; i++)
		n += (size_t)snprintf(text + n, bytes - n, "%s%llx.%x", i ? "," : "",
				      (unsigned long long)id->token.choice[i].tick,
				      id->token.choice[i].what);
}

static int find_name(const char *const *names, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (name && strcmp(names[i], name) == 0)
			return i;
	return -1;
}

static bool parse_choices(char *text, struct token *t)
{
	char *rest, *one, *end;

	t->n = 0;
	for (one = strtok_r(text, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
		if (t->n == MAX_TOKEN)
			return false;
		t->choice[t->n].tick = strtoull(one, &end, 16);
		if (end == one || *end != '.')
			return false;
		t->choice[t->n++].what = (uint8_t)strtoul(end + 1, &end, 16);
		if (*end)
			return false;
	}
	return true;
}

bool token_parse(const char *text, struct run_id *id)
{
	char copy[TOKEN_BYTES], *rest = copy, *field[6];
	int mode, memory;

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	for (int i = 0; i < 6; i++)
		field[i] = strsep(&rest, "/");
	if (rest || !field[5] || strcmp(field[0], "umbra1"))
		return false;
	mode = find_name(modes, ARRAY_SIZE(modes), field[2]);
	memory = find_name(memories, ARRAY_SIZE(memories), field[3]);
	*id = (struct run_id){ .scenario = scenario_find(field[1]) };
	if (!id->scenario)
		id->scenario = generated_scenario(field[1]);
	if (!id->scenario || mode < 0 || memory < 0)
		return false;
	id->mode = (enum mmu_mode)mode;
	id->memory = (enum memory_model)memory;
	if (strcmp(field[4], "-")) {
		id->mutation = mutation_find(field[4]);
		if (!id->mutation)
			return false;
	}
	return parse_choices(field[5], &id->token);
}

struct program run_prepare(const struct run_id *id)
{
	struct program p = id->scenario->program;

	scenario_selected = id->scenario;
	mutation_apply(id->mutation);
	machine_mode = id->mode;
	p.name = id->scenario->name;
	p.memory = id->memory;
	return p;
}
