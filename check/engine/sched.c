/* SPDX-License-Identifier: MIT */
#include "check/engine/sched.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/engine/fiber.h"

#define STACK_BYTES (64u << 10)
/* Turns given away in a row while nobody changes anything: more than can be bought. */
#define MAX_IDLE_TURNS 40
/* Stands for the late stores among those that a thread lets go first. */
#define LATE_STORES (1u << MAX_THREADS)

struct thread {
	struct fiber fiber;
	enum wait_kind wait;
	void *on;
	bool fresh;		/* was started, and did nothing yet that others can see */
	uint8_t lets_first;	/* has yielded: who must have run before it does */
	struct sleeper sleeper;
};

/* The run that is being made. */
static struct {
	const struct program *program;
	const struct sched_parts *parts;
	choose_fn choose;
	void *choose_ctx;
	struct run_result *result;
	struct fiber runner, world;
	struct thread thread[MAX_THREADS];
	const struct scripted *script;
	unsigned int n_script, n_followed;
	uint64_t tick;
	uint64_t n_turns;
	uint64_t max_ticks;
	unsigned int idle_turns;
	void (*at_end)(void);
} run;

struct sched_now sched_now = { .self = -1 };
uint64_t sched_forced_tick = UINT64_MAX;

static char stacks[MAX_THREADS + 1][STACK_BYTES] __attribute__((aligned(64)));
#define WORLD_STACK stacks[MAX_THREADS]

const char *verdict_name(enum verdict v)
{
	static const char *const names[] = {
		[VERDICT_HOLDS] = "holds",
		[VERDICT_PRUNED] = "pruned",
		[VERDICT_FREED_PAGE] = "freed page",
		[VERDICT_LOST_DIRTY] = "lost dirty page",
		[VERDICT_STALE_RIGHT] = "stale right",
		[VERDICT_MMIO_RAM] = "RAM taken for MMIO or the reverse",
		[VERDICT_MEMORY] = "memory safety",
		[VERDICT_NO_PROGRESS] = "no progress",
		[VERDICT_WRONG] = "wrong result",
	};
	return names[v];
}

const char *sched_thread_name(int t)
{
	return t < 0 ? "the set-up or the last look" : run.program->thread[t].name;
}

unsigned int sched_n_threads(void)
{
	return run.program->n_threads;
}

uint64_t sched_turns(void)
{
	return run.n_turns;
}

uint64_t sched_tick(void)
{
	return run.tick;
}

enum memory_model sched_memory(void)
{
	return run.program->memory;
}

struct sleeper *sched_sleeper(int t)
{
	return &run.thread[t].sleeper;
}

bool sched_is_asleep_on(int t, const void *on)
{
	return run.thread[t].wait == WAIT_WOKEN && run.thread[t].sleeper.on == on;
}

bool sched_is_in_run(void)
{
	return run.result;
}

bool sched_has_failed(void)
{
	return run.result && run.result->verdict != VERDICT_HOLDS;
}

static _Noreturn void leave_for_good(void)
{
	struct fiber here;

	sched_now.self = -1;
	fiber_switch(&here, &run.runner);
	abort();
}

void sched_fail(enum verdict v, const char *format, ...)
{
	va_list args;

	if (!sched_has_failed()) {
		run.result->verdict = v;
		run.result->thread = sched_now.self;
		va_start(args, format);
		vsnprintf(run.result->sentence, sizeof(run.result->sentence), format, args);
		va_end(args);
	}
	leave_for_good();
}

/* --- who may go on ------------------------------------------------------- */

static bool can_run(int t)
{
	const struct thread *th = &run.thread[t];

	switch (th->wait) {
	case WAIT_NOTHING:
		return true;
	case WAIT_WOKEN:
		return th->sleeper.woken;
	case WAIT_DONE:
		return false;
	default:
		return run.parts->allow(t, th->wait, th->on);
	}
}

static void describe_waits(char *text, size_t bytes)
{
	size_t n = 0;

	text[0] = 0;
	for (unsigned int t = 0; t < run.program->n_threads && n < bytes; t++) {
		const struct thread *th = &run.thread[t];

		if (th->wait != WAIT_DONE)
			n += (size_t)snprintf(text + n, bytes - n, "%s%s waits for %s",
					      n ? "; " : "", run.program->thread[t].name,
					      run.parts->describe(th->wait, th->on));
	}
}

static void fail_deadlock(void)
{
	char text[300];

	describe_waits(text, sizeof(text));
	sched_fail(VERDICT_NO_PROGRESS, "nobody can go on: %s", text);
}

static void fail_endless(void)
{
	char text[300];

	describe_waits(text, sizeof(text));
	sched_fail(VERDICT_NO_PROGRESS, "no end after %llu steps (%s)",
		   (unsigned long long)run.tick, text);
}

void sched_progress(void)
{
	run.idle_turns = 0;
}

