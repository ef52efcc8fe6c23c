/* SPDX-License-Identifier: MIT */
#include "check/generate/program.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "check/generate/world.h"

static const struct {
	const char *name;
	uint32_t bit;
} options[] = {
#define WORLD_OPTION(name, bit) { #name, 1u << (bit) },
#include "check/generate/option.def"
#undef WORLD_OPTION
};

/* --- as a word ------------------------------------------------------------------- */

struct writer {
	char *text;
	size_t n;
};

static void put(struct writer *w, const char *word)
{
	size_t n = strlen(word);

	if (w->n + n < PROGRAM_BYTES)
		memcpy(w->text + w->n, word, n + 1);
	w->n += n;
}

static void put_operations(struct writer *w, const struct operation *o, unsigned int n)
{
	char word[OPERATION_BYTES];

	for (unsigned int i = 0; i < n; i++) {
		operation_print(o[i], word);
		put(w, i ? "," : "");
		put(w, word);
	}
}

bool program_print(const struct generated *g, char text[PROGRAM_BYTES])
{
	struct writer w = { .text = text };

	text[0] = 0;
	if (!g->options)
		put(&w, "flat");
	for (unsigned int i = 0; i < ARRAY_SIZE(options); i++) {
		if (!(g->options & options[i].bit))
			continue;
		put(&w, w.n ? "," : "");
		put(&w, options[i].name);
	}
	put(&w, ":");
	put_operations(&w, g->setup, g->n_setup);
	put(&w, ":");
	for (unsigned int t = 0; t < g->n_threads; t++) {
		put(&w, t ? "+" : "");
		put_operations(&w, g->thread[t].op, g->thread[t].n);
	}
	return w.n < PROGRAM_BYTES;
}

bool program_parse_options(const char *text, uint32_t *bits)
{
	char copy[PROGRAM_BYTES], *rest = copy, *word;

	*bits = 0;
	if (strcmp(text, "flat") == 0)
		return true;
	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	while ((word = strsep(&rest, ","))) {
		uint32_t bit = 0;

		for (unsigned int i = 0; i < ARRAY_SIZE(options); i++)
			if (strcmp(options[i].name, word) == 0)
				bit = options[i].bit;
		if (!bit)
			return false;
		*bits |= bit;
	}
	return true;
}

static bool parse_operations(char *text, struct operation *o, unsigned int most, uint8_t *n)
{
	char *rest = text, *word;

	*n = 0;
	while (*text && (word = strsep(&rest, ",")))
		if (*n == most || !operation_parse(word, &o[(*n)++]))
			return false;
	return true;
}

bool program_parse(const char *text, struct generated *g)
{
	char copy[PROGRAM_BYTES], *rest = copy, *world, *setup, *thread;

	*g = (struct generated){ 0 };
	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	world = strsep(&rest, ":");
	setup = strsep(&rest, ":");
	if (!rest || !program_parse_options(world, &g->options) ||
	    !parse_operations(setup, g->setup, PROGRAM_SETUP, &g->n_setup))
		return false;
	while ((thread = strsep(&rest, "+"))) {
		struct generated_thread *t = &g->thread[g->n_threads];

		if (g->n_threads++ == PROGRAM_THREADS ||
		    !parse_operations(thread, t->op, PROGRAM_LENGTH, &t->n) || !t->n)
			return false;
	}
	return program_is_valid(g);
}

/* --- what it says --------------------------------------------------------------- */

unsigned int program_size(const struct generated *g)
{
	unsigned int n = 0;

	for (unsigned int t = 0; t < g->n_threads; t++)
		n += g->thread[t].n;
	return n;
}

static bool any(const struct generated *g, bool (*is)(struct operation o, unsigned int arg),
		unsigned int arg)
{
	for (unsigned int i = 0; i < g->n_setup; i++)
		if (is(g->setup[i], arg))
			return true;
	for (unsigned int t = 0; t < g->n_threads; t++)
		for (unsigned int i = 0; i < g->thread[t].n; i++)
			if (is(g->thread[t].op[i], arg))
				return true;
	return false;
}

