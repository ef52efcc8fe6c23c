/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/code.h - guest code within a test.
 *
 *	CODE(name, ".code32", "mov $1, %eax\n hlt\n")
 *	run_code(m, cpu, name)
 *
 * It is put at MACHINE_CODE and must not depend on where the linker has it: only
 * relative references, or AT(label) for a label's address in the guest.
 */
#ifndef DIFF_CODE_H
#define DIFF_CODE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "machine.h"

struct code {
	const uint8_t *start, *end;
};

#define CODE(name, mode, text)                                                    \
	__asm__(".pushsection .rodata\n" mode "\n"                                \
		"code_" #name "_start:\n 77:\n"                                   \
		text "\ncode_" #name "_end:\n"                                    \
		".code64\n.popsection\n");                                        \
	extern const uint8_t code_##name##_start[] __asm__("code_" #name "_start"); \
	extern const uint8_t code_##name##_end[] __asm__("code_" #name "_end");   \
	static const struct code name UNUSED = { code_##name##_start, code_##name##_end };

/* 77b is where the code starts, and 0x30000 where it will be: MACHINE_CODE. */
#define AT(label) "(" label " - 77b + 0x30000)"

static inline void load_code(struct machine *m, struct code c)
{
	machine_load(m, MACHINE_CODE, c.start, (size_t)(c.end - c.start));
}

/* Until something is for the client; the budget is no reason. */
static inline enum cpu_exit run_on(struct cpu *cpu)
{
	enum cpu_exit exit;

	for (int i = 0; i < 10000; i++) {
		exit = cpu_run(cpu, 1000);
		if (exit != CPU_EXIT_POLL)
			return exit;
	}
	return CPU_EXIT_POLL;
}

static inline enum cpu_exit run_code(struct machine *m, struct cpu *cpu, struct code c)
{
	load_code(m, c);
	return run_on(cpu);
}

/* The frame of a 64-bit handler that has just begun, behind an error code if it has one. */
struct frame {
	uint64_t rip, cs, rflags, rsp, ss;
};

static inline struct frame *frame_of(const struct machine *m, bool with_error)
{
	return (struct frame *)(m->memory + m->cpu->r[GPR_RSP] + (with_error ? 8 : 0));
}

/* A test's own machine. */
static inline int make_machine(void **state)
{
	*state = machine_make(4 << 20, 1);
	return 0;
}

static inline int free_machine(void **state)
{
	machine_free(*state);
	return 0;
}

#define machine_test(f) cmocka_unit_test_setup_teardown(f, make_machine, free_machine)

#endif
