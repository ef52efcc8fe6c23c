/* SPDX-License-Identifier: MIT */
/* tests/unit/mmu/test_tdp.c - the direct tables, claim by claim. */
#include "tdp_calls.h"

#include "mmu/tlb/request.h"

#define RW (SPTE_W | SPTE_MMUW | SPTE_HOSTW)
#define PROTECTED (SPTE_MMUW | SPTE_HOSTW)
#define RO 0

static uint64_t debt(struct test_vm *vm)
{
	return atomic64_load_relaxed(&vm->mmu.owed) - atomic64_load_relaxed(&vm->mmu.paid);
}

static void assert_leaf(struct test_vm *vm, uint64_t gfn, int level, pfn_t pfn, uint64_t state)
{
	struct table_entry e = look(vm, gfn);

	assert_true(spte_is_leaf(e.spte));
	assert_int_equal(e.level, level);
	assert_int_equal(spte_pfn_of(e.spte, gfn_of(gfn)), pfn);
	assert_int_equal(e.spte.raw & (SPTE_W | SPTE_MMUW | SPTE_HOSTW), state);
	assert_true(tdp_is_valid(&vm->mmu));
}

static void assert_nothing(struct test_vm *vm, uint64_t gfn, int level)
{
	struct table_entry e = look(vm, gfn);

	assert_int_equal(spte_kind(e.spte), SPTE_NONE);
	assert_int_equal(e.level, level);
}

/* --- mapping --------------------------------------------------------- */

static void an_empty_machine_has_a_root_and_nothing_else(void **state)
{
	struct test_vm *vm = *state;

	assert_gauges(vm, 1, 0, 0, 0);
	assert_nothing(vm, 0, LEVEL_256T);
	assert_nothing(vm, TEST_MAX_GFN, LEVEL_256T);
	assert_true(tdp_is_valid(&vm->mmu));
}

static void a_page_is_mapped_at_the_level_that_it_has(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_leaf(vm, 5, LEVEL_4K, PFN + 5, RW);
	assert_nothing(vm, 4, LEVEL_4K);
	assert_gauges(vm, 5, 1, 0, 0);

	/* From its own start, wherever the access was. */
	assert_int_equal(map(vm, M2 + 77, PFN + M2 + 77, LEVEL_2M, WRITE), FAULT_FIXED);
	assert_leaf(vm, M2, LEVEL_2M, PFN + M2, RW);
	assert_leaf(vm, 2 * M2 - 1, LEVEL_2M, PFN + 2 * M2 - 1, RW);
	assert_nothing(vm, 2 * M2, LEVEL_2M);
	assert_gauges(vm, 5, 1, 1, 0);

	assert_int_equal(map(vm, G1 + 12345, PFN + G1 + 12345, LEVEL_1G, WRITE), FAULT_FIXED);
	assert_leaf(vm, G1, LEVEL_1G, PFN + G1, RW);
	assert_leaf(vm, 2 * G1 - 1, LEVEL_1G, PFN + 2 * G1 - 1, RW);
	assert_gauges(vm, 5, 1, 1, 1);
}

static void the_highest_frames_are_mapped_like_the_lowest(void **state)
{
	const uint64_t gfns[] = { 0, G512 - 1, G512, TEST_MAX_GFN, (1ull << 40) - 1 };
	struct test_vm *vm = *state;

	for (size_t i = 0; i < ARRAY_SIZE(gfns); i++)
		assert_int_equal(map(vm, gfns[i], PFN + i, LEVEL_4K, WRITE), FAULT_FIXED);
	for (size_t i = 0; i < ARRAY_SIZE(gfns); i++)
		assert_leaf(vm, gfns[i], LEVEL_4K, PFN + i, RW);
}

static void what_is_there_already_is_spurious(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_SPURIOUS);
	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, READ_ONLY), FAULT_SPURIOUS);
	/* A read of a page over which others have a large one. */
	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_2M, WRITE), FAULT_FIXED);
	assert_int_equal(map(vm, M2 + 3, PFN + M2 + 3, LEVEL_4K, WRITE), FAULT_SPURIOUS);
	assert_int_equal(map(vm, M2 + 3, PFN + M2 + 3, LEVEL_4K, READ_ONLY), FAULT_SPURIOUS);
	assert_gauges(vm, 5, 1, 1, 0);
}

static void a_write_makes_a_page_for_reading_writable(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, READ_ONLY), FAULT_FIXED);
	assert_leaf(vm, 5, LEVEL_4K, PFN + 5, RO);
	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_leaf(vm, 5, LEVEL_4K, PFN + 5, RW);

	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_2M, READ_ONLY), FAULT_FIXED);
	assert_int_equal(map(vm, M2 + 9, PFN + M2 + 9, LEVEL_2M, WRITE), FAULT_FIXED);
	assert_leaf(vm, M2, LEVEL_2M, PFN + M2, RW);
	assert_gauges(vm, 5, 1, 1, 0);
	/* Nothing was revoked. */
	assert_int_equal(debt(vm), 0);
}

