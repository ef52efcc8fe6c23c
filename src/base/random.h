/* SPDX-License-Identifier: MIT */
/* base/random.h - numbers that a guest cannot know. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

/* From the kernel; if it refuses, from what it gave this program at exec. */
void random_fill(uint64_t *words, unsigned int n);

#endif
