/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/cpu/test_cpu_tasks.c - task switches by JMP, CALL, IRET, INT and exceptions.
 * SDM 3A chapter 7 (8 of later editions).
 */
#include <string.h>

#include "code.h"

/* A second task: its TSS, its stack, and a task gate to it. */
#define OTHER_TSS 0x50000u
#define OTHER_STACK 0x58000u
#define SEL_OTHER SEL_SPARE
#define SEL_GATE SEL_SPARE2
#define TASK_GATE 0x85
#define TASK_GATE_USER 0xe5
#define AVAILABLE_32 0x89
#define AVAILABLE_16 0x81
#define FLAG_NT (1u << 14)
#define DR6_BT (1u << 15)

struct tss_32 {
	uint32_t link, stacks[6], cr3, eip, eflags, gprs[8], segs[6], ldt;
	uint16_t traps, io_map;
};

static struct tss_32 *tss_at(struct machine *m, uint32_t at)
{
	return (struct tss_32 *)(m->memory + at);
}

static uint8_t access_of(const struct machine *m, uint16_t selector)
{
	return m->memory[MACHINE_GDT + (selector & ~7u) + 5];
}

/* In protected mode; the other task begins at @code with registers that one can recognize. */
static struct tss_32 *two_tasks(struct machine *m, bool paging, uint32_t eip)
{
	struct cpu *cpu = m->cpu;
	struct tss_32 *other = tss_at(m, OTHER_TSS);

	cpu_set_rflags(cpu, X86_EFLAGS_FIXED);
	machine_set_protected(m, cpu, paging, false);
	machine_set_descriptor(m, SEL_OTHER, OTHER_TSS, 103, AVAILABLE_32, 0);
	*(uint64_t *)(m->memory + MACHINE_GDT + SEL_GATE) = (uint64_t)SEL_OTHER << 16 |
							    (uint64_t)TASK_GATE << 40;
	/* The current one is busy; its CR3 is never saved. */
	tss_at(m, MACHINE_TSS)->cr3 = MACHINE_TABLES;
	m->memory[MACHINE_GDT + SEL_TSS + 5] |= 2;
	*other = (struct tss_32){
		.cr3 = MACHINE_TABLES, .eip = eip, .eflags = X86_EFLAGS_FIXED,
		.gprs = { 1, 2, 3, 4, OTHER_STACK, 5, 6, 7 },
		.segs = { SEL_DATA, SEL_CODE32, SEL_DATA, SEL_DATA, 0, SEL_DATA },
		.io_map = 104,
	};
	return other;
}

CODE(jump, ".code32", "mov $0x1234, %esi\n ljmp $0x58, $0\n 1: mov $0x99, %edi\n hlt\n"
		      ".fill 64 - (. - 77b), 1, 0x90\n"
		      "ljmp $0x48, $0\n")
#define OTHER_CODE (MACHINE_CODE + 64)
#define JUMP_RETURN (MACHINE_CODE + 12)

static void a_jump_leads_to_the_other_task_and_back(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	struct tss_32 *other = two_tasks(m, true, OTHER_CODE), *first = tss_at(m, MACHINE_TSS);

	assert_int_equal(run_code(m, cpu, jump), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), -1);
	assert_int_equal(cpu->r[GPR_RSI], 0x1234);
	assert_int_equal(cpu->r[GPR_RDI], 0x99);
	assert_int_equal(first->eip, JUMP_RETURN);
	assert_int_equal(first->gprs[6], 0x1234);
	assert_int_equal(first->segs[SEG_CS], SEL_CODE32);
	assert_int_equal(other->eip, OTHER_CODE + 7);
	assert_int_equal(other->gprs[0], 1);
	assert_int_equal(other->gprs[4], OTHER_STACK);
	/* Only the current one is busy; nobody has called. */
	assert_int_equal(access_of(m, SEL_TSS), AVAILABLE_32 | 2);
	assert_int_equal(access_of(m, SEL_OTHER), AVAILABLE_32);
	assert_int_equal(other->link, 0);
	assert_int_equal(cpu_get_rflags(cpu) & FLAG_NT, 0);
	assert_true(cpu->mmu.paging.cr0 & X86_CR0_TS);
	assert_int_equal(cpu->segs[SEG_TR].selector, SEL_TSS);
}

