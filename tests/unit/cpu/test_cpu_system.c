/* SPDX-License-Identifier: MIT */
/* Segments, control registers, model-specific registers, CPUID. */
#include <cpuid.h>
#include <string.h>

#include "code.h"
#include "cpu/state/cpuid.h"
#include "cpu/state/flags.h"
#include "cpu/state/msr.h"

/* Runs @c in 32-bit protected mode with EAX; expects the vector and the code. */
static void expect_32(struct machine *m, struct code c, bool user, uint32_t eax, int vector,
		      uint32_t code)
{
	struct cpu *cpu = m->cpu;
	uint8_t spare[16];

	memcpy(spare, m->memory + MACHINE_GDT + SEL_SPARE, 16);
	cpu_reset(cpu);
	machine_set_protected(m, cpu, true, user);
	memcpy(m->memory + MACHINE_GDT + SEL_SPARE, spare, 16);
	cpu->r[GPR_RAX] = eax;
	assert_int_equal(run_code(m, cpu, c), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), vector);
	if (vector == EXC_GP || vector == EXC_NP || vector == EXC_SS || vector == EXC_TS)
		assert_int_equal(machine_read32(m, cpu->r[GPR_RSP]), code);
}

CODE(load_ds, ".code32", "mov %eax, %ds\n hlt\n")
CODE(load_ss, ".code32", "mov %eax, %ss\n hlt\n")
CODE(load_and_use, ".code32", "mov %eax, %ds\n mov (0x10), %ecx\n hlt\n")
CODE(load_and_store, ".code32", "mov %eax, %es\n movl $1, %es:(0x10)\n hlt\n")

static void data_segments_are_checked(void **state)
{
	struct machine *m = *state;
	const uint16_t s = SEL_SPARE;

	machine_write_tables(m, false);
	expect_32(m, load_ds, false, SEL_DATA, -1, 0);
	/* Outside of the table; in a table that there is not. */
	expect_32(m, load_ds, false, 0x88, EXC_GP, 0x88);
	expect_32(m, load_ds, false, 0x14, EXC_GP, 0x14);
	/* Not present; a system segment; code that cannot be read. */
	machine_set_descriptor(m, s, 0, 0xfffff, 0x13, 0xc);
	expect_32(m, load_ds, false, s, EXC_NP, s);
	machine_set_descriptor(m, s, 0, 0xfffff, 0x82, 0);
	expect_32(m, load_ds, false, s, EXC_GP, s);
	machine_set_descriptor(m, s, 0, 0xfffff, 0x98, 0xc);
	expect_32(m, load_ds, false, s, EXC_GP, s);
	/* Of an inner level. */
	machine_set_descriptor(m, s, 0, 0xfffff, 0x92, 0xc);
	expect_32(m, load_ds, false, s | 3, EXC_GP, s);
	/* It is marked as accessed. */
	expect_32(m, load_ds, false, s, -1, 0);
	assert_int_equal(m->memory[MACHINE_GDT + s + 5], 0x93);
	/* Null may be loaded but not used. */
	expect_32(m, load_ds, false, 0, -1, 0);
	expect_32(m, load_and_use, false, 0, EXC_GP, 0);
	/* Limits, up and down; and rights. */
	machine_set_descriptor(m, s, MACHINE_DATA, 0x12, 0x92, 4);
	expect_32(m, load_and_use, false, s, EXC_GP, 0);
	machine_set_descriptor(m, s, MACHINE_DATA, 0x13, 0x92, 4);
	expect_32(m, load_and_use, false, s, -1, 0);
	machine_set_descriptor(m, s, MACHINE_DATA, 0xf, 0x96, 4);
	expect_32(m, load_and_use, false, s, -1, 0);
	machine_set_descriptor(m, s, MACHINE_DATA, 0x10, 0x96, 4);
	expect_32(m, load_and_use, false, s, EXC_GP, 0);
	machine_set_descriptor(m, s, MACHINE_DATA, 0xfff, 0x90, 4);
	expect_32(m, load_and_use, false, s, -1, 0);
	expect_32(m, load_and_store, false, s, EXC_GP, 0);
	machine_set_descriptor(m, s, MACHINE_DATA, 0xfff, 0x92, 4);
	expect_32(m, load_and_store, false, s, -1, 0);
	assert_int_equal(machine_read32(m, MACHINE_DATA + 0x10), 1);
}

