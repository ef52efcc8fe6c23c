/* SPDX-License-Identifier: MIT */
/*
 * AVX and what came with it, where the host has it: when it is there, what it does to the upper
 * halves, how masked accesses and gathers fault, how XSAVE keeps it; and known answers.
 * tests/diff/ compares all forms with the host's.
 */
#include <string.h>

#include "code.h"
#include "cpu/insn/sse/xsave.h"
#include "cpu/state/cpuid.h"

#define MISSING (MACHINE_DATA + PAGE_SIZE)
#define ALL_STATE (XCR0_X87 | XCR0_SSE | XCR0_AVX)

static struct cpu *set_up(struct machine *m, enum cpuid_feature feature)
{
	struct cpu *cpu = m->cpu;

	if (!cpuid_has(cpu, feature)) {
		print_message("the host does not have it\n");
		skip();
	}
	machine_set_long(m, cpu, false);
	cpu->mmu.paging.cr4 |= X86_CR4_OSXSAVE;
	cpu->xcr0 = ALL_STATE;
	cpu_state_changed(cpu);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	return cpu;
}

static void expect(struct machine *m, struct code c, int vector)
{
	m->cpu->rip = MACHINE_CODE;
	assert_int_equal(run_code(m, m->cpu, c), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, m->cpu), vector);
}

static void set_ymm(struct cpu *cpu, unsigned int number, const void *v)
{
	memcpy(&cpu->xmm[number], v, 16);
	memcpy(&cpu->ymm_high[number], (const uint8_t *)v + 16, 16);
}

static void assert_ymm(const struct cpu *cpu, unsigned int number, const void *v)
{
	assert_memory_equal(&cpu->xmm[number], v, 16);
	assert_memory_equal(&cpu->ymm_high[number], (const uint8_t *)v + 16, 16);
}

/* --- when it is there -------------------------------------------------------------------- */

CODE(adds, ".code64", "vaddps (%rsi), %ymm0, %ymm1\n hlt\n")
CODE(enables, ".code64",
     "xor %ecx, %ecx\n xor %edx, %edx\n mov $7, %eax\n xsetbv\n vaddps %ymm0, %ymm0, %ymm1\n hlt\n")
CODE(enables_it_alone, ".code64",
     "xor %ecx, %ecx\n xor %edx, %edx\n mov $5, %eax\n xsetbv\n hlt\n")

static void avx_asks_cr4_xcr0_and_ts(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m, FEATURE_AVX);

	expect(m, adds, -1);
	cpu->mmu.paging.cr0 |= X86_CR0_TS;
	cpu_state_changed(cpu);
	expect(m, adds, EXC_NM);
	cpu->xcr0 = XCR0_X87 | XCR0_SSE;
	set_up(m, FEATURE_AVX);
	cpu->xcr0 = XCR0_X87 | XCR0_SSE;
	cpu_state_changed(cpu);
	expect(m, adds, EXC_UD);
	set_up(m, FEATURE_AVX);
	expect(m, enables_it_alone, EXC_GP);
	set_up(m, FEATURE_AVX);
	cpu->xcr0 = XCR0_X87;
	cpu_state_changed(cpu);
	expect(m, enables, -1);
	cpu->mmu.paging.cr4 &= ~X86_CR4_OSXSAVE;
	cpu_state_changed(cpu);
	expect(m, adds, EXC_UD);
}

CODE(turns_words, ".code64", "vpermd (%rsi), %ymm0, %ymm1\n hlt\n")
CODE(fuses, ".code64", "vfmadd213ps (%rsi), %ymm0, %ymm1\n hlt\n")
CODE(widens, ".code64", "vcvtph2ps (%rsi), %ymm1\n hlt\n")
CODE(encrypts, ".code64", "vaesenclast (%rsi), %ymm0, %ymm1\n hlt\n")
CODE(multiplies, ".code64", "vpclmulqdq $0, (%rsi), %ymm0, %ymm1\n hlt\n")
CODE(evex, ".code64", ".byte 0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc8\n hlt\n")

