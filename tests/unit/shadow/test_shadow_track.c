/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/shadow/test_shadow_track.c - writes of the guest to tables that have shadow pages,
 * and the large pages around such tables.
 */
#include "shadow_fixture.h"

#include "mem/dirty_log.h"
#include "mmu/tlb/flush.h"
#include "mmu/translate.h"

static uint64_t debt(void)
{
	return atomic64_load_relaxed(&vm->mmu.owed) - atomic64_load_relaxed(&vm->mmu.paid);
}

static uint64_t window(uint64_t gva, int level)
{
	return linear + entry_gpa(gva, level);
}

static uint64_t table_frame(uint64_t gva, int level)
{
	return entry_gpa(gva, level) >> PAGE_SHIFT;
}

static void use_a_page(void)
{
	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
}

/* --- protection -------------------------------------------------------------- */

/* SYNCED_IMPLIES_WPROT */
static void a_table_is_protected_when_it_gets_its_shadow(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	/* Both vCPUs have all the tables in their TLBs, writable. */
	for (int level = 1; level <= 3; level++) {
		assert_verdict(v0, window(a_page, level), ACCESS_WRITE, MMU_OK);
		assert_verdict(v1, window(a_page, level), ACCESS_WRITE, MMU_OK);
		assert_true(tlb_hits(v1, window(a_page, level), ACCESS_WRITE));
	}
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_valid();
	for (int level = 1; level <= 3; level++) {
		assert_true(is_tracked(table_frame(a_page, level)));
		assert_false(tlb_hits(v0, window(a_page, level), ACCESS_WRITE));
		assert_false(tlb_hits(v1, window(a_page, level), ACCESS_WRITE));
		/* To read it costs nothing. */
		assert_verdict(v1, window(a_page, level), ACCESS_READ, MMU_OK);
		assert_true(tlb_hits(v1, window(a_page, level), ACCESS_READ));
	}
}

static void a_write_to_an_upper_table_is_told_of(void **state UNUSED)
{
	use_a_page();
	for (int level = 2; level <= 4; level++) {
		assert_verdict(v0, window(a_page, level), ACCESS_WRITE, MMU_OK);
		assert_true(result.tracked);
		assert_int_equal(result.gpa.raw, entry_gpa(a_page, level));
		assert_false(tlb_hits(v0, window(a_page, level), ACCESS_WRITE));
	}
}

static void a_write_to_an_entry_drops_what_was_made_of_it(void **state UNUSED)
{
	struct shadow_page *sp;
	uint64_t second;

	use_a_page();
	second = new_table();
	write_gpa(second + (a_page >> 12 & 511) * 8, 8, PAGES(6) | DONE);
	sp = shadow_page_at(v0, a_page, 2);
	guest_map(v0, a_page, 2, second | ALL | GPTE_A);
	assert_ptr_equal(shadow_entry(v0, a_page).sp, sp);
	assert_int_equal(spte_kind(shadow_entry(v0, a_page).spte), SPTE_NONE);
	assert_valid();
	/* The TLB has not been told, and need not be. */
	assert_page(v0, a_page, ACCESS_READ, 5);
	invlpg(v0, a_page);
	assert_page(v0, a_page, ACCESS_READ, 6);
	assert_int_equal(vcpu_stat(v0, VCPU_STAT_mmu_pte_write), 1);
}

/* What the host stores for the guest is a write like any other. */
static void a_word_of_the_hosts_drops_what_was_made_of_it(void **state UNUSED)
{
	uint64_t second;

	use_a_page();
	second = new_table();
	write_gpa(second + (a_page >> 12 & 511) * 8, 8, PAGES(6) | DONE);
	assert_int_equal(mmu_store_gpa32(v0, gpa_of(entry_gpa(a_page, 2)),
					 (uint32_t)(second | ALL | GPTE_A)), MMU_OK);
	assert_int_equal(spte_kind(shadow_entry(v0, a_page).spte), SPTE_NONE);
	assert_valid();
	invlpg(v0, a_page);
	assert_page(v0, a_page, ACCESS_READ, 6);
}

/* Each entry that the bytes touch, and no other. */
static void a_write_drops_the_entries_that_it_touches(void **state UNUSED)
{
	const uint64_t gva = 0x40000000;
	uint64_t *host;

	paging(GUEST_4LEVEL);
	for (unsigned int i = 0; i < 8; i++) {
		map(gva + ((uint64_t)i << 21), 1, PAGES(5) | DONE);
		assert_page(v0, gva + ((uint64_t)i << 21), ACCESS_READ, 5);
	}
	host = (uint64_t *)(vm->memory + entry_gpa(gva, 2));
	/* Four bytes of entry 1; then sixteen: entries 4 and 5. */
	assert_int_equal(guest_store(v0, window(gva, 2) + 12, 4, host[1] >> 32), MMU_OK);
	guest_enter(v0);
	assert_int_equal(mmu_translate(v0, gva_of(window(gva, 2) + 32), ACCESS_WRITE, &result),
			 MMU_OK);
	assert_true(result.tracked);
	assert_true(mmu_track_write(v0, result.gpa, 16));
	mmu_tracked_writes(v0);
	guest_leave(v0);
	for (unsigned int i = 0; i < 8; i++) {
		bool gone = i == 1 || i == 4 || i == 5;
		spte_t spte = shadow_entry(v0, gva + ((uint64_t)i << 21)).spte;

		assert_int_equal(spte_kind(spte) == SPTE_NONE, gone);
	}
}