static void stack_segments_are_checked(void **state)
{
	struct machine *m = *state;
	const uint16_t s = SEL_SPARE;

	machine_write_tables(m, false);
	expect_32(m, load_ss, false, 0, EXC_GP, 0);
	expect_32(m, load_ss, false, SEL_DATA | 3, EXC_GP, SEL_DATA);
	expect_32(m, load_ss, false, SEL_USER_DATA | 3, EXC_GP, SEL_USER_DATA);
	machine_set_descriptor(m, s, 0, 0xfffff, 0x90, 0xc);
	expect_32(m, load_ss, false, s, EXC_GP, s);
	machine_set_descriptor(m, s, 0, 0xfffff, 0x12, 0xc);
	expect_32(m, load_ss, false, s, EXC_SS, s);
	expect_32(m, load_ss, true, SEL_USER_DATA | 3, EXC_GP, 0); /* HLT, at level 3 */
}

CODE(ask_about, ".code32",
     "xor %ebx, %ebx\n xor %ecx, %ecx\n"
     "lar %eax, %ebx\n lsl %eax, %ecx\n verr %ax\n setz %dl\n verw %ax\n setz %dh\n"
     "sldt %esi\n str %edi\n hlt\n")

static void questions_about_selectors(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_write_tables(m, false);
	expect_32(m, ask_about, false, SEL_DATA, -1, 0);
	assert_int_equal(cpu->r[GPR_RBX], 0xcf9300);
	assert_int_equal(cpu->r[GPR_RCX], 0xffffffff);
	assert_int_equal(cpu->r[GPR_RDX] & 0xffff, 0x0101);
	assert_int_equal(cpu->r[GPR_RDI], SEL_TSS);
	expect_32(m, ask_about, false, SEL_CODE32, -1, 0);
	assert_int_equal(cpu->r[GPR_RDX] & 0xffff, 0x0001);
	expect_32(m, ask_about, false, SEL_TSS, -1, 0);
	assert_int_equal(cpu->r[GPR_RBX], 0x8900);
	assert_int_equal(cpu->r[GPR_RCX], 0xfff);
	assert_int_equal(cpu->r[GPR_RDX] & 0xffff, 0);
	expect_32(m, ask_about, false, 0x7000, -1, 0);
	assert_int_equal(cpu->r[GPR_RBX], 0);
}

CODE(call_gate, ".code32",
     "push $0x1111\n push $0x2222\n lcall $0x5b, $0\n mov %eax, %ebp\n ud2\n")
CODE(gate_target, ".code32",
     "mov 8(%esp), %eax\n shl $16, %eax\n mov 12(%esp), %ax\n mov %cs, %edx\n lret $8\n")

static void call_gate_to_level_0_copies_parameters(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint32_t target = MACHINE_CODE + 0x400;
	const uint64_t gate = (target & 0xffff) | (uint64_t)SEL_CODE32 << 16 | 2ull << 32 |
			      0xecull << 40 | (uint64_t)(target >> 16) << 48;

	machine_set_protected(m, cpu, true, true);
	memcpy(m->memory + MACHINE_GDT + SEL_SPARE, &gate, 8);
	machine_load(m, target, gate_target.start, (size_t)(gate_target.end - gate_target.start));
	assert_int_equal(run_code(m, cpu, call_gate), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_UD);
	assert_int_equal(cpu->r[GPR_RBP], 0x22221111);
	assert_int_equal(cpu->r[GPR_RDX], SEL_CODE32);
	/* Both stacks have lost the parameters. */
	assert_int_equal(machine_read32(m, cpu->r[GPR_RSP] + 12), MACHINE_USER_STACK);
}

