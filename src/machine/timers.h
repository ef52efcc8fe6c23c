/* SPDX-License-Identifier: MIT */
/*
 * machine/timers.h - deadlines, and the thread that waits for the earliest.
 *
 * A timer that expires is disarmed and its function called, by the service thread with no lock
 * held.  It may arm timers.  Disarming does not wait for a function that is being called: it
 * has to look at the clock again, or to do what does no harm when it is not due.
 *
 * Time is CLOCK_MONOTONIC in nanoseconds.  Tests have a clock of their own and no thread.
 */
#ifndef MACHINE_TIMERS_H
#define MACHINE_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "sync/atomic.h"
#include "sync/lock.h"
#include "sync/thread.h"

#define TIMER_NEVER UINT64_MAX

/* (c) constant after creation  (a) atomic  [x] under lock x */
struct timer {
	struct cds_list_head node;	/* [timers.lock] while armed */
	uint64_t deadline;		/* [timers.lock] */
	bool armed;			/* [timers.lock] */
	void (*expired)(struct timer *t); /* (c) */
};

struct timers {
	struct mutex lock;		/* (c) rank RANK_TIMERS */
	struct cds_list_head armed;	/* [lock] the earliest first */
	struct atomic32 changed;	/* (a) goes up when the thread is to look again */
	struct atomic32 stopping;	/* (a) */
	struct service service;		/* (c) once started */
	bool started;			/* (c) likewise */
	uint64_t (*now)(struct timers *t); /* (c) */
};

void timers_init(struct timers *t);
/* Starts the thread.  0 or -errno. */
int timers_start(struct timers *t) MUST_CHECK;
/* No function of a timer is called after this. */
void timers_stop(struct timers *t);
void timers_destroy(struct timers *t);

static inline uint64_t timers_now(struct timers *t)
{
	return t->now(t);
}

void timer_init(struct timer *timer, void (*expired)(struct timer *timer));
/* Replaces an earlier deadline.  Any thread. */
void timer_arm(struct timers *t, struct timer *timer, uint64_t deadline);
void timer_disarm(struct timers *t, struct timer *timer);

/* Calls the functions of those due at @now.  Returns the next deadline or TIMER_NEVER.
 * One thread at a time. */
uint64_t timers_expire(struct timers *t, uint64_t now);

#endif
