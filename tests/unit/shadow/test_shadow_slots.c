/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/shadow/test_shadow_slots.c - what memory slots, the dirty log and the host ask of
 * shadow tables; MMIO entries; roots that become obsolete, and those that are kept.
 */
#include "shadow_fixture.h"

#include <string.h>

#include "mem/dirty_log.h"
#include "mmu/mmio.h"
#include "mmu/notifier.h"
#include "mmu/tlb/flush.h"

static uint64_t taken(const struct mmu_vcpu *v)
{
	return vcpu_stat(v, VCPU_STAT_pf_taken);
}

static void delete_slot(uint32_t id)
{
	assert_int_equal(set_slot(&vm->slots, id, 0, 0, 0, 0), 0);
}

static void use_a_page(void)
{
	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
}

static void forget_tlbs(void)
{
	tlb_flush_all(v0);
	tlb_flush_all(v1);
}

/* --- MMIO -------------------------------------------------------------------- */

static void map_hole(uint64_t bits)
{
	paging(GUEST_4LEVEL);
	map(a_page, 1, HOLE | bits);
}

static bool is_mmio(uint64_t gva)
{
	return spte_kind(shadow_entry(v0, gva).spte) == SPTE_MMIO;
}

static void what_is_no_memory_is_remembered(void **state UNUSED)
{
	uint64_t faults;

	map_hole(DONE);
	assert_verdict(v0, a_page + 5, ACCESS_READ, MMU_MMIO);
	assert_int_equal(result.gpa.raw, HOLE + 5);
	for (int i = 0; i < 5; i++)
		guest_translate(v0, a_page, ACCESS_READ);
	assert_true(is_mmio(a_page));
	faults = taken(v0);
	forget_tlbs();
	assert_int_equal(guest_translate(v0, a_page + 7, ACCESS_WRITE), MMU_MMIO);
	assert_int_equal(result.gpa.raw, HOLE + 7);
	assert_int_equal(taken(v0), faults);
	assert_valid();
}

static void remember_hole(uint64_t bits)
{
	map_hole(bits);
	for (int i = 0; i < 8 && !is_mmio(a_page); i++) {
		forget_tlbs();
		guest_translate(v0, a_page, ACCESS_READ);
	}
	assert_true(is_mmio(a_page));
}

static void what_is_remembered_knows_the_guests_rights(void **state UNUSED)
{
	remember_hole(GPTE_P | GPTE_A | GPTE_D);
	assert_guest_fault(v0, a_page, ACCESS_WRITE, PFERR_PRESENT | PFERR_WRITE);
	set_privilege(v0, 3, false);
	assert_guest_fault(v0, a_page, ACCESS_READ, PFERR_PRESENT | PFERR_USER);
}

static void a_write_to_what_is_no_memory_sets_the_dirty_bit(void **state UNUSED)
{
	remember_hole(ALL);
	assert_int_equal(entry(a_page, 1), HOLE | ALL | GPTE_A);
	assert_verdict(v0, a_page, ACCESS_WRITE, MMU_MMIO);
	assert_int_equal(entry(a_page, 1), HOLE | DONE);
}

static void new_memory_takes_the_place_of_mmio(void **state UNUSED)
{
	remember_hole(DONE);
	vm_slot(vm, 1, HOLE, 0, 1, 0);
	assert_page(v0, a_page, ACCESS_WRITE, 0);
	assert_valid();
	delete_slot(1);
	assert_verdict(v0, a_page, ACCESS_WRITE, MMU_MMIO);
	assert_int_equal(result.gpa.raw, HOLE);
	assert_valid();
}

