/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/shadow/test_shadow_pages.c - shadow pages: found by frame and role, linked, shared,
 * mapped back from their frames, taken away.
 */
#include "shadow_fixture.h"

#include "mmu/tlb/flush.h"

static uint64_t stat(enum vm_stat which)
{
	return vm_stat(vm, which);
}

static unsigned int n_rmap(uint64_t gfn, int level)
{
	const struct frame *frame = frames_find(&shadow->frames, gfn_of(gfn), level);
	struct spte_cursor c;
	struct spte_ref ref;
	unsigned int n = 0;

	if (!frame)
		return 0;
	spte_list_begin(&frame->rmap, &c);
	while (spte_list_next(&c, &ref))
		n++;
	return n;
}

static unsigned int n_parents(const struct shadow_page *sp)
{
	struct spte_cursor c;
	struct spte_ref ref;
	unsigned int n = 0;

	spte_list_begin(&sp->parents, &c);
	while (spte_list_next(&c, &ref))
		n++;
	return n;
}

/* --- making ------------------------------------------------------------------ */

static void an_empty_machine_has_no_shadow_pages(void **state UNUSED)
{
	assert_int_equal(shadow->n_used, 0);
	assert_int_equal(stat(VM_STAT_mmu_tables), 0);
}

static void a_page_is_made_for_each_table_on_the_way(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	assert_page(v0, a_page + 7, ACCESS_READ, 5);
	assert_int_equal(shadow->n_used, 4);
	for (int level = 1; level <= 4; level++) {
		struct shadow_page *sp = shadow_page_at(v0, a_page, level);

		assert_int_equal(sp->gfn.raw, entry_gpa(a_page, level) >> PAGE_SHIFT);
		assert_int_equal(sp->role.level, level);
		assert_int_equal(n_shadow_pages(sp->gfn.raw), 1);
		assert_true(is_tracked(sp->gfn.raw));
		assert_int_equal(n_parents(sp), level == 4 ? 0 : 1);
	}
	assert_int_equal(stat(VM_STAT_mmu_cache_miss), 4);
	assert_int_equal(n_rmap(5, LEVEL_4K), 1);
}

static void what_is_there_is_used_again(void **state UNUSED)
{
	uint64_t taken;

	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	map(a_page + PAGES(1), 1, PAGES(6) | DONE);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_page(v0, a_page + PAGES(1), ACCESS_READ, 6);
	assert_int_equal(shadow->n_used, 4);
	/* By another vCPU too, and without a fault. */
	taken = vcpu_stat(v1, VCPU_STAT_pf_taken);
	assert_page(v1, a_page, ACCESS_READ, 5);
	assert_int_equal(vcpu_stat(v1, VCPU_STAT_pf_taken), taken);
	assert_int_equal(shadow->n_used, 4);
	assert_int_equal(shadow_page_at(v1, a_page, 4)->n_roots, 2);
}

static void an_entry_that_is_not_there_makes_no_page(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	assert_guest_fault(v0, a_page, ACCESS_READ, 0);
	assert_guest_fault(v0, a_page, ACCESS_WRITE, PFERR_WRITE);
	assert_true(shadow->n_used <= 1);
	map(a_page, 1, 0);
	assert_guest_fault(v0, a_page, ACCESS_READ, 0);
	assert_true(shadow->n_used <= 1);
}

/* --- the role as a key ------------------------------------------------------- */

/* One table, reached by entries of different rights (C7, C10). */
static void one_table_under_two_rights_has_two_pages(void **state UNUSED)
{
	uint64_t table;

	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	table = entry_gpa(a_page, 1) & ~0xfffull;
	map(a_page + (1 << 21), 2, table | (ALL & ~GPTE_W) | GPTE_A);
	map(a_page + (2 << 21), 2, table | (ALL & ~GPTE_U) | GPTE_A);
	map(a_page + (3 << 21), 2, table | ALL | GPTE_A | GPTE_NX);

	set_privilege(v0, 3, false);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_page(v0, a_page + (1 << 21), ACCESS_READ, 5);
	assert_guest_fault(v0, a_page + (1 << 21), ACCESS_WRITE,
			   PFERR_PRESENT | PFERR_WRITE | PFERR_USER);
	assert_guest_fault(v0, a_page + (2 << 21), ACCESS_READ, PFERR_PRESENT | PFERR_USER);
	assert_page(v0, a_page + (3 << 21), ACCESS_WRITE, 5);
	assert_guest_fault(v0, a_page + (3 << 21), ACCESS_EXEC,
			   PFERR_PRESENT | PFERR_USER | PFERR_FETCH);
	assert_page(v0, a_page, ACCESS_EXEC, 5);
	set_privilege(v0, 0, false);
	assert_page(v0, a_page + (2 << 21), ACCESS_WRITE, 5);
	assert_int_equal(n_shadow_pages(table >> PAGE_SHIFT), 4);
	assert_int_equal(n_rmap(5, LEVEL_4K), 4);
}

