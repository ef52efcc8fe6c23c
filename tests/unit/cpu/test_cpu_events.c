/* SPDX-License-Identifier: MIT */
/* Exceptions, interrupts and system calls: what is pushed, and what follows. */
#include <string.h>

#include "code.h"
#include "cpu/state/debug.h"
#include "cpu/state/flags.h"
#include "cpu/state/msr.h"

#define EXPECT_VECTOR(m, cpu, v) assert_int_equal(machine_vector(m, cpu), v)

CODE(divide_by_zero, ".code64", "xor %ecx, %ecx\n div %ecx\n hlt\n")

static void fault_pushes_the_instruction_and_rf(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	struct frame f;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RSP] = MACHINE_STACK - 3;
	cpu_set_rflags(cpu, X86_EFLAGS_IF | X86_EFLAGS_FIXED);
	assert_int_equal(run_code(m, cpu, divide_by_zero), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_DE);
	f = *frame_of(m, false);
	assert_int_equal(f.rip, MACHINE_CODE + 2);
	assert_int_equal(f.cs, SEL_CODE64);
	assert_int_equal(f.ss, SEL_DATA);
	assert_int_equal(f.rsp, MACHINE_STACK - 3);
	/* The stack was aligned first. */
	assert_int_equal(cpu->r[GPR_RSP], ALIGN_DOWN(MACHINE_STACK - 3, 16) - 40);
	assert_int_equal(f.rflags & X86_EFLAGS_RF, X86_EFLAGS_RF);
	assert_int_equal(f.rflags & X86_EFLAGS_IF, X86_EFLAGS_IF);
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_IF, 0);
	assert_int_equal(atomic64_load_relaxed(&cpu->mmu.stats[VCPU_STAT_guest_exceptions]), 1);
}

CODE(divide_signed, ".code64", "idiv %rbx\n hlt\n")

/* The quotients around the least number that there is. */
static void division_overflows_where_it_should(void **state)
{
	static const struct {
		uint64_t high, low, by;
		int vector;
		uint64_t quotient, remainder;
	} divisions[] = {
		{ ~0ull, 1ull << 63, 1, -1, 1ull << 63, 0 },
		{ 0, 1ull << 63, ~0ull, -1, 1ull << 63, 0 },
		{ 0, 1ull << 63, 1, EXC_DE, 0, 0 },
		{ ~0ull, 1ull << 63, ~0ull, EXC_DE, 0, 0 },
		{ ~0ull, (1ull << 63) - 1, 1, EXC_DE, 0, 0 },
		{ 0, 7, ~0ull - 1, -1, ~0ull - 2, 1 },
		{ ~0ull, ~0ull - 6, 2, -1, ~0ull - 2, ~0ull },
		{ 1, 0, 1, EXC_DE, 0, 0 },
	};
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (size_t i = 0; i < ARRAY_SIZE(divisions); i++) {
		cpu_reset(cpu);
		machine_set_long(m, cpu, false);
		cpu->r[GPR_RAX] = divisions[i].low;
		cpu->r[GPR_RDX] = divisions[i].high;
		cpu->r[GPR_RBX] = divisions[i].by;
		assert_int_equal(run_code(m, cpu, divide_signed), CPU_EXIT_HLT);
		EXPECT_VECTOR(m, cpu, divisions[i].vector);
		if (divisions[i].vector < 0) {
			assert_true(cpu->r[GPR_RAX] == divisions[i].quotient);
			assert_true(cpu->r[GPR_RDX] == divisions[i].remainder);
		}
	}
}

CODE(breakpoint, ".code64", "nop\n int3\n hlt\n")

static void trap_pushes_the_next_instruction(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	struct frame f;

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, breakpoint), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_BP);
	f = *frame_of(m, false);
	assert_int_equal(f.rip, MACHINE_CODE + 2);
	assert_int_equal(f.rflags & X86_EFLAGS_RF, 0);
}

CODE(user_int, ".code64", "int $0x40\n hlt\n")

