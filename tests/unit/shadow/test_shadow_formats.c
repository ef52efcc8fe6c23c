/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/shadow/test_shadow_formats.c - tables of every format, no tables at all, and large
 * pages of the guest over small ones of the host and the reverse.
 */
#include "shadow_fixture.h"

#include <string.h>

static unsigned int n_direct(void)
{
	struct shadow_page *sp;
	unsigned int n = 0;

	cds_list_for_each_entry(sp, &shadow->active, node)
		n += sp->role.direct;
	return n;
}

/* --- every format ------------------------------------------------------------ */

static void walk_through(enum guest_format f)
{
	paging(f);
	map(a_page, 1, PAGES(5) | (ALL & ~GPTE_U));
	assert_page(v0, a_page + 9, ACCESS_READ, 5);
	assert_int_equal(entry(a_page, 1) & (GPTE_A | GPTE_D), GPTE_A);
	assert_false(tlb_hits(v0, a_page, ACCESS_WRITE));
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_int_equal(entry(a_page, 1) & (GPTE_A | GPTE_D), GPTE_A | GPTE_D);
	assert_true(tlb_hits(v0, a_page, ACCESS_WRITE));
	set_privilege(v0, 3, false);
	assert_guest_fault(v0, a_page, ACCESS_READ, PFERR_PRESENT | PFERR_USER);
	set_privilege(v0, 0, false);
	assert_valid();
	guest_map(v0, a_page, 1, PAGES(6) | DONE);
	invlpg(v0, a_page);
	assert_page(v0, a_page, ACCESS_WRITE, 6);
	guest_map(v0, a_page, 2, 0);
	invlpg(v0, a_page);
	assert_guest_fault(v0, a_page, ACCESS_READ, 0);
	assert_valid();
}

static void tables_of_32_bits_are_followed(void **state UNUSED)
{
	walk_through(GUEST_32BIT);
}

static void tables_of_pae_are_followed(void **state UNUSED)
{
	walk_through(GUEST_PAE);
}

static void tables_of_four_levels_are_followed(void **state UNUSED)
{
	walk_through(GUEST_4LEVEL);
}

static void tables_of_five_levels_are_followed(void **state UNUSED)
{
	walk_through(GUEST_5LEVEL);
	assert_int_equal(shadow_page_at(v0, a_page, 5)->role.level, 5);
}

/* --- 32 bits ----------------------------------------------------------------- */

/* A directory is four of our pages and a table two. */
static void tables_of_32_bits_have_quadrants(void **state UNUSED)
{
	uint64_t directory, table;

	paging(GUEST_32BIT);
	directory = v0->paging.cr3 >> PAGE_SHIFT;
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t gva = (uint64_t)i << 30;

		map(gva, 1, PAGES(5 + i) | DONE);
		map(gva + (1 << 21), 1, PAGES(9 + i) | DONE);
	}
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t gva = (uint64_t)i << 30;

		assert_page(v0, gva, ACCESS_READ, 5 + i);
		assert_page(v0, gva + (1 << 21), ACCESS_READ, 9 + i);
		table = entry_gpa(gva, 1) >> PAGE_SHIFT;
		assert_int_equal(n_shadow_pages(table), 2);
	}
	assert_int_equal(n_shadow_pages(directory), 4);
	assert_valid();
}

/* One entry of the directory is two of ours; they go together, and no others. */
static void a_write_to_a_directory_of_32_bits_drops_two_entries(void **state UNUSED)
{
	paging(GUEST_32BIT);
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t gva = 0x40000000 + ((uint64_t)i << 21);

		map(gva, 1, PAGES(5 + i) | DONE);
		assert_page(v0, gva, ACCESS_READ, 5 + i);
	}
	guest_map(v0, 0x40000000, 2, 0);
	for (unsigned int i = 0; i < 4; i++) {
		spte_t spte = shadow_entry(v0, 0x40000000 + ((uint64_t)i << 21)).spte;

		assert_int_equal(spte_kind(spte) == SPTE_NONE, i < 2);
	}
	assert_int_equal(n_shadow_pages(v0->paging.cr3 >> PAGE_SHIFT), 4);
}

