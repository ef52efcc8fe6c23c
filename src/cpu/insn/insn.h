/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/insn.h - the handlers of all instructions, and the functions that choose one.
 *
 * Either one handler takes all forms of an instruction, or a "picker" next to the
 * handlers chooses one by the form.
 */
#ifndef CPU_INSN_INSN_H
#define CPU_INSN_INSN_H

#include "cpu/decode/decode.h"
#include "cpu/insn/names.h"

/* Every handler and picker of insn.def, */
#define INSN(mnemonic, handler, how) void op_##handler(struct cpu *cpu, const struct op *op);
#define PICK(mnemonic, picker, how) \
	op_fn pick_##picker(const struct insn *insn, struct op *op);
#define PICK_OF(mnemonic, picker, name, how) \
	op_fn pick_##picker(const struct insn *insn, struct op *op, unsigned int which);
#include "cpu/insn/insn.def"
/* and those that pickers and the decoder choose. */
#define OTHER_HANDLERS(X)                                                                      \
	X(address) X(block_end) X(too_long) X(unimplemented) X(lacking) X(lacking_x87)         \
	X(device_not_available)                                                                \
	X(mov_to_segment) X(mov_from_segment) X(push_segment) X(pop_segment)                   \
	X(mov_to_cr) X(mov_from_cr) X(mov_to_dr) X(mov_from_dr) X(push) X(pop)                 \
	X(setcc) X(cmovcc) X(jmp_relative) X(jmp_indirect) X(call_relative) X(call_indirect)   \
	X(ret) X(loop) X(jmp_far) X(jmp_far_indirect) X(call_far) X(call_far_indirect)         \
	X(ret_far) X(load_far_pointer) X(imul_wide) X(shld) X(shrd) X(enter)                   \
	X(andn) X(bextr) X(bzhi) X(pdep) X(pext) X(sarx) X(shlx) X(shrx) X(mulx) X(crc32)      \
	X(out) X(ins) X(outs) X(cmpsd) X(cvtsi2ss) X(cvtsi2sd)                                 \
	X(load_low) X(store_low) X(merge_low) X(move_low) X(low_from_gpr) X(low_to_gpr)        \
	X(x87_register_first) X(x87_flags) X(x87_load) X(x87_store)                            \
	X(mmx_int) X(mmx_shift) X(mmx_load) X(mmx_store) X(mmx_from_gpr) X(mmx_to_gpr)         \
	X(mmx_pmovmskb) X(mmx_pextrw) X(mmx_pinsrw) X(mmx_palignr)                             \
	X(avx) X(avx_from_gpr) X(avx_to_gpr) X(avx_flags) X(avx_dot) X(masked_load)            \
	X(masked_store) X(gather)                                                              \
	X(stub) X(stub_fp) X(stub_dot) X(string_index) X(string_mask) X(extract) X(insert)     \
	X(palignr) X(load_half) X(store_half) X(pmovmskb) X(pextrw) X(pinsrw)
#define DECLARE_HANDLER(name) void op_##name(struct cpu *cpu, const struct op *op);
OTHER_HANDLERS(DECLARE_HANDLER)
#undef DECLARE_HANDLER

#endif
