/* SPDX-License-Identifier: MIT */
/*
 * cpu/decode/op.h - one decoded instruction, and how its handler is written.
 *
 * A block is an array of ops.  A handler does its instruction and calls the
 * handler of the next op in tail position, so that the host sees one indirect
 * jump per guest instruction; the last op of a block returns.  Without tail
 * calls (sanitizers, -O0) the calls nest as deep as a block is long.
 *
 * An instruction that cannot be completed (a fault, an exit, a race) commits
 * nothing, and its handler ends in op_abandon().
 */
#ifndef CPU_OP_H
#define CPU_OP_H

#include "cpu/cpu.h"

typedef void (*op_fn)(struct cpu *cpu, const struct op *op);

struct op {
	op_fn fn;
	uint8_t dst, src;	/* byte offsets into cpu->r; numbers of other registers */
	uint8_t base, index;	/* of the memory operand, in cpu->r */
	uint8_t scale;		/* a shift */
	uint8_t seg;		/* enum cpu_seg of the memory operand */
	uint8_t size;		/* of the operand, in bytes */
	uint8_t length : 4;	/* of the instruction */
	uint8_t address_bytes : 4; /* width of an address: 2, 4 or 8 */
	int32_t disp;
	uint16_t offset;	/* of the instruction in its block */
	uint8_t ordinal;	/* instructions before it in the block */
	uint8_t flags;		/* OP_* */
	int64_t imm;
};
_Static_assert(sizeof(struct op) == 32, "two ops to a cache line");

#define OP_MEM_DST (1u << 0)	/* the first operand is in memory */
#define OP_MEM_SRC (1u << 1)	/* the second one */
#define OP_IMM_SRC (1u << 2)	/* the second one is imm */
#define OP_LOCK (1u << 3)
#define OP_REP (1u << 4)	/* REP, REPE */
#define OP_REPNE (1u << 5)
#define OP_WRITES (1u << 6)	/* memory is written */
#define OP_LONG (1u << 7)	/* in 64-bit code */

/* The tail call: a guarantee where the compiler has one. */
#if defined(__clang__) && defined(__OPTIMIZE__) && !defined(BUILT_WITH_ASAN) && \
	!defined(BUILT_WITH_TSAN)
#define TAIL_CALL(call) __attribute__((musttail)) return call
#else
#define TAIL_CALL(call) return call
#endif

#define NEXT_OP(cpu, op) TAIL_CALL((op)[1].fn((cpu), (op) + 1))

/* Where the instruction is; where the next one is. */
static ALWAYS_INLINE uint64_t op_rip(const struct cpu *cpu, const struct op *op)
{
	return (cpu->r[GPR_BLOCK] + op->offset) & cpu->ea_mask;
}

static ALWAYS_INLINE uint64_t op_next_rip(const struct cpu *cpu, const struct op *op)
{
	return (cpu->r[GPR_BLOCK] + op->offset + op->length) & cpu->ea_mask;
}

/* The last op of a block, which leaves RIP at @rip. */
static ALWAYS_INLINE void op_end_at(struct cpu *cpu, const struct op *op, uint64_t rip)
{
	cpu->rip = rip;
	cpu->budget -= op->ordinal + 1;
}

/* The instruction has not been done: RIP stays at it.  What it has raised becomes an event
 * after the block (cpu/run.c). */
COLD void op_abandon(struct cpu *cpu, const struct op *op);
/* It is partly done and continues when it is restarted: REP. */
void op_suspend(struct cpu *cpu, const struct op *op);
/* The instruction is done; go on only if nothing has asked to stop. */
void op_stop(struct cpu *cpu, const struct op *op);

#define NEXT_OP_UNLESS_STOPPED(cpu, op)           \
	do {                                      \
		if (unlikely((cpu)->stop))        \
			TAIL_CALL(op_stop(cpu, op)); \
		NEXT_OP(cpu, op);                 \
	} while (0)

/*
 * A handler whose meaning is a function that answers whether the instruction is
 * done: OP(name) { ... return true; }
 */
