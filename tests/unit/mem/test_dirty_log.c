/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/mem/test_dirty_log.c - harvesting the bitmap of a slot.
 *
 * Above the slots there is only a recorder: which pages it was told to protect,
 * and when to flush.  With an MMU above them see test_translate.c.
 */
#include "vm_fixture.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mem/dirty_log.h"

#define ID 3u
#define BASE_GFN 1000u
#define N_PAGES 200u
#define N_WORDS 4u
#define LOGGED KVM_MEM_LOG_DIRTY_PAGES

static int setup(void **state)
{
	struct recorder *r = recorder_make();

	assert_int_equal(set_slot(&r->slots, ID, BASE_GFN << PAGE_SHIFT, N_PAGES, TEST_HVA, LOGGED),
			 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	recorder_free(*state);
	return 0;
}

static const struct memslot *the_slot(struct recorder *r)
{
	return slot_set_find(slots_current(&r->slots), gfn_of(BASE_GFN));
}

static uint64_t log_word(struct recorder *r, unsigned int i)
{
	return atomic64_load_relaxed(&the_slot(r)->dirty->words[i]);
}

static void mark(struct recorder *r, uint64_t page)
{
	rcu_read_begin();
	dirty_log_mark(the_slot(r), gfn_of(BASE_GFN + page));
	rcu_read_end();
}

static uint64_t harvested(const struct recorder *r)
{
	return atomic64_load_relaxed(&r->n_harvested);
}

static void *no_memory(void)
{
	void *p = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void assert_event(const struct recorder *r, unsigned int i, enum event_kind kind,
			 uint64_t offset, uint64_t mask)
{
	assert_true(i < r->n_events);
	assert_int_equal(r->events[i].kind, kind);
	assert_true(r->events[i].a == offset && r->events[i].b == mask);
}

/* --- marking ----------------------------------------------------------- */

static void a_mark_is_one_bit_counted_from_the_start_of_the_slot(void **state)
{
	struct recorder *r = *state;

	mark(r, 0);
	mark(r, 63);
	mark(r, 64);
	mark(r, 199);
	mark(r, 199);
	assert_true(log_word(r, 0) == (1ull << 63 | 1));
	assert_true(log_word(r, 1) == 1);
	assert_true(log_word(r, 2) == 0);
	assert_true(log_word(r, 3) == 1ull << 7);
}

/* --- arguments --------------------------------------------------------- */

static void a_slot_that_is_not_logged_has_no_log(void **state)
{
	struct recorder *r = *state;
	uint64_t bitmap[N_WORDS];

	assert_int_equal(dirty_log_get(&r->slots, ID + 1, bitmap), -ENOENT);
	assert_int_equal(dirty_log_clear(&r->slots, ID + 1, 0, 64, bitmap), -ENOENT);
	assert_int_equal(set_slot(&r->slots, ID + 1, 0, 8, TEST_HVA, 0), 0);
	assert_int_equal(dirty_log_get(&r->slots, ID + 1, bitmap), -ENOENT);
	assert_int_equal(dirty_log_clear(&r->slots, ID + 1, 0, 0, bitmap), -ENOENT);
}

static void an_id_that_cannot_be_is_invalid(void **state)
{
	const uint32_t ids[] = { SLOTS_MAX_IDS, 0xffff, 0x10000 | ID, ~0u };
	struct recorder *r = *state;
	uint64_t bitmap[N_WORDS];

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		assert_int_equal(dirty_log_get(&r->slots, ids[i], bitmap), -EINVAL);
		assert_int_equal(dirty_log_clear(&r->slots, ids[i], 0, 64, bitmap), -EINVAL);
	}
}

static void a_machine_that_logs_to_rings_has_no_bitmaps(void **state)
{
	struct recorder *r = *state;
	uint64_t bitmap[N_WORDS];

	r->slots.dirty_ring = true;
	assert_int_equal(dirty_log_get(&r->slots, ID, bitmap), -ENXIO);
	assert_int_equal(dirty_log_get(&r->slots, ~0u, bitmap), -ENXIO);
	assert_int_equal(dirty_log_clear(&r->slots, ID, 0, 64, bitmap), -ENXIO);
}

/* Of several things that are wrong, the one that KVM looks at first. */
static void what_is_wrong_is_found_in_kvms_order(void **state)
{
	enum { UNLOGGED = ID + 1, ABSENT = ID + 2 };
	static const struct {
		bool rings;
		uint32_t id;
		uint64_t first, n;
		bool no_bitmap;
		int want;
	} cases[] = {
		{ true, ~0u, 1, ~0ull, true, -ENXIO },
		{ true, UNLOGGED, 1, ~0ull, true, -ENXIO },
		{ false, SLOTS_MAX_IDS, 1, ~0ull, true, -EINVAL },
		{ false, SLOTS_MAX_IDS, 0, 0, false, -EINVAL },
		{ false, ABSENT, 1, ~0ull, true, -EINVAL },
		{ false, ABSENT, 63, 64, false, -EINVAL },
		{ false, UNLOGGED, 1, ~0ull, true, -EINVAL },
		{ false, ABSENT, 64, ~0ull, true, -ENOENT },
		{ false, ABSENT, 1ull << 60, 1, true, -ENOENT },
		{ false, UNLOGGED, 64, ~0ull, true, -ENOENT },
		{ false, ID, 1, ~0ull, true, -EINVAL },
		{ false, ID, 1ull << 60, 0, true, -EINVAL },
		{ false, ID, 0, 63, true, -EINVAL },
		{ false, ID, 0, 64, true, -EFAULT },
		{ false, ID, 192, 8, true, -EFAULT },
		{ false, ID, 0, 64, false, 0 },
	};
	struct recorder *r = *state;
	uint64_t bitmap[N_WORDS] = { ~0ull };

	assert_int_equal(set_slot(&r->slots, UNLOGGED, 0, 8, TEST_HVA, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		mark(r, 5);
		r->slots.dirty_ring = cases[i].rings;
		assert_int_equal(dirty_log_clear(&r->slots, cases[i].id, cases[i].first,
						 cases[i].n,
						 cases[i].no_bitmap ? NULL : bitmap),
				 cases[i].want);
		assert_true(log_word(r, 0) == (cases[i].want ? 1ull << 5 : 0));
	}
	/* The log is taken last of all. */
	mark(r, 5);
	assert_int_equal(dirty_log_get(&r->slots, SLOTS_MAX_IDS, NULL), -EINVAL);
	assert_int_equal(dirty_log_get(&r->slots, ABSENT, NULL), -ENOENT);
	assert_int_equal(dirty_log_get(&r->slots, UNLOGGED, NULL), -ENOENT);
	assert_int_equal(dirty_log_get(&r->slots, ID, NULL), -EFAULT);
	r->slots.dirty_ring = true;
	assert_int_equal(dirty_log_get(&r->slots, SLOTS_MAX_IDS, NULL), -ENXIO);
	r->slots.dirty_ring = false;
	assert_true(log_word(r, 0) == 1ull << 5);
}

static void a_range_to_clear_is_checked(void **state)
{
	static const struct {
		uint64_t first, n;
		int want;
	} cases[] = {
		{ 0, 64, 0 }, { 0, 0, 0 }, { 64, 128, 0 }, { 0, 200, 0 }, { 192, 8, 0 },
		{ 128, 72, 0 },
		{ 1, 64, -EINVAL }, { 32, 64, -EINVAL }, { 0, 63, -EINVAL }, { 0, 65, -EINVAL },
		{ 0, 199, -EINVAL }, { 0, 201, -EINVAL }, { 192, 7, -EINVAL }, { 192, 9, -EINVAL },
		{ 192, 64, -EINVAL }, { 256, 0, -EINVAL }, { 256, 64, -EINVAL },
		{ 64, ~0ull, -EINVAL }, { ~63ull, 64, -EINVAL }, { ~63ull, 128, -EINVAL },
	};
	static const uint64_t ones[N_WORDS] = { ~0ull, ~0ull, ~0ull, ~0ull };
	struct recorder *r = *state;

	mark(r, 0);
	mark(r, 199);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int err = dirty_log_clear(&r->slots, ID, cases[i].first, cases[i].n, ones);

		assert_int_equal(err, cases[i].want);
		if (!err) {
			mark(r, 0);
			mark(r, 199);
		}
		assert_true(log_word(r, 0) == 1 && log_word(r, 3) == 1ull << 7);
	}
}

/* The bitmap ends with a whole word of 64, as the API says. */
static void nothing_is_written_past_the_rounded_bitmap(void **state)
{
	struct recorder *r = *state;
	uint64_t bitmap[N_WORDS + 2];

	memset(bitmap, 0xee, sizeof(bitmap));
	mark(r, 199);
	assert_int_equal(dirty_log_get(&r->slots, ID, bitmap), 0);
	assert_true(bitmap[2] == 0 && bitmap[3] == 1ull << 7);
	assert_true(bitmap[4] == 0xeeeeeeeeeeeeeeeeull);
}

/* --- order ------------------------------------------------------------- */

struct order {
	uint64_t *bitmap;	/* the client's */
	bool bits_taken, copied_late;
};

/* HARVEST_ORDER: whenever it calls us, the bits are gone and not handed out. */
static void look_at_order(struct recorder *r, const struct event *e)
{
	struct order *o = r->ctx;

	if (e->kind == EV_PROTECT_PAGES)
		o->bits_taken &= !(log_word(r, (unsigned int)(e->a / 64)) & e->b);
	o->copied_late &= o->bitmap[0] == 0x1111 && o->bitmap[3] == 0x1111;
}

static void a_harvest_takes_protects_flushes_and_hands_out_in_this_order(void **state)
{
	struct recorder *r = *state;
	uint64_t bitmap[N_WORDS] = { 0x1111, 0x1111, 0x1111, 0x1111 };
	struct order o = { .bitmap = bitmap, .bits_taken = true, .copied_late = true };

	mark(r, 1);
	mark(r, 5);
	mark(r, 130);
	r->on_event = look_at_order;
	r->ctx = &o;
	assert_int_equal(dirty_log_get(&r->slots, ID, bitmap), 0);
	assert_int_equal(r->n_events, 3);
	assert_event(r, 0, EV_PROTECT_PAGES, 0, 1 << 1 | 1 << 5);
	assert_event(r, 1, EV_PROTECT_PAGES, 128, 1 << 2);
	assert_event(r, 2, EV_FLUSH, 0, 0);
	assert_true(o.bits_taken && o.copied_late);
	assert_true(bitmap[0] == (1 << 1 | 1 << 5) && !bitmap[1] && bitmap[2] == 1 << 2);
	assert_int_equal(harvested(r), 3);
}

static void a_harvest_of_nothing_neither_protects_nor_flushes(void **state)
{
	struct recorder *r = *state;
	uint64_t bitmap[N_WORDS] = { 1, 1, 1, 1 };

	assert_int_equal(dirty_log_get(&r->slots, ID, bitmap), 0);
	assert_int_equal(r->n_events, 0);
	assert_true(!bitmap[0] && !bitmap[1] && !bitmap[2] && !bitmap[3]);
}

static void mark_again(struct recorder *r, const struct event *e)
{
	if (e->kind == EV_FLUSH)
		mark(r, 5);
}

/* A write after the protection is for the next harvest. */
static void a_mark_made_during_a_harvest_is_kept(void **state)
{
	struct recorder *r = *state;
	uint64_t bitmap[N_WORDS];

	mark(r, 5);
	r->on_event = mark_again;
	assert_int_equal(dirty_log_get(&r->slots, ID, bitmap), 0);
	assert_true(bitmap[0] == 1 << 5);
	r->on_event = NULL;
	assert_int_equal(dirty_log_get(&r->slots, ID, bitmap), 0);
	assert_true(bitmap[0] == 1 << 5);
}

static void a_harvest_whose_copy_fails_reports_the_pages_again(void **state)
{
	struct recorder *r = *state;
	uint64_t bitmap[N_WORDS];
	void *nowhere = no_memory();

	mark(r, 7);
	mark(r, 190);
	assert_int_equal(dirty_log_get(&r->slots, ID, nowhere), -EFAULT);
	mark(r, 8);
	assert_int_equal(dirty_log_get(&r->slots, ID, bitmap), 0);
	assert_true(bitmap[0] == (1 << 7 | 1 << 8) && bitmap[2] == 1ull << (190 - 128));
	/* They were counted when they were handed out, and only then. */
	assert_int_equal(harvested(r), 3);
	munmap(nowhere, PAGE_SIZE);
}

/* --- manual protection ------------------------------------------------- */

static void with_manual_protection_get_only_reads(void **state)
{
	struct recorder *r = *state;
	uint64_t bitmap[N_WORDS];

	r->slots.manual_protect = true;
	mark(r, 7);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(dirty_log_get(&r->slots, ID, bitmap), 0);
		assert_true(bitmap[0] == 1 << 7);
		assert_int_equal(r->n_events, 0);
	}
	assert_int_equal(harvested(r), 0);
	void *nowhere = no_memory();

	assert_int_equal(dirty_log_get(&r->slots, ID, nowhere), -EFAULT);
	munmap(nowhere, PAGE_SIZE);
}

