/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/shadow/test_shadow_unsync.c - lowest tables that the guest writes unseen, and how
 * their shadow is brought up to date.
 */
#include "shadow_fixture.h"

#include <string.h>

#include "mem/dirty_log.h"
#include "mmu/notifier.h"
#include "mmu/tlb/flush.h"

#define READ_ONLY (DONE & ~GPTE_W)

static uint64_t window(uint64_t gva, int level)
{
	return linear + entry_gpa(gva, level);
}

static uint32_t unsync_children(uint64_t gva, int level)
{
	return atomic32_load_relaxed(&shadow_page_at(v0, gva, level)->unsync_children);
}

static uint64_t n_unsync(void)
{
	return vm_stat(vm, VM_STAT_mmu_unsync);
}

/* a_page is page 5, the next is page 6; used by both vCPUs; and their table is the
 * guest's to write. */
static void use_pages(void)
{
	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | DONE);
	map(a_page + PAGES(1), 1, PAGES(6) | DONE);
	for (unsigned int i = 0; i < 2; i++) {
		assert_page(&vm->vcpu[i], a_page, ACCESS_WRITE, 5);
		assert_page(&vm->vcpu[i], a_page + PAGES(1), ACCESS_WRITE, 6);
	}
}

static void give_up_table(void)
{
	use_pages();
	assert_verdict(v0, window(a_page, 1), ACCESS_WRITE, MMU_OK);
	assert_true(is_unsync(v0, a_page));
}

/* --- given up ---------------------------------------------------------------- */

static void a_lowest_table_is_given_up_to_who_writes_it(void **state UNUSED)
{
	use_pages();
	assert_verdict(v0, window(a_page, 1), ACCESS_WRITE, MMU_OK);
	assert_false(result.tracked);
	assert_true(tlb_hits(v0, window(a_page, 1), ACCESS_WRITE));
	assert_true(is_unsync(v0, a_page));
	assert_int_equal(n_unsync(), 1);
	for (int level = 2; level <= 4; level++)
		assert_int_equal(unsync_children(a_page, level), 1);
	assert_valid();
}

static void a_table_that_is_only_read_stays_as_it_is(void **state UNUSED)
{
	use_pages();
	assert_verdict(v0, window(a_page, 1), ACCESS_READ, MMU_OK);
	assert_false(is_unsync(v0, a_page));
	assert_int_equal(n_unsync(), 0);
}

/* UNSYNC_ONLY_LEAF; also if the frame is a lowest table as well. */
static void a_frame_that_is_an_upper_table_too_is_not_given_up(void **state UNUSED)
{
	uint64_t directory;
	uint64_t other;

	use_pages();
	directory = entry_gpa(a_page, 2) & ~0xfffull;
	map(a_page + (1 << 21), 2, directory | ALL | GPTE_A);
	other = (a_page & ~0x1fffffull) + (1 << 21) + ((a_page >> 21 & 511) << PAGE_SHIFT);
	assert_page(v0, other, ACCESS_READ, entry_gpa(a_page, 1) >> PAGE_SHIFT);
	assert_verdict(v0, linear + directory, ACCESS_WRITE, MMU_OK);
	assert_true(result.tracked);
	assert_int_equal(n_unsync(), 0);
	assert_valid();
}

/* A second way to write the frame is opened by its own fault. */
static void a_table_that_becomes_an_upper_one_is_taken_back(void **state UNUSED)
{
	uint64_t table;

	give_up_table();
	table = entry_gpa(a_page, 1) & ~0xfffull;
	/* A directory whose entries are the page's: 5 and 6 are tables of zeros now. */
	memset(vm->memory + PAGES(5), 0, PAGES(2));
	map(a_page + (1ull << 30), 3, table | ALL | GPTE_A);
	assert_guest_fault(v1, (a_page & ~0x3fffffffull) + (1ull << 30) +
			   ((a_page >> 12 & 511) << 21), ACCESS_READ, 0);
	write_gpa(PAGES(5), 8, PAGES(9) | DONE);
	assert_page(v1, (a_page & ~0x3fffffffull) + (1ull << 30) +
		    ((a_page >> 12 & 511) << 21), ACCESS_READ, 9);
	assert_valid();
	assert_false(tlb_hits(v0, window(a_page, 1), ACCESS_WRITE));
	assert_verdict(v0, window(a_page, 1), ACCESS_WRITE, MMU_OK);
	assert_true(result.tracked);
	/* Out of date it is still, as far as anybody knows. */
	assert_int_equal(n_unsync(), 1);
}

