/* SPDX-License-Identifier: MIT */
/*
 * Every order of a program's steps, one state at a time, and what it costs: the least cost of each
 * outcome.  States are compared whole.  Nothing here knows of the engine; what it claims about
 * memory and costs (check/engine/buffer.h, docs/checking.md) is said here a second time.
 */
#include <stdlib.h>
#include <string.h>

#include "litmus.h"

#define MAX_LATE 8
#define LATE 0x80u			/* in lets_first: the late stores */
#define UNLOCKS LITMUS_WORDS		/* "words" from here on are locks */
#define ALL_WORDS (LITMUS_WORDS + LITMUS_LOCKS)

struct late {
	uint8_t x, value, release, group;
};

struct thread {
	uint8_t at;			/* its next step */
	uint8_t n_read, read[LITMUS_STEPS];
	uint8_t group, n_late;
	struct late late[MAX_LATE];
	uint8_t lets_first;
	uint8_t spins;			/* has found 0 */
	uint8_t asleep, woken;		/* in "wait" */
	uint8_t in_section, waits_for;	/* RCU: threads in sections */
	uint8_t in_sync;
};

struct state {
	uint8_t word[ALL_WORDS];	/* a lock's: 1 + who has it */
	uint8_t running;		/* 1 + thread */
	struct thread thread[LITMUS_THREADS];
};

static struct {
	const struct litmus *p;
	enum memory_model memory;
	unsigned int bound;
	struct seen *seen;
	uint8_t shared[ALL_WORDS];
	/* States to go on from, by cost; and those gone on from. */
	struct state *todo[16];
	size_t n_todo[16], room[16];
	struct state *known;
	uint8_t *is_known;
	size_t n_known, size;
} r;

/* --- sets of states ------------------------------------------------------------------ */

static size_t find(const struct state *s)
{
	const unsigned char *b = (const unsigned char *)s;
	uint64_t h = 1469598103934665603ull;

	for (size_t i = 0; i < sizeof(*s); i++)
		h = (h ^ b[i]) * 1099511628211ull;
	for (size_t i = (h ^ h >> 29) % r.size;; i = (i + 1) % r.size)
		if (!r.is_known[i] || memcmp(&r.known[i], s, sizeof(*s)) == 0)
			return i;
}

static void make_room(void)
{
	struct state *old = r.known;
	uint8_t *old_is = r.is_known;
	size_t n = r.size;

	r.size = n ? 4 * n : 1 << 10;
	r.known = calloc(r.size, sizeof(*r.known));
	r.is_known = calloc(r.size, 1);
	for (size_t i = 0; i < n; i++) {
		if (old_is[i]) {
			size_t to = find(&old[i]);

			r.known[to] = old[i];
			r.is_known[to] = 1;
		}
	}
	free(old);
	free(old_is);
}

static int is_new(const struct state *s)
{
	size_t i;

	if (2 * r.n_known >= r.size)
		make_room();
	i = find(s);
	if (r.is_known[i])
		return 0;
	r.known[i] = *s;
	r.is_known[i] = 1;
	r.n_known++;
	return 1;
}

static void later(const struct state *s, unsigned int cost)
{
	if (cost > r.bound)
		return;
	if (r.n_todo[cost] == r.room[cost]) {
		r.room[cost] = r.room[cost] ? 2 * r.room[cost] : 64;
		r.todo[cost] = realloc(r.todo[cost], r.room[cost] * sizeof(*s));
	}
	r.todo[cost][r.n_todo[cost]++] = *s;
}

/* --- memory ------------------------------------------------------------------------------ */

static int may_go(const struct thread *t, unsigned int n, const struct late *e)
{
	if (n == 0)
		return 1;
	if (r.memory != MEMORY_WEAK || e->release)
		return 0;
	for (unsigned int i = 0; i < n; i++)
		if (t->late[i].x == e->x || t->late[i].group != e->group)
			return 0;
	return 1;
}

