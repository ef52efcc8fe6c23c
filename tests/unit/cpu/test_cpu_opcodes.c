/* SPDX-License-Identifier: MIT */
/*
 * Every opcode there is, in every mode and at both levels: each is executed or
 * raises an exception, none is more than the interpreter knows, and what is executed
 * changes no register but those that the decoder names.
 */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

#include "code.h"
#include "cpu/state/cpuid.h"

enum setting { LONG, LONG_USER, PROTECTED, PROTECTED_USER, PROTECTED_16, REAL, N_SETTINGS };
static const char *const setting_name[] = { "long", "long, user", "protected",
					    "protected, user", "16-bit protected", "real" };

/* What stands before an opcode; each byte string ends with 0.  Those with REX are the
 * last. */
static const uint8_t prefixes[][4] = {
	{ 0 }, { 0x66 }, { 0xf3 }, { 0xf2 }, { 0xf0 }, { 0x48 }, { 0x66, 0x48 }, { 0xf3, 0x48 },
	{ 0xf2, 0x48 },
};
#define N_WITHOUT_REX 5u
static const uint8_t maps[][3] = { { 0 }, { 0x0f }, { 0x0f, 0x38 }, { 0x0f, 0x3a } };

/* The state that a setting begins with; its tables stay in memory. */
static struct {
	struct segment segs[N_SEGS];
	struct descriptor_table gdt, idt;
	struct paging paging;
	uint64_t rip, rsp;
} begin;
static ZydisDecoder decoder;
static uint8_t xmm_byte(unsigned int reg, unsigned int i)
{
	return (uint8_t)(reg * 16 + i + 1);
}


static const ZydisMachineMode machine_mode[] = {
	ZYDIS_MACHINE_MODE_LONG_64,   ZYDIS_MACHINE_MODE_LONG_64,   ZYDIS_MACHINE_MODE_LEGACY_32,
	ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_REAL_16,
};
static const ZydisStackWidth stack_width[] = {
	ZYDIS_STACK_WIDTH_64, ZYDIS_STACK_WIDTH_64, ZYDIS_STACK_WIDTH_32,
	ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_16,
};

static void set_up(struct machine *m, enum setting setting)
{
	struct cpu *cpu = m->cpu;

	cpu_reset(cpu);
	switch (setting) {
	case LONG:
	case LONG_USER:
		machine_set_long(m, cpu, setting == LONG_USER);
		break;
	case REAL:
		machine_set_real(m, cpu);
		break;
	default:
		machine_set_protected(m, cpu, true, setting == PROTECTED_USER);
	}
	if (setting == PROTECTED_16) {
		cpu->segs[SEG_CS].db = false;
		cpu_state_changed(cpu);
	}
	memcpy(begin.segs, cpu->segs, sizeof(begin.segs));
	begin.gdt = cpu->gdt;
	begin.idt = cpu->idt;
	begin.paging = cpu->mmu.paging;
	begin.rip = cpu->rip;
	begin.rsp = cpu->r[GPR_RSP];
	ZydisDecoderInit(&decoder, machine_mode[setting], stack_width[setting]);
}

static void place(struct machine *m)
{
	struct cpu *cpu = m->cpu;

	memcpy(cpu->segs, begin.segs, sizeof(begin.segs));
	cpu->gdt = begin.gdt;
	cpu->idt = begin.idt;
	cpu->mmu.paging = begin.paging;
	for (unsigned int i = 0; i < N_GPRS; i++)
		cpu->r[i] = MACHINE_DATA + 0x800;
	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int at = 0; at < 16; at++)
			cpu->xmm[i].u8[at] = xmm_byte(i, at);
	cpu->rip = begin.rip;
	cpu->r[GPR_RSP] = begin.rsp;
	cpu->event.pending = false;
	cpu->io.pending = cpu->mmio.pending = false;
	cpu->interrupt_shadow = false;
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED);
	cpu_state_changed(cpu);
}

static unsigned int append(uint8_t *code, unsigned int n, const uint8_t *bytes, unsigned int max)
{
	for (unsigned int i = 0; i < max && bytes[i]; i++)
		code[n++] = bytes[i];
	return n;
}

/* The general and the XMM registers that an instruction may write, a bit for each. */
struct written {
	uint32_t gprs, xmms;
};

static struct written registers_written(const ZydisDecodedInstruction *insn,
					const ZydisDecodedOperand *operands)
{
	struct written w = { 0, 0 };

	for (unsigned int i = 0; i < insn->operand_count; i++) {
		const ZydisDecodedOperand *o = &operands[i];
		ZydisRegister reg = o->reg.value, whole;

		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER ||
		    !(o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
		if (ZydisRegisterGetClass(whole) == ZYDIS_REGCLASS_GPR64)
			w.gprs |= 1u << ZydisRegisterGetId(whole);
		if (ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_XMM ||
		    ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_YMM)
			w.xmms |= 1u << ZydisRegisterGetId(reg);
	}
	return w;
}

/* Zydis does not say that these write what they write. */
static bool is_excused(const ZydisDecodedInstruction *insn)
{
	static const ZydisMnemonic excused[] = {
		ZYDIS_MNEMONIC_FXRSTOR, ZYDIS_MNEMONIC_FXRSTOR64, ZYDIS_MNEMONIC_CMPSB,
		ZYDIS_MNEMONIC_CMPSW,	ZYDIS_MNEMONIC_CMPSD,	  ZYDIS_MNEMONIC_CMPSQ,
		ZYDIS_MNEMONIC_SCASB,	ZYDIS_MNEMONIC_SCASW,	  ZYDIS_MNEMONIC_SCASD,
		ZYDIS_MNEMONIC_SCASQ,
	};

	for (size_t i = 0; i < ARRAY_SIZE(excused); i++)
		if (insn->mnemonic == excused[i])
			return true;
	return false;
}

/* Returns whether all others are as place() has made them. */
static bool others_are_unchanged(const struct cpu *cpu, const ZydisDecodedInstruction *insn,
				 const ZydisDecodedOperand *operands)
{
	struct written w = registers_written(insn, operands);

	for (unsigned int i = 0; i < N_GPRS; i++)
		if (!(w.gprs >> i & 1) &&
		    cpu->r[i] != (i == GPR_RSP ? begin.rsp : MACHINE_DATA + 0x800))
			return false;
	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int at = 0; at < 16; at++)
			if (!(w.xmms >> i & 1) && cpu->xmm[i].u8[at] != xmm_byte(i, at))
				return false;
	return true;
}

