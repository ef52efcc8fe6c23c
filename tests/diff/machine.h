/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/machine.h - a VM with one processor and no kvm/ layer, for tests.
 *
 * Memory begins at guest physical 0.  What the setup functions put there lies in
 * the first 64 KiB; programs and data go behind.
 *
 *   0x1000  GDT	0x2000  IDT	0x3000  TSS	0x4000  stubs of the IDT
 *   0x8000  page tables
 */
#ifndef DIFF_MACHINE_H
#define DIFF_MACHINE_H

#include "cpu/cpu.h"
#include "mem/host_process.h"
#include "mmu/mmu.h"

#define MACHINE_GDT 0x1000u
#define MACHINE_IDT 0x2000u
#define MACHINE_TSS 0x3000u
#define MACHINE_STUBS 0x4000u
#define MACHINE_TABLES 0x8000u
/* Stacks of the levels 0 and 3, and of IST 1: addresses of their tops. */
#define MACHINE_STACK 0x20000u
#define MACHINE_USER_STACK 0x28000u
#define MACHINE_IST 0x2c000u
#define MACHINE_CODE 0x30000u
#define MACHINE_DATA 0x40000u

/* Selectors of the GDT. */
enum {
	SEL_CODE64 = 0x08, SEL_DATA = 0x10, SEL_USER_CODE32 = 0x18, SEL_USER_DATA = 0x20,
	SEL_USER_CODE64 = 0x28, SEL_CODE32 = 0x30, SEL_CODE16 = 0x38, SEL_DATA16 = 0x40,
	SEL_TSS = 0x48, SEL_SPARE = 0x58, SEL_SPARE2 = 0x60, MACHINE_GDT_BYTES = 0x80,
};

struct machine {
	struct alloc alloc;
	struct slots slots;
	struct mmu mmu;
	struct host_process host;
	struct cpu *cpu;
	struct cpu *cpus[4];	/* cpu is the first */
	unsigned int n_cpus;
	uint8_t *memory;
	uint64_t bytes;
	uint8_t io_data[4][CPU_IO_BYTES];
};

/* How machines that are made from now on translate. */
extern enum mmu_mode machine_mmu_mode;

struct machine *machine_make(uint64_t bytes, unsigned int n_cpus);
/* Also sees that no memory was lost. */
void machine_free(struct machine *m);
/* A slot elsewhere; @host may be NULL to delete it. */
int machine_slot(struct machine *m, unsigned int id, uint64_t gpa, void *host, uint64_t bytes,
		 uint32_t flags);

/* Descriptor tables as above, in memory and loaded; every gate leads to a HLT of
 * its own at MACHINE_STUBS + vector. */
void machine_write_tables(struct machine *m, bool is_long);
void machine_set_gate(struct machine *m, unsigned int vector, uint64_t offset, uint16_t selector,
		      uint8_t type, uint8_t ist);
void machine_set_descriptor(struct machine *m, uint16_t selector, uint32_t base, uint32_t limit,
			    uint8_t access, uint8_t flags);

/* Modes, with RIP at MACHINE_CODE and RSP at MACHINE_STACK.  Paging is identity
 * mapping, user-accessible; @user: at level 3. */
void machine_set_real(struct machine *m, struct cpu *cpu);
void machine_set_protected(struct machine *m, struct cpu *cpu, bool paging, bool user);
void machine_set_pae(struct machine *m, struct cpu *cpu);
void machine_set_long(struct machine *m, struct cpu *cpu, bool user);
/* The page-table entry of long or PAE mode that maps this address. */
uint64_t *machine_pte(struct machine *m, uint64_t gva);

void machine_load(struct machine *m, uint64_t gpa, const void *code, size_t bytes);
/* What a HLT of a stub means: the vector, or -1. */
int machine_vector(const struct machine *m, const struct cpu *cpu);
/* A word of guest memory. */
uint64_t machine_read64(const struct machine *m, uint64_t gpa);
uint32_t machine_read32(const struct machine *m, uint64_t gpa);

#endif
