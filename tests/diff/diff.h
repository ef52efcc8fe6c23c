/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/diff.h - one case: a piece of code, and the state before and after.
 *
 * Both sides see the same addresses:
 *
 *   0x30000  one page of code, read and execute
 *   0x40000  two pages of data, then one that is read-only, then nothing
 *
 * Nothing else is mapped below 2^47 that random code could hit.
 */
#ifndef DIFF_DIFF_H
#define DIFF_DIFF_H

#include <stdbool.h>
#include <stdint.h>

#define CODE_AT 0x30000u
#define CODE_BYTES 0x1000u
#define DATA_AT 0x40000u
#define DATA_BYTES 0x3000u
#define DATA_WRITABLE 0x2000u

/* The x87's registers in the order of FXSAVE. */
struct diff_x87 {
	uint16_t fcw, fsw, ftw, fop;
	uint64_t fip, fdp;
	uint8_t st[8][16];
};

struct diff_state {
	uint64_t gpr[16];
	uint64_t rip;
	uint64_t rflags;
	uint8_t xmm[16][16], ymm_high[16][16];
	uint32_t mxcsr;
	struct diff_x87 x87;
	/* How it ended: 3 is the INT3 behind the code. */
	uint32_t vector, error;
	uint64_t cr2;
	uint8_t data[DATA_BYTES];
};

#define MAX_INSNS 16
struct diff_case {
	bool is_32bit;
	bool floats;			/* mostly x87 instructions */
	unsigned int bytes;
	unsigned int offset;		/* of the code in its page */
	uint8_t code[256];
	struct diff_state in;
	/* The flags that are undefined at an instruction, by its place in the code. */
	uint16_t undefined[256 + 1];
};

/* A generator that both sides of a report can name: a seed and a number. */
struct rng {
	uint64_t state;
};
uint64_t rng_next(struct rng *r);
/* 0 .. n - 1 */
uint32_t rng_below(struct rng *r, uint32_t n);

/* @insns: how many; fewer if they do not fit. */
void generate_case(struct diff_case *c, struct rng *r, unsigned int insns);

/* The host: a child process that runs cases, many at a time. */
#define BATCH 64
void native_start(void);
/* False: the child has died, and was started again; see native_culprit(). */
bool native_run(const struct diff_case *cases, struct diff_state *results, unsigned int n);
unsigned int native_culprit(void);
void native_stop(void);

/* Umbra.  NULL, or what else than an exception ended the case. */
void emulated_start(void);
const char *emulated_run(const struct diff_case *c, struct diff_state *result);
void emulated_stop(void);

/* Umbra again, with what the manuals leave undefined filled in by @r. */
const char *varied_run(const struct diff_case *c, struct diff_state *result, struct rng *r);

#endif
