/* SPDX-License-Identifier: MIT */
#include "check/engine/explore.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bug.h"
#include "check/engine/crash.h"
#include "check/engine/memory.h"
#include "check/engine/run.h"

double explore_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *grown(void *p, size_t bytes)
{
	p = realloc(p, bytes);
	if (!p)
		abort();
	return p;
}

/* --- the states that were reached, each with the least cost ------------------- */

#define MAX_STATE_BITS 24
#define COST_MASK 15ull

static struct {
	uint64_t *key;		/* hash with the cost in its low bits; 0: free */
	unsigned int bits;
	uint64_t n;
} states;

static void states_clear(void)
{
	if (states.bits != 14)
		states.key = grown(states.key, sizeof(uint64_t) << 14);
	states.bits = 14;
	states.n = 0;
	memset(states.key, 0, sizeof(uint64_t) << 14);
}

static uint64_t *states_find(uint64_t hash)
{
	uint64_t mask = (1ull << states.bits) - 1, i = hash >> 20;

	for (;; i++) {
		uint64_t *k = &states.key[i & mask];

		if (!*k || (*k & ~COST_MASK) == (hash & ~COST_MASK))
			return k;
	}
}

static void states_grow(void)
{
	uint64_t *old = states.key, n = 1ull << states.bits;

	states.bits++;
	states.key = calloc(2 * n, sizeof(uint64_t));
	if (!states.key)
		abort();
	for (uint64_t i = 0; i < n; i++)
		if (old[i])
			*states_find(old[i]) = old[i];
	free(old);
}

/* Was it reached at this cost or less?  If not it is now. */
static bool states_reach(uint64_t hash, unsigned int cost)
{
	uint64_t *k;

	if (!(hash & ~COST_MASK))
		hash = ~COST_MASK;
	if (states.n > (1ull << states.bits) / 2 && states.bits < MAX_STATE_BITS)
		states_grow();
	k = states_find(hash);
	if (*k && (*k & COST_MASK) <= cost)
		return true;
	if (!*k) {
		/* Full: what is not remembered is explored again. */
		if (states.n > (1ull << states.bits) / 4 * 3)
			return false;
		states.n++;
	}
	*k = (hash & ~COST_MASK) | MIN(cost, (unsigned int)COST_MASK);
	return false;
}

/* --- depth first --------------------------------------------------------------- */

struct frame {
	unsigned int cost_before;
	uint8_t n, taken;
	uint8_t what[MAX_CHOICES], cost[MAX_CHOICES];
};

struct search {
	const struct explore_options *o;
	unsigned int bound;
	struct frame *frames;
	struct scripted *script;	/* what is taken of each */
	unsigned int n_frames, capacity;
	unsigned int cost;		/* of the current run */
};

static unsigned int index_of(const struct choices *c, uint8_t what)
{
	for (unsigned int i = 0; i < c->n; i++)
		if (c->what[i] == what)
			return i;
	return 0;
}

static void push_frame(struct search *x, const struct choices *c)
{
	struct frame *f;

	if (x->n_frames == x->capacity) {
		x->capacity = x->capacity ? 2 * x->capacity : 256;
		x->frames = grown(x->frames, x->capacity * sizeof(*x->frames));
		x->script = grown(x->script, x->capacity * sizeof(*x->script));
	}
	f = &x->frames[x->n_frames];
	f->cost_before = x->cost;
	f->n = 0;
	f->taken = 0;
	for (unsigned int i = 0; i < c->n; i++) {
		if (x->cost + c->cost[i] > x->bound)
			continue;
		f->what[f->n] = c->what[i];
		f->cost[f->n++] = c->cost[i];
	}
	if (f->n > 1)
		x->script[x->n_frames++] = (struct scripted){ c->tick, f->what[0] };
}

/* Beyond the choices that were made before. */
static unsigned int choose_deep(void *ctx, const struct choices *c)
{
	struct search *x = ctx;

	if (!x->o->no_pruning && states_reach(sched_state(c), x->cost))
		sched_fail(VERDICT_PRUNED, "pruned");
	push_frame(x, c);
	return 0;
}