static bool is_kind(struct operation o, unsigned int kind)
{
	return o.kind == kind;
}

bool program_has(const struct generated *g, enum operation_kind kind)
{
	return any(g, is_kind, kind);
}

static bool needs_vcpu(struct operation o, unsigned int n)
{
	return (operation_actor(o) == ACTOR_VCPU ? o.vcpu : o.kind == OP_reap ? o.a : 0) >= n;
}

unsigned int program_vcpus(const struct generated *g)
{
	unsigned int n = 1;

	while (n < WORLD_VCPUS && any(g, needs_vcpu, n))
		n++;
	return n;
}

/* --- validity -------------------------------------------------------------------- */

static bool options_are_valid(uint32_t o)
{
	bool paged = o & WORLD_paged;

	if (o & WORLD_manual && o & WORLD_ring)
		return false;
	if (o & WORLD_initial && !(o & WORLD_manual))
		return false;
	if (o & WORLD_smallring && !(o & WORLD_ring))
		return false;
	if (o & (WORLD_huge | WORLD_full | WORLD_awaited) && paged)
		return false;
	if (o & (WORLD_huge | WORLD_full) && o & (WORLD_alias | WORLD_awaited))
		return false;
	return !(o & WORLD_huge && o & WORLD_full);
}

static bool halts(struct operation o)
{
	return o.kind == OP_halt || o.kind == OP_startup || o.kind == OP_pause;
}

static bool wakes(struct operation o)
{
	return o.kind == OP_irq || o.kind == OP_init || o.kind == OP_sipi || o.kind == OP_kick;
}

static bool is_about_halts(struct operation o)
{
	return halts(o) || wakes(o);
}

static bool operations_are_valid(const struct generated *g, const struct operation *o,
				 unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		bool logs = o[i].kind == OP_get || o[i].kind == OP_clear ||
			    o[i].kind == OP_getawaited;

		if (!operation_is_valid(o[i], g->options & WORLD_paged, world_host_pages(g)))
			return false;
		if ((o[i].kind == OP_reap) != !!(g->options & WORLD_ring) &&
		    (logs || o[i].kind == OP_reap))
			return false;
		if (o[i].kind == OP_clear && !(g->options & WORLD_manual))
			return false;
		if (is_about_halts(o[i]) && !(g->options & WORLD_halt))
			return false;
		if ((o[i].kind == OP_provide || o[i].kind == OP_getawaited) &&
		    !(g->options & WORLD_awaited))
			return false;
	}
	return true;
}

struct roles {
	unsigned int vcpu;	/* + 1; 0: none's thread */
	bool changes, takes, awaits, provides, client;
	bool relinks, tears;	/* the directory; and then writes to the table */
};

static bool is_directory(struct operation o)
{
	return o.kind == OP_link || o.kind == OP_large || o.kind == OP_largero;
}

static bool is_leaf(struct operation o)
{
	return o.kind == OP_map || o.kind == OP_drop || o.kind == OP_protect ||
	       o.kind == OP_clean || o.kind == OP_age || o.kind == OP_fill ||
	       o.kind == OP_supervisor || o.kind == OP_noexec;
}

static bool find_roles(const struct generated_thread *t, struct roles *r)
{
	*r = (struct roles){ 0 };
	for (unsigned int i = 0; i < t->n; i++) {
		struct operation o = t->op[i];

		r->changes |= operation_changes_slots(o);
		r->takes |= o.kind == OP_get || o.kind == OP_clear || o.kind == OP_reap;
		r->awaits |= o.kind == OP_getawaited;
		r->provides |= o.kind == OP_provide;
		r->client |= operation_actor(o) == ACTOR_CLIENT;
		r->relinks |= is_directory(o);
		r->tears |= r->relinks && is_leaf(o) && o.a >= ENTRIES_PER_TABLE;
		if (operation_actor(o) != ACTOR_VCPU)
			continue;
		if (r->vcpu && r->vcpu != o.vcpu + 1u)
			return false;
		r->vcpu = o.vcpu + 1u;
	}
	return true;
}

