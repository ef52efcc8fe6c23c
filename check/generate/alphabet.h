/* SPDX-License-Identifier: MIT */
/*
 * check/generate/alphabet.h - which operations are worth meeting in which world.
 *
 * All operations in all worlds would be too many to enumerate: most pairs cannot even touch.
 * Here are those that can, by themes; chance goes beyond them (check/generate/chance.h).
 */
#ifndef CHECK_GENERATE_ALPHABET_H
#define CHECK_GENERATE_ALPHABET_H

#include "check/generate/program.h"

#define ALPHABET_SETUPS 6
#define ALPHABET_LETTERS 14

struct alphabet {
	uint32_t options;
	unsigned int n_setups, n_vcpu, n_others;
	struct {
		uint8_t n;
		struct operation op[PROGRAM_SETUP];
	} setup[ALPHABET_SETUPS];
	struct operation vcpu[ALPHABET_LETTERS];	/* vCPU 0's, and any other's */
	struct operation others[ALPHABET_LETTERS];
};

const struct alphabet *alphabets(unsigned int *n);

#endif
