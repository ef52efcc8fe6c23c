/* SPDX-License-Identifier: MIT */
/*
 * cpu/decode/decode.h - from bytes to ops.
 *
 * Zydis takes an instruction apart; the table of cpu/insn/table.h says which handler it
 * gets.
 */
#ifndef CPU_DECODE_H
#define CPU_DECODE_H

#include <Zydis/Zydis.h>

#include "cpu/decode/op.h"

/* One instruction being turned into an op. */
struct insn {
	ZydisDecodedInstruction info;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	uint32_t mode;		/* MODE_* */
	uint64_t usable;	/* a bit for each feature */
};

/* How a block ends: in number, in size. */
#define BLOCK_MAX_INSTRUCTIONS 64u
#define BLOCK_MAX_BYTES 512u
/* Every instruction may need an op for its address; one more ends the block. */
#define BLOCK_MAX_OPS (2 * BLOCK_MAX_INSTRUCTIONS + 1)

struct decoded_block {
	struct op ops[BLOCK_MAX_OPS];
	unsigned int n_ops, n_instructions;
	unsigned int n_accesses;	/* memory operands */
	unsigned int bytes;
	unsigned int costs;		/* beyond one for each instruction: cpu/charge.h */
	bool needs_more;		/* not even the first instruction is complete */
};

struct decoders {
	ZydisDecoder zydis[ZYDIS_MACHINE_MODE_MAX_VALUE + 1];
};

void decode_init(struct decoders *d);
/* Decodes from @code, of which @available bytes can be read, for a processor that has the
 * features @usable. */
void decode_block(const struct decoders *d, uint32_t mode, uint64_t usable, const uint8_t *code,
		  unsigned int available, struct decoded_block *b);

static inline enum cpu_seg decode_segment(ZydisRegister reg)
{
	return reg == ZYDIS_REGISTER_NONE ? SEG_DS : (enum cpu_seg)ZydisRegisterGetId(reg);
}

/* log2 of op->size, for tables of handlers by size. */
static inline unsigned int decode_size_index(const struct op *op)
{
	return (unsigned int)__builtin_ctz(op->size);
}

static inline bool decode_is_reg(const struct insn *insn, unsigned int operand)
{
	return insn->operands[operand].type == ZYDIS_OPERAND_TYPE_REGISTER;
}

static inline bool decode_is_mem(const struct insn *insn, unsigned int operand)
{
	return insn->operands[operand].type == ZYDIS_OPERAND_TYPE_MEMORY;
}

/* The byte offset in cpu->r of an operand that is a general register of 16 bits or more. */
static inline uint8_t decode_gpr(const struct insn *insn, unsigned int operand)
{
	return (uint8_t)GPR_AT(ZydisRegisterGetId(insn->operands[operand].reg.value));
}

static inline bool decode_is_64bit(const struct insn *insn)
{
	return insn->info.machine_mode == ZYDIS_MACHINE_MODE_LONG_64;
}

#endif