CODE(pop_segments, ".code64",
     "push %fs\n push %gs\n mov $0x10, %eax\n mov %eax, %fs\n mov %fs, %ebx\n"
     "pop %gs\n pop %fs\n mov %fs, %ecx\n"
     "mov $0xc0000100, %ecx\n mov $0x40000, %eax\n xor %edx, %edx\n wrmsr\n"
     "movl $0x77, %fs:0x20\n"
     "mov $0xc0000101, %ecx\n mov $0x41000, %eax\n wrmsr\n"
     "mov $0xc0000102, %ecx\n mov $0x42000, %eax\n wrmsr\n"
     "mov $5, %esi\n mov %esi, %gs:(%rsi,%rsi,2)\n swapgs\n mov %esi, %gs:0\n"
     "hlt\n")

static void fs_and_gs_have_a_base_in_long_mode(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, pop_segments), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), -1);
	assert_int_equal(cpu->r[GPR_RBX], SEL_DATA);
	assert_int_equal(machine_read32(m, 0x40020), 0x77);
	assert_int_equal(machine_read32(m, 0x41000 + 15), 5);
	assert_int_equal(machine_read32(m, 0x42000), 5);
	assert_int_equal(cpu->kernel_gs_base, 0x41000);
	assert_int_equal(cpu->r[GPR_RSP], MACHINE_STACK);
}

CODE(user_sgdt, ".code64", "sgdt (%rbx)\n smsw %eax\n int3\n")

static void umip_hides_tables_from_users(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint16_t limit;

	machine_set_long(m, cpu, true);
	cpu->r[GPR_RBX] = MACHINE_DATA;
	assert_int_equal(run_code(m, cpu, user_sgdt), CPU_EXIT_HLT);
	memcpy(&limit, m->memory + MACHINE_DATA, 2);
	assert_int_equal(limit, MACHINE_GDT_BYTES - 1);
	assert_int_equal(cpu->r[GPR_RAX], (uint32_t)cpu->mmu.paging.cr0);

	cpu_reset(cpu);
	machine_set_long(m, cpu, true);
	cpu->mmu.paging.cr4 |= X86_CR4_UMIP;
	assert_int_equal(run_code(m, cpu, user_sgdt), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);
}

CODE(write_cr, ".code64",
     "mov %rax, %cr4\n mov %cr4, %rbx\n mov %rcx, %cr0\n mov %cr0, %rdx\n hlt\n")
CODE(write_cr3, ".code64", "mov %rax, %cr3\n mov %cr3, %rbx\n hlt\n")
CODE(write_cr8, ".code64", "mov %rax, %cr8\n mov %cr8, %rbx\n hlt\n")

static void expect_cr(struct machine *m, struct code c, uint64_t rax, uint64_t rcx, int vector)
{
	struct cpu *cpu = m->cpu;

	cpu_reset(cpu);
	machine_set_long(m, cpu, false);
	cpu->r[GPR_RAX] = rax;
	cpu->r[GPR_RCX] = rcx;
	assert_int_equal(run_code(m, cpu, c), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), vector);
}