static void what_cpuid_does_not_offer_is_undefined(void **state)
{
	static const struct code *const codes[] = { &adds, &turns_words, &fuses, &widens,
						    &encrypts, &multiplies };
	static struct cpuid_entry table[100];
	struct machine *m = *state;
	struct cpu *cpu = set_up(m, FEATURE_AVX);

	expect(m, evex, EXC_UD);
	cpu->cpuid = table;
	cpu->n_cpuid = cpuid_supported(table, ARRAY_SIZE(table));
	for (unsigned int i = 0; i < cpu->n_cpuid; i++) {
		if (table[i].leaf == 1)
			table[i].ecx &= ~(1u << 12 | 1u << 25 | 1u << 28 | 1u << 29);
		if (table[i].leaf == 7)
			table[i].ebx = table[i].ecx = 0;
	}
	cpu_cpuid_changed(cpu);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		machine_set_long(m, cpu, false);
		expect(m, *codes[i], EXC_UD);
	}
	cpu->cpuid = NULL;
	cpu->n_cpuid = 0;
	cpu_cpuid_changed(cpu);
}

/* --- known answers ------------------------------------------------------------------------ */

static const float ones[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static const float tens[8] = { 10, 20, 30, 40, 50, 60, 70, 80 };

static void compute(struct machine *m, struct code c, enum cpuid_feature feature, const void *a,
		    const void *b, const void *result)
{
	struct cpu *cpu = set_up(m, feature);

	set_ymm(cpu, 0, a);
	set_ymm(cpu, 1, a);
	memcpy(m->memory + MACHINE_DATA, b, 32);
	expect(m, c, -1);
	assert_ymm(cpu, 1, result);
}

static void avx_adds_eight_numbers(void **state)
{
	static const float sums[8] = { 11, 22, 33, 44, 55, 66, 77, 88 };

	compute(*state, adds, FEATURE_AVX, ones, tens, sums);
}

static void avx2_turns_words_across_lanes(void **state)
{
	static const uint32_t from[8] = { 7, 6, 5, 4, 3, 2, 1, 8 };
	static const float turned[8] = { 80, 70, 60, 50, 40, 30, 20, 10 };

	compute(*state, turns_words, FEATURE_AVX2, from, tens, turned);
}

static void fma_rounds_once(void **state)
{
	/* (1 + 2^-23)^2 - 1 - 2^-22 is 2^-46: rounded in between, it would be 0. */
	static const float a[8] = { 0x1.000002p0, 2, 3, 4, 5, 6, 7, 8 };
	static const float b[8] = { -0x1.000004p0, 1, 1, 1, 1, 1, 1, 1 };
	static const float sums[8] = { 0x1p-46, 5, 10, 17, 26, 37, 50, 65 };

	compute(*state, fuses, FEATURE_FMA, a, b, sums);
}

static void f16c_widens_halves(void **state)
{
	static const uint16_t halves[16] = { 0x3c00, 0x4000, 0xc000, 0x3555, 0x7bff, 1, 0, 0x7c00 };
	static const float singles[8] = { 1, 2, -2, 0x1.554p-2, 65504, 0x1p-24, 0,
					  __builtin_inff() };

	compute(*state, widens, FEATURE_F16C, ones, halves, singles);
}

static void vaes_and_vpclmulqdq_have_two_lanes(void **state)
{
	/* A byte of 0 becomes 0x63. */
	static const uint8_t zero[32], key[32] = { [0] = 0x63, [16] = 0x62 };
	static const uint64_t a[4] = { 3, 99, 5, 99 }, products[4] = { 5, 0, 17, 0 };
	uint8_t cipher[32];

	memset(cipher, 0x63, sizeof(cipher));
	cipher[0] = 0;
	cipher[16] = 1;
	compute(*state, encrypts, FEATURE_VAES, zero, key, cipher);
	compute(*state, multiplies, FEATURE_VPCLMULQDQ, a, a, products);
}

/* --- upper halves, alignment ----------------------------------------------------------------- */

CODE(narrow_forms, ".code64",
     "vaddps %xmm0, %xmm0, %xmm1\n addps %xmm0, %xmm2\n vmovss (%rsi), %xmm3\n"
     "vmovd %eax, %xmm4\n vpcmpistrm $0, %xmm5, %xmm5\n hlt\n")
CODE(zeroes_upper_halves, ".code64", "vzeroupper\n hlt\n")
CODE(zeroes_all, ".code64", "vzeroall\n hlt\n")

static bool high_is_zero(const struct cpu *cpu, unsigned int number)
{
	return !cpu->ymm_high[number].u64[0] && !cpu->ymm_high[number].u64[1];
}

static void a_vex_prefix_clears_upper_halves(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m, FEATURE_AVX);

	for (unsigned int i = 0; i < 16; i++)
		set_ymm(cpu, i, ones);
	expect(m, narrow_forms, -1);
	assert_true(high_is_zero(cpu, 0) && high_is_zero(cpu, 1) && high_is_zero(cpu, 3) &&
		    high_is_zero(cpu, 4));
	assert_memory_equal(&cpu->ymm_high[2], &ones[4], 16);
	expect(m, zeroes_upper_halves, -1);
	assert_true(high_is_zero(cpu, 15));
	assert_memory_equal(&cpu->xmm[15], ones, 16);
	expect(m, zeroes_all, -1);
	assert_int_equal(cpu->xmm[15].u64[0] | cpu->xmm[0].u64[1], 0);
}