/* --- INVLPG ------------------------------------------------------------------ */

static void invlpg_forgets_an_entry_of_a_given_up_table(void **state UNUSED)
{
	give_up_table();
	guest_map(v0, a_page, 1, PAGES(7) | DONE);
	guest_map(v0, a_page + PAGES(1), 1, PAGES(8) | DONE);
	invlpg(v0, a_page);
	assert_page(v0, a_page, ACCESS_READ, 7);
	assert_true(is_unsync(v0, a_page));
	assert_valid();
	invlpg(v0, a_page + PAGES(1));
	assert_page(v0, a_page + PAGES(1), ACCESS_READ, 8);
	assert_int_equal(vcpu_stat(v0, VCPU_STAT_invlpg), 2);
}

static void invlpg_elsewhere_costs_no_lock(void **state UNUSED)
{
	uint64_t locks;

	use_pages();
	locks = hook_count(HOOK_WRLOCK);
	invlpg(v0, a_page);
	invlpg(v0, a_page + (1ull << 40));
	assert_int_equal(hook_count(HOOK_WRLOCK), locks);
	assert_int_equal(vcpu_stat(v0, VCPU_STAT_invlpg), 0);
}

/* The entry goes for all; what another's TLB has is that one's own affair. */
static void invlpg_of_another_vcpu_leaves_my_tlb(void **state UNUSED)
{
	give_up_table();
	guest_map(v0, a_page, 1, PAGES(7) | DONE);
	invlpg(v0, a_page);
	assert_true(tlb_hits(v1, a_page, ACCESS_READ));
	assert_page(v1, a_page, ACCESS_READ, 5);
	invlpg(v1, a_page);
	assert_page(v1, a_page, ACCESS_READ, 7);
}

/* C41: also below roots that are not the current ones. */
static void invlpg_reaches_the_other_roots(void **state UNUSED)
{
	uint64_t root = TABLES, other;

	give_up_table();
	other = new_table();
	memcpy(vm->memory + other, vm->memory + root, PAGE_SIZE);
	load_cr3(v0, other);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_verdict(v0, window(a_page, 1), ACCESS_WRITE, MMU_OK);
	guest_map(v0, a_page, 1, PAGES(7) | DONE);
	invlpg(v0, a_page);
	load_cr3(v0, root);
	assert_page(v0, a_page, ACCESS_READ, 7);
}

/* --- CR3 --------------------------------------------------------------------- */

static void a_load_of_cr3_brings_all_up_to_date(void **state UNUSED)
{
	uint64_t faults;

	give_up_table();
	guest_map(v0, a_page, 1, PAGES(7) | DONE);
	load_cr3(v0, v0->paging.cr3);
	assert_page(v0, a_page, ACCESS_READ, 7);
	assert_false(is_unsync(v0, a_page));
	assert_int_equal(n_unsync(), 0);
	assert_int_equal(vm_stat(vm, VM_STAT_mmu_synced), 1);
	for (int level = 2; level <= 4; level++)
		assert_int_equal(unsync_children(a_page, level), 0);
	assert_valid();
	/* What has not changed has been kept. */
	faults = vcpu_stat(v0, VCPU_STAT_pf_taken);
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, 6);
	assert_int_equal(vcpu_stat(v0, VCPU_STAT_pf_taken), faults);
	/* The table is protected again, in every TLB. */
	assert_false(tlb_hits(v0, window(a_page, 1), ACCESS_WRITE));
	assert_verdict(v1, window(a_page, 1), ACCESS_WRITE, MMU_OK);
	assert_true(is_unsync(v0, a_page));
}

