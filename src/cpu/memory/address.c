/* SPDX-License-Identifier: MIT */
#include "cpu/memory/address.h"

#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"

static bool refuse(struct cpu *cpu, enum cpu_seg seg)
{
	return raise_with_code(cpu, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

static bool is_expand_down(const struct segment *s)
{
	return s->s && (s->type & 0xc) == 4;
}

static bool within_limit(const struct segment *s, uint64_t offset, unsigned int bytes)
{
	uint64_t last = offset + bytes - 1;

	if (is_expand_down(s))
		return offset > s->limit && last <= (s->db ? 0xffffffffu : 0xffffu);
	return last <= s->limit;
}

static bool type_allows(const struct segment *s, enum access access)
{
	bool code = s->type & 8, read_write = s->type & 2;

	return access == ACCESS_WRITE ? !code && read_write : !code || read_write;
}

bool address_linear(struct cpu *cpu, enum cpu_seg seg, uint64_t offset, unsigned int bytes,
		    enum access access, uint64_t *linear)
{
	const struct segment *s = &cpu->segs[seg];

	if (mode_is_64bit(cpu)) {
		*linear = offset + (seg == SEG_FS || seg == SEG_GS ? s->base : 0);
		return true;
	}
	if (!mode_is_real(cpu) && (s->unusable || !s->present || !type_allows(s, access)))
		return refuse(cpu, seg);
	if (!within_limit(s, offset, bytes))
		return refuse(cpu, seg);
	*linear = (s->base + offset) & 0xffffffff;
	return true;
}

/*
 * Works out an address that the quick form cannot: other widths, segments with a
 * base or a limit, displacements of more than 32 bits.  It precedes the op that
 * uses it; the displacement is in imm, and disp is how many bytes are accessed.
 */
void op_address(struct cpu *cpu, const struct op *op)
{
	uint64_t offset = address_offset(cpu, op, op->imm), linear;
	const struct segment *s = &cpu->segs[op->seg];

	if (op->flags & OP_LONG) {
		linear = offset + (op->seg == SEG_FS || op->seg == SEG_GS ? s->base : 0);
	} else if (mode_is_real(cpu) && offset + (uint32_t)op->disp - 1 <= s->limit) {
		linear = (s->base + offset) & 0xffffffff;
	} else {
		if (!address_linear(cpu, op->seg, offset, (uint32_t)op->disp,
				    op->flags & OP_WRITES ? ACCESS_WRITE : ACCESS_READ,
				    &cpu->r[GPR_EA]))
			TAIL_CALL(op_abandon(cpu, op));
		NEXT_OP(cpu, op);
	}
	cpu->r[GPR_EA] = linear;
	NEXT_OP(cpu, op);
}
