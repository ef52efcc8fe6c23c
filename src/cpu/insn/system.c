/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/system.c - instructions of the system, and others that move no data.
 */
#include "cpu/charge.h"
#include "cpu/event/ask.h"
#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/memory/access.h"
#include "cpu/state/cpuid.h"
#include "cpu/state/flags.h"
#include "cpu/state/mode.h"
#include "cpu/state/msr.h"
#include "mmu/mmu.h"
#include "mmu/tlb/tlb.h"
#include "sync/clock.h"

OP(nop)
{
	return true;
}

/* The end of a block, after its last instruction. */
void op_block_end(struct cpu *cpu, const struct op *op)
{
	cpu->rip = op_rip(cpu, op);
	cpu->budget -= op->ordinal;
}

OP_END(undefined)
{
	return raise_ud(cpu);
}

/* imm is the name of the instruction. */
OP_END(unimplemented)
{
	return raise_unimplemented(cpu, (const char *)(uintptr_t)op->imm);
}

/* Of a feature that is not there.  If the client offers it all the same, the guest has
 * done nothing wrong.  src is the feature, imm the name. */
OP_END(lacking)
{
	if (!cpuid_has(cpu, (enum cpuid_feature)op->src))
		return raise_ud(cpu);
	return raise_unimplemented(cpu, (const char *)(uintptr_t)op->imm);
}

/* Likewise of the x87, which is emulated by whoever sets CR0.EM. */
OP_END(lacking_x87)
{
	if (cpu->mmu.paging.cr0 & (X86_CR0_EM | X86_CR0_TS))
		return raise_exception(cpu, EXC_NM);
	return exec_lacking(cpu, op);
}

/* An SSE instruction while CR0.TS is set. */
OP_END(device_not_available)
{
	return raise_exception(cpu, EXC_NM);
}

/* More than 15 bytes. */
OP_END(too_long)
{
	return raise_gp(cpu, 0);
}

/* What comes before is done when the host goes on: else it may read its counter earlier, and one
 * vCPU's is behind what another has shown it. */
static void wait_for_earlier(void)
{
	__asm__ __volatile__("lfence" ::: "memory");
}

OP_END(cpuid)
{
	uint32_t out[4];

	wait_for_earlier();
	charge(cpu, cpu->n_cpuid / 2);
	cpuid_execute(cpu, (uint32_t)cpu->r[GPR_RAX], (uint32_t)cpu->r[GPR_RCX], out);
	cpu->r[GPR_RAX] = out[0];
	cpu->r[GPR_RBX] = out[1];
	cpu->r[GPR_RCX] = out[2];
	cpu->r[GPR_RDX] = out[3];
	return true;
}

OP_END(hlt)
{
	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	/* The instruction is done; what wakes it comes after. */
	cpu->halted = true;
	raise_exit(cpu, CPU_EXIT_HLT);
	return true;
}

