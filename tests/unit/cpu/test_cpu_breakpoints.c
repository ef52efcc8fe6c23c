/* SPDX-License-Identifier: MIT */
/*
 * Breakpoints, single steps, and what holds them back: when #DB comes, with which RIP
 * and RF, and what DR6 says.  SDM 3B 17.2 and 17.3, 3A 6.8.3; AMD APM 2 13.1.
 */
#include <string.h>

#include "code.h"
#include "cpu/state/debug.h"
#include "cpu/state/flags.h"

/* The handler of #DB stops at its HLT, and returns when it is run on. */
#define HANDLER (MACHINE_STUBS + 0x200)
#define DR6_NONE 0xffff0ff0ull

enum kind { EXECUTION, WRITE, IO, ACCESS };
enum length { ONE, TWO, EIGHT, FOUR };

static void begin(struct machine *m, bool user)
{
	cpu_reset(m->cpu);
	machine_set_long(m, m->cpu, user);
	machine_load(m, HANDLER, "\xf4\x48\xcf", 3);
	machine_set_gate(m, EXC_DB, HANDLER, SEL_CODE64, 0x8e, 0);
}

static uint64_t dr7_of(unsigned int i, enum kind kind, enum length length)
{
	return 1ull << (2 * i) | (uint64_t)(kind | (unsigned int)length << 2) << (16 + 4 * i);
}

/* As KVM_SET_DEBUGREGS does it. */
static void arm(struct cpu *cpu, unsigned int i, uint64_t at, enum kind kind, enum length length)
{
	cpu->dr[i] = at;
	cpu->dr7 |= dr7_of(i, kind, length);
	cpu_state_changed(cpu);
}

/* #DB is the next thing that happens: before the instruction at @rip. */
static void expect_db(struct machine *m, uint64_t rip, uint64_t dr6, bool rf)
{
	assert_int_equal(run_on(m->cpu), CPU_EXIT_HLT);
	assert_int_equal(m->cpu->rip, HANDLER + 1);
	assert_int_equal(frame_of(m, false)->rip, rip);
	assert_int_equal(m->cpu->dr6, DR6_NONE | dr6);
	assert_int_equal(!!(frame_of(m, false)->rflags & X86_EFLAGS_RF), rf);
}

/* The program reaches its HLT. */
static void expect_end(struct machine *m, struct code c)
{
	assert_int_equal(run_on(m->cpu), CPU_EXIT_HLT);
	assert_int_equal(m->cpu->rip, MACHINE_CODE + (uint64_t)(c.end - c.start));
}

/* --- instructions ------------------------------------------------------ */

CODE(counts, ".code64", "1: nop\n inc %eax\n nop\n dec %ecx\n jnz 1b\n hlt\n")
#define COUNTS_INC (MACHINE_CODE + 1)

static void an_instruction_within_a_block_that_is_known(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	cpu->r[GPR_RCX] = 100;
	load_code(m, counts);
	expect_end(m, counts);
	/* The client sets it between two runs. */
	cpu->rip = MACHINE_CODE;
	cpu->r[GPR_RCX] = 3;
	cpu->r[GPR_RAX] = 0;
	arm(cpu, 1, COUNTS_INC, EXECUTION, ONE);
	expect_db(m, COUNTS_INC, 2, false);
	assert_int_equal(cpu->r[GPR_RAX], 0);
	/* Without RF it is met again at once; with RF it is passed, this time. */
	expect_db(m, COUNTS_INC, 2, false);
	assert_int_equal(cpu->r[GPR_RAX], 0);
	frame_of(m, false)->rflags |= X86_EFLAGS_RF;
	expect_db(m, COUNTS_INC, 2, false);
	assert_int_equal(cpu->r[GPR_RAX], 1);
	/* And goes when it is taken away. */
	cpu->dr7 = 0x400;
	cpu_state_changed(cpu);
	expect_end(m, counts);
	assert_int_equal(cpu->r[GPR_RAX], 3);
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_RF, 0);
}

CODE(arms_itself, ".code64", "mov %rax, %dr0\n mov %rbx, %dr7\n nop\n nop\n hlt\n")

static void one_that_the_block_itself_enables(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (unsigned int i = 0; i < 2; i++) {
		begin(m, false);
		cpu->r[GPR_RAX] = MACHINE_CODE + 6 + i;
		cpu->r[GPR_RBX] = 0x402;	/* G0 */
		load_code(m, arms_itself);
		expect_db(m, MACHINE_CODE + 6 + i, 1, false);
	}
}

static void only_what_is_enabled_and_one_byte_long_stops_an_instruction(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	cpu->r[GPR_RCX] = 2;
	load_code(m, counts);
	cpu->dr[0] = COUNTS_INC;	/* not enabled; LE and GE enable nothing */
	cpu->dr7 = 0x700;
	arm(cpu, 1, COUNTS_INC, EXECUTION, TWO);
	arm(cpu, 2, COUNTS_INC + 0x100, EXECUTION, ONE);
	arm(cpu, 3, COUNTS_INC, WRITE, ONE);
	expect_end(m, counts);
	assert_int_equal(cpu->dr6, DR6_NONE);
}

CODE(next_page, ".code64", "jmp *%rbx\n")