static void clear_protects_only_what_it_names_and_was_dirty(void **state)
{
	struct recorder *r = *state;
	const uint64_t bitmap[2] = { 1 << 1 | 1 << 2, 1 << 3 };

	r->slots.manual_protect = true;
	mark(r, 64 + 1);
	mark(r, 64 + 5);
	mark(r, 128 + 3);
	mark(r, 2);
	assert_int_equal(dirty_log_clear(&r->slots, ID, 64, 128, bitmap), 0);
	assert_int_equal(r->n_events, 3);
	assert_event(r, 0, EV_PROTECT_PAGES, 64, 1 << 1);
	assert_event(r, 1, EV_PROTECT_PAGES, 128, 1 << 3);
	assert_event(r, 2, EV_FLUSH, 0, 0);
	assert_true(log_word(r, 0) == 1 << 2 && log_word(r, 1) == 1 << 5 && !log_word(r, 2));
	assert_int_equal(harvested(r), 2);
}

static void clearing_what_is_clean_neither_protects_nor_flushes(void **state)
{
	static const uint64_t ones[N_WORDS] = { ~0ull, ~0ull, ~0ull, ~0ull };
	struct recorder *r = *state;

	assert_int_equal(dirty_log_clear(&r->slots, ID, 0, N_PAGES, ones), 0);
	assert_int_equal(r->n_events, 0);
}

