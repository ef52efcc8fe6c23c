/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/test_translate.c - the TLB and the way to it: guest tables, our
 * tables, slots, logs, host memory, all together.
 */
#include "vm_fixture.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/guarded.h"
#include "mem/dirty_log.h"
#include "mmu/fault.h"
#include "mmu/flush.h"
#include "mmu/mmio.h"
#include "mmu/request.h"
#include "mmu/tlb.h"
#include "mmu/x86.h"

#define N_PAGES 256u
#define PAGES(n) ((uint64_t)(n) << PAGE_SHIFT)
#define HOLE PAGES(0x1000)	/* a gpa without a slot */

static struct test_vm *vm;
static struct mmu_vcpu *v;
static struct mmu_result result;

/* Slot 0: frame n is page n of the memory.  In guest mode, paging off. */
static int setup(void **state UNUSED)
{
	vm = vm_make(2, N_PAGES);
	v = &vm->vcpu[0];
	result = (struct mmu_result){ 0 };
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	guest_enter(v);
	return 0;
}

static int teardown(void **state UNUSED)
{
	if (guest_mode(v))
		guest_leave(v);
	hook_clear(HOOK_RDLOCK);
	hook_clear(HOOK_SYNCHRONIZE);
	vm_free(vm);
	return 0;
}

/* As the vCPU's thread does it: changes of the machine happen outside. */
#define OUTSIDE(call)           \
	do {                    \
		guest_leave(v); \
		call;           \
		guest_enter(v); \
	} while (0)

static void slot_again(uint32_t id, gpa_t gpa, uint64_t first, uint64_t pages, uint32_t flags)
{
	OUTSIDE(vm_slot(vm, id, gpa, first, pages, flags));
}

static void delete_slot(uint32_t id)
{
	OUTSIDE(assert_int_equal(set_slot(&vm->slots, id, 0, 0, 0, 0), 0));
}

static void assert_ram(gva_t gva, enum access access, gpa_t gpa, uint64_t page)
{
	assert_int_equal(mmu_translate(v, gva, access, &result), MMU_OK);
	assert_int_equal(result.gpa, gpa);
	assert_ptr_equal(result.host, vm->memory + PAGES(page) + (gpa & PAGE_OFFSET_MASK));
}

static void assert_mmio(gva_t gva, enum access access, gpa_t gpa)
{
	result.gpa = ~0ull;
	assert_int_equal(mmu_translate(v, gva, access, &result), MMU_MMIO);
	assert_int_equal(result.gpa, gpa);
}

static void assert_guest_fault(gva_t gva, enum access access, uint32_t error_code)
{
	assert_int_equal(mmu_translate(v, gva, access, &result), MMU_GUEST_FAULT);
	assert_int_equal(result.error_code, error_code);
}

/* --- guest tables -------------------------------------------------------------- */

#define TABLES PAGES(128)	/* tables of the guest, the root first */
#define ALL (GPTE_P | GPTE_W | GPTE_U)

static gpa_t next_table;

static uint64_t *entry_at(gpa_t table, gva_t gva, int level)
{
	return (uint64_t *)(vm->memory + table) + (gva >> (12 + 9 * (level - 1)) & 511);
}

/* The guest's entry for @gva at @level; tables are made on the way. */
static uint64_t *guest_entry(gva_t gva, int level)
{
	gpa_t table = TABLES;

	for (int l = 4; l > level; l--) {
		uint64_t *e = entry_at(table, gva, l);

		if (!*e) {
			*e = next_table | ALL;
			next_table += PAGE_SIZE;
		}
		table = *e & ~0xfffull;
	}
	return entry_at(table, gva, level);
}

static void guest_map(gva_t gva, gpa_t gpa, uint64_t bits)
{
	*guest_entry(gva, 1) = gpa | bits;
}

static void paging_on(void)
{
	next_table = TABLES + PAGE_SIZE;
	memset(vm->memory + TABLES, 0, PAGES(N_PAGES) - TABLES);
	v->paging = (struct paging){
		.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP, .cr3 = TABLES,
		.cr4 = X86_CR4_PAE, .efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX,
		.maxphyaddr = 48, .has_1g_pages = true,
	};
	mmu_paging_changed(v);
}

static void set_privilege(uint8_t cpl, bool ac)
{
	v->paging.cpl = cpl;
	v->paging.ac = ac;
	tlb_set_privilege(v);
}

#define GVA 0x7f1234567000ull

/* --- hits ------------------------------------------------------------------------ */

static void nothing_hits_before_it_was_translated(void **state UNUSED)
{
	assert_null(tlb_read(v, 0, 1));
	assert_null(tlb_write(v, 0, 1));
	assert_null(tlb_exec(v, 0));
	assert_null(tlb_read(v, PAGES(5), 8));
}