static void software_interrupt_obeys_the_gate(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	struct frame f;

	/* From level 3 through a gate for level 0: #GP naming the gate. */
	machine_set_long(m, cpu, true);
	assert_int_equal(run_code(m, cpu, user_int), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_GP);
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), 0x40 * 8 + 2);
	f = *frame_of(m, true);
	assert_int_equal(f.rip, MACHINE_CODE);

	/* And through one for level 3, to the stack of the TSS. */
	cpu_reset(cpu);
	machine_set_long(m, cpu, true);
	machine_set_gate(m, 0x40, MACHINE_STUBS + 0x40, SEL_CODE64, 0xee, 0);
	assert_int_equal(run_code(m, cpu, user_int), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, 0x40);
	f = *frame_of(m, false);
	assert_int_equal(f.rip, MACHINE_CODE + 2);
	assert_int_equal(f.cs, SEL_USER_CODE64 | 3);
	assert_int_equal(f.ss, SEL_USER_DATA | 3);
	assert_int_equal(f.rsp, MACHINE_USER_STACK);
	assert_int_equal(cpu->r[GPR_RSP], MACHINE_STACK - 40);
	assert_int_equal(cpu->segs[SEG_SS].selector, 0);
	assert_int_equal(cpu->mmu.paging.cpl, 0);
}

static void ist_is_used_whatever_the_level(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	machine_set_gate(m, EXC_BP, MACHINE_STUBS + EXC_BP, SEL_CODE64, 0x8e, 1);
	assert_int_equal(run_code(m, cpu, breakpoint), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_BP);
	assert_int_equal(cpu->r[GPR_RSP], MACHINE_IST - 40);
	assert_int_equal(cpu->segs[SEG_SS].selector, SEL_DATA);
}

static void trap_gate_leaves_interrupts_on(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	machine_set_gate(m, EXC_BP, MACHINE_STUBS + EXC_BP, SEL_CODE64, 0x8f, 0);
	cpu_set_rflags(cpu, X86_EFLAGS_IF | X86_EFLAGS_FIXED);
	assert_int_equal(run_code(m, cpu, breakpoint), CPU_EXIT_HLT);
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_IF, X86_EFLAGS_IF);
}

CODE(load_rbx, ".code64", "mov (%rbx), %rax\n hlt\n")
CODE(store_rbx, ".code64", "mov %rax, (%rbx)\n hlt\n")
CODE(jump_rbx, ".code64", "jmp *%rbx\n hlt\n")

static void expect_fault(struct machine *m, struct code c, bool user, uint64_t rbx, uint32_t code)
{
	struct cpu *cpu = m->cpu;
	uint64_t saved = *machine_pte(m, MACHINE_DATA);

	cpu_reset(cpu);
	machine_set_long(m, cpu, user);
	*machine_pte(m, MACHINE_DATA) = saved;
	cpu->r[GPR_RBX] = rbx;
	assert_int_equal(run_code(m, cpu, c), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_PF);
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), code);
	assert_true(cpu->cr2 == rbx);
}

static void page_faults_say_why(void **state)
{
	struct machine *m = *state;
	const uint64_t all = MACHINE_DATA | GPTE_P | GPTE_W | GPTE_U;
	uint64_t *pte = machine_pte(m, MACHINE_DATA);
	const uint64_t at = MACHINE_DATA + 0x123;

	*pte = all & ~GPTE_P;
	expect_fault(m, load_rbx, false, at, 0);
	expect_fault(m, load_rbx, true, at, PFERR_USER);
	expect_fault(m, store_rbx, true, at, PFERR_USER | PFERR_WRITE);
	expect_fault(m, jump_rbx, true, at, PFERR_USER | PFERR_FETCH);
	*pte = all & ~GPTE_U;
	expect_fault(m, load_rbx, true, at, PFERR_USER | PFERR_PRESENT);
	*pte = all & ~GPTE_W;
	expect_fault(m, store_rbx, true, at, PFERR_USER | PFERR_PRESENT | PFERR_WRITE);
	expect_fault(m, store_rbx, false, at, PFERR_PRESENT | PFERR_WRITE);
	*pte = all | GPTE_NX;
	expect_fault(m, jump_rbx, true, at, PFERR_USER | PFERR_PRESENT | PFERR_FETCH);
	*pte = all | 1ull << 51;
	expect_fault(m, load_rbx, true, at, PFERR_USER | PFERR_PRESENT | PFERR_RSVD);
	/* Of the second page, when an access crosses into it. */
	*pte = all & ~GPTE_P;
	expect_fault(m, jump_rbx, true, MACHINE_DATA, PFERR_USER | PFERR_FETCH);
}