/* Bits beyond the last page may be set in the client's last word. */
static void bits_past_the_end_are_ignored(void **state)
{
	static const uint64_t ones[1] = { ~0ull };
	struct recorder *r = *state;

	r->slots.manual_protect = r->slots.initially_set = true;
	assert_int_equal(set_slot(&r->slots, 0, 0, 70, TEST_HVA, LOGGED), 0);
	r->n_events = 0;
	assert_int_equal(dirty_log_clear(&r->slots, 0, 64, 6, ones), 0);
	assert_event(r, 0, EV_PROTECT_PAGES, 64, 0x3f);
}

static void a_clear_whose_bitmap_cannot_be_read_changes_nothing(void **state)
{
	struct recorder *r = *state;
	void *nowhere = no_memory();

	mark(r, 7);
	assert_int_equal(dirty_log_clear(&r->slots, ID, 0, 64, nowhere), -EFAULT);
	assert_int_equal(r->n_events, 0);
	assert_true(log_word(r, 0) == 1 << 7);
	munmap(nowhere, PAGE_SIZE);
}

static void a_log_that_begins_full_reports_every_page_once(void **state)
{
	struct recorder *r = *state;
	uint64_t bitmap[2];

	r->slots.manual_protect = r->slots.initially_set = true;
	assert_int_equal(set_slot(&r->slots, 0, 0, 70, TEST_HVA, LOGGED), 0);
	assert_int_equal(dirty_log_get(&r->slots, 0, bitmap), 0);
	assert_true(bitmap[0] == ~0ull && bitmap[1] == 0x3f);
	assert_int_equal(dirty_log_clear(&r->slots, 0, 0, 70, bitmap), 0);
	assert_int_equal(dirty_log_get(&r->slots, 0, bitmap), 0);
	assert_true(!bitmap[0] && !bitmap[1]);
	assert_int_equal(harvested(r), 70);
}