static void what_was_translated_hits(void **state UNUSED)
{
	assert_ram(PAGES(5) + 0x123, ACCESS_WRITE, PAGES(5) + 0x123, 5);
	assert_ptr_equal(tlb_write(v, PAGES(5) + 8, 8), vm->memory + PAGES(5) + 8);
	assert_ptr_equal(tlb_read(v, PAGES(5) + 4095, 1), vm->memory + PAGES(5) + 4095);
	assert_null(tlb_exec(v, PAGES(5)));
	assert_ram(PAGES(6) + 7, ACCESS_EXEC, PAGES(6) + 7, 6);
	assert_ptr_equal(tlb_exec(v, PAGES(6)), vm->memory + PAGES(6));
	assert_null(tlb_write(v, PAGES(6), 1));
	assert_int_equal(vcpu_stat(v, VCPU_STAT_tlb_fills), 2);
}

static void an_access_that_leaves_its_page_never_hits(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_ram(PAGES(6), ACCESS_WRITE, PAGES(6), 6);
	assert_non_null(tlb_read(v, PAGES(6) - 8, 8));
	for (unsigned int i = 1; i < 8; i++) {
		assert_null(tlb_read(v, PAGES(6) - i, 8));
		assert_null(tlb_write(v, PAGES(6) - i, 8));
	}
	assert_null(tlb_read(v, PAGES(6) - 1, 2));
	assert_non_null(tlb_read(v, PAGES(6) - 1, 1));
}

static void pages_that_share_an_entry_are_told_apart(void **state UNUSED)
{
	const gva_t other = GVA + PAGES(TLB_ENTRIES);

	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	guest_map(other, PAGES(6), ALL);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_read(v, other, 1));
	assert_ram(other, ACCESS_READ, PAGES(6), 6);
	assert_null(tlb_read(v, GVA, 1));
	assert_ptr_equal(tlb_read(v, other, 1), vm->memory + PAGES(6));
}

/* The last page of the address space, from which nothing must wrap. */
static void the_highest_page_hits_like_any_other(void **state UNUSED)
{
	const gva_t top = ~0ull << PAGE_SHIFT;

	paging_on();
	guest_map(top, PAGES(5), ALL);
	assert_ram(top + 8, ACCESS_READ, PAGES(5) + 8, 5);
	assert_ptr_equal(tlb_read(v, top + 4088, 8), vm->memory + PAGES(5) + 4088);
	assert_null(tlb_read(v, top + 4089, 8));
}

/* --- dirty bits and write hits ----------------------------------------------------- */

static void no_write_hits_before_the_guests_entry_is_dirty(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	/* Ours is writable already: it is the guest's that counts. */
	assert_int_equal(mmu_translate_gpa(v, PAGES(5), true, &result), MMU_OK);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_int_equal(*guest_entry(GVA, 1), PAGES(5) | ALL | GPTE_A);
	assert_non_null(tlb_read(v, GVA, 1));
	assert_null(tlb_write(v, GVA, 1));
	assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(*guest_entry(GVA, 1), PAGES(5) | ALL | GPTE_A | GPTE_D);
	assert_non_null(tlb_write(v, GVA, 1));
	assert_non_null(tlb_read(v, GVA, 1));
	/* Dirty now: a read lets writes follow. */
	tlb_flush_all(v);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_non_null(tlb_write(v, GVA, 1));
}

static void no_write_hits_before_our_entry_is_writable(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL | GPTE_A | GPTE_D);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_write(v, GVA, 1));
	assert_false(spte_is_writable(tdp_lookup(&vm->mmu, 5).spte));
}

static void a_page_that_the_guest_may_not_write_has_no_write_hits(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), GPTE_P | GPTE_A | GPTE_D);
	assert_int_equal(mmu_translate_gpa(v, PAGES(5), true, &result), MMU_OK);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_write(v, GVA, 1));
	assert_guest_fault(GVA, ACCESS_WRITE, PFERR_PRESENT | PFERR_WRITE);
	/* Nor a user's. */
	set_privilege(3, false);
	assert_null(tlb_read(v, GVA, 1));
	assert_guest_fault(GVA, ACCESS_READ, PFERR_PRESENT | PFERR_USER);
}

/* --- forgetting ---------------------------------------------------------------------- */

static void invlpg_forgets_its_page_and_no_other(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	guest_map(GVA + PAGE_SIZE, PAGES(6), ALL);
	assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
	assert_ram(GVA + PAGE_SIZE, ACCESS_WRITE, PAGES(6), 6);
	guest_map(GVA, PAGES(7), ALL);
	/* Allowed to be stale, and is. */
	assert_ptr_equal(tlb_read(v, GVA, 1), vm->memory + PAGES(5));
	tlb_flush_page(v, GVA + 123);
	assert_null(tlb_read(v, GVA, 1));
	assert_null(tlb_write(v, GVA, 1));
	assert_non_null(tlb_write(v, GVA + PAGE_SIZE, 1));
	assert_ram(GVA, ACCESS_READ, PAGES(7), 7);
}

