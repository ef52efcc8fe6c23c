/* SPDX-License-Identifier: MIT */
/* tests/unit/test_tdp.c - the direct tables, alone and against a naive model. */
#include "vm_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "mmu/request.h"
#include "mmu/tdp.h"

#define M2 (1ull << 9)		/* pages of 2 MiB, */
#define G1 (1ull << 18)		/* of 1 GiB, */
#define G512 (1ull << 27)	/* and of 512 GiB */

#define PFN 0x7f0000000ull	/* aligned to 1 GiB */

static int setup(void **state)
{
	*state = vm_make(1, 1);
	return 0;
}

static int teardown(void **state)
{
	vm_free(*state);
	return 0;
}

/* --- the calls, with their locks ----------------------------------------- */

enum { READ_ONLY = 1, WRITE = 2, NO_W_YET = 4 };

/* A page that was brought in for writing, unless READ_ONLY. */
static enum fault_verdict map(struct test_vm *vm, gfn_t gfn, pfn_t pfn, int level, int how)
{
	struct host_page page = { .pfn = pfn, .writable = !(how & READ_ONLY), .level = level };
	enum fault_verdict verdict;

	rwlock_rdlock(&vm->mmu.lock);
	rcu_read_begin();
	verdict = tdp_map(&vm->mmu, gfn, &page, how & WRITE, !(how & NO_W_YET));
	rcu_read_end();
	rwlock_rdunlock(&vm->mmu.lock);
	return verdict;
}

static void map_mmio(struct test_vm *vm, gfn_t gfn, uint64_t generation)
{
	rwlock_rdlock(&vm->mmu.lock);
	rcu_read_begin();
	tdp_map_mmio(&vm->mmu, gfn, generation);
	rcu_read_end();
	rwlock_rdunlock(&vm->mmu.lock);
}

static void protect(struct test_vm *vm, gfn_t start, gfn_t end, int first_level)
{
	rwlock_rdlock(&vm->mmu.lock);
	tdp_write_protect(&vm->mmu, start, end, first_level);
	rwlock_rdunlock(&vm->mmu.lock);
}

static void protect_mask(struct test_vm *vm, gfn_t first, uint64_t mask)
{
	rwlock_rdlock(&vm->mmu.lock);
	tdp_write_protect_mask(&vm->mmu, first, mask);
	rwlock_rdunlock(&vm->mmu.lock);
}

static uint64_t zap(struct test_vm *vm, gfn_t start, gfn_t end)
{
	uint64_t n;

	rwlock_wrlock(&vm->mmu.lock);
	n = tdp_zap_leafs(&vm->mmu, start, end);
	rwlock_wrunlock(&vm->mmu.lock);
	return n;
}

static void zap_mmio(struct test_vm *vm)
{
	rwlock_wrlock(&vm->mmu.lock);
	tdp_zap_mmio(&vm->mmu);
	rwlock_wrunlock(&vm->mmu.lock);
}

static struct tdp_entry look(struct test_vm *vm, gfn_t gfn)
{
	struct tdp_entry e;

	rcu_read_begin();
	e = tdp_lookup(&vm->mmu, gfn);
	rcu_read_end();
	return e;
}

static uint64_t debt(struct test_vm *vm)
{
	return atomic64_load_relaxed(&vm->mmu.owed) - atomic64_load_relaxed(&vm->mmu.paid);
}

static void assert_leaf(struct test_vm *vm, gfn_t gfn, int level, pfn_t pfn, uint64_t state)
{
	struct tdp_entry e = look(vm, gfn);

	assert_true(spte_is_leaf(e.spte));
	assert_int_equal(e.level, level);
	assert_int_equal(spte_pfn_of(e.spte, gfn), pfn);
	assert_int_equal(e.spte.raw & (SPTE_W | SPTE_MMUW | SPTE_HOSTW), state);
	assert_true(tdp_is_valid(&vm->mmu));
}