static void each_half_of_a_given_up_table_is_synced(void **state UNUSED)
{
	const uint64_t gva = 0x40000000, upper = gva + (1 << 21);

	paging(GUEST_32BIT);
	map(gva, 1, PAGES(5) | DONE);
	map(upper, 1, PAGES(6) | DONE);
	assert_page(v0, gva, ACCESS_READ, 5);
	assert_page(v0, upper, ACCESS_READ, 6);
	guest_map(v0, gva, 1, PAGES(7) | DONE);
	guest_map(v0, upper, 1, PAGES(8) | DONE);
	assert_true(is_unsync(v0, gva));
	assert_true(is_unsync(v0, upper));
	load_cr3(v0, v0->paging.cr3);
	assert_page(v0, gva, ACCESS_READ, 7);
	assert_page(v0, upper, ACCESS_READ, 8);
	assert_false(is_unsync(v0, gva));
}

/* 4 MiB: by one host page of 2 MiB for each half, or by small ones. */
static void a_page_of_4m_is_mapped_by_halves(void **state UNUSED)
{
	const uint64_t gva = 0x40000000;

	paging(GUEST_32BIT);
	vm->sim.level = LEVEL_2M;
	map(gva, 2, 0 | DONE | GPTE_PS);
	assert_page(v0, gva + PAGES(7), ACCESS_WRITE, 7);
	assert_page(v0, gva + PAGES(M2 + 7), ACCESS_WRITE, M2 + 7);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 2);
	assert_int_equal(n_direct(), 0);
	assert_valid();
	/* Without CR4.PSE the bit means nothing, and it is a table. */
	for (unsigned int i = 0; i < 2; i++)
		vm->vcpu[i].paging.cr4 &= ~X86_CR4_PSE;
	mmu_paging_changed(v0);
	memset(vm->memory, 0, PAGE_SIZE);
	assert_guest_fault(v0, gva + PAGES(7), ACCESS_READ, 0);
}

static void a_page_of_4m_may_lie_above_4g(void **state UNUSED)
{
	const uint64_t gva = 0x40000000;

	paging(GUEST_32BIT);
	vm_slot(vm, 1, 0x1200000000, 512, 1024 - 512, 0);
	map(gva, 2, 0x12ull << 13 | DONE | GPTE_PS);
	assert_page(v0, gva + PAGES(3), ACCESS_WRITE, 512 + 3);
	assert_int_equal(n_direct(), 1);
	assert_verdict(v0, gva + PAGES(M2 + 3), ACCESS_READ, MMU_MMIO);
	assert_int_equal(result.gpa.raw, 0x1200000000 + PAGES(M2 + 3));
	/* Beyond the width of addresses the bits are reserved. */
	v0->paging.maxphyaddr = 36;
	mmu_paging_changed(v0);
	assert_guest_fault(v0, gva, ACCESS_READ, PFERR_PRESENT | PFERR_RSVD);
}

/* --- PAE --------------------------------------------------------------------- */

static void the_four_registers_of_pae_are_four_roots(void **state UNUSED)
{
	paging(GUEST_PAE);
	for (unsigned int i = 0; i < 3; i++) {
		map((uint64_t)i << 30, 1, PAGES(5 + i) | DONE);
		assert_page(v0, (uint64_t)i << 30, ACCESS_READ, 5 + i);
		assert_int_equal(n_shadow_pages(v0->paging.pdptr[i] >> PAGE_SHIFT), 1);
	}
	/* Memory behind CR3 is not looked at: the registers are what counts. */
	v0->paging.pdptr[1] = v0->paging.pdptr[2];
	v0->paging.pdptr[2] = 0;
	mmu_paging_changed(v0);
	assert_page(v0, 1ull << 30, ACCESS_READ, 7);
	assert_guest_fault(v0, 2ull << 30, ACCESS_READ, 0);
	assert_page(v0, 0, ACCESS_READ, 5);
}

