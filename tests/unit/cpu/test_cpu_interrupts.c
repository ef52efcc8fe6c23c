/* SPDX-License-Identifier: MIT */
/* Interrupts and NMIs from outside: when they can be taken, and in which order they come. */
#include "code.h"
#include "cpu/event/interrupt.h"

#define HOLE 0x800000ull /* behind the memory */

/* A handler of @vector elsewhere than at its stub. */
static void set_handler(struct machine *m, unsigned int vector, uint64_t at, struct code c)
{
	machine_set_gate(m, vector, at, SEL_CODE64, 0x8e, 0);
	machine_load(m, at, c.start, (size_t)(c.end - c.start));
}

static void assert_vector(struct machine *m, int vector)
{
	assert_int_equal(machine_vector(m, m->cpu), vector);
}

CODE(only_halt, ".code64", "hlt\n")
CODE(on, ".code64", "nop\n sti\n inc %eax\n inc %eax\n hlt\n")
CODE(on_by_popf, ".code64", "pushq $0x202\n popfq\n inc %eax\n hlt\n")
CODE(on_by_iret, ".code64",
     "mov %rsp, %rbx\n pushq $0x10\n push %rbx\n pushq $0x202\n pushq $8\n pushq $" AT("1f") "\n"
     "iretq\n 1: inc %eax\n hlt\n")
CODE(to_ss, ".code64", "sti\n mov %ss, %bx\n mov %bx, %ss\n inc %eax\n hlt\n")

static void an_accepted_interrupt_is_delivered_first(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	interrupt_accept(cpu, 0x40);
	assert_int_equal(interrupt_accepted(cpu), 0x40);
	assert_false(interrupt_can_be_taken(cpu));
	assert_int_equal(run_code(m, cpu, only_halt), CPU_EXIT_HLT);
	assert_vector(m, 0x40);
	assert_int_equal(frame_of(m, false)->rip, MACHINE_CODE);
	assert_int_equal(interrupt_accepted(cpu), -1);

	/* There is room for one: a later one takes its place. */
	interrupt_accept(cpu, 0x41);
	interrupt_accept(cpu, 0x42);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_vector(m, 0x42);
	assert_int_equal(interrupt_accepted(cpu), -1);
}

/* Behind an exception it waits, and is delivered though IF is clear by then. */
static void it_waits_behind_an_exception(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->event = (struct cpu_event){ .pending = true, .vector = EXC_GP, .has_error = true };
	interrupt_accept(cpu, 0x40);
	assert_int_equal(interrupt_accepted(cpu), 0x40);
	assert_int_equal(run_code(m, cpu, only_halt), CPU_EXIT_HLT);
	assert_vector(m, 0x40);
	assert_int_equal(frame_of(m, false)->rip, MACHINE_STUBS + EXC_GP);
}

static uint64_t rip_of_window(struct machine *m, struct code c)
{
	struct cpu *cpu = m->cpu;

	cpu_reset(cpu);
	machine_set_long(m, cpu, false);
	cpu->interrupts.window_wanted = true;
	assert_int_equal(run_code(m, cpu, c), CPU_EXIT_WINDOW);
	assert_true(interrupt_can_be_taken(cpu));
	assert_true(cpu->rflags & X86_EFLAGS_IF);
	return cpu->rip - MACHINE_CODE;
}

static void the_window_opens_as_soon_as_it_may(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	/* STI and MOV SS hold it back for one instruction. */
	assert_int_equal(rip_of_window(m, on), 4);
	assert_int_equal(cpu->r[GPR_RAX], 1);
	assert_int_equal(rip_of_window(m, on_by_popf), 6);
	assert_int_equal(rip_of_window(m, on_by_iret), on_by_iret.end - on_by_iret.start - 3);
	assert_int_equal(cpu->r[GPR_RAX], 0);
	assert_int_equal(rip_of_window(m, to_ss), 4);
	assert_int_equal(cpu_run(cpu, 1000), CPU_EXIT_WINDOW);
	assert_int_equal(cpu->rip, MACHINE_CODE + 4);
	/* And nobody looks who does not want it. */
	cpu->interrupts.window_wanted = false;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_true(interrupt_can_be_taken(cpu));

	/* MOV SS is at 4, and the shadow ends behind the instruction at 6. */
	machine_set_long(m, cpu, false);
	cpu->rip = MACHINE_CODE + 4;
	assert_int_equal(cpu_run(cpu, 1), CPU_EXIT_POLL);
	cpu_set_rflags(cpu, X86_EFLAGS_IF | X86_EFLAGS_FIXED);
	cpu->interrupts.window_wanted = true;
	assert_int_equal(run_on(cpu), CPU_EXIT_WINDOW);
	assert_int_equal(cpu->rip, MACHINE_CODE + 8);
}

