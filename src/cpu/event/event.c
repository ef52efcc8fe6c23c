/* SPDX-License-Identifier: MIT */
/*
 * cpu/event/event.c - delivery through the IDT.  SDM 3A chapter 6.
 */
#include "cpu/event/event.h"

#include "cpu/charge.h"
#include "cpu/event/raise.h"
#include "cpu/event/task.h"
#include "cpu/event/transfer.h"
#include "cpu/memory/access.h"
#include "cpu/memory/mmio.h"
#include "cpu/memory/stack.h"
#include "cpu/state/debug.h"

/* One bit for each vector. */
#define CONTRIBUTORY                                                                \
	((1u << EXC_DE) | (1u << EXC_TS) | (1u << EXC_NP) | (1u << EXC_SS) | (1u << EXC_GP))
/* Exceptions that report the instruction that they stopped; it can be resumed. */
#define FAULT_CLASS                                                                 \
	((1u << EXC_DE) | (1u << EXC_BR) | (1u << EXC_UD) | (1u << EXC_NM) | (1u << EXC_TS) | \
	 (1u << EXC_NP) | (1u << EXC_SS) | (1u << EXC_GP) | (1u << EXC_PF) | (1u << EXC_MF) | \
	 (1u << EXC_AC) | (1u << EXC_XM))
/* Those whose error code holds a selector. */
#define SELECTOR_CODE ((1u << EXC_TS) | (1u << EXC_NP) | (1u << EXC_SS) | (1u << EXC_GP))

static bool is_in(const struct cpu_event *e, uint32_t set)
{
	return !e->software && !e->interrupt && e->vector < 32 && (set >> e->vector & 1);
}

void event_take_fault(struct cpu *cpu)
{
	if (!cpu->fault.pending)
		return;
	/* An injected event that waits comes first; the fault will be met again. */
	if (!cpu->event.pending)
		cpu->event = cpu->fault;
	cpu->fault.pending = false;
}

/* An IDT gate, taken apart. */
struct gate {
	uint16_t selector;
	uint64_t offset;
	unsigned int bytes;	/* width of what is pushed */
	unsigned int ist;
	bool masks;		/* clears IF */
	bool task;		/* to the task of a TSS, selector; no more of it counts */
};

static bool read_gate(struct cpu *cpu, const struct cpu_event *e, struct gate *g)
{
	unsigned int entry = cpu_is_long_mode(cpu) ? 16 : 8;
	uint32_t code = e->vector * 8u + 2;
	uint64_t raw, upper = 0;
	unsigned int type;

	if (e->vector * entry + entry - 1 > cpu->idt.limit)
		return raise_gp(cpu, code);
	if (!sys_load(cpu, cpu->idt.base + e->vector * entry, &raw, 8))
		return false;
	if (entry == 16 && !sys_load(cpu, cpu->idt.base + e->vector * entry + 8, &upper, 8))
		return false;

	type = (raw >> 40) & 0x1f;
	g->task = type == SYS_TASK_GATE && !cpu_is_long_mode(cpu);
	if (!g->task && ((type & ~9u) != SYS_INT_GATE_16 ||
			 (cpu_is_long_mode(cpu) && type < SYS_INT_GATE)))
		return raise_gp(cpu, code);
	if (e->software && ((raw >> 45) & 3) < cpl(cpu))
		return raise_gp(cpu, code);
	if (!(raw >> 47 & 1))
		return raise_with_code(cpu, EXC_NP, code);

	g->selector = (uint16_t)(raw >> 16);
	g->offset = (raw & 0xffff) | (raw >> 48) << 16 | upper << 32;
	g->bytes = cpu_is_long_mode(cpu) ? 8 : type >= SYS_INT_GATE ? 4 : 2;
	if (g->bytes == 2)
		g->offset &= 0xffff;
	g->ist = cpu_is_long_mode(cpu) ? (raw >> 32) & 7 : 0;
	g->masks = !(type & 1);
	return true;
}

