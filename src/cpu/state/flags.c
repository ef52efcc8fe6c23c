/* SPDX-License-Identifier: MIT */
#include "cpu/state/flags.h"

#include "cpu/state/mode.h"

static uint32_t status_of_host(uint32_t host)
{
	return ((host >> 8) & (X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF |
			       X86_EFLAGS_SF)) |
	       (host & HOST_OF ? X86_EFLAGS_OF : 0);
}

static uint32_t flag(bool set, uint32_t bit)
{
	return set ? bit : 0;
}

/* What follows from the result alone. */
static uint32_t status_of_result(int64_t result)
{
	return flag(result == 0, X86_EFLAGS_ZF) | flag(result < 0, X86_EFLAGS_SF) |
	       flag(cc_low_parity((uint64_t)result), X86_EFLAGS_PF);
}

static int64_t truncate_to(uint32_t cc_op, uint64_t value)
{
	unsigned int unused = 64 - (8u << (cc_op & 3));

	return (int64_t)(value << unused) >> unused;
}

static uint32_t status_of_sub(uint32_t cc_op, uint64_t a, uint64_t b)
{
	int64_t result = truncate_to(cc_op, a - b);

	return status_of_result(result) | flag(a < b, X86_EFLAGS_CF) |
	       flag((a ^ b ^ (uint64_t)result) & 0x10, X86_EFLAGS_AF) |
	       flag((int64_t)((a ^ b) & (a ^ (uint64_t)result)) < 0, X86_EFLAGS_OF);
}

static uint32_t status_of_add(uint32_t cc_op, uint64_t sum, uint64_t b)
{
	uint64_t a = (uint64_t)truncate_to(cc_op, sum - b);

	return status_of_result((int64_t)sum) | flag(sum < b, X86_EFLAGS_CF) |
	       flag((a ^ b ^ sum) & 0x10, X86_EFLAGS_AF) |
	       flag((int64_t)((sum ^ a) & (sum ^ b)) < 0, X86_EFLAGS_OF);
}

static uint32_t status_of_inc(uint32_t cc_op, uint64_t result, bool carry)
{
	int64_t least = truncate_to(cc_op, 1ull << ((8u << (cc_op & 3)) - 1));

	return status_of_result((int64_t)result) | flag(carry, X86_EFLAGS_CF) |
	       flag((result & 0xf) == 0, X86_EFLAGS_AF) |
	       flag((int64_t)result == least, X86_EFLAGS_OF);
}

static uint32_t status_of_dec(uint32_t cc_op, uint64_t result, bool carry)
{
	int64_t most = ~truncate_to(cc_op, 1ull << ((8u << (cc_op & 3)) - 1));

	return status_of_result((int64_t)result) | flag(carry, X86_EFLAGS_CF) |
	       flag((result & 0xf) == 0xf, X86_EFLAGS_AF) |
	       flag((int64_t)result == most, X86_EFLAGS_OF);
}

uint32_t cc_status(const struct cpu *cpu)
{
	switch (cc_kind(cpu)) {
	case CC_FLAGS:
		break;
	case CC_HOST:
		return status_of_host((uint32_t)cpu->cc_dst);
	case CC_SUB:
		return status_of_sub(cpu->cc_op, cpu->cc_dst, cpu->cc_src);
	case CC_ADD:
		return status_of_add(cpu->cc_op, cpu->cc_dst, cpu->cc_src);
	case CC_INC:
		return status_of_inc(cpu->cc_op, cpu->cc_dst, cpu->cc_src);
	case CC_DEC:
		return status_of_dec(cpu->cc_op, cpu->cc_dst, cpu->cc_src);
	}
	return cpu->rflags & X86_EFLAGS_STATUS;
}

uint32_t cc_host(const struct cpu *cpu)
{
	uint32_t status;

	if (cc_kind(cpu) == CC_HOST)
		return cpu->cc_dst & HOST_STATUS;
	status = cc_status(cpu);
	return (status & 0xff) << 8 | flag(status & X86_EFLAGS_OF, HOST_OF);
}

bool cc_test(const struct cpu *cpu, unsigned int condition)
{
	uint32_t f = cc_status(cpu);
	bool less = !(f & X86_EFLAGS_SF) != !(f & X86_EFLAGS_OF);
	bool value = false;

	switch ((enum condition)(condition >> 1)) {
	case COND_O:
		value = f & X86_EFLAGS_OF;
		break;
	case COND_B:
		value = f & X86_EFLAGS_CF;
		break;
	case COND_E:
		value = f & X86_EFLAGS_ZF;
		break;
	case COND_BE:
		value = f & (X86_EFLAGS_CF | X86_EFLAGS_ZF);
		break;
	case COND_S:
		value = f & X86_EFLAGS_SF;
		break;
	case COND_P:
		value = f & X86_EFLAGS_PF;
		break;
	case COND_L:
		value = less;
		break;
	case COND_LE:
		value = less || (f & X86_EFLAGS_ZF);
		break;
	}
	return value != (condition & 1);
}

uint64_t cpu_get_rflags(struct cpu *cpu)
{
	uint64_t flags = (cpu->rflags & ~X86_EFLAGS_STATUS) | cc_status(cpu) | X86_EFLAGS_FIXED;

	return cpu->mmu.paging.ac ? flags | X86_EFLAGS_AC : flags;
}

void cpu_set_rflags(struct cpu *cpu, uint64_t rflags)
{
	cpu->rflags = (uint32_t)rflags & ~X86_EFLAGS_AC;
	cpu->cc_op = CC_OP(CC_FLAGS, 0);
	mode_set_ac(cpu, rflags & X86_EFLAGS_AC);
}
