/* SPDX-License-Identifier: MIT */
/*
 * tests/fuzz/work.h - how much the host has to do before it looks for signals.
 *
 * The library is built once more so that every basic block counts itself
 * (-fsanitize-coverage=trace-pc): a measure that knows nothing of what the interpreter
 * charges, and is the same on every machine.  What is not compiled with it is added at
 * its door (work.c).
 *
 * 8192 ordinary instructions are some 25,000 blocks, the longest some 80,000; a block is
 * half a nanosecond, or one.
 */
#ifndef FUZZ_WORK_H
#define FUZZ_WORK_H

#include "cpu/cpu.h"

#define WORK_LIMIT 150000u

/* cpu_run() with the budget that KVM_RUN gives it.  The blocks that it took. */
uint64_t work_of_run(struct cpu *cpu, enum cpu_exit *exit);

#endif
