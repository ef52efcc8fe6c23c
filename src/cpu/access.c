/* SPDX-License-Identifier: MIT */
/*
 * cpu/access.c - accesses that the TLB does not answer at once.
 *
 * An access is a span of one or two pieces, each within a page.  All pieces are
 * translated before any is touched; if the epoch has changed on the way, as guest
 * mode was left or a flush came, the translation starts again.  What becomes stale
 * after that is noticed by the windows of the accesses: the instruction starts again.
 */
#include "cpu/access.h"

#include <string.h>

#include "cpu/charge.h"
#include "cpu/debug.h"
#include "cpu/guarded_wide.h"
#include "cpu/mmio.h"
#include "cpu/mode.h"
#include "cpu/raise.h"
#include "mmu/translate.h"

/* How often others may force us out of guest mode between two translations of
 * one access before they get their turn. */
#define MAX_TRIES 16

struct piece {
	struct host_at at;	/* .host NULL: MMIO */
	gpa_t gpa;		/* of MMIO */
	unsigned int bytes;
};

struct span {
	struct piece piece[2];
	unsigned int n;
	bool mmio;		/* one of them is */
};

bool mem_raise_verdict(struct cpu *cpu, enum mmu_verdict verdict, gva_t gva, uint32_t error_code)
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

static bool find_piece(struct cpu *cpu, gva_t gva, unsigned int bytes, enum access access,
		       struct piece *p)
{
	uint32_t entries = cpu->mmu.guest_entries;
	enum mmu_verdict verdict;
	struct mmu_result r;

	p->bytes = bytes;
	p->at = find_hit(cpu, gva, bytes, access == ACCESS_WRITE);
	if (p->at.host)
		return true;

	verdict = mmu_translate(&cpu->mmu, gva, access, &r);
	charge(cpu, cpu->mmu.guest_entries == entries ? CHARGE_WALK : CHARGE_FAULT);
	if (verdict == MMU_OK) {
		p->at = (struct host_at){ r.host, r.epoch };
		cpu->stop |= r.was_code | r.tracked;
		if (r.tracked && !mmu_track_write(&cpu->mmu, r.gpa, bytes))
			return raise_exit(cpu, CPU_EXIT_POLL);
		return true;
	}
	if (verdict == MMU_MMIO) {
		p->gpa = r.gpa;
		return true;
	}
	return mem_raise_verdict(cpu, verdict, gva, r.error_code);
}

static bool is_stale(const struct cpu *cpu, struct host_at at)
{
	return epoch_read(&cpu->mmu.epoch) != at.epoch;
}

static bool is_flat_32bit(const struct cpu *cpu)
{
	return (cpu->mode & (MODE_FLAT | MODE_CODE_MASK)) == (MODE_FLAT | MODE_CODE_32);
}

static bool find_span(struct cpu *cpu, enum cpu_seg seg, gva_t gva, unsigned int bytes,
		      enum access access, struct span *s)
{
	bool is_long = cpu_is_long_mode(cpu);
	gva_t second = (gva | PAGE_OFFSET_MASK) + 1;
	unsigned int first_bytes = MIN(bytes, (unsigned int)(second - gva));

