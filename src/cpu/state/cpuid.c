/* SPDX-License-Identifier: MIT */
/*
 * cpu/state/cpuid.c - which features there are, where CPUID shows them, and what it
 * answers.
 *
 * The table below is the one place where a feature is offered.  Vendor, family
 * and address width are the host's: programs compare them with what they see
 * outside of the guest.
 */
#include "cpu/state/cpuid.h"

#include <cpuid.h>
#include <string.h>

#include "cpu/state/msr.h"

enum output { EAX, EBX, ECX, EDX };

#define KVM_SIGNATURE_LEAF 0x40000000u
#define MAX_BASIC_LEAF 0xdu
#define MAX_EXTENDED_LEAF 0x80000008u
/* CLFLUSH line of 64 bytes, one logical processor. */
#define LEAF_1_EBX 0x00010800u

struct place {
	uint32_t leaf, subleaf;
	enum output output;
	uint8_t bit;
};

/* Features that others ask for, by their place. */
static const struct place places[] = {
	[FEATURE_NX] = { 0x80000001, 0, EDX, 20 },
	[FEATURE_LM] = { 0x80000001, 0, EDX, 29 },
	[FEATURE_1G_PAGES] = { 0x80000001, 0, EDX, 26 },
	[FEATURE_RDTSCP] = { 0x80000001, 0, EDX, 27 },
	[FEATURE_PCID] = { 1, 0, ECX, 17 },
	[FEATURE_PGE] = { 1, 0, EDX, 13 },
	[FEATURE_PSE] = { 1, 0, EDX, 3 },
	[FEATURE_PAE] = { 1, 0, EDX, 6 },
	[FEATURE_FSGSBASE] = { 7, 0, EBX, 0 },
	[FEATURE_SMEP] = { 7, 0, EBX, 7 },
	[FEATURE_SMAP] = { 7, 0, EBX, 20 },
	[FEATURE_PKU] = { 7, 0, ECX, 3 },
	[FEATURE_UMIP] = { 7, 0, ECX, 2 },
	[FEATURE_LA57] = { 7, 0, ECX, 16 },
	[FEATURE_INVPCID] = { 7, 0, EBX, 10 },
	[FEATURE_RDPID] = { 7, 0, ECX, 22 },
	[FEATURE_SYSCALL] = { 0x80000001, 0, EDX, 11 },
	[FEATURE_MCE] = { 1, 0, EDX, 7 },
	[FEATURE_DE] = { 1, 0, EDX, 2 },
	[FEATURE_FXSR] = { 1, 0, EDX, 24 },
	[FEATURE_XSAVE] = { 1, 0, ECX, 26 },
	[FEATURE_TSC_ADJUST] = { 7, 0, EBX, 1 },
	[FEATURE_APIC] = { 1, 0, EDX, 9 },
	[FEATURE_X2APIC] = { 1, 0, ECX, 21 },
	[FEATURE_TSC_DEADLINE] = { 1, 0, ECX, 24 },
	[FEATURE_MONITOR] = { 1, 0, ECX, 3 },
	[FEATURE_MTRR] = { 1, 0, EDX, 12 },
	[FEATURE_PAT] = { 1, 0, EDX, 16 },
	[FEATURE_SEP] = { 1, 0, EDX, 11 },
	[FEATURE_MCA] = { 1, 0, EDX, 14 },
	[FEATURE_FPU] = { 1, 0, EDX, 0 },
	[FEATURE_MMX] = { 1, 0, EDX, 23 },
	[FEATURE_SSE3] = { 1, 0, ECX, 0 },
	[FEATURE_SSSE3] = { 1, 0, ECX, 9 },
	[FEATURE_SSE41] = { 1, 0, ECX, 19 },
	[FEATURE_SSE42] = { 1, 0, ECX, 20 },
	[FEATURE_AES] = { 1, 0, ECX, 25 },
	[FEATURE_PCLMUL] = { 1, 0, ECX, 1 },
	[FEATURE_SHA] = { 7, 0, EBX, 29 },
	[FEATURE_GFNI] = { 7, 0, ECX, 8 },
	[FEATURE_RDRAND] = { 1, 0, ECX, 30 },
	[FEATURE_RDSEED] = { 7, 0, EBX, 18 },
	[FEATURE_SSE4A] = { 0x80000001, 0, ECX, 6 },
	[FEATURE_3DNOW] = { 0x80000001, 0, EDX, 31 },
	[FEATURE_BMI1] = { 7, 0, EBX, 3 },
	[FEATURE_BMI2] = { 7, 0, EBX, 8 },
	[FEATURE_POPCNT] = { 1, 0, ECX, 23 },
	[FEATURE_LZCNT] = { 0x80000001, 0, ECX, 5 },
	[FEATURE_MOVBE] = { 1, 0, ECX, 22 },
	[FEATURE_ADX] = { 7, 0, EBX, 19 },
	[FEATURE_CLFLUSHOPT] = { 7, 0, EBX, 23 },
	[FEATURE_CLWB] = { 7, 0, EBX, 24 },
	[FEATURE_SERIALIZE] = { 7, 0, EDX, 14 },
	[FEATURE_AVX] = { 1, 0, ECX, 28 },
	[FEATURE_AVX2] = { 7, 0, EBX, 5 },
	[FEATURE_FMA] = { 1, 0, ECX, 12 },
	[FEATURE_F16C] = { 1, 0, ECX, 29 },
	[FEATURE_VAES] = { 7, 0, ECX, 9 },
	[FEATURE_VPCLMULQDQ] = { 7, 0, ECX, 10 },
	[FEATURE_XSAVEOPT] = { 0xd, 1, EAX, 0 },
	[FEATURE_XSAVEC] = { 0xd, 1, EAX, 1 },
	[FEATURE_XGETBV1] = { 0xd, 1, EAX, 2 },
	[FEATURE_XSAVES] = { 0xd, 1, EAX, 3 },
};
_Static_assert(ARRAY_SIZE(places) == N_FEATURES, "every feature has its place");
_Static_assert(N_FEATURES <= 64, "and its bit");

