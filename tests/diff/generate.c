/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/generate.c - random instructions, as bytes.
 *
 * opcodes.c says what follows each opcode; operands are random, but memory
 * operands mostly use registers that begin as pointers into the data.
 */
#include <string.h>

#include "cpu/cpu.h"
#include "diff.h"
#include "effects.h"
#include "opcodes.h"

#define STATUS X86_EFLAGS_STATUS

uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(rng_next(r) >> 32) % n;
}

static bool chance(struct rng *r, uint32_t percent)
{
	return rng_below(r, 100) < percent;
}

/* Where bytes go. */
struct out {
	uint8_t *at, *end;
	bool full;
};

static void put(struct out *o, unsigned int byte)
{
	if (o->at == o->end)
		o->full = true;
	else
		*o->at++ = (uint8_t)byte;
}

static void put_n(struct out *o, uint64_t v, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		put(o, (unsigned int)(v >> (8 * i)));
}

static uint64_t interesting(struct rng *r)
{
	static const uint64_t values[] = {
		0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff,
		0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull,
		~0ull - 1, 0x0123456789abcdef, 0xfffffffffffffff8,
	};

	switch (rng_below(r, 4)) {
	case 0:
		return values[rng_below(r, sizeof(values) / sizeof(*values))];
	case 1:
		return rng_below(r, 64);
	case 2:
		return (uint64_t)(int64_t)(int32_t)rng_next(r);
	default:
		return rng_next(r);
	}
}

/* An address in the data: mostly inside, often near where pages meet. */
static uint64_t pointer(struct rng *r)
{
	uint64_t at;

	switch (rng_below(r, 8)) {
	case 0:
		at = 0x1000 - rng_below(r, 24);
		break;
	case 1:
		at = 0x2000 - rng_below(r, 24);
		break;
	case 2:
		at = DATA_BYTES - rng_below(r, 24);
		break;
	default:
		at = rng_below(r, DATA_WRITABLE);
	}
	if (chance(r, 60))
		at &= ~15ull;
	return DATA_AT + at;
}

/* Registers that begin as pointers: RBX, RSP, RBP, RSI, RDI and two of the new. */
static bool is_pointer(unsigned int reg)
{
	return (0xcf8 >> reg) & 1;
}

static unsigned int pick_base(struct rng *r, bool is_32bit)
{
	static const uint8_t pointers[] = { 3, 5, 6, 7, 4, 10, 11 };

	if (chance(r, 4))
		return rng_below(r, is_32bit ? 8 : 16);
	return pointers[rng_below(r, is_32bit ? 5 : 7)];
}

/* Parts of an instruction that depend on each other. */
struct shape {
	const struct opcode *op;
	bool is_32bit, w, narrow, memory, address32;
	unsigned int rex;		/* R, X, B */
	unsigned int vvvv;
	bool l256;
	unsigned int modrm, sib;
	bool has_sib;
	unsigned int disp_bytes;
	int64_t disp;
	bool rip_relative;
};

static int32_t small_disp(struct rng *r, const struct opcode *op)
{
	int32_t d = (int32_t)rng_below(r, 128) - 64;

	return op->how & ALIGNED && chance(r, 80) ? d & ~15 : d;
}

static void shape_memory(struct shape *s, struct rng *r)
{
	unsigned int base = pick_base(r, s->is_32bit), index = 4, scale = 0;

	s->disp = small_disp(r, s->op);
	s->disp_bytes = chance(r, 50) ? 1 : 4;
	if (chance(r, 10)) {
		/* rip-relative, or absolute in 32-bit code */
		s->modrm |= 5;
		s->disp_bytes = 4;
		s->rip_relative = !s->is_32bit;
		s->disp = (int64_t)pointer(r);
		return;
	}
	if (!s->disp && (base & 7) != 5)
		s->disp_bytes = 0;
	s->modrm |= s->disp_bytes == 0 ? 0 : s->disp_bytes == 1 ? 0x40 : 0x80;
	if (chance(r, 15)) {
		index = rng_below(r, s->is_32bit ? 8 : 16);
		scale = rng_below(r, 4);
	}
	if ((base & 7) == 4 || index != 4) {
		s->has_sib = true;
		s->modrm |= 4;
		s->sib = scale << 6 | (index & 7) << 3 | (base & 7);
		s->rex |= (index >> 3) << 1 | base >> 3;
	} else {
		s->modrm |= base & 7;
		s->rex |= base >> 3;
	}
}

