/* SPDX-License-Identifier: MIT */
/*
 * cpu/state/mode.h - the state that the meaning of code depends on, in one word.
 *
 * It is part of the key of a block: code is decoded for one mode, and what the
 * mode says need not be asked again when it runs.
 */
#ifndef CPU_MODE_H
#define CPU_MODE_H

#include "cpu/cpu.h"

enum {
	MODE_CODE_16 = 0,
	MODE_CODE_32 = 1,
	MODE_CODE_64 = 2,
	MODE_CODE_MASK = 3,
	/* The stack pointer's width. */
	MODE_STACK_16 = 0 << 2,
	MODE_STACK_32 = 1 << 2,
	MODE_STACK_64 = 2 << 2,
	MODE_STACK_MASK = 3 << 2,
	MODE_FLAT = 1 << 4,	/* ES, CS, SS, DS: from 0, without limit */
	MODE_REAL = 1 << 5,	/* segments are shifted selectors: CR0.PE clear, or MODE_V86 */
	MODE_LONG = 1 << 6,	/* EFER.LMA */
	MODE_SSE_NM = 1 << 7,	/* SSE instructions raise #NM */
	MODE_SSE_UD = 1 << 8,	/* or #UD */
	MODE_SINGLE = 1 << 9,	/* blocks of one instruction */
	MODE_V86 = 1 << 10,	/* virtual-8086 mode: EFLAGS.VM in protected mode */
	MODE_EM = 1 << 11,	/* CR0.EM: no x87 */
	MODE_TS = 1 << 12,	/* CR0.TS: it has another task's registers */
	MODE_AVX_UD = 1 << 13,	/* AVX instructions raise #UD; #NM is MODE_TS's */
	MODE_CPUID_SHIFT = 16,	/* cpu->cpuid_number, of 8 bits */
};

/* segs, CR0, CR4, XCR0, EFER or EFLAGS.VM have changed. */
void mode_update(struct cpu *cpu);

static inline bool mode_is_64bit(const struct cpu *cpu)
{
	return (cpu->mode & MODE_CODE_MASK) == MODE_CODE_64;
}

/* In virtual-8086 mode too. */
static inline bool mode_is_real(const struct cpu *cpu)
{
	return cpu->mode & MODE_REAL;
}

static inline bool mode_is_v86(const struct cpu *cpu)
{
	return cpu->mode & MODE_V86;
}

/* Bytes of the stack pointer. */
static inline unsigned int mode_stack_bytes(const struct cpu *cpu)
{
	return 2u << ((cpu->mode & MODE_STACK_MASK) >> 2);
}

static inline unsigned int cpl(const struct cpu *cpu)
{
	return cpu->mmu.paging.cpl;
}

static inline unsigned int iopl(const struct cpu *cpu)
{
	return (cpu->rflags & X86_EFLAGS_IOPL) >> 12;
}

static inline bool is_sign_extended(uint64_t address, int unused)
{
	return (uint64_t)((int64_t)(address << unused) >> unused) == address;
}

/* Addresses of code and data: by the paging mode. */
static inline bool is_canonical(const struct cpu *cpu, uint64_t address)
{
	return is_sign_extended(address, cpu->mmu.paging.cr4 & X86_CR4_LA57 ? 7 : 16);
}

/* Values stored for later, in any paging mode (MSRs, bases of segments and tables, what INVPCID
 * names): by what the processor can do.  SDM 3A 4.5.2; "5-level paging". */
bool is_canonical_to_keep(const struct cpu *cpu, uint64_t address);

/* CPL and AC follow: what the TLB must know of them. */
void mode_set_cpl(struct cpu *cpu, unsigned int new_cpl);
void mode_set_ac(struct cpu *cpu, bool ac);

/*
 * Accesses of the processor itself to its tables are a supervisor's, whatever
 * the privilege: between begin and end.
 */
struct implicit_access {
	uint8_t cpl;
	bool ac;
};
struct implicit_access mode_begin_implicit(struct cpu *cpu);
void mode_end_implicit(struct cpu *cpu, struct implicit_access saved);

#endif
