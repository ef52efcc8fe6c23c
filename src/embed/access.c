/* SPDX-License-Identifier: MIT */
/*
 * embed/access.c - <umbra/mmu.h>: accesses that missed the TLB, or cross a page boundary.
 *
 * An access is one piece, or two if it crosses one.  Both are translated before either is
 * touched; a translation that becomes stale before its piece is touched is caught by the window
 * of the access (sync/window.h), and everything starts over.
 */
#include <string.h>

#include "embed/embed.h"
#include "mmu/request.h"
#include "mmu/tlb.h"
#include "mmu/translate.h"
#include "mmu/x86.h"

/* Lost races before the thread lets others run. */
#define MAX_TRIES 16

_Static_assert((int)UMBRA_OK == MMU_OK && (int)UMBRA_GUEST_FAULT == MMU_GUEST_FAULT &&
		       (int)UMBRA_MMIO == MMU_MMIO && (int)UMBRA_RETRY == MMU_RETRY &&
		       (int)UMBRA_RING_FULL == MMU_RING_FULL &&
		       (int)UMBRA_HOST_FAULT == MMU_HOST_FAULT &&
		       (int)UMBRA_NO_MEMORY == MMU_NO_MEMORY &&
		       (int)UMBRA_BAD_TABLES == MMU_BAD_TABLES,
	       "a result is a verdict, or more");
_Static_assert((int)UMBRA_READ == ACCESS_READ && (int)UMBRA_WRITE == ACCESS_WRITE &&
		       (int)UMBRA_EXEC == ACCESS_EXEC,
	       "the public names are ours");
_Static_assert((int)UMBRA_PF_PRESENT == PFERR_PRESENT && (int)UMBRA_PF_WRITE == PFERR_WRITE &&
		       (int)UMBRA_PF_USER == PFERR_USER && (int)UMBRA_PF_RSVD == PFERR_RSVD &&
		       (int)UMBRA_PF_FETCH == PFERR_FETCH && (int)UMBRA_PF_PK == PFERR_PK,
	       "the error code is the processor's");

struct piece {
	uint8_t *host;
	uint64_t epoch;		/* for which that is true */
	gva_t gva;
	gpa_t gpa;		/* if tracked or was_code */
	unsigned int bytes;
	bool tracked, was_code;
};

struct span {
	struct piece piece[2];
	unsigned int n;
};

const struct umbra_fault *umbra_vcpu_fault(const struct umbra_vcpu *v)
{
	return &api_vcpu_of(v)->fault;
}

static bool is_long_mode(const struct paging *p)
{
	return p->efer & X86_EFER_LMA;
}

static bool is_address(const struct paging *p, gva_t gva)
{
	unsigned int shift = p->cr4 & X86_CR4_LA57 ? 64 - 57 : 64 - 48;

	if (!is_long_mode(p))
		return gva <= 0xffffffff;
	return (uint64_t)((int64_t)(gva << shift) >> shift) == gva;
}

static enum umbra_result translate(struct api_vcpu *a, gva_t gva, enum access access,
				   struct mmu_result *r)
{
	enum umbra_result result = UMBRA_BAD_ADDRESS;

	*r = (struct mmu_result){ 0 };
	if (is_address(&a->mmu.paging, gva))
		result = (enum umbra_result)mmu_translate(&a->mmu, gva, access, r);
	if (result != UMBRA_OK)
		a->fault = (struct umbra_fault){
			.gva = gva,
			.gpa = r->gpa,
			.error_code = r->error_code,
			.access = (enum umbra_access)access,
		};
	return result;
}

static void *look_up(const struct mmu_vcpu *v, gva_t gva, unsigned int bytes, enum access access)
{
	switch (access) {
	case ACCESS_READ:
		return tlb_read(v, gva, bytes);
	case ACCESS_WRITE:
		return tlb_write(v, gva, bytes);
	case ACCESS_EXEC:
		break;
	}
	return tlb_exec(v, gva);
}

static enum umbra_result find_piece(struct api_vcpu *a, gva_t gva, unsigned int bytes,
				    enum access access, struct piece *p)
{
	enum umbra_result result;
	struct mmu_result r;

	api_drop_pointer(a);
	*p = (struct piece){ .gva = gva, .bytes = bytes, .epoch = epoch_read(&a->mmu.epoch) };
	p->host = look_up(&a->mmu, gva, bytes, access);
	if (p->host)
		return UMBRA_OK;
	result = translate(a, gva, access, &r);
	p->host = r.host;
	p->epoch = r.epoch;
	p->gpa = r.gpa;
	p->tracked = r.tracked;
	p->was_code = r.was_code;
	return result;
}

