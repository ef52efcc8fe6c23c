/* SPDX-License-Identifier: MIT */
/* tests/model/mmu_diff.h - the two ways to compare machines: see mmu_diff.c. */
#ifndef MODEL_MMU_DIFF_H
#define MODEL_MMU_DIFF_H

#include "world.h"

/* The guest flushes what it must before it uses what it has changed: every access is as
 * the naive machine's, and so is every byte of memory. */
void diff_strict(struct world *w, unsigned int steps);

/* The guest is late, or does not flush at all: what a TLB could hold is allowed, and
 * nothing else. */
void diff_lazy(struct world *w, unsigned int steps);

#endif
