/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/x87/x87.h - the guest's x87, in the host's registers or not.
 *
 * Each instruction is the host's own, on the guest's registers and under the guest's control
 * word.  While every exception is masked, which is nearly always, these stay in the host's
 * registers ("live") from the first of them to the end of cpu_run(), or to an instruction that
 * needs them in memory.  With an exception unmasked they are put there for one instruction at a
 * time: the host would report it only at its next x87 instruction that waits, and before
 * that they have been saved, by one that does not.
 *
 * As on processors of today the instruction's address is noted always, its opcode and operand
 * only with an exception that is not masked, and segments not at all.
 */
#ifndef CPU_INSN_X87_X87_H
#define CPU_INSN_X87_X87_H

#include "cpu/decode/op.h"
#include "cpu/event/raise.h"

#define X87_FLAGS 0x3fu		/* of FSW; their masks in FCW are the same bits */
#define X87_OPERAND_FLAGS 0x1fu	/* all but precision: with these nothing is stored */
#define X87_SF 0x40u
#define X87_ES 0x80u
#define X87_B 0x8000u
#define X87_TOP_SHIFT 11
#define X87_FCW_RESET 0x37fu
#define X87_ALL_IN_USE 0xffu

/* Puts the guest's registers into the host's; no exception may be pending. */
void x87_go_live(struct cpu *cpu);
/* Takes them back; the host's own are as they were. */
void x87_retire(struct cpu *cpu);

static inline unsigned int x87_top(uint16_t fsw)
{
	return fsw >> X87_TOP_SHIFT & 7;
}

/* Another FSW: by its TOP another register is ST(0).  Not live. */
void x87_turn(struct x87 *x, uint16_t fsw);
/* FNINIT.  Not live. */
void x87_reset(struct x87 *x);
/* After a change from outside: bits that are fixed, or follow from others. */
void x87_settle(struct x87 *x);

static inline bool x87_can_stay(const struct cpu *cpu)
{
	return (cpu->x87.fcw & X87_FLAGS) == X87_FLAGS;
}

/* #MF, if an exception waits.  KVM's guests get it whatever CR0.NE says. */
static inline bool x87_check_pending(struct cpu *cpu)
{
	if (likely(cpu->x87_live) || likely(!(cpu->x87.fsw & X87_ES)))
		return true;
	return raise_exception(cpu, EXC_MF);
}

#endif
