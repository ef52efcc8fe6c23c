/* SPDX-License-Identifier: MIT */
/* check/engine/locks.h - locks, waiting and RCU, as the scheduler sees them. */
#ifndef CHECK_ENGINE_LOCKS_H
#define CHECK_ENGINE_LOCKS_H

#include "check/engine/sched.h"

void locks_begin_run(void);
/* May thread @t, which waits for @on, go on now? */
bool locks_allow(int t, enum wait_kind kind, const void *on);
const char *locks_describe(enum wait_kind kind, const void *on);
/* It must hold nothing any more. */
void locks_at_exit(int t);

#endif