static void two_registers_may_lead_to_one_directory(void **state UNUSED)
{
	paging(GUEST_PAE);
	v0->paging.pdptr[1] = v0->paging.pdptr[0];
	mmu_paging_changed(v0);
	map(0, 1, PAGES(5) | DONE);
	assert_page(v0, 0, ACCESS_READ, 5);
	assert_page(v0, 1ull << 30, ACCESS_READ, 5);
	assert_int_equal(n_shadow_pages(v0->paging.pdptr[0] >> PAGE_SHIFT), 1);
	assert_valid();
}

/* --- without paging ---------------------------------------------------------- */

static void without_paging_addresses_are_physical(void **state UNUSED)
{
	assert_page(v0, PAGES(5) + 3, ACCESS_WRITE, 5);
	assert_page(v0, PAGES(N_PAGES - 1), ACCESS_EXEC, N_PAGES - 1);
	assert_verdict(v0, HOLE, ACCESS_READ, MMU_MMIO);
	assert_int_equal(result.gpa.raw, HOLE);
	assert_verdict(v0, 0xfee00000, ACCESS_WRITE, MMU_MMIO);
	assert_valid();
	assert_int_equal(n_direct(), shadow->n_used);
}

static void without_paging_large_pages_are_used(void **state UNUSED)
{
	vm->sim.level = LEVEL_1G;
	assert_page(v0, PAGES(M2 + 5), ACCESS_WRITE, M2 + 5);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 1);
}

/* SMEP, SMAP, keys and WP are about pages. */
static void without_paging_everything_is_allowed(void **state UNUSED)
{
	v0->paging.cr4 = X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE;
	v0->paging.cr0 = X86_CR0_WP;
	v0->paging.pkru = ~0u;
	mmu_paging_changed(v0);
	assert_page(v0, PAGES(5), ACCESS_READ, 5);
	assert_page(v0, PAGES(6), ACCESS_WRITE, 6);
	assert_page(v0, PAGES(7), ACCESS_EXEC, 7);
	assert_true(tlb_hits(v0, PAGES(6), ACCESS_WRITE));
	assert_verdict(v0, HOLE, ACCESS_WRITE, MMU_MMIO);
}

static void paging_may_be_turned_on_and_off(void **state UNUSED)
{
	struct paging on;

	paging(GUEST_4LEVEL);
	on = v0->paging;
	for (int i = 0; i < 3; i++) {
		v0->paging = on;
		mmu_paging_changed(v0);
		map(a_page, 1, PAGES(5) | DONE);
		assert_page(v0, a_page, ACCESS_WRITE, 5);
		v0->paging = (struct paging){ .maxphyaddr = 48 };
		mmu_paging_changed(v0);
		assert_page(v0, PAGES(9), ACCESS_WRITE, 9);
	}
	assert_valid();
}

/* --- large pages of the guest over small ones of the host -------------------- */

static void map_large(uint64_t bits)
{
	paging(GUEST_4LEVEL);
	map(a_page, 2, PAGES(M2) | GPTE_PS | bits);
}

static void a_large_page_is_mapped_by_a_direct_page(void **state UNUSED)
{
	map_large(DONE);
	assert_page(v0, a_page, ACCESS_WRITE, M2 + (a_page >> 12 & 511));
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, M2 + (a_page >> 12 & 511) + 1);
	assert_int_equal(n_direct(), 1);
	assert_int_equal(shadow_entry(v0, a_page).sp->gfn.raw, M2);
	assert_null(shadow_entry(v0, a_page).sp->gfns);
	assert_valid();
}

static void a_page_of_1g_is_mapped_by_two_levels(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	map(a_page & ~0x3fffffffull, 3, 0 | DONE | GPTE_PS);
	assert_page(v0, (a_page & ~0x3fffffffull) + PAGES(M2 + 9), ACCESS_WRITE, M2 + 9);
	assert_int_equal(n_direct(), 2);
	vm->sim.level = LEVEL_2M;
	assert_page(v0, (a_page & ~0x3fffffffull) + PAGES(5), ACCESS_WRITE, 5);
	assert_int_equal(n_direct(), 2);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 1);
	assert_valid();
}

