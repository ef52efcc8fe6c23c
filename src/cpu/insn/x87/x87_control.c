/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/x87/x87_control.c - control and status words, and the environment as the older
 * instructions save it.  SDM 1 8.1.10, figures 8-9 to 8-12.
 */
#include <string.h>

#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/insn/x87/x87.h"
#include "cpu/memory/access.h"
#include "cpu/state/mode.h"

#define REGISTER_BYTES 10u
#define ENV_MAX_BYTES 28u
#define STATE_MAX_BYTES (ENV_MAX_BYTES + 8 * REGISTER_BYTES)

OP(fninit)
{
	x87_retire(cpu);
	x87_reset(&cpu->x87);
	return true;
}

OP(fnclex)
{
	x87_retire(cpu);
	cpu->x87.fsw &= (uint16_t)~(X87_FLAGS | X87_SF | X87_ES | X87_B);
	return true;
}

/* What other processors of the family once had, and this one takes for nothing. */
OP(x87_nothing)
{
	return true;
}

OP(fwait)
{
	uint64_t both = X86_CR0_MP | X86_CR0_TS;

	if ((cpu->mmu.paging.cr0 & both) == both)
		return raise_exception(cpu, EXC_NM);
	return x87_check_pending(cpu);
}

OP(fnstcw)
{
	return mem_write(cpu, op->seg, op_ea(cpu, op), 2, cpu->x87.fcw);
}

OP(fldcw)
{
	uint64_t fcw;

	if (!x87_check_pending(cpu) || !mem_read(cpu, op->seg, op_ea(cpu, op), 2, &fcw))
		return false;
	if (cpu->x87_live && (fcw & X87_FLAGS) == X87_FLAGS) {
		uint16_t value = (uint16_t)fcw;

		__asm__ __volatile__("fldcw %1\n\tfnstcw %0" : "=m"(cpu->x87.fcw) : "m"(value));
		return true;
	}
	x87_retire(cpu);
	cpu->x87.fcw = (uint16_t)fcw;
	x87_settle(&cpu->x87);
	return true;
}

OP(fnstsw)
{
	uint16_t fsw = cpu->x87.fsw;

	if (cpu->x87_live)
		__asm__ __volatile__("fnstsw %0" : "=a"(fsw));
	if (op->flags & OP_MEM_DST)
		return mem_write(cpu, op->seg, op_ea(cpu, op), 2, fsw);
	set_reg16(cpu, GPR_AT(GPR_RAX), fsw);
	return true;
}

/* --- the tag word, which is computed from what is in the registers ------------------ */

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

static unsigned int tag_of(const union xmm *st)
{
	unsigned int exponent = st->u16[4] & 0x7fff;

	if (!exponent && !st->u64[0])
		return TAG_ZERO;
	return exponent && exponent != 0x7fff && st->u64[0] >> 63 ? TAG_VALID : TAG_SPECIAL;
}

static uint16_t full_tags(const struct x87 *x)
{
	unsigned int tags = 0, tag;

	for (unsigned int i = 0; i < 8; i++) {
		tag = x->ftw >> i & 1 ? tag_of(&x->st[(i - x87_top(x->fsw)) & 7]) : TAG_EMPTY;
		tags |= tag << (2 * i);
	}
	return (uint16_t)tags;
}

static uint8_t short_tags(uint16_t tags)
{
	unsigned int in_use = 0;

	for (unsigned int i = 0; i < 8; i++)
		in_use |= (unsigned int)((tags >> (2 * i) & 3) != TAG_EMPTY) << i;
	return (uint8_t)in_use;
}

/* --- the environment: seven fields of 2 or 4 bytes ------------------------------------ */

enum { ENV_FCW, ENV_FSW, ENV_TAGS, ENV_FIP, ENV_FCS_FOP, ENV_FDP, ENV_FDS, N_ENV };

