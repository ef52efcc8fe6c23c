/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/bench.c - how fast small loops run.
 *
 * Each is assembled below, ends in HLT, and is run in 64-bit mode; what is
 * printed is what VCPU_STAT instructions says over the time it took.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "sync/clock.h"

#define LOOP(name, setup, body)                                \
	__asm__(".pushsection .rodata\n"                       \
		"loop_" #name "_start:\n"                      \
		"mov $50000000, %ecx\n" setup                  \
		"1:\n" body "dec %ecx\n jnz 1b\n hlt\n"        \
		"loop_" #name "_end:\n"                        \
		".popsection\n");                              \
	extern const uint8_t loop_##name##_start[] __asm__("loop_" #name "_start"); \
	extern const uint8_t loop_##name##_end[] __asm__("loop_" #name "_end");

LOOP(integer, "", "add %rcx, %rax\n xor %rax, %rdx\n lea 3(%rdx,%rax,4), %rbx\n"
		  "shr $3, %rbx\n sub %ebx, %esi\n")
LOOP(memory, "mov $0x40000, %ebx\n",
     "mov (%rbx), %rax\n add %rcx, 8(%rbx)\n mov %rax, 16(%rbx)\n movzbl 24(%rbx), %edx\n"
     "mov %edx, 32(%rbx)\n")
LOOP(calls, "", "call 2f\n jmp 3f\n 2: push %rbx\n pop %rbx\n ret\n 3:\n")
LOOP(branches, "mov $0x12345, %eax\n",
     "imul $1103515245, %eax, %eax\n add $12345, %eax\n test $0x10000, %eax\n jz 2f\n inc %edx\n"
     "2: cmp $7, %dl\n jne 3f\n xor %edx, %edx\n 3:\n")
LOOP(locked, "mov $0x40000, %ebx\n", "lock addl $1, (%rbx)\n")
LOOP(sse, "mov $0x40000, %ebx\n",
     "movdqu (%rbx), %xmm0\n paddd %xmm1, %xmm0\n movdqu %xmm0, (%rbx)\n addsd %xmm2, %xmm3\n")
LOOP(string, "mov %ecx, %r8d\n",
     "mov $0x40000, %esi\n mov $0x48000, %edi\n mov $512, %ecx\n rep movsq\n"
     "sub $500, %r8d\n lea 1(%r8), %ecx\n")

static void run(struct machine *m, const char *name, const uint8_t *start, const uint8_t *end)
{
	struct cpu *cpu = m->cpu;
	uint64_t before, after, n;
	enum cpu_exit exit;

	cpu_reset(cpu);
	machine_set_long(m, cpu, false);
	machine_load(m, MACHINE_CODE, start, (size_t)(end - start));
	n = atomic64_load_relaxed(&cpu->mmu.stats[VCPU_STAT_instructions]);
	before = clock_monotonic_ns();
	while ((exit = cpu_run(cpu, 100000)) == CPU_EXIT_POLL)
		;
	after = clock_monotonic_ns();
	n = atomic64_load_relaxed(&cpu->mmu.stats[VCPU_STAT_instructions]) - n;
	printf("%-10s %6.1f million instructions/s (%" PRIu64 ", exit %d)\n", name,
	       (double)n * 1000 / (double)(after - before), n, (int)exit);
}

int main(int argc, char **argv)
{
	struct machine *m = machine_make(4 << 20, 1);

#define RUN(name)                                 \
	if (argc < 2 || !strcmp(argv[1], #name)) \
		run(m, #name, loop_##name##_start, loop_##name##_end)
	RUN(integer);
	RUN(memory);
	RUN(calls);
	RUN(branches);
	RUN(locked);
	RUN(sse);
	RUN(string);
	machine_free(m);
	return 0;
}
