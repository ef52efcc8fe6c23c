/* SPDX-License-Identifier: MIT */
/* Page tables of the guest's: changed by it, or moved by the host, while they are walked. */
#include "check/world/scenario.h"

#define GPTE_NOT_ACCESSED (GPTE_P | GPTE_W | GPTE_U)

static void two_vcpus_watch_page_2(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
}

/* As a guest does: the entry, INVLPG, and a look. */
static void map_page_2_to(unsigned int n, uint64_t gfn)
{
	guest_set_gpte(n, GUEST_PT, 2, gpte(gfn, GPTE_ALL));
	guest_invlpg(n, page(2));
	guest_read_watched(n, page(2));
	vcpu_stop(n);
}

static void vcpu0_maps_page_2_to_3(void)
{
	map_page_2_to(0, 3);
}

static void vcpu1_maps_page_2_to_3(void)
{
	map_page_2_to(1, 3);
}

static void vcpu1_maps_page_2_to_4(void)
{
	map_page_2_to(1, 4);
}

/* --- a vCPU changes an entry that another uses -------------------------------- */

static void vcpu1_reads_page_2_and_loads_cr3(void)
{
	guest_read_watched(1, page(2));
	guest_load_cr3(1, GUEST_PML4);
	guest_read_watched(1, page(2));
	vcpu_stop(1);
}

SCENARIO(guest_tables,
	.about = "one vCPU changes a guest page table entry that another uses, each then "
		 "forgets it in its own time",
	.bound = -1,
	.program = {
		.setup = two_vcpus_watch_page_2,
		.thread = {
			{ "vCPU 0", vcpu0_maps_page_2_to_3 },
			{ "vCPU 1", vcpu1_reads_page_2_and_loads_cr3 },
		},
	});

/* --- two vCPUs write the same entry: the last one counts, for both ------------ */

/* Both have read the table as data, so that it may be given up to them. */
static void table_was_read_as_data(void)
{
	two_vcpus_watch_page_2();
	vcpu_read(0, page(GUEST_PT));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

SCENARIO(one_table_two_writers,
	.about = "two vCPUs write the same guest entry, invalidate and use it",
	.bound = -1,
	.program = {
		.setup = table_was_read_as_data,
		.thread = {
			{ "vCPU 0", vcpu0_maps_page_2_to_3 },
			{ "vCPU 1", vcpu1_maps_page_2_to_4 },
		},
	});

/* --- the entry is changed, completely, before the fault that has read it installs --- */

static void vcpu0_will_fault_on_page_2(void)
{
	two_vcpus_watch_page_2();
	guest_read_watched(0, page(2));
	vcpu_read(1, page(GUEST_PT));
	guest_invlpg(0, page(2));
}

static void vcpu0_reads_page_2_around_invlpg(void)
{
	guest_read_watched(0, page(2));
	guest_invlpg(0, page(2));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

SCENARIO(recheck,
	.about = "a guest entry is changed between its reading by a fault and the install",
	.bound = -1,
	.program = {
		.setup = vcpu0_will_fault_on_page_2,
		.thread = {
			{ "vCPU 0", vcpu0_reads_page_2_around_invlpg },
			{ "vCPU 1", vcpu1_maps_page_2_to_3 },
		},
	});

/* --- the walk sets A and D, the guest changes the entry: neither undoes the other --- */

static void entry_is_not_accessed(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	host_poke(GUEST_PT, 2 * 8, gpte(2, GPTE_NOT_ACCESSED));
	guest_watch(page(2));
}

static void vcpu0_writes_page_2(void)
{
	guest_write_watched(0, page(2));
	vcpu_stop(0);
}

static void vcpu1_changes_the_entry(void)
{
	guest_set_gpte(1, GUEST_PT, 2, gpte(3, GPTE_NOT_ACCESSED));
	vcpu_stop(1);
}

static void the_guests_change_is_there(void)
{
	uint64_t entry = host_peek_at(GUEST_PT, 2 * 8);

	if (!oracle_is_blind && entry >> PAGE_SHIFT != 3)
		sched_fail(VERDICT_STALE_RIGHT,
			   "the guest's write to its table was undone by an accessed or dirty bit");
}

SCENARIO(accessed_dirty,
	.about = "a walk sets accessed and dirty bits in an entry that the guest changes",
	.bound = -1,
	.program = {
		.setup = entry_is_not_accessed,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_2 },
			{ "vCPU 1", vcpu1_changes_the_entry },
		},
		.finish = the_guests_change_is_there,
	});

/* --- the MMU itself writes to guest memory: A and D bits of tables that are logged --- */

static void table_and_page_are_logged(void)
{
	guest_make((struct machine_options){ .vcpus = 1 }, KVM_MEM_LOG_DIRTY_PAGES);
	host_poke(GUEST_PT, 0, gpte(0, GPTE_NOT_ACCESSED));
	guest_watch(page(0));
	client_copy_all(0, 0);
}

static void vcpu0_writes_page_0_twice(void)
{
	guest_write_watched(0, page(0));
	guest_write_watched(0, page(0));
	vcpu_stop(0);
}

static void pages_and_table_are_logged(void)
{
	log_missed_nothing();
	oracle_compare(0, GUEST_PT, 1);
}

SCENARIO(walk_logged,
	.about = "accessed and dirty bits are set in guest tables that are logged while "
		 "the log is harvested",
	.program = {
		.setup = table_and_page_are_logged,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_0_twice },
			{ "client", client_harvests },
		},
		.finish = pages_and_table_are_logged,
	});

/* --- the host moves a table ------------------------------------------------------
 *
 * It copies the table and puts the copy in its place.  A dirty bit that is set between the
 * two would stay behind.
 */

static enum outcome outcome_of_write;

