/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/table.h - insn.def as a table, by Zydis' mnemonic.
 */
#ifndef CPU_INSN_TABLE_H
#define CPU_INSN_TABLE_H

#include "cpu/decode/decode.h"

/* What insn.def says of a mnemonic. */
#define ENDS (1u << 0)		/* the block ends after it */
#define SSE (1u << 1)		/* needs SSE to be enabled */
#define OWN_EA (1u << 2)	/* its handler works out addresses itself */
#define NO_EA (1u << 3)		/* does not access its memory operand */
#define WIDTH (1u << 4)		/* op->size is the operand width, not the operand's size */
#define X87 (1u << 5)		/* needs the x87 to be there */
#define MMX (1u << 6)		/* likewise, for its registers */
#define YMM (1u << 7)		/* likewise, for AVX */
#define COSTS_SHIFT 8
#define COSTS(units) ((units) << COSTS_SHIFT) /* beyond the one of every instruction */
#define SSE_ASSIST 8		/* floating point: of denormal numbers */
#define X87_SLOW 40		/* sines and the like */

/* What avx.def says beside that. */
#define AVX_FP 1u
#define AVX_ALIGNED 2u
#define AVX_GPR 4u
#define AVX_DOT 8u
#define AVX_INSERT 16u

/* Chooses the handler and may complete the op; NULL: there is none. */
typedef op_fn (*pick_fn)(const struct insn *insn, struct op *op);
typedef op_fn (*pick_of_fn)(const struct insn *insn, struct op *op, unsigned int which);

/* One of the first three; none: there is no handler. */
struct insn_entry {
	op_fn fn;
	pick_fn pick;
	pick_of_fn pick_of;
	uint16_t which;		/* for pick_of: PICK_* */
	uint16_t how;
};

extern const struct insn_entry insn_table[ZYDIS_MNEMONIC_MAX_VALUE + 1];

#endif
