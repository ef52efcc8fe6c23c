/* SPDX-License-Identifier: MIT */
#include "cpu/decode/decode.h"

#include <string.h>

#include "cpu/insn/insn.h"
#include "cpu/insn/table.h"
#include "cpu/state/cpuid.h"
#include "cpu/state/mode.h"

#define LOCK_COSTS 4

void decode_init(struct decoders *d)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth stack;
	} modes[] = {
		{ ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
		{ ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32 },
		{ ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16 },
		{ ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32 },
		{ ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16 },
		{ ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		ZydisDecoder *z = &d->zydis[modes[i].mode];

		ZydisDecoderInit(z, modes[i].mode, modes[i].stack);
		/* Their encodings are NOPs where they are not offered. */
		ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
		ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
		ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
		ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
	}
}

static ZydisMachineMode machine_mode(uint32_t mode)
{
	bool is_long = mode & MODE_LONG;

	switch (mode & MODE_CODE_MASK) {
	case MODE_CODE_64:
		return ZYDIS_MACHINE_MODE_LONG_64;
	case MODE_CODE_32:
		return is_long ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LEGACY_32;
	default:
		if (mode & MODE_REAL)
			return ZYDIS_MACHINE_MODE_REAL_16;
		return is_long ? ZYDIS_MACHINE_MODE_LONG_COMPAT_16 : ZYDIS_MACHINE_MODE_LEGACY_16;
	}
}

/* Of a general register: its byte offset in cpu->r; of another: its number. */
static uint8_t register_at(ZydisRegister reg)
{
	ZyanI8 id = ZydisRegisterGetId(reg);

	switch (ZydisRegisterGetClass(reg)) {
	case ZYDIS_REGCLASS_GPR8:
		/* AL to BL, AH to BH, SPL to DIL, R8B and on. */
		if (id < 4)
			return (uint8_t)GPR_AT(id);
		return (uint8_t)(id < 8 ? GPR_AT(id - 4) + 1 : GPR_AT(id - 4));
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return (uint8_t)GPR_AT(id);
	default:
		return id < 0 ? 0 : (uint8_t)id;
	}
}

static uint8_t address_reg(ZydisRegister reg)
{
	switch (reg) {
	case ZYDIS_REGISTER_NONE:
		return GPR_ZERO;
	case ZYDIS_REGISTER_RIP:
	case ZYDIS_REGISTER_EIP:
	case ZYDIS_REGISTER_IP:
		return GPR_BLOCK;
	default:
		return (uint8_t)ZydisRegisterGetId(reg);
	}
}

/* The displacement, made relative to the block where the base is RIP. */
static int64_t displacement(const struct op *op, const ZydisDecodedOperandMem *m)
{
	int64_t disp = m->disp.value;

	if (op->base == GPR_BLOCK)
		disp += op->offset + op->length;
	if (op->address_bytes == 4)
		disp = (int32_t)disp;
	return disp;
}

/* Can op_ea() address this operand? */
static bool is_quick(const struct insn *insn, const struct op *op, int64_t disp)
{
	unsigned int native = insn->mode & MODE_CODE_64 ? 8 : 4;

	if (!(insn->mode & MODE_FLAT) || op->address_bytes != native || disp != (int32_t)disp)
		return false;
	return op->seg != SEG_FS && op->seg != SEG_GS && (native == 8 || op->seg != SEG_CS);
}

static unsigned int access_bytes(const ZydisDecodedOperand *o)
{
	return MAX(o->size / 8u, 1u);
}

/* Puts an op before @op that works out the address; @op uses what it leaves. */
static void emit_address(struct decoded_block *b, struct op *op, const ZydisDecodedOperand *o,
			 int64_t disp)
{
	struct op *a = &b->ops[b->n_ops++];

	*a = *op;
	a->fn = op_address;
	a->imm = disp;
	a->disp = (int32_t)access_bytes(o);
	a->flags = (uint8_t)((op->flags & OP_LONG) |
			     (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? OP_WRITES : 0));
	op->base = GPR_EA;
	op->index = GPR_ZERO;
	op->scale = 0;
	op->disp = 0;
}

/* False: the handler would have to address what it cannot. */
static bool fill_memory(struct decoded_block *b, const struct insn *insn, struct op *op,
			const ZydisDecodedOperand *o, const struct insn_entry *entry)
{
	const ZydisDecodedOperandMem *m = &o->mem;
	int64_t disp;

	op->base = address_reg(m->base);
	op->index = address_reg(m->index);
	op->scale = m->scale > 1 ? (uint8_t)__builtin_ctz(m->scale) : 0;
	op->seg = (uint8_t)decode_segment(m->segment);
	disp = displacement(op, m);
	op->disp = (int32_t)disp;

	if (entry->how & NO_EA) {
		op->imm = disp;
		return true;
	}
	if (entry->how & OWN_EA)
		return disp == (int32_t)disp;
	if (is_quick(insn, op, disp))
		return true;
	/* POP moves the stack pointer before it uses it. */
	if (insn->info.mnemonic == ZYDIS_MNEMONIC_POP && op->base == GPR_RSP)
		disp += op->size;
	emit_address(b, op, o, disp);
	return true;
}

static uint64_t immediate(const struct op *op, const ZydisDecodedOperand *o)
{
	uint64_t v = o->imm.value.u;

	return o->imm.is_relative ? v + op->offset + op->length : v;
}

static bool fill_operands(struct decoded_block *b, const struct insn *insn, struct op *op,
			  const struct insn_entry *entry)
{
	for (unsigned int i = 0; i < insn->info.operand_count_visible; i++) {
		const ZydisDecodedOperand *o = &insn->operands[i];

		switch (o->type) {
		case ZYDIS_OPERAND_TYPE_REGISTER:
			if (i == 0)
				op->dst = register_at(o->reg.value);
			else if (i == 1)
				op->src = register_at(o->reg.value);
			break;
		case ZYDIS_OPERAND_TYPE_IMMEDIATE:
			op->imm = (int64_t)immediate(op, o);
			if (i == 1)
				op->flags |= OP_IMM_SRC;
			break;
		case ZYDIS_OPERAND_TYPE_POINTER:
			op->imm = (int64_t)((uint64_t)o->ptr.segment << 32 | o->ptr.offset);
			break;
		case ZYDIS_OPERAND_TYPE_MEMORY:
			op->flags |= i == 0 ? OP_MEM_DST : OP_MEM_SRC;
			if (!fill_memory(b, insn, op, o, entry))
				return false;
			break;
		default:
			break;
		}
	}
	return true;
}

static void fill_prefixes(const struct insn *insn, struct op *op)
{
	ZydisInstructionAttributes a = insn->info.attributes;

	if (a & ZYDIS_ATTRIB_HAS_LOCK)
		op->flags |= OP_LOCK;
	if (a & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		op->flags |= OP_REP;
	if (a & ZYDIS_ATTRIB_HAS_REPNE)
		op->flags |= OP_REPNE;
	if (decode_is_64bit(insn))
		op->flags |= OP_LONG;
}

static uint8_t operand_bytes(const struct insn *insn, const struct insn_entry *entry)
{
	bool has_size = decode_is_reg(insn, 0) || decode_is_mem(insn, 0);

	if ((entry->how & WIDTH) || !insn->info.operand_count_visible || !has_size)
		return (uint8_t)(insn->info.operand_width / 8);
	return (uint8_t)(insn->operands[0].size / 8);
}

/* The segment of memory that is not written in the instruction. */
static void fill_hidden_segment(const struct insn *insn, struct op *op)
{
	for (unsigned int i = insn->info.operand_count_visible; i < insn->info.operand_count; i++)
		if (decode_is_mem(insn, i))
			op->seg = (uint8_t)decode_segment(insn->operands[i].mem.segment);
}

static unsigned int count_accesses(const struct insn *insn)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < insn->info.operand_count; i++)
		n += decode_is_mem(insn, i) &&
		     insn->operands[i].mem.type == ZYDIS_MEMOP_TYPE_MEM;
	return n;
}

