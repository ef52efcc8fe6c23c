/* SPDX-License-Identifier: MIT */
/* tests/unit/machine/test_timers.c - deadlines, and how a vCPU sleeps and wakes. */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>

#include "machine/wakeup.h"
#include "sync/clock.h"
#include "sync/wait.h"

#define BIT 0x100u
#define ROUNDS 2000u

/* --- timers ----------------------------------------------------------------------- */

static struct timer timer[4];
static unsigned int order[16], n_expired;

static void note(struct timer *t)
{
	order[n_expired++ % ARRAY_SIZE(order)] = (unsigned int)(t - timer);
}

static int setup(void **state)
{
	world_setup(state);
	n_expired = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(timer); i++)
		timer_init(&timer[i], note);
	return 0;
}

static void they_expire_in_their_order(void **state)
{
	(void)state;
	timer_arm(&w.timers, &timer[0], w.now + 300);
	timer_arm(&w.timers, &timer[1], w.now + 100);
	timer_arm(&w.timers, &timer[2], w.now + 200);
	timer_arm(&w.timers, &timer[3], w.now + 200);
	assert_int_equal(timers_expire(&w.timers, w.now), w.now + 100);
	assert_int_equal(n_expired, 0);
	/* Armed anew it has one deadline; disarmed, none. */
	timer_arm(&w.timers, &timer[1], w.now + 250);
	timer_disarm(&w.timers, &timer[3]);
	timer_disarm(&w.timers, &timer[3]);
	world_pass(299);
	assert_int_equal(n_expired, 2);
	assert_int_equal(order[0], 2);
	assert_int_equal(order[1], 1);
	world_pass(1);
	assert_int_equal(order[2], 0);
	assert_int_equal(timers_expire(&w.timers, UINT64_MAX), TIMER_NEVER);
}

static struct timers served;
static struct atomic32 ticks;

static void tick(struct timer *t)
{
	if (atomic32_fetch_add(&ticks, 1) < 9)
		timer_arm(&served, t, timers_now(&served) + 1000);
	wait_wake_all(&ticks);
}

static void the_thread_waits_for_the_earliest(void **state)
{
	uint32_t seen;

	(void)state;
	timers_init(&served);
	assert_int_equal(timers_start(&served), 0);
	timer_init(&timer[0], tick);
	timer_init(&timer[1], tick);
	timer_arm(&served, &timer[1], TIMER_NEVER / 2);
	timer_arm(&served, &timer[0], timers_now(&served) + 1000);
	while ((seen = atomic32_load_acquire(&ticks)) < 10)
		wait_on(&ticks, seen);
	timers_destroy(&served);
}

/* --- sleeping --------------------------------------------------------------------- */

static struct wakeup wakeup;
static struct atomic32 word, given, taken;

static bool has_one(void *arg)
{
	(void)arg;
	return atomic32_load_relaxed(&given) != atomic32_load_relaxed(&taken);
}

/* One thing at a time; and in between bits that wake nobody. */
static void *give(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint32_t seen;

		atomic32_fetch_or(&word, 1);
		atomic32_fetch_and(&word, ~1u);
		atomic32_store_relaxed(&given, i + 1);
		wakeup_kick(&wakeup);
		while ((seen = atomic32_load_acquire(&taken)) != i + 1)
			wait_on(&taken, seen);
	}
	return NULL;
}

static void take_all(thread_sigmask_t blocked)
{
	pthread_t giver;

	atomic32_store_relaxed(&word, 0);
	atomic32_store_relaxed(&given, 0);
	atomic32_store_relaxed(&taken, 0);
	wakeup_init(&wakeup, &word, BIT);
	assert_int_equal(pthread_create(&giver, NULL, give, NULL), 0);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		wakeup_wait(&wakeup, has_one, NULL, blocked);
		atomic32_store_release(&taken, i + 1);
		wait_wake_all(&taken);
	}
	pthread_join(giver, NULL);
	wakeup_destroy(&wakeup);
}

static void each_kick_wakes_a_sleeper(void **state)
{
	(void)state;
	take_all(SIGNALS_DEFERRED);
}

static void each_kick_wakes_one_that_polls_for_signals(void **state)
{
	(void)state;
	take_all(0);
}

static bool signal_waits(void *arg)
{
	return thread_signal_waits(*(thread_sigmask_t *)arg);
}

static void do_nothing(int sig)
{
	(void)sig;
}

static void *send_signal(void *arg)
{
	pthread_kill(*(pthread_t *)arg, SIGUSR2);
	return NULL;
}

/* The thread blocks it, as in a call. */
static void a_blocked_signal_ends_the_sleep(void **state)
{
	struct sigaction action = { .sa_handler = do_nothing };
	pthread_t self = pthread_self(), sender;
	thread_sigmask_t blocked;

	(void)state;
	assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
	wakeup_init(&wakeup, &word, BIT);
	for (int i = 0; i < 50; i++) {
		blocked = thread_hold_signals();
		assert_int_equal(pthread_create(&sender, NULL, send_signal, &self), 0);
		wakeup_wait(&wakeup, signal_waits, &blocked, blocked);
		pthread_join(sender, NULL);
		thread_release_signals(blocked);
	}
	wakeup_destroy(&wakeup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(they_expire_in_their_order, setup, world_teardown),
		cmocka_unit_test(the_thread_waits_for_the_earliest),
		cmocka_unit_test(each_kick_wakes_a_sleeper),
		cmocka_unit_test(each_kick_wakes_one_that_polls_for_signals),
		cmocka_unit_test(a_blocked_signal_ends_the_sleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
