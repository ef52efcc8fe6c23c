/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/ring.c - into the system and back: INT, IRET, SYSCALL, SYSENTER; and the
 * instructions on EFLAGS that depend on the privilege.
 */
#include "cpu/charge.h"
#include "cpu/event/interrupt.h"
#include "cpu/event/raise.h"
#include "cpu/event/task.h"
#include "cpu/event/transfer.h"
#include "cpu/insn/insn.h"
#include "cpu/memory/stack.h"
#include "cpu/state/cpuid.h"
#include "cpu/state/debug.h"
#include "cpu/state/flags.h"

/* The flags that POPF and IRET may change, by privilege and width. */
static uint64_t writable_flags(const struct cpu *cpu, unsigned int bytes)
{
	uint64_t mask = X86_EFLAGS_STATUS | X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_NT;

	if (bytes > 2)
		mask |= X86_EFLAGS_AC | X86_EFLAGS_ID;
	if (cpl(cpu) == 0)
		mask |= X86_EFLAGS_IOPL;
	if (cpl(cpu) <= iopl(cpu))
		mask |= X86_EFLAGS_IF;
	return mask;
}

/* In virtual-8086 mode PUSHF, POPF, INT n and IRET depend on IOPL. */
static bool v86_forbids(const struct cpu *cpu)
{
	return mode_is_v86(cpu) && iopl(cpu) < 3;
}

OP(pushf)
{
	uint64_t sp = stack_pointer(cpu);
	uint64_t flags = cpu_get_rflags(cpu) & ~(uint64_t)(X86_EFLAGS_VM | X86_EFLAGS_RF);

	if (v86_forbids(cpu))
		return raise_gp(cpu, 0);
	if (!stack_push(cpu, &sp, flags, op->size))
		return false;
	stack_commit(cpu, sp);
	return true;
}

OP_END(popf)
{
	uint64_t sp = stack_pointer(cpu), flags;

	if (v86_forbids(cpu))
		return raise_gp(cpu, 0);
	if (!stack_pop(cpu, &sp, &flags, op->size))
		return false;
	stack_commit(cpu, sp);
	transfer_set_flags(cpu, flags, writable_flags(cpu, op->size));
	return true;
}

OP_END(cli)
{
	if (cpl(cpu) > iopl(cpu))
		return raise_gp(cpu, 0);
	cpu->rflags &= ~X86_EFLAGS_IF;
	return true;
}

OP_END(sti)
{
	if (cpl(cpu) > iopl(cpu))
		return raise_gp(cpu, 0);
	if (!(cpu->rflags & X86_EFLAGS_IF)) {
		cpu->interrupt_shadow |= SHADOW_STI;
		cpu->stop = true;
	}
	cpu->rflags |= X86_EFLAGS_IF;
	return true;
}

/* Raised by the program itself: the gate's DPL is checked, RIP + length pushed. */
static bool raise_software(struct cpu *cpu, const struct op *op, uint8_t vector)
{
	cpu->fault = (struct cpu_event){
		.pending = true, .software = true, .vector = vector, .length = op->length,
	};
	return false;
}

OP_END(int)
{
	if (v86_forbids(cpu))
		return raise_gp(cpu, 0);
	return raise_software(cpu, op, (uint8_t)op->imm);
}

OP_END(int3)
{
	if (cpu->debug.client.takes_int3)
		return debug_raise_exit(cpu, EXC_BP, 0);
	return raise_software(cpu, op, EXC_BP);
}

OP_END(into)
{
	return cc_test(cpu, COND_O << 1) ? raise_software(cpu, op, EXC_OF) : true;
}

/* A trap that no gate's DPL forbids. */
OP_END(int1)
{
	if (debug_is_clients(cpu))
		return debug_raise_exit(cpu, EXC_DB, 0);
	cpu->event = (struct cpu_event){ .pending = true, .vector = EXC_DB };
	cpu->stop = true;
	return true;
}

/* IRET */

/* It restores RF too (IRETW has none to restore), which every other instruction clears.
 * SDM 3B 17.3.1.1. */
static uint64_t iret_flags(const struct cpu *cpu, const struct op *op)
{
	return writable_flags(cpu, op->size) | X86_EFLAGS_RF;
}