CODE(call_other, ".code32", "lcall $0x58, $0\n hlt\n .fill 64 - (. - 77b), 1, 0x90\n"
			    "mov %esp, %eax\n iret\n mov $7, %eax\n iret\n")
CODE(call_gate, ".code32", "lcall $0x60, $0\n hlt\n .fill 64 - (. - 77b), 1, 0x90\n"
			   "mov %esp, %eax\n iret\n mov $7, %eax\n iret\n")
CODE(interrupt, ".code32", "int $0x50\n hlt\n .fill 64 - (. - 77b), 1, 0x90\n"
			   "mov %esp, %eax\n iret\n mov $7, %eax\n iret\n")

static void a_call_returns_by_iret(void **state)
{
	const struct code ways[] = { call_other, call_gate, interrupt };
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct tss_32 *other = two_tasks(m, i & 1, OTHER_CODE);

		machine_set_gate(m, 0x50, 0, SEL_OTHER, TASK_GATE, 0);
		cpu->r[GPR_RAX] = 0x77;
		assert_int_equal(run_code(m, cpu, ways[i]), CPU_EXIT_HLT);
		assert_int_equal(machine_vector(m, cpu), -1);
		assert_int_equal(cpu->r[GPR_RAX], 0x77);
		assert_int_equal(other->link, SEL_TSS);
		assert_int_equal(other->gprs[0], OTHER_STACK);
		/* It goes on behind its IRET, and is no longer nested. */
		assert_int_equal(other->eip, OTHER_CODE + 3);
		assert_int_equal(other->eflags & FLAG_NT, 0);
		assert_int_equal(access_of(m, SEL_OTHER), AVAILABLE_32);
		assert_int_equal(access_of(m, SEL_TSS), AVAILABLE_32 | 2);

		/* Once more: it has kept its place. */
		cpu->rip = MACHINE_CODE;
		assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
		assert_int_equal(other->gprs[0], 7);
	}
}

/* A #GP whose handler is a task gets its error code there, and EIP points to the culprit. */
CODE(culprit, ".code32", "mov %eax, %cr4\n hlt\n .fill 64 - (. - 77b), 1, 0x90\n"
			 "pop %eax\n movl $0x30003, 0x3020\n iret\n")

static void an_exception_brings_its_code(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	struct tss_32 *other = two_tasks(m, false, OTHER_CODE), *first = tss_at(m, MACHINE_TSS);

	machine_set_gate(m, EXC_GP, 0, SEL_OTHER, TASK_GATE, 0);
	cpu->r[GPR_RAX] = 1u << 31;
	load_code(m, culprit);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), -1);
	assert_int_equal(cpu->rip, MACHINE_CODE + 4);
	assert_int_equal(other->gprs[0], 0);
	assert_int_equal(other->gprs[4], OTHER_STACK);
	/* The handler has moved it on; RF says that it was a fault. */
	assert_int_equal(first->eip, 0x30003);
	assert_true(first->eflags & X86_EFLAGS_RF);
}

/* What is wrong with the TSS is found before anything has changed. */
static void a_bad_tss_is_refused(void **state)
{
	static const struct {
		uint8_t access;
		uint32_t limit;
		int vector;
	} cases[] = {
		{ AVAILABLE_32 | 2, 103, EXC_GP },	/* busy */
		{ 0x09, 103, EXC_NP },			/* not present */
		{ AVAILABLE_32, 102, EXC_TS },		/* too short */
		{ AVAILABLE_16, 42, EXC_TS },
		{ 0x82, 103, EXC_GP },			/* an LDT */
	};
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		two_tasks(m, false, OTHER_CODE);
		machine_set_descriptor(m, SEL_OTHER, OTHER_TSS, cases[i].limit, cases[i].access, 0);
		assert_int_equal(run_code(m, cpu, call_other), CPU_EXIT_HLT);
		assert_int_equal(machine_vector(m, cpu), cases[i].vector);
		assert_int_equal(machine_read32(m, cpu->r[GPR_RSP]), SEL_OTHER);
		assert_int_equal(machine_read32(m, cpu->r[GPR_RSP] + 4), MACHINE_CODE);
		assert_int_equal(cpu->segs[SEG_TR].selector, SEL_TSS);
		assert_int_equal(access_of(m, SEL_TSS), AVAILABLE_32 | 2);
		assert_int_equal(access_of(m, SEL_OTHER), cases[i].access);
	}
	/* A gate that is not present, and one that level 3 may not use. */
	two_tasks(m, false, OTHER_CODE);
	m->memory[MACHINE_GDT + SEL_GATE + 5] = TASK_GATE & 0x7f;
	assert_int_equal(run_code(m, cpu, call_gate), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_NP);
	assert_int_equal(machine_read32(m, cpu->r[GPR_RSP]), SEL_GATE);
}

