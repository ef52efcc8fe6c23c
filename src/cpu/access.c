/* SPDX-License-Identifier: MIT */
/*
 * cpu/access.c - accesses that the TLB does not answer at once.
 *
 * An access is a span of one or two pieces, each within a page.  All pieces are
 * translated before any is touched; if guest mode was left on the way, earlier
 * host addresses are void and the translation starts again.
 */
#include "cpu/access.h"

#include <string.h>

#include "cpu/guarded_wide.h"
#include "cpu/mmio.h"
#include "cpu/mode.h"
#include "cpu/raise.h"
#include "mmu/translate.h"

/* How often others may force us out of guest mode between two translations of
 * one access before they get their turn. */
#define MAX_TRIES 16

struct piece {
	uint8_t *host;		/* NULL: MMIO */
	gpa_t gpa;		/* of MMIO */
	unsigned int bytes;
};

struct span {
	struct piece piece[2];
	unsigned int n;
	bool mmio;		/* one of them is */
};

bool mem_raise_verdict(struct cpu *cpu, int verdict, gva_t gva, uint32_t error_code)
{
	switch ((enum mmu_verdict)verdict) {
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
	enum mmu_verdict verdict;
	struct mmu_result r;

	p->bytes = bytes;
	p->host = access == ACCESS_WRITE ? tlb_write(&cpu->mmu, gva, bytes) :
					   tlb_read(&cpu->mmu, gva, bytes);
	if (p->host)
		return true;

	verdict = mmu_translate(&cpu->mmu, gva, access, &r);
	if (verdict == MMU_OK) {
		p->host = r.host;
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
	uint32_t entries;

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
		entries = cpu->mmu.guest_entries;
		s->n = 1;
		s->mmio = !s->piece[0].host;
		if (first_bytes == bytes)
			return true;
		if (!find_piece(cpu, second, bytes - first_bytes, access, &s->piece[1]))
			return false;
		s->n = 2;
		s->mmio |= !s->piece[1].host;
		if (cpu->mmu.guest_entries == entries)
			return true;
	}
	return raise_exit(cpu, CPU_EXIT_POLL);
}

bool mem_lost(struct cpu *cpu, const void *host, unsigned int bytes)
{
	mmu_access_faulted(&cpu->mmu, host);
	mmu_access_faulted(&cpu->mmu, (const uint8_t *)host + bytes - 1);
	return false;
}

/* One access where the size has one. */
static bool copy_in(void *to, const void *host, unsigned int bytes)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;
	__m128i v128;

	switch (bytes) {
	case 1:
		return guarded_load8(host, to);
	case 2:
		return guarded_load16(host, &v16) && memcpy(to, &v16, 2);
	case 4:
		return guarded_load32(host, &v32) && memcpy(to, &v32, 4);
	case 8:
		return guarded_load64(host, &v64) && memcpy(to, &v64, 8);
	case 16:
		return guarded_load128(host, &v128) && memcpy(to, &v128, 16);
	default:
		return guarded_copy(to, host, bytes);
	}
}

static bool copy_out(void *host, const void *from, unsigned int bytes)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;
	__m128i v128;

	switch (bytes) {
	case 1:
		return guarded_store8(host, *(const uint8_t *)from);
	case 2:
		memcpy(&v16, from, 2);
		return guarded_store16(host, v16);
	case 4:
		memcpy(&v32, from, 4);
		return guarded_store32(host, v32);
	case 8:
		memcpy(&v64, from, 8);
		return guarded_store64(host, v64);
	case 16:
		memcpy(&v128, from, 16);
		return guarded_store128(host, v128);
	default:
		return guarded_copy(host, from, bytes);
	}
}

static bool load_span(struct cpu *cpu, const struct span *s, uint8_t *to)
{
	for (unsigned int i = 0; i < s->n; i++) {
		const struct piece *p = &s->piece[i];

		if (p->host && !copy_in(to, p->host, p->bytes))
			return mem_lost(cpu, p->host, p->bytes);
		if (!p->host && !mmio_load(cpu, p->gpa, to, p->bytes))
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
		uint8_t *host = s->piece[i].host;

		if (host && !guarded_touch_write(host))
			return mem_lost(cpu, host, 1);
	}
	return true;
}

