/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/mmu/test_logging.c - what translations leave in a dirty bitmap and in
 * dirty rings, and what these do to translations.
 */
#include "guest_fixture.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "mem/dirty_log.h"
#include "mmu/notifier.h"
#include "mmu/tdp/internal.h"

/* --- dirty logging --------------------------------------------------- */

static uint64_t bitmap[N_PAGES / 64];

static void harvest(void)
{
	OUTSIDE(assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0));
}

static void assert_harvest(const uint64_t *pages, unsigned int n)
{
	uint64_t want[N_PAGES / 64] = { 0 };

	harvest();
	for (unsigned int i = 0; i < n; i++)
		want[pages[i] / 64] |= 1ull << (pages[i] % 64);
	assert_memory_equal(bitmap, want, sizeof(want));
}

#define ASSERT_HARVEST(...)                                                      \
	assert_harvest((const uint64_t[]){ __VA_ARGS__ },                        \
		       sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))
#define ASSERT_NO_HARVEST() assert_harvest(NULL, 0)

static void what_is_written_is_harvested_once_for_each_time(void **state UNUSED)
{
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	ASSERT_NO_HARVEST();
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_ram(PAGES(200), ACCESS_WRITE, PAGES(200), 200);
	ASSERT_HARVEST(5, 200);
	/* The TLB has forgotten that it may write. */
	assert_null(tlb_write(vcpu, gva_of(PAGES(5)), 1));
	ASSERT_NO_HARVEST();
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(vcpu_stat(vcpu, VCPU_STAT_pf_fast), 1);
	ASSERT_HARVEST(5);
	assert_int_equal(vcpu_stat(vcpu, VCPU_STAT_pages_dirtied), 3);
	assert_int_equal(vm_stat(vm, VM_STAT_dirty_pages_harvested), 3);
}

static void what_is_read_or_executed_is_not_harvested(void **state UNUSED)
{
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_write(vcpu, gva_of(PAGES(5)), 1));
	assert_ram(PAGES(6), ACCESS_EXEC, PAGES(6), 6);
	assert_int_equal(translate_gpa(vcpu, PAGES(7), ACCESS_READ, &result), MMU_OK);
	ASSERT_NO_HARVEST();
	/* Nor after a write: reading it again is not writing it. */
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	ASSERT_HARVEST(5);
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	ASSERT_NO_HARVEST();
}

static void pages_written_before_the_log_began_are_caught(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_non_null(tlb_write(vcpu, gva_of(PAGES(5)), 1));
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	assert_null(tlb_write(vcpu, gva_of(PAGES(5)), 1));
	ASSERT_NO_HARVEST();
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	ASSERT_HARVEST(5);
	/* And after it ended they are not. */
	slot_again(0, 0, 0, N_PAGES, 0);
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	ASSERT_NO_HARVEST();
}

/* The processor writes there: accessed and dirty bits. */
static void marking_the_guests_tables_dirties_them(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	ASSERT_HARVEST(128, 129, 130, 131);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	ASSERT_NO_HARVEST();
	assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
	ASSERT_HARVEST(5, 131);
}

static void writing_by_frame_is_harvested_too(void **state UNUSED)
{
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(translate_gpa(vcpu, PAGES(9), ACCESS_WRITE, &result), MMU_OK);
		assert_int_equal(translate_gpa(vcpu, PAGES(9), ACCESS_WRITE, &result), MMU_OK);
		ASSERT_HARVEST(9);
	}
}

static void a_log_that_begins_full_is_cleared_page_by_page(void **state UNUSED)
{
	const uint64_t six = 1 << 6;

	vm->slots.manual_protect = vm->slots.initially_set = true;
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_ram(PAGES(6), ACCESS_WRITE, PAGES(6), 6);
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	/* Nothing was protected: all is dirty. */
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_non_null(tlb_write(vcpu, gva_of(PAGES(5)), 1));
	OUTSIDE(assert_int_equal(dirty_log_clear(&vm->slots, 0, 0, 64, &six), 0));
	assert_ram(PAGES(6), ACCESS_READ, PAGES(6), 6);
	assert_null(tlb_write(vcpu, gva_of(PAGES(6)), 1));
	harvest();
	assert_true(bitmap[0] == ~six && bitmap[3] == ~0ull);
	assert_ram(PAGES(6), ACCESS_WRITE, PAGES(6), 6);
	harvest();
	assert_true(bitmap[0] == ~0ull);
}