static bool read_handler_code(struct cpu *cpu, const struct gate *g, struct descriptor *d)
{
	if (selector_is_null(g->selector))
		return raise_gp(cpu, 0);
	if (!descriptor_read(cpu, g->selector, EXC_GP, d))
		return false;
	if (!segment_is_code(&d->s) || d->s.dpl > cpl(cpu) ||
	    (cpu_is_long_mode(cpu) && (!d->s.l || d->s.db)))
		return raise_gp(cpu, selector_code(g->selector));
	/* Virtual-8086 mode is left to level 0 alone. */
	if (mode_is_v86(cpu) && (segment_is_conforming(&d->s) || d->s.dpl != 0))
		return raise_gp(cpu, selector_code(g->selector));
	if (!d->s.present)
		return raise_with_code(cpu, EXC_NP, selector_code(g->selector));
	return transfer_check_rip(cpu, &d->s, g->offset) && descriptor_set_accessed(cpu, d);
}

/* A software one's instruction has cleared RF; #DB is pushed with RF as it is.
 * SDM 3B 17.3.1.1. */
static uint64_t pushed_flags(struct cpu *cpu, const struct cpu_event *e)
{
	uint64_t flags = cpu_get_rflags(cpu);

	if (e->software)
		return flags & ~(uint64_t)X86_EFLAGS_RF;
	return is_in(e, FAULT_CLASS) ? flags | X86_EFLAGS_RF : flags;
}

/* The stack of the handler: in CS and SS of its level from here on. */
static bool take_stack(struct cpu *cpu, const struct gate *g, const struct segment *cs,
		       unsigned int level, bool inner, uint64_t *sp)
{
	bool is_long = cpu_is_long_mode(cpu);

	if (is_long && g->ist) {
		if (!tss_ist(cpu, g->ist, sp))
			return false;
		if (inner)
			cpu->segs[SEG_SS] = segment_null_stack(level);
	} else if (inner) {
		if (!transfer_inner_stack(cpu, level, sp))
			return false;
	} else {
		*sp = is_long ? cpu->r[GPR_RSP] : stack_pointer(cpu);
	}
	transfer_set_cs(cpu, cs, level);
	if (!is_long)
		return true;
	if (!is_canonical(cpu, *sp))
		return raise_with_code(cpu, EXC_SS, 0);
	*sp &= ~15ull;
	return true;
}

/* What virtual-8086 code had in these is of no use to its system: saved, and replaced by null. */
static bool push_v86_data(struct cpu *cpu, const struct gate *g, uint64_t *sp)
{
	for (size_t i = N_DATA_SEGS; i-- > 0;)
		if (!stack_push(cpu, sp, cpu->segs[data_segs[i]].selector, g->bytes))
			return false;
	return true;
}

static void drop_v86_data(struct cpu *cpu)
{
	for (size_t i = 0; i < N_DATA_SEGS; i++)
		cpu->segs[data_segs[i]] = (struct segment){ .unusable = true };
	mode_update(cpu);
}

static bool push_frame(struct cpu *cpu, const struct cpu_event *e, const struct gate *g,
		       const struct context *old, bool with_stack, uint64_t flags, uint64_t *sp)
{
	uint64_t rip = cpu->rip + (e->software ? e->length : 0);

	if (old->vm && !push_v86_data(cpu, g, sp))
		return false;
	if (with_stack && (!stack_push(cpu, sp, old->ss.selector, g->bytes) ||
			   !stack_push(cpu, sp, old->rsp, g->bytes)))
		return false;
	return stack_push(cpu, sp, flags, g->bytes) &&
	       stack_push(cpu, sp, old->cs.selector, g->bytes) &&
	       stack_push(cpu, sp, rip, g->bytes) &&
	       (!e->has_error || stack_push(cpu, sp, e->error_code, g->bytes));
}

/* The handler returns by IRET, to the task as it is saved here. */
static bool deliver_to_task(struct cpu *cpu, const struct cpu_event *e, const struct gate *g)
{
	const struct task_resume old = {
		.rip = cpu->rip + (e->software ? e->length : 0), .rflags = pushed_flags(cpu, e),
	};
	bool entered;

	return task_switch(cpu, g->selector, TASK_CALL, &old, &entered) &&
	       (!e->has_error || task_push_error(cpu, e->error_code));
}