bool mem_load(struct cpu *cpu, enum cpu_seg seg, gva_t gva, void *to, unsigned int bytes)
{
	struct span s;

	return find_span(cpu, seg, gva, bytes, ACCESS_READ, &s) && load_span(cpu, &s, to);
}

bool mem_load_to_modify(struct cpu *cpu, enum cpu_seg seg, gva_t gva, void *to,
			unsigned int bytes)
{
	struct span s;

	if (!find_span(cpu, seg, gva, bytes, ACCESS_WRITE, &s))
		return false;
	/* What is MMIO for a store may be memory for a load: a read-only slot. */
	if (s.mmio && !find_span(cpu, seg, gva, bytes, ACCESS_READ, &s))
		return false;
	return load_span(cpu, &s, to);
}

bool mem_store(struct cpu *cpu, enum cpu_seg seg, gva_t gva, const void *from, unsigned int bytes)
{
	const uint8_t *at = from;
	struct span s;

	if (!find_span(cpu, seg, gva, bytes, ACCESS_WRITE, &s) || !touch_span(cpu, &s))
		return false;
	for (unsigned int i = 0; i < s.n; i++) {
		const struct piece *p = &s.piece[i];

		if (p->host && !copy_out(p->host, at, p->bytes))
			return mem_lost(cpu, p->host, p->bytes);
		if (!p->host && !mmio_store(cpu, p->gpa, at, p->bytes))
			return false;
		at += p->bytes;
	}
	return true;
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
	const void *host = tlb_read(&cpu->mmu, gva, bytes);
	uint32_t v32;
	uint16_t v16;
	uint8_t v8;

	if (unlikely(!host))
		return read_slowly(cpu, seg, gva, bytes, value);
	switch (bytes) {
	case 1:
		if (unlikely(!guarded_load8(host, &v8)))
			return mem_lost(cpu, host, bytes);
		*value = v8;
		return true;
	case 2:
		if (unlikely(!guarded_load16(host, &v16)))
			return mem_lost(cpu, host, bytes);
		*value = v16;
		return true;
	case 4:
		if (unlikely(!guarded_load32(host, &v32)))
			return mem_lost(cpu, host, bytes);
		*value = v32;
		return true;
	default:
		return likely(guarded_load64(host, value)) || mem_lost(cpu, host, bytes);
	}
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
	void *host = tlb_write(&cpu->mmu, gva, bytes);
	bool ok;

	if (unlikely(!host))
		return mem_store(cpu, seg, gva, &value, bytes);
	switch (bytes) {
	case 1:
		ok = guarded_store8(host, (uint8_t)value);
		break;
	case 2:
		ok = guarded_store16(host, (uint16_t)value);
		break;
	case 4:
		ok = guarded_store32(host, (uint32_t)value);
		break;
	default:
		ok = guarded_store64(host, value);
	}
	return likely(ok) || mem_lost(cpu, host, bytes);
}

bool sys_load(struct cpu *cpu, gva_t gva, void *to, unsigned int bytes)
{
	struct implicit_access saved = mode_begin_implicit(cpu);
	bool ok = mem_load(cpu, SEG_DS, gva, to, bytes);

	mode_end_implicit(cpu, saved);
	return ok;
}

bool sys_store(struct cpu *cpu, gva_t gva, const void *from, unsigned int bytes)
{
	struct implicit_access saved = mode_begin_implicit(cpu);
	bool ok = mem_store(cpu, SEG_DS, gva, from, bytes);

	mode_end_implicit(cpu, saved);
	return ok;
}

enum lock_way mem_lock(struct cpu *cpu, enum cpu_seg seg, gva_t gva, unsigned int bytes,
		       void **host)
{
	struct span s;

	*host = tlb_write(&cpu->mmu, gva, bytes);
	if (likely(*host != NULL))
		return LOCK_DIRECT;
	if (!find_span(cpu, seg, gva, bytes, ACCESS_WRITE, &s))
		return LOCK_FAILED;
	if (s.mmio || (s.n == 2 && s.piece[1].host != s.piece[0].host + s.piece[0].bytes))
		return LOCK_PLAIN;
	*host = s.piece[0].host;
	return LOCK_DIRECT;
}
