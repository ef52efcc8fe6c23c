/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/bits/bmi.c - BMI1 and BMI2, but for TZCNT (bits.c); and CRC32.
 *
 * dst is the result, src or memory the operand that ModRM names, imm the place of the other
 * register.
 */
#include "cpu/insn/alu.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"

#define HOST_BMI(name, s, m)                                                    \
	__asm__(#name s " %" m "[y], %" m "[x], %" m "[d]" HOST_FLAGS_OUT       \
		: "=&a"(host), [d] "=&r"(d) : [x] "r"(x), [y] "r"(y) : "cc")

#define DEFINE_BMI(name, named_is_first, flags)                                 \
	OP(name)                                                                \
	{                                                                       \
		uint64_t named, other = get_reg(cpu, (unsigned int)op->imm, op->size); \
		uint64_t x, y, d;                                               \
		uint32_t host;                                                  \
										\
		if (!operand_src(cpu, op, &named))                              \
			return false;                                           \
		x = named_is_first ? named : other;                             \
		y = named_is_first ? other : named;                             \
		if (op->size == 8)                                              \
			HOST_BMI(name, "q", "q");                               \
		else                                                            \
			HOST_BMI(name, "l", "k");                               \
		set_reg(cpu, op->dst, op->size, d);                             \
		if (flags)                                                      \
			cc_set_host(cpu, host & 0xffff);                        \
		return true;                                                    \
	}

#define BMI(mnemonic, name, named_is_first, flags) DEFINE_BMI(name, named_is_first, flags)
#include "cpu/insn/bits/bmi.def"

/* The operand that ModRM names is the second or the third. */
static void fill_three(const struct insn *insn, struct op *op)
{
	unsigned int named = insn->operands[1].encoding == ZYDIS_OPERAND_ENCODING_NDSNDD ? 2 : 1;

	if (decode_is_reg(insn, named))
		op->src = decode_gpr(insn, named);
	op->imm = decode_gpr(insn, 3 - named);
}

op_fn pick_bmi(const struct insn *insn, struct op *op, unsigned int which)
{
	static const op_fn fns[] = {
#define BMI(mnemonic, name, named_is_first, flags) [PICK_bmi_##name] = op_##name,
#include "cpu/insn/bits/bmi.def"
	};

	fill_three(insn, op);
	return fns[which];
}

#define HOST_UNARY(name, s, m)                                                  \
	__asm__(#name s " %" m "[x], %" m "[d]" HOST_FLAGS_OUT                  \
		: "=&a"(host), [d] "=&r"(d) : [x] "r"(x) : "cc")

#define DEFINE_UNARY(name)                                                      \
	OP(name)                                                                \
	{                                                                       \
		uint32_t host;                                                  \
		uint64_t x, d;                                                  \
										\
		if (!operand_src(cpu, op, &x))                                  \
			return false;                                           \
		if (op->size == 8)                                              \
			HOST_UNARY(name, "q", "q");                             \
		else                                                            \
			HOST_UNARY(name, "l", "k");                             \
		set_reg(cpu, op->dst, op->size, d);                             \
		cc_set_host(cpu, host & 0xffff);                                \
		return true;                                                    \
	}

#define BMI_UNARY(mnemonic, name) DEFINE_UNARY(name)
#include "cpu/insn/bits/bmi.def"

OP(rorx)
{
	unsigned int count = (unsigned int)op->imm & (op->size * 8u - 1);
	uint64_t v;

	if (!operand_src(cpu, op, &v))
		return false;
	if (count)
		v = v >> count | v << (op->size * 8u - count);
	set_reg(cpu, op->dst, op->size, v & width_mask(op->size));
	return true;
}

/* MULX: the lower half first, as both may go to one register, which then has the upper one. */
OP(mulx)
{
	unsigned __int128 product;
	uint64_t v;

	if (!operand_src(cpu, op, &v))
		return false;
	product = (unsigned __int128)get_reg(cpu, GPR_AT(GPR_RDX), op->size) * v;
	set_reg(cpu, (unsigned int)op->imm, op->size, (uint64_t)product);
	set_reg(cpu, op->dst, op->size, (uint64_t)(product >> (8 * op->size)));
	return true;
}

op_fn pick_mulx(const struct insn *insn, struct op *op)
{
	fill_three(insn, op);
	return op_mulx;
}

/* CRC32: size is that of the second operand. */
OP(crc32)
{
	uint64_t crc = get_reg32(cpu, op->dst), v;

	if (!operand_src(cpu, op, &v))
		return false;
	switch (op->size) {
	case 1:
		__asm__("crc32b %b[v], %k[crc]" : [crc] "+r"(crc) : [v] "r"(v));
		break;
	case 2:
		__asm__("crc32w %w[v], %k[crc]" : [crc] "+r"(crc) : [v] "r"(v));
		break;
	case 4:
		__asm__("crc32l %k[v], %k[crc]" : [crc] "+r"(crc) : [v] "r"(v));
		break;
	default:
		__asm__("crc32q %q[v], %q[crc]" : [crc] "+r"(crc) : [v] "r"(v));
	}
	set_reg32(cpu, op->dst, (uint32_t)crc);
	return true;
}

op_fn pick_crc32(const struct insn *insn, struct op *op)
{
	op->size = (uint8_t)(insn->operands[1].size / 8);
	return op_crc32;
}
