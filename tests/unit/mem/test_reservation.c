/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/mem/test_reservation.c - Umbra's own memory lies where no client's can, and
 * a guest does not reach it.
 */
#include "vm_fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/guarded.h"
#include "mem/reservation.h"

static bool is_mapped(const void *p)
{
	return !msync((void *)((uintptr_t)p & PAGE_MASK), PAGE_SIZE, MS_ASYNC) || errno != ENOMEM;
}

static bool is_zero(const uint8_t *p, size_t bytes)
{
	return !bytes || (!p[0] && !memcmp(p, p + 1, bytes - 1));
}

static int status_of(int (*child)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid)
		_exit(child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The process has less address space than the reservation would like, or too little. */
static int with_address_space(uint64_t bytes)
{
	struct rlimit limit = { bytes, bytes };
	void *p;

	if (setrlimit(RLIMIT_AS, &limit))
		return 2;
	p = reservation_get(100);
	if (!p)
		return reservation_init() == -ENOMEM ? 1 : 2;
	return reservation_meets((uintptr_t)p, 100) ? 0 : 2;
}

static int with_2_gib(void)
{
	return with_address_space(2ull << 30);
}

static int with_nothing(void)
{
	return with_address_space(1);
}

/* First of all tests: their children must be without one still. */
static void a_limited_address_space_gets_a_smaller_reservation(void **state UNUSED)
{
#if defined(BUILT_WITH_ASAN) || defined(BUILT_WITH_TSAN)
	skip();
#endif
	assert_int_equal(status_of(with_2_gib), 0);
	assert_int_equal(status_of(with_nothing), 1 << 8);
}

static void memory_is_zeroed_aligned_and_its_own(void **state UNUSED)
{
	enum { N = 400 };
	uint8_t *p[N];
	size_t bytes[N];
	struct run r;

	run_begin(&r, 1);
	/* New memory, memory that was used, memory that went back to the system. */
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++) {
			bytes[i] = 1 + run_below(&r, 1ull << run_below(&r, 18));
			p[i] = reservation_get(bytes[i]);
			assert_non_null(p[i]);
			assert_true(reservation_meets((uintptr_t)p[i], bytes[i]));
			assert_true(IS_ALIGNED((uintptr_t)p[i], CACHE_LINE));
			assert_true(bytes[i] < PAGE_SIZE || IS_ALIGNED((uintptr_t)p[i], PAGE_SIZE));
			assert_true(is_zero(p[i], bytes[i]));
			memset(p[i], i + 1, bytes[i]);
		}
		for (int i = 0; i < N; i++) {
			assert_int_equal(p[i][0], (uint8_t)(i + 1));
			assert_memory_equal(p[i], p[i] + 1, bytes[i] - 1);
			reservation_put(p[i], bytes[i]);
		}
		if (round == 1)
			reservation_trim();
	}
}

static void what_cannot_be_had_is_null(void **state UNUSED)
{
	assert_null(reservation_get(SIZE_MAX));
	assert_null(reservation_get(SIZE_MAX / 2));
	assert_null(reservation_get(1ull << 40));
	reservation_put(NULL, 12);
}

static void no_hole_of_the_clients_ever_holds_it(void **state UNUSED)
{
	const uint64_t bytes = 64ull << 20;
	uint8_t *hole = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *p[64];

	assert_true(hole != MAP_FAILED);
	munmap(hole, bytes);
	for (unsigned int i = 0; i < 64; i++) {
		p[i] = reservation_get((size_t)64 << i % 18);
		assert_non_null(p[i]);
	}
	for (uint64_t at = 0; at < bytes; at += PAGE_SIZE)
		assert_false(is_mapped(hole + at));
	for (unsigned int i = 0; i < 64; i++)
		reservation_put(p[i], (size_t)64 << i % 18);
}

static void a_file_is_mapped_within_it(void **state UNUSED)
{
	int fd = memfd_create("reservation", MFD_CLOEXEC);
	uint64_t *a, *b;

	assert_int_equal(ftruncate(fd, 2 * (off_t)PAGE_SIZE), 0);
	a = reservation_map(fd, 2 * PAGE_SIZE);
	b = reservation_map(fd, 2 * PAGE_SIZE - 1);
	assert_non_null(a);
	assert_non_null(b);
	assert_true(reservation_meets((uintptr_t)a, 1) && reservation_meets((uintptr_t)b, 1));
	a[600] = 7;
	assert_int_equal(b[600], 7);
	reservation_unmap(a, 2 * PAGE_SIZE);
	/* Its next use is not the file's. */
	a = reservation_get(2 * PAGE_SIZE);
	assert_int_equal(a[600], 0);
	assert_int_equal(b[600], 7);
	a[600] = 8;
	assert_int_equal(b[600], 7);
	reservation_put(a, 2 * PAGE_SIZE);
	reservation_unmap(b, 2 * PAGE_SIZE - 1);
	assert_null(reservation_map(-1, PAGE_SIZE));
	close(fd);
}

