/* SPDX-License-Identifier: MIT */
/* tests/unit/mem/test_slots.c - changes to the set of memory slots. */
#include "vm_fixture.h"

#include <stdlib.h>
#include <string.h>

#define PAGES(n) ((uint64_t)(n) << PAGE_SHIFT)
#define HVA_END ((1ull << 47) - PAGE_SIZE)

static int setup(void **state)
{
	*state = recorder_make();
	return 0;
}

static int teardown(void **state)
{
	hook_clear(HOOK_WAIT);
	hook_clear(HOOK_SYNCHRONIZE);
	recorder_free(*state);
	return 0;
}

static uint64_t generation(const struct recorder *r)
{
	return atomic64_load_relaxed(&r->slots.generation);
}

static int set_bytes(struct recorder *r, uint32_t id, uint64_t gpa, uint64_t bytes,
		     uint64_t hva, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = id,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = hva,
	};

	return slots_set_region(&r->slots, &region);
}

static int set(struct recorder *r, uint32_t id, uint64_t gfn, uint64_t pages, uint32_t flags)
{
	return set_slot(&r->slots, id, PAGES(gfn), pages, TEST_HVA + PAGES(id * 64), flags);
}

static const struct memslot *by_id(struct recorder *r, uint32_t id)
{
	const struct memslot *slot;

	mutex_lock(&r->slots.lock);
	slot = slots_by_id(&r->slots, id);
	mutex_unlock(&r->slots.lock);
	return slot;
}

/* --- what a set is, in order to compare it ------------------------------ */

struct picture {
	unsigned int n;
	struct memslot slot[64];
	uint64_t generation, set_version, n_pages, bytes;
};

static void add_to_picture(void *ctx, struct memslot *slot)
{
	struct picture *p = ctx;

	p->slot[p->n++] = *slot;
}

static void take_picture(struct recorder *r, struct picture *p)
{
	const struct slot_set *set = slots_current(&r->slots);

	memset(p, 0, sizeof(*p));
	slot_tree_visit(set->by_gfn, add_to_picture, p);
	slot_tree_visit(set->by_hva, add_to_picture, p);
	p->generation = generation(r);
	p->set_version = set->version;
	p->n_pages = r->slots.n_pages;
	p->bytes = atomic64_load_relaxed(&r->alloc.bytes);
}

static void assert_same(struct recorder *r, const struct picture *before)
{
	struct picture now;

	take_picture(r, &now);
	assert_memory_equal(&now, before, sizeof(now));
}

/* --- errors ------------------------------------------------------------ */

static void assert_refused(struct recorder *r, int want, uint32_t id, uint64_t gpa, uint64_t bytes,
			   uint64_t hva, uint32_t flags)
{
	unsigned int n_events = r->n_events;
	struct picture before;

	take_picture(r, &before);
	assert_int_equal(set_bytes(r, id, gpa, bytes, hva, flags), want);
	assert_same(r, &before);
	assert_int_equal(r->n_events, n_events);
}

static void what_is_not_page_aligned_is_refused(void **state)
{
	struct recorder *r = *state;

	assert_refused(r, -EINVAL, 0, 0, 4095, TEST_HVA, 0);
	assert_refused(r, -EINVAL, 0, 0, 4097, TEST_HVA, 0);
	assert_refused(r, -EINVAL, 0, 1, 4096, TEST_HVA, 0);
	assert_refused(r, -EINVAL, 0, 2048, 4096, TEST_HVA, 0);
	assert_refused(r, -EINVAL, 0, 0, 4096, TEST_HVA + 8, 0);
	assert_int_equal(set_bytes(r, 0, 0, 4096, TEST_HVA, 0), 0);
}

static void a_range_that_wraps_is_refused(void **state)
{
	struct recorder *r = *state;

	assert_refused(r, -EINVAL, 0, PAGES(~0ull), PAGES(2), TEST_HVA, 0);
	assert_refused(r, -EINVAL, 0, PAGES(1ull << 51), PAGES(1ull << 51), TEST_HVA, 0);
	assert_refused(r, -EINVAL, 0, 0, PAGES(2), PAGES(~0ull), 0);
}

static void host_addresses_end_where_the_process_does(void **state)
{
	struct recorder *r = *state;

	assert_refused(r, -EINVAL, 0, 0, PAGES(1), HVA_END, 0);
	assert_refused(r, -EINVAL, 0, 0, PAGES(2), HVA_END - PAGES(1), 0);
	assert_refused(r, -EINVAL, 0, 0, PAGES(1), 1ull << 47, 0);
	assert_refused(r, -EINVAL, 0, 0, PAGES(1), 0xffff800000000000ull, 0);
	assert_int_equal(set_bytes(r, 0, 0, PAGES(1), HVA_END - PAGES(1), 0), 0);
}

