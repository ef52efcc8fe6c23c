/* SPDX-License-Identifier: MIT */
#include "base/random.h"

#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

static uint64_t scramble(uint64_t x)
{
	x = (x ^ x >> 31) * 0xa0761d6478bd642full;
	x = (x ^ x >> 29) * 0xe7037ed1a0b428dbull;
	return x ^ x >> 32;
}

/* Two callers get different numbers, by the address of their words. */
static void fill_from_start(uint64_t *words, unsigned int n)
{
	const void *start = (const void *)(uintptr_t)getauxval(AT_RANDOM);
	uint64_t seed[2] = { 0 };

	if (start)
		memcpy(seed, start, sizeof(seed));
	for (unsigned int i = 0; i < n; i++)
		words[i] = scramble(seed[i % 2] + (uintptr_t)&words[i]);
}

void random_fill(uint64_t *words, unsigned int n)
{
	if (getrandom(words, n * sizeof(*words), GRND_NONBLOCK) != (ssize_t)(n * sizeof(*words)))
		fill_from_start(words, n);
}
