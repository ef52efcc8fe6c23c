/* SPDX-License-Identifier: MIT */
/*
 * Features that CPUID offers, each in use: the instruction or the register does what the
 * manuals say, and refuses what they say; on direct tables and on shadow tables.
 * docs/REPORTED.md names the test of each.
 */
#include <string.h>
#include <sys/mman.h>

#include "code.h"
#include "cpu/state/cpuid.h"
#include "cpu/state/flags.h"
#include "cpu/state/msr.h"
#include "sync/clock.h"

#define ROOT_2 0x14000u		/* a second root and the tables below it */

/* Runs @c in 64-bit mode, from its beginning, with the registers as they are. */
static void expect(struct machine *m, struct code c, int vector)
{
	struct cpu *cpu = m->cpu;

	cpu->rip = MACHINE_CODE;
	assert_int_equal(run_code(m, cpu, c), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), vector);
	if (vector >= 0)
		cpu->r[GPR_RSP] = MACHINE_STACK;
}

/* The error code that the last exception has pushed. */
static uint64_t error_code(const struct machine *m)
{
	return machine_read64(m, MACHINE_STACK - 48);
}

static void set_cr4(struct cpu *cpu, uint64_t bits)
{
	cpu->mmu.paging.cr4 |= bits;
	cpu_state_changed(cpu);
}

/* The table of the client, in which a feature is missing. */
static struct cpuid_entry table[100];

static struct cpuid_entry *use_table(struct cpu *cpu, uint32_t leaf)
{
	cpu->n_cpuid = cpuid_supported(table, ARRAY_SIZE(table));
	cpu->cpuid = table;
	for (unsigned int i = 0; i < cpu->n_cpuid; i++)
		if (table[i].leaf == leaf)
			return &table[i];
	fail_msg("no leaf %#x", leaf);
	return NULL;
}

static void forget_table(struct cpu *cpu)
{
	cpu->cpuid = NULL;
	cpu->n_cpuid = 0;
	cpu_state_changed(cpu);
}

/* --- instructions ---------------------------------------------------------------- */

CODE(exchange_8, ".code64", "lock cmpxchg8b (%rsi)\n hlt\n")

static void cmpxchg8b_exchanges_or_loads(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t value = 0x1111111122222222;

	machine_set_long(m, cpu, false);
	memcpy(m->memory + MACHINE_DATA, &value, 8);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	cpu->r[GPR_RAX] = 0x22222222;
	cpu->r[GPR_RDX] = 0x11111111;
	cpu->r[GPR_RBX] = 0x44444444;
	cpu->r[GPR_RCX] = 0x33333333;
	expect(m, exchange_8, -1);
	assert_true(cpu_get_rflags(cpu) & X86_EFLAGS_ZF);
	assert_true(machine_read64(m, MACHINE_DATA) == 0x3333333344444444);
	expect(m, exchange_8, -1);
	assert_false(cpu_get_rflags(cpu) & X86_EFLAGS_ZF);
	assert_true(cpu->r[GPR_RAX] == 0x44444444 && cpu->r[GPR_RDX] == 0x33333333);
	assert_true(machine_read64(m, MACHINE_DATA) == 0x3333333344444444);
}

CODE(conditional_moves, ".code64",
     "mov $-1, %rax\n mov $-1, %rbx\n mov $7, %ecx\n"
     "cmp $7, %ecx\n cmove %rcx, %rax\n cmovne %rcx, %rbx\n"
     /* Of 32 bits it clears the upper half whether it moves or not. */
     "mov $-1, %rdx\n cmovne %ecx, %edx\n"
     "stc\n cmovc (%rsi), %rdi\n hlt\n")

static void cmov_moves_on_its_condition(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	memcpy(m->memory + MACHINE_DATA, "abcdefgh", 8);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	expect(m, conditional_moves, -1);
	assert_true(cpu->r[GPR_RAX] == 7 && cpu->r[GPR_RBX] == ~0ull);
	assert_true(cpu->r[GPR_RDX] == 0xffffffff);
	assert_memory_equal(&cpu->r[GPR_RDI], "abcdefgh", 8);
	/* The operand is read either way. */
	cpu->r[GPR_RSI] = 1ull << 40;
	expect(m, conditional_moves, EXC_PF);
}

CODE(swapping_moves, ".code64",
     "movbe (%rsi), %rax\n movbe (%rsi), %ebx\n mov $-1, %rcx\n movbe (%rsi), %cx\n"
     "movbe %rax, 8(%rsi)\n movbe %ax, 16(%rsi)\n hlt\n")

static void movbe_swaps_bytes(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	memcpy(m->memory + MACHINE_DATA, "\1\2\3\4\5\6\7\10", 8);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	expect(m, swapping_moves, -1);
	assert_true(cpu->r[GPR_RAX] == 0x0102030405060708);
	assert_true(cpu->r[GPR_RBX] == 0x01020304);
	assert_true(cpu->r[GPR_RCX] == 0xffffffffffff0102);
	assert_memory_equal(m->memory + MACHINE_DATA + 8, "\1\2\3\4\5\6\7\10\7\10", 10);
}

CODE(count_bits, ".code64",
     "popcnt %rsi, %rax\n setz %dil\n popcnt %si, %bx\n lzcnt %rsi, %rcx\n lzcnt %esi, %edx\n"
     "setc %dh\n hlt\n")