static bool deliver_protected(struct cpu *cpu, const struct cpu_event *e)
{
	struct context old = context_save(cpu);
	uint64_t flags = pushed_flags(cpu, e), sp;
	struct descriptor d;
	unsigned int level;
	struct gate g;
	bool inner;

	if (!read_gate(cpu, e, &g))
		return false;
	if (g.task)
		return deliver_to_task(cpu, e, &g);
	if (!read_handler_code(cpu, &g, &d))
		return false;
	level = segment_is_conforming(&d.s) ? cpl(cpu) : d.s.dpl;
	inner = level < cpl(cpu);
	cpu->rflags &= ~X86_EFLAGS_VM;
	if (!take_stack(cpu, &g, &d.s, level, inner, &sp) ||
	    !push_frame(cpu, e, &g, &old, inner || cpu_is_long_mode(cpu), flags, &sp)) {
		context_restore(cpu, &old);
		return false;
	}
	stack_commit(cpu, sp);
	if (old.vm)
		drop_v86_data(cpu);
	cpu->rip = g.offset;
	transfer_set_flags(cpu, 0, X86_EFLAGS_TF | X86_EFLAGS_NT | X86_EFLAGS_RF | X86_EFLAGS_VM |
				   (g.masks ? X86_EFLAGS_IF : 0));
	return true;
}

/* Real mode: the table holds far pointers, and no error code is pushed. */
static bool deliver_real(struct cpu *cpu, const struct cpu_event *e)
{
	uint64_t rip = cpu->rip + (e->software ? e->length : 0), sp = stack_pointer(cpu);
	uint32_t vector;

	if (e->vector * 4u + 3 > cpu->idt.limit)
		return raise_exception(cpu, EXC_GP);
	if (!sys_load(cpu, (cpu->idt.base + e->vector * 4u) & 0xffffffff, &vector, 4))
		return false;
	if (!stack_push(cpu, &sp, cpu_get_rflags(cpu), 2) ||
	    !stack_push(cpu, &sp, cpu->segs[SEG_CS].selector, 2) || !stack_push(cpu, &sp, rip, 2))
		return false;
	stack_commit(cpu, sp);
	segment_load_real(cpu, SEG_CS, (uint16_t)(vector >> 16));
	cpu->rip = vector & 0xffff;
	transfer_set_flags(cpu, 0, X86_EFLAGS_TF | X86_EFLAGS_IF | X86_EFLAGS_AC | X86_EFLAGS_RF);
	return true;
}

/* Combines a fault raised during the delivery of @first with it. */
static void combine(struct cpu *cpu, const struct cpu_event *first, struct cpu_event *second)
{
	bool bad = is_in(second, CONTRIBUTORY) || is_in(second, 1u << EXC_PF);

	if (is_in(first, 1u << EXC_DF) && bad) {
		cpu->event.pending = false;
		raise_exit(cpu, CPU_EXIT_SHUTDOWN);
		return;
	}
	if ((is_in(first, CONTRIBUTORY) && is_in(second, CONTRIBUTORY)) ||
	    (is_in(first, 1u << EXC_PF) && bad))
		*second = (struct cpu_event){ .pending = true, .has_error = true,
					      .vector = EXC_DF };
	/* EXT: it was not the program's own doing. */
	else if (is_in(second, SELECTOR_CODE) && !first->software)
		second->error_code |= 1;
	cpu->event = *second;
}

/* What the client has injected brings its CR2 or DR6 along. */
static void take_payload(struct cpu *cpu)
{
	struct cpu_event *e = &cpu->event;

	if (e->has_payload && e->vector == EXC_PF)
		cpu->cr2 = e->payload;
	else if (e->has_payload && e->vector == EXC_DB)
		debug_report(cpu, e->payload);
	e->has_payload = false;
}

void event_deliver(struct cpu *cpu)
{
	struct cpu_event e, second;

	take_payload(cpu);
	e = cpu->event;

	charge(cpu, CHARGE_EVENT);
	cpu->debug.seen = 0;
	if (mode_is_real(cpu) && !mode_is_v86(cpu) ? deliver_real(cpu, &e) :
						     deliver_protected(cpu, &e)) {
		cpu->event.pending = false;
		cpu->mmio.of_event = false;
		cpu->interrupt_shadow = 0;
		if (e.nmi)
			cpu->interrupts.nmi_blocked = true;
		if (is_in(&e, 1u << EXC_DB))
			cpu->dr7 &= ~DR7_GD;
		debug_event_delivered(cpu);
		if (e.vector < 32 && !e.software && !e.interrupt)
			vcpu_count(&cpu->mmu, guest_exceptions);
		return;
	}
	mmio_drop_writes(cpu);
	cpu->mmio.of_event = true;
	if (cpu->fault.pending) {
		second = cpu->fault;
		cpu->fault.pending = false;
		combine(cpu, &e, &second);
	}
}
