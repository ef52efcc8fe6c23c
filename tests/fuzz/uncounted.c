/* SPDX-License-Identifier: MIT */
/* tests/fuzz/uncounted.c - for fuzz_code, where a sanitizer is the oracle and not the work. */
#include "cpu/charge.h"
#include "work.h"

uint64_t work_of_run(struct cpu *cpu, enum cpu_exit *exit)
{
	*exit = cpu_run(cpu, CPU_BUDGET);
	return 0;
}
