/* SPDX-License-Identifier: MIT */
/* tests/unit/mem/test_host_process.c - the levels at which memory of the process may be mapped. */
#include "vm_fixture.h"

#include <string.h>
#include <sys/mman.h>

#include "base/guarded.h"

#define BYTES_2M (level_pages(LEVEL_2M) << PAGE_SHIFT)

static struct host_process process;
static struct host_memory host;
static uint8_t *memory;		/* three times 2 MiB, and small pages behind it */

static int set_up(void **state UNUSED)
{
	uint8_t *at = mmap(NULL, 4 * BYTES_2M, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(at != MAP_FAILED);
	assert_int_equal(guarded_install(), 0);
	memory = (uint8_t *)ALIGN_UP((uintptr_t)at, BYTES_2M);
	madvise(at, 4 * BYTES_2M, MADV_NOHUGEPAGE);
	host = host_process_init(&process);
	return 0;
}

/* As on a kernel that has no PAGEMAP_SCAN. */
static int set_up_old(void **state)
{
	set_up(state);
	process.scans = false;
	return 0;
}

static int tear_down(void **state UNUSED)
{
	host_process_destroy(&process);
	munmap(memory, 3 * BYTES_2M);
	return 0;
}

static int resolved_level(uint64_t offset, bool write, int max_level)
{
	hva_t hva = hva_of((uintptr_t)memory + offset);
	struct host_page page;

	assert_int_equal(host_resolve(&host, hva, write, max_level, &page), 0);
	assert_int_equal(page.pfn, pfn_of_hva(hva));
	assert_int_equal(page.writable, write);
	return page.level;
}

static int looked_up_level(uint64_t offset, int max_level)
{
	return host_level(&host, hva_of((uintptr_t)memory + offset), max_level);
}

static bool is_there(uint64_t offset)
{
	unsigned char resident;

	assert_int_equal(mincore(memory + offset, PAGE_SIZE, &resident), 0);
	return resident & 1;
}

static void what_is_all_there_is_a_large_page_to_an_older_kernel(void **state UNUSED)
{
	if (process.pagemap_fd < 0)
		skip();
	assert_int_equal(resolved_level(BYTES_2M, true, LEVEL_1G), LEVEL_4K);
	memset(memory + BYTES_2M, 1, BYTES_2M);
	assert_int_equal(resolved_level(BYTES_2M, true, LEVEL_1G), LEVEL_2M);
	assert_int_equal(resolved_level(2 * BYTES_2M - PAGE_SIZE, false, LEVEL_2M), LEVEL_2M);
	assert_int_equal(resolved_level(BYTES_2M, true, LEVEL_4K), LEVEL_4K);
	/* Its neighbours are not. */
	assert_int_equal(resolved_level(0, true, LEVEL_2M), LEVEL_4K);
	assert_int_equal(resolved_level(2 * BYTES_2M, true, LEVEL_2M), LEVEL_4K);
	/* One page that is not there may have to be waited for. */
	madvise(memory + BYTES_2M + 77 * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED);
	assert_int_equal(resolved_level(BYTES_2M, true, LEVEL_2M), LEVEL_4K);
	memory[BYTES_2M + 77 * PAGE_SIZE] = 1;
	assert_int_equal(resolved_level(BYTES_2M, true, LEVEL_2M), LEVEL_2M);
}

static void to_look_brings_nothing_in(void **state UNUSED)
{
	memory[0] = 1;
	assert_int_equal(looked_up_level(0, LEVEL_2M), LEVEL_4K);
	assert_int_equal(looked_up_level(PAGE_SIZE, LEVEL_2M), LEVEL_4K);
	assert_false(is_there(PAGE_SIZE));
	memset(memory, 1, BYTES_2M);
	assert_int_equal(looked_up_level(5, LEVEL_2M), resolved_level(5, false, LEVEL_2M));
	assert_int_equal(looked_up_level(5, LEVEL_4K), LEVEL_4K);
}

/* The same to a kernel of either age. */
static void without_pagemap_every_page_is_small(void **state)
{
	int fd = process.pagemap_fd;

	memset(memory, 1, BYTES_2M);
	process.pagemap_fd = -1;
	assert_int_equal(resolved_level(0, true, LEVEL_1G), LEVEL_4K);
	assert_int_equal(looked_up_level(0, LEVEL_1G), LEVEL_4K);
	process.pagemap_fd = fd;
	(void)state;
}

static void memory_that_is_mapped_no_more_is_no_large_page(void **state UNUSED)
{
	memset(memory, 1, BYTES_2M);
	assert_int_equal(mprotect(memory + PAGE_SIZE, PAGE_SIZE, PROT_NONE), 0);
	munmap(memory + 2 * PAGE_SIZE, PAGE_SIZE);
	assert_int_equal(resolved_level(0, true, LEVEL_2M), LEVEL_4K);
	assert_ptr_equal(mmap(memory, BYTES_2M, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), memory);
}

#define on_both(f)                                                                       \
	{ #f, f, set_up, tear_down, NULL }, { #f " (older kernel)", f, set_up_old, tear_down, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_is_all_there_is_a_large_page_to_an_older_kernel, set_up_old,
			tear_down),
		on_both(to_look_brings_nothing_in),
		on_both(without_pagemap_every_page_is_small),
		on_both(memory_that_is_mapped_no_more_is_no_large_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