static void shape_modrm(struct shape *s, struct rng *r)
{
	unsigned int registers = s->is_32bit ? 8 : 16;
	unsigned int reg = s->op->reg >= 0 ? (unsigned int)s->op->reg : rng_below(r, registers);
	unsigned int rm;

	s->modrm = (reg & 7) << 3;
	s->rex = (reg >> 3) << 2;
	s->memory = s->op->how & MEM_ONLY || (!(s->op->how & REG_ONLY) && chance(r, 55));
	if (s->memory) {
		shape_memory(s, r);
		return;
	}
	rm = rng_below(r, registers);
	s->modrm |= 0xc0 | (rm & 7);
	s->rex |= rm >> 3;
}

/* Of two bytes or three. */
static void put_vex(struct out *o, struct rng *r, const struct shape *s)
{
	unsigned int pp = s->op->prefix == 0x66 ? 1 : s->op->prefix == 0xf3 ? 2 :
			  s->op->prefix == 0xf2 ? 3 : 0;
	unsigned int last = (~s->vvvv & 15) << 3 | (s->l256 ? 4 : 0) | pp;

	if (s->op->map == 1 && !s->w && !(s->rex & 3) && chance(r, 50)) {
		put(o, 0xc5);
		put(o, (~s->rex & 4) << 5 | last);
		return;
	}
	put(o, 0xc4);
	put(o, (~s->rex & 7) << 5 | s->op->map);
	put(o, (s->w ? 0x80 : 0) | last);
}

static void put_prefixes(struct out *o, struct rng *r, const struct shape *s)
{
	static const uint8_t segments[] = { 0x26, 0x2e, 0x36, 0x3e };
	const struct opcode *op = s->op;
	unsigned int rex = s->rex | (s->w ? 8 : 0);

	if (s->memory && chance(r, 3) && !(s->is_32bit && op->how & LOCKABLE))
		put(o, s->is_32bit ? 0x3e : segments[rng_below(r, 4)]);
	if (s->address32)
		put(o, 0x67);
	if (s->narrow)
		put(o, 0x66);
	if (op->how & LOCKABLE && s->memory && chance(r, 30))
		put(o, 0xf0);
	if (op->how & REPEATS && chance(r, 50))
		put(o, chance(r, 50) ? 0xf3 : 0xf2);
	if (op->how & VEX) {
		put_vex(o, r, s);
		return;
	}
	if (op->prefix)
		put(o, op->prefix);
	if (!s->is_32bit && (rex || chance(r, 15)))
		put(o, 0x40 | rex);
}

static void put_opcode(struct out *o, const struct opcode *op)
{
	if (op->how & VEX) {
		put(o, op->byte);
		return;
	}
	if (op->map)
		put(o, 0x0f);
	if (op->map == 2)
		put(o, 0x38);
	if (op->map == 3)
		put(o, 0x3a);
	put(o, op->byte);
}

static unsigned int immediate_bytes(const struct shape *s)
{
	if (s->op->how & IMM8)
		return 1;
	if (s->op->how & IMMV && s->w)
		return 8;
	if (s->op->how & (IMMZ | IMMV))
		return s->narrow ? 2 : 4;
	return 0;
}

static void shape_vex(struct shape *s, struct rng *r)
{
	uint64_t how = s->op->how;

	s->w = how & ONLY_W1 || (how & ONLY_W && !s->is_32bit && chance(r, 40));
	s->l256 = how & ONLY_L256 || (how & L256 && chance(r, 60));
	if (how & NDS)
		s->vvvv = rng_below(r, s->is_32bit ? 8 : 16);
}

static void put_instruction(struct out *o, struct rng *r, const struct opcode *op, bool is_32bit,
			    const uint8_t *page)
{
	struct shape s = { .op = op, .is_32bit = is_32bit };
	unsigned int immediate;

	if (op->how & (WIDE | ONLY_W) && !is_32bit)
		s.w = chance(r, 40);
	if (op->how & (WIDE | STACK) && !s.w)
		s.narrow = chance(r, 15);
	if (op->how & VEX)
		shape_vex(&s, r);
	if (op->how & MODRM)
		shape_modrm(&s, r);
	else if (!is_32bit && (op->byte & 0xf0) >= 0x40 && op->map == 0 && !(op->how & REPEATS))
		s.rex = chance(r, 30) && (op->how & (STACK | IMMV)) ? 1 : 0;
	if (s.memory && !is_32bit)
		s.address32 = chance(r, 5);
	put_prefixes(o, r, &s);
	put_opcode(o, op);
	if (op->how & MODRM)
		put(o, s.modrm);
	if (s.has_sib)
		put(o, s.sib);
	immediate = immediate_bytes(&s);
	if (s.rip_relative)
		s.disp -= (int64_t)(CODE_AT + (uint64_t)(o->at - page) + 4 + immediate);
	put_n(o, (uint64_t)s.disp, s.disp_bytes);
	put_n(o, interesting(r), immediate);
}

