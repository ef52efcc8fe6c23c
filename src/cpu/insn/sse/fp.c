/* SPDX-License-Identifier: MIT */
/* cpu/insn/sse/fp.c - MXCSR; LDMXCSR, STMXCSR. */
#include "cpu/insn/sse/fp.h"

#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/memory/access.h"

static bool fp_go_live(struct cpu *cpu)
{
	if ((cpu->mxcsr & MXCSR_MASKS) != MXCSR_MASKS)
		return false;
	cpu->host_mxcsr = _mm_getcsr();
	/* The client may have set anything. */
	_mm_setcsr(cpu->mxcsr & cpu->mxcsr_mask);
	cpu->fp_live = true;
	return true;
}

void fp_retire(struct cpu *cpu)
{
	if (!cpu->fp_live)
		return;
	cpu->mxcsr = _mm_getcsr();
	_mm_setcsr(cpu->host_mxcsr);
	cpu->fp_live = false;
}

bool fp_begin(struct cpu *cpu)
{
	if (cpu->fp_live || fp_go_live(cpu))
		return false;
	cpu->host_mxcsr = _mm_getcsr();
	_mm_setcsr((cpu->mxcsr & cpu->mxcsr_mask & ~MXCSR_FLAGS) | MXCSR_MASKS);
	return true;
}

bool fp_end_careful(struct cpu *cpu)
{
	uint32_t flags = _mm_getcsr() & MXCSR_FLAGS;

	uint32_t unmasked = ~(cpu->mxcsr >> 7);

	_mm_setcsr(cpu->host_mxcsr);
	/* An exception of the operands stops it before there is a result to have
	 * exceptions of its own. */
	if (flags & unmasked & MXCSR_OPERAND_FLAGS)
		flags &= MXCSR_OPERAND_FLAGS;
	cpu->mxcsr |= flags;
	if (!(flags & unmasked))
		return true;
	if (cpu->mmu.paging.cr4 & X86_CR4_OSXMMEXCPT)
		return raise_exception(cpu, EXC_XM);
	return raise_ud(cpu);
}

uint32_t fp_mxcsr_mask(void)
{
	uint32_t image[128] __attribute__((aligned(16))) = { 0 };

	__builtin_ia32_fxsave(image);
	return image[7] ? image[7] : 0xffbf;
}

bool xmm_load(struct cpu *cpu, const struct op *op, unsigned int bytes, __m128i *v)
{
	uint64_t ea = op_ea(cpu, op);
	union xmm x = { .u64 = { 0, 0 } };

	if (bytes == 16 && (ea & 15))
		return raise_gp(cpu, 0);
	if (!mem_load(cpu, op->seg, ea, &x, bytes))
		return false;
	*v = _mm_load_si128((const __m128i *)&x);
	return true;
}

bool fp_set_mxcsr(struct cpu *cpu, uint32_t value)
{
	if (value & ~cpu->mxcsr_mask)
		return raise_gp(cpu, 0);
	fp_retire(cpu);
	cpu->mxcsr = value;
	return true;
}

OP(ldmxcsr)
{
	uint64_t value;

	return mem_read(cpu, op->seg, op_ea(cpu, op), 4, &value) &&
	       fp_set_mxcsr(cpu, (uint32_t)value);
}

OP(stmxcsr)
{
	fp_retire(cpu);
	return mem_write(cpu, op->seg, op_ea(cpu, op), 4, cpu->mxcsr);
}
