/* SPDX-License-Identifier: MIT */
/* Guest tables that are write-tracked, or given up to the guest's writes: unsync. */
#include "check/engine/timeline.h"
#include "check/world/scenario.h"

#define GVA (2ull << 20)

static void two_vcpus_watch_page_2(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
}

/* GVA is page 2, by a table of its own. */
static void second_table(uint32_t slot_flags)
{
	guest_make((struct machine_options){ .vcpus = 2 }, slot_flags);
	host_poke(GUEST_PD, 8, gpte(GUEST_PT2, GPTE_ALL));
	host_poke(GUEST_PT2, 0, gpte(2, GPTE_ALL));
	guest_watch(GVA);
}

/* --- a table is written while another vCPU's load of CR3 brings it up to date --- */

static void table_is_unsync(void)
{
	two_vcpus_watch_page_2();
	guest_read_watched(1, page(2));
	vcpu_stop(1);
	vcpu_read(0, page(GUEST_PT));
	guest_set_gpte(0, GUEST_PT, 9, gpte(9, GPTE_ALL));
}

static void vcpu0_changes_the_entry_twice(void)
{
	guest_set_gpte(0, GUEST_PT, 2, gpte(3, GPTE_ALL));
	guest_set_gpte(0, GUEST_PT, 2, gpte(4, GPTE_ALL));
	guest_invlpg(0, page(2));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void vcpu1_loads_cr3_and_reads_page_2(void)
{
	guest_load_cr3(1, GUEST_PML4);
	guest_read_watched(1, page(2));
	vcpu_stop(1);
}

SCENARIO(unsync_sync,
	.about = "a guest table is written unseen while another vCPU brings its shadow up "
		 "to date",
	.bound = -1,
	.program = {
		.setup = table_is_unsync,
		.thread = {
			{ "vCPU 0", vcpu0_changes_the_entry_twice },
			{ "vCPU 1", vcpu1_loads_cr3_and_reads_page_2 },
		},
	});

/* --- the first write: from then on the shadow is known to be out of date ------ */

static void table_was_read_by_both(void)
{
	two_vcpus_watch_page_2();
	guest_read_watched(0, page(2));
	guest_read_watched(1, page(2));
	vcpu_read(0, page(GUEST_PT));
	vcpu_read(1, page(GUEST_PT));
}

static void vcpu0_writes_it_first(void)
{
	guest_set_gpte(0, GUEST_PT, 2, gpte(3, GPTE_ALL));
	guest_invlpg(0, page(2));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void vcpu1_writes_it_first(void)
{
	guest_set_gpte(1, GUEST_PT, 2, gpte(4, GPTE_ALL));
	vcpu1_loads_cr3_and_reads_page_2();
}

SCENARIO(unsync_first_write,
	.about = "two vCPUs make the first write to a table that is given up to the guest",
	.bound = -1,
	.program = {
		.setup = table_was_read_by_both,
		.thread = {
			{ "vCPU 0", vcpu0_writes_it_first },
			{ "vCPU 1", vcpu1_writes_it_first },
		},
	});

/* --- the guest's change leaves the TLB to the guest: a debt ----------------------
 *
 * The host takes the page back, finds nothing mapped, and must consult the debt.
 */

static void vcpu0_has_page_2_in_its_tlb(void)
{
	two_vcpus_watch_page_2();
	guest_read_watched(0, page(2));
}

/* Has no reason to forget anything: its guest has not asked it to. */
static void vcpu0_reads_page_2_twice(void)
{
	guest_read_watched(0, page(2));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void vcpu1_drops_page_2(void)
{
	guest_set_gpte(1, GUEST_PT, 2, gpte(3, GPTE_ALL));
	guest_invlpg(1, page(2));
	vcpu_stop(1);
}

SCENARIO(sync_notifier,
	.about = "a translation that the guest's own change has dropped is still in "
		 "another TLB when the host takes the page back",
	.bound = -1,
	.program = {
		.setup = vcpu0_has_page_2_in_its_tlb,
		.thread = {
			{ "vCPU 0", vcpu0_reads_page_2_twice },
			{ "vCPU 1", vcpu1_drops_page_2 },
			{ "host", host_unmaps_page_2 },
		},
	});

/* --- a table that is out of date is linked again ---------------------------------
 *
 * The entry that leads to it was "not present", so the guest need not invalidate anything.
 */

static void unsync_table_is_not_linked(void)
{
	second_table(0);
	guest_read_watched(0, GVA);
	/* Read as data first: then it is given up to the guest's writes. */
	vcpu_read(0, page(GUEST_PT2));
	guest_set_gpte(0, GUEST_PT2, 9, 0);
	guest_set_gpte(0, GUEST_PD, 1, 0);
	guest_invlpg(0, GVA);
	guest_load_cr3(1, GUEST_PML4);
}

static void vcpu0_changes_and_links_it(void)
{
	guest_set_gpte(0, GUEST_PT2, 0, gpte(3, GPTE_ALL));
	guest_set_gpte(0, GUEST_PD, 1, gpte(GUEST_PT2, GPTE_ALL));
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

static void vcpu1_reads_twice_through_it(void)
{
	guest_read_watched(1, GVA);
	guest_read_watched(1, GVA);
	vcpu_stop(1);
}

SCENARIO(link_sync,
	.about = "a guest table is changed while no entry leads to it, and then linked",
	.bound = -1,
	.program = {
		.setup = unsync_table_is_not_linked,
		.thread = {
			{ "vCPU 0", vcpu0_changes_and_links_it },
			{ "vCPU 1", vcpu1_reads_twice_through_it },
		},
	});

/* --- a table above the lowest level is read as data, and then written ------------
 *
 * It stays tracked, as those above it could not be told that it is out of date.
 */

#define THIRD_TABLE 14	/* page 3 */

static void directory_was_read_as_data(void)
{
	second_table(0);
	host_poke(THIRD_TABLE, 0, gpte(3, GPTE_ALL));
	guest_read_watched(0, GVA);
	guest_read_watched(1, GVA);
	vcpu_read(0, page(GUEST_PD));
}

static void vcpu0_exchanges_the_table(void)
{
	guest_set_gpte(0, GUEST_PD, 1, gpte(THIRD_TABLE, GPTE_ALL));
	guest_invlpg(0, GVA);
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

static void vcpu1_reads_around_a_load_of_cr3(void)
{
	guest_read_watched(1, GVA);
	guest_load_cr3(1, GUEST_PML4);
	guest_read_watched(1, GVA);
	vcpu_stop(1);
}

SCENARIO(upper_table,
	.about = "a guest changes an entry of a directory that it has read as data",
	.bound = -1,
	.program = {
		.setup = directory_was_read_as_data,
		.thread = {
			{ "vCPU 0", vcpu0_exchanges_the_table },
			{ "vCPU 1", vcpu1_reads_around_a_load_of_cr3 },
		},
	});

/* --- a table that is tracked, in a slot that is logged -------------------------- */

static void directory_is_used_and_logged(void)
{
	second_table(KVM_MEM_LOG_DIRTY_PAGES);
	guest_read_watched(0, GVA);
	vcpu_stop(0);
	client_copy_all(0, 0);
	client_get_log(0, 0);
}

static void vcpu0_writes_to_the_directory(void)
{
	guest_set_gpte(0, GUEST_PD, 2, gpte(GUEST_PT2, GPTE_ALL));
	guest_set_gpte(0, GUEST_PD, 3, gpte(GUEST_PT2, GPTE_ALL));
	vcpu_stop(0);
}

static void all_tables_are_logged(void)
{
	client_get_log(0, 0);
	oracle_compare(0, 0, GUEST_PAGES);
}

SCENARIO(tracked_logged,
	.about = "a guest writes to a table that is tracked while its slot is harvested",
	.program = {
		.setup = directory_is_used_and_logged,
		.thread = {
			{ "vCPU 0", vcpu0_writes_to_the_directory },
			{ "client", client_harvests },
		},
		.finish = all_tables_are_logged,
	});

/* --- the two sorts of write protection meet --------------------------------------
 *
 * The dirty log has taken W and not flushed yet; then the page becomes a page table, and
 * write tracking finds it read-only.  A TLB can write to it all the same: MMU-writable
 * says so.
 */

static void log_has_taken_w_and_not_flushed(void)
{
	second_table(KVM_MEM_LOG_DIRTY_PAGES);
	/* Still an ordinary page: nobody has used it as a table. */
	guest_set_gpte(0, GUEST_PT2, 5, 0);
	vcpu_boundary(0);
	/* The first half of a harvest: W is gone, the flush is to come. */
	vm->slots.ops->write_protect_mask(&vm->mmu, vm->slots.by_id[0], GUEST_PT2, 1);
}

static void vcpu0_writes_to_the_table(void)
{
	guest_set_gpte(0, GUEST_PT2, 0, gpte(3, GPTE_ALL));
	guest_invlpg(0, GVA);
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

static void vcpu1_makes_it_a_table(void)
{
	guest_read_watched(1, GVA);
	vcpu_stop(1);
}

static void client_ends_its_harvest(void)
{
	timeline_note("KVM_GET_DIRTY_LOG: the flush after the MMU lock");
	vm->slots.ops->flush(&vm->mmu);
	timeline_note("KVM_GET_DIRTY_LOG returns");
}

SCENARIO(track_log,
	.about = "a page becomes a guest page table while the dirty log has it read-only "
		 "and not flushed yet",
	.bound = -1,
	.program = {
		.setup = log_has_taken_w_and_not_flushed,
		.thread = {
			{ "vCPU 0", vcpu0_writes_to_the_table },
			{ "vCPU 1", vcpu1_makes_it_a_table },
			{ "client", client_ends_its_harvest },
		},
	});

/* --- a page that no shadow entry maps for writing any more becomes a table -------
 *
 * The guest has unmapped it; but another TLB may still hold what the guest's INVLPG has
 * only left as a debt, and write to the table unseen.
 */

static void page_is_unmapped_by_the_guest(void)
{
	second_table(0);
	/* Given up to the guest's writes, so that INVLPG has something to drop. */
	vcpu_read(0, page(GUEST_PT));
	guest_set_gpte(0, GUEST_PT, 7, gpte(7, GPTE_ALL));
	vcpu_stop(0);
	/* An ordinary page so far. */
	guest_set_gpte(1, GUEST_PT2, 5, 0);
	vcpu_stop(1);
	guest_set_gpte(0, GUEST_PT, GUEST_PT2, gpte(4, GPTE_ALL));
}

static void vcpu0_makes_it_a_table(void)
{
	guest_invlpg(0, page(GUEST_PT2));
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

/* Has no reason yet to forget where the page was. */
static void vcpu1_writes_to_it(void)
{
	guest_set_gpte(1, GUEST_PT2, 0, gpte(3, GPTE_ALL));
	guest_load_cr3(1, GUEST_PML4);
	guest_read_watched(1, GVA);
	vcpu_stop(1);
}

SCENARIO(write_debt,
	.about = "a page becomes a guest table when its last writable translation was dropped "
		 "with no more than a debt",
	.bound = -1,
	.program = {
		.setup = page_is_unmapped_by_the_guest,
		.thread = {
			{ "vCPU 0", vcpu0_makes_it_a_table },
			{ "vCPU 1", vcpu1_writes_to_it },
		},
	});
