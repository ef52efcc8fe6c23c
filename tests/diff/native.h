/* SPDX-License-Identifier: MIT */
/* tests/diff/native.h - what the test shares with the program that runs its cases. */
#ifndef DIFF_NATIVE_H
#define DIFF_NATIVE_H

#include "diff.h"

/* Descriptors of the child. */
enum { NATIVE_MEMORY = 3, NATIVE_TO = 4, NATIVE_FROM = 5 };

struct native {
	unsigned int n;
	unsigned int current;
	struct diff_case cases[BATCH];
	struct diff_state results[BATCH];
};

#endif
