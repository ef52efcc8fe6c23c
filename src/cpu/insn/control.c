/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/control.c - moves to and from control and debug registers.  SDM 3B 17.2.
 */
#include "cpu/charge.h"
#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/state/control.h"
#include "cpu/state/debug.h"

#define DR6_WRITABLE 0xe00full
#define DR7_FIXED (1ull << 10)
#define DR7_WRITABLE 0xffff2bffull

static unsigned int control_width(const struct op *op)
{
	return op->flags & OP_LONG ? 8 : 4;
}

OP_END(mov_to_cr)
{
	uint64_t value = get_reg(cpu, op->src, control_width(op));

	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	charge(cpu, op->dst == 8 ? 0 : CHARGE_PAGING);
	switch (op->dst) {
	case 0:
		return control_write_cr0(cpu, value);
	case 2:
		cpu->cr2 = value;
		return true;
	case 3:
		return control_write_cr3(cpu, value);
	case 4:
		return control_write_cr4(cpu, value);
	case 8:
		if (value & ~15ull)
			return raise_gp(cpu, 0);
		if (value < cpu->cr8)
			raise_exit(cpu, CPU_EXIT_TPR);
		cpu->cr8 = value;
		return true;
	default:
		return raise_ud(cpu);
	}
}

OP(mov_from_cr)
{
	const struct paging *p = &cpu->mmu.paging;
	uint64_t value;

	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	switch (op->src) {
	case 0:
		value = p->cr0;
		break;
	case 2:
		value = cpu->cr2;
		break;
	case 3:
		value = p->cr3;
		break;
	case 4:
		value = p->cr4;
		break;
	case 8:
		value = cpu->cr8;
		break;
	default:
		return raise_ud(cpu);
	}
	set_reg(cpu, op->dst, control_width(op), value);
	return true;
}

OP_END(clts)
{
	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	cpu->mmu.paging.cr0 &= ~X86_CR0_TS;
	mode_update(cpu);
	return true;
}

/* The low four bits; PE can be set but not cleared. */
OP_END(lmsw)
{
	uint64_t cr0 = cpu->mmu.paging.cr0, value;

	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	if (!operand_dst_sized(cpu, op, 2, &value))
		return false;
	return control_write_cr0(cpu, (cr0 & ~0xeull) | (value & 0xf) | (cr0 & X86_CR0_PE));
}

/* DR4 and DR5 are other names of DR6 and DR7, unless CR4.DE says not. */
static bool debug_register(struct cpu *cpu, unsigned int *number)
{
	if (*number > 7 || ((*number & ~1u) == 4 && (cpu->mmu.paging.cr4 & X86_CR4_DE)))
		return raise_ud(cpu);
	if ((*number & ~1u) == 4)
		*number += 2;
	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	if (cpu->debug.client.breaks)
		return cpu->debug.client.dr7 & DR7_GD ? debug_raise_exit(cpu, EXC_DB, DR6_BD) :
							true;
	if (cpu->dr7 & DR7_GD) {
		/* A fault, unlike other #DBs: RF is set here.  The delivery clears GD. */
		debug_report(cpu, DR6_BD);
		cpu->rflags |= X86_EFLAGS_RF;
		return raise_exception(cpu, EXC_DB);
	}
	return true;
}

OP(mov_to_dr)
{
	uint64_t value = get_reg(cpu, op->src, control_width(op));
	unsigned int number = op->dst;

	if (!debug_register(cpu, &number))
		return false;
	if (number >= 4 && value >> 32)
		return raise_gp(cpu, 0);
	if (number < 4)
		cpu->dr[number] = value;
	else if (number == 6)
		cpu->dr6 = (value & DR6_WRITABLE) | DR6_FIXED;
	else
		cpu->dr7 = (value & DR7_WRITABLE) | DR7_FIXED;
	debug_changed(cpu);
	charge(cpu, CHARGE_DEBUG);
	return true;
}

OP(mov_from_dr)
{
	unsigned int number = op->src;

	if (!debug_register(cpu, &number))
		return false;
	set_reg(cpu, op->dst, control_width(op),
		number < 4 ? cpu->dr[number] : number == 6 ? cpu->dr6 : cpu->dr7);
	return true;
}
