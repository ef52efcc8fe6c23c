/* SPDX-License-Identifier: MIT */
/* check/command/token.h - one run, as a word that can be mailed. */
#ifndef CHECK_COMMAND_TOKEN_H
#define CHECK_COMMAND_TOKEN_H

#include "check/engine/explore.h"
#include "check/command/mutants.h"
#include "check/world/scenario.h"

struct run_id {
	const struct scenario *scenario;
	enum mmu_mode mode;
	enum memory_model memory;
	const struct mutation *mutation;	/* NULL: none */
	struct token token;
};

#define TOKEN_BYTES 3000
void token_print(const struct run_id *id, char *text, size_t bytes);
/* False: it is not one. */
bool token_parse(const char *text, struct run_id *id);

/* The scenario's program, ready to run, with its mutation switched on. */
struct program run_prepare(const struct run_id *id);

#endif