/* --- slots_lock -------------------------------------------------------- */

static void count_locks(struct recorder *r, const struct event *e UNUSED)
{
	*(uint64_t *)r->ctx = watched_locks();
}

/* SLOTS_LOCK_SPANS_FLUSH: taken once, before the first bit and until after. */
static void slots_lock_is_held_from_the_first_bit_to_the_flush(void **state)
{
	static const uint64_t ones[N_WORDS] = { ~0ull, ~0ull, ~0ull, ~0ull };
	struct recorder *r = *state;
	uint64_t bitmap[N_WORDS], locks = 0;

	r->on_event = count_locks;
	r->ctx = &locks;
	watch_mutex(&r->slots.lock);
	mark(r, 7);
	assert_int_equal(dirty_log_get(&r->slots, ID, bitmap), 0);
	assert_int_equal(locks, 1);
	assert_int_equal(watched_locks(), 1);
	mark(r, 7);
	assert_int_equal(dirty_log_clear(&r->slots, ID, 0, 64, ones), 0);
	assert_int_equal(locks, 2);
	assert_int_equal(watched_locks(), 2);
	watch_mutex(NULL);
}

/* --- the model --------------------------------------------------------- */

struct model {
	bool dirty[N_PAGES];	/* in the log */
	bool is_protected[N_PAGES];
	bool flushed;		/* since the last protection */
};