static void second_page_is_named_when_it_is_the_one(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, true);
	*machine_pte(m, MACHINE_DATA + 0x1000) = 0;
	cpu->r[GPR_RBX] = MACHINE_DATA + 0xffd;
	assert_int_equal(run_code(m, cpu, store_rbx), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_PF);
	assert_true(cpu->cr2 == MACHINE_DATA + 0x1000);
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), PFERR_USER | PFERR_WRITE);
	/* Nothing of it was stored. */
	assert_int_equal(machine_read32(m, MACHINE_DATA + 0xffc), 0);
}

static void fetch_faults_point_at_the_instruction(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint8_t insn[] = { 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0xf4 };
	struct frame f;

	/* It begins in one page and ends in one that is not there. */
	machine_set_long(m, cpu, true);
	machine_load(m, MACHINE_CODE + 0xffc, insn, sizeof(insn));
	*machine_pte(m, MACHINE_CODE + 0x1000) &= ~GPTE_P;
	cpu->rip = MACHINE_CODE + 0xffc;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_PF);
	assert_true(cpu->cr2 == MACHINE_CODE + 0x1000);
	f = *frame_of(m, true);
	assert_int_equal(f.rip, MACHINE_CODE + 0xffc);
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), PFERR_USER | PFERR_FETCH);

	/* With the page there it runs. */
	cpu_reset(cpu);
	machine_set_long(m, cpu, false);
	cpu->rip = MACHINE_CODE + 0xffc;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_true(cpu->r[GPR_RAX] == 0x0807060504030201);
}

static void expect_gp_not_canonical(struct machine *m, struct code c, uint8_t vector)
{
	struct cpu *cpu = m->cpu;

	cpu_reset(cpu);
	machine_set_long(m, cpu, false);
	cpu->r[GPR_RBX] = cpu->r[GPR_RBP] = 0x800000000000;
	assert_int_equal(run_code(m, cpu, c), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, vector);
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), 0);
}

CODE(load_rbp, ".code64", "mov (%rbp), %rax\n hlt\n")

static void addresses_must_be_canonical(void **state)
{
	expect_gp_not_canonical(*state, load_rbx, EXC_GP);
	expect_gp_not_canonical(*state, jump_rbx, EXC_GP);
	expect_gp_not_canonical(*state, load_rbp, EXC_SS);
}

static void fault_within_delivery_doubles_and_triples(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	/* #DE, whose gate is not there: #NP, contributory: #DF. */
	machine_set_long(m, cpu, false);
	machine_set_gate(m, EXC_DE, 0, 0, 0x0e, 0);
	assert_int_equal(run_code(m, cpu, divide_by_zero), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_DF);
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), 0);

	/* #UD is benign: its missing gate is just #NP, with EXT. */
	cpu_reset(cpu);
	machine_set_long(m, cpu, false);
	machine_set_gate(m, EXC_UD, 0, 0, 0x0e, 0);
	machine_load(m, MACHINE_CODE, "\x0f\x0b", 2);
	cpu->rip = MACHINE_CODE;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_NP);
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), EXC_UD * 8 + 3);

	/* Without any table: shutdown, with RIP at the instruction. */
	cpu_reset(cpu);
	machine_set_long(m, cpu, false);
	cpu->idt.limit = 0;
	assert_int_equal(run_code(m, cpu, divide_by_zero), CPU_EXIT_SHUTDOWN);
	assert_int_equal(cpu->rip, MACHINE_CODE + 2);
	assert_false(cpu->event.pending);

	/* A page fault on the stack that a page fault is pushed to. */
	cpu_reset(cpu);
	machine_set_long(m, cpu, true);
	*machine_pte(m, MACHINE_STACK - 0x1000) = 0;
	machine_set_gate(m, EXC_DF, MACHINE_STUBS + EXC_DF, SEL_CODE64, 0x8e, 1);
	cpu->r[GPR_RBX] = 0x7f0000000000;
	assert_int_equal(run_code(m, cpu, load_rbx), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_DF);
	assert_true(cpu->cr2 == MACHINE_STACK - 8);
}

/* Its handler cannot be fetched, and the stack is always the same. */
static void a_guest_that_only_faults_uses_up_its_budget(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	*machine_pte(m, 0x50000) = 0;
	machine_set_gate(m, EXC_PF, 0x50000, SEL_CODE64, 0x8e, 1);
	cpu->r[GPR_RBX] = 0x50000;
	load_code(m, load_rbx);
	assert_int_equal(cpu_run(cpu, 100000), CPU_EXIT_POLL);
	assert_int_equal(cpu->rip, 0x50000);
	assert_true(atomic64_load_relaxed(&cpu->mmu.stats[VCPU_STAT_instructions]) < 10);
}

