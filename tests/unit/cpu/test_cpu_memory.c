/* SPDX-License-Identifier: MIT */
/* Memory under the processor: restarts, changing code, locks, pages that vanish. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "code.h"
#include "mmu/notifier.h"

CODE(rep_movs, ".code64", "rep movsb\n hlt\n")
CODE(rep_stos, ".code64", "rep stosq\n hlt\n")

static void rep_stops_where_the_page_is_missing(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t rip;

	machine_set_long(m, cpu, false);
	for (unsigned int i = 0; i < 0x2000; i++)
		m->memory[MACHINE_DATA + i] = (uint8_t)(i * 7);
	*machine_pte(m, MACHINE_DATA + 0x11000) = 0;
	cpu->r[GPR_RSI] = MACHINE_DATA + 0x10;
	cpu->r[GPR_RDI] = MACHINE_DATA + 0x10100;
	cpu->r[GPR_RCX] = 0x1800;
	assert_int_equal(run_code(m, cpu, rep_movs), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_PF);
	assert_true(cpu->cr2 == MACHINE_DATA + 0x11000);
	/* All before the page has been done, and the registers say so. */
	assert_int_equal(cpu->r[GPR_RCX], 0x1800 - 0xf00);
	assert_int_equal(cpu->r[GPR_RDI], MACHINE_DATA + 0x11000);
	assert_int_equal(cpu->r[GPR_RSI], MACHINE_DATA + 0x10 + 0xf00);
	rip = machine_read64(m, cpu->r[GPR_RSP] + 8);
	assert_int_equal(rip, MACHINE_CODE);
	/* The handler maps it and returns: it goes on. */
	*machine_pte(m, MACHINE_DATA + 0x11000) = (MACHINE_DATA + 0x11000) | GPTE_P | GPTE_W;
	cpu->rip = rip;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RCX], 0);
	assert_memory_equal(m->memory + MACHINE_DATA + 0x10100, m->memory + MACHINE_DATA + 0x10,
			    0x1800);
}

static void rep_yields_within_its_budget(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	unsigned int polls = 0;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RDI] = 0x100000;
	cpu->r[GPR_RCX] = 0x20000;
	cpu->r[GPR_RAX] = 0x0102030405060708;
	load_code(m, rep_stos);
	while (cpu_run(cpu, 100) == CPU_EXIT_POLL) {
		assert_int_equal(cpu->rip, MACHINE_CODE);
		polls++;
	}
	assert_true(polls >= 64);
	assert_int_equal(cpu->r[GPR_RDI], 0x200000);
	for (uint64_t at = 0x100000; at < 0x200000; at += 8)
		assert_true(machine_read64(m, at) == 0x0102030405060708);
	/* Of all that, two instructions. */
	assert_int_equal(atomic64_load_relaxed(&cpu->mmu.stats[VCPU_STAT_instructions]), 2);
}

static void overlapping_movs_repeats_its_pattern(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	memcpy(m->memory + MACHINE_DATA, "abc", 3);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	cpu->r[GPR_RDI] = MACHINE_DATA + 3;
	cpu->r[GPR_RCX] = 12;
	assert_int_equal(run_code(m, cpu, rep_movs), CPU_EXIT_HLT);
	assert_memory_equal(m->memory + MACHINE_DATA, "abcabcabcabcabc", 15);
}

/* Code that changes itself */

CODE(patches_next, ".code64",
     "movb $2, 1f+1(%rip)\n"
     "1: mov $1, %al\n"
     "hlt\n")

static void a_store_into_the_next_instruction_counts(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, patches_next), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RAX] & 0xff, 2);
}

CODE(patches_in_loop, ".code64",
     "xor %ecx, %ecx\n"
     "1: mov $0, %al\n"
     "add %al, %dl\n"
     "inc %ecx\n"
     "mov %cl, 1b+1(%rip)\n"
     "cmp $10, %ecx\n"
     "jne 1b\n"
     "hlt\n")

static void code_patched_in_a_loop(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, patches_in_loop), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RDX] & 0xff, 45);
}

CODE(return_constant, ".code64", "mov $0x11111111, %eax\n hlt\n")