static void it_comes_before_the_fault_of_its_fetch(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, true);
	*machine_pte(m, 0x60000) = 0;
	cpu->r[GPR_RBX] = 0x60000;
	arm(cpu, 0, 0x60000, EXECUTION, ONE);
	load_code(m, next_page);
	expect_db(m, 0x60000, 1, false);
	assert_int_equal(frame_of(m, false)->cs, SEL_USER_CODE64 | 3);
	frame_of(m, false)->rflags |= X86_EFLAGS_RF;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_PF);
}

CODE(real, ".code16", "nop\n nop\n hlt\n")

static void addresses_are_linear(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	cpu_reset(cpu);
	machine_set_real(m, cpu);
	arm(cpu, 0, 1, EXECUTION, ONE);
	arm(cpu, 3, MACHINE_CODE + 1, EXECUTION, ONE);
	assert_int_equal(run_code(m, cpu, real), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_DB);
	assert_int_equal(machine_read32(m, MACHINE_CODE + cpu->r[GPR_RSP]) & 0xffff, 1);
	assert_int_equal(cpu->dr6, DR6_NONE | 8);
}

/* --- RF ---------------------------------------------------------------- */

CODE(with_rf, ".code64", "pushf\n pop %rax\n nop\n int $0x40\n")

static void rf_lasts_for_one_instruction(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	load_code(m, with_rf);
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_RF);
	assert_int_equal(cpu_run(cpu, 1), CPU_EXIT_POLL);
	assert_int_equal(cpu->rip, MACHINE_CODE + 1);
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_RF, 0);
	/* PUSHF does not show it. */
	assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]) & X86_EFLAGS_RF, 0);
	/* A software interrupt is pushed without, an interrupt between two with it. */
	cpu->rip = MACHINE_CODE + 3;
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_RF);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), 0x40);
	assert_int_equal(frame_of(m, false)->rflags & X86_EFLAGS_RF, 0);
	cpu->rip = MACHINE_CODE;
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_RF);
	cpu->event = (struct cpu_event){ .pending = true, .interrupt = true, .vector = 0x80 };
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), 0x80);
	assert_int_equal(!!(frame_of(m, false)->rflags & X86_EFLAGS_RF), 1);
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_RF, 0);
}

CODE(iret_with_rf, ".code64",
     "mov %ss, %eax\n mov %rsp, %rbx\n push %rax\n push %rbx\n push $0x10002\n mov %cs, %eax\n"
     "push %rax\n lea 1f(%rip), %rax\n push %rax\n iretq\n"
     "1: jmp 2f\n 2: nop\n hlt\n")

static void rf_of_iret_lasts_for_one_instruction_too(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint64_t end = MACHINE_CODE + (uint64_t)(iret_with_rf.end - iret_with_rf.start);

	begin(m, false);
	load_code(m, iret_with_rf);
	expect_end(m, iret_with_rf);
	/* Blocks that are known, and time for all of them. */
	cpu->rip = MACHINE_CODE;
	assert_int_equal(cpu_run(cpu, 100000), CPU_EXIT_HLT);
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_RF, 0);
	/* It passes a breakpoint where IRET leads, and none behind that. */
	begin(m, false);
	arm(cpu, 0, end - 4, EXECUTION, ONE);
	expect_end(m, iret_with_rf);
	begin(m, false);
	arm(cpu, 0, end - 2, EXECUTION, ONE);
	expect_db(m, end - 2, 1, false);
}

CODE(in_al, ".code64", "in $0x10, %al\n hlt\n")

/* An instruction that is abandoned keeps it; one that the client ends does not. */
static void rf_outlives_an_exit(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	load_code(m, in_al);
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_RF);
	arm(cpu, 0, MACHINE_CODE, EXECUTION, ONE);
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	assert_int_equal(!!(cpu_get_rflags(cpu) & X86_EFLAGS_RF), 1);
	cpu_complete_io(cpu);
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_RF, 0);
	expect_end(m, in_al);
}

CODE(iret_16, ".code32", "push %ebx\n mov %cs, %eax\n push %ax\n pushw $0x0010\n iretw\n")

static void a_narrow_iret_leaves_rf(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_protected(m, cpu, true, false);
	/* Flags of two bytes and what is behind them, CS, IP. */
	cpu->r[GPR_RBX] = 0xffff0002;
	machine_load(m, 0x10, "\xf4", 1);
	cpu->r[GPR_RSP] = MACHINE_STACK;
	assert_int_equal(run_code(m, cpu, iret_16), CPU_EXIT_HLT);
	assert_int_equal(cpu->rip, 0x11);
	assert_int_equal(cpu_get_rflags(cpu) & X86_EFLAGS_RF, 0);
}

/* --- data -------------------------------------------------------------- */

