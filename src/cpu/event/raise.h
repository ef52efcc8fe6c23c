/* SPDX-License-Identifier: MIT */
/*
 * cpu/event/raise.h - why an instruction cannot be completed.
 *
 * Each of these notes the reason and returns false, so that what goes wrong deep
 * down is handed up by returning false until the handler abandons its op.
 */
#ifndef CPU_RAISE_H
#define CPU_RAISE_H

#include "cpu/cpu.h"

/* What is noted; the compiler is to see that the answer is always false. */
void raise_note_exception(struct cpu *cpu, uint8_t vector);
void raise_note_with_code(struct cpu *cpu, uint8_t vector, uint32_t error_code);
void raise_note_page_fault(struct cpu *cpu, uint64_t gva, uint32_t error_code);
void raise_note_exit(struct cpu *cpu, enum cpu_exit exit);
void raise_note_unimplemented(struct cpu *cpu, const char *what);

/* An exception, without and with an error code. */
static inline bool raise_exception(struct cpu *cpu, uint8_t vector)
{
	raise_note_exception(cpu, vector);
	return false;
}

static inline bool raise_with_code(struct cpu *cpu, uint8_t vector, uint32_t error_code)
{
	raise_note_with_code(cpu, vector, error_code);
	return false;
}

static inline bool raise_ud(struct cpu *cpu)
{
	return raise_exception(cpu, EXC_UD);
}

static inline bool raise_gp(struct cpu *cpu, uint32_t error_code)
{
	return raise_with_code(cpu, EXC_GP, error_code);
}

/* #PF; sets CR2. */
static inline bool raise_page_fault(struct cpu *cpu, uint64_t gva, uint32_t error_code)
{
	raise_note_page_fault(cpu, gva, error_code);
	return false;
}

/* The caller of cpu_run() is needed. */
static inline bool raise_exit(struct cpu *cpu, enum cpu_exit exit)
{
	raise_note_exit(cpu, exit);
	return false;
}

/* Something that Umbra does not have. */
static inline bool raise_unimplemented(struct cpu *cpu, const char *what)
{
	raise_note_unimplemented(cpu, what);
	return false;
}

#endif
