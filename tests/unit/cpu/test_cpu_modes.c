/* SPDX-License-Identifier: MIT */
/* The modes of the processor, and the ways between them. */
#include <string.h>

#include "code.h"
#include "cpu/state/flags.h"

/* The article that every small KVM program descends from. */
CODE(sum_and_print, ".code16",
     "mov $0x3f8, %dx\n"
     "add %bl, %al\n"
     "add $'0', %al\n"
     "out %al, (%dx)\n"
     "mov $'\\n', %al\n"
     "out %al, (%dx)\n"
     "hlt\n")

static void real_mode_program_prints_its_sum(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_real(m, cpu);
	cpu->r[GPR_RAX] = 2;
	cpu->r[GPR_RBX] = 2;
	assert_int_equal(run_code(m, cpu, sum_and_print), CPU_EXIT_IO);
	assert_int_equal(cpu->io.port, 0x3f8);
	assert_false(cpu->io.in);
	assert_int_equal(cpu->io_data[0], '4');
	cpu_complete_io(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	assert_int_equal(cpu->io_data[0], '\n');
	cpu_complete_io(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->rip, sum_and_print.end - sum_and_print.start);
}

CODE(real_segments, ".code16",
     "mov $0x4000, %ax\n mov %ax, %ds\n"
     "movw $0x1234, 0x10\n"
     "mov $0x4001, %ax\n mov %ax, %es\n"
     "mov %es:(0), %bx\n"
     "mov $0x20, %si\n mov $2, %di\n"
     "movb $7, -2(%si)\n"
     "mov 0x1c(%di), %cl\n"
     "push %cs\n pop %fs\n"
     "mov %fs:0, %dl\n"
     "ljmp $0x3000, $1f - 77b\n"
     "1: mov %cs, %bp\n"
     "lcall $0x3000, $2f - 77b\n"
     "hlt\n"
     "2: inc %bp\n lret\n")

static void real_mode_segments_are_shifted_by_four(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_real(m, cpu);
	assert_int_equal(run_code(m, cpu, real_segments), CPU_EXIT_HLT);
	assert_int_equal(machine_read32(m, 0x40010) & 0xffff, 0x1234);
	assert_int_equal(cpu->r[GPR_RBX], 0x1234);
	assert_int_equal(cpu->r[GPR_RCX] & 0xff, 7);
	assert_int_equal(cpu->r[GPR_RDX] & 0xff, real_segments.start[0]);
	assert_int_equal(cpu->r[GPR_RBP], 0x3001);
	assert_int_equal(cpu->segs[SEG_CS].selector, 0x3000);
}

CODE(beyond_limit, ".code16", "mov $0xffff, %bx\n mov (%bx), %ax\n hlt\n")
CODE(load_far_away, ".code16", "mov $0x100000, %ebx\n mov (%ebx), %al\n hlt\n")

static void real_mode_keeps_to_the_cached_limit(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_real(m, cpu);
	assert_int_equal(run_code(m, cpu, beyond_limit), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);

	cpu_reset(cpu);
	machine_set_real(m, cpu);
	assert_int_equal(run_code(m, cpu, load_far_away), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);

	/* "Unreal" mode: a limit that was loaded in protected mode stays. */
	cpu_reset(cpu);
	machine_set_real(m, cpu);
	cpu->segs[SEG_DS].limit = 0xffffffff;
	cpu->segs[SEG_DS].base = 0;
	cpu_state_changed(cpu);
	m->memory[0x100000] = 0x5a;
	assert_int_equal(run_code(m, cpu, load_far_away), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), -1);
	assert_int_equal(cpu->r[GPR_RAX] & 0xff, 0x5a);
}

CODE(to_protected_and_back, ".code16",
     "cli\n"
     "lgdtl %cs:(1f - 77b)\n"
     "mov %cr0, %eax\n or $1, %al\n mov %eax, %cr0\n"
     "ljmpl $0x30, $" AT("2f") "\n"
     ".balign 8\n 1: .word 0x7f\n .long 0x1000\n"
     ".code32\n"
     "2: mov $0x10, %eax\n mov %eax, %ds\n mov %eax, %ss\n mov %eax, %es\n"
     "mov $0x20000, %esp\n"
     "movl $0xcafe, 0x40000\n"
     "push $0x1234\n pop %ebx\n"
     "ljmpl $0x38, $3f - 77b\n"
     ".code16\n"
     "3: mov $0x40, %ax\n mov %ax, %ds\n mov %ax, %ss\n"
     "mov 0, %cx\n"
     "mov %cr0, %eax\n and $0xfe, %al\n mov %eax, %cr0\n"
     "ljmp $0x3000, $4f - 77b\n"
     "4: mov %cr0, %edx\n"
     "hlt\n")

