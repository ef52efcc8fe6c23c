/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/mmu/test_translate.c - the TLB and the way to it: guest tables, our
 * tables, slots, host memory, all together.
 */
#include "guest_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/guarded.h"
#include "mmu/mmio.h"
#include "mmu/tdp/internal.h"

/* --- hits ------------------------------------------------------------ */

static void nothing_hits_before_it_was_translated(void **state UNUSED)
{
	assert_null(tlb_read(vcpu, gva_of(0), 1));
	assert_null(tlb_write(vcpu, gva_of(0), 1));
	assert_null(tlb_exec(vcpu, gva_of(0)));
	assert_null(tlb_read(vcpu, gva_of(PAGES(5)), 8));
}

static void what_was_translated_hits(void **state UNUSED)
{
	assert_ram(PAGES(5) + 0x123, ACCESS_WRITE, PAGES(5) + 0x123, 5);
	assert_ptr_equal(tlb_write(vcpu, gva_of(PAGES(5) + 8), 8), vm->memory + PAGES(5) + 8);
	assert_ptr_equal(tlb_read(vcpu, gva_of(PAGES(5) + 4095), 1), vm->memory + PAGES(5) + 4095);
	assert_null(tlb_exec(vcpu, gva_of(PAGES(5))));
	assert_ram(PAGES(6) + 7, ACCESS_EXEC, PAGES(6) + 7, 6);
	assert_ptr_equal(tlb_exec(vcpu, gva_of(PAGES(6))), vm->memory + PAGES(6));
	assert_null(tlb_write(vcpu, gva_of(PAGES(6)), 1));
	assert_int_equal(vcpu_stat(vcpu, VCPU_STAT_tlb_fills), 2);
}

static void an_access_that_leaves_its_page_never_hits(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_ram(PAGES(6), ACCESS_WRITE, PAGES(6), 6);
	assert_non_null(tlb_read(vcpu, gva_of(PAGES(6) - 8), 8));
	for (unsigned int i = 1; i < 8; i++) {
		assert_null(tlb_read(vcpu, gva_of(PAGES(6) - i), 8));
		assert_null(tlb_write(vcpu, gva_of(PAGES(6) - i), 8));
	}
	assert_null(tlb_read(vcpu, gva_of(PAGES(6) - 1), 2));
	assert_non_null(tlb_read(vcpu, gva_of(PAGES(6) - 1), 1));
}

static void pages_that_share_an_entry_are_told_apart(void **state UNUSED)
{
	const uint64_t other = GVA + PAGES(TLB_ENTRIES);

	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	guest_map(other, PAGES(6), ALL);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_read(vcpu, gva_of(other), 1));
	assert_ram(other, ACCESS_READ, PAGES(6), 6);
	assert_null(tlb_read(vcpu, gva_of(GVA), 1));
	assert_ptr_equal(tlb_read(vcpu, gva_of(other), 1), vm->memory + PAGES(6));
}

/* The last page of the address space, from which nothing must wrap. */
static void the_highest_page_hits_like_any_other(void **state UNUSED)
{
	const uint64_t top = ~0ull << PAGE_SHIFT;

	paging_on();
	guest_map(top, PAGES(5), ALL);
	assert_ram(top + 8, ACCESS_READ, PAGES(5) + 8, 5);
	assert_ptr_equal(tlb_read(vcpu, gva_of(top + 4088), 8), vm->memory + PAGES(5) + 4088);
	assert_null(tlb_read(vcpu, gva_of(top + 4089), 8));
}

/* --- dirty bits and write hits --------------------------------------- */

static void no_write_hits_before_the_guests_entry_is_dirty(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	/* Ours is writable already: it is the guest's that counts. */
	assert_int_equal(translate_gpa(vcpu, PAGES(5), ACCESS_WRITE, &result), MMU_OK);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_int_equal(*guest_entry(GVA, 1), PAGES(5) | ALL | GPTE_A);
	assert_non_null(tlb_read(vcpu, gva_of(GVA), 1));
	assert_null(tlb_write(vcpu, gva_of(GVA), 1));
	assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(*guest_entry(GVA, 1), PAGES(5) | ALL | GPTE_A | GPTE_D);
	assert_non_null(tlb_write(vcpu, gva_of(GVA), 1));
	assert_non_null(tlb_read(vcpu, gva_of(GVA), 1));
	/* Dirty now: a read lets writes follow. */
	tlb_flush_all(vcpu);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_non_null(tlb_write(vcpu, gva_of(GVA), 1));
}

static void no_write_hits_before_our_entry_is_writable(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL | GPTE_A | GPTE_D);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_write(vcpu, gva_of(GVA), 1));
	assert_false(spte_is_writable(tdp_lookup(&vm->mmu, gfn_of(5)).spte));
}

static void a_page_that_the_guest_may_not_write_has_no_write_hits(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), GPTE_P | GPTE_A | GPTE_D);
	assert_int_equal(translate_gpa(vcpu, PAGES(5), ACCESS_WRITE, &result), MMU_OK);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_write(vcpu, gva_of(GVA), 1));
	assert_guest_fault(GVA, ACCESS_WRITE, PFERR_PRESENT | PFERR_WRITE);
	/* Nor a user's. */
	set_privilege(3, false);
	assert_null(tlb_read(vcpu, gva_of(GVA), 1));
	assert_guest_fault(GVA, ACCESS_READ, PFERR_PRESENT | PFERR_USER);
}