static void client_changes_code_behind_our_back(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	load_code(m, return_constant);
	for (uint32_t i = 0; i < 100; i++) {
		memcpy(m->memory + MACHINE_CODE + 1, &i, 4);
		cpu->rip = MACHINE_CODE;
		assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
		assert_int_equal(cpu->r[GPR_RAX], i);
	}
	/* Unchanged code is not decoded again. */
	assert_int_equal(atomic64_load_relaxed(&cpu->mmu.stats[VCPU_STAT_blocks_decoded]), 100);
	cpu->rip = MACHINE_CODE;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(atomic64_load_relaxed(&cpu->mmu.stats[VCPU_STAT_blocks_decoded]), 100);
}

/* By an instruction that lies in two pages, in either of them. */
static void crossing_instruction_is_verified_in_both_pages(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint64_t at = MACHINE_CODE + 0xffd;
	uint8_t insn[] = { 0xb8, 1, 2, 3, 4, 0xf4 };

	machine_set_long(m, cpu, false);
	for (uint32_t i = 0; i < 50; i++) {
		insn[1] = (uint8_t)i;
		insn[4] = (uint8_t)(i / 2);
		machine_load(m, at, insn, sizeof(insn));
		cpu->rip = at;
		assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
		assert_int_equal(cpu->r[GPR_RAX], i | 0x30200 | (i / 2) << 24);
	}
	/* And when it is one of one page only. */
	machine_load(m, at, "\x90\x90\xf4", 3);
	cpu->rip = at;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->rip, at + 3);
}

static void cache_is_dropped_when_it_is_full(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t before;

	machine_set_long(m, cpu, false);
	load_code(m, return_constant);
	for (uint32_t i = 0; i < 60000; i++) {
		memcpy(m->memory + MACHINE_CODE + 1, &i, 4);
		cpu->rip = MACHINE_CODE;
		assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
		assert_int_equal(cpu->r[GPR_RAX], i);
	}
	before = atomic64_load_relaxed(&m->alloc.bytes);
	assert_true(before < 10u << 20);
}

static void no_memory_for_blocks_is_an_exit(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	load_code(m, return_constant);
	for (unsigned int n = 1; n < 12; n++) {
		enum cpu_exit exit;

		cpu->rip = MACHINE_CODE;
		atomic64_store_relaxed(&m->alloc.fail_in, n);
		exit = run_on(cpu);
		assert_true(exit == CPU_EXIT_ENOMEM || exit == CPU_EXIT_HLT);
		if (n == 1)
			assert_int_equal(exit, CPU_EXIT_ENOMEM);
	}
	atomic64_store_relaxed(&m->alloc.fail_in, 0);
	cpu->rip = MACHINE_CODE;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RAX], 0x11111111);
}

/* Locks */

CODE(count, ".code64",
     "mov $20000, %ecx\n"
     "1: lock incq (%rbx)\n lock xadd %rax, 8(%rbx)\n lock btcl $3, 16(%rbx)\n"
     "2: mov 24(%rbx), %rax\n lea 1(%rax), %rdx\n lock cmpxchg %rdx, 24(%rbx)\n jne 2b\n"
     "mov $1, %eax\n dec %ecx\n jnz 1b\n hlt\n")

/* From page to page.  A few: many hosts trap a lock that leaves its cache line, and let
 * the thread wait. */
CODE(count_crossing, ".code64",
     "mov $200, %ecx\n 1: lock addl $2, 0xffe(%rbx)\n dec %ecx\n jnz 1b\n hlt\n")

static void *run_thread(void *cpu)
{
	run_on(cpu);
	return NULL;
}

static struct machine *run_by_four(struct code c)
{
	struct machine *m = machine_make(4 << 20, 4);
	pthread_t threads[4];

	for (unsigned int i = 0; i < 4; i++) {
		machine_set_long(m, m->cpus[i], false);
		m->cpus[i]->r[GPR_RBX] = MACHINE_DATA;
		m->cpus[i]->r[GPR_RAX] = 1;
	}
	load_code(m, c);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_thread, m->cpus[i]), 0);
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	return m;
}

