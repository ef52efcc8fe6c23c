/* SPDX-License-Identifier: MIT */
/*
 * cpu/state/segment.h - selectors, descriptors, and loading segment registers.
 *
 * Functions that return false have raised what the instruction faults with.
 * SDM 3A chapters 3 and 5.
 */
#ifndef CPU_SEGMENT_H
#define CPU_SEGMENT_H

#include "cpu/state/mode.h"

#define SELECTOR_RPL 3u
#define SELECTOR_TI 4u

static inline bool selector_is_null(uint16_t selector)
{
	return !(selector & ~SELECTOR_RPL);
}

/* As an error code names it. */
static inline uint32_t selector_code(uint16_t selector)
{
	return selector & ~SELECTOR_RPL;
}

/* Types of system descriptors; those of 16-bit and 32-bit ones differ by 8. */
enum {
	SYS_TSS_16 = 1, SYS_LDT = 2, SYS_TSS_16_BUSY = 3, SYS_CALL_GATE_16 = 4, SYS_TASK_GATE = 5,
	SYS_INT_GATE_16 = 6, SYS_TRAP_GATE_16 = 7, SYS_TSS = 9, SYS_TSS_BUSY = 11,
	SYS_CALL_GATE = 12, SYS_INT_GATE = 14, SYS_TRAP_GATE = 15,
};

/* A descriptor as it was read. */
struct descriptor {
	uint64_t raw;
	uint64_t upper;		/* the second half of those of 16 bytes */
	uint64_t at;
	struct segment s;	/* what raw says, of a segment */
};

static inline bool segment_is_code(const struct segment *s)
{
	return s->s && (s->type & 8);
}

static inline bool segment_is_conforming(const struct segment *s)
{
	return segment_is_code(s) && (s->type & 4);
}

static inline bool segment_is_readable(const struct segment *s)
{
	return s->s && (!(s->type & 8) || (s->type & 2));
}

static inline bool segment_is_writable(const struct segment *s)
{
	return s->s && (s->type & 0xa) == 2;
}

/* The descriptor of a selector that is not null; @vector with its code if the
 * table does not have it. */
bool descriptor_read(struct cpu *cpu, uint16_t selector, uint8_t vector, struct descriptor *d);
/* Likewise, quietly: *found is false if there is none.  False: a fault. */
bool descriptor_look(struct cpu *cpu, uint16_t selector, struct descriptor *d, bool *found);
/* The second half of a system descriptor, in long mode. */
bool descriptor_read_upper(struct cpu *cpu, struct descriptor *d, uint16_t selector);
bool descriptor_set_accessed(struct cpu *cpu, struct descriptor *d);

/* MOV, POP and L?S to a data segment register or SS, in all modes. */
bool segment_load(struct cpu *cpu, enum cpu_seg seg, uint16_t selector);
/* Of real mode, and within virtual-8086 mode. */
void segment_load_real(struct cpu *cpu, enum cpu_seg seg, uint16_t selector);
/* ES, DS, FS, GS: those that hold neither code nor the stack, in the order in which IRET to
 * virtual-8086 mode pops them. */
#define N_DATA_SEGS 4
extern const enum cpu_seg data_segs[N_DATA_SEGS];

/* As virtual-8086 mode begins, for each of its six: limit and attributes are fixed. */
void segment_load_v86(struct cpu *cpu, enum cpu_seg seg, uint16_t selector);
/* A stack segment for @level, which need not be current yet; *s becomes it. */
bool segment_check_stack(struct cpu *cpu, uint16_t selector, unsigned int level, uint8_t vector,
			 struct segment *s);
/* The null stack segment of long mode. */
struct segment segment_null_stack(unsigned int level);

/* The stack that the TSS has for @level: SS (a selector) and the pointer. */
bool tss_stack(struct cpu *cpu, unsigned int level, uint16_t *ss, uint64_t *sp);
/* The selector of the task that called this one. */
bool tss_link(struct cpu *cpu, uint16_t *link);
bool tss_ist(struct cpu *cpu, unsigned int ist, uint64_t *sp);
/* May port I/O be done at this privilege?  #GP(0) if not. */
bool tss_allows_io(struct cpu *cpu, uint16_t port, unsigned int bytes);

#endif
