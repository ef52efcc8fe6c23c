/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/bits/bits.c - single bits, bit scans, double shifts, ADCX/ADOX; and the locked
 * exchanges that compare or add.
 */
#include "cpu/event/raise.h"
#include "cpu/insn/alu.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/locked.h"
#include "cpu/insn/operand.h"
#include "cpu/memory/access.h"
#include "cpu/memory/address.h"
#include "cpu/memory/guarded_wide.h"

/* BT, BTS, BTR, BTC. */
enum bit_action { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

static uint64_t bit_apply(enum bit_action action, uint64_t v, uint64_t bit)
{
	switch (action) {
	case BIT_TEST:
		break;
	case BIT_SET:
		return v | bit;
	case BIT_RESET:
		return v & ~bit;
	case BIT_COMPLEMENT:
		return v ^ bit;
	}
	return v;
}

/* Only CF changes. */
static void set_carry(struct cpu *cpu, bool carry)
{
	cc_set_host(cpu, (cc_host(cpu) & ~HOST_CF) | (carry ? HOST_CF : 0));
}

static bool bit_locked(struct cpu *cpu, const struct op *op, enum bit_action action, uint64_t ea,
		       uint64_t bit, uint64_t *before)
{
	uint64_t v, seen;
	struct host_at at;

	switch (mem_lock(cpu, op->seg, ea, op->size, &at)) {
	case LOCK_FAILED:
		return false;
	case LOCK_PLAIN:
		return mem_read_to_modify(cpu, op->seg, ea, op->size, before) &&
		       mem_write(cpu, op->seg, ea, op->size, bit_apply(action, *before, bit));
	case LOCK_DIRECT:
		break;
	}
	/* The compare-and-swap reads as well: the first guess may be wrong. */
	for (v = 0;; v = seen) {
		seen = v;
		if (!locked_cmpxchg(cpu, at, op->size, &seen, bit_apply(action, v, bit)))
			return mem_lost(cpu, at, op->size);
		if (seen == v)
			break;
	}
	*before = v;
	return true;
}

static bool bit_in_memory(struct cpu *cpu, const struct op *op, enum bit_action action, uint64_t ea,
			  uint64_t bit)
{
	uint64_t v;

	if (action == BIT_TEST) {
		if (!mem_read(cpu, op->seg, ea, op->size, &v))
			return false;
	} else if (op->flags & OP_LOCK) {
		if (!bit_locked(cpu, op, action, ea, bit, &v))
			return false;
	} else if (!mem_read_to_modify(cpu, op->seg, ea, op->size, &v) ||
		   !mem_write(cpu, op->seg, ea, op->size, bit_apply(action, v, bit))) {
		return false;
	}
	set_carry(cpu, v & bit);
	return true;
}

static bool bit_operation(struct cpu *cpu, const struct op *op, enum bit_action action)
{
	unsigned int bits = op->size * 8u;
	int64_t number = op->imm, where;
	uint64_t bit, v, ea;

	if (!(op->flags & OP_IMM_SRC))
		number = (int64_t)(get_reg(cpu, op->src, op->size) << (64 - bits)) >> (64 - bits);
	bit = 1ull << ((uint64_t)number & (bits - 1));
	if (!(op->flags & OP_MEM_DST)) {
		v = get_reg(cpu, op->dst, op->size);
		set_carry(cpu, v & bit);
		if (action != BIT_TEST)
			set_reg(cpu, op->dst, op->size, bit_apply(action, v, bit));
		return true;
	}
	/* A register may name a bit far away from the operand. */
	where = op->disp;
	if (!(op->flags & OP_IMM_SRC))
		where += (number >> __builtin_ctz(bits)) * op->size;
	if (!address_linear(cpu, op->seg, address_offset(cpu, op, where), op->size,
			    action == BIT_TEST ? ACCESS_READ : ACCESS_WRITE, &ea))
		return false;
	return bit_in_memory(cpu, op, action, ea, bit);
}

OP(bt)
{
	return bit_operation(cpu, op, BIT_TEST);
}

OP(bts)
{
	return bit_operation(cpu, op, BIT_SET);
}

OP(btr)
{
	return bit_operation(cpu, op, BIT_RESET);
}

OP(btc)
{
	return bit_operation(cpu, op, BIT_COMPLEMENT);
}

/*
 * BSF, BSR.  Of zero the result is undefined by the book and is the old value
 * in fact; the host's instruction decides.
 */
#define DEFINE_SCAN(name)                                                              \
	OP(name)                                                                       \
	{                                                                              \
		uint64_t v, d = get_reg64(cpu, op->dst);                               \
		uint32_t host = cc_host(cpu);                                          \
										       \
		if (!operand_src(cpu, op, &v))                                         \
			return false;                                                  \
		if (op->size == 2)                                                     \
			__asm__(HOST_FLAGS_IN #name "w %w[v], %w[d]" HOST_FLAGS_OUT    \
				: "+&a"(host), [d] "+r"(d) : [v] "r"(v) : "cc");       \
		else if (op->size == 4)                                                \
			__asm__(HOST_FLAGS_IN #name "l %k[v], %k[d]" HOST_FLAGS_OUT    \
				: "+&a"(host), [d] "+r"(d) : [v] "r"(v) : "cc");       \
		else                                                                   \
			__asm__(HOST_FLAGS_IN #name "q %q[v], %q[d]" HOST_FLAGS_OUT    \
				: "+&a"(host), [d] "+r"(d) : [v] "r"(v) : "cc");       \
		set_reg64(cpu, op->dst, d);                                            \
		cc_set_host(cpu, host);                                                \
		return true;                                                           \
	}

DEFINE_SCAN(bsf)
DEFINE_SCAN(bsr)

/* TZCNT, LZCNT and POPCNT need not be there on the host. */
static void set_count(struct cpu *cpu, const struct op *op, unsigned int n, bool source_is_zero)
{
	uint32_t status = 0;

	if (source_is_zero)
		status |= X86_EFLAGS_CF;
	if (n == 0)
		status |= X86_EFLAGS_ZF;
	set_reg(cpu, op->dst, op->size, n);
	cc_set_status(cpu, status);
}

OP(tzcnt)
{
	uint64_t v;

	if (!operand_src(cpu, op, &v))
		return false;
	set_count(cpu, op, v ? (unsigned int)__builtin_ctzll(v) : op->size * 8u, !v);
	return true;
}

OP(lzcnt)
{
	unsigned int unused = 64 - op->size * 8u;
	uint64_t v;

	if (!operand_src(cpu, op, &v))
		return false;
	set_count(cpu, op, (v ? (unsigned int)__builtin_clzll(v) : 64) - unused, !v);
	return true;
}

OP(popcnt)
{
	uint64_t v;

	if (!operand_src(cpu, op, &v))
		return false;
	set_reg(cpu, op->dst, op->size, (unsigned int)__builtin_popcountll(v));
	cc_set_status(cpu, v ? 0 : X86_EFLAGS_ZF);
	return true;
}

/* RDRAND, RDSEED: the host's.  Without a number CF is clear. */
#define DEFINE_RANDOM(name)                                                     \
	OP(name)                                                                \
	{                                                                       \
		uint64_t v;                                                     \
		bool ok;                                                        \
										\
		__asm__ __volatile__(#name " %0" : "=r"(v), "=@ccc"(ok));       \
		set_reg(cpu, op->dst, op->size, ok ? v : 0);                    \
		cc_set_status(cpu, ok ? X86_EFLAGS_CF : 0);                     \
		return true;                                                    \
	}
DEFINE_RANDOM(rdrand)
DEFINE_RANDOM(rdseed)

/* SHLD, SHRD: the count is in imm, or in CL if that is negative. */
#define DOUBLE_SHIFT(name, s, m)                                            \
	__asm__(name s " %%cl, %" m "[b], %" m "[a]" HOST_FLAGS_OUT         \
		: "=&a"(host), [a] "+r"(a) : [b] "r"(b), "c"(count) : "cc")

#define DEFINE_DOUBLE_SHIFT(name)                                                           \
	OP(name)                                                                            \
	{                                                                                   \
		uint64_t a, b = get_reg(cpu, op->src, op->size);                            \
		uint8_t count = op->imm < 0 ? (uint8_t)cpu->r[GPR_RCX] : (uint8_t)op->imm;  \
		uint32_t host;                                                              \
											    \
		count &= op->size == 8 ? 63 : 31;                                           \
		if (!operand_modify(cpu, op, &a))                                           \
			return false;                                                       \
		if (!count)                                                                 \
			return operand_write(cpu, op, a);                                   \
		if (op->size == 2)                                                          \
			DOUBLE_SHIFT(#name, "w", "w");                                      \
		else if (op->size == 4)                                                     \
			DOUBLE_SHIFT(#name, "l", "k");                                      \
		else                                                                        \
			DOUBLE_SHIFT(#name, "q", "q");                                      \
		if (!operand_write(cpu, op, a))                                             \
			return false;                                                       \
		cc_set_host(cpu, host);                                                     \
		return true;                                                                \
	}

DEFINE_DOUBLE_SHIFT(shld)
DEFINE_DOUBLE_SHIFT(shrd)

op_fn pick_double_shift(const struct insn *insn, struct op *op, unsigned int which)
{
	if (decode_is_reg(insn, 2))
		op->imm = -1;
	else
		op->imm &= 0xff;
	return which == PICK_double_shift_right ? op_shrd : op_shld;
}

/* ADCX and ADOX: an addition with its own carry flag, which is all it changes. */
static bool add_with(struct cpu *cpu, const struct op *op, uint32_t flag)
{
	uint32_t host = cc_host(cpu);
	uint64_t a = get_reg(cpu, op->dst, op->size), b;
	unsigned __int128 sum;

	if (!operand_src(cpu, op, &b))
		return false;
	sum = (unsigned __int128)a + b + !!(host & flag);
	set_reg(cpu, op->dst, op->size, (uint64_t)sum);
	host &= ~flag;
	if (sum >> (8 * op->size))
		host |= flag;
	cc_set_host(cpu, host);
	return true;
}

OP(adcx)
{
	return add_with(cpu, op, HOST_CF);
}

OP(adox)
{
	return add_with(cpu, op, HOST_OF);
}

#define DEFINE_SIZED(name)                                                                    \
	static struct alu name##_sized(const struct cpu *cpu, unsigned int bytes, uint64_t a, \
				       uint64_t b)                                            \
	{                                                                                     \
		switch (bytes) {                                                              \
		case 1:                                                                       \
			return alu_##name##8(cpu, (uint8_t)a, (uint8_t)b);                    \
		case 2:                                                                       \
			return alu_##name##16(cpu, (uint16_t)a, (uint16_t)b);                 \
		case 4:                                                                       \
			return alu_##name##32(cpu, (uint32_t)a, (uint32_t)b);                 \
		default:                                                                      \
			return alu_##name##64(cpu, a, b);                                     \
		}                                                                             \
	}
DEFINE_SIZED(add)
DEFINE_SIZED(cmp)

OP(xadd)
{
	uint64_t a, b = get_reg(cpu, op->src, op->size), ea;
	struct alu x;
	struct host_at at;

	if ((op->flags & (OP_MEM_DST | OP_LOCK)) == (OP_MEM_DST | OP_LOCK)) {
		ea = op_ea(cpu, op);
		switch (mem_lock(cpu, op->seg, ea, op->size, &at)) {
		case LOCK_FAILED:
			return false;
		case LOCK_DIRECT:
			a = b;
			if (!locked_xadd(cpu, at, op->size, &a))
				return mem_lost(cpu, at, op->size);
			x = add_sized(cpu, op->size, a, b);
			goto done;
		case LOCK_PLAIN:
			break;
		}
	}
	if (!operand_modify(cpu, op, &a))
		return false;
	x = add_sized(cpu, op->size, a, b);
	if (op->flags & OP_MEM_DST) {
		if (!operand_write(cpu, op, x.value))
			return false;
	}
done:
	set_reg(cpu, op->src, op->size, a);
	if (!(op->flags & OP_MEM_DST))
		set_reg(cpu, op->dst, op->size, x.value);
	alu_commit(cpu, x);
	return true;
}

/* The accumulator of CMPXCHG becomes what was there, unless it was that. */
static void finish_cmpxchg(struct cpu *cpu, const struct op *op, uint64_t expected, uint64_t seen)
{
	if (seen != expected)
		set_reg(cpu, GPR_AT(GPR_RAX), op->size, seen);
	alu_commit(cpu, cmp_sized(cpu, op->size, expected, seen));
}

OP(cmpxchg)
{
	uint64_t expected = get_reg(cpu, GPR_AT(GPR_RAX), op->size), seen, ea;
	uint64_t new = get_reg(cpu, op->src, op->size);
	struct host_at at;

	if ((op->flags & (OP_MEM_DST | OP_LOCK)) == (OP_MEM_DST | OP_LOCK)) {
		ea = op_ea(cpu, op);
		switch (mem_lock(cpu, op->seg, ea, op->size, &at)) {
		case LOCK_FAILED:
			return false;
		case LOCK_DIRECT:
			seen = expected;
			if (!locked_cmpxchg(cpu, at, op->size, &seen, new))
				return mem_lost(cpu, at, op->size);
			finish_cmpxchg(cpu, op, expected, seen);
			return true;
		case LOCK_PLAIN:
			break;
		}
	}
	if (!operand_modify(cpu, op, &seen))
		return false;
	/* Memory is written either way; a register only by what is new. */
	if (op->flags & OP_MEM_DST) {
		if (!operand_write(cpu, op, seen == expected ? new : seen))
			return false;
	} else if (seen == expected) {
		set_reg(cpu, op->dst, op->size, new);
	}
	finish_cmpxchg(cpu, op, expected, seen);
	return true;
}

static void set_zero_flag(struct cpu *cpu, bool zero)
{
	cc_set_host(cpu, (cc_host(cpu) & ~HOST_ZF) | (zero ? HOST_ZF : 0));
}

/* Compares and exchanges two registers' worth; size is that of both together. */
static bool exchange_double(struct cpu *cpu, const struct op *op, uint64_t seen[2],
			    const uint64_t new[2])
{
	uint64_t ea = op_ea(cpu, op), expected[2] = { seen[0], seen[1] };
	bool equal;
	struct host_at at;

	switch (mem_lock(cpu, op->seg, ea, op->size, &at)) {
	case LOCK_FAILED:
		return false;
	case LOCK_DIRECT:
		if (op->size == 16 ? at_cmpxchg128(cpu, at, seen, new) :
				     at_cmpxchg64(cpu, at, seen, new[0]))
			return true;
		return mem_lost(cpu, at, op->size);
	case LOCK_PLAIN:
		break;
	}
	if (!mem_load_to_modify(cpu, op->seg, ea, seen, op->size))
		return false;
	equal = seen[0] == expected[0] && seen[1] == expected[1];
	return mem_store(cpu, op->seg, ea, equal ? new : seen, op->size);
}

OP(cmpxchg8b)
{
	uint64_t expected = (cpu->r[GPR_RDX] << 32) | (uint32_t)cpu->r[GPR_RAX];
	uint64_t new[2] = { (cpu->r[GPR_RCX] << 32) | (uint32_t)cpu->r[GPR_RBX], 0 };
	uint64_t seen[2] = { expected, 0 };

	if (!exchange_double(cpu, op, seen, new))
		return false;
	if (seen[0] != expected) {
		cpu->r[GPR_RAX] = (uint32_t)seen[0];
		cpu->r[GPR_RDX] = seen[0] >> 32;
	}
	set_zero_flag(cpu, seen[0] == expected);
	return true;
}

OP(cmpxchg16b)
{
	uint64_t expected[2] = { cpu->r[GPR_RAX], cpu->r[GPR_RDX] };
	uint64_t new[2] = { cpu->r[GPR_RBX], cpu->r[GPR_RCX] };
	uint64_t seen[2] = { expected[0], expected[1] };
	bool equal;

	if (op_ea(cpu, op) & 15)
		return raise_gp(cpu, 0);
	if (!exchange_double(cpu, op, seen, new))
		return false;
	equal = seen[0] == expected[0] && seen[1] == expected[1];
	if (!equal) {
		cpu->r[GPR_RAX] = seen[0];
		cpu->r[GPR_RDX] = seen[1];
	}
	set_zero_flag(cpu, equal);
	return true;
}