CODE(user_32, ".code32", "mov $7, %eax\n ud2\n")

static void protected_mode_switches_to_the_stack_of_the_tss(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint32_t frame[5];

	machine_set_protected(m, cpu, true, true);
	assert_int_equal(run_code(m, cpu, user_32), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_UD);
	assert_int_equal(cpu->r[GPR_RSP], MACHINE_STACK - 20);
	memcpy(frame, m->memory + cpu->r[GPR_RSP], sizeof(frame));
	assert_int_equal(frame[0], MACHINE_CODE + 5);
	assert_int_equal(frame[1], SEL_USER_CODE32 | 3);
	assert_int_equal(frame[3], MACHINE_USER_STACK);
	assert_int_equal(frame[4], SEL_USER_DATA | 3);
	assert_int_equal(cpu->segs[SEG_SS].selector, SEL_DATA);
}

CODE(real_int, ".code16", "sti\n nop\n int $0x21\n inc %bx\n hlt\n")
CODE(real_handler, ".code16", "mov $5, %bx\n iret\n")

static void real_mode_interrupt_returns(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint32_t vector = 0x30000100;

	machine_set_real(m, cpu);
	memcpy(m->memory + MACHINE_IDT + 4 * 0x21, &vector, 4);
	machine_load(m, 0x30100, real_handler.start,
		     (size_t)(real_handler.end - real_handler.start));
	assert_int_equal(run_code(m, cpu, real_int), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RBX], 6);
	assert_int_equal(cpu->r[GPR_RSP], 0x8000);
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_IF, X86_EFLAGS_IF);
}

CODE(handler_returns, ".code64", "int3\n mov $3, %eax\n hlt\n")
CODE(returning_handler, ".code64", "mov $1, %ebx\n iretq\n")

static void iretq_goes_back_to_either_level(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (int user = 0; user < 2; user++) {
		cpu_reset(cpu);
		machine_set_long(m, cpu, user);
		machine_set_gate(m, EXC_BP, MACHINE_CODE + 0x800, SEL_CODE64, 0xee, 0);
		machine_load(m, MACHINE_CODE + 0x800, returning_handler.start,
			     (size_t)(returning_handler.end - returning_handler.start));
		assert_int_equal(run_code(m, cpu, handler_returns), CPU_EXIT_HLT);
		assert_int_equal(cpu->r[GPR_RBX], 1);
		assert_int_equal(cpu->r[GPR_RAX], 3);
		/* HLT is not for users. */
		EXPECT_VECTOR(m, cpu, user ? EXC_GP : -1);
		if (user)
			assert_int_equal(frame_of(m, true)->rsp, MACHINE_USER_STACK);
		else
			assert_int_equal(cpu->r[GPR_RSP], MACHINE_STACK);
	}
}

CODE(to_user_32, ".code64",
     "pushq $0x23\n pushq $0x28000\n pushq $2\n pushq $0x1b\n pushq $" AT("1f") "\n iretq\n"
     ".code32\n 1: mov $0x1ff, %eax\n inc %eax\n int3\n")

static void iretq_enters_compatibility_mode(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	machine_set_gate(m, EXC_BP, MACHINE_STUBS + EXC_BP, SEL_CODE64, 0xee, 0);
	assert_int_equal(run_code(m, cpu, to_user_32), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_BP);
	assert_int_equal(cpu->r[GPR_RAX], 0x200);
	assert_int_equal(frame_of(m, false)->cs, 0x1b);
	/* The data segments of level 0 are not for it. */
	assert_true(cpu->segs[SEG_DS].unusable);
}

CODE(ret_to_user, ".code64",
     "pushq $0x23\n pushq $0x28000\n pushq $0x2b\n pushq $" AT("1f") "\n lretq\n"
     "1: mov %gs:0, %eax\n int3\n")
CODE(iret_to_user, ".code64",
     "pushq $0x23\n pushq $0x28000\n pushq $2\n pushq $0x2b\n pushq $" AT("1f") "\n iretq\n"
     "1: mov %gs:0, %eax\n int3\n")

