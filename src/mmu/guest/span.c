/* SPDX-License-Identifier: MIT */
#include "mmu/guest/span.h"

#include <string.h>

#include "mmu/guest/x86.h"
#include "mmu/tlb/tlb.h"
#include "mmu/translate.h"

/* How often the epoch may change between the two translations of one access. */
#define MAX_TRIES 16

static bool is_stale(const struct mmu_vcpu *v, struct host_at at)
{
	return epoch_read(&v->epoch) != at.epoch;
}

static struct host_at find_hit(const struct mmu_vcpu *v, const struct piece *p, enum access access)
{
	struct host_at at = { .epoch = epoch_read(&v->epoch) };

	switch (access) {
	case ACCESS_READ:
		at.host = tlb_read(v, p->gva, p->bytes);
		break;
	case ACCESS_WRITE:
		at.host = tlb_write(v, p->gva, p->bytes);
		break;
	case ACCESS_EXEC:
		at.host = tlb_exec(v, p->gva);
		break;
	}
	return at;
}

/* @p is a piece of @s. */
static enum mmu_verdict find_piece(struct mmu_vcpu *v, struct span *s, struct piece *p,
				   enum access access)
{
	uint32_t entries = v->guest_entries;
	struct mmu_result r = { 0 };
	enum mmu_verdict verdict;

	p->tracked = false;
	p->at = find_hit(v, p, access);
	if (p->at.host)
		return MMU_OK;

	verdict = mmu_translate(v, p->gva, access, &r);
	if (v->guest_entries == entries)
		s->n_walks++;
	else
		s->n_faults++;
	p->gpa = r.gpa;
	s->error_code = r.error_code;
	if (verdict == MMU_OK) {
		p->at = (struct host_at){ r.host, r.epoch };
		p->tracked = r.tracked;
		/* A retry that hits the TLB is not told again. */
		p->was_code |= r.was_code;
	}
	if (verdict != MMU_MMIO)
		return verdict;
	s->mmio = true;
	return MMU_OK;
}

enum mmu_verdict span_find(struct mmu_vcpu *v, gva_t gva, unsigned int bytes, enum access access,
			   struct span *s)
{
	unsigned int first = span_bytes_in_page(gva.raw, bytes);
	gva_t second = gva_add(gva, first);
	enum mmu_verdict verdict;

	if (!(v->paging.efer & X86_EFER_LMA))
		second = gva_of(second.raw & 0xffffffff);
	*s = (struct span){ .piece = { { .gva = gva, .bytes = first },
				       { .gva = second, .bytes = bytes - first } } };

	for (int i = 0; i < MAX_TRIES; i++) {
		s->n = 1;
		s->mmio = false;
		verdict = find_piece(v, s, &s->piece[0], access);
		if (verdict != MMU_OK || first == bytes)
			return verdict;
		s->n = 2;
		verdict = find_piece(v, s, &s->piece[1], access);
		if (verdict != MMU_OK || !s->piece[0].at.host || !is_stale(v, s->piece[0].at))
			return verdict;
	}
	return MMU_RETRY;
}

bool span_load_piece(const struct mmu_vcpu *v, const struct piece *p, void *to)
{
	const struct epoch *e = &v->epoch;
	uint64_t epoch = p->at.epoch;
	const void *host = p->at.host;
	__m128i v128;
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	switch (p->bytes) {
	case 1:
		return window_load8(e, epoch, host, to);
	case 2:
		return window_load16(e, epoch, host, &v16) && memcpy(to, &v16, 2);
	case 4:
		return window_load32(e, epoch, host, &v32) && memcpy(to, &v32, 4);
	case 8:
		return window_load64(e, epoch, host, &v64) && memcpy(to, &v64, 8);
	case 16:
		return window_load128(e, epoch, host, &v128) && memcpy(to, &v128, 16);
	default:
		return window_copy(e, epoch, to, host, p->bytes);
	}
}

bool span_store_piece(const struct mmu_vcpu *v, const struct piece *p, const void *from)
{
	const struct epoch *e = &v->epoch;
	uint64_t epoch = p->at.epoch;
	void *host = p->at.host;
	__m128i v128;
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	switch (p->bytes) {
	case 1:
		return window_store8(e, epoch, host, *(const uint8_t *)from);
	case 2:
		memcpy(&v16, from, 2);
		return window_store16(e, epoch, host, v16);
	case 4:
		memcpy(&v32, from, 4);
		return window_store32(e, epoch, host, v32);
	case 8:
		memcpy(&v64, from, 8);
		return window_store64(e, epoch, host, v64);
	case 16:
		memcpy(&v128, from, 16);
		return window_store128(e, epoch, host, v128);
	default:
		return window_copy(e, epoch, host, from, p->bytes);
	}
}

const struct piece *span_touch(const struct mmu_vcpu *v, const struct span *s)
{
	for (unsigned int i = 0; s->n > 1 && i < s->n; i++) {
		struct host_at at = s->piece[i].at;

		if (at.host && !window_touch_write(&v->epoch, at.epoch, at.host))
			return &s->piece[i];
	}
	return NULL;
}

bool span_lost(struct mmu_vcpu *v, struct host_at at, unsigned int bytes)
{
	uint8_t *last = at.host + bytes - 1;

	if (is_stale(v, at))
		return false;
	mmu_access_faulted(v, at.host);
	if (((uintptr_t)at.host ^ (uintptr_t)last) & PAGE_MASK)
		mmu_access_faulted(v, last);
	return true;
}
