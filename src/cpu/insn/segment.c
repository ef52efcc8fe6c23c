/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/segment.c - segment registers and descriptor tables: loads, stores, questions.
 */
#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/memory/access.h"
#include "cpu/memory/stack.h"
#include "cpu/state/flags.h"
#include "cpu/state/segment.h"

/* MOV and POP. */
static bool load_segment(struct cpu *cpu, enum cpu_seg seg, uint64_t selector)
{
	if (!segment_load(cpu, seg, (uint16_t)selector))
		return false;
	/* Interrupts and #DB wait for the instruction that loads the stack pointer. */
	if (seg == SEG_SS) {
		cpu->interrupt_shadow |= SHADOW_MOV_SS;
		cpu->stop = true;
	}
	return true;
}

OP_END(mov_to_segment)
{
	uint64_t selector;

	return operand_src_sized(cpu, op, 2, &selector) && load_segment(cpu, op->dst, selector);
}

OP(mov_from_segment)
{
	uint16_t selector = cpu->segs[op->src].selector;

	if (op->flags & OP_MEM_DST)
		return mem_write(cpu, op->seg, op_ea(cpu, op), 2, selector);
	set_reg(cpu, op->dst, op->size, selector);
	return true;
}

OP(push_segment)
{
	uint64_t sp = stack_pointer(cpu);

	if (!stack_push(cpu, &sp, cpu->segs[op->dst].selector, op->size))
		return false;
	stack_commit(cpu, sp);
	return true;
}

OP_END(pop_segment)
{
	uint64_t sp = stack_pointer(cpu), selector;
	uint32_t narrow = mode_stack_bytes(cpu);

	if (!stack_peek(cpu, sp, &selector, op->size) || !load_segment(cpu, op->dst, selector))
		return false;
	/* By the width of the stack that it was popped from. */
	set_reg(cpu, GPR_AT(GPR_RSP), narrow, (sp + op->size) & width_mask(narrow));
	return true;
}

/* LDS and its kind: imm is the segment register. */
OP_END(load_far_pointer)
{
	uint64_t ea = op_ea(cpu, op), offset, selector;

	if (!mem_read(cpu, op->seg, ea, op->size, &offset) ||
	    !mem_read(cpu, op->seg, (ea + op->size) & cpu->ea_mask, 2, &selector) ||
	    !segment_load(cpu, (enum cpu_seg)op->imm, (uint16_t)selector))
		return false;
	set_reg(cpu, op->dst, op->size, offset);
	return true;
}

op_fn pick_load_far_pointer(const struct insn *insn UNUSED, struct op *op, unsigned int seg)
{
	op->imm = seg;
	return op_load_far_pointer;
}

static bool may_be_loaded(const struct cpu *cpu, enum cpu_seg seg, const struct segment *s)
{
	if (s->s)
		return false;
	if (seg == SEG_LDTR)
		return s->type == SYS_LDT;
	return s->type == SYS_TSS || (s->type == SYS_TSS_16 && !cpu_is_long_mode(cpu));
}

/* LLDT, LTR: a system segment. */
static bool load_system(struct cpu *cpu, enum cpu_seg seg, uint16_t selector)
{
	struct descriptor d;
	uint8_t busy;

	if (selector_is_null(selector)) {
		if (seg == SEG_TR)
			return raise_gp(cpu, 0);
		cpu->segs[seg] = (struct segment){ .selector = selector, .unusable = true };
		return true;
	}
	if (selector & SELECTOR_TI)
		return raise_gp(cpu, selector_code(selector));
	if (!descriptor_read(cpu, selector, EXC_GP, &d))
		return false;
	if (!may_be_loaded(cpu, seg, &d.s))
		return raise_gp(cpu, selector_code(selector));
	if (!d.s.present)
		return raise_with_code(cpu, EXC_NP, selector_code(selector));
	if (cpu_is_long_mode(cpu)) {
		if (!descriptor_read_upper(cpu, &d, selector))
			return false;
		if (!is_canonical_to_keep(cpu, d.s.base))
			return raise_gp(cpu, selector_code(selector));
	}
	if (seg == SEG_TR) {
		busy = (uint8_t)(d.raw >> 40) | 2;
		if (!sys_store(cpu, d.at + 5, &busy, 1))
			return false;
		d.s.type |= 2;
	}
	cpu->segs[seg] = d.s;
	return true;
}

