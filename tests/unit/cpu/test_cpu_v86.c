/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/cpu/test_cpu_v86.c - virtual-8086 mode: the way in, what it may do, the way out.
 * SDM 3A chapter 20 (21 of later editions), "8086 Emulation".
 */
#include <string.h>

#include "code.h"

/* The code is at 3000:0000, the data at 4000:0000. */
#define V86_CS (MACHINE_CODE >> 4)
#define V86_DS (MACHINE_DATA >> 4)
#define V86_SS 0x2000u
#define V86_SP 0x8000u
#define FLAG_IF (1u << 9)
#define FLAG_NT (1u << 14)
#define IOPL_3 (3u << 12)
#define AT_IRET 0x3f000u
#define USER_GATE 0xee
#define SYSTEM_GATE 0x8e

/* As IRET pops it, and as an event pushes it. */
struct v86_frame {
	uint32_t eip, cs, eflags, esp, ss, es, ds, fs, gs;
};

static struct v86_frame v86_frame_at(const struct machine *m, uint64_t at)
{
	struct v86_frame f;

	memcpy(&f, m->memory + at, sizeof(f));
	return f;
}

/* From level 0, by IRET. */
static void enter(struct machine *m, struct v86_frame f)
{
	struct cpu *cpu = m->cpu;
	uint32_t at = MACHINE_STACK - (uint32_t)sizeof(f);

	cpu_set_rflags(cpu, X86_EFLAGS_FIXED);
	machine_set_protected(m, cpu, true, false);
	machine_set_gate(m, EXC_BP, MACHINE_STUBS + EXC_BP, SEL_CODE32, USER_GATE, 0);
	machine_set_gate(m, 0x50, MACHINE_STUBS + 0x50, SEL_CODE32, USER_GATE, 0);
	memcpy(m->memory + at, &f, sizeof(f));
	m->memory[AT_IRET] = 0xcf;
	cpu->r[GPR_RSP] = at;
	cpu->rip = AT_IRET;
	cpu_state_changed(cpu);
}

static struct v86_frame usual(uint32_t flags)
{
	return (struct v86_frame){
		.cs = V86_CS, .eflags = X86_EFLAGS_VM | X86_EFLAGS_FIXED | flags, .esp = V86_SP,
		.ss = V86_SS, .es = V86_DS + 1, .ds = V86_DS, .fs = V86_DS + 2, .gs = V86_DS + 3,
	};
}

/* The vector that ended it. */
static int run_v86(struct machine *m, uint32_t flags, struct code code)
{
	load_code(m, code);
	enter(m, usual(flags));
	assert_int_equal(run_on(m->cpu), CPU_EXIT_HLT);
	return machine_vector(m, m->cpu);
}

CODE(real_like, ".code16",
     "mov $0x4100, %ax\n mov %ax, %ds\n movb $7, (0)\n movb $8, %es:(0)\n movb $9, %gs:(0)\n"
     "push %fs\n pop %bx\n mov %cs, %cx\n mov %ss, %dx\n int $0x50\n")

static void its_segments_are_those_of_real_mode(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	struct v86_frame f;

	assert_int_equal(run_v86(m, IOPL_3 | FLAG_IF, real_like), 0x50);
	assert_int_equal(m->memory[MACHINE_DATA + 0x1000], 7);
	assert_int_equal(m->memory[MACHINE_DATA + 0x10], 8);
	assert_int_equal(m->memory[MACHINE_DATA + 0x30], 9);
	assert_int_equal(cpu->r[GPR_RBX] & 0xffff, V86_DS + 2);
	assert_int_equal(cpu->r[GPR_RCX] & 0xffff, V86_CS);
	assert_int_equal(cpu->r[GPR_RDX] & 0xffff, V86_SS);

	/* The handler has a frame with the segments, none of them loaded, and level 0. */
	assert_int_equal(cpu->r[GPR_RSP], MACHINE_STACK - sizeof(f));
	f = v86_frame_at(m, MACHINE_STACK - sizeof(f));
	assert_int_equal(f.eip, (uint32_t)(real_like.end - real_like.start));
	assert_int_equal(f.cs, V86_CS);
	assert_int_equal(f.eflags & (X86_EFLAGS_VM | IOPL_3 | FLAG_IF),
			 X86_EFLAGS_VM | IOPL_3 | FLAG_IF);
	assert_int_equal(f.esp, V86_SP);
	assert_int_equal(f.ss, V86_SS);
	assert_int_equal(f.es, V86_DS + 1);
	assert_int_equal(f.ds, 0x4100);
	assert_int_equal(f.fs, V86_DS + 2);
	assert_int_equal(f.gs, V86_DS + 3);
	assert_int_equal(cpu->mmu.paging.cpl, 0);
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_VM, 0);
	assert_int_equal(cpu->segs[SEG_CS].selector, SEL_CODE32);
	assert_int_equal(cpu->segs[SEG_SS].selector, SEL_DATA);
	for (enum cpu_seg s = SEG_ES; s <= SEG_GS; s++)
		if (s != SEG_CS && s != SEG_SS)
			assert_true(cpu->segs[s].unusable);
}

