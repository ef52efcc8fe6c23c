/* SPDX-License-Identifier: MIT */
/*
 * cpu/state/msr.c - model-specific registers.
 *
 * Three sorts: those that are a plain word of the processor's state with a rule
 * for what may be written (the table); ranges of such (MTRRs); and those that do
 * something, by hand.
 */
#include "cpu/state/msr.h"

#include "cpu/event/raise.h"
#include "cpu/state/control.h"
#include "cpu/state/cpuid.h"
#include "cpu/state/mce.h"
#include "cpu/state/mode.h"
#include "mmu/mmu.h"
#include "sync/clock.h"

enum {
	MSR_P5_MC_ADDR = 0,
	MSR_P5_MC_TYPE = 1,
	MSR_PLATFORM_ID = 0x17,
	MSR_APIC_BASE = 0x1b,
	MSR_OLD_WALL_CLOCK = 0x11,
	MSR_OLD_SYSTEM_TIME = 0x12,
	MSR_TSC_ADJUST = 0x3b,
	MSR_MICROCODE_WRITE = 0x79,
	MSR_MICROCODE = 0x8b,
	MSR_PLATFORM_INFO = 0xce,
	MSR_MTRR_CAP = 0xfe,
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_MCG_STATUS = 0x17a,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_PERF_CAPABILITIES = 0x345,
	MSR_POWER_CTL = 0x1fc,
	MSR_MTRR_VARIABLE = 0x200,
	MSR_MTRR_FIXED_64K = 0x250,
	MSR_MTRR_FIXED_16K = 0x258,
	MSR_MTRR_FIXED_4K = 0x268,
	MSR_PAT = 0x277,
	MSR_MTRR_DEF_TYPE = 0x2ff,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_X2APIC = 0x800,
	MSR_XSS = 0xda0,
	MSR_WALL_CLOCK = 0x4b564d00,
	MSR_SYSTEM_TIME = 0x4b564d01,
	MSR_STEAL_TIME = 0x4b564d03,
	MSR_EFER = 0xc0000080,
	MSR_STAR = 0xc0000081,
	MSR_LSTAR = 0xc0000082,
	MSR_CSTAR = 0xc0000083,
	MSR_SFMASK = 0xc0000084,
	MSR_FS_BASE = 0xc0000100,
	MSR_GS_BASE = 0xc0000101,
	MSR_KERNEL_GS_BASE = 0xc0000102,
	MSR_TSC_AUX = 0xc0000103,
	MSR_K8_SYSCFG = 0xc0010010,
	MSR_HWCR = 0xc0010015,
	MSR_K8_INT_PENDING = 0xc0010055,
	MSR_PATCH_LOADER = 0xc0010020,
	MSR_NB_CFG = 0xc001001f,
	MSR_VM_HSAVE_PA = 0xc0010117,
	MSR_BU_CFG2 = 0xc001102a,
	MSR_DC_CFG = 0xc0011022,
	MSR_DE_CFG = 0xc0011029,
};

#define RESET_PAT 0x0007040600070406ull
/* No performance monitoring: BTS and PEBS are not there. */
#define RESET_MISC_ENABLE 0x1800ull
#define RESET_MICROCODE (0x01000065ull << 32)
/* LFENCE serialises: the counter is not read before it. */
#define DE_CFG_LFENCE 2ull
#define HWCR_IGNORED (1ull << 3 | 1ull << 6 | 1ull << 8)
#define HWCR_KNOWN (HWCR_IGNORED | 1ull << 18 | 1ull << 24)
#define STEAL_TIME_RESERVED 0x3eull
#define MTRR_DEF_TYPE_KNOWN 0xcffull
#define MTRR_CAP (0x500ull | N_VARIABLE_MTRRS)

/* The values that a plain one accepts. */
enum rule { ANY, LOW_32, CANONICAL, PAT_TYPES };

static const struct plain {
	uint32_t index;
	enum rule rule;
	size_t at;		/* in struct cpu */
} plain[] = {
	{ MSR_SYSENTER_CS, ANY, offsetof(struct cpu, sysenter_cs) },
	{ MSR_SYSENTER_ESP, CANONICAL, offsetof(struct cpu, sysenter_esp) },
	{ MSR_SYSENTER_EIP, CANONICAL, offsetof(struct cpu, sysenter_eip) },
	{ MSR_POWER_CTL, ANY, offsetof(struct cpu, power_ctl) },
	{ MSR_PAT, PAT_TYPES, offsetof(struct cpu, pat) },
	{ MSR_STAR, ANY, offsetof(struct cpu, star) },
	{ MSR_LSTAR, CANONICAL, offsetof(struct cpu, lstar) },
	{ MSR_CSTAR, CANONICAL, offsetof(struct cpu, cstar) },
	{ MSR_SFMASK, LOW_32, offsetof(struct cpu, sfmask) },
	{ MSR_FS_BASE, CANONICAL, offsetof(struct cpu, segs[SEG_FS].base) },
	{ MSR_GS_BASE, CANONICAL, offsetof(struct cpu, segs[SEG_GS].base) },
	{ MSR_KERNEL_GS_BASE, CANONICAL, offsetof(struct cpu, kernel_gs_base) },
};