static void bases_of_fs_and_gs_survive_the_way_out(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (int ret = 0; ret < 2; ret++) {
		cpu_reset(cpu);
		machine_set_long(m, cpu, false);
		machine_set_gate(m, EXC_BP, MACHINE_STUBS + EXC_BP, SEL_CODE64, 0xee, 0);
		memcpy(m->memory + MACHINE_DATA, "\x44\x33\x22\x11", 4);
		cpu->segs[SEG_FS].base = 0x123000;
		cpu->segs[SEG_GS].base = MACHINE_DATA;
		assert_int_equal(run_code(m, cpu, ret ? ret_to_user : iret_to_user), CPU_EXIT_HLT);
		EXPECT_VECTOR(m, cpu, EXC_BP);
		assert_int_equal(cpu->r[GPR_RAX], 0x11223344);
		assert_int_equal(cpu->segs[SEG_GS].selector, 0);
		assert_int_equal(cpu->segs[SEG_FS].base, 0x123000);
	}
}

CODE(iret_to_nothing, ".code64",
     "pushq $0x10\n pushq $0x28000\n pushq $2\n pushq $0x68\n pushq $0\n iretq\n hlt\n")
CODE(iret_not_canonical, ".code64",
     "mov $0x900000000000, %rax\n"
     "pushq $0x10\n pushq $0x28000\n pushq $2\n pushq $8\n push %rax\n iretq\n hlt\n")

static void iretq_checks_before_it_goes(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t iret = MACHINE_CODE + (uint64_t)(iret_to_nothing.end - iret_to_nothing.start) - 3;

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, iret_to_nothing), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_GP);
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), 0x68);
	assert_int_equal(frame_of(m, true)->rip, iret);
	assert_int_equal(frame_of(m, true)->rsp, MACHINE_STACK - 40);

	cpu_reset(cpu);
	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, iret_not_canonical), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_GP);
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), 0);
}

CODE(user_syscall, ".code64", "mov $0x1111, %eax\n syscall\n mov %eax, %ebx\n int3\n")
CODE(kernel_sysret, ".code64", "mov $0x2222, %eax\n mov %cs, %edx\n sysretq\n")

static void syscall_and_sysret(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint64_t entry = MACHINE_CODE + 0x800;

	machine_set_long(m, cpu, true);
	machine_set_gate(m, EXC_BP, MACHINE_STUBS + EXC_BP, SEL_CODE64, 0xee, 0);
	/* SYSRET takes CS from the base and 16, SS from 8. */
	assert_true(msr_write(cpu, 0xc0000081, (uint64_t)SEL_USER_CODE32 << 48 |
						       (uint64_t)SEL_CODE64 << 32, MSR_BY_GUEST));
	assert_true(msr_write(cpu, 0xc0000082, entry, MSR_BY_GUEST));
	assert_true(msr_write(cpu, 0xc0000084, X86_EFLAGS_IF, MSR_BY_GUEST));
	machine_load(m, entry, kernel_sysret.start,
		     (size_t)(kernel_sysret.end - kernel_sysret.start));
	cpu_set_rflags(cpu, X86_EFLAGS_IF | X86_EFLAGS_CF | X86_EFLAGS_FIXED);
	assert_int_equal(run_code(m, cpu, user_syscall), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_BP);
	assert_int_equal(cpu->r[GPR_RBX], 0x2222);
	assert_int_equal(cpu->r[GPR_RDX], SEL_CODE64);
	assert_int_equal(cpu->r[GPR_RCX], MACHINE_CODE + 7);
	assert_int_equal(cpu->r[GPR_R11], X86_EFLAGS_IF | X86_EFLAGS_CF | X86_EFLAGS_FIXED);
	assert_int_equal(frame_of(m, false)->cs, (SEL_USER_CODE32 + 16) | 3);
	assert_int_equal(frame_of(m, false)->ss, SEL_USER_DATA | 3);
	assert_int_equal(frame_of(m, false)->rflags & (X86_EFLAGS_IF | X86_EFLAGS_CF),
			 X86_EFLAGS_IF | X86_EFLAGS_CF);
}

CODE(user_sysenter, ".code32", "sysenter\n")
CODE(kernel_sysexit, ".code32",
     "mov $" AT("1f") ", %edx\n mov $0x28000, %ecx\n sysexit\n 1: mov %cs, %eax\n ud2\n")