CODE(load_1, ".code64", "mov (%rbx), %al\n hlt\n")
CODE(load_2, ".code64", "mov (%rbx), %ax\n hlt\n")
CODE(load_4, ".code64", "mov (%rbx), %eax\n hlt\n")
CODE(load_8, ".code64", "mov (%rbx), %rax\n hlt\n")
CODE(load_16, ".code64", "movups (%rbx), %xmm0\n hlt\n")
CODE(store_1, ".code64", "mov %al, (%rbx)\n hlt\n")
CODE(store_2, ".code64", "mov %ax, (%rbx)\n hlt\n")
CODE(store_4, ".code64", "mov %eax, (%rbx)\n hlt\n")
CODE(store_8, ".code64", "mov %rax, (%rbx)\n hlt\n")
CODE(store_16, ".code64", "movups %xmm0, (%rbx)\n hlt\n")

/* Runs @c once without a breakpoint, so that the TLB knows its page, and again. */
static void expect_access(struct machine *m, struct code c, uint64_t rbx, bool hit)
{
	struct cpu *cpu = m->cpu;
	uint64_t dr7 = cpu->dr7;

	load_code(m, c);
	cpu->r[GPR_RBX] = rbx;
	cpu->rip = MACHINE_CODE;
	cpu->dr7 = 0x400;
	cpu_state_changed(cpu);
	expect_end(m, c);
	cpu->rip = MACHINE_CODE;
	cpu->dr6 = DR6_NONE;
	cpu->dr7 = dr7;
	cpu_state_changed(cpu);
	if (hit)
		expect_db(m, MACHINE_CODE + (uint64_t)(c.end - c.start) - 1, 1, false);
	expect_end(m, c);
	assert_int_equal(cpu->dr6, hit ? DR6_NONE | 1 : DR6_NONE);
}

static void lengths_mask_addresses_and_any_byte_counts(void **state)
{
	static const struct {
		enum length length;
		unsigned int at;	/* of the breakpoint */
		const struct code *code;
		unsigned int access;
		bool hit;
	} cases[] = {
		{ ONE, 0x103, &store_1, 0x103, true }, { ONE, 0x103, &store_1, 0x102, false },
		{ ONE, 0x103, &store_1, 0x104, false }, { ONE, 0x103, &store_4, 0x100, true },
		{ ONE, 0x103, &store_4, 0x0ff, false }, { ONE, 0x103, &store_8, 0x103, true },
		{ TWO, 0x103, &store_1, 0x102, true }, { TWO, 0x103, &store_1, 0x104, false },
		{ TWO, 0x103, &store_2, 0x101, true }, { TWO, 0x103, &store_2, 0x103, true },
		{ FOUR, 0x106, &store_1, 0x104, true }, { FOUR, 0x106, &store_1, 0x107, true },
		{ FOUR, 0x106, &store_1, 0x108, false }, { FOUR, 0x106, &store_4, 0x101, true },
		{ FOUR, 0x106, &store_4, 0x100, false }, { FOUR, 0x106, &store_8, 0x107, true },
		{ EIGHT, 0x10f, &store_1, 0x108, true }, { EIGHT, 0x10f, &store_1, 0x10f, true },
		{ EIGHT, 0x10f, &store_1, 0x107, false }, { EIGHT, 0x10f, &store_1, 0x110, false },
		{ EIGHT, 0x10f, &store_16, 0x0f9, true }, { EIGHT, 0x10f, &store_16, 0x0f8, false },
		/* Across pages. */
		{ ONE, 0x1000, &store_4, 0xffd, true }, { ONE, 0x1000, &store_4, 0xffc, false },
		{ ONE, 0xfff, &store_4, 0xffd, true }, { EIGHT, 0x1000, &store_16, 0xff1, true },
		{ FOUR, 0x1004, &store_8, 0xfff, true }, { FOUR, 0x1004, &store_4, 0xfff, false },
	};
	struct machine *m = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(m, false);
		arm(m->cpu, 0, MACHINE_DATA + cases[i].at, WRITE, cases[i].length);
		expect_access(m, *cases[i].code, MACHINE_DATA + cases[i].access, cases[i].hit);
	}
}

CODE(add_memory, ".code64", "add %al, (%rbx)\n hlt\n")
CODE(lock_add, ".code64", "lock addb %al, (%rbx)\n hlt\n")
CODE(exchange, ".code64", "xchg %eax, (%rbx)\n hlt\n")
CODE(compare_exchange, ".code64", "lock cmpxchg %ecx, (%rbx)\n hlt\n")
CODE(compare_16, ".code64", "cmpxchg16b (%rbx)\n hlt\n")
CODE(compare, ".code64", "cmp %al, (%rbx)\n hlt\n")
CODE(add_from, ".code64", "add (%rbx), %rax\n hlt\n")
CODE(sse_from, ".code64", "paddb (%rbx), %xmm0\n hlt\n")
CODE(bit_set, ".code64", "btsl $3, (%rbx)\n hlt\n")
CODE(bit_test, ".code64", "btl $3, (%rbx)\n hlt\n")
CODE(push_there, ".code64",
     "mov %rsp, %rbp\n lea 8(%rbx), %rsp\n push %rax\n mov %rbp, %rsp\n hlt\n")
CODE(save_there, ".code64", "fxsave (%rbx)\n hlt\n")
CODE(invalidate, ".code64", "invlpg (%rbx)\n hlt\n")
CODE(address_only, ".code64", "lea (%rbx), %rax\n hlt\n")

