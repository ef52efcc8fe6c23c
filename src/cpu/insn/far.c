/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/far.c - far jumps, calls and returns, call gates.  SDM 3A 5.8, 2A CALL, JMP,
 * RET.
 */
#include "cpu/charge.h"
#include "cpu/event/raise.h"
#include "cpu/event/task.h"
#include "cpu/event/transfer.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/memory/access.h"
#include "cpu/memory/stack.h"

struct far_pointer {
	uint16_t selector;
	uint64_t offset;
	unsigned int bytes;	/* of the operand: width of what is pushed */
	bool call;
};

/* imm is selector << 32 | offset. */
static struct far_pointer immediate_pointer(const struct op *op)
{
	return (struct far_pointer){
		.selector = (uint16_t)((uint64_t)op->imm >> 32),
		.offset = (uint64_t)op->imm & 0xffffffff & width_mask(op->size),
		.bytes = op->size,
	};
}

static bool load_pointer(struct cpu *cpu, const struct op *op, struct far_pointer *p)
{
	uint64_t ea = op_ea(cpu, op), selector;

	if (!mem_read(cpu, op->seg, ea, op->size, &p->offset) ||
	    !mem_read(cpu, op->seg, (ea + op->size) & cpu->ea_mask, 2, &selector))
		return false;
	p->selector = (uint16_t)selector;
	p->bytes = op->size;
	return true;
}

/* The last steps: push the way back if it is a call, and go. */
static bool enter_code(struct cpu *cpu, const struct far_pointer *p, const struct segment *cs,
		       unsigned int level, uint64_t rip)
{
	struct context old = context_save(cpu);
	uint64_t sp = stack_pointer(cpu);

	if (!transfer_check_rip(cpu, cs, rip))
		return false;
	if (p->call) {
		/* Widths of the stack are those of the new code in long mode. */
		transfer_set_cs(cpu, cs, level);
		sp = stack_pointer(cpu);
		if (!stack_push(cpu, &sp, old.cs.selector, p->bytes) ||
		    !stack_push(cpu, &sp, cpu->rip, p->bytes)) {
			context_restore(cpu, &old);
			return false;
		}
		stack_commit(cpu, sp);
	} else {
		transfer_set_cs(cpu, cs, level);
	}
	cpu->rip = rip;
	return true;
}

static bool far_real(struct cpu *cpu, const struct far_pointer *p)
{
	struct segment cs = cpu->segs[SEG_CS];

	cs.selector = p->selector;
	cs.base = (uint64_t)p->selector << 4;
	if (p->offset > cs.limit)
		return raise_gp(cpu, 0);
	if (p->call) {
		uint64_t sp = stack_pointer(cpu);

		if (!stack_push(cpu, &sp, cpu->segs[SEG_CS].selector, p->bytes) ||
		    !stack_push(cpu, &sp, cpu->rip, p->bytes))
			return false;
		stack_commit(cpu, sp);
	}
	cpu->segs[SEG_CS] = cs;
	mode_update(cpu);
	cpu->rip = p->offset;
	return true;
}

static bool far_to_code(struct cpu *cpu, const struct far_pointer *p, struct descriptor *d)
{
	unsigned int rpl = p->selector & SELECTOR_RPL;
	bool allowed = segment_is_conforming(&d->s) ? d->s.dpl <= cpl(cpu) :
						      rpl <= cpl(cpu) && d->s.dpl == cpl(cpu);

	if (!allowed || (cpu_is_long_mode(cpu) && d->s.l && d->s.db))
		return raise_gp(cpu, selector_code(p->selector));
	if (!d->s.present)
		return raise_with_code(cpu, EXC_NP, selector_code(p->selector));
	return descriptor_set_accessed(cpu, d) && enter_code(cpu, p, &d->s, cpl(cpu), p->offset);
}

/* A call gate, taken apart. */
struct call_gate {
	uint16_t selector;
	uint64_t offset;
	unsigned int bytes;
	unsigned int parameters;
};

