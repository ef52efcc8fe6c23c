/* SPDX-License-Identifier: MIT */
/*
 * check/engine/crash.h - bug_on() and crashes of the code under test, as failures of the run.
 */
#ifndef CHECK_ENGINE_CRASH_H
#define CHECK_ENGINE_CRASH_H

/* Once, before runs are made. */
void crash_catch(void);

#endif