static bool privileged_in_protected_mode(struct cpu *cpu)
{
	if (mode_is_real(cpu))
		return raise_ud(cpu);
	return cpl(cpu) == 0 || raise_gp(cpu, 0);
}

OP(lldt)
{
	uint64_t selector;

	return privileged_in_protected_mode(cpu) && operand_dst_sized(cpu, op, 2, &selector) &&
	       load_system(cpu, SEG_LDTR, (uint16_t)selector);
}

OP(ltr)
{
	uint64_t selector;

	return privileged_in_protected_mode(cpu) && operand_dst_sized(cpu, op, 2, &selector) &&
	       load_system(cpu, SEG_TR, (uint16_t)selector);
}

static bool umip_forbids(const struct cpu *cpu)
{
	return (cpu->mmu.paging.cr4 & X86_CR4_UMIP) && cpl(cpu) != 0;
}

static bool store_system(struct cpu *cpu, const struct op *op, uint64_t value)
{
	if (umip_forbids(cpu))
		return raise_gp(cpu, 0);
	if (op->flags & OP_MEM_DST)
		return mem_write(cpu, op->seg, op_ea(cpu, op), 2, value);
	set_reg(cpu, op->dst, op->size, value);
	return true;
}

OP(sldt)
{
	return mode_is_real(cpu) ? raise_ud(cpu) :
				   store_system(cpu, op, cpu->segs[SEG_LDTR].selector);
}

OP(str)
{
	return mode_is_real(cpu) ? raise_ud(cpu) :
				   store_system(cpu, op, cpu->segs[SEG_TR].selector);
}

OP(smsw)
{
	return store_system(cpu, op, cpu->mmu.paging.cr0);
}

/* LGDT, LIDT: the base has 24 bits with 16-bit operands. */
static bool load_table(struct cpu *cpu, const struct op *op, struct descriptor_table *t)
{
	unsigned int base_bytes = op->flags & OP_LONG ? 8 : 4;
	uint64_t ea = op_ea(cpu, op), limit, base;

	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	if (!mem_read(cpu, op->seg, ea, 2, &limit) ||
	    !mem_read(cpu, op->seg, (ea + 2) & cpu->ea_mask, base_bytes, &base))
		return false;
	if (base_bytes == 8 && !is_canonical_to_keep(cpu, base))
		return raise_gp(cpu, 0);
	if (op->size == 2 && base_bytes == 4)
		base &= 0xffffff;
	*t = (struct descriptor_table){ .base = base, .limit = (uint16_t)limit };
	return true;
}

static bool store_table(struct cpu *cpu, const struct op *op, const struct descriptor_table *t)
{
	unsigned int base_bytes = op->flags & OP_LONG ? 8 : 4;
	uint8_t image[10];

	if (umip_forbids(cpu))
		return raise_gp(cpu, 0);
	for (unsigned int i = 0; i < 2; i++)
		image[i] = (uint8_t)(t->limit >> (8 * i));
	for (unsigned int i = 0; i < 8; i++)
		image[2 + i] = (uint8_t)(t->base >> (8 * i));
	return mem_store(cpu, op->seg, op_ea(cpu, op), image, 2 + base_bytes);
}

OP(lgdt)
{
	return load_table(cpu, op, &cpu->gdt);
}

OP(lidt)
{
	return load_table(cpu, op, &cpu->idt);
}

OP(sgdt)
{
	return store_table(cpu, op, &cpu->gdt);
}

