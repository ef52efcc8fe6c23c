/* SPDX-License-Identifier: MIT */
/*
 * cpu/cpu.h - one x86-64 processor: its state and how to run it.
 *
 * All of it belongs to the thread that holds the vCPU; others reach it only
 * through mmu.requests.
 *
 * The paging registers (CR0, CR3, CR4, EFER), PKRU, the privilege level and
 * EFLAGS.AC live in mmu.paging, and nowhere else, as the MMU works by them.
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "base/types.h"
#include "mmu/guest/x86.h"
#include "mmu/vcpu.h"
#include "sync/clock.h"

/* Not REG_*: <ucontext.h> has those. */
enum cpu_reg {
	GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
	GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
	N_GPRS,
	/* Pseudo registers, for addressing: see struct cpu. */
	GPR_ZERO = N_GPRS, GPR_BLOCK, GPR_EA, N_ALL_GPRS,
};

enum cpu_seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, N_SEGS };

/* A segment register with what its descriptor said. */
struct segment {
	uint64_t base;
	uint32_t limit;		/* in bytes, granularity applied; last valid offset */
	uint16_t selector;
	uint8_t type;
	uint8_t dpl;
	bool present, s, l, db, g, avl;
	bool unusable;
};

struct descriptor_table {
	uint64_t base;
	uint16_t limit;
};

#define X86_EFLAGS_CF (1u << 0)
#define X86_EFLAGS_FIXED (1u << 1)
#define X86_EFLAGS_PF (1u << 2)
#define X86_EFLAGS_AF (1u << 4)
#define X86_EFLAGS_ZF (1u << 6)
#define X86_EFLAGS_SF (1u << 7)
#define X86_EFLAGS_TF (1u << 8)
#define X86_EFLAGS_IF (1u << 9)
#define X86_EFLAGS_DF (1u << 10)
#define X86_EFLAGS_OF (1u << 11)
#define X86_EFLAGS_IOPL (3u << 12)
#define X86_EFLAGS_NT (1u << 14)
#define X86_EFLAGS_RF (1u << 16)
#define X86_EFLAGS_VM (1u << 17)
#define X86_EFLAGS_AC (1u << 18)
#define X86_EFLAGS_VIF (1u << 19)
#define X86_EFLAGS_VIP (1u << 20)
#define X86_EFLAGS_ID (1u << 21)
#define X86_EFLAGS_STATUS                                                            \
	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | X86_EFLAGS_SF | \
	 X86_EFLAGS_OF)

/* Exception vectors. */
enum {
	EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5, EXC_UD = 6,
	EXC_NM = 7, EXC_DF = 8, EXC_TS = 10, EXC_NP = 11, EXC_SS = 12, EXC_GP = 13, EXC_PF = 14,
	EXC_MF = 16, EXC_AC = 17, EXC_MC = 18, EXC_XM = 19,
};

/* Events that an instruction holds back until the next one is done, or an event delivered. */
#define SHADOW_MOV_SS (1u << 0)	/* MOV SS, POP SS: interrupts and #DB */
#define SHADOW_STI (1u << 1)	/* interrupts */

/* Why cpu_run() has returned. */
enum cpu_exit {
	CPU_EXIT_POLL,		/* budget used up, or a request: look around, run on */
	CPU_EXIT_IO,		/* cpu->io */
	CPU_EXIT_MMIO,		/* cpu->mmio */
	CPU_EXIT_MSR,		/* cpu->asked: the client answers for an MSR */
	CPU_EXIT_HYPERCALL,	/* VMCALL: cpu_complete_hypercall() finishes it */
	CPU_EXIT_HLT,
	CPU_EXIT_DEBUG,		/* cpu->debug.report: what the client's debugging has met */
	CPU_EXIT_WINDOW,	/* an interrupt can be taken: cpu->interrupts.window_wanted */
	CPU_EXIT_TPR,		/* the guest has lowered CR8 */
	CPU_EXIT_SHUTDOWN,	/* triple fault */
	CPU_EXIT_INTERNAL_ERROR, /* cpu->error */
	CPU_EXIT_RING_FULL,	/* no page can be dirtied before the ring is reset */
	CPU_EXIT_EFAULT,	/* guest memory that the client does not have */
	CPU_EXIT_ENOMEM,
};

