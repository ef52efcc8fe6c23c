/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/mmu/test_first_touch.c - a first touch walks the guest's tables once and descends
 * ours once, and what it carries from the miss to the leaf is not used after its time.
 */
#include "guest_fixture.h"

#include "mmu/tdp/internal.h"
#include "mmu/tlb/flush.h"

static uint64_t n_descents, n_walks;

static void count_from_here(void)
{
	n_descents = hook_count(HOOK_DESCENT);
	n_walks = hook_count(HOOK_WALK);
}

static void assert_counts(uint64_t descents, uint64_t walks)
{
	assert_int_equal(hook_count(HOOK_DESCENT) - n_descents, descents);
	assert_int_equal(hook_count(HOOK_WALK) - n_walks, walks);
}

/* Pages 5 to 9 at GVA; the tables on the way to them are known, and are dirty already. */
static void map_five_pages(void)
{
	paging_on();
	for (unsigned int i = 0; i < 5; i++)
		guest_map(GVA + PAGES(i), PAGES(5 + i), ALL);
	assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
	count_from_here();
}

/* --- how often ------------------------------------------------------- */

static void the_first_page_of_all_takes_one_descent(void **state UNUSED)
{
	count_from_here();
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_counts(1, 1);
}

static void a_first_write_takes_one_descent_and_one_walk(void **state UNUSED)
{
	map_five_pages();
	assert_ram(GVA + PAGES(1), ACCESS_WRITE, PAGES(6), 6);
	assert_counts(1, 1);
}

static void a_first_read_takes_one_descent_and_one_walk(void **state UNUSED)
{
	map_five_pages();
	assert_ram(GVA + PAGES(1), ACCESS_READ, PAGES(6), 6);
	assert_counts(1, 1);
	count_from_here();
	assert_ram(GVA + PAGES(2), ACCESS_EXEC, PAGES(7), 7);
	assert_counts(1, 1);
}

static void a_first_write_to_what_was_read_takes_one_descent(void **state UNUSED)
{
	map_five_pages();
	assert_ram(GVA + PAGES(1), ACCESS_READ, PAGES(6), 6);
	count_from_here();
	assert_ram(GVA + PAGES(1), ACCESS_WRITE, PAGES(6), 6);
	assert_counts(1, 1);
}

static void a_first_write_to_a_logged_page_takes_one_descent(void **state UNUSED)
{
	map_five_pages();
	assert_ram(GVA + PAGES(1), ACCESS_WRITE, PAGES(6), 6);
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	/* The guest's tables are written to first, by the marks of another page. */
	assert_ram(GVA + PAGES(2), ACCESS_WRITE, PAGES(7), 7);
	count_from_here();
	assert_ram(GVA + PAGES(1), ACCESS_WRITE, PAGES(6), 6);
	assert_counts(1, 1);
	assert_int_equal(vcpu_stat(vcpu, VCPU_STAT_pf_fast), 2);
}

static void a_page_that_is_there_takes_one_descent(void **state UNUSED)
{
	map_five_pages();
	tlb_flush_page(vcpu, gva_of(GVA));
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_counts(1, 1);
}

static void mmio_takes_one_descent(void **state UNUSED)
{
	map_five_pages();
	guest_map(GVA + PAGES(1), HOLE, ALL);
	assert_mmio(GVA + PAGES(1), ACCESS_READ, HOLE);
	assert_counts(1, 1);
	count_from_here();
	assert_mmio(GVA + PAGES(1), ACCESS_READ, HOLE);
	assert_counts(1, 1);
}

/* --- how long what was found is good ----------------------------------- */

/* While the fault is outside guest mode, about to install. */
static void before_the_fault_installs(void (*fn)(void *ctx))
{
	hook_once(HOOK_RDLOCK, fn, NULL);
}

static void map_another_page_and_flush(void *ctx UNUSED)
{
	guest_map(GVA + PAGES(1), PAGES(20), ALL);
	flush_always(&vm->mmu);
}

static void a_walk_is_made_again_after_a_flush(void **state UNUSED)
{
	map_five_pages();
	before_the_fault_installs(map_another_page_and_flush);
	assert_ram(GVA + PAGES(1), ACCESS_WRITE, PAGES(20), 20);
	assert_int_equal(hook_count(HOOK_WALK) - n_walks, 2);
}

static void map_another_page(void *ctx UNUSED)
{
	guest_map(GVA + PAGES(1), PAGES(20), ALL);
}

/* As with a TLB: the guest has not asked for a flush. */
static void a_walk_is_good_until_a_flush(void **state UNUSED)
{
	map_five_pages();
	before_the_fault_installs(map_another_page);
	assert_ram(GVA + PAGES(1), ACCESS_WRITE, PAGES(6), 6);
	assert_counts(1, 1);
}

/* The table in which the miss has found an empty entry; its end waits for nobody. */
static void unlink_the_lowest_table(void *ctx UNUSED)
{
	tdp_collapse(&vm->mmu, gfn_of(0), LEVEL_2M);
	tdp_reap(&vm->mmu, REAP_ALL);
}

static void an_entry_is_looked_up_again_if_its_table_was_unlinked(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	count_from_here();
	before_the_fault_installs(unlink_the_lowest_table);
	assert_ram(PAGES(6), ACCESS_WRITE, PAGES(6), 6);
	assert_true(hook_count(HOOK_DESCENT) - n_descents > 1);
	assert_true(spte_is_leaf(tdp_lookup(&vm->mmu, gfn_of(6)).spte));
	assert_true(tdp_is_valid(&vm->mmu));
}

static void zap_the_slot(void *ctx UNUSED)
{
	tdp_zap_slot(&vm->mmu, slot_set_find(slots_current(&vm->slots), gfn_of(5)));
}

static void an_entry_is_looked_up_again_if_a_slot_went(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	before_the_fault_installs(zap_the_slot);
	assert_ram(PAGES(6), ACCESS_WRITE, PAGES(6), 6);
	assert_true(spte_is_leaf(tdp_lookup(&vm->mmu, gfn_of(6)).spte));
	assert_true(tdp_is_valid(&vm->mmu));
}

#define touch_test(f) cmocka_unit_test_setup_teardown(f, guest_setup, guest_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		touch_test(the_first_page_of_all_takes_one_descent),
		touch_test(a_first_write_takes_one_descent_and_one_walk),
		touch_test(a_first_read_takes_one_descent_and_one_walk),
		touch_test(a_first_write_to_what_was_read_takes_one_descent),
		touch_test(a_first_write_to_a_logged_page_takes_one_descent),
		touch_test(a_page_that_is_there_takes_one_descent),
		touch_test(mmio_takes_one_descent),
		touch_test(a_walk_is_made_again_after_a_flush),
		touch_test(a_walk_is_good_until_a_flush),
		touch_test(an_entry_is_looked_up_again_if_its_table_was_unlinked),
		touch_test(an_entry_is_looked_up_again_if_a_slot_went),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
