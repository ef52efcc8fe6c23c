/* SPDX-License-Identifier: MIT */
/*
 * The checker is checked on small programs whose schedules and outcomes can be counted
 * by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "check/engine/arena.h"
#include "check/engine/explore.h"
#include "check/engine/rules.h"
#include "check/engine/timeline.h"
#include "sync/atomic.h"
#include "sync/lock.h"
#include "sync/rcu.h"
#include "sync/thread.h"
#include "sync/wait.h"

/* What a run came to, of few small numbers. */
static unsigned int n_seen[64];

static unsigned int n_outcomes(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(n_seen); i++)
		n += n_seen[i] != 0;
	return n;
}

static struct exploration look(const struct program *p, unsigned int bound, bool prune)
{
	struct explore_options o = { .bound = bound, .no_pruning = !prune };
	struct exploration e;

	memset(n_seen, 0, sizeof(n_seen));
	rules_reset();
	explore(p, &o, &e);
	return e;
}

/* Runs of the last bound alone: each bound begins again. */
static uint64_t runs_of_bound(const struct program *p, unsigned int bound)
{
	uint64_t n = look(p, bound, false).runs;

	return bound ? n - look(p, bound - 1, false).runs : n;
}

/* --- Dekker's beginning ------------------------------------------------------- */

static struct dekker {
	struct atomic32 x, y;
	bool fence;
	uint32_t saw_y, saw_x;
} *dekker;
static bool dekker_fence;

static void dekker_setup(void)
{
	dekker = arena_alloc(sizeof(*dekker));
	dekker->fence = dekker_fence;
}

static void dekker_a(void)
{
	atomic32_store_relaxed(&dekker->x, 1);
	if (dekker->fence)
		smp_mb();
	dekker->saw_y = atomic32_load_relaxed(&dekker->y);
}

static void dekker_b(void)
{
	atomic32_store_relaxed(&dekker->y, 1);
	if (dekker->fence)
		smp_mb();
	dekker->saw_x = atomic32_load_relaxed(&dekker->x);
}

static void dekker_finish(void)
{
	n_seen[dekker->saw_x * 2 + dekker->saw_y]++;
}

static struct program dekker_program(enum memory_model memory, bool fence)
{
	dekker_fence = fence;
	return (struct program){
		.name = "dekker", .setup = dekker_setup, .n_threads = 2,
		.thread = { { "a", dekker_a }, { "b", dekker_b } },
		.finish = dekker_finish, .memory = memory,
	};
}

/* Two threads of two steps: 4! / (2! 2!). */
static void dekker_has_six_schedules_and_three_outcomes(void **state UNUSED)
{
	struct program p = dekker_program(MEMORY_SC, false);

	assert_int_equal(runs_of_bound(&p, 3), 6);
	look(&p, 3, true);
	assert_int_equal(n_outcomes(), 3);
	assert_int_equal(n_seen[0], 0);
}

static void dekker_without_a_fence_fails_on_x86(void **state UNUSED)
{
	struct program p = dekker_program(MEMORY_TSO, false);
	struct exploration e = look(&p, 2, true);

	assert_true(e.complete);
	assert_int_equal(n_outcomes(), 4);
	assert_int_not_equal(n_seen[0], 0);
}

static void dekker_with_a_fence_holds(void **state UNUSED)
{
	for (enum memory_model m = MEMORY_TSO; m <= MEMORY_WEAK; m++) {
		struct program p = dekker_program(m, true);
		struct exploration e = look(&p, 4, true);

		assert_true(e.complete);
		assert_int_equal(n_outcomes(), 3);
		assert_int_equal(n_seen[0], 0);
	}
}

/* --- a message ------------------------------------------------------------------ */

static struct message {
	struct atomic32 payload, flag;
} *message;
static bool message_release;
static uint32_t message_seen;

static void message_setup(void)
{
	message = arena_alloc(2 * CACHE_LINE);
	message_seen = 3;
}