/* Every registers' setting that changes what an entry means. */
static void what_entries_mean_is_part_of_the_role(void **state UNUSED)
{
	uint64_t root;

	paging(GUEST_4LEVEL);
	root = v0->paging.cr3 >> PAGE_SHIFT;
	map(a_page, 1, PAGES(5) | DONE);
	assert_page(v0, a_page, ACCESS_READ, 5);
	v0->paging.efer &= ~X86_EFER_NX;
	mmu_paging_changed(v0);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_int_equal(n_shadow_pages(root), 2);
	v0->paging.maxphyaddr = 40;
	mmu_paging_changed(v0);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_int_equal(n_shadow_pages(root), 3);
	v0->paging.has_1g_pages = false;
	mmu_paging_changed(v0);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_int_equal(n_shadow_pages(root), 4);
	/* But not who asks. */
	v0->paging.cr0 &= ~X86_CR0_WP;
	v0->paging.cr4 |= X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE;
	mmu_paging_changed(v0);
	set_privilege(v0, 3, false);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_int_equal(n_shadow_pages(root), 4);
}

/* C1: the same frame is a table of one level and of another. */
static void a_frame_may_be_tables_of_several_levels(void **state UNUSED)
{
	uint64_t table;

	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	table = entry_gpa(a_page, 2) & ~0xfffull;
	assert_page(v0, a_page, ACCESS_READ, 5);
	/* The directory taken for a table of the lowest level: it maps the table. */
	map(a_page + (1 << 21), 2, table | ALL | GPTE_A);
	assert_page(v0, (a_page & ~0x1fffffull) + (1 << 21) +
		    ((a_page >> 21 & 511) << PAGE_SHIFT), ACCESS_READ,
		    entry_gpa(a_page, 1) >> PAGE_SHIFT);
	assert_int_equal(n_shadow_pages(table >> PAGE_SHIFT), 2);
	/* It is a directory still: no write to it goes unseen. */
	assert_valid();
}

/* --- links and rmaps --------------------------------------------------------- */

static void a_page_knows_all_its_parents(void **state UNUSED)
{
	uint64_t table;
	struct shadow_page *sp;

	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	table = entry_gpa(a_page, 1) & ~0xfffull;
	for (unsigned int i = 1; i < 20; i++)
		map(a_page + ((uint64_t)i << 21), 2, table | ALL | GPTE_A);
	for (unsigned int i = 0; i < 20; i++)
		assert_page(v0, a_page + ((uint64_t)i << 21), ACCESS_WRITE, 5);
	sp = shadow_page_at(v0, a_page, 1);
	assert_int_equal(n_parents(sp), 20);
	assert_int_equal(n_rmap(5, LEVEL_4K), 1);
	assert_valid();
	/* In an order of their own. */
	for (unsigned int i = 0; i < 20; i += 3) {
		guest_map(v0, a_page + ((uint64_t)i << 21), 2, 0);
		/* A fault, so that the directory is not taken for disused. */
		map(a_page + (1 << 21) + PAGES(1 + i), 1, PAGES(6) | DONE);
		assert_page(v0, a_page + (1 << 21) + PAGES(1 + i), ACCESS_READ, 6);
	}
	assert_int_equal(n_parents(sp), 13);
	assert_valid();
	for (unsigned int i = 0; i < 20; i++)
		guest_map(v0, a_page + ((uint64_t)i << 21), 2, 0);
	assert_int_equal(n_parents(sp), 0);
}

static void a_frame_knows_all_that_map_it(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	for (unsigned int i = 0; i < 40; i++)
		map(a_page + PAGES(i), 1, PAGES(5) | DONE);
	for (unsigned int i = 0; i < 40; i++)
		assert_page(v0, a_page + PAGES(i), ACCESS_READ, 5);
	assert_int_equal(n_rmap(5, LEVEL_4K), 40);
	assert_valid();
	for (unsigned int i = 1; i < 40; i += 2)
		guest_map(v0, a_page + PAGES(i), 1, PAGES(6) | DONE);
	/* The table was given up to the guest: it is looked at again now. */
	load_cr3(v0, v0->paging.cr3);
	for (unsigned int i = 0; i < 40; i++)
		assert_page(v0, a_page + PAGES(i), ACCESS_READ, 5 + i % 2);
	assert_int_equal(n_rmap(5, LEVEL_4K), 20);
	assert_int_equal(n_rmap(6, LEVEL_4K), 20);
}

/* --- taking away ------------------------------------------------------------- */

static void zap(struct shadow_page *sp)
{
	rwlock_wrlock(&vm->mmu.lock);
	shadow_zap(&vm->mmu, sp);
	rwlock_wrunlock(&vm->mmu.lock);
}