/* Linux looks at these, or writes to them, and expects no fault. */
static const uint32_t zeroes[] = {
	MSR_PLATFORM_ID, MSR_MICROCODE_WRITE, MSR_K8_SYSCFG, MSR_K8_INT_PENDING,
	MSR_PATCH_LOADER, MSR_NB_CFG, MSR_VM_HSAVE_PA, MSR_BU_CFG2, MSR_DC_CFG,
};

const uint32_t msr_list[] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR, MSR_LSTAR, MSR_CSTAR,
	MSR_SFMASK, MSR_KERNEL_GS_BASE, MSR_TSC, MSR_PAT, MSR_TSC_AUX, MSR_TSC_ADJUST,
	MSR_OLD_WALL_CLOCK, MSR_OLD_SYSTEM_TIME, MSR_WALL_CLOCK, MSR_SYSTEM_TIME, MSR_STEAL_TIME,
	MSR_MISC_ENABLE, MSR_MCG_STATUS, MSR_PLATFORM_INFO, MSR_MICROCODE, MSR_HWCR,
	MSR_TSC_DEADLINE, MSR_POWER_CTL, MSR_XSS,
};
const unsigned int n_msr_list = ARRAY_SIZE(msr_list);

const uint32_t msr_feature_list[] = { MSR_MICROCODE, MSR_PERF_CAPABILITIES, MSR_DE_CFG };
const unsigned int n_msr_feature_list = ARRAY_SIZE(msr_feature_list);

bool msr_feature(uint32_t index, uint64_t *value)
{
	switch (index) {
	case MSR_MICROCODE:
		*value = RESET_MICROCODE;
		return true;
	case MSR_PERF_CAPABILITIES:
		*value = 0;
		return true;
	case MSR_DE_CFG:
		*value = DE_CFG_LFENCE;
		return true;
	default:
		return false;
	}
}

void msr_reset(struct cpu *cpu)
{
	cpu->star = cpu->lstar = cpu->cstar = cpu->sfmask = cpu->kernel_gs_base = 0;
	cpu->sysenter_cs = cpu->sysenter_esp = cpu->sysenter_eip = 0;
	cpu->pat = RESET_PAT;
	cpu->misc_enable = RESET_MISC_ENABLE;
	cpu->mtrr_def_type = 0;
	cpu->mce.status = 0;
	cpu->hwcr = 0;
	cpu->power_ctl = 0;
	cpu->microcode = RESET_MICROCODE;
	for (unsigned int i = 0; i < N_FIXED_MTRRS; i++)
		cpu->mtrr_fixed[i] = 0;
	for (unsigned int i = 0; i < 2 * N_VARIABLE_MTRRS; i++)
		cpu->mtrr_variable[i] = 0;
}

static bool is_of_apic(uint32_t index)
{
	return index == MSR_TSC_DEADLINE || index - MSR_X2APIC < 0x100;
}

/* Without a local APIC there is no deadline, but for the client it is still listed. */
static bool read_apic(struct cpu *cpu, uint32_t index, uint64_t *value, enum msr_access who)
{
	if (index == MSR_TSC_DEADLINE && who == MSR_BY_GUEST &&
	    !cpuid_has(cpu, FEATURE_TSC_DEADLINE))
		return false;
	*value = 0;
	return cpu->apic ? cpu->apic->read_msr(cpu, index, value) : index == MSR_TSC_DEADLINE;
}

static bool write_apic(struct cpu *cpu, uint32_t index, uint64_t value, enum msr_access who)
{
	if (index == MSR_TSC_DEADLINE && who == MSR_BY_GUEST &&
	    !cpuid_has(cpu, FEATURE_TSC_DEADLINE))
		return false;
	return cpu->apic ? cpu->apic->write_msr(cpu, index, value) : index == MSR_TSC_DEADLINE;
}