static void message_send(void)
{
	atomic32_store_relaxed(&message->payload, 1);
	if (message_release)
		atomic32_store_release(&message->flag, 1);
	else
		atomic32_store_relaxed(&message->flag, 1);
}

static void message_receive(void)
{
	if (atomic32_load_acquire(&message->flag))
		message_seen = atomic32_load_relaxed(&message->payload);
}

static void message_finish(void)
{
	n_seen[message_seen]++;
}

static unsigned int empty_messages(enum memory_model memory, bool release)
{
	struct program p = {
		.name = "message", .setup = message_setup, .n_threads = 2,
		.thread = { { "sender", message_send }, { "receiver", message_receive } },
		.finish = message_finish, .memory = memory,
	};

	message_release = release;
	assert_true(look(&p, 3, true).complete);
	return n_seen[0];
}

static void a_missing_release_shows_in_weak_memory_only(void **state UNUSED)
{
	assert_int_equal(empty_messages(MEMORY_SC, false), 0);
	assert_int_equal(empty_messages(MEMORY_TSO, false), 0);
	assert_int_not_equal(empty_messages(MEMORY_WEAK, false), 0);
	assert_int_equal(empty_messages(MEMORY_WEAK, true), 0);
}

/* --- a racy counter --------------------------------------------------------------- */

static struct atomic32 *counter;
static unsigned int increments;

static void counter_setup(void)
{
	counter = arena_alloc(sizeof(*counter));
}

static void counter_add(void)
{
	for (unsigned int i = 0; i < increments; i++)
		atomic32_store_relaxed(counter, atomic32_load_relaxed(counter) + 1);
}

static void counter_add_atomically(void)
{
	for (unsigned int i = 0; i < increments; i++)
		atomic32_fetch_add(counter, 1);
}

static void counter_finish(void)
{
	n_seen[counter->v]++;
}

static struct program counter_program(unsigned int threads, void (*fn)(void))
{
	struct program p = {
		.name = "counter", .setup = counter_setup, .n_threads = threads,
		.thread = { { "a", fn }, { "b", fn }, { "c", fn } },
		.finish = counter_finish, .memory = MEMORY_SC,
	};

	return p;
}

/* 6! / (2! 2! 2!) schedules; 1, 2 or 3 is left. */
static void three_racy_increments_have_90_schedules(void **state UNUSED)
{
	struct program p = counter_program(3, counter_add);

	increments = 1;
	assert_int_equal(runs_of_bound(&p, 5), 90);
	look(&p, 5, true);
	assert_int_equal(n_outcomes(), 3);
}

/* Of two threads that add three each, the least that can be left is 2. */
static void a_racy_counter_can_lose_all_but_two(void **state UNUSED)
{
	struct program p = counter_program(2, counter_add);

	increments = 3;
	assert_int_equal(runs_of_bound(&p, 12), 924); /* 12! / (6! 6!) */
	look(&p, 12, true);
	assert_int_equal(n_outcomes(), 5);
	assert_int_equal(n_seen[1], 0);
	assert_int_not_equal(n_seen[2], 0);

	p = counter_program(2, counter_add_atomically);
	look(&p, 12, true);
	assert_int_equal(n_outcomes(), 1);
	assert_int_not_equal(n_seen[6], 0);
}

static void pruning_leaves_out_schedules_and_no_outcome(void **state UNUSED)
{
	struct program p = counter_program(3, counter_add);
	unsigned int all[ARRAY_SIZE(n_seen)];
	uint64_t n_all, n_pruned;

	increments = 2;
	n_all = look(&p, 3, false).runs;
	memcpy(all, n_seen, sizeof(all));
	n_pruned = look(&p, 3, true).runs;
	assert_true(n_pruned < n_all);
	for (unsigned int i = 0; i < ARRAY_SIZE(n_seen); i++)
		assert_int_equal(all[i] != 0, n_seen[i] != 0);
}

/* --- waiting ---------------------------------------------------------------------- */