static void kinds_of_access(void **state)
{
	static const struct {
		const struct code *code;
		bool reads, writes;
	} cases[] = {
		{ &load_1, 1, 0 }, { &load_2, 1, 0 }, { &load_4, 1, 0 }, { &load_8, 1, 0 },
		{ &load_16, 1, 0 }, { &store_1, 0, 1 }, { &store_2, 0, 1 }, { &store_4, 0, 1 },
		{ &store_8, 0, 1 }, { &store_16, 0, 1 }, { &add_memory, 1, 1 }, { &lock_add, 1, 1 },
		{ &exchange, 1, 1 }, { &compare_exchange, 1, 1 }, { &compare_16, 1, 1 },
		{ &compare, 1, 0 }, { &add_from, 1, 0 }, { &sse_from, 1, 0 }, { &bit_set, 1, 1 },
		{ &bit_test, 1, 0 }, { &save_there, 0, 1 }, { &invalidate, 0, 0 },
		{ &address_only, 0, 0 },
	};
	struct machine *m = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		begin(m, false);
		arm(m->cpu, 0, MACHINE_DATA + 0x40, WRITE, ONE);
		expect_access(m, *cases[i].code, MACHINE_DATA + 0x40, cases[i].writes);
		begin(m, false);
		arm(m->cpu, 0, MACHINE_DATA + 0x40, ACCESS, ONE);
		expect_access(m, *cases[i].code, MACHINE_DATA + 0x40,
			      cases[i].reads || cases[i].writes);
		/* Not at execution, not as a port. */
		begin(m, false);
		m->cpu->mmu.paging.cr4 |= X86_CR4_DE;
		arm(m->cpu, 0, MACHINE_DATA + 0x40, EXECUTION, ONE);
		arm(m->cpu, 1, MACHINE_DATA + 0x40, IO, ONE);
		expect_access(m, *cases[i].code, MACHINE_DATA + 0x40, false);
	}
	begin(m, false);
	arm(m->cpu, 0, MACHINE_DATA + 0x40, WRITE, EIGHT);
	load_code(m, push_there);
	m->cpu->r[GPR_RBX] = MACHINE_DATA + 0x40;
	expect_db(m, MACHINE_CODE + 8, 1, false);
}

static void what_is_hit_together_is_reported_together(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, true);
	load_code(m, store_8);
	cpu->r[GPR_RBX] = MACHINE_DATA;
	arm(cpu, 0, MACHINE_DATA + 7, WRITE, ONE);
	arm(cpu, 1, MACHINE_DATA + 8, WRITE, ONE);
	arm(cpu, 2, MACHINE_DATA, ACCESS, FOUR);
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_TF);
	/* What is left of an earlier one: of B0-B3 nothing, of the others all. */
	cpu->dr6 = DR6_NONE | 2 | DR6_BD;
	expect_db(m, MACHINE_CODE + 3, 1 | 4 | DR6_BS | DR6_BD, false);
	assert_int_equal(frame_of(m, false)->cs, SEL_USER_CODE64 | 3);
	assert_int_equal(frame_of(m, false)->rsp, MACHINE_USER_STACK);
	assert_int_equal(machine_read64(m, MACHINE_DATA), cpu->r[GPR_RAX]);
}

CODE(watch_itself, ".code64",
     "mov %rdx, (%rbx)\n mov %rbx, %dr3\n mov %rax, %dr7\n mov %rax, (%rbx)\n"
     "mov %rdx, (%rbx)\n hlt\n")

static void the_guest_watches_a_page_that_the_tlb_knows(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	load_code(m, watch_itself);
	cpu->r[GPR_RBX] = MACHINE_DATA;
	cpu->r[GPR_RAX] = 0x400 | dr7_of(3, WRITE, EIGHT);
	expect_db(m, MACHINE_CODE + 12, 8, false);
	expect_db(m, MACHINE_CODE + 15, 8, false);
	expect_end(m, watch_itself);
}

static void an_instruction_that_faults_has_hit_nothing(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	load_code(m, store_8);
	*machine_pte(m, MACHINE_DATA + 0x1000) = 0;
	cpu->r[GPR_RBX] = MACHINE_DATA + 0xffc;
	arm(cpu, 0, MACHINE_DATA + 0xffc, ACCESS, ONE);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_PF);
	assert_int_equal(cpu->dr6, DR6_NONE);
}

CODE(load_device, ".code64", "mov (%rbx), %rax\n hlt\n")

static void a_device_is_watched_like_memory(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint8_t data[8] = { 0x55 };

	begin(m, false);
	load_code(m, load_device);
	cpu->r[GPR_RBX] = 0x30000000;
	arm(cpu, 0, 0x30000004, ACCESS, ONE);
	assert_int_equal(run_on(cpu), CPU_EXIT_MMIO);
	cpu_complete_mmio(cpu, data);
	expect_db(m, MACHINE_CODE + 3, 1, false);
	assert_int_equal(cpu->r[GPR_RAX], 0x55);
	expect_end(m, load_device);
	/* What was begun and never ended has hit nothing. */
	begin(m, false);
	load_code(m, load_device);
	cpu->r[GPR_RBX] = 0x30000000;
	arm(cpu, 0, 0x30000004, ACCESS, ONE);
	assert_int_equal(run_on(cpu), CPU_EXIT_MMIO);
	cpu_complete_mmio(cpu, data);
	cpu->rip = MACHINE_CODE + 3;
	expect_end(m, load_device);
	assert_int_equal(cpu->dr6, DR6_NONE);
}