/* DIRECT_ACCESS_MATCH (C8, C9): a clean large page is mapped by a page of its own. */
static void a_large_page_that_becomes_dirty_has_another_direct_page(void **state UNUSED)
{
	struct shadow_page *clean, *dirty;

	map_large(ALL | GPTE_A);
	vm->sim.eager = true;
	assert_verdict(v0, a_page, ACCESS_READ, MMU_OK);
	clean = shadow_entry(v0, a_page).sp;
	assert_false(clean->role.dirty);
	assert_false(tlb_hits(v0, a_page, ACCESS_WRITE));
	assert_verdict(v0, a_page + PAGES(1), ACCESS_WRITE, MMU_OK);
	assert_int_equal(entry(a_page, 2) & GPTE_D, GPTE_D);
	dirty = shadow_entry(v0, a_page + PAGES(1)).sp;
	assert_true(dirty != clean && dirty->role.dirty);
	assert_valid();
	/* And clean again: a write must set the bit once more. */
	guest_map(v0, a_page, 2, PAGES(M2) | GPTE_PS | ALL | GPTE_A);
	invlpg(v0, a_page);
	assert_verdict(v0, a_page, ACCESS_READ, MMU_OK);
	assert_int_equal(entry(a_page, 2) & GPTE_D, 0);
	assert_verdict(v0, a_page, ACCESS_WRITE, MMU_OK);
	assert_int_equal(entry(a_page, 2) & GPTE_D, GPTE_D);
}

static void a_large_page_with_other_rights_has_another_direct_page(void **state UNUSED)
{
	struct shadow_page *all;

	map_large(DONE);
	assert_verdict(v0, a_page, ACCESS_WRITE, MMU_OK);
	all = shadow_entry(v0, a_page).sp;
	guest_map(v0, a_page, 2, PAGES(M2) | GPTE_PS | (DONE & ~GPTE_W));
	invlpg(v0, a_page);
	assert_guest_fault(v0, a_page, ACCESS_WRITE, PFERR_PRESENT | PFERR_WRITE);
	assert_verdict(v0, a_page, ACCESS_READ, MMU_OK);
	assert_true(shadow_entry(v0, a_page).sp != all);
	assert_valid();
}

/* Two large pages of the guest's with the same frames, and different rights and keys. */
static void large_pages_over_the_same_frames_are_told_apart(void **state UNUSED)
{
	const uint64_t second = a_page + (1 << 21), third = a_page + (2 << 21);

	map_large(DONE);
	map(second, 2, PAGES(M2) | GPTE_PS | (DONE & ~GPTE_W));
	map(third, 2, PAGES(M2) | GPTE_PS | DONE | 3ull << GPTE_PKEY_SHIFT);
	v0->paging.cr4 |= X86_CR4_PKE;
	v0->paging.pkru = 3u << 6;
	mmu_paging_changed(v0);
	assert_verdict(v0, a_page, ACCESS_WRITE, MMU_OK);
	assert_verdict(v0, second, ACCESS_READ, MMU_OK);
	assert_guest_fault(v0, second, ACCESS_WRITE, PFERR_PRESENT | PFERR_WRITE);
	assert_guest_fault(v0, third, ACCESS_READ, PFERR_PRESENT | PFERR_PK);
	v0->paging.pkru = 0;
	mmu_paging_changed(v0);
	assert_verdict(v0, third, ACCESS_WRITE, MMU_OK);
	assert_int_equal(n_direct(), 3);
	assert_valid();
}

/* C1, C2: large page and table in turn, at one address and over one frame. */
static void a_large_page_becomes_a_table_and_back(void **state UNUSED)
{
	const uint64_t table = PAGES(M2);

	map_large(DONE);
	for (int i = 0; i < 4; i++) {
		guest_map(v0, a_page, 2, table | DONE | GPTE_PS);
		invlpg(v0, a_page);
		assert_page(v0, a_page, ACCESS_WRITE, M2 + (a_page >> 12 & 511));
		assert_valid();
		write_gpa(table + (a_page >> 12 & 511) * 8, 8, PAGES(5) | DONE);
		guest_map(v0, a_page, 2, table | ALL | GPTE_A);
		invlpg(v0, a_page);
		assert_page(v0, a_page, ACCESS_WRITE, 5);
		assert_valid();
	}
}