static void sysenter_and_sysexit(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_protected(m, cpu, true, true);
	assert_true(msr_write(cpu, 0x174, 0x60, MSR_BY_GUEST));
	assert_true(msr_write(cpu, 0x175, MACHINE_STACK, MSR_BY_GUEST));
	assert_true(msr_write(cpu, 0x176, MACHINE_STUBS + 0x55, MSR_BY_GUEST));
	assert_int_equal(run_code(m, cpu, user_sysenter), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, 0x55);
	assert_int_equal(cpu->segs[SEG_CS].selector, 0x60);
	assert_int_equal(cpu->segs[SEG_SS].selector, 0x68);
	assert_int_equal(cpu->mmu.paging.cpl, 0);

	cpu->segs[SEG_CS].selector = SEL_CODE32;
	cpu->rip = MACHINE_CODE;
	assert_int_equal(run_code(m, cpu, kernel_sysexit), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_UD);
	assert_int_equal(cpu->r[GPR_RAX], 0x73);
}

CODE(three_nops, ".code64", "nop\n nop\n nop\n hlt\n")

static void single_step_traps_behind_each_instruction(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu_set_rflags(cpu, X86_EFLAGS_TF | X86_EFLAGS_FIXED);
	assert_int_equal(run_code(m, cpu, three_nops), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_DB);
	assert_int_equal(frame_of(m, false)->rip, MACHINE_CODE + 1);
	assert_int_equal(cpu->dr6 & DR6_BS, DR6_BS);
	assert_int_equal(frame_of(m, false)->rflags & X86_EFLAGS_TF, X86_EFLAGS_TF);
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_TF, 0);
}

CODE(set_tf, ".code64", "pushfq\n orl $0x100, (%rsp)\n popfq\n nop\n nop\n hlt\n")

static void popf_that_sets_tf_traps_one_later(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, set_tf), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_DB);
	assert_int_equal(frame_of(m, false)->rip, MACHINE_CODE + 10);
}

static void injected_interrupt_comes_first(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->event = (struct cpu_event){ .pending = true, .vector = 0x80 };
	assert_int_equal(run_code(m, cpu, three_nops), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, 0x80);
	assert_int_equal(frame_of(m, false)->rip, MACHINE_CODE);
	assert_false(cpu->event.pending);
}

CODE(sti_hlt, ".code64", "sti\n nop\n in $0x10, %al\n hlt\n")

static void sti_shadows_one_instruction(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	load_code(m, sti_hlt);
	assert_int_equal(cpu_run(cpu, 1), CPU_EXIT_POLL);
	assert_int_equal(cpu->rip, MACHINE_CODE + 1);
	assert_true(cpu->interrupt_shadow);
	assert_int_equal(cpu_run(cpu, 1), CPU_EXIT_POLL);
	assert_int_equal(cpu->rip, MACHINE_CODE + 2);
	assert_false(cpu->interrupt_shadow);
	/* An exit in the shadow does not end it; completing does. */
	cpu->rip = MACHINE_CODE + 2;
	cpu->interrupt_shadow = true;
	assert_int_equal(cpu_run(cpu, 10), CPU_EXIT_IO);
	assert_true(cpu->interrupt_shadow);
	cpu_complete_io(cpu);
	assert_false(cpu->interrupt_shadow);
}

CODE(device_missing, ".code64",
     "mov %cr0, %rax\n or $8, %al\n mov %rax, %cr0\n movups (%rsp), %xmm0\n hlt\n")
CODE(no_osfxsr, ".code64",
     "mov %cr4, %rax\n and $~0x200, %eax\n mov %rax, %cr4\n movups (%rsp), %xmm0\n hlt\n")
CODE(ts_cleared, ".code64",
     "mov %cr0, %rax\n or $8, %al\n mov %rax, %cr0\n clts\n pxor %xmm0, %xmm0\n hlt\n")
CODE(privileged, ".code64", "mov %cr0, %rax\n")
CODE(vex, ".code64", "vaddps %ymm0, %ymm1, %ymm2\n")
CODE(galois, ".code64", "gf2p8mulb %xmm1, %xmm0\n")
CODE(x87_switched_off, ".code64", "mov %cr0, %rax\n or $4, %al\n mov %rax, %cr0\n fld1\n")
CODE(mmx_switched_off, ".code64",
     "mov %cr0, %rax\n or $4, %al\n mov %rax, %cr0\n paddb %mm0, %mm1\n")