CODE(loads_aligned, ".code64", "vmovaps (%rsi), %ymm1\n hlt\n")
CODE(stores_aligned, ".code64", "vmovntdq %ymm1, (%rsi)\n hlt\n")

static void only_aligned_moves_ask_for_alignment(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m, FEATURE_AVX);

	cpu->r[GPR_RSI] += 16;
	expect(m, adds, -1);
	expect(m, loads_aligned, EXC_GP);
	set_up(m, FEATURE_AVX);
	cpu->r[GPR_RSI] += 16;
	expect(m, stores_aligned, EXC_GP);
	set_up(m, FEATURE_AVX);
	expect(m, stores_aligned, -1);
}

CODE(stores, ".code64", "vmovups %ymm1, (%rsi)\n hlt\n")

/* One that crosses into a page that is not there stores nothing. */
static void a_store_that_faults_is_not_done(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m, FEATURE_AVX);

	*machine_pte(m, MISSING) = 0;
	memset(m->memory + MISSING - 32, 0x55, 32);
	cpu->r[GPR_RSI] = MISSING - 20;
	expect(m, stores, EXC_PF);
	assert_int_equal(cpu->cr2, MISSING);
	for (unsigned int i = 1; i <= 32; i++)
		assert_int_equal(m->memory[MISSING - i], 0x55);
}

/* --- masks and gathers --------------------------------------------------------------------- */

CODE(stores_some, ".code64", "vmaskmovps %ymm1, %ymm0, (%rsi)\n hlt\n")
CODE(loads_some, ".code64", "vmaskmovps (%rsi), %ymm0, %ymm1\n hlt\n")

