/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/shadow/test_shadow_limits.c - how many shadow pages there may be, and guests that
 * do their worst.
 */
#include "shadow_fixture.h"

#include <string.h>

#define LIMIT MMU_MIN_PAGES

static uint64_t most_used;

static void note_use(void)
{
	most_used = MAX(most_used, shadow->n_used - shadow->n_pinned);
}

/* --- the limit --------------------------------------------------------------- */

static void the_limit_follows_the_memory(void **state UNUSED)
{
	assert_int_equal(mmu_page_limit(&vm->mmu), MMU_MIN_PAGES);
	assert_int_equal(set_slot(&vm->slots, 1, 1ull << 32, 1 << 20, TEST_HVA, 0), 0);
	assert_int_equal(mmu_page_limit(&vm->mmu), ((1 << 20) + N_PAGES) / 50);
	mmu_set_page_limit(&vm->mmu, 100);
	assert_int_equal(mmu_page_limit(&vm->mmu), 100);
	mmu_set_page_limit(&vm->mmu, 0);
	assert_int_equal(mmu_page_limit(&vm->mmu), ((1 << 20) + N_PAGES) / 50);
}

/* Tables in plenty, each used by both vCPUs. */
static void use_many_tables(unsigned int n, unsigned int seed)
{
	struct run run;

	run_begin(&run, seed);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t gva = 0x40000000 + (run_below(&run, 300) << 21);

		map(gva, 1, PAGES(5) | DONE);
		assert_page(&vm->vcpu[i % 2], gva, ACCESS_WRITE, 5);
		note_use();
	}
}

static void the_limit_holds_under_load(void **state UNUSED)
{
	most_used = 0;
	paging(GUEST_4LEVEL);
	mmu_set_page_limit(&vm->mmu, LIMIT);
	use_many_tables(2000, 1);
	assert_true(most_used <= LIMIT);
	assert_true(most_used > LIMIT / 2);
	assert_true(vm_stat(vm, VM_STAT_mmu_recycled) > 100);
	assert_valid();
	/* What is dead is freed before there is more than of the living. */
	assert_true(vm_stat(vm, VM_STAT_mmu_tables) <= LIMIT + shadow->n_pinned);
}

static void a_lower_limit_takes_effect_at_once(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	mmu_set_page_limit(&vm->mmu, 1000);
	use_many_tables(1000, 2);
	assert_true(shadow->n_used > 200);
	mmu_set_page_limit(&vm->mmu, LIMIT);
	assert_true(shadow->n_used <= LIMIT + shadow->n_pinned);
	assert_valid();
	use_many_tables(100, 3);
	assert_valid();
}

/* As many roots as the limit allows pages, all of them in use: there is room all the
 * same for what is below. */
static void roots_do_not_eat_up_the_limit(void **state UNUSED)
{
	uint64_t root[SHADOW_CACHED_ROOTS];

	vm_free(vm);
	vm = vm_make_sim(6, N_PAGES);
	v0 = &vm->vcpu[0];
	v1 = &vm->vcpu[1];
	shadow = vm->mmu.shadow;
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	mmu_set_page_limit(&vm->mmu, LIMIT);
	paging(GUEST_32BIT);
	map(a_page, 1, PAGES(5) | DONE);
	root[0] = v0->paging.cr3;
	for (unsigned int i = 0; i < 6; i++) {
		for (unsigned int n = 0; n < SHADOW_CACHED_ROOTS; n++) {
			if (i == 0 && n) {
				root[n] = new_table();
				memcpy(vm->memory + root[n], vm->memory + root[0], PAGE_SIZE);
			}
			/* A vCPU's roots are its own if the registers differ. */
			vm->vcpu[i].paging.maxphyaddr = (uint8_t)(36 + i);
			load_cr3(&vm->vcpu[i], root[n]);
			assert_page(&vm->vcpu[i], a_page, ACCESS_WRITE, 5);
		}
	}
	assert_true(shadow->n_pinned > LIMIT);
	use_many_tables(100, 4);
	assert_valid();
}