/* The instruction ends first, then the interrupt is delivered, then the #DB is: to the
 * first instruction of the interrupt's handler. */
static void a_trap_is_not_lost_to_an_injected_interrupt(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint8_t data[8] = { 0 };

	begin(m, false);
	load_code(m, load_device);
	cpu->r[GPR_RBX] = 0x30000000;
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_TF);
	assert_int_equal(run_on(cpu), CPU_EXIT_MMIO);
	cpu_complete_mmio(cpu, data);
	cpu->event = (struct cpu_event){ .pending = true, .interrupt = true, .vector = 0x80 };
	expect_db(m, MACHINE_STUBS + 0x80, DR6_BS, false);
	assert_int_equal(machine_read64(m, MACHINE_STACK - 40), MACHINE_CODE + 3);
}

CODE(movs, ".code64", "rep movsb\n hlt\n")

static void each_iteration_traps(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (int down = 0; down < 2; down++) {
		begin(m, false);
		load_code(m, movs);
		cpu->r[GPR_RSI] = MACHINE_DATA + 0x100;
		cpu->r[GPR_RDI] = MACHINE_DATA;
		cpu->r[GPR_RCX] = 4;
		if (down) {
			cpu->r[GPR_RSI] += 3;
			cpu->r[GPR_RDI] += 3;
			cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_DF);
		}
		/* The third from below is the third or second; the last one ends it. */
		arm(cpu, 0, MACHINE_DATA + 2, WRITE, ONE);
		arm(cpu, 1, MACHINE_DATA + (down ? 0x100 : 0x103), ACCESS, ONE);
		/* RF keeps the instruction's own from being hit again. */
		arm(cpu, 2, MACHINE_CODE, EXECUTION, ONE);
		expect_db(m, MACHINE_CODE, 4, false);
		frame_of(m, false)->rflags |= X86_EFLAGS_RF;
		expect_db(m, MACHINE_CODE, 1, true);
		assert_int_equal(cpu->r[GPR_RCX], down ? 2 : 1);
		expect_db(m, MACHINE_CODE + 2, 2, false);
		assert_int_equal(cpu->r[GPR_RCX], 0);
		expect_end(m, movs);
	}
}

static void each_iteration_is_a_step(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	load_code(m, movs);
	cpu->r[GPR_RSI] = cpu->r[GPR_RDI] = MACHINE_DATA;
	cpu->r[GPR_RCX] = 2;
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_TF);
	expect_db(m, MACHINE_CODE, DR6_BS, true);
	expect_db(m, MACHINE_CODE + 2, DR6_BS, false);
}

/* --- ports ------------------------------------------------------------- */

CODE(out_word, ".code64", "out %ax, (%dx)\n hlt\n")
CODE(in_byte, ".code64", "in (%dx), %al\n hlt\n")

static void expect_port(struct machine *m, struct code c, uint16_t port, bool hit)
{
	struct cpu *cpu = m->cpu;

	load_code(m, c);
	cpu->rip = MACHINE_CODE;
	cpu->dr6 = DR6_NONE;
	cpu->r[GPR_RDX] = port;
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	cpu_complete_io(cpu);
	if (hit)
		expect_db(m, MACHINE_CODE + (uint64_t)(c.end - c.start) - 1, 1, false);
	expect_end(m, c);
	assert_int_equal(cpu->dr6, hit ? DR6_NONE | 1 : DR6_NONE);
}

static void ports_are_watched_with_de(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	arm(cpu, 0, 0x3fb, IO, FOUR);
	expect_port(m, in_byte, 0x3f8, false);
	cpu->mmu.paging.cr4 |= X86_CR4_DE;
	expect_port(m, in_byte, 0x3f8, true);
	expect_port(m, in_byte, 0x3fb, true);
	expect_port(m, in_byte, 0x3fc, false);
	expect_port(m, out_word, 0x3f7, true);
	expect_port(m, out_word, 0x3f6, false);
}

CODE(string_out, ".code64", "rep outsb\n hlt\n")
CODE(string_in, ".code64", "rep insb\n hlt\n")

static void each_element_of_a_port_traps(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (int in = 0; in < 2; in++) {
		begin(m, false);
		load_code(m, in ? string_in : string_out);
		cpu->mmu.paging.cr4 |= X86_CR4_DE;
		cpu->r[GPR_RDX] = 0x10;
		cpu->r[GPR_RCX] = 2;
		cpu->r[GPR_RSI] = cpu->r[GPR_RDI] = MACHINE_DATA;
		arm(cpu, 0, 0x10, IO, ONE);
		arm(cpu, 1, MACHINE_DATA + 1, ACCESS, ONE);
		arm(cpu, 2, MACHINE_CODE, EXECUTION, ONE);
		cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_RF);
		for (unsigned int left = 2; left-- > 0;) {
			assert_int_equal(run_on(cpu), CPU_EXIT_IO);
			assert_int_equal(cpu->io.count, 1);
			cpu_complete_io(cpu);
			assert_int_equal(cpu->r[GPR_RCX], left);
			if (left)
				expect_db(m, MACHINE_CODE, 1, true);
			else
				expect_db(m, MACHINE_CODE + 2, 1 | 2, false);
		}
		expect_end(m, string_in);
	}
}