static void a_zapped_page_is_unlinked_and_made_anew(void **state UNUSED)
{
	struct shadow_page *table;
	uint64_t owed;

	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	table = shadow_page_at(v0, a_page, 1);
	owed = atomic64_load_relaxed(&vm->mmu.owed);
	zap(table);
	assert_valid();
	assert_int_equal(n_rmap(5, LEVEL_4K), 0);
	assert_int_equal(shadow->n_used, 3);
	assert_int_equal(shadow->n_dead, 1);
	/* NO_SPTE_IMPLIES_NO_TLB, or there is a debt. */
	assert_true(atomic64_load_relaxed(&vm->mmu.owed) > owed);
	assert_page(v1, a_page, ACCESS_READ, 5);
	assert_int_equal(shadow->n_used, 4);
}

static void a_page_in_the_middle_takes_its_links_along(void **state UNUSED)
{
	struct shadow_page *table;

	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	table = shadow_page_at(v0, a_page, 1);
	zap(shadow_page_at(v0, a_page, 2));
	assert_valid();
	assert_int_equal(n_parents(table), 0);
	/* What it led to is there, and found again. */
	assert_page(v1, a_page, ACCESS_READ, 5);
	assert_ptr_equal(shadow_page_at(v1, a_page, 1), table);
	assert_int_equal(shadow->n_used, 4);
}

static void a_zapped_root_stays_until_nobody_has_it(void **state UNUSED)
{
	struct shadow_page *root;

	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_page(v1, a_page, ACCESS_WRITE, 5);
	root = shadow_page_at(v0, a_page, 4);
	zap(root);
	assert_valid();
	assert_int_equal(shadow->n_dead, 0);
	assert_int_equal(stat(VM_STAT_mmu_tables), 4);
	/* An access notices, and has a new one. */
	assert_verdict(v0, a_page + PAGES(1), ACCESS_READ, MMU_GUEST_FAULT);
	map(a_page + PAGES(1), 1, PAGES(6) | DONE);
	assert_page(v0, a_page + PAGES(1), ACCESS_READ, 6);
	assert_true(shadow_page_at(v0, a_page, 4) != root);
	shadow_drop_obsolete_roots(v0);
	shadow_drop_obsolete_roots(v1);
	rwlock_wrlock(&vm->mmu.lock);
	shadow_reap(&vm->mmu, REAP_ALL);
	rwlock_wrunlock(&vm->mmu.lock);
	assert_int_equal(stat(VM_STAT_mmu_tables), shadow->n_used);
}

/* UNLINK_FLUSH_FREE */
static void a_page_is_freed_after_the_flush_that_follows(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	zap(shadow_page_at(v0, a_page, 1));
	rwlock_wrlock(&vm->mmu.lock);
	shadow_reap(&vm->mmu, REAP_IF_MANY);
	assert_int_equal(shadow->n_dead, 1);
	flush_settle(&vm->mmu);
	shadow_reap(&vm->mmu, REAP_IF_MANY);
	assert_int_equal(shadow->n_dead, 0);
	rwlock_wrunlock(&vm->mmu.lock);
}

/* The tree of frames holds no more than is needed for the slots that there are. */
static void frames_are_forgotten_with_their_slot(void **state UNUSED)
{
	uint64_t in_use;

	paging(GUEST_PAE);
	map(a_page, 1, PAGES(5) | DONE);
	map(1ull << 30, 1, PAGES(6) | DONE);
	assert_page(v0, a_page, ACCESS_READ, 5);
	in_use = atomic64_load_relaxed(&shadow->frames.low.in_use);
	for (uint64_t i = 1; i < 100; i++) {
		/* A directory and its table, seen far up. */
		vm_slot(vm, 1, i << 34, TABLES >> PAGE_SHIFT, 16, 0);
		v0->paging.pdptr[2] = (i << 34) + (v0->paging.pdptr[1] - TABLES);
		mmu_paging_changed(v0);
		assert_page(v0, 2ull << 30, ACCESS_READ, 6);
		assert_int_equal(set_slot(&vm->slots, 1, 0, 0, 0, 0), 0);
		assert_valid();
	}
	assert_true(atomic64_load_relaxed(&shadow->frames.low.in_use) <= in_use);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		shadow_test(an_empty_machine_has_no_shadow_pages),
		shadow_test(a_page_is_made_for_each_table_on_the_way),
		shadow_test(what_is_there_is_used_again),
		shadow_test(an_entry_that_is_not_there_makes_no_page),
		shadow_test(one_table_under_two_rights_has_two_pages),
		shadow_test(what_entries_mean_is_part_of_the_role),
		shadow_test(a_frame_may_be_tables_of_several_levels),
		shadow_test(a_page_knows_all_its_parents),
		shadow_test(a_frame_knows_all_that_map_it),
		shadow_test(a_zapped_page_is_unlinked_and_made_anew),
		shadow_test(a_page_in_the_middle_takes_its_links_along),
		shadow_test(a_zapped_root_stays_until_nobody_has_it),
		shadow_test(a_page_is_freed_after_the_flush_that_follows),
		shadow_test(frames_are_forgotten_with_their_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