static uint64_t n_flushes(const struct cpu *cpu)
{
	return atomic64_load_relaxed(&cpu->mmu.stats[VCPU_STAT_tlb_flushes]);
}

static void real_to_protected_and_back(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t before;

	machine_write_tables(m, false);
	machine_set_real(m, cpu);
	before = n_flushes(cpu);
	assert_int_equal(run_code(m, cpu, to_protected_and_back), CPU_EXIT_HLT);
	/* Without paging an address means the same in both. */
	assert_int_equal(n_flushes(cpu), before);
	assert_int_equal(machine_read32(m, 0x40000), 0xcafe);
	assert_int_equal(cpu->r[GPR_RBX], 0x1234);
	assert_int_equal(cpu->r[GPR_RCX] & 0xffff, 0xcafe);
	assert_int_equal(cpu->r[GPR_RDX] & X86_CR0_PE, 0);
	assert_int_equal(cpu->segs[SEG_CS].selector, 0x3000);
	assert_int_equal(cpu->segs[SEG_CS].base, 0x30000);
}

/* As kvm-hello-world does it: 4 MiB pages, one store, RAX. */
CODE(hello_32, ".code32",
     "mov $msg_32 - 77b + 0x30000, %esi\n"
     "1: mov (%esi), %al\n test %al, %al\n jz 2f\n"
     "out %al, $0xe9\n inc %esi\n jmp 1b\n"
     "2: movl $42, 0x400\n mov $42, %eax\n hlt\n"
     "msg_32: .asciz \"Hi\"\n")

static void hello_world_runs_with_and_without_paging(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (int paging = 0; paging < 2; paging++) {
		char text[4] = "";
		int n = 0;

		cpu_reset(cpu);
		machine_set_protected(m, cpu, paging, false);
		load_code(m, hello_32);
		while (run_on(cpu) == CPU_EXIT_IO && n < 3) {
			assert_int_equal(cpu->io.port, 0xe9);
			text[n++] = (char)cpu->io_data[0];
			cpu_complete_io(cpu);
		}
		assert_string_equal(text, "Hi");
		assert_int_equal(cpu->r[GPR_RAX], 42);
		assert_int_equal(machine_read32(m, 0x400), 42);
	}
}

CODE(enter_long_mode, ".code32",
     "mov %cr4, %eax\n or $0x20, %eax\n mov %eax, %cr4\n"
     "mov $0x8000, %eax\n mov %eax, %cr3\n"
     "mov $0xc0000080, %ecx\n rdmsr\n or $0x100, %eax\n wrmsr\n"
     "mov %cr0, %eax\n or $0x80000000, %eax\n mov %eax, %cr0\n"
     /* compatibility mode */
     "mov $0x12345678, %ebx\n inc %ebx\n"
     "ljmp $8, $" AT("1f") "\n"
     ".code64\n"
     "1: mov $0x1122334455667788, %r8\n"
     "lea 2f(%rip), %rsi\n mov (%rsi), %rdi\n"
     "mov $0xc0000080, %ecx\n rdmsr\n mov %eax, %ebp\n"
     "hlt\n"
     "2: .quad 0x8899aabbccddeeff\n")

static void protected_to_long(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	/* Tables of long mode, then back to what they are entered from. */
	machine_set_long(m, cpu, false);
	cpu_reset(cpu);
	machine_set_protected(m, cpu, false, false);
	assert_int_equal(run_code(m, cpu, enter_long_mode), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), -1);
	assert_int_equal(cpu->r[GPR_RBX], 0x12345679);
	assert_true(cpu->r[GPR_R8] == 0x1122334455667788);
	assert_true(cpu->r[GPR_RDI] == 0x8899aabbccddeeff);
	assert_int_equal(cpu->r[GPR_RBP], 0x500);
	assert_true(cpu_is_64bit(cpu));
}

CODE(leave_long_mode, ".code64",
     "ljmp *1f(%rip)\n"
     "1: .long " AT("2f") "\n .word 0x30\n"
     ".code32\n"
     "2: mov %cr0, %eax\n and $0x7fffffff, %eax\n mov %eax, %cr0\n"
     "mov $0xc0000080, %ecx\n rdmsr\n"
     "hlt\n")

static void long_to_protected(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, leave_long_mode), CPU_EXIT_HLT);
	assert_false(cpu_is_long_mode(cpu));
	assert_int_equal(cpu->r[GPR_RAX] & X86_EFER_LMA, 0);
	assert_int_equal(cpu->r[GPR_RAX] & X86_EFER_LME, X86_EFER_LME);
}

