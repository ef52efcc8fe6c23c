/* SPDX-License-Identifier: MIT */
/*
 * check/generate/program.h - a generated scenario as a value, and as a word.
 *
 * The word says all of it, in a command line, a token and a file alike: the world's options, what
 * was done in it before, and the threads, e.g.
 *
 *	paged,log:v0.read11,v1.write2:v0.clean2,v0.load8,v0.read3+v1.write2+client.get0
 */
#ifndef CHECK_GENERATE_PROGRAM_H
#define CHECK_GENERATE_PROGRAM_H

#include "check/generate/operation.h"

#define PROGRAM_SETUP 8
#define PROGRAM_THREADS 4
#define PROGRAM_LENGTH 6

/* Of the world; bits. */
enum world_option {
#define WORLD_OPTION(name, bit) WORLD_##name = 1u << (bit),
#include "check/generate/option.def"
#undef WORLD_OPTION
};

struct generated {
	uint32_t options;	/* enum world_option */
	uint8_t n_setup, n_threads;
	struct operation setup[PROGRAM_SETUP];
	struct generated_thread {
		uint8_t n;
		struct operation op[PROGRAM_LENGTH];
	} thread[PROGRAM_THREADS];
};

#define PROGRAM_BYTES 400
/* False: it is longer than that. */
bool program_print(const struct generated *g, char text[PROGRAM_BYTES]);
/* False: it is none, or is not valid. */
bool program_parse(const char *text, struct generated *g);

/* Of a world alone. */
bool program_parse_options(const char *text, uint32_t *bits);

/*
 * Is every operation possible, and every answer one that the oracles can judge?  So: a vCPU is
 * one thread's; one thread alone changes slots, and takes logs if slots change; whoever waits
 * for a page or an interrupt gets it; of two calls that change one page of the host's at the same
 * time none copies or keeps it; and nobody writes to a table after taking it off the directory,
 * as another vCPU's walk may be in the middle of the two (the oracle takes walks for one step).
 */
bool program_is_valid(const struct generated *g);

unsigned int program_size(const struct generated *g);
unsigned int program_vcpus(const struct generated *g);
bool program_has(const struct generated *g, enum operation_kind kind);

#endif
