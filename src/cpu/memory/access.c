/* SPDX-License-Identifier: MIT */
/*
 * cpu/memory/access.c - accesses that the TLB does not answer at once.
 *
 * Each is a span (mmu/guest/span.h).  If one of its pieces is lost, the instruction starts over.
 */
#include "cpu/memory/access.h"

#include "cpu/charge.h"
#include "cpu/event/raise.h"
#include "cpu/memory/mmio.h"
#include "cpu/state/debug.h"
#include "cpu/state/mode.h"
#include "mmu/translate.h"

bool mem_raise_verdict(struct cpu *cpu, enum mmu_verdict verdict, uint64_t gva, uint32_t error_code)
{
	switch (verdict) {
	case MMU_GUEST_FAULT:
		return raise_page_fault(cpu, gva, error_code);
	case MMU_OK:
	case MMU_RETRY:
		return raise_exit(cpu, CPU_EXIT_POLL);
	case MMU_RING_FULL:
		return raise_exit(cpu, CPU_EXIT_RING_FULL);
	case MMU_HOST_FAULT:
		return raise_exit(cpu, CPU_EXIT_EFAULT);
	case MMU_NO_MEMORY:
		return raise_exit(cpu, CPU_EXIT_ENOMEM);
	case MMU_MMIO:
	case MMU_BAD_TABLES:
		break;
	}
	return raise_exit(cpu, CPU_EXIT_INTERNAL_ERROR);
}

static bool is_flat_32bit(const struct cpu *cpu)
{
	return (cpu->mode & (MODE_FLAT | MODE_CODE_MASK)) == (MODE_FLAT | MODE_CODE_32);
}

static bool is_inside(const struct cpu *cpu, uint64_t gva, unsigned int bytes)
{
	uint64_t last = gva + bytes - 1;

	if (cpu_is_long_mode(cpu))
		return is_canonical(cpu, gva) && is_canonical(cpu, last);
	/* The end of a flat segment, whose limit the quick forms do not look at;
	 * elsewhere addresses wrap. */
	return !is_flat_32bit(cpu) || last <= 0xffffffff || gva > 0xffffffff;
}

/* What the MMU and the block have to know of a store before it is made. */
static bool note_stores(struct cpu *cpu, const struct span *s)
{
	for (unsigned int i = 0; i < s->n; i++) {
		const struct piece *p = &s->piece[i];

		cpu->stop |= p->was_code | p->tracked;
		if (p->tracked && !mmu_track_write(&cpu->mmu, p->gpa, p->bytes))
			return raise_exit(cpu, CPU_EXIT_POLL);
	}
	return true;
}

void mem_charge_span(struct cpu *cpu, const struct span *s)
{
	charge(cpu, s->n_walks * CHARGE_WALK + s->n_faults * CHARGE_FAULT);
}

static bool find_span(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes,
		      enum access access, struct span *s)
{
	enum mmu_verdict verdict;

	charge(cpu, CHARGE_SPAN);
	if (!is_inside(cpu, gva, bytes))
		return raise_with_code(cpu, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
	verdict = span_find(&cpu->mmu, gva_of(gva), bytes, access, s);
	mem_charge_span(cpu, s);
	if (verdict != MMU_OK)
		return mem_raise_verdict(cpu, verdict, s->piece[s->n - 1].gva.raw, s->error_code);
	return note_stores(cpu, s);
}

bool mem_lost(struct cpu *cpu, struct host_at at, unsigned int bytes)
{
	if (span_lost(&cpu->mmu, at, bytes))
		charge(cpu, CHARGE_FAULT);
	return false;
}

static bool load_span(struct cpu *cpu, const struct span *s, uint8_t *to)
{
	for (unsigned int i = 0; i < s->n; i++) {
		const struct piece *p = &s->piece[i];

		if (p->at.host && !span_load_piece(&cpu->mmu, p, to))
			return mem_lost(cpu, p->at, p->bytes);
		if (!p->at.host && !mmio_load(cpu, p->gpa, to, p->bytes))
			return false;
		to += p->bytes;
	}
	return true;
}

static bool load_slowly(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, void *to,
			unsigned int bytes)
{
	struct span s;

	return find_span(cpu, seg, gva, bytes, ACCESS_READ, &s) && load_span(cpu, &s, to);
}

/* Also if the access is then not made: what an abandoned instruction has hit is forgotten. */
static void note_access(struct cpu *cpu, uint64_t gva, unsigned int bytes, enum access access)
{
	if (unlikely(debug_watches_data(cpu)))
		debug_note_access(cpu, gva, bytes, access);
}

bool mem_load(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, void *to, unsigned int bytes)
{
	note_access(cpu, gva, bytes, ACCESS_READ);
	return load_slowly(cpu, seg, gva, to, bytes);
}

bool mem_load_to_modify(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, void *to,
			unsigned int bytes)
{
	struct span s;

	note_access(cpu, gva, bytes, ACCESS_READ);
	if (!find_span(cpu, seg, gva, bytes, ACCESS_WRITE, &s))
		return false;
	/* MMIO for a store may be memory for a load: a read-only slot. */
	if (s.mmio && !find_span(cpu, seg, gva, bytes, ACCESS_READ, &s))
		return false;
	return load_span(cpu, &s, to);
}

static bool store_slowly(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, const void *from,
			 unsigned int bytes)
{
	const uint8_t *at = from;
	const struct piece *absent;
	struct span s;

	if (!find_span(cpu, seg, gva, bytes, ACCESS_WRITE, &s))
		return false;
	absent = span_touch(&cpu->mmu, &s);
	if (absent)
		return mem_lost(cpu, absent->at, absent->bytes);
	for (unsigned int i = 0; i < s.n; i++) {
		const struct piece *p = &s.piece[i];

		if (p->at.host && !span_store_piece(&cpu->mmu, p, at))
			return mem_lost(cpu, p->at, p->bytes);
		if (!p->at.host && !mmio_store(cpu, p->gpa, at, p->bytes))
			return false;
		at += p->bytes;
	}
	return true;
}

bool mem_store(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, const void *from,
	       unsigned int bytes)
{
	note_access(cpu, gva, bytes, ACCESS_WRITE);
	return store_slowly(cpu, seg, gva, from, bytes);
}

bool mem_probe(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes,
	       enum access access)
{
	struct span s;

