/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/shadow/test_shadow_first_touch.c - a first touch descends our tables once, whichever
 * the paging mode; and what the miss has found in shadow tables is not used after its time.
 */
#include "shadow_fixture.h"

#include "mmu/tlb/flush.h"

static uint64_t n_descents;

static void count_from_here(void)
{
	n_descents = hook_count(HOOK_DESCENT);
}

static void assert_one_descent(void)
{
	assert_int_equal(hook_count(HOOK_DESCENT) - n_descents, 1);
	count_from_here();
}

/* Pages 5 to 9 at a_page; the tables on the way to them are known, and are dirty already. */
static void map_five_pages(enum guest_format f)
{
	paging(f);
	for (unsigned int i = 0; i < 5; i++)
		map(a_page + PAGES(i), 1, PAGES(5 + i) | ALL);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	count_from_here();
}

static void in_every_format(void (*fn)(void))
{
	for (enum guest_format f = GUEST_32BIT; f <= GUEST_5LEVEL; f++) {
		map_five_pages(f);
		fn();
		assert_valid();
	}
}

/* --- how often, in both modes ---------------------------------------- */

static void touch(void)
{
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, 6);
	assert_one_descent();
	assert_page(v0, a_page + PAGES(2), ACCESS_READ, 7);
	assert_one_descent();
	assert_page(v0, a_page + PAGES(3), ACCESS_EXEC, 8);
	assert_one_descent();
	assert_page(v0, a_page + PAGES(2), ACCESS_WRITE, 7);
	assert_one_descent();
}

static void a_first_touch_takes_one_descent(void **state UNUSED)
{
	in_every_format(touch);
}

static void look_again(void)
{
	tlb_flush_page(v0, gva_of(a_page));
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_one_descent();
}

static void a_page_that_is_there_takes_one_descent(void **state UNUSED)
{
	in_every_format(look_again);
}

static void touch_mmio(void)
{
	map(a_page + PAGES(1), 1, HOLE | DONE);
	assert_verdict(v0, a_page + PAGES(1), ACCESS_READ, MMU_MMIO);
	assert_one_descent();
}

static void mmio_takes_one_descent(void **state UNUSED)
{
	in_every_format(touch_mmio);
}

static void an_unpaged_touch_takes_one_descent(void **state UNUSED)
{
	assert_page(v0, PAGES(5), ACCESS_WRITE, 5);
	count_from_here();
	assert_page(v0, PAGES(6), ACCESS_WRITE, 6);
	assert_one_descent();
}

static void touch_logged(void)
{
	assert_page(v0, a_page + PAGES(1), ACCESS_READ, 6);
	vm_slot(vm, 0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	/* The guest's tables are written to first, by the marks of another page. */
	assert_page(v0, a_page + PAGES(2), ACCESS_WRITE, 7);
	count_from_here();
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, 6);
	assert_one_descent();
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
}

static void a_first_write_to_a_logged_page_takes_one_descent(void **state UNUSED)
{
	in_every_format(touch_logged);
}

/* --- and where there were no shadow pages ----------------------------- */

/* Tables of its own, on all levels that the format allows. */
static void touch_afar(void)
{
	uint64_t gva = a_page ^ (format >= GUEST_4LEVEL ? 1ull << 46 : 1ull << 28);

	map(gva, 1, PAGES(11) | DONE);
	count_from_here();
	assert_page(v0, gva, ACCESS_WRITE, 11);
	assert_one_descent();
}

static void a_touch_that_makes_its_tables_takes_one_descent(void **state UNUSED)
{
	in_every_format(touch_afar);
}

/* Its large page is mapped by small ones. */
static void touch_within_a_large_page(void)
{
	uint64_t gva = a_page ^ (format >= GUEST_4LEVEL ? 1ull << 46 : 1ull << 28);
	uint64_t first = format == GUEST_32BIT ? 0 : M2;

	gva &= ~(PAGES(2 * M2) - 1);
	map(gva, 2, PAGES(first) | DONE | GPTE_PS);
	count_from_here();
	assert_page(v0, gva + PAGES(3), ACCESS_WRITE, first + 3);
	assert_one_descent();
	assert_page(v0, gva + PAGES(4), ACCESS_READ, first + 4);
	assert_one_descent();
}

