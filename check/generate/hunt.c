/* SPDX-License-Identifier: MIT */
#include "check/generate/hunt.h"

#include <limits.h>

#include "check/generate/chance.h"
#include "check/generate/enumerate.h"
#include "check/generate/novelty.h"
#include "check/generate/scenario.h"
#include "check/generate/shrink.h"

static double left(const struct hunt *h, double start)
{
	double left = h->seconds - (explore_now() - start);

	return left > 0.001 ? left : 0.001;
}

static void select_program(const struct hunt *h, const struct generated *g, struct scenario *s)
{
	*s = (struct scenario){ .about = "a generated scenario" };
	generated_fill(g, s);
	s->program.memory = h->memory;
	scenario_selected = s;
}

/* In one mode.  True: it fails. */
static bool explore_program(struct hunt *h, const struct generated *g, enum mmu_mode mode,
			    double start)
{
	struct scenario s;
	struct explore_options o = {
		.bound = h->bound, .max_runs = h->max_runs, .warm_up = 8,
		.seconds = h->seconds > 0 ? left(h, start) : 0,
	};

	select_program(h, g, &s);
	machine_mode = mode;
	explore(&s.program, &o, &h->e);
	h->runs += h->e.runs;
	h->programs++;
	h->complete += h->e.complete;
	if (!h->e.failed)
		return false;
	h->failed = true;
	h->mode = mode;
	h->program = *g;
	return true;
}

static bool is_over(struct hunt *h, double start)
{
	return (h->seconds > 0 && explore_now() - start > h->seconds) ||
	       (h->go_on && !h->go_on(h->ctx, h));
}

/* True: go on with the next. */
static bool try_program(struct hunt *h, const struct generated *g, double start)
{
	for (enum mmu_mode mode = MMU_TDP; mode <= MMU_SHADOW; mode++) {
		if (!(h->modes & 1u << mode))
			continue;
		if (is_over(h, start) || explore_program(h, g, mode, start))
			return false;
	}
	return true;
}

static unsigned int operations_of(struct size size)
{
	return size.n[0] + size.n[1] + size.n[2];
}

static bool hunt_size(struct hunt *h, struct size size, double start)
{
	uint64_t count = enumerate_count(size);
	struct generated g;

	for (uint64_t i = h->part; i < count; i += h->parts)
		if (enumerate(size, i, &g) && !try_program(h, &g, start))
			return false;
	return true;
}

/* The enumerated ones, the smallest first. */
static bool hunt_all(struct hunt *h, double start)
{
	struct size size;

	for (unsigned int i = 0; enumerate_size(i, &size); i++) {
		if (h->size && operations_of(size) > h->size)
			continue;
		if (!hunt_size(h, size, start))
			return false;
	}
	return true;
}

/* In either mode. */
static bool is_new(const struct hunt *h, const struct generated *g, uint64_t seed)
{
	struct scenario s;
	unsigned int n = 0;

	select_program(h, g, &s);
	for (machine_mode = MMU_TDP; machine_mode <= MMU_SHADOW; machine_mode++)
		if (h->modes & 1u << machine_mode)
			n += novelty(&s.program, seed);
	return n;
}

/* @n of them; 0: for ever.  False: that is enough. */
static bool hunt_by_chance(struct hunt *h, struct chance *c, unsigned int n, double start)
{
	struct generated g;

	for (uint64_t done = 0, i = 0; !n || done < n; i++) {
		chance_program(c, &g);
		if (is_new(h, &g, i))
			chance_keep(c, &g);
		else if (i % 4)
			continue;
		if (!try_program(h, &g, start))
			return false;
		done++;
	}
	return true;
}

/* --- who hunts one thing, for a while -------------------------------------------------- */

/* Most of what can be found needs few preemptions: these first, with a limit of runs. */
static void set_effort(struct hunt *h, bool slow, unsigned int bound)
{
	h->bound = slow ? bound : MIN(bound, 1u);
	h->max_runs = slow ? 3000 : 400;
}

/* The next @n of a size. */
static bool hunt_some(struct hunt *h, struct size size, uint64_t *next, unsigned int n,
		      double start)
{
	uint64_t count = enumerate_count(size);
	struct generated g;

	for (; n && *next < count; ++*next) {
		if (!enumerate(size, *next, &g))
			continue;
		if (!try_program(h, &g, start))
			return false;
		n--;
	}
	return true;
}

/* All of the smallest; then in turns more of those with more preemptions, some of each larger
 * size, and some by chance. */
static void hunt_in_turns(struct hunt *h, struct chance *c, double start)
{
	static const struct {
		uint8_t size;
		bool slow;
	} turns[] = {
		{ 0, true }, { 1, false }, { 4, false }, { 2, false }, { 0, true }, { 5, false },
		{ 1, true }, { 3, false }, { ENUMERATE_SIZES, true }, { 4, true },
	};
	uint64_t next[2][ENUMERATE_SIZES] = { 0 };
	unsigned int bound = h->bound;
	bool go_on;
	struct size size;

	set_effort(h, false, bound);
	enumerate_size(0, &size);
	go_on = hunt_some(h, size, &next[false][0], UINT_MAX, start);
	for (unsigned int i = 0; go_on; i = (i + 1) % ARRAY_SIZE(turns)) {
		unsigned int slow = turns[i].slow, n = slow ? 16 : 32;

		set_effort(h, slow, bound);
		go_on = enumerate_size(turns[i].size, &size) ?
				hunt_some(h, size, &next[slow][turns[i].size], n, start) :
				hunt_by_chance(h, c, n, start);
	}
	h->bound = bound;
}

void hunt(struct hunt *h)
{
	double start = explore_now();
	static struct chance chance;

	chance_begin(&chance, h->seed * h->parts + h->part);
	if (h->in_turns)
		hunt_in_turns(h, &chance, start);
	else if ((h->only_chance || hunt_all(h, start)) && !h->size && h->seconds > 0)
		hunt_by_chance(h, &chance, 0, start);
	if (h->failed)
		shrink_program(h);
	h->used = explore_now() - start;
}
