/* SPDX-License-Identifier: MIT */
/* tests/unit/mem/test_dirty_ring.c - the ring that is shared with the client. */
#include "vm_fixture.h"

#include <stdlib.h>
#include <string.h>

#define ID 3u
#define N_PAGES 200u
#define SIZE 128u
#define LIMIT (SIZE - DIRTY_RING_RESERVED)

struct world {
	struct recorder *r;
	struct dirty_ring ring;
	struct kvm_dirty_gfn entries[SIZE];
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->r = recorder_make();
	w->r->slots.dirty_ring = true;
	assert_int_equal(set_slot(&w->r->slots, ID, 0, N_PAGES, TEST_HVA, KVM_MEM_LOG_DIRTY_PAGES),
			 0);
	dirty_ring_init(&w->ring, w->entries, sizeof(w->entries));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	recorder_free(w->r);
	free(w);
	return 0;
}

static uint32_t reset(struct world *w)
{
	uint32_t n;

	w->r->n_events = 0;
	mutex_lock(&w->r->slots.lock);
	n = dirty_ring_reset(&w->r->slots, &w->ring);
	mutex_unlock(&w->r->slots.lock);
	return n;
}

/* The client takes @n entries from number @first on and gives them back. */
static void give_back(struct world *w, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		w->entries[(first + i) % SIZE].flags = KVM_DIRTY_GFN_F_RESET;
}

static void push_all(struct world *w, const uint64_t *pages, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		dirty_ring_push(&w->ring, ID, pages[i]);
}

static void assert_protected(const struct world *w, unsigned int i, uint64_t offset, uint64_t mask)
{
	assert_true(i < w->r->n_events);
	assert_int_equal(w->r->events[i].kind, EV_PROTECT_PAGES);
	assert_int_equal(w->r->events[i].slot, ID);
	assert_true(w->r->events[i].a == offset && w->r->events[i].b == mask);
}

/* --- publishing -------------------------------------------------------- */

static void a_push_fills_an_entry_and_marks_it_dirty(void **state)
{
	struct world *w = *state;

	assert_int_equal(w->ring.size, SIZE);
	dirty_ring_push(&w->ring, ID, 7);
	dirty_ring_push(&w->ring, ID, 199);
	assert_int_equal(w->entries[0].flags, KVM_DIRTY_GFN_F_DIRTY);
	assert_int_equal(w->entries[0].slot, ID);
	assert_int_equal(w->entries[0].offset, 7);
	assert_int_equal(w->entries[1].flags, KVM_DIRTY_GFN_F_DIRTY);
	assert_int_equal(w->entries[1].offset, 199);
	assert_int_equal(w->entries[2].flags, 0);
}

static void a_ring_is_full_before_its_reserve_is_used(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < LIMIT; i++) {
		assert_false(dirty_ring_is_full(&w->ring));
		dirty_ring_push(&w->ring, ID, i);
	}
	assert_true(dirty_ring_is_full(&w->ring));
	/* One walk of tables may still push some. */
	for (uint32_t i = 0; i < DIRTY_RING_RESERVED; i++)
		dirty_ring_push(&w->ring, ID, i);
	assert_true(dirty_ring_is_full(&w->ring));
	give_back(w, 0, DIRTY_RING_RESERVED);
	assert_int_equal(reset(w), DIRTY_RING_RESERVED);
	assert_true(dirty_ring_is_full(&w->ring));
	give_back(w, DIRTY_RING_RESERVED, 1);
	assert_int_equal(reset(w), 1);
	assert_false(dirty_ring_is_full(&w->ring));
}

