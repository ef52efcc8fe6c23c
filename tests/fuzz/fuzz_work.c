/* SPDX-License-Identifier: MIT */
/*
 * tests/fuzz/fuzz_work.c - any instructions, in any mode: the host looks for signals in
 * time, and nothing ends the guest but what KVM has an exit for.
 *
 * The first byte is the mode, the second the flags (and whether there are breakpoints, AVX, a
 * device where the registers point to), three say how the general registers lie; then code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/state/cpuid.h"
#include "cpu/state/mode.h"
#include "input.h"
#include "machine.h"
#include "work.h"

#define MEMORY_BYTES (4u << 20)
#define RUNS 8
/* XRSTOR has 92 pieces. */
#define ANSWERS 256

/* Bits of the second byte. */
enum {
	FLAG_DF = 1 << 0, FLAG_TF = 1 << 1, FLAG_ZF = 1 << 2, FLAG_BREAKPOINTS = 1 << 3,
	FLAG_AVX = 1 << 4, FLAG_DEVICE = 1 << 5,
};

static void set_mode(struct machine *m, unsigned int mode)
{
	struct cpu *cpu = m->cpu;

	switch (mode % 6) {
	case 0:
	case 1:
		machine_set_long(m, cpu, mode & 1);
		break;
	case 2:
	case 3:
		machine_set_protected(m, cpu, true, mode & 1);
		break;
	case 4:
		machine_set_protected(m, cpu, false, false);
		break;
	default:
		machine_set_real(m, cpu);
	}
}

/* At the code, where it works, and on the stack that events are pushed to. */
static void set_breakpoints(struct cpu *cpu, uint8_t where)
{
	cpu->dr[0] = MACHINE_CODE + where % 16;
	cpu->dr[1] = MACHINE_DATA + 256ull * where;
	cpu->dr[2] = MACHINE_STACK - 24;
	cpu->dr[3] = where;
	/* Execution; an access of 4, a write of 8 bytes; 4 ports. */
	cpu->dr7 = 0x4ff | 0xfu << 20 | 0x9u << 24 | 0xeu << 28;
	cpu->mmu.paging.cr4 |= X86_CR4_DE;
	cpu_state_changed(cpu);
}

static void set_registers(struct cpu *cpu, struct input *in)
{
	uint8_t flags = input8(in), count = input8(in), where = input8(in), step = input8(in);
	/* Where memory ends, and what lies behind it is a device. */
	uint64_t at = flags & FLAG_DEVICE ? MEMORY_BYTES - PAGE_SIZE + 64ull * where :
					    MACHINE_DATA + 256ull * where;

	for (unsigned int i = 0; i < N_GPRS; i++)
		if (i != GPR_RSP)
			cpu->r[i] = at + (uint64_t)step * i;
	cpu->r[GPR_RCX] = 1ull << (count & 31);
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | (flags & FLAG_DF ? X86_EFLAGS_DF : 0) |
				    (flags & FLAG_TF ? X86_EFLAGS_TF : 0) |
				    (flags & FLAG_ZF ? X86_EFLAGS_ZF : 0));
	if (flags & FLAG_BREAKPOINTS)
		set_breakpoints(cpu, where);
	if (flags & FLAG_AVX) {
		cpu->mmu.paging.cr4 |= X86_CR4_OSXSAVE;
		cpu->xcr0 = cpuid_xcr0_offered();
		cpu_state_changed(cpu);
	}
}

/* Every gate leads back to the code. */
static void set_gates(struct machine *m, unsigned int mode)
{
	if (mode % 6 == 5)
		return;
	for (unsigned int v = 0; v < 256; v++)
		machine_set_gate(m, v, MACHINE_CODE, mode % 6 < 2 ? SEL_CODE64 : SEL_CODE32,
				 0xee, 0);
}

/* False: it has asked for nothing. */
static bool answer(struct cpu *cpu)
{
	bool asks = cpu->io.pending || cpu->mmio.pending || cpu->asked.pending;
	uint8_t data[8] = { 0 };

	if (cpu->io.pending)
		cpu_complete_io(cpu);
	if (cpu->mmio.pending)
		cpu_complete_mmio(cpu, data);
	if (cpu->asked.pending && cpu->exit == CPU_EXIT_HYPERCALL)
		cpu_complete_hypercall(cpu, 0);
	else if (cpu->asked.pending)
		cpu_complete_msr(cpu, false, 0);
	return asks;
}

static void check(uint64_t n, enum cpu_exit exit)
{
	if (n <= WORK_LIMIT)
		return;
	fprintf(stderr, "%llu blocks without a look for signals (exit %d)\n",
		(unsigned long long)n, (int)exit);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct machine *m = machine_make(MEMORY_BYTES, 1);
	struct cpu *cpu = m->cpu;
	unsigned int mode = input8(&in), runs = 0, answers = 0;
	enum cpu_exit exit = CPU_EXIT_POLL;

	set_mode(m, mode);
	set_gates(m, mode);
	set_registers(cpu, &in);
	memset(m->memory + MACHINE_CODE, 0xf4, 0x1000);
	memcpy(m->memory + MACHINE_CODE, in.at, in.left < 0xff0 ? in.left : 0xff0);
	while (runs < RUNS && answers < ANSWERS && exit != CPU_EXIT_SHUTDOWN) {
		check(work_of_run(cpu, &exit), exit);
		if (answer(cpu))
			answers++;
		else
			runs++;
	}
	machine_free(m);
	return 0;
}
