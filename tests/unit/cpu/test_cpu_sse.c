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

CODE(rounds, ".code64", "roundps $1, (%rsi), %xmm0\n hlt\n")
CODE(multiplies_and_sums, ".code64", "dpps $0x71, (%rsi), %xmm0\n hlt\n")

static void sse41_rounds_and_sums(void **state)
{
	static const float a[4] = { 1, 2, 3, 4 }, b[4] = { 1.5, -1.5, 0.25, 7 };
	static const float down[4] = { 1, -2, 0, 7 }, sum[4] = { -0.75, 0, 0, 0 };

	compute(*state, rounds, FEATURE_SSE41, a, b, down);
	compute(*state, multiplies_and_sums, FEATURE_SSE41, a, b, sum);
}

CODE(takes_bytes, ".code64",
     "pextrb $3, %xmm0, %eax\n pextrw $1, %xmm0, (%rsi)\n pinsrb $0, %eax, %xmm0\n"
     "pinsrq $1, (%rsi), %xmm0\n hlt\n")

static void sse41_moves_elements(void **state)
{
	compute(*state, takes_bytes, FEATURE_SSE41, "0123456789abcdef", "abcdefgh........",
		"31234567" "23cdefgh");
}

CODE(finds, ".code64", "pcmpistri $0xc, (%rsi), %xmm0\n mov $0, %eax\n pinsrd $0, %ecx, %xmm0\n"
     "hlt\n")

/* Where the one string is in the other. */
static void sse42_finds_a_string(void **state)
{
	struct machine *m = *state;

	compute(m, finds, FEATURE_SSE42, "ring\0..........", "a string is here",
		"\4\0\0\0\0..........");
	assert_int_equal(m->cpu->r[GPR_RCX], 4);
}

static struct cpu *compute_numbers(struct machine *m, struct code c, enum cpuid_feature feature)
{
	struct cpu *cpu = m->cpu;

	if (!cpuid_has(cpu, feature)) {
		print_message("the host does not have it\n");
		skip();
	}
	machine_set_long(m, cpu, false);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	assert_int_equal(run_code(m, cpu, c), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), -1);
	return cpu;
}

CODE(sums_up, ".code64",
     "movabs $0x3837363534333231, %rax\n movb $0x39, (%rsi)\n mov $-1, %rbx\n"
     "crc32q %rax, %rbx\n crc32b (%rsi), %ebx\n not %ebx\n hlt\n")

/* The check value of CRC-32C: that of "123456789". */
static void sse42_sums_up(void **state)
{
	assert_int_equal(compute_numbers(*state, sums_up, FEATURE_SSE42)->r[GPR_RBX], 0xe3069283);
}

CODE(schedules, ".code64", "sha256msg1 (%rsi), %xmm0\n hlt\n")

static void sha_schedules_words(void **state)
{
	/* Of 1: it is rotated by 7 and by 18, and shifted out. */
	static const uint32_t a[4] = { 0, 1, 0, 0 }, b[4] = { 1, 0, 0, 0 };
	static const uint32_t words[4] = { 0x02004000, 1, 0, 0x02004000 };

	compute(*state, schedules, FEATURE_SHA, a, b, words);
}

CODE(takes_bits, ".code64",
     "mov $0x0ff0, %eax\n mov $0x804, %edx\n movl $0x5a5a, (%rsi)\n"
     "andn (%rsi), %eax, %ebx\n bextr %edx, (%rsi), %r8d\n blsi %eax, %r9d\n"
     "blsr %eax, %r10d\n blsmsk %rax, %r11\n tzcnt %eax, %r12d\n hlt\n")

static void bmi1_takes_bits(void **state)
{
	struct cpu *cpu = compute_numbers(*state, takes_bits, FEATURE_BMI1);

	assert_int_equal(cpu->r[GPR_RBX], 0x500a);
	assert_int_equal(cpu->r[GPR_R8], 0xa5);
	assert_int_equal(cpu->r[GPR_R9], 0x10);
	assert_int_equal(cpu->r[GPR_R10], 0xfe0);
	assert_int_equal(cpu->r[GPR_R11], 0x1f);
	assert_int_equal(cpu->r[GPR_R12], 4);
}