static void a_slot_has_less_than_two_to_the_31_pages(void **state)
{
	struct recorder *r = *state;

	assert_refused(r, -EINVAL, 0, 0, PAGES(1ull << 31), PAGES(1), 0);
	assert_refused(r, -EINVAL, 0, 0, PAGES(1ull << 52) - PAGES(1), PAGES(1), 0);
	assert_int_equal(set_bytes(r, 0, 0, PAGES((1ull << 31) - 1), PAGES(1), 0), 0);
}

static void a_slot_beyond_the_highest_frame_is_refused(void **state)
{
	struct recorder *r = *state;

	assert_refused(r, -EINVAL, 0, PAGES(TEST_MAX_GFN + 1), PAGES(1), TEST_HVA, 0);
	assert_refused(r, -EINVAL, 0, PAGES(TEST_MAX_GFN), PAGES(2), TEST_HVA, 0);
	assert_int_equal(set_bytes(r, 0, PAGES(TEST_MAX_GFN), PAGES(1), TEST_HVA, 0), 0);
	/* A move, too. */
	assert_refused(r, -EINVAL, 0, PAGES(TEST_MAX_GFN + 1), PAGES(1), TEST_HVA, 0);
}

static void unknown_flags_are_refused(void **state)
{
	struct recorder *r = *state;

	for (int bit = 2; bit < 32; bit++)
		assert_refused(r, -EINVAL, 0, 0, PAGES(1), TEST_HVA, 1u << bit);
	for (uint32_t flags = 0; flags < 4; flags++)
		assert_int_equal(set(r, flags, flags * 8, 1, flags), 0);
	/* Of a deletion, too. */
	assert_refused(r, -EINVAL, 0, 0, 0, 0, 4);
}

static void an_id_out_of_range_is_refused(void **state)
{
	struct recorder *r = *state;

	assert_refused(r, -EINVAL, SLOTS_MAX_IDS, 0, PAGES(1), TEST_HVA, 0);
	assert_refused(r, -EINVAL, 0xffff, 0, PAGES(1), TEST_HVA, 0);
	/* The other address space, that of SMM. */
	assert_refused(r, -EINVAL, 0x10000, 0, PAGES(1), TEST_HVA, 0);
	assert_refused(r, -EINVAL, ~0u, 0, PAGES(1), TEST_HVA, 0);
	assert_int_equal(set_bytes(r, SLOTS_MAX_IDS - 1, 0, PAGES(1), TEST_HVA, 0), 0);
}

static void deleting_what_is_not_there_is_refused(void **state)
{
	struct recorder *r = *state;

	assert_refused(r, -EINVAL, 3, 0, 0, 0, 0);
	assert_int_equal(set(r, 3, 0, 1, 0), 0);
	assert_refused(r, -EINVAL, 4, 0, 0, 0, 0);
	assert_int_equal(set(r, 3, 0, 0, 0), 0);
	assert_refused(r, -EINVAL, 3, 0, 0, 0, 0);
}

static void size_host_address_and_read_only_cannot_change(void **state)
{
	struct recorder *r = *state;

	assert_int_equal(set_bytes(r, 1, 0, PAGES(8), TEST_HVA, 0), 0);
	assert_refused(r, -EINVAL, 1, 0, PAGES(7), TEST_HVA, 0);
	assert_refused(r, -EINVAL, 1, 0, PAGES(9), TEST_HVA, 0);
	assert_refused(r, -EINVAL, 1, 0, PAGES(8), TEST_HVA + PAGES(1), 0);
	assert_refused(r, -EINVAL, 1, PAGES(64), PAGES(8), TEST_HVA + PAGES(1), 0);
	assert_refused(r, -EINVAL, 1, 0, PAGES(8), TEST_HVA, KVM_MEM_READONLY);
	assert_int_equal(set_bytes(r, 2, PAGES(32), PAGES(8), TEST_HVA, KVM_MEM_READONLY), 0);
	assert_refused(r, -EINVAL, 2, PAGES(32), PAGES(8), TEST_HVA, 0);
}