static void go(struct state *s, struct thread *t, unsigned int i)
{
	s->word[t->late[i].x] = t->late[i].value;
	for (; i + 1 < t->n_late; i++)
		t->late[i] = t->late[i + 1];
	t->late[--t->n_late] = (struct late){ 0 };
	if (!t->n_late)
		t->group = 0;
}

static void drain(struct state *s, struct thread *t)
{
	while (t->n_late)
		go(s, t, 0);
}

static void drain_all(struct state *s)
{
	for (unsigned int i = 0; i < r.p->n_threads; i++)
		drain(s, &s->thread[i]);
}

static uint8_t own(const struct state *s, const struct thread *t, unsigned int x)
{
	uint8_t value = s->word[x];

	for (unsigned int i = 0; i < t->n_late; i++)
		if (t->late[i].x == x)
			value = t->late[i].value;
	return value;
}

static int any_late(const struct state *s)
{
	for (unsigned int i = 0; i < r.p->n_threads; i++)
		if (s->thread[i].n_late)
			return 1;
	return 0;
}

/* At once if it can be; late too, which then costs one. */
static void store(const struct state *s, unsigned int n, struct late e, unsigned int cost)
{
	struct state now = *s, late = *s;
	struct thread *t = &late.thread[n];

	e.group = t->group;
	now.word[e.x] = e.value;
	if (!r.shared[e.x] || r.memory == MEMORY_SC) {
		later(&now, cost);
		return;
	}
	if (may_go(t, t->n_late, &e)) {
		later(&now, cost);
		cost++;
	}
	t->late[t->n_late++] = e;
	later(&late, cost);
}

/* --- threads ----------------------------------------------------------------------------- */

static const struct step *next_step(const struct state *s, unsigned int n)
{
	const struct litmus_thread *t = &r.p->thread[n];

	return s->thread[n].at < t->n ? &t->step[s->thread[n].at] : NULL;
}

static int can_run(const struct state *s, unsigned int n)
{
	const struct thread *t = &s->thread[n];
	const struct step *step = next_step(s, n);

	if (!step)
		return 0;
	if (t->asleep)
		return t->woken;
	if (t->in_sync)
		return !t->waits_for;
	if (step->kind == STEP_LOCK)
		return !own(s, t, UNLOCKS + step->x);
	return 1;
}

static uint8_t who_can(const struct state *s)
{
	uint8_t set = any_late(s) ? LATE : 0;

	for (unsigned int n = 0; n < r.p->n_threads; n++)
		if (can_run(s, n))
			set |= (uint8_t)(1u << n);
	return set;
}

static void yield(struct state *s, unsigned int n)
{
	s->thread[n].lets_first = (uint8_t)(who_can(s) & ~(1u << n));
}

static void has_read(struct thread *t, uint8_t value)
{
	t->read[t->n_read++] = value & 15;
}

static void sleep_or_not(struct state *s, unsigned int n, unsigned int x)
{
	struct thread *t = &s->thread[n];

	if (t->asleep) {
		t->asleep = t->woken = 0;
		t->at++;
		return;
	}
	drain(s, t);
	if (s->word[x])
		t->at++;
	else
		t->asleep = 1;
}

static void wake(struct state *s, unsigned int n, unsigned int x)
{
	drain(s, &s->thread[n]);
	for (unsigned int i = 0; i < r.p->n_threads; i++)
		if (s->thread[i].asleep && next_step(s, i)->x == x)
			s->thread[i].woken = 1;
}

static void synchronize(struct state *s, unsigned int n)
{
	struct thread *t = &s->thread[n];

	drain_all(s);
	if (!t->in_sync)
		for (unsigned int i = 0; i < r.p->n_threads; i++)
			t->waits_for |= (uint8_t)(s->thread[i].in_section << i);
	t->in_sync = t->waits_for != 0;
	if (!t->in_sync)
		t->at++;
}

static void end_section(struct state *s, unsigned int n)
{
	s->thread[n].in_section = 0;
	for (unsigned int i = 0; i < r.p->n_threads; i++)
		s->thread[i].waits_for &= (uint8_t)~(1u << n);
}