static void locked_instructions_are_atomic(void **state UNUSED)
{
	struct machine *m = run_by_four(count);

	assert_int_equal(machine_read64(m, MACHINE_DATA), 80000);
	assert_int_equal(machine_read64(m, MACHINE_DATA + 8), 80000);
	assert_int_equal(machine_read64(m, MACHINE_DATA + 16), 0);
	assert_int_equal(machine_read64(m, MACHINE_DATA + 24), 80000);
	machine_free(m);
}

static void locked_instructions_that_cross_pages_are_atomic(void **state UNUSED)
{
	struct machine *m = run_by_four(count_crossing);

	assert_int_equal(machine_read32(m, MACHINE_DATA + 0xffe), 4 * 200 * 2);
	machine_free(m);
}

CODE(lock_crossing, ".code64", "lock addl $0x01010101, (%rbx)\n xchg %eax, (%rbx)\n hlt\n")

static void lock_across_pages_that_are_not_neighbours(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	*machine_pte(m, MACHINE_DATA + 0x1000) = 0x60000 | GPTE_P | GPTE_W;
	cpu->r[GPR_RBX] = MACHINE_DATA + 0xffe;
	cpu->r[GPR_RAX] = 0xaabbccdd;
	memcpy(m->memory + MACHINE_DATA + 0xffe, "\x01\x02", 2);
	memcpy(m->memory + 0x60000, "\x03\x04", 2);
	assert_int_equal(run_code(m, cpu, lock_crossing), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RAX], 0x05040302);
	assert_memory_equal(m->memory + MACHINE_DATA + 0xffe, "\xdd\xcc", 2);
	assert_memory_equal(m->memory + 0x60000, "\xbb\xaa", 2);
}

CODE(exchange_16, ".code64", "lock cmpxchg16b (%rsi)\n setz %dil\n hlt\n")

static void cmpxchg16b(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	memcpy(m->memory + MACHINE_DATA, "0123456789abcdef", 16);
	memcpy(&cpu->r[GPR_RAX], "01234567", 8);
	memcpy(&cpu->r[GPR_RDX], "89abcdef", 8);
	memcpy(&cpu->r[GPR_RBX], "ABCDEFGH", 8);
	memcpy(&cpu->r[GPR_RCX], "IJKLMNOP", 8);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	assert_int_equal(run_code(m, cpu, exchange_16), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RDI] & 0xff, 1);
	assert_memory_equal(m->memory + MACHINE_DATA, "ABCDEFGHIJKLMNOP", 16);
	/* Another value is there now: it is loaded. */
	cpu->rip = MACHINE_CODE;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RDI] & 0xff, 0);
	assert_memory_equal(&cpu->r[GPR_RAX], "ABCDEFGH", 8);
	assert_memory_equal(&cpu->r[GPR_RDX], "IJKLMNOP", 8);
	/* It must be aligned. */
	cpu->rip = MACHINE_CODE;
	cpu->r[GPR_RSI] = MACHINE_DATA + 8;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);
}

/* Memory that the client takes away */

CODE(touch, ".code64", "mov (%rbx), %rax\n mov %rax, 8(%rbx)\n jmp .\n")

/* Nothing is there any more, but no allocation can be placed there either. */
static void take_away(void *page)
{
	assert_true(mmap(page, 0x1000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			 0) == page);
}

static void vanished_memory_is_efault(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint8_t *page = mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);

	machine_set_long(m, cpu, false);
	assert_int_equal(machine_slot(m, 1, 0x8000000, page, 0x2000, 0), 0);
	cpu->r[GPR_RBX] = 0x8000000;
	load_code(m, touch);
	memset(page, 0x11, 8);
	assert_int_equal(cpu_run(cpu, 10000), CPU_EXIT_POLL);
	assert_memory_equal(page + 8, page, 8);
	/* Without a word to us. */
	mprotect(page, 0x1000, PROT_READ);
	cpu->rip = MACHINE_CODE;
	assert_int_equal(cpu_run(cpu, 10000), CPU_EXIT_EFAULT);
	assert_int_equal(cpu->rip, MACHINE_CODE + 3);
	take_away(page);
	cpu->rip = MACHINE_CODE;
	assert_int_equal(cpu_run(cpu, 10000), CPU_EXIT_EFAULT);
	assert_int_equal(cpu->rip, MACHINE_CODE);
	/* An access that crosses into what is there, and the rep forms. */
	cpu->r[GPR_RBX] = 0x8000ffc;
	cpu->rip = MACHINE_CODE;
	assert_int_equal(cpu_run(cpu, 10000), CPU_EXIT_EFAULT);
	load_code(m, rep_stos);
	cpu->rip = MACHINE_CODE;
	cpu->r[GPR_RDI] = MACHINE_DATA;
	cpu->r[GPR_RCX] = 8;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	cpu->rip = MACHINE_CODE;
	cpu->r[GPR_RDI] = 0x8000800;
	cpu->r[GPR_RCX] = 8;
	assert_int_equal(run_on(cpu), CPU_EXIT_EFAULT);
	assert_int_equal(cpu->r[GPR_RCX], 8);
	/* It comes back. */
	assert_true(mmap(page, 0x1000, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RCX], 0);
	munmap(page, 0x2000);
}

