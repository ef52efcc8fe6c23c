/* SPDX-License-Identifier: MIT */
#include "check/generate/chance.h"

#include <string.h>

#include "check/engine/sched.h"
#include "check/generate/alphabet.h"

static uint64_t roll(struct chance *c, uint64_t n)
{
	c->state += 0x9e3779b97f4a7c15ull;
	return hash_mix(c->state, 3) % n;
}

void chance_begin(struct chance *c, uint64_t seed)
{
	memset(c, 0, sizeof(*c));
	c->state = hash_mix(seed, 0x6e6);
}

static const struct alphabet *any_alphabet(struct chance *c)
{
	unsigned int n;
	const struct alphabet *all = alphabets(&n);

	return &all[roll(c, n)];
}

/* One whose operations mean something in the world of @options. */
static const struct alphabet *like(struct chance *c, uint32_t options)
{
	const struct alphabet *a;

	do {
		a = any_alphabet(c);
	} while ((a->options ^ options) & WORLD_paged);
	return a;
}

static struct operation letter(struct chance *c, const struct alphabet *a, bool vcpu, uint8_t n)
{
	struct operation o = vcpu ? a->vcpu[roll(c, a->n_vcpu)] : a->others[roll(c, a->n_others)];

	if (vcpu)
		o.vcpu = n;
	return o;
}

static void add_thread(struct chance *c, const struct alphabet *a, struct generated *g, bool vcpu,
		       uint8_t n)
{
	struct generated_thread *t = &g->thread[g->n_threads++];

	t->n = (uint8_t)(1 + roll(c, 3));
	for (unsigned int i = 0; i < t->n; i++)
		t->op[i] = letter(c, a, vcpu, n);
}

static void make(struct chance *c, struct generated *g)
{
	const struct alphabet *a = any_alphabet(c);
	uint64_t s = roll(c, a->n_setups);

	*g = (struct generated){ .options = a->options, .n_setup = a->setup[s].n };
	memcpy(g->setup, a->setup[s].op, sizeof(g->setup));
	add_thread(c, a, g, true, 0);
	if (roll(c, 3))
		add_thread(c, a, g, true, 1);
	if (g->n_threads == 1 || roll(c, 4))
		add_thread(c, a, g, false, 0);
	if (!roll(c, 4))
		add_thread(c, a, g, false, 0);
}

/* --- a little change ---------------------------------------------------------------- */

static void change_option(struct chance *c, struct generated *g)
{
	static const uint32_t any[] = {
		WORLD_forgets, WORLD_waits, WORLD_oldflush, WORLD_log, WORLD_ring, WORLD_alias,
	};

	g->options ^= any[roll(c, ARRAY_SIZE(any))];
}

static void insert(struct operation *o, uint8_t *n, unsigned int most, uint64_t at,
		   struct operation new)
{
	if (*n == most)
		return;
	memmove(&o[at + 1], &o[at], (*n - at) * sizeof(*o));
	o[at] = new;
	++*n;
}

static void change_setup(struct chance *c, struct generated *g)
{
	const struct alphabet *a = like(c, g->options);

	if (g->n_setup && !roll(c, 2))
		g->setup[roll(c, g->n_setup)] = letter(c, a, true, (uint8_t)roll(c, 2));
	else
		insert(g->setup, &g->n_setup, PROGRAM_SETUP, roll(c, g->n_setup + 1u),
		       letter(c, a, roll(c, 3), (uint8_t)roll(c, 2)));
}

/* Whose thread it is stays so; but a vCPU's thread may end with a call. */
static void change_thread(struct chance *c, struct generated *g)
{
	struct generated_thread *t = &g->thread[roll(c, g->n_threads)];
	bool vcpu = operation_actor(t->op[0]) == ACTOR_VCPU;
	uint8_t n = t->op[0].vcpu;
	const struct alphabet *a = like(c, g->options);

	if (vcpu && !roll(c, 6))
		insert(t->op, &t->n, PROGRAM_LENGTH, t->n, letter(c, a, false, 0));
	else if (roll(c, 2))
		t->op[roll(c, t->n)] = letter(c, a, vcpu, n);
	else if (t->n < 4)
		insert(t->op, &t->n, PROGRAM_LENGTH, roll(c, t->n + 1u), letter(c, a, vcpu, n));
}

static void change(struct chance *c, struct generated *g)
{
	switch (roll(c, 6)) {
	case 0:
		change_option(c, g);
		break;
	case 1:
		change_setup(c, g);
		break;
	case 2:
		if (g->n_threads < PROGRAM_THREADS)
			add_thread(c, like(c, g->options), g, false, 0);
		break;
	default:
		change_thread(c, g);
		break;
	}
}

void chance_program(struct chance *c, struct generated *g)
{
	do {
		if (c->n_kept && roll(c, 4)) {
			*g = c->kept[roll(c, MIN(c->n_kept, CHANCE_KEPT))];
			for (uint64_t n = 1 + roll(c, 3); n; n--)
				change(c, g);
		} else {
			make(c, g);
		}
	} while (!program_is_valid(g));
}

void chance_keep(struct chance *c, const struct generated *g)
{
	c->kept[c->n_kept++ % CHANCE_KEPT] = *g;
}
