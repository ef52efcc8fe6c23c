/* SPDX-License-Identifier: MIT */
#include "cpu/event/task.h"

#include <string.h>

#include "cpu/charge.h"
#include "cpu/event/raise.h"
#include "cpu/event/transfer.h"
#include "cpu/memory/access.h"
#include "cpu/memory/stack.h"
#include "cpu/state/control.h"
#include "cpu/state/debug.h"
#include "cpu/state/flags.h"

#define TYPE_32BIT 8u
#define TYPE_BUSY 2u
#define DR6_BT (1ull << 15)
/* L0 to L3 and LE: of one task. */
#define DR7_LOCAL 0x155ull

/* What a TSS says of its task, whatever its width. */
struct task {
	uint32_t cr3, eip, eflags;
	uint32_t gprs[8];
	uint16_t segs[6];	/* by enum cpu_seg */
	uint16_t ldt;
	bool traps;		/* the T flag: #DB before the first instruction */
};

/* The part that is saved, of both widths; what lies before and after it stays. */
struct saved_32 {
	uint32_t eip, eflags, gprs[8], segs[6];
};
struct tss_32 {
	uint32_t link, stacks[6], cr3;
	struct saved_32 saved;
	uint32_t ldt;
	uint16_t traps, io_map;
};
struct saved_16 {
	uint16_t ip, flags, gprs[8], segs[4];
};
struct tss_16 {
	uint16_t link, stacks[6];
	struct saved_16 saved;
	uint16_t ldt;
};
_Static_assert(sizeof(struct tss_32) == 104 && sizeof(struct tss_16) == 44, "SDM 3A 7.2.1, 7.6");

static bool is_32bit(const struct segment *tss)
{
	return tss->type & TYPE_32BIT;
}

static bool load_task(struct cpu *cpu, const struct segment *tss, struct task *t)
{
	struct tss_32 wide;
	struct tss_16 narrow;

	*t = (struct task){ 0 };
	if (is_32bit(tss)) {
		if (!sys_load(cpu, tss->base, &wide, sizeof(wide)))
			return false;
		t->cr3 = wide.cr3;
		t->eip = wide.saved.eip;
		t->eflags = wide.saved.eflags;
		memcpy(t->gprs, wide.saved.gprs, sizeof(t->gprs));
		for (size_t i = 0; i < ARRAY_SIZE(wide.saved.segs); i++)
			t->segs[i] = (uint16_t)wide.saved.segs[i];
		t->ldt = (uint16_t)wide.ldt;
		t->traps = wide.traps & 1;
		return true;
	}
	if (!sys_load(cpu, tss->base, &narrow, sizeof(narrow)))
		return false;
	t->eip = narrow.saved.ip;
	t->eflags = narrow.saved.flags;
	for (size_t i = 0; i < ARRAY_SIZE(narrow.saved.gprs); i++)
		t->gprs[i] = narrow.saved.gprs[i];
	memcpy(t->segs, narrow.saved.segs, sizeof(narrow.saved.segs));
	t->ldt = narrow.ldt;
	return true;
}

/* Saving the same once more, when the switch starts over, does no harm. */
static bool save_task(struct cpu *cpu, uint64_t rip, uint32_t eflags)
{
	const struct segment *tr = &cpu->segs[SEG_TR];
	struct saved_32 wide = { .eip = (uint32_t)rip, .eflags = eflags };
	struct saved_16 narrow = { .ip = (uint16_t)rip, .flags = (uint16_t)eflags };

	for (size_t i = 0; i < ARRAY_SIZE(wide.gprs); i++)
		wide.gprs[i] = (uint32_t)cpu->r[i];
	for (size_t i = 0; i < ARRAY_SIZE(wide.segs); i++)
		wide.segs[i] = cpu->segs[i].selector;
	if (is_32bit(tr))
		return sys_store(cpu, tr->base + offsetof(struct tss_32, saved), &wide,
				 sizeof(wide));
	for (size_t i = 0; i < ARRAY_SIZE(narrow.gprs); i++)
		narrow.gprs[i] = (uint16_t)cpu->r[i];
	for (size_t i = 0; i < ARRAY_SIZE(narrow.segs); i++)
		narrow.segs[i] = cpu->segs[i].selector;
	return sys_store(cpu, tr->base + offsetof(struct tss_16, saved), &narrow, sizeof(narrow));
}

/* The TSS of @selector: it must be busy for a return, and else not. */
static bool read_tss(struct cpu *cpu, uint16_t selector, enum task_way way, struct descriptor *d)
{
	uint8_t vector = way == TASK_RETURN ? EXC_TS : EXC_GP;
	unsigned int busy = way == TASK_RETURN ? TYPE_BUSY : 0;

	if (selector_is_null(selector) || (selector & SELECTOR_TI))
		return raise_with_code(cpu, vector, selector_code(selector));
	if (!descriptor_read(cpu, selector, vector, d))
		return false;
	if (d->s.s || (d->s.type & ~TYPE_32BIT) != (SYS_TSS_16 | busy))
		return raise_with_code(cpu, vector, selector_code(selector));
	if (!d->s.present)
		return raise_with_code(cpu, EXC_NP, selector_code(selector));
	if (d->s.limit < (is_32bit(&d->s) ? sizeof(struct tss_32) : sizeof(struct tss_16)) - 1)
		return raise_with_code(cpu, EXC_TS, selector_code(selector));
	return true;
}