static bool is_stale(const struct api_vcpu *a, const struct piece *p)
{
	return epoch_read(&a->mmu.epoch) != p->epoch;
}

static unsigned int bytes_in_page(gva_t gva, unsigned int bytes)
{
	return MIN(bytes, (unsigned int)(PAGE_SIZE - (gva & PAGE_OFFSET_MASK)));
}

static bool is_within_page(gpa_t gpa, unsigned int bytes)
{
	return bytes && bytes_in_page(gpa, bytes) == bytes;
}

static enum umbra_result find_span(struct api_vcpu *a, gva_t gva, unsigned int bytes,
				   enum access access, struct span *s)
{
	unsigned int first = bytes_in_page(gva, bytes);
	gva_t second = gva + first;
	enum umbra_result result;

	if (!is_long_mode(&a->mmu.paging))
		second &= 0xffffffff;
	for (int i = 0; i < MAX_TRIES; i++) {
		result = find_piece(a, gva, first, access, &s->piece[0]);
		s->n = 1;
		if (first == bytes)
			return result;
		if (result == UMBRA_OK) {
			result = find_piece(a, second, bytes - first, access, &s->piece[1]);
			s->n = 2;
		}
		if (result == UMBRA_MMIO)
			return UMBRA_SPLIT;
		if (result != UMBRA_OK || !is_stale(a, &s->piece[0]))
			return result;
	}
	return UMBRA_RETRY;
}

/* The memory is not there, despite the translation: drop that, so that the next access asks the
 * host.  Or the translation is already gone. */
static bool lost(struct api_vcpu *a, const struct piece *p)
{
	if (is_stale(a, p))
		return false;
	mmu_access_faulted(&a->mmu, p->host);
	return false;
}

static bool copy_in(const struct api_vcpu *a, void *to, const struct piece *p)
{
	const struct epoch *e = &a->mmu.epoch;
	uint32_t v32;
	uint16_t v16;

	switch (p->bytes) {
	case 2:
		return window_load16(e, p->epoch, p->host, &v16) && memcpy(to, &v16, sizeof(v16));
	case 4:
		return window_load32(e, p->epoch, p->host, &v32) && memcpy(to, &v32, sizeof(v32));
	case 8:
		return window_load64(e, p->epoch, p->host, to);
	default:
		return window_copy(e, p->epoch, to, p->host, p->bytes);
	}
}

static bool copy_out(const struct api_vcpu *a, const struct piece *p, const void *from)
{
	const struct epoch *e = &a->mmu.epoch;
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	switch (p->bytes) {
	case 2:
		memcpy(&v16, from, sizeof(v16));
		return window_store16(e, p->epoch, p->host, v16);
	case 4:
		memcpy(&v32, from, sizeof(v32));
		return window_store32(e, p->epoch, p->host, v32);
	case 8:
		memcpy(&v64, from, sizeof(v64));
		return window_store64(e, p->epoch, p->host, v64);
	default:
		return window_copy(e, p->epoch, p->host, from, p->bytes);
	}
}

static bool load_span(struct api_vcpu *a, const struct span *s, uint64_t *value)
{
	uint8_t *to = (uint8_t *)value;

	*value = 0;
	for (unsigned int i = 0; i < s->n; i++) {
		if (!copy_in(a, to, &s->piece[i]))
			return lost(a, &s->piece[i]);
		to += s->piece[i].bytes;
	}
	return true;
}

enum umbra_result umbra_load_(struct umbra_vcpu *v, uint64_t gva, unsigned int bytes,
			      enum umbra_access access, uint64_t *value)
{
	struct api_vcpu *a = api_vcpu_of(v);
	enum umbra_result result;
	struct span s;
	uint64_t loaded;

	if (!bytes || bytes > sizeof(loaded))
		return UMBRA_SPLIT;
	for (int i = 0; i < MAX_TRIES; i++) {
		result = find_span(a, gva, bytes, (enum access)access, &s);
		if (result != UMBRA_OK)
			return result;
		if (load_span(a, &s, &loaded)) {
			*value = loaded;
			return UMBRA_OK;
		}
	}
	return UMBRA_RETRY;
}

/* --- stores ------------------------------------------------------------------- */

static void track(struct api_vcpu *a, const struct span *s)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (s->piece[i].tracked)
			(void)mmu_track_write(&a->mmu, s->piece[i].gpa, s->piece[i].bytes);
}

