/* SPDX-License-Identifier: MIT */
#include "cpu/state/segment.h"

#include "cpu/charge.h"
#include "cpu/event/raise.h"
#include "cpu/memory/access.h"

const enum cpu_seg data_segs[N_DATA_SEGS] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

static struct segment unpack_descriptor(uint16_t selector, uint64_t raw)
{
	struct segment s = {
		.base = ((raw >> 16) & 0xffffff) | ((raw >> 56) & 0xff) << 24,
		.limit = (uint32_t)((raw & 0xffff) | ((raw >> 48) & 0xf) << 16),
		.selector = selector,
		.type = (raw >> 40) & 0xf,
		.s = (raw >> 44) & 1,
		.dpl = (raw >> 45) & 3,
		.present = (raw >> 47) & 1,
		.avl = (raw >> 52) & 1,
		.l = (raw >> 53) & 1,
		.db = (raw >> 54) & 1,
		.g = (raw >> 55) & 1,
	};

	if (s.g)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

/* Where the descriptor is; false if the table is too short, without a fault. */
static bool find_descriptor(const struct cpu *cpu, uint16_t selector, unsigned int bytes,
			    uint64_t *at)
{
	const struct segment *ldt = &cpu->segs[SEG_LDTR];
	uint64_t base = cpu->gdt.base;
	uint32_t limit = cpu->gdt.limit, offset = selector & ~7u;

	if (selector & SELECTOR_TI) {
		if (ldt->unusable || !ldt->present)
			return false;
		base = ldt->base;
		limit = ldt->limit;
	}
	*at = base + offset;
	return offset + bytes - 1 <= limit;
}

bool descriptor_look(struct cpu *cpu, uint16_t selector, struct descriptor *d, bool *found)
{
	charge(cpu, CHARGE_DESCRIPTOR);
	*found = find_descriptor(cpu, selector, 8, &d->at);
	if (!*found)
		return true;
	if (!sys_load(cpu, d->at, &d->raw, 8))
		return false;
	d->upper = 0;
	d->s = unpack_descriptor(selector, d->raw);
	return true;
}

bool descriptor_read(struct cpu *cpu, uint16_t selector, uint8_t vector, struct descriptor *d)
{
	bool found;

	if (!descriptor_look(cpu, selector, d, &found))
		return false;
	return found || raise_with_code(cpu, vector, selector_code(selector));
}

bool descriptor_read_upper(struct cpu *cpu, struct descriptor *d, uint16_t selector)
{
	uint64_t at;

	if (!find_descriptor(cpu, selector, 16, &at))
		return raise_gp(cpu, selector_code(selector));
	if (!sys_load(cpu, d->at + 8, &d->upper, 8))
		return false;
	d->s.base |= d->upper << 32;
	return true;
}

bool descriptor_set_accessed(struct cpu *cpu, struct descriptor *d)
{
	uint8_t access = (uint8_t)(d->raw >> 40) | 1;

	if (d->s.type & 1)
		return true;
	d->s.type |= 1;
	return sys_store(cpu, d->at + 5, &access, 1);
}

void segment_load_real(struct cpu *cpu, enum cpu_seg seg, uint16_t selector)
{
	/* Limit and attributes stay as they were. */
	cpu->segs[seg].selector = selector;
	cpu->segs[seg].base = (uint64_t)selector << 4;
	cpu->segs[seg].unusable = false;
	mode_update(cpu);
}

void segment_load_v86(struct cpu *cpu, enum cpu_seg seg, uint16_t selector)
{
	cpu->segs[seg] = (struct segment){
		.selector = selector, .base = (uint64_t)selector << 4, .limit = 0xffff,
		.type = 3, .s = true, .dpl = 3, .present = true,
	};
}

struct segment segment_null_stack(unsigned int level)
{
	return (struct segment){ .selector = (uint16_t)level, .dpl = (uint8_t)level,
				 .unusable = true };
}

bool segment_check_stack(struct cpu *cpu, uint16_t selector, unsigned int level, uint8_t vector,
			 struct segment *s)
{
	struct descriptor d;

