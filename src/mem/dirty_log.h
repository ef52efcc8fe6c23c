/* SPDX-License-Identifier: MIT */
/*
 * mem/dirty_log.h - which pages the guest has written: bitmaps of slots.
 */
#ifndef MEM_DIRTY_LOG_H
#define MEM_DIRTY_LOG_H

#include "mem/slots.h"

/* Marks @gfn in the slot's bitmap.  RCU section of the lookup; any thread. */
static inline void dirty_log_mark(const struct memslot *slot, gfn_t gfn)
{
	uint64_t page = memslot_page(slot, gfn);
	struct atomic64 *word = &slot->dirty->words[page / 64];
	uint64_t bit = 1ull << (page % 64);

	if (!(atomic64_load_relaxed(word) & bit))
		atomic64_fetch_or(word, bit);
}

/**
 * dirty_log_get - KVM_GET_DIRTY_LOG.
 * @bitmap: client memory for one bit a page, rounded up to 64.
 *
 * Takes the log of slot @id and write-protects the pages in it; with manual protection it only
 * reads.  If @bitmap cannot be written nothing is lost: the pages stay in the log.
 *
 * Context: no lock held.
 * Return:  0, -EINVAL bad id, -ENOENT no such slot or not logged, -ENXIO the VM
 *          logs to rings, -EFAULT
 */
int dirty_log_get(struct slots *s, uint32_t id, void *bitmap) MUST_CHECK;

/**
 * dirty_log_clear - KVM_CLEAR_DIRTY_LOG.
 * @first_page, @num_pages: in pages of the slot, multiples of 64, or up to its
 *          end; a set bit n of @bitmap clears page @first_page + n.
 * Return:  as dirty_log_get(), and -EINVAL for a bad range
 */
int dirty_log_clear(struct slots *s, uint32_t id, uint64_t first_page, uint64_t num_pages,
		    const void *bitmap) MUST_CHECK;

#endif