/* The features offered: those above that work, and those that nothing else depends on. */
#define BIT(n) (1u << (n))
#define OFFERED_1_ECX                                                             \
	(BIT(13) /* CMPXCHG16B */ | BIT(17) /* PCID */ | BIT(21) /* x2APIC */ |   \
	 BIT(22) /* MOVBE */ | BIT(23) /* POPCNT */ | BIT(26) /* XSAVE */ |       \
	 BIT(31) /* hypervisor */)
/* The host does these. */
#define HOSTS_1_ECX                                                               \
	(BIT(0) /* SSE3 */ | BIT(1) /* PCLMULQDQ */ | BIT(9) /* SSSE3 */ |        \
	 BIT(19) /* SSE4.1 */ | BIT(20) /* SSE4.2 */ | BIT(25) /* AES */ |        \
	 BIT(30) /* RDRAND */)
#define HOSTS_7_EBX                                                               \
	(BIT(3) /* BMI1 */ | BIT(8) /* BMI2 */ | BIT(18) /* RDSEED */ |           \
	 BIT(29) /* SHA */)
/* And these, if its system lets programs use AVX. */
#define AVX_1_ECX (BIT(12) /* FMA */ | BIT(28) /* AVX */ | BIT(29) /* F16C */)
#define AVX_7_EBX BIT(5) /* AVX2 */
#define AVX_7_ECX (BIT(9) /* VAES */ | BIT(10) /* VPCLMULQDQ */)
#define OFFERED_1_EDX                                                             \
	(BIT(0) /* FPU */ | BIT(2) /* DE */ | BIT(3) /* PSE */ |                  \
	 BIT(4) /* TSC */ | BIT(5) /* MSR */ | BIT(6) /* PAE */ |                 \
	 BIT(7) /* MCE */ | BIT(8) /* CX8 */ | BIT(9) /* APIC */ |                \
	 BIT(11) /* SEP */ | BIT(12) /* MTRR */ | BIT(13) /* PGE */ |             \
	 BIT(14) /* MCA */ | BIT(15) /* CMOV */ | BIT(16) /* PAT */ |             \
	 BIT(17) /* PSE-36 */ | BIT(19) /* CLFLUSH */ | BIT(23) /* MMX */ |       \
	 BIT(24) /* FXSR */ |                                                     \
	 BIT(25) /* SSE */ | BIT(26) /* SSE2 */)
#define OFFERED_7_EBX                                                             \
	(BIT(0) /* FSGSBASE */ | BIT(1) /* TSC_ADJUST */ | BIT(7) /* SMEP */ |    \
	 BIT(6) /* FDP only with exceptions */ | BIT(13) /* no FCS, FDS */ |      \
	 BIT(9) /* ERMS */ | BIT(10) /* INVPCID */ | BIT(19) /* ADX */ |          \
	 BIT(20) /* SMAP */ | BIT(23) /* CLFLUSHOPT */ | BIT(24) /* CLWB */)