/* --- forgetting ------------------------------------------------------ */

static void invlpg_forgets_its_page_and_no_other(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	guest_map(GVA + PAGE_SIZE, PAGES(6), ALL);
	assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
	assert_ram(GVA + PAGE_SIZE, ACCESS_WRITE, PAGES(6), 6);
	guest_map(GVA, PAGES(7), ALL);
	/* Allowed to be stale, and is. */
	assert_ptr_equal(tlb_read(vcpu, gva_of(GVA), 1), vm->memory + PAGES(5));
	tlb_flush_page(vcpu, gva_of(GVA + 123));
	assert_null(tlb_read(vcpu, gva_of(GVA), 1));
	assert_null(tlb_write(vcpu, gva_of(GVA), 1));
	assert_non_null(tlb_write(vcpu, gva_of(GVA + PAGE_SIZE), 1));
	assert_ram(GVA, ACCESS_READ, PAGES(7), 7);
}

/* An entry is 4 KiB, the page was 2 MiB: all its parts have to go. */
static void invlpg_of_a_large_page_forgets_all_of_it(void **state UNUSED)
{
	paging_on();
	*guest_entry(0x40000000, 2) = ALL | GPTE_PS;
	assert_ram(0x40000000 + PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_ram(0x40000000 + PAGES(6), ACCESS_READ, PAGES(6), 6);
	tlb_flush_page(vcpu, gva_of(0x40000000));
	assert_null(tlb_read(vcpu, gva_of(0x40000000 + PAGES(5)), 1));
	assert_null(tlb_read(vcpu, gva_of(0x40000000 + PAGES(6)), 1));
	/* And then it is cheap again. */
	guest_map(GVA, PAGES(5), ALL);
	guest_map(GVA + PAGE_SIZE, PAGES(6), ALL);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_ram(GVA + PAGE_SIZE, ACCESS_READ, PAGES(6), 6);
	tlb_flush_page(vcpu, gva_of(GVA));
	assert_non_null(tlb_read(vcpu, gva_of(GVA + PAGE_SIZE), 1));
}

static enum spte_kind look_at_hole(void)
{
	return spte_kind(tdp_lookup(&vm->mmu, gfn_of(HOLE >> PAGE_SHIFT)).spte);
}

static void invlpg_forgets_mmio_too(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, HOLE, ALL);
	assert_mmio(GVA, ACCESS_READ, HOLE);
	assert_mmio(GVA, ACCESS_READ, HOLE);
	guest_map(GVA, PAGES(5), ALL);
	tlb_flush_page(vcpu, gva_of(GVA));
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
}

static void a_change_of_paging_forgets_everything(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	paging_on();
	assert_null(tlb_read(vcpu, gva_of(PAGES(5)), 1));
	assert_guest_fault(PAGES(5), ACCESS_READ, 0);
}

/* The numbers of flushes repeat: what is left of the old ones must not hit. */
static void nothing_hits_again_when_the_flush_numbers_wrap(void **state UNUSED)
{
	uint64_t number;

	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	guest_map(GVA + PAGE_SIZE, HOLE, ALL);
	for (int i = 0; i < 2; i++) {
		assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
		assert_mmio(GVA + PAGE_SIZE, ACCESS_READ, HOLE);
	}
	assert_true(mmio_cache_find(vcpu, gva_of(GVA + PAGE_SIZE), ACCESS_READ, &result.gpa));
	number = tlb_flush_number(vcpu);
	for (uint64_t i = 0; i < 2 * TLB_FLUSH_MAX; i++) {
		tlb_flush_all(vcpu);
		assert_in_range(tlb_flush_number(vcpu), 1, TLB_FLUSH_MAX);
		assert_null(tlb_read(vcpu, gva_of(GVA), 1));
		assert_null(tlb_write(vcpu, gva_of(GVA), 1));
		assert_false(
			mmio_cache_find(vcpu, gva_of(GVA + PAGE_SIZE), ACCESS_READ, &result.gpa));
	}
	assert_int_equal(tlb_flush_number(vcpu), number);
}

/* The guest's own tables are cached by frame, under the same numbers. */
static void frames_do_not_hit_again_when_the_flush_numbers_wrap(void **state UNUSED)
{
	uint64_t number = tlb_flush_number(vcpu);

	assert_int_equal(translate_gpa(vcpu, PAGES(5), ACCESS_WRITE, &result), MMU_OK);
	assert_ptr_equal(result.host, vm->memory + PAGES(5));
	/* Another page in its place, of which the cache hears by flushes only. */
	delete_slot(0);
	slot_again(0, 0, 1, N_PAGES - 1, 0);
	assert_int_not_equal(tlb_flush_number(vcpu), number);
	while (tlb_flush_number(vcpu) != number)
		tlb_flush_all(vcpu);
	assert_int_equal(translate_gpa(vcpu, PAGES(5), ACCESS_READ, &result), MMU_OK);
	assert_ptr_equal(result.host, vm->memory + PAGES(6));
	assert_int_equal(translate_gpa(vcpu, PAGES(5), ACCESS_WRITE, &result), MMU_OK);
	assert_ptr_equal(result.host, vm->memory + PAGES(6));
}

