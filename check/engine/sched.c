/* SPDX-License-Identifier: MIT */
#include "check/engine/sched.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/bug.h"
#include "check/engine/arena.h"
#include "check/engine/fiber.h"
#include "check/engine/locks.h"
#include "check/engine/memory.h"
#include "check/engine/timeline.h"
#include "check/engine/window.h"

#define STACK_BYTES (64u << 10)
/* Turns given away in a row while nobody changes anything. */
#define MAX_IDLE_TURNS 24

struct thread {
	struct fiber fiber;
	enum wait_kind wait;
	void *on;
	bool fresh;		/* was started, and did nothing yet that others can see */
	uint8_t lets_first;	/* has yielded: threads that must have run before it does */
	uint64_t hash;
	struct sleeper sleeper;
};

static struct {
	const struct program *program;
	choose_fn choose;
	void *choose_ctx;
	struct run_result *result;
	struct fiber runner, world;
	struct thread thread[MAX_THREADS];
	int self;		/* -1: the world, or the runner */
	bool running;
	uint64_t tick;
	uint64_t max_ticks;
	unsigned int idle_turns;
	void (*at_end)(void);
} s;

uint64_t sched_forced_tick = UINT64_MAX;

static char stacks[MAX_THREADS + 2][STACK_BYTES] __attribute__((aligned(64)));
#define WORLD_STACK stacks[MAX_THREADS]
#define CRASH_STACK stacks[MAX_THREADS + 1]

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

bool sched_is_running(void)
{
	return s.running && s.self >= 0;
}

int sched_self(void)
{
	return s.self;
}

const char *sched_thread_name(int t)
{
	return t < 0 ? "the set-up or the last look" : s.program->thread[t].name;
}

unsigned int sched_n_threads(void)
{
	return s.program->n_threads;
}

uint64_t sched_tick(void)
{
	return s.tick;
}

enum memory_model sched_memory(void)
{
	return s.program->memory;
}

uint64_t sched_hash(int t)
{
	return s.thread[t].hash;
}

void sched_set_hash(int t, uint64_t hash)
{
	s.thread[t].hash = hash;
}

struct sleeper *sched_sleeper(int t)
{
	return &s.thread[t].sleeper;
}

bool sched_is_asleep_on(int t, const void *on)
{
	return s.thread[t].wait == WAIT_WOKEN && s.thread[t].sleeper.on == on;
}

bool sched_has_failed(void)
{
	return s.result && s.result->verdict != VERDICT_HOLDS;
}

static _Noreturn void leave_for_good(void)
{
	struct fiber here;

	s.running = false;
	s.self = -1;
	fiber_switch(&here, &s.runner);
	abort();
}

void sched_fail(enum verdict v, const char *format, ...)
{
	va_list args;

	if (!sched_has_failed()) {
		s.result->verdict = v;
		s.result->thread = s.self;
		va_start(args, format);
		vsnprintf(s.result->sentence, sizeof(s.result->sentence), format, args);
		va_end(args);
	}
	leave_for_good();
}

/* base/bug.h, for the code under test. */
void bug(const char *file, int line, const char *what)
{
	const char *name = strrchr(file, '/');

	if (!s.result)
		abort();
	sched_fail(VERDICT_MEMORY, "bug_on(%s) at %s:%d, in %s", what, name ? name + 1 : file, line,
		   sched_thread_name(s.self));
	abort();
}

/* --- who may go on ------------------------------------------------------- */

static bool can_run(int t)
{
	const struct thread *th = &s.thread[t];

	switch (th->wait) {
	case WAIT_NOTHING:
		return true;
	case WAIT_WOKEN:
		return th->sleeper.woken;
	case WAIT_DONE:
		return false;
	default:
		return locks_allow(t, th->wait, th->on);
	}
}

static void describe_waits(char *text, size_t bytes)
{
	size_t n = 0;

	text[0] = 0;
	for (unsigned int t = 0; t < s.program->n_threads && n < bytes; t++)
		if (s.thread[t].wait != WAIT_DONE)
			n += (size_t)snprintf(text + n, bytes - n, "%s%s waits for %s",
					      n ? "; " : "", s.program->thread[t].name,
					      locks_describe(s.thread[t].wait, s.thread[t].on));
}

static void fail_deadlock(void)
{
	char text[300];

	describe_waits(text, sizeof(text));
	sched_fail(VERDICT_NO_PROGRESS, "nobody can go on: %s", text);
}

void sched_progress(void)
{
	s.idle_turns = 0;
}