static void vanished_code_is_efault(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint8_t *page = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);

	machine_set_long(m, cpu, false);
	assert_int_equal(machine_slot(m, 1, 0x8000000, page, 0x1000, 0), 0);
	memcpy(page, "\x90\x90\xeb\xfc", 4);
	cpu->rip = 0x8000000;
	assert_int_equal(cpu_run(cpu, 10000), CPU_EXIT_POLL);
	take_away(page);
	assert_int_equal(cpu_run(cpu, 10000), CPU_EXIT_EFAULT);
	munmap(page, 0x1000);
}

static void tables_outside_of_memory_are_an_error(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->mmu.paging.cr3 = 0x70000000;
	cpu_state_changed(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_INTERNAL_ERROR);
	assert_int_equal(cpu->rip, MACHINE_CODE);
	assert_int_equal(cpu->error.n_bytes, 0);
}

/* Others take pages away, in earnest, while four processors use them. */
CODE(hammer, ".code64",
     "mov $40000, %ecx\n 1: mov %rcx, %rax\n shl $6, %rax\n and $0xffff8, %eax\n"
     "lock incq (%rbx,%rax)\n mov (%rbx,%rax), %rdx\n movups (%rbx,%rax), %xmm0\n"
     "push %rdx\n pop %rsi\n dec %ecx\n jnz 1b\n hlt\n")

static void invalidations_under_load(void **state UNUSED)
{
	struct machine *m = machine_make(8 << 20, 4);
	struct invalidation inv;
	pthread_t threads[4];
	uint64_t sum = 0;

	for (unsigned int i = 0; i < 4; i++) {
		machine_set_long(m, m->cpus[i], false);
		m->cpus[i]->r[GPR_RBX] = 0x200000;
		m->cpus[i]->r[GPR_RSP] = 0x400000 + 0x10000 * (i + 1);
	}
	load_code(m, hammer);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_thread, m->cpus[i]), 0);
	for (unsigned int i = 0; i < 2000; i++) {
		hva_t start = hva_of((uintptr_t)m->memory + 0x200000 + (i % 256) * 0x1000);

		mmu_invalidate_begin(&m->mmu, start, hva_add(start, 0x1000), &inv);
		mmu_invalidate_end(&inv);
	}
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (uint64_t at = 0x200000; at < 0x300000; at += 8)
		sum += machine_read64(m, at);
	assert_int_equal(sum, 160000);
	machine_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(rep_stops_where_the_page_is_missing),
		machine_test(rep_yields_within_its_budget),
		machine_test(overlapping_movs_repeats_its_pattern),
		machine_test(a_store_into_the_next_instruction_counts),
		machine_test(code_patched_in_a_loop),
		machine_test(client_changes_code_behind_our_back),
		machine_test(crossing_instruction_is_verified_in_both_pages),
		machine_test(cache_is_dropped_when_it_is_full),
		machine_test(no_memory_for_blocks_is_an_exit),
		cmocka_unit_test(locked_instructions_are_atomic),
		cmocka_unit_test(locked_instructions_that_cross_pages_are_atomic),
		machine_test(lock_across_pages_that_are_not_neighbours),
		machine_test(cmpxchg16b),
		machine_test(vanished_memory_is_efault),
		machine_test(vanished_code_is_efault),
		machine_test(tables_outside_of_memory_are_an_error),
		cmocka_unit_test(invalidations_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