/* Reports a store, made or not, to those who need to know. */
static void tell(struct api_vcpu *a, const struct span *s)
{
	const struct umbra_mmu *m = a->owner;

	for (unsigned int i = 0; i < s->n; i++)
		if (s->piece[i].was_code && m->code_written)
			m->code_written(m->context, api_handle_of(a), s->piece[i].gva,
					s->piece[i].gpa);
	if (a->mmu.n_tracked)
		mmu_tracked_writes(&a->mmu);
}

/* Make sure that both pieces are there before the first is stored, which cannot be undone. */
static bool store_span(struct api_vcpu *a, const struct span *s, const void *from)
{
	const uint8_t *at = from;

	for (unsigned int i = 0; s->n > 1 && i < s->n; i++)
		if (!window_touch_write(&a->mmu.epoch, s->piece[i].epoch, s->piece[i].host))
			return lost(a, &s->piece[i]);
	for (unsigned int i = 0; i < s->n; i++) {
		if (!copy_out(a, &s->piece[i], at))
			return lost(a, &s->piece[i]);
		at += s->piece[i].bytes;
	}
	return true;
}

enum umbra_result umbra_store_(struct umbra_vcpu *v, uint64_t gva, unsigned int bytes,
			       uint64_t value)
{
	struct api_vcpu *a = api_vcpu_of(v);
	enum umbra_result result;
	struct span s;
	bool ok;

	if (!bytes || bytes > sizeof(value))
		return UMBRA_SPLIT;
	for (int i = 0; i < MAX_TRIES; i++) {
		result = find_span(a, gva, bytes, ACCESS_WRITE, &s);
		if (result != UMBRA_OK)
			return result;
		track(a, &s);
		ok = store_span(a, &s, &value);
		tell(a, &s);
		if (ok)
			return UMBRA_OK;
	}
	return UMBRA_RETRY;
}

/* --- atomics ------------------------------------------------------------------ */

#define DEFINE_ATOMIC_AT(bits)                                                          \
	static bool atomic_at##bits(const struct api_vcpu *a, const struct piece *p,    \
				    enum umbra_atomic_ op, uint64_t *old,               \
				    uint64_t value)                                     \
	{                                                                               \
		const struct epoch *e = &a->mmu.epoch;                                  \
		uint##bits##_t seen = (uint##bits##_t)*old, v = (uint##bits##_t)value;  \
		bool ok = false;                                                        \
											\
		switch (op) {                                                           \
		case UMBRA_CMPXCHG_:                                                    \
			ok = window_cmpxchg##bits(e, p->epoch, p->host, &seen, v);      \
			v = seen;                                                       \
			break;                                                          \
		case UMBRA_XCHG_:                                                       \
			ok = window_xchg##bits(e, p->epoch, p->host, &v);               \
			break;                                                          \
		case UMBRA_XADD_:                                                       \
			ok = window_xadd##bits(e, p->epoch, p->host, &v);               \
			break;                                                          \
		}                                                                       \
		if (ok)                                                                 \
			*old = v;                                                       \
		return ok;                                                              \
	}

DEFINE_ATOMIC_AT(8)
DEFINE_ATOMIC_AT(16)
DEFINE_ATOMIC_AT(32)
DEFINE_ATOMIC_AT(64)

static bool atomic_at(const struct api_vcpu *a, const struct piece *p, unsigned int bytes,
		      enum umbra_atomic_ op, uint64_t *old, uint64_t value)
{
	switch (bytes) {
	case 1:
		return atomic_at8(a, p, op, old, value);
	case 2:
		return atomic_at16(a, p, op, old, value);
	case 4:
		return atomic_at32(a, p, op, old, value);
	default:
		return atomic_at64(a, p, op, old, value);
	}
}

enum umbra_result umbra_atomic_(struct umbra_vcpu *v, uint64_t gva, unsigned int bytes,
				enum umbra_atomic_ op, uint64_t *old, uint64_t value)
{
	struct api_vcpu *a = api_vcpu_of(v);
	enum umbra_result result;
	struct span s;
	bool ok;

	for (int i = 0; i < MAX_TRIES; i++) {
		result = find_span(a, gva, bytes, ACCESS_WRITE, &s);
		if (result != UMBRA_OK)
			return result;
		if (s.n == 2 && s.piece[1].host != s.piece[0].host + s.piece[0].bytes)
			return UMBRA_SPLIT;
		track(a, &s);
		ok = atomic_at(a, &s.piece[0], bytes, op, old, value);
		if (!ok && s.n == 2)
			lost(a, &s.piece[1]);
		if (!ok)
			lost(a, &s.piece[0]);
		tell(a, &s);
		if (ok)
			return UMBRA_OK;
	}
	return UMBRA_RETRY;
}