static void guest_frames_must_not_overlap(void **state)
{
	struct recorder *r = *state;

	assert_int_equal(set(r, 0, 100, 10, 0), 0);
	for (uint64_t gfn = 91; gfn < 110; gfn++)
		assert_refused(r, -EEXIST, 1, PAGES(gfn), PAGES(10), TEST_HVA, 0);
	assert_refused(r, -EEXIST, 1, PAGES(50), PAGES(100), TEST_HVA, 0);
	assert_refused(r, -EEXIST, 1, PAGES(104), PAGES(1), TEST_HVA, 0);
	assert_int_equal(set(r, 1, 90, 10, 0), 0);
	assert_int_equal(set(r, 2, 110, 10, 0), 0);
	/* A move onto another. */
	assert_refused(r, -EEXIST, 1, PAGES(95), PAGES(10), TEST_HVA + PAGES(64), 0);
}

/* As Linux 6.1 does: the architecture looks at the highest frame afterwards. */
static void an_overlap_is_reported_before_the_highest_frame(void **state)
{
	struct recorder *r = *state;

	assert_int_equal(set_bytes(r, 0, PAGES(TEST_MAX_GFN), PAGES(1), TEST_HVA, 0), 0);
	assert_refused(r, -EEXIST, 1, PAGES(TEST_MAX_GFN), PAGES(2), TEST_HVA, 0);
}

static void two_slots_may_share_host_memory(void **state)
{
	struct recorder *r = *state;

	assert_int_equal(set_bytes(r, 0, 0, PAGES(8), TEST_HVA, 0), 0);
	assert_int_equal(set_bytes(r, 1, PAGES(8), PAGES(8), TEST_HVA, 0), 0);
	assert_int_equal(slot_at(&r->slots, PAGES(7)), 0);
	assert_int_equal(slot_at(&r->slots, PAGES(8)), 1);
	assert_int_equal(set(r, 0, 0, 0, 0), 0);
	assert_int_equal(slot_at(&r->slots, PAGES(7)), -1);
	assert_int_equal(slot_at(&r->slots, PAGES(8)), 1);
}

/* --- what a change does ------------------------------------------------ */

static void the_same_again_does_nothing(void **state)
{
	struct recorder *r = *state;
	struct picture before;

	assert_int_equal(set(r, 0, 5, 3, KVM_MEM_LOG_DIRTY_PAGES), 0);
	take_picture(r, &before);
	assert_int_equal(set(r, 0, 5, 3, KVM_MEM_LOG_DIRTY_PAGES), 0);
	assert_same(r, &before);
	assert_int_equal(r->n_events, 0);
}

static void creating_needs_nothing_from_above(void **state)
{
	struct recorder *r = *state;

	assert_int_equal(set(r, 0, 5, 3, 0), 0);
	assert_int_equal(set(r, 1, 9, 3, KVM_MEM_LOG_DIRTY_PAGES), 0);
	assert_int_equal(r->n_events, 0);
	assert_null(by_id(r, 0)->dirty);
	assert_non_null(by_id(r, 1)->dirty);
}

static void every_slot_and_every_set_has_a_version_of_its_own(void **state)
{
	struct recorder *r = *state;
	uint64_t seen[64];
	unsigned int n = 0;

	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(set(r, i, i * 8, 4, 0), 0);
		seen[n++] = by_id(r, i)->version;
		seen[n++] = slots_current(&r->slots)->version;
		assert_int_equal(set(r, i, i * 8, 4, KVM_MEM_LOG_DIRTY_PAGES), 0);
		seen[n++] = by_id(r, i)->version;
		seen[n++] = slots_current(&r->slots)->version;
		assert_int_equal(set(r, i, i * 8 + 1, 4, KVM_MEM_LOG_DIRTY_PAGES), 0);
		seen[n++] = by_id(r, i)->version;
		seen[n++] = slots_current(&r->slots)->version;
	}
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int j = 0; j < i; j++)
			assert_int_not_equal(seen[i], seen[j]);
}

/* MEMSLOT_INVALID_FIRST, ZAP_BEFORE_UNREACHABLE */
static void look_while_it_is_zapped(struct recorder *r, const struct event *e)
{
	const struct memslot *now = slot_set_find(slots_current(&r->slots), gfn_of(5));

	if (e->kind != EV_ZAP)
		return;
	assert_true(e->flags & MEMSLOT_INVALID);
	assert_non_null(now);
	assert_int_equal(now->id, e->slot);
	assert_true(now->flags & MEMSLOT_INVALID);
}

