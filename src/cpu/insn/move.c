/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/move.c - moves: plain, extending, conditional, exchanging; LEA, PUSH, POP.
 *
 * As in cpu/insn/alu.c, forms that meet memory have a quick and a slow half.
 */
#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/locked.h"
#include "cpu/insn/operand.h"
#include "cpu/memory/access.h"
#include "cpu/memory/address.h"
#include "cpu/memory/stack.h"

#define SIZE_ROW(name, form) { name##8_##form, name##16_##form, name##32_##form, name##64_##form }

/* MOV */

#define DEFINE_MOV(bits)                                                                      \
	static void mov##bits##_rr(struct cpu *cpu, const struct op *op)                      \
	{                                                                                     \
		set_reg##bits(cpu, op->dst, get_reg##bits(cpu, op->src));                     \
		NEXT_OP(cpu, op);                                                             \
	}                                                                                     \
	static void mov##bits##_ri(struct cpu *cpu, const struct op *op)                      \
	{                                                                                     \
		set_reg##bits(cpu, op->dst, (uint##bits##_t)op->imm);                         \
		NEXT_OP(cpu, op);                                                             \
	}                                                                                     \
	static COLD void mov##bits##_rm_slow(struct cpu *cpu, const struct op *op)            \
	{                                                                                     \
		uint64_t v;                                                                   \
											      \
		if (!mem_read(cpu, op->seg, op_ea(cpu, op), bits / 8, &v))                    \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		set_reg##bits(cpu, op->dst, (uint##bits##_t)v);                               \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}                                                                                     \
	static void mov##bits##_rm(struct cpu *cpu, const struct op *op)                      \
	{                                                                                     \
		uint##bits##_t v;                                                             \
											      \
		if (unlikely(!load_hit##bits(cpu, op_ea(cpu, op), &v)))                       \
			TAIL_CALL(mov##bits##_rm_slow(cpu, op));                              \
		set_reg##bits(cpu, op->dst, v);                                               \
		NEXT_OP(cpu, op);                                                             \
	}                                                                                     \
	static COLD void mov##bits##_mr_slow(struct cpu *cpu, const struct op *op)            \
	{                                                                                     \
		if (!mem_write(cpu, op->seg, op_ea(cpu, op), bits / 8,                        \
			       get_reg##bits(cpu, op->src)))                                  \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}                                                                                     \
	static void mov##bits##_mr(struct cpu *cpu, const struct op *op)                      \
	{                                                                                     \
		if (unlikely(!store_hit##bits(cpu, op_ea(cpu, op), get_reg##bits(cpu, op->src)))) \
			TAIL_CALL(mov##bits##_mr_slow(cpu, op));                              \
		NEXT_OP(cpu, op);                                                             \
	}                                                                                     \
	static COLD void mov##bits##_mi_slow(struct cpu *cpu, const struct op *op)            \
	{                                                                                     \
		if (!mem_write(cpu, op->seg, op_ea(cpu, op), bits / 8, (uint64_t)op->imm))    \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}                                                                                     \
	static void mov##bits##_mi(struct cpu *cpu, const struct op *op)                      \
	{                                                                                     \
		if (unlikely(!store_hit##bits(cpu, op_ea(cpu, op), (uint##bits##_t)op->imm))) \
			TAIL_CALL(mov##bits##_mi_slow(cpu, op));                              \
		NEXT_OP(cpu, op);                                                             \
	}

DEFINE_MOV(8)
DEFINE_MOV(16)
DEFINE_MOV(32)
DEFINE_MOV(64)

static op_fn pick_plain_mov(struct op *op)
{
	static const op_fn rr[] = SIZE_ROW(mov, rr), ri[] = SIZE_ROW(mov, ri);
	static const op_fn rm[] = SIZE_ROW(mov, rm), mr[] = SIZE_ROW(mov, mr);
	static const op_fn mi[] = SIZE_ROW(mov, mi);
	unsigned int size = decode_size_index(op);

	if (op->flags & OP_MEM_SRC)
		return rm[size];
	if (op->flags & OP_MEM_DST)
		return op->flags & OP_IMM_SRC ? mi[size] : mr[size];
	return op->flags & OP_IMM_SRC ? ri[size] : rr[size];
}

static ZydisRegisterClass class_of(const struct insn *insn, unsigned int operand)
{
	if (!decode_is_reg(insn, operand))
		return ZYDIS_REGCLASS_INVALID;
	return ZydisRegisterGetClass(insn->operands[operand].reg.value);
}

op_fn pick_mov(const struct insn *insn, struct op *op)
{
	switch (class_of(insn, 0)) {
	case ZYDIS_REGCLASS_SEGMENT:
		return op_mov_to_segment;
	case ZYDIS_REGCLASS_CONTROL:
		return op_mov_to_cr;
	case ZYDIS_REGCLASS_DEBUG:
		return op_mov_to_dr;
	default:
		break;
	}
	switch (class_of(insn, 1)) {
	case ZYDIS_REGCLASS_SEGMENT:
		return op_mov_from_segment;
	case ZYDIS_REGCLASS_CONTROL:
		return op_mov_from_cr;
	case ZYDIS_REGCLASS_DEBUG:
		return op_mov_from_dr;
	default:
		return pick_plain_mov(op);
	}
}

/* MOVZX, MOVSX, MOVSXD */

#define DEFINE_EXTEND(name, type, from, to)                                                   \
	static void name##from##_##to##_r(struct cpu *cpu, const struct op *op)               \
	{                                                                                     \
		uint##from##_t v = get_reg##from(cpu, op->src);                               \
										      \
		set_reg##to(cpu, op->dst, (uint##to##_t)(type##from##_t)v);                   \
		NEXT_OP(cpu, op);                                                             \
	}                                                                                     \
	static COLD void name##from##_##to##_m_slow(struct cpu *cpu, const struct op *op)     \
	{                                                                                     \
		uint64_t v;                                                                   \
											      \
		if (!mem_read(cpu, op->seg, op_ea(cpu, op), from / 8, &v))                    \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		set_reg##to(cpu, op->dst, (uint##to##_t)(type##from##_t)v);                   \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}                                                                                     \
	static void name##from##_##to##_m(struct cpu *cpu, const struct op *op)               \
	{                                                                                     \
		uint##from##_t v;                                                             \
											      \
		if (unlikely(!load_hit##from(cpu, op_ea(cpu, op), &v)))                       \
			TAIL_CALL(name##from##_##to##_m_slow(cpu, op));                       \
		set_reg##to(cpu, op->dst, (uint##to##_t)(type##from##_t)v);                   \
		NEXT_OP(cpu, op);                                                             \
	}

#define DEFINE_EXTEND_ALL(from, to)           \
	DEFINE_EXTEND(movzx, uint, from, to)  \
	DEFINE_EXTEND(movsx, int, from, to)

DEFINE_EXTEND_ALL(8, 16)
DEFINE_EXTEND_ALL(8, 32)
DEFINE_EXTEND_ALL(8, 64)
DEFINE_EXTEND_ALL(16, 16)
DEFINE_EXTEND_ALL(16, 32)
DEFINE_EXTEND_ALL(16, 64)
DEFINE_EXTEND_ALL(32, 32)
DEFINE_EXTEND_ALL(32, 64)

/* From a size to 16, 32 and 64 bits; of a register and of memory. */
#define EXTEND_PAIR(name, from, to) { name##from##_##to##_r, name##from##_##to##_m }
#define EXTEND_ROW(name, from) \
	{ EXTEND_PAIR(name, from, 16), EXTEND_PAIR(name, from, 32), EXTEND_PAIR(name, from, 64) }
#define EXTEND_ROW_32(name) \
	{ { NULL, NULL }, EXTEND_PAIR(name, 32, 32), EXTEND_PAIR(name, 32, 64) }

op_fn pick_extend(const struct insn *insn, struct op *op, unsigned int which)
{
	static const op_fn fns[][3][3][2] = {
		[PICK_extend_zero] = { EXTEND_ROW(movzx, 8), EXTEND_ROW(movzx, 16),
				       EXTEND_ROW_32(movzx) },
		[PICK_extend_sign] = { EXTEND_ROW(movsx, 8), EXTEND_ROW(movsx, 16),
				       EXTEND_ROW_32(movsx) },
	};
	unsigned int from = (unsigned int)__builtin_ctz(insn->operands[1].size / 8u);
	unsigned int to = decode_size_index(op);

	/* MOVSXD with a 16-bit register reads no more than that. */
	if (from > to)
		from = to;
	return fns[which][from][to - 1][!!(op->flags & OP_MEM_SRC)];
}

/* LEA */

#define DEFINE_LEA(bits)                                                                      \
	static void lea##bits(struct cpu *cpu, const struct op *op)                           \
	{                                                                                     \
		set_reg##bits(cpu, op->dst,                                                   \
			      (uint##bits##_t)(cpu->r[op->base] +                             \
					       (cpu->r[op->index] << op->scale) +             \
					       (uint64_t)(int64_t)op->disp));                 \
		NEXT_OP(cpu, op);                                                             \
	}

DEFINE_LEA(16)
DEFINE_LEA(32)
DEFINE_LEA(64)

/* Of a narrow address, or with a wide displacement, which is in imm. */
static void lea_general(struct cpu *cpu, const struct op *op)
{
	set_reg(cpu, op->dst, op->size, address_offset(cpu, op, op->imm));
	NEXT_OP(cpu, op);
}

op_fn pick_lea(const struct insn *insn UNUSED, struct op *op)
{
	static const op_fn fns[] = { NULL, lea16, lea32, lea64 };

	if (op->address_bytes < op->size || op->imm != op->disp)
		return lea_general;
	return fns[decode_size_index(op)];
}

/* PUSH and POP of general registers where the stack is flat and the operand as
 * wide as its pointer. */

#define DEFINE_FLAT_STACK(bits)                                                               \
	static COLD void push##bits##_slow(struct cpu *cpu, const struct op *op)              \
	{                                                                                     \
		uint64_t to = (cpu->r[GPR_RSP] - bits / 8) & cpu->ea_mask;                    \
											      \
		if (!mem_write(cpu, SEG_SS, to, bits / 8, get_reg##bits(cpu, op->dst)))       \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		cpu->r[GPR_RSP] = to;                                                         \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}                                                                                     \
	static void push##bits(struct cpu *cpu, const struct op *op)                          \
	{                                                                                     \
		uint64_t to = (cpu->r[GPR_RSP] - bits / 8) & cpu->ea_mask;                    \
											      \
		if (unlikely(!store_hit##bits(cpu, to, get_reg##bits(cpu, op->dst))))         \
			TAIL_CALL(push##bits##_slow(cpu, op));                                \
		cpu->r[GPR_RSP] = to;                                                         \
		NEXT_OP(cpu, op);                                                             \
	}                                                                                     \
	static COLD void pop##bits##_slow(struct cpu *cpu, const struct op *op)               \
	{                                                                                     \
		uint64_t from = cpu->r[GPR_RSP] & cpu->ea_mask, v;                            \
											      \
		if (!mem_read(cpu, SEG_SS, from, bits / 8, &v))                               \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		cpu->r[GPR_RSP] = (from + bits / 8) & cpu->ea_mask;                           \
		set_reg##bits(cpu, op->dst, (uint##bits##_t)v);                               \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}                                                                                     \
	static void pop##bits(struct cpu *cpu, const struct op *op)                           \
	{                                                                                     \
		uint64_t from = cpu->r[GPR_RSP] & cpu->ea_mask;                               \
		uint##bits##_t v;                                                             \
											      \
		if (unlikely(!load_hit##bits(cpu, from, &v)))                                 \
			TAIL_CALL(pop##bits##_slow(cpu, op));                                 \
		cpu->r[GPR_RSP] = (from + bits / 8) & cpu->ea_mask;                           \
		set_reg##bits(cpu, op->dst, v);                                               \
		NEXT_OP(cpu, op);                                                             \
	}

DEFINE_FLAT_STACK(32)
DEFINE_FLAT_STACK(64)

/* 32 or 64 if the quick forms may be used for this stack, else 0. */
static unsigned int flat_stack_bits(const struct insn *insn, const struct op *op)
{
	uint32_t stack = insn->mode & MODE_STACK_MASK;

	if (!(insn->mode & MODE_FLAT))
		return 0;
	if (stack == MODE_STACK_64 && op->size == 8)
		return 64;
	return stack == MODE_STACK_32 && op->size == 4 ? 32 : 0;
}

OP(push)
{
	uint64_t sp = stack_pointer(cpu), v;

	if (op->flags & OP_IMM_SRC)
		v = (uint64_t)op->imm;
	else if (!operand_dst(cpu, op, &v))
		return false;
	if (!stack_push(cpu, &sp, v, op->size))
		return false;
	stack_commit(cpu, sp);
	return true;
}

OP(pop)
{
	uint64_t before = stack_pointer(cpu), sp = before, v, rsp = cpu->r[GPR_RSP];

	if (!stack_pop(cpu, &sp, &v, op->size))
		return false;
	/* The address of the operand is that after the increment. */
	stack_commit(cpu, sp);
	if (operand_write(cpu, op, v))
		return true;
	cpu->r[GPR_RSP] = rsp;
	return false;
}

op_fn pick_push(const struct insn *insn, struct op *op)
{
	if (class_of(insn, 0) == ZYDIS_REGCLASS_SEGMENT) {
		op->size = (uint8_t)(insn->info.operand_width / 8);
		return op_push_segment;
	}
	if (insn->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		op->size = (uint8_t)(insn->info.operand_width / 8);
		op->flags |= OP_IMM_SRC;
		return op_push;
	}
	if (op->flags & OP_MEM_DST)
		return op_push;
	switch (flat_stack_bits(insn, op)) {
	case 32:
		return push32;
	case 64:
		return push64;
	default:
		return op_push;
	}
}

op_fn pick_pop(const struct insn *insn, struct op *op)
{
	if (class_of(insn, 0) == ZYDIS_REGCLASS_SEGMENT) {
		op->size = (uint8_t)(insn->info.operand_width / 8);
		return op_pop_segment;
	}
	if (op->flags & OP_MEM_DST)
		return op_pop;
	switch (flat_stack_bits(insn, op)) {
	case 32:
		return pop32;
	case 64:
		return pop64;
	default:
		return op_pop;
	}
}

/* XCHG, which locks memory without being asked. */

OP(xchg)
{
	/* Zydis may name the operands in either order. */
	bool mem = op->flags & (OP_MEM_DST | OP_MEM_SRC);
	unsigned int reg = op->flags & OP_MEM_DST ? op->src : op->dst;
	uint64_t a = get_reg(cpu, reg, op->size), b, ea;
	struct host_at at;

	if (!mem) {
		b = get_reg(cpu, op->src, op->size);
		set_reg(cpu, op->src, op->size, a);
		set_reg(cpu, op->dst, op->size, b);
		return true;
	}
	ea = op_ea(cpu, op);
	switch (mem_lock(cpu, op->seg, ea, op->size, &at)) {
	case LOCK_FAILED:
		return false;
	case LOCK_PLAIN:
		if (!mem_read_to_modify(cpu, op->seg, ea, op->size, &b) ||
		    !mem_write(cpu, op->seg, ea, op->size, a))
			return false;
		break;
	case LOCK_DIRECT:
		b = a;
		if (!locked_xchg(cpu, at, op->size, &b))
			return mem_lost(cpu, at, op->size);
		break;
	}
	set_reg(cpu, reg, op->size, b);
	return true;
}

OP(movbe)
{
	uint64_t v;

	if (!operand_src(cpu, op, &v))
		return false;
	v = __builtin_bswap64(v) >> (64 - 8 * op->size);
	return operand_write(cpu, op, v);
}

OP(bswap)
{
	uint64_t v = get_reg(cpu, op->dst, op->size);

	/* Of 16 bits it is undefined; processors give zero. */
	if (op->size == 2)
		set_reg16(cpu, op->dst, 0);
	else
		set_reg(cpu, op->dst, op->size, __builtin_bswap64(v) >> (64 - 8 * op->size));
	return true;
}

/* XLAT: the address has no op of its own, as AL is part of it. */
OP(xlat)
{
	uint64_t offset = (cpu->r[GPR_RBX] + (cpu->r[GPR_RAX] & 0xff)) &
			  width_mask(op->address_bytes);
	uint64_t ea, v;

	if (!address_linear(cpu, op->seg, offset, 1, ACCESS_READ, &ea) ||
	    !mem_read(cpu, op->seg, ea, 1, &v))
		return false;
	set_reg8(cpu, GPR_AT(GPR_RAX), (uint8_t)v);
	return true;
}
