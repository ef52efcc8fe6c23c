/* SPDX-License-Identifier: MIT */
#include "sync/lock.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/bug.h"

/* They are held for a moment: waiters spin before they sleep. */
void mutex_init(struct mutex *m, enum lock_rank rank)
{
	pthread_mutexattr_t attr;

	bug_on(pthread_mutexattr_init(&attr));
	bug_on(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP));
	bug_on(pthread_mutex_init(&m->native, &attr));
	pthread_mutexattr_destroy(&attr);
	m->rank = rank;
}

void mutex_destroy(struct mutex *m)
{
	pthread_mutex_destroy(&m->native);
}

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
	fair_init(&l->native);
	l->rank = rank;
}

void rwlock_destroy(struct rwlock *l)
{
	fair_destroy(&l->native);
}

#ifdef UMBRA_DEBUG_CHECKS

#define MAX_HELD 16

/* Of the thread: the locks that it holds, in the order of taking them. */
static __thread struct {
	const void *lock;
	enum lock_rank rank;
	enum lock_mode mode;
} held[MAX_HELD];
static __thread unsigned int n_held;
static __thread unsigned int ranks_taken;	/* since lock_watch_begin() */

static _Noreturn PRINTF_LIKE(1, 2) void violation(const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	bug(__FILE__, __LINE__, text);
}

static enum lock_rank highest_rank(void)
{
	return n_held ? held[n_held - 1].rank : RANK_NONE;
}

void lock_note_take(const void *lock, enum lock_rank rank, enum lock_mode mode)
{
	bug_on(n_held == MAX_HELD);
	if (highest_rank() >= rank)
		violation("%s is taken under %s", lock_rank_name(rank),
			  lock_rank_name(highest_rank()));
	held[n_held].lock = lock;
	held[n_held].rank = rank;
	held[n_held].mode = mode;
	n_held++;
	ranks_taken |= RANK_BIT(rank);
}

/* In the reverse order, and by whoever took it. */
void lock_note_drop(const void *lock, enum lock_rank rank)
{
	if (!n_held || held[n_held - 1].lock != lock)
		violation("%s is dropped, and the last that was taken is %s", lock_rank_name(rank),
			  lock_rank_name(highest_rank()));
	n_held--;
}

void lock_assert_held_as(const void *lock, enum lock_rank rank, enum lock_mode mode)
{
	for (unsigned int i = 0; i < n_held; i++)
		if (held[i].lock == lock && held[i].mode >= mode)
			return;
	violation("%s is not held%s", lock_rank_name(rank),
		  mode == LOCKED_FOR_WRITE ? " for write" : "");
}

void lock_assert_none_from(enum lock_rank rank)
{
	if (highest_rank() >= rank)
		violation("%s is held", lock_rank_name(highest_rank()));
}

void lock_assert_none(void)
{
	lock_assert_none_from(RANK_NONE + 1);
}

void lock_watch_begin(void)
{
	ranks_taken = 0;
}

void lock_watch_end(unsigned int allowed)
{
	unsigned int others = ranks_taken & ~allowed;

	if (others)
		violation("%s was taken by a call that does not say so",
			  lock_rank_name(__builtin_ctz(others)));
}

#endif