static void bits_are_counted(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RSI] = 0x0000f0f000000000;
	expect(m, count_bits, -1);
	assert_int_equal(cpu->r[GPR_RAX], 8);
	assert_int_equal(cpu->r[GPR_RDI] & 0xff, 0);
	assert_int_equal(cpu->r[GPR_RBX] & 0xffff, 0);
	assert_int_equal(cpu->r[GPR_RCX], 16);
	/* Of zero: the width, and CF. */
	assert_int_equal(cpu->r[GPR_RDX], 32 | 1 << 8);
}

CODE(add_with_two_carries, ".code64",
     "mov $-1, %rax\n mov $-1, %rbx\n mov $1, %ecx\n xor %edx, %edx\n"
     "adcx %rcx, %rax\n adox %rcx, %rbx\n"
     "mov $5, %esi\n mov $6, %edi\n adcx %rdx, %rsi\n adox %rdx, %rdi\n hlt\n")

static void adcx_and_adox_have_a_carry_each(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	expect(m, add_with_two_carries, -1);
	assert_true(cpu->r[GPR_RAX] == 0 && cpu->r[GPR_RBX] == 0);
	assert_true(cpu->r[GPR_RSI] == 6 && cpu->r[GPR_RDI] == 7);
	/* XOR had set Z; nothing has changed it. */
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_STATUS, X86_EFLAGS_ZF | X86_EFLAGS_PF);
}

CODE(flags_in_ah, ".code64",
     "mov $0xd500, %eax\n sahf\n setc %bl\n setz %bh\n xor %ecx, %ecx\n sahf\n lahf\n hlt\n")

static void lahf_and_sahf_work_in_64_bits(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	expect(m, flags_in_ah, -1);
	assert_int_equal(cpu->r[GPR_RBX] & 0xffff, 0x0101);
	assert_int_equal(cpu->r[GPR_RAX], 0xd700);
}

CODE(flush_a_line, ".code64", "clflush 5(%rsi)\n hlt\n")
CODE(flush_a_line_opt, ".code64", "clflushopt 5(%rsi)\n hlt\n")
CODE(write_a_line_back, ".code64", "clwb 5(%rsi)\n hlt\n")

static void lines_are_flushed_where_they_can_be_read(void **state)
{
	static const struct code *const all[] = { &flush_a_line, &flush_a_line_opt,
						  &write_a_line_back };
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	*machine_pte(m, MACHINE_DATA + 0x1000) = 0;
	*machine_pte(m, MACHINE_DATA + 0x2000) &= ~GPTE_W;
	memcpy(m->memory + MACHINE_DATA, "unchanged", 10);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		cpu->r[GPR_RSI] = MACHINE_DATA;
		expect(m, *all[i], -1);
		assert_string_equal((char *)m->memory + MACHINE_DATA, "unchanged");
		cpu->r[GPR_RSI] = MACHINE_DATA + 0x2000;
		expect(m, *all[i], -1);
		cpu->r[GPR_RSI] = MACHINE_DATA + 0x1000;
		expect(m, *all[i], EXC_PF);
		assert_true(cpu->cr2 == MACHINE_DATA + 0x1005);
		assert_int_equal(error_code(m), 0);
		cpu->r[GPR_RSI] = 1ull << 63;
		expect(m, *all[i], EXC_GP);
	}
}

CODE(prefetches, ".code64",
     "prefetchw (%rsi)\n prefetch (%rsi)\n prefetcht0 (%rsi)\n prefetchnta (%rsi)\n hlt\n")

static void a_prefetch_never_faults(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	*machine_pte(m, MACHINE_DATA) = 0;
	cpu->r[GPR_RSI] = MACHINE_DATA;
	expect(m, prefetches, -1);
	cpu->r[GPR_RSI] = 1ull << 63;
	expect(m, prefetches, -1);
}

CODE(move_bytes, ".code64", "rep movsb\n hlt\n")
CODE(store_bytes, ".code64", "rep stosb\n hlt\n")

/* ERMS and FSRM promise speed, for any count and alignment; here, that it is right. */
static void bytes_are_moved_by_any_number(void **state)
{
	static const uint32_t counts[] = { 0, 1, 15, 63, 127, 128, 4095, 4097, 70001, 1u << 20 };
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint32_t from = 0x100000 + 3, to = 0x280000 + 9;

	machine_set_long(m, cpu, false);
	for (uint32_t i = 0; i <= 1u << 20; i++)
		m->memory[from + i] = (uint8_t)(i * 31 + i / 251);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		memset(m->memory + to - 1, 0xee, (1u << 20) + 2);
		cpu->r[GPR_RSI] = from;
		cpu->r[GPR_RDI] = to;
		cpu->r[GPR_RCX] = counts[i];
		expect(m, move_bytes, -1);
		assert_memory_equal(m->memory + to, m->memory + from, counts[i]);
		assert_int_equal(m->memory[to - 1], 0xee);
		assert_int_equal(m->memory[to + counts[i]], 0xee);
		assert_true(cpu->r[GPR_RCX] == 0 && cpu->r[GPR_RDI] == to + counts[i]);
		cpu->r[GPR_RAX] = 0x77;
		cpu->r[GPR_RDI] = to;
		cpu->r[GPR_RCX] = counts[i];
		expect(m, store_bytes, -1);
		for (uint32_t at = 0; at < counts[i]; at++)
			assert_int_equal(m->memory[to + at], 0x77);
		assert_int_equal(m->memory[to + counts[i]], 0xee);
	}
}

/* --- SSE ------------------------------------------------------------------------- */

