/* SPDX-License-Identifier: MIT */
/*
 * What came after SSE2, where the host has it: known answers, from the manuals and FIPS 197.
 * tests/diff/ compares all forms with the host's.
 */
#include <string.h>

#include "code.h"
#include "cpu/state/cpuid.h"

/* Leaves room for two operands and the result. */
static void compute(struct machine *m, struct code c, enum cpuid_feature feature, const void *a,
		    const void *b, const void *result)
{
	struct cpu *cpu = m->cpu;

	if (!cpuid_has(cpu, feature)) {
		print_message("the host does not have it\n");
		skip();
	}
	machine_set_long(m, cpu, false);
	memcpy(&cpu->xmm[0], a, 16);
	memcpy(m->memory + MACHINE_DATA, b, 16);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	assert_int_equal(run_code(m, cpu, c), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), -1);
	assert_memory_equal(&cpu->xmm[0], result, 16);
}

CODE(adds_neighbours, ".code64", "haddps (%rsi), %xmm0\n hlt\n")

static void sse3_adds_neighbours(void **state)
{
	static const float a[4] = { 1, 2, 3, 4 }, b[4] = { 10, 20, 30, 40 };
	static const float sums[4] = { 3, 7, 30, 70 };

	compute(*state, adds_neighbours, FEATURE_SSE3, a, b, sums);
}

CODE(truncates, ".code64", "movl $0x3fffffff, (%rsi)\n flds (%rsi)\n fisttpl 4(%rsi)\n hlt\n")

/* Whatever the rounding is: SSE3's one instruction of the x87. */
static void fisttp_truncates(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	if (!cpuid_has(cpu, FEATURE_SSE3))
		skip();
	machine_set_long(m, cpu, false);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	cpu->x87.fcw = 0xb7f;
	assert_int_equal(run_code(m, cpu, truncates), CPU_EXIT_HLT);
	assert_int_equal(machine_read32(m, MACHINE_DATA + 4), 1);
	assert_int_equal(cpu->x87.ftw, 0);
}

CODE(shuffles, ".code64", "pshufb (%rsi), %xmm0\n palignr $1, %xmm0, %xmm0\n hlt\n")

static void ssse3_shuffles_bytes(void **state)
{
	static const uint8_t by[16] = { 15, 14, 13, 12, 0x80, 10, 9, 8, 0, 0, 0, 0, 0xff, 2, 1, 0 };

	compute(*state, shuffles, FEATURE_SSSE3, "0123456789abcdef", by, "edc\0a980000\0" "210f");
}

CODE(encrypts, ".code64", "aesenc (%rsi), %xmm0\n hlt\n")

/* The first round of appendix B. */
static void aes_does_a_round(void **state)
{
	static const uint8_t block[16] = { 0x19, 0x3d, 0xe3, 0xbe, 0xa0, 0xf4, 0xe2, 0x2b,
					   0x9a, 0xc6, 0x8d, 0x2a, 0xe9, 0xf8, 0x48, 0x08 };
	static const uint8_t key[16] = { 0xa0, 0xfa, 0xfe, 0x17, 0x88, 0x54, 0x2c, 0xb1,
					 0x23, 0xa3, 0x39, 0x39, 0x2a, 0x6c, 0x76, 0x05 };
	static const uint8_t after[16] = { 0xa4, 0x9c, 0x7f, 0xf2, 0x68, 0x9f, 0x35, 0x2b,
					   0x6b, 0x5b, 0xea, 0x43, 0x02, 0x6a, 0x50, 0x49 };

	compute(*state, encrypts, FEATURE_AES, block, key, after);
}

CODE(multiplies, ".code64", "pclmulqdq $0x10, (%rsi), %xmm0\n hlt\n")

static void pclmulqdq_does_not_carry(void **state)
{
	static const uint64_t a[2] = { 0x8000000000000003, 99 }, b[2] = { 77, 5 };
	/* (x^63 + x + 1)(x^2 + 1) */
	static const uint64_t product[2] = { 0x800000000000000f, 2 };

	compute(*state, multiplies, FEATURE_PCLMUL, a, b, product);
}

CODE(draws, ".code64", "rdrand %rax\n sbb %ebx, %ebx\n rdrand %rcx\n hlt\n")
CODE(draws_seeds, ".code64",
     "1: rdseed %rax\n jnc 1b\n 2: rdseed %rcx\n jnc 2b\n mov $-1, %ebx\n hlt\n")

static void draw(struct machine *m, struct code c, enum cpuid_feature feature)
{
	struct cpu *cpu = m->cpu;

	if (!cpuid_has(cpu, feature))
		skip();
	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, c), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RBX], 0xffffffff);
	assert_true(cpu->r[GPR_RAX] != cpu->r[GPR_RCX]);
}

static void rdrand_gives_another_number(void **state)
{
	draw(*state, draws, FEATURE_RDRAND);
}

static void rdseed_gives_another_number(void **state)
{
	draw(*state, draws_seeds, FEATURE_RDSEED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(sse3_adds_neighbours),
		machine_test(fisttp_truncates),
		machine_test(ssse3_shuffles_bytes),
		machine_test(aes_does_a_round),
		machine_test(pclmulqdq_does_not_carry),
		machine_test(rdrand_gives_another_number),
		machine_test(rdseed_gives_another_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
