/* SPDX-License-Identifier: MIT */
/*
 * cpu/state/control.c - control registers, and what follows when the processor's state changes.
 * SDM 3A 2.5, 4.1.
 */
#include "cpu/state/control.h"

#include "cpu/event/raise.h"
#include "cpu/memory/access.h"
#include "cpu/state/cpuid.h"
#include "cpu/state/debug.h"
#include "mmu/mmu.h"
#include "mmu/tlb/request.h"
#include "mmu/translate.h"

#define CR0_KNOWN                                                                             \
	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE |        \
	 X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
/* A change of one of these changes what translations mean; PE alone changes none, and a BIOS
 * changes it all the time. */
#define CR0_PAGING (X86_CR0_PG | X86_CR0_WP | X86_CR0_CD | X86_CR0_NW)
#define CR4_PAGING                                                                            \
	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_LA57 | X86_CR4_PCIDE |             \
	 X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE)
/* The page-directory-pointer registers are loaded again when one of these is. */
#define CR4_PDPTR (X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP)

/* Of a load from outside that races with others. */
#define MAX_TRIES 16

bool control_uses_pdptrs(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !(efer & X86_EFER_LMA);
}

static bool uses_pdptrs(const struct paging *p)
{
	return control_uses_pdptrs(p->cr0, p->cr4, p->efer);
}

static bool pdptr_is_valid(const struct paging *p, uint64_t entry)
{
	uint64_t reserved = 0x1e6 | (p->maxphyaddr < 63 ? ~0ull << p->maxphyaddr : 0);

	return !(entry & GPTE_P) || !(entry & reserved);
}

/* In guest mode.  False with *invalid: a reserved bit is set. */
static bool load_pdptrs(struct cpu *cpu, uint64_t cr3, bool *invalid)
{
	struct paging *p = &cpu->mmu.paging;
	uint64_t entry[4];

	*invalid = false;
	for (unsigned int i = 0; i < 4; i++) {
		gpa_t gpa = gpa_of((cr3 & 0xffffffe0) + 8 * i);
		enum mmu_verdict verdict = mmu_read_gpa(&cpu->mmu, gpa, &entry[i], 8);

		if (verdict != MMU_OK)
			return mem_raise_verdict(cpu, verdict, 0, 0); /* no page fault */
		if (!pdptr_is_valid(p, entry[i])) {
			*invalid = true;
			return false;
		}
	}
	for (unsigned int i = 0; i < 4; i++)
		p->pdptr[i] = entry[i];
	return true;
}

/* For a change that the guest makes: #GP(0) if they are not valid. */
static bool reload_pdptrs(struct cpu *cpu, uint64_t cr3)
{
	bool invalid;

	return load_pdptrs(cpu, cr3, &invalid) || (invalid ? raise_gp(cpu, 0) : false);
}

void control_clear_exit(struct cpu *cpu)
{
	cpu->leaving = false;
	cpu->stop = false;
}

bool cpu_load_pdptrs(struct cpu *cpu, uint64_t cr3)
{
	bool ok = false, invalid = false, hopeless = false;

	guest_enter(&cpu->mmu);
	for (int i = 0; i < MAX_TRIES && !ok && !invalid && !hopeless; i++) {
		ok = load_pdptrs(cpu, cr3, &invalid);
		hopeless = cpu->leaving && cpu->exit != CPU_EXIT_POLL;
		control_clear_exit(cpu);
	}
	guest_leave(&cpu->mmu);
	return ok;
}

bool control_cr0_is_valid(uint64_t cr0)
{
	return !(cr0 >> 32) && ((cr0 & X86_CR0_PE) || !(cr0 & X86_CR0_PG)) &&
	       ((cr0 & X86_CR0_CD) || !(cr0 & X86_CR0_NW));
}

/* Turning paging on or off takes long mode with it. */
static bool switch_paging(struct cpu *cpu, uint64_t cr0)
{
	struct paging *p = &cpu->mmu.paging;
	const struct segment *cs = &cpu->segs[SEG_CS];
	uint64_t old_cr0 = p->cr0, old_efer = p->efer;

	if (cr0 & X86_CR0_PG) {
		if ((p->efer & X86_EFER_LME) && (!(p->cr4 & X86_CR4_PAE) || cs->l))
			return raise_gp(cpu, 0);
		if (p->efer & X86_EFER_LME)
			p->efer |= X86_EFER_LMA;
	} else {
		if (mode_is_64bit(cpu) || (p->cr4 & X86_CR4_PCIDE))
			return raise_gp(cpu, 0);
		p->efer &= ~X86_EFER_LMA;
	}
	p->cr0 = cr0;
	if (!uses_pdptrs(p) || reload_pdptrs(cpu, p->cr3))
		return true;
	p->cr0 = old_cr0;
	p->efer = old_efer;
	return false;
}

