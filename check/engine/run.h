/* SPDX-License-Identifier: MIT */
/* check/engine/run.h - one run of a program, from an empty world to the verdict. */
#ifndef CHECK_ENGINE_RUN_H
#define CHECK_ENGINE_RUN_H

#include "check/engine/sched.h"

void run_program(const struct program *p, choose_fn choose, void *ctx, struct run_result *result);

#endif
