/* SPDX-License-Identifier: MIT */
#include "machine/startup.h"

void startup_post_init(struct atomic32 *word)
{
	atomic32_xchg(word, STARTUP_INIT);
}

void startup_post_sipi(struct atomic32 *word, uint8_t vector)
{
	uint32_t old = atomic32_load_relaxed(word);

	while (!atomic32_cmpxchg(word, &old, (old & STARTUP_INIT) | STARTUP_SIPI | vector))
		;
}

uint32_t startup_take(struct atomic32 *word)
{
	return atomic32_load_relaxed(word) ? atomic32_xchg(word, 0) : 0;
}