static void the_numbers_of_entries_may_wrap(void **state)
{
	struct world *w = *state;

	atomic32_store_relaxed(&w->ring.pushed, ~0u - 1);
	atomic32_store_relaxed(&w->ring.reset, ~0u - 1);
	for (uint32_t i = 0; i < LIMIT; i++) {
		assert_false(dirty_ring_is_full(&w->ring));
		dirty_ring_push(&w->ring, ID, i);
	}
	assert_true(dirty_ring_is_full(&w->ring));
	give_back(w, ~0u - 1, LIMIT);
	assert_int_equal(reset(w), LIMIT);
	assert_false(dirty_ring_is_full(&w->ring));
}

/* --- taking back ------------------------------------------------------- */

static void a_reset_takes_only_what_was_given_back_and_in_order(void **state)
{
	static const uint64_t pages[] = { 1, 2, 3, 4 };
	struct world *w = *state;

	push_all(w, pages, 4);
	assert_int_equal(reset(w), 0);
	/* Not the first: nothing is taken. */
	give_back(w, 1, 1);
	assert_int_equal(reset(w), 0);
	give_back(w, 0, 1);
	assert_int_equal(reset(w), 2);
	assert_int_equal(w->entries[0].flags, 0);
	assert_int_equal(w->entries[1].flags, 0);
	assert_int_equal(w->entries[2].flags, KVM_DIRTY_GFN_F_DIRTY);
	give_back(w, 2, 2);
	assert_int_equal(reset(w), 2);
	assert_int_equal(reset(w), 0);
	assert_int_equal(atomic64_load_relaxed(&w->r->n_harvested), 4);
}

static void neighbours_are_protected_together(void **state)
{
	static const uint64_t pages[] = { 10, 11, 73, 12, 74, 9, 10, 150 };
	struct world *w = *state;

	push_all(w, pages, ARRAY_SIZE(pages));
	give_back(w, 0, ARRAY_SIZE(pages));
	assert_int_equal(reset(w), ARRAY_SIZE(pages));
	assert_int_equal(w->r->n_events, 4);
	assert_protected(w, 0, 10, 1ull << 63 | 7);
	/* 74 is 64 away from 10; 9 lies before it; 150 too far from it. */
	assert_protected(w, 1, 74, 1);
	assert_protected(w, 2, 9, 3);
	assert_protected(w, 3, 150, 1);
}

static void entries_of_two_slots_are_not_mixed(void **state)
{
	struct world *w = *state;

	assert_int_equal(set_slot(&w->r->slots, ID + 1, N_PAGES << PAGE_SHIFT, 64, TEST_HVA,
				  KVM_MEM_LOG_DIRTY_PAGES), 0);
	dirty_ring_push(&w->ring, ID, 10);
	dirty_ring_push(&w->ring, ID + 1, 11);
	give_back(w, 0, 2);
	assert_int_equal(reset(w), 2);
	assert_int_equal(w->r->n_events, 2);
	assert_protected(w, 0, 10, 1);
	assert_int_equal(w->r->events[1].slot, ID + 1);
	assert_true(w->r->events[1].a == 11 && w->r->events[1].b == 1);
}

static void a_slot_that_has_gone_is_passed_over(void **state)
{
	struct world *w = *state;

	dirty_ring_push(&w->ring, ID, 10);
	assert_int_equal(set_slot(&w->r->slots, ID, 0, 0, 0, 0), 0);
	give_back(w, 0, 1);
	assert_int_equal(reset(w), 1);
	assert_int_equal(w->r->n_events, 0);
}

/* --- a client that scribbles -------------------------------------------- */

/* RING_DISTRUST */
static void scribbled_numbers_do_no_harm(void **state)
{
	static const struct kvm_dirty_gfn scribbles[] = {
		{ .slot = SLOTS_MAX_IDS, .offset = 1 }, { .slot = ~0u, .offset = 1 },
		{ .slot = 0x10000 | ID, .offset = 1 }, { .slot = ID, .offset = N_PAGES },
		{ .slot = ID, .offset = ~0ull }, { .slot = ID, .offset = ~0ull - 62 },
		{ .slot = ID, .offset = 1ull << 52 }, { .slot = 0, .offset = 0 },
	};
	struct world *w = *state;

	for (uint32_t i = 0; i < ARRAY_SIZE(scribbles); i++) {
		dirty_ring_push(&w->ring, ID, 5);
		w->entries[i] = scribbles[i];
	}
	give_back(w, 0, ARRAY_SIZE(scribbles));
	assert_int_equal(reset(w), ARRAY_SIZE(scribbles));
	assert_int_equal(w->r->n_events, 0);
}