/* Whose CPUID bit an instruction needs.  Most that are missing here have none that counts: they
 * also need a control bit that cannot be set. */
#define EVERYWHERE 0xfe		/* every processor has it */
#define NOWHERE 0xff

static uint8_t feature_of_set(ZydisISASet set)
{
	static const uint8_t features[ZYDIS_ISA_SET_MAX_VALUE + 1] = {
		[ZYDIS_ISA_SET_I86] = EVERYWHERE,
		[ZYDIS_ISA_SET_I186] = EVERYWHERE,
		[ZYDIS_ISA_SET_I286PROTECTED] = EVERYWHERE,
		[ZYDIS_ISA_SET_I286REAL] = EVERYWHERE,
		[ZYDIS_ISA_SET_I386] = EVERYWHERE,
		[ZYDIS_ISA_SET_I486] = EVERYWHERE,
		[ZYDIS_ISA_SET_I486REAL] = EVERYWHERE,
		[ZYDIS_ISA_SET_PENTIUMREAL] = EVERYWHERE,
		[ZYDIS_ISA_SET_PPRO] = EVERYWHERE,
		[ZYDIS_ISA_SET_LONGMODE] = EVERYWHERE,
		[ZYDIS_ISA_SET_SSE] = EVERYWHERE,
		[ZYDIS_ISA_SET_SSE2] = EVERYWHERE,
		[ZYDIS_ISA_SET_X87] = 1 + FEATURE_FPU,
		[ZYDIS_ISA_SET_PENTIUMMMX] = 1 + FEATURE_MMX,
		[ZYDIS_ISA_SET_SSE2MMX] = 1 + FEATURE_MMX,
		[ZYDIS_ISA_SET_SSSE3MMX] = 1 + FEATURE_SSSE3,
		[ZYDIS_ISA_SET_SSE3] = 1 + FEATURE_SSE3,
		[ZYDIS_ISA_SET_SSE3X87] = 1 + FEATURE_SSE3,
		[ZYDIS_ISA_SET_SSSE3] = 1 + FEATURE_SSSE3,
		[ZYDIS_ISA_SET_SSE4] = 1 + FEATURE_SSE41,
		[ZYDIS_ISA_SET_SSE42] = 1 + FEATURE_SSE42,
		[ZYDIS_ISA_SET_AES] = 1 + FEATURE_AES,
		[ZYDIS_ISA_SET_PCLMULQDQ] = 1 + FEATURE_PCLMUL,
		[ZYDIS_ISA_SET_SHA] = 1 + FEATURE_SHA,
		[ZYDIS_ISA_SET_GFNI] = 1 + FEATURE_GFNI,
		[ZYDIS_ISA_SET_RDRAND] = 1 + FEATURE_RDRAND,
		[ZYDIS_ISA_SET_RDSEED] = 1 + FEATURE_RDSEED,
		[ZYDIS_ISA_SET_SSE4A] = 1 + FEATURE_SSE4A,
		[ZYDIS_ISA_SET_AMD3DNOW] = 1 + FEATURE_3DNOW,
		[ZYDIS_ISA_SET_BMI1] = 1 + FEATURE_BMI1,
		[ZYDIS_ISA_SET_BMI2] = 1 + FEATURE_BMI2,
		[ZYDIS_ISA_SET_POPCNT] = 1 + FEATURE_POPCNT,
		[ZYDIS_ISA_SET_LZCNT] = 1 + FEATURE_LZCNT,
		[ZYDIS_ISA_SET_MOVBE] = 1 + FEATURE_MOVBE,
		[ZYDIS_ISA_SET_ADOX_ADCX] = 1 + FEATURE_ADX,
		[ZYDIS_ISA_SET_CLFLUSHOPT] = 1 + FEATURE_CLFLUSHOPT,
		[ZYDIS_ISA_SET_CLWB] = 1 + FEATURE_CLWB,
		[ZYDIS_ISA_SET_SERIALIZE] = 1 + FEATURE_SERIALIZE,
		[ZYDIS_ISA_SET_AVX] = 1 + FEATURE_AVX,
		[ZYDIS_ISA_SET_AVX2] = 1 + FEATURE_AVX2,
		[ZYDIS_ISA_SET_AVX2GATHER] = 1 + FEATURE_AVX2,
		[ZYDIS_ISA_SET_AVXAES] = 1 + FEATURE_AES,
		[ZYDIS_ISA_SET_FMA] = 1 + FEATURE_FMA,
		[ZYDIS_ISA_SET_F16C] = 1 + FEATURE_F16C,
		[ZYDIS_ISA_SET_VAES] = 1 + FEATURE_VAES,
		[ZYDIS_ISA_SET_VPCLMULQDQ] = 1 + FEATURE_VPCLMULQDQ,
		[ZYDIS_ISA_SET_XSAVE] = 1 + FEATURE_XSAVE,
		[ZYDIS_ISA_SET_XSAVEOPT] = 1 + FEATURE_XSAVEOPT,
		[ZYDIS_ISA_SET_XSAVEC] = 1 + FEATURE_XSAVEC,
		[ZYDIS_ISA_SET_XSAVES] = 1 + FEATURE_XSAVES,
	};
	uint8_t feature = features[set];

	if (!feature)
		return NOWHERE;
	return feature == EVERYWHERE ? EVERYWHERE : (uint8_t)(feature - 1);
}