static void model_event(struct recorder *r, const struct event *e)
{
	struct model *m = r->ctx;

	if (e->kind == EV_FLUSH)
		m->flushed = true;
	if (e->kind != EV_PROTECT_PAGES)
		return;
	m->flushed = false;
	for (unsigned int bit = 0; bit < 64; bit++)
		if (e->b >> bit & 1)
			m->is_protected[e->a + bit] = true;
}

static void model_write(struct recorder *r, struct model *m, uint64_t page)
{
	mark(r, page);
	m->dirty[page] = true;
	m->is_protected[page] = false;
}

static void model_get(struct run *run, struct recorder *r, struct model *m)
{
	uint64_t bitmap[N_WORDS];

	m->flushed = true;
	run_assert(run, dirty_log_get(&r->slots, ID, bitmap) == 0);
	run_assert(run, m->flushed);
	for (uint64_t page = 0; page < N_PAGES; page++) {
		run_assert(run, (bitmap[page / 64] >> (page % 64) & 1) == m->dirty[page]);
		if (!r->slots.manual_protect) {
			run_assert(run, !m->dirty[page] || m->is_protected[page]);
			m->dirty[page] = false;
		}
	}
}

static void model_clear(struct run *run, struct recorder *r, struct model *m)
{
	uint64_t first = 64 * run_below(run, N_WORDS), rest = N_PAGES - first;
	uint64_t n = run_chance(run, 30) ? rest : 64 * run_below(run, rest / 64 + 1);
	uint64_t bitmap[N_WORDS];

	for (unsigned int i = 0; i < N_WORDS; i++)
		bitmap[i] = run_next(run);
	m->flushed = true;
	run_assert(run, dirty_log_clear(&r->slots, ID, first, n, bitmap) == 0);
	run_assert(run, m->flushed);
	for (uint64_t page = 0; page < n; page++) {
		if (!(bitmap[page / 64] >> (page % 64) & 1))
			continue;
		run_assert(run, !m->dirty[first + page] || m->is_protected[first + page]);
		m->dirty[first + page] = false;
	}
}

static void random_marks_and_harvests_agree_with_a_naive_set(void **state)
{
	struct recorder *r = *state;

	for (uint64_t seed = 31; seed <= 34; seed++) {
		struct model m = { 0 };
		struct run run;

		run_begin(&run, seed);
		r->on_event = model_event;
		r->ctx = &m;
		/* Nothing is left over from the run before. */
		r->slots.manual_protect = false;
		assert_int_equal(dirty_log_get(&r->slots, ID, (uint64_t[N_WORDS]){ 0 }), 0);
		r->slots.manual_protect = seed & 1;
		memset(&m, 0, sizeof(m));

		for (; run.step < STEPS(20000); run.step++) {
			uint64_t what = run_below(&run, 100);

			r->n_events = 0;
			if (what < 80)
				model_write(r, &m, run_below(&run, N_PAGES));
			else if (what < 90)
				model_get(&run, r, &m);
			else
				model_clear(&run, r, &m);
		}
	}
}

