/* SPDX-License-Identifier: MIT */
/*
 * What guests do to keep KVM_RUN from looking at its signals: none makes the host work
 * for longer than others do.
 */
#include <stdio.h>
#include <string.h>

#include "code.h"
#include "cpu/block.h"
#include "tests/fuzz/work.h"

#define RUNS 50

/* The state is the test's own; the guest is run for a while. */
static uint64_t run_on_for(struct cpu *cpu, const char *name)
{
	uint64_t n, most = 0;
	enum cpu_exit exit;

	for (unsigned int i = 0; i < RUNS; i++) {
		n = work_of_run(cpu, &exit);
		most = MAX(most, n);
		if (exit != CPU_EXIT_POLL)
			break;
	}
	if (most > WORK_LIMIT)
		fprintf(stderr, "%s: %llu\n", name, (unsigned long long)most);
	return most;
}

CODE(plain, ".code64", "1: add %rcx, %rax\n xor %rax, %rdx\n lea 3(%rdx,%rax,4), %rbx\n jmp 1b\n")
CODE(empty, ".code64", "1: jmp 1b\n")
CODE(rep_lods, ".code64", "1: mov %r8, %rcx\n mov %r9, %rsi\n rep lodsb\n jmp 1b\n")
CODE(rep_scas, ".code64", "1: mov %r8, %rcx\n mov %r9, %rdi\n repe scasb\n jmp 1b\n")
CODE(rep_cmps, ".code64",
     "1: mov %r8, %rcx\n mov %r9, %rdi\n mov %r9, %rsi\n repe cmpsb\n jmp 1b\n")
CODE(rep_movs_down, ".code64",
     "std\n 1: mov %r8, %rcx\n lea (%r9,%r8), %rdi\n mov %rdi, %rsi\n rep movsb\n jmp 1b\n")
CODE(rep_stos_down, ".code64",
     "std\n 1: mov %r8, %rcx\n lea (%r9,%r8), %rdi\n rep stosb\n jmp 1b\n")
CODE(rep_stos_up, ".code64", "1: mov %r8, %rcx\n mov %r9, %rdi\n rep stosb\n jmp 1b\n")
CODE(short_reps, ".code64",
     "1: mov $2, %ecx\n mov %r9, %rsi\n rep lodsb\n "
     "mov $1, %ecx\n rep lodsb\n rep lodsb\n jmp 1b\n")
CODE(misses, ".code64",
     "1: mov %r9, %rbx\n mov $300, %ecx\n"
     "2: mov (%rbx), %rax\n add $4096, %rbx\n mov (%rbx), %rax\n add $4096, %rbx\n"
     "dec %ecx\n jnz 2b\n mov %r9, %rbx\n"
     "mov %cr3, %rax\n mov %rax, %cr3\n jmp 1b\n")
CODE(all_miss, ".code64",
     "1: mov %cr3, %rax\n mov %rax, %cr3\n"
     ".rept 20\n mov (%r9), %eax\n add $4096, %r9\n .endr\n sub $81920, %r9\n jmp 1b\n")
CODE(faults, ".code64", "1: int3\n jmp 1b\n")
CODE(modifies_itself, ".code64",
     "1: incb 2f+1(%rip)\n 2: mov $1, %al\n .rept 100\n nop\n .endr\n jmp 1b\n")
CODE(long_code, ".code64",
     "1: jmp 2f\n 2: test %eax, %eax\n jz 1b\n .rept 480\n nop\n .endr\n hlt\n")
CODE(unaligned, ".code64",
     "lea 0xfff(%r9), %rbx\n 1: mov (%rbx), %rax\n mov %rax, (%rbx)\n jmp 1b\n")
CODE(deep_enter, ".code64", "1: mov %r10, %rsp\n mov %r10, %rbp\n enter $8, $31\n jmp 1b\n")
CODE(segments, ".code64",
     "mov %ss, %eax\n 1: mov %eax, %ds\n mov %eax, %es\n mov %eax, %fs\n "
     "lar %ax, %ebx\n jmp 1b\n")
CODE(invalidates, ".code64", "1: invlpg (%r9)\n mov (%r9), %eax\n jmp 1b\n")
CODE(registers, ".code64",
     "1: xor %eax, %eax\n cpuid\n mov $0xc0000082, %ecx\n rdmsr\n wrmsr\n rdtscp\n jmp 1b\n")
CODE(control, ".code64",
     "mov %cr4, %rax\n mov %cr0, %rbx\n 1: mov %rax, %cr4\n mov %rbx, %cr0\n jmp 1b\n")
CODE(saves, ".code64", "1: fxsave (%r9)\n fxrstor (%r9)\n jmp 1b\n")
CODE(far_away, ".code64", "1: push $0x08\n lea 1b(%rip), %rax\n push %rax\n lretq\n")
CODE(interrupts_return, ".code64",
     "1: mov %ss, %eax\n push %rax\n push %r10\n pushf\n "
     "push $8\n lea 1b(%rip), %rax\n push %rax\n iretq\n")
CODE(steps, ".code64", "pushf\n orl $0x100, (%rsp)\n popf\n 1: jmp 1b\n")
/* The first #DB pushes where its own delivery is watched; an instruction is met again
 * whenever the handler returns; a string ends in the page that is watched. */
CODE(watched_pushes, ".code64",
     "lea -24(%r10), %rbx\n mov %rbx, %dr0\n mov $0x90001, %ebx\n mov %rbx, %dr7\n"
     "push %rax\n push %rax\n push %rax\n 1: jmp 1b\n")
CODE(watched_code, ".code64",
     "lea 1f(%rip), %rbx\n mov %rbx, %dr0\n mov $1, %ebx\n mov %rbx, %dr7\n 1: jmp 1b\n")
