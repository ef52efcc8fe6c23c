/* SPDX-License-Identifier: MIT */
/*
 * check/generate/novelty.h - has a program shown what no other has?
 *
 * What it shows are the lines of the timelines of some runs, without numbers: an entry's bits
 * before and after, trace points, locks; and pairs of lines of two threads, of which one follows
 * the other: places that race.
 */
#ifndef CHECK_GENERATE_NOVELTY_H
#define CHECK_GENERATE_NOVELTY_H

#include "check/engine/sched.h"

/* How many such things it is the first to show; counts from now on. */
unsigned int novelty(const struct program *p, uint64_t seed);

#endif
