/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/effects.c - see effects.h.
 *
 * Zydis's tables say which flags an instruction reads, writes and leaves undefined.
 * What depends on the operands is here: Intel's manual, volume 2, and AMD's, volume
 * 3, under each mnemonic; what either leaves open is open.
 */
#include "effects.h"

#include <Zydis/Zydis.h>

#include "cpu/cpu.h"

#define CF X86_EFLAGS_CF
#define AF X86_EFLAGS_AF
#define ZF X86_EFLAGS_ZF
#define SF X86_EFLAGS_SF
#define PF X86_EFLAGS_PF
#define OF X86_EFLAGS_OF
#define STATUS X86_EFLAGS_STATUS

_Static_assert(ZYDIS_CPUFLAG_CF == CF && ZYDIS_CPUFLAG_PF == PF && ZYDIS_CPUFLAG_AF == AF &&
	       ZYDIS_CPUFLAG_ZF == ZF && ZYDIS_CPUFLAG_SF == SF && ZYDIS_CPUFLAG_OF == OF,
	       "Zydis's flags are RFLAGS's");

#define UNKNOWN_COUNT (-1)

/* By how much a shift shifts, as the processor masks it. */
static int masked_count(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *count)
{
	int mask = insn->operand_width == 64 ? 63 : 31;

	if (count->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return UNKNOWN_COUNT;
	return (int)(count->imm.value.u & (unsigned int)mask);
}

/* A count of 0 leaves every flag alone; OF is defined for a count of 1 only. */
static void set_rotate(struct effects *e, int count)
{
	e->defines = count > 0 ? CF | (count == 1 ? OF : 0) : 0;
	e->undefined = count == 0 || count == 1 ? 0 : OF;
}

static void set_shift(struct effects *e, int count, bool cf_open)
{
	if (count == 0) {
		e->defines = e->undefined = 0;
		return;
	}
	e->undefined = AF | (count == 1 ? 0 : OF) | (cf_open ? CF : 0);
	e->defines = count == UNKNOWN_COUNT ? 0 : STATUS & ~e->undefined;
}

/* What has left the operand by a count of its size or more is in CF on some only. */
static bool shifts_all_out(int count, unsigned int bits)
{
	return bits < 32 && (count == UNKNOWN_COUNT || count >= (int)bits);
}

static int number_of(ZydisRegister reg)
{
	return ZydisRegisterGetId(reg);
}

static void look_closer(struct effects *e, const ZydisDecodedInstruction *insn,
			const ZydisDecodedOperand *op)
{
	bool repeated = insn->attributes & (ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
	int count;

	switch (insn->mnemonic) {
	case ZYDIS_MNEMONIC_ROL:
	case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_RCL:
	case ZYDIS_MNEMONIC_RCR:
		set_rotate(e, masked_count(insn, &op[1]));
		break;
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
		count = masked_count(insn, &op[1]);
		set_shift(e, count, shifts_all_out(count, op[0].size));
		break;
	case ZYDIS_MNEMONIC_SAR:
		set_shift(e, masked_count(insn, &op[1]), false);
		break;
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
		count = masked_count(insn, &op[2]);
		set_shift(e, count, false);
		e->result_open = op[0].size == 16 && (count == UNKNOWN_COUNT || count > 16);
		break;
	case ZYDIS_MNEMONIC_FCOMI:
	case ZYDIS_MNEMONIC_FCOMIP:
	case ZYDIS_MNEMONIC_FUCOMI:
	case ZYDIS_MNEMONIC_FUCOMIP:
		/* Not with an exception that is not masked. */
		e->defines = 0;
		break;
	case ZYDIS_MNEMONIC_BSF:
	case ZYDIS_MNEMONIC_BSR:
		e->open_if_zf = number_of(op[0].reg.value);
		break;
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		e->any_element = true;
		break;
	case ZYDIS_MNEMONIC_BSWAP:
		e->result_open = op[0].size == 16;
		break;
	case ZYDIS_MNEMONIC_DIV:
	case ZYDIS_MNEMONIC_IDIV:
	case ZYDIS_MNEMONIC_AAM:
		e->fault_flags_open = true;
		break;
	case ZYDIS_MNEMONIC_CMPSB:
	case ZYDIS_MNEMONIC_CMPSW:
	case ZYDIS_MNEMONIC_CMPSD:
	case ZYDIS_MNEMONIC_CMPSQ:
	case ZYDIS_MNEMONIC_SCASB:
	case ZYDIS_MNEMONIC_SCASW:
	case ZYDIS_MNEMONIC_SCASD:
	case ZYDIS_MNEMONIC_SCASQ:
		/* None of them runs, or one in the middle faults. */
		if (repeated) {
			e->defines = 0;
			e->fault_flags_open = true;
		}
		break;
	default:
		break;
	}
}

struct effects effects_of(bool is_32bit, const uint8_t *code, size_t bytes)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	struct effects e = { .open_if_zf = -1 };
	ZydisDecodedInstruction insn;
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder,
			 is_32bit ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32 : ZYDIS_MACHINE_MODE_LONG_64,
			 is_32bit ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_64);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, bytes, &insn, operands)))
		return e;
	e.bytes = insn.length;
	if (insn.cpu_flags) {
		e.reads = insn.cpu_flags->tested & STATUS;
		e.undefined = insn.cpu_flags->undefined & STATUS;
		e.defines = (insn.cpu_flags->modified | insn.cpu_flags->set_0 |
			     insn.cpu_flags->set_1) & STATUS & ~e.undefined;
	}
	for (unsigned int i = 0; i < insn.operand_count; i++)
		e.mmx |= operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			 ZydisRegisterGetClass(operands[i].reg.value) == ZYDIS_REGCLASS_MMX;
	look_closer(&e, &insn, operands);
	return e;
}