/*
 * Port I/O.  RIP still points at the instruction; cpu_complete_io() finishes it,
 * unless RIP has been changed meanwhile.
 */
struct cpu_io {
	bool pending;		/* an exit was made and is not yet completed */
	bool in;
	bool string;		/* INS, OUTS */
	uint8_t size;		/* 1, 2 or 4 bytes */
	uint16_t port;
	uint32_t count;		/* > 1 only for string forms */
	uint64_t linear_rip;	/* where the instruction was */
	/* The processor's own. */
	uint8_t length;		/* of the instruction */
	uint8_t address_bytes;	/* of its address and counter */
	bool rep;
	uint32_t n_ready;	/* INS: elements in io_data that wait for the guest's memory */
	uint32_t n_stored;	/* of these, stored so far */
	uint8_t hits;		/* breakpoints that the last element has hit: bits of DR6 */
};
#define CPU_IO_BYTES PAGE_SIZE

/*
 * Memory-mapped I/O.  A write has been committed with its instruction when the
 * exit is made.  A read starts its instruction again when the data is there:
 * fragments that have been read are kept until the instruction is done.
 */
/* XRSTOR has 92, XSAVE 85; ENTER, and a call gate with its parameters, fewer. */
#define CPU_MMIO_FRAGMENTS 92
struct cpu_mmio {
	bool pending;
	bool write;
	uint8_t bytes;		/* 1 to 8 */
	gpa_t gpa;
	uint8_t data[8];
	bool of_event;		/* it is an event's delivery that reads, not an instruction */
	unsigned int n_done;	/* read fragments that wait for the instruction */
	unsigned int n_used;	/* of these, given to it in this attempt */
	uint64_t rip;		/* of the instruction that they belong to */
	struct {
		gpa_t gpa;
		uint8_t bytes;
		uint8_t data[8];
	} done[CPU_MMIO_FRAGMENTS];
	/* Fragments of a write that wait for their exit: one exit each, in order. */
	unsigned int n_writes, next_write;
	struct {
		gpa_t gpa;
		uint8_t bytes;
		uint8_t data[8];
	} writes[CPU_MMIO_FRAGMENTS];
};

/* Why the processor does not make an access to an MSR. */
enum msr_trouble {
	MSR_INVALID,		/* there is such a register, but it does not allow this */
	MSR_UNKNOWN,		/* there is none */
	MSR_FILTERED,		/* the client keeps it from the guest */
};

/* An instruction that the caller of cpu_run() finishes: cpu/event/ask.h. */
struct cpu_asked {
	bool pending;
	uint8_t length;		/* of the instruction */
	uint64_t linear_rip;	/* where it was */
	bool write;		/* WRMSR */
	uint32_t msr;
	uint64_t value;		/* to be written */
	enum msr_trouble why;
};

/* What KVM_EXIT_INTERNAL_ERROR says. */
struct cpu_error {
	uint8_t n_bytes;
	uint8_t bytes[15];	/* of the instruction at RIP, as far as it could be read */
	const char *what;	/* for the log; NULL: nothing to say */
};

/* An event to be delivered through the IDT before the next instruction. */
struct cpu_event {
	bool pending;
	bool software;		/* INT n, INT3, INTO: the DPL of the gate counts */
	bool interrupt;		/* from outside: no exception, whatever the vector */
	bool nmi;		/* and one that is not masked by IF */
	bool has_error;
	uint8_t vector;
	uint8_t length;		/* of a software one's instruction: RIP + length is pushed */
	uint32_t error_code;
	bool has_payload;	/* what its delivery leaves in CR2, or adds to DR6 */
	uint64_t payload;
};

/* How the client debugs the guest. */
struct cpu_client_debug {
	bool steps;		/* after each instruction */
	bool breaks;		/* at breakpoints of its own, in place of the guest's */
	bool takes_int3;
	bool holds_interrupts;	/* and NMIs: none is accepted meanwhile */
	uint64_t dr[4], dr7;	/* those breakpoints */
	uint64_t step_rip;	/* linear: where it was when it asked for steps */
};