uint64_t sched_state(const struct choices *c)
{
	uint64_t h = (uint64_t)(sched_now.self + 1) << 8 | (c->is_question ? c->n : 0);

	for (unsigned int t = 0; t < run.program->n_threads; t++) {
		const struct thread *th = &run.thread[t];

		h = hash_mix(h, sched_now.hash[t]);
		/* What is added is small, and the rest is hashed. */
		h = hash_mix(h, run.parts->memory_state((int)t) +
				((uint64_t)th->wait << 16 | th->lets_first << 8 |
				 run.parts->signal_state((int)t)));
	}
	return h;
}

static void add_choice(struct choices *c, unsigned int what, unsigned int cost)
{
	c->what[c->n] = (uint8_t)what;
	c->cost[c->n++] = (uint8_t)cost;
}

/* Who could go on: threads, and late stores. */
static uint8_t runnable(void)
{
	uint8_t set = buffer_any() ? LATE_STORES : 0;

	for (unsigned int t = 0; t < run.program->n_threads; t++)
		if (can_run((int)t))
			set |= (uint8_t)(1u << t);
	return set;
}

static void collect_commits(struct choices *c)
{
	for (unsigned int t = 0; buffer_any() && t < run.program->n_threads; t++) {
		unsigned int n = buffer_n_committable((int)t);

		for (unsigned int i = 0; i < n; i++)
			add_choice(c, CHOICE_COMMIT | t | buffer_committable((int)t, i) << 5, 0);
	}
}

/*
 * What is free comes first: the current thread if it can go on, else any; and late stores.  To
 * switch away from a thread that can go on costs one, and so does to let one go on that has
 * yielded before all whom it lets first.  Something is always free: of the threads that can run
 * look at the one that yielded longest ago.  Whom it lets first has not run since, so yielded
 * before it or never, and is not there; and while there are late stores they are free.
 */
static void collect(struct choices *c)
{
	uint8_t set = runnable();
	unsigned int n = run.program->n_threads;
	unsigned int first = sched_now.self >= 0 ? (unsigned int)sched_now.self : 0;

	c->n = 0;
	c->stays = sched_now.self >= 0 && set & 1u << sched_now.self &&
		   !(run.thread[sched_now.self].lets_first & set);
	for (unsigned int cost = 0; cost <= 2; cost++) {
		for (unsigned int i = 0; i < n; i++) {
			unsigned int t = (first + i) % n;
			unsigned int unfair = run.thread[t].lets_first & set ? 1 : 0;

			if (!(set & 1u << t))
				continue;
			if (unfair + (c->stays && (int)t != sched_now.self) == cost)
				add_choice(c, t, cost);
		}
		if (!cost)
			collect_commits(c);
	}
}

static unsigned int decide(struct choices *c)
{
	unsigned int i;

	if (c->n < 2 || (!c->matters && c->tick != sched_forced_tick))
		return 0;
	i = run.choose(run.choose_ctx, c);
	return i < c->n ? i : 0;
}

static void switch_to(int t)
{
	int from = sched_now.self;

	for (unsigned int i = 0; i < run.program->n_threads; i++)
		run.thread[i].lets_first &= (uint8_t)~(1u << t);
	run.thread[t].lets_first = 0;
	if (t == from)
		return;
	sched_now.self = t;
	fiber_switch(from < 0 ? &run.runner : &run.thread[from].fiber, &run.thread[t].fiber);
}

static void let_late_store_go(unsigned int what)
{
	for (unsigned int t = 0; t < run.program->n_threads; t++)
		run.thread[t].lets_first &= (uint8_t)~LATE_STORES;
	run.parts->commit((int)(what & 0xf), what >> 5);
}

static bool all_done(void)
{
	for (unsigned int t = 0; t < run.program->n_threads; t++)
		if (run.thread[t].wait != WAIT_DONE)
			return false;
	return true;
}

/* A run that is made again: true if there is nothing to decide. */
static bool follow(struct choices *c, unsigned int *what)
{
	bool follows = run.n_followed < run.n_script;

	if (follows && run.script[run.n_followed].tick == c->tick) {
		*what = run.script[run.n_followed++].what;
		return true;
	}
	if (follows && sched_now.self >= 0 &&
	    run.thread[sched_now.self].wait == WAIT_NOTHING &&
	    !run.thread[sched_now.self].lets_first) {
		*what = (unsigned int)sched_now.self;
		return true;
	}
	collect(c);
	if (!c->n)
		fail_deadlock();
	*what = c->what[0];
	return follows;
}

/*
 * Picks who goes on.  The current thread may have just begun to wait, or have ended;
 * when this returns to it, it can go on.
 */
static void pick(bool matters)
{
	for (;;) {
		struct choices c;
		unsigned int what;

		c.tick = ++run.tick;
		c.matters = matters;
		c.is_question = false;
		if (run.tick > run.max_ticks)
			fail_endless();
		if (!follow(&c, &what))
			what = c.what[decide(&c)];
		if (!(what & CHOICE_COMMIT)) {
			run.n_turns += (int)what != sched_now.self;
			switch_to((int)what);
			return;
		}
		run.n_turns++;
		let_late_store_go(what);
		if (all_done() && !buffers_meet())
			leave_for_good();
	}
}

/* Right after a thread was chosen to begin there is nothing to choose again. */
static bool is_fresh(void)
{
	bool fresh = run.thread[sched_now.self].fresh;

	run.thread[sched_now.self].fresh = false;
	return fresh;
}

