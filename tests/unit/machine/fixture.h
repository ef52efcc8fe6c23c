/* SPDX-License-Identifier: MIT */
/* tests/unit/machine/fixture.h - local APICs with a clock that the test moves. */
#ifndef MACHINE_FIXTURE_H
#define MACHINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "machine/lapic.h"
#include "machine/lapics.h"
#include "base/compiler.h"

#define N_LAPICS 4u

struct world {
	struct timers timers;
	uint64_t now;
	struct atomic_ptr room[N_LAPICS];
	struct lapics all;
	struct lapic lapic[N_LAPICS];
	unsigned int kicks[N_LAPICS];
	/* The last EOI, and how many there were. */
	unsigned int n_eois;
	uint8_t eoi_vector;
	bool eoi_level;
};

extern struct world w;

/* Four, enabled by their spurious-interrupt registers; the first is the bootstrap one. */
int world_setup(void **state);
int world_teardown(void **state);
/* So much time passes; what is due expires. */
void world_pass(uint64_t ns);

/* By memory, at the page of the first.  */
uint32_t world_read(struct lapic *l, unsigned int offset);
void world_write(struct lapic *l, unsigned int offset, uint32_t value);
/* The vector that it would deliver after a look at its timer. */
int world_vector(struct lapic *l);

#endif