/* In a logged slot a page that is only read stays protected. */
static void a_page_may_be_mapped_without_the_permission_that_it_has(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, NO_W_YET), FAULT_FIXED);
	assert_leaf(vm, 5, LEVEL_4K, PFN + 5, PROTECTED);
	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, NO_W_YET), FAULT_SPURIOUS);
	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_leaf(vm, 5, LEVEL_4K, PFN + 5, RW);
}

static void a_page_below_a_table_is_as_small_as_the_table_makes_it(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, M2 + 5, PFN + M2 + 5, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_int_equal(tdp_max_level(look(vm, M2 + 6).level), LEVEL_4K);
	assert_int_equal(tdp_max_level(look(vm, 6).level), LEVEL_2M);
	assert_int_equal(tdp_max_level(look(vm, G1).level), LEVEL_1G);
	assert_int_equal(tdp_max_level(look(vm, G512).level), LEVEL_1G);
	assert_int_equal(map(vm, M2 + 6, PFN + M2 + 6, LEVEL_2M, WRITE), FAULT_FIXED);
	assert_leaf(vm, M2 + 6, LEVEL_4K, PFN + M2 + 6, RW);
	assert_nothing(vm, M2 + 7, LEVEL_4K);
	assert_gauges(vm, 5, 2, 0, 0);
}

/* --- splitting ------------------------------------------------------- */

static void a_write_to_a_small_part_splits_a_protected_page(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_2M, NO_W_YET), FAULT_FIXED);
	assert_int_equal(map(vm, M2 + 3, PFN + M2 + 3, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_leaf(vm, M2 + 3, LEVEL_4K, PFN + M2 + 3, RW);
	for (uint64_t gfn = M2; gfn < 2 * M2; gfn++)
		if (gfn != M2 + 3)
			assert_leaf(vm, gfn, LEVEL_4K, PFN + gfn, PROTECTED);
	/* Each translates as before: no TLB needs to hear of it. */
	assert_int_equal(debt(vm), 0);
	assert_gauges(vm, 5, 512, 0, 0);
}

static void a_page_of_1g_splits_by_two_levels(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, G1, PFN + G1, LEVEL_1G, READ_ONLY), FAULT_FIXED);
	assert_int_equal(map(vm, G1 + M2 + 3, PFN + G1 + M2 + 3, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_leaf(vm, G1, LEVEL_2M, PFN + G1, RO);
	assert_leaf(vm, G1 + M2, LEVEL_4K, PFN + G1 + M2, RO);
	assert_leaf(vm, G1 + M2 + 3, LEVEL_4K, PFN + G1 + M2 + 3, RW);
	assert_leaf(vm, 2 * G1 - 1, LEVEL_2M, PFN + 2 * G1 - 1, RO);
	assert_gauges(vm, 5, 512, 511, 0);
}

static void a_split_keeps_what_the_page_had(void **state)
{
	struct test_vm *vm = *state;
	struct table_entry e;

	assert_int_equal(map(vm, 0, PFN, LEVEL_2M, NO_W_YET), FAULT_FIXED);
	e = look(vm, 0);
	assert_true(sptep_cmpxchg(e.sptep, &e.spte, (spte_t){ e.spte.raw | SPTE_A | SPTE_D }));
	assert_int_equal(map(vm, 3, PFN + 3, LEVEL_4K, WRITE), FAULT_FIXED);
	e = look(vm, 511);
	assert_int_equal(e.spte.raw & (SPTE_A | SPTE_D | SPTE_U), SPTE_A | SPTE_D | SPTE_U);
}

/* --- out of memory --------------------------------------------------- */

static void a_page_without_memory_for_tables_is_mapped_later(void **state)
{
	struct test_vm *vm = *state;
	uint64_t n = 0;
	enum fault_verdict verdict;

	do {
		atomic64_store_relaxed(&vm->alloc.fail_in, ++n);
		verdict = map(vm, G512 + 5, PFN + 5, LEVEL_4K, WRITE);
		assert_true(tdp_is_valid(&vm->mmu));
	} while (verdict == FAULT_NO_MEMORY);
	atomic64_store_relaxed(&vm->alloc.fail_in, 0);
	assert_int_equal(verdict, FAULT_FIXED);
	assert_true(n > 1);
	assert_leaf(vm, G512 + 5, LEVEL_4K, PFN + 5, RW);
	assert_gauges(vm, 5, 1, 0, 0);
}

static void a_split_without_memory_leaves_the_page_whole(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, 0, PFN, LEVEL_2M, NO_W_YET), FAULT_FIXED);
	atomic64_store_relaxed(&vm->alloc.fail_in, 1);
	assert_int_equal(map(vm, 3, PFN + 3, LEVEL_4K, WRITE), FAULT_NO_MEMORY);
	assert_leaf(vm, 3, LEVEL_2M, PFN + 3, PROTECTED);
	assert_gauges(vm, 4, 0, 1, 0);
}