/* An entry is 4 KiB, the page was 2 MiB: all its parts have to go. */
static void invlpg_of_a_large_page_forgets_all_of_it(void **state UNUSED)
{
	paging_on();
	*guest_entry(0x40000000, 2) = ALL | GPTE_PS;
	assert_ram(0x40000000 + PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_ram(0x40000000 + PAGES(6), ACCESS_READ, PAGES(6), 6);
	tlb_flush_page(v, 0x40000000);
	assert_null(tlb_read(v, 0x40000000 + PAGES(5), 1));
	assert_null(tlb_read(v, 0x40000000 + PAGES(6), 1));
	/* And then it is cheap again. */
	guest_map(GVA, PAGES(5), ALL);
	guest_map(GVA + PAGE_SIZE, PAGES(6), ALL);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_ram(GVA + PAGE_SIZE, ACCESS_READ, PAGES(6), 6);
	tlb_flush_page(v, GVA);
	assert_non_null(tlb_read(v, GVA + PAGE_SIZE, 1));
}

static void invlpg_forgets_mmio_too(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, HOLE, ALL);
	assert_mmio(GVA, ACCESS_READ, HOLE);
	assert_mmio(GVA, ACCESS_READ, HOLE);
	guest_map(GVA, PAGES(5), ALL);
	tlb_flush_page(v, GVA);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
}

static void a_change_of_paging_forgets_everything(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	paging_on();
	assert_null(tlb_read(v, PAGES(5), 1));
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
	assert_true(mmio_cache_find(v, GVA + PAGE_SIZE, ACCESS_READ, &result.gpa));
	number = v->tlb_flush_number;
	for (uint64_t i = 0; i < 2 * TLB_FLUSH_MAX; i++) {
		tlb_flush_all(v);
		assert_in_range(v->tlb_flush_number, 1, TLB_FLUSH_MAX);
		assert_null(tlb_read(v, GVA, 1));
		assert_null(tlb_write(v, GVA, 1));
		assert_false(mmio_cache_find(v, GVA + PAGE_SIZE, ACCESS_READ, &result.gpa));
	}
	assert_int_equal(v->tlb_flush_number, number);
}

/* The guest's own tables are cached by frame, under the same numbers. */
static void frames_do_not_hit_again_when_the_flush_numbers_wrap(void **state UNUSED)
{
	uint64_t number = v->tlb_flush_number;

	assert_int_equal(mmu_translate_gpa(v, PAGES(5), true, &result), MMU_OK);
	assert_ptr_equal(result.host, vm->memory + PAGES(5));
	/* Another page in its place, of which the cache hears by flushes only. */
	delete_slot(0);
	slot_again(0, 0, 1, N_PAGES - 1, 0);
	assert_int_not_equal(v->tlb_flush_number, number);
	while (v->tlb_flush_number != number)
		tlb_flush_all(v);
	assert_int_equal(mmu_translate_gpa(v, PAGES(5), false, &result), MMU_OK);
	assert_ptr_equal(result.host, vm->memory + PAGES(6));
	assert_int_equal(mmu_translate_gpa(v, PAGES(5), true, &result), MMU_OK);
	assert_ptr_equal(result.host, vm->memory + PAGES(6));
}

/* Who walks them for the host's sake wants to know; nobody does yet. */
static void our_entries_remember_how_they_were_used(void **state UNUSED)
{
	const uint64_t used = SPTE_A | SPTE_D;

	assert_int_equal(mmu_fault(&vm->vcpu[1], PAGES(5), true), FAULT_FIXED);
	assert_int_equal(tdp_lookup(&vm->mmu, 5).spte.raw & used, 0);
	assert_ram(PAGES(5), ACCESS_EXEC, PAGES(5), 5);
	assert_int_equal(tdp_lookup(&vm->mmu, 5).spte.raw & used, SPTE_A);
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(tdp_lookup(&vm->mmu, 5).spte.raw & used, used);
}

/* --- privilege -------------------------------------------------------------------------- */

static void a_hit_is_for_the_privilege_that_it_was_made_for(void **state UNUSED)
{
	paging_on();
	v->paging.cr4 |= X86_CR4_SMAP;
	mmu_paging_changed(v);
	guest_map(GVA, PAGES(5), ALL);
	guest_map(GVA + PAGE_SIZE, PAGES(6), GPTE_P | GPTE_W);

	set_privilege(3, false);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_guest_fault(GVA + PAGE_SIZE, ACCESS_READ, PFERR_PRESENT | PFERR_USER);
	set_privilege(0, false);
	assert_null(tlb_read(v, GVA, 1));
	assert_guest_fault(GVA, ACCESS_READ, PFERR_PRESENT);
	assert_ram(GVA + PAGE_SIZE, ACCESS_READ, PAGES(6), 6);
	set_privilege(0, true);
	assert_null(tlb_read(v, GVA, 1));
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	set_privilege(0, false);
	assert_null(tlb_read(v, GVA, 1));
	assert_non_null(tlb_read(v, GVA + PAGE_SIZE, 1));
	set_privilege(3, true);
	assert_null(tlb_read(v, GVA + PAGE_SIZE, 1));
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
	assert_non_null(tlb_read(v, GVA, 1));
	/* Nor does the kernel's reading what it executes. */
	assert_ram(GVA, ACCESS_EXEC, PAGES(5), 5);
	set_privilege(0, false);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_exec(v, GVA));
	set_privilege(3, false);
	assert_non_null(tlb_exec(v, GVA));
	assert_null(tlb_read(v, GVA, 1));
}

