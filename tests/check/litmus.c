/* SPDX-License-Identifier: MIT */
#include "litmus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/engine/arena.h"
#include "check/engine/rules.h"
#include "sync/atomic.h"
#include "sync/lock.h"
#include "sync/rcu.h"
#include "sync/wait.h"

/* --- as text ------------------------------------------------------------------------ */

enum operand { OPERAND_NONE, OPERAND_WORD, OPERAND_VALUE, OPERAND_LOCK };

static const struct {
	const char *name;
	enum operand operand;
} kinds[STEP_KINDS] = {
	[STEP_ST] = { "st", OPERAND_VALUE },	   [STEP_STREL] = { "strel", OPERAND_VALUE },
	[STEP_LD] = { "ld", OPERAND_WORD },	   [STEP_LDA] = { "lda", OPERAND_WORD },
	[STEP_XCHG] = { "xchg", OPERAND_VALUE },   [STEP_ADD] = { "add", OPERAND_VALUE },
	[STEP_CAS] = { "cas", OPERAND_VALUE },	   [STEP_COUNT] = { "count", OPERAND_WORD },
	[STEP_MB] = { "mb", OPERAND_NONE },	   [STEP_WMB] = { "wmb", OPERAND_NONE },
	[STEP_RELAX] = { "relax", OPERAND_NONE },  [STEP_SPIN] = { "spin", OPERAND_WORD },
	[STEP_LOCK] = { "lock", OPERAND_LOCK },	   [STEP_UNLOCK] = { "unlock", OPERAND_LOCK },
	[STEP_WAIT] = { "wait", OPERAND_WORD },	   [STEP_WAKE] = { "wake", OPERAND_WORD },
	[STEP_RCU] = { "rcu", OPERAND_NONE },	   [STEP_UNRCU] = { "unrcu", OPERAND_NONE },
	[STEP_SYNC] = { "sync", OPERAND_NONE },	   [STEP_ASK] = { "ask", OPERAND_NONE },
};

static void fail(const char *what, const char *text)
{
	fprintf(stderr, "not a program: %s: %s\n", what, text);
	abort();
}

static void parse_step(const char *text, struct step *s)
{
	char name[8], word = 'x', rest[8] = "";

	if (sscanf(text, " %7[a-z] %c=%7s", name, &word, rest) < 1)
		fail("no step", text);
	*s = (struct step){ .kind = STEP_KINDS };
	for (unsigned int k = 0; k < STEP_KINDS; k++)
		if (strcmp(kinds[k].name, name) == 0)
			s->kind = (uint8_t)k;
	if (s->kind == STEP_KINDS)
		fail("no such step", text);
	s->x = (uint8_t)(word - (kinds[s->kind].operand == OPERAND_LOCK ? 'a' : 'x'));
	s->adds_read = strncmp(rest, "r+", 2) == 0;
	s->value = (uint8_t)atoi(rest + 2 * s->adds_read);
	if (s->x >= LITMUS_WORDS)
		fail("no such word", text);
}

void litmus_parse(const char *text, struct litmus *p)
{
	char copy[400], *rest = copy, *step;

	memset(p, 0, sizeof(*p));
	snprintf(copy, sizeof(copy), "%s", text);
	p->n_threads = 1;
	while ((step = strsep(&rest, ";|"))) {
		struct litmus_thread *t = &p->thread[p->n_threads - 1];

		if (t->n == LITMUS_STEPS)
			fail("too long", text);
		parse_step(step, &t->step[t->n++]);
		/* "||" ends a thread. */
		if (rest && *rest == '|') {
			rest++;
			p->n_threads++;
		}
	}
}

