/* SPDX-License-Identifier: MIT */
/*
 * cpu/state/cpuid.h - the features that are reported to the guest.
 */
#ifndef CPU_CPUID_H
#define CPU_CPUID_H

#include "cpu/cpu.h"

/* The entries that this processor supports, for KVM_GET_SUPPORTED_CPUID: host
 * vendor and address width, and only features that work.  Returns how many;
 * never more than @max are written. */
unsigned int cpuid_supported(struct cpuid_entry *entries, unsigned int max);

/* The registers of an entry of the client's table as the guest reads them now, for
 * KVM_GET_CPUID2 too: some follow its state (OSXSAVE, APIC, OSPKE, the size of XSAVE's area). */
void cpuid_read(const struct cpu *cpu, const struct cpuid_entry *e, uint32_t out[4]);
/* The CPUID instruction.  A leaf that is not there answers as the vendor's processors do. */
void cpuid_execute(struct cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);

/* Features of the client's table that other parts ask for. */
enum cpuid_feature {
	FEATURE_NX, FEATURE_LM, FEATURE_1G_PAGES, FEATURE_RDTSCP, FEATURE_PCID, FEATURE_PGE,
	FEATURE_PSE, FEATURE_PAE, FEATURE_FSGSBASE, FEATURE_SMEP, FEATURE_SMAP, FEATURE_PKU,
	FEATURE_UMIP, FEATURE_LA57, FEATURE_INVPCID, FEATURE_RDPID, FEATURE_SYSCALL, FEATURE_MCE,
	FEATURE_DE, FEATURE_FXSR, FEATURE_XSAVE, FEATURE_TSC_ADJUST, FEATURE_APIC,
	FEATURE_X2APIC, FEATURE_MONITOR, FEATURE_MTRR, FEATURE_PAT, FEATURE_SEP, FEATURE_MCA,
	/* What instructions need. */
	FEATURE_FPU, FEATURE_MMX, FEATURE_SSE3, FEATURE_SSSE3, FEATURE_SSE41, FEATURE_SSE42,
	FEATURE_AES, FEATURE_PCLMUL, FEATURE_SHA, FEATURE_GFNI, FEATURE_RDRAND, FEATURE_RDSEED,
	FEATURE_SSE4A, FEATURE_3DNOW, FEATURE_BMI1, FEATURE_BMI2,
	FEATURE_POPCNT, FEATURE_LZCNT, FEATURE_MOVBE, FEATURE_ADX, FEATURE_XSAVEOPT,
	FEATURE_XSAVEC, FEATURE_XGETBV1, FEATURE_XSAVES,
	FEATURE_TSC_DEADLINE, FEATURE_CLFLUSHOPT, FEATURE_CLWB, FEATURE_SERIALIZE,
	FEATURE_AVX, FEATURE_AVX2, FEATURE_FMA, FEATURE_F16C, FEATURE_VAES, FEATURE_VPCLMULQDQ,
	N_FEATURES,
};
bool cpuid_has(const struct cpu *cpu, enum cpuid_feature feature);
/* MONITOR and MWAIT: the bit may follow cpu->misc_enable. */
bool cpuid_has_mwait(const struct cpu *cpu);
/* Of KVM's leaf, wherever it is: may the guest use what this bit stands for? */
enum {
	PV_CLOCKSOURCE = 0,
	PV_CLOCKSOURCE_2 = 3,
	PV_STEAL_TIME = 5,
	PV_UNHALT = 7,
	PV_SEND_IPI = 11,
	PV_SCHED_YIELD = 13,
};
bool cpuid_allows_pv(const struct cpu *cpu, unsigned int bit);
/* What the client's table has and this processor can do: a bit for each. */
uint64_t cpuid_usable(const struct cpu *cpu);
/* AMD's and Hygon's processors differ in what SYSCALL and SYSENTER do. */
bool cpuid_is_amd(const struct cpu *cpu);
/* MAXPHYADDR; 36 if the table does not say. */
uint8_t cpuid_maxphyaddr(const struct cpu *cpu);

/* CR4 bits that are reserved under the client's table. */
uint64_t cpuid_cr4_reserved(const struct cpu *cpu);
uint64_t cpuid_efer_reserved(const struct cpu *cpu);
/* What XCR0 may hold at most; what XSAVE then needs. */
uint64_t cpuid_xcr0_offered(void);
uint32_t cpuid_xsave_bytes(uint64_t xcr0);
/* XCR0 can have this value. */
bool cpuid_allows_xcr0(const struct cpu *cpu, uint64_t xcr0);

#endif
