/* SPDX-License-Identifier: MIT */
/*
 * The x87, what saves its registers, and XCR0: known answers, exceptions and when they come,
 * formats in memory.  tests/diff/ compares the arithmetic with the host's.
 */
#include <string.h>

#include "code.h"
#include "cpu/insn/sse/xsave.h"
#include "cpu/insn/x87/x87.h"
#include "cpu/state/cpuid.h"

#define REAL_OFFSET 0x7000u	/* in the segments of real mode */
#define REAL_DATA (MACHINE_CODE + REAL_OFFSET)

static void expect(struct machine *m, struct code c, int vector)
{
	struct cpu *cpu = m->cpu;

	cpu->rip = MACHINE_CODE;
	assert_int_equal(run_code(m, cpu, c), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), vector);
	if (vector >= 0)
		cpu->r[GPR_RSP] = MACHINE_STACK;
}

static struct cpu *set_up(struct machine *m)
{
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	memset(m->memory + MACHINE_DATA, 0x55, 0x400);
	return cpu;
}

CODE(computes, ".code64",
     "fninit\n fld1\n fldpi\n faddp\n fstpt (%rsi)\n"		/* 1 + pi */
     "fldl2e\n fstpl 16(%rsi)\n"
     "fld1\n fld1\n fcomip %st(1), %st\n sete %al\n fstp %st\n"
     "fld1\n fchs\n fsqrt\n fnstsw %ax\n fnclex\n fstps 24(%rsi)\n"
     "fninit\n fnstcw 28(%rsi)\n hlt\n")

static void x87_computes(void **state)
{
	static const uint8_t sum[10] = { 0x1a, 0x61, 0xb4, 0x10, 0x51, 0xed, 0x87, 0x84, 0x01,
					 0x40 };
	static const double log2e = 0x1.71547652b82fep+0;
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);
	uint16_t fcw = 0;

	expect(m, computes, -1);
	assert_memory_equal(m->memory + MACHINE_DATA, sum, 10);
	assert_memory_equal(m->memory + MACHINE_DATA + 16, &log2e, 8);
	/* The square root of -1: invalid, and the number that is none. */
	assert_int_equal(cpu->r[GPR_RAX] & 1, 1);
	assert_int_equal(machine_read32(m, MACHINE_DATA + 24), 0xffc00000);
	memcpy(&fcw, m->memory + MACHINE_DATA + 28, 2);
	assert_int_equal(fcw, 0x37f);
	assert_int_equal(cpu->x87.ftw, 0);
}

/* Division by zero, unmasked: seen by FNSTSW, raised by what waits. */
CODE(divides_by_zero, ".code64",
     "fninit\n movl $0x37b, (%rsi)\n fldcw (%rsi)\n fldz\n fld1\n"
     "77: fdiv %st(1), %st\n fnstsw %ax\n fnstcw 4(%rsi)\n fwait\n hlt\n")
CODE(divides_and_clears, ".code64",
     "fninit\n movl $0x37b, (%rsi)\n fldcw (%rsi)\n fldz\n fld1\n fdiv %st(1), %st\n"
     "fnclex\n fwait\n fld1\n hlt\n")
CODE(divides_and_loads, ".code64",
     "fninit\n movl $0x37b, (%rsi)\n fldcw (%rsi)\n fldz\n fld1\n fdiv %st(1), %st\n"
     "fldl (%rdi)\n hlt\n")

static void an_exception_waits_for_the_next_instruction(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);

	for (int with_ne = 0; with_ne < 2; with_ne++) {
		cpu->mmu.paging.cr0 &= ~(uint64_t)X86_CR0_NE;
		cpu->mmu.paging.cr0 |= with_ne ? X86_CR0_NE : 0;
		cpu_state_changed(cpu);
		expect(m, divides_by_zero, EXC_MF);
		assert_int_equal(cpu->r[GPR_RAX] & 0x80ff, 0x8084);
		/* The dividend is what it was; the instruction is named. */
		assert_int_equal(cpu->x87.st[0].u64[0] >> 60, 8);
		assert_int_equal(cpu->x87.st[0].u16[4], 0x3fff);
		assert_int_equal(cpu->x87.fop, 0x0f1);
		assert_true(cpu->x87.fip > MACHINE_CODE && cpu->x87.fip < MACHINE_CODE + 24);
	}
	expect(m, divides_and_clears, -1);
	/* It comes before the operand is looked for. */
	cpu->r[GPR_RDI] = 1ull << 40;
	expect(m, divides_and_loads, EXC_MF);
}

