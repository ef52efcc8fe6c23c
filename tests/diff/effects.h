/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/effects.h - what the manuals leave open about an instruction.
 *
 * Two processors, both right, may differ in flags and results that the manuals call
 * undefined.  A case must not let these through to anything that is compared.
 */
#ifndef DIFF_EFFECTS_H
#define DIFF_EFFECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct effects {
	unsigned int bytes;	/* of the instruction; 0: it is none */
	/* Status flags, as in RFLAGS. */
	uint32_t reads;
	uint32_t defines;	/* whatever the operands are */
	uint32_t undefined;	/* for some operands at least */
	/* If it faults, the flags may be those of the instruction before or its own. */
	bool fault_flags_open;
	/* It has MMX registers: if it faults, the x87 may have been made ready for it or not. */
	bool mmx;
	/* Of its elements any may be the one that faults. */
	bool any_element;
	/* The result is undefined for some operands. */
	bool result_open;
	/* The result is undefined if ZF is set: number of the register, or -1. */
	int open_if_zf;
};

struct effects effects_of(bool is_32bit, const uint8_t *code, size_t bytes);

#endif
