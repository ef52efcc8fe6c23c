/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/alu.h - what the integer operations mean: from two operands to a result and
 * flags, without touching anything.
 *
 * Additions, subtractions and logic leave their flags to be worked out later
 * (cpu/state/flags.h).  The others are done by the host's own instruction, which is the
 * same one, and take its flags, undefined ones included.
 */
#ifndef CPU_INSN_ALU_H
#define CPU_INSN_ALU_H

#include "cpu/state/flags.h"

struct alu {
	uint64_t value;
	uint64_t cc_dst, cc_src;
	uint32_t cc_op;
};

static ALWAYS_INLINE void alu_commit(struct cpu *cpu, struct alu x)
{
	cpu->cc_op = x.cc_op;
	cpu->cc_dst = x.cc_dst;
	cpu->cc_src = x.cc_src;
}

/* The flags as they are. */
static ALWAYS_INLINE struct alu alu_keep_flags(const struct cpu *cpu, uint64_t value)
{
	return (struct alu){ value, cpu->cc_dst, cpu->cc_src, cpu->cc_op };
}

static ALWAYS_INLINE struct alu alu_host(uint64_t value, uint32_t host)
{
	return (struct alu){ value, host, 0, CC_OP(CC_HOST, 0) };
}

/* What host instructions leave behind: AH from LAHF, AL from SETO. */
#define HOST_FLAGS_OUT "\n\tlahf\n\tseto %%al"
/* And what some need before: CF alone; or all, OF from AL and the rest from AH. */
#define HOST_CARRY_IN "addb $-1, %b[cf]\n\t"
#define HOST_FLAGS_IN "addb $0x7f, %%al\n\tsahf\n\t"

#define SEXT(bits, value) ((uint64_t)(int64_t)(int##bits##_t)(value))

