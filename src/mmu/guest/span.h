/* SPDX-License-Identifier: MIT */
/*
 * mmu/guest/span.h - an access that missed the TLB, or crosses a page boundary.
 *
 * A span is one or two pieces, each within a page.  Both are translated before either is
 * touched; if the epoch changes in between, because the vCPU left guest mode or a flush came,
 * the first is stale, and translation starts over.  A translation that becomes stale after
 * that is caught by the window of the access (sync/window.h).
 *
 * The vCPU's thread, in guest mode.
 */
#ifndef MMU_SPAN_H
#define MMU_SPAN_H

#include "mmu/vcpu.h"
#include "mmu/verdict.h"

/* Where memory is, and for which epoch that is true: an access is made in a window. */
struct host_at {
	uint8_t *host;
	uint64_t epoch;
};

struct piece {
	struct host_at at;	/* .host NULL: MMIO */
	gva_t gva;
	gpa_t gpa;		/* if MMIO, tracked or was_code */
	unsigned int bytes;
	bool tracked, was_code;	/* as in struct mmu_result */
};

struct span {
	struct piece piece[2];
	unsigned int n;
	bool mmio;		/* some piece is */
	uint32_t error_code;	/* MMU_GUEST_FAULT */
	/* The cost: translations done in guest mode, and those that had to leave it. */
	unsigned int n_walks, n_faults;
};

static inline unsigned int span_bytes_in_page(uint64_t address, unsigned int bytes)
{
	return MIN(bytes, (unsigned int)(PAGE_SIZE - (address & PAGE_OFFSET_MASK)));
}

/* Are both pieces neighbours in the host, too?  Without MMIO. */
static inline bool span_is_contiguous(const struct span *s)
{
	return s->n == 1 || s->piece[1].at.host == s->piece[0].at.host + s->piece[0].bytes;
}

/*
 * Translates @bytes at @gva, which lie in at most two pages.  If it does not return MMU_OK,
 * the last piece is the one that failed.  May leave guest mode and enter it again.
 */
enum mmu_verdict span_find(struct mmu_vcpu *v, gva_t gva, unsigned int bytes, enum access access,
			   struct span *s);

/* A single access for 1, 2, 4, 8 and 16 bytes.  False: call span_lost(); of another size,
 * some bytes may have been copied. */
bool span_load_piece(const struct mmu_vcpu *v, const struct piece *p, void *to);
bool span_store_piece(const struct mmu_vcpu *v, const struct piece *p, const void *from);

/*
 * Makes sure that both of two pieces can be written before the first is stored, which
 * cannot be undone.  Returns the piece that failed, or NULL.
 */
const struct piece *span_touch(const struct mmu_vcpu *v, const struct span *s);

/*
 * An access to @at failed.  Either the translation is stale already; or the memory is not
 * there, despite the translation: drop that, so that the next access asks the host.  True if
 * it was dropped; that leaves guest mode and enters it again.
 */
bool span_lost(struct mmu_vcpu *v, struct host_at at, unsigned int bytes);

#endif
