/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/sse/stub.c - the instructions of cpu/insn/sse/stub.def: the host's is called, where
 * decoding has chosen it by the immediate; and others of SSE4 that move elements.
 */
#include "cpu/insn/sse/stub.h"

#include <string.h>

#include "cpu/insn/alu.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/insn/sse/dot.h"
#include "cpu/insn/sse/fp.h"
#include "cpu/memory/access.h"

typedef __m128i (*stub_fn)(__m128i a, __m128i b, __m128i xmm0);

#define STUB(mnemonic, name, variants, text)                      \
	STUB_DEFINE("stub_" #name, 8, variants, text)             \
	extern const uint8_t stub_##name[] __asm__("stub_" #name);
#define STUB_FP(mnemonic, name, variants, text) STUB(mnemonic, name, variants, text)
#define STUB_DOT(mnemonic, name, variants, text) STUB(mnemonic, name, variants, text)
#include "cpu/insn/sse/stub.def"

static bool stub_source(struct cpu *cpu, const struct op *op, __m128i *b)
{
	if (op->flags & OP_MEM_SRC)
		return xmm_load(cpu, op, op->size, b);
	*b = xmm_get(cpu, op->src);
	return true;
}

static __m128i call_stub(const struct cpu *cpu, const struct op *op, __m128i b)
{
	stub_fn fn = (stub_fn)(uintptr_t)op->imm;

	return fn(xmm_get(cpu, op->dst), b, xmm_get(cpu, 0));
}

OP(stub)
{
	__m128i b;

	if (!stub_source(cpu, op, &b))
		return false;
	xmm_set(cpu, op->dst, call_stub(cpu, op, b));
	return true;
}

OP(stub_fp)
{
	__m128i b, r;
	bool careful;

	if (!stub_source(cpu, op, &b))
		return false;
	careful = fp_begin(cpu);
	r = call_stub(cpu, op, b);
	if (careful && !fp_end_careful(cpu))
		return false;
	xmm_set(cpu, op->dst, r);
	return true;
}

/* DPPS, DPPD. */
OP(stub_dot)
{
	bool singles = stub_is_of(op->imm, stub_dpps, 256);
	unsigned int immediate = stub_immediate(op->imm, singles ? stub_dpps : stub_dppd);
	__m128i a = xmm_get(cpu, op->dst), b, r;
	bool careful;

	if (!stub_source(cpu, op, &b))
		return false;
	careful = fp_begin(cpu);
	r = call_stub(cpu, op, b);
	if (careful && !dot_end_careful(cpu, &a, &b, 1, immediate >> 4,
					singles ? DOT_OF_SINGLES : DOT_OF_DOUBLES))
		return false;
	xmm_set(cpu, op->dst, r);
	return true;
}

op_fn pick_stub(const struct insn *insn, struct op *op, unsigned int which)
{
	static const struct {
		const uint8_t *first;
		unsigned int variants;
		op_fn fn;
	} stubs[] = {
#define STUB(mnemonic, name, variants, text) \
	[PICK_stub_##name] = { stub_##name, variants, op_stub },
#define STUB_FP(mnemonic, name, variants, text) \
	[PICK_stub_##name] = { stub_##name, variants, op_stub_fp },
#define STUB_DOT(mnemonic, name, variants, text) \
	[PICK_stub_##name] = { stub_##name, variants, op_stub_dot },
#include "cpu/insn/sse/stub.def"
	};

	/* Of memory it takes the one element that is there. */
	if (which == PICK_stub_insertps && (op->flags & OP_MEM_SRC))
		op->imm &= 0x3f;
	op->imm = stub_of(stubs[which].first, STUB_BYTES, stubs[which].variants, op->imm);
	op->size = (uint8_t)(insn->operands[1].size / 8);
	return stubs[which].fn;
}

/* PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: with two lengths, or none, come back flags, and an
 * index or a mask. */

struct string_result {
	__m128i mask;
	uint32_t index;
};
typedef uint32_t (*string_fn)(__m128i a, __m128i b, int64_t a_length, int64_t b_length,
			      struct string_result *r);

#define STRING_BYTES 32u
/* The form of AVX; a flag that has no other meaning here. */
#define OP_CLEARS_HIGH OP_REP
#define STUB_STRING(mnemonic, name, text)                                                  \
	STUB_DEFINE("stub_" #name, 32, 256,                                                \
		    "mov %rdx, %r8\n mov %edi, %eax\n mov %esi, %edx\n " text              \
		    "\n movups %xmm0, (%r8)\n mov %ecx, 16(%r8)\n lahf\n seto %al")        \
	extern const uint8_t stub_##name[] __asm__("stub_" #name);
#include "cpu/insn/sse/stub.def"

/* Beyond the 16 elements that there may be, all lengths are alike. */
static int64_t length_in(const struct cpu *cpu, const struct op *op, enum cpu_reg reg)
{
	int64_t length = op->size == 8 ? (int64_t)cpu->r[reg] : (int32_t)cpu->r[reg];

	return length > 16 ? 16 : length < -16 ? -16 : length;
}

static bool compare_strings(struct cpu *cpu, const struct op *op, struct string_result *r)
{
	string_fn fn = (string_fn)(uintptr_t)op->imm;
	union xmm b = cpu->xmm[op->src];
	uint32_t host;

	/* It need not be aligned. */
	if ((op->flags & OP_MEM_SRC) && !mem_load(cpu, op->seg, op_ea(cpu, op), &b, sizeof(b)))
		return false;
	host = fn(xmm_get(cpu, op->dst), _mm_load_si128((const __m128i *)&b),
		  length_in(cpu, op, GPR_RAX), length_in(cpu, op, GPR_RDX), r);
	cc_set_host(cpu, host & 0xffff);
	return true;
}

OP(string_index)
{
	struct string_result r;

	if (!compare_strings(cpu, op, &r))
		return false;
	cpu->r[GPR_RCX] = r.index;
	return true;
}

OP(string_mask)
{
	struct string_result r;

	if (!compare_strings(cpu, op, &r))
		return false;
	xmm_set(cpu, 0, r.mask);
	if (op->flags & OP_CLEARS_HIGH)
		cpu->ymm_high[0] = (union xmm){ .u64 = { 0, 0 } };
	return true;
}

static bool has_w(const struct insn *insn)
{
	if (insn->info.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		return insn->info.raw.vex.W;
	return (insn->info.attributes & ZYDIS_ATTRIB_HAS_REX) && insn->info.raw.rex.W;
}

op_fn pick_string_stub(const struct insn *insn, struct op *op, unsigned int which)
{
	static const uint8_t *const first[] = {
#define STUB_STRING(mnemonic, name, text) [PICK_string_stub_##name] = stub_##name,
#include "cpu/insn/sse/stub.def"
	};
	bool mask = which == PICK_string_stub_pcmpestrm || which == PICK_string_stub_pcmpistrm;

	op->imm = stub_of(first[which], STRING_BYTES, 256, op->imm);
	op->size = decode_is_64bit(insn) && has_w(insn) ? 8 : 4;
	if (insn->info.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
		op->flags |= OP_CLEARS_HIGH;
	return mask ? op_string_mask : op_string_index;
}

/* PTEST: ZF and CF, the others are clear. */
OP(ptest)
{
	__m128i b;
	uint32_t host;

	if (!stub_source(cpu, op, &b))
		return false;
	__asm__("ptest %[b], %[a]" HOST_FLAGS_OUT
		: "=&a"(host) : [a] "x"(xmm_get(cpu, op->dst)), [b] "x"(b) : "cc");
	cc_set_host(cpu, host & 0xffff);
	return true;
}

/* One element to a general register or memory: PEXTRB to PEXTRQ, EXTRACTPS. */
OP(extract)
{
	unsigned int at = (unsigned int)op->imm * op->size & 15;
	uint64_t v = 0;

	memcpy(&v, cpu->xmm[op->src].u8 + at, op->size);
	if (op->flags & OP_MEM_DST)
		return mem_write(cpu, op->seg, op_ea(cpu, op), op->size, v);
	set_reg64(cpu, op->dst, v);
	return true;
}

/* And from there: PINSRB to PINSRQ. */
OP(insert)
{
	unsigned int at = (unsigned int)op->imm * op->size & 15;
	uint64_t v;

	if (!operand_src(cpu, op, &v))
		return false;
	memcpy(cpu->xmm[op->dst].u8 + at, &v, op->size);
	return true;
}

op_fn pick_extract(const struct insn *insn UNUSED, struct op *op, unsigned int bytes)
{
	op->size = (uint8_t)bytes;
	return op_extract;
}

op_fn pick_insert(const struct insn *insn UNUSED, struct op *op, unsigned int bytes)
{
	op->size = (uint8_t)bytes;
	return op_insert;
}