static void assert_synced_to(uint64_t value, enum access access, enum mmu_verdict verdict,
			     uint32_t error_code)
{
	give_up_table();
	guest_map(v0, a_page, 1, value);
	load_cr3(v0, v0->paging.cr3);
	set_privilege(v0, 3, false);
	assert_int_equal(guest_access(v0, a_page, access), verdict);
	if (verdict == MMU_GUEST_FAULT)
		assert_int_equal(result.error_code, error_code);
	set_privilege(v0, 0, false);
	assert_valid();
}

static void a_sync_sees_that_an_entry_is_gone(void **state UNUSED)
{
	assert_synced_to(0, ACCESS_READ, MMU_GUEST_FAULT, PFERR_USER);
}

static void a_sync_sees_that_writing_is_forbidden(void **state UNUSED)
{
	assert_synced_to(PAGES(5) | READ_ONLY, ACCESS_WRITE, MMU_GUEST_FAULT,
			 PFERR_PRESENT | PFERR_WRITE | PFERR_USER);
	assert_page(v0, a_page, ACCESS_READ, 5);
}

static void a_sync_sees_that_users_are_excluded(void **state UNUSED)
{
	assert_synced_to(PAGES(5) | (DONE & ~GPTE_U), ACCESS_READ, MMU_GUEST_FAULT,
			 PFERR_PRESENT | PFERR_USER);
}

static void a_sync_sees_that_executing_is_forbidden(void **state UNUSED)
{
	assert_synced_to(PAGES(5) | DONE | GPTE_NX, ACCESS_EXEC, MMU_GUEST_FAULT,
			 PFERR_PRESENT | PFERR_USER | PFERR_FETCH);
}

static void a_sync_sees_a_reserved_bit(void **state UNUSED)
{
	assert_synced_to(PAGES(5) | DONE | 1ull << 50, ACCESS_READ, MMU_GUEST_FAULT,
			 PFERR_PRESENT | PFERR_USER | PFERR_RSVD);
}

static void a_sync_sees_that_there_is_no_memory(void **state UNUSED)
{
	assert_synced_to(HOLE | DONE, ACCESS_READ, MMU_MMIO, 0);
	assert_int_equal(result.gpa.raw, HOLE);
}

/* The dirty and accessed bits: set anew by the next access. */
static void a_sync_sees_that_an_entry_is_clean_or_unused(void **state UNUSED)
{
	assert_synced_to(PAGES(5) | (DONE & ~GPTE_D), ACCESS_READ, MMU_OK, 0);
	assert_false(tlb_hits(v0, a_page, ACCESS_WRITE));
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_int_equal(entry(a_page, 1), PAGES(5) | DONE);
	guest_map(v0, a_page, 1, PAGES(5) | (DONE & ~GPTE_A));
	load_cr3(v0, v0->paging.cr3);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_int_equal(entry(a_page, 1), PAGES(5) | DONE);
}

static void a_sync_sees_that_more_is_allowed(void **state UNUSED)
{
	paging(GUEST_4LEVEL);
	map(a_page, 1, PAGES(5) | GPTE_P | GPTE_A | GPTE_NX);
	map(a_page + PAGES(1), 1, PAGES(6) | DONE);
	assert_page(v0, a_page + PAGES(1), ACCESS_READ, 6);
	assert_page(v0, a_page, ACCESS_READ, 5);
	guest_map(v0, a_page, 1, PAGES(5) | DONE);
	assert_true(is_unsync(v0, a_page));
	load_cr3(v0, v0->paging.cr3);
	set_privilege(v0, 3, false);
	assert_page(v0, a_page, ACCESS_WRITE, 5);
	assert_page(v0, a_page, ACCESS_EXEC, 5);
}