/* To the next run.  False: there is none. */
static bool advance(struct search *x)
{
	while (x->n_frames) {
		struct frame *f = &x->frames[x->n_frames - 1];

		if (++f->taken < f->n) {
			x->script[x->n_frames - 1].what = f->what[f->taken];
			x->cost = f->cost_before + f->cost[f->taken];
			return true;
		}
		x->n_frames--;
	}
	return false;
}

static void token_of_frames(const struct search *x, struct token *t)
{
	t->n = 0;
	for (unsigned int i = 0; i < x->n_frames && t->n < MAX_TOKEN; i++) {
		const struct frame *f = &x->frames[i];

		if (!f->taken)
			continue;
		t->choice[t->n].tick = x->script[i].tick;
		t->choice[t->n++].what = x->script[i].what;
	}
}

static bool out_of_time(const struct explore_options *o, struct exploration *e, double start)
{
	if (o->max_runs && e->runs >= o->max_runs)
		return true;
	if (e->runs % 1024)
		return false;
	if (o->progress)
		o->progress(o->progress_ctx, e->runs, e->bound);
	return o->seconds > 0 && explore_now() - start > o->seconds;
}

/* False: stop, by a failure or the end of the time. */
static bool search_bound(const struct program *p, struct search *x, struct exploration *e,
			 double start)
{
again:
	states_clear();
	x->n_frames = 0;
	x->cost = 0;
	do {
		sched_follow(x->script, x->n_frames);
		run_program(p, choose_deep, x, &e->result);
		e->runs++;
		if (e->result.verdict != VERDICT_PRUNED) {
			e->complete_runs++;
			if (e->result.verdict != VERDICT_HOLDS) {
				e->failed = true;
				e->preemptions = x->cost;
				token_of_frames(x, &e->token);
				return false;
			}
		}
		if (out_of_time(x->o, e, start))
			return false;
		if (e->result.new_shared_word)
			goto again;
	} while (advance(x));
	return true;
}

/* --- at random ------------------------------------------------------------------ */

struct dice {
	uint64_t state;
	unsigned int priority[MAX_THREADS];
	unsigned int lowest;
	uint64_t change[8];
	unsigned int n_changes;
	struct token token;
	unsigned int cost;
};

static uint64_t roll(struct dice *d)
{
	uint64_t z = d->state += 0x9e3779b97f4a7c15ull;

	return hash_mix(z, 1);
}

static void begin_random(struct dice *d, uint64_t seed, unsigned int depth, uint64_t ticks)
{
	memset(d, 0, sizeof(*d));
	d->state = seed;
	for (unsigned int t = 0; t < MAX_THREADS; t++)
		d->priority[t] = 1000 + (unsigned int)(roll(d) % 1000);
	d->lowest = 999;
	d->n_changes = MIN(depth, 8u);
	for (unsigned int i = 0; i < d->n_changes; i++)
		d->change[i] = roll(d) % (ticks + 1);
}

static unsigned int choose_thread(struct dice *d, const struct choices *c)
{
	unsigned int best = 0;
	int best_priority = -1;

	for (unsigned int i = 0; i < c->n; i++) {
		if (c->what[i] & CHOICE_COMMIT) {
			if (roll(d) % 8 == 0)
				return i;
			continue;
		}
		/* One that has yielded seldom goes on before the others. */
		if (c->cost[i] > c->stays && roll(d) % 16)
			continue;
		if ((int)d->priority[c->what[i]] > best_priority) {
			best_priority = (int)d->priority[c->what[i]];
			best = i;
		}
	}
	return best;
}

