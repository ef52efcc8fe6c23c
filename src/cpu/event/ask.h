/* SPDX-License-Identifier: MIT */
/*
 * cpu/event/ask.h - instructions that somebody else finishes: port I/O, hypercalls, and MSRs where
 * the client answers for them.
 *
 * The instruction is abandoned for the exit, so that RIP stays at it, and is finished when the
 * answer is there; but not if RIP has been changed meanwhile.
 */
#ifndef CPU_ASK_H
#define CPU_ASK_H

#include "cpu/decode/op.h"

/* Where the op is, as cpu_linear_rip() tells it when the op was abandoned. */
uint64_t ask_linear_rip(const struct cpu *cpu, const struct op *op);

/* The exit, with @asked: what is the instruction's own is filled in.  False. */
bool ask_caller(struct cpu *cpu, const struct op *op, struct cpu_asked asked, enum cpu_exit exit);

/* It is complete: RIP goes on by @length, and traps follow.  @hits: breakpoints that it has hit,
 * bits of DR6. */
void ask_finish(struct cpu *cpu, uint8_t length, uint8_t hits);
/* The traps alone: it has come as far as REP can be interrupted. */
void ask_trap(struct cpu *cpu, uint8_t hits);

#endif