CODE(one_cli, ".code16", "cli\n")
CODE(one_sti, ".code16", "sti\n")
CODE(one_pushf, ".code16", "pushf\n")
CODE(one_popf, ".code16", "popf\n")
CODE(one_int, ".code16", "int $0x50\n")
CODE(one_iret, ".code16", "iret\n")
CODE(one_hlt, ".code16", "hlt\n")
CODE(one_lldt, ".code16", ".byte 0x0f, 0x00, 0xd0\n")
CODE(one_lar, ".code16", "lar %ax, %bx\n")
CODE(one_arpl, ".code16", ".byte 0x63, 0xc3\n")
/* movb $1, (%ebx); the same through SS. */
CODE(far_out, ".code16", ".byte 0x67, 0xc6, 0x03, 0x01\n")
CODE(far_stack, ".code16", "mov $0x10000, %ebx\n .byte 0x36, 0x67, 0xc6, 0x03, 0x01\n")

static void what_it_may_not_do_is_an_exception(void **state)
{
	const struct {
		struct code code;
		uint32_t flags;
		int vector;
	} cases[] = {
		{ one_cli, 0, EXC_GP }, { one_sti, 0, EXC_GP }, { one_pushf, 0, EXC_GP },
		{ one_popf, 0, EXC_GP }, { one_int, 0, EXC_GP }, { one_iret, 0, EXC_GP },
		{ one_cli, 2u << 12, EXC_GP }, { one_int, 2u << 12, EXC_GP },
		{ one_hlt, IOPL_3, EXC_GP }, { one_lldt, IOPL_3, EXC_UD },
		{ one_lar, IOPL_3, EXC_UD }, { one_arpl, IOPL_3, EXC_UD },
		{ far_out, IOPL_3, EXC_GP }, { far_stack, IOPL_3, EXC_SS },
	};
	struct machine *m = *state;
	struct v86_frame f;
	uint64_t sp;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool has_code = cases[i].vector != EXC_UD;

		m->cpu->r[GPR_RBX] = 0x10000;
		assert_int_equal(run_v86(m, cases[i].flags, cases[i].code), cases[i].vector);
		sp = MACHINE_STACK - sizeof(f) - (has_code ? 4 : 0);
		assert_int_equal(m->cpu->r[GPR_RSP], sp);
		if (has_code)
			assert_int_equal(machine_read32(m, sp), 0);
		f = v86_frame_at(m, MACHINE_STACK - sizeof(f));
		assert_int_equal(f.cs, V86_CS);
		assert_int_equal(f.esp, V86_SP);
	}
}

/* INT3 and INTO ask the gate alone; so does INT n at IOPL 3. */
CODE(one_int3, ".code16", "int3\n")

static void gates_are_asked_for_their_privilege(void **state)
{
	struct machine *m = *state;

	assert_int_equal(run_v86(m, 0, one_int3), EXC_BP);
	load_code(m, one_int3);
	enter(m, usual(0));
	machine_set_gate(m, EXC_BP, MACHINE_STUBS + EXC_BP, SEL_CODE32, SYSTEM_GATE, 0);
	assert_int_equal(run_on(m->cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, m->cpu), EXC_GP);
	assert_int_equal(machine_read32(m, m->cpu->r[GPR_RSP]), EXC_BP * 8 + 2);
}

/* Level 0 alone: not conforming code, not another level. */
static void its_handlers_are_of_level_0(void **state)
{
	struct machine *m = *state;
	static const uint8_t wrong[] = { 0x9f, 0xfb };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		load_code(m, one_int3);
		enter(m, usual(0));
		machine_set_descriptor(m, SEL_SPARE, 0, 0xfffff, wrong[i], 0xc);
		machine_set_gate(m, EXC_BP, MACHINE_STUBS + EXC_BP, SEL_SPARE, USER_GATE, 0);
		assert_int_equal(run_on(m->cpu), CPU_EXIT_HLT);
		assert_int_equal(machine_vector(m, m->cpu), EXC_GP);
		assert_int_equal(machine_read32(m, m->cpu->r[GPR_RSP]), SEL_SPARE);
		assert_int_equal(v86_frame_at(m, m->cpu->r[GPR_RSP] + 4).cs, V86_CS);
	}
}