static void a_slot_is_seen_as_invalid_while_it_is_zapped(void **state)
{
	struct recorder *r = *state;

	r->on_event = look_while_it_is_zapped;
	assert_int_equal(set(r, 0, 5, 3, 0), 0);
	assert_int_equal(set(r, 0, 20, 3, 0), 0);
	assert_int_equal(r->n_events, 1);
	assert_int_equal(slot_at(&r->slots, PAGES(5)), -1);
	assert_int_equal(slot_at(&r->slots, PAGES(20)), 0);
	assert_int_equal(by_id(r, 0)->flags, 0);

	r->on_event = NULL;
	assert_int_equal(set(r, 0, 5, 3, 0), 0);
	r->on_event = look_while_it_is_zapped;
	r->n_events = 0;
	assert_int_equal(set(r, 0, 0, 0, 0), 0);
	assert_int_equal(r->n_events, 1);
	assert_int_equal(slot_at(&r->slots, PAGES(5)), -1);
	assert_null(by_id(r, 0));
}

static void a_slot_may_move_onto_its_own_old_place(void **state)
{
	struct recorder *r = *state;

	assert_int_equal(set(r, 0, 100, 10, 0), 0);
	assert_int_equal(set(r, 1, 125, 10, 0), 0);
	for (int by = -12; by <= 15; by++) {
		uint64_t gfn = 100 + (uint64_t)by;

		assert_int_equal(set(r, 0, gfn, 10, 0), 0);
		assert_int_equal(slot_at(&r->slots, PAGES(gfn) - 1), -1);
		assert_int_equal(slot_at(&r->slots, PAGES(gfn)), 0);
		assert_int_equal(slot_at(&r->slots, PAGES(gfn + 10) - 1), 0);
		assert_int_equal(slot_at(&r->slots, PAGES(gfn + 10)), gfn == 115 ? 1 : -1);
		assert_int_equal(set(r, 0, 100, 10, 0), 0);
	}
	/* Over its old place and another beyond it, on either side. */
	assert_int_equal(set(r, 2, 85, 10, 0), 0);
	assert_int_equal(set(r, 0, 116, 10, 0), -EEXIST);
	assert_int_equal(set(r, 0, 94, 10, 0), -EEXIST);
	assert_int_equal(set(r, 0, 95, 10, 0), 0);
}

static void a_moved_slot_keeps_its_log(void **state)
{
	struct recorder *r = *state;
	struct dirty_bitmap *log;

	assert_int_equal(set(r, 0, 100, 10, KVM_MEM_LOG_DIRTY_PAGES), 0);
	log = by_id(r, 0)->dirty;
	atomic64_store_relaxed(&log->words[0], 5);
	assert_int_equal(set(r, 0, 200, 10, KVM_MEM_LOG_DIRTY_PAGES), 0);
	assert_ptr_equal(by_id(r, 0)->dirty, log);
	assert_int_equal(atomic64_load_relaxed(&log->words[0]), 5);
	/* A move may end or begin logging at the same time. */
	assert_int_equal(set(r, 0, 300, 10, 0), 0);
	assert_null(by_id(r, 0)->dirty);
	assert_int_equal(set(r, 0, 400, 10, KVM_MEM_LOG_DIRTY_PAGES), 0);
	assert_non_null(by_id(r, 0)->dirty);
	assert_int_equal(atomic64_load_relaxed(&by_id(r, 0)->dirty->words[0]), 0);
}

/* WPROT_AFTER_PUBLISH, ENABLE_FLUSHES_ALWAYS */
static void look_while_it_is_protected(struct recorder *r, const struct event *e)
{
	const struct memslot *now = slot_set_find(slots_current(&r->slots), gfn_of(5));

	assert_int_equal(e->generation & GENERATION_IN_PROGRESS, 0);
	assert_true(now->flags & KVM_MEM_LOG_DIRTY_PAGES);
	assert_non_null(now->dirty);
}

static void enabling_the_log_protects_after_it_is_visible_and_flushes(void **state)
{
	struct recorder *r = *state;

	assert_int_equal(set(r, 0, 5, 3, 0), 0);
	r->on_event = look_while_it_is_protected;
	assert_int_equal(set(r, 0, 5, 3, KVM_MEM_LOG_DIRTY_PAGES), 0);
	assert_int_equal(r->n_events, 2);
	assert_int_equal(r->events[0].kind, EV_PROTECT);
	assert_int_equal(r->events[0].slot, 0);
	assert_int_equal(r->events[0].a, LEVEL_4K);
	assert_int_equal(r->events[1].kind, EV_FLUSH);
}