/* What the kernel does under locks of its own, which the simulated host does not have. */
static bool keeps_page(struct operation o)
{
	return o.kind == OP_readonly || o.kind == OP_migrate || o.kind == OP_refill;
}

static bool changes_page(struct operation o)
{
	return keeps_page(o) || o.kind == OP_unmap || o.kind == OP_replace ||
	       o.kind == OP_nested || o.kind == OP_sweep;
}

static bool collide(const struct generated_thread *x, const struct generated_thread *y)
{
	for (unsigned int i = 0; i < x->n; i++)
		for (unsigned int k = 0; k < y->n; k++)
			if (keeps_page(x->op[i]) && changes_page(y->op[k]) &&
			    x->op[i].a <= y->op[k].b && y->op[k].a <= x->op[i].b)
				return true;
	return false;
}

static bool any_collide(const struct generated *g)
{
	for (unsigned int t = 0; t < g->n_threads; t++)
		for (unsigned int u = 0; u < g->n_threads; u++)
			if (t != u && collide(&g->thread[t], &g->thread[u]))
				return true;
	return false;
}

struct wakings {
	unsigned int n_halts, n_startups, n_pauses, vectors;
	bool starts, kicks;
};

/* False: whoever is to wake waits itself. */
static bool count_wakings(const struct generated_thread *t, struct wakings *w)
{
	bool init = false, vcpu = false, wake = false;

	for (unsigned int i = 0; i < t->n; i++) {
		struct operation o = t->op[i];

		w->n_halts += o.kind == OP_halt;
		w->n_startups += o.kind == OP_startup;
		w->n_pauses += o.kind == OP_pause;
		w->vectors |= o.kind == OP_irq ? 1u << o.a : 0;
		w->kicks |= o.kind == OP_kick;
		init |= o.kind == OP_init;
		w->starts |= init && o.kind == OP_sipi;
		vcpu |= operation_actor(o) == ACTOR_VCPU || o.kind == OP_getawaited;
		wake |= wakes(o);
	}
	return !(vcpu && wake);
}

/* Each halt has what ends it; an INIT, as it takes all else along, is for one that starts. */
static bool wakes_all(const struct generated *g)
{
	struct wakings w = { 0 };

	for (unsigned int i = 0; i < g->n_setup; i++)
		if (is_about_halts(g->setup[i]))
			return false;
	for (unsigned int t = 0; t < g->n_threads; t++)
		if (!count_wakings(&g->thread[t], &w))
			return false;
	if (program_has(g, OP_init) && (w.n_halts || w.n_pauses || w.n_startups != 1))
		return false;
	return w.n_halts <= (unsigned int)__builtin_popcount(w.vectors) &&
	       w.n_startups <= w.starts && (!w.n_pauses || w.kicks);
}

bool program_is_valid(const struct generated *g)
{
	unsigned int n_change = 0, n_take = 0, vcpus = 0, n_vcpus = 0;
	bool tears = false, awaits = false, provided = false, both = false;

	if (!options_are_valid(g->options) || !g->n_threads ||
	    !operations_are_valid(g, g->setup, g->n_setup) || !wakes_all(g) ||
	    any_collide(g))
		return false;
	for (unsigned int t = 0; t < g->n_threads; t++) {
		struct roles r;

		if (!operations_are_valid(g, g->thread[t].op, g->thread[t].n) ||
		    !find_roles(&g->thread[t], &r) || (r.vcpu && vcpus & 1u << r.vcpu))
			return false;
		vcpus |= r.vcpu ? 1u << r.vcpu : 0;
		n_change += r.changes;
		n_take += r.takes || r.awaits;
		both |= r.changes && (r.takes || r.awaits);
		n_vcpus += r.vcpu != 0;
		tears |= r.tears;
		awaits |= r.awaits;
		/* It must not wait itself. */
		provided |= r.provides && !r.client && !r.vcpu;
	}
	if (n_change > 1 || (n_change && n_take && (n_take > 1 || !both)))
		return false;
	return (!awaits || provided) && (!tears || n_vcpus < 2);
}