/* A fault of another's meets an entry that was dirty when it was made. */
static void a_fault_sees_that_an_entry_is_clean(void **state UNUSED)
{
	give_up_table();
	map(a_page + PAGES(2), 1, PAGES(8) | (DONE & ~GPTE_U));
	assert_page(v0, a_page + PAGES(2), ACCESS_WRITE, 8);
	guest_map(v0, a_page + PAGES(2), 1, PAGES(8) | (DONE & ~GPTE_D));
	set_privilege(v1, 3, false);
	assert_page(v1, a_page + PAGES(2), ACCESS_READ, 8);
	assert_valid();
	assert_int_equal(entry(a_page + PAGES(2), 1) & GPTE_D, 0);
	assert_page(v1, a_page + PAGES(2), ACCESS_WRITE, 8);
	assert_int_equal(entry(a_page + PAGES(2), 1) & GPTE_D, GPTE_D);
}

/* More than fit into one batch, and one page by many ways. */
static void a_load_of_cr3_finds_every_table(void **state UNUSED)
{
	enum { N = 3 * SHADOW_SYNC_BATCH + 1 };
	uint64_t table;

	paging(GUEST_4LEVEL);
	for (unsigned int i = 0; i < N; i++) {
		map(a_page + ((uint64_t)i << 21), 1, PAGES(5) | DONE);
		assert_page(v0, a_page + ((uint64_t)i << 21), ACCESS_READ, 5);
	}
	for (unsigned int i = 0; i < N; i++)
		guest_map(v0, a_page + ((uint64_t)i << 21), 1, PAGES(6) | DONE);
	assert_int_equal(n_unsync(), N);
	table = entry_gpa(a_page, 1) & ~0xfffull;
	for (unsigned int i = 0; i < 64; i++) {
		map(a_page + (1ull << 30) + ((uint64_t)i << 21), 2, table | ALL | GPTE_A);
		assert_page(v0, a_page + (1ull << 30) + ((uint64_t)i << 21), ACCESS_READ, 6);
	}
	assert_valid();
	load_cr3(v0, v0->paging.cr3);
	for (unsigned int i = 0; i < N; i++)
		assert_page(v0, a_page + ((uint64_t)i << 21), ACCESS_READ, 6);
	assert_int_equal(n_unsync(), 0);
}

/* A page reached by two paths is read once: a second read would make the first stale, and all of
 * the page would be faulted in again. */
static void what_is_reached_by_two_ways_is_kept_too(void **state UNUSED)
{
	uint64_t faults;

	use_pages();
	map(a_page + (1 << 21), 2, entry(a_page, 2));
	assert_page(v0, a_page + (1 << 21), ACCESS_WRITE, 5);
	guest_map(v0, a_page, 1, PAGES(7) | DONE);
	load_cr3(v0, v0->paging.cr3);
	assert_page(v0, a_page, ACCESS_READ, 7);
	faults = vcpu_stat(v0, VCPU_STAT_pf_taken);
	assert_page(v0, a_page + PAGES(1), ACCESS_WRITE, 6);
	assert_int_equal(vcpu_stat(v0, VCPU_STAT_pf_taken), faults);
}

/* --- SYNC_BEFORE_LINK (C13) -------------------------------------------------- */

static void what_is_linked_is_brought_up_to_date_first(void **state UNUSED)
{
	const uint64_t other = a_page + (1ull << 30);
	uint64_t table;

	give_up_table();
	table = entry_gpa(a_page, 1) & ~0xfffull;
	assert_verdict(v0, window(other, 2), ACCESS_WRITE, MMU_OK);
	guest_map(v0, a_page, 1, PAGES(7) | DONE);
	/* An entry where none was: no processor need be asked to forget anything. */
	guest_map(v0, other, 2, table | ALL | GPTE_A);
	assert_page(v0, other, ACCESS_READ, 7);
	assert_false(is_unsync(v0, a_page));
	assert_valid();
}