CODE(flags_at_iopl_3, ".code16",
     "cli\n pushf\n pop %ax\n sti\n nop\n pushf\n pop %bx\n"
     "push $0\n popf\n pushf\n pop %cx\n"
     "push $0x7000\n push %cs\n push $(1f - 77b)\n iret\n hlt\n"
     "1: pushfl\n pop %edx\n int $0x50\n")

static void at_iopl_3_its_flags_are_its_own(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	assert_int_equal(run_v86(m, IOPL_3 | FLAG_IF, flags_at_iopl_3), 0x50);
	assert_int_equal(cpu->r[GPR_RAX] & (IOPL_3 | FLAG_IF), IOPL_3);
	assert_int_equal(cpu->r[GPR_RBX] & (IOPL_3 | FLAG_IF), IOPL_3 | FLAG_IF);
	/* POPF and IRET leave IOPL and VM. */
	assert_int_equal(cpu->r[GPR_RCX] & (IOPL_3 | FLAG_IF), IOPL_3);
	assert_int_equal(cpu->r[GPR_RDX] & (IOPL_3 | FLAG_NT | FLAG_IF | X86_EFLAGS_VM),
			 IOPL_3 | FLAG_NT);
}

CODE(one_out, ".code16", "out %al, $0x60\n int $0x50\n")

/* Whatever IOPL says. */
static void ports_are_the_bitmaps_to_allow(void **state)
{
	struct machine *m = *state;
	uint16_t map;

	load_code(m, one_out);
	enter(m, usual(IOPL_3));
	assert_int_equal(run_on(m->cpu), CPU_EXIT_IO);
	enter(m, usual(IOPL_3));
	memcpy(&map, m->memory + MACHINE_TSS + 102, 2);
	m->memory[MACHINE_TSS + map + 0x60 / 8] |= 1;
	assert_int_equal(run_on(m->cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, m->cpu), EXC_GP);
}

/* A far transfer, and the return of the handler to where it was. */
CODE(far_jump, ".code16",
     "ljmp $0x3001, $(1f - 77b - 16)\n hlt\n .fill 32 - (. - 77b), 1, 0x90\n"
     "1: int $0x50\n inc %cx\n int $0x50\n")

static void a_handler_returns_to_it(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	cpu->r[GPR_RCX] = 0;
	assert_int_equal(run_v86(m, IOPL_3, far_jump), 0x50);
	assert_int_equal(v86_frame_at(m, cpu->r[GPR_RSP]).cs, V86_CS + 1);
	assert_int_equal(v86_frame_at(m, cpu->r[GPR_RSP]).eip, 32 - 16 + 2);
	cpu->rip = AT_IRET;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), 0x50);
	assert_int_equal(cpu->r[GPR_RCX] & 0xffff, 1);
	assert_int_equal(v86_frame_at(m, cpu->r[GPR_RSP]).ds, V86_DS);
}

static void it_does_not_begin_beyond_its_segment(void **state)
{
	struct v86_frame f = usual(0);
	struct machine *m = *state;

	f.eip = 0x10000;
	enter(m, f);
	assert_int_equal(run_on(m->cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, m->cpu), EXC_GP);
	/* From level 0, where nothing was loaded yet. */
	assert_int_equal(machine_read32(m, m->cpu->r[GPR_RSP] + 4), AT_IRET);
	assert_int_equal(machine_read32(m, m->cpu->r[GPR_RSP] + 8), SEL_CODE32);
}

/* The flag alone, from the client. */
static void a_client_may_set_the_flag(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	load_code(m, one_cli);
	machine_set_protected(m, cpu, true, false);
	for (enum cpu_seg s = SEG_ES; s <= SEG_GS; s++)
		cpu->segs[s] = (struct segment){ .selector = V86_CS, .base = MACHINE_CODE,
						 .limit = 0xffff, .type = 3, .s = true, .dpl = 3,
						 .present = true };
	cpu->rip = 0;
	cpu_set_rflags(cpu, X86_EFLAGS_VM | X86_EFLAGS_FIXED);
	cpu_state_changed(cpu);
	assert_int_equal(cpu->mmu.paging.cpl, 3);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);
	assert_int_equal(v86_frame_at(m, cpu->r[GPR_RSP] + 4).cs, V86_CS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(its_segments_are_those_of_real_mode),
		machine_test(what_it_may_not_do_is_an_exception),
		machine_test(gates_are_asked_for_their_privilege),
		machine_test(its_handlers_are_of_level_0),
		machine_test(at_iopl_3_its_flags_are_its_own),
		machine_test(ports_are_the_bitmaps_to_allow),
		machine_test(a_handler_returns_to_it),
		machine_test(it_does_not_begin_beyond_its_segment),
		machine_test(a_client_may_set_the_flag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