/* Only walks for the host need to know; there are none yet. */
static void our_entries_remember_how_they_were_used(void **state UNUSED)
{
	const uint64_t used = SPTE_A | SPTE_D;

	assert_int_equal(tdp_fault(&vm->vcpu[1], gpa_of(PAGES(5)), ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(tdp_lookup(&vm->mmu, gfn_of(5)).spte.raw & used, 0);
	assert_ram(PAGES(5), ACCESS_EXEC, PAGES(5), 5);
	assert_int_equal(tdp_lookup(&vm->mmu, gfn_of(5)).spte.raw & used, SPTE_A);
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(tdp_lookup(&vm->mmu, gfn_of(5)).spte.raw & used, used);
}

/* --- privilege ------------------------------------------------------- */

static void a_hit_is_for_the_privilege_that_it_was_made_for(void **state UNUSED)
{
	paging_on();
	vcpu->paging.cr4 |= X86_CR4_SMAP;
	mmu_paging_changed(vcpu);
	guest_map(GVA, PAGES(5), ALL);
	guest_map(GVA + PAGE_SIZE, PAGES(6), GPTE_P | GPTE_W);

	set_privilege(3, false);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_guest_fault(GVA + PAGE_SIZE, ACCESS_READ, PFERR_PRESENT | PFERR_USER);
	set_privilege(0, false);
	assert_null(tlb_read(vcpu, gva_of(GVA), 1));
	assert_guest_fault(GVA, ACCESS_READ, PFERR_PRESENT);
	assert_ram(GVA + PAGE_SIZE, ACCESS_READ, PAGES(6), 6);
	set_privilege(0, true);
	assert_null(tlb_read(vcpu, gva_of(GVA), 1));
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	set_privilege(0, false);
	assert_null(tlb_read(vcpu, gva_of(GVA), 1));
	assert_non_null(tlb_read(vcpu, gva_of(GVA + PAGE_SIZE), 1));
	set_privilege(3, true);
	assert_null(tlb_read(vcpu, gva_of(GVA + PAGE_SIZE), 1));
}

/* A system call and back must not cost the program its entries. */
static void changing_the_privilege_forgets_nothing(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	set_privilege(3, false);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	set_privilege(0, false);
	set_privilege(3, false);
	assert_non_null(tlb_read(vcpu, gva_of(GVA), 1));
	/* Nor does the kernel's reading what it executes. */
	assert_ram(GVA, ACCESS_EXEC, PAGES(5), 5);
	set_privilege(0, false);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_exec(vcpu, gva_of(GVA)));
	set_privilege(3, false);
	assert_non_null(tlb_exec(vcpu, gva_of(GVA)));
	assert_null(tlb_read(vcpu, gva_of(GVA), 1));
}

/* --- code ------------------------------------------------------------ */

static void a_write_to_code_is_noticed_and_ends_its_being_code(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_EXEC, PAGES(5), 5);
	assert_false(result.was_code);
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_true(result.was_code);
	assert_null(tlb_exec(vcpu, gva_of(PAGES(5))));
	assert_non_null(tlb_write(vcpu, gva_of(PAGES(5)), 1));
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_false(result.was_code);
}

static void a_page_that_is_executed_loses_its_write_hits(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_ram(PAGES(5), ACCESS_EXEC, PAGES(5), 5);
	assert_false(result.was_code);
	assert_null(tlb_write(vcpu, gva_of(PAGES(5)), 1));
	assert_non_null(tlb_read(vcpu, gva_of(PAGES(5)), 1));
	assert_non_null(tlb_exec(vcpu, gva_of(PAGES(5))));
}

/* A jump table beside the code is read, then patched: in one block, perhaps. */
static void a_write_to_code_is_noticed_after_it_was_read(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_ram(PAGES(5), ACCESS_EXEC, PAGES(5), 5);
	tlb_flush_all(vcpu);
	assert_ram(PAGES(5), ACCESS_EXEC, PAGES(5), 5);
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_false(result.was_code);
	assert_non_null(tlb_exec(vcpu, gva_of(PAGES(5))));
	assert_null(tlb_write(vcpu, gva_of(PAGES(5)), 1));
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_true(result.was_code);
}

/* The kernel patches itself, or a program, having set EFLAGS.AC. */
static void a_write_to_code_is_noticed_from_another_privilege(void **state UNUSED)
{
	paging_on();
	vcpu->paging.cr4 |= X86_CR4_SMAP;
	mmu_paging_changed(vcpu);
	guest_map(GVA, PAGES(5), GPTE_P | GPTE_W);
	for (int read_before = 0; read_before < 2; read_before++) {
		set_privilege(0, false);
		assert_ram(GVA, ACCESS_EXEC, PAGES(5), 5);
		set_privilege(0, true);
		if (read_before)
			assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
		assert_null(tlb_write(vcpu, gva_of(GVA), 1));
		assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
		assert_true(result.was_code);
		set_privilege(0, false);
		assert_null(tlb_exec(vcpu, gva_of(GVA)));
	}
}

/* --- MMIO ------------------------------------------------------------ */

static void what_no_slot_has_is_mmio_and_remembered(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, HOLE, ALL);
	assert_mmio(GVA + 0x123, ACCESS_READ, HOLE + 0x123);
	assert_int_equal(vcpu_stat(vcpu, VCPU_STAT_pf_mmio), 1);
	/* Twice: by our table, then by the vCPU's own cache. */
	for (int i = 0; i < 2; i++)
		assert_mmio(GVA + 0x456, ACCESS_READ, HOLE + 0x456);
	assert_int_equal(vcpu_stat(vcpu, VCPU_STAT_pf_mmio), 1);
	guest_map(GVA, PAGES(5), ALL);
	/* As stale as a TLB may be: it is a cache. */
	assert_mmio(GVA, ACCESS_READ, HOLE);
}