static uint64_t state_hash(void)
{
	uint64_t h = (uint64_t)(s.self + 1) * 0x9e3779b97f4a7c15ull;

	for (unsigned int t = 0; t < s.program->n_threads; t++) {
		h = hash_mix(h, s.thread[t].hash);
		h = hash_mix(h, memory_buffer_hash((int)t));
		h = hash_mix(h, (uint64_t)s.thread[t].wait << 8 | s.thread[t].lets_first);
		h = hash_mix(h, window_state((int)t));
	}
	return h;
}

static void add_choice(struct choices *c, unsigned int what, unsigned int cost)
{
	if (c->n == MAX_CHOICES)
		return;
	c->what[c->n] = (uint8_t)what;
	c->cost[c->n++] = (uint8_t)cost;
}

static uint8_t runnable(void)
{
	uint8_t set = 0;

	for (unsigned int t = 0; t < s.program->n_threads; t++)
		if (can_run((int)t))
			set |= (uint8_t)(1u << t);
	return set;
}

/*
 * Threads that can run, the current one first: switching away from it costs one preemption.  A
 * thread that yielded is not offered again until every other runnable thread has run, so a spin
 * loop cannot starve the thread it waits for.
 */
static void collect(struct choices *c)
{
	uint8_t set = runnable();
	unsigned int n = s.program->n_threads;
	int first = s.self >= 0 ? s.self : 0;
	bool stays = false;

	for (unsigned int i = 0; i < n; i++) {
		int t = (first + (int)i) % (int)n;

		if (!(set & 1u << t) || (s.thread[t].lets_first & set))
			continue;
		if (t == s.self)
			stays = true;
		add_choice(c, (unsigned int)t, t != s.self && stays);
	}
}

static void collect_commits(struct choices *c)
{
	for (unsigned int t = 0; t < s.program->n_threads; t++)
		for (unsigned int i = 0; i < memory_n_committable((int)t); i++)
			add_choice(c, CHOICE_COMMIT | t | memory_committable((int)t, i) << 5, 0);
}

static unsigned int decide(struct choices *c)
{
	unsigned int i;

	if (c->n < 2 || (!c->matters && c->tick != sched_forced_tick))
		return 0;
	i = s.choose(s.choose_ctx, c);
	return i < c->n ? i : 0;
}

static void switch_to(int t)
{
	int from = s.self;

	for (unsigned int i = 0; i < s.program->n_threads; i++)
		s.thread[i].lets_first &= (uint8_t)~(1u << t);
	s.thread[t].lets_first = 0;
	if (t == from)
		return;
	s.self = t;
	fiber_switch(from < 0 ? &s.runner : &s.thread[from].fiber, &s.thread[t].fiber);
}

static bool all_done(void)
{
	for (unsigned int t = 0; t < s.program->n_threads; t++)
		if (s.thread[t].wait != WAIT_DONE)
			return false;
	return true;
}

/*
 * Picks who goes on.  The current thread may have just begun to wait, or have ended;
 * when this returns to it, it can go on.
 */
static void pick(bool matters)
{
	for (;;) {
		struct choices c = { .tick = ++s.tick, .matters = matters };
		unsigned int what;

		if (s.tick > s.max_ticks) {
			char text[300];

			describe_waits(text, sizeof(text));
			sched_fail(VERDICT_NO_PROGRESS, "no end after %llu steps (%s)",
				   (unsigned long long)s.tick, text);
		}
		collect(&c);
		if (!c.n && memory_any_buffered()) {
			/* Sooner or later every store becomes visible. */
			memory_drain_all();
			continue;
		}
		collect_commits(&c);
		if (!c.n)
			fail_deadlock();
		if (matters && c.n > 1)
			c.state = state_hash();
		what = c.what[decide(&c)];
		if (what & CHOICE_COMMIT) {
			memory_commit((int)(what & 0xf), what >> 5);
			continue;
		}
		switch_to((int)what);
		return;
	}
}

/* Right after a thread was chosen to begin there is nothing to choose again. */
static bool is_fresh(void)
{
	bool fresh = s.thread[s.self].fresh;

	s.thread[s.self].fresh = false;
	return fresh;
}

void sched_point(bool matters)
{
	if (!sched_is_running())
		return;
	if (matters && is_fresh())
		matters = false;
	/* The common case, without the work. */
	if (!matters && s.tick + 1 != sched_forced_tick && s.tick < s.max_ticks) {
		s.tick++;
		return;
	}
	pick(matters);
	window_deliver();
}