/* --- any number of bytes ------------------------------------------------------- */

static bool copy_bytes(const struct api_vcpu *a, const struct piece *p, void *to,
		       const void *from)
{
	return window_copy(&a->mmu.epoch, p->epoch, to, from, p->bytes);
}

static enum umbra_result copy_piece(struct api_vcpu *a, gva_t gva, void *buffer,
				    unsigned int bytes, enum access access)
{
	enum umbra_result result;
	struct span s = { .n = 1 };
	bool ok;

	for (int i = 0; i < MAX_TRIES; i++) {
		result = find_piece(a, gva, bytes, access, &s.piece[0]);
		if (result != UMBRA_OK)
			return result;
		track(a, &s);
		ok = access == ACCESS_WRITE ? copy_bytes(a, &s.piece[0], s.piece[0].host, buffer) :
					      copy_bytes(a, &s.piece[0], buffer, s.piece[0].host);
		if (!ok)
			lost(a, &s.piece[0]);
		tell(a, &s);
		if (ok)
			return UMBRA_OK;
	}
	return UMBRA_RETRY;
}

static enum umbra_result copy(struct umbra_vcpu *v, uint64_t gva, uint8_t *buffer, size_t bytes,
			      enum access access, size_t *done)
{
	struct api_vcpu *a = api_vcpu_of(v);
	enum umbra_result result = UMBRA_OK;
	unsigned int n;

	for (*done = 0; *done < bytes; *done += n) {
		n = bytes_in_page(gva + *done, (unsigned int)MIN(bytes - *done, PAGE_SIZE));
		result = copy_piece(a, gva + *done, buffer + *done, n, access);
		if (result != UMBRA_OK)
			break;
	}
	return result;
}

enum umbra_result umbra_read(struct umbra_vcpu *v, uint64_t gva, void *to, size_t bytes,
			     size_t *done)
{
	return copy(v, gva, to, bytes, ACCESS_READ, done);
}

enum umbra_result umbra_write(struct umbra_vcpu *v, uint64_t gva, const void *from, size_t bytes,
			      size_t *done)
{
	return copy(v, gva, (uint8_t *)(uintptr_t)from, bytes, ACCESS_WRITE, done);
}

enum umbra_result umbra_read_physical(struct umbra_vcpu *v, uint64_t gpa, void *to,
				      unsigned int bytes)
{
	struct api_vcpu *a = api_vcpu_of(v);
	enum umbra_result result = UMBRA_SPLIT;

	if (is_within_page(gpa, bytes))
		result = (enum umbra_result)mmu_read_gpa(&a->mmu, gpa, to, bytes);
	if (result != UMBRA_OK)
		a->fault = (struct umbra_fault){ .gpa = gpa };
	return result;
}

enum umbra_result umbra_translate(struct umbra_vcpu *v, uint64_t gva, enum umbra_access access,
				  struct umbra_translation *translation)
{
	struct api_vcpu *a = api_vcpu_of(v);
	enum umbra_result result;
	struct mmu_result r;

	api_drop_pointer(a);
	result = translate(a, gva, (enum access)access, &r);
	if (result != UMBRA_OK)
		return result;
	/* The caller's access is not a window: flushes wait until its next call. */
	guest_pin(&a->mmu);
	a->has_pointer = true;
	if (epoch_read(&a->mmu.epoch) != r.epoch) {
		api_drop_pointer(a);
		return UMBRA_RETRY;
	}
	*translation = (struct umbra_translation){
		.host = r.host,
		.gpa = r.gpa,
		.was_code = r.was_code,
		.tracked = r.tracked,
	};
	return UMBRA_OK;
}

/*
 * A tracked page was translated while the ring had room, and the reserve covers it; but there is
 * no limit to the stores that the caller reports of its own.
 */
enum umbra_result umbra_written(struct umbra_vcpu *v, uint64_t gpa, unsigned int bytes)
{
	struct api_vcpu *a = api_vcpu_of(v);

	api_drop_pointer(a);
	if (!is_within_page(gpa, bytes))
		return UMBRA_SPLIT;
	if (a->owner->mmu.mode != MMU_SHADOW)
		return UMBRA_OK;
	if (a->mmu.ring.entries && dirty_ring_is_nearly_exhausted(&a->mmu.ring))
		return UMBRA_RING_FULL;
	if (mmu_track_write(&a->mmu, gpa, bytes))
		mmu_tracked_writes(&a->mmu);
	return UMBRA_OK;
}