static bool iret_real(struct cpu *cpu, const struct op *op)
{
	uint64_t sp = stack_pointer(cpu), rip, selector, flags;
	uint64_t mask = iret_flags(cpu, op);

	if (!stack_pop(cpu, &sp, &rip, op->size) || !stack_pop(cpu, &sp, &selector, op->size) ||
	    !stack_pop(cpu, &sp, &flags, op->size))
		return false;
	if (rip > cpu->segs[SEG_CS].limit)
		return raise_gp(cpu, 0);
	stack_commit(cpu, sp);
	segment_load_real(cpu, SEG_CS, (uint16_t)selector);
	cpu->rip = rip;
	transfer_set_flags(cpu, flags, mask);
	interrupt_unblock_nmi(cpu);
	return true;
}

struct frame {
	uint64_t rip, cs, flags, sp, ss;
};

static bool iret_goes_to_v86(const struct cpu *cpu, const struct op *op, const struct frame *f)
{
	return !cpu_is_long_mode(cpu) && op->size == 4 && (f->flags & X86_EFLAGS_VM) &&
	       cpl(cpu) == 0;
}

/* In 64-bit code the stack is always part of the frame. */
static bool pop_frame(struct cpu *cpu, const struct op *op, uint64_t *sp, struct frame *f)
{
	if (!stack_pop(cpu, sp, &f->rip, op->size) || !stack_pop(cpu, sp, &f->cs, op->size) ||
	    !stack_pop(cpu, sp, &f->flags, op->size))
		return false;
	if (iret_goes_to_v86(cpu, op, f))
		return stack_pop(cpu, sp, &f->sp, 4) && stack_pop(cpu, sp, &f->ss, 4);
	if (!mode_is_64bit(cpu) && (f->cs & SELECTOR_RPL) == cpl(cpu))
		return true;
	return stack_pop(cpu, sp, &f->sp, op->size) && stack_pop(cpu, sp, &f->ss, op->size);
}

/* The data segments follow the frame. */
static bool iret_to_v86(struct cpu *cpu, const struct op *op, uint64_t sp, const struct frame *f)
{
	uint64_t selectors[N_DATA_SEGS], mask = iret_flags(cpu, op) | X86_EFLAGS_VM;

	for (size_t i = 0; i < N_DATA_SEGS; i++)
		if (!stack_pop(cpu, &sp, &selectors[i], 4))
			return false;
	if (f->rip > 0xffff)
		return raise_gp(cpu, 0);
	for (size_t i = 0; i < N_DATA_SEGS; i++)
		segment_load_v86(cpu, data_segs[i], (uint16_t)selectors[i]);
	segment_load_v86(cpu, SEG_CS, (uint16_t)f->cs);
	segment_load_v86(cpu, SEG_SS, (uint16_t)f->ss);
	cpu->r[GPR_RSP] = f->sp;
	cpu->rip = f->rip;
	mode_set_cpl(cpu, 3);
	transfer_set_flags(cpu, f->flags, mask);
	interrupt_unblock_nmi(cpu);
	return true;
}

static bool iret_from_task(struct cpu *cpu)
{
	if (cpu_is_long_mode(cpu))
		return raise_gp(cpu, 0);
	if (!task_return(cpu))
		return false;
	interrupt_unblock_nmi(cpu);
	return true;
}

OP_END(iret)
{
	uint64_t sp = stack_pointer(cpu), mask = iret_flags(cpu, op);
	bool with_stack, outer;
	unsigned int level;
	struct segment ss;
	struct descriptor d;
	struct frame f;

	if (v86_forbids(cpu))
		return raise_gp(cpu, 0);
	if (mode_is_real(cpu))
		return iret_real(cpu, op);
	if (cpu->rflags & X86_EFLAGS_NT)
		return iret_from_task(cpu);
	if (!pop_frame(cpu, op, &sp, &f))
		return false;
	if (iret_goes_to_v86(cpu, op, &f))
		return iret_to_v86(cpu, op, sp, &f);

	level = f.cs & SELECTOR_RPL;
	outer = level != cpl(cpu);
	with_stack = outer || mode_is_64bit(cpu);
	if (!transfer_read_return_cs(cpu, (uint16_t)f.cs, &d) ||
	    !transfer_check_rip(cpu, &d.s, f.rip) ||
	    (with_stack && !transfer_read_return_ss(cpu, (uint16_t)f.ss, &d.s, level, &ss)) ||
	    !descriptor_set_accessed(cpu, &d))
		return false;

	if (!with_stack)
		stack_commit(cpu, sp);
	transfer_set_cs(cpu, &d.s, level);
	if (with_stack) {
		transfer_set_ss(cpu, &ss);
		stack_commit(cpu, f.sp);
	}
	if (outer)
		transfer_drop_segments(cpu);
	cpu->rip = f.rip;
	transfer_set_flags(cpu, f.flags, mask);
	interrupt_unblock_nmi(cpu);
	return true;
}