/* C3: the guest's entry is changed from memory to MMIO, behind our back and before it. */
static void mmio_takes_the_place_of_memory(void **state UNUSED)
{
	use_a_page();
	map(a_page, 1, HOLE | (DONE & ~GPTE_D));
	/* A fault is needed, or the old entry serves. */
	forget_tlbs();
	rwlock_wrlock(&vm->mmu.lock);
	shadow_changed(&vm->mmu, shadow_page_at(v0, a_page, 1));
	rwlock_wrunlock(&vm->mmu.lock);
	set_privilege(v0, 3, false);
	map(a_page, 1, HOLE | (DONE & ~GPTE_U));
	guest_translate(v0, a_page, ACCESS_READ);
	set_privilege(v0, 0, false);
	assert_valid();
	/* The tracked way. */
	guest_map(v0, a_page, 1, HOLE | DONE);
	invlpg(v0, a_page);
	assert_verdict(v0, a_page, ACCESS_READ, MMU_MMIO);
	assert_int_equal(frames_find(&shadow->frames, gfn_of(5), LEVEL_4K)->rmap.head, 0);
	assert_valid();
}

static void other_generations_are_not_believed(void **state UNUSED)
{
	uint64_t faults;

	remember_hole(DONE);
	vm_slot(vm, 1, PAGES(0x9000), 0, 1, 0);
	faults = taken(v0);
	assert_verdict(v0, a_page, ACCESS_READ, MMU_MMIO);
	assert_int_equal(taken(v0), faults + 1);
	forget_tlbs();
	assert_verdict(v0, a_page, ACCESS_READ, MMU_MMIO);
	assert_int_equal(taken(v0), faults + 1);
}

static void a_wrap_of_the_generation_drops_mmio_entries(void **state UNUSED)
{
	remember_hole(DONE);
	atomic64_store_relaxed(&vm->slots.generation, MMIO_GENERATION_MASK);
	vm_slot(vm, 1, PAGES(0x9000), 0, 1, 0);
	assert_int_equal(vm_stat(vm, VM_STAT_mmio_generation_wraps), 1);
	assert_false(is_mmio(a_page));
	assert_valid();
}

static void a_large_page_over_no_memory_is_mmio_page_by_page(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	map(a_page, 2, PAGES(0x2000) | DONE | GPTE_PS);
	for (int i = 0; i < 8 && !is_mmio(a_page); i++) {
		forget_tlbs();
		guest_translate(v0, a_page, ACCESS_READ);
	}
	assert_true(is_mmio(a_page));
	assert_int_equal(guest_translate(v0, a_page, ACCESS_READ), MMU_MMIO);
	assert_int_equal(result.gpa.raw, PAGES(0x2000 + ((a_page >> 12) & 511)));
	assert_valid();
}

static void a_write_to_a_read_only_slot_is_mmio_and_a_read_is_not(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	vm_slot(vm, 1, HOLE, 7, 1, KVM_MEM_READONLY);
	map(a_page, 1, HOLE | DONE);
	for (int i = 0; i < 6; i++) {
		assert_verdict(v0, a_page, ACCESS_WRITE, MMU_MMIO);
		assert_int_equal(result.gpa.raw, HOLE);
		assert_page(v0, a_page, ACCESS_READ, 7);
	}
	assert_valid();
}

/* --- slots that go and move -------------------------------------------------- */

static void a_deleted_slot_takes_what_is_of_it_and_no_more(void **state UNUSED)
{
	uint64_t n_used;

	use_a_page();
	vm_slot(vm, 1, HOLE, 9, 1, 0);
	map(a_page + PAGES(1), 1, HOLE | DONE);
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, 9);
	assert_page(v1, a_page, ACCESS_READ, 5);
	n_used = shadow->n_used;
	delete_slot(1);
	assert_int_equal(shadow->n_used, n_used);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_4k), 1);
	assert_false(tlb_hits(v0, a_page + PAGES(1), ACCESS_READ));
	assert_verdict(v0, a_page + PAGES(1), ACCESS_READ, MMU_MMIO);
	assert_valid();
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_page(v1, a_page, ACCESS_WRITE, 5);
	assert_valid();
}