static void level_3_asks_the_gate(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (unsigned int user = 0; user < 2; user++) {
		two_tasks(m, false, MACHINE_STUBS + 0x42);
		m->memory[MACHINE_GDT + SEL_GATE + 5] = user ? TASK_GATE_USER : TASK_GATE;
		cpu->segs[SEG_CS].selector = SEL_USER_CODE32 | 3;
		cpu->segs[SEG_CS].dpl = cpu->segs[SEG_SS].dpl = 3;
		cpu->segs[SEG_SS].selector = SEL_USER_DATA | 3;
		cpu_state_changed(cpu);
		assert_int_equal(run_code(m, cpu, call_gate), CPU_EXIT_HLT);
		assert_int_equal(machine_vector(m, cpu), user ? 0x42 : EXC_GP);
		assert_int_equal(cpu->mmu.paging.cpl, 0);
	}
}

/* What is wrong with the task's segments is found in it, by its own handlers. */
static void a_bad_segment_is_the_new_tasks_fault(void **state)
{
	static const struct {
		enum cpu_seg seg;
		uint16_t selector;
		int vector;
		uint32_t code;
	} cases[] = {
		{ SEG_CS, 0, EXC_TS, 0 },
		{ SEG_CS, SEL_DATA, EXC_TS, SEL_DATA },
		{ SEG_DS, 0x70, EXC_TS, 0x70 },
		{ SEG_GS, 0x1000, EXC_TS, 0x1000 },
	};
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tss_32 *other = two_tasks(m, true, OTHER_CODE);

		other->segs[cases[i].seg] = cases[i].selector;
		other->stacks[0] = 0x5c000;
		other->stacks[1] = SEL_DATA;
		load_code(m, jump);
		if (cases[i].seg == SEG_CS) {
			/* Without code there is a stack only by a task gate. */
			machine_set_gate(m, EXC_TS, 0, SEL_TSS, TASK_GATE, 0);
			assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
			/* The first task goes on as the handler, behind its jump. */
			assert_int_equal(cpu->rip, JUMP_RETURN + 6);
			assert_int_equal(machine_read32(m, cpu->r[GPR_RSP]), cases[i].code);
			assert_int_equal(tss_at(m, MACHINE_TSS)->link, SEL_OTHER);
			continue;
		}
		assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
		assert_int_equal(machine_vector(m, cpu), cases[i].vector);
		assert_int_equal(cpu->segs[SEG_TR].selector, SEL_OTHER);
		assert_int_equal(machine_read32(m, cpu->r[GPR_RSP]), cases[i].code);
		assert_int_equal(machine_read32(m, cpu->r[GPR_RSP] + 4), OTHER_CODE);
	}
}

/* An LDT where there is no memory: the client is asked in the middle of the switch, which then
 * starts over from the old task. */