static void each_element_of_a_port_is_a_step(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	load_code(m, string_out);
	cpu->r[GPR_RCX] = 2;
	cpu->r[GPR_RSI] = MACHINE_DATA;
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_TF);
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	cpu_complete_io(cpu);
	expect_db(m, MACHINE_CODE, DR6_BS, true);
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	cpu_complete_io(cpu);
	expect_db(m, MACHINE_CODE + 2, DR6_BS, false);
}

/* The client's answer cannot be stored at once: the instruction does it, when it is
 * started again. */
static void elements_that_are_stored_later_trap_too(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	load_code(m, string_in);
	cpu->mmu.paging.cr4 |= X86_CR4_DE;
	cpu->r[GPR_RDX] = 0x10;
	cpu->r[GPR_RCX] = 2;
	cpu->r[GPR_RDI] = MACHINE_DATA;
	arm(cpu, 0, 0x10, IO, ONE);
	arm(cpu, 1, MACHINE_DATA, WRITE, ONE);
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	*machine_pte(m, MACHINE_DATA) = 0;
	mmu_paging_changed(&cpu->mmu);
	cpu_complete_io(cpu);
	assert_int_equal(cpu->r[GPR_RCX], 2);
	*machine_pte(m, MACHINE_DATA) = MACHINE_DATA | GPTE_P | GPTE_W | GPTE_U;
	expect_db(m, MACHINE_CODE, 1 | 2, true);
	assert_int_equal(cpu->r[GPR_RCX], 1);
}

/* --- the registers ----------------------------------------------------- */

CODE(read_dr, ".code64", "nop\n mov %dr3, %rax\n hlt\n")
CODE(read_dr4, ".code64", "mov %dr4, %rax\n hlt\n")

static void gd_guards_the_registers(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	load_code(m, read_dr);
	cpu->dr7 = 0x400 | DR7_GD;
	cpu->dr6 = DR6_NONE | 1;
	/* A fault, so with RF. */
	expect_db(m, MACHINE_CODE + 1, DR6_BD, true);
	assert_int_equal(cpu->dr7, 0x400);
	expect_end(m, read_dr);

	/* Any #DB clears it, also one of another reason; no other event does. */
	begin(m, false);
	load_code(m, read_dr);
	cpu->dr7 = 0x400 | DR7_GD;
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_TF);
	expect_db(m, MACHINE_CODE + 1, DR6_BS, false);
	assert_int_equal(cpu->dr7, 0x400);
	begin(m, true);
	load_code(m, read_dr);
	cpu->dr7 = 0x400 | DR7_GD;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);
	assert_int_equal(cpu->dr7, 0x400 | DR7_GD);

	/* DR4 is DR6, or nothing. */
	begin(m, false);
	load_code(m, read_dr4);
	expect_end(m, read_dr4);
	assert_int_equal(cpu->r[GPR_RAX], DR6_NONE);
	begin(m, false);
	cpu->mmu.paging.cr4 |= X86_CR4_DE;
	cpu->dr7 = 0x400 | DR7_GD;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_UD);
}

CODE(icebp, ".code64", "mov %rax, %dr6\n .byte 0xf1\n hlt\n")

static void int1_is_a_trap_of_its_own(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, false);
	load_code(m, icebp);
	cpu->r[GPR_RAX] = 0xffffffff;
	expect_db(m, MACHINE_CODE + 4, 0xe00f, false);
	expect_end(m, icebp);
	/* It is no step besides. */
	begin(m, false);
	cpu->rip = MACHINE_CODE + 3;
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_TF);
	expect_db(m, MACHINE_CODE + 4, 0, false);
}

/* --- what is held back ------------------------------------------------- */

CODE(mov_ss, ".code64", "mov %eax, %ss\n nop\n nop\n hlt\n")
CODE(mov_ss_twice, ".code64", "mov %eax, %ss\n mov %eax, %ss\n nop\n hlt\n")
CODE(mov_ss_memory, ".code64", "mov (%rbx), %ss\n nop\n nop\n hlt\n")
CODE(mov_ss_int, ".code64", "mov (%rbx), %ss\n int $0x40\n hlt\n")
CODE(mov_ss_fault, ".code64", "mov (%rbx), %ss\n ud2\n hlt\n")
CODE(mov_ss_int1, ".code64", "mov (%rbx), %ss\n .byte 0xf1\n hlt\n")
CODE(mov_ss_memory_twice, ".code64", "mov %eax, %ss\n mov (%rbx), %ss\n nop\n hlt\n")
CODE(lss, ".code64", "lss (%rbx), %esp\n nop\n hlt\n")
CODE(sti_nop, ".code64", "sti\n nop\n hlt\n")

static void begin_mov_ss(struct machine *m, struct code c)
{
	begin(m, false);
	load_code(m, c);
	memcpy(m->memory + MACHINE_DATA, "\x10\0", 2);
	m->cpu->r[GPR_RAX] = SEL_DATA;
	m->cpu->r[GPR_RBX] = MACHINE_DATA;
}