CODE(adds, ".code64", "fld1\n hlt\n")
CODE(waits, ".code64", "fwait\n hlt\n")
CODE(saves, ".code64", "fxsave (%rsi)\n hlt\n")

static void em_and_ts_take_it_away(void **state)
{
	static const struct {
		uint64_t cr0;
		const struct code *code;
		int vector;
	} cases[] = {
		{ 0, &adds, -1 }, { X86_CR0_EM, &adds, EXC_NM }, { X86_CR0_TS, &adds, EXC_NM },
		{ X86_CR0_EM, &waits, -1 }, { X86_CR0_TS, &waits, -1 },
		{ X86_CR0_MP, &waits, -1 }, { X86_CR0_MP | X86_CR0_TS, &waits, EXC_NM },
		{ X86_CR0_TS, &saves, EXC_NM }, { X86_CR0_EM, &saves, EXC_NM },
	};
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cpu->mmu.paging.cr0 &= ~(uint64_t)(X86_CR0_EM | X86_CR0_TS | X86_CR0_MP);
		cpu->mmu.paging.cr0 |= cases[i].cr0;
		cpu_state_changed(cpu);
		expect(m, *cases[i].code, cases[i].vector);
	}
}

CODE(stores_nowhere, ".code64", "fninit\n fld1\n fldpi\n fistpl (%rdi)\n hlt\n")
CODE(stores_long_nowhere, ".code64", "fninit\n fld1\n fldpi\n fstpt (%rdi)\n hlt\n")

static void a_store_that_faults_is_not_done(void **state)
{
	static const struct code *const codes[] = { &stores_nowhere, &stores_long_nowhere };
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		/* The second page of those that the store meets is missing. */
		*machine_pte(m, MACHINE_DATA + 0x1000) = 0;
		cpu->r[GPR_RDI] = MACHINE_DATA + 0x1000 - 2;
		cpu_state_changed(cpu);
		expect(m, *codes[i], EXC_PF);
		assert_true(cpu->cr2 == MACHINE_DATA + 0x1000);
		assert_int_equal(cpu->x87.fsw, 6 << X87_TOP_SHIFT);
		assert_int_equal(cpu->x87.ftw, 0xc0);
		assert_int_equal(cpu->x87.st[0].u16[4], 0x4000);
	}
}

/* What a handler of a signal finds is the kernel's doing; what the caller finds is ours. */
static void the_hosts_registers_are_as_they_were(void **state)
{
	struct machine *m = *state;
	uint16_t fcw, narrow = 0x27f;
	long double kept = 3.25L, three = 3.0L, third;

	set_up(m);
	__asm__ __volatile__("fldcw %0" : : "m"(narrow));
	__asm__ __volatile__("fldt %0" : : "m"(kept));
	expect(m, divides_by_zero, EXC_MF);
	__asm__ __volatile__("fstpt %0" : "=m"(kept));
	__asm__ __volatile__("fnstcw %0\n\tfninit" : "=m"(fcw));
	assert_int_equal(fcw, narrow);
	assert_true(kept == 3.25L);
	third = 1 / three;
	assert_true(third * 3 == 1.0L);
}

/* FNSTENV of a known state, in each format.  (It is 7 * 2 or 7 * 4 bytes.) */
CODE(environment, ".code64", "fnstenv (%rsi)\n hlt\n")
CODE(environment_16, ".code32", "data16 fnstenv (%esi)\n hlt\n")
CODE(environment_real, ".code16", "fnstenv (%si)\n hlt\n")
CODE(environment_real_32, ".code16", "data32 fnstenv (%si)\n hlt\n")

static void give_state(struct cpu *cpu)
{
	struct x87 *x = &cpu->x87;

	memset(x, 0, sizeof(*x));
	x->fcw = 0x340;
	x->fsw = 3 << X87_TOP_SHIFT | X87_ES | X87_B | 1;
	x->ftw = 0x78;			/* R3 to R6: ST(0) to ST(3) */
	x->fop = 0x4d5;
	x->fip = 0x12345678;
	x->fdp = 0x9abcdef0;
	x->st[0].u64[0] = 1ull << 63;	/* 1 */
	x->st[0].u16[4] = 0x3fff;
	x->st[2].u64[0] = 3ull << 62;	/* not a number */
	x->st[2].u16[4] = 0x7fff;
	x->st[3].u64[0] = 5;		/* denormal */
}