CODE(watched_elsewhere, ".code64",
     "mov %r9, %dr0\n mov $0xd0001, %ebx\n mov %rbx, %dr7\n"
     "1: mov 8(%r9), %eax\n mov %eax, 0xffc(%r9)\n jmp 1b\n")
CODE(watched_string, ".code64",
     "mov %r9, %dr0\n mov $0x30001, %ebx\n mov %rbx, %dr7\n"
     "1: mov %r8, %rcx\n mov %r9, %rdi\n mov %r9, %rsi\n rep movsb\n jmp 1b\n")
CODE(sti_shadows, ".code64", "1: cli\n sti\n jmp 1b\n")
CODE(denormals, ".code64", "1: mulsd %xmm0, %xmm1\n addsd %xmm0, %xmm1\n jmp 1b\n")

static void no_guest_keeps_the_host_busy(void **state)
{
	static const struct {
		const char *name;
		const struct code *code;
	} guests[] = {
#define GUEST(name) { #name, &name }
		GUEST(plain), GUEST(empty), GUEST(rep_lods), GUEST(rep_scas), GUEST(rep_cmps),
		GUEST(rep_movs_down), GUEST(rep_stos_down), GUEST(rep_stos_up), GUEST(short_reps),
		GUEST(misses), GUEST(all_miss), GUEST(faults), GUEST(modifies_itself),
		GUEST(long_code), GUEST(unaligned), GUEST(deep_enter), GUEST(segments),
		GUEST(invalidates), GUEST(registers), GUEST(control), GUEST(saves),
		GUEST(far_away), GUEST(interrupts_return), GUEST(steps), GUEST(sti_shadows),
		GUEST(denormals), GUEST(watched_pushes), GUEST(watched_code),
		GUEST(watched_elsewhere), GUEST(watched_string),
#undef GUEST
	};
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	bool ok = true;

	for (size_t i = 0; i < ARRAY_SIZE(guests); i++) {
		cpu_reset(cpu);
		machine_set_long(m, cpu, false);
		load_code(m, *guests[i].code);
		/* A handler that returns. */
		memcpy(m->memory + MACHINE_CODE + 0x1000, "\x48\xcf", 2);
		machine_set_gate(m, EXC_BP, MACHINE_CODE + 0x1000, SEL_CODE64, 0x8e, 0);
		machine_set_gate(m, EXC_DB, MACHINE_CODE + 0x1000, SEL_CODE64, 0x8e, 0);
		cpu->r[GPR_R8] = 1 << 20;
		cpu->r[GPR_R9] = 0x100000;
		cpu->r[GPR_R10] = MACHINE_STACK;
		cpu->xmm[0].u64[0] = cpu->xmm[1].u64[0] = 1;
		ok &= run_on_for(cpu, guests[i].name) <= WORK_LIMIT;
	}
	assert_true(ok);
}

/* A stack of addresses at R10, each of a RET; the last is that of this. */
CODE(start_of_chain, ".code64", "inc %r12\n mov %r10, %rsp\n ret\n")

/* Blocks whose host addresses fall into one bucket by @key, one after the other; returns how
 * many. */
static unsigned int make_chain(struct machine *m, uint64_t key)
{
	const uint64_t stack = 0x80000, first = 0x100000;
	unsigned int bucket = block_bucket(key, m->memory + first), n = 0;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	load_code(m, start_of_chain);
	for (uint64_t gpa = first; gpa < m->bytes; gpa++) {
		if (block_bucket(key, m->memory + gpa) != bucket)
			continue;
		m->memory[gpa] = 0xc3; /* RET */
		memcpy(m->memory + stack + 8ull * n++, &gpa, 8);
	}
	assert_true(n > 100);
	memcpy(m->memory + stack + 8ull * n, &(uint64_t){ MACHINE_CODE }, 8);
	cpu->r[GPR_R10] = stack;
	cpu->r[GPR_R12] = 0;
	return n;
}

static void no_guest_makes_a_chain_of_blocks_longer(void **state)
{
	struct machine *m = *state;

	make_chain(m, block_key(m->cpu->mmu.mmu));
	assert_true(run_on_for(m->cpu, "chain") <= WORK_LIMIT);
}

/* Of the chain that meets by @chain_key, on a machine with @hash_key: how often each block is
 * made. */
static double times_made(struct machine *m, uint64_t chain_key, uint64_t hash_key)
{
	struct cpu *cpu = m->cpu;
	struct atomic64 *decoded = &cpu->mmu.stats[VCPU_STAT_blocks_decoded];
	uint64_t before = atomic64_load_relaxed(decoded);
	unsigned int n;

	block_cache_destroy(cpu);
	cpu->mmu.mmu->hash_key[0] = hash_key;
	n = make_chain(m, chain_key);
	run_on_for(cpu, "keyed");
	assert_true(cpu->r[GPR_R12] > 4);
	return (double)(atomic64_load_relaxed(decoded) - before) / n;
}

/* What collides on one machine does not on another: a guest cannot prepare for both. */
static void the_key_decides_which_blocks_meet(void **state)
{
	const uint64_t one = 0x0123456789abcdef, other = 0x5bd1e9955bd1e995;
	struct machine *m = *state;
	uint64_t key;

	m->cpu->mmu.mmu->hash_key[0] = one;
	key = block_key(m->cpu->mmu.mmu);
	assert_true(times_made(m, key, one) > 3);
	assert_true(times_made(m, key, other) < 1.25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(no_guest_keeps_the_host_busy),
		machine_test(no_guest_makes_a_chain_of_blocks_longer),
		machine_test(the_key_decides_which_blocks_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