bool control_write_cr0(struct cpu *cpu, uint64_t value)
{
	struct paging *p = &cpu->mmu.paging;
	uint64_t changed;

	if (!control_cr0_is_valid(value))
		return raise_gp(cpu, 0);
	value = (value & CR0_KNOWN) | X86_CR0_ET;
	changed = value ^ p->cr0;
	if ((changed & X86_CR0_PG) && !switch_paging(cpu, value))
		return false;
	if (!(changed & X86_CR0_PG) && (changed & (X86_CR0_CD | X86_CR0_NW)) && uses_pdptrs(p) &&
	    !reload_pdptrs(cpu, p->cr3))
		return false;
	p->cr0 = value;
	if (changed & X86_CR0_PE)
		mode_set_cpl(cpu, 0);
	if (changed & CR0_PAGING)
		mmu_paging_changed(&cpu->mmu);
	mode_update(cpu);
	return true;
}

bool control_write_cr3(struct cpu *cpu, uint64_t value)
{
	struct paging *p = &cpu->mmu.paging;

	if (cpu_is_long_mode(cpu)) {
		/* Bit 63 only says that nothing need be forgotten. */
		if (p->cr4 & X86_CR4_PCIDE)
			value &= ~(1ull << 63);
		if (p->maxphyaddr < 64 && value >> p->maxphyaddr)
			return raise_gp(cpu, 0);
	} else if (uses_pdptrs(p) && !reload_pdptrs(cpu, value)) {
		return false;
	}
	p->cr3 = value;
	mmu_paging_changed(&cpu->mmu);
	return true;
}

/*
 * VME and PVI do not work and CPUID does not offer them: to the guest they are reserved.
 * The client may keep them, as in KVM, where for these two CPUID has no say.
 */
bool control_cr4_is_valid(const struct cpu *cpu, uint64_t cr4)
{
	return !(cr4 & (cpuid_cr4_reserved(cpu) | X86_CR4_VME | X86_CR4_PVI));
}

bool control_write_cr4(struct cpu *cpu, uint64_t value)
{
	struct paging *p = &cpu->mmu.paging;
	uint64_t changed = value ^ p->cr4, old = p->cr4;
	bool is_long = cpu_is_long_mode(cpu);

	if (!control_cr4_is_valid(cpu, value))
		return raise_gp(cpu, 0);
	if (is_long && (!(value & X86_CR4_PAE) || (changed & X86_CR4_LA57)))
		return raise_gp(cpu, 0);
	if ((changed & value & X86_CR4_PCIDE) && (!is_long || (p->cr3 & PAGE_OFFSET_MASK)))
		return raise_gp(cpu, 0);
	p->cr4 = value;
	if ((changed & CR4_PDPTR) && uses_pdptrs(p) && !reload_pdptrs(cpu, p->cr3)) {
		p->cr4 = old;
		return false;
	}
	if (changed & CR4_PAGING)
		mmu_paging_changed(&cpu->mmu);
	mode_update(cpu);
	return true;
}

bool control_write_efer(struct cpu *cpu, uint64_t value)
{
	struct paging *p = &cpu->mmu.paging;
	uint64_t changed;

	if (value & cpuid_efer_reserved(cpu))
		return false;
	value = (value & ~X86_EFER_LMA) | (p->efer & X86_EFER_LMA);
	changed = value ^ p->efer;
	if ((changed & X86_EFER_LME) && (p->cr0 & X86_CR0_PG))
		return false;
	p->efer = value;
	if (changed & X86_EFER_NX)
		mmu_paging_changed(&cpu->mmu);
	return true;
}

static void take_limits(struct cpu *cpu)
{
	cpu->mmu.paging.maxphyaddr = cpuid_maxphyaddr(cpu);
	cpu->mmu.paging.has_1g_pages = cpuid_has(cpu, FEATURE_1G_PAGES);
	mmu_paging_changed(&cpu->mmu);
}

void cpu_cpuid_changed(struct cpu *cpu)
{
	uint64_t usable = cpuid_usable(cpu);

	if (usable != cpu->usable)
		cpu->cpuid_number++;
	cpu->usable = usable;
	mode_update(cpu);
	take_limits(cpu);
}

void cpu_state_changed(struct cpu *cpu)
{
	/* In protected mode the stack segment tells the privilege. */
	if (cpu_flags_say_v86(cpu))
		mode_set_cpl(cpu, 3);
	else
		mode_set_cpl(cpu, cpu->mmu.paging.cr0 & X86_CR0_PE ? cpu->segs[SEG_SS].dpl : 0);
	mode_update(cpu);
	debug_changed(cpu);
	/* MODEL_SREGS_FLUSH. */
	take_limits(cpu);
}