static bool set_busy(struct cpu *cpu, uint64_t descriptor, bool busy)
{
	uint8_t access;

	if (!sys_load(cpu, descriptor + 5, &access, 1))
		return false;
	access = (uint8_t)(busy ? access | TYPE_BUSY : access & ~TYPE_BUSY);
	return sys_store(cpu, descriptor + 5, &access, 1);
}

/* The last that can fail in the old task. */
static bool leave_task(struct cpu *cpu, const struct descriptor *to, enum task_way way,
		       const struct task_resume *old)
{
	uint32_t eflags = (uint32_t)old->rflags;
	uint16_t link = cpu->segs[SEG_TR].selector;

	if (way == TASK_RETURN)
		eflags &= ~X86_EFLAGS_NT;
	return save_task(cpu, old->rip, eflags) &&
	       (way != TASK_CALL || sys_store(cpu, to->s.base, &link, sizeof(link))) &&
	       (way == TASK_CALL || set_busy(cpu, cpu->gdt.base + (link & ~7u), false)) &&
	       (way == TASK_RETURN || set_busy(cpu, to->at, true));
}

/* What leave_task() has changed and a second attempt would stumble over. */
static bool undo_leave_task(struct cpu *cpu, const struct descriptor *to, enum task_way way)
{
	uint16_t link = cpu->segs[SEG_TR].selector;

	return (way == TASK_CALL || set_busy(cpu, cpu->gdt.base + (link & ~7u), true)) &&
	       (way == TASK_RETURN || set_busy(cpu, to->at, false));
}

/* The processor as the old task had it. */
struct old_state {
	struct segment segs[N_SEGS];
	uint64_t gprs[8], rip, rflags, dr7;
	struct paging paging;
};

static struct old_state keep_state(struct cpu *cpu)
{
	struct old_state s = { .rip = cpu->rip, .rflags = cpu_get_rflags(cpu), .dr7 = cpu->dr7,
			       .paging = cpu->mmu.paging };

	memcpy(s.segs, cpu->segs, sizeof(s.segs));
	memcpy(s.gprs, cpu->r, sizeof(s.gprs));
	return s;
}

static void restore_state(struct cpu *cpu, const struct old_state *s)
{
	memcpy(cpu->segs, s->segs, sizeof(s->segs));
	memcpy(cpu->r, s->gprs, sizeof(s->gprs));
	cpu->rip = s->rip;
	cpu->dr7 = s->dr7;
	cpu->mmu.paging = s->paging;
	cpu_set_rflags(cpu, s->rflags);
	cpu_state_changed(cpu);
}

static bool load_ldt(struct cpu *cpu, uint16_t selector)
{
	struct descriptor d;

	if (selector_is_null(selector))
		return true;
	if (selector & SELECTOR_TI)
		return raise_with_code(cpu, EXC_TS, selector_code(selector));
	if (!descriptor_read(cpu, selector, EXC_TS, &d))
		return false;
	if (d.s.s || d.s.type != SYS_LDT || !d.s.present)
		return raise_with_code(cpu, EXC_TS, selector_code(selector));
	cpu->segs[SEG_LDTR] = d.s;
	return true;
}

/* Its RPL is the task's privilege. */
static bool load_code(struct cpu *cpu, uint16_t selector)
{
	unsigned int rpl = selector & SELECTOR_RPL;
	struct descriptor d;

	if (selector_is_null(selector))
		return raise_with_code(cpu, EXC_TS, 0);
	if (!descriptor_read(cpu, selector, EXC_TS, &d))
		return false;
	if (!segment_is_code(&d.s) ||
	    (segment_is_conforming(&d.s) ? d.s.dpl > rpl : d.s.dpl != rpl))
		return raise_with_code(cpu, EXC_TS, selector_code(selector));
	if (!d.s.present)
		return raise_with_code(cpu, EXC_NP, selector_code(selector));
	if (!descriptor_set_accessed(cpu, &d))
		return false;
	transfer_set_cs(cpu, &d.s, rpl);
	return true;
}

static bool load_stack(struct cpu *cpu, uint16_t selector)
{
	struct segment s;

	if (selector_is_null(selector))
		return raise_with_code(cpu, EXC_TS, 0);
	if (!segment_check_stack(cpu, selector, cpl(cpu), EXC_TS, &s))
		return false;
	transfer_set_ss(cpu, &s);
	return true;
}

/* What is wrong with one is #TS here, where MOV would raise #GP. */
static bool load_data(struct cpu *cpu, enum cpu_seg seg, uint16_t selector)
{
	if (segment_load(cpu, seg, selector))
		return true;
	if (cpu->fault.pending && cpu->fault.vector == EXC_GP)
		cpu->fault.vector = EXC_TS;
	return false;
}