/* --- code -------------------------------------------------------------------------------- */

static void a_write_to_code_is_noticed_and_ends_its_being_code(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_EXEC, PAGES(5), 5);
	assert_false(result.was_code);
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_true(result.was_code);
	assert_null(tlb_exec(v, PAGES(5)));
	assert_non_null(tlb_write(v, PAGES(5), 1));
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_false(result.was_code);
}

static void a_page_that_is_executed_loses_its_write_hits(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_ram(PAGES(5), ACCESS_EXEC, PAGES(5), 5);
	assert_false(result.was_code);
	assert_null(tlb_write(v, PAGES(5), 1));
	assert_non_null(tlb_read(v, PAGES(5), 1));
	assert_non_null(tlb_exec(v, PAGES(5)));
}

/* A jump table beside the code is read, then patched: in one block, perhaps. */
static void a_write_to_code_is_noticed_after_it_was_read(void **state UNUSED)
{
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_ram(PAGES(5), ACCESS_EXEC, PAGES(5), 5);
	tlb_flush_all(v);
	assert_ram(PAGES(5), ACCESS_EXEC, PAGES(5), 5);
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_false(result.was_code);
	assert_non_null(tlb_exec(v, PAGES(5)));
	assert_null(tlb_write(v, PAGES(5), 1));
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_true(result.was_code);
}

/* The kernel patches itself, or a program, having set EFLAGS.AC. */
static void a_write_to_code_is_noticed_from_another_privilege(void **state UNUSED)
{
	paging_on();
	v->paging.cr4 |= X86_CR4_SMAP;
	mmu_paging_changed(v);
	guest_map(GVA, PAGES(5), GPTE_P | GPTE_W);
	for (int read_before = 0; read_before < 2; read_before++) {
		set_privilege(0, false);
		assert_ram(GVA, ACCESS_EXEC, PAGES(5), 5);
		set_privilege(0, true);
		if (read_before)
			assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
		assert_null(tlb_write(v, GVA, 1));
		assert_ram(GVA, ACCESS_WRITE, PAGES(5), 5);
		assert_true(result.was_code);
		set_privilege(0, false);
		assert_null(tlb_exec(v, GVA));
	}
}

/* --- MMIO --------------------------------------------------------------------------------- */

static void what_no_slot_has_is_mmio_and_remembered(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, HOLE, ALL);
	assert_mmio(GVA + 0x123, ACCESS_READ, HOLE + 0x123);
	assert_int_equal(vcpu_stat(v, VCPU_STAT_pf_mmio), 1);
	/* Twice: by our table, then by the vCPU's own cache. */
	for (int i = 0; i < 2; i++)
		assert_mmio(GVA + 0x456, ACCESS_READ, HOLE + 0x456);
	assert_int_equal(vcpu_stat(v, VCPU_STAT_pf_mmio), 1);
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
	assert_null(tlb_write(v, HOLE, 1));
	assert_null(tlb_read(v, HOLE, 1));
	assert_mmio(HOLE, ACCESS_WRITE, HOLE);
	assert_int_equal(mmu_translate_gpa(v, HOLE, true, &result), MMU_MMIO);
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
	gpa_t gpa;
	enum mmu_verdict verdict;
};

static void *translate_in_a_thread(void *arg)
{
	struct look *look = arg;

	guest_enter(v);
	look->verdict = mmu_translate(v, look->gpa, ACCESS_READ, &result);
	guest_leave(v);
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
	assert_int_equal(vcpu_stat(v, VCPU_STAT_pf_mmio), 0);
	assert_int_equal(spte_kind(tdp_lookup(&vm->mmu, HOLE >> PAGE_SHIFT).spte), SPTE_NONE);
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
	assert_int_not_equal(spte_kind(tdp_lookup(&vm->mmu, HOLE >> PAGE_SHIFT).spte), SPTE_MMIO);
}

/* GEN_WRAP_ZAPS */
static void no_old_mmio_is_believed_when_the_generation_wraps(void **state UNUSED)
{
	atomic64_store_relaxed(&vm->slots.generation, MMIO_GENERATION_MASK + 1);
	assert_mmio(HOLE, ACCESS_READ, HOLE);
	assert_int_equal(spte_kind(tdp_lookup(&vm->mmu, HOLE >> PAGE_SHIFT).spte), SPTE_MMIO);
	/* Half a million updates later, in which nobody looked. */
	atomic64_store_relaxed(&vm->slots.generation, 2 * MMIO_GENERATION_MASK + 1);
	slot_again(1, HOLE, 20, 4, 0);
	assert_int_equal(atomic64_load_relaxed(&vm->slots.generation) & MMIO_GENERATION_MASK, 0);
	assert_int_equal(vm_stat(vm, VM_STAT_mmio_generation_wraps), 1);
	assert_ram(HOLE, ACCESS_READ, HOLE, 20);
}