/* NO_HUGE_WRITABLE_WHEN_LOGGING */
static void a_logged_slot_has_no_large_page_that_can_be_written(void **state UNUSED)
{
	struct test_vm *big = vm_make_sim(1, 1024);
	struct mmu_vcpu *bv = &big->vcpu[0];
	uint64_t log[16];

	big->sim.level = LEVEL_2M;
	vm_slot(big, 0, 0, 0, 1024, 0);
	assert_int_equal(tdp_fault(bv, gpa_of(PAGES(3)), ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(vm_stat(big, VM_STAT_pages_2m), 1);
	vm_slot(big, 0, 0, 0, 1024, KVM_MEM_LOG_DIRTY_PAGES);
	/* Both ways: what was large, and what is new. */
	assert_int_equal(tdp_fault(bv, gpa_of(PAGES(3)), ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(tdp_fault(bv, gpa_of(PAGES(600)), ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(tdp_fault(bv, gpa_of(PAGES(601)), ACCESS_READ), FAULT_FIXED);
	assert_int_equal(vm_stat(big, VM_STAT_pages_2m), 0);
	assert_int_equal(vm_stat(big, VM_STAT_pages_4k), 512 + 2);
	assert_int_equal(dirty_log_get(&big->slots, 0, log), 0);
	for (uint64_t page = 0; page < 1024; page++)
		assert_int_equal(log[page / 64] >> (page % 64) & 1, page == 3 || page == 600);
	assert_int_equal(tdp_fault(bv, gpa_of(PAGES(4)), ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(dirty_log_get(&big->slots, 0, log), 0);
	assert_true(log[0] == 1 << 4);
	vm_free(big);
}

/* After logging, and after the host has taken all of one back. */
static void large_pages_come_back(void **state UNUSED)
{
	struct test_vm *big = vm_make_sim(1, 1024 + 8);
	struct mmu_vcpu *bv = &big->vcpu[0];
	struct invalidation inv;


	big->sim.level = LEVEL_2M;
	vm_slot(big, 0, 0, 0, 1024 + 8, KVM_MEM_LOG_DIRTY_PAGES);
	for (uint64_t gfn = 0; gfn < 1024 + 8; gfn++)
		assert_int_equal(tdp_fault(bv, gpa_of(PAGES(gfn)), ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(vm_stat(big, VM_STAT_pages_4k), 1024 + 8);
	/* Where the host has no large page, what there is stays. */
	big->sim.level = LEVEL_4K;
	vm_slot(big, 0, 0, 0, 1024 + 8, 0);
	assert_int_equal(vm_stat(big, VM_STAT_pages_4k), 1024 + 8);
	big->sim.level = LEVEL_2M;
	vm_slot(big, 0, 0, 0, 1024 + 8, KVM_MEM_LOG_DIRTY_PAGES);
	vm_slot(big, 0, 0, 0, 1024 + 8, 0);
	assert_int_equal(vm_stat(big, VM_STAT_pages_4k), 8);
	assert_int_equal(tdp_fault(bv, gpa_of(PAGES(3)), ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(tdp_fault(bv, gpa_of(PAGES(600)), ACCESS_READ), FAULT_FIXED);
	assert_int_equal(vm_stat(big, VM_STAT_pages_2m), 2);
	assert_int_equal(vm_stat(big, VM_STAT_pages_4k), 8);

	/* By small ones again, as if the host had had no other. */
	mmu_invalidate_begin(&big->mmu, vm_hva(big, 0), vm_hva(big, 1024), &inv);
	mmu_invalidate_end(&inv);
	big->sim.level = LEVEL_4K;
	for (uint64_t gfn = 0; gfn < 1024; gfn++)
		assert_int_equal(tdp_fault(bv, gpa_of(PAGES(gfn)), ACCESS_WRITE), FAULT_FIXED);
	big->sim.level = LEVEL_2M;
	mmu_invalidate_begin(&big->mmu, vm_hva(big, 0), vm_hva(big, 1024), &inv);
	mmu_invalidate_end(&inv);
	assert_int_equal(vm_stat(big, VM_STAT_pages_4k), 8);
	assert_int_equal(tdp_fault(bv, gpa_of(PAGES(3)), ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(vm_stat(big, VM_STAT_pages_2m), 1);
	assert_true(tdp_is_valid(&big->mmu));
	vm_free(big);
}

/* It brings every page in for writing, whatever was asked for. */
static void a_host_that_is_ahead_of_us_opens_nothing_unasked(void **state UNUSED)
{
	struct test_vm *eager = vm_make_sim(1, N_PAGES);
	struct mmu_vcpu *ev = &eager->vcpu[0];
	uint64_t log = 0;

	eager->sim.eager = true;
	vm_slot(eager, 0, 0, 0, 64, KVM_MEM_LOG_DIRTY_PAGES);
	vm_slot(eager, 1, HOLE, 64, 64, KVM_MEM_READONLY);
	vm_slot(eager, 2, 2 * HOLE, 128, 64, 0);
	guest_enter(ev);
	assert_int_equal(mmu_translate(ev, gva_of(PAGES(5)), ACCESS_READ, &result), MMU_OK);
	assert_null(tlb_write(ev, gva_of(PAGES(5)), 1));
	assert_int_equal(mmu_translate(ev, gva_of(HOLE), ACCESS_READ, &result), MMU_OK);
	assert_null(tlb_write(ev, gva_of(HOLE), 1));
	assert_int_equal(mmu_translate(ev, gva_of(HOLE), ACCESS_WRITE, &result), MMU_MMIO);
	/* Without a log it may: this saves one fault. */
	assert_int_equal(mmu_translate(ev, gva_of(2 * HOLE), ACCESS_READ, &result), MMU_OK);
	assert_non_null(tlb_write(ev, gva_of(2 * HOLE), 1));
	guest_leave(ev);
	assert_int_equal(dirty_log_get(&eager->slots, 0, &log), 0);
	assert_true(log == 0);
	/* The door is opened without the lock, and the page marked. */
	assert_int_equal(tdp_fault(ev, gpa_of(PAGES(5)), ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(vcpu_stat(ev, VCPU_STAT_pf_fast), 1);
	assert_int_equal(dirty_log_get(&eager->slots, 0, &log), 0);
	assert_true(log == 1 << 5);
	vm_free(eager);
}

/* --- a copy kept by harvests ----------------------------------------- */

#define N_WRITERS 2
#define HARVESTS STEPS(400)

struct migration {
	struct atomic32 next, stop;
	struct atomic64 n_runs;		/* of all writers in the guest */
	uint64_t *copy;
};

/* Each to words of its own, always with a new value. */
static void *write_pages(void *arg)
{
	struct migration *m = arg;
	uint32_t me = atomic32_fetch_add(&m->next, 1);
	struct mmu_vcpu *mine = &vm->vcpu[me];
	struct mmu_result r;
	struct run run;

	run_begin(&run, 91 + me);
	while (!atomic32_load_relaxed(&m->stop)) {
		guest_enter(mine);
		for (int i = 0; i < 64 && !request_pending(mine); i++) {
			uint64_t gpa = PAGES(run_below(&run, N_PAGES)) + 8 * me;
			uint64_t *at = tlb_write(mine, gva_of(gpa), 8);

			if (!at && mmu_translate(mine, gva_of(gpa), ACCESS_WRITE, &r) == MMU_OK)
				at = r.host;
			if (at)
				__atomic_store_n(at, ++run.step, __ATOMIC_RELAXED);
		}
		guest_leave(mine);
		atomic64_fetch_add(&m->n_runs, 1);
	}
	return NULL;
}

static void copy_dirty_pages(struct migration *m)
{
	assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0);
	for (uint64_t page = 0; page < N_PAGES; page++) {
		const uint64_t *from = (const uint64_t *)(vm->memory + PAGES(page));

		if (!(bitmap[page / 64] >> (page % 64) & 1))
			continue;
		for (int i = 0; i < N_WRITERS; i++)
			m->copy[page * N_WRITERS + (uint64_t)i] =
				__atomic_load_n(&from[i], __ATOMIC_RELAXED);
	}
}

/* As a live migration does it.  A write that no harvest names is a difference. */
static void a_copy_kept_by_harvests_equals_the_memory(void **state UNUSED)
{
	struct migration m = { 0 };
	pthread_t t[N_WRITERS];

	guest_leave(vcpu);
	m.copy = calloc(N_PAGES * N_WRITERS, sizeof(*m.copy));
	vm_slot(vm, 0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	for (int i = 0; i < N_WRITERS; i++)
		thread_start(&t[i], write_pages, &m);
	for (unsigned int i = 0; i < HARVESTS; i++) {
		uint64_t before = atomic64_load_relaxed(&m.n_runs);

		copy_dirty_pages(&m);
		while (atomic64_load_relaxed(&m.n_runs) == before)
			sched_yield();
	}
	atomic32_store_relaxed(&m.stop, 1);
	for (int i = 0; i < N_WRITERS; i++)
		thread_end(t[i]);
	copy_dirty_pages(&m);
	for (uint64_t page = 0; page < N_PAGES; page++)
		assert_memory_equal(&m.copy[page * N_WRITERS], vm->memory + PAGES(page),
				    N_WRITERS * sizeof(*m.copy));
	free(m.copy);
}

/* --- rings ----------------------------------------------------------- */

#define RING 128u

static int setup_ring(void **state)
{
	guest_setup(state);
	vm_use_rings(vm, RING);
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	return 0;
}

static uint32_t empty_ring(uint32_t n)
{
	uint32_t first = atomic32_load_relaxed(&vcpu->ring.reset), taken;

	for (uint32_t i = 0; i < n; i++)
		vcpu->ring.entries[(first + i) % RING].flags = KVM_DIRTY_GFN_F_RESET;
	OUTSIDE(taken = mmu_reset_dirty_rings(&vm->mmu));
	return taken;
}

static void a_written_page_is_pushed_once_until_it_is_reset(void **state UNUSED)
{
	for (int i = 0; i < 3; i++)
		assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(atomic32_load_relaxed(&vcpu->ring.pushed), 1);
	assert_int_equal(vcpu->ring.entries[0].slot, 0);
	assert_int_equal(vcpu->ring.entries[0].offset, 5);
	assert_int_equal(empty_ring(1), 1);
	assert_null(tlb_write(vcpu, gva_of(PAGES(5)), 1));
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(atomic32_load_relaxed(&vcpu->ring.pushed), 2);
	assert_int_equal(vcpu->ring.entries[1].offset, 5);
}

/* RING_SOFT_LIMIT */
static void a_full_ring_stops_writes_and_nothing_else(void **state UNUSED)
{
	for (uint64_t page = 0; page < RING - DIRTY_RING_RESERVED; page++)
		assert_ram(PAGES(page), ACCESS_WRITE, PAGES(page), page);
	assert_int_equal(mmu_translate(vcpu, gva_of(PAGES(100)), ACCESS_WRITE, &result),
			 MMU_RING_FULL);
	assert_int_equal(translate_gpa(vcpu, PAGES(100), ACCESS_WRITE, &result), MMU_RING_FULL);
	assert_ram(PAGES(100), ACCESS_READ, PAGES(100), 100);
	/* Protected is not the same as not there: neither way is open. */
	assert_int_equal(mmu_translate(vcpu, gva_of(PAGES(100)), ACCESS_WRITE, &result),
			 MMU_RING_FULL);
	assert_ram(PAGES(3), ACCESS_WRITE, PAGES(3), 3);
	assert_int_equal(atomic32_load_relaxed(&vcpu->ring.pushed), RING - DIRTY_RING_RESERVED);
	assert_int_equal(empty_ring(1), 1);
	assert_ram(PAGES(100), ACCESS_WRITE, PAGES(100), 100);
	assert_int_equal(mmu_translate(vcpu, gva_of(PAGES(0)), ACCESS_WRITE, &result),
			 MMU_RING_FULL);
}

/* An entry counts from the start of its slot. */
static void an_entry_names_slot_and_page(void **state UNUSED)
{
	slot_again(3, HOLE, 20, 8, KVM_MEM_LOG_DIRTY_PAGES);
	assert_ram(HOLE + PAGES(7), ACCESS_WRITE, HOLE + PAGES(7), 27);
	assert_int_equal(vcpu->ring.entries[0].slot, 3);
	assert_int_equal(vcpu->ring.entries[0].offset, 7);
	assert_int_equal(empty_ring(1), 1);
	assert_null(tlb_write(vcpu, gva_of(HOLE + PAGES(7)), 1));
}

/* A slot that was logged before there were rings has a bitmap that can no longer be read. */
static void a_slot_logged_before_the_rings_is_logged_to_them(void **state UNUSED)
{
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	vm_use_rings(vm, RING);
	for (uint64_t page = 0; page < RING - DIRTY_RING_RESERVED; page++)
		assert_ram(PAGES(page), ACCESS_WRITE, PAGES(page), page);
	assert_int_equal(atomic32_load_relaxed(&vcpu->ring.pushed), RING - DIRTY_RING_RESERVED);
	assert_int_equal(vcpu->ring.entries[5].offset, 5);
	assert_int_equal(mmu_translate(vcpu, gva_of(PAGES(100)), ACCESS_WRITE, &result),
			 MMU_RING_FULL);
	assert_int_equal(empty_ring(3), 3);
	assert_null(tlb_write(vcpu, gva_of(0), 1));
	assert_ram(0, ACCESS_WRITE, 0, 0);
}

/* Both doors: the fast one, by which a protected page is opened again. */
static void a_full_ring_stops_the_fast_way_too(void **state UNUSED)
{
	assert_ram(PAGES(100), ACCESS_WRITE, PAGES(100), 100);
	assert_int_equal(empty_ring(1), 1);
	for (uint64_t page = 0; page < RING - DIRTY_RING_RESERVED; page++)
		assert_ram(PAGES(page), ACCESS_WRITE, PAGES(page), page);
	assert_int_equal(mmu_translate(vcpu, gva_of(PAGES(100)), ACCESS_WRITE, &result),
			 MMU_RING_FULL);
	assert_int_equal(vcpu_stat(vcpu, VCPU_STAT_pf_fast), 0);
	assert_int_equal(empty_ring(RING), RING - DIRTY_RING_RESERVED);
	assert_ram(PAGES(100), ACCESS_WRITE, PAGES(100), 100);
	assert_int_equal(vcpu_stat(vcpu, VCPU_STAT_pf_fast), 1);
}

/* RING_RESET_FLUSHES */
static void a_reset_of_entries_flushes_and_one_of_none_does_not(void **state UNUSED)
{
	uint64_t before;

	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	before = vm_stat(vm, VM_STAT_remote_tlb_flush);
	assert_int_equal(empty_ring(0), 0);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush), before);
	assert_int_equal(empty_ring(1), 1);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush), before + 1);
	assert_int_equal(vm_stat(vm, VM_STAT_dirty_pages_harvested), 1);
}

static void slots_that_are_not_logged_need_no_ring(void **state UNUSED)
{
	slot_again(1, HOLE, 20, 200, 0);
	for (uint64_t page = 0; page < 200; page++)
		assert_ram(HOLE + PAGES(page), ACCESS_WRITE, HOLE + PAGES(page), 20 + page);
	assert_int_equal(atomic32_load_relaxed(&vcpu->ring.pushed), 0);
}

/* A guest whose tables are marked needs room for those entries as well. */
static void a_full_ring_stops_marks_in_the_guests_tables(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	atomic32_store_relaxed(&vcpu->ring.pushed, RING - DIRTY_RING_RESERVED - 2);
	assert_int_equal(mmu_translate(vcpu, gva_of(GVA), ACCESS_READ, &result), MMU_RING_FULL);
	assert_int_equal(atomic32_load_relaxed(&vcpu->ring.pushed), RING - DIRTY_RING_RESERVED);
	assert_int_equal(*guest_entry(GVA, 1), PAGES(5) | ALL);
}

#define translate_test(f) cmocka_unit_test_setup_teardown(f, guest_setup, guest_teardown)
#define ring_test(f) cmocka_unit_test_setup_teardown(f, setup_ring, guest_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		translate_test(what_is_written_is_harvested_once_for_each_time),
		translate_test(what_is_read_or_executed_is_not_harvested),
		translate_test(pages_written_before_the_log_began_are_caught),
		translate_test(marking_the_guests_tables_dirties_them),
		translate_test(writing_by_frame_is_harvested_too),
		translate_test(a_log_that_begins_full_is_cleared_page_by_page),
		translate_test(a_logged_slot_has_no_large_page_that_can_be_written),
		translate_test(large_pages_come_back),
		translate_test(a_host_that_is_ahead_of_us_opens_nothing_unasked),
		translate_test(a_copy_kept_by_harvests_equals_the_memory),
		ring_test(a_written_page_is_pushed_once_until_it_is_reset),
		ring_test(an_entry_names_slot_and_page),
		translate_test(a_slot_logged_before_the_rings_is_logged_to_them),
		ring_test(a_full_ring_stops_writes_and_nothing_else),
		ring_test(a_full_ring_stops_the_fast_way_too),
		ring_test(a_reset_of_entries_flushes_and_one_of_none_does_not),
		ring_test(slots_that_are_not_logged_need_no_ring),
		ring_test(a_full_ring_stops_marks_in_the_guests_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