static void expect_fields(const struct machine *m, uint64_t at, unsigned int bytes,
			  const uint32_t fields[7])
{
	for (unsigned int i = 0; i < 7; i++)
		assert_memory_equal(m->memory + at + i * bytes, &fields[i], bytes);
	assert_int_equal(m->memory[at + 7 * bytes], 0x55);
}

static void environments_have_four_formats(void **state)
{
	const uint32_t sw = 0x9881, tags = 0xe93f;
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);

	give_state(cpu);
	expect(m, environment, -1);
	expect_fields(m, MACHINE_DATA, 4, (uint32_t[]){ 0xffff0340, 0xffff0000 | sw,
			0xffff0000 | tags, 0x12345678, 0x04d50000, 0x9abcdef0, 0xffff0000 });
	/* It masks all, and so nothing waits. */
	assert_int_equal(cpu->x87.fcw, 0x37f);
	assert_int_equal(cpu->x87.fsw, 3 << X87_TOP_SHIFT | 1);

	machine_set_protected(m, cpu, false, false);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	memset(m->memory + MACHINE_DATA, 0x55, 64);
	give_state(cpu);
	expect(m, environment_16, -1);
	expect_fields(m, MACHINE_DATA, 2, (uint32_t[]){ 0x340, sw, tags, 0x5678, 0, 0xdef0, 0 });

	/* Real mode has linear addresses. */
	cpu_reset(cpu);
	machine_set_real(m, cpu);
	cpu->r[GPR_RSI] = REAL_OFFSET;
	memset(m->memory + REAL_DATA, 0x55, 64);
	give_state(cpu);
	assert_int_equal(run_code(m, cpu, environment_real), CPU_EXIT_HLT);
	expect_fields(m, REAL_DATA, 2, (uint32_t[]){ 0x340, sw, tags, 0x5678, 0x44d5, 0xdef0,
						     0xc000 });
	cpu_reset(cpu);
	machine_set_real(m, cpu);
	cpu->r[GPR_RSI] = REAL_OFFSET;
	memset(m->memory + REAL_DATA, 0x55, 64);
	give_state(cpu);
	assert_int_equal(run_code(m, cpu, environment_real_32), CPU_EXIT_HLT);
	expect_fields(m, REAL_DATA, 4, (uint32_t[]){ 0xffff0340, 0xffff0000 | sw,
			0xffff0000 | tags, 0x5678, 0x012344d5, 0xdef0, 0x09abc000 });
}

CODE(save_and_load, ".code64",
     "fninit\n fldpi\n fld1\n fnsave (%rsi)\n fldz\n frstor (%rsi)\n fnstenv 128(%rsi)\n"
     "fldl2t\n fldenv 128(%rsi)\n hlt\n")

static void fnsave_keeps_what_frstor_brings_back(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);

	expect(m, save_and_load, -1);
	assert_int_equal(cpu->x87.ftw, 0xc0);
	assert_int_equal(cpu->x87.fsw, 6 << X87_TOP_SHIFT);
	assert_true(cpu->x87.st[0].u16[4] == 0x3fff && cpu->x87.st[1].u16[4] == 0x4000);
	/* FLDENV changes which register is ST(0), and no register. */
	assert_int_equal(cpu->x87.st[7].u16[4], 0x4000);
}

CODE(packs, ".code64",
     "fninit\n fld1\n movq (%rsi), %mm5\n packuswb 8(%rsi), %mm5\n movq %mm5, 16(%rsi)\n"
     "punpckhbw %mm5, %mm5\n movq %mm5, 24(%rsi)\n fnstsw %ax\n fnstenv 64(%rsi)\n hlt\n")
CODE(empties, ".code64", "emms\n hlt\n")