static void make_env(const struct cpu *cpu, uint32_t env[N_ENV])
{
	const struct x87 *x = &cpu->x87;
	uint32_t fip = (uint32_t)x->fip, fdp = (uint32_t)x->fdp;

	env[ENV_FCW] = 0xffff0000 | x->fcw;
	env[ENV_FSW] = 0xffff0000 | x->fsw;
	env[ENV_TAGS] = 0xffff0000 | full_tags(x);
	env[ENV_FIP] = fip;
	env[ENV_FCS_FOP] = (uint32_t)x->fop << 16;
	env[ENV_FDP] = fdp;
	env[ENV_FDS] = 0xffff0000;
	if (!mode_is_real(cpu))
		return;
	/* Linear addresses: of 32 bits, or of what is left of them in 16-bit fields. */
	env[ENV_FIP] = fip & 0xffff;
	env[ENV_FCS_FOP] = (fip >> 16 << 12) | x->fop;
	env[ENV_FDP] = fdp & 0xffff;
	env[ENV_FDS] = fdp >> 16 << 12;
}

static unsigned int put_env(const struct cpu *cpu, unsigned int field, uint8_t *to)
{
	uint32_t env[N_ENV];

	make_env(cpu, env);
	for (unsigned int i = 0; i < N_ENV; i++)
		memcpy(to + i * field, &env[i], field);
	return N_ENV * field;
}

static void take_env(struct cpu *cpu, unsigned int field, const uint8_t *from)
{
	struct x87 *x = &cpu->x87;
	uint32_t env[N_ENV] = { 0 };

	for (unsigned int i = 0; i < N_ENV; i++)
		memcpy(&env[i], from + i * field, field);
	x->fcw = (uint16_t)env[ENV_FCW];
	x87_turn(x, (uint16_t)env[ENV_FSW]);
	x->ftw = short_tags((uint16_t)env[ENV_TAGS]);
	x->fip = env[ENV_FIP];
	x->fdp = env[ENV_FDP];
	x->fop = field == 4 ? (uint16_t)(env[ENV_FCS_FOP] >> 16) : 0;
	if (mode_is_real(cpu)) {
		x->fop = (uint16_t)env[ENV_FCS_FOP];
		x->fip = (x->fip & 0xffff) | (env[ENV_FCS_FOP] >> 12 & 0xffff) << 16;
		x->fdp = (x->fdp & 0xffff) | (env[ENV_FDS] >> 12 & 0xffff) << 16;
	}
	x87_settle(x);
}

/* 16-bit fields are 14 bytes in all, and 94 with the registers. */
static unsigned int field_bytes(const struct op *op)
{
	return op->size % 4 ? 2 : 4;
}

OP(fnstenv)
{
	uint8_t image[ENV_MAX_BYTES];
	unsigned int n;

	x87_retire(cpu);
	n = put_env(cpu, field_bytes(op), image);
	if (!mem_store(cpu, op->seg, op_ea(cpu, op), image, n))
		return false;
	cpu->x87.fcw |= X87_FLAGS;
	x87_settle(&cpu->x87);
	return true;
}

OP(fldenv)
{
	unsigned int field = field_bytes(op);
	uint8_t image[ENV_MAX_BYTES];

	if (!x87_check_pending(cpu) ||
	    !mem_load(cpu, op->seg, op_ea(cpu, op), image, N_ENV * field))
		return false;
	x87_retire(cpu);
	take_env(cpu, field, image);
	return true;
}

OP(fnsave)
{
	uint8_t image[STATE_MAX_BYTES];
	unsigned int n;

	x87_retire(cpu);
	n = put_env(cpu, field_bytes(op), image);
	for (unsigned int i = 0; i < 8; i++, n += REGISTER_BYTES)
		memcpy(image + n, cpu->x87.st[i].u8, REGISTER_BYTES);
	if (!mem_store(cpu, op->seg, op_ea(cpu, op), image, n))
		return false;
	x87_reset(&cpu->x87);
	return true;
}

OP(frstor)
{
	unsigned int field = field_bytes(op), n = N_ENV * field;
	uint8_t image[STATE_MAX_BYTES];

	if (!x87_check_pending(cpu) ||
	    !mem_load(cpu, op->seg, op_ea(cpu, op), image, n + 8 * REGISTER_BYTES))
		return false;
	x87_retire(cpu);
	take_env(cpu, field, image);
	for (unsigned int i = 0; i < 8; i++, n += REGISTER_BYTES)
		memcpy(cpu->x87.st[i].u8, image + n, REGISTER_BYTES);
	return true;
}
