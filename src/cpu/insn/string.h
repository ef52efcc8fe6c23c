/* SPDX-License-Identifier: MIT */
/* cpu/insn/string.h - what the string instructions share with INS and OUTS. */
#ifndef CPU_INSN_STRING_H
#define CPU_INSN_STRING_H

#include "cpu/decode/decode.h"

/* The counter of REP. */
uint64_t string_count(const struct cpu *cpu, unsigned int address_bytes);
/* Advances rSI or rDI by this many elements, up or down. */
void string_advance(struct cpu *cpu, enum cpu_reg reg, unsigned int address_bytes,
		    unsigned int size, uint64_t elements);
/* Fills in the size of an element and the segment of the source. */
void string_prepare(const struct insn *insn, struct op *op);

#endif