static bool uses(const struct insn *insn, ZydisRegisterClass class)
{
	for (unsigned int i = 0; i < insn->info.operand_count; i++)
		if (decode_is_reg(insn, i) &&
		    ZydisRegisterGetClass(insn->operands[i].reg.value) == class)
			return true;
	return false;
}

/* Also by a memory operand in the place of an MMX register. */
static bool uses_mmx(const struct insn *insn)
{
	return insn->info.mnemonic == ZYDIS_MNEMONIC_CVTPI2PS ||
	       insn->info.mnemonic == ZYDIS_MNEMONIC_CVTPI2PD ||
	       uses(insn, ZYDIS_REGCLASS_MMX);
}

static uint8_t feature_of(const struct insn *insn)
{
	uint8_t feature = feature_of_set(insn->info.meta.isa_set);

	return feature == EVERYWHERE && uses_mmx(insn) ? FEATURE_MMX : feature;
}

/* There is no handler, or no feature.  Whether that is the guest's mistake or ours is for CPUID
 * to say, when it is executed. */
static op_fn lacking(const struct insn *insn, struct op *op)
{
	uint8_t feature = feature_of(insn);

	op->imm = (int64_t)(uintptr_t)ZydisMnemonicGetString(insn->info.mnemonic);
	op->src = feature;
	if (feature == EVERYWHERE)
		return op_unimplemented;
	if (feature == NOWHERE)
		return op_undefined;
	return insn->info.meta.isa_ext == ZYDIS_ISA_EXT_X87 ? op_lacking_x87 : op_lacking;
}