static void control_registers_refuse_nonsense(void **state)
{
	struct machine *m = *state;
	const uint64_t cr4 = X86_CR4_PAE | X86_CR4_OSFXSR, cr0 = 0x80010031;

	expect_cr(m, write_cr, cr4, cr0, -1);
	assert_true(m->cpu->r[GPR_RBX] == cr4 && m->cpu->r[GPR_RDX] == cr0);
	expect_cr(m, write_cr, cr4 | X86_CR4_UMIP | X86_CR4_FSGSBASE | X86_CR4_PCIDE, cr0, -1);
	expect_cr(m, write_cr, cr4 & ~X86_CR4_PAE, cr0, EXC_GP);
	expect_cr(m, write_cr, cr4 | X86_CR4_VMXE, cr0, EXC_GP);
	expect_cr(m, write_cr, cr4 | X86_CR4_OSXSAVE, cr0, -1);
	expect_cr(m, write_cr, cr4 | 1ull << 40, cr0, EXC_GP);
	expect_cr(m, write_cr, cr4 | X86_CR4_LA57, cr0, EXC_GP);
	expect_cr(m, write_cr, cr4, cr0 & ~X86_CR0_PE, EXC_GP);
	expect_cr(m, write_cr, cr4, cr0 | X86_CR0_NW, EXC_GP);
	expect_cr(m, write_cr, cr4, cr0 | 1ull << 32, EXC_GP);
	/* Paging cannot be left from 64-bit code. */
	expect_cr(m, write_cr, cr4, cr0 & ~X86_CR0_PG, EXC_GP);
	expect_cr(m, write_cr3, MACHINE_TABLES, 0, -1);
	expect_cr(m, write_cr3, MACHINE_TABLES | 1ull << 60, 0, EXC_GP);
	expect_cr(m, write_cr3, MACHINE_TABLES | 1ull << 63, 0, EXC_GP);
	expect_cr(m, write_cr8, 15, 0, -1);
	assert_int_equal(m->cpu->cr8, 15);
	expect_cr(m, write_cr8, 16, 0, EXC_GP);
}

CODE(debug_registers, ".code64",
     "mov $0x12345678, %rax\n mov %rax, %db0\n mov $~0, %eax\n mov %rax, %db6\n mov %db6, %rbx\n"
     "mov %rax, %db4\n mov $0x2000, %eax\n mov %rax, %db7\n mov %db0, %rcx\n hlt\n")

static void debug_registers_keep_their_fixed_bits(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, debug_registers), CPU_EXIT_HLT);
	/* General detect stops the last one. */
	assert_int_equal(machine_vector(m, cpu), EXC_DB);
	assert_int_equal(cpu->r[GPR_RBX], 0xffffefff);
	assert_int_equal(cpu->dr[0], 0x12345678);
	assert_int_equal(cpu->dr6 & 1u << 13, 1u << 13);
	assert_int_equal(cpu->dr7, 0x400);
}

CODE(smap_access, ".code64", "stac\n mov (%rbx), %eax\n clac\n mov (%rbx), %ecx\n hlt\n")
CODE(smep_jump, ".code64", "jmp *%rbx\n")

static void smap_and_smep_keep_the_supervisor_away(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	/* User pages are all in this map: make all but one the supervisor's. */
	machine_set_long(m, cpu, false);
	for (uint64_t gva = 0; gva < 0x200000; gva += 0x1000)
		*machine_pte(m, gva) &= ~GPTE_U;
	*machine_pte(m, MACHINE_DATA) |= GPTE_U;
	cpu->mmu.paging.cr4 |= X86_CR4_SMAP | X86_CR4_SMEP;
	cpu_state_changed(cpu);
	cpu->r[GPR_RBX] = MACHINE_DATA;
	memcpy(m->memory + MACHINE_DATA, "\x55", 1);
	assert_int_equal(run_code(m, cpu, smap_access), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_PF);
	assert_int_equal(cpu->r[GPR_RAX], 0x55);
	assert_int_equal(cpu->r[GPR_RCX], 0);
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), PFERR_PRESENT);
	cpu->rip = MACHINE_CODE;
	assert_int_equal(run_code(m, cpu, smep_jump), CPU_EXIT_HLT);
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), PFERR_PRESENT | PFERR_FETCH);
}

CODE(flush_page, ".code64",
     "mov (%rbx), %eax\n mov %rdx, (%rsi)\n invlpg (%rbx)\n mov (%rbx), %ecx\n hlt\n")