static void mmio_is_remembered_for_the_access_that_it_was_asked_for(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, HOLE, GPTE_P | GPTE_U);
	for (int i = 0; i < 3; i++)
		assert_mmio(GVA, ACCESS_READ, HOLE);
	assert_guest_fault(GVA, ACCESS_WRITE, PFERR_PRESENT | PFERR_WRITE);
	*guest_entry(GVA, 1) = HOLE | GPTE_P;
	set_privilege(3, false);
	assert_guest_fault(GVA, ACCESS_READ, PFERR_PRESENT | PFERR_USER);
}

static void code_in_mmio_is_mmio(void **state UNUSED)
{
	for (int i = 0; i < 3; i++)
		assert_mmio(HOLE, ACCESS_EXEC, HOLE);
}

/* Every one of these answers was right under another set of slots. */
static void mmio_is_forgotten_when_a_slot_appears(void **state UNUSED)
{
	for (int i = 0; i < 3; i++)
		assert_mmio(HOLE, ACCESS_WRITE, HOLE);
	slot_again(1, HOLE, 20, 4, 0);
	assert_ram(HOLE, ACCESS_WRITE, HOLE, 20);
	delete_slot(1);
	assert_null(tlb_write(vcpu, gva_of(HOLE), 1));
	assert_null(tlb_read(vcpu, gva_of(HOLE), 1));
	assert_mmio(HOLE, ACCESS_WRITE, HOLE);
	assert_int_equal(translate_gpa(vcpu, HOLE, ACCESS_WRITE, &result), MMU_MMIO);
}

static void a_slot_that_moves_leaves_mmio_behind(void **state UNUSED)
{
	slot_again(1, HOLE, 20, 4, 0);
	assert_ram(HOLE + PAGES(1), ACCESS_WRITE, HOLE + PAGES(1), 21);
	assert_mmio(HOLE + PAGES(5), ACCESS_READ, HOLE + PAGES(5));
	slot_again(1, HOLE + PAGES(2), 20, 4, 0);
	assert_mmio(HOLE + PAGES(1), ACCESS_WRITE, HOLE + PAGES(1));
	assert_ram(HOLE + PAGES(5), ACCESS_READ, HOLE + PAGES(5), 23);
}

struct look {
	uint64_t gpa;
	enum mmu_verdict verdict;
};

static void *translate_in_a_thread(void *arg)
{
	struct look *look = arg;

	guest_enter(vcpu);
	look->verdict = mmu_translate(vcpu, gva_of(look->gpa), ACCESS_READ, &result);
	guest_leave(vcpu);
	return NULL;
}

/* As a vCPU does, while the thread that calls this is in an update. */
static void look_from_a_vcpu(void *ctx)
{
	pthread_t t;

	thread_start(&t, translate_in_a_thread, ctx);
	thread_end(t);
}

/* GEN_FROM_SAME_SNAPSHOT: while the number is marked nothing is kept. */
static void an_answer_from_the_middle_of_an_update_is_not_kept(void **state UNUSED)
{
	struct look look = { .gpa = HOLE };

	hook_once(HOOK_SYNCHRONIZE, look_from_a_vcpu, &look);
	slot_again(1, HOLE + PAGES(64), 20, 4, 0);
	assert_int_equal(look.verdict, MMU_MMIO);
	assert_int_equal(vcpu_stat(vcpu, VCPU_STAT_pf_mmio), 0);
	assert_int_equal(look_at_hole(), SPTE_NONE);
}

/* Nor is what was known before believed: the new set may be out already. */
static void what_is_known_is_not_believed_during_an_update(void **state UNUSED)
{
	struct look look = { .gpa = HOLE };

	for (int i = 0; i < 3; i++)
		assert_mmio(HOLE, ACCESS_READ, HOLE);
	hook_once(HOOK_SYNCHRONIZE, look_from_a_vcpu, &look);
	slot_again(1, HOLE, 20, 4, 0);
	assert_int_equal(look.verdict, MMU_OK);
}

static void change_the_slots(void *ctx UNUSED)
{
	vm_slot(vm, 2, HOLE + PAGES(128), 30, 1, 0);
}

/* It would be believed again when the truncated generation comes round. */
static void an_answer_that_is_out_of_date_is_not_noted(void **state UNUSED)
{
	hook_once(HOOK_RDLOCK, change_the_slots, NULL);
	assert_mmio(HOLE, ACCESS_READ, HOLE);
	assert_int_equal(slot_at(&vm->slots, HOLE + PAGES(128)), 2);
	assert_int_not_equal(look_at_hole(), SPTE_MMIO);
}

/* GEN_WRAP_ZAPS */
static void no_old_mmio_is_believed_when_the_generation_wraps(void **state UNUSED)
{
	atomic64_store_relaxed(&vm->slots.generation, MMIO_GENERATION_MASK + 1);
	assert_mmio(HOLE, ACCESS_READ, HOLE);
	assert_int_equal(look_at_hole(), SPTE_MMIO);
	/* Half a million updates later, with no lookup in between. */
	atomic64_store_relaxed(&vm->slots.generation, 2 * MMIO_GENERATION_MASK + 1);
	slot_again(1, HOLE, 20, 4, 0);
	assert_int_equal(atomic64_load_relaxed(&vm->slots.generation) & MMIO_GENERATION_MASK, 0);
	assert_int_equal(vm_stat(vm, VM_STAT_mmio_generation_wraps), 1);
	assert_ram(HOLE, ACCESS_READ, HOLE, 20);
}

