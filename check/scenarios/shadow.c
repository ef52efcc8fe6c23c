/* SPDX-License-Identifier: MIT */
/* Shadow pages: their roots, their number, and what leads to a frame. */
#include "check/world/scenario.h"

/* --- back and forth between two roots: what was changed meanwhile counts ------ */

static void both_roots_were_used(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
	guest_read_watched(0, page(2));
	guest_load_cr3(0, GUEST_PML4_2);
	guest_read_watched(0, page(2));
	vcpu_read(1, page(GUEST_PT));
	guest_set_gpte(1, GUEST_PT, 9, gpte(9, GPTE_ALL));
}

static void vcpu0_goes_back_and_forth(void)
{
	guest_load_cr3(0, GUEST_PML4);
	guest_read_watched(0, page(2));
	guest_load_cr3(0, GUEST_PML4_2);
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void vcpu1_maps_page_2_to_3(void)
{
	guest_set_gpte(1, GUEST_PT, 2, gpte(3, GPTE_ALL));
	guest_invlpg(1, page(2));
	guest_read_watched(1, page(2));
	vcpu_stop(1);
}

SCENARIO(root_reuse,
	.about = "a vCPU goes back to a root that it has used, whose tables another "
		 "changes",
	.bound = -1,
	.program = {
		.setup = both_roots_were_used,
		.thread = {
			{ "vCPU 0", vcpu0_goes_back_and_forth },
			{ "vCPU 1", vcpu1_maps_page_2_to_3 },
		},
	});

/* --- the slot with the roots is deleted ------------------------------------------
 *
 * They become obsolete while one vCPU is in the guest and another faults.  Then the host
 * takes the memory of a page that they led to.
 */

static void root_has_its_own_slot(void)
{
	guest_make((struct machine_options){ .vcpus = 2, .host_pages = 18 }, 0);
	client_set_slot(1, 32, 1, 17, 0);
	host_poke(17, 0, gpte(GUEST_PDPT, GPTE_ALL));
	guest_load_cr3(0, 32);
	guest_load_cr3(1, 32);
	vcpu_read(0, page(2));
}

static void vcpu0_reads_pages_2_and_1(void)
{
	vcpu_read(0, page(2));
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void vcpu1_writes_page_2(void)
{
	vcpu_write(1, page(2));
	vcpu_stop(1);
}

static void client_deletes_and_unmaps(void)
{
	client_delete_slot(1);
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(obsolete_roots,
	.about = "a slot is deleted, and its memory unmapped, while vCPUs use their roots "
		 "and fault",
	.bound = -2,
	.program = {
		.setup = root_has_its_own_slot,
		.thread = {
			{ "vCPU 0", vcpu0_reads_pages_2_and_1 },
			{ "vCPU 1", vcpu1_writes_page_2 },
			{ "client", client_deletes_and_unmaps },
		},
	});

/* --- with any slot go all shadow pages (KVM_X86_QUIRK_SLOT_ZAP_ALL) -------------- */

static void slot_1_takes_all_along(void)
{
	guest_make((struct machine_options){ .vcpus = 2, .host_pages = 18 }, 0);
	atomic32_store_relaxed(&vm->mmu.slot_zaps_all, true);
	client_set_slot(1, 32, 1, 17, 0);
	vcpu_read(0, page(2));
}

SCENARIO(slot_zaps_all,
	.about = "a slot is deleted, with it all shadow pages, while vCPUs use their roots "
		 "and fault",
	.bound = -2,
	.modes = SHADOW_ONLY,
	.program = {
		.setup = slot_1_takes_all_along,
		.thread = {
			{ "vCPU 0", vcpu0_reads_pages_2_and_1 },
			{ "vCPU 1", vcpu1_writes_page_2 },
			{ "client", client_deletes_and_unmaps },
		},
	});

/* --- the client changes CR3 of a vCPU that is outside ------------------------- */

/* With a second set of tables, in which page 2 is elsewhere. */
static void second_root_maps_page_2_to_3(void)
{
	guest_make((struct machine_options){ .vcpus = 1, .host_pages = 20 }, 0);
	host_poke(GUEST_PML4_2, 0, gpte(14, GPTE_ALL));
	host_poke(14, 0, gpte(15, GPTE_ALL));
	host_poke(15, 0, gpte(16, GPTE_ALL));
	host_poke(16, 2 * 8, gpte(3, GPTE_ALL));
	guest_watch(page(2));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void client_then_vcpu0_changes_cr3(void)
{
	guest_set_sregs_cr3(0, GUEST_PML4_2);
	guest_read_watched(0, page(2));
	guest_load_cr3(0, GUEST_PML4);
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

SCENARIO(set_sregs,
	.about = "CR3 is changed by KVM_SET_SREGS and by the guest while the host unmaps a "
		 "page",
	.bound = -1,
	.program = {
		.setup = second_root_maps_page_2_to_3,
		.thread = {
			{ "vCPU 0", client_then_vcpu0_changes_cr3 },
			{ "host", host_unmaps_page_2 },
		},
	});

/* --- a fault finds another page in the guest's entry than the shadow says --------
 *
 * It replaces it.  Another TLB still has the old page, which the host takes back.
 */

static void shadow_has_the_old_page(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	host_poke(GUEST_PT, 2 * 8, gpte(2, GPTE_P | GPTE_U | GPTE_A));
	guest_watch(page(2));
	guest_read_watched(0, page(2));
	vcpu_read(1, page(GUEST_PT));
	/* Unseen: the shadow keeps the old entry, and no INVLPG is due. */
	guest_set_gpte(1, GUEST_PT, 9, gpte(9, GPTE_ALL));
	guest_set_gpte(1, GUEST_PT, 2, gpte(3, GPTE_ALL));
}

static void vcpu0_reads_the_old_page(void)
{
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void vcpu1_faults_on_the_new_page(void)
{
	guest_write_watched(1, page(2));
	vcpu_stop(1);
}

SCENARIO(replace_leaf,
	.about = "a fault replaces a shadow entry by another page while a TLB has the old "
		 "one and the host takes it back",
	.modes = SHADOW_ONLY,
	.bound = -1,
	.program = {
		.setup = shadow_has_the_old_page,
		.thread = {
			{ "vCPU 0", vcpu0_reads_the_old_page },
			{ "vCPU 1", vcpu1_faults_on_the_new_page },
			{ "host", host_unmaps_page_2 },
		},
	});

/* --- a large page of the guest's, which the host has in small ones, becomes read-only ---
 *
 * What was mapped while it was writable is in a shadow page of its own and stays there.
 */

#define GVA (2ull << 20)

static void large_page_is_writable(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	host_poke(GUEST_PD, 8, gpte(0, GPTE_ALL | GPTE_PS));
	guest_watch(GVA + page(2));
	guest_write_watched(0, GVA + page(2));
}

static void vcpu0_makes_it_read_only(void)
{
	guest_set_gpte(0, GUEST_PD, 1, gpte(0, GPTE_PS | (GPTE_ALL & ~GPTE_W)));
	guest_invlpg(0, GVA + page(2));
	vcpu_read(0, GVA + page(3));
	guest_write_watched(0, GVA + page(2));
	vcpu_stop(0);
}

static void vcpu1_writes_to_it(void)
{
	guest_write_watched(1, GVA + page(2));
	vcpu_stop(1);
}

SCENARIO(large_guest_page,
	.about = "a large page of the guest's becomes read-only while another vCPU writes to it",
	.bound = -1,
	.program = {
		.setup = large_page_is_writable,
		.thread = {
			{ "vCPU 0", vcpu0_makes_it_read_only },
			{ "vCPU 1", vcpu1_writes_to_it },
		},
	});

/* --- INVLPG anywhere in a large page is for all of it ------------------------- */

#define OTHER 512	/* a large frame */

static void large_page_is_in_both_tlbs(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	client_set_slot(1, OTHER, 8, 4, 0);
	host_poke(GUEST_PD, 8, gpte(0, GPTE_ALL | GPTE_PS));
	guest_watch(GVA + page(2));
	guest_watch(GVA + page(3));
	guest_read_watched(0, GVA + page(3));
	guest_read_watched(1, GVA + page(3));
}

static void vcpu0_maps_another_large_page(void)
{
	guest_set_gpte(0, GUEST_PD, 1, gpte(OTHER, GPTE_ALL | GPTE_PS));
	guest_invlpg(0, GVA + page(2));
	guest_read_watched(0, GVA + page(3));
	vcpu_stop(0);
}

static void vcpu1_reads_around_invlpg(void)
{
	guest_read_watched(1, GVA + page(3));
	guest_invlpg(1, GVA + page(2));
	guest_read_watched(1, GVA + page(3));
	vcpu_stop(1);
}

SCENARIO(large_page_invlpg,
	.about = "a guest exchanges a large page, and two vCPUs forget it by INVLPG of another "
		 "address in it",
	.bound = -1,
	.program = {
		.setup = large_page_is_in_both_tlbs,
		.thread = {
			{ "vCPU 0", vcpu0_maps_another_large_page },
			{ "vCPU 1", vcpu1_reads_around_invlpg },
		},
	});

/* --- a frame is mapped as often as may be ----------------------------------------
 *
 * For one more all that map it go, also those that a TLB can write through; the one that is
 * left is read-only, so the log's pass over the tables finds nothing to take, and must flush
 * all the same.
 */

static void frame_2_is_mapped_twice(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, KVM_MEM_LOG_DIRTY_PAGES);
	host_poke(GUEST_PT, 3 * 8, gpte(2, GPTE_ALL));
	host_poke(GUEST_PT, 4 * 8, gpte(2, GPTE_ALL));
	vcpu_write(0, page(2));
	vcpu_read(0, page(3));
	vcpu_read(1, page(1));
}

static void vcpu0_writes_frame_2(void)
{
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void vcpu1_maps_frame_2_once_more(void)
{
	vcpu_read(1, page(4));
	vcpu_stop(1);
}

static void eight_pages_are_logged(void)
{
	client_get_log(0, 0);
	oracle_compare(0, 0, 8);
}

SCENARIO(rmap_full,
	.about = "a frame that as many entries map as may be is mapped once more, while its "
		 "slot is harvested and another vCPU writes to it",
	.modes = SHADOW_ONLY,
	.bound = -1,
	.program = {
		.setup = frame_2_is_mapped_twice,
		.thread = {
			{ "vCPU 0", vcpu0_writes_frame_2 },
			{ "vCPU 1", vcpu1_maps_frame_2_once_more },
			{ "client", client_harvests },
		},
		.finish = eight_pages_are_logged,
	});

/* --- so few shadow pages that those in use are zapped ------------------------- */

static void nine_shadow_pages_may_be(void)
{
	guest_make((struct machine_options){ .vcpus = 2, .page_limit = 9 }, 0);
	guest_watch(page(2));
	guest_read_watched(0, page(2));
}

static void vcpu0_reads_watched_page_2_and_page_1(void)
{
	guest_read_watched(0, page(2));
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void vcpu1_takes_the_second_root(void)
{
	guest_load_cr3(1, GUEST_PML4_2);
	guest_read_watched(1, page(2));
	vcpu_stop(1);
}

SCENARIO(page_limit,
	.about = "shadow pages are recycled under a limit while two vCPUs walk them and "
		 "the host takes a page",
	.modes = SHADOW_ONLY,
	.bound = -2,
	.program = {
		.setup = nine_shadow_pages_may_be,
		.thread = {
			{ "vCPU 0", vcpu0_reads_watched_page_2_and_page_1 },
			{ "vCPU 1", vcpu1_takes_the_second_root },
			{ "host", host_unmaps_page_2 },
		},
	});
