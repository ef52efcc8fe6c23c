/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/varied.c - a case on a processor that fills in at random what the manuals
 * leave undefined.
 *
 * It is Umbra, one instruction at a time (by TF), and behind each the undefined flags
 * and results are exchanged for others.  If the case is sound, the end is the same: so
 * no processor that a test may meet can make it fail by them.
 */
#include <string.h>

#include "cpu/cpu.h"
#include "diff.h"
#include "effects.h"

/* An instruction that repeats counts each time. */
#define MAX_STEPS 16384

static bool pushes_flags(const struct diff_case *c, uint64_t at)
{
	while (c->code[at] == 0x66 || (!c->is_32bit && (c->code[at] & 0xf0) == 0x40))
		at++;
	return c->code[at] == 0x9c;
}

/* The case has not set the TF that is stored there. */
static void forget_trap_flag(struct diff_state *s)
{
	uint64_t second_byte = s->gpr[GPR_RSP] + 1 - DATA_AT;

	if (second_byte < DATA_BYTES)
		s->data[second_byte] &= (uint8_t)~(X86_EFLAGS_TF >> 8);
}

static void vary(const struct diff_case *c, uint64_t at, struct diff_state *s, struct rng *r)
{
	struct effects e = effects_of(c->is_32bit, c->code + at, c->bytes - at);

	if (e.open_if_zf >= 0 && s->rflags & X86_EFLAGS_ZF)
		s->gpr[e.open_if_zf] = c->is_32bit ? (uint32_t)rng_next(r) : rng_next(r);
	s->rflags ^= rng_next(r) & e.undefined;
	if (pushes_flags(c, at))
		forget_trap_flag(s);
}

const char *varied_run(const struct diff_case *c, struct diff_state *result, struct rng *r)
{
	static struct diff_case step;
	const char *other;
	uint64_t at;

	step = *c;
	for (int i = 0; i < MAX_STEPS; i++) {
		step.in.rflags |= X86_EFLAGS_TF;
		other = emulated_run(&step, result);
		result->rflags &= ~(uint64_t)X86_EFLAGS_TF;
		at = step.in.rip - c->in.rip;
		if (other || result->vector != EXC_DB)
			return other;
		if (at < c->bytes)
			vary(c, at, result, r);
		step.in = *result;
	}
	return "does not end";
}
