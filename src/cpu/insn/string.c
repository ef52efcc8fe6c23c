/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/string.c - MOVS, CMPS, STOS, LODS, SCAS, with and without REP.
 *
 * Registers are kept up to date with every element, so that an instruction can
 * be left and started again anywhere.  Runs of elements within a page are moved
 * by the host's own string instruction.
 */
#include "cpu/charge.h"
#include "cpu/event/raise.h"
#include "cpu/insn/alu.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/string.h"
#include "cpu/memory/access.h"
#include "cpu/memory/address.h"
#include "cpu/memory/guarded_wide.h"
#include "cpu/memory/mmio.h"
#include "mmu/tlb/request.h"

/* Does one or more elements, at most @max, and returns their number; 0: abandon the
 * instruction. */
typedef uint64_t (*step_fn)(struct cpu *cpu, const struct op *op, uint64_t max);

uint64_t string_count(const struct cpu *cpu, unsigned int address_bytes)
{
	return cpu->r[GPR_RCX] & width_mask(address_bytes);
}

void string_advance(struct cpu *cpu, enum cpu_reg reg, unsigned int address_bytes,
		    unsigned int size, uint64_t elements)
{
	uint64_t by = elements * size;

	set_reg(cpu, GPR_AT(reg), address_bytes,
		cpu->rflags & X86_EFLAGS_DF ? cpu->r[reg] - by : cpu->r[reg] + by);
}

static bool address(struct cpu *cpu, const struct op *op, enum cpu_seg seg, enum cpu_reg reg,
		    enum access access, uint64_t *linear)
{
	return address_linear(cpu, seg, cpu->r[reg] & width_mask(op->address_bytes), op->size,
			      access, linear);
}

static void advance(struct cpu *cpu, const struct op *op, enum cpu_reg reg, uint64_t elements)
{
	string_advance(cpu, reg, op->address_bytes, op->size, elements);
}

/* Elements from @linear upwards to the end of the page. */
static uint64_t in_page(const struct op *op, uint64_t linear)
{
	return (PAGE_SIZE - (linear & PAGE_OFFSET_MASK)) / op->size;
}

/* Runs are for where no limit can lie within them. */
static bool may_run(const struct cpu *cpu, uint64_t max)
{
	return max > 1 && (cpu->mode & MODE_FLAT) &&
	       !(cpu->rflags & (X86_EFLAGS_DF | X86_EFLAGS_TF));
}

static bool segment_may_run(const struct cpu *cpu, enum cpu_seg seg)
{
	return mode_is_64bit(cpu) || seg <= SEG_DS;
}

/* The host stores a run by cache lines, */
static uint64_t run_charge(const struct op *op, uint64_t elements)
{
	return elements * op->size / CACHE_LINE;
}

/* unless it overlaps itself: then one element after the other. */
static bool overlaps(const void *dst, const void *src)
{
	return (uintptr_t)dst - (uintptr_t)src < 64;
}

static uint64_t step_movs(struct cpu *cpu, const struct op *op, uint64_t max)
{
	uint64_t from, to, v, n;
	struct host_at src, dst;

	if (!address(cpu, op, op->seg, GPR_RSI, ACCESS_READ, &from) ||
	    !address(cpu, op, SEG_ES, GPR_RDI, ACCESS_WRITE, &to))
		return 0;
	n = MIN(max, MIN(in_page(op, from), in_page(op, to)));
	if (n > 1 && may_run(cpu, max) && segment_may_run(cpu, op->seg)) {
		src = find_hit(cpu, from, op->size, ACCESS_READ);
		dst = find_hit(cpu, to, op->size, ACCESS_WRITE);
		if (src.host && dst.host) {
			/* The older epoch covers both. */
			n -= run_movs(cpu, src.epoch, dst.host, src.host, op->size, n);
			charge(cpu, overlaps(dst.host, src.host) ? n : run_charge(op, n));
			if (n)
				goto moved;
		}
	}
	n = 1;
	if (!mem_read(cpu, op->seg, from, op->size, &v) ||
	    !mem_write(cpu, SEG_ES, to, op->size, v))
		return 0;
moved:
	advance(cpu, op, GPR_RSI, n);
	advance(cpu, op, GPR_RDI, n);
	return n;
}

static uint64_t step_stos(struct cpu *cpu, const struct op *op, uint64_t max)
{
	uint64_t to, n;
	struct host_at dst;

	if (!address(cpu, op, SEG_ES, GPR_RDI, ACCESS_WRITE, &to))
		return 0;
	n = MIN(max, in_page(op, to));
	if (n > 1 && may_run(cpu, max)) {
		dst = find_hit(cpu, to, op->size, ACCESS_WRITE);
		if (dst.host) {
			n -= run_stos(cpu, dst, cpu->r[GPR_RAX], op->size, n);
			charge(cpu, run_charge(op, n));
			if (n)
				goto stored;
		}
	}
	n = 1;
	if (!mem_write(cpu, SEG_ES, to, op->size, cpu->r[GPR_RAX]))
		return 0;
stored:
	advance(cpu, op, GPR_RDI, n);
	return n;
}