/* --- read-only slots ------------------------------------------------- */

static void a_read_only_slot_is_read_as_memory_and_written_as_mmio(void **state UNUSED)
{
	slot_again(1, HOLE, 20, 4, KVM_MEM_READONLY);
	assert_mmio(HOLE + 8, ACCESS_WRITE, HOLE + 8);
	assert_ram(HOLE, ACCESS_READ, HOLE, 20);
	assert_null(tlb_write(vcpu, gva_of(HOLE), 1));
	assert_ram(HOLE, ACCESS_EXEC, HOLE, 20);
	/* The write was not remembered as "no memory here". */
	for (int i = 0; i < 3; i++) {
		assert_mmio(HOLE + 8, ACCESS_WRITE, HOLE + 8);
		assert_ram(HOLE, ACCESS_READ, HOLE, 20);
	}
	assert_int_equal(translate_gpa(vcpu, HOLE, ACCESS_WRITE, &result), MMU_MMIO);
	assert_int_equal(translate_gpa(vcpu, HOLE, ACCESS_READ, &result), MMU_OK);
}

static void tables_in_a_read_only_slot_are_walked_but_not_marked(void **state UNUSED)
{
	uint64_t *leaf;

	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	leaf = guest_entry(GVA, 1);
	/* Only the leaf's table, which was made last. */
	delete_slot(0);
	slot_again(0, 0, 0, (next_table >> PAGE_SHIFT) - 1, 0);
	slot_again(1, next_table - PAGE_SIZE, (next_table >> PAGE_SHIFT) - 1, 1, KVM_MEM_READONLY);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_int_equal(*leaf, PAGES(5) | ALL);
	assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(*leaf, PAGES(5) | ALL);
	/* Those above are in memory like any other. */
	for (int level = 2; level <= 4; level++)
		assert_true(*guest_entry(GVA, level) & GPTE_A);
	/* Not dirty: a read does not let writes follow. */
	tlb_flush_all(vcpu);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_write(vcpu, gva_of(GVA), 1));
}

/* A root in ROM is no reason to forget what the guest writes to. */
static void a_table_in_memory_below_one_in_rom_is_marked(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	delete_slot(0);
	slot_again(0, 0, 0, 128, 0);
	slot_again(1, TABLES, 128, 1, KVM_MEM_READONLY);
	slot_again(2, TABLES + PAGE_SIZE, 129, N_PAGES - 129, 0);
	assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(*guest_entry(GVA, 1), PAGES(5) | ALL | GPTE_A | GPTE_D);
	assert_int_equal(*guest_entry(GVA, 4) & GPTE_A, 0);
}

/* --- odd tables ------------------------------------------------------ */

static void tables_where_no_memory_is_are_bad(void **state UNUSED)
{
	paging_on();
	vcpu->paging.cr3 = HOLE;
	mmu_paging_changed(vcpu);
	for (int i = 0; i < 2; i++)
		assert_int_equal(mmu_translate(vcpu, gva_of(GVA), ACCESS_READ, &result),
				 MMU_BAD_TABLES);
	paging_on();
	*guest_entry(GVA, 3) = HOLE | ALL;
	assert_int_equal(mmu_translate(vcpu, gva_of(GVA), ACCESS_WRITE, &result), MMU_BAD_TABLES);
	*guest_entry(GVA, 3) = PAGES(1ull << 35) | ALL;
	assert_int_equal(mmu_translate(vcpu, gva_of(GVA), ACCESS_EXEC, &result), MMU_BAD_TABLES);
	/* A slot comes and makes them good. */
	*guest_entry(GVA, 3) = HOLE | ALL;
	slot_again(1, HOLE, 20, 4, 0);
	memset(vm->memory + PAGES(20), 0, PAGE_SIZE);
	assert_guest_fault(GVA, ACCESS_READ, 0);
}

static void tables_that_point_at_themselves_translate(void **state UNUSED)
{
	uint64_t gva = 0;

	paging_on();
	*entry_at(TABLES, 0, 4) = TABLES | ALL;
	assert_ram(gva + 8, ACCESS_WRITE, TABLES + 8, 128);
	assert_int_equal(*entry_at(TABLES, 0, 4), TABLES | ALL | GPTE_A | GPTE_D);
}

static void reserved_bits_are_the_guests_fault(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL | 1ull << 48);
	set_privilege(3, false);
	assert_guest_fault(GVA, ACCESS_WRITE,
			   PFERR_PRESENT | PFERR_WRITE | PFERR_USER | PFERR_RSVD);
	guest_map(GVA, PAGES(5), ALL);
	assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
}

/* --- the host's side ------------------------------------------------- */

static uint8_t *page_of(uint64_t page)
{
	return vm->memory + PAGES(page);
}

static void map_instead(uint64_t page, int prot)
{
	assert_ptr_equal(mmap(page_of(page), PAGE_SIZE, prot,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), page_of(page));
}

/* Nothing is there any more, but no allocation can be placed there either. */
static void take_away(uint64_t page)
{
	map_instead(page, PROT_NONE);
}