/* What put_preparation() or put_guard() would have to follow is not leapt over. */
static bool stands_alone(const struct opcode *op, bool is_32bit)
{
	if (op->how & (BRANCH8 | BRANCH32 | (is_32bit ? ONLY64 : ONLY32)))
		return false;
	if (op->map == 1)
		return op->byte != 0xf7 && (op->prefix || (op->byte & 0xfe) != 0xbc);
	return op->map != 0 || (op->byte != 0x61 && (op->byte & 0xfe) != 0xa6);
}

/* A branch and what it may leap over. */
static void put_branch(struct out *o, struct rng *r, const struct opcode *op, bool is_32bit,
		       const uint8_t *page)
{
	unsigned int bytes = op->how & BRANCH8 ? 1 : 4;
	const struct opcode *next;
	uint8_t *at;

	put_opcode(o, op);
	at = o->at;
	put_n(o, 0, bytes);
	do
		next = opcode_pick(r);
	while (!stands_alone(next, is_32bit));
	put_instruction(o, r, next, is_32bit, page);
	if (!o->full)
		*at = (uint8_t)(o->at - at - bytes);
}

/* Often an instruction needs something first to be more than a fault. */
static void put_preparation(struct out *o, struct rng *r, const struct opcode *op)
{
	/* Which operand of CMPS faults first, if both do, is undefined. */
	if (op->how & REPEATS && (chance(r, 80) || (op->byte & 0xfe) == 0xa6)) {
		put(o, 0xb9);		/* mov $n, %ecx */
		put_n(o, rng_below(r, 300), 4);
		put(o, 0xbe);		/* mov $p, %esi */
		put_n(o, pointer(r), 4);
		put(o, 0xbf);		/* mov $p, %edi */
		put_n(o, pointer(r), 4);
	}
	if (op->byte >= 0xf6 && op->byte <= 0xf7 && op->map == 0 && op->reg >= 6 && chance(r, 70)) {
		put(o, 0xba);		/* mov $n, %edx */
		put_n(o, chance(r, 70) ? 0 : 0xffffffff, 4);
	}
	/* A POPA that faults has loaded some registers on some processors. */
	if (op->byte == 0x61 && op->how & STACK) {
		put(o, 0xbc);		/* mov $p, %esp */
		put_n(o, DATA_AT + rng_below(r, DATA_WRITABLE), 4);
	} else if (op->how & STACK && chance(r, 30)) {
		put(o, 0xbc);
		put_n(o, pointer(r), 4);
	}
	/* Where a MASKMOVDQU faults, and whether it does if the mask is zero, is up to
	 * the processor: it does not. */
	if (op->byte == 0xf7 && op->map == 1) {
		put(o, 0xbf);		/* mov $p, %edi */
		put_n(o, DATA_AT + rng_below(r, DATA_WRITABLE - 15), 4);
	}
}

/* movl $0, n(%rbx) */
static void put_clear(struct out *o, unsigned int at)
{
	put(o, 0xc7);
	put(o, 0x43);
	put(o, at);
	put_n(o, 0, 4);
}