static void invlpg_forgets_the_page(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	memcpy(m->memory + MACHINE_DATA, "\x11", 1);
	memcpy(m->memory + MACHINE_DATA + 0x1000, "\x22", 1);
	cpu->r[GPR_RBX] = MACHINE_DATA;
	cpu->r[GPR_RSI] = (uint64_t)((uint8_t *)machine_pte(m, MACHINE_DATA) - m->memory);
	cpu->r[GPR_RDX] = (MACHINE_DATA + 0x1000) | GPTE_P;
	assert_int_equal(run_code(m, cpu, flush_page), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RAX], 0x11);
	assert_int_equal(cpu->r[GPR_RCX], 0x22);
}

/* MSRs */

static void listed_msrs_can_be_restored(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	static struct cpuid_entry table[100];
	uint64_t value, after;

	cpu->n_cpuid = cpuid_supported(table, 100);
	cpu->cpuid = table;
	cpu_cpuid_changed(cpu);
	for (unsigned int i = 0; i < n_msr_list; i++) {
		assert_true(msr_read(cpu, msr_list[i], &value, MSR_BY_CLIENT));
		assert_true(msr_write(cpu, msr_list[i], value, MSR_BY_CLIENT));
		assert_true(msr_read(cpu, msr_list[i], &after, MSR_BY_CLIENT));
		if (msr_list[i] != 0x10)
			assert_true(after == value);
	}
	for (unsigned int i = 0; i < n_msr_feature_list; i++)
		assert_true(msr_feature(msr_feature_list[i], &value));
	assert_false(msr_feature(0x480, &value));
	assert_false(msr_read(cpu, 0x12345, &value, MSR_BY_CLIENT));
	assert_false(msr_write(cpu, 0x12345, 0, MSR_BY_GUEST));
}

static uint64_t rounded(struct cpu *cpu, uint32_t msr)
{
	const uint64_t unit = 1ull << 30;
	uint64_t value;

	assert_true(msr_read(cpu, msr, &value, MSR_BY_CLIENT));
	return (value + unit / 2) & -unit;
}

/* As the kernel's tsc_msrs_test has it. */
static void tsc_and_its_adjustment(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint64_t step = 4ull << 30, host = 64ull << 30;
	uint64_t value;

	assert_true(rounded(cpu, 0x10) == 0);
	assert_true(msr_write(cpu, 0x10, step, MSR_BY_GUEST));
	assert_true(rounded(cpu, 0x10) == step && rounded(cpu, 0x3b) == step);
	assert_true(msr_write(cpu, 0x3b, 2 * step, MSR_BY_GUEST));
	assert_true(rounded(cpu, 0x10) == 2 * step && rounded(cpu, 0x3b) == 2 * step);
	assert_true(msr_write(cpu, 0x10, host + 2 * step, MSR_BY_CLIENT));
	assert_true(rounded(cpu, 0x10) == host + 2 * step && rounded(cpu, 0x3b) == 2 * step);
	assert_true(msr_write(cpu, 0x3b, 123456, MSR_BY_CLIENT));
	assert_true(rounded(cpu, 0x10) == host + 2 * step);
	assert_true(msr_read(cpu, 0x3b, &value, MSR_BY_CLIENT) && value == 123456);
	assert_true(msr_write(cpu, 0x3b, 2 * step, MSR_BY_CLIENT));
	assert_true(msr_write(cpu, 0x3b, 3 * step, MSR_BY_GUEST));
	assert_true(rounded(cpu, 0x10) == host + 3 * step);
	assert_true(msr_write(cpu, 0x10, 4 * step, MSR_BY_GUEST));
	assert_true(rounded(cpu, 0x10) == 4 * step && rounded(cpu, 0x3b) == 4 * step - host);
}