void sched_wait(enum wait_kind kind, void *on, bool matters)
{
	struct thread *t = &s.thread[s.self];

	t->wait = kind;
	t->on = on;
	if (!can_run(s.self)) {
		memory_drain(s.self);
		matters = true;
	} else if (matters && is_fresh()) {
		matters = false;
	}
	pick(matters);
	t->wait = WAIT_NOTHING;
	window_deliver();
}

void sched_yield_turn(void)
{
	if (!sched_is_running())
		return;
	memory_drain(s.self);
	if (++s.idle_turns > MAX_IDLE_TURNS) {
		/* Unless it is only that a store is late. */
		if (!memory_any_buffered())
			sched_fail(VERDICT_NO_PROGRESS,
				   "%s loops for ever: nobody changes what it waits for",
				   s.program->thread[s.self].name);
		memory_drain_all();
	}
	s.thread[s.self].lets_first = (uint8_t)(runnable() & ~(1u << s.self));
	pick(true);
	window_deliver();
}

unsigned int sched_ask(unsigned int n, unsigned int cost, bool matters)
{
	struct choices c = { .tick = ++s.tick, .matters = matters, .is_question = true };

	if (!sched_is_running())
		return 0;
	for (unsigned int i = 0; i < n; i++)
		add_choice(&c, i, i ? cost : 0);
	if (matters)
		c.state = hash_mix(state_hash(), n);
	return c.what[decide(&c)];
}

void sched_at_end(void (*look)(void))
{
	s.at_end = look;
}

/* --- a run --------------------------------------------------------------- */

static void thread_main(void *arg)
{
	int t = (int)(intptr_t)arg;

	s.program->thread[t].fn();
	locks_at_exit(t);
	s.thread[t].wait = WAIT_DONE;
	sched_progress();
	if (all_done())
		leave_for_good();
	pick(true);
	abort();
}

static void world_setup(void *arg UNUSED)
{
	s.program->setup();
	leave_for_good();
}

static void world_finish(void *arg UNUSED)
{
	if (s.at_end)
		s.at_end();
	if (!sched_has_failed() && s.program->finish)
		s.program->finish();
	leave_for_good();
}

static void run_world(void (*fn)(void *))
{
	fiber_prepare(&s.world, WORLD_STACK, STACK_BYTES, fn, NULL);
	fiber_switch(&s.runner, &s.world);
}

static void run_threads(void)
{
	for (unsigned int t = 0; t < s.program->n_threads; t++) {
		s.thread[t] = (struct thread){ .hash = t + 1, .fresh = true };
		fiber_prepare(&s.thread[t].fiber, stacks[t], STACK_BYTES, thread_main,
			      (void *)(intptr_t)t);
	}
	s.running = true;
	pick(true);
}

/* --- crashes of the code under test ---------------------------------------- */

static int crash_signal;
static void *crash_address;

static void crash_landing(void)
{
	sched_fail(VERDICT_MEMORY, "%s in %s at address %p",
		   crash_signal == SIGFPE ? "arithmetic fault" :
					    "access to memory that is not there",
		   sched_thread_name(s.self), crash_address);
	abort();
}

static void on_crash(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if (!s.result) {
		signal(sig, SIG_DFL);
		return;
	}
	crash_signal = sig;
	crash_address = info->si_addr;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)crash_landing;
	/* As after a call: 8 below a multiple of 16. */
	uc->uc_mcontext.gregs[REG_RSP] = (greg_t)(uintptr_t)(CRASH_STACK + STACK_BYTES - 8);
}

void sched_catch_crashes(void)
{
	static char signal_stack[64 << 10];
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct sigaction action = {
		.sa_sigaction = on_crash,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};
	stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof(signal_stack) };

	sigaltstack(&stack, NULL);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
}

void run_program(const struct program *p, choose_fn choose, void *ctx, struct run_result *result)
{
	*result = (struct run_result){ .thread = -1 };
	s.program = p;
	s.choose = choose;
	s.choose_ctx = ctx;
	s.result = result;
	s.self = -1;
	s.running = false;
	s.tick = 0;
	s.idle_turns = 0;
	s.at_end = NULL;
	s.max_ticks = p->max_ticks ? p->max_ticks : DEFAULT_MAX_TICKS;
	memory_begin_run();
	locks_begin_run();
	window_begin_run();
	arena_begin_run();
	timeline_begin_run();

	run_world(world_setup);
	if (result->verdict == VERDICT_HOLDS)
		run_threads();
	if (result->verdict == VERDICT_HOLDS)
		memory_drain_all();
	result->ticks = s.tick;
	result->new_shared_word = memory_found_shared();
	if (result->verdict == VERDICT_HOLDS)
		run_world(world_finish);
	s.result = NULL;
}