static void assert_nothing(struct test_vm *vm, gfn_t gfn, int level)
{
	struct tdp_entry e = look(vm, gfn);

	assert_int_equal(spte_kind(e.spte), SPTE_NONE);
	assert_int_equal(e.level, level);
}

static void assert_gauges(struct test_vm *vm, uint64_t tables, uint64_t n4k, uint64_t n2m,
			  uint64_t n1g)
{
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_tables), tables);
	assert_int_equal(atomic64_load_relaxed(&vm->mmu.tables.in_use), tables);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_4k), n4k);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), n2m);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_1g), n1g);
}

#define RW (SPTE_W | SPTE_MMUW | SPTE_HOSTW)
#define PROTECTED (SPTE_MMUW | SPTE_HOSTW)
#define RO 0

/* --- mapping ------------------------------------------------------------- */

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
	const gfn_t gfns[] = { 0, G512 - 1, G512, TEST_MAX_GFN, (1ull << 40) - 1 };
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
	assert_int_equal(tdp_max_level(&vm->mmu, M2 + 6), LEVEL_4K);
	assert_int_equal(tdp_max_level(&vm->mmu, 6), LEVEL_2M);
	assert_int_equal(tdp_max_level(&vm->mmu, G1), LEVEL_1G);
	assert_int_equal(tdp_max_level(&vm->mmu, G512), LEVEL_1G);
	assert_int_equal(map(vm, M2 + 6, PFN + M2 + 6, LEVEL_2M, WRITE), FAULT_FIXED);
	assert_leaf(vm, M2 + 6, LEVEL_4K, PFN + M2 + 6, RW);
	assert_nothing(vm, M2 + 7, LEVEL_4K);
	assert_gauges(vm, 5, 2, 0, 0);
}

/* --- splitting ----------------------------------------------------------- */