static void map_again(uint64_t page)
{
	map_instead(page, PROT_READ | PROT_WRITE);
}

/* By a system call that we do not see. */
static void memory_that_vanished_is_a_host_fault(void **state UNUSED)
{
	uint64_t value;

	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	take_away(5);
	/* The TLB cannot know; the access finds out. */
	assert_non_null(tlb_read(vcpu, gva_of(PAGES(5)), 8));
	assert_false(guarded_load64(result.host, &value));
	mmu_access_faulted(vcpu, result.host);
	assert_true(guest_mode(vcpu));
	assert_null(tlb_read(vcpu, gva_of(PAGES(5)), 8));
	assert_int_equal(mmu_translate(vcpu, gva_of(PAGES(5)), ACCESS_READ, &result),
			 MMU_HOST_FAULT);
	assert_int_equal(mmu_translate(vcpu, gva_of(PAGES(5)), ACCESS_WRITE, &result),
			 MMU_HOST_FAULT);
	assert_int_equal(translate_gpa(vcpu, PAGES(5), ACCESS_READ, &result), MMU_HOST_FAULT);
	assert_ram(PAGES(6), ACCESS_WRITE, PAGES(6), 6);
	map_again(5);
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_true(guarded_load64(result.host, &value));
}

static void memory_that_the_host_only_reads_is_not_written(void **state UNUSED)
{
	mprotect(page_of(5), PAGE_SIZE, PROT_READ);
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_write(vcpu, gva_of(PAGES(5)), 1));
	assert_int_equal(mmu_translate(vcpu, gva_of(PAGES(5)), ACCESS_WRITE, &result),
			 MMU_HOST_FAULT);
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	mprotect(page_of(5), PAGE_SIZE, PROT_READ | PROT_WRITE);
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
}

static void tables_that_vanished_are_a_host_fault(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	tlb_flush_page(vcpu, gva_of(GVA));
	take_away(131);
	assert_int_equal(mmu_translate(vcpu, gva_of(GVA), ACCESS_READ, &result), MMU_HOST_FAULT);
	assert_false(spte_is_leaf(tdp_lookup(&vm->mmu, gfn_of(131)).spte));
	map_again(131);
	assert_guest_fault(GVA, ACCESS_READ, 0);
	guest_map(GVA, PAGES(5), ALL);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	/* Read, but not to be marked. */
	guest_map(GVA, PAGES(5), ALL);
	tlb_flush_page(vcpu, gva_of(GVA));
	mprotect(page_of(131), PAGE_SIZE, PROT_READ);
	assert_int_equal(mmu_translate(vcpu, gva_of(GVA), ACCESS_READ, &result), MMU_HOST_FAULT);
	mprotect(page_of(131), PAGE_SIZE, PROT_READ | PROT_WRITE);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
}

static void whoever_faults_was_outside_meanwhile(void **state UNUSED)
{
	uint32_t entries = vcpu->guest_entries;

	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_int_not_equal(vcpu->guest_entries, entries);
	assert_true(guest_mode(vcpu));
	entries = vcpu->guest_entries;
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_int_equal(vcpu->guest_entries, entries);
}

static void what_another_vcpu_has_mapped_is_spurious(void **state UNUSED)
{
	struct mmu_vcpu *other = &vm->vcpu[1];

	assert_int_equal(tdp_fault(other, gpa_of(PAGES(5)), ACCESS_WRITE), FAULT_FIXED);
	assert_int_equal(tdp_fault(other, gpa_of(PAGES(5)), ACCESS_WRITE), FAULT_SPURIOUS);
	assert_int_equal(vcpu_stat(other, VCPU_STAT_pf_spurious), 1);
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(vcpu_stat(vcpu, VCPU_STAT_pf_taken), 0);
}

/* Neither memory nor MMIO: its time is not over yet. */
static void a_slot_about_to_go_is_waited_for(void **state UNUSED)
{
	struct look look = { .gpa = HOLE };

	slot_again(1, HOLE, 20, 4, 0);
	/* When readers are waited for the first time, the invalid slot is out. */
	hook_once(HOOK_SYNCHRONIZE, look_from_a_vcpu, &look);
	delete_slot(1);
	assert_int_equal(look.verdict, MMU_RETRY);
	assert_mmio(HOLE, ACCESS_READ, HOLE);
}

/* --- by frame -------------------------------------------------------- */

static void a_frame_is_translated_past_the_guests_tables(void **state UNUSED)
{
	paging_on();
	result.was_code = true;
	assert_int_equal(translate_gpa(vcpu, PAGES(5) + 9, ACCESS_READ, &result), MMU_OK);
	assert_ptr_equal(result.host, page_of(5) + 9);
	assert_int_equal(result.gpa.raw, PAGES(5) + 9);
	assert_false(result.was_code);
	assert_int_equal(translate_gpa(vcpu, HOLE + 9, ACCESS_READ, &result), MMU_MMIO);
	assert_int_equal(result.gpa.raw, HOLE + 9);
}

/* Our tables know 57 bits: the others must not be left away. */
static void an_address_beyond_all_tables_is_not_taken_for_another(void **state UNUSED)
{
	assert_int_equal(translate_gpa(vcpu, PAGES(5), ACCESS_WRITE, &result), MMU_OK);
	for (int bit = 48; bit < 64; bit++) {
		uint64_t gpa = 1ull << bit | PAGES(5);

		assert_int_equal(translate_gpa(vcpu, gpa, ACCESS_READ, &result), MMU_MMIO);
		assert_int_equal(translate_gpa(vcpu, gpa, ACCESS_WRITE, &result), MMU_MMIO);
	}
}

