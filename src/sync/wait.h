/* SPDX-License-Identifier: MIT */
/* sync/wait.h - sleeping on a word until it changes (futex). */
#ifndef SYNC_WAIT_H
#define SYNC_WAIT_H

#include "sync/atomic.h"

/* Sleeps while *word == value; may return early: look again. */
void wait_on(struct atomic32 *word, uint32_t value);
void wait_wake_all(struct atomic32 *word);

#endif