static bool read_call_gate(struct cpu *cpu, const struct far_pointer *p, struct descriptor *d,
			   struct call_gate *g)
{
	if (d->s.dpl < MAX(cpl(cpu), (unsigned int)(p->selector & SELECTOR_RPL)))
		return raise_gp(cpu, selector_code(p->selector));
	if (!d->s.present)
		return raise_with_code(cpu, EXC_NP, selector_code(p->selector));
	g->selector = (uint16_t)(d->raw >> 16);
	g->offset = (d->raw & 0xffff) | (d->raw >> 48) << 16;
	g->bytes = d->s.type == SYS_CALL_GATE_16 ? 2 : 4;
	g->parameters = (d->raw >> 32) & 31;
	if (cpu_is_long_mode(cpu)) {
		if (!descriptor_read_upper(cpu, d, p->selector))
			return false;
		/* The type field of the second half must be clear. */
		if ((d->upper >> 40) & 0x1f)
			return raise_gp(cpu, selector_code(p->selector));
		g->offset |= d->upper << 32;
		g->bytes = 8;
		g->parameters = 0;
	}
	if (g->bytes == 2)
		g->offset &= 0xffff;
	return true;
}

/* A call to an inner level, on the stack that the TSS has for it. */
static bool enter_inner(struct cpu *cpu, const struct call_gate *g, const struct segment *cs)
{
	struct context old = context_save(cpu);
	uint64_t sp, old_sp = stack_pointer(cpu), parameter[31];
	uint64_t return_rip = cpu->rip;

	for (unsigned int i = 0; i < g->parameters; i++)
		if (!stack_peek(cpu, old_sp + (uint64_t)i * g->bytes, &parameter[i], g->bytes))
			return false;
	if (!transfer_check_rip(cpu, cs, g->offset) || !transfer_inner_stack(cpu, cs->dpl, &sp))
		goto undo;
	transfer_set_cs(cpu, cs, cs->dpl);
	if (!stack_push(cpu, &sp, old.ss.selector, g->bytes) ||
	    !stack_push(cpu, &sp, old.rsp, g->bytes))
		goto undo;
	for (unsigned int i = g->parameters; i-- > 0;)
		if (!stack_push(cpu, &sp, parameter[i], g->bytes))
			goto undo;
	if (!stack_push(cpu, &sp, old.cs.selector, g->bytes) ||
	    !stack_push(cpu, &sp, return_rip, g->bytes))
		goto undo;
	stack_commit(cpu, sp);
	cpu->rip = g->offset;
	return true;
undo:
	context_restore(cpu, &old);
	return false;
}

static bool far_through_gate(struct cpu *cpu, const struct far_pointer *p, struct descriptor *d)
{
	struct far_pointer through = *p;
	struct descriptor code;
	struct call_gate g;

	if (!read_call_gate(cpu, p, d, &g))
		return false;
	if (selector_is_null(g.selector))
		return raise_gp(cpu, 0);
	if (!descriptor_read(cpu, g.selector, EXC_GP, &code))
		return false;
	if (!segment_is_code(&code.s) || code.s.dpl > cpl(cpu) ||
	    (!p->call && !segment_is_conforming(&code.s) && code.s.dpl != cpl(cpu)) ||
	    (cpu_is_long_mode(cpu) && (!code.s.l || code.s.db)))
		return raise_gp(cpu, selector_code(g.selector));
	if (!code.s.present)
		return raise_with_code(cpu, EXC_NP, selector_code(g.selector));
	if (!descriptor_set_accessed(cpu, &code))
		return false;
	if (p->call && !segment_is_conforming(&code.s) && code.s.dpl < cpl(cpu))
		return enter_inner(cpu, &g, &code.s);
	through.bytes = g.bytes;
	return enter_code(cpu, &through, &code.s, cpl(cpu), g.offset);
}

