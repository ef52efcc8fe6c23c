/* SPDX-License-Identifier: MIT */
/* tests/unit/mem/test_alloc.c - the allocator's count, its failures, and pools. */
#include "vm_fixture.h"

#include <string.h>

static uint64_t bytes_of(const struct alloc *a)
{
	return atomic64_load_relaxed(&a->bytes);
}

static void memory_is_zeroed_and_counted_until_it_is_freed(void **state UNUSED)
{
	static const char zero[100];
	struct alloc a;
	void *p, *q;

	alloc_init(&a);
	p = alloc_zeroed(&a, 100);
	q = alloc_zeroed(&a, 28);
	assert_non_null(p);
	assert_non_null(q);
	assert_memory_equal(p, zero, 100);
	assert_int_equal(bytes_of(&a), 128);
	alloc_free(&a, p, 100);
	assert_int_equal(bytes_of(&a), 28);
	alloc_free(&a, q, 28);
	assert_int_equal(bytes_of(&a), 0);
}

static void freeing_nothing_does_nothing(void **state UNUSED)
{
	struct alloc a;

	alloc_init(&a);
	alloc_free(&a, NULL, 100);
	assert_int_equal(bytes_of(&a), 0);
}

static void the_nth_allocation_from_now_fails_and_no_other(void **state UNUSED)
{
	struct alloc a;

	alloc_init(&a);
	for (uint64_t n = 1; n < 6; n++) {
		atomic64_store_relaxed(&a.fail_in, n);
		for (uint64_t i = 1; i < 10; i++) {
			void *p = alloc_zeroed(&a, 8);

			assert_int_equal(!p, i == n);
			alloc_free(&a, p, 8);
		}
	}
	assert_int_equal(bytes_of(&a), 0);
}

static void a_failed_allocation_is_not_counted(void **state UNUSED)
{
	struct alloc a;

	alloc_init(&a);
	atomic64_store_relaxed(&a.fail_in, 1);
	assert_null(alloc_zeroed(&a, 8));
	assert_int_equal(bytes_of(&a), 0);
}

#define N_THREADS 4

struct race {
	struct alloc alloc;
	pthread_barrier_t start;
};

static void *allocate_and_free(void *arg)
{
	struct race *race = arg;

	pthread_barrier_wait(&race->start);
	for (int i = 0; i < STEPS(100000); i++) {
		void *p = alloc_zeroed(&race->alloc, 24), *q = alloc_zeroed(&race->alloc, 40);

		alloc_free(&race->alloc, p, 24);
		alloc_free(&race->alloc, q, 40);
	}
	return NULL;
}

static void threads_do_not_lose_counts(void **state UNUSED)
{
	pthread_t t[N_THREADS];
	struct race race;

	alloc_init(&race.alloc);
	pthread_barrier_init(&race.start, NULL, N_THREADS);
	for (int i = 0; i < N_THREADS; i++)
		thread_start(&t[i], allocate_and_free, &race);
	for (int i = 0; i < N_THREADS; i++)
		thread_end(t[i]);
	pthread_barrier_destroy(&race.start);
	assert_int_equal(bytes_of(&race.alloc), 0);
}

#define OBJECT 200

static void a_pool_gives_zeroed_objects_on_cache_lines(void **state UNUSED)
{
	static const char zero[OBJECT];
	struct alloc a;
	struct pool p;
	void *object[200];

	alloc_init(&a);
	pool_init(&p, &a, OBJECT);
	/* Twice: new memory, then memory that was used before. */
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 200; i++) {
			object[i] = pool_get(&p);
			assert_non_null(object[i]);
			assert_true(IS_ALIGNED((uintptr_t)object[i], CACHE_LINE));
			assert_memory_equal(object[i], zero, OBJECT);
			memset(object[i], 0xa5, OBJECT);
		}
		assert_int_equal(atomic64_load_relaxed(&p.in_use), 200);
		for (int i = 0; i < 200; i++)
			pool_put(&p, object[i]);
		assert_int_equal(atomic64_load_relaxed(&p.in_use), 0);
	}
	pool_destroy(&p);
	assert_int_equal(bytes_of(&a), 0);
}

static void the_objects_of_a_pool_do_not_overlap(void **state UNUSED)
{
	struct alloc a;
	struct pool p;
	uint8_t *object[200];

	alloc_init(&a);
	pool_init(&p, &a, OBJECT);
	for (int i = 0; i < 200; i++) {
		object[i] = pool_get(&p);
		memset(object[i], i, OBJECT);
	}
	for (int i = 0; i < 200; i++) {
		assert_int_equal(object[i][0], i);
		assert_int_equal(object[i][OBJECT - 1], i);
		pool_put(&p, object[i]);
	}
	pool_destroy(&p);
}

static void a_pool_uses_again_what_was_put_back(void **state UNUSED)
{
	struct alloc a;
	struct pool p;
	uint64_t bytes;
	void *first;

	alloc_init(&a);
	pool_init(&p, &a, OBJECT);
	first = pool_get(&p);
	bytes = bytes_of(&a);
	pool_put(&p, first);
	for (int i = 0; i < 1000; i++) {
		void *object = pool_get(&p);

		assert_ptr_equal(object, first);
		pool_put(&p, object);
	}
	assert_int_equal(bytes_of(&a), bytes);
	pool_destroy(&p);
	assert_int_equal(bytes_of(&a), 0);
}

static void a_pool_that_cannot_grow_says_so_and_stays_whole(void **state UNUSED)
{
	struct alloc a;
	struct pool p;
	void *object = NULL;
	uint64_t n = 0;

	alloc_init(&a);
	pool_init(&p, &a, OBJECT);
	while (!object) {
		atomic64_store_relaxed(&a.fail_in, ++n);
		object = pool_get(&p);
		if (object)
			break;
		assert_int_equal(bytes_of(&a), 0);
		assert_int_equal(atomic64_load_relaxed(&p.in_use), 0);
	}
	/* The call itself, the note of the chunk, the chunk. */
	assert_int_equal(n, 4);
	atomic64_store_relaxed(&a.fail_in, 0);
	pool_put(&p, object);
	pool_destroy(&p);
	assert_int_equal(bytes_of(&a), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_and_counted_until_it_is_freed),
		cmocka_unit_test(freeing_nothing_does_nothing),
		cmocka_unit_test(the_nth_allocation_from_now_fails_and_no_other),
		cmocka_unit_test(a_failed_allocation_is_not_counted),
		cmocka_unit_test(threads_do_not_lose_counts),
		cmocka_unit_test(a_pool_gives_zeroed_objects_on_cache_lines),
		cmocka_unit_test(the_objects_of_a_pool_do_not_overlap),
		cmocka_unit_test(a_pool_uses_again_what_was_put_back),
		cmocka_unit_test(a_pool_that_cannot_grow_says_so_and_stays_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