#define OFFERED_7_ECX (BIT(2) /* UMIP */ | BIT(3) /* PKU */ | BIT(22) /* RDPID */)
#define OFFERED_7_EDX (BIT(4) /* FSRM */ | BIT(14) /* SERIALIZE */)
#define OFFERED_EXT_1_ECX                                                         \
	(BIT(0) /* LAHF in 64-bit */ | BIT(5) /* LZCNT */ | BIT(8) /* PREFETCHW */)
/* Bits that AMD's processors repeat from leaf 1. */
#define AMD_REPEATED (OFFERED_1_EDX & 0x0183f3ffu)
#define OFFERED_EXT_1_EDX                                                         \
	(BIT(11) /* SYSCALL */ | BIT(20) /* NX */ | BIT(26) /* 1 GiB pages */ |   \
	 BIT(27) /* RDTSCP */ | BIT(29) /* long mode */)
#define TSC_IS_CONSTANT BIT(8)
/* KVM_FEATURE_NOP_IO_DELAY: a port has been written to when the next instruction runs. */
#define OFFERED_KVM                                                               \
	(BIT(0) /* kvmclock */ | BIT(1) /* no I/O delay */ | BIT(3) /* kvmclock's new MSRs */ | \
	 BIT(PV_UNHALT) | BIT(PV_SEND_IPI) | BIT(24) /* kvmclock's stable bit */)
#define LA57 BIT(16)
#define OFFERED_XSAVE                                                             \
	(BIT(0) /* XSAVEOPT */ | BIT(1) /* XSAVEC */ | BIT(2) /* XGETBV of 1 */ | \
	 BIT(3) /* XSAVES */)
/* XSAVE's area: of x87 and SSE, and the header; of AVX. */
#define XSAVE_BYTES 576u
#define AVX_BYTES 256u

/* Control bits that stand for features, and those that work but have none. */
static const struct {
	uint64_t bit;
	enum cpuid_feature feature;
} cr4_features[] = {
	{ X86_CR4_UMIP, FEATURE_UMIP },	    { X86_CR4_LA57, FEATURE_LA57 },
	{ X86_CR4_FSGSBASE, FEATURE_FSGSBASE }, { X86_CR4_PCIDE, FEATURE_PCID },
	{ X86_CR4_SMEP, FEATURE_SMEP },	    { X86_CR4_SMAP, FEATURE_SMAP },
	{ X86_CR4_PKE, FEATURE_PKU },	    { X86_CR4_OSXSAVE, FEATURE_XSAVE },
};
#define CR4_ALWAYS                                                                            \
	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE |   \
	 X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT)

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	out[EAX] = out[EBX] = out[ECX] = out[EDX] = 0;
	if ((uint32_t)__get_cpuid_max(leaf & 0x80000000, NULL) >= leaf)
		__cpuid_count(leaf, subleaf, out[EAX], out[EBX], out[ECX], out[EDX]);
}

/* "AuthenticAMD", "HygonGenuine", as EBX has them. */
static bool vendor_is_amd(uint32_t ebx)
{
	return ebx == 0x68747541 || ebx == 0x6f677948;
}

static bool host_is_amd(void)
{
	uint32_t out[4];

	host_cpuid(0, 0, out);
	return vendor_is_amd(out[EBX]);
}

static uint32_t host_la57(void)
{
	uint32_t out[4];

	host_cpuid(7, 0, out);
	return out[ECX] & LA57;
}

/* Physical address bits of the host, virtual ones of what is offered. */
static uint32_t address_widths(void)
{
	uint32_t out[4], physical, virtual = host_la57() ? 57 : 48;

	host_cpuid(0x80000008, 0, out);
	physical = out[EAX] & 0xff;
	if (!physical || physical > 52)
		physical = 36;
	return physical | virtual << 8;
}

static bool host_has_avx(void)
{
	const uint32_t wanted = BIT(27) /* OSXSAVE */ | BIT(28) /* AVX */;
	uint32_t out[4], low, high;

	host_cpuid(1, 0, out);
	if ((out[ECX] & wanted) != wanted)
		return false;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return !(~low & (XCR0_SSE | XCR0_AVX));
}