/* --- guests that do their worst ---------------------------------------------- */

static void assert_bounded(void)
{
	assert_valid();
	assert_true(shadow->n_used <= mmu_page_limit(&vm->mmu) + shadow->n_pinned);
	assert_true(atomic64_load_relaxed(&vm->alloc.bytes) < 64 << 20);
}

/* Each entry of the root is the root itself. */
static void a_table_that_points_at_itself(void **state UNUSED)
{
	uint64_t gva = 0;

	paging(GUEST_4LEVEL);
	for (unsigned int i = 0; i < 512; i++)
		write_gpa(TABLES + i * 8, 8, TABLES | DONE);
	for (unsigned int i = 0; i < 2000; i++) {
		gva = (gva * 0x9e3779b97f4a7c15ull + i) >> 1;
		gva = (gva & 0x7ffffffff000) | (i % 512) * 8;
		assert_verdict(v0, gva, i % 2 ? ACCESS_READ : ACCESS_WRITE, MMU_OK);
		assert_ptr_equal(result.host, vm->memory + TABLES + (gva & 0xfff));
	}
	assert_int_equal(n_shadow_pages(TABLES >> PAGE_SHIFT), 4);
	assert_bounded();
	/* It is its own table of the lowest level, and is written to as such. */
	assert_int_equal(guest_store(v0, 8 * 511, 8, PAGES(5) | DONE), MMU_OK);
	invlpg(v0, 0xfffffffff000 & 0x1ff000);
	assert_bounded();
	load_cr3(v0, TABLES);
	assert_page(v0, 511ull << 12, ACCESS_READ, 5);
	assert_bounded();
}

/* One frame is a table of all formats, for vCPUs that differ. */
static void one_frame_is_a_table_of_every_format(void **state UNUSED)
{
	struct paging p[4];

	for (int i = 0; i < 4; i++) {
		paging((enum guest_format)(GUEST_32BIT + i));
		p[i] = v0->paging;
		p[i].cr3 = TABLES;
		for (int n = 0; n < 4; n++)
			p[i].pdptr[n] = TABLES | GPTE_P;
	}
	for (unsigned int i = 0; i < 512; i++)
		write_gpa(TABLES + i * 8, 8, TABLES | DONE | (TABLES | DONE) << 32);
	for (unsigned int i = 0; i < 400; i++) {
		v0->paging = p[i % 4];
		mmu_paging_changed(v0);
		guest_store(v0, (uint64_t)i * 0x201000 & 0x7fffffff, 4, TABLES | DONE);
		guest_access(v0, (uint64_t)i * 0x40201000 & 0x7fffffff, ACCESS_READ);
		if (i % 16 == 0)
			assert_bounded();
	}
	assert_bounded();
}

static void tables_where_no_memory_is(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	for (int level = 4; level > 1; level--) {
		uint64_t gva = 0x10000000000 * (uint64_t)(5 - level);

		map(gva, level, HOLE | ALL);
		for (int i = 0; i < 40; i++)
			assert_verdict(v0, gva, ACCESS_WRITE, MMU_BAD_TABLES);
	}
	load_cr3(v0, HOLE);
	assert_verdict(v0, a_page, ACCESS_READ, MMU_BAD_TABLES);
	load_cr3(v0, 0xfffffffff000);
	assert_verdict(v0, a_page, ACCESS_READ, MMU_BAD_TABLES);
	assert_bounded();
	/* Memory may come to be there. */
	load_cr3(v0, HOLE);
	assert_verdict(v0, a_page, ACCESS_READ, MMU_BAD_TABLES);
	vm_slot(vm, 1, HOLE, TABLES >> PAGE_SHIFT, 1, 0);
	v0->paging.cr3 = TABLES;
	map(a_page, 1, PAGES(5) | DONE);
	load_cr3(v0, HOLE);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_bounded();
}