static void what_is_below_a_linked_page_is_brought_up_to_date_too(void **state UNUSED)
{
	const uint64_t other = a_page + (1ull << 39);
	uint64_t upper;

	give_up_table();
	upper = entry_gpa(a_page, 3) & ~0xfffull;
	guest_map(v0, a_page, 1, PAGES(7) | DONE);
	guest_map(v0, other, 4, upper | ALL | GPTE_A);
	assert_page(v0, other, ACCESS_READ, 7);
	assert_valid();
}

/* --- races ------------------------------------------------------------------- */

static unsigned int skip;
static void (*then)(void);

static void count_down(void *ctx UNUSED)
{
	if (skip--)
		hook_once(HOOK_WRLOCK, count_down, NULL);
	else
		then();
}

/* @fn runs when the MMU lock is about to be taken for the @n-th time from now. */
static void at_lock(unsigned int n, void (*fn)(void))
{
	skip = n - 1;
	then = fn;
	hook_once(HOOK_WRLOCK, count_down, NULL);
}

static void v1_writes_seven(void)
{
	guest_map(v1, a_page, 1, PAGES(7) | DONE);
}

static void v1_writes_and_syncs(void)
{
	v1_writes_seven();
	load_cr3(v1, v1->paging.cr3);
	assert_page(v1, a_page, ACCESS_READ, 7);
}

static void v1_writes_and_invalidates(void)
{
	v1_writes_seven();
	invlpg(v1, a_page);
	assert_page(v1, a_page, ACCESS_READ, 7);
}

/* Whatever happens at any point of a load of CR3, it is in what is found after it. */
static void race_with_a_load_of_cr3(void (*fn)(void))
{
	for (unsigned int n = 1; n < 12; n++) {
		uint64_t locks;

		guest_map(v0, a_page, 1, PAGES(5) | DONE);
		load_cr3(v0, v0->paging.cr3);
		load_cr3(v1, v1->paging.cr3);
		assert_page(v0, a_page, ACCESS_READ, 5);
		assert_page(v1, a_page, ACCESS_READ, 5);
		assert_verdict(v1, window(a_page, 1), ACCESS_WRITE, MMU_OK);
		assert_true(is_unsync(v0, a_page));
		load_cr3(v0, v0->paging.cr3);
		at_lock(n, fn);
		locks = hook_count(HOOK_WRLOCK);
		guest_access(v0, a_page + PAGES(1), ACCESS_READ);
		hook_clear(HOOK_WRLOCK);
		assert_valid();
		/* A vCPU that uses it after its own flush does not see the old one. */
		if (hook_count(HOOK_WRLOCK) - locks < n)
			v1_writes_seven();
		load_cr3(v0, v0->paging.cr3);
		assert_page(v0, a_page, ACCESS_READ, 7);
		load_cr3(v1, v1->paging.cr3);
		assert_page(v1, a_page, ACCESS_READ, 7);
		assert_valid();
	}
}

static void a_write_during_a_sync_is_not_lost(void **state UNUSED)
{
	give_up_table();
	race_with_a_load_of_cr3(v1_writes_seven);
}

static void two_syncs_of_one_table_agree(void **state UNUSED)
{
	give_up_table();
	race_with_a_load_of_cr3(v1_writes_and_syncs);
}

static void an_invlpg_during_a_sync_is_not_lost(void **state UNUSED)
{
	give_up_table();
	race_with_a_load_of_cr3(v1_writes_and_invalidates);
}

/* SYNC_FIRST_CLEAR_THEN_READ: it was protected, read, and written before the last step. */
static void what_was_read_before_a_write_is_void(void **state UNUSED)
{
	give_up_table();
	load_cr3(v0, v0->paging.cr3);
	/* To collect, to protect, and then it compares. */
	at_lock(3, v1_writes_seven);
	assert_page(v0, a_page, ACCESS_READ, 7);
	assert_valid();
}