CODE(touch_pae, ".code32", "mov 0x201000, %eax\n movl $7, 0x41000\n hlt\n")

static void pae_paging_walks_by_its_registers(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_pae(m, cpu);
	*machine_pte(m, 0x41000) = 0x50000 | GPTE_P | GPTE_W;
	memcpy(m->memory + 0x201000, "\x11\x22\x33\x44", 4);
	assert_int_equal(run_code(m, cpu, touch_pae), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RAX], 0x44332211);
	assert_int_equal(machine_read32(m, 0x50000), 7);
	assert_int_equal(*machine_pte(m, 0x41000) & (GPTE_A | GPTE_D), GPTE_A | GPTE_D);
}

static void pdptrs_with_reserved_bits_are_refused(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t before;

	machine_set_pae(m, cpu);
	before = cpu->mmu.paging.pdptr[0];
	memcpy(m->memory + 0x7000, "\x03\x00\x00\x00\x00\x00\x00\x00", 8);
	assert_false(cpu_load_pdptrs(cpu, 0x7000));
	assert_true(cpu->mmu.paging.pdptr[0] == before);
	/* Where there is no memory. */
	assert_false(cpu_load_pdptrs(cpu, 0x80000000));
	assert_true(cpu->mmu.paging.pdptr[0] == before);
	assert_true(cpu_load_pdptrs(cpu, cpu->mmu.paging.cr3));
}

CODE(five_levels, ".code64", "mov (%rbx), %rax\n hlt\n")

static void five_level_paging_reaches_57_bits(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t *level5 = (uint64_t *)(m->memory + 0x10000);

	machine_set_long(m, cpu, false);
	memset(level5, 0, 4096);
	level5[0] = level5[1] = MACHINE_TABLES | GPTE_P | GPTE_W;
	cpu->mmu.paging.cr3 = 0x10000;
	cpu->mmu.paging.cr4 |= X86_CR4_LA57;
	cpu_state_changed(cpu);
	cpu->r[GPR_RBX] = (1ull << 48) | MACHINE_DATA;
	memcpy(m->memory + MACHINE_DATA, "\x99", 1);
	assert_int_equal(run_code(m, cpu, five_levels), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), -1);
	assert_int_equal(cpu->r[GPR_RAX], 0x99);
	/* Not canonical even there. */
	cpu->rip = MACHINE_CODE;
	cpu->r[GPR_RBX] = 1ull << 57;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);
}

CODE(use_16bit_protected, ".code16",
     "mov $0x1234, %ax\n push %ax\n mov %sp, %bp\n mov (%bp), %cx\n"
     "movw $5, 2\n add (2), %cx\n call 1f\n hlt\n 1: inc %cx\n ret\n")

static void sixteen_bit_protected_mode(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_protected(m, cpu, false, false);
	cpu->segs[SEG_CS].selector = SEL_CODE16;
	cpu->segs[SEG_CS].base = MACHINE_CODE;
	cpu->segs[SEG_CS].limit = 0xffff;
	cpu->segs[SEG_CS].db = false;
	cpu->segs[SEG_DS].base = MACHINE_DATA;
	cpu->segs[SEG_DS].limit = 0xffff;
	cpu->segs[SEG_SS].base = MACHINE_DATA;
	cpu->segs[SEG_SS].limit = 0xffff;
	cpu->segs[SEG_SS].db = false;
	cpu->r[GPR_RSP] = 0xabcd8000;
	cpu->rip = 0;
	cpu_state_changed(cpu);
	assert_int_equal(run_code(m, cpu, use_16bit_protected), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RCX] & 0xffff, 0x1234 + 5 + 1);
	/* Only SP moves. */
	assert_int_equal(cpu->r[GPR_RSP], 0xabcd7ffe);
	assert_int_equal(machine_read32(m, MACHINE_DATA + 0x7ffe) & 0xffff, 0x1234);
}

CODE(based_code, ".code32",
     "call 1f\n mov %cs:(2f - 77b), %ebx\n hlt\n"
     "1: mov (%esp), %ecx\n inc %edx\n ret\n"
     "2: .long 0x600dc0de\n")

static void code_segment_with_a_base(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_protected(m, cpu, true, false);
	cpu->segs[SEG_CS].base = MACHINE_CODE;
	cpu->rip = 0;
	cpu_state_changed(cpu);
	assert_int_equal(run_code(m, cpu, based_code), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RBX], 0x600dc0de);
	assert_int_equal(cpu->r[GPR_RCX], 5);
	/* Beyond its limit, at the jump. */
	cpu->segs[SEG_CS].limit = 8;
	cpu->rip = 0;
	cpu_state_changed(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);
	assert_int_equal(machine_read32(m, cpu->r[GPR_RSP] + 4), 0);
}