/* A table of one slot, for pages of another. */
static void a_deleted_slot_takes_the_shadow_of_its_tables(void **state UNUSED)
{
	const uint64_t gva = 0x10000000000;

	use_a_page();
	vm_slot(vm, 1, HOLE, 100, 1, 0);
	map(gva, 2, HOLE | ALL | GPTE_A);
	write_gpa(PAGES(100), 8, PAGES(6) | DONE);
	assert_page(v0, gva, ACCESS_WRITE, 6);
	assert_int_equal(n_shadow_pages(HOLE >> PAGE_SHIFT), 1);
	delete_slot(1);
	assert_int_equal(n_shadow_pages(HOLE >> PAGE_SHIFT), 0);
	assert_verdict(v0, gva, ACCESS_READ, MMU_BAD_TABLES);
	/* Other memory is there now, and says something else. */
	write_gpa(PAGES(101), 8, PAGES(7) | DONE);
	vm_slot(vm, 1, HOLE, 101, 1, 0);
	assert_page(v0, gva, ACCESS_WRITE, 7);
	assert_page(v1, gva, ACCESS_READ, 7);
	assert_valid();
}

/* What a client writes into guest tables by itself is seen when it deletes a slot. */
static void a_deleted_slot_takes_all_shadow_pages_if_so_chosen(void **state UNUSED)
{
	atomic32_store_relaxed(&vm->mmu.slot_zaps_all, true);
	use_a_page();
	assert_page(v1, a_page, ACCESS_READ, 5);
	vm_slot(vm, 1, HOLE, 9, 1, 0);
	map(a_page, 1, PAGES(6) | DONE);
	forget_tlbs();
	assert_page(v0, a_page, ACCESS_READ, 5);
	delete_slot(1);
	assert_int_equal(shadow->n_used, 0);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_4k), 0);
	assert_valid();
	assert_page(v0, a_page, ACCESS_READ, 6);
	assert_page(v1, a_page, ACCESS_WRITE, 6);
	assert_valid();
}

/* INVALID_THEN_REQUEST: the vCPUs give their old roots back when they come by. */
static void obsolete_roots_are_given_back_at_the_next_entry(void **state UNUSED)
{
	use_a_page();
	assert_page(v1, a_page, ACCESS_READ, 5);
	delete_slot(0);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_tables), 1);
	guest_enter(v0);
	guest_leave(v0);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_tables), 1);
	guest_enter(v1);
	guest_leave(v1);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_tables), 0);
	assert_false(v1->roots_loaded);
}

static void a_moved_slot_is_found_where_it_is(void **state UNUSED)
{
	use_a_page();
	vm_slot(vm, 1, HOLE, 9, 1, 0);
	map(a_page + PAGES(1), 1, HOLE | DONE);
	map(a_page + PAGES(2), 1, (HOLE + PAGES(7)) | DONE);
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, 9);
	assert_verdict(v0, a_page + PAGES(2), ACCESS_WRITE, MMU_MMIO);
	vm_slot(vm, 1, HOLE + PAGES(7), 9, 1, 0);
	assert_verdict(v0, a_page + PAGES(1), ACCESS_WRITE, MMU_MMIO);
	assert_page(v0, a_page + PAGES(2), ACCESS_WRITE, 9);
	assert_valid();
}

static void the_slot_that_holds_the_tables_goes_and_comes(void **state UNUSED)
{
	use_a_page();
	delete_slot(0);
	assert_verdict(v0, a_page, ACCESS_READ, MMU_BAD_TABLES);
	assert_verdict(v0, a_page, ACCESS_READ, MMU_BAD_TABLES);
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_valid();
}

/* STALE_ROOT_RETRY (C26): the slot goes while a fault has the page and not the lock. */
static void delete_and_restore(void *ctx UNUSED)
{
	delete_slot(1);
	vm_slot(vm, 1, HOLE, 11, 1, 0);
}

static void a_fault_overtaken_by_a_slot_update_starts_again(void **state UNUSED)
{
	use_a_page();
	vm_slot(vm, 1, HOLE, 9, 1, 0);
	map(a_page + PAGES(1), 1, HOLE | DONE);
	hook_once(HOOK_WRLOCK, delete_and_restore, NULL);
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, 11);
	assert_valid();
}

/* Two slots may have the same memory; the frame is what counts, not the page behind. */
static void one_page_at_two_frames_is_told_apart(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	vm_slot(vm, 1, HOLE, 5, 1, KVM_MEM_LOG_DIRTY_PAGES);
	map(a_page, 1, PAGES(5) | (DONE & ~GPTE_D));
	assert_page(v0, a_page, ACCESS_READ, 5);
	/* Behind our back. */
	map(a_page, 1, HOLE | DONE);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_int_equal(result.gpa.raw, HOLE);
	assert_valid();
	assert_int_equal(frames_find(&shadow->frames, gfn_of(5), LEVEL_4K)->rmap.head, 0);
}