CODE(add_floats, ".code64",
     "movups (%rsi), %xmm1\n addps %xmm1, %xmm1\n movups %xmm1, (%rdi)\n"
     "movupd 16(%rsi), %xmm2\n mulpd %xmm2, %xmm2\n movupd %xmm2, 16(%rdi)\n"
     "paddd %xmm2, %xmm2\n hlt\n")
CODE(divide_by_zero, ".code64",
     "movl $0x1d80, (%rsi)\n ldmxcsr (%rsi)\n pcmpeqd %xmm0, %xmm0\n psrld $25, %xmm0\n"
     "pslld $23, %xmm0\n xorps %xmm1, %xmm1\n divps %xmm1, %xmm0\n hlt\n")

static void sse_computes(void **state)
{
	static const float floats[4] = { 1, 2.5f, -3, 1e30f };
	static const double doubles[2] = { -1.5, 1e100 };
	static const float sums[4] = { 2, 5, -6, 2e30f };
	static const double squares[2] = { 2.25, 1e100 * 1e100 };
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	memcpy(m->memory + MACHINE_DATA, floats, 16);
	memcpy(m->memory + MACHINE_DATA + 16, doubles, 16);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	cpu->r[GPR_RDI] = MACHINE_DATA + 32;
	expect(m, add_floats, -1);
	assert_memory_equal(m->memory + MACHINE_DATA + 32, sums, 16);
	assert_memory_equal(m->memory + MACHINE_DATA + 48, squares, 16);
}

/* The switches by which a system enables it, one after the other. */
static void sse_asks_the_control_registers(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RSI] = cpu->r[GPR_RDI] = MACHINE_DATA;
	expect(m, divide_by_zero, EXC_XM);
	assert_int_equal(cpu->mxcsr & 4, 4);
	cpu->mmu.paging.cr4 &= ~X86_CR4_OSXMMEXCPT;
	cpu_state_changed(cpu);
	expect(m, divide_by_zero, EXC_UD);
	expect(m, add_floats, -1);
	cpu->mmu.paging.cr0 |= X86_CR0_TS;
	cpu_state_changed(cpu);
	expect(m, add_floats, EXC_NM);
	cpu->mmu.paging.cr0 |= X86_CR0_EM;
	cpu_state_changed(cpu);
	expect(m, add_floats, EXC_UD);
	cpu->mmu.paging.cr0 &= ~(uint64_t)(X86_CR0_EM | X86_CR0_TS);
	cpu->mmu.paging.cr4 &= ~X86_CR4_OSFXSR;
	cpu_state_changed(cpu);
	expect(m, add_floats, EXC_UD);
}

CODE(save_and_restore, ".code64",
     "fxsave (%rsi)\n xorps %xmm0, %xmm0\n xorps %xmm15, %xmm15\n"
     "movl $0x1f80, (%rdi)\n ldmxcsr (%rdi)\n fxrstor (%rsi)\n hlt\n")
CODE(restore, ".code64", "fxrstor (%rsi)\n hlt\n")

static void fxsave_keeps_what_fxrstor_brings_back(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint32_t bad = 1u << 16;

	machine_set_long(m, cpu, false);
	memset(cpu->xmm, 0, sizeof(cpu->xmm));
	memcpy(&cpu->xmm[0], "first register..", 16);
	memcpy(&cpu->xmm[15], "last register...", 16);
	cpu->mxcsr = 0x9f80;
	cpu->r[GPR_RSI] = MACHINE_DATA;
	cpu->r[GPR_RDI] = MACHINE_DATA + 0x400;
	expect(m, save_and_restore, -1);
	assert_memory_equal(&cpu->xmm[0], "first register..", 16);
	assert_memory_equal(&cpu->xmm[15], "last register...", 16);
	assert_int_equal(cpu->mxcsr, 0x9f80);
	assert_memory_equal(m->memory + MACHINE_DATA + 160, "first register..", 16);
	assert_int_equal(machine_read32(m, MACHINE_DATA + 24), 0x9f80);
	/* Bits of MXCSR that there are not; an address that is not aligned. */
	memcpy(m->memory + MACHINE_DATA + 24, &bad, 4);
	expect(m, restore, EXC_GP);
	cpu->r[GPR_RSI]++;
	expect(m, restore, EXC_GP);
}

/* --- registers of the system ----------------------------------------------------- */

CODE(read_counter, ".code64", "rdtsc\n int3\n")
CODE(read_counter_and_number, ".code64",
     "mov $0xc0000103, %ecx\n mov $0x1234567, %eax\n xor %edx, %edx\n wrmsr\n"
     "rdpid %rbx\n xor %ecx, %ecx\n rdtscp\n hlt\n")
CODE(read_number, ".code64", "rdpid %rbx\n hlt\n")
CODE(read_both, ".code64", "rdtscp\n hlt\n")

static void tsd_keeps_the_counter_from_users(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, true);
	assert_int_equal(run_code(m, cpu, read_counter), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP); /* INT3 has a gate of level 0 */
	assert_int_equal(machine_read64(m, MACHINE_STACK - 40), MACHINE_CODE + 2);
	machine_set_long(m, cpu, true);
	set_cr4(cpu, X86_CR4_TSD);
	assert_int_equal(run_code(m, cpu, read_counter), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);
	assert_int_equal(machine_read64(m, MACHINE_STACK - 40), MACHINE_CODE);
}

static void rdtscp_and_rdpid_give_tsc_aux(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	expect(m, read_counter_and_number, -1);
	assert_int_equal(cpu->r[GPR_RBX], 0x1234567);
	assert_int_equal(cpu->r[GPR_RCX], 0x1234567);
	use_table(cpu, 7)->ecx &= ~(1u << 22);
	expect(m, read_number, EXC_UD);
	use_table(cpu, 0x80000001)->edx &= ~(1u << 27);
	expect(m, read_both, EXC_UD);
	forget_table(cpu);
}