void litmus_print(const struct litmus *p, char *text, size_t bytes)
{
	size_t n = 0;

	text[0] = 0;
	for (unsigned int t = 0; t < p->n_threads; t++) {
		for (unsigned int i = 0; i < p->thread[t].n && n < bytes; i++) {
			const struct step *s = &p->thread[t].step[i];
			enum operand o = kinds[s->kind].operand;

			n += (size_t)snprintf(text + n, bytes - n, "%s%s",
					      i ? "; " : t ? " || " : "", kinds[s->kind].name);
			if (o != OPERAND_NONE && n < bytes)
				n += (size_t)snprintf(text + n, bytes - n, " %c",
						      s->x + (o == OPERAND_LOCK ? 'a' : 'x'));
			if (o == OPERAND_VALUE && n < bytes)
				n += (size_t)snprintf(text + n, bytes - n, "=%s%u",
						      s->adds_read ? "r+" : "", s->value);
		}
	}
}

/* --- what is seen --------------------------------------------------------------------- */

bool step_reads(const struct step *s)
{
	switch (s->kind) {
	case STEP_LD:
	case STEP_LDA:
	case STEP_XCHG:
	case STEP_ADD:
	case STEP_CAS:
	case STEP_SPIN:
	case STEP_ASK:
		return true;
	default:
		return false;
	}
}

uint32_t step_value(const struct step *s, uint32_t read)
{
	return (s->value + (s->adds_read ? read : 0)) & 15;
}

static unsigned int n_reads(const struct litmus *p)
{
	unsigned int n = 0;

	for (unsigned int t = 0; t < p->n_threads; t++)
		for (unsigned int i = 0; i < p->thread[t].n; i++)
			n += step_reads(&p->thread[t].step[i]);
	return n;
}

uint64_t litmus_outcome(const struct litmus *p, const uint32_t *reads, const uint32_t *words)
{
	unsigned int n = n_reads(p);
	uint64_t outcome = 0;

	for (unsigned int i = 0; i < n; i++)
		outcome = outcome << 4 | (reads[i] & 15);
	for (unsigned int i = 0; i < LITMUS_WORDS; i++)
		outcome = outcome << 4 | (words[i] & 15);
	return outcome;
}

bool litmus_matches(const struct litmus *p, uint64_t outcome, const char *pattern)
{
	unsigned int at = n_reads(p) + LITMUS_WORDS;

	for (; *pattern; pattern++) {
		if (*pattern == '/')
			continue;
		at--;
		if (*pattern != '?' && (outcome >> 4 * at & 15) != (uint64_t)(*pattern - '0'))
			return false;
	}
	return true;
}

bool litmus_saw(const struct litmus *p, const struct seen *s, const char *pattern)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (litmus_matches(p, s->outcome[i], pattern))
			return true;
	return false;
}

/* --- on the engine ------------------------------------------------------------------- */

static const struct litmus *litmus;
static struct seen *all_seen;

static struct world {
	struct atomic64 *word[LITMUS_WORDS];
	struct mutex *lock[LITMUS_LOCKS];
	uint32_t reads[LITMUS_THREADS][LITMUS_STEPS];
} *world;

static void make_world(void)
{
	world = arena_alloc(sizeof(*world));
	for (unsigned int i = 0; i < LITMUS_WORDS; i++)
		world->word[i] = arena_alloc(sizeof(struct atomic64));
	for (unsigned int i = 0; i < LITMUS_LOCKS; i++) {
		world->lock[i] = arena_alloc(sizeof(*world->lock[i]));
		mutex_init(world->lock[i], i ? RANK_MMU : RANK_SLOTS);
	}
}

static uint64_t spin(const struct atomic64 *x)
{
	uint64_t value;

	while (!(value = atomic64_load_relaxed(x)))
		cpu_relax();
	return value;
}

/* Loads, and what returns what was there. */
static uint64_t make_read(const struct step *s, struct atomic64 *x, uint32_t value)
{
	uint64_t old = 0;

	switch (s->kind) {
	case STEP_LD:
		return atomic64_load_relaxed(x);
	case STEP_LDA:
		return atomic64_load_acquire(x);
	case STEP_XCHG:
		return atomic64_xchg(x, value);
	case STEP_ADD:
		return atomic64_fetch_add(x, value);
	case STEP_CAS:
		atomic64_cmpxchg(x, &old, value);
		return old;
	case STEP_SPIN:
		return spin(x);
	default:
		return sched_ask(3, 1, true);
	}
}