/* --- the host ---------------------------------------------------------------- */

static struct invalidation inv;

static void begin(uint64_t first, uint64_t n)
{
	mmu_invalidate_begin(&vm->mmu, vm_hva(vm, first), vm_hva(vm, first + n), &inv);
}

static void the_host_takes_a_page_from_all_who_map_it(void **state UNUSED)
{
	use_a_page();
	map(a_page + PAGES(1), 1, PAGES(5) | (DONE & ~GPTE_W));
	map(a_page + PAGES(2), 1, PAGES(6) | DONE);
	vm_slot(vm, 1, HOLE, 5, 1, 0);
	map(a_page + PAGES(3), 1, HOLE | DONE);
	for (unsigned int i = 1; i < 4; i++)
		assert_verdict(v1, a_page + PAGES(i), ACCESS_READ, MMU_OK);
	begin(5, 1);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(spte_is_leaf(shadow_entry(v1, a_page + PAGES(i)).spte), i == 2);
	assert_false(tlb_hits(v0, a_page, ACCESS_READ));
	assert_false(tlb_hits(v1, a_page + PAGES(1), ACCESS_READ));
	mmu_invalidate_end(&inv);
	assert_valid();
	assert_page(v0, a_page, ACCESS_WRITE, 5);
}

static void the_host_takes_part_of_a_large_page(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	vm->sim.level = LEVEL_2M;
	map(a_page, 2, PAGES(M2) | DONE | GPTE_PS);
	assert_verdict(v0, a_page, ACCESS_WRITE, MMU_OK);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 1);
	begin(M2 + 100, 1);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 0);
	assert_false(tlb_hits(v0, a_page, ACCESS_READ));
	mmu_invalidate_end(&inv);
	assert_valid();
}

/* The host takes the page of a table: its shadow is made from what it said. */
static void the_host_may_take_the_page_of_a_table(void **state UNUSED)
{
	use_a_page();
	begin(TABLES >> PAGE_SHIFT, 64);
	mmu_invalidate_end(&inv);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_valid();
}

static void take_page_five(void *ctx UNUSED)
{
	begin(5, 1);
	mmu_invalidate_end(&inv);
}

/* RETRY_UNDER_LOCK */
static void a_fault_overtaken_by_the_host_starts_again(void **state UNUSED)
{
	uint64_t resolved;

	use_a_page();
	invlpg(v0, a_page);
	begin(5, 1);
	mmu_invalidate_end(&inv);
	resolved = vm->sim.n_resolved;
	hook_once(HOOK_WRLOCK, take_page_five, NULL);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_int_equal(vm->sim.n_resolved, resolved + 2);
	assert_valid();
}

static void who_used_a_page_is_known_until_that_is_cleared(void **state UNUSED)
{
	use_a_page();
	map(a_page + PAGES(1), 1, PAGES(6) | DONE);
	assert_false(mmu_age(&vm->mmu, vm_hva(vm, 6), vm_hva(vm, 7), AGE_TEST));
	assert_true(mmu_age(&vm->mmu, vm_hva(vm, 5), vm_hva(vm, 6), AGE_TEST));
	assert_true(mmu_age(&vm->mmu, vm_hva(vm, 5), vm_hva(vm, 6), AGE_CLEAR_FLUSH));
	assert_false(tlb_hits(v0, a_page, ACCESS_READ));
	assert_false(mmu_age(&vm->mmu, vm_hva(vm, 0), vm_hva(vm, 20), AGE_TEST));
	/* By any of those that map it. */
	assert_page(v1, a_page + PAGES(1), ACCESS_READ, 6);
	assert_page(v1, a_page, ACCESS_READ, 5);
	assert_true(mmu_age(&vm->mmu, vm_hva(vm, 5), vm_hva(vm, 6), AGE_CLEAR));
	assert_true(mmu_age(&vm->mmu, vm_hva(vm, 6), vm_hva(vm, 7), AGE_CLEAR));
	assert_false(mmu_age(&vm->mmu, vm_hva(vm, 0), vm_hva(vm, 20), AGE_TEST));
	assert_valid();
}