uint64_t cpuid_xcr0_offered(void)
{
	return XCR0_X87 | XCR0_SSE | (host_has_avx() ? XCR0_AVX : 0);
}

uint32_t cpuid_xsave_bytes(uint64_t xcr0)
{
	return XSAVE_BYTES + (xcr0 & XCR0_AVX ? AVX_BYTES : 0);
}

/* XSAVE's leaf: what there is, and how large its area is; where AVX's part is. */
static void offer_xsave(uint32_t subleaf, uint32_t out[4])
{
	uint64_t xcr0 = cpuid_xcr0_offered();

	memset(out, 0, 4 * sizeof(*out));
	if (subleaf == 2) {
		out[EAX] = AVX_BYTES;
		out[EBX] = XSAVE_BYTES;
		return;
	}
	out[EAX] = subleaf ? OFFERED_XSAVE : (uint32_t)xcr0;
	out[EBX] = cpuid_xsave_bytes(xcr0);
	out[ECX] = subleaf ? 0 : cpuid_xsave_bytes(xcr0);
}

/* The features among @bits of the host's that need AVX. */
static uint32_t with_avx(uint32_t bits)
{
	return bits && host_has_avx() ? bits : 0;
}

/* The features of a leaf, in place of the host's. */
static void offer(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	uint32_t host[4] = { out[EAX], out[EBX], out[ECX], out[EDX] };
	static const char signature[12] = "KVMKVMKVM";
	uint64_t waited;

	switch (leaf) {
	case 0:
		out[EAX] = MAX_BASIC_LEAF;
		break;
	case 1:
		out[EBX] = LEAF_1_EBX;
		out[ECX] = OFFERED_1_ECX | (host[ECX] & HOSTS_1_ECX) |
			   with_avx(host[ECX] & AVX_1_ECX);
		out[EDX] = OFFERED_1_EDX;
		break;
	case 6:
		memset(out, 0, 4 * sizeof(*out));
		break;
	case 7:
		out[EAX] = 0;
		out[EBX] = OFFERED_7_EBX | (host[EBX] & HOSTS_7_EBX) |
			   with_avx(host[EBX] & AVX_7_EBX);
		out[ECX] = OFFERED_7_ECX | (host[ECX] & LA57) |
			   with_avx(host[ECX] & AVX_7_ECX);
		out[EDX] = OFFERED_7_EDX;
		break;
	case 0xd:
		offer_xsave(subleaf, out);
		break;
	case KVM_SIGNATURE_LEAF:
		out[EAX] = KVM_SIGNATURE_LEAF + 1;
		memcpy(&out[EBX], signature, 12);
		break;
	case KVM_SIGNATURE_LEAF + 1:
		memset(out, 0, 4 * sizeof(*out));
		out[EAX] = OFFERED_KVM | (clock_run_delay_ns(&waited) ? BIT(PV_STEAL_TIME) : 0);
		break;
	case 0x80000000:
		out[EAX] = MAX_EXTENDED_LEAF;
		break;
	case 0x80000001:
		out[EBX] = 0;
		out[ECX] = OFFERED_EXT_1_ECX;
		out[EDX] = OFFERED_EXT_1_EDX | (host_is_amd() ? AMD_REPEATED : 0);
		break;
	case 0x80000007:
		out[EAX] = out[EBX] = out[ECX] = 0;
		out[EDX] &= TSC_IS_CONSTANT;
		break;
	case 0x80000008:
		out[EAX] = address_widths();
		out[EBX] = out[ECX] = out[EDX] = 0;
		break;
	default:
		break;
	}
}

struct list {
	struct cpuid_entry *entries;
	unsigned int n, max;
};

static void add(struct list *l, uint32_t leaf, uint32_t subleaf, bool has_subleafs)
{
	uint32_t out[4];

	host_cpuid(leaf, subleaf, out);
	offer(leaf, subleaf, out);
	if (l->n < l->max)
		l->entries[l->n] = (struct cpuid_entry){
			.leaf = leaf, .subleaf = subleaf, .has_subleafs = has_subleafs,
			.eax = out[EAX], .ebx = out[EBX], .ecx = out[ECX], .edx = out[EDX],
		};
	l->n++;
}