#define OP(name)                                                                \
	static NOINLINE bool exec_##name(struct cpu *cpu, const struct op *op); \
	void op_##name(struct cpu *cpu, const struct op *op)                    \
	{                                                                       \
		if (unlikely(!exec_##name(cpu, op)))                            \
			TAIL_CALL(op_abandon(cpu, op));                         \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                \
	}                                                                       \
	static NOINLINE bool exec_##name(struct cpu *cpu UNUSED, const struct op *op UNUSED)

/* Likewise for one that ends its block.  It finds RIP at the next instruction
 * and may change it. */
#define OP_END(name)                                                            \
	static NOINLINE bool exec_##name(struct cpu *cpu, const struct op *op); \
	void op_##name(struct cpu *cpu, const struct op *op)                    \
	{                                                                       \
		cpu->rip = op_next_rip(cpu, op);                                \
		if (unlikely(!exec_##name(cpu, op)))                            \
			TAIL_CALL(op_abandon(cpu, op));                         \
		cpu->budget -= op->ordinal + 1;                                 \
	}                                                                       \
	static NOINLINE bool exec_##name(struct cpu *cpu UNUSED, const struct op *op UNUSED)

/* Registers by byte offset. */
typedef uint16_t alias16_t __attribute__((may_alias));
typedef uint32_t alias32_t __attribute__((may_alias));

static ALWAYS_INLINE uint8_t get_reg8(const struct cpu *cpu, unsigned int at)
{
	return *((const uint8_t *)cpu->r + at);
}

static ALWAYS_INLINE uint16_t get_reg16(const struct cpu *cpu, unsigned int at)
{
	return *(const alias16_t *)((const uint8_t *)cpu->r + at);
}

static ALWAYS_INLINE uint32_t get_reg32(const struct cpu *cpu, unsigned int at)
{
	return *(const alias32_t *)((const uint8_t *)cpu->r + at);
}

static ALWAYS_INLINE uint64_t get_reg64(const struct cpu *cpu, unsigned int at)
{
	return *(const uint64_t *)((const uint8_t *)cpu->r + at);
}

static ALWAYS_INLINE void set_reg8(struct cpu *cpu, unsigned int at, uint8_t v)
{
	*((uint8_t *)cpu->r + at) = v;
}

static ALWAYS_INLINE void set_reg16(struct cpu *cpu, unsigned int at, uint16_t v)
{
	*(alias16_t *)((uint8_t *)cpu->r + at) = v;
}

static ALWAYS_INLINE void set_reg64(struct cpu *cpu, unsigned int at, uint64_t v)
{
	*(uint64_t *)((uint8_t *)cpu->r + at) = v;
}

/* Writing 32 bits clears the upper half. */
static ALWAYS_INLINE void set_reg32(struct cpu *cpu, unsigned int at, uint32_t v)
{
	set_reg64(cpu, at, v);
}

static ALWAYS_INLINE uint64_t get_reg(const struct cpu *cpu, unsigned int at, unsigned int bytes)
{
	switch (bytes) {
	case 1:
		return get_reg8(cpu, at);
	case 2:
		return get_reg16(cpu, at);
	case 4:
		return get_reg32(cpu, at);
	default:
		return get_reg64(cpu, at);
	}
}

static ALWAYS_INLINE void set_reg(struct cpu *cpu, unsigned int at, unsigned int bytes, uint64_t v)
{
	switch (bytes) {
	case 1:
		set_reg8(cpu, at, (uint8_t)v);
		break;
	case 2:
		set_reg16(cpu, at, (uint16_t)v);
		break;
	case 4:
		set_reg32(cpu, at, (uint32_t)v);
		break;
	default:
		set_reg64(cpu, at, v);
	}
}

#define GPR_AT(number) ((unsigned int)(number) * 8u)

/* All ones of a width in bytes. */
static ALWAYS_INLINE uint64_t width_mask(unsigned int bytes)
{
	return ~0ull >> (64 - 8 * bytes);
}

/* The linear address of the memory operand, in the quick addressing form. */
static ALWAYS_INLINE uint64_t op_ea(const struct cpu *cpu, const struct op *op)
{
	return (cpu->r[op->base] + (cpu->r[op->index] << op->scale) +
		(uint64_t)(int64_t)op->disp) & cpu->ea_mask;
}

#endif