CODE(deposits, ".code64",
     "mov $0xf0f0, %eax\n mov $0x5a, %edx\n mov $0x1234, %ecx\n pdep %eax, %edx, %ebx\n"
     "pext %eax, %ecx, %r8d\n bzhi %rdx, %rax, %r9\n rorx $4, %eax, %r10d\n"
     "shlx %rax, %rdx, %r11\n movq $-1, (%rsi)\n mulx (%rsi), %r12, %r13\n hlt\n")

static void bmi2_deposits_and_multiplies(void **state)
{
	struct cpu *cpu = compute_numbers(*state, deposits, FEATURE_BMI2);

	assert_int_equal(cpu->r[GPR_RBX], 0x50a0);
	assert_int_equal(cpu->r[GPR_R8], 0x13);
	assert_int_equal(cpu->r[GPR_R9], 0xf0f0);
	assert_int_equal(cpu->r[GPR_R10], 0xf0f);
	/* The count is of six bits: 0x30. */
	assert_true(cpu->r[GPR_R11] == 0x5aull << 0x30);
	assert_true(cpu->r[GPR_R12] == (uint64_t)-0x5a);
	assert_int_equal(cpu->r[GPR_R13], 0x59);
}

CODE(serializes, ".code64", "serialize\n hlt\n")
CODE(stores_a_word, ".code64", "pextrw $1, %xmm0, (%rsi)\n hlt\n")
CODE(multiplies_words, ".code64", "pmulld %xmm0, %xmm0\n hlt\n")
CODE(sums_a_byte, ".code64", "crc32b %al, %ebx\n hlt\n")
CODE(resets_a_bit, ".code64", "blsr %eax, %eax\n hlt\n")
CODE(rotates, ".code64", "rorx $1, %eax, %eax\n hlt\n")
CODE(writes_a_line_back, ".code64", "clwb (%rsi)\n hlt\n")
CODE(flushes_a_line, ".code64", "clflushopt (%rsi)\n hlt\n")

static void what_cpuid_does_not_offer_is_undefined(void **state)
{
	static const struct code *const codes[] = {
		&serializes, &stores_a_word, &multiplies_words, &sums_a_byte, &schedules,
		&resets_a_bit, &rotates, &writes_a_line_back, &flushes_a_line,
	};
	struct cpuid_entry none = { .leaf = 0 };
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		cpu->cpuid = &none;
		cpu->n_cpuid = 1;
		cpu_cpuid_changed(cpu);
		machine_set_long(m, cpu, false);
		cpu->r[GPR_RSI] = MACHINE_DATA;
		assert_int_equal(run_code(m, cpu, *codes[i]), CPU_EXIT_HLT);
		assert_int_equal(machine_vector(m, cpu), EXC_UD);
	}
	cpu->cpuid = NULL;
	cpu->n_cpuid = 0;
	cpu_cpuid_changed(cpu);
	compute_numbers(m, serializes, FEATURE_SERIALIZE);
}

/* There C4 is LES, of which this form is none. */
CODE(vex_in_real_mode, ".code16", ".byte 0xc4, 0xe2, 0x78, 0xf3, 0xc8\n hlt\n")

static void vex_needs_protected_mode(void **state)
{
	struct machine *m = *state;

	machine_set_real(m, m->cpu);
	assert_int_equal(run_code(m, m->cpu, vex_in_real_mode), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, m->cpu), EXC_UD);
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
		machine_test(sse41_rounds_and_sums),
		machine_test(sse41_moves_elements),
		machine_test(sse42_finds_a_string),
		machine_test(sse42_sums_up),
		machine_test(sha_schedules_words),
		machine_test(bmi1_takes_bits),
		machine_test(bmi2_deposits_and_multiplies),
		machine_test(what_cpuid_does_not_offer_is_undefined),
		machine_test(vex_needs_protected_mode),
		machine_test(rdrand_gives_another_number),
		machine_test(rdseed_gives_another_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