/* Caches, of Intel's processors: until there is none. */
static void add_caches(struct list *l)
{
	uint32_t out[4];

	for (uint32_t i = 0; i < 8; i++) {
		host_cpuid(4, i, out);
		/* A single CPU does not share its caches. */
		if (l->n < l->max)
			l->entries[l->n] = (struct cpuid_entry){
				.leaf = 4, .subleaf = i, .has_subleafs = true,
				.eax = out[EAX] & 0x3fff, .ebx = out[EBX], .ecx = out[ECX],
				.edx = out[EDX],
			};
		l->n++;
		if (!(out[EAX] & 0x1f))
			break;
	}
}

unsigned int cpuid_supported(struct cpuid_entry *entries, unsigned int max)
{
	struct list l = { .entries = entries, .max = max };

	add(&l, 0, 0, false);
	add(&l, 1, 0, false);
	if (!host_is_amd()) {
		add(&l, 2, 0, false);
		add_caches(&l);
	}
	add(&l, 6, 0, false);
	add(&l, 7, 0, true);
	add(&l, 0xd, 0, true);
	add(&l, 0xd, 1, true);
	if (host_has_avx())
		add(&l, 0xd, 2, true);
	add(&l, KVM_SIGNATURE_LEAF, 0, false);
	add(&l, KVM_SIGNATURE_LEAF + 1, 0, false);
	for (uint32_t leaf = 0x80000000; leaf <= MAX_EXTENDED_LEAF; leaf++)
		add(&l, leaf, 0, false);
	return l.n;
}

static const struct cpuid_entry *find(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned int i = 0; i < cpu->n_cpuid; i++) {
		const struct cpuid_entry *e = &cpu->cpuid[i];

		if (e->leaf == leaf && (!e->has_subleafs || e->subleaf == subleaf))
			return e;
	}
	return NULL;
}

static uint32_t output_of(const struct cpuid_entry *e, enum output output)
{
	switch (output) {
	case EAX:
		return e->eax;
	case EBX:
		return e->ebx;
	case ECX:
		return e->ecx;
	case EDX:
		break;
	}
	return e->edx;
}

static void set_bit(uint32_t *word, unsigned int bit, bool value)
{
	*word = (*word & ~BIT(bit)) | (value ? BIT(bit) : 0);
}

/* Bits that show the state of the processor, of those features that it has. */
static void show_state(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	if (leaf == 0xd && subleaf < 2) {
		out[EBX] = cpuid_xsave_bytes(cpu->xcr0);
	} else if (leaf == 1) {
		if (cpu->quirks.mwait_bit_follows)
			set_bit(&out[ECX], 3, cpuid_has_mwait(cpu));
		set_bit(&out[ECX], 27, cpu->mmu.paging.cr4 & X86_CR4_OSXSAVE);
		if (!(cpu->apic_base >> 11 & 1))
			set_bit(&out[EDX], 9, false);
	} else if (leaf == 7) {
		set_bit(&out[ECX], 4, cpu->mmu.paging.cr4 & X86_CR4_PKE);
	}
}

/* Beyond the last leaf Intel's processors repeat the highest basic one, AMD's say
 * nothing. */
static const struct cpuid_entry *find_instead(const struct cpu *cpu, uint32_t leaf,
					      uint32_t subleaf)
{
	const struct cpuid_entry *basic = find(cpu, 0, 0);
	const struct cpuid_entry *class = find(cpu, leaf & 0xc0000000, 0);

	if (!basic || vendor_is_amd(basic->ebx) || (class && leaf <= class->eax))
		return NULL;
	return find(cpu, basic->eax, subleaf);
}

void cpuid_read(const struct cpu *cpu, const struct cpuid_entry *e, uint32_t out[4])
{
	out[EAX] = e->eax;
	out[EBX] = e->ebx;
	out[ECX] = e->ecx;
	out[EDX] = e->edx;
	show_state(cpu, e->leaf, e->subleaf, out);
}

void cpuid_execute(struct cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	const struct cpuid_entry *e = find(cpu, leaf, subleaf);

	memset(out, 0, 4 * sizeof(*out));
	if (!e)
		e = find_instead(cpu, leaf, subleaf);
	if (!e)
		return;
	cpuid_read(cpu, e, out);
}

/* Before the client has set a table, what would be in one. */
static bool supported(const struct place *p)
{
	uint32_t out[4];

	host_cpuid(p->leaf, p->subleaf, out);
	offer(p->leaf, p->subleaf, out);
	return out[p->output] & BIT(p->bit);
}

