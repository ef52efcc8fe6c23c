/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/names.h - the names by which insn.def tells a picker which of its instructions
 * is meant: PICK_picker_name.
 *
 * Tables of handlers are indexed by them, so that nothing hangs on the order of a list.
 */
#ifndef CPU_INSN_NAMES_H
#define CPU_INSN_NAMES_H

#include "cpu/state/flags.h"

enum {
#define BINARY(mnemonic, name, writes) PICK_binary_##name,
#include "cpu/insn/alu.def"
};

enum {
#define UNARY(mnemonic, name) PICK_unary_##name,
#include "cpu/insn/alu.def"
};

enum {
#define BMI(mnemonic, name, named_is_first, flags) PICK_bmi_##name,
#include "cpu/insn/bits/bmi.def"
};

/* As cc_test() takes them. */
enum {
#define CONDITION(cc, name, condition, negated)                      \
	PICK_jcc_##name = (condition) << 1 | (negated),              \
	PICK_setcc_##name = PICK_jcc_##name,                         \
	PICK_cmovcc_##name = PICK_jcc_##name,
#include "cpu/insn/condition.def"
};

enum {
#define SSE_INT(mnemonic, name) PICK_sse_int_##name,
#include "cpu/insn/sse/sse.def"
};

enum {
#define SSE_SHIFT(mnemonic, name) PICK_sse_shift_##name,
#include "cpu/insn/sse/sse.def"
};

enum {
#define SSE_FP(mnemonic, name, bytes) PICK_sse_fp_##name,
#include "cpu/insn/sse/sse.def"
};

enum {
#define SSE_FROM_GPR(mnemonic, name) PICK_sse_from_gpr_##name,
#include "cpu/insn/sse/sse.def"
};

enum {
#define STUB(mnemonic, name, variants, text) PICK_stub_##name,
#define STUB_FP(mnemonic, name, variants, text) PICK_stub_##name,
#define STUB_DOT(mnemonic, name, variants, text) PICK_stub_##name,
#include "cpu/insn/sse/stub.def"
};

enum {
#define STUB_STRING(mnemonic, name, text) PICK_string_stub_##name,
#include "cpu/insn/sse/stub.def"
};

enum {
#define AVX(mnemonic, name, variants, how, narrow, wide) PICK_avx_##name,
#define AVX_OTHER(name, variants, how, narrow, wide) PICK_avx_##name,
#define AVX_TO_GPR(mnemonic, name, narrow, wide) PICK_avx_##name, \
	PICK_avx_to_gpr_##name = PICK_avx_##name,
#define AVX_FLAGS(mnemonic, name, how, narrow, wide) PICK_avx_##name, \
	PICK_avx_flags_##name = PICK_avx_##name,
#include "cpu/insn/avx/avx.def"
};

/* name, and whether REPE and REPNE look at what it has compared. */
#define STRINGS(X) X(movs, false) X(cmps, true) X(stos, false) X(lods, false) X(scas, true)

enum {
#define PICK_STRING(name, compares) PICK_string_##name,
	STRINGS(PICK_STRING)
#undef PICK_STRING
};

enum { PICK_string_io_ins, PICK_string_io_outs };
enum { PICK_extend_zero, PICK_extend_sign };
enum { PICK_loop_always, PICK_loop_equal, PICK_loop_not_equal, PICK_loop_if_zero };
enum { PICK_double_shift_left, PICK_double_shift_right };
enum { PICK_mov128_aligned, PICK_mov128_unaligned };
enum { PICK_from_xmm_pmovmskb, PICK_from_xmm_pextrw };

/* Some are what the picker needs: a segment register, a number of bytes, a half. */
enum {
	PICK_load_far_pointer_es = SEG_ES,
	PICK_load_far_pointer_ss = SEG_SS,
	PICK_load_far_pointer_ds = SEG_DS,
	PICK_load_far_pointer_fs = SEG_FS,
	PICK_load_far_pointer_gs = SEG_GS,
};
enum { PICK_mov_scalar_single = 4, PICK_mov_scalar_double = 8 };
enum { PICK_mov_low_dword = 4, PICK_mov_low_qword = 8 };
enum {
	PICK_extract_byte = 1, PICK_extract_word = 2, PICK_extract_dword = 4,
	PICK_extract_qword = 8,
	PICK_insert_byte = 1, PICK_insert_dword = 4, PICK_insert_qword = 8,
};
enum { PICK_avx_scalar_single = 4, PICK_avx_scalar_double = 8 };
enum { PICK_avx_low_dword = 4, PICK_avx_low_qword = 8 };
enum { PICK_avx_half_low = 0, PICK_avx_half_high = 1 };
enum { PICK_masked_dword = 4, PICK_masked_qword = 8 };
/* The bytes of an element, and above them those of an index. */
enum {
	PICK_gather_dword_by_dword = 0x44, PICK_gather_dword_by_qword = 0x84,
	PICK_gather_qword_by_dword = 0x48, PICK_gather_qword_by_qword = 0x88,
};
enum { PICK_mov_half_low = 0, PICK_mov_half_high = 1 };

#endif