/* --- read-only slots -------------------------------------------------------------------------- */

static void a_read_only_slot_is_read_as_memory_and_written_as_mmio(void **state UNUSED)
{
	slot_again(1, HOLE, 20, 4, KVM_MEM_READONLY);
	assert_mmio(HOLE + 8, ACCESS_WRITE, HOLE + 8);
	assert_ram(HOLE, ACCESS_READ, HOLE, 20);
	assert_null(tlb_write(v, HOLE, 1));
	assert_ram(HOLE, ACCESS_EXEC, HOLE, 20);
	/* The write was not remembered as "no memory here". */
	for (int i = 0; i < 3; i++) {
		assert_mmio(HOLE + 8, ACCESS_WRITE, HOLE + 8);
		assert_ram(HOLE, ACCESS_READ, HOLE, 20);
	}
	assert_int_equal(mmu_translate_gpa(v, HOLE, true, &result), MMU_MMIO);
	assert_int_equal(mmu_translate_gpa(v, HOLE, false, &result), MMU_OK);
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
	tlb_flush_all(v);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_write(v, GVA, 1));
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

/* --- odd tables --------------------------------------------------------------------------------- */

static void tables_where_no_memory_is_are_bad(void **state UNUSED)
{
	paging_on();
	v->paging.cr3 = HOLE;
	mmu_paging_changed(v);
	for (int i = 0; i < 2; i++)
		assert_int_equal(mmu_translate(v, GVA, ACCESS_READ, &result), MMU_BAD_TABLES);
	paging_on();
	*guest_entry(GVA, 3) = HOLE | ALL;
	assert_int_equal(mmu_translate(v, GVA, ACCESS_WRITE, &result), MMU_BAD_TABLES);
	*guest_entry(GVA, 3) = PAGES(1ull << 35) | ALL;
	assert_int_equal(mmu_translate(v, GVA, ACCESS_EXEC, &result), MMU_BAD_TABLES);
	/* A slot comes and makes them good. */
	*guest_entry(GVA, 3) = HOLE | ALL;
	slot_again(1, HOLE, 20, 4, 0);
	memset(vm->memory + PAGES(20), 0, PAGE_SIZE);
	assert_guest_fault(GVA, ACCESS_READ, 0);
}

static void tables_that_point_at_themselves_translate(void **state UNUSED)
{
	gva_t gva = 0;

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

/* --- dirty logging ---------------------------------------------------------------------------------- */

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
	assert_null(tlb_write(v, PAGES(5), 1));
	ASSERT_NO_HARVEST();
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(vcpu_stat(v, VCPU_STAT_pf_fast), 1);
	ASSERT_HARVEST(5);
	assert_int_equal(vcpu_stat(v, VCPU_STAT_pages_dirtied), 3);
	assert_int_equal(vm_stat(vm, VM_STAT_dirty_pages_harvested), 3);
}

static void what_is_read_or_executed_is_not_harvested(void **state UNUSED)
{
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_write(v, PAGES(5), 1));
	assert_ram(PAGES(6), ACCESS_EXEC, PAGES(6), 6);
	assert_int_equal(mmu_translate_gpa(v, PAGES(7), false, &result), MMU_OK);
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
	assert_non_null(tlb_write(v, PAGES(5), 1));
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	assert_null(tlb_write(v, PAGES(5), 1));
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
		assert_int_equal(mmu_translate_gpa(v, PAGES(9), true, &result), MMU_OK);
		assert_int_equal(mmu_translate_gpa(v, PAGES(9), true, &result), MMU_OK);
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
	assert_non_null(tlb_write(v, PAGES(5), 1));
	OUTSIDE(assert_int_equal(dirty_log_clear(&vm->slots, 0, 0, 64, &six), 0));
	assert_ram(PAGES(6), ACCESS_READ, PAGES(6), 6);
	assert_null(tlb_write(v, PAGES(6), 1));
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
	assert_int_equal(mmu_fault(bv, PAGES(3), true), FAULT_FIXED);
	assert_int_equal(vm_stat(big, VM_STAT_pages_2m), 1);
	vm_slot(big, 0, 0, 0, 1024, KVM_MEM_LOG_DIRTY_PAGES);
	/* Both ways: what was large, and what is new. */
	assert_int_equal(mmu_fault(bv, PAGES(3), true), FAULT_FIXED);
	assert_int_equal(mmu_fault(bv, PAGES(600), true), FAULT_FIXED);
	assert_int_equal(mmu_fault(bv, PAGES(601), false), FAULT_FIXED);
	assert_int_equal(vm_stat(big, VM_STAT_pages_2m), 0);
	assert_int_equal(vm_stat(big, VM_STAT_pages_4k), 512 + 2);
	assert_int_equal(dirty_log_get(&big->slots, 0, log), 0);
	for (uint64_t page = 0; page < 1024; page++)
		assert_int_equal(log[page / 64] >> (page % 64) & 1, page == 3 || page == 600);
	assert_int_equal(mmu_fault(bv, PAGES(4), true), FAULT_FIXED);
	assert_int_equal(dirty_log_get(&big->slots, 0, log), 0);
	assert_true(log[0] == 1 << 4);
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
	assert_int_equal(mmu_translate(ev, PAGES(5), ACCESS_READ, &result), MMU_OK);
	assert_null(tlb_write(ev, PAGES(5), 1));
	assert_int_equal(mmu_translate(ev, HOLE, ACCESS_READ, &result), MMU_OK);
	assert_null(tlb_write(ev, HOLE, 1));
	assert_int_equal(mmu_translate(ev, HOLE, ACCESS_WRITE, &result), MMU_MMIO);
	/* Where nobody counts, it may: one fault is saved. */
	assert_int_equal(mmu_translate(ev, 2 * HOLE, ACCESS_READ, &result), MMU_OK);
	assert_non_null(tlb_write(ev, 2 * HOLE, 1));
	guest_leave(ev);
	assert_int_equal(dirty_log_get(&eager->slots, 0, &log), 0);
	assert_true(log == 0);
	/* The door is opened without the lock, and the page marked. */
	assert_int_equal(mmu_fault(ev, PAGES(5), true), FAULT_FIXED);
	assert_int_equal(vcpu_stat(ev, VCPU_STAT_pf_fast), 1);
	assert_int_equal(dirty_log_get(&eager->slots, 0, &log), 0);
	assert_true(log == 1 << 5);
	vm_free(eager);
}