/* With its shadow, too: a vCPU that has made one walks again. */
static void entry_is_not_dirty(void)
{
	guest_make((struct machine_options){ .vcpus = 1 }, 0);
	host_poke(GUEST_PT, 2 * 8, gpte(2, GPTE_NOT_ACCESSED));
	guest_watch(page(2));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void vcpu0_sets_the_dirty_bit(void)
{
	outcome_of_write = guest_write_watched(0, page(2));
	vcpu_stop(0);
}

static void host_moves_the_table(void)
{
	host_move(&vm->mmu, GUEST_PT, 1);
}

static void the_dirty_bit_is_there(void)
{
	if (!oracle_is_blind && outcome_of_write == DONE_RAM &&
	    !(host_peek_at(GUEST_PT, 2 * 8) & GPTE_D))
		sched_fail(VERDICT_STALE_RIGHT,
			   "a page was written to, and its entry's dirty bit stayed behind in "
			   "memory that the host was about to take back");
}

SCENARIO(tables_moved,
	.about = "accessed and dirty bits are set in a guest table while the host moves it",
	.program = {
		.setup = entry_is_not_dirty,
		.thread = {
			{ "vCPU 0", vcpu0_sets_the_dirty_bit },
			{ "host", host_moves_the_table },
		},
		.finish = the_dirty_bit_is_there,
	});

/* --- the host puts an empty page in the place of a table, and fills it -----------
 *
 * Between begin and end of the invalidation nobody may take what is there for the guest's.
 */

static void vcpu0_watches_page_2(void)
{
	guest_make((struct machine_options){ .vcpus = 1 }, 0);
	guest_watch(page(2));
}

static void vcpu0_reads_and_writes_page_2(void)
{
	guest_read_watched(0, page(2));
	guest_write_watched(0, page(2));
	vcpu_stop(0);
}

static void host_refills_the_table(void)
{
	host_refill(&vm->mmu, GUEST_PT, 1);
}

SCENARIO(tables_refilled,
	.about = "a guest table is walked while the host exchanges its memory for an empty page "
		 "and fills it",
	.program = {
		.setup = vcpu0_watches_page_2,
		.thread = {
			{ "vCPU 0", vcpu0_reads_and_writes_page_2 },
			{ "host", host_refills_the_table },
		},
	});

/* --- the slot of a table is deleted, and made again over other memory ------------
 *
 * What is said there is what counts from then on, though no processor was asked to forget
 * anything; and a fault may have read the old table just before.
 */

#define GVA (2ull << 20)
#define TABLE 32	/* the guest frame, in its own slot */

static void table_has_its_own_slot(void)
{
	guest_make((struct machine_options){ .vcpus = 2, .host_pages = 18 }, 0);
	client_set_slot(1, TABLE, 1, 17, 0);
	host_poke(GUEST_PD, 8, gpte(TABLE, GPTE_ALL));
	host_poke(17, 0, gpte(2, GPTE_ALL));
	host_poke(16, 0, gpte(3, GPTE_ALL));
	guest_watch(GVA);
}

static void vcpu0_reads_by_the_table(void)
{
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

static void vcpu1_reads_by_the_table(void)
{
	guest_read_watched(1, GVA);
	vcpu_stop(1);
}

static void client_exchanges_the_table(void)
{
	client_delete_slot(1);
	client_set_slot(1, TABLE, 1, 16, 0);
}

static void both_go_by_the_new_table(void)
{
	for (unsigned int n = 0; n < 2; n++) {
		guest_read_watched(n, GVA);
		vcpu_stop(n);
	}
}

SCENARIO(slot_tables,
	.about = "the slot of a guest table is deleted, and made again over another table, "
		 "while vCPUs fault through it",
	.modes = SHADOW_ONLY,
	.bound = -2,
	.program = {
		.setup = table_has_its_own_slot,
		.thread = {
			{ "vCPU 0", vcpu0_reads_by_the_table },
			{ "vCPU 1", vcpu1_reads_by_the_table },
			{ "client", client_exchanges_the_table },
		},
		.finish = both_go_by_the_new_table,
	});

/* The same by direct tables: a walk through the old table, kept over the fault at its end, must
 * not become a TLB entry. */
SCENARIO(slot_of_a_walk,
	.about = "the slot of a guest table is deleted, and made again over another table, "
		 "while a vCPU faults on the page that it has walked to",
	.modes = TDP_ONLY,
	.program = {
		.setup = table_has_its_own_slot,
		.thread = {
			{ "vCPU 0", vcpu0_reads_by_the_table },
			{ "client", client_exchanges_the_table },
		},
		.finish = both_go_by_the_new_table,
	});

/* --- a slot moves by one frame: there is a table at the address before and after ---- */

static void table_is_in_a_slot_of_two_pages(void)
{
	guest_make((struct machine_options){ .vcpus = 1, .host_pages = 19 }, 0);
	client_set_slot(1, TABLE, 2, 17, 0);
	host_poke(GUEST_PD, 8, gpte(TABLE, GPTE_ALL));
	host_poke(17, 0, gpte(2, GPTE_ALL));
	host_poke(18, 0, gpte(3, GPTE_ALL));
	guest_watch(GVA);
}

static void vcpu0_reads_by_the_table_twice(void)
{
	guest_read_watched(0, GVA);
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

static void client_moves_the_slot_by_one(void)
{
	client_set_slot(1, TABLE - 1, 2, 17, 0);
}

SCENARIO(slot_of_table_moves,
	.about = "a slot moves, so that another of its pages becomes a guest table in use",
	.program = {
		.setup = table_is_in_a_slot_of_two_pages,
		.thread = {
			{ "vCPU 0", vcpu0_reads_by_the_table_twice },
			{ "client", client_moves_the_slot_by_one },
		},
	});