CODE(wrap_32, ".code32", "mov (%ebx), %eax\n hlt\n")

static void flat_segments_end_at_4_gib(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_protected(m, cpu, false, false);
	cpu->r[GPR_RBX] = 0xfffffffd;
	assert_int_equal(run_code(m, cpu, wrap_32), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);
}

static void reset_is_as_the_book_says(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	assert_int_equal(cpu->rip, 0xfff0);
	assert_int_equal(cpu->segs[SEG_CS].selector, 0xf000);
	assert_true(cpu->segs[SEG_CS].base == 0xffff0000);
	assert_int_equal(cpu->mmu.paging.cr0, 0x60000010);
	assert_int_equal(cpu_get_rflags(cpu), 2);
	assert_int_equal(cpu->dr6, 0xffff0ff0);
	assert_int_equal(cpu->dr7, 0x400);
	assert_int_equal(cpu->mxcsr, 0x1f80);
	/* There is nothing at the reset vector: no code to fetch. */
	assert_int_equal(run_on(cpu), CPU_EXIT_INTERNAL_ERROR);
}

/* SDM 3A table "processor states following power-up, reset, or INIT". */
static void an_init_keeps_what_the_manual_says(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->mmu.paging.cr0 |= X86_CR0_CD;
	cpu->r[GPR_RBX] = 5;
	cpu->dr[2] = 5;
	cpu->cr2 = 5;
	cpu->xmm[3].u64[1] = cpu->ymm_high[3].u64[1] = 6;
	cpu->mxcsr = 0x1f00;
	cpu->x87.st[2].u64[0] = 6;
	cpu->x87.fcw = 0x27f;
	cpu->xcr0 = XCR0_X87 | XCR0_SSE;
	cpu->mmu.paging.pkru = 6;
	cpu->star = cpu->kernel_gs_base = cpu->tsc_aux = cpu->sysenter_cs = cpu->hwcr = 6;
	cpu->pat = cpu->misc_enable = cpu->mtrr_def_type = cpu->mce.status = 6;
	cpu->mtrr_fixed[4] = cpu->mtrr_variable[9] = 6;
	cpu_take_init(cpu);

	assert_int_equal(cpu->r[GPR_RBX], 0);
	assert_int_equal(cpu->dr[2], 0);
	assert_int_equal(cpu->cr2, 0);
	assert_int_equal(cpu->mmu.paging.cr0, X86_CR0_CD | X86_CR0_ET);
	assert_int_equal(cpu->mmu.paging.cr3, 0);
	assert_int_equal(cpu->mmu.paging.efer, 0);
	assert_int_equal(cpu->rip, 0xfff0);
	assert_int_equal(cpu->xmm[3].u64[1] & cpu->ymm_high[3].u64[1], 6);
	assert_int_equal(cpu->mxcsr, 0x1f00);
	assert_int_equal(cpu->x87.st[2].u64[0], 6);
	assert_int_equal(cpu->x87.fcw, 0x27f);
	assert_int_equal(cpu->xcr0, XCR0_X87 | XCR0_SSE);
	assert_int_equal(cpu->mmu.paging.pkru, 6);
	assert_int_equal(cpu->star & cpu->kernel_gs_base & cpu->tsc_aux & cpu->sysenter_cs &
			 cpu->hwcr, 6);
	assert_int_equal(cpu->pat & cpu->misc_enable & cpu->mtrr_def_type & cpu->mce.status, 6);
	assert_int_equal(cpu->mtrr_fixed[4] & cpu->mtrr_variable[9], 6);

	cpu_reset(cpu);
	assert_int_equal(cpu->xmm[3].u64[1] | cpu->ymm_high[3].u64[1], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(real_mode_program_prints_its_sum),
		machine_test(real_mode_segments_are_shifted_by_four),
		machine_test(real_mode_keeps_to_the_cached_limit),
		machine_test(real_to_protected_and_back),
		machine_test(hello_world_runs_with_and_without_paging),
		machine_test(protected_to_long),
		machine_test(long_to_protected),
		machine_test(pae_paging_walks_by_its_registers),
		machine_test(pdptrs_with_reserved_bits_are_refused),
		machine_test(five_level_paging_reaches_57_bits),
		machine_test(sixteen_bit_protected_mode),
		machine_test(code_segment_with_a_base),
		machine_test(flat_segments_end_at_4_gib),
		machine_test(reset_is_as_the_book_says),
		machine_test(an_init_keeps_what_the_manual_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
