/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/muldiv.c - multiplication, division, and the decimal adjustments.
 *
 * As everywhere the host's instruction is used where it exists in 64-bit mode,
 * for the flags that it leaves; a division is first checked not to trap.
 */
#include "cpu/event/raise.h"
#include "cpu/insn/alu.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"

/* IMUL with two or three operands: the product of src and imm or dst. */

#define DEFINE_IMUL(bits, s, m)                                                               \
	static ALWAYS_INLINE void imul##bits(struct cpu *cpu, const struct op *op,            \
					     uint##bits##_t a, uint##bits##_t b)              \
	{                                                                                     \
		uint32_t host;                                                                \
											      \
		__asm__("imul" s " %" m "[b], %" m "[a]" HOST_FLAGS_OUT                       \
			: "=&a"(host), [a] "+r"(a)                                            \
			: [b] "r"(b)                                                          \
			: "cc");                                                              \
		set_reg##bits(cpu, op->dst, a);                                               \
		cc_set_host(cpu, host);                                                       \
	}                                                                                     \
	static void imul##bits##_rr(struct cpu *cpu, const struct op *op)                     \
	{                                                                                     \
		imul##bits(cpu, op, get_reg##bits(cpu, op->dst), get_reg##bits(cpu, op->src)); \
		NEXT_OP(cpu, op);                                                             \
	}                                                                                     \
	static void imul##bits##_rri(struct cpu *cpu, const struct op *op)                    \
	{                                                                                     \
		imul##bits(cpu, op, get_reg##bits(cpu, op->src), (uint##bits##_t)op->imm);    \
		NEXT_OP(cpu, op);                                                             \
	}                                                                                     \
	DEFINE_IMUL_LOADING(rm, bits, get_reg##bits(cpu, op->dst))                            \
	DEFINE_IMUL_LOADING(rmi, bits, (uint##bits##_t)op->imm)

/* The other factor is @by. */
#define DEFINE_IMUL_LOADING(form, bits, by)                                                   \
	static NOINLINE bool exec_imul##bits##_##form(struct cpu *cpu, const struct op *op)   \
	{                                                                                     \
		uint64_t v;                                                                   \
											      \
		if (!mem_read(cpu, op->seg, op_ea(cpu, op), bits / 8, &v))                    \
			return false;                                                         \
		imul##bits(cpu, op, (uint##bits##_t)v, by);                                   \
		return true;                                                                  \
	}                                                                                     \
	static void imul##bits##_##form(struct cpu *cpu, const struct op *op)                 \
	{                                                                                     \
		if (unlikely(!exec_imul##bits##_##form(cpu, op)))                             \
			TAIL_CALL(op_abandon(cpu, op));                                       \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                              \
	}

DEFINE_IMUL(16, "w", "w")
DEFINE_IMUL(32, "l", "k")
DEFINE_IMUL(64, "q", "q")

/* MUL and IMUL into rDX:rAX (AX for bytes). */
#define DEFINE_WIDE_MUL(name, bits, insn, m)                                                  \
	static uint32_t name##bits(uint##bits##_t *a, uint##bits##_t *d, uint##bits##_t b)    \
	{                                                                                     \
		uint64_t ax = *a, dx = *d, low;                                               \
											      \
		__asm__(insn " %" m "[b]\n\tmovq %%rax, %[low]" HOST_FLAGS_OUT                \
			: "+&a"(ax), "+&d"(dx), [low] "=&r"(low)                              \
			: [b] "r"((uint64_t)b)                                                \
			: "cc");                                                              \
		*a = (uint##bits##_t)low;                                                     \
		*d = (uint##bits##_t)dx;                                                      \
		return (uint32_t)ax;                                                          \
	}

DEFINE_WIDE_MUL(mul, 16, "mulw", "w")
DEFINE_WIDE_MUL(mul, 32, "mull", "k")
DEFINE_WIDE_MUL(mul, 64, "mulq", "q")
DEFINE_WIDE_MUL(imul_wide, 16, "imulw", "w")
DEFINE_WIDE_MUL(imul_wide, 32, "imull", "k")
DEFINE_WIDE_MUL(imul_wide, 64, "imulq", "q")

enum sign { UNSIGNED, SIGNED };

static uint32_t mul8(uint16_t *ax, uint8_t b, enum sign sign)
{
	uint64_t a = *ax, product;
	uint32_t host;

	if (sign == SIGNED)
		__asm__("imulb %b[b]\n\tmovq %%rax, %[product]" HOST_FLAGS_OUT
			: "+&a"(a), [product] "=&r"(product) : [b] "r"((uint64_t)b) : "cc");
	else
		__asm__("mulb %b[b]\n\tmovq %%rax, %[product]" HOST_FLAGS_OUT
			: "+&a"(a), [product] "=&r"(product) : [b] "r"((uint64_t)b) : "cc");
	host = (uint32_t)a;
	*ax = (uint16_t)product;
	return host;
}

static bool multiply(struct cpu *cpu, unsigned int bytes, uint64_t b, enum sign sign)
{
	uint64_t *rax = &cpu->r[GPR_RAX], *rdx = &cpu->r[GPR_RDX];
	uint16_t a16 = (uint16_t)*rax, d16 = (uint16_t)*rdx;
	uint32_t a32 = (uint32_t)*rax, d32 = (uint32_t)*rdx;
	uint32_t host;

	switch (bytes) {
	case 1:
		host = mul8(&a16, (uint8_t)b, sign);
		set_reg16(cpu, GPR_AT(GPR_RAX), a16);
		break;
	case 2:
		host = (sign == SIGNED ? imul_wide16 : mul16)(&a16, &d16, (uint16_t)b);
		set_reg16(cpu, GPR_AT(GPR_RAX), a16);
		set_reg16(cpu, GPR_AT(GPR_RDX), d16);
		break;
	case 4:
		host = (sign == SIGNED ? imul_wide32 : mul32)(&a32, &d32, (uint32_t)b);
		*rax = a32;
		*rdx = d32;
		break;
	default:
		host = (sign == SIGNED ? imul_wide64 : mul64)(rax, rdx, b);
	}
	cc_set_host(cpu, host);
	return true;
}

OP(mul)
{
	uint64_t b;

	return operand_dst(cpu, op, &b) && multiply(cpu, op->size, b, UNSIGNED);
}

OP(imul_wide)
{
	uint64_t b;

	return operand_dst(cpu, op, &b) && multiply(cpu, op->size, b, SIGNED);
}

op_fn pick_imul(const struct insn *insn, struct op *op)
{
	static const op_fn fns[3][4] = {
		{ imul16_rr, imul16_rm, imul16_rri, imul16_rmi },
		{ imul32_rr, imul32_rm, imul32_rri, imul32_rmi },
		{ imul64_rr, imul64_rm, imul64_rri, imul64_rmi },
	};
	bool three = insn->info.operand_count_visible == 3 &&
		     insn->operands[2].visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT;

	if (insn->operands[1].visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
		return op_imul_wide;
	return fns[decode_size_index(op) - 1][2 * three + !!(op->flags & OP_MEM_SRC)];
}

/* The quotient and remainder of the unsigned @high:@low by @b; false: #DE. */
static bool divide_unsigned(uint64_t high, uint64_t low, uint64_t b, uint64_t *quotient,
			    uint64_t *remainder)
{
	if (high >= b)
		return false;
	__asm__("divq %[b]" : "=a"(*quotient), "=d"(*remainder)
		: "a"(low), "d"(high), [b] "r"(b) : "cc");
	return true;
}

static bool divide_signed(int64_t high, uint64_t low, int64_t b, uint64_t *quotient,
			  uint64_t *remainder)
{
	bool negative = high < 0, opposite = negative != (b < 0);
	unsigned __int128 a = (unsigned __int128)(uint64_t)high << 64 | low;
	uint64_t q, r, limit = 1ull << 63;

	if (negative)
		a = -a;
	if (!divide_unsigned((uint64_t)(a >> 64), (uint64_t)a, b < 0 ? -(uint64_t)b : (uint64_t)b,
			     &q, &r))
		return false;
	if (q > limit || (q == limit && !opposite))
		return false;
	*quotient = opposite ? -q : q;
	*remainder = negative ? -r : r;
	return true;
}

/* Does a quotient fit into @bytes? */
static bool quotient_fits(uint64_t q, unsigned int bytes, enum sign sign)
{
	unsigned int unused = 64 - 8 * bytes;

	if (sign == SIGNED)
		return (int64_t)(q << unused) >> unused == (int64_t)q;
	return (q & ~width_mask(bytes)) == 0;
}

static int64_t sign_extend(uint64_t v, unsigned int bytes)
{
	unsigned int unused = 64 - 8 * bytes;

	return (int64_t)(v << unused) >> unused;
}

/* The dividend of up to 8 bytes: AX, DX:AX or EDX:EAX. */
static uint64_t narrow_dividend(const struct cpu *cpu, unsigned int bytes)
{
	uint64_t a = cpu->r[GPR_RAX], d = cpu->r[GPR_RDX];

	if (bytes == 1)
		return a & 0xffff;
	return (a & width_mask(bytes)) | (d & width_mask(bytes)) << (8 * bytes);
}

static bool divide(struct cpu *cpu, unsigned int bytes, uint64_t b, enum sign sign)
{
	uint64_t a, q, r;
	bool ok;

	if (bytes == 8) {
		a = cpu->r[GPR_RAX];
		ok = sign == SIGNED ?
		     divide_signed((int64_t)cpu->r[GPR_RDX], a, (int64_t)b, &q, &r) :
		     divide_unsigned(cpu->r[GPR_RDX], a, b, &q, &r);
	} else if (sign == SIGNED) {
		int64_t wide = sign_extend(narrow_dividend(cpu, bytes), 2 * bytes);

		ok = divide_signed(wide < 0 ? -1 : 0, (uint64_t)wide, sign_extend(b, bytes), &q,
				   &r);
	} else {
		ok = divide_unsigned(0, narrow_dividend(cpu, bytes), b, &q, &r);
	}
	if (!ok || !quotient_fits(q, bytes, sign))
		return raise_exception(cpu, EXC_DE);
	set_reg(cpu, GPR_AT(GPR_RAX), bytes, q);
	if (bytes == 1)
		set_reg8(cpu, GPR_AT(GPR_RAX) + 1, (uint8_t)r);
	else
		set_reg(cpu, GPR_AT(GPR_RDX), bytes, r);
	return true;
}

OP(div)
{
	uint64_t b;

	return operand_dst(cpu, op, &b) && divide(cpu, op->size, b, UNSIGNED);
}

OP(idiv)
{
	uint64_t b;

	return operand_dst(cpu, op, &b) && divide(cpu, op->size, b, SIGNED);
}

/* The decimal adjustments.  SDM 2A. */

/* ZF, SF and PF of the result, and of @carries CF and AF. */
static void set_result_flags(struct cpu *cpu, uint8_t al, uint32_t carries)
{
	uint32_t status = carries;

	if (al == 0)
		status |= X86_EFLAGS_ZF;
	if (al & 0x80)
		status |= X86_EFLAGS_SF;
	if (cc_low_parity(al))
		status |= X86_EFLAGS_PF;
	cc_set_status(cpu, status);
}

/* @sign: 1 after an addition, -1 after a subtraction. */
static bool decimal_adjust(struct cpu *cpu, int sign)
{
	uint32_t before = cc_status(cpu);
	uint8_t old = get_reg8(cpu, GPR_AT(GPR_RAX)), al = old;
	bool adjust = (old & 15) > 9 || (before & X86_EFLAGS_AF);
	bool carry = old > 0x99 || (before & X86_EFLAGS_CF);
	uint8_t by = (uint8_t)((adjust ? 6 : 0) + (carry ? 0x60 : 0));

	/* DAS may borrow in its first step, which then counts as carry. */
	if (sign < 0 && adjust && old < 6)
		carry = true;
	al = (uint8_t)(old + sign * by);
	set_reg8(cpu, GPR_AT(GPR_RAX), al);
	set_result_flags(cpu, al, (carry ? X86_EFLAGS_CF : 0) | (adjust ? X86_EFLAGS_AF : 0));
	return true;
}

OP(daa)
{
	return decimal_adjust(cpu, 1);
}

OP(das)
{
	return decimal_adjust(cpu, -1);
}

static bool ascii_adjust(struct cpu *cpu, int sign)
{
	uint16_t ax = get_reg16(cpu, GPR_AT(GPR_RAX));
	bool adjust = (ax & 15) > 9 || (cc_status(cpu) & X86_EFLAGS_AF);

	if (adjust)
		ax = (uint16_t)(ax + sign * 0x106);
	ax &= 0xff0f;
	set_reg16(cpu, GPR_AT(GPR_RAX), ax);
	set_result_flags(cpu, (uint8_t)ax, adjust ? X86_EFLAGS_CF | X86_EFLAGS_AF : 0);
	return true;
}

OP(aaa)
{
	return ascii_adjust(cpu, 1);
}

OP(aas)
{
	return ascii_adjust(cpu, -1);
}

OP(aam)
{
	uint8_t al = get_reg8(cpu, GPR_AT(GPR_RAX)), base = (uint8_t)op->imm;

	if (!base)
		return raise_exception(cpu, EXC_DE);
	set_reg16(cpu, GPR_AT(GPR_RAX), (uint16_t)((al / base) << 8 | al % base));
	set_result_flags(cpu, al % base, 0);
	return true;
}

OP(aad)
{
	uint16_t ax = get_reg16(cpu, GPR_AT(GPR_RAX));
	uint8_t al = (uint8_t)(ax + (ax >> 8) * (uint8_t)op->imm);

	set_reg16(cpu, GPR_AT(GPR_RAX), al);
	set_result_flags(cpu, al, 0);
	return true;
}