static void a_write_to_a_small_part_splits_a_protected_page(void **state)
{
	struct test_vm *vm = *state;

	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_2M, NO_W_YET), FAULT_FIXED);
	assert_int_equal(map(vm, M2 + 3, PFN + M2 + 3, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_leaf(vm, M2 + 3, LEVEL_4K, PFN + M2 + 3, RW);
	for (gfn_t gfn = M2; gfn < 2 * M2; gfn++)
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
	struct tdp_entry e;

	assert_int_equal(map(vm, 0, PFN, LEVEL_2M, NO_W_YET), FAULT_FIXED);
	e = look(vm, 0);
	assert_true(sptep_cmpxchg(e.slot, &e.spte, (spte_t){ e.spte.raw | SPTE_A | SPTE_D }));
	assert_int_equal(map(vm, 3, PFN + 3, LEVEL_4K, WRITE), FAULT_FIXED);
	e = look(vm, 511);
	assert_int_equal(e.spte.raw & (SPTE_A | SPTE_D | SPTE_U), SPTE_A | SPTE_D | SPTE_U);
}

/* --- out of memory -------------------------------------------------------- */

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

/* --- races ---------------------------------------------------------------- */

struct overtaker {
	struct test_vm *vm;
	gfn_t gfn;
	int level, how;
	enum fault_verdict verdict;
};

/* Another thread's fault, while this one has the lock for it and makes a table. */
static void overtake(void *ctx) NO_THREAD_SAFETY
{
	struct overtaker *o = ctx;
	struct host_page page = { .pfn = PFN + o->gfn, .writable = true, .level = o->level };

	o->verdict = tdp_map(&o->vm->mmu, o->gfn, &page, o->how & WRITE, !(o->how & NO_W_YET));
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

/* --- protecting ---------------------------------------------------------- */

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
	for (gfn_t gfn = M2 - 3; gfn < M2 + 3; gfn++)
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
	static const gfn_t borders[] = { M2, G1, G512, 1ull << 36 };
	struct test_vm *vm = *state;

	for (size_t i = 0; i < ARRAY_SIZE(borders); i++) {
		gfn_t at = borders[i];

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
	const gfn_t first = M2 - 20;
	const uint64_t mask = 1ull << 63 | 1ull << 21 | 1ull << 20 | 1ull << 19 | 1ull << 7 | 1;

	for (gfn_t i = 0; i < 64; i++)
		assert_int_equal(map(vm, first + i, PFN + i, LEVEL_4K, WRITE), FAULT_FIXED);
	protect_mask(vm, first, mask);
	for (gfn_t i = 0; i < 64; i++)
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

/* --- zapping ------------------------------------------------------------- */

static void zapping_drops_leafs_and_keeps_tables(void **state)
{
	struct test_vm *vm = *state;

	for (gfn_t gfn = M2 - 3; gfn < M2 + 3; gfn++)
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
	assert_nothing(vm, 2 * M2 - 1, LEVEL_2M);
	assert_int_equal(zap(vm, 2 * G1 - 1, 2 * G1 + 9), 1);
	assert_nothing(vm, G1, LEVEL_1G);
	assert_gauges(vm, 4, 0, 0, 0);
}

static void a_slot_takes_its_tables_with_it_and_leaves_its_neighbours(void **state)
{
	struct test_vm *vm = *state;

	for (gfn_t gfn = 0; gfn < 6 * M2; gfn += M2 / 2)
		assert_int_equal(map(vm, gfn, PFN + gfn, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_gauges(vm, 10, 12, 0, 0);
	/* Two whole tables, and a part of one on either side. */
	tdp_zap_slot(&vm->mmu, M2 + 256, 4 * M2 + 256);
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
	tdp_zap_slot(&vm->mmu, G512, 2 * G512);
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
	tdp_zap_slot(&vm->mmu, G1, 2 * G1);
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

	tdp_zap_slot(&z->vm->mmu, 2 * M2, 3 * M2);
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

/* --- MMIO ---------------------------------------------------------------- */

static void no_memory_is_remembered_at_4k(void **state)
{
	struct test_vm *vm = *state;
	struct tdp_entry e;

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

static void zapping_mmio_drops_all_of_it_and_no_memory(void **state)
{
	struct test_vm *vm = *state;

	map_mmio(vm, 6, 1);
	map_mmio(vm, G1, 2);
	map_mmio(vm, MMIO_MAX_GFN, 3);
	assert_int_equal(map(vm, 5, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
	zap_mmio(vm);
	assert_nothing(vm, 6, LEVEL_4K);
	assert_nothing(vm, G1, LEVEL_4K);
	assert_nothing(vm, MMIO_MAX_GFN, LEVEL_4K);
	assert_leaf(vm, 5, LEVEL_4K, PFN, RW);
	assert_int_equal(vm_stat(vm, VM_STAT_mmio_generation_wraps), 1);
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
	const uint64_t limit = 16384;

	for (gfn_t i = 0; i < limit + 100; i++)
		map_mmio(vm, i * M2, 1);
	assert_true(vm_stat(vm, VM_STAT_mmu_tables) <= limit);
	assert_int_equal(spte_kind(look(vm, (limit + 50) * M2).spte), SPTE_NONE);
	/* Memory is mapped all the same. */
	assert_int_equal(map(vm, (limit + 50) * M2, PFN, LEVEL_4K, WRITE), FAULT_FIXED);
}

/* --- the model ----------------------------------------------------------- */

struct model_page {
	uint8_t level;	/* where a lookup ends */
	uint8_t kind;
	bool w, mmuw, hostw;
	pfn_t pfn;
	uint64_t generation;
};

/* Of all frames only those of the window are ever mapped. */
struct model {
	struct run run;
	struct test_vm *vm;
	gfn_t first, n;
	bool with_1g;
	struct model_page *page;
};

static struct model_page *at(struct model *m, gfn_t gfn)
{
	return &m->page[gfn - m->first];
}

/* The part in the window of the region at @level around @gfn. */
static gfn_t region_start(const struct model *m, gfn_t gfn, int level)
{
	return MAX(level_align(gfn, level), m->first);
}

static gfn_t region_end(const struct model *m, gfn_t gfn, int level)
{
	return MIN(level_align(gfn, level) + level_pages(level), m->first + m->n);
}

static void set_region(struct model *m, gfn_t gfn, int level, struct model_page p)
{
	pfn_t pfn = p.pfn - (gfn - region_start(m, gfn, level));

	p.level = (uint8_t)level;
	for (gfn_t g = region_start(m, gfn, level); g < region_end(m, gfn, level); g++) {
		*at(m, g) = p;
		at(m, g)->pfn = pfn++;
	}
}

/* The entry becomes a table of entries that say the same. */
static void lower_region(struct model *m, gfn_t gfn)
{
	int level = at(m, gfn)->level;

	for (gfn_t g = region_start(m, gfn, level); g < region_end(m, gfn, level); g++)
		at(m, g)->level--;
}

static enum fault_verdict model_map(struct model *m, gfn_t gfn, pfn_t pfn, int level, int how)
{
	bool write = how & WRITE, host_writable = !(how & READ_ONLY);
	struct model_page *p = at(m, gfn), new;

	while (p->level > level) {
		if (p->kind == SPTE_PRESENT && (!write || p->w))
			return FAULT_SPURIOUS;
		lower_region(m, gfn);
	}
	if (p->kind == SPTE_PRESENT && (!write || p->w))
		return FAULT_SPURIOUS;
	new = (struct model_page){
		.kind = SPTE_PRESENT, .pfn = pfn,
		.hostw = host_writable, .mmuw = host_writable,
		.w = host_writable && !(how & NO_W_YET),
	};
	if (p->kind == SPTE_PRESENT) {
		new.hostw |= p->hostw;
		new.mmuw |= p->mmuw;
	}
	set_region(m, gfn, p->level, new);
	return FAULT_FIXED;
}

static void step_map(struct model *m)
{
	static const int hows[] = { WRITE, WRITE, READ_ONLY, NO_W_YET };
	gfn_t gfn = m->first + run_below(&m->run, m->n);
	int level = run_chance(&m->run, 75) ? LEVEL_4K : LEVEL_2M;
	int how = hows[run_below(&m->run, ARRAY_SIZE(hows))];
	/* Always the same page for a frame: for another it is zapped first. */
	pfn_t pfn = PFN + gfn;

	if (m->with_1g && run_chance(&m->run, 5))
		level = LEVEL_1G;
	run_assert(&m->run, map(m->vm, gfn, pfn, level, how) == model_map(m, gfn, pfn, level, how));
}

static void random_range(struct model *m, gfn_t *start, gfn_t *end)
{
	static const uint64_t lengths[] = { 1, 8, 100, 512, 600, 2000 };

	*start = m->first + run_below(&m->run, m->n);
	*end = *start + 1 + run_below(&m->run, lengths[run_below(&m->run, ARRAY_SIZE(lengths))]);
	if (run_chance(&m->run, 30)) {
		*start = level_align(*start, LEVEL_2M);
		*end = ALIGN_UP(*end, M2);
	}
	*start = MAX(*start, m->first);
	*end = MIN(*end, m->first + m->n);
}

static void take_w(struct model *m, gfn_t gfn)
{
	int level = at(m, gfn)->level;

	for (gfn_t g = region_start(m, gfn, level); g < region_end(m, gfn, level); g++)
		at(m, g)->w = false;
}

static void step_protect(struct model *m)
{
	int first_level = 1 + (int)run_below(&m->run, m->with_1g ? 3 : 2);
	gfn_t start, end;

	random_range(m, &start, &end);
	protect(m->vm, start, end, first_level);
	for (gfn_t g = start; g < end; g++)
		if (at(m, g)->kind == SPTE_PRESENT && at(m, g)->level >= first_level &&
		    at(m, g)->w)
			take_w(m, g);
}

static void step_protect_mask(struct model *m)
{
	gfn_t first = m->first + run_below(&m->run, m->n - 64);
	uint64_t mask = run_next(&m->run);

	if (run_chance(&m->run, 50))
		mask &= run_next(&m->run) & run_next(&m->run);
	protect_mask(m->vm, first, mask);
	for (gfn_t i = 0; i < 64; i++)
		if (mask >> i & 1 && at(m, first + i)->kind == SPTE_PRESENT && at(m, first + i)->w)
			take_w(m, first + i);
}

static void empty(struct model *m, gfn_t gfn)
{
	set_region(m, gfn, at(m, gfn)->level, (struct model_page){ .kind = SPTE_NONE });
}

static void step_zap(struct model *m)
{
	gfn_t start, end;
	uint64_t n = 0;

	random_range(m, &start, &end);
	for (gfn_t g = start; g < end; g++) {
		if (at(m, g)->kind != SPTE_PRESENT)
			continue;
		empty(m, g);
		n++;
	}
	run_assert(&m->run, zap(m->vm, start, end) == n);
}

/* What has a table and lies within the range is one empty entry afterwards. */
static void empty_with_tables(struct model *m, gfn_t start, gfn_t end, gfn_t gfn)
{
	int level = at(m, gfn)->level;

	while (level < LEVEL_256T && level_align(gfn, level + 1) >= start &&
	       level_align(gfn, level + 1) + level_pages(level + 1) <= end)
		level++;
	set_region(m, gfn, level, (struct model_page){ .kind = SPTE_NONE });
}

static void step_zap_slot(struct model *m)
{
	gfn_t start, end;

	random_range(m, &start, &end);
	/* A large page lies in one slot: make the range so. */
	start = level_align(start, at(m, start)->level);
	start = MAX(start, m->first);
	end = MIN(level_align(end - 1, at(m, end - 1)->level) + level_pages(at(m, end - 1)->level),
		  m->first + m->n);
	for (gfn_t g = start; g < end; g++)
		empty_with_tables(m, start, end, g);
	tdp_zap_slot(&m->vm->mmu, start, end);
}

static void step_mmio(struct model *m)
{
	gfn_t gfn = m->first + run_below(&m->run, m->n);
	uint64_t generation = run_below(&m->run, MMIO_GENERATION_MASK);

	if (run_chance(&m->run, 5)) {
		zap_mmio(m->vm);
		for (gfn_t g = m->first; g < m->first + m->n; g++)
			if (at(m, g)->kind == SPTE_MMIO)
				empty(m, g);
		return;
	}
	map_mmio(m->vm, gfn, generation);
	if (at(m, gfn)->kind == SPTE_PRESENT)
		return;
	while (at(m, gfn)->level > LEVEL_4K)
		lower_region(m, gfn);
	*at(m, gfn) = (struct model_page){ .kind = SPTE_MMIO, .level = LEVEL_4K,
					   .generation = generation };
}

static bool page_agrees(struct model *m, gfn_t gfn)
{
	const struct model_page *p = at(m, gfn);
	struct tdp_entry e = tdp_lookup(&m->vm->mmu, gfn);
	spte_t s = e.spte;

	if (e.level != p->level || spte_kind(s) != p->kind)
		return false;
	if (p->kind == SPTE_MMIO)
		return spte_mmio_generation(s) == p->generation;
	return p->kind == SPTE_NONE ||
	       (spte_pfn_of(s, gfn) == p->pfn && !!(s.raw & SPTE_W) == p->w &&
		!!(s.raw & SPTE_MMUW) == p->mmuw && !!(s.raw & SPTE_HOSTW) == p->hostw);
}

static void check_gauges(struct model *m)
{
	uint64_t n_leafs[LEVEL_1G + 1] = { 0 }, n_tables = 1;

	for (gfn_t g = m->first; g < m->first + m->n;) {
		const struct model_page *p = at(m, g);

		/* Below each level at which this frame's region begins. */
		for (int level = p->level + 1; level <= LEVEL_256T; level++)
			n_tables += g == region_start(m, g, level);
		if (p->kind == SPTE_PRESENT)
			n_leafs[p->level]++;
		g = region_end(m, g, p->level);
	}
	run_assert(&m->run, vm_stat(m->vm, VM_STAT_mmu_tables) == n_tables);
	run_assert(&m->run, vm_stat(m->vm, VM_STAT_pages_4k) == n_leafs[LEVEL_4K]);
	run_assert(&m->run, vm_stat(m->vm, VM_STAT_pages_2m) == n_leafs[LEVEL_2M]);
	run_assert(&m->run, vm_stat(m->vm, VM_STAT_pages_1g) == n_leafs[LEVEL_1G]);
}

static void check_all(struct model *m)
{
	for (gfn_t g = m->first; g < m->first + m->n; g++)
		run_assert(&m->run, page_agrees(m, g));
	run_assert(&m->run, tdp_is_valid(&m->vm->mmu));
	check_gauges(m);
}

static void check_some(struct model *m)
{
	for (int i = 0; i < 16; i++)
		run_assert(&m->run, page_agrees(m, m->first + run_below(&m->run, m->n)));
	run_assert(&m->run, tdp_is_valid(&m->vm->mmu));
}

static void random_step(struct model *m)
{
	uint64_t what = run_below(&m->run, 100);

	if (what < 60)
		step_map(m);
	else if (what < 68)
		step_protect(m);
	else if (what < 76)
		step_protect_mask(m);
	else if (what < 84)
		step_zap(m);
	else if (what < 92)
		step_zap_slot(m);
	else
		step_mmio(m);
}

static void run_model(uint64_t seed, gfn_t first, gfn_t n, bool with_1g, unsigned int steps,
		      unsigned int check_each)
{
	struct model m = { .vm = vm_make(1, 1), .first = first, .n = n, .with_1g = with_1g };

	run_begin(&m.run, seed);
	m.page = calloc(n, sizeof(*m.page));
	assert_non_null(m.page);
	for (gfn_t g = 0; g < n; g++)
		m.page[g].level = LEVEL_256T;
	for (; m.run.step < steps; m.run.step++) {
		random_step(&m);
		check_some(&m);
		if (m.run.step % check_each == 0)
			check_all(&m);
	}
	zap(m.vm, first, first + n);
	assert_int_equal(vm_stat(m.vm, VM_STAT_pages_4k), 0);
	assert_int_equal(vm_stat(m.vm, VM_STAT_pages_2m), 0);
	assert_int_equal(vm_stat(m.vm, VM_STAT_pages_1g), 0);
	tdp_zap_slot(&m.vm->mmu, 0, 1ull << 45);
	assert_gauges(m.vm, 1, 0, 0, 0);
	free(m.page);
	vm_free(m.vm);
}

/* The window lies across a border of 512 GiB, and ends within tables. */
static void random_changes_agree_with_a_naive_map(void **state UNUSED)
{
	run_model(51, G512 - 2 * M2 - 100, 4 * M2 + 150, false, STEPS(20000), 20);
	run_model(52, G1 - M2, 3 * M2, false, STEPS(20000), 20);
}

static void random_changes_with_pages_of_1g_agree_too(void **state UNUSED)
{
	run_model(53, G1 - M2 - 9, G1 + 2 * M2, true, STEPS(1200), 40);
}

/* --- the check itself -------------------------------------------------------- */

static void a_wrong_table_is_not_valid(void **state)
{
	const spte_t wrong[] = {
		spte_make_leaf(PFN, LEVEL_2M, RW),		/* not this level */
		spte_make_leaf(PFN, LEVEL_4K, SPTE_W),
		spte_make_leaf(PFN, LEVEL_4K, SPTE_MMUW),
		spte_make_leaf(PFN, LEVEL_4K, SPTE_W | SPTE_HOSTW),
	};
	struct test_vm *vm = *state;
	struct spte_slot *slot;

	assert_int_equal(map(vm, 5, PFN + 5, LEVEL_4K, WRITE), FAULT_FIXED);
	assert_int_equal(map(vm, M2, PFN + M2, LEVEL_2M, WRITE), FAULT_FIXED);
	slot = look(vm, 6).slot;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		sptep_set(slot, wrong[i]);
		assert_false(tdp_is_valid(&vm->mmu));
		sptep_set(slot, NO_SPTE);
		assert_true(tdp_is_valid(&vm->mmu));
	}
	/* A large page from the middle of one, and a table on the wrong level. */
	slot = look(vm, 2 * M2).slot;
	sptep_set(slot, spte_make_leaf(PFN + 1, LEVEL_2M, RW));
	assert_false(tdp_is_valid(&vm->mmu));
	sptep_set(slot, spte_make_link(vm->mmu.root));
	assert_false(tdp_is_valid(&vm->mmu));
	sptep_set(slot, NO_SPTE);
}

/* --- several threads ------------------------------------------------------- */

#define N_MAPPERS 3
#define WINDOW (2 * M2)		/* of the mappers; a slot that comes and goes is behind it */

struct race {
	struct test_vm *vm;
	struct atomic32 next, done;
};

static void *map_at_random(void *arg)
{
	struct race *race = arg;
	struct run run;

	run_begin(&run, 54 + atomic32_fetch_add(&race->next, 1));
	for (; run.step < STEPS(30000); run.step++) {
		gfn_t gfn = run_below(&run, WINDOW);
		int level = run_chance(&run, 20) ? LEVEL_2M : LEVEL_4K;
		int how = run_chance(&run, 50) ? WRITE : run_chance(&run, 50) ? NO_W_YET : READ_ONLY;
		enum fault_verdict v = map(race->vm, gfn, PFN + gfn, level, how);

		note_unless(v == FAULT_FIXED || v == FAULT_SPURIOUS || v == FAULT_RETRY);
		if (run_chance(&run, 20))
			map_mmio(race->vm, run_below(&run, WINDOW), run.step);
	}
	atomic32_fetch_add(&race->done, 1);
	return NULL;
}

#define SAME_FRAMES 128u
#define SAME_ROUNDS STEPS(1500)

struct same {
	struct test_vm *vm;
	pthread_barrier_t start, end;
	uint64_t fixed[N_MAPPERS];
	struct atomic32 next;
};

static void *map_the_same(void *arg)
{
	struct same *s = arg;
	uint32_t me = atomic32_fetch_add(&s->next, 1);

	for (unsigned int round = 0; round < SAME_ROUNDS; round++) {
		pthread_barrier_wait(&s->start);
		for (gfn_t gfn = 0; gfn < SAME_FRAMES; gfn++)
			s->fixed[me] += map(s->vm, gfn, PFN + gfn, LEVEL_4K, WRITE) == FAULT_FIXED;
		pthread_barrier_wait(&s->end);
	}
	return NULL;
}

/* VOLATILE_RMW: of those who fault together one installs, the others see it. */
static void faults_on_the_same_frames_install_each_once(void **state)
{
	struct same s = { .vm = *state };
	pthread_t t[N_MAPPERS];

	pthread_barrier_init(&s.start, NULL, N_MAPPERS + 1);
	pthread_barrier_init(&s.end, NULL, N_MAPPERS + 1);
	for (int i = 0; i < N_MAPPERS; i++)
		thread_start(&t[i], map_the_same, &s);
	for (unsigned int round = 1; round <= SAME_ROUNDS; round++) {
		pthread_barrier_wait(&s.start);
		pthread_barrier_wait(&s.end);
		assert_int_equal(vm_stat(s.vm, VM_STAT_pages_4k), SAME_FRAMES);
		assert_int_equal(s.fixed[0] + s.fixed[1] + s.fixed[2], round * SAME_FRAMES);
		assert_int_equal(zap(s.vm, 0, SAME_FRAMES), SAME_FRAMES);
	}
	for (int i = 0; i < N_MAPPERS; i++)
		thread_end(t[i]);
	pthread_barrier_destroy(&s.start);
	pthread_barrier_destroy(&s.end);
}

static void take_at_random(struct test_vm *vm, struct run *run)
{
	gfn_t start = run_below(run, WINDOW), end = start + run_below(run, 600);
	gfn_t slot = WINDOW + run_below(run, M2);

	switch (run_below(run, 4)) {
	case 0:
		protect(vm, start, MIN(end, WINDOW), 1 + (int)run_below(run, 2));
		break;
	case 1:
		protect_mask(vm, start, run_next(run));
		break;
	case 2:
		zap(vm, start, MIN(end, WINDOW));
		break;
	default:
		map(vm, slot, PFN + slot, LEVEL_4K, WRITE);
		map(vm, slot + M2, PFN + slot + M2, LEVEL_2M, WRITE);
		tdp_zap_slot(&vm->mmu, WINDOW, WINDOW + 2 * M2);
	}
	run->step++;
}

static void threads_that_map_and_take_keep_the_tables_whole(void **state)
{
	struct test_vm *vm = *state;
	struct race race = { .vm = vm };
	pthread_t t[N_MAPPERS];
	uint64_t n4k = 0, n2m = 0;
	struct run run;

	run_begin(&run, 58);
	for (int i = 0; i < N_MAPPERS; i++)
		thread_start(&t[i], map_at_random, &race);
	while (atomic32_load_relaxed(&race.done) < N_MAPPERS)
		take_at_random(vm, &run);
	for (int i = 0; i < N_MAPPERS; i++)
		thread_end(t[i]);
	assert_no_thread_failed();
	assert_true(tdp_is_valid(&vm->mmu));
	for (gfn_t gfn = 0; gfn < WINDOW; gfn++) {
		struct tdp_entry e = look(vm, gfn);

		if (!spte_is_leaf(e.spte))
			continue;
		assert_int_equal(spte_pfn_of(e.spte, gfn), PFN + gfn);
		n4k += e.level == LEVEL_4K;
		n2m += e.level == LEVEL_2M && IS_ALIGNED(gfn, M2);
	}
	assert_int_equal(vm_stat(vm, VM_STAT_pages_4k), n4k);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), n2m);
	tdp_zap_slot(&vm->mmu, 0, 1ull << 45);
	assert_gauges(vm, 1, 0, 0, 0);
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
		tdp_test(a_slot_takes_its_tables_with_it_and_leaves_its_neighbours),
		tdp_test(a_large_slot_takes_its_upper_tables_too),
		tdp_test(an_untouched_slot_goes_without_a_flush),
		tdp_test(what_a_slot_had_stays_frozen_until_the_flush_is_through),
		tdp_test(no_memory_is_remembered_at_4k),
		tdp_test(memory_takes_the_place_of_mmio),
		tdp_test(mmio_never_takes_the_place_of_memory),
		tdp_test(zapping_mmio_drops_all_of_it_and_no_memory),
		tdp_test(a_frame_that_does_not_fit_is_not_remembered),
		tdp_test(the_tables_for_mmio_are_limited),
		tdp_test(a_wrong_table_is_not_valid),
		tdp_test(faults_on_the_same_frames_install_each_once),
		tdp_test(threads_that_map_and_take_keep_the_tables_whole),
		cmocka_unit_test(random_changes_agree_with_a_naive_map),
		cmocka_unit_test(random_changes_with_pages_of_1g_agree_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