static struct event_word {
	struct atomic32 word, sleepers;
} *event;
static bool event_checks;

static void event_setup(void)
{
	event = arena_alloc(2 * CACHE_LINE);
}

/* Sleeps on a value that it has looked at before, or on what it finds then. */
static void event_wait(void)
{
	if (atomic32_load_acquire(&event->word))
		return;
	atomic32_fetch_add(&event->sleepers, 1);
	wait_on(&event->word, event_checks ? 0 : atomic32_load_relaxed(&event->word));
}

static void event_signal(void)
{
	atomic32_store_release(&event->word, 1);
	smp_mb();
	if (atomic32_load_relaxed(&event->sleepers))
		wait_wake_all(&event->word);
}

static void event_finish(void)
{
}

static struct program event_program(void)
{
	struct program p = {
		.name = "event", .setup = event_setup, .n_threads = 2,
		.thread = { { "waiter", event_wait }, { "signaller", event_signal } },
		.finish = event_finish, .memory = MEMORY_WEAK,
	};

	return p;
}

static void a_lost_wake_up_is_found(void **state UNUSED)
{
	struct program p = event_program();
	struct exploration e;

	event_checks = false;
	e = look(&p, 2, true);
	assert_true(e.failed);
	assert_int_equal(e.result.verdict, VERDICT_NO_PROGRESS);
	assert_int_equal(e.preemptions, 1);

	event_checks = true;
	e = look(&p, 3, true);
	assert_false(e.failed);
	assert_true(e.complete);
}

static struct mutex *locks[2];

static void locks_setup(void)
{
	for (int i = 0; i < 2; i++) {
		locks[i] = arena_alloc(sizeof(*locks[i]));
		mutex_init(locks[i], i ? RANK_MMU : RANK_SLOTS);
	}
}

static void locks_in_order(void) NO_THREAD_SAFETY
{
	mutex_lock(locks[0]);
	mutex_lock(locks[1]);
	mutex_unlock(locks[1]);
	mutex_unlock(locks[0]);
}

static void locks_against_the_order(void) NO_THREAD_SAFETY
{
	mutex_lock(locks[1]);
	mutex_lock(locks[0]);
	mutex_unlock(locks[0]);
	mutex_unlock(locks[1]);
}

static void a_lock_taken_against_its_rank_is_found(void **state UNUSED)
{
	struct program p = {
		.name = "locks", .setup = locks_setup, .n_threads = 2,
		.thread = { { "a", locks_in_order }, { "b", locks_against_the_order } },
		.finish = event_finish,
	};
	struct exploration e = look(&p, 0, true);

	assert_true(e.failed);
	p.thread[1].fn = locks_in_order;
	e = look(&p, 3, true);
	assert_true(e.complete);
}

static void needs_the_lock_and_has_it(void) NO_THREAD_SAFETY
{
	mutex_lock(locks[0]);
	mutex_assert_held(locks[0]);
	mutex_unlock(locks[0]);
}

static void needs_the_lock_and_has_another(void) NO_THREAD_SAFETY
{
	mutex_lock(locks[1]);
	mutex_assert_held(locks[0]);
	mutex_unlock(locks[1]);
}

static void a_lock_that_is_not_held_is_found(void **state UNUSED)
{
	struct program p = {
		.name = "held", .setup = locks_setup, .n_threads = 2,
		.thread = { { "a", needs_the_lock_and_has_it },
			    { "b", needs_the_lock_and_has_another } },
		.finish = event_finish,
	};
	struct exploration e = look(&p, 0, true);

	assert_true(e.failed);
	p.thread[1].fn = needs_the_lock_and_has_it;
	e = look(&p, 3, true);
	assert_true(e.complete);
}

static struct atomic32 *spin;

static void spin_setup(void)
{
	spin = arena_alloc(sizeof(*spin));
}

static void spin_until_set(void)
{
	while (!atomic32_load_acquire(spin))
		cpu_relax();
}

static void spin_set(void)
{
	atomic32_store_release(spin, 1);
}