/* AGE_LEAVES_DEBT. */
static void a_page_that_looks_old_is_flushed_for_who_asks_for_it(void **state UNUSED)
{
	hva_t page = vm_hva(vm, 5), next = vm_hva(vm, 6);
	uint64_t rounds;

	use_a_page();
	assert_true(mmu_age(&vm->mmu, page, next, AGE_CLEAR));
	assert_true(tlb_hits(v0, a_page, ACCESS_READ));
	assert_false(mmu_age(&vm->mmu, page, next, AGE_CLEAR_FLUSH));
	assert_false(tlb_hits(v0, a_page, ACCESS_READ));
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_true(mmu_age(&vm->mmu, page, next, AGE_CLEAR));
	/* Any flush after it will do, and pays all of it. */
	flush_always(&vm->mmu);
	rounds = vm_stat(vm, VM_STAT_remote_tlb_flush);
	assert_false(mmu_age(&vm->mmu, page, next, AGE_CLEAR_FLUSH));
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush), rounds);
}

/* --- the dirty log ----------------------------------------------------------- */

static uint64_t bitmap[N_PAGES / 64];

static void harvest(void)
{
	assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0);
}

static bool is_dirty(uint64_t page)
{
	return bitmap[page / 64] >> (page % 64) & 1;
}

static void start_logging(void)
{
	vm_slot(vm, 0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	harvest();
}

static void writes_are_logged_once_for_each_harvest(void **state UNUSED)
{
	use_a_page();
	start_logging();
	assert_false(is_dirty(5));
	for (int i = 0; i < 3; i++) {
		assert_false(tlb_hits(v0, a_page, ACCESS_WRITE));
		assert_page(v0, a_page, ACCESS_READ, 5);
		harvest();
		assert_false(is_dirty(5));
		assert_page(v0, a_page, ACCESS_WRITE, 5);
		assert_page(v1, a_page, ACCESS_WRITE, 5);
		harvest();
		assert_true(is_dirty(5));
		assert_valid();
	}
	/* Logging ends: nothing is logged, and nothing protected. */
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
}

/* A page has several entries: all lose W. */
static void a_page_is_protected_wherever_it_is_mapped(void **state UNUSED)
{
	use_a_page();
	map(a_page + PAGES(1), 1, PAGES(5) | DONE);
	start_logging();
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_page(v1, a_page + PAGES(1), ACCESS_WRITE, 5);
	harvest();
	assert_false(tlb_hits(v1, a_page + PAGES(1), ACCESS_WRITE));
	assert_page(v1, a_page + PAGES(1), ACCESS_WRITE, 5);
	harvest();
	assert_true(is_dirty(5));
}

/* NO_HUGE_WRITABLE_WHEN_LOGGING */
static void a_large_page_is_split_before_it_is_written(void **state UNUSED)
{
	uint64_t page;

	paging(GUEST_4LEVEL);
	vm->sim.level = LEVEL_2M;
	page = M2 + (a_page >> 12 & 511);
	map(a_page, 2, PAGES(M2) | DONE | GPTE_PS);
	assert_page(v0, a_page, ACCESS_WRITE, page);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 1);
	start_logging();
	assert_page(v0, a_page, ACCESS_READ, page);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 1);
	assert_page(v0, a_page, ACCESS_WRITE, page);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 0);
	harvest();
	for (uint64_t n = 0; n < N_PAGES; n++)
		if (n != page && n < TABLES >> PAGE_SHIFT)
			assert_false(is_dirty(n));
	assert_true(is_dirty(page));
	assert_valid();
}