static void mov_ss_suppresses_what_is_due_behind_it(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	/* A breakpoint at the next instruction, but not one behind that. */
	begin_mov_ss(m, mov_ss);
	arm(cpu, 0, MACHINE_CODE + 2, EXECUTION, ONE);
	expect_end(m, mov_ss);
	begin_mov_ss(m, mov_ss);
	arm(cpu, 0, MACHINE_CODE + 3, EXECUTION, ONE);
	expect_db(m, MACHINE_CODE + 3, 1, false);
	/* A single step. */
	begin_mov_ss(m, mov_ss);
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_TF);
	expect_db(m, MACHINE_CODE + 3, DR6_BS, false);
	/* Of two in a row only the first does. */
	begin_mov_ss(m, mov_ss_twice);
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_TF);
	expect_db(m, MACHINE_CODE + 4, DR6_BS, false);
	begin_mov_ss(m, mov_ss_twice);
	arm(cpu, 0, MACHINE_CODE + 4, EXECUTION, ONE);
	expect_db(m, MACHINE_CODE + 4, 1, false);
	/* STI holds back interrupts alone, LSS nothing. */
	begin_mov_ss(m, sti_nop);
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_TF);
	expect_db(m, MACHINE_CODE + 1, DR6_BS, false);
	begin_mov_ss(m, lss);
	memcpy(m->memory + MACHINE_DATA, "\0\0\2\0\x10\0", 6);
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_TF);
	expect_db(m, MACHINE_CODE + 3, DR6_BS, false);
}

static void what_mov_ss_itself_hits_waits(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	/* For the next instruction; */
	begin_mov_ss(m, mov_ss_memory);
	arm(cpu, 0, MACHINE_DATA, ACCESS, TWO);
	expect_db(m, MACHINE_CODE + 3, 1, false);
	expect_end(m, mov_ss_memory);
	/* for the delivery of its software interrupt, into which it leads; */
	begin_mov_ss(m, mov_ss_int);
	arm(cpu, 0, MACHINE_DATA, ACCESS, TWO);
	expect_db(m, MACHINE_STUBS + 0x40, 1, false);
	assert_int_equal(machine_read64(m, MACHINE_STACK - 40), MACHINE_CODE + 4);
	/* or of its fault; */
	begin_mov_ss(m, mov_ss_fault);
	arm(cpu, 0, MACHINE_DATA, ACCESS, TWO);
	expect_db(m, MACHINE_STUBS + EXC_UD, 1, false);
	/* or of another #DB. */
	begin_mov_ss(m, mov_ss_int1);
	arm(cpu, 0, MACHINE_DATA, ACCESS, TWO);
	expect_db(m, HANDLER, 1, false);
	assert_int_equal(machine_read64(m, MACHINE_STACK - 40), MACHINE_CODE + 3);
	/* The second of two does not wait. */
	begin_mov_ss(m, mov_ss_memory_twice);
	arm(cpu, 0, MACHINE_DATA, ACCESS, TWO);
	expect_db(m, MACHINE_CODE + 4, 1, false);
}

/* From level 3 the #DB comes at level 0. */
static void what_mov_ss_hits_at_level_3_waits_for_level_0(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, true);
	load_code(m, mov_ss_int);
	machine_set_gate(m, 0x40, MACHINE_STUBS + 0x40, SEL_CODE64, 0xee, 0);
	memcpy(m->memory + MACHINE_DATA, "\x23\0", 2);
	cpu->r[GPR_RBX] = MACHINE_DATA;
	arm(cpu, 0, MACHINE_DATA, ACCESS, TWO);
	expect_db(m, MACHINE_STUBS + 0x40, 1, false);
	assert_int_equal(frame_of(m, false)->cs, SEL_CODE64);
}

CODE(pop_ss, ".code32", "push %eax\n pop %ss\n nop\n nop\n hlt\n")

static void pop_ss_holds_back_as_mov_ss_does(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	/* At level 3: the frame of #DB goes to another stack. */
	machine_set_protected(m, cpu, true, true);
	cpu->r[GPR_RAX] = SEL_USER_DATA | 3;
	arm(cpu, 0, MACHINE_USER_STACK - 4, ACCESS, FOUR);
	arm(cpu, 1, MACHINE_CODE + 2, EXECUTION, ONE);
	/* First what PUSH hits. */
	assert_int_equal(run_code(m, cpu, pop_ss), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_DB);
	assert_int_equal(machine_read32(m, cpu->r[GPR_RSP]), MACHINE_CODE + 1);
	machine_set_protected(m, cpu, true, true);
	cpu->rip = MACHINE_CODE + 1;
	cpu->r[GPR_RSP] = MACHINE_USER_STACK - 4;
	cpu->dr6 = DR6_NONE;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_DB);
	assert_int_equal(machine_read32(m, cpu->r[GPR_RSP]), MACHINE_CODE + 3);
	assert_int_equal(cpu->dr6, DR6_NONE | 1);
}