static void a_touch_within_a_large_page_takes_one_descent(void **state UNUSED)
{
	in_every_format(touch_within_a_large_page);
}

/* --- how long what was found is good ----------------------------------- */

/* While the fault is outside guest mode, about to install. */
static void before_the_fault_installs(void (*fn)(void *ctx))
{
	hook_once(HOOK_WRLOCK, fn, NULL);
}

/* Zaps the page of this level on the way, and sees it freed. */
static void zap_page(int level)
{
	struct mmu *m = &vm->mmu;

	rwlock_wrlock(&m->lock);
	shadow_zap(m, shadow_page_at(v0, a_page, level));
	shadow_reap(m, REAP_ALL);
	assert_int_equal(shadow->n_dead, 0);
	rwlock_wrunlock(&m->lock);
}

static void zap_the_lowest_page(void *ctx UNUSED)
{
	zap_page(LEVEL_4K);
}

static void zap_the_page_above(void *ctx UNUSED)
{
	zap_page(LEVEL_2M);
}

static void a_path_is_looked_up_again_if_a_page_of_it_is_unlinked(void **state UNUSED)
{
	void (*const zap[])(void *ctx) = { zap_the_lowest_page, zap_the_page_above };

	map_five_pages(GUEST_4LEVEL);
	for (unsigned int i = 0; i < ARRAY_SIZE(zap); i++) {
		before_the_fault_installs(zap[i]);
		assert_page(v0, a_page + PAGES(1 + i), ACCESS_WRITE, 6 + i);
		assert_true(hook_count(HOOK_DESCENT) - n_descents > 1);
		count_from_here();
		assert_true(spte_is_leaf(shadow_entry(v0, a_page + PAGES(1 + i)).spte));
		assert_valid();
	}
}

/* The way to the page by another table, and the first one forgotten by its shadow. */
static void change_the_directory(void *ctx UNUSED)
{
	uint64_t table = new_table();

	write_gpa(table + (a_page >> 12 & 511) * 8 + 8, 8, PAGES(20) | DONE);
	write_gpa(entry_gpa(a_page, 2), 8, table | DONE);
}

/* The guest's write is made, and is not yet reported: the way that the miss has found is linked,
 * but it is not the one that the walk has taken. */
static void the_path_is_compared_with_the_guests_tables(void **state UNUSED)
{
	map_five_pages(GUEST_4LEVEL);
	change_the_directory(NULL);
	assert_page(v0, a_page + PAGES(1), ACCESS_READ, 20);
	assert_int_equal(shadow_page_at(v0, a_page, LEVEL_4K)->gfn.raw << PAGE_SHIFT,
			 entry(a_page, 2) & ~0xfffull);
}

/* The slot of the roots goes and comes back: the fault finds its root obsolete. */
static void exchange_the_slot(void *ctx UNUSED)
{
	vm_slot(vm, 0, 0, 0, 0, 0);
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
}

/* There is nothing below the root yet: no link tells that it is gone. */
static void a_path_ends_with_its_root(void **state UNUSED)
{
	paging(GUEST_32BIT);
	assert_guest_fault(v0, a_page + PAGES(1), ACCESS_READ, 0);
	map(a_page + PAGES(1), 1, PAGES(6) | DONE);
	before_the_fault_installs(exchange_the_slot);
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, 6);
	assert_true(spte_is_leaf(shadow_entry(v0, a_page + PAGES(1)).spte));
	assert_valid();
}

#define in_both_modes(f) \
	shadow_test(f), cmocka_unit_test_setup_teardown(f, direct_setup, shadow_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_both_modes(a_first_touch_takes_one_descent),
		in_both_modes(a_page_that_is_there_takes_one_descent),
		in_both_modes(mmio_takes_one_descent),
		in_both_modes(an_unpaged_touch_takes_one_descent),
		in_both_modes(a_first_write_to_a_logged_page_takes_one_descent),
		shadow_test(a_touch_that_makes_its_tables_takes_one_descent),
		shadow_test(a_touch_within_a_large_page_takes_one_descent),
		shadow_test(a_path_is_looked_up_again_if_a_page_of_it_is_unlinked),
		shadow_test(the_path_is_compared_with_the_guests_tables),
		shadow_test(a_path_ends_with_its_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
