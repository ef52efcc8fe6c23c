/* SPDX-License-Identifier: MIT */
/* sync/wait.h - sleeping on a word until it changes (futex). */
#ifndef SYNC_WAIT_H
#define SYNC_WAIT_H

#include "sync/atomic.h"

/* Sleeps while *word == value; may return early: recheck. */
void wait_on(struct atomic32 *word, uint32_t value);
/* At most this long; without a clock, so not exactly. */
void wait_on_for(struct atomic32 *word, uint32_t value, uint32_t microseconds);
/* The longest time for which a fault that waits ignores signals. */
#define WAIT_MOMENT_US 1000u
/* Until CLOCK_MONOTONIC has come to @ns at the latest. */
void wait_on_until(struct atomic32 *word, uint32_t value, uint64_t ns);
void wait_wake_all(struct atomic32 *word);

#endif