/* It is the host's, at one rate. */
static void the_counter_keeps_pace_with_the_hosts(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t offset = cpu->tsc_offset, last = 0, now, before, after;

	/* Elsewhere processors may differ, and nothing says that they do not. */
	if (!use_table(cpu, 0x80000007)->edx)
		skip();
	forget_table(cpu);
	machine_set_long(m, cpu, false);
	for (int i = 0; i < 1000; i++) {
		before = clock_tsc() + offset;
		expect(m, read_both, -1);
		after = clock_tsc() + offset;
		now = cpu->r[GPR_RDX] << 32 | cpu->r[GPR_RAX];
		assert_true(before <= now && now <= after && now >= last);
		last = now;
	}
}

CODE(bases, ".code64",
     "wrfsbase %rax\n wrgsbase %rcx\n rdfsbase %rbx\n rdgsbase %rdx\n mov %fs:8, %esi\n hlt\n")

static void fsgsbase_asks_cr4(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RAX] = MACHINE_DATA;
	cpu->r[GPR_RCX] = MACHINE_DATA + 0x100;
	memcpy(m->memory + MACHINE_DATA + 8, "\x2a\0\0\0", 4);
	expect(m, bases, EXC_UD);
	set_cr4(cpu, X86_CR4_FSGSBASE);
	expect(m, bases, -1);
	assert_int_equal(cpu->r[GPR_RBX], MACHINE_DATA);
	assert_int_equal(cpu->r[GPR_RDX], MACHINE_DATA + 0x100);
	assert_int_equal(cpu->r[GPR_RSI], 0x2a);
	cpu->r[GPR_RAX] = 1ull << 60;
	expect(m, bases, EXC_GP);
}

CODE(read_db4, ".code64", "mov %db4, %rax\n mov %db5, %rbx\n hlt\n")

static void de_takes_the_other_names_of_dr6_and_dr7(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	expect(m, read_db4, -1);
	assert_int_equal(cpu->r[GPR_RAX], cpu->dr6);
	assert_int_equal(cpu->r[GPR_RBX], cpu->dr7);
	set_cr4(cpu, X86_CR4_DE);
	expect(m, read_db4, EXC_UD);
}

CODE(write_cr4, ".code64", "mov %rax, %cr4\n mov %cr4, %rbx\n hlt\n")

/* What CPUID does not offer; of VME the client may keep the bits, as in KVM. */
static void cr4_has_no_bits_without_their_feature(void **state)
{
	static const struct {
		uint64_t bit;
		uint32_t leaf, ebx, ecx;
	} bits[] = {
		{ X86_CR4_UMIP, 7, 0, 1u << 2 },     { X86_CR4_FSGSBASE, 7, 1u << 0, 0 },
		{ X86_CR4_PCIDE, 1, 0, 1u << 17 },   { X86_CR4_SMEP, 7, 1u << 7, 0 },
		{ X86_CR4_SMAP, 7, 1u << 20, 0 },    { X86_CR4_PKE, 7, 0, 1u << 3 },
		{ X86_CR4_OSXSAVE, 1, 0, 1u << 26 },
	};
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		struct cpuid_entry *e;

		machine_set_long(m, cpu, false);
		/* What the supervisor runs on must not be the user's. */
		for (uint64_t gva = 0; gva < 0x200000; gva += 0x1000)
			*machine_pte(m, gva) &= ~GPTE_U;
		e = use_table(cpu, bits[i].leaf);
		cpu->r[GPR_RAX] = cpu->mmu.paging.cr4 | bits[i].bit;
		expect(m, write_cr4, -1);
		assert_true(cpu->r[GPR_RBX] == cpu->r[GPR_RAX]);
		machine_set_long(m, cpu, false);
		e->ebx &= ~bits[i].ebx;
		e->ecx &= ~bits[i].ecx;
		expect(m, write_cr4, EXC_GP);
		forget_table(cpu);
	}
	for (uint64_t bit = X86_CR4_VME; bit <= X86_CR4_PVI; bit <<= 1) {
		machine_set_long(m, cpu, false);
		cpu->r[GPR_RAX] = cpu->mmu.paging.cr4 | bit;
		expect(m, write_cr4, EXC_GP);
		assert_int_equal(cpuid_cr4_reserved(cpu) & bit, 0);
	}
}

CODE(read_pmc, ".code64", "rdpmc\n hlt\n")

/* PCE lets users ask, but there is no counter. */
static void there_are_no_counters_to_read(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	expect(m, read_pmc, EXC_GP);
	set_cr4(cpu, X86_CR4_PCE);
	expect(m, read_pmc, EXC_GP);
}

/* --- model-specific registers ---------------------------------------------------- */

CODE(read_msr, ".code64", "rdmsr\n hlt\n")
CODE(write_msr, ".code64", "mov %rax, %rdx\n shr $32, %rdx\n wrmsr\n hlt\n")

static uint64_t guest_reads(struct machine *m, uint32_t msr)
{
	m->cpu->r[GPR_RCX] = msr;
	expect(m, read_msr, -1);
	return m->cpu->r[GPR_RDX] << 32 | m->cpu->r[GPR_RAX];
}

static void guest_writes(struct machine *m, uint32_t msr, uint64_t value, int vector)
{
	m->cpu->r[GPR_RCX] = msr;
	m->cpu->r[GPR_RAX] = value;
	expect(m, write_msr, vector);
}

