/* SPDX-License-Identifier: MIT */
/*
 * cpu/state/control.h - control registers: what may be written to them, and what follows.
 */
#ifndef CPU_CONTROL_H
#define CPU_CONTROL_H

#include "cpu/state/mode.h"

/* In themselves, whatever they are now; the first two also for KVM_SET_SREGS. */
bool control_cr0_is_valid(uint64_t cr0);
/* PAE paging, whose four registers are loaded from memory. */
bool control_uses_pdptrs(uint64_t cr0, uint64_t cr4, uint64_t efer);
bool control_cr4_is_valid(const struct cpu *cpu, uint64_t cr4);

/* As MOV does at level 0.  False: the instruction is to be abandoned (cpu/event/raise.h), and
 * nothing has changed. */
bool control_write_cr0(struct cpu *cpu, uint64_t value);
bool control_write_cr3(struct cpu *cpu, uint64_t value);
bool control_write_cr4(struct cpu *cpu, uint64_t value);

/* As WRMSR does; false: #GP. */
bool control_write_efer(struct cpu *cpu, uint64_t value);

/* Forgets a wish to leave cpu_run(), outside of it. */
void control_clear_exit(struct cpu *cpu);

#endif