/* --- out of memory --------------------------------------------------- */

static void a_translation_without_memory_works_later(void **state UNUSED)
{
	enum mmu_verdict verdict;
	uint64_t n = 0;

	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	do {
		atomic64_store_relaxed(&vm->alloc.fail_in, ++n);
		verdict = mmu_translate(vcpu, gva_of(GVA), ACCESS_WRITE, &result);
		assert_true(guest_mode(vcpu));
	} while (verdict == MMU_NO_MEMORY);
	atomic64_store_relaxed(&vm->alloc.fail_in, 0);
	assert_int_equal(verdict, MMU_OK);
	assert_true(n > 1);
	assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
}

/* That there is no memory for a guest to see needs none to be remembered. */
static void mmio_without_memory_is_still_mmio(void **state UNUSED)
{
	for (uint64_t n = 1; n < 6; n++) {
		atomic64_store_relaxed(&vm->alloc.fail_in, n);
		assert_mmio(HOLE, ACCESS_READ, HOLE);
	}
	atomic64_store_relaxed(&vm->alloc.fail_in, 0);
}

static void an_mmu_without_memory_is_not_made(void **state UNUSED)
{
	struct mmu *m = aligned_alloc(CACHE_LINE, ALIGN_UP(sizeof(*m), (size_t)CACHE_LINE));
	uint64_t bytes = atomic64_load_relaxed(&vm->alloc.bytes);
	int err;

	for (uint64_t n = 1;; n++) {
		memset(m, 0, sizeof(*m));
		atomic64_store_relaxed(&vm->alloc.fail_in, n);
		err = mmu_init(m, &vm->alloc, &vm->slots, vm->mmu.host);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(atomic64_load_relaxed(&vm->alloc.bytes), bytes);
	}
	atomic64_store_relaxed(&vm->alloc.fail_in, 0);
	mmu_destroy(m);
	slots_set_ops(&vm->slots, NULL, NULL);
	assert_int_equal(atomic64_load_relaxed(&vm->alloc.bytes), bytes);
	free(m);
}

/* --- levels ---------------------------------------------------------- */

#define G1 (1ull << 18)
#define M2 (1ull << 9)

static int level_of(struct test_vm *big, uint64_t gfn)
{
	int level;

	assert_int_equal(tdp_fault(&big->vcpu[0], gpa_of(PAGES(gfn)), ACCESS_WRITE), FAULT_FIXED);
	rcu_read_begin();
	level = tdp_lookup(&big->mmu, gfn_of(gfn)).level;
	rcu_read_end();
	return level;
}

static void a_page_is_as_large_as_host_slot_and_addresses_allow(void **state UNUSED)
{
	struct test_vm *big = vm_make_sim(1, 3 * G1);

	big->sim.level = LEVEL_1G;
	/* All of it agrees; the end lies within a large page. */
	vm_slot(big, 0, PAGES(4 * G1), 0, 2 * G1 + 3 * M2 + 5, 0);
	assert_int_equal(level_of(big, 4 * G1 + 12345), LEVEL_1G);
	assert_int_equal(level_of(big, 6 * G1 - 1), LEVEL_1G);
	assert_int_equal(level_of(big, 6 * G1), LEVEL_2M);
	assert_int_equal(level_of(big, 6 * G1 + 3 * M2 - 1), LEVEL_2M);
	assert_int_equal(level_of(big, 6 * G1 + 3 * M2), LEVEL_4K);
	/* One page is missing at the end. */
	vm_slot(big, 1, PAGES(16 * G1), 0, 2 * M2 - 1, 0);
	assert_int_equal(level_of(big, 16 * G1), LEVEL_2M);
	assert_int_equal(level_of(big, 16 * G1 + M2), LEVEL_4K);
	vm_free(big);
}

static void addresses_that_disagree_make_small_pages(void **state UNUSED)
{
	struct test_vm *big = vm_make_sim(1, 3 * G1);

	big->sim.level = LEVEL_1G;
	/* By 2 MiB: then a page of 2 MiB is the largest.  By one: none. */
	vm_slot(big, 0, PAGES(4 * G1), M2, 2 * G1, 0);
	vm_slot(big, 1, PAGES(8 * G1), 1, 2 * G1, 0);
	assert_int_equal(level_of(big, 4 * G1 + 5), LEVEL_2M);
	assert_int_equal(level_of(big, 8 * G1 + M2 + 5), LEVEL_4K);
	/* The slot begins within a large page. */
	vm_slot(big, 2, PAGES(12 * G1 + M2 + 7), M2 + 7, 2 * G1, 0);
	assert_int_equal(level_of(big, 12 * G1 + M2 + 7), LEVEL_4K);
	assert_int_equal(level_of(big, 12 * G1 + 2 * M2), LEVEL_2M);
	assert_int_equal(level_of(big, 13 * G1), LEVEL_1G);
	vm_free(big);
}

