/* SPDX-License-Identifier: MIT */
/*
 * cpu/state/msr.h - model-specific registers.
 */
#ifndef CPU_MSR_H
#define CPU_MSR_H

#include "cpu/cpu.h"

/* Who asks: the guest may not access what its CPUID lacks, but the client's KVM_SET_MSRS may
 * restore what it saved. */
enum msr_access { MSR_BY_GUEST, MSR_BY_CLIENT };

#define MSR_TSC 0x10u
#define MISC_ENABLE_MWAIT (1ull << 18)

#define APIC_BASE_BSP (1ull << 8)
#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_ENABLED (1ull << 11)

/* The values after reset; the TSC and APIC_BASE stay. */
void msr_reset(struct cpu *cpu);

/* False: there is no such register, or the value is not allowed (#GP). */
bool msr_read(struct cpu *cpu, uint32_t index, uint64_t *value, enum msr_access who);
bool msr_write(struct cpu *cpu, uint32_t index, uint64_t value, enum msr_access who);

/* May the APIC base have this value?  A guest must get there step by step as well. */
bool apic_base_is_valid(const struct cpu *cpu, uint64_t value);

/* One that was refused: is there such a register at all? */
bool msr_exists(struct cpu *cpu, uint32_t index);

/* KVM_GET_MSR_INDEX_LIST and KVM_GET_MSR_FEATURE_INDEX_LIST. */
extern const uint32_t msr_list[];
extern const unsigned int n_msr_list;
extern const uint32_t msr_feature_list[];
extern const unsigned int n_msr_feature_list;
bool msr_feature(uint32_t index, uint64_t *value);

#endif
