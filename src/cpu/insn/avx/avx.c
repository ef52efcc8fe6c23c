/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/avx/avx.c - the instructions of cpu/insn/avx/avx.def: operands are loaded, the host's
 * instruction is called, all 256 bits of the result are stored.
 *
 * In an op, dst is the number of the register that is written, and above it that of the one that
 * VEX names; src that of the one that ModRM names, and above it the third operand's; imm is the
 * function; size how many bytes of memory there are.
 */
#include "cpu/event/raise.h"
#include "cpu/insn/alu.h"
#include "cpu/insn/avx/ymm.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/insn/sse/dot.h"
#include "cpu/insn/sse/fp.h"
#include "cpu/insn/sse/stub.h"
#include "cpu/insn/table.h"

/* Flags of prefixes that are none of VEX's. */
#define OP_FP OP_REP
#define OP_ALIGNED OP_REPNE

#define AVX(mnemonic, name, variants, how, narrow, wide) \
	AVX_OTHER(name, variants, how, narrow, wide)
#define AVX_OTHER(name, variants, how, narrow, wide)                  \
	STUB_DEFINE("avx128_" #name, 8, variants, narrow)             \
	STUB_DEFINE("avx256_" #name, 8, variants, wide)               \
	extern const uint8_t avx128_##name[] __asm__("avx128_" #name); \
	extern const uint8_t avx256_##name[] __asm__("avx256_" #name);
#define AVX_TO_GPR(mnemonic, name, narrow, wide) AVX_OTHER(name, 1, 0, narrow, wide)
#define AVX_FLAGS(mnemonic, name, how, narrow, wide)                    \
	AVX_OTHER(name, 1, how, narrow "\n lahf\n seto %al", wide "\n lahf\n seto %al")
#include "cpu/insn/avx/avx.def"

/* The functions, of 128 and 256 bits, by PICK_avx_name. */
static const struct {
	const uint8_t *first[2];
	uint16_t variants;
	bool has_narrow, has_wide;
	uint8_t how;
} stubs[] = {
#define AVX(mnemonic, name, variants, how, narrow, wide) \
	AVX_OTHER(name, variants, how, narrow, wide)
#define AVX_OTHER(name, variants, how, narrow, wide)                        \
	[PICK_avx_##name] = { { avx128_##name, avx256_##name }, variants,   \
			      sizeof(narrow) > 1, sizeof(wide) > 1, how },
#define AVX_TO_GPR(mnemonic, name, narrow, wide) AVX_OTHER(name, 1, 0, narrow, wide)
#define AVX_FLAGS(mnemonic, name, how, narrow, wide) AVX_OTHER(name, 1, how, narrow, wide)
#include "cpu/insn/avx/avx.def"
};

/* --- calling them ----------------------------------------------------------------------- */

/*
 * By hand: whether a compiler passes what has 256 bits in registers hangs on the processor that
 * it compiles for, which is one without.  The functions use no stack; what lies below it is the
 * caller's.  Returns what they leave in EAX, if they do.
 */
static NOINLINE uint32_t call_stub(const struct cpu *cpu, const struct op *op, const struct ymm *b,
				   uint64_t gpr, struct ymm *r)
{
	/* With a general register there are two operands, and src is its place. */
	const union xmm *first = &cpu->xmm[op->dst >> 4], *third = &cpu->xmm[op->src >> 4 & 15];
	uint32_t number;

	_Static_assert(offsetof(struct cpu, ymm_high) - offsetof(struct cpu, xmm) == 256,
		       "how far the upper halves are");
	__asm__ __volatile__(
		"vmovdqa (%[a]), %%xmm0\n\t"
		"vinsertf128 $1, 256(%[a]), %%ymm0, %%ymm0\n\t"
		"vmovdqa (%[b]), %%xmm1\n\t"
		"vinsertf128 $1, 16(%[b]), %%ymm1, %%ymm1\n\t"
		"vmovdqa (%[c]), %%xmm2\n\t"
		"vinsertf128 $1, 256(%[c]), %%ymm2, %%ymm2\n\t"
		"lea -128(%%rsp), %%rsp\n\t"
		"call *%[fn]\n\t"
		"lea 128(%%rsp), %%rsp\n\t"
		"vmovdqa %%xmm0, (%[r])\n\t"
		"vextractf128 $1, %%ymm0, 16(%[r])\n\t"
		"vzeroupper"
		: "=&a"(number)
		: "D"(gpr), [a] "r"(first), [b] "r"(b), [c] "r"(third), [r] "r"(r),
		  [fn] "r"(op->imm)
		: "xmm0", "xmm1", "xmm2", "memory", "cc");
	return number;
}

/* --- handlers ------------------------------------------------------------------------------ */

static bool load_source(struct cpu *cpu, const struct op *op, struct ymm *b)
{
	uint64_t ea;

	if (!(op->flags & OP_MEM_SRC)) {
		ymm_get(cpu, op->src & 15, b);
		return true;
	}
	ea = op_ea(cpu, op);
	if ((op->flags & OP_ALIGNED) && (ea & (op->size - 1u)))
		return raise_gp(cpu, 0);
	return ymm_load(cpu, op->seg, ea, op->size, b);
}

static bool store_result(struct cpu *cpu, const struct op *op, const struct ymm *r)
{
	uint64_t ea;

	if (!(op->flags & OP_MEM_DST)) {
		ymm_set(cpu, op->dst & 15, r);
		return true;
	}
	ea = op_ea(cpu, op);
	if ((op->flags & OP_ALIGNED) && (ea & (op->size - 1u)))
		return raise_gp(cpu, 0);
	return ymm_store(cpu, op->seg, ea, op->size, r);
}

static bool execute_stub(struct cpu *cpu, const struct op *op, const struct ymm *b, uint64_t gpr)
{
	bool careful = (op->flags & OP_FP) && fp_begin(cpu);
	struct ymm r;

	call_stub(cpu, op, b, gpr, &r);
	if (careful && !fp_end_careful(cpu))
		return false;
	return store_result(cpu, op, &r);
}

OP(avx)
{
	struct ymm b;

	return load_source(cpu, op, &b) && execute_stub(cpu, op, &b, 0);
}

/* Between registers, and neither floating point. */
static void avx_registers(struct cpu *cpu, const struct op *op)
{
	struct ymm b, r;

	ymm_get(cpu, op->src & 15, &b);
	call_stub(cpu, op, &b, 0, &r);
	ymm_set(cpu, op->dst & 15, &r);
	NEXT_OP(cpu, op);
}

OP(avx_from_gpr)
{
	static const struct ymm none;
	uint64_t gpr;

	return operand_src(cpu, op, &gpr) && execute_stub(cpu, op, &none, gpr);
}

OP(avx_to_gpr)
{
	struct ymm b, none;

	ymm_get(cpu, op->src & 15, &b);
	set_reg64(cpu, op->dst, call_stub(cpu, op, &b, 0, &none));
	return true;
}

OP(avx_flags)
{
	struct ymm b, none;

	if (!load_source(cpu, op, &b))
		return false;
	cc_set_host(cpu, call_stub(cpu, op, &b, 0, &none) & 0xffff);
	return true;
}

/* VDPPS and VDPPD; careful as DPPS and DPPD are. */
static bool dot_product(struct cpu *cpu, const struct op *op, const uint8_t *first,
			unsigned int lanes, enum dot_of of)
{
	__m128i a_lanes[2], b_lanes[2];
	struct ymm a, b, r;
	bool careful;

	if (!load_source(cpu, op, &b))
		return false;
	ymm_get(cpu, op->dst >> 4, &a);
	memcpy(a_lanes, &a, sizeof(a));
	memcpy(b_lanes, &b, sizeof(b));
	careful = fp_begin(cpu);
	call_stub(cpu, op, &b, 0, &r);
	if (careful &&
	    !dot_end_careful(cpu, a_lanes, b_lanes, lanes, stub_immediate(op->imm, first) >> 4, of))
		return false;
	return store_result(cpu, op, &r);
}

OP(avx_dot)
{
	if (stub_is_of(op->imm, avx128_vdppd, 64))
		return dot_product(cpu, op, avx128_vdppd, 1, DOT_OF_DOUBLES);
	if (stub_is_of(op->imm, avx128_vdpps, 256))
		return dot_product(cpu, op, avx128_vdpps, 1, DOT_OF_SINGLES);
	return dot_product(cpu, op, avx256_vdpps, 2, DOT_OF_SINGLES);
}

OP(vzeroall)
{
	unsigned int n = op->flags & OP_LONG ? 16 : 8;

	memset(cpu->xmm, 0, n * sizeof(cpu->xmm[0]));
	memset(cpu->ymm_high, 0, n * sizeof(cpu->ymm_high[0]));
	return true;
}

OP(vzeroupper)
{
	memset(cpu->ymm_high, 0, (op->flags & OP_LONG ? 16 : 8) * sizeof(cpu->ymm_high[0]));
	return true;
}

/* --- choosing --------------------------------------------------------------------------- */

static uint8_t number_of(const struct insn *insn, unsigned int operand)
{
	return decode_is_reg(insn, operand) ?
	       (uint8_t)ZydisRegisterGetId(insn->operands[operand].reg.value) & 15 : 0;
}

/* Where each operand goes, by how the instruction names it. */
static void fill_registers(const struct insn *insn, struct op *op)
{
	uint8_t vex = 0, named = 0, third = 0;

	for (unsigned int i = 1; i < insn->info.operand_count_visible; i++) {
		switch (insn->operands[i].encoding) {
		case ZYDIS_OPERAND_ENCODING_NDSNDD:
			vex = number_of(insn, i);
			break;
		case ZYDIS_OPERAND_ENCODING_IS4:
			third = number_of(insn, i);
			break;
		case ZYDIS_OPERAND_ENCODING_MODRM_RM:
		case ZYDIS_OPERAND_ENCODING_MODRM_REG:
			named = number_of(insn, i);
			break;
		default:
			break;
		}
	}
	if (insn->operands[0].actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		third = number_of(insn, 0);
	op->dst = (uint8_t)(number_of(insn, 0) | vex << 4);
	op->src = (uint8_t)(named | third << 4);
}

/* The operand in memory: bytes, or 0. */
static uint8_t memory_bytes(const struct insn *insn)
{
	for (unsigned int i = 0; i < insn->info.operand_count_visible; i++)
		if (decode_is_mem(insn, i))
			return (uint8_t)(insn->operands[i].size / 8);
	return 0;
}

static void choose_stub(const struct insn *insn, struct op *op, unsigned int which)
{
	bool wide = insn->info.avx.vector_length == 256;

	if (stubs[which].how & AVX_GPR)
		wide = insn->operands[insn->info.operand_count_visible > 2 ? 2 : 1].size == 64;
	if (!stubs[which].has_wide || !stubs[which].has_narrow)
		wide = stubs[which].has_wide;
	op->imm = stub_of(stubs[which].first[wide], STUB_BYTES, stubs[which].variants, op->imm);
}

/* Of a general register: its place. */
static op_fn pick_from_gpr(const struct insn *insn, struct op *op)
{
	unsigned int from = insn->operands[1].encoding == ZYDIS_OPERAND_ENCODING_NDSNDD ? 2 : 1;

	op->src = decode_is_reg(insn, from) ? decode_gpr(insn, from) : 0;
	op->size = (uint8_t)(insn->operands[from].size / 8);
	return op_avx_from_gpr;
}

/* The forms with an immediate of instructions that have others. */
static unsigned int form_of(const struct insn *insn, unsigned int which)
{
	static const uint16_t with_immediate[ARRAY_SIZE(stubs)] = {
		[PICK_avx_vpermilps] = PICK_avx_vpermilps_imm,
		[PICK_avx_vpermilpd] = PICK_avx_vpermilpd_imm,
		[PICK_avx_vpsllw] = PICK_avx_vpsllw_imm,
		[PICK_avx_vpslld] = PICK_avx_vpslld_imm,
		[PICK_avx_vpsllq] = PICK_avx_vpsllq_imm,
		[PICK_avx_vpsrlw] = PICK_avx_vpsrlw_imm,
		[PICK_avx_vpsrld] = PICK_avx_vpsrld_imm,
		[PICK_avx_vpsrlq] = PICK_avx_vpsrlq_imm,
		[PICK_avx_vpsraw] = PICK_avx_vpsraw_imm,
		[PICK_avx_vpsrad] = PICK_avx_vpsrad_imm,
	};

	if (insn->operands[2].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && with_immediate[which] &&
	    insn->info.operand_count_visible > 2)
		return with_immediate[which];
	return which;
}

op_fn pick_avx(const struct insn *insn, struct op *op, unsigned int which)
{
	unsigned int how;

	which = form_of(insn, which);
	how = stubs[which].how;
	/* Of memory it takes the one element that is there. */
	if ((how & AVX_INSERT) && (op->flags & OP_MEM_SRC))
		op->imm &= 0x3f;
	fill_registers(insn, op);
	choose_stub(insn, op, which);
	op->flags |= how & AVX_FP ? OP_FP : 0;
	if (how & AVX_GPR)
		return pick_from_gpr(insn, op);
	if (how & AVX_DOT)
		op->flags |= OP_FP;
	op->size = memory_bytes(insn);
	op->flags |= how & AVX_ALIGNED ? OP_ALIGNED : 0;
	if (how & AVX_DOT)
		return op_avx_dot;
	return op->size || (how & AVX_FP) ? op_avx : avx_registers;
}

op_fn pick_avx_to_gpr(const struct insn *insn, struct op *op, unsigned int which)
{
	choose_stub(insn, op, which);
	op->src = number_of(insn, 1);
	op->dst = decode_gpr(insn, 0);
	return op_avx_to_gpr;
}

op_fn pick_avx_flags(const struct insn *insn, struct op *op, unsigned int which)
{
	choose_stub(insn, op, which);
	op->dst = (uint8_t)(number_of(insn, 0) << 4);
	op->src = number_of(insn, 1);
	op->size = memory_bytes(insn);
	return op_avx_flags;
}

/* VMOVSS, VMOVSD: a load clears the rest, a store is that of SSE. */
op_fn pick_avx_scalar(const struct insn *insn, struct op *op, unsigned int bytes)
{
	if (op->flags & OP_MEM_DST)
		return pick_mov_scalar(insn, op, bytes);
	if (op->flags & OP_MEM_SRC)
		return pick_avx(insn, op, PICK_avx_vmovups);
	return pick_avx(insn, op, bytes == 4 ? PICK_avx_vmovss : PICK_avx_vmovsd);
}

/* VMOVD, VMOVQ. */
op_fn pick_avx_low(const struct insn *insn, struct op *op, unsigned int bytes)
{
	if (!decode_is_reg(insn, 0) ||
	    ZydisRegisterGetClass(insn->operands[0].reg.value) != ZYDIS_REGCLASS_XMM)
		return pick_mov_low(insn, op, bytes);
	if (op->flags & OP_MEM_SRC)
		return pick_avx(insn, op, PICK_avx_vmovups);
	if (ZydisRegisterGetClass(insn->operands[1].reg.value) == ZYDIS_REGCLASS_XMM)
		return pick_avx(insn, op, PICK_avx_vmovq);
	return pick_avx(insn, op, PICK_avx_from_gpr);
}

/* VMOVLPS, VMOVHPS and their kind: with memory. */
op_fn pick_avx_half(const struct insn *insn, struct op *op, unsigned int half)
{
	if (op->flags & OP_MEM_DST)
		return pick_mov_half(insn, op, half);
	return pick_avx(insn, op, half ? PICK_avx_vmovlhps : PICK_avx_vmovsd);
}