static bool load_segments(struct cpu *cpu, const struct task *t)
{
	if (cpu_flags_say_v86(cpu)) {
		for (enum cpu_seg s = SEG_ES; s <= SEG_GS; s++)
			segment_load_v86(cpu, s, t->segs[s]);
		mode_set_cpl(cpu, 3);
		mode_update(cpu);
		return load_ldt(cpu, t->ldt);
	}
	mode_set_cpl(cpu, t->segs[SEG_CS] & SELECTOR_RPL);
	if (!load_ldt(cpu, t->ldt) || !load_code(cpu, t->segs[SEG_CS]) ||
	    !load_stack(cpu, t->segs[SEG_SS]))
		return false;
	for (size_t i = 0; i < N_DATA_SEGS; i++)
		if (!load_data(cpu, data_segs[i], t->segs[data_segs[i]]))
			return false;
	return true;
}

/* All that can be loaded without a look at memory. */
static void take_over(struct cpu *cpu, const struct segment *tss, const struct task *t,
		      enum task_way way)
{
	uint32_t eflags = t->eflags | X86_EFLAGS_FIXED | (way == TASK_CALL ? X86_EFLAGS_NT : 0);

	for (size_t i = 0; i < ARRAY_SIZE(t->gprs); i++)
		cpu->r[i] = t->gprs[i];
	for (enum cpu_seg s = SEG_ES; s <= SEG_GS; s++)
		cpu->segs[s] = (struct segment){ .selector = t->segs[s], .unusable = true };
	cpu->segs[SEG_LDTR] = (struct segment){ .selector = t->ldt, .unusable = true };
	cpu->segs[SEG_TR] = *tss;
	cpu->segs[SEG_TR].type |= TYPE_BUSY;
	cpu->rip = t->eip;
	cpu_set_rflags(cpu, eflags);
	cpu->mmu.paging.cr0 |= X86_CR0_TS;
	cpu->dr7 &= ~DR7_LOCAL;
	mode_update(cpu);
	debug_changed(cpu);
	cpu->stop = true;
}

static bool enter_task(struct cpu *cpu, const struct segment *tss, const struct task *t,
		       enum task_way way)
{
	take_over(cpu, tss, t, way);
	if (is_32bit(tss) && (cpu->mmu.paging.cr0 & X86_CR0_PG) && !control_write_cr3(cpu, t->cr3))
		return false;
	if (!load_segments(cpu, t) || !transfer_check_rip(cpu, &cpu->segs[SEG_CS], cpu->rip))
		return false;
	if (t->traps)
		cpu->debug.held |= DR6_BT;
	return true;
}

bool task_switch(struct cpu *cpu, uint16_t selector, enum task_way way,
		 const struct task_resume *old, bool *entered)
{
	struct old_state state = keep_state(cpu);
	struct descriptor d;
	struct task t;

	charge(cpu, CHARGE_TASK);
	*entered = false;
	if (!read_tss(cpu, selector, way, &d) || !load_task(cpu, &d.s, &t) ||
	    !leave_task(cpu, &d, way, old))
		return false;
	if (enter_task(cpu, &d.s, &t, way)) {
		*entered = true;
		return true;
	}
	*entered = cpu->fault.pending;
	if (*entered)
		return false;
	/* Memory that is changing, or the client's to provide: all of it once more. */
	restore_state(cpu, &state);
	if (!undo_leave_task(cpu, &d, way))
		raise_unimplemented(cpu, "a task switch in changing memory");
	return false;
}

/* A fault of the new task is for its own handlers, and finds the instruction done. */
static bool switch_by_instruction(struct cpu *cpu, uint16_t selector, enum task_way way)
{
	const struct task_resume old = { cpu->rip, cpu_get_rflags(cpu) };
	bool entered;

	if (task_switch(cpu, selector, way, &old, &entered)) {
		/* The T flag's #DB comes before the first instruction. */
		if (cpu->debug.held)
			debug_event_delivered(cpu);
		return true;
	}
	if (!entered)
		return false;
	cpu->event = cpu->fault;
	cpu->fault.pending = false;
	return true;
}

bool task_jump_or_call(struct cpu *cpu, const struct descriptor *d, uint16_t selector,
		       enum task_way way)
{
	if (d->s.dpl < MAX(cpl(cpu), (unsigned int)(selector & SELECTOR_RPL)))
		return raise_gp(cpu, selector_code(selector));
	if (d->s.type != SYS_TASK_GATE)
		return switch_by_instruction(cpu, selector, way);
	if (!d->s.present)
		return raise_with_code(cpu, EXC_NP, selector_code(selector));
	return switch_by_instruction(cpu, (uint16_t)(d->raw >> 16), way);
}

bool task_return(struct cpu *cpu)
{
	uint16_t link;

	return tss_link(cpu, &link) && switch_by_instruction(cpu, link, TASK_RETURN);
}

bool task_push_error(struct cpu *cpu, uint32_t error_code)
{
	uint64_t sp = stack_pointer(cpu);

	if (!stack_push(cpu, &sp, error_code, is_32bit(&cpu->segs[SEG_TR]) ? 4 : 2))
		return false;
	stack_commit(cpu, sp);
	return true;
}
