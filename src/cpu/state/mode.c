/* SPDX-License-Identifier: MIT */
#include "cpu/state/mode.h"

#include "cpu/state/cpuid.h"
#include "mmu/tlb/tlb.h"

static bool is_flat(const struct segment *s)
{
	return !s->unusable && s->present && s->base == 0 && s->limit == 0xffffffff;
}

/* Data that can be read and written from 0 to the end: the quick addressing
 * form checks nothing. */
static bool is_flat_data(const struct segment *s)
{
	return is_flat(s) && s->s && (s->type & 0xe) == 2;
}

static uint32_t code_mode(const struct cpu *cpu)
{
	uint32_t mode = 0;

	if (cpu_is_64bit(cpu))
		return MODE_CODE_64 | MODE_STACK_64 | MODE_FLAT | MODE_LONG;
	if (cpu_flags_say_v86(cpu))
		return MODE_CODE_16 | MODE_STACK_16 | MODE_REAL | MODE_V86;

	mode |= cpu->segs[SEG_CS].db ? MODE_CODE_32 : MODE_CODE_16;
	mode |= cpu->segs[SEG_SS].db ? MODE_STACK_32 : MODE_STACK_16;
	if (cpu_is_long_mode(cpu))
		mode |= MODE_LONG;
	if (!(cpu->mmu.paging.cr0 & X86_CR0_PE))
		mode |= MODE_REAL;
	if (cpu->segs[SEG_CS].db && is_flat(&cpu->segs[SEG_CS]) &&
	    is_flat_data(&cpu->segs[SEG_SS]) && is_flat_data(&cpu->segs[SEG_DS]) &&
	    is_flat_data(&cpu->segs[SEG_ES]))
		mode |= MODE_FLAT;
	return mode;
}

void mode_update(struct cpu *cpu)
{
	const struct paging *p = &cpu->mmu.paging;
	uint32_t mode = code_mode(cpu);

	if (p->cr0 & X86_CR0_EM)
		mode |= MODE_EM;
	if (p->cr0 & X86_CR0_TS)
		mode |= MODE_TS;
	if ((p->cr0 & X86_CR0_EM) || !(p->cr4 & X86_CR4_OSFXSR))
		mode |= MODE_SSE_UD;
	else if (p->cr0 & X86_CR0_TS)
		mode |= MODE_SSE_NM;
	if (!(p->cr4 & X86_CR4_OSXSAVE) || ~cpu->xcr0 & (XCR0_SSE | XCR0_AVX))
		mode |= MODE_AVX_UD;
	cpu->mode = mode | (uint32_t)cpu->cpuid_number << MODE_CPUID_SHIFT;
	cpu->ea_mask = mode_is_64bit(cpu) ? ~0ull : 0xffffffff;
	cpu->cs_base = mode_is_64bit(cpu) ? 0 : cpu->segs[SEG_CS].base;
}

bool is_canonical_to_keep(const struct cpu *cpu, uint64_t address)
{
	return is_sign_extended(address, cpuid_has(cpu, FEATURE_LA57) ? 7 : 16);
}

void mode_set_cpl(struct cpu *cpu, unsigned int new_cpl)
{
	cpu->mmu.paging.cpl = (uint8_t)new_cpl;
	tlb_set_privilege(&cpu->mmu);
}

void mode_set_ac(struct cpu *cpu, bool ac)
{
	cpu->mmu.paging.ac = ac;
	tlb_set_privilege(&cpu->mmu);
}

struct implicit_access mode_begin_implicit(struct cpu *cpu)
{
	struct implicit_access saved = { cpu->mmu.paging.cpl, cpu->mmu.paging.ac };

	cpu->mmu.paging.ac = false;
	mode_set_cpl(cpu, 0);
	return saved;
}

void mode_end_implicit(struct cpu *cpu, struct implicit_access saved)
{
	cpu->mmu.paging.ac = saved.ac;
	mode_set_cpl(cpu, saved.cpl);
}