static void the_host_is_not_asked_for_more_than_can_be_mapped(void **state UNUSED)
{
	struct test_vm *big = vm_make_sim(1, 3 * G1);

	big->sim.level = LEVEL_2M;
	vm_slot(big, 0, PAGES(4 * G1), 0, 3 * G1, 0);
	assert_int_equal(level_of(big, 4 * G1), LEVEL_2M);
	big->sim.level = LEVEL_1G;
	/* There is a table below 1 GiB already. */
	assert_int_equal(level_of(big, 4 * G1 + M2), LEVEL_2M);
	assert_int_equal(level_of(big, 5 * G1), LEVEL_1G);
	vm_slot(big, 0, PAGES(4 * G1), 0, 3 * G1, KVM_MEM_LOG_DIRTY_PAGES);
	assert_int_equal(level_of(big, 6 * G1), LEVEL_4K);
	vm_free(big);
}

/* Our page is large, the guest's is not: INVLPG stays cheap. */
static void a_large_page_of_ours_is_no_large_page_of_the_guests(void **state UNUSED)
{
	struct test_vm *big = vm_make_sim(1, 1024);
	struct mmu_vcpu *bv = &big->vcpu[0];

	big->sim.level = LEVEL_2M;
	vm_slot(big, 0, 0, 0, 1024, 0);
	guest_enter(bv);
	assert_int_equal(mmu_translate(bv, gva_of(PAGES(600)), ACCESS_WRITE, &result), MMU_OK);
	assert_ptr_equal(result.host, big->memory + PAGES(600));
	assert_int_equal(mmu_translate(bv, gva_of(PAGES(601)), ACCESS_WRITE, &result), MMU_OK);
	tlb_flush_page(bv, gva_of(PAGES(600)));
	assert_null(tlb_read(bv, gva_of(PAGES(600)), 1));
	assert_ptr_equal(tlb_write(bv, gva_of(PAGES(601)), 1), big->memory + PAGES(601));
	guest_leave(bv);
	vm_free(big);
}

#define translate_test(f) cmocka_unit_test_setup_teardown(f, guest_setup, guest_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		translate_test(nothing_hits_before_it_was_translated),
		translate_test(what_was_translated_hits),
		translate_test(an_access_that_leaves_its_page_never_hits),
		translate_test(pages_that_share_an_entry_are_told_apart),
		translate_test(the_highest_page_hits_like_any_other),
		translate_test(no_write_hits_before_the_guests_entry_is_dirty),
		translate_test(no_write_hits_before_our_entry_is_writable),
		translate_test(a_page_that_the_guest_may_not_write_has_no_write_hits),
		translate_test(invlpg_forgets_its_page_and_no_other),
		translate_test(invlpg_of_a_large_page_forgets_all_of_it),
		translate_test(invlpg_forgets_mmio_too),
		translate_test(a_change_of_paging_forgets_everything),
		translate_test(nothing_hits_again_when_the_flush_numbers_wrap),
		translate_test(frames_do_not_hit_again_when_the_flush_numbers_wrap),
		translate_test(our_entries_remember_how_they_were_used),
		translate_test(a_hit_is_for_the_privilege_that_it_was_made_for),
		translate_test(changing_the_privilege_forgets_nothing),
		translate_test(a_write_to_code_is_noticed_and_ends_its_being_code),
		translate_test(a_page_that_is_executed_loses_its_write_hits),
		translate_test(a_write_to_code_is_noticed_after_it_was_read),
		translate_test(a_write_to_code_is_noticed_from_another_privilege),
		translate_test(what_no_slot_has_is_mmio_and_remembered),
		translate_test(mmio_is_remembered_for_the_access_that_it_was_asked_for),
		translate_test(code_in_mmio_is_mmio),
		translate_test(mmio_is_forgotten_when_a_slot_appears),
		translate_test(a_slot_that_moves_leaves_mmio_behind),
		translate_test(an_answer_from_the_middle_of_an_update_is_not_kept),
		translate_test(what_is_known_is_not_believed_during_an_update),
		translate_test(an_answer_that_is_out_of_date_is_not_noted),
		translate_test(no_old_mmio_is_believed_when_the_generation_wraps),
		translate_test(a_read_only_slot_is_read_as_memory_and_written_as_mmio),
		translate_test(tables_in_a_read_only_slot_are_walked_but_not_marked),
		translate_test(a_table_in_memory_below_one_in_rom_is_marked),
		translate_test(tables_where_no_memory_is_are_bad),
		translate_test(tables_that_point_at_themselves_translate),
		translate_test(reserved_bits_are_the_guests_fault),
		translate_test(memory_that_vanished_is_a_host_fault),
		translate_test(memory_that_the_host_only_reads_is_not_written),
		translate_test(tables_that_vanished_are_a_host_fault),
		translate_test(whoever_faults_was_outside_meanwhile),
		translate_test(what_another_vcpu_has_mapped_is_spurious),
		translate_test(a_slot_about_to_go_is_waited_for),
		translate_test(a_frame_is_translated_past_the_guests_tables),
		translate_test(an_address_beyond_all_tables_is_not_taken_for_another),
		translate_test(a_translation_without_memory_works_later),
		translate_test(mmio_without_memory_is_still_mmio),
		translate_test(an_mmu_without_memory_is_not_made),
		translate_test(a_page_is_as_large_as_host_slot_and_addresses_allow),
		translate_test(addresses_that_disagree_make_small_pages),
		translate_test(the_host_is_not_asked_for_more_than_can_be_mapped),
		translate_test(a_large_page_of_ours_is_no_large_page_of_the_guests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
