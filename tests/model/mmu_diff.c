/* SPDX-License-Identifier: MIT */
/*
 * tests/model/mmu_diff.c - the same random guests on direct tables, on shadow tables and
 * on a naive machine that walks for every access.
 *
 *	mmu_diff [--seed N] [--accesses N] [--program N]
 *
 * Prints the seed; a failure names program and step, and --program runs that one alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mmu_diff.h"

#define STEPS_PER_PROGRAM 6000u

static uint64_t option(int argc, char **argv, const char *name, uint64_t otherwise)
{
	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], name))
			return strtoull(argv[i + 1], NULL, 0);
	return otherwise;
}

static void run_program(struct world *w, uint64_t seed, unsigned int program)
{
	world_begin(w, seed, program);
	diff_strict(w, STEPS_PER_PROGRAM);
	diff_lazy(w, STEPS_PER_PROGRAM / 8);
	world_end(w);
}

int main(int argc, char **argv)
{
	uint64_t seed = option(argc, argv, "--seed", 1);
	uint64_t only = option(argc, argv, "--program", ~0ull);
	uint64_t n_accesses = option(argc, argv, "--accesses", 10000000);
	static struct world w;
	unsigned int program = 0;

	printf("seed %#llx\n", (unsigned long long)seed);
	if (only != ~0ull) {
		run_program(&w, seed, (unsigned int)only);
		return 0;
	}
	while (w.n_accesses < n_accesses)
		run_program(&w, seed, program++);
	printf("%u programs, %llu accesses compared: %llu memory, %llu MMIO, %llu faults, "
	       "%llu without a table; %llu changes of tables\n", program,
	       (unsigned long long)w.n_accesses, (unsigned long long)w.n_kinds[FLAT_RAM],
	       (unsigned long long)w.n_kinds[FLAT_MMIO], (unsigned long long)w.n_kinds[FLAT_FAULT],
	       (unsigned long long)w.n_kinds[FLAT_NO_TABLE], (unsigned long long)w.n_changes);
	return 0;
}