static const struct plain *find_plain(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (plain[i].index == index)
			return &plain[i];
	return NULL;
}

static bool is_zero(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(zeroes); i++)
		if (zeroes[i] == index)
			return true;
	return false;
}

static uint64_t *word_of(struct cpu *cpu, const struct plain *p)
{
	return (uint64_t *)((uint8_t *)cpu + p->at);
}

/* UC, WC, WT, WP, WB; the PAT has UC- too. */
static bool is_memory_type(uint64_t type, bool pat)
{
	return type < 2 || (type >= 4 && type < (pat ? 8 : 7));
}

static bool are_memory_types(uint64_t value, bool pat)
{
	for (int i = 0; i < 64; i += 8)
		if (!is_memory_type((value >> i) & 0xff, pat))
			return false;
	return true;
}

static bool obeys(const struct cpu *cpu, enum rule rule, uint64_t value)
{
	switch (rule) {
	case ANY:
		break;
	case LOW_32:
		return !(value >> 32);
	case CANONICAL:
		return is_canonical_to_keep(cpu, value);
	case PAT_TYPES:
		return are_memory_types(value, true);
	}
	return true;
}

/* NULL if it is not an MTRR that is kept as a word. */
static uint64_t *mtrr_word(struct cpu *cpu, uint32_t index)
{
	if (index - MSR_MTRR_VARIABLE < 2 * N_VARIABLE_MTRRS)
		return &cpu->mtrr_variable[index - MSR_MTRR_VARIABLE];
	if (index == MSR_MTRR_FIXED_64K)
		return &cpu->mtrr_fixed[0];
	if (index - MSR_MTRR_FIXED_16K < 2)
		return &cpu->mtrr_fixed[1 + index - MSR_MTRR_FIXED_16K];
	if (index - MSR_MTRR_FIXED_4K < 8)
		return &cpu->mtrr_fixed[3 + index - MSR_MTRR_FIXED_4K];
	return NULL;
}

static bool write_mtrr(struct cpu *cpu, uint32_t index, uint64_t *word, uint64_t value)
{
	uint64_t beyond = cpu->mmu.paging.maxphyaddr < 64 ? ~0ull << cpu->mmu.paging.maxphyaddr : 0;

	if (index >= MSR_MTRR_FIXED_64K) {
		if (!are_memory_types(value, false))
			return false;
	} else if (index & 1) {
		if (value & (beyond | 0x7ff))
			return false;
	} else if ((value & (beyond | 0xf00)) || !is_memory_type(value & 0xff, false)) {
		return false;
	}
	*word = value;
	return true;
}

/* There, and 0: XSAVES has no state beyond XCR0's.  There are no performance counters either: the
 * client may know, as in the kernel, that they can do nothing. */
static bool stays_zero(const struct cpu *cpu, uint32_t index, enum msr_access who)
{
	if (index == MSR_PERF_CAPABILITIES)
		return who == MSR_BY_CLIENT;
	return index == MSR_XSS && (who == MSR_BY_CLIENT || cpuid_has(cpu, FEATURE_XSAVES));
}

/* To the client too: KVM_CAP_ENFORCE_PV_FEATURE_CPUID. */
static bool pv_is_there(const struct cpu *cpu, uint32_t index)
{
	bool old = index == MSR_OLD_WALL_CLOCK || index == MSR_OLD_SYSTEM_TIME;

	if (index == MSR_STEAL_TIME)
		return cpuid_allows_pv(cpu, PV_STEAL_TIME);
	return cpuid_allows_pv(cpu, old ? PV_CLOCKSOURCE : PV_CLOCKSOURCE_2);
}

