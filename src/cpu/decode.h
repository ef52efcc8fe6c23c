/* SPDX-License-Identifier: MIT */
/*
 * cpu/decode.h - from bytes to ops.
 *
 * Zydis takes an instruction apart; cpu/insn/insn.def says which handler it gets.
 * Either one handler takes all its forms, or a "picker" next to the handlers
 * chooses one by the form.
 */
#ifndef CPU_DECODE_H
#define CPU_DECODE_H

#include <Zydis/Zydis.h>

#include "cpu/op.h"

/* One instruction on its way to an op. */
struct insn {
	ZydisDecodedInstruction info;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	uint32_t mode;		/* MODE_* */
};

/* Chooses the handler and may complete the op; NULL: there is none. */
typedef op_fn (*pick_fn)(const struct insn *insn, struct op *op, unsigned int arg);

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
/* Decodes from @code, of which @available bytes can be read. */
void decode_block(const struct decoders *d, uint32_t mode, const uint8_t *code,
		  unsigned int available, struct decoded_block *b);

/* Of a general register: its byte offset in cpu->r. */
uint8_t decode_reg(ZydisRegister reg);
enum cpu_seg decode_segment(ZydisRegister reg);
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

static inline bool decode_is_64bit(const struct insn *insn)
{
	return insn->info.machine_mode == ZYDIS_MACHINE_MODE_LONG_64;
}

/* Every handler and picker of insn.def, */
#define INSN(mnemonic, handler, how) void op_##handler(struct cpu *cpu, const struct op *op);
#define PICK(mnemonic, picker, which, how) \
	op_fn pick_##picker(const struct insn *insn, struct op *op, unsigned int arg);
#include "cpu/insn/insn.def"
#undef INSN
#undef PICK
/* and those that pickers and the decoder choose. */
#define OTHER_HANDLERS(X)                                                                      \
	X(address) X(block_end) X(too_long) X(unimplemented) X(lacking) X(lacking_x87)         \
	X(device_not_available)                                                                \
	X(mov_to_segment) X(mov_from_segment) X(push_segment) X(pop_segment)                   \
	X(mov_to_cr) X(mov_from_cr) X(mov_to_dr) X(mov_from_dr) X(push) X(pop)                 \
	X(setcc) X(cmovcc) X(jmp_relative) X(jmp_indirect) X(call_relative) X(call_indirect)   \
	X(ret) X(loop) X(jmp_far) X(jmp_far_indirect) X(call_far) X(call_far_indirect)         \
	X(ret_far) X(load_far_pointer) X(imul_wide) X(shld) X(shrd) X(enter)                   \
	X(in) X(out) X(ins) X(outs) X(cmpsd) X(cvtsi2ss) X(cvtsi2sd)                           \
	X(load_low) X(store_low) X(merge_low) X(move_low) X(low_from_gpr) X(low_to_gpr)        \
	X(load_half) X(store_half) X(pmovmskb) X(pextrw) X(pinsrw)
#define DECLARE_HANDLER(name) void op_##name(struct cpu *cpu, const struct op *op);
OTHER_HANDLERS(DECLARE_HANDLER)
#undef DECLARE_HANDLER
/* The string instructions that share a name with SSE's. */
op_fn pick_string(const struct insn *insn, struct op *op, unsigned int kind);

#endif