static uint64_t step_lods(struct cpu *cpu, const struct op *op, uint64_t max UNUSED)
{
	uint64_t from, v;

	if (!address(cpu, op, op->seg, GPR_RSI, ACCESS_READ, &from) ||
	    !mem_read(cpu, op->seg, from, op->size, &v))
		return 0;
	set_reg(cpu, GPR_AT(GPR_RAX), op->size, v);
	advance(cpu, op, GPR_RSI, 1);
	return 1;
}

static void compare_elements(struct cpu *cpu, unsigned int size, uint64_t a, uint64_t b)
{
	unsigned int unused = 64 - 8 * size;

	cpu->cc_op = CC_OP(CC_SUB, (uint32_t)__builtin_ctz(size));
	cpu->cc_dst = (uint64_t)((int64_t)(a << unused) >> unused);
	cpu->cc_src = (uint64_t)((int64_t)(b << unused) >> unused);
}

static uint64_t step_cmps(struct cpu *cpu, const struct op *op, uint64_t max UNUSED)
{
	uint64_t from, to, a, b;

	if (!address(cpu, op, op->seg, GPR_RSI, ACCESS_READ, &from) ||
	    !address(cpu, op, SEG_ES, GPR_RDI, ACCESS_READ, &to) ||
	    !mem_read(cpu, op->seg, from, op->size, &a) || !mem_read(cpu, SEG_ES, to, op->size, &b))
		return 0;
	compare_elements(cpu, op->size, a, b);
	advance(cpu, op, GPR_RSI, 1);
	advance(cpu, op, GPR_RDI, 1);
	return 1;
}

static uint64_t step_scas(struct cpu *cpu, const struct op *op, uint64_t max UNUSED)
{
	uint64_t to, b;

	if (!address(cpu, op, SEG_ES, GPR_RDI, ACCESS_READ, &to) ||
	    !mem_read(cpu, SEG_ES, to, op->size, &b))
		return 0;
	compare_elements(cpu, op->size, get_reg(cpu, GPR_AT(GPR_RAX), op->size), b);
	advance(cpu, op, GPR_RDI, 1);
	return 1;
}

enum progress { DONE, ABANDONED, PAUSED };

static bool must_pause(struct cpu *cpu)
{
	return cpu->stop || budget_is_spent(cpu) || request_pending(&cpu->mmu) ||
	       (cpu->rflags & X86_EFLAGS_TF);
}

/* @compares: REPE and REPNE also look at ZF. */
static ALWAYS_INLINE enum progress repeat(struct cpu *cpu, const struct op *op, step_fn step,
					  bool compares)
{
	uint64_t count, n;

	if (!(op->flags & (OP_REP | OP_REPNE))) {
		charge(cpu, CHARGE_ELEMENT);
		return step(cpu, op, 1) ? DONE : ABANDONED;
	}
	while ((count = string_count(cpu, op->address_bytes))) {
		n = step(cpu, op, count);
		if (!n)
			return ABANDONED;
		set_reg(cpu, GPR_AT(GPR_RCX), op->address_bytes, count - n);
		mmio_end_instruction(cpu);
		charge(cpu, CHARGE_ELEMENT);
		if (compares && cc_test(cpu, COND_E << 1) != !!(op->flags & OP_REP))
			return DONE;
		if (count != n && must_pause(cpu))
			return PAUSED;
	}
	return DONE;
}

#define DEFINE_STRING(name, compares)                                                  \
	static NOINLINE enum progress exec_##name(struct cpu *cpu, const struct op *op) \
	{                                                                              \
		return repeat(cpu, op, step_##name, compares);                         \
	}                                                                              \
	static void string_##name(struct cpu *cpu, const struct op *op)                \
	{                                                                              \
		switch (exec_##name(cpu, op)) {                                        \
		case ABANDONED:                                                        \
			TAIL_CALL(op_abandon(cpu, op));                                \
		case PAUSED:                                                           \
			TAIL_CALL(op_suspend(cpu, op));                                  \
		case DONE:                                                             \
			break;                                                         \
		}                                                                      \
		NEXT_OP_UNLESS_STOPPED(cpu, op);                                       \
	}

STRINGS(DEFINE_STRING)

op_fn pick_string(const struct insn *insn, struct op *op, unsigned int which)
{
	static const op_fn fns[] = {
#define STRING_ENTRY(name, compares) [PICK_string_##name] = string_##name,
		STRINGS(STRING_ENTRY)
	};

	string_prepare(insn, op);
	return fns[which];
}

/* The operands are not written in the instruction: size and segment follow from
 * those that Zydis adds. */
void string_prepare(const struct insn *insn, struct op *op)
{
	op->seg = SEG_DS;
	for (unsigned int i = 0; i < insn->info.operand_count; i++) {
		const ZydisDecodedOperand *o = &insn->operands[i];

		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		op->size = (uint8_t)(o->size / 8);
		if (o->mem.base == ZYDIS_REGISTER_SI || o->mem.base == ZYDIS_REGISTER_ESI ||
		    o->mem.base == ZYDIS_REGISTER_RSI)
			op->seg = decode_segment(o->mem.segment);
	}
}
