/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/avx/masked.c - loads and stores of some elements, whose mask has its top bit, and
 * gathers.  Elements that are not wanted are not accessed, and cannot fault.
 *
 * dst is the number of the register with the data, src that of the mask; imm the bytes of an
 * element, and above them those of an index.
 */
#include "cpu/event/raise.h"
#include "cpu/insn/avx/ymm.h"
#include "cpu/insn/insn.h"
#include "cpu/memory/address.h"

static bool is_wanted(const struct ymm *mask, unsigned int i, unsigned int bytes)
{
	return ((const uint8_t *)mask)[(i + 1) * bytes - 1] & 0x80;
}

static void *element(struct ymm *v, unsigned int i, unsigned int bytes)
{
	return (uint8_t *)v + i * bytes;
}

static bool element_at(struct cpu *cpu, const struct op *op, unsigned int i, enum access access,
		       uint64_t *ea)
{
	unsigned int bytes = (unsigned int)op->imm;
	int64_t disp = op->disp + (int64_t)(i * bytes);

	return address_linear(cpu, op->seg, address_offset(cpu, op, disp), bytes, access, ea);
}

OP(masked_load)
{
	unsigned int bytes = (unsigned int)op->imm;
	struct ymm mask, v = { 0 };
	uint64_t ea, value;

	ymm_get(cpu, op->src, &mask);
	for (unsigned int i = 0; i < op->size / bytes; i++) {
		if (!is_wanted(&mask, i, bytes))
			continue;
		if (!element_at(cpu, op, i, ACCESS_READ, &ea) ||
		    !mem_read(cpu, op->seg, ea, bytes, &value))
			return false;
		memcpy(element(&v, i, bytes), &value, bytes);
	}
	ymm_set(cpu, op->dst, &v);
	return true;
}

/* First all of them are looked at: if one cannot be stored, none is. */
OP(masked_store)
{
	unsigned int bytes = (unsigned int)op->imm, n = op->size / bytes;
	struct ymm mask, v;
	uint64_t ea[8], value;

	ymm_get(cpu, op->src, &mask);
	ymm_get(cpu, op->dst, &v);
	for (unsigned int i = 0; i < n; i++)
		if (is_wanted(&mask, i, bytes) &&
		    (!element_at(cpu, op, i, ACCESS_WRITE, &ea[i]) ||
		     !mem_probe(cpu, op->seg, ea[i], bytes, ACCESS_WRITE)))
			return false;
	for (unsigned int i = 0; i < n; i++) {
		if (!is_wanted(&mask, i, bytes))
			continue;
		memcpy(&value, element(&v, i, bytes), bytes);
		if (!mem_write(cpu, op->seg, ea[i], bytes, value))
			return false;
	}
	return true;
}

op_fn pick_masked(const struct insn *insn, struct op *op, unsigned int bytes)
{
	bool store = op->flags & OP_MEM_DST;
	unsigned int data = store ? 2 : 0;

	op->dst = (uint8_t)ZydisRegisterGetId(insn->operands[data].reg.value);
	op->src = (uint8_t)ZydisRegisterGetId(insn->operands[1].reg.value);
	op->size = insn->info.avx.vector_length / 8;
	op->imm = bytes;
	return store ? op_masked_store : op_masked_load;
}

/* --- gathers ---------------------------------------------------------------------------- */

static bool indexed_at(struct cpu *cpu, const struct op *op, const struct ymm *index,
		       unsigned int i, uint64_t *ea)
{
	unsigned int bytes = (unsigned int)op->imm & 15, index_bytes = (unsigned int)op->imm >> 4;
	const uint8_t *at = (const uint8_t *)index + i * index_bytes;
	uint64_t offset;
	int32_t narrow;

	memcpy(&offset, at, sizeof(offset));
	memcpy(&narrow, at, sizeof(narrow));
	if (index_bytes == 4)
		offset = (uint64_t)(int64_t)narrow;
	offset = (cpu->r[op->base] + (offset << op->scale) + (uint64_t)(int64_t)op->disp) &
		 width_mask(op->address_bytes);
	return address_linear(cpu, op->seg, offset, bytes, ACCESS_READ, ea);
}

/*
 * A fault leaves the elements gathered so far, and the mask says which are still missing.  If the
 * instruction is only restarted, it changes nothing: an element may come from a device, whose
 * loads are recognised by their place among those of the instruction.
 */
OP(gather)
{
	unsigned int bytes = (unsigned int)op->imm & 15, index_bytes = (unsigned int)op->imm >> 4;
	unsigned int n = op->size / MAX(bytes, index_bytes);
	struct {
		struct ymm index;
		uint8_t after[8];	/* an index is loaded as 8 bytes */
	} from = { 0 };
	struct ymm mask, v, none = { 0 };
	uint64_t ea, value;

	ymm_get(cpu, op->index, &from.index);
	ymm_get(cpu, op->src, &mask);
	ymm_get(cpu, op->dst, &v);
	for (unsigned int i = 0; i < n; i++) {
		if (!is_wanted(&mask, i, bytes))
			continue;
		if (!indexed_at(cpu, op, &from.index, i, &ea) ||
		    !mem_read(cpu, op->seg, ea, bytes, &value)) {
			if (cpu->fault.pending) {
				ymm_set(cpu, op->dst, &v);
				ymm_set(cpu, op->src, &mask);
			}
			return false;
		}
		memcpy(element(&v, i, bytes), &value, bytes);
		memset(element(&mask, i, bytes), 0, bytes);
	}
	memset(element(&v, n, bytes), 0, sizeof(v) - n * bytes);
	ymm_set(cpu, op->dst, &v);
	ymm_set(cpu, op->src, &none);
	return true;
}

op_fn pick_gather(const struct insn *insn, struct op *op, unsigned int which)
{
	op->dst = (uint8_t)ZydisRegisterGetId(insn->operands[0].reg.value);
	op->src = (uint8_t)ZydisRegisterGetId(insn->operands[2].reg.value);
	op->size = insn->info.avx.vector_length / 8;
	op->imm = which;
	return op_gather;
}