/* C12: INVLPG by one vCPU while another installs what it has read before. */
static void a_fault_that_read_before_an_invlpg_starts_again(void **state UNUSED)
{
	give_up_table();
	/* No entry, so that v0 faults; it has read the old one when it takes the lock. */
	invlpg(v0, a_page);
	at_lock(1, v1_writes_and_invalidates);
	assert_page(v0, a_page, ACCESS_READ, 7);
	assert_valid();
}

static void v1_maps_elsewhere(void)
{
	map(a_page, 1, PAGES(7) | DONE);
	invlpg(v1, a_page);
}

/* Although there was no entry to drop. */
static void an_invlpg_of_nothing_makes_readings_void_too(void **state UNUSED)
{
	give_up_table();
	invlpg(v0, a_page);
	at_lock(1, v1_maps_elsewhere);
	assert_page(v0, a_page, ACCESS_READ, 7);
}

/* --- the log ----------------------------------------------------------------- */

static void unseen_writes_are_in_the_dirty_log(void **state UNUSED)
{
	uint64_t bitmap[N_PAGES / 64];
	uint64_t frame;

	give_up_table();
	frame = entry_gpa(a_page, 1) >> PAGE_SHIFT;
	vm_slot(vm, 0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0);
		guest_map(v0, a_page, 1, PAGES(7) | DONE);
		assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0);
		assert_true(bitmap[frame / 64] >> (frame % 64) & 1);
		assert_true(is_unsync(v0, a_page));
	}
	load_cr3(v0, v0->paging.cr3);
	assert_page(v0, a_page, ACCESS_READ, 7);
}

/* As a harvest of this page alone does. */
static void protect_frame(struct mmu *m, uint64_t gfn)
{
	const struct memslot slot = { .base_gfn = gfn_of(gfn), .npages = 1 };

	shadow_write_protect_mask(m, &slot, 0, 1);
}

/* C17, FLUSH_IFF_MMUW_CLEARED: logging has taken W and not flushed yet. */
static void a_sync_after_logging_flushes_although_nothing_has_w(void **state UNUSED)
{
	uint64_t frame;

	give_up_table();
	frame = entry_gpa(a_page, 1) >> PAGE_SHIFT;
	protect_frame(&vm->mmu, frame);
	load_cr3(v1, v1->paging.cr3);
	assert_page(v1, a_page, ACCESS_READ, 5);
	assert_false(is_unsync(v0, a_page));
	assert_false(tlb_hits(v0, window(a_page, 1), ACCESS_WRITE));
}

/* The older policy: it was flushed then, and need not be now. */
static void with_the_older_policy_logging_flushes_at_once(void **state UNUSED)
{
	uint64_t frame;
	uint64_t rounds;

	atomic32_store_relaxed(&vm->mmu.flush_policy, FLUSH_IF_W_CLEARED);
	give_up_table();
	frame = entry_gpa(a_page, 1) >> PAGE_SHIFT;
	rounds = vm_stat(vm, VM_STAT_remote_tlb_flush);
	protect_frame(&vm->mmu, frame);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush), rounds + 1);
	load_cr3(v1, v1->paging.cr3);
	assert_page(v1, a_page, ACCESS_READ, 5);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush), rounds + 1);
	assert_false(is_unsync(v0, a_page));
	assert_false(tlb_hits(v0, window(a_page, 1), ACCESS_WRITE));
}

static bool has_debt(void)
{
	return atomic64_load_relaxed(&vm->mmu.paid) < atomic64_load_relaxed(&vm->mmu.owed);
}