static void what_the_mask_leaves_out_cannot_fault(void **state)
{
	uint32_t mask[8] = { 0x80000000, 0, 0xffffffff, 0x7fffffff };
	static const float some[8] = { 1, 0, 3, 0 };
	struct machine *m = *state;
	struct cpu *cpu = set_up(m, FEATURE_AVX);
	float *at = (float *)(m->memory + MISSING - 16);

	*machine_pte(m, MISSING) = 0;
	memset(at, 0, 16);
	cpu->r[GPR_RSI] = MISSING - 16;
	set_ymm(cpu, 0, mask);
	set_ymm(cpu, 1, ones);
	expect(m, stores_some, -1);
	assert_memory_equal(at, some, 16);
	expect(m, loads_some, -1);
	assert_ymm(cpu, 1, some);
	/* With an element that is not there, none is stored. */
	memset(at, 0, 16);
	mask[5] = 0x80000000;
	set_ymm(cpu, 0, mask);
	set_ymm(cpu, 1, ones);
	expect(m, stores_some, EXC_PF);
	assert_int_equal(cpu->cr2, MISSING + 4);
	assert_true(at[0] == 0 && at[2] == 0);
	set_up(m, FEATURE_AVX);
	*machine_pte(m, MISSING) = 0;
	cpu->r[GPR_RSI] = MISSING - 16;
	expect(m, loads_some, EXC_PF);
	assert_ymm(cpu, 1, ones);
}

CODE(gathers, ".code64", "vgatherdps %ymm0, -4(%rsi,%ymm2,4), %ymm1\n hlt\n")
CODE(gathers_far, ".code64", "vpgatherqd %xmm0, (%rsi,%xmm2,8), %xmm1\n hlt\n")
CODE(gathers_onto_itself, ".code64",
     ".byte 0xc4, 0xe2, 0x7d, 0x92, 0x14, 0x96\n hlt\n") /* ymm2 from (%rsi,%ymm2,4) */

static void a_gather_that_faults_goes_on_where_it_was(void **state)
{
	static const uint32_t all[8] = { ~0u, ~0u, 0, ~0u, ~0u, ~0u, ~0u, ~0u };
	static const int32_t index[8] = { 1, 8, 3, -1, 1025, 2, 4, 1 };
	static const float none[8] = { -1, -1, -1, -1, -1, -1, -1, -1 };
	static const float gathered[8] = { 1, 8, -1, 70, 90, 2, 4, 1 };
	static const uint8_t zero[32];
	struct machine *m = *state;
	struct cpu *cpu = set_up(m, FEATURE_AVX2);
	uint64_t pte;

	memcpy(m->memory + MACHINE_DATA, ones, 32);
	*(float *)(m->memory + MACHINE_DATA - 8) = 70;
	*(float *)(m->memory + MISSING) = 90;
	set_ymm(cpu, 0, all);
	set_ymm(cpu, 1, none);
	set_ymm(cpu, 2, index);
	pte = *machine_pte(m, MISSING);
	*machine_pte(m, MISSING) = 0;
	expect(m, gathers, EXC_PF);
	assert_int_equal(cpu->cr2, MISSING);
	/* What comes before it is there, and is not gathered again. */
	assert_memory_equal(&cpu->xmm[1], gathered, 16);
	assert_int_equal(cpu->xmm[0].u64[0] | cpu->xmm[0].u64[1], 0);
	assert_int_equal(cpu->ymm_high[0].u32[0], ~0u);
	*machine_pte(m, MISSING) = pte;
	cpu_state_changed(cpu);
	memset(m->memory + MACHINE_DATA - 8, 0, 4);
	cpu->r[GPR_RSP] = MACHINE_STACK;
	expect(m, gathers, -1);
	assert_ymm(cpu, 1, gathered);
	assert_ymm(cpu, 0, zero);
	/* Two elements, the rest is zero. */
	set_ymm(cpu, 0, all);
	set_ymm(cpu, 1, none);
	set_ymm(cpu, 2, zero);
	expect(m, gathers_far, -1);
	assert_int_equal(cpu->xmm[1].u32[0], cpu->xmm[1].u32[1]);
	assert_true(!cpu->xmm[1].u64[1] && high_is_zero(cpu, 1) && high_is_zero(cpu, 0));
	expect(m, gathers_onto_itself, EXC_UD);
}

/* --- XSAVE ---------------------------------------------------------------------------------- */