static void disabling_the_log_only_frees_it(void **state)
{
	struct recorder *r = *state;

	assert_int_equal(set(r, 0, 5, 3, KVM_MEM_LOG_DIRTY_PAGES), 0);
	assert_int_equal(set(r, 0, 5, 3, 0), 0);
	assert_int_equal(r->n_events, 0);
	assert_null(by_id(r, 0)->dirty);
	assert_int_equal(by_id(r, 0)->flags, 0);
	assert_int_equal(slot_at(&r->slots, PAGES(6)), 0);
}

static void a_log_that_begins_full_protects_large_pages_only(void **state)
{
	struct recorder *r = *state;
	struct dirty_bitmap *log;

	r->slots.manual_protect = r->slots.initially_set = true;
	assert_int_equal(set(r, 0, 5, 70, 0), 0);
	assert_int_equal(set(r, 0, 5, 70, KVM_MEM_LOG_DIRTY_PAGES), 0);
	assert_int_equal(r->events[0].kind, EV_PROTECT);
	assert_int_equal(r->events[0].a, LEVEL_2M);
	assert_int_equal(r->events[1].kind, EV_FLUSH);
	log = by_id(r, 0)->dirty;
	assert_int_equal(log->n_words, 2);
	assert_true(atomic64_load_relaxed(&log->words[0]) == ~0ull);
	assert_int_equal(atomic64_load_relaxed(&log->words[1]), 0x3f);
}

/* A ring says nothing at the start: every page has to be caught. */
static void logging_to_rings_needs_no_bitmap_and_protects_every_page(void **state)
{
	struct recorder *r = *state;

	r->slots.dirty_ring = r->slots.initially_set = true;
	assert_int_equal(set(r, 0, 5, 70, 0), 0);
	assert_int_equal(set(r, 0, 5, 70, KVM_MEM_LOG_DIRTY_PAGES), 0);
	assert_null(by_id(r, 0)->dirty);
	assert_int_equal(r->events[0].kind, EV_PROTECT);
	assert_int_equal(r->events[0].a, LEVEL_4K);
}

static void the_table_takes_every_id(void **state)
{
	struct recorder *r = *state;

	for (uint32_t id = 0; id < SLOTS_MAX_IDS; id++)
		assert_int_equal(set_slot(&r->slots, id, PAGES(2 * id), 1, TEST_HVA, 0), 0);
	assert_true(slot_tree_is_valid(BY_GFN, slots_current(&r->slots)->by_gfn));
	assert_true(slot_tree_is_valid(BY_HVA, slots_current(&r->slots)->by_hva));
	assert_true(slots_current(&r->slots)->by_gfn->height <= 21);
	for (uint32_t id = 0; id < SLOTS_MAX_IDS; id++) {
		assert_int_equal(slot_at(&r->slots, PAGES(2 * id)), id);
		assert_int_equal(slot_at(&r->slots, PAGES(2 * id + 1)), -1);
	}
	assert_int_equal(set_slot(&r->slots, 1, PAGES(2), 0, 0, 0), 0);
	assert_int_equal(slot_at(&r->slots, PAGES(2)), -1);
	assert_int_equal(slot_at(&r->slots, PAGES(4)), 2);
}

/* --- the generation ---------------------------------------------------- */

struct look {
	struct recorder *r;
	uint64_t generation;
	uint64_t set_version;
	unsigned int n;
};

static void look_while_readers_are_waited_for(void *ctx)
{
	struct look *l = ctx;

	l->generation = generation(l->r);
	l->set_version = slots_current(&l->r->slots)->version;
	l->n++;
}

static void the_generation_is_in_progress_until_the_last_reader_has_gone(void **state)
{
	struct recorder *r = *state;
	struct look l = { .r = r };
	uint64_t before, version;

	assert_int_equal(set(r, 0, 5, 3, 0), 0);
	before = generation(r);
	version = slots_current(&r->slots)->version;
	assert_int_equal(before & GENERATION_IN_PROGRESS, 0);

	hook_once(HOOK_SYNCHRONIZE, look_while_readers_are_waited_for, &l);
	assert_int_equal(set(r, 1, 50, 3, 0), 0);
	assert_int_equal(l.n, 1);
	assert_true(l.generation == (before | GENERATION_IN_PROGRESS));
	/* GEN_TWO_STEPS: the new set is out, its number is not. */
	assert_int_not_equal(l.set_version, version);
	assert_int_equal(generation(r), before + 1);
}