/* W_LOSS_OWES: v1 may go on writing until the log asks. */
static void w_taken_by_a_fault_is_owed_to_the_log(void **state UNUSED)
{
	static uint64_t bitmap[N_PAGES / 64];
	const uint64_t page = a_page + PAGES(2);
	uint64_t rounds;

	vm_slot(vm, 0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	give_up_table();
	map(page, 1, PAGES(8) | (DONE & ~GPTE_U));
	assert_page(v1, page, ACCESS_WRITE, 8);
	flush_settle(&vm->mmu);
	assert_page(v1, page, ACCESS_WRITE, 8);
	rounds = vm_stat(vm, VM_STAT_remote_tlb_flush);
	guest_map(v0, page, 1, PAGES(8) | (DONE & ~GPTE_D));
	assert_false(has_debt());
	set_privilege(v0, 3, false);
	assert_page(v0, page, ACCESS_READ, 8);
	assert_false(spte_is_writable(shadow_entry(v0, page).spte));
	assert_true(has_debt());
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush), rounds);
	assert_true(tlb_hits(v1, page, ACCESS_WRITE));
	assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0);
	assert_false(tlb_hits(v1, page, ACCESS_WRITE));
	assert_false(has_debt());
}

static void w_taken_by_a_sync_is_owed(void **state UNUSED)
{
	give_up_table();
	assert_page(v1, a_page, ACCESS_WRITE, 5);
	guest_map(v0, a_page, 1, PAGES(5) | (DONE & ~GPTE_D));
	load_cr3(v0, v0->paging.cr3);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_false(spte_is_writable(shadow_entry(v0, a_page).spte));
	assert_true(has_debt());
}

/* FLUSH_BY_SOFTWARE_STATE, ENABLE_FLUSHES_ALWAYS: with no debt and nothing to protect. */
static void the_log_flushes_by_what_it_took(void **state UNUSED)
{
	static uint64_t bitmap[N_PAGES / 64];
	uint64_t rounds;

	use_pages();
	flush_settle(&vm->mmu);
	rounds = vm_stat(vm, VM_STAT_remote_tlb_flush);
	vm_slot(vm, 0, 0, 0, N_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush), rounds + 1);
	/* Nothing taken, nothing flushed. */
	assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0);
	assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0);
	rounds = vm_stat(vm, VM_STAT_remote_tlb_flush);
	assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush), rounds);
	assert_page(v1, a_page, ACCESS_WRITE, 5);
	protect_frame(&vm->mmu, 5);
	flush_settle(&vm->mmu);
	rounds = vm_stat(vm, VM_STAT_remote_tlb_flush);
	assert_int_equal(dirty_log_get(&vm->slots, 0, bitmap), 0);
	assert_int_equal(vm_stat(vm, VM_STAT_remote_tlb_flush), rounds + 1);
}

/* NO_SPTE_IMPLIES_NO_TLB: what a sync drops, the host's next question finds as a debt. */
static void a_page_dropped_by_a_sync_is_flushed_for_the_host(void **state UNUSED)
{
	struct invalidation inv;
	hva_t hva;

	give_up_table();
	assert_true(tlb_hits(v0, a_page, ACCESS_READ));
	guest_map(v1, a_page, 1, PAGES(7) | DONE);
	load_cr3(v1, v1->paging.cr3);
	assert_page(v1, a_page, ACCESS_READ, 7);
	assert_int_equal(frames_find(&shadow->frames, gfn_of(5), LEVEL_4K)->rmap.head, 0);
	hva = vm_hva(vm, 5);
	mmu_invalidate_begin(&vm->mmu, hva, hva_add(hva, PAGE_SIZE), &inv);
	assert_false(tlb_hits(v0, a_page, ACCESS_READ));
	mmu_invalidate_end(&inv);
}

/* v0 has forgotten what it mapped for writing, and v1 need not have: now it is a table. */
static void a_new_table_is_taken_from_tlbs_that_no_entry_knows_of(void **state UNUSED)
{
	const uint64_t other = a_page + (1 << 21);

	give_up_table();
	assert_true(tlb_hits(v1, a_page, ACCESS_WRITE));
	guest_map(v0, a_page, 1, 0);
	invlpg(v0, a_page);
	assert_true(tlb_hits(v1, a_page, ACCESS_WRITE));
	memset(vm->memory + PAGES(5), 0, PAGE_SIZE);
	write_gpa(PAGES(5) + (other >> 12 & 511) * 8, 8, PAGES(6) | DONE);
	map(other, 2, PAGES(5) | ALL | GPTE_A);
	assert_page(v0, other, ACCESS_READ, 6);
	assert_false(tlb_hits(v1, a_page, ACCESS_WRITE));
}