/* A batch begins in the slot and goes on past its end, or past 2^64. */
static void a_batch_is_cut_at_the_end_of_the_slot(void **state)
{
	static const uint64_t pages[] = { N_PAGES - 2, N_PAGES - 1, N_PAGES, N_PAGES + 40 };
	static const uint64_t wrapping[] = { ~0ull - 1, ~0ull, 0, 1 };
	struct world *w = *state;

	push_all(w, pages, 4);
	give_back(w, 0, 4);
	assert_int_equal(reset(w), 4);
	assert_int_equal(w->r->n_events, 1);
	assert_protected(w, 0, N_PAGES - 2, 3);

	push_all(w, wrapping, 4);
	give_back(w, 4, 4);
	assert_int_equal(reset(w), 4);
	assert_int_equal(w->r->n_events, 1);
	assert_protected(w, 0, 0, 3);
}

static void entries_that_were_never_pushed_are_not_taken(void **state)
{
	struct world *w = *state;

	dirty_ring_push(&w->ring, ID, 5);
	give_back(w, 0, SIZE);
	assert_int_equal(reset(w), 1);
	assert_int_equal(reset(w), 0);
	assert_int_equal(w->r->n_events, 0);
	assert_false(dirty_ring_is_full(&w->ring));
}

static void a_push_writes_over_what_was_scribbled(void **state)
{
	struct world *w = *state;

	memset(w->entries, 0xff, sizeof(w->entries));
	dirty_ring_push(&w->ring, ID, 5);
	assert_int_equal(w->entries[0].flags, KVM_DIRTY_GFN_F_DIRTY);
	assert_int_equal(w->entries[0].slot, ID);
	assert_int_equal(w->entries[0].offset, 5);
}

/* Other bits beside RESET mean nothing. */
static void only_the_reset_flag_counts(void **state)
{
	struct world *w = *state;

	dirty_ring_push(&w->ring, ID, 5);
	w->entries[0].flags = ~(uint32_t)KVM_DIRTY_GFN_F_RESET;
	assert_int_equal(reset(w), 0);
	w->entries[0].flags = ~0u;
	assert_int_equal(reset(w), 1);
	assert_protected(w, 0, 5, 1);
}

static void the_last_page_of_a_slot_of_whole_words_is_protected(void **state)
{
	struct world *w = *state;

	assert_int_equal(set_slot(&w->r->slots, ID + 1, N_PAGES << PAGE_SHIFT, 128, TEST_HVA,
				  KVM_MEM_LOG_DIRTY_PAGES), 0);
	dirty_ring_push(&w->ring, ID + 1, 64);
	dirty_ring_push(&w->ring, ID + 1, 127);
	give_back(w, 0, 2);
	assert_int_equal(reset(w), 2);
	assert_int_equal(w->r->n_events, 1);
	assert_true(w->r->events[0].a == 64 && w->r->events[0].b == (1ull << 63 | 1));
}

/* --- the model --------------------------------------------------------- */

static void protect_in_model(struct recorder *r, const struct event *e)
{
	bool *is_protected = r->ctx;

	for (unsigned int bit = 0; bit < 64; bit++)
		if (e->b >> bit & 1)
			is_protected[e->a + bit] = true;
}