/* --- large pages come back -------------------------------------------- */

static void a_large_page_comes_back_piece_by_piece(void **state)
{
	struct test_vm *vm = *state;

	for (unsigned int i = 0; i < 64; i++)
		map(vm, i * M2, PFN + i * M2, i % 2 ? LEVEL_4K : LEVEL_2M, WRITE);
	assert_gauges(vm, 36, 32, 32, 0);
	work_watch(vm);
	tdp_collapse(&vm->mmu, gfn_of(0), LEVEL_1G);
	assert_true(work_most() <= ENTRIES_BEFORE_YIELD);
	assert_gauges(vm, 3, 0, 0, 0);
	assert_nothing(vm, 0, LEVEL_1G);
}

/* --- races ----------------------------------------------------------- */

struct overtaker {
	struct test_vm *vm;
	uint64_t gfn;
	int level, how;
	enum fault_verdict verdict;
};

/* Another thread's fault, while this one has the lock for it and makes a table. */
static void overtake(void *ctx) NO_THREAD_SAFETY
{
	struct overtaker *o = ctx;
	struct host_page page = { .pfn = PFN + o->gfn, .writable = true, .level = o->level };
	struct fault f = { .gfn = gfn_of(o->gfn), .write = o->how & WRITE };

	o->verdict = tdp_map(&o->vm->mmu, &f, &page, leaf_bits(o->how));
}

static void next_table_is_overtaken(struct overtaker *o)
{
	watch_mutex(&o->vm->mmu.tables.lock);
	hook_once(HOOK_WATCHED, overtake, o);
}

static void who_comes_second_with_a_table_takes_the_first(void **state)
{
	struct test_vm *vm = *state;
	struct overtaker o = { .vm = vm, .gfn = 6, .level = LEVEL_4K, .how = WRITE };

	next_table_is_overtaken(&o);
	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_FIXED);
	watch_mutex(NULL);
	assert_int_equal(o.verdict, FAULT_FIXED);
	assert_leaf(vm, 5, LEVEL_4K, PFN + 5, RW);
	assert_leaf(vm, 6, LEVEL_4K, PFN + 6, RW);
	assert_gauges(vm, 5, 2, 0, 0);
}

static void who_comes_second_to_split_takes_the_first_split(void **state)
{
	struct test_vm *vm = *state;
	struct overtaker o = { .vm = vm, .gfn = 6, .level = LEVEL_4K, .how = WRITE };

	assert_int_equal(map(vm, 0, PFN, LEVEL_2M, NO_W_YET), FAULT_FIXED);
	next_table_is_overtaken(&o);
	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_FIXED);
	watch_mutex(NULL);
	assert_int_equal(o.verdict, FAULT_FIXED);
	assert_leaf(vm, 5, LEVEL_4K, PFN + 5, RW);
	assert_leaf(vm, 6, LEVEL_4K, PFN + 6, RW);
	assert_leaf(vm, 7, LEVEL_4K, PFN + 7, PROTECTED);
	assert_gauges(vm, 5, 512, 0, 0);
}

/* The large page became writable, or was mapped at all, in the meantime. */
static void a_table_that_is_not_needed_any_more_is_given_back(void **state)
{
	struct test_vm *vm = *state;
	struct overtaker o = { .vm = vm, .gfn = 6, .level = LEVEL_2M, .how = WRITE };

	assert_int_equal(map(vm, 6, PFN + 6, LEVEL_2M, NO_W_YET), FAULT_FIXED);
	next_table_is_overtaken(&o);
	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_SPURIOUS);
	assert_leaf(vm, 5, LEVEL_2M, PFN + 5, RW);
	assert_gauges(vm, 4, 0, 1, 0);

	o.gfn = M2;
	next_table_is_overtaken(&o);
	assert_int_equal(map(vm, M2 + 5, PFN + M2 + 5, LEVEL_4K, READ_ONLY), FAULT_SPURIOUS);
	watch_mutex(NULL);
	assert_leaf(vm, M2 + 5, LEVEL_2M, PFN + M2 + 5, RW);
	assert_gauges(vm, 4, 0, 2, 0);
}

/* --- protecting ------------------------------------------------------ */