/* What waits to become cpu->event, and what keeps it waiting: cpu/event/interrupt.h. */
struct cpu_interrupts {
	bool accepted;		/* one of .vector: to be delivered, whatever IF says by now */
	uint8_t vector;
	bool nmi_accepted;	/* to be delivered, whatever blocks NMIs by now */
	uint8_t nmis;		/* that have not been accepted yet: at most 2 */
	bool nmi_blocked;	/* from the delivery of one until IRET */
	bool window_wanted;	/* the caller waits for the moment when one can be taken */
};

/* Machine checks: cpu/state/mce.h. */
#define MCE_MAX_BANKS 32u
struct cpu_mce {
	uint64_t capabilities, status, ctl;
	uint64_t bank[MCE_MAX_BANKS][4];
	uint64_t ctl2[MCE_MAX_BANKS];
};

/* What the guest has asked of KVM's clock; the pages are written by kvm/pvclock.h. */
struct cpu_pvclock {
	uint64_t system_time, wall_clock;	/* the MSRs */
	bool time_stale, wall_stale;		/* the pages are out of date */
	bool stopped;		/* the next page says that the guest was stopped */
};

/* And of its steal time: kvm/steal_time.h. */
#define STEAL_TIME_ENABLED 1u
struct cpu_steal_time {
	uint64_t area;		/* the MSR */
	bool stale;		/* what is there is to be written */
};

/* Where KVM differs from hardware, unless its client asks for hardware's behaviour. */
struct cpu_quirks {
	bool fixes_hypercalls;	/* the other vendor's VMCALL or VMMCALL is replaced */
	bool never_lacks_mwait;	/* MONITOR and MWAIT are there, whatever CPUID says */
	bool mwait_bit_follows;	/* CPUID's bit of these is that of cpu->misc_enable */
};

/* Breakpoints and their #DB: cpu/state/debug.h. */
struct cpu_debug {
	bool enabled;		/* DR7 enables any */
	uint8_t seen;		/* hit by what is under way: bits of DR6 */
	uint16_t held;		/* waits for an instruction or a delivery: bits of DR6 */
	uint64_t dr[4], dr7;	/* in effect: the guest's, or the client's */
	struct cpu_client_debug client;
	struct {
		bool pending;	/* the exit is still to be made */
		uint8_t vector;	/* EXC_DB or EXC_BP */
		uint64_t dr6;
	} report;
};

union xmm {
	uint8_t u8[16];
	uint16_t u16[8];
	uint32_t u32[4];
	uint64_t u64[2];
} __attribute__((aligned(16)));

/* The x87's registers as FXSAVE orders them: cpu/insn/x87/x87.h. */
struct x87 {
	uint16_t fcw, fsw, fop;
	uint8_t ftw;		/* a bit for each register that is in use, R0 first */
	uint64_t fip, fdp;
	union xmm st[8];	/* ST(0) first, ten bytes of each */
};

struct cpuid_entry {
	uint32_t leaf, subleaf;
	bool has_subleafs;
	uint32_t eax, ebx, ecx, edx;
};

/* What FXSAVE stores, with 64-bit pointers. */
struct fx_image {
	uint16_t fcw, fsw;
	uint8_t ftw, reserved;
	uint16_t fop;
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	union xmm st[8];
	union xmm xmm[16];
	uint8_t unused[96];
};
_Static_assert(sizeof(struct fx_image) == 512, "as the manuals have it");

#define XCR0_X87 (1ull << 0)
#define XCR0_SSE (1ull << 1)
#define XCR0_AVX (1ull << 2)

#define N_FIXED_MTRRS 11
#define N_VARIABLE_MTRRS 8

struct block_cache;
struct op;
struct cpu;

/* The local APIC, where the processor has one: NULL if the caller keeps only what it says. */
struct cpu_apic {
	/* MSRs 0x800 to 0x8ff and the TSC deadline.  False: a fault. */
	bool (*read_msr)(struct cpu *cpu, uint32_t index, uint64_t *value);
	bool (*write_msr)(struct cpu *cpu, uint32_t index, uint64_t value);
	/* cpu->apic_base or cpu->cr8 was written, by other than MOV. */
	void (*changed)(struct cpu *cpu);
};