	return find_span(cpu, seg, gva, bytes, access, &s);
}

static bool read_slowly(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes,
			uint64_t *value)
{
	uint64_t v = 0;

	if (!mem_load(cpu, seg, gva, &v, bytes))
		return false;
	*value = v;
	return true;
}

bool mem_read(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes, uint64_t *value)
{
	uint32_t v32;
	uint16_t v16;
	uint8_t v8;

	switch (bytes) {
	case 1:
		if (unlikely(!load_hit8(cpu, gva, &v8)))
			break;
		*value = v8;
		return true;
	case 2:
		if (unlikely(!load_hit16(cpu, gva, &v16)))
			break;
		*value = v16;
		return true;
	case 4:
		if (unlikely(!load_hit32(cpu, gva, &v32)))
			break;
		*value = v32;
		return true;
	default:
		if (unlikely(!load_hit64(cpu, gva, value)))
			break;
		return true;
	}
	return read_slowly(cpu, seg, gva, bytes, value);
}

bool mem_read_to_modify(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes,
			uint64_t *value)
{
	uint64_t v = 0;

	if (likely(tlb_write(&cpu->mmu, gva_of(gva), bytes) != NULL))
		return mem_read(cpu, seg, gva, bytes, value);
	if (!mem_load_to_modify(cpu, seg, gva, &v, bytes))
		return false;
	*value = v;
	return true;
}

bool mem_write(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes, uint64_t value)
{
	bool ok;

	switch (bytes) {
	case 1:
		ok = store_hit8(cpu, gva, (uint8_t)value);
		break;
	case 2:
		ok = store_hit16(cpu, gva, (uint16_t)value);
		break;
	case 4:
		ok = store_hit32(cpu, gva, (uint32_t)value);
		break;
	default:
		ok = store_hit64(cpu, gva, value);
	}
	return likely(ok) || mem_store(cpu, seg, gva, &value, bytes);
}

bool sys_load(struct cpu *cpu, uint64_t gva, void *to, unsigned int bytes)
{
	struct implicit_access saved = mode_begin_implicit(cpu);
	bool ok = load_slowly(cpu, SEG_DS, gva, to, bytes);

	mode_end_implicit(cpu, saved);
	return ok;
}

bool sys_store(struct cpu *cpu, uint64_t gva, const void *from, unsigned int bytes)
{
	struct implicit_access saved = mode_begin_implicit(cpu);
	bool ok = store_slowly(cpu, SEG_DS, gva, from, bytes);

	mode_end_implicit(cpu, saved);
	return ok;
}

enum lock_way mem_lock(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes,
		       struct host_at *at)
{
	struct span s;

	if (unlikely((gva ^ (gva + bytes - 1)) & ~(uint64_t)(CACHE_LINE - 1)))
		charge(cpu, CHARGE_SPLIT_LOCK);
	*at = find_hit(cpu, gva, bytes, ACCESS_WRITE);
	if (likely(at->host != NULL))
		return LOCK_DIRECT;
	note_access(cpu, gva, bytes, ACCESS_WRITE);
	if (!find_span(cpu, seg, gva, bytes, ACCESS_WRITE, &s))
		return LOCK_FAILED;
	if (s.mmio || !span_is_contiguous(&s))
		return LOCK_PLAIN;
	*at = s.piece[0].at;
	return LOCK_DIRECT;
}