	charge(cpu, CHARGE_SPAN);
	if (is_long && (!is_canonical(cpu, gva) || !is_canonical(cpu, gva + bytes - 1)))
		return raise_with_code(cpu, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
	/* The end of a flat segment, whose limit the quick forms do not look at;
	 * elsewhere addresses wrap. */
	if (is_flat_32bit(cpu) && gva + bytes - 1 > 0xffffffff && gva <= 0xffffffff)
		return raise_with_code(cpu, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
	if (!is_long)
		second &= 0xffffffff;

	for (int i = 0; i < MAX_TRIES; i++) {
		if (!find_piece(cpu, gva, first_bytes, access, &s->piece[0]))
			return false;
		s->n = 1;
		s->mmio = !s->piece[0].at.host;
		if (first_bytes == bytes)
			return true;
		if (!find_piece(cpu, second, bytes - first_bytes, access, &s->piece[1]))
			return false;
		s->n = 2;
		s->mmio |= !s->piece[1].at.host;
		if (!s->piece[0].at.host || !is_stale(cpu, s->piece[0].at))
			return true;
	}
	return raise_exit(cpu, CPU_EXIT_POLL);
}

bool mem_lost(struct cpu *cpu, struct host_at at, unsigned int bytes)
{
	if (is_stale(cpu, at))
		return false;
	mmu_access_faulted(&cpu->mmu, at.host);
	mmu_access_faulted(&cpu->mmu, at.host + bytes - 1);
	charge(cpu, CHARGE_FAULT);
	return false;
}

/* One access where the size has one. */
static bool copy_in(const struct cpu *cpu, void *to, struct host_at at, unsigned int bytes)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;
	__m128i v128;

	switch (bytes) {
	case 1:
		return at_load8(cpu, at, to);
	case 2:
		return at_load16(cpu, at, &v16) && memcpy(to, &v16, 2);
	case 4:
		return at_load32(cpu, at, &v32) && memcpy(to, &v32, 4);
	case 8:
		return at_load64(cpu, at, &v64) && memcpy(to, &v64, 8);
	case 16:
		return at_load128(cpu, at, &v128) && memcpy(to, &v128, 16);
	default:
		return window_copy(&cpu->mmu.epoch, at.epoch, to, at.host, bytes);
	}
}

static bool copy_out(const struct cpu *cpu, struct host_at at, const void *from,
		     unsigned int bytes)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;
	__m128i v128;

	switch (bytes) {
	case 1:
		return at_store8(cpu, at, *(const uint8_t *)from);
	case 2:
		memcpy(&v16, from, 2);
		return at_store16(cpu, at, v16);
	case 4:
		memcpy(&v32, from, 4);
		return at_store32(cpu, at, v32);
	case 8:
		memcpy(&v64, from, 8);
		return at_store64(cpu, at, v64);
	case 16:
		memcpy(&v128, from, 16);
		return at_store128(cpu, at, v128);
	default:
		return window_copy(&cpu->mmu.epoch, at.epoch, at.host, from, bytes);
	}
}

static bool load_span(struct cpu *cpu, const struct span *s, uint8_t *to)
{
	for (unsigned int i = 0; i < s->n; i++) {
		const struct piece *p = &s->piece[i];

		if (p->at.host && !copy_in(cpu, to, p->at, p->bytes))
			return mem_lost(cpu, p->at, p->bytes);
		if (!p->at.host && !mmio_load(cpu, p->gpa, to, p->bytes))
			return false;
		to += p->bytes;
	}
	return true;
}

/* Before the first of two pieces is stored the second must be known to be there:
 * what has been stored cannot be taken back. */
static bool touch_span(struct cpu *cpu, const struct span *s)
{
	for (unsigned int i = 0; s->n > 1 && i < s->n; i++) {
		struct host_at at = s->piece[i].at;

		if (at.host && !window_touch_write(&cpu->mmu.epoch, at.epoch, at.host))
			return mem_lost(cpu, at, 1);
	}
	return true;
}

static bool load(struct cpu *cpu, enum cpu_seg seg, gva_t gva, void *to, unsigned int bytes)
{
	struct span s;

	return find_span(cpu, seg, gva, bytes, ACCESS_READ, &s) && load_span(cpu, &s, to);
}

/* Whether it comes to the access or not: what an instruction that is abandoned has hit
 * is forgotten. */
static void note_access(struct cpu *cpu, gva_t gva, unsigned int bytes, bool write)
{
	if (unlikely(debug_watches_data(cpu)))
		debug_note_access(cpu, gva, bytes, write);
}

bool mem_load(struct cpu *cpu, enum cpu_seg seg, gva_t gva, void *to, unsigned int bytes)
{
	note_access(cpu, gva, bytes, false);
	return load(cpu, seg, gva, to, bytes);
}