/* --- a copy kept by harvests ------------------------------------------------------------------------- */

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
			gpa_t gpa = PAGES(run_below(&run, N_PAGES)) + 8 * me;
			uint64_t *at = tlb_write(mine, gpa, 8);

			if (!at && mmu_translate(mine, gpa, ACCESS_WRITE, &r) == MMU_OK)
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

	guest_leave(v);
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

/* --- rings ------------------------------------------------------------------------------------------- */

#define RING 128u

static int setup_ring(void **state)
{
	setup(state);
	vm_use_rings(vm, RING);
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	return 0;
}

static uint32_t empty_ring(uint32_t n)
{
	uint32_t first = atomic32_load_relaxed(&v->ring.reset), taken;

	for (uint32_t i = 0; i < n; i++)
		v->ring.entries[(first + i) % RING].flags = KVM_DIRTY_GFN_F_RESET;
	OUTSIDE(taken = mmu_reset_dirty_rings(&vm->mmu));
	return taken;
}

static void a_written_page_is_pushed_once_until_it_is_reset(void **state UNUSED)
{
	for (int i = 0; i < 3; i++)
		assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(atomic32_load_relaxed(&v->ring.pushed), 1);
	assert_int_equal(v->ring.entries[0].slot, 0);
	assert_int_equal(v->ring.entries[0].offset, 5);
	assert_int_equal(empty_ring(1), 1);
	assert_null(tlb_write(v, PAGES(5), 1));
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(atomic32_load_relaxed(&v->ring.pushed), 2);
	assert_int_equal(v->ring.entries[1].offset, 5);
}

/* RING_SOFT_LIMIT */
static void a_full_ring_stops_writes_and_nothing_else(void **state UNUSED)
{
	for (uint64_t page = 0; page < RING - DIRTY_RING_RESERVED; page++)
		assert_ram(PAGES(page), ACCESS_WRITE, PAGES(page), page);
	assert_int_equal(mmu_translate(v, PAGES(100), ACCESS_WRITE, &result), MMU_RING_FULL);
	assert_int_equal(mmu_translate_gpa(v, PAGES(100), true, &result), MMU_RING_FULL);
	assert_ram(PAGES(100), ACCESS_READ, PAGES(100), 100);
	/* Protected is not the same as not there: neither way is open. */
	assert_int_equal(mmu_translate(v, PAGES(100), ACCESS_WRITE, &result), MMU_RING_FULL);
	assert_ram(PAGES(3), ACCESS_WRITE, PAGES(3), 3);
	assert_int_equal(atomic32_load_relaxed(&v->ring.pushed), RING - DIRTY_RING_RESERVED);
	assert_int_equal(empty_ring(1), 1);
	assert_ram(PAGES(100), ACCESS_WRITE, PAGES(100), 100);
	assert_int_equal(mmu_translate(v, PAGES(0), ACCESS_WRITE, &result), MMU_RING_FULL);
}

/* An entry counts from the start of its slot. */
static void an_entry_names_slot_and_page(void **state UNUSED)
{
	slot_again(3, HOLE, 20, 8, KVM_MEM_LOG_DIRTY_PAGES);
	assert_ram(HOLE + PAGES(7), ACCESS_WRITE, HOLE + PAGES(7), 27);
	assert_int_equal(v->ring.entries[0].slot, 3);
	assert_int_equal(v->ring.entries[0].offset, 7);
	assert_int_equal(empty_ring(1), 1);
	assert_null(tlb_write(v, HOLE + PAGES(7), 1));
}