static void msrs_obey_their_rules(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t value;

	machine_set_long(m, cpu, false);
	assert_false(msr_write(cpu, 0xc0000082, 1ull << 57, MSR_BY_GUEST));
	assert_false(msr_write(cpu, 0xc0000080, X86_EFER_LMA, MSR_BY_GUEST));
	assert_false(msr_write(cpu, 0xc0000080, X86_EFER_LME | 1ull << 12, MSR_BY_GUEST));
	assert_true(msr_write(cpu, 0xc0000080, X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX,
			      MSR_BY_GUEST));
	assert_false(msr_write(cpu, 0x277, 0x0207040600070406, MSR_BY_GUEST));
	assert_true(msr_write(cpu, 0x277, 0x0107040600070406, MSR_BY_GUEST));
	assert_false(msr_write(cpu, 0x1b, 1u << 10, MSR_BY_CLIENT));
	assert_true(msr_write(cpu, 0x1b, 1u << 11, MSR_BY_CLIENT));
	assert_true(msr_read(cpu, 0xce, &value, MSR_BY_GUEST));
	assert_true(msr_write(cpu, 0xce, 0xff00, MSR_BY_CLIENT));
	assert_false(msr_write(cpu, 0xce, 0, MSR_BY_GUEST));
	cpu->platform_info_readable = false;
	assert_false(msr_read(cpu, 0xce, &value, MSR_BY_GUEST));
	assert_true(msr_read(cpu, 0xce, &value, MSR_BY_CLIENT) && value == 0xff00);
	assert_true(msr_write(cpu, 0x200, 6, MSR_BY_GUEST));
	assert_false(msr_write(cpu, 0x201, 1ull << 60, MSR_BY_GUEST));
	assert_true(msr_write(cpu, 0x26f, 0x0606060606060606, MSR_BY_GUEST));
	assert_false(msr_write(cpu, 0x26f, 2, MSR_BY_GUEST));
}

/* XSS needs XSAVES for the guest; PERF_CAPABILITIES is not there for it. */
static void registers_without_a_use_are_zero(void **state)
{
	static struct cpuid_entry no_xsaves = { .leaf = 0xd, .subleaf = 1, .has_subleafs = true };
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t value = 1;

	machine_set_long(m, cpu, false);
	assert_true(msr_read(cpu, 0xda0, &value, MSR_BY_GUEST) && !value);
	assert_true(msr_write(cpu, 0xda0, 0, MSR_BY_GUEST));
	for (unsigned int i = 0; i < 64; i++) {
		assert_false(msr_write(cpu, 0xda0, 1ull << i, MSR_BY_GUEST));
		assert_false(msr_write(cpu, 0xda0, 1ull << i, MSR_BY_CLIENT));
	}
	assert_true(msr_read(cpu, 0x345, &value, MSR_BY_CLIENT) && !value);
	assert_false(msr_write(cpu, 0x345, 1, MSR_BY_CLIENT));
	assert_false(msr_read(cpu, 0x345, &value, MSR_BY_GUEST));
	assert_false(msr_write(cpu, 0x345, 0, MSR_BY_GUEST));
	cpu->cpuid = &no_xsaves;
	cpu->n_cpuid = 1;
	assert_false(msr_read(cpu, 0xda0, &value, MSR_BY_GUEST));
	assert_false(msr_write(cpu, 0xda0, 0, MSR_BY_GUEST));
	assert_true(msr_write(cpu, 0xda0, 0, MSR_BY_CLIENT));
	cpu->cpuid = NULL;
	cpu->n_cpuid = 0;
}

/* A client that restores EFER from before paging does not take long mode away. */
static void lma_is_nobodys_to_write(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t value;

	machine_set_long(m, cpu, false);
	assert_true(msr_write(cpu, 0xc0000080, X86_EFER_LME | X86_EFER_NX, MSR_BY_CLIENT));
	assert_true(msr_read(cpu, 0xc0000080, &value, MSR_BY_CLIENT));
	assert_int_equal(value, X86_EFER_LME | X86_EFER_NX | X86_EFER_LMA);
	machine_set_protected(m, cpu, false, false);
	assert_true(msr_write(cpu, 0xc0000080, X86_EFER_LME | X86_EFER_LMA, MSR_BY_CLIENT));
	assert_true(msr_read(cpu, 0xc0000080, &value, MSR_BY_CLIENT));
	assert_int_equal(value, X86_EFER_LME);
}

