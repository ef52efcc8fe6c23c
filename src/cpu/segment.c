/* SPDX-License-Identifier: MIT */
#include "cpu/segment.h"

#include "cpu/access.h"
#include "cpu/address.h"
#include "cpu/charge.h"
#include "cpu/flags.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/raise.h"

static struct segment unpack(uint16_t selector, uint64_t raw)
{
	struct segment s = {
		.base = ((raw >> 16) & 0xffffff) | ((raw >> 56) & 0xff) << 24,
		.limit = (uint32_t)((raw & 0xffff) | ((raw >> 48) & 0xf) << 16),
		.selector = selector,
		.type = (raw >> 40) & 0xf,
		.s = (raw >> 44) & 1,
		.dpl = (raw >> 45) & 3,
		.present = (raw >> 47) & 1,
		.avl = (raw >> 52) & 1,
		.l = (raw >> 53) & 1,
		.db = (raw >> 54) & 1,
		.g = (raw >> 55) & 1,
	};

	if (s.g)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

/* Where the descriptor is; false if the table is too short, without a fault. */
static bool find(const struct cpu *cpu, uint16_t selector, unsigned int bytes, gva_t *at)
{
	const struct segment *ldt = &cpu->segs[SEG_LDTR];
	uint64_t base = cpu->gdt.base;
	uint32_t limit = cpu->gdt.limit, offset = selector & ~7u;

	if (selector & SELECTOR_TI) {
		if (ldt->unusable || !ldt->present)
			return false;
		base = ldt->base;
		limit = ldt->limit;
	}
	*at = base + offset;
	return offset + bytes - 1 <= limit;
}

bool descriptor_look(struct cpu *cpu, uint16_t selector, struct descriptor *d, bool *found)
{
	charge(cpu, CHARGE_DESCRIPTOR);
	*found = find(cpu, selector, 8, &d->at);
	if (!*found)
		return true;
	if (!sys_load(cpu, d->at, &d->raw, 8))
		return false;
	d->upper = 0;
	d->s = unpack(selector, d->raw);
	return true;
}

bool descriptor_read(struct cpu *cpu, uint16_t selector, uint8_t vector, struct descriptor *d)
{
	bool found;

	if (!descriptor_look(cpu, selector, d, &found))
		return false;
	return found || raise_with_code(cpu, vector, selector_code(selector));
}

bool descriptor_read_upper(struct cpu *cpu, struct descriptor *d, uint16_t selector)
{
	gva_t at;

	if (!find(cpu, selector, 16, &at))
		return raise_gp(cpu, selector_code(selector));
	if (!sys_load(cpu, d->at + 8, &d->upper, 8))
		return false;
	d->s.base |= d->upper << 32;
	return true;
}

bool descriptor_set_accessed(struct cpu *cpu, struct descriptor *d)
{
	uint8_t access = (uint8_t)(d->raw >> 40) | 1;

	if (d->s.type & 1)
		return true;
	d->s.type |= 1;
	return sys_store(cpu, d->at + 5, &access, 1);
}

void segment_load_real(struct cpu *cpu, enum cpu_seg seg, uint16_t selector)
{
	/* Limit and attributes stay as they were. */
	cpu->segs[seg].selector = selector;
	cpu->segs[seg].base = (uint64_t)selector << 4;
	cpu->segs[seg].unusable = false;
	mode_update(cpu);
}

struct segment segment_null_stack(unsigned int level)
{
	return (struct segment){ .selector = (uint16_t)level, .dpl = (uint8_t)level,
				 .unusable = true };
}

bool segment_check_stack(struct cpu *cpu, uint16_t selector, unsigned int level, uint8_t vector,
			 struct segment *s)
{
	struct descriptor d;

