/* SPDX-License-Identifier: MIT */
/* MMIO is remembered until the slots change: by entries that carry a generation. */
#include "check/world/scenario.h"

static void client_makes_slot_over_page_2(void)
{
	client_set_slot(1, 2, 1, 2, 0);
}

static void no_slot_over_page_2(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 1, 0, 0);
}

/* Made in one step, deleted in two: three generations each time. */
static void change_the_slots(int times)
{
	for (int i = 0; i < times; i++) {
		client_set_slot(1, 4, 1, 4, 0);
		client_delete_slot(1);
	}
}

/* --- a slot appears: MMIO becomes RAM ----------------------------------------- */

static void vcpu0_reads_page_2_thrice(void)
{
	vcpu_read(0, page(2));
	vcpu_read(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

SCENARIO(mmio_cache,
	.about = "a vCPU takes MMIO exits where a slot is made",
	.bound = 1,
	.program = {
		.setup = no_slot_over_page_2,
		.thread = {
			{ "vCPU 0", vcpu0_reads_page_2_thrice },
			{ "client", client_makes_slot_over_page_2 },
		},
	});

/* --- RAM becomes MMIO: a write must not reach the memory any more ------------- */

static void page_2_is_mapped(void)
{
	machine_make((struct machine_options){ .vcpus = 2 });
	client_set_slot(0, 2, 1, 2, 0);
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void vcpu0_writes_page_2_twice(void)
{
	vcpu_write(0, page(2));
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void vcpu1_reads_page_2(void)
{
	vcpu_read(1, page(2));
	vcpu_stop(1);
}

static void client_deletes_the_slot(void)
{
	client_delete_slot(0);
}

SCENARIO(mmio_delete,
	.about = "two vCPUs use a slot that becomes MMIO",
	.bound = -1,
	.program = {
		.setup = page_2_is_mapped,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_2_twice },
			{ "vCPU 1", vcpu1_reads_page_2 },
			{ "client", client_deletes_the_slot },
		},
	});

/* --- the generation repeats ------------------------------------------------------
 *
 * It has three bits here: eight changes, and an MMIO entry from before the first looks
 * current.
 */

static void slots_have_changed(void)
{
	no_slot_over_page_2();
	change_the_slots(3);
}

static void vcpu0_reads_page_2_twice(void)
{
	vcpu_read(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void client_makes_seven_slots(void)
{
	client_set_slot(1, 2, 1, 2, 0);
	client_set_slot(2, 4, 1, 4, 0);
	for (unsigned int i = 3; i < 8; i++)
		client_set_slot(i, 2 + i, 1, i, 0);
}

static void page_2_is_seen(void)
{
	client_set_slot(0, 0, 1, 0, KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

SCENARIO(mmio_generation_wraps,
	.about = "a vCPU caches MMIO while the slots change until the generation repeats",
	.bound = -1,
	.program = {
		.setup = slots_have_changed,
		.thread = {
			{ "vCPU 0", vcpu0_reads_page_2_twice },
			{ "client", client_makes_seven_slots },
		},
		.finish = page_2_is_seen,
	});

/* --- all tables are gone over with the MMU lock given up on the way --------------
 *
 * The generation begins again.  What a vCPU notes behind the piece that is done would be
 * believed eight changes later.
 */

/* In another table. */
#define FAR_PAGE (ENTRIES_PER_TABLE + 2)

static void both_pages_are_mmio(void)
{
	no_slot_over_page_2();
	change_the_slots(2);
	vcpu_read(0, page(2));
	vcpu_read(0, page(FAR_PAGE));
	vcpu_stop(0);
}

static void vcpu0_reads_both_pages(void)
{
	vcpu_read(0, page(2));
	vcpu_read(0, page(FAR_PAGE));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

/* From seven to eight. */
static void client_makes_the_change_that_wraps(void)
{
	client_set_slot(1, 4, 1, 4, 0);
}

/* To fifteen. */
static void both_pages_are_seen(void)
{
	client_set_slot(2, 2, 1, 2, 0);
	client_set_slot(3, FAR_PAGE, 1, 3, 0);
	for (unsigned int i = 4; i < 8; i++)
		client_set_slot(i, 4 + i, 1, i, 0);
	client_set_slot(0, 0, 1, 0, KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_read(0, page(2));
	vcpu_read(0, page(FAR_PAGE));
	vcpu_stop(0);
}

SCENARIO(mmio_wrap_pieces,
	.about = "a vCPU notes MMIO while all of it is dropped, piece by piece, since the "
		 "generation begins again",
	.program = {
		.setup = both_pages_are_mmio,
		.thread = {
			{ "vCPU 0", vcpu0_reads_both_pages },
			{ "client", client_makes_the_change_that_wraps },
		},
		.finish = both_pages_are_seen,
	});

/* --- with paging: what expires it is a slot that is made, or the guest itself ----- */

#define GVA (2ull << 20)
#define DEVICE 40	/* a guest frame without memory */

static void gva_leads_to_no_memory(void)
{
	guest_make((struct machine_options){ .vcpus = 2, .host_pages = 18 }, 0);
	host_poke(GUEST_PD, 8, gpte(GUEST_PT2, GPTE_ALL));
	host_poke(GUEST_PT2, 0, gpte(DEVICE, GPTE_ALL));
	guest_watch(GVA);
}

static void vcpu0_reads_the_gva_thrice(void)
{
	guest_read_watched(0, GVA);
	guest_read_watched(0, GVA);
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

static void client_makes_slot_over_it(void)
{
	client_set_slot(1, DEVICE, 1, 17, 0);
}

SCENARIO(mmio_paged,
	.about = "a vCPU with page tables takes MMIO exits where a slot is made",
	.program = {
		.setup = gva_leads_to_no_memory,
		.thread = {
			{ "vCPU 0", vcpu0_reads_the_gva_thrice },
			{ "client", client_makes_slot_over_it },
		},
	});

static void vcpu0_maps_memory_there(void)
{
	guest_read_watched(0, GVA);
	guest_set_gpte(0, GUEST_PT2, 0, gpte(3, GPTE_ALL));
	guest_invlpg(0, GVA);
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

static void vcpu1_reads_the_gva_around_invlpg(void)
{
	guest_read_watched(1, GVA);
	guest_invlpg(1, GVA);
	guest_read_watched(1, GVA);
	vcpu_stop(1);
}

SCENARIO(mmio_remapped,
	.about = "a guest maps memory where its tables led to a device",
	.bound = -1,
	.program = {
		.setup = gva_leads_to_no_memory,
		.thread = {
			{ "vCPU 0", vcpu0_maps_memory_there },
			{ "vCPU 1", vcpu1_reads_the_gva_around_invlpg },
		},
	});