/* SYSCALL and SYSRET.  SDM 2B; AMD APM 3. */

static struct segment flat_data(uint16_t selector, unsigned int level)
{
	return (struct segment){
		.selector = (uint16_t)((selector & ~SELECTOR_RPL) | level),
		.limit = 0xffffffff,
		.type = 3,
		.dpl = (uint8_t)level,
		.present = true,
		.s = true,
		.g = true,
		.db = true,
	};
}

static void enter_flat(struct cpu *cpu, uint16_t cs, uint16_t ss, unsigned int level, bool is_long)
{
	struct segment code = flat_data(cs, level);

	code.type = 0xb;
	code.l = is_long;
	code.db = !is_long;
	cpu->segs[SEG_SS] = flat_data(ss, level);
	transfer_set_cs(cpu, &code, level);
}

OP_END(syscall)
{
	uint16_t cs = (uint16_t)(cpu->star >> 32) & 0xfffc;
	bool is_long = cpu_is_long_mode(cpu);
	uint64_t return_rip = cpu->rip, target;

	if (!(cpu->mmu.paging.efer & X86_EFER_SCE) || mode_is_real(cpu) ||
	    (!mode_is_64bit(cpu) && !cpuid_is_amd(cpu)))
		return raise_ud(cpu);
	if (!is_long) {
		cpu->r[GPR_RCX] = return_rip;
		enter_flat(cpu, cs, cs + 8, 0, is_long);
		cpu->rip = (uint32_t)cpu->star;
		transfer_set_flags(cpu, 0, X86_EFLAGS_IF | X86_EFLAGS_RF | X86_EFLAGS_VM);
		return true;
	}
	target = mode_is_64bit(cpu) ? cpu->lstar : cpu->cstar;
	cpu->r[GPR_RCX] = return_rip;
	cpu->r[GPR_R11] = cpu_get_rflags(cpu) & ~(uint64_t)X86_EFLAGS_RF;
	enter_flat(cpu, cs, cs + 8, 0, is_long);
	cpu->rip = target;
	transfer_set_flags(cpu, 0, cpu->sfmask | X86_EFLAGS_RF);
	return true;
}