/* Those that are no register like others: each its own way. */
static bool read_other(struct cpu *cpu, uint32_t index, uint64_t *value, enum msr_access who)
{
	switch (index) {
	case MSR_TSC:
		*value = cpu_tsc(cpu);
		return true;
	case MSR_TSC_ADJUST:
		*value = cpu->tsc_adjust;
		return true;
	case MSR_TSC_AUX:
		*value = cpu->tsc_aux;
		return who == MSR_BY_CLIENT || cpuid_has(cpu, FEATURE_RDTSCP) ||
		       cpuid_has(cpu, FEATURE_RDPID);
	case MSR_OLD_WALL_CLOCK:
	case MSR_WALL_CLOCK:
		*value = cpu->pvclock.wall_clock;
		return pv_is_there(cpu, index);
	case MSR_OLD_SYSTEM_TIME:
	case MSR_SYSTEM_TIME:
		*value = cpu->pvclock.system_time;
		return pv_is_there(cpu, index);
	case MSR_STEAL_TIME:
		*value = cpu->steal_time.area;
		return pv_is_there(cpu, index);
	case MSR_APIC_BASE:
		*value = cpu->apic_base;
		return true;
	case MSR_MICROCODE:
		*value = cpu->microcode;
		return true;
	case MSR_PLATFORM_INFO:
		*value = cpu->platform_info;
		return who == MSR_BY_CLIENT || cpu->platform_info_readable;
	case MSR_MTRR_CAP:
		*value = MTRR_CAP;
		return true;
	case MSR_MTRR_DEF_TYPE:
		*value = cpu->mtrr_def_type;
		return true;
	case MSR_MISC_ENABLE:
		*value = cpu->misc_enable;
		return true;
	case MSR_EFER:
		*value = cpu->mmu.paging.efer;
		return true;
	case MSR_HWCR:
		*value = cpu->hwcr;
		return true;
	case MSR_DE_CFG:
		*value = DE_CFG_LFENCE;
		return true;
	/* Their successors have taken over. */
	case MSR_P5_MC_ADDR:
	case MSR_P5_MC_TYPE:
		*value = 0;
		return true;
	default:
		*value = 0;
		return is_zero(index) || stays_zero(cpu, index, who);
	}
}

bool msr_read(struct cpu *cpu, uint32_t index, uint64_t *value, enum msr_access who)
{
	const struct plain *p = find_plain(index);
	uint64_t *mtrr = mtrr_word(cpu, index);
	bool known, ok;

	if (p || mtrr) {
		*value = p ? *word_of(cpu, p) : *mtrr;
		return true;
	}
	ok = mce_read(cpu, index, value, who, &known);
	if (known)
		return ok;
	if (is_of_apic(index))
		return read_apic(cpu, index, value, who);
	return read_other(cpu, index, value, who);
}

#define APIC_BASE_MODES (APIC_BASE_ENABLED | APIC_BASE_X2APIC)

bool apic_base_is_valid(const struct cpu *cpu, uint64_t value)
{
	uint64_t reserved = ~0ull << cpu->mmu.paging.maxphyaddr | 0x2ff;

	if (!cpuid_has(cpu, FEATURE_X2APIC))
		reserved |= APIC_BASE_X2APIC;
	return !(value & reserved) && (value & APIC_BASE_MODES) != APIC_BASE_X2APIC;
}

/* The APIC's mode can only change in steps: off, xAPIC, x2APIC. */
static bool write_apic_base(struct cpu *cpu, uint64_t value, enum msr_access who)
{
	uint64_t modes = APIC_BASE_MODES;
	uint64_t old = cpu->apic_base & modes, new = value & modes;

	if (!apic_base_is_valid(cpu, value))
		return false;
	if (who == MSR_BY_GUEST && ((old == modes && new == APIC_BASE_ENABLED) ||
				    (old == 0 && new == modes)))
		return false;
	cpu->apic_base = value;
	if (cpu->apic)
		cpu->apic->changed(cpu);
	return true;
}

/* A page of the guest's is out of date: the caller of cpu_run() writes it before the next
 * instruction. */
static bool page_changed(struct cpu *cpu, bool *stale, enum msr_access who)
{
	*stale = true;
	if (who == MSR_BY_GUEST)
		raise_exit(cpu, CPU_EXIT_POLL);
	return true;
}

/* The guest's writes move the counter by as much as they say in TSC_ADJUST; the
 * client's do the one or the other. */
static void write_tsc(struct cpu *cpu, uint64_t value, enum msr_access who)
{
	uint64_t by = value - cpu_tsc(cpu);

	cpu->tsc_offset += by;
	if (who == MSR_BY_GUEST)
		cpu->tsc_adjust += by;
	page_changed(cpu, &cpu->pvclock.time_stale, who);
}

static void write_tsc_adjust(struct cpu *cpu, uint64_t value, enum msr_access who)
{
	if (who == MSR_BY_GUEST)
		cpu->tsc_offset += value - cpu->tsc_adjust;
	cpu->tsc_adjust = value;
	page_changed(cpu, &cpu->pvclock.time_stale, who);
}

static bool write_efer(struct cpu *cpu, uint64_t value, enum msr_access who)
{
	uint64_t lma = X86_EFER_LMA;

	if (who == MSR_BY_GUEST)
		return control_write_efer(cpu, value);
	if (value & cpuid_efer_reserved(cpu) & ~lma)
		return false;
	/* LMA follows from CR0.PG and LME: only KVM_SET_SREGS writes it. */
	cpu->mmu.paging.efer = (value & ~lma) | (cpu->mmu.paging.efer & lma);
	cpu_state_changed(cpu);
	return true;
}

