/* SPDX-License-Identifier: MIT */
/*
 * cpu/state/flags.h - the status flags, computed when needed.
 *
 * cpu->cc_op says how: a kind, and in its low two bits the size of the operands
 * (0 to 3 for 8 to 64 bits).  Operands and results are kept sign-extended to 64
 * bits; that preserves the order of unsigned values too, so that most conditions
 * are one comparison whatever the size.
 *
 *   CC_FLAGS  in cpu->rflags
 *   CC_HOST   as the host left them: LAHF and SETO in the low 16 bits of cc_dst
 *   CC_SUB    cc_dst - cc_src.  Logic operations too, as "result - 0"
 *   CC_ADD    the sum is cc_dst, the second operand cc_src
 *   CC_INC    the result is cc_dst, and CF, which is not touched, is cc_src
 *   CC_DEC    likewise
 */
#ifndef CPU_FLAGS_H
#define CPU_FLAGS_H

#include "cpu/cpu.h"

enum cc_kind { CC_FLAGS, CC_HOST, CC_SUB, CC_ADD, CC_INC, CC_DEC };

#define CC_OP(kind, log2) ((uint32_t)(kind) << 2 | (log2))

/* Of CC_HOST. */
#define HOST_OF (1u << 0)
#define HOST_CF (1u << 8)
#define HOST_PF (1u << 10)
#define HOST_AF (1u << 12)
#define HOST_ZF (1u << 14)
#define HOST_SF (1u << 15)
#define HOST_STATUS (HOST_OF | HOST_CF | HOST_PF | HOST_AF | HOST_ZF | HOST_SF)

/* Conditions as instructions encode them, without the bit that negates. */
enum condition { COND_O, COND_B, COND_E, COND_BE, COND_S, COND_P, COND_L, COND_LE };

/* The status flags in their places in EFLAGS. */
uint32_t cc_status(const struct cpu *cpu);
/* The same in the form of CC_HOST. */
uint32_t cc_host(const struct cpu *cpu);
/* Any of the 16 conditions. */
bool cc_test(const struct cpu *cpu, unsigned int condition);

static ALWAYS_INLINE enum cc_kind cc_kind(const struct cpu *cpu)
{
	return (enum cc_kind)(cpu->cc_op >> 2);
}

/* Replaces the status flags, given as in EFLAGS. */
static ALWAYS_INLINE void cc_set_status(struct cpu *cpu, uint32_t status)
{
	cpu->rflags = (cpu->rflags & ~X86_EFLAGS_STATUS) | (status & X86_EFLAGS_STATUS);
	cpu->cc_op = CC_OP(CC_FLAGS, 0);
}

static ALWAYS_INLINE void cc_set_host(struct cpu *cpu, uint32_t host)
{
	cpu->cc_op = CC_OP(CC_HOST, 0);
	cpu->cc_dst = host;
}

static ALWAYS_INLINE bool cc_carry(const struct cpu *cpu)
{
	switch (cc_kind(cpu)) {
	case CC_FLAGS:
		return cpu->rflags & X86_EFLAGS_CF;
	case CC_HOST:
		return cpu->cc_dst & HOST_CF;
	case CC_SUB:
	case CC_ADD:
		return cpu->cc_dst < cpu->cc_src;
	case CC_INC:
	case CC_DEC:
		break;
	}
	return cpu->cc_src;
}

/* Is a - b negative, in operands of the size that @cc_op says? */
static ALWAYS_INLINE bool cc_sub_sign(uint32_t cc_op, uint64_t a, uint64_t b)
{
	unsigned int unused = 64 - (8u << (cc_op & 3));

	return (int64_t)((a - b) << unused) < 0;
}

static ALWAYS_INLINE bool cc_low_parity(uint64_t result)
{
	return !__builtin_parity((unsigned int)(result & 0xff));
}

/*
 * The quick half of a test: false if it takes cc_test().  @condition is one of
 * enum condition, and constant.
 */
static ALWAYS_INLINE bool cc_test_quick(const struct cpu *cpu, enum condition condition,
					bool *value)
{
	uint64_t dst = cpu->cc_dst, src = cpu->cc_src;

	if (likely(cc_kind(cpu) == CC_SUB)) {
		switch (condition) {
		case COND_O:
			return false;
		case COND_B:
			*value = dst < src;
			return true;
		case COND_E:
			*value = dst == src;
			return true;
		case COND_BE:
			*value = dst <= src;
			return true;
		case COND_S:
			*value = cc_sub_sign(cpu->cc_op, dst, src);
			return true;
		case COND_P:
			*value = cc_low_parity(dst - src);
			return true;
		case COND_L:
			*value = (int64_t)dst < (int64_t)src;
			return true;
		case COND_LE:
			*value = (int64_t)dst <= (int64_t)src;
			return true;
		}
	}
	if (cc_kind(cpu) >= CC_ADD && condition == COND_E) {
		*value = dst == 0;
		return true;
	}
	if (cc_kind(cpu) >= CC_ADD && condition == COND_S) {
		*value = (int64_t)dst < 0;
		return true;
	}
	if (cc_kind(cpu) == CC_HOST && condition == COND_B) {
		*value = dst & HOST_CF;
		return true;
	}
	if (cc_kind(cpu) == CC_HOST && condition == COND_E) {
		*value = dst & HOST_ZF;
		return true;
	}
	return false;
}

#endif
