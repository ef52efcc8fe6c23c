/* SPDX-License-Identifier: MIT */
#include "check/generate/novelty.h"

#include <ctype.h>

#include "check/engine/explore.h"
#include "check/engine/timeline.h"

#define RUNS 24
#define BITS 20

static uint64_t seen[(1u << BITS) / 64];
static unsigned int n_new;

static void show(uint64_t what)
{
	uint64_t bit = 1ull << (what & 63), *word = &seen[what >> 6 & (ARRAY_SIZE(seen) - 1)];

	n_new += !(*word & bit);
	*word |= bit;
}

static uint64_t line(const char *text)
{
	uint64_t h = 1;

	for (; *text; text++)
		if (!isdigit((unsigned char)*text))
			h = hash_mix(h, (unsigned char)*text);
	return h;
}

static void look_at_run(void *ctx)
{
	unsigned int n;
	const struct event *e = timeline_events(&n);
	uint64_t before = 0;

	(void)ctx;
	for (unsigned int i = 0; i < n; i++) {
		uint64_t h = line(e[i].text);

		if (e[i].thread < 0)
			continue;
		show(h);
		if (i && e[i - 1].thread != e[i].thread)
			show(hash_mix(before, h));
		before = h;
	}
}

unsigned int novelty(const struct program *p, uint64_t seed)
{
	const struct explore_options o = {
		.random = true, .bound = 3, .seed = seed, .max_runs = RUNS,
		.after_run = look_at_run,
	};
	struct exploration e;

	n_new = 0;
	timeline_on = true;
	explore(p, &o, &e);
	timeline_on = false;
	return n_new;
}