static bool write_aux(struct cpu *cpu, uint64_t value, enum msr_access who)
{
	if ((value >> 32) || (who == MSR_BY_GUEST && !cpuid_has(cpu, FEATURE_RDTSCP) &&
			      !cpuid_has(cpu, FEATURE_RDPID)))
		return false;
	cpu->tsc_aux = value;
	return true;
}

/* Where KVM's pages for the guest are. */
static bool write_pv(struct cpu *cpu, uint32_t index, uint64_t value, enum msr_access who)
{
	if (!pv_is_there(cpu, index))
		return false;
	switch (index) {
	case MSR_OLD_WALL_CLOCK:
	case MSR_WALL_CLOCK:
		cpu->pvclock.wall_clock = value;
		return page_changed(cpu, &cpu->pvclock.wall_stale, who);
	case MSR_STEAL_TIME:
		if (value & STEAL_TIME_RESERVED)
			return false;
		cpu->steal_time.area = value;
		return page_changed(cpu, &cpu->steal_time.stale, who);
	default:
		cpu->pvclock.system_time = value;
		return page_changed(cpu, &cpu->pvclock.time_stale, who);
	}
}

static bool write_other(struct cpu *cpu, uint32_t index, uint64_t value, enum msr_access who)
{
	switch (index) {
	case MSR_TSC:
		write_tsc(cpu, value, who);
		return true;
	case MSR_TSC_ADJUST:
		write_tsc_adjust(cpu, value, who);
		return true;
	case MSR_TSC_AUX:
		return write_aux(cpu, value, who);
	case MSR_OLD_WALL_CLOCK:
	case MSR_WALL_CLOCK:
	case MSR_OLD_SYSTEM_TIME:
	case MSR_SYSTEM_TIME:
	case MSR_STEAL_TIME:
		return write_pv(cpu, index, value, who);
	case MSR_APIC_BASE:
		return write_apic_base(cpu, value, who);
	case MSR_MICROCODE:
		/* The guest's loader writes here before it reads. */
		if (who == MSR_BY_CLIENT)
			cpu->microcode = value;
		return true;
	case MSR_PLATFORM_INFO:
		if (who == MSR_BY_GUEST)
			return false;
		cpu->platform_info = value;
		return true;
	case MSR_MTRR_DEF_TYPE:
		if ((value & ~MTRR_DEF_TYPE_KNOWN) || !is_memory_type(value & 0xff, false))
			return false;
		cpu->mtrr_def_type = value;
		return true;
	case MSR_MISC_ENABLE:
		if (who == MSR_BY_GUEST && ((value ^ cpu->misc_enable) & RESET_MISC_ENABLE))
			return false;
		if (cpu->quirks.mwait_bit_follows && !cpuid_has(cpu, FEATURE_SSE3) &&
		    ((value ^ cpu->misc_enable) & MISC_ENABLE_MWAIT))
			return false;
		cpu->misc_enable = value;
		return true;
	case MSR_EFER:
		return write_efer(cpu, value, who);
	case MSR_HWCR:
		if (value & ~HWCR_KNOWN)
			return false;
		cpu->hwcr = value & ~HWCR_IGNORED;
		return true;
	case MSR_DE_CFG:
		return who == MSR_BY_GUEST || value == DE_CFG_LFENCE;
	default:
		return is_zero(index) || (!value && stays_zero(cpu, index, who));
	}
}

bool msr_write(struct cpu *cpu, uint32_t index, uint64_t value, enum msr_access who)
{
	const struct plain *p = find_plain(index);
	uint64_t *mtrr = mtrr_word(cpu, index);
	bool known, ok;

	if (mtrr)
		return write_mtrr(cpu, index, mtrr, value);
	ok = mce_write(cpu, index, value, who, &known);
	if (known)
		return ok;
	if (p) {
		if (!obeys(cpu, p->rule, value))
			return false;
		*word_of(cpu, p) = value;
		return true;
	}
	if (is_of_apic(index))
		return write_apic(cpu, index, value, who);
	return write_other(cpu, index, value, who);
}

/* What the client can read is there.  Others are there only in another mode, or without the banks
 * that the client has asked for. */
bool msr_exists(struct cpu *cpu, uint32_t index)
{
	uint64_t value;

	return is_of_apic(index) || mce_is_register(index) ||
	       msr_read(cpu, index, &value, MSR_BY_CLIENT);
}