	if (!descriptor_read(cpu, selector, vector, &d))
		return false;
	if ((selector & SELECTOR_RPL) != level || d.s.dpl != level || !segment_is_writable(&d.s))
		return raise_with_code(cpu, vector, selector_code(selector));
	if (!d.s.present)
		return raise_with_code(cpu, EXC_SS, selector_code(selector));
	if (!descriptor_set_accessed(cpu, &d))
		return false;
	*s = d.s;
	return true;
}

static bool load_stack(struct cpu *cpu, uint16_t selector)
{
	struct segment s;

	if (selector_is_null(selector)) {
		if (!mode_is_64bit(cpu) || cpl(cpu) == 3 || (selector & SELECTOR_RPL) != cpl(cpu))
			return raise_gp(cpu, 0);
		s = segment_null_stack(cpl(cpu));
	} else if (!segment_check_stack(cpu, selector, cpl(cpu), EXC_GP, &s)) {
		return false;
	}
	cpu->segs[SEG_SS] = s;
	return true;
}

static bool load_data(struct cpu *cpu, enum cpu_seg seg, uint16_t selector)
{
	struct descriptor d;

	if (selector_is_null(selector)) {
		cpu->segs[seg] = (struct segment){ .selector = selector, .unusable = true };
		return true;
	}
	if (!descriptor_read(cpu, selector, EXC_GP, &d))
		return false;
	if (!segment_is_readable(&d.s) ||
	    (!segment_is_conforming(&d.s) &&
	     d.s.dpl < MAX(cpl(cpu), selector & SELECTOR_RPL)))
		return raise_gp(cpu, selector_code(selector));
	if (!d.s.present)
		return raise_with_code(cpu, EXC_NP, selector_code(selector));
	if (!descriptor_set_accessed(cpu, &d))
		return false;
	cpu->segs[seg] = d.s;
	return true;
}

bool segment_load(struct cpu *cpu, enum cpu_seg seg, uint16_t selector)
{
	if (mode_is_real(cpu)) {
		segment_load_real(cpu, seg, selector);
		return true;
	}
	if (!(seg == SEG_SS ? load_stack(cpu, selector) : load_data(cpu, seg, selector)))
		return false;
	mode_update(cpu);
	return true;
}

/* The task state segment. */

static bool tss_load(struct cpu *cpu, unsigned int offset, void *to, unsigned int bytes)
{
	const struct segment *tr = &cpu->segs[SEG_TR];

	if (tr->unusable || !tr->present || offset + bytes - 1 > tr->limit)
		return raise_with_code(cpu, EXC_TS, selector_code(tr->selector));
	return sys_load(cpu, tr->base + offset, to, bytes);
}

static bool tss_is_16bit(const struct cpu *cpu)
{
	return !cpu_is_long_mode(cpu) && !(cpu->segs[SEG_TR].type & 8);
}

bool tss_stack(struct cpu *cpu, unsigned int level, uint16_t *ss, uint64_t *sp)
{
	uint32_t esp = 0;
	uint16_t sp16 = 0;

	if (cpu_is_long_mode(cpu)) {
		*ss = 0;
		return tss_load(cpu, 4 + 8 * level, sp, 8);
	}
	if (tss_is_16bit(cpu)) {
		if (!tss_load(cpu, 2 + 4 * level, &sp16, 2) ||
		    !tss_load(cpu, 4 + 4 * level, ss, 2))
			return false;
		*sp = sp16;
		return true;
	}
	if (!tss_load(cpu, 4 + 8 * level, &esp, 4) || !tss_load(cpu, 8 + 8 * level, ss, 2))
		return false;
	*sp = esp;
	return true;
}

bool tss_ist(struct cpu *cpu, unsigned int ist, uint64_t *sp)
{
	return tss_load(cpu, 36 + 8 * (ist - 1), sp, 8);
}

bool tss_allows_io(struct cpu *cpu, uint16_t port, unsigned int bytes)
{
	const struct segment *tr = &cpu->segs[SEG_TR];
	uint16_t map = 0, bits = 0;
	unsigned int mask = ((1u << bytes) - 1) << (port & 7);

	if (mode_is_real(cpu) || cpl(cpu) <= iopl(cpu))
		return true;
	/* A map that lies beyond the limit, wholly or in part, forbids. */
	if (tr->unusable || !tr->present || tss_is_16bit(cpu) || tr->limit < 103)
		return raise_gp(cpu, 0);
	if (!sys_load(cpu, tr->base + 102, &map, 2))
		return false;
	if (map + port / 8 + 1u > tr->limit)
		return raise_gp(cpu, 0);
	if (!sys_load(cpu, tr->base + map + port / 8, &bits, 2))
		return false;
	return !(bits & mask) || raise_gp(cpu, 0);
}

/* Instructions. */

OP_END(mov_to_segment)
{
	uint64_t selector;

	if (!operand_src_sized(cpu, op, 2, &selector) ||
	    !segment_load(cpu, op->dst, (uint16_t)selector))
		return false;
	/* Interrupts and #DB wait for the instruction that loads the stack pointer. */
	if (op->dst == SEG_SS) {
		cpu->interrupt_shadow |= SHADOW_MOV_SS;
		cpu->stop = true;
	}
	return true;
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

	if (!stack_peek(cpu, sp, &selector, op->size) ||
	    !segment_load(cpu, op->dst, (uint16_t)selector))
		return false;
	/* By the width of the stack that it was popped from. */
	set_reg(cpu, GPR_AT(GPR_RSP), narrow, (sp + op->size) & width_mask(narrow));
	if (op->dst == SEG_SS) {
		cpu->interrupt_shadow |= SHADOW_MOV_SS;
		cpu->stop = true;
	}
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

OP(lar)
{
	struct descriptor d;
	uint64_t selector;
	bool found;

	if (!operand_src_sized(cpu, op, 2, &selector) ||
	    !look_for_answer(cpu, (uint16_t)selector, &d, &found))
		return false;
	found = found && type_is_in(cpu, &d.s, LAR_TYPES, LAR_TYPES_LONG);
	if (found)
		set_reg(cpu, op->dst, op->size, (d.raw >> 32) & 0xffff00);
	set_answer(cpu, found);
	return true;
}

OP(lsl)
{
	struct descriptor d;
	uint64_t selector;
	bool found;

	if (!operand_src_sized(cpu, op, 2, &selector) ||
	    !look_for_answer(cpu, (uint16_t)selector, &d, &found))
		return false;
	found = found && type_is_in(cpu, &d.s, LSL_TYPES, LSL_TYPES_LONG);
	if (found)
		set_reg(cpu, op->dst, op->size, d.s.limit);
	set_answer(cpu, found);
	return true;
}

OP(verr)
{
	struct descriptor d;
	uint64_t selector;
	bool found;

	if (!operand_dst_sized(cpu, op, 2, &selector) ||
	    !look_for_answer(cpu, (uint16_t)selector, &d, &found))
		return false;
	set_answer(cpu, found && segment_is_readable(&d.s));
	return true;
}

OP(verw)
{
	struct descriptor d;
	uint64_t selector;
	bool found;

	if (!operand_dst_sized(cpu, op, 2, &selector) ||
	    !look_for_answer(cpu, (uint16_t)selector, &d, &found))
		return false;
	set_answer(cpu, found && segment_is_writable(&d.s));
	return true;
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