/* WPROT_LOGGING_KEEPS_MMUW */
static void protecting_takes_w_and_leaves_mmu_writable(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_FIXED);
	protect(vm, 5, 6, LEVEL_4K);
	assert_leaf(vm, 5, LEVEL_4K, PFN + 5, PROTECTED);
	assert_int_equal(debt(vm), 1);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_write_protected), 1);
	/* Again: nothing is revoked. */
	protect(vm, 5, 6, LEVEL_4K);
	assert_int_equal(debt(vm), 1);
}

static void protecting_a_range_ends_where_it_ends(void **state)
{
	struct test_vm *vm = *state;

	/* On both sides of table borders. */
	for (uint64_t gfn = M2 - 3; gfn < M2 + 3; gfn++)
		assert_int_equal(map(vm, gfn, PFN + gfn, LEVEL_4K, WRITE), FAULT_FIXED);
	protect(vm, M2 - 2, M2 + 2, LEVEL_4K);
	assert_leaf(vm, M2 - 3, LEVEL_4K, PFN + M2 - 3, RW);
	assert_leaf(vm, M2 - 2, LEVEL_4K, PFN + M2 - 2, PROTECTED);
	assert_leaf(vm, M2 - 1, LEVEL_4K, PFN + M2 - 1, PROTECTED);
	assert_leaf(vm, M2, LEVEL_4K, PFN + M2, PROTECTED);
	assert_leaf(vm, M2 + 1, LEVEL_4K, PFN + M2 + 1, PROTECTED);
	assert_leaf(vm, M2 + 2, LEVEL_4K, PFN + M2 + 2, RW);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_write_protected), 4);
}

static void protecting_crosses_the_borders_of_every_level(void **state)
{
	static const uint64_t borders[] = { M2, G1, G512, 1ull << 36 };
	struct test_vm *vm = *state;

	for (size_t i = 0; i < ARRAY_SIZE(borders); i++) {
		uint64_t at = borders[i];

		assert_int_equal(map(vm, at - 1, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
		assert_int_equal(map(vm, at, PFN + 1, LEVEL_4K, WRITE), FAULT_FIXED);
		protect(vm, at - 1, at + 1, LEVEL_4K);
		assert_leaf(vm, at - 1, LEVEL_4K, PFN, PROTECTED);
		assert_leaf(vm, at, LEVEL_4K, PFN + 1, PROTECTED);
		assert_int_equal(zap(vm, at - 1, at + 1), 2);
	}
}

static void protecting_from_a_level_up_leaves_the_smaller_pages(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_2M, WRITE), FAULT_FIXED);
	assert_int_equal(map(vm, G1, PFN + G1, LEVEL_1G, WRITE), FAULT_FIXED);
	protect(vm, 0, 2 * G1, LEVEL_1G);
	assert_leaf(vm, M2, LEVEL_2M, PFN + M2, RW);
	assert_leaf(vm, G1, LEVEL_1G, PFN + G1, PROTECTED);
	protect(vm, 0, 2 * G1, LEVEL_2M);
	assert_leaf(vm, 5, LEVEL_4K, PFN + 5, RW);
	assert_leaf(vm, M2, LEVEL_2M, PFN + M2, PROTECTED);
	protect(vm, 0, 2 * G1, LEVEL_4K);
	assert_leaf(vm, 5, LEVEL_4K, PFN + 5, PROTECTED);
}

static void a_mask_protects_the_pages_that_it_names(void **state)
{
	struct test_vm *vm = *state;
	const uint64_t first = M2 - 20;
	const uint64_t mask = 1ull << 63 | 1ull << 21 | 1ull << 20 | 1ull << 19 | 1ull << 7 | 1;

	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(map(vm, first + i, PFN + i, LEVEL_4K, WRITE), FAULT_FIXED);
	protect_mask(vm, first, mask);
	for (uint64_t i = 0; i < 64; i++)
		assert_leaf(vm, first + i, LEVEL_4K, PFN + i, mask >> i & 1 ? PROTECTED : RW);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_write_protected), 6);
	assert_int_equal(debt(vm), 1);
}

static void a_mask_over_nothing_or_a_large_page(void **state)
{
	struct test_vm *vm = *state;

	protect_mask(vm, G1, ~0ull);
	assert_int_equal(debt(vm), 0);
	assert_gauges(vm, 1, 0, 0, 0);
	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_2M, WRITE), FAULT_FIXED);
	protect_mask(vm, M2 - 32, ~0ull);
	assert_leaf(vm, M2, LEVEL_2M, PFN + M2, PROTECTED);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_write_protected), 1);
}

/* --- zapping --------------------------------------------------------- */

