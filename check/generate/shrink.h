/* SPDX-License-Identifier: MIT */
/*
 * check/generate/shrink.h - a failing program without what its failure does not need: threads,
 * operations, what was done before, options of its world, and preemptions.
 */
#ifndef CHECK_GENERATE_SHRINK_H
#define CHECK_GENERATE_SHRINK_H

#include "check/generate/hunt.h"

/* Of a hunt that has failed: the smaller program, its exploration, and its shortest run. */
void shrink_program(struct hunt *h);

#endif
