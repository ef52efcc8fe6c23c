/* SPDX-License-Identifier: MIT */
/* base/random.h - numbers that a guest cannot know. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

/* The kernel's; or, where it refuses, what it gave this program at its start. */
void random_fill(uint64_t *words, unsigned int n);

#endif