static void zapping_drops_leafs_and_keeps_tables(void **state)
{
	struct test_vm *vm = *state;

	for (uint64_t gfn = M2 - 3; gfn < M2 + 3; gfn++)
		assert_int_equal(map(vm, gfn, PFN + gfn, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_int_equal(zap(vm, M2 - 1, M2 + 2), 3);
	assert_leaf(vm, M2 - 2, LEVEL_4K, PFN + M2 - 2, RW);
	assert_nothing(vm, M2 - 1, LEVEL_4K);
	assert_nothing(vm, M2 + 1, LEVEL_4K);
	assert_leaf(vm, M2 + 2, LEVEL_4K, PFN + M2 + 2, RW);
	assert_gauges(vm, 6, 3, 0, 0);
	assert_int_equal(zap(vm, M2 - 1, M2 + 2), 0);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_zapped), 3);
}

static void zapping_part_of_a_large_page_drops_it_all(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_2M, WRITE), FAULT_FIXED);
	assert_int_equal(map(vm, G1, PFN + G1, LEVEL_1G, WRITE), FAULT_FIXED);
	assert_int_equal(zap(vm, M2 - 9, M2 + 1), 1);
	assert_nothing(vm, 2 * M2 - 1, LEVEL_1G);
	assert_int_equal(zap(vm, 2 * G1 - 1, 2 * G1 + 9), 1);
	assert_nothing(vm, G1, LEVEL_256T);
	assert_gauges(vm, 1, 0, 0, 0);
}

/* --- large pages come back ------------------------------------------- */

static void a_table_that_a_zap_has_emptied_goes_too(void **state)
{
	struct test_vm *vm = *state;

	for (uint64_t gfn = 0; gfn < 3; gfn++)
		assert_int_equal(map(vm, gfn, PFN + gfn, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_gauges(vm, 6, 4, 0, 0);
	assert_int_equal(zap(vm, 0, 2), 2);
	assert_nothing(vm, 1, LEVEL_4K);
	assert_gauges(vm, 6, 2, 0, 0);
	/* The last of it; then the next fault may map it as one. */
	assert_int_equal(zap(vm, 2, 3), 1);
	assert_nothing(vm, 2, LEVEL_2M);
	assert_gauges(vm, 5, 1, 0, 0);
	assert_true(debt(vm));
	assert_int_equal(map(vm, 2, PFN + 2, LEVEL_2M, WRITE), FAULT_FIXED);
	assert_leaf(vm, 1, LEVEL_2M, PFN + 1, RW);
	assert_leaf(vm, M2, LEVEL_4K, PFN + M2, RW);
	assert_gauges(vm, 5, 1, 1, 0);
	/* It is freed when no walk can be in it any more, with others. */
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_tables), 6);
	tdp_ops.reap(&vm->mmu, false);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_tables), 6);
	tdp_ops.reap(&vm->mmu, true);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_tables), 5);
	assert_false(debt(vm));
}

static void a_table_that_still_has_mmio_stays(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, 1, PFN + 1, LEVEL_4K, WRITE), FAULT_FIXED);
	map_mmio(vm, 2, 1);
	assert_int_equal(zap(vm, 0, M2), 1);
	assert_nothing(vm, 1, LEVEL_4K);
	tdp_zap_mmio(&vm->mmu);
	assert_int_equal(zap(vm, 0, M2), 0);
	assert_nothing(vm, 1, LEVEL_256T);
	assert_true(debt(vm));
	assert_gauges(vm, 1, 0, 0, 0);
}

static void what_we_have_split_is_collapsed(void **state)
{
	struct test_vm *vm = *state;

	assert_false(tdp_ops.is_split(&vm->mmu, gfn_of(0), LEVEL_2M));
	for (uint64_t gfn = 0; gfn < 3 * M2; gfn += M2 / 2)
		assert_int_equal(map(vm, gfn, PFN + gfn, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_gauges(vm, 7, 6, 0, 0);
	assert_true(tdp_ops.is_split(&vm->mmu, gfn_of(M2), LEVEL_2M));
	tdp_ops.collapse(&vm->mmu, gfn_of(M2), LEVEL_2M);
	assert_false(tdp_ops.is_split(&vm->mmu, gfn_of(M2), LEVEL_2M));
	assert_true(tdp_ops.is_split(&vm->mmu, gfn_of(M2), LEVEL_1G));
	assert_nothing(vm, M2 + 1, LEVEL_2M);
	assert_leaf(vm, 0, LEVEL_4K, PFN, RW);
	assert_leaf(vm, 2 * M2, LEVEL_4K, PFN + 2 * M2, RW);
	assert_gauges(vm, 6, 4, 0, 0);
	assert_true(debt(vm));
	tdp_ops.collapse(&vm->mmu, gfn_of(M2), LEVEL_2M);
	tdp_ops.collapse(&vm->mmu, gfn_of(5 * G512), LEVEL_1G);
	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_2M, WRITE), FAULT_FIXED);
	tdp_ops.collapse(&vm->mmu, gfn_of(M2), LEVEL_2M);
	assert_leaf(vm, M2, LEVEL_2M, PFN + M2, RW);
	tdp_ops.collapse(&vm->mmu, gfn_of(0), LEVEL_1G);
	assert_nothing(vm, 0, LEVEL_1G);
	assert_gauges(vm, 3, 0, 0, 0);
	tdp_ops.reap(&vm->mmu, true);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_tables), 3);
}