bool mem_load_to_modify(struct cpu *cpu, enum cpu_seg seg, gva_t gva, void *to,
			unsigned int bytes)
{
	struct span s;

	note_access(cpu, gva, bytes, false);
	if (!find_span(cpu, seg, gva, bytes, ACCESS_WRITE, &s))
		return false;
	/* What is MMIO for a store may be memory for a load: a read-only slot. */
	if (s.mmio && !find_span(cpu, seg, gva, bytes, ACCESS_READ, &s))
		return false;
	return load_span(cpu, &s, to);
}

static bool store(struct cpu *cpu, enum cpu_seg seg, gva_t gva, const void *from,
		  unsigned int bytes)
{
	const uint8_t *at = from;
	struct span s;

	if (!find_span(cpu, seg, gva, bytes, ACCESS_WRITE, &s) || !touch_span(cpu, &s))
		return false;
	for (unsigned int i = 0; i < s.n; i++) {
		const struct piece *p = &s.piece[i];

		if (p->at.host && !copy_out(cpu, p->at, at, p->bytes))
			return mem_lost(cpu, p->at, p->bytes);
		if (!p->at.host && !mmio_store(cpu, p->gpa, at, p->bytes))
			return false;
		at += p->bytes;
	}
	return true;
}

bool mem_store(struct cpu *cpu, enum cpu_seg seg, gva_t gva, const void *from, unsigned int bytes)
{
	note_access(cpu, gva, bytes, true);
	return store(cpu, seg, gva, from, bytes);
}

bool mem_probe(struct cpu *cpu, enum cpu_seg seg, gva_t gva, unsigned int bytes,
	       enum access access)
{
	struct span s;

	return find_span(cpu, seg, gva, bytes, access, &s);
}

static bool read_slowly(struct cpu *cpu, enum cpu_seg seg, gva_t gva, unsigned int bytes,
			uint64_t *value)
{
	uint64_t v = 0;

	if (!mem_load(cpu, seg, gva, &v, bytes))
		return false;
	*value = v;
	return true;
}

bool mem_read(struct cpu *cpu, enum cpu_seg seg, gva_t gva, unsigned int bytes, uint64_t *value)
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

bool mem_read_to_modify(struct cpu *cpu, enum cpu_seg seg, gva_t gva, unsigned int bytes,
			uint64_t *value)
{
	uint64_t v = 0;

	if (likely(tlb_write(&cpu->mmu, gva, bytes) != NULL))
		return mem_read(cpu, seg, gva, bytes, value);
	if (!mem_load_to_modify(cpu, seg, gva, &v, bytes))
		return false;
	*value = v;
	return true;
}

bool mem_write(struct cpu *cpu, enum cpu_seg seg, gva_t gva, unsigned int bytes, uint64_t value)
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

bool sys_load(struct cpu *cpu, gva_t gva, void *to, unsigned int bytes)
{
	struct implicit_access saved = mode_begin_implicit(cpu);
	bool ok = load(cpu, SEG_DS, gva, to, bytes);

	mode_end_implicit(cpu, saved);
	return ok;
}

bool sys_store(struct cpu *cpu, gva_t gva, const void *from, unsigned int bytes)
{
	struct implicit_access saved = mode_begin_implicit(cpu);
	bool ok = store(cpu, SEG_DS, gva, from, bytes);

	mode_end_implicit(cpu, saved);
	return ok;
}

enum lock_way mem_lock(struct cpu *cpu, enum cpu_seg seg, gva_t gva, unsigned int bytes,
		       struct host_at *at)
{
	struct span s;

	if (unlikely((gva ^ (gva + bytes - 1)) & ~(uint64_t)(CACHE_LINE - 1)))
		charge(cpu, CHARGE_SPLIT_LOCK);
	*at = find_hit(cpu, gva, bytes, true);
	if (likely(at->host != NULL))
		return LOCK_DIRECT;
	note_access(cpu, gva, bytes, true);
	if (!find_span(cpu, seg, gva, bytes, ACCESS_WRITE, &s))
		return LOCK_FAILED;
	if (s.mmio ||
	    (s.n == 2 && s.piece[1].at.host != s.piece[0].at.host + s.piece[0].bytes))
		return LOCK_PLAIN;
	*at = s.piece[0].at;
	return LOCK_DIRECT;
}