static void msrs_are_the_supervisors(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RCX] = 0x12345;
	expect(m, read_msr, EXC_GP);
	guest_writes(m, 0x12345, 0, EXC_GP);
	machine_set_long(m, cpu, true);
	cpu->r[GPR_RCX] = 0x277;
	expect(m, read_msr, EXC_GP);
}

/* The architecture is there, and no bank of it: nothing ever breaks. */
static void machine_checks_have_no_banks(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RAX] = cpu->mmu.paging.cr4 | X86_CR4_MCE;
	expect(m, write_cr4, -1);
	assert_int_equal(guest_reads(m, 0x179), 0); /* IA32_MCG_CAP */
	guest_writes(m, 0x179, 1, EXC_GP);
	assert_int_equal(guest_reads(m, 0x17a), 0);
	guest_writes(m, 0x17a, 5, -1);
	assert_int_equal(guest_reads(m, 0x17a), 5);
	guest_writes(m, 0x17a, 0, -1);
	/* IA32_MCG_CTL and the first bank. */
	guest_writes(m, 0x17b, 0, EXC_GP);
	for (uint32_t msr = 0x400; msr < 0x404; msr++) {
		cpu->r[GPR_RCX] = msr;
		expect(m, read_msr, EXC_GP);
	}
	/* IA32_P5_MC_ADDR and TYPE, of the first processors that had it. */
	assert_int_equal(guest_reads(m, 0) | guest_reads(m, 1), 0);
	guest_writes(m, 0, 1, EXC_GP);
}

static bool is_type(uint64_t type)
{
	return type == 0 || type == 1 || type == 4 || type == 5 || type == 6;
}