static void mmx_is_in_the_registers_of_the_x87(void **state)
{
	static const uint16_t words[8] = { 1, 0x80, 0xff, 0x100, 0xffff, 5, 6, 7 };
	static const uint8_t packed[8] = { 1, 0x80, 0xff, 0xff, 0, 5, 6, 7 };
	static const uint8_t doubled[8] = { 0, 0, 5, 5, 6, 6, 7, 7 };
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);

	memcpy(m->memory + MACHINE_DATA, words, 16);
	expect(m, packs, -1);
	assert_memory_equal(m->memory + MACHINE_DATA + 16, packed, 8);
	assert_memory_equal(m->memory + MACHINE_DATA + 24, doubled, 8);
	/* R0 is the top, all are in use, and what was written is no number. */
	assert_int_equal(cpu->r[GPR_RAX] & 0x3800, 0);
	assert_int_equal(cpu->x87.ftw, 0xff);
	assert_memory_equal(&cpu->x87.st[5].u64[0], doubled, 8);
	assert_int_equal(cpu->x87.st[5].u16[4], 0xffff);
	/* What FLD1 has put there, which was R7. */
	assert_int_equal(cpu->x87.st[7].u16[4], 0x3fff);
	expect(m, empties, -1);
	assert_int_equal(cpu->x87.ftw, 0);
	cpu->x87.fcw = 0x37e;
	cpu->x87.fsw = X87_ES | X87_B | 1;
	expect(m, packs, -1);
	cpu->x87.fcw = 0x37e;
	cpu->x87.fsw = X87_ES | X87_B | 1;
	expect(m, empties, EXC_MF);
}

/* --- XSAVE -------------------------------------------------------------------------- */

CODE(turns_on, ".code64",
     "mov %cr4, %rax\n or $0x40000, %eax\n mov %rax, %cr4\n"
     "xor %ecx, %ecx\n xor %edx, %edx\n mov $3, %eax\n xsetbv\n xgetbv\n mov %rax, %rbx\n hlt\n")
CODE(sets_xcr0, ".code64", "xor %edx, %edx\n xsetbv\n hlt\n")
CODE(xsaves, ".code64", "xor %edx, %edx\n xsave64 (%rsi)\n hlt\n")
CODE(xsaves_changed, ".code64", "xor %edx, %edx\n xsaveopt64 (%rsi)\n hlt\n")
CODE(saves_as_supervisor, ".code64", "xor %edx, %edx\n xsaves64 (%rsi)\n hlt\n")
CODE(restores_as_supervisor, ".code64", "xor %edx, %edx\n xrstors64 (%rsi)\n hlt\n")
CODE(xsaves_compacted, ".code64", "xor %edx, %edx\n xsavec64 (%rsi)\n hlt\n")
CODE(xrestores, ".code64", "xor %edx, %edx\n xrstor64 (%rsi)\n hlt\n")

static struct xsave_area *area_of(const struct machine *m)
{
	return (struct xsave_area *)(m->memory + MACHINE_DATA);
}

static void xsetbv_enables_what_there_is(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);

	expect(m, xsaves, EXC_UD);
	expect(m, sets_xcr0, EXC_UD);
	expect(m, turns_on, -1);
	assert_int_equal(cpu->r[GPR_RBX], 3);
	/* Not without the x87, not more than there is, no other register. */
	cpu->r[GPR_RAX] = 2;
	expect(m, sets_xcr0, EXC_GP);
	cpu->r[GPR_RAX] = 0x83;
	expect(m, sets_xcr0, EXC_GP);
	cpu->r[GPR_RAX] = 1;
	cpu->r[GPR_RCX] = 1;
	expect(m, sets_xcr0, EXC_GP);
	cpu->r[GPR_RCX] = 0;
	expect(m, sets_xcr0, -1);
	assert_int_equal(cpu->xcr0, 1);
}

CODE(asks_what_is_in_use, ".code64", "mov $1, %ecx\n xgetbv\n hlt\n")
CODE(asks_for_more, ".code64", "mov $2, %ecx\n xgetbv\n hlt\n")

static void xgetbv_tells_what_is_in_use(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);

	expect(m, turns_on, -1);
	memset(cpu->xmm, 0, sizeof(cpu->xmm));
	expect(m, asks_what_is_in_use, -1);
	assert_int_equal(cpu->r[GPR_RAX], 0);
	expect(m, adds, -1);
	expect(m, asks_what_is_in_use, -1);
	assert_int_equal(cpu->r[GPR_RAX], 1);
	cpu->xmm[15].u8[15] = 1;
	expect(m, asks_what_is_in_use, -1);
	assert_int_equal(cpu->r[GPR_RAX], 3);
	expect(m, asks_for_more, EXC_GP);
}