/* What needs its operands to be just so: @at is where it will be. */
static void put_special(struct out *o, struct rng *r, bool is_32bit, uint64_t at)
{
	uint8_t *begin = o->at;

	switch (rng_below(r, is_32bit ? 7 : 6)) {
	case 0:
		put(o, 0x68);		/* push $behind; ret */
		put_n(o, at + 6, 4);
		put(o, 0xc3);
		break;
	case 1:
		put(o, 0x68);		/* push $behind; ret $n */
		put_n(o, at + 8, 4);
		put(o, 0xc2);
		put_n(o, rng_below(r, 64), 2);
		break;
	case 2:
		put(o, 0xb8);		/* mov $behind, %eax; call or jmp *%rax */
		put_n(o, at + 7, 4);
		put(o, 0xff);
		put(o, chance(r, 50) ? 0xd0 : 0xe0);
		break;
	case 3:
		put(o, 0x68);		/* push $flags; popf: not TF, AC */
		put_n(o, rng_next(r) & (STATUS | X86_EFLAGS_DF | X86_EFLAGS_IOPL), 4);
		if (chance(r, 20))
			put(o, 0x66);
		put(o, 0x9d);
		break;
	case 4:
		put(o, 0xc8);		/* enter */
		put_n(o, rng_below(r, 256), 2);
		put(o, chance(r, 60) ? 0 : rng_below(r, 32));
		break;
	case 6:
		/* Which of its two bounds is read first is open. */
		put(o, 0xbb);		/* mov $p, %ebx; bound %reg, (%ebx) */
		put_n(o, DATA_AT + 16 * rng_below(r, 128), 4);
		if (chance(r, 15))
			put(o, 0x66);
		put(o, 0x62);
		put(o, rng_below(r, 8) << 3 | 3);
		break;
	default:
		if (!is_32bit && chance(r, 50)) {
			put(o, 0x48);	/* movabs %rax or %al, moffs */
			put(o, 0xa0 + rng_below(r, 4));
			put_n(o, pointer(r), 8);
		} else {
			put(o, 0xbb);	/* mov $p, %ebx; fxsave or stmxcsr */
			put_n(o, DATA_AT + 16 * rng_below(r, 128), 4);
			put(o, 0x0f);
			put(o, 0xae);
			if (chance(r, 50)) {
				put(o, 0x1b);
				break;
			}
			put(o, 0x03);
			/* FOP and the pointers. */
			for (unsigned int field = 6; field < 22; field += 4)
				put_clear(o, field);
			put_clear(o, 20);
		}
	}
	if (o->full)
		o->at = begin;
}

/* All elements of a gather are in the data: of which it gathers one that lies behind one that is
 * not is up to the processor. */
static void put_gather(struct out *o, struct rng *r)
{
	bool wide = chance(r, 60), by_quad = chance(r, 50), w = chance(r, 50);
	unsigned int registers = rng_below(r, 6);
	uint8_t *begin = o->at;

	put(o, 0xbb);			/* mov $p, %ebx */
	put_n(o, DATA_AT + rng_below(r, 64), 4);
	put(o, 0xc5);			/* vpsrld $22, or vpsrlq $54, %ymm7, %ymm7 */
	put(o, 0xc5);
	put(o, by_quad ? 0x73 : 0x72);
	put(o, 0xd7);
	put(o, by_quad ? 54 : 22);
	put(o, 0xc4);			/* into registers 0 to 5, by the mask of the next */
	put(o, 0xe2);
	put(o, (w ? 0x80 : 0) | (~(registers + 1) & 15) << 3 | (wide ? 4 : 0) | 1);
	put(o, (chance(r, 50) ? 0x90 : 0x92) | by_quad);
	put(o, 0x44 | registers << 3);
	put(o, rng_below(r, 4) << 6 | 7 << 3 | 3);
	put(o, rng_below(r, 64));
	if (o->full)
		o->at = begin;
}

/* What saves pointers, which differ between processors: they are cleared in memory behind it;
 * what loads them; and stores of ten bytes, of which some processors make the first eight
 * before they fault on the others. */
static void put_x87_special(struct out *o, struct rng *r)
{
	static const uint8_t insns[][2] = {
		{ 0xd9, 0x33 }, { 0xdd, 0x33 }, { 0xd9, 0x23 }, { 0xdd, 0x23 }, { 0xdb, 0xe3 },
		{ 0xdb, 0xe2 }, { 0xdb, 0x3b }, { 0xdf, 0x33 }, { 0xdb, 0x3b },
	};
	unsigned int which = rng_below(r, 9);
	bool narrow = chance(r, 30);

	put(o, 0xbb);			/* mov $p, %ebx */
	put_n(o, DATA_AT + rng_below(r, DATA_WRITABLE - 108), 4);
	if (narrow)
		put(o, 0x66);
	put(o, insns[which][0]);
	put(o, insns[which][1]);
	if (which < 2)
		for (unsigned int at = narrow ? 6 : 12; at < (narrow ? 14 : 28); at += 4)
			put_clear(o, at);
}