static void who_spins_lets_others_run_and_an_endless_loop_is_found(void **state UNUSED)
{
	struct program p = {
		.name = "spin", .setup = spin_setup, .n_threads = 2,
		.thread = { { "waits", spin_until_set }, { "sets", spin_set } },
		.finish = event_finish, .memory = MEMORY_WEAK,
	};
	struct exploration e = look(&p, 3, true);

	assert_true(e.complete);
	p.thread[1].fn = event_finish;
	e = look(&p, 3, true);
	assert_true(e.failed);
	assert_int_equal(e.result.verdict, VERDICT_NO_PROGRESS);
}

/* --- memory that is given back -------------------------------------------------------- */

static struct atomic_ptr *rcu_pointer;
static struct alloc *rcu_alloc;
static bool rcu_waits;

static void rcu_setup(void)
{
	rcu_pointer = arena_alloc(sizeof(*rcu_pointer));
	rcu_alloc = arena_alloc(64);
	atomic_ptr_store_release(rcu_pointer, arena_alloc(sizeof(struct atomic64)));
}

static void rcu_reader(void)
{
	struct atomic64 *p;

	rcu_read_begin();
	p = atomic_ptr_load_acquire(rcu_pointer);
	if (p)
		atomic64_load_relaxed(p);
	rcu_read_end();
}

void memory_mark_freed(void *at, size_t bytes);

static void rcu_writer(void)
{
	void *old = atomic_ptr_xchg(rcu_pointer, NULL);

	if (rcu_waits)
		rcu_synchronize();
	memory_mark_freed(old, sizeof(struct atomic64));
}

static void a_missing_grace_period_is_found(void **state UNUSED)
{
	struct program p = {
		.name = "rcu", .setup = rcu_setup, .n_threads = 3,
		.thread = { { "a", rcu_reader }, { "b", rcu_reader }, { "frees", rcu_writer } },
		.finish = event_finish, .memory = MEMORY_WEAK,
	};
	struct exploration e;

	rcu_waits = true;
	e = look(&p, 3, true);
	assert_true(e.complete);
	rcu_waits = false;
	e = look(&p, 3, true);
	assert_true(e.failed);
	assert_int_equal(e.result.verdict, VERDICT_MEMORY);
}

/* --- the ABA stack ----------------------------------------------------------------------- */

struct node {
	struct atomic32 next;	/* number of a node; 0: none */
};
static struct stack {
	struct node node[4];
	struct atomic64 top;	/* number, and above it how often it was changed */
	struct atomic32 taken[4];
} *stack;
static bool stack_tags;

static uint64_t tag(uint64_t top)
{
	return stack_tags ? (top >> 32) + 1 : 0;
}

static uint32_t pop(void)
{
	uint64_t top = atomic64_load_acquire(&stack->top);

	while ((uint32_t)top) {
		uint32_t next = atomic32_load_relaxed(&stack->node[(uint32_t)top].next);

		if (atomic64_cmpxchg(&stack->top, &top, next | tag(top) << 32))
			return (uint32_t)top;
	}
	return 0;
}

static void push(uint32_t n)
{
	uint64_t top = atomic64_load_acquire(&stack->top);

	do
		atomic32_store_release(&stack->node[n].next, (uint32_t)top);
	while (!atomic64_cmpxchg(&stack->top, &top, n | tag(top) << 32));
}

static void stack_setup(void)
{
	stack = arena_alloc(sizeof(*stack));
	push(3);
	push(2);
	push(1);
}

static void take(uint32_t n)
{
	if (n && atomic32_xchg(&stack->taken[n], 1))
		sched_fail(VERDICT_WRONG, "node %u belongs to two threads", n);
}

static void stack_a(void)
{
	take(pop());
}

/* Takes two and puts the first back: the top is what it was, but not the rest. */
static void stack_b(void)
{
	uint32_t first = pop();

	take(pop());
	if (first)
		push(first);
}