CODE(saves, ".code64", "xor %edx, %edx\n xsave64 (%rsi)\n hlt\n")
CODE(saves_compacted, ".code64", "xor %edx, %edx\n xsavec64 (%rsi)\n hlt\n")
CODE(restores, ".code64", "xor %edx, %edx\n xrstor64 (%rsi)\n hlt\n")
CODE(asks_for_sizes, ".code64",
     "mov $0xd, %eax\n xor %ecx, %ecx\n cpuid\n mov %ebx, %esi\n mov %ecx, %edi\n"
     "mov $0xd, %eax\n mov $2, %ecx\n cpuid\n hlt\n")

static void xsave_keeps_upper_halves(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m, FEATURE_AVX);
	struct xsave_area *area = (struct xsave_area *)(m->memory + MACHINE_DATA);

	memset(area, 0, sizeof(*area));
	set_ymm(cpu, 9, ones);
	cpu->mxcsr = 0x9f80;
	cpu->r[GPR_RAX] = XCR0_AVX;
	expect(m, saves, -1);
	assert_int_equal(area->header.xstate_bv, XCR0_AVX);
	assert_memory_equal(&area->ymm_high[9], &ones[4], 16);
	assert_int_equal(area->fx.xmm[9].u64[0], 0);
	assert_int_equal(area->fx.mxcsr, 0x9f80);
	set_ymm(cpu, 9, tens);
	cpu->r[GPR_RAX] = ALL_STATE;
	expect(m, restores, -1);
	assert_memory_equal(&cpu->ymm_high[9], &ones[4], 16);
	assert_int_equal(cpu->xmm[9].u64[0], 0);
	memset(area, 0x55, sizeof(*area));
	memset(&area->header, 0, sizeof(area->header));
	memset(cpu->ymm_high, 0, sizeof(cpu->ymm_high));
	expect(m, saves_compacted, -1);
	assert_true(area->header.xcomp_bv == (1ull << 63 | ALL_STATE));
	assert_false(area->header.xstate_bv & XCR0_AVX);
	assert_int_equal(area->ymm_high[9].u8[0], 0x55);
	set_ymm(cpu, 9, tens);
	expect(m, restores, -1);
	assert_true(high_is_zero(cpu, 9));
}

static void cpuid_tells_how_large_its_area_is(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = set_up(m, FEATURE_AVX);
	static struct cpuid_entry table[100];

	cpu->cpuid = table;
	cpu->n_cpuid = cpuid_supported(table, ARRAY_SIZE(table));
	cpu_cpuid_changed(cpu);
	expect(m, asks_for_sizes, -1);
	assert_int_equal(cpu->r[GPR_RSI], sizeof(struct xsave_area));
	assert_int_equal(cpu->r[GPR_RDI], sizeof(struct xsave_area));
	assert_int_equal(cpu->r[GPR_RAX], 256);
	assert_int_equal(cpu->r[GPR_RBX], offsetof(struct xsave_area, ymm_high));
	cpu->xcr0 = XCR0_X87 | XCR0_SSE;
	cpu_state_changed(cpu);
	expect(m, asks_for_sizes, -1);
	assert_int_equal(cpu->r[GPR_RSI], offsetof(struct xsave_area, ymm_high));
	assert_int_equal(cpu->r[GPR_RDI], sizeof(struct xsave_area));
	cpu->cpuid = NULL;
	cpu->n_cpuid = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(avx_asks_cr4_xcr0_and_ts),
		machine_test(what_cpuid_does_not_offer_is_undefined),
		machine_test(avx_adds_eight_numbers),
		machine_test(avx2_turns_words_across_lanes),
		machine_test(fma_rounds_once),
		machine_test(f16c_widens_halves),
		machine_test(vaes_and_vpclmulqdq_have_two_lanes),
		machine_test(a_vex_prefix_clears_upper_halves),
		machine_test(only_aligned_moves_ask_for_alignment),
		machine_test(a_store_that_faults_is_not_done),
		machine_test(what_the_mask_leaves_out_cannot_fault),
		machine_test(a_gather_that_faults_goes_on_where_it_was),
		machine_test(xsave_keeps_upper_halves),
		machine_test(cpuid_tells_how_large_its_area_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