static bool is_usable(const struct insn *insn)
{
	uint8_t feature = feature_of(insn);

	return feature >= N_FEATURES || (insn->usable >> feature & 1);
}

/* Forms that Zydis takes for AMD's other name of CR8, which is not offered. */
static bool is_locked_cr_move(const struct insn *insn, const struct op *op)
{
	return insn->info.mnemonic == ZYDIS_MNEMONIC_MOV && (op->flags & OP_LOCK) &&
	       !decode_is_mem(insn, 0);
}

/* EVEX and the like are not offered; VEX is no prefix in real and virtual-8086 mode. */
static bool is_encoded(const struct insn *insn)
{
	switch (insn->info.encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_LEGACY:
	case ZYDIS_INSTRUCTION_ENCODING_3DNOW:
		return true;
	case ZYDIS_INSTRUCTION_ENCODING_VEX:
		return !(insn->mode & MODE_REAL);
	default:
		return false;
	}
}

static bool is_known(const struct insn_entry *entry)
{
	return entry->fn || entry->pick || entry->pick_of;
}

/* What the control registers have switched off.  MMX registers are the x87's; what has XMM
 * registers beside them obeys the rules of SSE. */
static op_fn refusal(const struct insn *insn, const struct insn_entry *entry)
{
	bool mmx = (entry->how & MMX) ||
		   (uses(insn, ZYDIS_REGCLASS_MMX) && !uses(insn, ZYDIS_REGCLASS_XMM));

	if (mmx && (insn->mode & (MODE_EM | MODE_TS)))
		return insn->mode & MODE_EM ? op_undefined : op_device_not_available;
	if ((entry->how & SSE) && !mmx && (insn->mode & (MODE_SSE_UD | MODE_SSE_NM)))
		return insn->mode & MODE_SSE_UD ? op_undefined : op_device_not_available;
	if ((entry->how & YMM) && (insn->mode & (MODE_AVX_UD | MODE_TS)))
		return insn->mode & MODE_AVX_UD ? op_undefined : op_device_not_available;
	if ((entry->how & X87) && (insn->mode & (MODE_EM | MODE_TS)))
		return op_device_not_available;
	return NULL;
}