static void an_exit_in_the_middle_finds_the_old_task(void **state)
{
	static const uint8_t flat_data[8] = { 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0 };
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	struct tss_32 *other = two_tasks(m, false, OTHER_CODE);

	machine_set_descriptor(m, 0x70, 0x80000000, 0xff, 0x82, 0);
	other->ldt = 0x70;
	other->segs[SEG_GS] = 0xc;
	cpu->r[GPR_RBP] = 0xabcdef;
	assert_int_equal(run_code(m, cpu, jump), CPU_EXIT_MMIO);
	assert_int_equal(cpu->segs[SEG_TR].selector, SEL_TSS);
	assert_int_equal(access_of(m, SEL_TSS), AVAILABLE_32 | 2);
	assert_int_equal(access_of(m, SEL_OTHER), AVAILABLE_32);
	assert_int_equal(cpu->rip, MACHINE_CODE + 5);
	assert_int_equal(cpu->r[GPR_RBP], 0xabcdef);
	assert_int_equal(cpu->mmu.paging.cr0 & X86_CR0_TS, 0);
	cpu_complete_mmio(cpu, flat_data);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), -1);
	assert_int_equal(cpu->r[GPR_RDI], 0x99);
	assert_int_equal(other->segs[SEG_GS], 0xc);
}

/* From a TSS of 16 bits and back. */
CODE(jump_16, ".code32", "mov $0x12345678, %esi\n ljmp $0x58, $0\n mov $0x99, %edi\n hlt\n"
			 ".fill 64 - (. - 77b), 1, 0x90\n .code16\n inc %ax\n"
			 "ljmp $0x48, $0\n .code32\n")

static void tasks_of_16_bits_have_their_own_tss(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint16_t *w = (uint16_t *)(m->memory + OTHER_TSS);

	two_tasks(m, false, 0);
	machine_set_descriptor(m, SEL_OTHER, OTHER_TSS, 43, AVAILABLE_16, 0);
	memset(w, 0, 104);
	w[7] = 64;
	w[8] = 2;
	w[9] = 0x4141;
	w[13] = 0x8000;
	w[17] = w[20] = SEL_DATA16;
	w[18] = SEL_CODE16;
	w[19] = SEL_DATA16;
	assert_int_equal(run_code(m, cpu, jump_16), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), -1);
	assert_int_equal(cpu->r[GPR_RDI], 0x99);
	assert_int_equal(cpu->r[GPR_RSI], 0x12345678);
	assert_int_equal(w[9], 0x4142);
	assert_int_equal(w[7], 64 + 1 + 5);
	assert_int_equal(w[22], 0);
}

static void the_t_flag_is_a_trap(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	struct tss_32 *other = two_tasks(m, false, OTHER_CODE);

	other->traps = 1;
	cpu->dr7 = 0x400 | 0x155;
	cpu_state_changed(cpu);
	assert_int_equal(run_code(m, cpu, jump), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_DB);
	assert_int_equal(machine_read32(m, cpu->r[GPR_RSP]), OTHER_CODE);
	assert_int_equal(cpu->dr6, 0xffff0ff0 | DR6_BT);
	/* Breakpoints of one task stay with it. */
	assert_int_equal(cpu->dr7, 0x400);
}

/* A task of virtual-8086 mode. */
static void a_task_may_be_virtual_8086(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	struct tss_32 *other = two_tasks(m, true, 0x40);

	other->eflags |= X86_EFLAGS_VM;
	other->stacks[0] = 0x5c000;
	other->stacks[1] = SEL_DATA;
	for (enum cpu_seg s = SEG_ES; s <= SEG_GS; s++)
		other->segs[s] = MACHINE_CODE >> 4;
	load_code(m, jump);
	m->memory[OTHER_CODE] = 0xfa; /* CLI */
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);
	assert_int_equal(machine_read32(m, cpu->r[GPR_RSP] + 4), 0x40);
	assert_true(machine_read32(m, cpu->r[GPR_RSP] + 12) & X86_EFLAGS_VM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(a_jump_leads_to_the_other_task_and_back),
		machine_test(a_call_returns_by_iret),
		machine_test(an_exception_brings_its_code),
		machine_test(a_bad_tss_is_refused),
		machine_test(level_3_asks_the_gate),
		machine_test(a_bad_segment_is_the_new_tasks_fault),
		machine_test(an_exit_in_the_middle_finds_the_old_task),
		machine_test(tasks_of_16_bits_have_their_own_tss),
		machine_test(the_t_flag_is_a_trap),
		machine_test(a_task_may_be_virtual_8086),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