OP(sidt)
{
	return store_table(cpu, op, &cpu->idt);
}

/* LAR, LSL, VERR, VERW, ARPL: questions about a selector; ZF is the answer. */

static void set_answer(struct cpu *cpu, bool yes)
{
	uint32_t status = cc_status(cpu) & ~X86_EFLAGS_ZF;

	cc_set_status(cpu, status | (yes ? X86_EFLAGS_ZF : 0));
}

static bool is_visible(const struct cpu *cpu, const struct segment *s, uint16_t selector)
{
	return segment_is_conforming(s) ||
	       s->dpl >= MAX(cpl(cpu), (unsigned int)(selector & SELECTOR_RPL));
}

static bool look_for_answer(struct cpu *cpu, uint16_t selector, struct descriptor *d, bool *found)
{
	if (mode_is_real(cpu))
		return raise_ud(cpu);
	*found = false;
	if (selector_is_null(selector))
		return true;
	if (!descriptor_look(cpu, selector, d, found))
		return false;
	*found = *found && is_visible(cpu, &d->s, selector);
	return true;
}

/* System descriptors of which LAR and LSL speak, a bit for each type. */
#define LAR_TYPES 0x1a3eu
#define LAR_TYPES_LONG 0x1a04u
#define LSL_TYPES 0x0a0eu
#define LSL_TYPES_LONG 0x0a04u

static bool type_is_in(const struct cpu *cpu, const struct segment *s, unsigned int types,
		       unsigned int types_long)
{
	return s->s || ((cpu_is_long_mode(cpu) ? types_long : types) >> s->type & 1);
}

/* The descriptor that the operand names, and the answer: whether it is of these types. */
static bool look_for_type(struct cpu *cpu, const struct op *op, unsigned int types,
			  unsigned int types_long, struct descriptor *d, bool *found)
{
	uint64_t selector;

	if (!operand_src_sized(cpu, op, 2, &selector) ||
	    !look_for_answer(cpu, (uint16_t)selector, d, found))
		return false;
	*found = *found && type_is_in(cpu, &d->s, types, types_long);
	set_answer(cpu, *found);
	return true;
}

OP(lar)
{
	struct descriptor d;
	bool found;

	if (!look_for_type(cpu, op, LAR_TYPES, LAR_TYPES_LONG, &d, &found))
		return false;
	if (found)
		set_reg(cpu, op->dst, op->size, (d.raw >> 32) & 0xffff00);
	return true;
}

OP(lsl)
{
	struct descriptor d;
	bool found;

	if (!look_for_type(cpu, op, LSL_TYPES, LSL_TYPES_LONG, &d, &found))
		return false;
	if (found)
		set_reg(cpu, op->dst, op->size, d.s.limit);
	return true;
}

static bool verify(struct cpu *cpu, const struct op *op,
		   bool (*allows)(const struct segment *s))
{
	struct descriptor d;
	uint64_t selector;
	bool found;

	if (!operand_dst_sized(cpu, op, 2, &selector) ||
	    !look_for_answer(cpu, (uint16_t)selector, &d, &found))
		return false;
	set_answer(cpu, found && allows(&d.s));
	return true;
}

OP(verr)
{
	return verify(cpu, op, segment_is_readable);
}

OP(verw)
{
	return verify(cpu, op, segment_is_writable);
}

OP(arpl)
{
	uint64_t selector, rpl = get_reg16(cpu, op->src) & SELECTOR_RPL;
	bool lower;

	if (mode_is_real(cpu))
		return raise_ud(cpu);
	/* It is written only if it changes. */
	if (!operand_dst(cpu, op, &selector))
		return false;
	lower = (selector & SELECTOR_RPL) < rpl;
	if (lower && !operand_write(cpu, op, (selector & ~(uint64_t)SELECTOR_RPL) | rpl))
		return false;
	set_answer(cpu, lower);
	return true;
}
