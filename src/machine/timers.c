/* SPDX-License-Identifier: MIT */
#include "machine/timers.h"

#include "base/compiler.h"
#include "sync/clock.h"
#include "sync/wait.h"

static uint64_t host_now(struct timers *t)
{
	(void)t;
	return clock_monotonic_ns();
}

void timers_init(struct timers *t)
{
	mutex_init(&t->lock, RANK_TIMERS);
	CDS_INIT_LIST_HEAD(&t->armed);
	atomic32_store_relaxed(&t->changed, 0);
	atomic32_store_relaxed(&t->stopping, 0);
	t->started = false;
	t->now = host_now;
}

static void wake_service(struct timers *t)
{
	atomic32_fetch_add(&t->changed, 1);
	wait_wake_all(&t->changed);
}

/*
 * The word is read before the list: a deadline that is armed after the look at the list has
 * changed it, and then the wait returns at once.
 */
static void serve_timers(void *arg)
{
	struct timers *t = arg;

	for (;;) {
		uint32_t seen = atomic32_load_acquire(&t->changed);
		uint64_t next;

		if (atomic32_load_acquire(&t->stopping))
			return;
		next = timers_expire(t, timers_now(t));
		if (next == TIMER_NEVER)
			wait_on(&t->changed, seen);
		else
			wait_on_until(&t->changed, seen, next);
	}
}

int timers_start(struct timers *t)
{
	int err = service_start(&t->service, serve_timers, t);

	t->started = !err;
	return err;
}

void timers_stop(struct timers *t)
{
	if (!t->started)
		return;
	atomic32_store_release(&t->stopping, 1);
	wake_service(t);
	service_join(&t->service);
	t->started = false;
}

void timers_destroy(struct timers *t)
{
	timers_stop(t);
	mutex_destroy(&t->lock);
}

void timer_init(struct timer *timer, void (*expired)(struct timer *timer))
{
	*timer = (struct timer){ .expired = expired };
}

static void take_off(struct timer *timer)
{
	if (timer->armed)
		cds_list_del(&timer->node);
	timer->armed = false;
}

/* Most are later than those that are there: from the end. */
static void insert_timer(struct timers *t, struct timer *timer) REQUIRES(t->lock)
{
	struct cds_list_head *after = t->armed.prev;

	while (after != &t->armed &&
	       container_of(after, struct timer, node)->deadline > timer->deadline)
		after = after->prev;
	cds_list_add(&timer->node, after);
	timer->armed = true;
}

void timer_arm(struct timers *t, struct timer *timer, uint64_t deadline)
{
	bool is_first;

	mutex_lock(&t->lock);
	take_off(timer);
	timer->deadline = deadline;
	insert_timer(t, timer);
	is_first = t->armed.next == &timer->node;
	mutex_unlock(&t->lock);
	/* A later one is found when the thread wakes up for the first. */
	if (is_first)
		wake_service(t);
}

void timer_disarm(struct timers *t, struct timer *timer)
{
	mutex_lock(&t->lock);
	take_off(timer);
	mutex_unlock(&t->lock);
}

/* NULL: none is due before *next. */
static struct timer *take_due(struct timers *t, uint64_t now, uint64_t *next)
{
	struct timer *first = NULL;

	mutex_lock(&t->lock);
	*next = TIMER_NEVER;
	if (!cds_list_empty(&t->armed)) {
		first = container_of(t->armed.next, struct timer, node);
		*next = first->deadline;
		if (first->deadline <= now)
			take_off(first);
		else
			first = NULL;
	}
	mutex_unlock(&t->lock);
	return first;
}

uint64_t timers_expire(struct timers *t, uint64_t now)
{
	struct timer *due;
	uint64_t next;

	while ((due = take_due(t, now, &next)))
		due->expired(due);
	return next;
}