static void what_meets_it_is_known(void **state UNUSED)
{
	void *p = reservation_get(PAGE_SIZE);
	uintptr_t at = (uintptr_t)p;

	assert_true(reservation_meets(at, 1));
	assert_true(reservation_meets(0, UINT64_MAX));
	assert_true(reservation_meets(4096, UINT64_MAX));
	assert_false(reservation_meets(0, 4096));
	assert_false(reservation_meets((uintptr_t)&p, 8));
	assert_false(reservation_meets(UINT64_MAX - 4095, 4096));
	reservation_put(p, PAGE_SIZE);
}

static void the_mmu_resolves_none_of_it(void **state UNUSED)
{
	uint8_t *p = reservation_get(3 * PAGE_SIZE);
	struct host_process process;
	struct host_memory host = host_process_init(&process);
	struct host_page page;

	assert_int_equal(guarded_install(), 0);
	for (uint64_t offset = 0; offset < 3 * PAGE_SIZE; offset += PAGE_SIZE / 2) {
		hva_t at = hva_of((uintptr_t)p + offset);

		assert_int_equal(host_resolve(&host, at, false, LEVEL_1G, &page), -EFAULT);
		assert_int_equal(host_resolve(&host, at, true, LEVEL_4K, &page), -EFAULT);
	}
	assert_int_equal(host_resolve(&host, hva_of((uintptr_t)&page), false, LEVEL_4K, &page), 0);
	host_process_destroy(&process);
	reservation_put(p, 3 * PAGE_SIZE);
}

#define N_THREADS 4
static pthread_barrier_t start;

static void *get_and_put(void *arg)
{
	unsigned int n = *(unsigned int *)arg;
	uint8_t *p[8] = { NULL };
	size_t bytes[8] = { 0 };

	pthread_barrier_wait(&start);
	for (int i = 0; i < STEPS(40000); i++) {
		int k = i % 8;

		if (p[k] && p[k][bytes[k] - 1] != n)
			return arg;
		reservation_put(p[k], bytes[k]);
		bytes[k] = (size_t)40 << (i / 8) % 9;
		p[k] = reservation_get(bytes[k]);
		if (!p[k] || p[k][bytes[k] - 1])
			return arg;
		p[k][bytes[k] - 1] = (uint8_t)n;
		if (i % 1000 == 0)
			reservation_trim();
	}
	for (int k = 0; k < 8; k++)
		reservation_put(p[k], bytes[k]);
	return NULL;
}

static void threads_get_memory_of_their_own(void **state UNUSED)
{
	unsigned int numbers[N_THREADS];
	pthread_t t[N_THREADS];
	void *failed = NULL, *f;

	pthread_barrier_init(&start, NULL, N_THREADS);
	for (unsigned int i = 0; i < N_THREADS; i++) {
		numbers[i] = i + 1;
		thread_start(&t[i], get_and_put, &numbers[i]);
	}
	for (int i = 0; i < N_THREADS; i++) {
		pthread_join(t[i], &f);
		failed = f ? f : failed;
	}
	pthread_barrier_destroy(&start);
	assert_null(failed);
}

static struct atomic32 stop;

static void *churn(void *arg)
{
	while (!atomic32_load_relaxed(&stop))
		reservation_put(reservation_get(100), 100);
	return arg;
}

static int allocate(void)
{
	uint8_t *p = reservation_get(5000);

	alarm(20);
	return !p || !is_zero(p, 5000);
}

/* Whatever lock another thread held at that moment. */
static void a_child_allocates_after_a_fork(void **state UNUSED)
{
	pthread_t t;

	thread_start(&t, churn, NULL);
	for (int i = 0; i < STEPS(100); i++)
		if (status_of(allocate))
			break;
		else if (i + 1 >= STEPS(100))
			atomic32_store_relaxed(&stop, 1);
	assert_true(atomic32_load_relaxed(&stop));
	thread_end(t);
}

/* Some threads of the parent were making what its numbers did not show yet. */
static int allocate_after_raw_fork(void)
{
	uint8_t *mine = reservation_get(64), *theirs, *next;

	if (!mine)
		return 1;
	theirs = mine + (1 << 20);
	if (!guarded_store8(theirs, 7) || !guarded_store8(mine, 8))
		return 2;
	reservation_after_raw_fork();
	next = reservation_get(2 << 20);
	if (!next || !is_zero(next, 2 << 20))
		return 3;
	memset(next, 9, 2 << 20);
	return *mine == 8 && guarded_touch_read(theirs) && next > theirs ? 0 : 4;
}

static void a_raw_child_leaves_what_may_be_touched(void **state UNUSED)
{
	assert_int_equal(status_of(allocate_after_raw_fork), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* The first: later there are blocks that were used before. */
		cmocka_unit_test(a_raw_child_leaves_what_may_be_touched),
		cmocka_unit_test(a_limited_address_space_gets_a_smaller_reservation),
		cmocka_unit_test(memory_is_zeroed_aligned_and_its_own),
		cmocka_unit_test(what_cannot_be_had_is_null),
		cmocka_unit_test(no_hole_of_the_clients_ever_holds_it),
		cmocka_unit_test(a_file_is_mapped_within_it),
		cmocka_unit_test(what_meets_it_is_known),
		cmocka_unit_test(the_mmu_resolves_none_of_it),
		cmocka_unit_test(threads_get_memory_of_their_own),
		cmocka_unit_test(a_child_allocates_after_a_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