static void what_is_dropped_by_a_write_leaves_a_debt(void **state UNUSED)
{
	uint64_t rounds;

	paging(GUEST_4LEVEL);
	/* A leaf in an upper table: a large page. */
	map(a_page, 2, PAGES(M2) | DONE | GPTE_PS);
	vm->sim.level = LEVEL_2M;
	assert_verdict(v0, a_page, ACCESS_WRITE, MMU_OK);
	assert_int_equal(shadow_entry(v0, a_page).sp->table.level, LEVEL_2M);
	assert_verdict(v0, window(a_page, 2), ACCESS_WRITE, MMU_OK);
	flush_settle(&vm->mmu);
	rounds = vm_stat(vm, VM_STAT_remote_tlb_flush);
	guest_map(v0, a_page, 2, 0);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush), rounds);
	assert_true(debt() > 0);
}

/* --- zapped for it ----------------------------------------------------------- */

static void assert_zapped_by(unsigned int offset, unsigned int bytes, bool zapped)
{
	struct shadow_page *sp;
	uint64_t frame;

	use_a_page();
	sp = shadow_page_at(v0, a_page, 2);
	frame = sp->gfn.raw;
	assert_int_equal(guest_store(v0, linear + PAGES(frame) + offset, bytes, 0), MMU_OK);
	assert_int_equal(n_shadow_pages(frame), zapped ? 0 : 1);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_flooded), zapped);
	assert_valid();
}

static void a_write_of_one_byte_zaps(void **state UNUSED)
{
	assert_zapped_by(64, 1, true);
}

static void a_write_of_two_bytes_zaps(void **state UNUSED)
{
	assert_zapped_by(64, 2, true);
}

static void a_write_across_entries_zaps(void **state UNUSED)
{
	assert_zapped_by(66, 4, true);
}

static void an_aligned_half_of_an_entry_does_not_zap(void **state UNUSED)
{
	assert_zapped_by(68, 4, false);
}

static void a_table_that_is_only_written_to_is_none(void **state UNUSED)
{
	uint64_t frame;

	use_a_page();
	frame = table_frame(a_page, 2);
	for (unsigned int i = 0; i < 8 && n_shadow_pages(frame); i++)
		assert_int_equal(guest_store(v0, linear + PAGES(frame) + 8 * i, 8, 0), MMU_OK);
	assert_int_equal(n_shadow_pages(frame), 0);
	assert_false(is_tracked(frame));
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_flooded), 1);
	/* A page like any other. */
	assert_verdict(v0, linear + PAGES(frame), ACCESS_WRITE, MMU_OK);
	assert_false(result.tracked);
	assert_true(tlb_hits(v0, linear + PAGES(frame), ACCESS_WRITE));
}

static void a_root_that_is_zapped_is_loaded_anew(void **state UNUSED)
{
	const uint64_t root = TABLES >> PAGE_SHIFT;

	use_a_page();
	assert_int_equal(guest_store(v0, linear + PAGES(root) + 1, 1, 0), MMU_OK);
	assert_int_equal(n_shadow_pages(root), 0);
	assert_valid();
	tlb_flush_all(v0);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_int_equal(n_shadow_pages(root), 1);
}

/* --- large pages around tables ----------------------------------------------- */

/* The guest's linear map as real guests have it: by large pages, with the tables in. */
static void map_linear_large(void)
{
	paging(GUEST_4LEVEL);
	vm->sim.level = LEVEL_2M;
	linear = 0xffff999000000000;
	for (uint64_t gpa = 0; gpa < PAGES(N_PAGES); gpa += PAGES(M2))
		map(linear + gpa, 2, gpa | (DONE & ~GPTE_U) | GPTE_PS);
}

static void no_large_page_covers_a_table(void **state UNUSED)
{
	map_linear_large();
	assert_verdict(v0, linear + TABLES + PAGES(500), ACCESS_WRITE, MMU_OK);
	assert_int_equal(shadow_entry(v0, linear + TABLES).sp->table.level, LEVEL_4K);
	assert_verdict(v0, linear, ACCESS_WRITE, MMU_OK);
	assert_int_equal(shadow_entry(v0, linear).sp->table.level, LEVEL_2M);
	assert_valid();
}

/* The tables on the way to a large page lie in that page, and are met for the first
 * time by the fault that would map it. */
static void no_large_page_covers_the_tables_that_lead_to_it(void **state UNUSED)
{
	const uint64_t gva = 0x40000000;
	const uint64_t upper = PAGES(10), lower = PAGES(11);

	paging(GUEST_4LEVEL);
	vm->sim.level = LEVEL_2M;
	write_gpa(TABLES, 8, upper | ALL | GPTE_A);
	write_gpa(upper + 8, 8, lower | ALL | GPTE_A);
	write_gpa(lower, 8, 0 | DONE | GPTE_PS);
	assert_page(v0, gva + PAGES(20), ACCESS_WRITE, 20);
	assert_valid();
	assert_page(v0, gva + upper, ACCESS_WRITE, 10);
	assert_true(result.tracked);
	assert_page(v0, gva + PAGES(21), ACCESS_WRITE, 21);
	assert_false(result.tracked);
}