static struct program stack_program(bool tags)
{
	struct program p = {
		.name = "stack", .setup = stack_setup, .n_threads = 2,
		.thread = { { "a", stack_a }, { "b", stack_b } },
		.finish = event_finish, .memory = MEMORY_SC,
	};

	stack_tags = tags;
	return p;
}

static void stack_finish(void)
{
	take(pop());
	take(pop());
	take(pop());
}

static void the_aba_stack_fails_with_one_preemption(void **state UNUSED)
{
	struct program p = stack_program(false);
	struct exploration e;

	p.finish = stack_finish;
	e = look(&p, 3, true);
	assert_true(e.failed);
	assert_int_equal(e.result.verdict, VERDICT_WRONG);
	assert_int_equal(e.preemptions, 1);

	p = stack_program(true);
	p.finish = stack_finish;
	e = look(&p, 6, true);
	assert_false(e.failed);
	assert_true(e.complete);
}

/* --- replay, chance, crashes ---------------------------------------------------------------- */

static void a_failure_replays_to_the_byte(void **state UNUSED)
{
	struct program p = stack_program(false);
	struct exploration e;
	struct run_result again;
	static struct event first[4096];
	const struct event *events;
	unsigned int n, m;

	p.finish = stack_finish;
	e = look(&p, 3, true);
	shrink(&p, &e);
	timeline_on = true;
	replay(&p, &e.token, &again);
	events = timeline_events(&n);
	memcpy(first, events, n * sizeof(*events));
	assert_int_equal(again.verdict, e.result.verdict);
	assert_string_equal(again.sentence, e.result.sentence);
	assert_int_equal(again.ticks, e.result.ticks);
	replay(&p, &e.token, &again);
	events = timeline_events(&m);
	timeline_on = false;
	assert_int_equal(n, m);
	assert_memory_equal(first, events, n * sizeof(*events));
}

static void chance_finds_it_too(void **state UNUSED)
{
	struct program p = stack_program(false);
	struct explore_options o = { .bound = 2, .random = true, .seed = 1, .max_runs = 5000 };
	struct exploration e;
	struct run_result again;

	p.finish = stack_finish;
	explore(&p, &o, &e);
	assert_true(e.failed);
	replay(&p, &e.token, &again);
	assert_int_equal(again.verdict, VERDICT_WRONG);
}

static void crash(void)
{
	*(volatile int *)(uintptr_t)(8 * atomic32_load_relaxed(spin)) = 1;
}

static void a_crash_is_a_failure_and_not_the_end(void **state UNUSED)
{
	struct program p = {
		.name = "crash", .setup = spin_setup, .n_threads = 1,
		.thread = { { "crashes", crash } },
		.finish = event_finish,
	};

	for (int i = 0; i < 3; i++)
		assert_int_equal(look(&p, 1, true).result.verdict, VERDICT_MEMORY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dekker_has_six_schedules_and_three_outcomes),
		cmocka_unit_test(dekker_without_a_fence_fails_on_x86),
		cmocka_unit_test(dekker_with_a_fence_holds),
		cmocka_unit_test(a_missing_release_shows_in_weak_memory_only),
		cmocka_unit_test(three_racy_increments_have_90_schedules),
		cmocka_unit_test(a_racy_counter_can_lose_all_but_two),
		cmocka_unit_test(pruning_leaves_out_schedules_and_no_outcome),
		cmocka_unit_test(a_lost_wake_up_is_found),
		cmocka_unit_test(a_lock_taken_against_its_rank_is_found),
		cmocka_unit_test(a_lock_that_is_not_held_is_found),
		cmocka_unit_test(who_spins_lets_others_run_and_an_endless_loop_is_found),
		cmocka_unit_test(a_missing_grace_period_is_found),
		cmocka_unit_test(the_aba_stack_fails_with_one_preemption),
		cmocka_unit_test(a_failure_replays_to_the_byte),
		cmocka_unit_test(chance_finds_it_too),
		cmocka_unit_test(a_crash_is_a_failure_and_not_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