OP_END(sysret)
{
	uint16_t selector = (uint16_t)(cpu->star >> 48);
	bool to_64bit = op->size == 8, from_long = cpu_is_long_mode(cpu);
	uint64_t flags = cpu->r[GPR_R11];

	if (!(cpu->mmu.paging.efer & X86_EFER_SCE) ||
	    (!mode_is_64bit(cpu) && !cpuid_is_amd(cpu)))
		return raise_ud(cpu);
	if (mode_is_real(cpu) || cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	if (to_64bit && !is_canonical(cpu, cpu->r[GPR_RCX]))
		return raise_gp(cpu, 0);
	cpu->rip = to_64bit ? cpu->r[GPR_RCX] : (uint32_t)cpu->r[GPR_RCX];
	enter_flat(cpu, (uint16_t)(selector + (to_64bit ? 16 : 0)), (uint16_t)(selector + 8), 3,
		   to_64bit);
	if (from_long)
		transfer_set_flags(cpu, flags, 0x3c7fd7);
	else
		transfer_set_flags(cpu, X86_EFLAGS_IF, X86_EFLAGS_IF);
	return true;
}

/* SYSENTER and SYSEXIT, which AMD's processors do not have in long mode. */

static bool sysenter_is_there(const struct cpu *cpu)
{
	return cpuid_has(cpu, FEATURE_SEP) && (!cpuid_is_amd(cpu) || !cpu_is_long_mode(cpu));
}

OP_END(sysenter)
{
	uint16_t cs = (uint16_t)cpu->sysenter_cs & 0xfffc;
	bool is_long = cpu_is_long_mode(cpu);

	if (!sysenter_is_there(cpu))
		return raise_ud(cpu);
	if ((mode_is_real(cpu) && !mode_is_v86(cpu)) || !cs)
		return raise_gp(cpu, 0);
	enter_flat(cpu, cs, cs + 8, 0, is_long);
	transfer_set_flags(cpu, 0, X86_EFLAGS_IF | X86_EFLAGS_VM | X86_EFLAGS_RF);
	cpu->rip = is_long ? cpu->sysenter_eip : (uint32_t)cpu->sysenter_eip;
	cpu->r[GPR_RSP] = is_long ? cpu->sysenter_esp : (uint32_t)cpu->sysenter_esp;
	return true;
}

OP_END(sysexit)
{
	uint16_t cs = (uint16_t)cpu->sysenter_cs & 0xfffc;
	uint64_t rip = cpu->r[GPR_RDX], rsp = cpu->r[GPR_RCX];
	bool to_64bit = op->size == 8;

	if (!sysenter_is_there(cpu))
		return raise_ud(cpu);
	if (mode_is_real(cpu) || !cs || cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	if (to_64bit && (!is_canonical(cpu, rip) || !is_canonical(cpu, rsp)))
		return raise_gp(cpu, 0);
	enter_flat(cpu, (uint16_t)(cs + (to_64bit ? 32 : 16)),
		   (uint16_t)(cs + (to_64bit ? 40 : 24)), 3, to_64bit);
	cpu->rip = to_64bit ? rip : (uint32_t)rip;
	cpu->r[GPR_RSP] = to_64bit ? rsp : (uint32_t)rsp;
	return true;
}

/* ENTER and LEAVE. */

/* imm is the size of the frame, and above its 16 bits the nesting level. */
OP(enter)
{
	unsigned int bytes = op->size, level = (unsigned int)(op->imm >> 16) & 31;
	uint64_t sp = stack_pointer(cpu), bp = cpu->r[GPR_RBP] & width_mask(mode_stack_bytes(cpu));
	uint64_t frame, v, after;

	charge(cpu, 8 * level);
	if (!stack_push(cpu, &sp, cpu->r[GPR_RBP], bytes))
		return false;
	frame = sp;
	for (unsigned int i = 1; i < level; i++) {
		bp = (bp - bytes) & width_mask(mode_stack_bytes(cpu));
		if (!stack_peek(cpu, bp, &v, bytes) || !stack_push(cpu, &sp, v, bytes))
			return false;
	}
	if (level && !stack_push(cpu, &sp, frame, bytes))
		return false;
	/* The new top must be writable, though nothing is written to it. */
	after = (sp - (op->imm & 0xffff)) & width_mask(mode_stack_bytes(cpu));
	if (!stack_probe(cpu, after, bytes))
		return false;
	set_reg(cpu, GPR_AT(GPR_RBP), bytes, frame);
	stack_commit(cpu, after);
	return true;
}

op_fn pick_enter(const struct insn *insn, struct op *op)
{
	op->size = (uint8_t)(insn->info.operand_width / 8);
	op->imm = (int64_t)((insn->operands[0].imm.value.u & 0xffff) |
			    (insn->operands[1].imm.value.u & 0xff) << 16);
	return op_enter;
}

OP(leave)
{
	uint64_t sp = cpu->r[GPR_RBP] & width_mask(mode_stack_bytes(cpu)), v;

	if (!stack_pop(cpu, &sp, &v, op->size))
		return false;
	stack_commit(cpu, sp);
	set_reg(cpu, GPR_AT(GPR_RBP), op->size, v);
	return true;
}

OP(pusha)
{
	uint64_t sp = stack_pointer(cpu);

	for (unsigned int i = GPR_RAX; i <= GPR_RDI; i++)
		if (!stack_push(cpu, &sp, cpu->r[i], op->size))
			return false;
	stack_commit(cpu, sp);
	return true;
}

OP(popa)
{
	uint64_t sp = stack_pointer(cpu), v[GPR_RDI + 1];

	for (unsigned int i = GPR_RDI + 1; i-- > 0;)
		if (!stack_pop(cpu, &sp, &v[i], op->size))
			return false;
	for (unsigned int i = GPR_RAX; i <= GPR_RDI; i++)
		if (i != GPR_RSP)
			set_reg(cpu, GPR_AT(i), op->size, v[i]);
	stack_commit(cpu, sp);
	return true;
}
