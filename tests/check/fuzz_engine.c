/* SPDX-License-Identifier: MIT */
/*
 * fuzz_engine [PROGRAMS [SEED]] - random small programs, in all memory models and bounds: the
 * engine with pruning, the engine without, and an interpreter that knows nothing of it
 * (reference.c) see the same outcomes.
 *
 * What differs is made as small as it can be, and printed: a case for test_litmus.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "litmus.h"

/* Schedules, beyond which a program is not explored without pruning. */
#define MAX_RUNS 3000

static const char *const models[] = { "sc", "tso", "weak" };

/* --- programs by chance ---------------------------------------------------------------- */

static uint64_t seed;

static unsigned int roll(unsigned int n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned int)((seed >> 33) % n);
}

static void add_step(struct litmus_thread *t, enum step_kind kind, unsigned int x,
		     unsigned int value)
{
	t->step[t->n++] = (struct step){
		.kind = (uint8_t)kind, .x = (uint8_t)x, .value = (uint8_t)value,
	};
}

/* What has an end as well as a beginning. */
static void add_pair(struct litmus_thread *t, unsigned int words)
{
	bool rcu = roll(3) == 0;
	unsigned int lock = roll(4) == 0;

	add_step(t, rcu ? STEP_RCU : STEP_LOCK, rcu ? 0 : lock, 0);
	add_step(t, roll(2) ? STEP_LD : STEP_ST, roll(words), 1 + roll(3));
	add_step(t, rcu ? STEP_UNRCU : STEP_UNLOCK, rcu ? 0 : lock, 0);
}

static void add_one(struct litmus_thread *t, unsigned int words)
{
	static const enum step_kind often[] = { STEP_ST, STEP_LD, STEP_ST, STEP_LD, STEP_STREL,
						STEP_LDA, STEP_XCHG };
	enum step_kind kind = roll(3) ? often[roll(7)] : (enum step_kind)roll(STEP_KINDS);

	/* With their pairs, below; and counters have one writer. */
	while (kind == STEP_LOCK || kind == STEP_UNLOCK || kind == STEP_RCU ||
	       kind == STEP_UNRCU || kind == STEP_COUNT)
		kind = (enum step_kind)roll(STEP_KINDS);
	/* These wait for others, who seldom come. */
	if ((kind == STEP_SPIN || kind == STEP_WAIT) && roll(3))
		kind = STEP_LD;
	add_step(t, kind, roll(words), 1 + roll(3));
	if (kind == STEP_ST || kind == STEP_STREL)
		t->step[t->n - 1].adds_read = roll(5) == 0;
}

static void make_program(struct litmus *p)
{
	unsigned int words = 1 + roll(LITMUS_WORDS), steps;

	memset(p, 0, sizeof(*p));
	p->n_threads = roll(4) ? 2 : 3;
	steps = p->n_threads == 2 ? 4 : 3;
	for (unsigned int n = 0; n < p->n_threads; n++) {
		struct litmus_thread *t = &p->thread[n];
		unsigned int most = 1 + roll(steps);

		while (t->n < most) {
			if (t->n + 3 <= most + 1 && roll(6) == 0)
				add_pair(t, words);
			else
				add_one(t, words);
		}
	}
	/* A word that only one thread writes, as a counter. */
	if (roll(6) == 0 && words < LITMUS_WORDS) {
		add_step(&p->thread[0], STEP_COUNT, words, 0);
		add_step(&p->thread[1], STEP_LD, words, 0);
	}
}

/* --- comparison ----------------------------------------------------------------------- */

static bool has(const struct seen *s, uint64_t outcome)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (s->outcome[i] == outcome)
			return true;
	return false;
}

/* What is wrong with @engine; NULL if nothing. */
static const char *compare(const struct seen *engine, const struct seen *reference)
{
	if (engine->no_progress != reference->no_progress ||
	    (engine->no_progress && engine->no_progress_cost != reference->no_progress_cost))
		return "whether it comes to an end";
	/* It stops at the first failure. */
	for (unsigned int i = 0; i < reference->n && !engine->no_progress; i++)
		if (!has(engine, reference->outcome[i]))
			return "an outcome is missed";
	for (unsigned int i = 0; i < engine->n; i++)
		if (!has(reference, engine->outcome[i]))
			return "an outcome that cannot be";
	return NULL;
}

static uint64_t n_unpruned;

static const char *is_wrong(const struct litmus *p, enum memory_model memory, unsigned int bound)
{
	static struct seen engine, reference;
	const char *what;

	reference_explore(p, memory, bound, &reference);
	litmus_explore(p, memory, bound, true, 0, &engine);
	what = compare(&engine, &reference);
	if (what)
		return what;
	litmus_explore(p, memory, bound, false, MAX_RUNS, &engine);
	if (!engine.complete)
		return NULL;
	n_unpruned++;
	return compare(&engine, &reference) ? "without pruning" : NULL;
}

static bool is_half(const struct step *s)
{
	return s->kind == STEP_LOCK || s->kind == STEP_UNLOCK || s->kind == STEP_RCU ||
	       s->kind == STEP_UNRCU;
}

static void shrink_program(struct litmus *p, enum memory_model memory, unsigned int *bound)
{
	while (*bound && is_wrong(p, memory, *bound - 1))
		--*bound;
	for (unsigned int n = 0; n < p->n_threads; n++) {
		for (unsigned int i = p->thread[n].n; i-- > 0;) {
			struct litmus less = *p;
			struct litmus_thread *t = &less.thread[n];

			if (is_half(&t->step[i]) || t->n == 1)
				continue;
			t->n--;
			memmove(&t->step[i], &t->step[i + 1], (t->n - i) * sizeof(t->step[0]));
			if (is_wrong(&less, memory, *bound))
				*p = less;
		}
	}
}

static void tell(struct litmus *p, enum memory_model memory, unsigned int bound)
{
	static struct seen engine, reference;
	char text[400];

	shrink_program(p, memory, &bound);
	litmus_print(p, text, sizeof(text));
	printf("%s, bound %u: %s: %s\n", models[memory], bound, text, is_wrong(p, memory, bound));
	reference_explore(p, memory, bound, &reference);
	litmus_explore(p, memory, bound, true, 0, &engine);
	for (unsigned int i = 0; i < reference.n; i++)
		if (!has(&engine, reference.outcome[i]))
			printf("    missed: %llx, at cost %u\n",
			       (unsigned long long)reference.outcome[i], reference.cost[i]);
	for (unsigned int i = 0; i < engine.n; i++)
		if (!has(&reference, engine.outcome[i]))
			printf("    cannot be: %llx\n", (unsigned long long)engine.outcome[i]);
	printf("    no end: engine %d at %u, reference %d at %u\n", engine.no_progress,
	       engine.no_progress_cost, reference.no_progress, reference.no_progress_cost);
}

int main(int argc, char **argv)
{
	unsigned long programs = argc > 1 ? strtoul(argv[1], NULL, 0) : 3000, wrong = 0;

	seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	for (unsigned long i = 0; i < programs && wrong < 10; i++) {
		enum memory_model memory = (enum memory_model)(i % 3);
		unsigned int bound = roll(5);
		struct litmus p;

		make_program(&p);
		if (is_wrong(&p, memory, bound)) {
			wrong++;
			tell(&p, memory, bound);
			fflush(stdout);
		}
	}
	printf("%lu programs, %llu of them without pruning too: %lu wrong\n", programs,
	       (unsigned long long)n_unpruned, wrong);
	return wrong != 0;
}