static void mtrrs_hold_what_the_manual_allows(void **state)
{
	struct machine *m = *state;
	uint64_t cap, beyond;
	uint32_t fixed[11] = { 0x250, 0x258, 0x259 };

	machine_set_long(m, m->cpu, false);
	beyond = 1ull << m->cpu->mmu.paging.maxphyaddr;
	for (uint32_t i = 0; i < 8; i++)
		fixed[3 + i] = 0x268 + i;
	cap = guest_reads(m, 0xfe);
	assert_int_equal(cap & 0x700, 0x500); /* fixed ones, write-combining */
	guest_writes(m, 0xfe, cap, EXC_GP);
	for (uint64_t type = 0; type < 9; type++) {
		int vector = is_type(type) ? -1 : EXC_GP;

		guest_writes(m, 0x2ff, 0xc00 | type, vector);
		for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
			guest_writes(m, fixed[i], 0x0606060606060606 ^ (6 ^ type) << 40, vector);
		for (uint32_t i = 0; i < (cap & 0xff); i++)
			guest_writes(m, 0x200 + 2 * i, 0x100000ull * i | type, vector);
	}
	guest_writes(m, 0x2ff, 0x100, EXC_GP);
	for (uint32_t i = 0; i < (cap & 0xff); i++) {
		assert_int_equal(guest_reads(m, 0x200 + 2 * i), 0x100000ull * i | 6);
		guest_writes(m, 0x200 + 2 * i, beyond, EXC_GP);
		guest_writes(m, 0x201 + 2 * i, beyond - 0x100000 + 0x800, -1);
		assert_true(guest_reads(m, 0x201 + 2 * i) == beyond - 0x100000 + 0x800);
		guest_writes(m, 0x201 + 2 * i, 0x400, EXC_GP);
		guest_writes(m, 0x201 + 2 * i, beyond, EXC_GP);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		assert_true(guest_reads(m, fixed[i]) == 0x0606060606060606);
	/* Behind the last pair; and memory is memory whatever its type. */
	guest_writes(m, 0x200 + 2 * (uint32_t)(cap & 0xff), 0, EXC_GP);
	guest_writes(m, 0x2ff, 0xc00, -1);
	assert_int_equal(guest_reads(m, 0x2ff), 0xc00);
}

static void each_entry_of_the_pat_is_a_type(void **state)
{
	struct machine *m = *state;
	const uint64_t reset = 0x0007040600070406;

	machine_set_long(m, m->cpu, false);
	assert_true(guest_reads(m, 0x277) == reset);
	for (unsigned int shift = 0; shift < 64; shift += 8)
		for (uint64_t type = 0; type < 16; type++) {
			uint64_t value = (reset & ~(0xffull << shift)) | type << shift;
			bool good = is_type(type) || type == 7;

			guest_writes(m, 0x277, reset, -1);
			guest_writes(m, 0x277, value, good ? -1 : EXC_GP);
			assert_true(guest_reads(m, 0x277) == (good ? value : reset));
		}
	/* The bit that picks an entry is no reserved one. */
	*machine_pte(m, MACHINE_DATA) |= 0x98;
	m->cpu->r[GPR_RSI] = MACHINE_DATA;
	expect(m, flush_a_line, -1);
}

/* What Linux looks at, or writes to, on processors of either vendor. */
static void registers_of_models_do_no_harm(void **state)
{
	static const uint32_t zeroes[] = { 0x17, 0x79, 0xc0010010, 0xc001001f, 0xc0010020,
					   0xc0010055, 0xc0010117, 0xc0011022, 0xc001102a };
	struct machine *m = *state;
	uint64_t value;

	machine_set_long(m, m->cpu, false);
	for (size_t i = 0; i < ARRAY_SIZE(zeroes); i++) {
		guest_writes(m, zeroes[i], ~0ull, -1);
		assert_int_equal(guest_reads(m, zeroes[i]), 0);
	}
	/* The microcode's revision is what the client says. */
	assert_true(msr_write(m->cpu, 0x8b, 0x77ull << 32, MSR_BY_CLIENT));
	guest_writes(m, 0x8b, 0, -1);
	assert_true(guest_reads(m, 0x8b) == 0x77ull << 32);
	/* No BTS and no PEBS, and the guest cannot say otherwise. */
	value = guest_reads(m, 0x1a0);
	assert_int_equal(value & 0x1800, 0x1800);
	guest_writes(m, 0x1a0, value & ~0x800ull, EXC_GP);
	guest_writes(m, 0x1a0, value | 1, -1);
	assert_int_equal(guest_reads(m, 0x1a0), value | 1);
	/* HWCR: what is ignored, what is kept, what there is not. */
	guest_writes(m, 0xc0010015, 1u << 24 | 1u << 3, -1);
	assert_int_equal(guest_reads(m, 0xc0010015), 1u << 24);
	guest_writes(m, 0xc0010015, 1, EXC_GP);
	/* LFENCE waits for all before it. */
	assert_int_equal(guest_reads(m, 0xc0011029) & 2, 2);
}

/* There is no APIC: its base is a word that keeps to its rules.  Its mode changes in steps: off,
 * xAPIC, x2APIC, off. */
static void the_base_of_an_apic_is_kept(void **state)
{
	struct machine *m = *state;

	machine_set_long(m, m->cpu, false);
	guest_writes(m, 0x1b, 0xfee00000, -1);
	guest_writes(m, 0x1b, 0xfed00800, -1);
	assert_int_equal(guest_reads(m, 0x1b), 0xfed00800);
	guest_writes(m, 0x1b, 0xfed00c00, -1);
	guest_writes(m, 0x1b, 0xfed00800, EXC_GP);
	guest_writes(m, 0x1b, 0xfed00000, -1);
	guest_writes(m, 0x1b, 0xfed00c00, EXC_GP);
	guest_writes(m, 0x1b, 0xfed00400, EXC_GP);
	guest_writes(m, 0x1b, 1ull << 60, EXC_GP);
	guest_writes(m, 0x1b, 1, EXC_GP);
}

/* --- paging ---------------------------------------------------------------------- */

CODE(load, ".code64", "mov (%rsi), %eax\n hlt\n")
CODE(store, ".code64", "mov %eax, (%rsi)\n hlt\n")
CODE(load_32, ".code32", "mov (%esi), %eax\n hlt\n")
CODE(jump, ".code64", "jmp *%rsi\n")

static void nx_keeps_from_executing(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	*machine_pte(m, MACHINE_DATA) |= 1ull << 63;
	m->memory[MACHINE_DATA] = 0xf4;
	cpu->r[GPR_RSI] = MACHINE_DATA;
	expect(m, load, -1);
	expect(m, jump, EXC_PF);
	assert_int_equal(error_code(m), PFERR_PRESENT | PFERR_FETCH);
	/* Without EFER.NXE the bit is reserved. */
	cpu->mmu.paging.efer &= ~(uint64_t)X86_EFER_NX;
	cpu_state_changed(cpu);
	expect(m, load, EXC_PF);
	assert_int_equal(error_code(m), PFERR_PRESENT | PFERR_RSVD);
}

static void a_page_of_1_gib_is_mapped(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t *pdpt = (uint64_t *)(m->memory + MACHINE_TABLES + 0x1000);

	machine_set_long(m, cpu, false);
	pdpt[1] = GPTE_P | GPTE_W | GPTE_PS;
	memcpy(m->memory + 0x345678, "\x31\0\0\0", 4);
	cpu->r[GPR_RSI] = (1ull << 30) + 0x345678;
	expect(m, load, -1);
	assert_int_equal(cpu->r[GPR_RAX], 0x31);
	/* The bit is reserved where there are none. */
	use_table(cpu, 0x80000001)->edx &= ~(1u << 26);
	cpu_state_changed(cpu);
	expect(m, load, EXC_PF);
	assert_int_equal(error_code(m), PFERR_PRESENT | PFERR_RSVD);
	forget_table(cpu);
}

/* Bits 13 and up of a large page's entry are those above 31 of its address. */
static void pse36_reaches_beyond_4_gib(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint32_t *directory = (uint32_t *)(m->memory + MACHINE_TABLES);
	uint8_t *high = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);

	assert_true(high != MAP_FAILED);
	assert_int_equal(machine_slot(m, 1, 0x3ull << 32, high, 4 << 20, 0), 0);
	machine_set_protected(m, cpu, true, false);
	directory[2] = GPTE_P | GPTE_W | GPTE_PS | 3u << 13;
	/* The bits behind the physical address are reserved. */
	directory[3] = directory[2] | 1u << 21;
	memcpy(high + 0x12345, "\x36\0\0\0", 4);
	cpu->r[GPR_RSI] = (2u << 22) + 0x12345;
	assert_int_equal(run_code(m, cpu, load_32), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), -1);
	assert_int_equal(cpu->r[GPR_RAX], 0x36);
	cpu->r[GPR_RSI] += 1u << 22;
	cpu->rip = MACHINE_CODE;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_PF);
	assert_int_equal(machine_read32(m, cpu->r[GPR_RSP]), PFERR_PRESENT | PFERR_RSVD);
	assert_int_equal(machine_slot(m, 1, 0x3ull << 32, NULL, 0, 0), 0);
	munmap(high, 4 << 20);
}