/* The same with one that is brought up to date. */
static void a_synced_table_is_taken_from_tlbs_that_no_entry_knows_of(void **state UNUSED)
{
	const uint64_t alias = a_page + PAGES(3);
	uint64_t table;

	use_pages();
	table = entry_gpa(a_page, 1) & ~0xfffull;
	map(alias, 1, table | DONE);
	assert_page(v1, alias, ACCESS_WRITE, table >> PAGE_SHIFT);
	assert_true(is_unsync(v0, a_page));
	assert_true(tlb_hits(v1, alias, ACCESS_WRITE));
	/* The entry goes, and a load of CR3 finds nothing to protect. */
	write_gpa(entry_gpa(alias, 1), 8, 0);
	invlpg(v0, alias);
	assert_true(tlb_hits(v1, alias, ACCESS_WRITE));
	load_cr3(v0, v0->paging.cr3);
	assert_page(v0, a_page, ACCESS_READ, 5);
	assert_false(is_unsync(v0, a_page));
	assert_false(tlb_hits(v1, alias, ACCESS_WRITE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		shadow_test(a_lowest_table_is_given_up_to_who_writes_it),
		shadow_test(a_table_that_is_only_read_stays_as_it_is),
		shadow_test(a_frame_that_is_an_upper_table_too_is_not_given_up),
		shadow_test(a_table_that_becomes_an_upper_one_is_taken_back),
		shadow_test(invlpg_forgets_an_entry_of_a_given_up_table),
		shadow_test(invlpg_elsewhere_costs_no_lock),
		shadow_test(invlpg_of_another_vcpu_leaves_my_tlb),
		shadow_test(invlpg_reaches_the_other_roots),
		shadow_test(a_load_of_cr3_brings_all_up_to_date),
		shadow_test(a_sync_sees_that_an_entry_is_gone),
		shadow_test(a_sync_sees_that_writing_is_forbidden),
		shadow_test(a_sync_sees_that_users_are_excluded),
		shadow_test(a_sync_sees_that_executing_is_forbidden),
		shadow_test(a_sync_sees_a_reserved_bit),
		shadow_test(a_sync_sees_that_there_is_no_memory),
		shadow_test(a_sync_sees_that_an_entry_is_clean_or_unused),
		shadow_test(a_sync_sees_that_more_is_allowed),
		shadow_test(a_fault_sees_that_an_entry_is_clean),
		shadow_test(a_load_of_cr3_finds_every_table),
		shadow_test(what_is_reached_by_two_ways_is_kept_too),
		shadow_test(what_is_linked_is_brought_up_to_date_first),
		shadow_test(what_is_below_a_linked_page_is_brought_up_to_date_too),
		shadow_test(a_write_during_a_sync_is_not_lost),
		shadow_test(two_syncs_of_one_table_agree),
		shadow_test(an_invlpg_during_a_sync_is_not_lost),
		shadow_test(what_was_read_before_a_write_is_void),
		shadow_test(a_fault_that_read_before_an_invlpg_starts_again),
		shadow_test(an_invlpg_of_nothing_makes_readings_void_too),
		shadow_test(unseen_writes_are_in_the_dirty_log),
		shadow_test(a_sync_after_logging_flushes_although_nothing_has_w),
		shadow_test(with_the_older_policy_logging_flushes_at_once),
		shadow_test(w_taken_by_a_fault_is_owed_to_the_log),
		shadow_test(w_taken_by_a_sync_is_owed),
		shadow_test(the_log_flushes_by_what_it_took),
		shadow_test(a_page_dropped_by_a_sync_is_flushed_for_the_host),
		shadow_test(a_new_table_is_taken_from_tlbs_that_no_entry_knows_of),
		shadow_test(a_synced_table_is_taken_from_tlbs_that_no_entry_knows_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
