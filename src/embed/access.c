/* SPDX-License-Identifier: MIT */
/*
 * embed/access.c - <umbra/mmu.h>: accesses that missed the TLB, or cross a page boundary.
 *
 * Each is a span (mmu/guest/span.h).  If one of its pieces is lost, the access starts over here.
 */
#include "embed/embed.h"
#include "mmu/guest/span.h"
#include "mmu/guest/x86.h"
#include "mmu/tlb/request.h"
#include "mmu/translate.h"

/* Lost races before the thread lets others run. */
#define MAX_TRIES 16

_Static_assert((int)UMBRA_READ == ACCESS_READ && (int)UMBRA_WRITE == ACCESS_WRITE &&
		       (int)UMBRA_EXEC == ACCESS_EXEC,
	       "the public names are ours");
_Static_assert((int)UMBRA_PF_PRESENT == PFERR_PRESENT && (int)UMBRA_PF_WRITE == PFERR_WRITE &&
		       (int)UMBRA_PF_USER == PFERR_USER && (int)UMBRA_PF_RSVD == PFERR_RSVD &&
		       (int)UMBRA_PF_FETCH == PFERR_FETCH && (int)UMBRA_PF_PK == PFERR_PK,
	       "the error code is the processor's");

const struct umbra_fault *umbra_vcpu_fault(const struct umbra_vcpu *v)
{
	return &api_vcpu_of(v)->fault;
}

static bool is_long_mode(const struct paging *p)
{
	return p->efer & X86_EFER_LMA;
}

static bool is_address(const struct paging *p, uint64_t gva)
{
	unsigned int shift = p->cr4 & X86_CR4_LA57 ? 64 - 57 : 64 - 48;

	if (!is_long_mode(p))
		return gva <= 0xffffffff;
	return (uint64_t)((int64_t)(gva << shift) >> shift) == gva;
}

/* How many bytes of the access have an address.  Outside long mode it wraps from 4 GiB to 0. */
static unsigned int bytes_with_address(const struct paging *p, uint64_t gva, unsigned int bytes)
{
	if (!is_address(p, gva))
		return 0;
	if (!is_long_mode(p) || is_address(p, gva + bytes - 1))
		return bytes;
	return span_bytes_in_page(gva, bytes);
}

static void note_fault(struct api_vcpu *a, uint64_t gva, gpa_t gpa, uint32_t error_code,
		       enum access access)
{
	a->fault = (struct umbra_fault){
		.gva = gva,
		.gpa = gpa.raw,
		.error_code = error_code,
		.access = (enum umbra_access)access,
	};
}

static enum umbra_result find_span(struct api_vcpu *a, uint64_t gva, unsigned int bytes,
				   enum access access, struct span *s)
{
	unsigned int n = bytes_with_address(&a->mmu.paging, gva, bytes);
	const struct piece *p = &s->piece[0];
	enum mmu_verdict verdict = MMU_OK;

	api_drop_pointer(a);
	/* A fault in the bytes that have an address comes first. */
	if (n)
		verdict = span_find(&a->mmu, gva_of(gva), n, access, s);
	if (verdict == MMU_OK && n < bytes) {
		note_fault(a, gva + n, gpa_of(0), 0, access);
		return UMBRA_BAD_ADDRESS;
	}
	if (verdict == MMU_OK && !s->mmio)
		return UMBRA_OK;
	/* A piece that failed is the last; otherwise report the first that is MMIO. */
	if (verdict != MMU_OK || p->at.host)
		p = &s->piece[s->n - 1];
	note_fault(a, p->gva.raw, p->gpa, s->error_code, access);
	if (verdict != MMU_OK)
		return api_result_of(verdict);
	return s->n > 1 ? UMBRA_SPLIT : UMBRA_MMIO;
}

static bool load_span(struct api_vcpu *a, const struct span *s, uint8_t *to)
{
	for (unsigned int i = 0; i < s->n; i++) {
		const struct piece *p = &s->piece[i];

		if (!span_load_piece(&a->mmu, p, to)) {
			span_lost(&a->mmu, p->at, p->bytes);
			return false;
		}
		to += p->bytes;
	}
	return true;
}

static bool store_span(struct api_vcpu *a, const struct span *s, const uint8_t *from)
{
	const struct piece *p = span_touch(&a->mmu, s);

	for (unsigned int i = 0; !p && i < s->n; i++) {
		if (!span_store_piece(&a->mmu, &s->piece[i], from))
			p = &s->piece[i];
		from += s->piece[i].bytes;
	}
	if (p)
		span_lost(&a->mmu, p->at, p->bytes);
	return !p;
}

static void track(struct api_vcpu *a, const struct span *s)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (s->piece[i].tracked)
			(void)mmu_track_write(&a->mmu, s->piece[i].gpa, s->piece[i].bytes);
}

/* Reports a store, made or not, to those who need to know. */
static void report_store(struct api_vcpu *a, const struct span *s)
{
	const struct umbra_mmu *m = a->owner;

	for (unsigned int i = 0; i < s->n; i++)
		if (s->piece[i].was_code && m->code_written)
			m->code_written(m->context, api_handle_of(a), s->piece[i].gva.raw,
					s->piece[i].gpa.raw);
	if (a->mmu.n_tracked)
		mmu_tracked_writes(&a->mmu);
}