/* The same, written by the host without a report: it may be seen late, but what is found must be
 * whole. */
static void the_host_may_write_tables_behind_our_back(void **state UNUSED)
{
	const uint64_t table = PAGES(M2);

	map_large(DONE);
	for (int i = 0; i < 4; i++) {
		map(a_page, 2, table | DONE | GPTE_PS);
		guest_translate(v0, a_page, ACCESS_WRITE);
		guest_translate(v0, a_page + PAGES(1), ACCESS_WRITE);
		assert_valid();
		write_gpa(table + (a_page >> 12 & 511) * 8, 8, (i & 1 ? HOLE : PAGES(5)) | DONE);
		map(a_page, 2, table | ALL | GPTE_A);
		guest_translate(v0, a_page, ACCESS_WRITE);
		guest_translate(v0, a_page + PAGES(2), ACCESS_WRITE);
		assert_valid();
	}
	vm_slot(vm, 1, HOLE, 0, 1, 0);
	assert_int_equal(set_slot(&vm->slots, 1, 0, 0, 0, 0), 0);
	assert_valid();
}

/* --- small pages of the guest over large ones of the host -------------------- */

static void small_pages_over_large_ones_are_small(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	vm->sim.level = LEVEL_2M;
	map(a_page, 1, PAGES(5) | DONE);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_int_equal(shadow_entry(v0, a_page).sp->table.level, LEVEL_4K);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 0);
}

/* A slot that begins in the middle of a large page, or is shorter than it. */
static void a_large_page_beyond_its_slot_is_small(void **state UNUSED)
{
	const uint64_t gva = 0x40000000;

	paging(GUEST_4LEVEL);
	vm->sim.level = LEVEL_2M;
	vm_slot(vm, 1, PAGES(0x10000), 0, M2 - 1, 0);
	map(gva, 2, PAGES(0x10000) | DONE | GPTE_PS);
	assert_page(v0, gva + PAGES(3), ACCESS_WRITE, 3);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), 0);
	assert_verdict(v0, gva + PAGES(M2 - 1), ACCESS_READ, MMU_MMIO);
	assert_valid();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		shadow_test(tables_of_32_bits_are_followed),
		shadow_test(tables_of_pae_are_followed),
		shadow_test(tables_of_four_levels_are_followed),
		shadow_test(tables_of_five_levels_are_followed),
		shadow_test(tables_of_32_bits_have_quadrants),
		shadow_test(a_write_to_a_directory_of_32_bits_drops_two_entries),
		shadow_test(each_half_of_a_given_up_table_is_synced),
		shadow_test(a_page_of_4m_is_mapped_by_halves),
		shadow_test(a_page_of_4m_may_lie_above_4g),
		shadow_test(the_four_registers_of_pae_are_four_roots),
		shadow_test(two_registers_may_lead_to_one_directory),
		shadow_test(without_paging_addresses_are_physical),
		shadow_test(without_paging_large_pages_are_used),
		shadow_test(without_paging_everything_is_allowed),
		shadow_test(paging_may_be_turned_on_and_off),
		shadow_test(a_large_page_is_mapped_by_a_direct_page),
		shadow_test(a_page_of_1g_is_mapped_by_two_levels),
		shadow_test(a_large_page_that_becomes_dirty_has_another_direct_page),
		shadow_test(a_large_page_with_other_rights_has_another_direct_page),
		shadow_test(large_pages_over_the_same_frames_are_told_apart),
		shadow_test(a_large_page_becomes_a_table_and_back),
		shadow_test(the_host_may_write_tables_behind_our_back),
		shadow_test(small_pages_over_large_ones_are_small),
		shadow_test(a_large_page_beyond_its_slot_is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
