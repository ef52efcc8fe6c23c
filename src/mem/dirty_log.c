/* SPDX-License-Identifier: MIT */
/*
 * mem/dirty_log.c - harvesting the dirty bitmap.
 *
 * HARVEST_ORDER: take the bits, protect the pages, flush, hand the bits out.  A write before the
 * flush may still land in a page that is being reported, which is correct; a write after it
 * faults and is marked for the next harvest.
 *
 * The flush comes after the MMU lock was dropped (LOGGING_FLUSH_MAY_TRAIL).
 * slots_lock, held from the first bit to the flush, keeps a second harvester
 * from reporting "clean" while a TLB of the first is still writable
 * (SLOTS_LOCK_SPANS_FLUSH).
 */
#include "mem/dirty_log.h"

#include "base/guarded.h"
#include "mem/rules.h"

/* @first_page: of the request, which KVM checks before it looks up the slot. */
static int find_logged(struct slots *s, uint32_t id, uint64_t first_page, struct memslot **slot)
	REQUIRES(s->lock)
{
	if (s->dirty_ring)
		return -ENXIO;
	if (id >= SLOTS_MAX_IDS || first_page % 64)
		return -EINVAL;
	*slot = slots_by_id(s, id);
	return *slot && (*slot)->dirty ? 0 : -ENOENT;
}

/* Takes the bits of one word that @wanted names.  CLEAR_ATOMIC. */
static uint64_t take_bits(struct atomic64 *word, uint64_t wanted)
{
	if (!(atomic64_load_relaxed(word) & wanted))
		return 0;
	return atomic64_fetch_and(word, ~wanted) & wanted;
}

/* In HARVEST_ORDER; SLOTS_LOCK_SPANS_FLUSH. */
static int harvest(struct slots *s, const struct memslot *slot, void *bitmap) REQUIRES(s->lock)
{
	struct dirty_bitmap *d = slot->dirty;
	uint64_t n = 0;

	for (size_t i = 0; i < d->n_words; i++) {
		d->harvest[i] = take_bits(&d->words[i], ~0ull);
		if (!d->harvest[i])
			continue;
		n += (uint64_t)__builtin_popcountll(d->harvest[i]);
		s->ops->write_protect_mask(s->mmu, slot, i * 64, d->harvest[i]);
	}
	/*
	 * FLUSH_BY_SOFTWARE_STATE: the bits decide, not the translations: one may already be
	 * read-only while a TLB still holds a writable entry.
	 */
	if (n && rule(LOGGING_FLUSH_MAY_TRAIL) && rule(FLUSH_BY_SOFTWARE_STATE))
		s->ops->flush(s->mmu);

	if (guarded_copy(bitmap, d->harvest, d->n_words * sizeof(*d->harvest))) {
		atomic64_owner_add(s->n_harvested, n);
		return 0;
	}
	for (size_t i = 0; i < d->n_words; i++)
		if (d->harvest[i])
			atomic64_fetch_or(&d->words[i], d->harvest[i]);
	return -EFAULT;
}

static int copy_out(const struct dirty_bitmap *d, void *bitmap)
{
	for (size_t i = 0; i < d->n_words; i++)
		d->harvest[i] = atomic64_load_relaxed(&d->words[i]);
	if (!guarded_copy(bitmap, d->harvest, d->n_words * sizeof(*d->harvest)))
		return -EFAULT;
	return 0;
}

int dirty_log_get(struct slots *s, uint32_t id, void *bitmap)
{
	struct memslot *slot;
	int err;

	mutex_lock(&s->lock);
	err = find_logged(s, id, 0, &slot);
	if (!err)
		err = s->manual_protect ? copy_out(slot->dirty, bitmap) : harvest(s, slot, bitmap);
	mutex_unlock(&s->lock);
	return err;
}

/* SLOTS_LOCK_SPANS_FLUSH. */
static int clear(struct slots *s, const struct memslot *slot, uint64_t first_page,
		 uint64_t num_pages, const void *bitmap) REQUIRES(s->lock)
{
	struct dirty_bitmap *d = slot->dirty;
	uint64_t first_word = first_page / 64, n_words = (num_pages + 63) / 64;
	uint64_t n = 0;

	if (!guarded_copy(d->harvest, bitmap, n_words * sizeof(*d->harvest)))
		return -EFAULT;
	if (num_pages % 64)
		d->harvest[n_words - 1] &= (1ull << (num_pages % 64)) - 1;

	for (uint64_t i = 0; i < n_words; i++) {
		uint64_t taken = take_bits(&d->words[first_word + i], d->harvest[i]);

		if (!taken)
			continue;
		n += (uint64_t)__builtin_popcountll(taken);
		s->ops->write_protect_mask(s->mmu, slot, (first_word + i) * 64, taken);
	}
	if (n && rule(LOGGING_FLUSH_MAY_TRAIL))
		s->ops->flush(s->mmu);
	atomic64_owner_add(s->n_harvested, n);
	return 0;
}

int dirty_log_clear(struct slots *s, uint32_t id, uint64_t first_page, uint64_t num_pages,
		    const void *bitmap)
{
	struct memslot *slot;
	uint64_t rest;
	int err;

	mutex_lock(&s->lock);
	err = find_logged(s, id, first_page, &slot);
	if (err)
		goto out;
	err = -EINVAL;
	if (first_page > slot->npages)
		goto out;
	rest = slot->npages - first_page;
	if (num_pages > rest || (num_pages < rest && num_pages % 64))
		goto out;
	err = clear(s, slot, first_page, num_pages, bitmap);
out:
	mutex_unlock(&s->lock);
	return err;
}