static void make_order(const struct step *s) NO_THREAD_SAFETY
{
	switch (s->kind) {
	case STEP_MB:
		smp_mb();
		break;
	case STEP_WMB:
		smp_wmb();
		break;
	case STEP_RELAX:
		cpu_relax();
		break;
	case STEP_LOCK:
		mutex_lock(world->lock[s->x]);
		break;
	case STEP_UNLOCK:
		mutex_unlock(world->lock[s->x]);
		break;
	case STEP_RCU:
		rcu_read_begin();
		break;
	case STEP_UNRCU:
		rcu_read_end();
		break;
	default:
		rcu_synchronize();
	}
}

static void make_step(const struct step *s, uint32_t value)
{
	struct atomic64 *x = world->word[s->x % LITMUS_WORDS];

	switch (s->kind) {
	case STEP_ST:
		atomic64_store_relaxed(x, value);
		break;
	case STEP_STREL:
		atomic64_store_release(x, value);
		break;
	case STEP_COUNT:
		atomic64_owner_add(x, 1);
		break;
	case STEP_WAIT:
		wait_on((struct atomic32 *)x, 0);
		break;
	case STEP_WAKE:
		wait_wake_all((struct atomic32 *)x);
		break;
	default:
		make_order(s);
	}
}

static void run_thread(void)
{
	unsigned int t = (unsigned int)sched_self(), n = 0;
	uint32_t read = 0;

	for (unsigned int i = 0; i < litmus->thread[t].n; i++) {
		const struct step *s = &litmus->thread[t].step[i];
		uint32_t value = step_value(s, read);

		if (step_reads(s))
			world->reads[t][n++] = read = (uint32_t)
				make_read(s, world->word[s->x % LITMUS_WORDS], value);
		else
			make_step(s, value);
	}
}

static void note_outcome(void)
{
	uint32_t reads[LITMUS_THREADS * LITMUS_STEPS], words[LITMUS_WORDS];
	unsigned int n = 0;
	uint64_t outcome;

	for (unsigned int t = 0; t < litmus->n_threads; t++)
		for (unsigned int i = 0, k = 0; i < litmus->thread[t].n; i++)
			if (step_reads(&litmus->thread[t].step[i]))
				reads[n++] = world->reads[t][k++];
	for (unsigned int i = 0; i < LITMUS_WORDS; i++)
		words[i] = (uint32_t)world->word[i]->v;
	outcome = litmus_outcome(litmus, reads, words);
	for (unsigned int i = 0; i < all_seen->n; i++)
		if (all_seen->outcome[i] == outcome)
			return;
	if (all_seen->n == MAX_SEEN)
		fail("too many outcomes", "");
	all_seen->outcome[all_seen->n++] = outcome;
}

void litmus_explore(const struct litmus *p, enum memory_model memory, unsigned int bound,
		    bool prune, uint64_t max_runs, struct seen *seen)
{
	struct explore_options o = {
		.bound = bound, .no_pruning = !prune, .no_warm_up = true, .max_runs = max_runs,
	};
	struct program program = {
		.name = "litmus", .setup = make_world, .n_threads = p->n_threads,
		.thread = { { "0", run_thread }, { "1", run_thread }, { "2", run_thread },
			    { "3", run_thread } },
		.finish = note_outcome, .memory = memory, .max_ticks = 4000,
	};
	struct exploration e;

	litmus = p;
	all_seen = seen;
	seen->n = 0;
	rules_reset();
	explore(&program, &o, &e);
	seen->complete = e.complete;
	seen->no_progress = e.failed;
	seen->no_progress_cost = (uint8_t)e.bound;
}