static unsigned int choose_random(void *ctx, const struct choices *c)
{
	struct dice *d = ctx;
	unsigned int i;

	if (c->is_question) {
		i = roll(d) % 8 ? 0 : (unsigned int)(roll(d) % c->n);
	} else {
		for (unsigned int k = 0; k < d->n_changes; k++) {
			if (d->change[k] && d->change[k] <= c->tick) {
				d->change[k] = 0;
				if (!(c->what[0] & CHOICE_COMMIT))
					d->priority[c->what[0]] = d->lowest--;
			}
		}
		i = choose_thread(d, c);
	}
	d->cost += c->cost[i];
	if (i && d->token.n < MAX_TOKEN) {
		d->token.choice[d->token.n].tick = c->tick;
		d->token.choice[d->token.n++].what = c->what[i];
	}
	return i;
}

static void explore_random(const struct program *p, const struct explore_options *o,
			   struct exploration *e, double start)
{
	uint64_t ticks = 100, seed = o->seed;
	struct dice d;

	do {
		begin_random(&d, hash_mix(seed++, 0x5eed), o->bound, ticks);
		run_program(p, choose_random, &d, &e->result);
		e->runs++;
		e->complete_runs++;
		ticks = MAX(ticks, e->result.ticks);
		if (o->after_run)
			o->after_run(o->progress_ctx);
		if (e->result.verdict != VERDICT_HOLDS) {
			e->failed = true;
			e->preemptions = d.cost;
			e->token = d.token;
			return;
		}
	} while (!out_of_time(o, e, start));
}

/* --- both ----------------------------------------------------------------------- */

/* A few runs at random tell which words are shared; else the search learns it late and
 * has to begin again. */
static void warm_up(const struct program *p, unsigned int n)
{
	struct run_result result;
	struct dice d;

	for (unsigned int i = 0; i < n; i++) {
		begin_random(&d, hash_mix(i, 0xa11), 4, 200 * (1 + i % 4));
		run_program(p, choose_random, &d, &result);
	}
}

void explore(const struct program *p, const struct explore_options *o, struct exploration *e)
{
	struct search x = { .o = o };
	double start = explore_now();

	memset(e, 0, sizeof(*e));
	crash_catch();
	memory_forget();
	if (o->random) {
		e->bound = o->bound;
		explore_random(p, o, e, start);
	} else {
		if (!o->no_warm_up)
			warm_up(p, o->warm_up ? o->warm_up : WARM_UP);
		e->complete = true;
		for (x.bound = o->first_bound; x.bound <= o->bound && e->complete; x.bound++) {
			e->bound = x.bound;
			e->complete = search_bound(p, &x, e, start);
			e->states = states.n;
		}
		if (e->failed)
			e->complete = false;
		free(x.frames);
		free(x.script);
	}
	e->seconds = explore_now() - start;
}

struct replayer {
	const struct token *token;
	unsigned int next;
};

static void aim(struct replayer *r)
{
	sched_forced_tick = r->next < r->token->n ? r->token->choice[r->next].tick : UINT64_MAX;
}

static unsigned int choose_replay(void *ctx, const struct choices *c)
{
	struct replayer *r = ctx;
	unsigned int i = 0;

	while (r->next < r->token->n && r->token->choice[r->next].tick < c->tick)
		r->next++;
	if (r->next < r->token->n && r->token->choice[r->next].tick == c->tick)
		i = index_of(c, r->token->choice[r->next++].what);
	aim(r);
	return i;
}

void replay(const struct program *p, const struct token *t, struct run_result *result)
{
	struct replayer r = { .token = t };

	crash_catch();
	memory_prepare();
	aim(&r);
	run_program(p, choose_replay, &r, result);
	sched_forced_tick = UINT64_MAX;
}

static void without(const struct token *t, unsigned int i, struct token *out)
{
	*out = *t;
	out->n--;
	memmove(&out->choice[i], &out->choice[i + 1], (out->n - i) * sizeof(out->choice[0]));
}

void shrink(const struct program *p, struct exploration *e)
{
	struct run_result result;
	struct token shorter;

	for (unsigned int i = e->token.n; i-- > 0;) {
		without(&e->token, i, &shorter);
		replay(p, &shorter, &result);
		if (result.verdict != e->result.verdict)
			continue;
		e->token = shorter;
		e->result = result;
	}
}