static bool far_transfer(struct cpu *cpu, const struct far_pointer *p)
{
	struct descriptor d;

	charge(cpu, CHARGE_FAR);
	if (mode_is_real(cpu))
		return far_real(cpu, p);
	if (selector_is_null(p->selector))
		return raise_gp(cpu, 0);
	if (!descriptor_read(cpu, p->selector, EXC_GP, &d))
		return false;
	if (segment_is_code(&d.s))
		return far_to_code(cpu, p, &d);
	if (!d.s.s && (d.s.type == SYS_CALL_GATE ||
		       (d.s.type == SYS_CALL_GATE_16 && !cpu_is_long_mode(cpu))))
		return far_through_gate(cpu, p, &d);
	if (!d.s.s && !cpu_is_long_mode(cpu) &&
	    (d.s.type == SYS_TASK_GATE || d.s.type == SYS_TSS || d.s.type == SYS_TSS_16))
		return task_jump_or_call(cpu, &d, p->selector, p->call ? TASK_CALL : TASK_JUMP);
	return raise_gp(cpu, selector_code(p->selector));
}

OP_END(jmp_far)
{
	struct far_pointer p = immediate_pointer(op);

	return far_transfer(cpu, &p);
}

OP_END(call_far)
{
	struct far_pointer p = immediate_pointer(op);

	p.call = true;
	return far_transfer(cpu, &p);
}

OP_END(jmp_far_indirect)
{
	struct far_pointer p = { 0 };

	return load_pointer(cpu, op, &p) && far_transfer(cpu, &p);
}

OP_END(call_far_indirect)
{
	struct far_pointer p = { .call = true };

	return load_pointer(cpu, op, &p) && far_transfer(cpu, &p);
}

static bool ret_far_real(struct cpu *cpu, const struct op *op)
{
	uint64_t sp = stack_pointer(cpu), rip, selector;
	struct far_pointer p = { .bytes = op->size };

	if (!stack_pop(cpu, &sp, &rip, op->size) || !stack_pop(cpu, &sp, &selector, op->size))
		return false;
	p.selector = (uint16_t)selector;
	p.offset = rip;
	if (!far_real(cpu, &p))
		return false;
	stack_commit(cpu, sp + (uint64_t)op->imm);
	return true;
}

/* RETF n: imm is n. */
OP_END(ret_far)
{
	uint64_t sp = stack_pointer(cpu), rip, selector, outer_sp, outer_ss;
	unsigned int level;
	struct descriptor d;
	struct segment ss;
	bool outer;

	charge(cpu, CHARGE_FAR);
	if (mode_is_real(cpu))
		return ret_far_real(cpu, op);
	if (!stack_pop(cpu, &sp, &rip, op->size) || !stack_pop(cpu, &sp, &selector, op->size) ||
	    !transfer_read_return_cs(cpu, (uint16_t)selector, &d) ||
	    !transfer_check_rip(cpu, &d.s, rip))
		return false;
	sp = (sp + (uint64_t)op->imm) & width_mask(mode_stack_bytes(cpu));
	level = selector & SELECTOR_RPL;
	outer = level != cpl(cpu);
	if (outer && (!stack_pop(cpu, &sp, &outer_sp, op->size) ||
		      !stack_pop(cpu, &sp, &outer_ss, op->size) ||
		      !transfer_read_return_ss(cpu, (uint16_t)outer_ss, &d.s, level, &ss)))
		return false;
	if (!descriptor_set_accessed(cpu, &d))
		return false;
	if (outer) {
		transfer_set_cs(cpu, &d.s, level);
		transfer_set_ss(cpu, &ss);
		stack_commit(cpu, outer_sp + (uint64_t)op->imm);
		transfer_drop_segments(cpu);
	} else {
		stack_commit(cpu, sp);
		transfer_set_cs(cpu, &d.s, level);
	}
	cpu->rip = rip;
	return true;
}
