/* SPDX-License-Identifier: MIT */
/* Large pages are split and return; tables that map 2 MiB are freed. */
#include "check/world/scenario.h"
#include "mmu/notifier.h"

/* One vCPU, and 2 MiB that the host has as one page. */
static void large_page(uint32_t slot_flags)
{
	machine_make((struct machine_options){ .vcpus = 1, .host_pages = 512, .level = LEVEL_2M });
	client_set_slot(0, 0, 512, 0, slot_flags);
}

static void enable_log_and_copy_pages_1_and_2(void)
{
	client_set_slot(0, 0, 512, 0, KVM_MEM_LOG_DIRTY_PAGES);
	oracle_copy(0, 1);
	oracle_copy(0, 2);
}

static void pages_1_and_2_are_logged(void)
{
	client_get_log(0, 0);
	oracle_compare(0, 1, 2);
}

/* --- logging begins: one bit would stand for 512 pages, unless it is split before --- */

static void large_page_is_in_use(void)
{
	large_page(0);
	vcpu_write(0, page(1));
}

static void vcpu0_writes_pages_1_and_2(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

SCENARIO(large_page_log,
	.about = "logging is enabled under a large page that a vCPU writes to",
	.modes = TDP_ONLY,
	.bound = -1,
	.program = {
		.setup = large_page_is_in_use,
		.thread = {
			{ "vCPU 0", vcpu0_writes_pages_1_and_2 },
			{ "client", enable_log_and_copy_pages_1_and_2 },
		},
		.finish = pages_1_and_2_are_logged,
	});

/* --- the host takes one small page of it back --------------------------------- */

static void large_page_is_not_mapped(void)
{
	large_page(0);
}

static void vcpu0_writes_page_1_and_reads_page_3(void)
{
	vcpu_write(0, page(1));
	vcpu_read(0, page(3));
	vcpu_stop(0);
}

static void host_unmaps_page_3(void)
{
	host_unmap(&vm->mmu, 3, 1);
}

SCENARIO(large_page_notifier,
	.about = "the host takes back one page of a large one that a vCPU uses",
	.program = {
		.setup = large_page_is_not_mapped,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_1_and_reads_page_3 },
			{ "host", host_unmaps_page_3 },
		},
	});

/* --- the log ends, and begins again ----------------------------------------------
 *
 * When it ends, the small translations go for a large one, without a flush before the
 * large one is made: TLBs keep what they have.
 */

static void small_pages_are_logged(void)
{
	large_page(KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_write(0, page(1));
	vcpu_read(0, page(2));
}

static void vcpu0_writes_pages_1_2_1(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void client_ends_and_begins_the_log(void)
{
	client_set_slot(0, 0, 512, 0, 0);
	enable_log_and_copy_pages_1_and_2();
}

SCENARIO(large_page_returns,
	.about = "the log of a slot ends, and begins again, while a vCPU writes to what becomes "
		 "a large page",
	.bound = -2,
	.program = {
		.setup = small_pages_are_logged,
		.thread = {
			{ "vCPU 0", vcpu0_writes_pages_1_2_1 },
			{ "client", client_ends_and_begins_the_log },
		},
		.finish = pages_1_and_2_are_logged,
	});

/* --- all dirty from the start: large pages lose W at once, small ones at CLEAR --- */

static void log_is_to_be_initially_set(void)
{
	machine_make((struct machine_options){ .vcpus = 1, .host_pages = 1024, .level = LEVEL_2M,
					       .initially_set = true });
	client_set_slot(0, 0, 1024, 0, 0);
	vcpu_write(0, page(1));
}

static void vcpu0_writes_page_2(void)
{
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void client_enables_and_clears(void)
{
	uint64_t bitmap[16] = { 7 };

	client_set_slot(0, 0, 1024, 0, KVM_MEM_LOG_DIRTY_PAGES);
	if (dirty_log_clear(&vm->slots, 0, 0, 64, bitmap))
		sched_fail(VERDICT_WRONG, "no CLEAR");
	for (unsigned int i = 0; i < 3; i++)
		oracle_copy(0, i);
}

static void pages_0_to_2_are_logged(void)
{
	uint64_t bitmap[16];

	if (dirty_log_get(&vm->slots, 0, bitmap))
		sched_fail(VERDICT_WRONG, "no log");
	for (unsigned int i = 0; i < 3; i++)
		if (bitmap[0] & 1ull << i)
			oracle_copy(0, i);
	oracle_compare(0, 0, 3);
}

SCENARIO(log_initially_set,
	.about = "a log that begins with all pages dirty is enabled and cleared over large "
		 "pages",
	.modes = TDP_ONLY,
	.bound = -1,
	.program = {
		.setup = log_is_to_be_initially_set,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_2 },
			{ "client", client_enables_and_clears },
		},
		.finish = pages_0_to_2_are_logged,
	});

/* --- a table is freed with its slot, while vCPUs walk it ---------------------- */

/* Two vCPUs, and slot 0 over the 2 MiB from @gfn, whose second page vCPU 0 has used. */
static void full_table(uint64_t gfn, bool write)
{
	machine_make((struct machine_options){ .vcpus = 2, .host_pages = 512 });
	client_set_slot(0, gfn, 512, 0, 0);
	if (write)
		vcpu_write(0, page(gfn + 1));
	else
		vcpu_read(0, page(gfn + 1));
	vcpu_stop(0);
}

static void slot_fills_a_table(void)
{
	full_table(512, true);
}

static void vcpu0_reads_page_513(void)
{
	vcpu_read(0, page(513));
	vcpu_stop(0);
}

static void vcpu1_writes_page_514(void)
{
	vcpu_write(1, page(514));
	vcpu_stop(1);
}

static void client_deletes_the_slot(void)
{
	client_delete_slot(0);
}

SCENARIO(table_free,
	.about = "a page table is freed with its slot while two vCPUs walk it",
	.bound = -1,
	.program = {
		.setup = slot_fills_a_table,
		.thread = {
			{ "vCPU 0", vcpu0_reads_page_513 },
			{ "vCPU 1", vcpu1_writes_page_514 },
			{ "client", client_deletes_the_slot },
		},
	});

/* --- the host takes back all that a table maps -----------------------------------
 *
 * The table goes as well, while one vCPU walks it and another makes a new one in its place.
 */

static void page_1_is_in_a_table(void)
{
	full_table(0, false);
}

static void vcpu0_reads_page_1(void)
{
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void vcpu1_writes_page_2(void)
{
	vcpu_write(1, page(2));
	vcpu_stop(1);
}

static void host_empties_the_table(void)
{
	struct invalidation inv;

	mmu_invalidate_begin(&vm->mmu, host_hva(0), host_hva(512), &inv);
	mmu_invalidate_end(&inv);
	host_unmap(&vm->mmu, 1, 1);
}

SCENARIO(table_emptied,
	.about = "the host takes back all that a page table maps, while two vCPUs use it",
	.bound = -2,
	.program = {
		.setup = page_1_is_in_a_table,
		.thread = {
			{ "vCPU 0", vcpu0_reads_page_1 },
			{ "vCPU 1", vcpu1_writes_page_2 },
			{ "host", host_empties_the_table },
		},
	});