CODE(locked_register, ".code64", ".byte 0xf0, 0x01, 0xc3\n")
CODE(locked_move, ".code64", ".byte 0xf0, 0x89, 0x03\n")
CODE(other_cr8, ".code64", ".byte 0xf0, 0x0f, 0x20, 0xc0\n")
CODE(vmx, ".code64", "vmlaunch\n")
CODE(svm, ".code64", "vmrun\n")

static void refusals_have_their_vector(void **state)
{
	static const struct {
		const struct code *code;
		bool user;
		int vector;
	} refusals[] = {
		{ &device_missing, false, EXC_NM }, { &no_osfxsr, false, EXC_UD },
		{ &ts_cleared, false, -1 },	    { &privileged, true, EXC_GP },
		{ &vex, false, EXC_UD },	    { &galois, false, EXC_UD },
		{ &galois, true, EXC_UD },	    { &x87_switched_off, false, EXC_NM },
		{ &mmx_switched_off, false, EXC_UD },
		{ &locked_register, true, EXC_UD }, { &locked_move, false, EXC_UD },
		{ &other_cr8, false, EXC_UD },	    { &vmx, false, EXC_UD },
		{ &svm, false, EXC_UD },
	};
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		cpu_reset(cpu);
		machine_set_long(m, cpu, refusals[i].user);
		assert_int_equal(run_code(m, cpu, *refusals[i].code), CPU_EXIT_HLT);
		EXPECT_VECTOR(m, cpu, refusals[i].vector);
	}
}

CODE(enter_system, ".code32", "sysenter\n")

static void sysenter_needs_its_feature(void **state)
{
	struct cpuid_entry one = { .leaf = 1, .edx = 1u << 11 };
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	cpu->cpuid = &one;
	cpu->n_cpuid = 1;
	machine_set_protected(m, cpu, true, true);
	assert_int_equal(run_code(m, cpu, enter_system), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_GP);
	one.edx = 0;
	machine_set_protected(m, cpu, true, true);
	assert_int_equal(run_code(m, cpu, enter_system), CPU_EXIT_HLT);
	EXPECT_VECTOR(m, cpu, EXC_UD);
	cpu->cpuid = NULL;
	cpu->n_cpuid = 0;
}

/* It is the client's mistake, not the guest's. */
static void what_cpuid_offers_and_is_not_there_is_reported(void **state)
{
	struct cpuid_entry one = { .leaf = 7, .ecx = 1u << 8 };
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	cpu->cpuid = &one;
	cpu->n_cpuid = 1;
	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, galois), CPU_EXIT_INTERNAL_ERROR);
	assert_int_equal(cpu->rip, MACHINE_CODE);
	assert_true(cpu->error.n_bytes >= 5);
	assert_memory_equal(cpu->error.bytes, "\x66\x0f\x38\xcf\xc1", 5);
	cpu->cpuid = NULL;
	cpu->n_cpuid = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(fault_pushes_the_instruction_and_rf),
		machine_test(division_overflows_where_it_should),
		machine_test(trap_pushes_the_next_instruction),
		machine_test(software_interrupt_obeys_the_gate),
		machine_test(ist_is_used_whatever_the_level),
		machine_test(trap_gate_leaves_interrupts_on),
		machine_test(page_faults_say_why),
		machine_test(second_page_is_named_when_it_is_the_one),
		machine_test(fetch_faults_point_at_the_instruction),
		machine_test(addresses_must_be_canonical),
		machine_test(fault_within_delivery_doubles_and_triples),
		machine_test(a_guest_that_only_faults_uses_up_its_budget),
		machine_test(protected_mode_switches_to_the_stack_of_the_tss),
		machine_test(real_mode_interrupt_returns),
		machine_test(iretq_goes_back_to_either_level),
		machine_test(iretq_enters_compatibility_mode),
		machine_test(bases_of_fs_and_gs_survive_the_way_out),
		machine_test(iretq_checks_before_it_goes),
		machine_test(syscall_and_sysret),
		machine_test(sysenter_and_sysexit),
		machine_test(single_step_traps_behind_each_instruction),
		machine_test(popf_that_sets_tf_traps_one_later),
		machine_test(injected_interrupt_comes_first),
		machine_test(sti_shadows_one_instruction),
		machine_test(refusals_have_their_vector),
		machine_test(sysenter_needs_its_feature),
		machine_test(what_cpuid_offers_and_is_not_there_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