/* What the client has decided about the guest's RDMSR and WRMSR. */
struct cpu_msr_policy {
	bool (*allows)(struct cpu *cpu, uint32_t index, bool write);
	/* Does it answer where they would fault?  Else it is #GP. */
	bool (*answers)(struct cpu *cpu, enum msr_trouble why);
};

struct cpu {
	struct mmu_vcpu mmu;

	/* The slots after the registers are for addressing: one that is always
	 * zero, the address at which the block being run begins, and a linear
	 * address that was worked out by an op of its own. */
	uint64_t r[N_ALL_GPRS] CACHE_ALIGNED;
	uint64_t rip;
	/* The status flags as the last instruction left them: cpu/state/flags.h. */
	uint32_t cc_op;
	uint32_t rflags;	/* all others; the status flags only if cc_op says so */
	uint64_t cc_dst;
	int64_t budget;		/* what cpu_run() was given, less instructions */
	uint64_t cc_src;	/* not next to cc_dst, or they are stored as a vector */
	int64_t charged;	/* for what is no instruction: cpu/charge.h */
	bool stop;		/* leave the block after this instruction */
	bool leaving;		/* and then cpu_run(), for the reason in exit */
	bool abandoned;		/* the last op was not completed */
	enum cpu_exit exit;
	/* Derived from segs and mmu.paging: cpu/state/mode.h. */
	uint32_t mode;		/* what the meaning of code depends on */
	uint64_t ea_mask;	/* the width of linear addresses and of (E)IP */
	uint64_t cs_base;	/* what is added to RIP */
	struct segment segs[N_SEGS];
	struct block_cache *blocks;

	union xmm xmm[16];
	union xmm ymm_high[16];	/* the upper halves of the YMM registers */
	uint32_t mxcsr;
	bool fp_live;		/* MXCSR is in the host's register: cpu/insn/sse/fp.h */
	uint32_t host_mxcsr;	/* what was there before */
	uint32_t mxcsr_mask;	/* (c) bits that the host has */
	struct x87 x87;		/* but for what is in the host's registers */
	bool x87_live;
	uint64_t xcr0;

	struct descriptor_table gdt, idt;
	uint64_t cr2, cr8;
	uint64_t dr[4], dr6, dr7;
	struct cpu_event event;
	struct cpu_event fault;	/* what the instruction under way has raised */
	struct cpu_interrupts interrupts;
	uint8_t interrupt_shadow; /* SHADOW_* */
	struct cpu_debug debug;
	bool halted;

	/* Model-specific registers: cpu/state/msr.h. */
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t tsc_aux, tsc_offset, tsc_adjust;
	uint64_t tsc_scale;	/* guest's clocks for one of the host's; TSC_SCALE_ONE: the same */
	uint64_t apic_base, pat, misc_enable, platform_info, mtrr_def_type;
	uint64_t mtrr_fixed[N_FIXED_MTRRS], mtrr_variable[2 * N_VARIABLE_MTRRS];
	uint64_t hwcr, microcode, power_ctl;
	struct cpu_mce mce;
	struct cpu_pvclock pvclock;
	struct cpu_steal_time steal_time;
	const struct cpu_apic *apic; /* (c) */
	const struct cpu_msr_policy *msr_policy; /* (c) NULL: all is allowed, and faults */
	bool platform_info_readable; /* by the guest: KVM_CAP_MSR_PLATFORM_INFO */
	bool pv_is_enforced;	/* what CPUID's leaf of KVM lacks is not there */
	struct cpu_quirks quirks;
	bool shutdown;		/* a triple fault that no instruction has made */

	/* The client's: replaced as a whole by KVM_SET_CPUID2. */
	struct cpuid_entry *cpuid;
	unsigned int n_cpuid;
	uint64_t usable;	/* features that it has and that work: a bit for each */
	uint8_t cpuid_number;	/* changes with them */

	struct cpu_io io;
	uint8_t *io_data;	/* (c) CPU_IO_BYTES, shared with the client */
	struct cpu_mmio mmio;
	struct cpu_asked asked;
	struct cpu_error error;
	struct fx_image host_x87; /* what was in the host's registers before the guest's */
};

