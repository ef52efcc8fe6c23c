/* SPDX-License-Identifier: MIT */
/* tests/unit/sync/test_lock.c - builds with debug_checks find a mistake with locks, and name it. */
#include "vm_fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "sync/lock.h"

static struct mutex slots, flush;
static struct rwlock mmu;

#ifdef UMBRA_DEBUG_CHECKS
static int said[2];

static void say(int level UNUSED, const char *line)
{
	note_unless(write(said[1], line, strlen(line)) > 0);
}

/* In a child, as it is the end of it: that @mistake is found, and what is said of it. */
static void assert_bug(void (*mistake)(void), const char *expected)
{
	char text[400] = "";
	int status;
	pid_t pid;

	assert_int_equal(pipe(said), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		signal(SIGABRT, SIG_DFL);
		log_set_sink(say, LOG_CRIT);
		mistake();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(said[1]);
	note_unless(read(said[0], text, sizeof(text) - 1) >= 0);
	close(said[0]);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	if (!strstr(text, expected))
		fail_msg("said \"%s\"", text);
}
#else
static void assert_bug(void (*mistake)(void) UNUSED, const char *expected UNUSED)
{
	skip();
}
#endif

static int setup(void **state UNUSED)
{
	mutex_init(&slots, RANK_SLOTS);
	rwlock_init(&mmu, RANK_MMU);
	mutex_init(&flush, RANK_FLUSH);
	return 0;
}

static int teardown(void **state UNUSED)
{
	mutex_destroy(&flush);
	rwlock_destroy(&mmu);
	mutex_destroy(&slots);
	return 0;
}

static void take_the_lower_rank_last(void) NO_THREAD_SAFETY
{
	mutex_lock(&flush);
	mutex_lock(&slots);
}

static void a_lock_of_lower_rank_is_not_taken(void **state UNUSED)
{
	assert_bug(take_the_lower_rank_last, "slots.lock is taken under mmu.flush_lock");
}

static void take_one_rank_twice(void) NO_THREAD_SAFETY
{
	mutex_lock(&slots);
	mutex_lock(&slots);
}

static void a_lock_is_not_taken_twice(void **state UNUSED)
{
	assert_bug(take_one_rank_twice, "slots.lock is taken under slots.lock");
}

static void need_a_mutex(void)
{
	mutex_assert_held(&slots);
}

static void a_mutex_that_is_not_held_is_noticed(void **state UNUSED)
{
	assert_bug(need_a_mutex, "slots.lock is not held");
}

static void need_another_of_the_rank(void) NO_THREAD_SAFETY
{
	struct mutex other;

	mutex_init(&other, RANK_SLOTS);
	mutex_lock(&other);
	mutex_assert_held(&slots);
}

static void another_lock_of_the_same_rank_does_not_count(void **state UNUSED)
{
	assert_bug(need_another_of_the_rank, "slots.lock is not held");
}

static void write_under_the_lock_for_read(void) NO_THREAD_SAFETY
{
	rwlock_rdlock(&mmu);
	rwlock_assert_held(&mmu);
	rwlock_assert_held_write(&mmu);
}

static void for_read_is_not_for_write(void **state UNUSED)
{
	assert_bug(write_under_the_lock_for_read, "mmu.lock is not held for write");
}

static void drop_what_is_not_held(void) NO_THREAD_SAFETY
{
	mutex_unlock(&slots);
}

static void a_lock_that_is_not_held_is_not_dropped(void **state UNUSED)
{
	assert_bug(drop_what_is_not_held,
		   "slots.lock is dropped, and the last that was taken is no lock");
}

static void forget_one_of_two(void) NO_THREAD_SAFETY
{
	mutex_lock(&slots);
	mutex_lock(&flush);
	mutex_unlock(&slots);
}

static void a_lock_that_was_forgotten_is_noticed_when_another_is_dropped(void **state UNUSED)
{
	assert_bug(forget_one_of_two,
		   "slots.lock is dropped, and the last that was taken is mmu.flush_lock");
}

static void return_with_a_lock(void) NO_THREAD_SAFETY
{
	mutex_lock(&slots);
	lock_assert_none();
}

static void a_lock_that_was_forgotten_is_noticed_at_the_end_of_a_call(void **state UNUSED)
{
	assert_bug(return_with_a_lock, "slots.lock is held");
}

static void take_what_was_not_announced(void) NO_THREAD_SAFETY
{
	lock_watch_begin();
	mutex_lock(&slots);
	mutex_unlock(&slots);
	lock_watch_end(RANK_BIT(RANK_FLUSH));
}

static void a_call_takes_the_locks_that_it_announces(void **state UNUSED)
{
	assert_bug(take_what_was_not_announced, "slots.lock was taken");
}

static void what_is_right_passes(void **state UNUSED)
{
	lock_watch_begin();
	mutex_lock(&slots);
	rwlock_wrlock(&mmu);
	mutex_lock(&flush);
	mutex_assert_held(&slots);
	rwlock_assert_held(&mmu);
	rwlock_assert_held_write(&mmu);
	mutex_assert_held(&flush);
	mutex_unlock(&flush);
	rwlock_wrunlock(&mmu);
	rwlock_rdlock(&mmu);
	rwlock_assert_held(&mmu);
	rwlock_rdunlock(&mmu);
	mutex_unlock(&slots);
	lock_watch_end(RANK_BIT(RANK_SLOTS) | RANK_BIT(RANK_MMU) | RANK_BIT(RANK_FLUSH));
	lock_assert_none();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_right_passes),
		cmocka_unit_test(a_lock_of_lower_rank_is_not_taken),
		cmocka_unit_test(a_lock_is_not_taken_twice),
		cmocka_unit_test(a_mutex_that_is_not_held_is_noticed),
		cmocka_unit_test(another_lock_of_the_same_rank_does_not_count),
		cmocka_unit_test(for_read_is_not_for_write),
		cmocka_unit_test(a_lock_that_is_not_held_is_not_dropped),
		cmocka_unit_test(a_lock_that_was_forgotten_is_noticed_when_another_is_dropped),
		cmocka_unit_test(a_lock_that_was_forgotten_is_noticed_at_the_end_of_a_call),
		cmocka_unit_test(a_call_takes_the_locks_that_it_announces),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