static void xsave_keeps_what_xrstor_brings_back(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);
	struct xsave_area *area = area_of(m);

	expect(m, turns_on, -1);
	memset(area, 0, sizeof(*area));
	memcpy(&cpu->xmm[3], "third register..", 16);
	cpu->x87.fsw = 5 << X87_TOP_SHIFT;
	cpu->mxcsr = 0x9f80;
	cpu->r[GPR_RAX] = 3;
	expect(m, xsaves, -1);
	assert_int_equal(area->header.xstate_bv, 3);
	assert_memory_equal(&area->fx.xmm[3], "third register..", 16);
	assert_int_equal(area->fx.fsw, 5 << X87_TOP_SHIFT);
	/* What is not named comes back as after reset, if it is asked for. */
	area->header.xstate_bv = 1;
	cpu->x87.fsw = 0;
	expect(m, xrestores, -1);
	assert_int_equal(cpu->x87.fsw, 5 << X87_TOP_SHIFT);
	assert_int_equal(cpu->xmm[3].u64[0], 0);
	assert_int_equal(cpu->mxcsr, 0x9f80);
	cpu->r[GPR_RAX] = 2;
	cpu->x87.fsw = 0;
	expect(m, xrestores, -1);
	assert_int_equal(cpu->x87.fsw, 0);
}

static void xsaveopt_and_xsavec_leave_out_what_is_unused(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);
	struct xsave_area *area = area_of(m);

	expect(m, turns_on, -1);
	memset(cpu->xmm, 0, sizeof(cpu->xmm));
	cpu->mxcsr = 0x1f80;
	cpu->x87.fsw = 5 << X87_TOP_SHIFT;
	cpu->r[GPR_RAX] = 3;
	memset(&area->header, 0, sizeof(area->header));
	expect(m, xsaves_changed, -1);
	assert_int_equal(area->header.xstate_bv, 1);
	assert_int_equal(area->fx.fsw, 5 << X87_TOP_SHIFT);
	assert_int_equal(area->fx.xmm[0].u8[0], 0x55);
	memset(area, 0x55, sizeof(area->fx));
	expect(m, xsaves_compacted, -1);
	assert_int_equal(area->header.xstate_bv, 1);
	assert_true(area->header.xcomp_bv == (1ull << 63 | 3));
	assert_int_equal(area->fx.xmm[0].u8[0], 0x55);
	assert_int_equal(area->fx.mxcsr, 0x55555555);
	memcpy(&cpu->xmm[3], "third register..", 16);
	cpu->mxcsr = 0x9f80;
	expect(m, xrestores, -1);
	assert_int_equal(cpu->xmm[3].u64[0], 0);
	assert_int_equal(cpu->mxcsr, 0x1f80);
}

static void xsaves_and_xrstors_know_one_format(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);
	struct xsave_area *area = area_of(m);

	expect(m, turns_on, -1);
	memset(area, 0x55, sizeof(*area));
	memset(cpu->xmm, 0, sizeof(cpu->xmm));
	cpu->mxcsr = 0x1f80;
	cpu->x87.fsw = 5 << X87_TOP_SHIFT;
	cpu->r[GPR_RAX] = 3;
	expect(m, saves_as_supervisor, -1);
	assert_int_equal(area->header.xstate_bv, 1);
	assert_true(area->header.xcomp_bv == (1ull << 63 | 3));
	assert_int_equal(area->fx.fsw, 5 << X87_TOP_SHIFT);
	assert_int_equal(area->fx.xmm[0].u8[0], 0x55);
	memset(area->header.reserved, 0, sizeof(area->header.reserved));
	cpu->x87.fsw = 0;
	memcpy(&cpu->xmm[3], "third register..", 16);
	cpu->mxcsr = 0x9f80;
	expect(m, restores_as_supervisor, -1);
	assert_int_equal(cpu->x87.fsw, 5 << X87_TOP_SHIFT);
	assert_int_equal(cpu->xmm[3].u64[0], 0);
	assert_int_equal(cpu->mxcsr, 0x1f80);
	area->header.xcomp_bv = 0;
	area->fx.mxcsr = 0x1f80;
	expect(m, xrestores, -1);
	expect(m, restores_as_supervisor, EXC_GP);
	area->header.xcomp_bv = 1ull << 63 | 1ull << 11;
	expect(m, restores_as_supervisor, EXC_GP);
}

static void become_user(struct machine *m)
{
	machine_set_long(m, m->cpu, true);
	m->cpu->mmu.paging.cr4 |= X86_CR4_OSXSAVE;
	cpu_state_changed(m->cpu);
}