/* Runs @c in 64-bit mode and four-level paging with RAX; expects the vector. */
static void expect_long(struct machine *m, struct code c, uint64_t rax, int vector)
{
	struct cpu *cpu = m->cpu;

	cpu_reset(cpu);
	machine_set_long(m, cpu, false);
	cpu->mmu.paging.cr4 |= X86_CR4_FSGSBASE;
	cpu_state_changed(cpu);
	cpu->r[GPR_RAX] = rax;
	assert_int_equal(run_code(m, cpu, c), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), vector);
}

CODE(write_lstar, ".code64",
     "mov $0xc0000082, %ecx\n mov %rax, %rdx\n shr $32, %rdx\n wrmsr\n hlt\n")
CODE(write_fs_base, ".code64", "wrfsbase %rax\n hlt\n")
CODE(load_gdt, ".code64",
     "sub $16, %rsp\n movw $0x7f, (%rsp)\n mov %rax, 2(%rsp)\n lgdt (%rsp)\n hlt\n")
CODE(load_idt, ".code64",
     "sub $16, %rsp\n movw $0xfff, (%rsp)\n mov %rax, 2(%rsp)\n lidt (%rsp)\n hlt\n")
CODE(jump_to, ".code64", "jmp *%rax\n")

/* What is only kept may be an address of the wider paging mode. */
static void what_is_kept_is_canonical_by_cpuid(void **state)
{
	static const struct code *const keep[] = { &write_lstar, &write_fs_base, &load_gdt,
						   &load_idt };
	struct machine *m = *state;
	struct cpuid_entry entries[100], *leaf7 = NULL;

	m->cpu->n_cpuid = cpuid_supported(entries, 100);
	m->cpu->cpuid = entries;
	for (unsigned int i = 0; i < m->cpu->n_cpuid; i++)
		if (entries[i].leaf == 7)
			leaf7 = &entries[i];
	assert_non_null(leaf7);
	for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
		leaf7->ecx &= ~(1u << 16);
		expect_long(m, *keep[i], 1ull << 46, -1);
		expect_long(m, *keep[i], 1ull << 47, EXC_GP);
		leaf7->ecx |= 1u << 16;
		expect_long(m, *keep[i], 1ull << 47, -1);
		expect_long(m, *keep[i], 1ull << 56, EXC_GP);
	}
	/* Code is fetched by the paging mode. */
	expect_long(m, jump_to, 1ull << 47, EXC_GP);
	m->cpu->cpuid = NULL;
	m->cpu->n_cpuid = 0;
}

/* CPUID */

static void supported_cpuid_makes_sense(void **state UNUSED)
{
	struct cpuid_entry e[100], few[2];
	unsigned int n = cpuid_supported(e, 100), a, b, c, d;
	unsigned int found = 0;

	assert_true(n > 8 && n <= 100);
	assert_int_equal(cpuid_supported(few, 2), n);
	__cpuid(0, a, b, c, d);
	assert_true(e[0].ebx == b && e[0].ecx == c && e[0].edx == d);
	for (unsigned int i = 0; i < n; i++) {
		uint32_t virtual = e[i].eax >> 8 & 0xff;

		if (e[i].leaf == 0x80000008) {
			assert_true(virtual == 48 || virtual == 57);
			found++;
		}
		if (e[i].leaf == 7) {
			assert_true(e[i].has_subleafs);
			found++;
		}
		if (e[i].leaf == 0x40000000) {
			assert_memory_equal(&e[i].ebx, "KVMKVMKVM\0\0\0", 12);
			assert_int_equal(e[i].eax, 0x40000001);
			found++;
		}
	}
	assert_int_equal(found, 3);
}