static void roots_everywhere(void **state UNUSED)
{
	paging(GUEST_PAE);
	for (unsigned int i = 0; i < 3000; i++) {
		for (unsigned int n = 0; n < 4; n++) {
			uint64_t table = (uint64_t)(i * 4 + n) * 0x1234567000;

			v0->paging.pdptr[n] = (table & 0xfffffffff000) | GPTE_P;
		}
		mmu_paging_changed(v0);
		guest_access(v0, (uint64_t)i << 20, ACCESS_READ);
	}
	assert_bounded();
}

/* Every frame of the memory as a root, whatever is in it. */
static void every_frame_is_a_root_once(void **state UNUSED)
{
	struct run run;

	paging(GUEST_4LEVEL);
	run_begin(&run, 5);
	for (uint64_t i = 0; i < PAGES(512) / 8; i++)
		write_gpa(i * 8, 8, run_below(&run, 512) << 12 | (run_next(&run) & 0xe7) | GPTE_P);
	for (uint64_t gfn = 0; gfn < 512; gfn++) {
		load_cr3(v0, gfn << PAGE_SHIFT);
		for (int i = 0; i < 8; i++)
			guest_access(v0, run_next(&run) & 0x7fffffffffff,
				     (enum access)run_below(&run, 3));
		if (gfn % 64 == 0)
			assert_bounded();
	}
	assert_bounded();
}

static void tables_in_a_read_only_slot(void **state UNUSED)
{
	const uint64_t gva = 0x10000000000;
	uint64_t rom = HOLE;

	paging(GUEST_4LEVEL);
	vm_slot(vm, 1, rom, 100, 3, KVM_MEM_READONLY);
	write_gpa(entry_gpa(gva, 4), 8, rom | ALL);
	write_gpa(PAGES(100), 8, (rom + PAGES(1)) | ALL);
	write_gpa(PAGES(101), 8, (rom + PAGES(2)) | ALL);
	write_gpa(PAGES(102), 8, PAGES(5) | ALL);
	for (int i = 0; i < 3; i++) {
		assert_page(v0, gva, ACCESS_READ, 5);
		assert_page(v0, gva, ACCESS_WRITE, 5);
	}
	/* What cannot be set is not: the page counts as dirty. */
	assert_int_equal(read_gpa(PAGES(102), 8), PAGES(5) | ALL);
	assert_true(tlb_hits(v0, gva, ACCESS_WRITE));
	assert_bounded();
	load_cr3(v0, TABLES);
	assert_page(v0, gva, ACCESS_READ, 5);
	assert_page(v0, gva, ACCESS_WRITE, 5);
	assert_bounded();
}

/* A write for each entry, to tables in use: for ever tracked, given up, flooded. */
static void a_guest_that_does_nothing_but_write_its_tables(void **state UNUSED)
{
	struct run run;

	paging(GUEST_4LEVEL);
	run_begin(&run, 6);
	for (unsigned int i = 0; i < STEPS(20000); i++) {
		uint64_t gva = 0x40000000 + (run_below(&run, 64) << 21) + PAGES(run_below(&run, 4));
		int level = 1 + (int)run_below(&run, 2);

		map(gva, 1, PAGES(5) | DONE);
		guest_access(&vm->vcpu[i % 2], gva, ACCESS_WRITE);
		/* What was there: the tables stay as they are. */
		guest_map(&vm->vcpu[i % 2], gva, level, entry(gva, level));
		if (run_chance(&run, 3))
			load_cr3(&vm->vcpu[i % 2], TABLES);
		if (i % 256 == 0)
			assert_bounded();
	}
	assert_bounded();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		shadow_test(the_limit_follows_the_memory),
		shadow_test(the_limit_holds_under_load),
		shadow_test(a_lower_limit_takes_effect_at_once),
		shadow_test(roots_do_not_eat_up_the_limit),
		shadow_test(a_table_that_points_at_itself),
		shadow_test(one_frame_is_a_table_of_every_format),
		shadow_test(tables_where_no_memory_is),
		shadow_test(roots_everywhere),
		shadow_test(every_frame_is_a_root_once),
		shadow_test(tables_in_a_read_only_slot),
		shadow_test(a_guest_that_does_nothing_but_write_its_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