static void a_slot_takes_its_tables_with_it_and_leaves_its_neighbours(void **state)
{
	struct test_vm *vm = *state;

	for (uint64_t gfn = 0; gfn < 6 * M2; gfn += M2 / 2)
		assert_int_equal(map(vm, gfn, PFN + gfn, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_gauges(vm, 10, 12, 0, 0);
	/* Two whole tables, and a part of one on either side. */
	zap_frames(&vm->mmu, M2 + 256, 4 * M2 + 256);
	assert_leaf(vm, M2, LEVEL_4K, PFN + M2, RW);
	assert_nothing(vm, M2 + 256, LEVEL_4K);
	assert_nothing(vm, 2 * M2, LEVEL_2M);
	assert_nothing(vm, 3 * M2, LEVEL_2M);
	assert_nothing(vm, 4 * M2, LEVEL_4K);
	assert_leaf(vm, 4 * M2 + 256, LEVEL_4K, PFN + 4 * M2 + 256, RW);
	assert_gauges(vm, 8, 6, 0, 0);
	assert_int_equal(debt(vm), 0);
	assert_true(vm_stat(vm, VM_STAT_remote_tlb_flush) > 0);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_zapped), 6);
}

static void a_large_slot_takes_its_upper_tables_too(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, G512 + 5, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_int_equal(map(vm, G512 + G1, PFN, LEVEL_1G, WRITE), FAULT_FIXED);
	assert_int_equal(map(vm, G512 + 2 * G1 + M2, PFN, LEVEL_2M, WRITE), FAULT_FIXED);
	map_mmio(vm, G512 + 3 * G1, 1);
	zap_frames(&vm->mmu, G512, 2 * G512);
	assert_nothing(vm, G512 + 5, LEVEL_512G);
	assert_gauges(vm, 2, 0, 0, 0);
	/* What is left can be used again. */
	assert_int_equal(map(vm, G512 + 5, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_leaf(vm, G512 + 5, LEVEL_4K, PFN, RW);
}

/* No table is unlinked and nothing revoked: no reason to disturb anybody. */
static void an_untouched_slot_goes_without_a_flush(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, 5, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
	zap_frames(&vm->mmu, G1, 2 * G1);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush), 0);
	assert_gauges(vm, 5, 1, 0, 0);
}

struct slot_zap {
	struct test_vm *vm;
	sem_t moment;		/* it waits for the vCPU, or has finished */
	bool waits;
};

static void note_that_it_waits(void *ctx)
{
	struct slot_zap *z = ctx;

	z->waits = true;
	sem_post(&z->moment);
}

static void *zap_a_slot(void *arg)
{
	struct slot_zap *z = arg;

	zap_frames(&z->vm->mmu, 2 * M2, 3 * M2);
	sem_post(&z->moment);
	return NULL;
}