/* --- several threads --------------------------------------------------- */

#define N_MARKERS 2u
#define ROUNDS STEPS(1000)

struct race {
	struct recorder *r;
	struct atomic32 next, done;
	struct atomic64 harvests;	/* completed */
	struct atomic64 times[N_PAGES];	/* that a page was harvested */
};

/* Two further harvests: the second has begun after the call. */
static void wait_for_a_harvest(struct race *race)
{
	uint64_t now = atomic64_load_acquire(&race->harvests);

	while (atomic64_load_acquire(&race->harvests) < now + 2)
		sched_yield();
}

/* Every page is marked once in each round: so it is harvested once. */
static void *mark_own_pages(void *arg)
{
	struct race *race = arg;
	uint64_t first = atomic32_fetch_add(&race->next, 1);

	for (unsigned int i = 1; i <= ROUNDS; i++) {
		for (uint64_t page = first; page < N_PAGES; page += N_MARKERS)
			mark(race->r, page);
		wait_for_a_harvest(race);
		for (uint64_t page = first; page < N_PAGES; page += N_MARKERS)
			note_unless(atomic64_load_acquire(&race->times[page]) == i);
	}
	atomic32_fetch_add(&race->done, 1);
	return NULL;
}

static void harvest_and_count(struct race *race)
{
	uint64_t bitmap[N_WORDS];

	race->r->n_events = 0;
	assert_int_equal(dirty_log_get(&race->r->slots, ID, bitmap), 0);
	for (uint64_t page = 0; page < N_PAGES; page++)
		if (bitmap[page / 64] >> (page % 64) & 1)
			atomic64_fetch_add(&race->times[page], 1);
	atomic64_fetch_add(&race->harvests, 1);
}

/* CLEAR_ATOMIC: and none is reported twice. */
static void no_mark_is_lost_to_a_harvest_beside_it(void **state)
{
	struct race race = { .r = *state };
	pthread_t t[N_MARKERS];

	for (unsigned int i = 0; i < N_MARKERS; i++)
		thread_start(&t[i], mark_own_pages, &race);
	while (atomic32_load_acquire(&race.done) < N_MARKERS)
		harvest_and_count(&race);
	for (unsigned int i = 0; i < N_MARKERS; i++)
		thread_end(t[i]);
	assert_no_thread_failed();
}

#define log_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		log_test(a_mark_is_one_bit_counted_from_the_start_of_the_slot),
		log_test(a_slot_that_is_not_logged_has_no_log),
		log_test(an_id_that_cannot_be_is_invalid),
		log_test(a_machine_that_logs_to_rings_has_no_bitmaps),
		log_test(what_is_wrong_is_found_in_kvms_order),
		log_test(a_range_to_clear_is_checked),
		log_test(nothing_is_written_past_the_rounded_bitmap),
		log_test(a_harvest_takes_protects_flushes_and_hands_out_in_this_order),
		log_test(a_harvest_of_nothing_neither_protects_nor_flushes),
		log_test(a_mark_made_during_a_harvest_is_kept),
		log_test(a_harvest_whose_copy_fails_reports_the_pages_again),
		log_test(with_manual_protection_get_only_reads),
		log_test(clear_protects_only_what_it_names_and_was_dirty),
		log_test(clearing_what_is_clean_neither_protects_nor_flushes),
		log_test(bits_past_the_end_are_ignored),
		log_test(a_clear_whose_bitmap_cannot_be_read_changes_nothing),
		log_test(a_log_that_begins_full_reports_every_page_once),
		log_test(slots_lock_is_held_from_the_first_bit_to_the_flush),
		log_test(random_marks_and_harvests_agree_with_a_naive_set),
		log_test(no_mark_is_lost_to_a_harvest_beside_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