static void large_pages_come_back(void **state UNUSED)
{
	uint64_t page;

	paging(GUEST_4LEVEL);
	vm->sim.level = LEVEL_2M;
	page = M2 + (a_page >> 12 & 511);
	map(a_page, 2, PAGES(M2) | DONE | GPTE_PS);
	start_logging();
	assert_page(v0, a_page, ACCESS_WRITE, page);
	assert_page(v0, a_page + PAGES(1), ACCESS_READ, page + 1);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 0);
	assert_int_equal(shadow_entry(v0, a_page).sp->table.level, LEVEL_4K);
	/* The log ends. */
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	assert_page(v0, a_page, ACCESS_WRITE, page);
	assert_int_equal(shadow_entry(v0, a_page).sp->table.level, LEVEL_2M);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 1);
	assert_valid();

	/* The host has it in small pages, and takes these back. */
	vm->sim.level = LEVEL_4K;
	begin(M2, M2);
	mmu_invalidate_end(&inv);
	assert_page(v0, a_page, ACCESS_WRITE, page);
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, page + 1);
	assert_int_equal(shadow_entry(v0, a_page).sp->table.level, LEVEL_4K);
	vm->sim.level = LEVEL_2M;
	begin(page, 1);
	mmu_invalidate_end(&inv);
	assert_page(v0, a_page, ACCESS_WRITE, page);
	assert_int_equal(shadow_entry(v0, a_page).sp->table.level, LEVEL_4K);
	begin(M2, M2);
	mmu_invalidate_end(&inv);
	assert_page(v0, a_page, ACCESS_WRITE, page);
	assert_int_equal(shadow_entry(v0, a_page).sp->table.level, LEVEL_2M);
	assert_valid();
}

/* The page was resolved before, and is installed after. */
static void log_everything(void *ctx UNUSED)
{
	start_logging();
}

static void logging_that_begins_during_a_fault_is_obeyed(void **state UNUSED)
{
	uint64_t page;

	paging(GUEST_4LEVEL);
	vm->sim.level = LEVEL_2M;
	page = M2 + (a_page >> 12 & 511);
	map(a_page, 2, PAGES(M2) | DONE | GPTE_PS);
	map(a_page + (1 << 21), 2, 0 | DONE | GPTE_PS);
	assert_verdict(v0, a_page + (1 << 21), ACCESS_WRITE, MMU_OK);
	hook_once(HOOK_WRLOCK, log_everything, NULL);
	assert_verdict(v0, a_page, ACCESS_WRITE, MMU_OK);
	assert_int_equal(shadow_entry(v0, a_page).sp->table.level, LEVEL_4K);
	harvest();
	assert_true(is_dirty(page));
	assert_false(is_dirty(page + 1));
	assert_valid();
}

/* The bits that a walk sets in tables are writes as well. */
static void accessed_and_dirty_bits_are_logged(void **state UNUSED)
{
	use_a_page();
	map(a_page + PAGES(1), 1, PAGES(6) | ALL);
	start_logging();
	assert_page(v0, a_page + PAGES(1), ACCESS_READ, 6);
	harvest();
	assert_true(is_dirty(entry_gpa(a_page, 1) >> PAGE_SHIFT));
	assert_page(v0, a_page + PAGES(1), ACCESS_READ, 6);
	harvest();
	assert_false(is_dirty(entry_gpa(a_page, 1) >> PAGE_SHIFT));
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, 6);
	harvest();
	assert_true(is_dirty(entry_gpa(a_page, 1) >> PAGE_SHIFT));
	assert_true(is_dirty(6));
}

static void cleared_bits_are_protected(void **state UNUSED)
{
	vm->slots.manual_protect = true;
	use_a_page();
	start_logging();
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	harvest();
	assert_true(is_dirty(5));
	assert_true(tlb_hits(v0, a_page, ACCESS_WRITE));
	memset(bitmap, 0, sizeof(bitmap));
	bitmap[0] = 1 << 5;
	assert_int_equal(dirty_log_clear(&vm->slots, 0, 0, 64, bitmap), 0);
	assert_false(tlb_hits(v0, a_page, ACCESS_WRITE));
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	harvest();
	assert_true(is_dirty(5));
}

