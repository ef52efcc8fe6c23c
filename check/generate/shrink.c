/* SPDX-License-Identifier: MIT */
#include "check/generate/shrink.h"

#include <string.h>

#include "check/generate/scenario.h"

/* A smaller program may need more runs to be done with; not so many more. */
#define RUNS 20000

static bool explore_again(const struct hunt *h, const struct generated *g, struct exploration *e,
			  struct scenario *s)
{
	const struct explore_options o = { .bound = h->bound, .max_runs = RUNS };

	*s = (struct scenario){ .about = "a generated scenario" };
	generated_fill(g, s);
	s->program.memory = h->memory;
	scenario_selected = s;
	machine_mode = h->mode;
	explore(&s->program, &o, e);
	return e->failed;
}

/* It is kept if it fails in the same way. */
static bool try(struct hunt *h, const struct generated *g)
{
	struct exploration e;
	struct scenario s;

	if (!program_is_valid(g) || !explore_again(h, g, &e, &s) ||
	    e.result.verdict != h->e.result.verdict)
		return false;
	h->program = *g;
	h->e = e;
	return true;
}

static void remove_at(struct operation *o, uint8_t *n, unsigned int i)
{
	memmove(&o[i], &o[i + 1], (*n - i - 1u) * sizeof(*o));
	--*n;
}

static bool without_threads(struct hunt *h)
{
	for (unsigned int t = 0; t < h->program.n_threads; t++) {
		struct generated g = h->program;

		g.n_threads--;
		memmove(&g.thread[t], &g.thread[t + 1],
			(g.n_threads - t) * sizeof(g.thread[0]));
		if (try(h, &g))
			return true;
	}
	return false;
}

static bool without_operations(struct hunt *h)
{
	for (unsigned int t = 0; t < h->program.n_threads; t++) {
		for (unsigned int i = 0; i < h->program.thread[t].n; i++) {
			struct generated g = h->program;

			remove_at(g.thread[t].op, &g.thread[t].n, i);
			if (g.thread[t].n && try(h, &g))
				return true;
		}
	}
	for (unsigned int i = 0; i < h->program.n_setup; i++) {
		struct generated g = h->program;

		remove_at(g.setup, &g.n_setup, i);
		if (try(h, &g))
			return true;
	}
	return false;
}

static bool without_options(struct hunt *h)
{
	for (uint32_t bit = 1; bit <= h->program.options; bit <<= 1) {
		struct generated g = h->program;

		g.options &= ~bit;
		if (g.options != h->program.options && try(h, &g))
			return true;
	}
	return false;
}

void shrink_program(struct hunt *h)
{
	struct exploration e;
	struct scenario s;

	while (without_threads(h) || without_operations(h) || without_options(h))
		;
	if (explore_again(h, &h->program, &e, &s)) {
		h->e = e;
		shrink(&s.program, &h->e);
	}
}