CODE(switch_pge, ".code64",
     "mov (%rsi), %eax\n mov %rdi, (%rbx)\n"
     "mov %cr4, %rdx\n xor $0x80, %dl\n mov %rdx, %cr4\n mov (%rsi), %ecx\n hlt\n")

/* On and off; each time with a new page, since only the guest may change tables that it has
 * used. */
static void a_change_of_pge_flushes_global_pages(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	for (uint64_t at = MACHINE_DATA; at < MACHINE_DATA + 0x4000; at += 0x1000) {
		*machine_pte(m, at) |= GPTE_G;
		m->memory[at] = (uint8_t)(at >> 12);
	}
	set_cr4(cpu, X86_CR4_PGE);
	for (uint64_t at = MACHINE_DATA; at < MACHINE_DATA + 0x4000; at += 0x2000) {
		cpu->r[GPR_RSI] = at;
		cpu->r[GPR_RBX] = (uint64_t)((uint8_t *)machine_pte(m, at) - m->memory);
		cpu->r[GPR_RDI] = (at + 0x1000) | GPTE_P | GPTE_W | GPTE_G;
		expect(m, switch_pge, -1);
		assert_int_equal(cpu->r[GPR_RAX], at >> 12);
		assert_int_equal(cpu->r[GPR_RCX], (at >> 12) + 1);
	}
	assert_true(cpu->mmu.paging.cr4 & X86_CR4_PGE);
}

/* A second address space, whose MACHINE_DATA is the page behind. */
static void make_second_root(struct machine *m)
{
	uint64_t *first = (uint64_t *)(m->memory + MACHINE_TABLES);
	uint64_t *second = (uint64_t *)(m->memory + ROOT_2);

	memcpy(second, first, 0x4000);
	second[0] += ROOT_2 - MACHINE_TABLES;
	second[512] += ROOT_2 - MACHINE_TABLES;
	second[1024] += ROOT_2 - MACHINE_TABLES;
	second[1536 + (MACHINE_DATA >> 12)] += 0x1000;
	memcpy(m->memory + MACHINE_DATA, "\x11\0\0\0", 4);
	memcpy(m->memory + MACHINE_DATA + 0x1000, "\x22\0\0\0", 4);
	memcpy(m->memory + MACHINE_DATA + 0x2000, "\x33\0\0\0", 4);
}

CODE(two_spaces, ".code64",
     "mov $0x8001, %edi\n mov %rdi, %cr3\n mov (%rsi), %eax\n"
     "mov $0x14002, %ebx\n mov %rbx, %cr3\n mov (%rsi), %ecx\n"
     /* Nothing need be forgotten. */
     "bts $63, %rdi\n mov %rdi, %cr3\n mov (%rsi), %edx\n mov %cr3, %r8\n"
     "bts $63, %rbx\n mov %rbx, %cr3\n mov (%rsi), %r9d\n hlt\n")
CODE(invalidate, ".code64",
     "mov (%rsi), %eax\n mov %rdi, (%rbx)\n invpcid (%r9), %r10\n mov (%rsi), %ecx\n hlt\n")

static void pcids_name_address_spaces(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	make_second_root(m);
	set_cr4(cpu, X86_CR4_PCIDE);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	expect(m, two_spaces, -1);
	assert_int_equal(cpu->r[GPR_RAX], 0x11);
	assert_int_equal(cpu->r[GPR_RCX], 0x22);
	assert_int_equal(cpu->r[GPR_RDX], 0x11);
	assert_int_equal(cpu->r[GPR_R8], 0x8001);
	assert_int_equal(cpu->r[GPR_R9], 0x22);
}

static void use_invpcid(struct machine *m, uint64_t kind, uint64_t pcid, uint64_t address,
			int vector)
{
	const uint64_t descriptor[2] = { pcid, address };
	struct cpu *cpu = m->cpu;

	*machine_pte(m, MACHINE_DATA) = MACHINE_DATA | GPTE_P | GPTE_W;
	cpu_state_changed(cpu);
	memcpy(m->memory + MACHINE_DATA + 0x3000, descriptor, 16);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	cpu->r[GPR_RBX] = (uint64_t)((uint8_t *)machine_pte(m, MACHINE_DATA) - m->memory);
	cpu->r[GPR_RDI] = (MACHINE_DATA + 0x2000) | GPTE_P | GPTE_W;
	cpu->r[GPR_R9] = MACHINE_DATA + 0x3000;
	cpu->r[GPR_R10] = kind;
	expect(m, invalidate, vector);
	if (vector < 0)
		assert_int_equal(cpu->r[GPR_RCX], 0x33);
}

static void invpcid_forgets_what_it_names(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	make_second_root(m);
	/* Without PCIDs there is but 0. */
	use_invpcid(m, 0, 0, MACHINE_DATA, -1);
	use_invpcid(m, 0, 1, MACHINE_DATA, EXC_GP);
	set_cr4(cpu, X86_CR4_PCIDE);
	cpu->mmu.paging.cr3 |= 5;
	use_invpcid(m, 0, 5, MACHINE_DATA, -1);
	use_invpcid(m, 0, 5, 1ull << 60, EXC_GP);
	use_invpcid(m, 1, 5, 0, -1);
	use_invpcid(m, 1, 0x1000, 0, EXC_GP);
	use_invpcid(m, 2, 0, 0, -1);
	use_invpcid(m, 3, 0, 0, -1);
	use_invpcid(m, 4, 0, 0, EXC_GP);
	use_table(cpu, 7)->ebx &= ~(1u << 10);
	use_invpcid(m, 2, 0, 0, EXC_UD);
	forget_table(cpu);
}