/* The bytes lie in at most two pages. */
static enum umbra_result copy_span(struct api_vcpu *a, uint64_t gva, void *buffer,
				   unsigned int bytes, enum access access)
{
	enum umbra_result result;
	struct span s;
	bool ok;

	for (int i = 0; i < MAX_TRIES; i++) {
		result = find_span(a, gva, bytes, access, &s);
		if (result != UMBRA_OK)
			return result;
		track(a, &s);
		ok = access == ACCESS_WRITE ? store_span(a, &s, buffer) :
					      load_span(a, &s, buffer);
		report_store(a, &s);
		if (ok)
			return UMBRA_OK;
	}
	return UMBRA_RETRY;
}

enum umbra_result umbra_load_(struct umbra_vcpu *v, uint64_t gva, unsigned int bytes,
			      enum umbra_access access, uint64_t *value)
{
	enum umbra_result result;
	uint64_t loaded = 0;

	if (!bytes || bytes > sizeof(loaded))
		return UMBRA_SPLIT;
	result = copy_span(api_vcpu_of(v), gva, &loaded, bytes, (enum access)access);
	if (result == UMBRA_OK)
		*value = loaded;
	return result;
}

enum umbra_result umbra_store_(struct umbra_vcpu *v, uint64_t gva, unsigned int bytes,
			       uint64_t value)
{
	if (!bytes || bytes > sizeof(value))
		return UMBRA_SPLIT;
	return copy_span(api_vcpu_of(v), gva, &value, bytes, ACCESS_WRITE);
}

/* --- atomics ------------------------------------------------------------------ */

#define DEFINE_ATOMIC_AT(bits)                                                          \
	static bool atomic_at##bits(const struct api_vcpu *a, struct host_at at,     \
				    enum umbra_atomic_ op, uint64_t *old,               \
				    uint64_t value)                                     \
	{                                                                               \
		const struct epoch *e = &a->mmu.epoch;                                  \
		uint##bits##_t seen = (uint##bits##_t)*old, v = (uint##bits##_t)value;  \
		bool ok = false;                                                        \
											\
		switch (op) {                                                           \
		case UMBRA_CMPXCHG_:                                                    \
			ok = window_cmpxchg##bits(e, at.epoch, at.host, &seen, v);      \
			v = seen;                                                       \
			break;                                                          \
		case UMBRA_XCHG_:                                                       \
			ok = window_xchg##bits(e, at.epoch, at.host, &v);               \
			break;                                                          \
		case UMBRA_XADD_:                                                       \
			ok = window_xadd##bits(e, at.epoch, at.host, &v);               \
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

static bool atomic_at(const struct api_vcpu *a, struct host_at at, unsigned int bytes,
		      enum umbra_atomic_ op, uint64_t *old, uint64_t value)
{
	switch (bytes) {
	case 1:
		return atomic_at8(a, at, op, old, value);
	case 2:
		return atomic_at16(a, at, op, old, value);
	case 4:
		return atomic_at32(a, at, op, old, value);
	default:
		return atomic_at64(a, at, op, old, value);
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
		if (!span_is_contiguous(&s))
			return UMBRA_SPLIT;
		track(a, &s);
		ok = atomic_at(a, s.piece[0].at, bytes, op, old, value);
		if (!ok)
			span_lost(&a->mmu, s.piece[0].at, bytes);
		report_store(a, &s);
		if (ok)
			return UMBRA_OK;
	}
	return UMBRA_RETRY;
}

/* --- any number of bytes ------------------------------------------------------- */

static bool is_within_page(uint64_t gpa, unsigned int bytes)
{
	return bytes && span_bytes_in_page(gpa, bytes) == bytes;
}

static enum umbra_result copy(struct umbra_vcpu *v, uint64_t gva, uint8_t *buffer, size_t bytes,
			      enum access access, size_t *done)
{
	struct api_vcpu *a = api_vcpu_of(v);
	enum umbra_result result = UMBRA_OK;
	unsigned int n;

	for (*done = 0; *done < bytes; *done += n) {
		n = span_bytes_in_page(gva + *done, (unsigned int)MIN(bytes - *done, PAGE_SIZE));
		result = copy_span(a, gva + *done, buffer + *done, n, access);
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
		result = api_result_of(mmu_read_gpa(&a->mmu, gpa_of(gpa), to, bytes));
	if (result != UMBRA_OK)
		a->fault = (struct umbra_fault){ .gpa = gpa };
	return result;
}

enum umbra_result umbra_translate(struct umbra_vcpu *v, uint64_t gva, enum umbra_access access,
				  struct umbra_translation *translation)
{
	struct api_vcpu *a = api_vcpu_of(v);
	enum umbra_result result = UMBRA_BAD_ADDRESS;
	struct mmu_result r = { 0 };

	api_drop_pointer(a);
	if (is_address(&a->mmu.paging, gva))
		result = api_result_of(
			mmu_translate(&a->mmu, gva_of(gva), (enum access)access, &r));
	if (result != UMBRA_OK) {
		note_fault(a, gva, r.gpa, r.error_code, (enum access)access);
		return result;
	}
	/* The caller's access is not a window: flushes wait until its next call. */
	guest_pin(&a->mmu);
	a->has_pointer = true;
	if (epoch_read(&a->mmu.epoch) != r.epoch) {
		api_drop_pointer(a);
		return UMBRA_RETRY;
	}
	*translation = (struct umbra_translation){
		.host = r.host,
		.gpa = r.gpa.raw,
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
	if (!mmu_tracks_writes(&a->owner->mmu))
		return UMBRA_OK;
	if (a->mmu.ring.entries && dirty_ring_is_nearly_exhausted(&a->mmu.ring))
		return UMBRA_RING_FULL;
	if (mmu_track_write(&a->mmu, gpa_of(gpa), bytes))
		mmu_tracked_writes(&a->mmu);
	return UMBRA_OK;
}
