/* SPDX-License-Identifier: MIT */
/*
 * check/generate/chance.h - programs by chance, guided by what is new.
 *
 * What has shown something new (check/generate/novelty.h) is kept, and changed a little to make
 * others; some are made from nothing.
 */
#ifndef CHECK_GENERATE_CHANCE_H
#define CHECK_GENERATE_CHANCE_H

#include "check/generate/program.h"

#define CHANCE_KEPT 256

struct chance {
	uint64_t state;
	unsigned int n_kept;		/* ever */
	struct generated kept[CHANCE_KEPT];
};

void chance_begin(struct chance *c, uint64_t seed);
void chance_program(struct chance *c, struct generated *g);
/* It has shown something new. */
void chance_keep(struct chance *c, const struct generated *g);

#endif