static void guest_sees_the_table_of_the_client(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	static struct cpuid_entry table[100];
	uint32_t out[4];

	cpu->n_cpuid = cpuid_supported(table, 100);
	cpu->cpuid = table;
	/* The size of XSAVE's area is what XCR0 makes it. */
	cpu->xcr0 = cpuid_xcr0_offered();
	for (unsigned int i = 0; i < cpu->n_cpuid; i++) {
		cpuid_execute(cpu, table[i].leaf, table[i].subleaf, out);
		assert_true(out[0] == table[i].eax && out[1] == table[i].ebx &&
			    out[2] == table[i].ecx && out[3] == table[i].edx);
	}
	cpu->mmu.paging.cr4 |= X86_CR4_PKE;
	cpuid_execute(cpu, 7, 0, out);
	assert_int_equal(out[2] >> 4 & 1, 1);
	cpu->apic_base &= ~APIC_BASE_ENABLED;
	cpuid_execute(cpu, 1, 0, out);
	assert_int_equal(out[3] >> 9 & 1, 0);
	/* A leaf 7 without subleaf 5; a leaf that does not exist. */
	cpuid_execute(cpu, 7, 5, out);
	assert_int_equal(out[1], 0);
	table[0].ebx = 0x68747541;
	cpuid_execute(cpu, 0x3fffffff, 0, out);
	assert_int_equal(out[0] | out[1] | out[2] | out[3], 0);
	table[0].ebx = 0x756e6547;
	cpuid_execute(cpu, 0x3fffffff, 0, out);
	assert_int_equal(out[1], table[5].leaf == 7 ? table[5].ebx : out[1]);
	cpu->n_cpuid = 0;
	cpu->cpuid = NULL;
}

static void cr4_bits_follow_features(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	struct cpuid_entry leaf7 = { .leaf = 7, .has_subleafs = true, .ecx = 1u << 16 };
	const uint64_t always = X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE |
				X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE |
				X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;

	assert_int_equal(cpuid_cr4_reserved(cpu) & always, 0);
	assert_int_equal(cpuid_cr4_reserved(cpu) & X86_CR4_SMEP, 0);
	cpu->cpuid = &leaf7;
	cpu->n_cpuid = 1;
	assert_int_equal(cpuid_cr4_reserved(cpu) & always, 0);
	assert_int_equal(cpuid_cr4_reserved(cpu) & X86_CR4_SMEP, X86_CR4_SMEP);
	assert_int_equal(cpuid_cr4_reserved(cpu) & X86_CR4_LA57, 0);
	assert_int_equal(cpuid_maxphyaddr(cpu), 36);
	cpu->cpuid = NULL;
	cpu->n_cpuid = 0;
}

static void rflags_come_and_go_in_full(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	cpu_set_rflags(cpu, 0x247fd7);
	assert_int_equal(cpu_get_rflags(cpu), 0x247fd7);
	assert_true(cpu->mmu.paging.ac);
	cpu_set_rflags(cpu, 2);
	assert_false(cpu->mmu.paging.ac);
	assert_int_equal(cpu_get_rflags(cpu), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(data_segments_are_checked),
		machine_test(stack_segments_are_checked),
		machine_test(questions_about_selectors),
		machine_test(call_gate_to_level_0_copies_parameters),
		machine_test(fs_and_gs_have_a_base_in_long_mode),
		machine_test(umip_hides_tables_from_users),
		machine_test(control_registers_refuse_nonsense),
		machine_test(debug_registers_keep_their_fixed_bits),
		machine_test(smap_and_smep_keep_the_supervisor_away),
		machine_test(invlpg_forgets_the_page),
		machine_test(listed_msrs_can_be_restored),
		machine_test(tsc_and_its_adjustment),
		machine_test(msrs_obey_their_rules),
		machine_test(registers_without_a_use_are_zero),
		machine_test(lma_is_nobodys_to_write),
		machine_test(what_is_kept_is_canonical_by_cpuid),
		cmocka_unit_test(supported_cpuid_makes_sense),
		machine_test(guest_sees_the_table_of_the_client),
		machine_test(cr4_bits_follow_features),
		machine_test(rflags_come_and_go_in_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