bool cpuid_has(const struct cpu *cpu, enum cpuid_feature feature)
{
	const struct place *p = &places[feature];
	const struct cpuid_entry *e;

	if (!cpu->n_cpuid)
		return supported(p);
	e = find(cpu, p->leaf, p->subleaf);
	return e && (output_of(e, p->output) & BIT(p->bit));
}

bool cpuid_has_mwait(const struct cpu *cpu)
{
	if (cpu->quirks.mwait_bit_follows)
		return cpu->misc_enable & MISC_ENABLE_MWAIT;
	return cpuid_has(cpu, FEATURE_MONITOR);
}

/* Beside another hypervisor's leaves KVM's are 0x100 further on, or a multiple of that. */
#define KVM_SIGNATURE_EBX 0x4b4d564bu
#define KVM_SIGNATURE_LEAFS 0x10000u

static const struct cpuid_entry *find_kvm_features(const struct cpu *cpu)
{
	for (unsigned int i = 0; i < cpu->n_cpuid; i++) {
		const struct cpuid_entry *e = &cpu->cpuid[i];

		if (e->leaf - KVM_SIGNATURE_LEAF < KVM_SIGNATURE_LEAFS && !(e->leaf & 0xff) &&
		    e->ebx == KVM_SIGNATURE_EBX)
			return find(cpu, e->leaf + 1, 0);
	}
	return NULL;
}

bool cpuid_allows_pv(const struct cpu *cpu, unsigned int bit)
{
	const struct cpuid_entry *e;

	if (!cpu->pv_is_enforced)
		return true;
	e = find_kvm_features(cpu);
	return e && (e->eax & BIT(bit));
}

/* Those of one leaf. */
static uint64_t usable_of(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf)
{
	const struct cpuid_entry *e = find(cpu, leaf, subleaf);
	uint64_t usable = 0;
	uint32_t out[4];

	host_cpuid(leaf, subleaf, out);
	offer(leaf, subleaf, out);
	for (unsigned int i = 0; i < N_FEATURES; i++) {
		const struct place *p = &places[i];
		bool has = cpu->n_cpuid ? e && (output_of(e, p->output) & BIT(p->bit)) : true;

		if (p->leaf == leaf && p->subleaf == subleaf && has &&
		    (out[p->output] & BIT(p->bit)))
			usable |= 1ull << i;
	}
	return usable;
}

uint64_t cpuid_usable(const struct cpu *cpu)
{
	return usable_of(cpu, 1, 0) | usable_of(cpu, 7, 0) | usable_of(cpu, 0xd, 1) |
	       usable_of(cpu, 0x80000001, 0);
}

bool cpuid_is_amd(const struct cpu *cpu)
{
	const struct cpuid_entry *e = find(cpu, 0, 0);

	return e ? vendor_is_amd(e->ebx) : host_is_amd();
}

uint8_t cpuid_maxphyaddr(const struct cpu *cpu)
{
	const struct cpuid_entry *e = find(cpu, 0x80000008, 0);
	uint8_t bits;

	if (!cpu->n_cpuid)
		return (uint8_t)address_widths();
	bits = e ? (uint8_t)e->eax : 36;
	return bits < 32 || bits > 52 ? 36 : bits;
}

uint64_t cpuid_cr4_reserved(const struct cpu *cpu)
{
	uint64_t allowed = CR4_ALWAYS;

	for (size_t i = 0; i < ARRAY_SIZE(cr4_features); i++)
		if (cpuid_has(cpu, cr4_features[i].feature))
			allowed |= cr4_features[i].bit;
	return ~allowed;
}

uint64_t cpuid_efer_reserved(const struct cpu *cpu)
{
	uint64_t allowed = 0;

	if (cpuid_has(cpu, FEATURE_SYSCALL))
		allowed |= X86_EFER_SCE;
	if (cpuid_has(cpu, FEATURE_LM))
		allowed |= X86_EFER_LME | X86_EFER_LMA;
	if (cpuid_has(cpu, FEATURE_NX))
		allowed |= X86_EFER_NX;
	return ~allowed;
}

bool cpuid_allows_xcr0(const struct cpu *cpu, uint64_t xcr0)
{
	const struct cpuid_entry *e = find(cpu, 0xd, 0);
	uint64_t allowed = cpuid_xcr0_offered();

	if (cpu->n_cpuid)
		allowed &= e ? (uint64_t)e->edx << 32 | e->eax : 0;
	if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
		return false;
	return (xcr0 & XCR0_X87) && !(xcr0 & ~(allowed | XCR0_X87));
}