/* Steps with one outcome, which may take several turns: those say when they are over. */
static int make_turn(struct state *s, unsigned int n, const struct step *step)
{
	struct thread *t = &s->thread[n];

	switch (step->kind) {
	case STEP_SPIN:
		if (own(s, t, step->x)) {
			has_read(t, own(s, t, step->x));
			t->spins = 0;
			t->at++;
		} else {
			t->spins = 1;
			yield(s, n);
		}
		return 1;
	case STEP_WAIT:
		sleep_or_not(s, n, step->x);
		return 1;
	case STEP_SYNC:
		synchronize(s, n);
		return 1;
	default:
		return 0;
	}
}

static void make_locked(struct state *s, struct thread *t, const struct step *step, uint8_t value)
{
	uint8_t old;

	drain(s, t);
	old = s->word[step->x];
	has_read(t, old);
	if (step->kind == STEP_ADD)
		value = (uint8_t)(old + value);
	if (step->kind != STEP_CAS || !old)
		s->word[step->x] = value;
}

static void make_simple(struct state *s, unsigned int n, const struct step *step, uint8_t value)
{
	struct thread *t = &s->thread[n];

	t->at++;
	switch (step->kind) {
	case STEP_LD:
	case STEP_LDA:
		has_read(t, own(s, t, step->x));
		break;
	case STEP_MB:
		drain(s, t);
		break;
	case STEP_WMB:
		if (t->n_late)
			t->group++;
		break;
	case STEP_RELAX:
		yield(s, n);
		break;
	case STEP_LOCK:
		drain(s, t);
		s->word[UNLOCKS + step->x] = (uint8_t)(n + 1);
		break;
	case STEP_WAKE:
		wake(s, n, step->x);
		break;
	case STEP_RCU:
		t->in_section = 1;
		break;
	case STEP_UNRCU:
		end_section(s, n);
		break;
	default:
		make_locked(s, t, step, value);
	}
}

static void make_step(const struct state *before, unsigned int n, unsigned int cost)
{
	struct state s = *before;
	struct thread *t = &s.thread[n];
	const struct step *step = next_step(&s, n);
	uint8_t value = (uint8_t)step_value(step, t->n_read ? t->read[t->n_read - 1] : 0);

	for (unsigned int i = 0; i < r.p->n_threads; i++)
		s.thread[i].lets_first &= (uint8_t)~(1u << n);
	t->lets_first = 0;
	s.running = (uint8_t)(n + 1);
	if (make_turn(&s, n, step)) {
		later(&s, cost);
		return;
	}
	switch (step->kind) {
	case STEP_ST:
	case STEP_STREL:
		t->at++;
		store(&s, n, (struct late){ step->x, value, step->kind == STEP_STREL, 0 }, cost);
		return;
	case STEP_COUNT:
		t->at++;
		store(&s, n, (struct late){ step->x, (uint8_t)(own(&s, t, step->x) + 1), 0, 0 },
		      cost);
		return;
	case STEP_UNLOCK:
		t->at++;
		store(&s, n, (struct late){ (uint8_t)(UNLOCKS + step->x), 0, 1, 0 }, cost);
		return;
	case STEP_ASK:
		t->at++;
		for (uint8_t i = 0; i < 3; i++) {
			struct state answered = s;

			has_read(&answered.thread[n], i);
			later(&answered, cost + (i != 0));
		}
		return;
	default:
		make_simple(&s, n, step, value);
		later(&s, cost);
	}
}

/* --- all of it ------------------------------------------------------------------------------ */

static void note_end(const struct state *s, unsigned int cost)
{
	uint32_t reads[LITMUS_THREADS * LITMUS_STEPS], words[LITMUS_WORDS];
	unsigned int n = 0;
	uint64_t outcome;

	for (unsigned int t = 0; t < r.p->n_threads; t++)
		for (unsigned int i = 0; i < s->thread[t].n_read; i++)
			reads[n++] = s->thread[t].read[i];
	for (unsigned int i = 0; i < LITMUS_WORDS; i++)
		words[i] = s->word[i];
	outcome = litmus_outcome(r.p, reads, words);
	for (unsigned int i = 0; i < r.seen->n; i++)
		if (r.seen->outcome[i] == outcome)
			return;
	if (r.seen->n == MAX_SEEN)
		abort();
	r.seen->cost[r.seen->n] = (uint8_t)cost;
	r.seen->outcome[r.seen->n++] = outcome;
}