/* A slot that was logged before there were rings has a bitmap, that nobody can
 * read any more. */
static void a_slot_logged_before_the_rings_is_logged_to_them(void **state UNUSED)
{
	slot_again(0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	vm_use_rings(vm, RING);
	for (uint64_t page = 0; page < RING - DIRTY_RING_RESERVED; page++)
		assert_ram(PAGES(page), ACCESS_WRITE, PAGES(page), page);
	assert_int_equal(atomic32_load_relaxed(&v->ring.pushed), RING - DIRTY_RING_RESERVED);
	assert_int_equal(v->ring.entries[5].offset, 5);
	assert_int_equal(mmu_translate(v, PAGES(100), ACCESS_WRITE, &result), MMU_RING_FULL);
	assert_int_equal(empty_ring(3), 3);
	assert_null(tlb_write(v, 0, 1));
	assert_ram(0, ACCESS_WRITE, 0, 0);
}

/* Both doors: the fast one, by which a protected page is opened again. */
static void a_full_ring_stops_the_fast_way_too(void **state UNUSED)
{
	assert_ram(PAGES(100), ACCESS_WRITE, PAGES(100), 100);
	assert_int_equal(empty_ring(1), 1);
	for (uint64_t page = 0; page < RING - DIRTY_RING_RESERVED; page++)
		assert_ram(PAGES(page), ACCESS_WRITE, PAGES(page), page);
	assert_int_equal(mmu_translate(v, PAGES(100), ACCESS_WRITE, &result), MMU_RING_FULL);
	assert_int_equal(vcpu_stat(v, VCPU_STAT_pf_fast), 0);
	assert_int_equal(empty_ring(RING), RING - DIRTY_RING_RESERVED);
	assert_ram(PAGES(100), ACCESS_WRITE, PAGES(100), 100);
	assert_int_equal(vcpu_stat(v, VCPU_STAT_pf_fast), 1);
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
	assert_int_equal(atomic32_load_relaxed(&v->ring.pushed), 0);
}

/* A guest whose tables are marked needs room for those entries as well. */
static void a_full_ring_stops_marks_in_the_guests_tables(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	atomic32_store_relaxed(&v->ring.pushed, RING - DIRTY_RING_RESERVED - 2);
	assert_int_equal(mmu_translate(v, GVA, ACCESS_READ, &result), MMU_RING_FULL);
	assert_int_equal(atomic32_load_relaxed(&v->ring.pushed), RING - DIRTY_RING_RESERVED);
	assert_int_equal(*guest_entry(GVA, 1), PAGES(5) | ALL);
}

/* --- the host's side --------------------------------------------------------------------------------- */

static uint8_t *page_of(uint64_t page)
{
	return vm->memory + PAGES(page);
}

static void map_again(uint64_t page)
{
	assert_ptr_equal(mmap(page_of(page), PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), page_of(page));
}

/* By a system call that nobody told us of. */
static void memory_that_vanished_is_a_host_fault(void **state UNUSED)
{
	uint64_t value;

	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	munmap(page_of(5), PAGE_SIZE);
	/* The TLB cannot know; the access finds out. */
	assert_non_null(tlb_read(v, PAGES(5), 8));
	assert_false(guarded_load64(result.host, &value));
	mmu_access_faulted(v, result.host);
	assert_true(guest_mode(v));
	assert_null(tlb_read(v, PAGES(5), 8));
	assert_int_equal(mmu_translate(v, PAGES(5), ACCESS_READ, &result), MMU_HOST_FAULT);
	assert_int_equal(mmu_translate(v, PAGES(5), ACCESS_WRITE, &result), MMU_HOST_FAULT);
	assert_int_equal(mmu_translate_gpa(v, PAGES(5), false, &result), MMU_HOST_FAULT);
	assert_ram(PAGES(6), ACCESS_WRITE, PAGES(6), 6);
	map_again(5);
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_true(guarded_load64(result.host, &value));
}

static void memory_that_the_host_only_reads_is_not_written(void **state UNUSED)
{
	mprotect(page_of(5), PAGE_SIZE, PROT_READ);
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_null(tlb_write(v, PAGES(5), 1));
	assert_int_equal(mmu_translate(v, PAGES(5), ACCESS_WRITE, &result), MMU_HOST_FAULT);
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	mprotect(page_of(5), PAGE_SIZE, PROT_READ | PROT_WRITE);
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
}

static void tables_that_vanished_are_a_host_fault(void **state UNUSED)
{
	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	tlb_flush_page(v, GVA);
	munmap(page_of(131), PAGE_SIZE);
	assert_int_equal(mmu_translate(v, GVA, ACCESS_READ, &result), MMU_HOST_FAULT);
	assert_false(spte_is_leaf(tdp_lookup(&vm->mmu, 131).spte));
	map_again(131);
	assert_guest_fault(GVA, ACCESS_READ, 0);
	guest_map(GVA, PAGES(5), ALL);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
	/* Read, but not to be marked. */
	guest_map(GVA, PAGES(5), ALL);
	tlb_flush_page(v, GVA);
	mprotect(page_of(131), PAGE_SIZE, PROT_READ);
	assert_int_equal(mmu_translate(v, GVA, ACCESS_READ, &result), MMU_HOST_FAULT);
	mprotect(page_of(131), PAGE_SIZE, PROT_READ | PROT_WRITE);
	assert_ram(GVA, ACCESS_READ, PAGES(5), 5);
}

static void whoever_faults_was_outside_meanwhile(void **state UNUSED)
{
	uint32_t entries = v->guest_entries;

	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_int_not_equal(v->guest_entries, entries);
	assert_true(guest_mode(v));
	entries = v->guest_entries;
	assert_ram(PAGES(5), ACCESS_READ, PAGES(5), 5);
	assert_int_equal(v->guest_entries, entries);
}

static void what_another_vcpu_has_mapped_is_spurious(void **state UNUSED)
{
	struct mmu_vcpu *other = &vm->vcpu[1];

	assert_int_equal(mmu_fault(other, PAGES(5), true), FAULT_FIXED);
	assert_int_equal(mmu_fault(other, PAGES(5), true), FAULT_SPURIOUS);
	assert_int_equal(vcpu_stat(other, VCPU_STAT_pf_spurious), 1);
	assert_ram(PAGES(5), ACCESS_WRITE, PAGES(5), 5);
	assert_int_equal(vcpu_stat(v, VCPU_STAT_pf_taken), 0);
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

/* --- by frame ------------------------------------------------------------------------------------------ */

static void a_frame_is_translated_past_the_guests_tables(void **state UNUSED)
{
	paging_on();
	result.was_code = true;
	assert_int_equal(mmu_translate_gpa(v, PAGES(5) + 9, false, &result), MMU_OK);
	assert_ptr_equal(result.host, page_of(5) + 9);
	assert_int_equal(result.gpa, PAGES(5) + 9);
	assert_false(result.was_code);
	assert_int_equal(mmu_translate_gpa(v, HOLE + 9, false, &result), MMU_MMIO);
	assert_int_equal(result.gpa, HOLE + 9);
}

/* Our tables know 57 bits: the others must not be left away. */
static void an_address_beyond_all_tables_is_not_taken_for_another(void **state UNUSED)
{
	assert_int_equal(mmu_translate_gpa(v, PAGES(5), true, &result), MMU_OK);
	for (int bit = 48; bit < 64; bit++) {
		gpa_t gpa = 1ull << bit | PAGES(5);

		assert_int_equal(mmu_translate_gpa(v, gpa, false, &result), MMU_MMIO);
		assert_int_equal(mmu_translate_gpa(v, gpa, true, &result), MMU_MMIO);
	}
}

/* --- out of memory --------------------------------------------------------------------------------------- */

static void a_translation_without_memory_works_later(void **state UNUSED)
{
	enum mmu_verdict verdict;
	uint64_t n = 0;

	paging_on();
	guest_map(GVA, PAGES(5), ALL);
	do {
		atomic64_store_relaxed(&vm->alloc.fail_in, ++n);
		verdict = mmu_translate(v, GVA, ACCESS_WRITE, &result);
		assert_true(guest_mode(v));
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

/* --- levels ------------------------------------------------------------------------------------------------ */

#define G1 (1ull << 18)
#define M2 (1ull << 9)

static int level_of(struct test_vm *big, gfn_t gfn)
{
	int level;

	assert_int_equal(mmu_fault(&big->vcpu[0], PAGES(gfn), true), FAULT_FIXED);
	rcu_read_begin();
	level = tdp_lookup(&big->mmu, gfn).level;
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
	assert_int_equal(mmu_translate(bv, PAGES(600), ACCESS_WRITE, &result), MMU_OK);
	assert_ptr_equal(result.host, big->memory + PAGES(600));
	assert_int_equal(mmu_translate(bv, PAGES(601), ACCESS_WRITE, &result), MMU_OK);
	tlb_flush_page(bv, PAGES(600));
	assert_null(tlb_read(bv, PAGES(600), 1));
	assert_ptr_equal(tlb_write(bv, PAGES(601), 1), big->memory + PAGES(601));
	guest_leave(bv);
	vm_free(big);
}

#define translate_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define ring_test(f) cmocka_unit_test_setup_teardown(f, setup_ring, teardown)

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
		translate_test(what_is_written_is_harvested_once_for_each_time),
		translate_test(what_is_read_or_executed_is_not_harvested),
		translate_test(pages_written_before_the_log_began_are_caught),
		translate_test(marking_the_guests_tables_dirties_them),
		translate_test(writing_by_frame_is_harvested_too),
		translate_test(a_log_that_begins_full_is_cleared_page_by_page),
		translate_test(a_logged_slot_has_no_large_page_that_can_be_written),
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