static op_fn choose_handler(struct decoded_block *b, const struct insn *insn, struct op *op,
			    const struct insn_entry *entry)
{
	op_fn fn;

	if (!is_encoded(insn) || is_locked_cr_move(insn, op))
		return op_undefined;
	if (!is_known(entry) || !is_usable(insn))
		return lacking(insn, op);
	fn = refusal(insn, entry);
	if (fn)
		return fn;
	if (!fill_operands(b, insn, op, entry))
		return lacking(insn, op);
	if (entry->fn)
		return entry->fn;
	fn = entry->pick ? entry->pick(insn, op) : entry->pick_of(insn, op, entry->which);
	return fn ? fn : lacking(insn, op);
}

/* True if its handler does not go on to the next instruction. */
static bool never_completes(op_fn fn)
{
	return fn == op_undefined || fn == op_unimplemented || fn == op_lacking ||
	       fn == op_lacking_x87 || fn == op_device_not_available;
}

/* The encodings of two are others', with a prefix that says nothing, where they are not there. */
static const struct insn_entry *entry_of(struct insn *insn)
{
	ZydisMnemonic m = insn->info.mnemonic;

	if (is_usable(insn))
		return &insn_table[m];
	if (m == ZYDIS_MNEMONIC_TZCNT)
		m = ZYDIS_MNEMONIC_BSF;
	else if (m == ZYDIS_MNEMONIC_LZCNT)
		m = ZYDIS_MNEMONIC_BSR;
	else
		return &insn_table[m];
	insn->info.meta.isa_set = ZYDIS_ISA_SET_I386;
	return &insn_table[m];
}

/* True if the block ends after this instruction. */
static bool emit(struct decoded_block *b, struct insn *insn)
{
	const struct insn_entry *entry = entry_of(insn);
	struct op op = {
		.base = GPR_ZERO,
		.index = GPR_ZERO,
		.seg = SEG_DS,
		.length = insn->info.length & 15,
		.address_bytes = (insn->info.address_width / 8) & 15,
		.offset = (uint16_t)b->bytes,
		.ordinal = (uint8_t)b->n_instructions,
	};

	op.size = operand_bytes(insn, entry);
	fill_prefixes(insn, &op);
	fill_hidden_segment(insn, &op);
	op.fn = choose_handler(b, insn, &op, entry);

	b->ops[b->n_ops++] = op;
	b->n_instructions++;
	b->n_accesses += count_accesses(insn);
	b->costs += (entry->how >> COSTS_SHIFT) + (op.flags & OP_LOCK ? LOCK_COSTS : 0);
	b->bytes += insn->info.length;
	return (entry->how & ENDS) || never_completes(op.fn);
}

/* What Zydis refuses: the bytes that it has looked at, at most. */
static void emit_invalid(struct decoded_block *b, ZyanStatus status, unsigned int available)
{
	b->ops[b->n_ops++] = (struct op){
		.fn = status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG ? op_too_long : op_undefined,
		.base = GPR_ZERO,
		.index = GPR_ZERO,
		.length = 1,
	};
	b->n_instructions = 1;
	b->bytes = MIN(available, 15u);
}

static void emit_end(struct decoded_block *b)
{
	b->ops[b->n_ops++] = (struct op){
		.fn = op_block_end,
		.offset = (uint16_t)b->bytes,
		.ordinal = (uint8_t)b->n_instructions,
	};
}

void decode_block(const struct decoders *d, uint32_t mode, uint64_t usable, const uint8_t *code,
		  unsigned int available, struct decoded_block *b)
{
	const ZydisDecoder *z = &d->zydis[machine_mode(mode)];
	unsigned int max = mode & MODE_SINGLE ? 1 : BLOCK_MAX_INSTRUCTIONS;
	struct insn insn = { .mode = mode, .usable = usable };
	ZyanStatus status;

	b->n_ops = b->n_instructions = b->n_accesses = b->bytes = b->costs = 0;
	b->needs_more = false;
	while (b->n_instructions < max) {
		status = ZydisDecoderDecodeFull(z, code + b->bytes, available - b->bytes,
						&insn.info, insn.operands);
		if (ZYAN_FAILED(status)) {
			if (b->n_instructions)
				break;
			b->needs_more = status == ZYDIS_STATUS_NO_MORE_DATA;
			if (!b->needs_more)
				emit_invalid(b, status, available);
			return;
		}
		if (emit(b, &insn))
			return;
	}
	emit_end(b);
}