#define TSC_SCALE_BITS 48
#define TSC_SCALE_ONE (1ull << TSC_SCALE_BITS)

/* The guest's time-stamp counter, when the host's shows @host. */
static inline uint64_t cpu_tsc_at(const struct cpu *cpu, uint64_t host)
{
	return (uint64_t)((unsigned __int128)host * cpu->tsc_scale >> TSC_SCALE_BITS) +
	       cpu->tsc_offset;
}

/* Now. */
static inline uint64_t cpu_tsc(const struct cpu *cpu)
{
	return cpu_tsc_at(cpu, clock_tsc());
}

/*
 * A processor after reset (SDM 3A 9.1.1): real mode at f000:fff0.  @cpu is
 * zeroed memory aligned to the cache line; cpu->mmu is initialised by the caller
 * before and destroyed after.  0 or -ENOMEM.
 */
int cpu_init(struct cpu *cpu, uint8_t *io_data) MUST_CHECK;
void cpu_destroy(struct cpu *cpu);
/* Power-up; CPUID and the TSC as @cpu_init leaves them. */
void cpu_reset(struct cpu *cpu);
/* An INIT: as after reset, but x87 and SSE, MSRs, MTRRs and what caching CR0 allows stay.  SDM 3A
 * table "processor states following power-up, reset, or INIT". */
void cpu_take_init(struct cpu *cpu);

/*
 * The client has replaced cpu->cpuid: takes over what is derived from it.  Code is decoded
 * again if other features are usable.
 */
void cpu_cpuid_changed(struct cpu *cpu);

/*
 * Runs the guest for the time of about @budget instructions, or until something is for
 * the caller.  Enters and leaves guest mode; no lock may be held.  Returns outside
 * guest mode with all state in *cpu, at the boundary of an instruction.
 */
enum cpu_exit cpu_run(struct cpu *cpu, int64_t budget);

/* The client has answered an exit: call before cpu_run() when the field's
 * .pending is set.  @data: what the device gave, for a read. */
void cpu_complete_io(struct cpu *cpu);
void cpu_complete_mmio(struct cpu *cpu, const uint8_t data[8]);
/* @result: RAX. */
void cpu_complete_hypercall(struct cpu *cpu, uint64_t result);
/* @error: #GP; @value: what was read. */
void cpu_complete_msr(struct cpu *cpu, bool error, uint64_t value);

/* EFLAGS in full; setting takes every bit as it is. */
uint64_t cpu_get_rflags(struct cpu *cpu);
void cpu_set_rflags(struct cpu *cpu, uint64_t rflags);

/*
 * The client has changed segs, paging, efer, rflags or debug registers: brings in step
 * what is derived from them (privilege, AC, TLB).  MODEL_SREGS_FLUSH.
 */
void cpu_state_changed(struct cpu *cpu);

/* Reads the page-directory-pointer registers at CR3 (PAE paging); false if a
 * reserved bit is set or they cannot be read, and nothing has changed. */
bool cpu_load_pdptrs(struct cpu *cpu, uint64_t cr3);

/* Loads @bytes of code or data at a linear address for the outside (error
 * reports); stops at what cannot be read.  Returns how many bytes. */
unsigned int cpu_peek(struct cpu *cpu, uint64_t linear, uint8_t *to, unsigned int bytes);

static inline bool cpu_is_long_mode(const struct cpu *cpu)
{
	return cpu->mmu.paging.efer & X86_EFER_LMA;
}

/* Where the guest is. */
static inline uint64_t cpu_linear_rip(const struct cpu *cpu)
{
	return (cpu->cs_base + cpu->rip) & cpu->ea_mask;
}

/* EFLAGS.VM means nothing in real mode and in long mode. */
static inline bool cpu_flags_say_v86(const struct cpu *cpu)
{
	return (cpu->rflags & X86_EFLAGS_VM) && (cpu->mmu.paging.cr0 & X86_CR0_PE) &&
	       !cpu_is_long_mode(cpu);
}

static inline bool cpu_is_64bit(const struct cpu *cpu)
{
	return cpu_is_long_mode(cpu) && cpu->segs[SEG_CS].l;
}

#endif