CODE(load, ".code64", "mov (%rbx), %rax\n hlt\n")

/* What a device has answered already is not asked of it again. */
static void a_read_of_a_device_is_finished_before(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint8_t answer[8] = { 7 };

	machine_set_long(m, cpu, false);
	cpu_set_rflags(cpu, X86_EFLAGS_IF | X86_EFLAGS_FIXED);
	cpu->r[GPR_RBX] = HOLE;
	*machine_pte(m, 0x50000) = HOLE | 7;
	cpu->r[GPR_RBX] = 0x50000;
	assert_int_equal(run_code(m, cpu, load), CPU_EXIT_MMIO);
	cpu_complete_mmio(cpu, answer);
	assert_false(interrupt_can_be_taken(cpu));
	cpu->interrupts.window_wanted = true;
	interrupt_nmi(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_vector(m, EXC_NMI);
	assert_int_equal(cpu->r[GPR_RAX], 7);
	assert_int_equal(frame_of(m, false)->rip, MACHINE_CODE + 3);
}

CODE(count_and_return, ".code64", "inc %ecx\n iretq\n")
CODE(count_and_halt, ".code64", "inc %ecx\n hlt\n iretq\n")

static void nmis_are_blocked_until_iret(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	set_handler(m, EXC_NMI, MACHINE_CODE + 0x800, count_and_halt);
	interrupt_nmi(cpu);
	assert_int_equal(run_code(m, cpu, only_halt), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RCX], 1);
	assert_true(cpu->interrupts.nmi_blocked);
	/* Of those that come meanwhile one is kept. */
	interrupt_nmi(cpu);
	interrupt_nmi(cpu);
	assert_int_equal(cpu->interrupts.nmis, 1);
	assert_false(interrupt_wakes(cpu));
	/* IRET, and at once the second; IRET, and the program. */
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RCX], 2);
	assert_int_equal(frame_of(m, false)->rip, MACHINE_CODE);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->rip, MACHINE_CODE + 1);
	assert_int_equal(cpu->r[GPR_RCX], 2);
	assert_false(cpu->interrupts.nmi_blocked);
}

static void two_nmis_wait_while_none_is_handled(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	set_handler(m, EXC_NMI, MACHINE_CODE + 0x800, count_and_return);
	for (int i = 0; i < 3; i++)
		interrupt_nmi(cpu);
	assert_true(interrupt_wakes(cpu));
	assert_int_equal(run_code(m, cpu, only_halt), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RCX], 2);
	assert_int_equal(cpu->rip, MACHINE_CODE + 1);
}

static void an_nmi_waits_for_the_shadow_and_not_for_if(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->interrupt_shadow = SHADOW_MOV_SS;
	interrupt_nmi(cpu);
	assert_int_equal(run_code(m, cpu, on), CPU_EXIT_HLT);
	assert_vector(m, EXC_NMI);
	assert_int_equal(frame_of(m, false)->rip, MACHINE_CODE + 1);
}

/* An interrupt that was accepted comes before an NMI that was not. */
static void what_was_accepted_comes_first(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	interrupt_nmi(cpu);
	interrupt_accept(cpu, 0x40);
	assert_int_equal(run_code(m, cpu, only_halt), CPU_EXIT_HLT);
	assert_vector(m, EXC_NMI);
	assert_int_equal(frame_of(m, false)->rip, MACHINE_STUBS + 0x40);
}

CODE(priorities, ".code64", "mov $9, %eax\n mov %rax, %cr8\n inc %ebx\n mov %rax, %cr8\n"
			    "inc %ebx\n dec %eax\n mov %rax, %cr8\n inc %ebx\n hlt\n")

static void whoever_has_the_controller_sees_cr8_go_down(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, priorities), CPU_EXIT_TPR);
	assert_int_equal(cpu->cr8, 8);
	assert_int_equal(cpu->r[GPR_RBX], 2);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RBX], 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(an_accepted_interrupt_is_delivered_first),
		machine_test(it_waits_behind_an_exception),
		machine_test(the_window_opens_as_soon_as_it_may),
		machine_test(a_read_of_a_device_is_finished_before),
		machine_test(nmis_are_blocked_until_iret),
		machine_test(two_nmis_wait_while_none_is_handled),
		machine_test(an_nmi_waits_for_the_shadow_and_not_for_if),
		machine_test(what_was_accepted_comes_first),
		machine_test(whoever_has_the_controller_sees_cr8_go_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