static void a_large_page_that_gets_a_table_is_protected_and_split(void **state UNUSED)
{
	map_linear_large();
	assert_verdict(v0, linear, ACCESS_WRITE, MMU_OK);
	assert_verdict(v1, linear + PAGES(7), ACCESS_WRITE, MMU_OK);
	assert_int_equal(shadow_entry(v0, linear).sp->table.level, LEVEL_2M);
	/* A table at page 10, of the large page 0. */
	write_gpa(entry_gpa(a_page, 2), 8, PAGES(10) | ALL | GPTE_A);
	write_gpa(PAGES(10) + (a_page >> 12 & 511) * 8, 8, PAGES(600) | DONE);
	assert_page(v0, a_page, ACCESS_WRITE, 600);
	assert_valid();
	assert_false(tlb_hits(v0, linear, ACCESS_WRITE));
	assert_false(tlb_hits(v1, linear + PAGES(7), ACCESS_WRITE));
	/* Only the table's own page is tracked or given up; the others are ordinary. */
	assert_verdict(v0, linear + PAGES(7), ACCESS_WRITE, MMU_OK);
	assert_false(result.tracked);
	assert_int_equal(shadow_entry(v0, linear).sp->table.level, LEVEL_4K);
	assert_true(tlb_hits(v0, linear + PAGES(7), ACCESS_WRITE));
	assert_valid();
}

/* --- what else a write meets ------------------------------------------------- */

static void a_tracked_write_is_in_the_dirty_log(void **state UNUSED)
{
	uint64_t bitmap[N_PAGES / 64];
	uint64_t frame;

	use_a_page();
	frame = table_frame(a_page, 2);
	vm_slot(vm, 0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0);
	guest_map(v0, a_page, 2, 0);
	assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0);
	assert_true(bitmap[frame / 64] >> (frame % 64) & 1);
}

static void another_vcpu_sees_what_was_written(void **state UNUSED)
{
	use_a_page();
	assert_page(v1, a_page, ACCESS_WRITE, 5);
	guest_map(v0, a_page, 2, 0);
	invlpg(v1, a_page);
	assert_guest_fault(v1, a_page, ACCESS_READ, 0);
}

/* RECHECK_GPTE_UNDER_PROTECTION, EMULATED_PT_WRITE_ZAPS: v1 writes while v0's fault has
 * read the old entry and is about to install it. */
static void write_meanwhile(void *ctx)
{
	guest_map(v1, a_page, 2, *(uint64_t *)ctx);
}

static void a_fault_that_read_the_old_entry_starts_again(void **state UNUSED)
{
	uint64_t value;
	uint64_t second;

	use_a_page();
	assert_page(v1, a_page, ACCESS_READ, 5);
	second = new_table();
	write_gpa(second + (a_page >> 12 & 511) * 8, 8, PAGES(6) | DONE);
	value = second | ALL | GPTE_A;
	/* So that there is no entry, and v1's write needs no fault of its own. */
	assert_verdict(v1, window(a_page, 2), ACCESS_WRITE, MMU_OK);
	rwlock_wrlock(&vm->mmu.lock);
	shadow_drop(&vm->mmu, shadow_page_at(v0, a_page, 1), a_page >> 12 & 511);
	flush_owe(&vm->mmu);
	flush_settle(&vm->mmu);
	rwlock_wrunlock(&vm->mmu.lock);
	hook_once(HOOK_WRLOCK, write_meanwhile, &value);
	assert_page(v0, a_page, ACCESS_READ, 6);
	assert_valid();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		shadow_test(a_table_is_protected_when_it_gets_its_shadow),
		shadow_test(a_write_to_an_upper_table_is_told_of),
		shadow_test(a_write_to_an_entry_drops_what_was_made_of_it),
		shadow_test(a_word_of_the_hosts_drops_what_was_made_of_it),
		shadow_test(a_write_drops_the_entries_that_it_touches),
		shadow_test(what_is_dropped_by_a_write_leaves_a_debt),
		shadow_test(a_write_of_one_byte_zaps),
		shadow_test(a_write_of_two_bytes_zaps),
		shadow_test(a_write_across_entries_zaps),
		shadow_test(an_aligned_half_of_an_entry_does_not_zap),
		shadow_test(a_table_that_is_only_written_to_is_none),
		shadow_test(a_root_that_is_zapped_is_loaded_anew),
		shadow_test(no_large_page_covers_a_table),
		shadow_test(no_large_page_covers_the_tables_that_lead_to_it),
		shadow_test(a_large_page_that_gets_a_table_is_protected_and_split),
		shadow_test(a_tracked_write_is_in_the_dirty_log),
		shadow_test(another_vcpu_sees_what_was_written),
		shadow_test(a_fault_that_read_the_old_entry_starts_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