static void every_publication_raises_the_generation_by_one(void **state)
{
	struct recorder *r = *state;

	assert_int_equal(generation(r), 0);
	assert_int_equal(set(r, 0, 5, 3, 0), 0);
	assert_int_equal(generation(r), 1);
	assert_int_equal(set(r, 0, 5, 3, KVM_MEM_LOG_DIRTY_PAGES), 0);
	assert_int_equal(generation(r), 2);
	/* To move and to delete take two. */
	assert_int_equal(set(r, 0, 25, 3, KVM_MEM_LOG_DIRTY_PAGES), 0);
	assert_int_equal(generation(r), 4);
	assert_int_equal(set(r, 0, 0, 0, 0), 0);
	assert_int_equal(generation(r), 6);
	assert_int_equal(atomic64_load_relaxed(&r->n_updates), 6);
	assert_int_equal(set(r, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(generation(r), 6);
}

/* GEN_WRAP_ZAPS.  The recorder's generations wrap at eight. */
static void mmio_is_zapped_before_a_wrapped_generation_is_visible(void **state)
{
	struct recorder *r = *state;

	for (unsigned int i = 0; i < 7; i++)
		assert_int_equal(set(r, i, i * 8, 3, 0), 0);
	assert_int_equal(r->n_events, 0);
	assert_int_equal(set(r, 7, 100, 3, 0), 0);
	assert_int_equal(r->n_events, 1);
	assert_int_equal(r->events[0].kind, EV_ZAP_MMIO);
	assert_true(r->events[0].generation == (7 | GENERATION_IN_PROGRESS));
	assert_int_equal(generation(r), 8);
	assert_int_equal(set(r, 8, 200, 3, 0), 0);
	assert_int_equal(r->n_events, 1);
}

/* --- out of memory ----------------------------------------------------- */

struct call {
	uint32_t id;
	uint64_t gfn;
	uint64_t pages;
	uint32_t flags;
};

/* Fails at every allocation in turn, and then works. */
static void assert_survives_lack_of_memory(struct recorder *r, const struct call *c)
{
	struct picture before;
	uint64_t n;
	int err;

	take_picture(r, &before);
	for (n = 1;; n++) {
		unsigned int n_events = r->n_events;

		atomic64_store_relaxed(&r->alloc.fail_in, n);
		err = set(r, c->id, c->gfn, c->pages, c->flags);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(r->n_events, n_events);
		assert_same(r, &before);
	}
	/* It did not get through because it allocates nothing. */
	assert_true(n > 3);
	atomic64_store_relaxed(&r->alloc.fail_in, 0);
}

static void a_change_without_memory_changes_nothing_and_works_later(void **state)
{
	static const struct call calls[] = {
		{ 20, 300, 3, 0 },				/* create */
		{ 21, 310, 100, KVM_MEM_LOG_DIRTY_PAGES },	/* with a log */
		{ 20, 300, 3, KVM_MEM_LOG_DIRTY_PAGES },	/* begin to log */
		{ 21, 310, 100, 0 },				/* end it */
		{ 20, 420, 3, KVM_MEM_LOG_DIRTY_PAGES },	/* move */
		{ 20, 430, 3, 0 },				/* move, end the log */
		{ 20, 440, 3, KVM_MEM_LOG_DIRTY_PAGES },	/* move, begin to log */
		{ 20, 441, 3, KVM_MEM_LOG_DIRTY_PAGES },	/* onto itself */
		{ 7, 0, 0, 0 },					/* delete */
		{ 20, 0, 0, 0 },				/* delete with a log */
	};
	struct recorder *r = *state;

	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(set(r, i, i * 8, 3, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		assert_survives_lack_of_memory(r, &calls[i]);
	assert_null(by_id(r, 7));
	assert_null(by_id(r, 20));
	assert_int_equal(slot_at(&r->slots, PAGES(310)), 21);
}

static void slots_without_memory_are_not_made(void **state UNUSED)
{
	struct slots *s = calloc(1, sizeof(*s));
	struct atomic64 n;
	struct alloc a;

	alloc_init(&a);
	atomic64_store_relaxed(&a.fail_in, 1);
	assert_int_equal(slots_init(s, &a, gfn_of(TEST_MAX_GFN), &n, &n), -ENOMEM);
	free(s);
}

/* --- updates beside others --------------------------------------------- */

struct waiter {
	struct slots *slots;
	uint64_t version;
	sem_t sleeps;
};

static void note_that_it_waits(void *ctx)
{
	sem_post(&((struct waiter *)ctx)->sleeps);
}

static void *wait_for_next(void *arg)
{
	struct waiter *w = arg;

	while (atomic_ptr_load_acquire(&w->slots->current) && w->version) {
		uint64_t now;

		rcu_read_begin();
		now = slots_current(w->slots)->version;
		rcu_read_end();
		if (now != w->version)
			break;
		slots_wait_for_next(w->slots, w->version);
	}
	return NULL;
}

/* What a fault on a slot that is being deleted does. */
static void who_waits_for_the_next_version_is_woken_by_it(void **state)
{
	struct recorder *r = *state;
	struct waiter w = { .slots = &r->slots };
	pthread_t t;

	assert_int_equal(set(r, 0, 5, 3, 0), 0);
	w.version = slots_current(&r->slots)->version;
	sem_init(&w.sleeps, 0, 0);
	hook_once(HOOK_WAIT, note_that_it_waits, &w);
	thread_start(&t, wait_for_next, &w);
	sem_wait(&w.sleeps);
	assert_int_equal(set(r, 1, 50, 3, 0), 0);
	thread_end(t);
	sem_destroy(&w.sleeps);
	/* And does not wait for what has been. */
	slots_wait_for_next(&r->slots, w.version);
}

struct race {
	struct recorder *r;
	struct atomic32 stop;
};

static void *look_up(void *arg)
{
	struct race *race = arg;
	struct slots *s = &race->r->slots;
	struct slot_hint hint = { 0 };

	for (uint64_t gfn = 0; !atomic32_load_relaxed(&race->stop); gfn = (gfn + 7) % 128) {
		const struct memslot *slot;

		rcu_read_begin();
		slot = slot_set_find_hinted(slots_current(s), gfn_of(gfn), &hint);
		note_unless(!slot || gfn - slot->base_gfn.raw < slot->npages);
		rcu_read_end();
	}
	return NULL;
}

static void readers_run_beside_updates(void **state)
{
	struct race race = { .r = *state };
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		thread_start(&t[i], look_up, &race);
	for (unsigned int i = 0; i < STEPS(400); i++) {
		uint32_t id = i % 16;

		assert_int_equal(set(race.r, id, id * 8, 4, 0), 0);
		assert_int_equal(set(race.r, id, id * 8 + 1, 4, 0), 0);
		assert_int_equal(set(race.r, id, id * 8 + 1, 4, KVM_MEM_LOG_DIRTY_PAGES), 0);
		if (i % 3)
			assert_int_equal(set(race.r, id, 0, 0, 0), 0);
		else
			assert_int_equal(set(race.r, id, id * 8, 4, 0), 0);
		race.r->n_events = 0;
		if (i % 3 == 0)
			assert_int_equal(set(race.r, id, 0, 0, 0), 0);
	}
	atomic32_store_relaxed(&race.stop, 1);
	for (int i = 0; i < 4; i++)
		thread_end(t[i]);
	assert_no_thread_failed();
}

/* --- the model --------------------------------------------------------- */

#define N_IDS 24u
#define N_GFNS 160u

struct region {
	uint64_t gfn;
	uint64_t pages;
	hva_t hva;
	uint32_t flags;
};

static int naive_set(struct region *regions, uint32_t id, const struct region *want)
{
	struct region *old = &regions[id];

	if (!want->pages) {
		if (!old->pages)
			return -EINVAL;
		*old = (struct region){ 0 };
		return 0;
	}
	if (old->pages && (!hva_eq(old->hva, want->hva) || old->pages != want->pages ||
			   (old->flags ^ want->flags) & KVM_MEM_READONLY))
		return -EINVAL;
	for (uint32_t i = 0; i < N_IDS; i++)
		if (i != id && regions[i].pages && want->gfn < regions[i].gfn + regions[i].pages &&
		    regions[i].gfn < want->gfn + want->pages)
			return -EEXIST;
	*old = *want;
	return 0;
}

static void compare_with_model(struct run *run, struct recorder *r, const struct region *regions,
			       struct slot_hint *hint)
{
	const struct slot_set *set = slots_current(&r->slots);
	uint64_t n_pages = 0, first = run_below(run, N_GFNS);

	run_assert(run, slot_tree_is_valid(BY_GFN, set->by_gfn));
	run_assert(run, slot_tree_is_valid(BY_HVA, set->by_hva));
	/* From anywhere: the last slot found is what the hint remembers. */
	for (uint64_t i = 0; i < N_GFNS; i++) {
		uint64_t gfn = (first + i) % N_GFNS;
		const struct memslot *slot = slot_set_find(set, gfn_of(gfn)), *want = NULL;

		run_assert(run, slot_set_find_hinted(set, gfn_of(gfn), hint) == slot);
		for (uint32_t id = 0; id < N_IDS; id++)
			if (gfn - regions[id].gfn < regions[id].pages)
				want = by_id(r, id);
		run_assert(run, slot == want);
	}
	for (uint32_t id = 0; id < N_IDS; id++) {
		const struct memslot *slot = by_id(r, id);

		n_pages += regions[id].pages;
		run_assert(run, !slot == !regions[id].pages);
		if (!slot)
			continue;
		run_assert(run, slot->base_gfn.raw == regions[id].gfn);
		run_assert(run, slot->npages == regions[id].pages);
		run_assert(run, hva_eq(slot->hva, regions[id].hva) && slot->id == id);
		run_assert(run, slot->flags == regions[id].flags);
		run_assert(run, !slot->dirty == !memslot_is_logged(slot));
	}
	run_assert(run, r->slots.n_pages == n_pages);
}

static struct region random_region(struct run *run, const struct region *old)
{
	static const uint32_t some_flags[] = { 0, 0, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY,
					       KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY };
	struct region want = *old;

	if (run_chance(run, 20))
		return (struct region){ 0 };
	if (!old->pages || run_chance(run, 10))
		want = (struct region){
			.gfn = run_below(run, N_GFNS - 12),
			.pages = 1 + run_below(run, 12),
			.hva = hva_of(TEST_HVA + PAGES(run_below(run, 64))),
			.flags = some_flags[run_below(run, ARRAY_SIZE(some_flags))],
		};
	if (old->pages && run_chance(run, 60))
		want.gfn = run_below(run, N_GFNS - 12);
	if (old->pages && run_chance(run, 40))
		want.flags ^= KVM_MEM_LOG_DIRTY_PAGES;
	return want;
}

static void random_changes_agree_with_a_naive_model(void **state)
{
	struct recorder *r = *state;
	struct slot_hint hint = { 0 };

	for (uint64_t seed = 21; seed <= 22; seed++) {
		struct region regions[N_IDS] = { 0 };
		struct run run;

		run_begin(&run, seed);
		for (; run.step < STEPS(20000); run.step++) {
			uint32_t id = (uint32_t)run_below(&run, N_IDS);
			struct region want = random_region(&run, &regions[id]);
			int err = set_slot(&r->slots, id, PAGES(want.gfn), want.pages,
					   want.hva.raw, want.flags);

			run_assert(&run, err == naive_set(regions, id, &want));
			compare_with_model(&run, r, regions, &hint);
			r->n_events = 0;
		}
		for (uint32_t id = 0; id < N_IDS; id++)
			if (regions[id].pages)
				assert_int_equal(set(r, id, 0, 0, 0), 0);
	}
}

#define slots_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		slots_test(what_is_not_page_aligned_is_refused),
		slots_test(a_range_that_wraps_is_refused),
		slots_test(host_addresses_end_where_the_process_does),
		slots_test(a_slot_has_less_than_two_to_the_31_pages),
		slots_test(a_slot_beyond_the_highest_frame_is_refused),
		slots_test(unknown_flags_are_refused),
		slots_test(an_id_out_of_range_is_refused),
		slots_test(deleting_what_is_not_there_is_refused),
		slots_test(size_host_address_and_read_only_cannot_change),
		slots_test(guest_frames_must_not_overlap),
		slots_test(an_overlap_is_reported_before_the_highest_frame),
		slots_test(two_slots_may_share_host_memory),
		slots_test(the_same_again_does_nothing),
		slots_test(creating_needs_nothing_from_above),
		slots_test(every_slot_and_every_set_has_a_version_of_its_own),
		slots_test(a_slot_is_seen_as_invalid_while_it_is_zapped),
		slots_test(a_slot_may_move_onto_its_own_old_place),
		slots_test(a_moved_slot_keeps_its_log),
		slots_test(enabling_the_log_protects_after_it_is_visible_and_flushes),
		slots_test(disabling_the_log_only_frees_it),
		slots_test(a_log_that_begins_full_protects_large_pages_only),
		slots_test(logging_to_rings_needs_no_bitmap_and_protects_every_page),
		slots_test(the_table_takes_every_id),
		slots_test(the_generation_is_in_progress_until_the_last_reader_has_gone),
		slots_test(every_publication_raises_the_generation_by_one),
		slots_test(mmio_is_zapped_before_a_wrapped_generation_is_visible),
		slots_test(a_change_without_memory_changes_nothing_and_works_later),
		cmocka_unit_test(slots_without_memory_are_not_made),
		slots_test(who_waits_for_the_next_version_is_woken_by_it),
		slots_test(readers_run_beside_updates),
		slots_test(random_changes_agree_with_a_naive_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