	if (!descriptor_read(cpu, selector, vector, &d))
		return false;
	if ((selector & SELECTOR_RPL) != level || d.s.dpl != level || !segment_is_writable(&d.s))
		return raise_with_code(cpu, vector, selector_code(selector));
	if (!d.s.present)
		return raise_with_code(cpu, EXC_SS, selector_code(selector));
	if (!descriptor_set_accessed(cpu, &d))
		return false;
	*s = d.s;
	return true;
}

static bool load_stack(struct cpu *cpu, uint16_t selector)
{
	struct segment s;

	if (selector_is_null(selector)) {
		if (!mode_is_64bit(cpu) || cpl(cpu) == 3 || (selector & SELECTOR_RPL) != cpl(cpu))
			return raise_gp(cpu, 0);
		s = segment_null_stack(cpl(cpu));
	} else if (!segment_check_stack(cpu, selector, cpl(cpu), EXC_GP, &s)) {
		return false;
	}
	cpu->segs[SEG_SS] = s;
	return true;
}

static bool load_data(struct cpu *cpu, enum cpu_seg seg, uint16_t selector)
{
	struct descriptor d;

	if (selector_is_null(selector)) {
		cpu->segs[seg] = (struct segment){ .selector = selector, .unusable = true };
		return true;
	}
	if (!descriptor_read(cpu, selector, EXC_GP, &d))
		return false;
	if (!segment_is_readable(&d.s) ||
	    (!segment_is_conforming(&d.s) &&
	     d.s.dpl < MAX(cpl(cpu), selector & SELECTOR_RPL)))
		return raise_gp(cpu, selector_code(selector));
	if (!d.s.present)
		return raise_with_code(cpu, EXC_NP, selector_code(selector));
	if (!descriptor_set_accessed(cpu, &d))
		return false;
	cpu->segs[seg] = d.s;
	return true;
}

bool segment_load(struct cpu *cpu, enum cpu_seg seg, uint16_t selector)
{
	if (mode_is_real(cpu)) {
		segment_load_real(cpu, seg, selector);
		return true;
	}
	if (!(seg == SEG_SS ? load_stack(cpu, selector) : load_data(cpu, seg, selector)))
		return false;
	mode_update(cpu);
	return true;
}

/* The task state segment. */

static bool tss_load(struct cpu *cpu, unsigned int offset, void *to, unsigned int bytes)
{
	const struct segment *tr = &cpu->segs[SEG_TR];

	if (tr->unusable || !tr->present || offset + bytes - 1 > tr->limit)
		return raise_with_code(cpu, EXC_TS, selector_code(tr->selector));
	return sys_load(cpu, tr->base + offset, to, bytes);
}

static bool tss_is_16bit(const struct cpu *cpu)
{
	return !cpu_is_long_mode(cpu) && !(cpu->segs[SEG_TR].type & 8);
}

bool tss_stack(struct cpu *cpu, unsigned int level, uint16_t *ss, uint64_t *sp)
{
	uint32_t esp = 0;
	uint16_t sp16 = 0;

	if (cpu_is_long_mode(cpu)) {
		*ss = 0;
		return tss_load(cpu, 4 + 8 * level, sp, 8);
	}
	if (tss_is_16bit(cpu)) {
		if (!tss_load(cpu, 2 + 4 * level, &sp16, 2) ||
		    !tss_load(cpu, 4 + 4 * level, ss, 2))
			return false;
		*sp = sp16;
		return true;
	}
	if (!tss_load(cpu, 4 + 8 * level, &esp, 4) || !tss_load(cpu, 8 + 8 * level, ss, 2))
		return false;
	*sp = esp;
	return true;
}

bool tss_link(struct cpu *cpu, uint16_t *link)
{
	return tss_load(cpu, 0, link, sizeof(*link));
}

bool tss_ist(struct cpu *cpu, unsigned int ist, uint64_t *sp)
{
	return tss_load(cpu, 36 + 8 * (ist - 1), sp, 8);
}

bool tss_allows_io(struct cpu *cpu, uint16_t port, unsigned int bytes)
{
	const struct segment *tr = &cpu->segs[SEG_TR];
	uint16_t map = 0, bits = 0;
	unsigned int mask = ((1u << bytes) - 1) << (port & 7);

	if (!mode_is_v86(cpu) && cpl(cpu) <= iopl(cpu))
		return true;
	/* A map that lies beyond the limit, wholly or in part, forbids. */
	if (tr->unusable || !tr->present || tss_is_16bit(cpu) || tr->limit < 103)
		return raise_gp(cpu, 0);
	if (!sys_load(cpu, tr->base + 102, &map, 2))
		return false;
	if (map + port / 8 + 1u > tr->limit)
		return raise_gp(cpu, 0);
	if (!sys_load(cpu, tr->base + map + port / 8, &bits, 2))
		return false;
	return !(bits & mask) || raise_gp(cpu, 0);
}