static void report(enum setting setting, const uint8_t *code, unsigned int n, const char *what)
{
	fprintf(stderr, "%s:", setting_name[setting]);
	for (unsigned int i = 0; i < n; i++)
		fprintf(stderr, " %02x", code[i]);
	fprintf(stderr, ": %s\n", what);
	fail();
}

/* One instruction, or the beginning of one; HLTs follow it. */
static void try(struct machine *m, enum setting setting, const uint8_t *code, unsigned int n)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	struct cpu *cpu = m->cpu;
	enum cpu_exit exit;
	bool known;

	known = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, n, &insn, operands));
	if (known)
		n = insn.length;
	memset(m->memory + MACHINE_CODE, 0xf4, 32);
	memcpy(m->memory + MACHINE_CODE, code, n);
	place(m);
	exit = cpu_run(cpu, 1);
	if (exit == CPU_EXIT_INTERNAL_ERROR)
		report(setting, code, n, "not implemented");
	if (known && exit == CPU_EXIT_HLT && cpu->rip == begin.rip + n + 1 && !is_excused(&insn) &&
	    !others_are_unchanged(cpu, &insn, operands))
		report(setting, code, n, "writes another register");
}

/* Forms in which every ModRM byte may be an instruction of its own. */
static bool is_crowded(const uint8_t *map, unsigned int opcode)
{
	if (!map[0])
		return opcode >= 0xd8 && opcode <= 0xdf;
	return map[0] == 0x0f && !map[1] &&
	       (opcode == 0x00 || opcode == 0x01 || opcode == 0xae || opcode == 0xc7 ||
		opcode == 0x1e || opcode == 0xa6 || opcode == 0xa7);
}

static void try_opcode(struct machine *m, enum setting setting, const uint8_t *prefix,
		       const uint8_t *map, unsigned int opcode)
{
	unsigned int step = is_crowded(map, opcode) ? 1 : 8, n, at;
	uint8_t code[16];

	n = append(code, 0, prefix, 4);
	n = append(code, n, map, 3);
	code[n++] = (uint8_t)opcode;
	at = n;
	/* Registers, and memory at (rBX); a small displacement and an immediate. */
	for (unsigned int modrm = 3; modrm < 256; modrm += step) {
		if ((modrm & 0xc0) != 0 && (modrm & 0xc0) != 0xc0)
			continue;
		code[at] = (uint8_t)modrm;
		memset(code + at + 1, 0, 4);
		try(m, setting, code, at + 5);
	}
}

static void nothing_is_unknown(void **state)
{
	struct machine *m = *state;

	for (unsigned int s = 0; s < N_SETTINGS; s++) {
		size_t n = s <= LONG_USER ? ARRAY_SIZE(prefixes) : N_WITHOUT_REX;

		set_up(m, (enum setting)s);
		for (size_t p = 0; p < n; p++)
			for (size_t map = 0; map < ARRAY_SIZE(maps); map++)
				for (unsigned int opcode = 0; opcode < 256; opcode++)
					try_opcode(m, (enum setting)s, prefixes[p], maps[map],
						   opcode);
	}
}

/* 3DNow! has its opcode behind the operands. */
static void nothing_of_3dnow_is_unknown(void **state)
{
	struct machine *m = *state;
	uint8_t code[4] = { 0x0f, 0x0f, 0xc1, 0 };

	for (unsigned int s = 0; s < N_SETTINGS; s++) {
		set_up(m, (enum setting)s);
		for (unsigned int opcode = 0; opcode < 256; opcode++) {
			code[3] = (uint8_t)opcode;
			try(m, (enum setting)s, code, sizeof(code));
		}
	}
}

/* Each opcode behind VEX, of each length, where AVX is switched on. */
static void nothing_of_vex_is_unknown(void **state)
{
	struct machine *m = *state;
	uint8_t code[16] = { 0xc4 };

	if (!cpuid_has(m->cpu, FEATURE_AVX)) {
		print_message("the host does not have it\n");
		skip();
	}
	set_up(m, LONG);
	begin.paging.cr4 |= X86_CR4_OSXSAVE;
	m->cpu->xcr0 = cpuid_xcr0_offered();
	for (unsigned int i = 0; i < 3 * 16 * 256; i++) {
		code[1] = (uint8_t)(0xe1 + i / 4096);
		/* W, the register 1, L and the prefix. */
		code[2] = (uint8_t)((i & 8) << 4 | 0x70 | (i & 7));
		code[3] = (uint8_t)(i >> 4);
		for (unsigned int modrm = 3; modrm < 256; modrm += 8) {
			if ((modrm & 0xc0) != 0 && (modrm & 0xc0) != 0xc0)
				continue;
			code[4] = (uint8_t)modrm;
			try(m, LONG, code, 10);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(nothing_is_unknown),
		machine_test(nothing_of_3dnow_is_unknown),
		machine_test(nothing_of_vex_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