static bool read_tsc(struct cpu *cpu)
{
	uint64_t tsc;

	if ((cpu->mmu.paging.cr4 & X86_CR4_TSD) && cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	tsc = cpu_tsc(cpu);
	cpu->r[GPR_RAX] = (uint32_t)tsc;
	cpu->r[GPR_RDX] = tsc >> 32;
	return true;
}

OP(rdtsc)
{
	return read_tsc(cpu);
}

OP(rdtscp)
{
	if (!cpuid_has(cpu, FEATURE_RDTSCP))
		return raise_ud(cpu);
	wait_for_earlier();
	if (!read_tsc(cpu))
		return false;
	cpu->r[GPR_RCX] = (uint32_t)cpu->tsc_aux;
	return true;
}

OP(rdpid)
{
	if (!cpuid_has(cpu, FEATURE_RDPID))
		return raise_ud(cpu);
	set_reg64(cpu, op->dst, (uint32_t)cpu->tsc_aux);
	return true;
}

/* There are no counters. */
OP(rdpmc)
{
	return raise_gp(cpu, 0);
}

static bool msr_is_allowed(struct cpu *cpu, uint32_t index, bool write)
{
	return !cpu->msr_policy || cpu->msr_policy->allows(cpu, index, write);
}

/* The access is not made.  The client may answer it instead. */
static bool msr_fails(struct cpu *cpu, const struct op *op, struct cpu_asked asked, bool filtered)
{
	asked.why = filtered ? MSR_FILTERED :
		    msr_exists(cpu, asked.msr) ? MSR_INVALID : MSR_UNKNOWN;
	if (!cpu->msr_policy || !cpu->msr_policy->answers(cpu, asked.why))
		return raise_gp(cpu, 0);
	return ask_caller(cpu, op, asked, CPU_EXIT_MSR);
}

OP_END(rdmsr)
{
	struct cpu_asked asked = { .msr = (uint32_t)cpu->r[GPR_RCX] };
	bool allowed = msr_is_allowed(cpu, asked.msr, false);
	uint64_t value;

	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	if (!allowed || !msr_read(cpu, asked.msr, &value, MSR_BY_GUEST))
		return msr_fails(cpu, op, asked, !allowed);
	cpu->r[GPR_RAX] = (uint32_t)value;
	cpu->r[GPR_RDX] = value >> 32;
	return true;
}

OP_END(wrmsr)
{
	struct cpu_asked asked = {
		.write = true,
		.msr = (uint32_t)cpu->r[GPR_RCX],
		.value = cpu->r[GPR_RDX] << 32 | (uint32_t)cpu->r[GPR_RAX],
	};
	bool allowed = msr_is_allowed(cpu, asked.msr, true);

	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	if (!allowed || !msr_write(cpu, asked.msr, asked.value, MSR_BY_GUEST))
		return msr_fails(cpu, op, asked, !allowed);
	mode_update(cpu);
	return true;
}

OP_END(invlpg)
{
	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	mmu_invlpg(&cpu->mmu, gva_of(op_ea(cpu, op)));
	return true;
}

/* Contexts are not distinguished, so every kind flushes everything; but the request must be
 * valid. */
OP_END(invpcid)
{
	uint64_t kind = get_reg(cpu, op->dst, op->flags & OP_LONG ? 8 : 4), d[2];
	bool pcide = cpu->mmu.paging.cr4 & X86_CR4_PCIDE;

	if (!cpuid_has(cpu, FEATURE_INVPCID))
		return raise_ud(cpu);
	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	if (!mem_load(cpu, op->seg, op_ea(cpu, op), d, 16))
		return false;
	if (kind > 3 || d[0] >> 12 || (!pcide && kind < 2 && d[0]) ||
	    (kind == 0 && !is_canonical_to_keep(cpu, d[1])))
		return raise_gp(cpu, 0);
	mmu_paging_changed(&cpu->mmu);
	return true;
}

/* WBINVD, INVD: memory is always coherent. */
OP(cache_all)
{
	return cpl(cpu) == 0 || raise_gp(cpu, 0);
}

/* CLFLUSH and its kind: only that the address can be read. */
OP(cache_line)
{
	return mem_probe(cpu, op->seg, op_ea(cpu, op), 1, ACCESS_READ);
}

OP(pause)
{
	__asm__ __volatile__("pause");
	return true;
}

OP(lfence)
{
	wait_for_earlier();
	return true;
}

OP(mfence)
{
	__asm__ __volatile__("mfence" ::: "memory");
	return true;
}

/* What follows is fetched after it. */
OP_END(serialize)
{
	__asm__ __volatile__("mfence" ::: "memory");
	return true;
}

/* MONITOR and MWAIT never wait, which is allowed. */
static bool mwait_is_there(const struct cpu *cpu)
{
	if (cpl(cpu) != 0)
		return false;
	return cpu->quirks.never_lacks_mwait || cpuid_has_mwait(cpu);
}

OP_END(monitor)
{
	uint64_t ea;

	if (!mwait_is_there(cpu))
		return raise_ud(cpu);
	ea = cpu->r[GPR_RAX] & width_mask(op->address_bytes);
	if (cpu->r[GPR_RCX])
		return raise_gp(cpu, 0);
	if (!mode_is_64bit(cpu))
		ea = (ea + cpu->segs[op->seg].base) & 0xffffffff;
	else if (op->seg == SEG_FS || op->seg == SEG_GS)
		ea += cpu->segs[op->seg].base;
	return mem_probe(cpu, op->seg, ea, 1, ACCESS_READ);
}

OP_END(mwait)
{
	return mwait_is_there(cpu) || raise_ud(cpu);
}

/* VMCALL, of Intel's processors, and VMMCALL, of AMD's. */
static const uint8_t vmcall_bytes[] = { 0x0f, 0x01, 0xc1 };
static const uint8_t vmmcall_bytes[] = { 0x0f, 0x01, 0xd9 };

/* The guest's own instruction is written in place of the other one, and runs next. */
static void fix_hypercall(struct cpu *cpu, const struct op *op, const uint8_t *bytes)
{
	cpu->rip = op_next_rip(cpu, op);
	if (cpu->quirks.fixes_hypercalls) {
		if (mem_store(cpu, SEG_CS, ask_linear_rip(cpu, op), bytes, sizeof(vmcall_bytes)))
			op_suspend(cpu, op);
		else
			op_abandon(cpu, op);
		return;
	}
	raise_ud(cpu);
	op_abandon(cpu, op);
}

static void hypercall(struct cpu *cpu, const struct op *op)
{
	cpu->rip = op_next_rip(cpu, op);
	ask_caller(cpu, op, (struct cpu_asked){ 0 }, CPU_EXIT_HYPERCALL);
	op_abandon(cpu, op);
}

void op_vmcall(struct cpu *cpu, const struct op *op)
{
	if (cpuid_is_amd(cpu))
		fix_hypercall(cpu, op, vmmcall_bytes);
	else
		hypercall(cpu, op);
}

void op_vmmcall(struct cpu *cpu, const struct op *op)
{
	if (!cpuid_is_amd(cpu))
		fix_hypercall(cpu, op, vmcall_bytes);
	else
		hypercall(cpu, op);
}

OP_END(swapgs)
{
	uint64_t base = cpu->segs[SEG_GS].base;

	if (!mode_is_64bit(cpu))
		return raise_ud(cpu);
	if (cpl(cpu) != 0)
		return raise_gp(cpu, 0);
	cpu->segs[SEG_GS].base = cpu->kernel_gs_base;
	cpu->kernel_gs_base = base;
	return true;
}

static bool read_base(struct cpu *cpu, const struct op *op, enum cpu_seg seg)
{
	if (!mode_is_64bit(cpu) || !(cpu->mmu.paging.cr4 & X86_CR4_FSGSBASE))
		return raise_ud(cpu);
	set_reg(cpu, op->dst, op->size, cpu->segs[seg].base);
	return true;
}

static bool write_base(struct cpu *cpu, const struct op *op, enum cpu_seg seg)
{
	uint64_t base = get_reg(cpu, op->dst, op->size);

	if (!mode_is_64bit(cpu) || !(cpu->mmu.paging.cr4 & X86_CR4_FSGSBASE))
		return raise_ud(cpu);
	if (!is_canonical_to_keep(cpu, base))
		return raise_gp(cpu, 0);
	cpu->segs[seg].base = base;
	return true;
}

OP(rdfsbase)
{
	return read_base(cpu, op, SEG_FS);
}

OP(rdgsbase)
{
	return read_base(cpu, op, SEG_GS);
}

OP(wrfsbase)
{
	return write_base(cpu, op, SEG_FS);
}

OP(wrgsbase)
{
	return write_base(cpu, op, SEG_GS);
}

static bool set_ac(struct cpu *cpu, bool ac)
{
	bool is_there = (cpu->mmu.paging.cr4 & X86_CR4_SMAP) || cpuid_has(cpu, FEATURE_SMAP);

	if (!is_there || cpl(cpu) != 0)
		return raise_ud(cpu);
	mode_set_ac(cpu, ac);
	return true;
}

OP(stac)
{
	return set_ac(cpu, true);
}

OP(clac)
{
	return set_ac(cpu, false);
}

OP(rdpkru)
{
	if (!(cpu->mmu.paging.cr4 & X86_CR4_PKE))
		return raise_ud(cpu);
	if ((uint32_t)cpu->r[GPR_RCX])
		return raise_gp(cpu, 0);
	cpu->r[GPR_RAX] = cpu->mmu.paging.pkru;
	cpu->r[GPR_RDX] = 0;
	return true;
}

OP_END(wrpkru)
{
	if (!(cpu->mmu.paging.cr4 & X86_CR4_PKE))
		return raise_ud(cpu);
	if ((uint32_t)cpu->r[GPR_RCX] || (uint32_t)cpu->r[GPR_RDX])
		return raise_gp(cpu, 0);
	if (cpu->mmu.paging.pkru != (uint32_t)cpu->r[GPR_RAX]) {
		cpu->mmu.paging.pkru = (uint32_t)cpu->r[GPR_RAX];
		tlb_flush_all(&cpu->mmu);
	}
	return true;
}

/* Flags by themselves. */

static void change_status(struct cpu *cpu, uint32_t clear, uint32_t flip)
{
	cc_set_status(cpu, (cc_status(cpu) & ~clear) ^ flip);
}

OP(clc)
{
	change_status(cpu, X86_EFLAGS_CF, 0);
	return true;
}

OP(stc)
{
	change_status(cpu, X86_EFLAGS_CF, X86_EFLAGS_CF);
	return true;
}

OP(cmc)
{
	change_status(cpu, 0, X86_EFLAGS_CF);
	return true;
}

OP(cld)
{
	cpu->rflags &= ~X86_EFLAGS_DF;
	return true;
}

OP(std)
{
	cpu->rflags |= X86_EFLAGS_DF;
	return true;
}

OP(lahf)
{
	set_reg8(cpu, GPR_AT(GPR_RAX) + 1,
		 (uint8_t)((cc_status(cpu) & 0xff) | X86_EFLAGS_FIXED));
	return true;
}

OP(sahf)
{
	uint32_t ah = get_reg8(cpu, GPR_AT(GPR_RAX) + 1);

	cc_set_status(cpu, (cc_status(cpu) & X86_EFLAGS_OF) | (ah & ~X86_EFLAGS_OF));
	return true;
}

OP(salc)
{
	set_reg8(cpu, GPR_AT(GPR_RAX), cc_carry(cpu) ? 0xff : 0);
	return true;
}

/* CBW, CWDE, CDQE: the accumulator's lower half is extended to op->size bytes. */
OP(extend_a)
{
	uint64_t a = cpu->r[GPR_RAX];
	unsigned int unused = 64 - 4 * op->size;

	set_reg(cpu, GPR_AT(GPR_RAX), op->size, (uint64_t)((int64_t)(a << unused) >> unused));
	return true;
}

/* CWD, CDQ, CQO: its sign fills the data register. */
OP(extend_d)
{
	bool negative = cpu->r[GPR_RAX] >> (8 * op->size - 1) & 1;

	set_reg(cpu, GPR_AT(GPR_RDX), op->size, negative ? ~0ull : 0);
	return true;
}

OP(bound)
{
	uint64_t ea = op_ea(cpu, op), lower, upper;
	unsigned int unused = 64 - 8 * op->size;
	int64_t index = (int64_t)(get_reg(cpu, op->dst, op->size) << unused);

	if (!mem_read(cpu, op->seg, ea, op->size, &lower) ||
	    !mem_read(cpu, op->seg, (ea + op->size) & cpu->ea_mask, op->size, &upper))
		return false;
	if (index < (int64_t)(lower << unused) || index > (int64_t)(upper << unused))
		return raise_exception(cpu, EXC_BR);
	return true;
}
