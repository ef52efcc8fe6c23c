/* SPDX-License-Identifier: MIT */
/*
 * check/generate/enumerate.h - all programs of the alphabets, by size, up to symmetry.
 *
 * The first thread is vCPU 0's; the second vCPU 1's, or makes calls; the third makes calls.
 */
#ifndef CHECK_GENERATE_ENUMERATE_H
#define CHECK_GENERATE_ENUMERATE_H

#include "check/generate/program.h"

/* Operations of each thread. */
struct size {
	uint8_t n[3];
};

#define ENUMERATE_SIZES 10u
/* From the smallest: i-th, or false if there are no more. */
bool enumerate_size(unsigned int i, struct size *size);

/* Numbers, of which not all are programs. */
uint64_t enumerate_count(struct size size);
/*
 * The @i-th, in an order in which the alphabets alternate.  False: it is not valid, or another
 * is the same but for names.
 */
bool enumerate(struct size size, uint64_t i, struct generated *g);

#endif