static int ring_setup(void **state)
{
	shadow_setup(state);
	vm_use_rings(vm, 256);
	vm_slot(vm, 0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	return 0;
}

static void rings_take_what_is_written(void **state UNUSED)
{
	uint32_t n;

	use_a_page();
	n = atomic32_load_relaxed(&v0->ring.pushed);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_int_equal(atomic32_load_relaxed(&v0->ring.pushed), n);
	for (uint32_t i = 0; i < n; i++)
		v0->ring.entries[i].flags = KVM_DIRTY_GFN_F_RESET;
	assert_int_equal(mmu_reset_dirty_rings(&vm->mmu), n);
	assert_false(tlb_hits(v0, a_page, ACCESS_WRITE));
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_int_equal(atomic32_load_relaxed(&v0->ring.pushed), n + 1);
	assert_int_equal(v0->ring.entries[n].offset, 5);
	/* A tracked write. */
	guest_map(v0, a_page, 2, 0);
	assert_int_equal(v0->ring.entries[atomic32_load_relaxed(&v0->ring.pushed) - 1].offset,
			 entry_gpa(a_page, 2) >> PAGE_SHIFT);
}

/* RING_SOFT_LIMIT: for pages, for bits in tables, and for tracked writes. */
static void a_full_ring_stops_every_write(void **state UNUSED)
{
	uint64_t gva = a_page;
	enum mmu_verdict verdict;

	use_a_page();
	map(a_page + (1 << 21), 1, PAGES(7) | ALL);
	for (unsigned int i = 0; i < 300; i++)
		map(a_page + (2 << 21) + PAGES(i), 1, PAGES(20 + i) | DONE);
	for (unsigned int i = 0;; i++) {
		gva = a_page + (2 << 21) + PAGES(i);
		verdict = guest_access(v0, gva, ACCESS_WRITE);
		if (verdict != MMU_OK)
			break;
	}
	assert_int_equal(verdict, MMU_RING_FULL);
	assert_verdict(v0, a_page + (1 << 21), ACCESS_WRITE, MMU_RING_FULL);
	assert_verdict(v0, linear + entry_gpa(a_page, 2), ACCESS_WRITE, MMU_RING_FULL);
	assert_verdict(v0, linear + entry_gpa(a_page, 1), ACCESS_WRITE, MMU_RING_FULL);
	assert_verdict(v0, gva, ACCESS_READ, MMU_OK);
	for (uint32_t i = 0; i < 256; i++)
		if (v0->ring.entries[i].flags)
			v0->ring.entries[i].flags = KVM_DIRTY_GFN_F_RESET;
	mmu_reset_dirty_rings(&vm->mmu);
	assert_verdict(v0, gva, ACCESS_WRITE, MMU_OK);
	assert_verdict(v0, a_page + (1 << 21), ACCESS_WRITE, MMU_OK);
	assert_verdict(v0, linear + entry_gpa(a_page, 2), ACCESS_WRITE, MMU_OK);
}

/* --- roots that are kept ----------------------------------------------------- */

static uint64_t copy_of_root(void)
{
	uint64_t copy = new_table();

	memcpy(vm->memory + copy, vm->memory + TABLES, PAGE_SIZE);
	return copy;
}

static void the_last_roots_are_kept(void **state UNUSED)
{
	uint64_t root[SHADOW_CACHED_ROOTS];
	uint64_t loads, reloads, locks;

	use_a_page();
	root[0] = TABLES;
	for (unsigned int i = 1; i < SHADOW_CACHED_ROOTS; i++)
		root[i] = copy_of_root();
	for (unsigned int i = 0; i < SHADOW_CACHED_ROOTS; i++) {
		load_cr3(v0, root[i]);
		assert_page(v0, a_page, ACCESS_READ, 5);
	}
	loads = vcpu_stat(v0, VCPU_STAT_root_loads);
	reloads = vcpu_stat(v0, VCPU_STAT_root_reloads);
	locks = hook_count(HOOK_WRLOCK);
	for (unsigned int i = 0; i < SHADOW_CACHED_ROOTS; i++) {
		load_cr3(v0, root[i]);
		assert_page(v0, a_page, ACCESS_READ, 5);
	}
	assert_int_equal(vcpu_stat(v0, VCPU_STAT_root_loads), loads);
	assert_int_equal(vcpu_stat(v0, VCPU_STAT_root_reloads),
			 reloads + SHADOW_CACHED_ROOTS);
	assert_int_equal(hook_count(HOOK_WRLOCK), locks);
	/* One more, and one has to go. */
	load_cr3(v0, copy_of_root());
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_int_equal(vcpu_stat(v0, VCPU_STAT_root_loads), loads + 1);
	assert_valid();
}

static void a_root_that_is_kept_is_brought_up_to_date(void **state UNUSED)
{
	uint64_t other;

	use_a_page();
	other = copy_of_root();
	load_cr3(v0, other);
	assert_page(v0, a_page, ACCESS_READ, 5);
	guest_map(v0, a_page, 1, PAGES(6) | DONE);
	load_cr3(v0, TABLES);
	assert_page(v0, a_page, ACCESS_READ, 6);
}

/* Other registers, and so other roots; those of before are still there. */
static void roots_are_kept_by_everything_that_counts(void **state UNUSED)
{
	uint64_t loads;

	use_a_page();
	loads = vcpu_stat(v0, VCPU_STAT_root_loads);
	v0->paging.efer &= ~X86_EFER_NX;
	mmu_paging_changed(v0);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_int_equal(vcpu_stat(v0, VCPU_STAT_root_loads), loads + 1);
	v0->paging.efer |= X86_EFER_NX;
	v0->paging.cr0 &= ~X86_CR0_WP;
	mmu_paging_changed(v0);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_int_equal(vcpu_stat(v0, VCPU_STAT_root_loads), loads + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		shadow_test(what_is_no_memory_is_remembered),
		shadow_test(what_is_remembered_knows_the_guests_rights),
		shadow_test(a_write_to_what_is_no_memory_sets_the_dirty_bit),
		shadow_test(new_memory_takes_the_place_of_mmio),
		shadow_test(mmio_takes_the_place_of_memory),
		shadow_test(other_generations_are_not_believed),
		shadow_test(a_wrap_of_the_generation_drops_mmio_entries),
		shadow_test(a_large_page_over_no_memory_is_mmio_page_by_page),
		shadow_test(a_write_to_a_read_only_slot_is_mmio_and_a_read_is_not),
		shadow_test(a_deleted_slot_takes_what_is_of_it_and_no_more),
		shadow_test(a_deleted_slot_takes_the_shadow_of_its_tables),
		shadow_test(a_deleted_slot_takes_all_shadow_pages_if_so_chosen),
		shadow_test(obsolete_roots_are_given_back_at_the_next_entry),
		shadow_test(a_moved_slot_is_found_where_it_is),
		shadow_test(the_slot_that_holds_the_tables_goes_and_comes),
		shadow_test(a_fault_overtaken_by_a_slot_update_starts_again),
		shadow_test(one_page_at_two_frames_is_told_apart),
		shadow_test(the_host_takes_a_page_from_all_who_map_it),
		shadow_test(the_host_takes_part_of_a_large_page),
		shadow_test(the_host_may_take_the_page_of_a_table),
		shadow_test(a_fault_overtaken_by_the_host_starts_again),
		shadow_test(who_used_a_page_is_known_until_that_is_cleared),
		shadow_test(a_page_that_looks_old_is_flushed_for_who_asks_for_it),
		shadow_test(writes_are_logged_once_for_each_harvest),
		shadow_test(a_page_is_protected_wherever_it_is_mapped),
		shadow_test(a_large_page_is_split_before_it_is_written),
		shadow_test(large_pages_come_back),
		shadow_test(logging_that_begins_during_a_fault_is_obeyed),
		shadow_test(accessed_and_dirty_bits_are_logged),
		shadow_test(cleared_bits_are_protected),
		cmocka_unit_test_setup_teardown(rings_take_what_is_written, ring_setup,
						shadow_teardown),
		cmocka_unit_test_setup_teardown(a_full_ring_stops_every_write, ring_setup,
						shadow_teardown),
		shadow_test(the_last_roots_are_kept),
		shadow_test(a_root_that_is_kept_is_brought_up_to_date),
		shadow_test(roots_are_kept_by_everything_that_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