CODE(set_keys, ".code64",
     "xor %ecx, %ecx\n xor %edx, %edx\n wrpkru\n mov %eax, %ebx\n rdpkru\n hlt\n")

static void protection_keys_deny_access_and_writes(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	*machine_pte(m, MACHINE_DATA) |= 3ull << 59;
	cpu->r[GPR_RSI] = MACHINE_DATA;
	expect(m, set_keys, EXC_UD);
	set_cr4(cpu, X86_CR4_PKE);
	cpu->r[GPR_RAX] = 2u << 6; /* key 3: no writes */
	expect(m, set_keys, -1);
	assert_int_equal(cpu->r[GPR_RAX], 2u << 6);
	expect(m, load, -1);
	expect(m, store, EXC_PF);
	assert_int_equal(error_code(m), PFERR_PRESENT | PFERR_WRITE | PFERR_PK);
	cpu->r[GPR_RAX] = 1u << 6; /* nothing at all */
	expect(m, set_keys, -1);
	expect(m, load, EXC_PF);
	assert_int_equal(error_code(m), PFERR_PRESENT | PFERR_PK);
	/* The supervisor's pages have no key. */
	*machine_pte(m, MACHINE_DATA) &= ~GPTE_U;
	cpu_state_changed(cpu);
	expect(m, store, -1);
}

/* --- KVM's own ------------------------------------------------------------------- */

CODE(find_kvm, ".code64",
     "mov $1, %eax\n cpuid\n mov %ecx, %esi\n"
     "mov $0x40000000, %eax\n cpuid\n mov %ebx, (%rdi)\n mov %ecx, 4(%rdi)\n mov %edx, 8(%rdi)\n"
     "mov %eax, %r8d\n mov $0x40000001, %eax\n cpuid\n mov %eax, %r9d\n hlt\n")

static void a_guest_finds_that_it_is_kvms(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t delay;
	/* Where the host counts it. */
	uint32_t steal_time = clock_run_delay_ns(&delay) ? 1u << 5 : 0;

	machine_set_long(m, cpu, false);
	use_table(cpu, 1);
	cpu->r[GPR_RDI] = MACHINE_DATA;
	expect(m, find_kvm, -1);
	assert_true(cpu->r[GPR_RSI] >> 31 & 1);
	assert_memory_equal(m->memory + MACHINE_DATA, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(cpu->r[GPR_R8], 0x40000001);
	assert_int_equal(cpu->r[GPR_R9], 1u << 24 | 1u << 11 | 1u << 7 | steal_time | 8 | 2 | 1);
	forget_table(cpu);
}

CODE(write_ports, ".code64",
     "mov $1, %al\n out %al, $0x70\n mov $2, %al\n out %al, $0x71\n in $0x71, %al\n hlt\n")

/* KVM_FEATURE_NOP_IO_DELAY: a device has been written to when the next instruction is. */
static void port_io_needs_no_delay(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, write_ports), CPU_EXIT_IO);
	assert_true(cpu->io.port == 0x70 && cpu->io_data[0] == 1);
	cpu_complete_io(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	assert_true(cpu->io.port == 0x71 && !cpu->io.in && cpu->io_data[0] == 2);
	cpu_complete_io(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	assert_true(cpu->io.port == 0x71 && cpu->io.in);
	cpu->io_data[0] = 9;
	cpu_complete_io(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RAX] & 0xff, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(cmpxchg8b_exchanges_or_loads),
		machine_test(cmov_moves_on_its_condition),
		machine_test(movbe_swaps_bytes),
		machine_test(bits_are_counted),
		machine_test(adcx_and_adox_have_a_carry_each),
		machine_test(lahf_and_sahf_work_in_64_bits),
		machine_test(lines_are_flushed_where_they_can_be_read),
		machine_test(a_prefetch_never_faults),
		machine_test(bytes_are_moved_by_any_number),
		machine_test(sse_computes),
		machine_test(sse_asks_the_control_registers),
		machine_test(fxsave_keeps_what_fxrstor_brings_back),
		machine_test(tsd_keeps_the_counter_from_users),
		machine_test(rdtscp_and_rdpid_give_tsc_aux),
		machine_test(the_counter_keeps_pace_with_the_hosts),
		machine_test(fsgsbase_asks_cr4),
		machine_test(de_takes_the_other_names_of_dr6_and_dr7),
		machine_test(cr4_has_no_bits_without_their_feature),
		machine_test(there_are_no_counters_to_read),
		machine_test(msrs_are_the_supervisors),
		machine_test(machine_checks_have_no_banks),
		machine_test(mtrrs_hold_what_the_manual_allows),
		machine_test(each_entry_of_the_pat_is_a_type),
		machine_test(registers_of_models_do_no_harm),
		machine_test(the_base_of_an_apic_is_kept),
		machine_test(nx_keeps_from_executing),
		machine_test(a_page_of_1_gib_is_mapped),
		machine_test(pse36_reaches_beyond_4_gib),
		machine_test(a_change_of_pge_flushes_global_pages),
		machine_test(pcids_name_address_spaces),
		machine_test(invpcid_forgets_what_it_names),
		machine_test(protection_keys_deny_access_and_writes),
		machine_test(a_guest_finds_that_it_is_kvms),
		machine_test(port_io_needs_no_delay),
	};

	int failed = cmocka_run_group_tests_name("direct", tests, NULL, NULL);

	machine_mmu_mode = MMU_SHADOW;
	return failed + cmocka_run_group_tests_name("shadow", tests, NULL, NULL);
}