static void shadows_are_told_apart(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin_mov_ss(m, mov_ss_twice);
	assert_int_equal(cpu_run(cpu, 1), CPU_EXIT_POLL);
	assert_int_equal(cpu->interrupt_shadow, SHADOW_MOV_SS);
	assert_int_equal(cpu_run(cpu, 1), CPU_EXIT_POLL);
	assert_int_equal(cpu->interrupt_shadow, 0);
	begin_mov_ss(m, sti_nop);
	assert_int_equal(cpu_run(cpu, 1), CPU_EXIT_POLL);
	assert_int_equal(cpu->interrupt_shadow, SHADOW_STI);
}

/* --- deliveries -------------------------------------------------------- */

CODE(int_40, ".code64", "int $0x40\n hlt\n")

static void pushes_of_a_delivery_are_seen_when_it_is_done(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, true);
	load_code(m, int_40);
	machine_set_gate(m, 0x40, MACHINE_STUBS + 0x40, SEL_CODE64, 0xee, 0);
	/* #DB has a stack of its own, or it would hit again. */
	machine_set_gate(m, EXC_DB, HANDLER, SEL_CODE64, 0x8e, 1);
	arm(cpu, 0, MACHINE_STACK - 24, WRITE, EIGHT);
	expect_db(m, MACHINE_STUBS + 0x40, 1, false);
	assert_int_equal(frame_of(m, false)->cs, SEL_CODE64);
	assert_int_equal(machine_read64(m, MACHINE_STACK - 40), MACHINE_CODE + 2);
	/* Then the handler goes on. */
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), 0x40);
}

/* No end of it: but the client gets its turn. */
static void a_delivery_that_hits_itself_uses_up_its_budget(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	begin(m, true);
	load_code(m, int_40);
	machine_set_gate(m, 0x40, MACHINE_STUBS + 0x40, SEL_CODE64, 0xee, 0);
	machine_set_gate(m, EXC_DB, HANDLER, SEL_CODE64, 0x8e, 1);
	arm(cpu, 0, MACHINE_STACK - 24, WRITE, EIGHT);
	arm(cpu, 1, MACHINE_IST - 24, WRITE, EIGHT);
	assert_int_equal(cpu_run(cpu, 10000), CPU_EXIT_POLL);
	assert_int_equal(cpu_run(cpu, 10000), CPU_EXIT_POLL);
	assert_int_equal(cpu->rip, HANDLER);
}

/* --- IRET and NT ------------------------------------------------------- */

CODE(iret_nt_64, ".code64", "iretq\n")
CODE(iret_nt_32, ".code32", "iretl\n")

static void iret_with_nt_is_refused_in_long_mode(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (unsigned int i = 0; i < 4; i++) {
		bool user = i & 1, narrow = i & 2;

		begin(m, user);
		if (narrow) {
			cpu->segs[SEG_CS].l = false;
			cpu->segs[SEG_CS].db = true;
			cpu_state_changed(cpu);
		}
		cpu_set_rflags(cpu, X86_EFLAGS_FIXED | X86_EFLAGS_NT);
		assert_int_equal(run_code(m, cpu, narrow ? iret_nt_32 : iret_nt_64), CPU_EXIT_HLT);
		assert_int_equal(machine_vector(m, cpu), EXC_GP);
		assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), 0);
		assert_int_equal(machine_read64(m, cpu->r[GPR_RSP] + 8), MACHINE_CODE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(an_instruction_within_a_block_that_is_known),
		machine_test(one_that_the_block_itself_enables),
		machine_test(only_what_is_enabled_and_one_byte_long_stops_an_instruction),
		machine_test(it_comes_before_the_fault_of_its_fetch),
		machine_test(addresses_are_linear),
		machine_test(rf_lasts_for_one_instruction),
		machine_test(rf_of_iret_lasts_for_one_instruction_too),
		machine_test(rf_outlives_an_exit),
		machine_test(a_narrow_iret_leaves_rf),
		machine_test(lengths_mask_addresses_and_any_byte_counts),
		machine_test(kinds_of_access),
		machine_test(what_is_hit_together_is_reported_together),
		machine_test(the_guest_watches_a_page_that_the_tlb_knows),
		machine_test(an_instruction_that_faults_has_hit_nothing),
		machine_test(a_device_is_watched_like_memory),
		machine_test(a_trap_is_not_lost_to_an_injected_interrupt),
		machine_test(each_iteration_traps),
		machine_test(each_iteration_is_a_step),
		machine_test(ports_are_watched_with_de),
		machine_test(each_element_of_a_port_traps),
		machine_test(each_element_of_a_port_is_a_step),
		machine_test(elements_that_are_stored_later_trap_too),
		machine_test(gd_guards_the_registers),
		machine_test(int1_is_a_trap_of_its_own),
		machine_test(mov_ss_suppresses_what_is_due_behind_it),
		machine_test(what_mov_ss_itself_hits_waits),
		machine_test(what_mov_ss_hits_at_level_3_waits_for_level_0),
		machine_test(pop_ss_holds_back_as_mov_ss_does),
		machine_test(shadows_are_told_apart),
		machine_test(pushes_of_a_delivery_are_seen_when_it_is_done),
		machine_test(a_delivery_that_hits_itself_uses_up_its_budget),
		machine_test(iret_with_nt_is_refused_in_long_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
