/* SPDX-License-Identifier: MIT */
#include "cpu/insn/table.h"

#include "cpu/insn/insn.h"

const struct insn_entry insn_table[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
#define INSN(mnemonic, handler, flags) \
	[ZYDIS_MNEMONIC_##mnemonic] = { .fn = op_##handler, .how = flags },
#define PICK(mnemonic, picker, flags) \
	[ZYDIS_MNEMONIC_##mnemonic] = { .pick = pick_##picker, .how = flags },
#define PICK_OF(mnemonic, picker, name, flags)                     \
	[ZYDIS_MNEMONIC_##mnemonic] = { .pick_of = pick_##picker,  \
					.which = PICK_##picker##_##name, .how = flags },
#include "cpu/insn/insn.def"
};