/* A number of 80 bits, mostly one that instructions like. */
static void generate_float(uint8_t st[16], struct rng *r)
{
	uint64_t mantissa = chance(r, 30) ? rng_next(r) & ~0ull << rng_below(r, 64) : rng_next(r);
	uint16_t exponent = (uint16_t)(16383 + (int)rng_below(r, 129) - 64);

	switch (rng_below(r, 10)) {
	case 0:
		exponent = (uint16_t)rng_next(r) & 0x7fff;
		break;
	case 1:
		exponent = chance(r, 50) ? 0x7fff : 0;
		break;
	case 2:
		exponent = chance(r, 50) ? 1 : 0x7ffe;
		break;
	default:
		break;
	}
	if (chance(r, 10))
		mantissa = 0;
	if (exponent && !chance(r, 4))
		mantissa |= 1ull << 63;
	if (chance(r, 40))
		exponent |= 0x8000;
	memset(st, 0, 16);
	memcpy(st, &mantissa, 8);
	memcpy(st + 8, &exponent, 2);
}

static void generate_x87(struct diff_x87 *x, bool used, struct rng *r)
{
	x->fcw = 0x37f;
	if (!used)
		return;
	if (chance(r, 50))
		x->fcw = (uint16_t)((rng_next(r) & 0xf00) | 0x7f);
	if (chance(r, 25))
		x->fcw &= (uint16_t)(rng_next(r) | 0xffc0);
	x->fsw = (uint16_t)(rng_next(r) & 0x7f00);
	if (chance(r, 30))
		x->fsw |= (uint16_t)(rng_next(r) & 0x7f);
	/* An exception waits, if at all, as hardware would have it. */
	if (!chance(r, 10))
		x->fsw &= (uint16_t)(x->fcw | 0xffc0);
	if (x->fsw & ~x->fcw & 0x3f)
		x->fsw |= 0x8080;
	x->ftw = chance(r, 50) ? 0xff : (uint8_t)(rng_next(r) | rng_next(r));
	for (unsigned int i = 0; i < 8; i++)
		generate_float(x->st[i], r);
}

/* Mostly in use. */
static void generate_high_half(uint8_t high[16], struct rng *r)
{
	bool used = chance(r, 80);

	for (unsigned int at = 0; at < 16; at += 8) {
		uint64_t v = used ? rng_next(r) : 0;

		/* Numbers that add up without exceptions, too. */
		if (used && chance(r, 30))
			v = (v & 0x000fffff000fffff) | 0x3ff0000040000000;
		memcpy(high + at, &v, 8);
	}
}

static void generate_state(struct diff_case *c, struct rng *r)
{
	struct diff_state *s = &c->in;
	const uint32_t flags = STATUS | X86_EFLAGS_DF;

	for (unsigned int i = 0; i < 16; i++) {
		s->gpr[i] = is_pointer(i) ? pointer(r) : interesting(r);
		if (c->is_32bit)
			s->gpr[i] = i < 8 ? (uint32_t)s->gpr[i] : 0;
	}
	s->rip = CODE_AT + c->offset;
	s->rflags = (rng_next(r) & (chance(r, 10) ? flags : STATUS)) | X86_EFLAGS_FIXED;
	for (unsigned int i = 0; i < 16; i++) {
		static const uint64_t doubles[] = {
			0, 0x8000000000000000, 0x3ff0000000000000, 0x7ff0000000000000,
			0x7ff8000000000001, 0x7ff0000000000001, 0x0000000000000001,
			0x3f8000007f800000, 0x7fc000017f800001, 0x0000000180000000,
			0x4340000000000001, 0xc1e0000000000000, 0x4f0000004f800000,
		};

		for (unsigned int half = 0; half < 2; half++) {
			uint64_t v = chance(r, 50) ? rng_next(r) : doubles[rng_below(r, 13)];

			memcpy(&s->xmm[i][8 * half], &v, 8);
		}
		if (c->is_32bit && i >= 8)
			memset(s->xmm[i], 0, 16);
		else if (opcode_host_has(AVX))
			generate_high_half(s->ymm_high[i], r);
	}
	s->mxcsr = 0x1f80;
	if (chance(r, 30))
		s->mxcsr |= (uint32_t)rng_next(r) & 0xe07f;
	/* Overflow and underflow, if they are not masked, are other conditions
	 * than if they are: Umbra does not know that. */
	if (chance(r, 10))
		s->mxcsr ^= (uint32_t)rng_next(r) & 0x1380;
	generate_x87(&s->x87, c->floats, r);
	for (unsigned int i = 0; i < DATA_BYTES; i += 8) {
		uint64_t v = rng_next(r);

		memcpy(s->data + i, &v, 8);
	}
}