void sched_point(bool matters)
{
	if (!sched_is_running())
		return;
	if (matters && is_fresh())
		matters = false;
	/* The common case, without the work. */
	if (!matters && run.tick + 1 != sched_forced_tick && run.tick < run.max_ticks) {
		run.tick++;
		return;
	}
	pick(matters);
	run.parts->deliver();
}

void sched_wait(enum wait_kind kind, void *on, bool matters)
{
	struct thread *t = &run.thread[sched_now.self];

	t->wait = kind;
	t->on = on;
	if (!can_run(sched_now.self)) {
		t->fresh = false;
		matters = true;
	} else if (matters && is_fresh()) {
		matters = false;
	}
	pick(matters);
	t->wait = WAIT_NOTHING;
	run.parts->deliver();
}

static void change_hash(uint64_t step)
{
	sched_now.hash[sched_now.self] = hash_mix(sched_now.hash[sched_now.self], step);
}

void sched_yield_turn(void)
{
	struct thread *t = &run.thread[MAX(sched_now.self, 0)];

	if (!sched_is_running())
		return;
	if (++run.idle_turns > MAX_IDLE_TURNS)
		sched_fail(VERDICT_NO_PROGRESS,
			   "%s loops for ever: nobody changes what it waits for",
			   run.program->thread[sched_now.self].name);
	change_hash(STEP_YIELD);
	t->fresh = false;
	t->lets_first = (uint8_t)(runnable() & ~(1u << sched_now.self));
	pick(true);
	change_hash(STEP_YIELD);
	run.parts->deliver();
}

static unsigned int ask(unsigned int n, unsigned int cost, bool matters)
{
	struct choices c;

	if (n > MAX_CHOICES)
		sched_fail(VERDICT_WRONG, "a question of %u alternatives: no more than %u are kept",
			   n, MAX_CHOICES);
	c.tick = ++run.tick;
	c.matters = matters;
	c.is_question = true;
	c.stays = true;
	c.n = 0;
	if (run.n_followed < run.n_script)
		return run.script[run.n_followed].tick == c.tick ?
			       run.script[run.n_followed++].what : 0;
	for (unsigned int i = 0; i < n; i++)
		add_choice(&c, i, i ? cost : 0);
	return c.what[decide(&c)];
}

unsigned int sched_choose(unsigned int n, unsigned int cost, bool matters)
{
	if (!matters && run.tick + 1 != sched_forced_tick) {
		run.tick++;
		return 0;
	}
	return ask(n, cost, matters);
}

unsigned int sched_ask(unsigned int n, unsigned int cost, bool matters)
{
	unsigned int answer;

	if (!sched_is_running())
		return 0;
	answer = ask(n, cost, matters);
	if (matters)
		change_hash(STEP_ANSWER + answer);
	return answer;
}

void sched_at_end(void (*look)(void))
{
	run.at_end = look;
}

/* --- a run --------------------------------------------------------------- */

static void thread_main(void *arg)
{
	int t = (int)(intptr_t)arg;

	run.program->thread[t].fn();
	run.parts->at_exit(t);
	run.thread[t].wait = WAIT_DONE;
	sched_progress();
	/* Of two late stores to one word the last one stays. */
	if (all_done() && !buffers_meet())
		leave_for_good();
	pick(true);
	abort();
}

static void world_setup(void *arg UNUSED)
{
	run.program->setup();
	leave_for_good();
}

static void world_finish(void *arg UNUSED)
{
	if (run.at_end)
		run.at_end();
	if (!sched_has_failed() && run.program->finish)
		run.program->finish();
	leave_for_good();
}

static void run_world(void (*fn)(void *))
{
	fiber_prepare(&run.world, WORLD_STACK, STACK_BYTES, fn, NULL);
	fiber_switch(&run.runner, &run.world);
}

void sched_run_threads(void)
{
	for (unsigned int t = 0; t < run.program->n_threads; t++) {
		run.thread[t] = (struct thread){ .fresh = true };
		sched_now.hash[t] = t + 1;
		fiber_prepare(&run.thread[t].fiber, stacks[t], STACK_BYTES, thread_main,
			      (void *)(intptr_t)t);
	}
	pick(true);
}

void sched_begin(const struct program *p, const struct sched_parts *parts, choose_fn choose,
		 void *ctx, struct run_result *result)
{
	run.program = p;
	run.parts = parts;
	run.choose = choose;
	run.choose_ctx = ctx;
	run.result = result;
	sched_now.self = -1;
	run.tick = 0;
	run.n_turns = 0;
	run.n_followed = 0;
	run.idle_turns = 0;
	run.at_end = NULL;
	run.max_ticks = p->max_ticks ? p->max_ticks : DEFAULT_MAX_TICKS;
}

void sched_run_setup(void)
{
	run_world(world_setup);
}

void sched_run_finish(void)
{
	run_world(world_finish);
}

void sched_follow(const struct scripted *script, unsigned int n)
{
	run.script = script;
	run.n_script = n;
}

void sched_end(void)
{
	run.n_script = 0;
	run.result = NULL;
}