#define ALU_DEFINE_LAZY(bits, log2)                                                               \
	static ALWAYS_INLINE struct alu alu_add##bits(const struct cpu *cpu UNUSED,               \
						      uint##bits##_t a, uint##bits##_t b)         \
	{                                                                                         \
		uint##bits##_t r = (uint##bits##_t)(a + b);                                       \
												  \
		return (struct alu){ r, SEXT(bits, r), SEXT(bits, b), CC_OP(CC_ADD, log2) };      \
	}                                                                                         \
	static ALWAYS_INLINE struct alu alu_sub##bits(const struct cpu *cpu UNUSED,               \
						      uint##bits##_t a, uint##bits##_t b)         \
	{                                                                                         \
		uint##bits##_t r = (uint##bits##_t)(a - b);                                       \
												  \
		return (struct alu){ r, SEXT(bits, a), SEXT(bits, b), CC_OP(CC_SUB, log2) };      \
	}                                                                                         \
	static ALWAYS_INLINE struct alu alu_cmp##bits(const struct cpu *cpu, uint##bits##_t a,    \
						      uint##bits##_t b)                           \
	{                                                                                         \
		return alu_sub##bits(cpu, a, b);                                                  \
	}                                                                                         \
	static ALWAYS_INLINE struct alu alu_logic##bits(uint##bits##_t r)                         \
	{                                                                                         \
		return (struct alu){ r, SEXT(bits, r), 0, CC_OP(CC_SUB, log2) };                  \
	}                                                                                         \
	static ALWAYS_INLINE struct alu alu_or##bits(const struct cpu *cpu UNUSED,                \
						     uint##bits##_t a, uint##bits##_t b)          \
	{                                                                                         \
		return alu_logic##bits(a | b);                                                    \
	}                                                                                         \
	static ALWAYS_INLINE struct alu alu_and##bits(const struct cpu *cpu UNUSED,               \
						      uint##bits##_t a, uint##bits##_t b)         \
	{                                                                                         \
		return alu_logic##bits(a & b);                                                    \
	}                                                                                         \
	static ALWAYS_INLINE struct alu alu_test##bits(const struct cpu *cpu UNUSED,              \
						       uint##bits##_t a, uint##bits##_t b)        \
	{                                                                                         \
		return alu_logic##bits(a & b);                                                    \
	}                                                                                         \
	static ALWAYS_INLINE struct alu alu_xor##bits(const struct cpu *cpu UNUSED,               \
						      uint##bits##_t a, uint##bits##_t b)         \
	{                                                                                         \
		return alu_logic##bits(a ^ b);                                                    \
	}                                                                                         \
	static ALWAYS_INLINE struct alu alu_inc##bits(const struct cpu *cpu, uint##bits##_t a)    \
	{                                                                                         \
		uint##bits##_t r = (uint##bits##_t)(a + 1);                                       \
												  \
		return (struct alu){ r, SEXT(bits, r), cc_carry(cpu), CC_OP(CC_INC, log2) };      \
	}                                                                                         \
	static ALWAYS_INLINE struct alu alu_dec##bits(const struct cpu *cpu, uint##bits##_t a)    \
	{                                                                                         \
		uint##bits##_t r = (uint##bits##_t)(a - 1);                                       \
												  \
		return (struct alu){ r, SEXT(bits, r), cc_carry(cpu), CC_OP(CC_DEC, log2) };      \
	}                                                                                         \
	static ALWAYS_INLINE struct alu alu_neg##bits(const struct cpu *cpu, uint##bits##_t a)    \
	{                                                                                         \
		return alu_sub##bits(cpu, 0, a);                                                  \
	}                                                                                         \
	static ALWAYS_INLINE struct alu alu_not##bits(const struct cpu *cpu, uint##bits##_t a)    \
	{                                                                                         \
		return alu_keep_flags(cpu, (uint##bits##_t)~a);                                   \
	}

/* ADC and SBB: @insn with its suffix, @m the operand modifier of the size. */
#define ALU_DEFINE_CARRYING(name, bits, insn, m)                                                  \
	static ALWAYS_INLINE struct alu alu_##name##bits(const struct cpu *cpu, uint##bits##_t a, \
							 uint##bits##_t b)                        \
	{                                                                                         \
		uint8_t cf = cc_carry(cpu);                                                       \
		uint32_t host;                                                                    \
												  \
		__asm__(HOST_CARRY_IN insn " %" m "[b], %" m "[a]" HOST_FLAGS_OUT                 \
			: "=&a"(host), [a] "+r"(a), [cf] "+q"(cf)                                 \
			: [b] "r"(b)                                                              \
			: "cc");                                                                  \
		return alu_host(a, host);                                                         \
	}

/* Shifts; a count of zero does nothing at all. */
#define ALU_DEFINE_SHIFT(name, bits, insn, m)                                                     \
	static ALWAYS_INLINE struct alu alu_##name##bits(const struct cpu *cpu, uint##bits##_t a, \
							 uint##bits##_t b)                        \
	{                                                                                         \
		uint8_t count = (uint8_t)b & (bits == 64 ? 63 : 31);                              \
		uint32_t host;                                                                    \
												  \
		if (!count)                                                                       \
			return alu_keep_flags(cpu, a);                                            \
		__asm__(insn " %%cl, %" m "[a]" HOST_FLAGS_OUT                                    \
			: "=&a"(host), [a] "+r"(a)                                                \
			: "c"(count)                                                              \
			: "cc");                                                                  \
		return alu_host(a, host);                                                         \
	}

/* Rotations change only CF and OF. */
#define ALU_DEFINE_ROTATION(name, bits, insn, m)                                                  \
	static ALWAYS_INLINE struct alu alu_##name##bits(const struct cpu *cpu, uint##bits##_t a, \
							 uint##bits##_t b)                        \
	{                                                                                         \
		uint8_t count = (uint8_t)b & (bits == 64 ? 63 : 31);                              \
		uint32_t host;                                                                    \
												  \
		if (!count)                                                                       \
			return alu_keep_flags(cpu, a);                                            \
		host = cc_host(cpu);                                                              \
		__asm__(HOST_FLAGS_IN insn " %%cl, %" m "[a]" HOST_FLAGS_OUT                      \
			: "+&a"(host), [a] "+r"(a)                                                \
			: "c"(count)                                                              \
			: "cc");                                                                  \
		return alu_host(a, host);                                                         \
	}

#define ALU_DEFINE_SIZE(bits, log2, s, m)                \
	ALU_DEFINE_LAZY(bits, log2)                      \
	ALU_DEFINE_CARRYING(adc, bits, "adc" s, m)       \
	ALU_DEFINE_CARRYING(sbb, bits, "sbb" s, m)       \
	ALU_DEFINE_SHIFT(shl, bits, "shl" s, m)          \
	ALU_DEFINE_SHIFT(shr, bits, "shr" s, m)          \
	ALU_DEFINE_SHIFT(sar, bits, "sar" s, m)          \
	ALU_DEFINE_ROTATION(rol, bits, "rol" s, m)       \
	ALU_DEFINE_ROTATION(ror, bits, "ror" s, m)       \
	ALU_DEFINE_ROTATION(rcl, bits, "rcl" s, m)       \
	ALU_DEFINE_ROTATION(rcr, bits, "rcr" s, m)

ALU_DEFINE_SIZE(8, 0, "b", "b")
ALU_DEFINE_SIZE(16, 1, "w", "w")
ALU_DEFINE_SIZE(32, 2, "l", "k")
ALU_DEFINE_SIZE(64, 3, "q", "q")

#endif