/* FROZEN_SPTE_UNTOUCHED, UNLINK_FLUSH_FREE: a vCPU in the guest holds the flush up. */
static void what_a_slot_had_stays_frozen_until_the_flush_is_through(void **state)
{
	struct test_vm *vm = *state;
	struct slot_zap z = { .vm = vm };
	pthread_t t;

	sem_init(&z.moment, 0, 0);
	assert_int_equal(map(vm, 2 * M2, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
	guest_enter(&vm->vcpu[0]);
	hook_once(HOOK_WAIT, note_that_it_waits, &z);
	thread_start(&t, zap_a_slot, &z);
	sem_wait(&z.moment);
	assert_true(z.waits);
	/* A fault is to come again, MMIO is not noted, and no table is freed. */
	assert_int_equal(spte_kind(look(vm, 2 * M2).spte), SPTE_FROZEN);
	assert_int_equal(map(vm, 2 * M2, PFN, LEVEL_4K, WRITE), FAULT_RETRY);
	assert_int_equal(map(vm, 2 * M2, PFN, LEVEL_2M, READ_ONLY), FAULT_RETRY);
	map_mmio(vm, 2 * M2, 3);
	assert_int_equal(spte_kind(look(vm, 2 * M2).spte), SPTE_FROZEN);
	assert_int_equal(atomic64_load_relaxed(&vm->mmu.tables.in_use), 5);
	/* Neither does the host's taking something back thaw it. */
	assert_int_equal(zap(vm, 0, 4 * M2), 0);
	assert_int_equal(spte_kind(look(vm, 2 * M2).spte), SPTE_FROZEN);

	guest_leave(&vm->vcpu[0]);
	thread_end(t);
	assert_nothing(vm, 2 * M2, LEVEL_2M);
	assert_gauges(vm, 4, 0, 0, 0);
	hook_clear(HOOK_WAIT);
	sem_destroy(&z.moment);
}

/* --- MMIO ------------------------------------------------------------ */

static void no_memory_is_remembered_at_4k(void **state)
{
	struct test_vm *vm = *state;
	struct table_entry e;

	map_mmio(vm, 0xfee00, 77);
	e = look(vm, 0xfee00);
	assert_int_equal(spte_kind(e.spte), SPTE_MMIO);
	assert_int_equal(e.level, LEVEL_4K);
	assert_int_equal(spte_mmio_generation(e.spte), 77);
	assert_nothing(vm, 0xfee01, LEVEL_4K);
	/* Under a newer generation. */
	map_mmio(vm, 0xfee00, 78);
	assert_int_equal(spte_mmio_generation(look(vm, 0xfee00).spte), 78);
	assert_gauges(vm, 5, 0, 0, 0);
}

static void memory_takes_the_place_of_mmio(void **state)
{
	struct test_vm *vm = *state;

	map_mmio(vm, 5, 77);
	assert_int_equal(map(vm, 5, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_leaf(vm, 5, LEVEL_4K, PFN, RW);
	assert_gauges(vm, 5, 1, 0, 0);
}

static void mmio_never_takes_the_place_of_memory(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, 5, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_2M, WRITE), FAULT_FIXED);
	map_mmio(vm, 5, 77);
	map_mmio(vm, M2 + 5, 77);
	assert_leaf(vm, 5, LEVEL_4K, PFN, RW);
	assert_leaf(vm, M2 + 5, LEVEL_2M, PFN + M2 + 5, RW);
}

/* What is bounded are the tables that a guest makes by asking where no memory is. */
static void memory_takes_no_room_from_mmio(void **state)
{
	struct test_vm *vm = *state;
	struct atomic64 *n_mmio = &vm->mmu.n_mmio_tables;

	/* As if there were that many. */
	atomic64_fetch_add(&vm->mmu.tables.in_use, MAX_TABLES_FOR_MMIO);
	map_mmio(vm, 0xfee00, 1);
	atomic64_fetch_add(&vm->mmu.tables.in_use, -(uint64_t)MAX_TABLES_FOR_MMIO);
	assert_int_equal(spte_kind(look(vm, 0xfee00).spte), SPTE_MMIO);
	assert_int_equal(atomic64_load_relaxed(n_mmio), 4);
	assert_int_equal(map(vm, G512, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_int_equal(atomic64_load_relaxed(n_mmio), 4);

	atomic64_fetch_add(n_mmio, MAX_TABLES_FOR_MMIO - 4);
	map_mmio(vm, 2 * G512, 1);
	assert_nothing(vm, 2 * G512, LEVEL_512G);
	map_mmio(vm, 0xfee01, 1);
	assert_int_equal(spte_kind(look(vm, 0xfee01).spte), SPTE_MMIO);
	assert_int_equal(map(vm, 3 * G512, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
	atomic64_fetch_add(n_mmio, -(uint64_t)(MAX_TABLES_FOR_MMIO - 4));

	/* They are counted off when they go. */
	zap_frames(&vm->mmu, 0, TEST_MAX_GFN + 1);
	assert_int_equal(atomic64_load_relaxed(n_mmio), 0);
	map_mmio(vm, 2 * G512, 1);
	assert_int_equal(spte_kind(look(vm, 2 * G512).spte), SPTE_MMIO);
}

static void zapping_mmio_drops_all_of_it_and_no_memory(void **state)
{
	struct test_vm *vm = *state;

	map_mmio(vm, 6, 1);
	map_mmio(vm, G1, 2);
	map_mmio(vm, MMIO_MAX_GFN, 3);
	assert_int_equal(map(vm, 5, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
	tdp_zap_mmio(&vm->mmu);
	assert_nothing(vm, 6, LEVEL_4K);
	assert_nothing(vm, G1, LEVEL_4K);
	assert_nothing(vm, MMIO_MAX_GFN, LEVEL_4K);
	assert_leaf(vm, 5, LEVEL_4K, PFN, RW);
}

static void a_frame_that_does_not_fit_is_not_remembered(void **state)
{
	struct test_vm *vm = *state;

	map_mmio(vm, MMIO_MAX_GFN + 1, 1);
	assert_gauges(vm, 1, 0, 0, 0);
}

/* A guest that probes everything must not fill our memory with tables. */
static void the_tables_for_mmio_are_limited(void **state)
{
	struct test_vm *vm = *state;
	const uint64_t limit = MAX_TABLES_FOR_MMIO;

	for (uint64_t i = 0; i < limit + 100; i++)
		map_mmio(vm, i * M2, 1);
	/* And the root. */
	assert_true(vm_stat(vm, VM_STAT_mmu_tables) <= limit + 1);
	assert_int_equal(spte_kind(look(vm, (limit + 50) * M2).spte), SPTE_NONE);
	/* Memory is mapped all the same. */
	assert_int_equal(map(vm, (limit + 50) * M2, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
}

/* --- the check itself ------------------------------------------------ */

static void a_wrong_table_is_not_valid(void **state)
{
	const spte_t wrong[] = {
		spte_make_leaf(PFN, LEVEL_2M, RW),		/* not this level */
		spte_make_leaf(PFN, LEVEL_4K, SPTE_W),
		spte_make_leaf(PFN, LEVEL_4K, SPTE_MMUW),
		spte_make_leaf(PFN, LEVEL_4K, SPTE_W | SPTE_HOSTW),
	};
	struct test_vm *vm = *state;
	struct spte_word *sptep;

	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_2M, WRITE), FAULT_FIXED);
	sptep = look(vm, 6).sptep;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		sptep_set(sptep, wrong[i]);
		assert_false(tdp_is_valid(&vm->mmu));
		sptep_set(sptep, NO_SPTE);
		assert_true(tdp_is_valid(&vm->mmu));
	}
	/* A large page from the middle of one, and a table on the wrong level. */
	sptep = look(vm, 2 * M2).sptep;
	sptep_set(sptep, spte_make_leaf(PFN + 1, LEVEL_2M, RW));
	assert_false(tdp_is_valid(&vm->mmu));
	sptep_set(sptep, spte_make_link(vm->mmu.root));
	assert_false(tdp_is_valid(&vm->mmu));
	sptep_set(sptep, NO_SPTE);
}

#define tdp_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tdp_test(an_empty_machine_has_a_root_and_nothing_else),
		tdp_test(a_page_is_mapped_at_the_level_that_it_has),
		tdp_test(the_highest_frames_are_mapped_like_the_lowest),
		tdp_test(what_is_there_already_is_spurious),
		tdp_test(a_write_makes_a_page_for_reading_writable),
		tdp_test(a_page_may_be_mapped_without_the_permission_that_it_has),
		tdp_test(a_page_below_a_table_is_as_small_as_the_table_makes_it),
		tdp_test(a_write_to_a_small_part_splits_a_protected_page),
		tdp_test(a_page_of_1g_splits_by_two_levels),
		tdp_test(a_split_keeps_what_the_page_had),
		tdp_test(a_page_without_memory_for_tables_is_mapped_later),
		tdp_test(a_split_without_memory_leaves_the_page_whole),
		tdp_test(who_comes_second_with_a_table_takes_the_first),
		tdp_test(who_comes_second_to_split_takes_the_first_split),
		tdp_test(a_table_that_is_not_needed_any_more_is_given_back),
		tdp_test(protecting_takes_w_and_leaves_mmu_writable),
		tdp_test(protecting_a_range_ends_where_it_ends),
		tdp_test(protecting_crosses_the_borders_of_every_level),
		tdp_test(protecting_from_a_level_up_leaves_the_smaller_pages),
		tdp_test(a_mask_protects_the_pages_that_it_names),
		tdp_test(a_mask_over_nothing_or_a_large_page),
		tdp_test(zapping_drops_leafs_and_keeps_tables),
		tdp_test(zapping_part_of_a_large_page_drops_it_all),
		tdp_test(a_table_that_a_zap_has_emptied_goes_too),
		tdp_test(a_table_that_still_has_mmio_stays),
		tdp_test(what_we_have_split_is_collapsed),
		tdp_test(a_slot_takes_its_tables_with_it_and_leaves_its_neighbours),
		tdp_test(a_large_slot_takes_its_upper_tables_too),
		tdp_test(an_untouched_slot_goes_without_a_flush),
		tdp_test(what_a_slot_had_stays_frozen_until_the_flush_is_through),
		tdp_test(no_memory_is_remembered_at_4k),
		tdp_test(a_large_page_comes_back_piece_by_piece),
		tdp_test(memory_takes_the_place_of_mmio),
		tdp_test(mmio_never_takes_the_place_of_memory),
		tdp_test(memory_takes_no_room_from_mmio),
		tdp_test(zapping_mmio_drops_all_of_it_and_no_memory),
		tdp_test(a_frame_that_does_not_fit_is_not_remembered),
		tdp_test(the_tables_for_mmio_are_limited),
		tdp_test(a_wrong_table_is_not_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