/*
 * What is undefined where: what @c has got since @begin is looked at one instruction
 * at a time.  A branch may leap to the end of it.  False: something there goes by
 * what is undefined by then, or comes to it.
 */
static bool track(struct diff_case *c, const struct out *o, const uint8_t *begin,
		  uint32_t *undefined)
{
	uint32_t now = *undefined, at_leaps = 0;
	struct effects e;

	for (const uint8_t *at = begin; at < o->at; at += e.bytes) {
		e = effects_of(c->is_32bit, at, (size_t)(o->at - at));
		e.bytes = e.bytes ? e.bytes : 1;
		if (e.reads & now || e.result_open)
			return false;
		c->undefined[at - c->code] = (uint16_t)(now | (e.fault_flags_open ? STATUS : 0));
		at_leaps |= now;
		now = (now & ~e.defines) | e.undefined;
	}
	*undefined = now | at_leaps;
	return true;
}

/* Behind a BSF or BSR: cmovz with another register, a pointer too. */
static void put_guard(struct diff_case *c, struct out *o, const uint8_t *insn)
{
	struct effects e = effects_of(c->is_32bit, insn, (size_t)(o->at - insn));
	unsigned int reg = (unsigned int)e.open_if_zf;

	if (e.open_if_zf < 0)
		return;
	if (!c->is_32bit)
		put(o, 0x48 | (reg >> 3) << 2);
	put(o, 0x0f);
	put(o, 0x44);
	put(o, 0xc0 | (reg & 7) << 3 | (reg == 4 ? 5 : 4));
}

static void put_step(struct diff_case *c, struct out *o, struct rng *r, const struct opcode *op)
{
	/* The page begins this many bytes before the code. */
	const uint8_t *page = c->code - c->offset, *insn;

	if (c->floats && chance(r, 6)) {
		put_x87_special(o, r);
		return;
	}
	if (opcode_host_has(AVX2) && chance(r, 2)) {
		put_gather(o, r);
		return;
	}
	if (chance(r, 4)) {
		put_special(o, r, c->is_32bit, c->in.rip + (uint64_t)(o->at - c->code));
		return;
	}
	put_preparation(o, r, op);
	insn = o->at;
	if (op->how & (BRANCH8 | BRANCH32)) {
		put_branch(o, r, op, c->is_32bit, page);
		return;
	}
	put_instruction(o, r, op, c->is_32bit, page);
	if (!o->full)
		put_guard(c, o, insn);
}

/* One that goes by a flag which is undefined comes again behind an ADD that defines
 * all of them; one whose result is undefined does not come. */
static void add_step(struct diff_case *c, struct out *o, struct rng *r, uint32_t *undefined)
{
	uint8_t *begin = o->at, *step;
	const struct opcode *op;
	struct rng again;

	do
		op = opcode_pick(r);
	while ((c->floats && !(op->how & X87) && chance(r, 90)) ||
	       op->how & (c->is_32bit ? ONLY64 : ONLY32) || (op->how & RARE && chance(r, 80)));
	again = *r;
	put_step(c, o, r, op);
	if (o->full || track(c, o, begin, undefined))
		return;

	o->at = begin;
	*r = again;
	put_n(o, 0x0004, 2);		/* add $0, %al */
	step = o->at;
	put_step(c, o, r, op);
	c->undefined[begin - c->code] = (uint16_t)*undefined;
	if (o->full)
		return;
	*undefined = 0;
	if (!track(c, o, step, undefined))
		o->at = step;
}

void generate_case(struct diff_case *c, struct rng *r, unsigned int insns)
{
	struct out o = { .at = c->code, .end = c->code + sizeof(c->code) - 1 };
	uint32_t undefined = 0;
	uint8_t *before;

	memset(c, 0, sizeof(*c));
	c->is_32bit = chance(r, 30);
	c->floats = chance(r, 25);
	c->offset = chance(r, 5) ? CODE_BYTES - 256 : rng_below(r, 64);
	generate_state(c, r);
	while (insns-- && !o.full) {
		before = o.at;
		add_step(c, &o, r, &undefined);
		if (o.full)
			o.at = before;
	}
	/* Behind the INT3 too, where it says it was. */
	c->undefined[o.at - c->code] = (uint16_t)undefined;
	c->undefined[o.at + 1 - c->code] = (uint16_t)undefined;
	*o.at++ = 0xcc;
	c->bytes = (unsigned int)(o.at - c->code);
}