/* Nobody can do more than look at a word that stays 0. */
static int is_stuck(const struct state *s)
{
	if (any_late(s))
		return 0;
	for (unsigned int n = 0; n < r.p->n_threads; n++) {
		const struct step *step = next_step(s, n);

		if (can_run(s, n) && !(step->kind == STEP_SPIN && !s->word[step->x]))
			return 0;
	}
	return 1;
}

static void go_on(const struct state *s, unsigned int cost)
{
	uint8_t set = who_can(s);
	unsigned int running = s->running - 1u;
	int stays = s->running && set & 1u << running && !(s->thread[running].lets_first & set);

	for (unsigned int n = 0; n < r.p->n_threads; n++)
		if (set & 1u << n)
			make_step(s, n, cost + (stays && n != running) +
						!!(s->thread[n].lets_first & set));
	for (unsigned int n = 0; n < r.p->n_threads; n++) {
		for (unsigned int i = 0; i < s->thread[n].n_late; i++) {
			struct state after = *s;

			if (!may_go(&s->thread[n], i, &s->thread[n].late[i]))
				continue;
			go(&after, &after.thread[n], i);
			for (unsigned int k = 0; k < r.p->n_threads; k++)
				after.thread[k].lets_first &= (uint8_t)~LATE;
			later(&after, cost);
		}
	}
}

static void look_at(const struct state *s, unsigned int cost)
{
	int done = !any_late(s);

	for (unsigned int n = 0; n < r.p->n_threads; n++)
		done &= !next_step(s, n);
	if (done) {
		note_end(s, cost);
	} else if (is_stuck(s)) {
		if (!r.seen->no_progress)
			r.seen->no_progress_cost = (uint8_t)cost;
		r.seen->no_progress = true;
	} else {
		go_on(s, cost);
	}
}

/* A word is shared if two threads use it and one writes it. */
static void find_shared(void)
{
	uint8_t users[ALL_WORDS] = { 0 }, writers[ALL_WORDS] = { 0 };

	for (unsigned int n = 0; n < r.p->n_threads; n++) {
		for (unsigned int i = 0; i < r.p->thread[n].n; i++) {
			const struct step *s = &r.p->thread[n].step[i];
			int is_lock = s->kind == STEP_LOCK || s->kind == STEP_UNLOCK;
			unsigned int x = s->x + (is_lock ? UNLOCKS : 0);

			if ((s->kind >= STEP_MB && s->kind <= STEP_RELAX) || s->kind >= STEP_RCU)
				continue;
			users[x] |= (uint8_t)(1u << n);
			writers[x] |= s->kind != STEP_LD && s->kind != STEP_LDA &&
				      s->kind != STEP_SPIN && s->kind != STEP_WAIT;
		}
	}
	for (unsigned int x = 0; x < ALL_WORDS; x++)
		r.shared[x] = writers[x] && (users[x] & (users[x] - 1));
}

void reference_explore(const struct litmus *p, enum memory_model memory, unsigned int bound,
		       struct seen *seen)
{
	struct state start;

	r.p = p;
	r.memory = memory;
	r.bound = bound;
	r.seen = seen;
	seen->n = 0;
	seen->no_progress = false;
	seen->complete = true;
	find_shared();
	if (r.size)
		memset(r.is_known, 0, r.size);
	r.n_known = 0;
	memset(&start, 0, sizeof(start));
	later(&start, 0);
	for (unsigned int cost = 0; cost <= bound; cost++) {
		while (r.n_todo[cost]) {
			struct state s = r.todo[cost][--r.n_todo[cost]];

			if (is_new(&s))
				look_at(&s, cost);
		}
	}
}