/* Every page pushed is seen by the client, in order, and protected by a reset. */
static void random_pushes_and_resets_agree_with_a_naive_queue(void **state)
{
	struct world *w = *state;
	bool is_protected[N_PAGES + 64] = { 0 };
	uint64_t queue[SIZE];
	uint32_t pushed = 0, given = 0, taken = 0;
	struct run run;

	run_begin(&run, 41);
	w->r->on_event = protect_in_model;
	w->r->ctx = is_protected;
	for (; run.step < STEPS(100000); run.step++) {
		if (run_chance(&run, 50) && !dirty_ring_is_full(&w->ring)) {
			uint64_t page = run_chance(&run, 70) && pushed ?
						(queue[(pushed - 1) % SIZE] + 1) % N_PAGES :
						run_below(&run, N_PAGES);

			run_assert(&run, pushed - taken < LIMIT);
			queue[pushed++ % SIZE] = page;
			dirty_ring_push(&w->ring, ID, page);
		} else if (run_chance(&run, 60) && given != pushed) {
			run_assert(&run, w->entries[given % SIZE].flags == KVM_DIRTY_GFN_F_DIRTY);
			run_assert(&run, w->entries[given % SIZE].offset == queue[given % SIZE]);
			give_back(w, given++, 1);
		} else {
			memset(is_protected, 0, sizeof(is_protected));
			run_assert(&run, reset(w) == given - taken);
			for (; taken != given; taken++)
				run_assert(&run, is_protected[queue[taken % SIZE]]);
		}
	}
}

/* --- a client in another thread ----------------------------------------- */

#define N_PUSHES 30000u

struct race {
	struct world *w;
	struct atomic32 done;
};

/* RING_PUBLISH: whoever sees the flag sees the entry that belongs to it. */
static void *be_the_client(void *arg)
{
	struct race *race = arg;
	struct world *w = race->w;
	uint32_t expected = 0;

	while (expected < STEPS(N_PUSHES)) {
		struct kvm_dirty_gfn *e = &w->entries[expected % SIZE];

		if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) == KVM_DIRTY_GFN_F_DIRTY) {
			note_unless(__atomic_load_n(&e->offset, __ATOMIC_RELAXED) ==
				    expected % N_PAGES);
			__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
			expected++;
		}
		if (expected % 16 == 0) {
			mutex_lock(&w->r->slots.lock);
			w->r->n_events = 0;
			dirty_ring_reset(&w->r->slots, &w->ring);
			mutex_unlock(&w->r->slots.lock);
		}
	}
	return NULL;
}

static void a_client_beside_the_vcpu_sees_every_page_in_order(void **state)
{
	struct race race = { .w = *state };
	pthread_t t;

	thread_start(&t, be_the_client, &race);
	for (uint32_t i = 0; i < STEPS(N_PUSHES);) {
		if (dirty_ring_is_full(&race.w->ring)) {
			sched_yield();
			continue;
		}
		dirty_ring_push(&race.w->ring, ID, i++ % N_PAGES);
	}
	thread_end(t);
	assert_no_thread_failed();
}

#define ring_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ring_test(a_push_fills_an_entry_and_marks_it_dirty),
		ring_test(a_ring_is_full_before_its_reserve_is_used),
		ring_test(the_numbers_of_entries_may_wrap),
		ring_test(a_reset_takes_only_what_was_given_back_and_in_order),
		ring_test(neighbours_are_protected_together),
		ring_test(entries_of_two_slots_are_not_mixed),
		ring_test(a_slot_that_has_gone_is_passed_over),
		ring_test(scribbled_numbers_do_no_harm),
		ring_test(a_batch_is_cut_at_the_end_of_the_slot),
		ring_test(entries_that_were_never_pushed_are_not_taken),
		ring_test(a_push_writes_over_what_was_scribbled),
		ring_test(only_the_reset_flag_counts),
		ring_test(the_last_page_of_a_slot_of_whole_words_is_protected),
		ring_test(random_pushes_and_resets_agree_with_a_naive_queue),
		ring_test(a_client_beside_the_vcpu_sees_every_page_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