static void xsaves_and_xrstors_are_the_supervisors(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);
	struct xsave_area *area = area_of(m);

	cpu->mmu.paging.cr4 |= X86_CR4_OSXSAVE;
	cpu->xcr0 = 3;
	cpu_state_changed(cpu);
	cpu->r[GPR_RAX] = 3;
	cpu->r[GPR_RSI] += 16;
	expect(m, saves_as_supervisor, EXC_GP);
	cpu->r[GPR_RSI] -= 16;
	expect(m, saves_as_supervisor, -1);
	memset(area->header.reserved, 0, sizeof(area->header.reserved));
	expect(m, restores_as_supervisor, -1);
	/* HLT is too, so look at what they would have done. */
	memset(&area->header, 0, sizeof(area->header));
	become_user(m);
	expect(m, saves_as_supervisor, EXC_GP);
	assert_int_equal(area->header.xcomp_bv, 0);
	area->header.xcomp_bv = 1ull << 63 | 3;
	memcpy(&cpu->xmm[3], "third register..", 16);
	become_user(m);
	expect(m, restores_as_supervisor, EXC_GP);
	assert_memory_equal(&cpu->xmm[3], "third register..", 16);
}

static void xrstor_refuses_what_it_does_not_know(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);
	struct xsave_area *area = area_of(m);

	expect(m, turns_on, -1);
	cpu->r[GPR_RAX] = 3;
	memset(area, 0, sizeof(*area));
	expect(m, xrestores, -1);
	area->header.xstate_bv = 4;
	expect(m, xrestores, EXC_GP);
	area->header.xstate_bv = 0;
	area->header.xcomp_bv = 1;
	expect(m, xrestores, EXC_GP);
	area->header.xcomp_bv = 1ull << 63 | 7;
	expect(m, xrestores, EXC_GP);
	area->header.xcomp_bv = 1ull << 63 | 1;
	area->header.xstate_bv = 2;
	expect(m, xrestores, EXC_GP);
	area->header.xstate_bv = 1;
	area->header.reserved[5] = 1;
	expect(m, xrestores, EXC_GP);
	memset(area, 0, sizeof(*area));
	area->fx.mxcsr = 1u << 16;
	expect(m, xrestores, EXC_GP);
	cpu->r[GPR_RSI] += 16;
	expect(m, xrestores, EXC_GP);
	expect(m, xsaves, EXC_GP);
}

/* --- decoding by CPUID ------------------------------------------------------------- */

CODE(counts_or_scans, ".code64",
     "mov $0x10, %eax\n tzcnt %eax, %ebx\n lzcnt %eax, %ecx\n hlt\n")

static void without_their_features_counts_are_scans(void **state)
{
	static struct cpuid_entry table[100];
	struct machine *m = *state;
	struct cpu *cpu = set_up(m);

	cpu->cpuid = table;
	cpu->n_cpuid = cpuid_supported(table, ARRAY_SIZE(table));
	for (unsigned int i = 0; i < cpu->n_cpuid; i++) {
		if (table[i].leaf == 7)
			table[i].ebx &= ~(1u << 3);
		if (table[i].leaf == 0x80000001)
			table[i].ecx &= ~(1u << 5);
	}
	cpu_cpuid_changed(cpu);
	expect(m, counts_or_scans, -1);
	assert_int_equal(cpu->r[GPR_RBX], 4);
	assert_int_equal(cpu->r[GPR_RCX], 4);
	cpu->cpuid = NULL;
	cpu->n_cpuid = 0;
	cpu_cpuid_changed(cpu);
	expect(m, counts_or_scans, -1);
	assert_int_equal(cpu->r[GPR_RCX], 27);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(x87_computes),
		machine_test(an_exception_waits_for_the_next_instruction),
		machine_test(em_and_ts_take_it_away),
		machine_test(a_store_that_faults_is_not_done),
		machine_test(the_hosts_registers_are_as_they_were),
		machine_test(environments_have_four_formats),
		machine_test(fnsave_keeps_what_frstor_brings_back),
		machine_test(mmx_is_in_the_registers_of_the_x87),
		machine_test(xsetbv_enables_what_there_is),
		machine_test(xgetbv_tells_what_is_in_use),
		machine_test(xsave_keeps_what_xrstor_brings_back),
		machine_test(xsaves_and_xrstors_know_one_format),
		machine_test(xsaves_and_xrstors_are_the_supervisors),
		machine_test(xsaveopt_and_xsavec_leave_out_what_is_unused),
		machine_test(xrstor_refuses_what_it_does_not_know),
		machine_test(without_their_features_counts_are_scans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
