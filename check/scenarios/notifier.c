/* SPDX-License-Identifier: MIT */
/* The host takes memory back, replaces or protects it while vCPUs use it. */
#include "check/world/scenario.h"

static void one_vcpu(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 1 }, 0);
}

static void two_vcpus(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 2 }, 0);
}

static void vcpu0_writes_and_reads_page_1(void)
{
	vcpu_write(0, page(1));
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void vcpu0_reads_pages_1_and_2(void)
{
	vcpu_read(0, page(1));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

/* --- while a vCPU faults the page in, and while it uses it -------------------- */

/* Page 2 stays mapped: a table that the host's call empties goes too, and the flush that
 * this takes would hide that there is none for the page. */
static void page_2_is_mapped(void)
{
	one_vcpu();
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

SCENARIO(fault_notifier_page,
	.about = "a vCPU faults in and uses a page that the host takes back by munmap",
	.program = {
		.setup = page_2_is_mapped,
		.thread = {
			{ "vCPU 0", vcpu0_writes_and_reads_page_1 },
			{ "host", host_unmaps_page_1 },
		},
	});

/* --- each vCPU sees the old frames or the new --------------------------------- */

static void vcpu0_writes_pages_1_and_2(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void vcpu1_reads_pages_2_and_1(void)
{
	vcpu_read(1, page(2));
	vcpu_read(1, page(1));
	vcpu_stop(1);
}

static void host_replaces_pages_1_and_2(void)
{
	host_replace(&vm->mmu, 1, 2);
}

SCENARIO(fault_notifier_range,
	.about = "two vCPUs use a range that the host replaces by a new mapping",
	.bound = -1,
	.program = {
		.setup = two_vcpus,
		.thread = {
			{ "vCPU 0", vcpu0_writes_pages_1_and_2 },
			{ "vCPU 1", vcpu1_reads_pages_2_and_1 },
			{ "host", host_replaces_pages_1_and_2 },
		},
	});

/* --- mprotect(PROT_READ): when it has returned, nobody writes any more -------- */

static void vcpu0_writes_page_1_twice(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void vcpu1_reads_and_writes_page_1(void)
{
	vcpu_read(1, page(1));
	vcpu_write(1, page(1));
	vcpu_stop(1);
}

static void host_protects_page_1(void)
{
	host_protect(&vm->mmu, 1, 1);
}

SCENARIO(host_protect,
	.about = "two vCPUs write to a page that the host makes read-only",
	.bound = -1,
	.program = {
		.setup = two_vcpus,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_1_twice },
			{ "vCPU 1", vcpu1_reads_and_writes_page_1 },
			{ "host", host_protects_page_1 },
		},
	});

/* --- contents move: no write is left behind, no page is seen before it is filled --- */

static void host_moves_page_1_and_refills_page_2(void)
{
	host_move(&vm->mmu, 1, 1);
	host_refill(&vm->mmu, 2, 1);
}

static void vcpu0_writes_page_1_and_reads_page_2(void)
{
	vcpu_write(0, page(1));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

SCENARIO(host_move,
	.about = "a vCPU uses pages that the host moves to other frames",
	.program = {
		.setup = one_vcpu,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_1_and_reads_page_2 },
			{ "host", host_moves_page_1_and_refills_page_2 },
		},
	});

/* --- the window that faults look at covers both until the last has ended ------ */

static void host_unmaps_page_3(void)
{
	host_unmap(&vm->mmu, 3, 1);
}

SCENARIO(two_invalidations,
	.about = "a vCPU faults in a page of the first of two invalidations that overlap "
		 "in time",
	.program = {
		.setup = one_vcpu,
		.thread = {
			{ "vCPU 0", vcpu0_writes_and_reads_page_1 },
			{ "host A", host_unmaps_page_1 },
			{ "host B", host_unmaps_page_3 },
		},
	});

/* --- the second finds nothing mapped: what it must find is the debt ----------- */

/* Mapped and in the TLB; in guest mode when the race begins. */
static void pages_1_and_2_are_in_use(void)
{
	one_vcpu();
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
}

static void host_unmaps_pages_1_and_2(void)
{
	host_unmap(&vm->mmu, 1, 2);
}

SCENARIO(zap_in_two_steps,
	.about = "a second invalidation of a page comes while the first has zapped and not "
		 "yet flushed",
	.bound = -1,
	.program = {
		.setup = pages_1_and_2_are_in_use,
		.thread = {
			{ "vCPU 0", vcpu0_reads_pages_1_and_2 },
			{ "host A", host_unmaps_pages_1_and_2 },
			{ "host B", host_unmaps_page_1 },
		},
	});

/* --- two slots over the same memory ------------------------------------------- */

static void slots_0_and_1_are_alike(void)
{
	one_vcpu();
	client_set_slot(1, 8, 4, 0, 0);
	vcpu_write(0, page(1));
	/* It stays: a table that loses its last entry is flushed for that alone. */
	vcpu_write(0, page(2));
}

static void vcpu0_reads_page_1_by_both(void)
{
	vcpu_read(0, page(1));
	vcpu_read(0, page(9));
	vcpu_stop(0);
}

SCENARIO(alias_slots,
	.about = "the host takes back memory that two slots show to the guest",
	.program = {
		.setup = slots_0_and_1_are_alike,
		.thread = {
			{ "vCPU 0", vcpu0_reads_page_1_by_both },
			{ "host", host_unmaps_page_1 },
		},
	});

/* --- a slot appears between the begin and the end of an invalidation ---------- */

static void no_slot_over_page_2(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 1, 0, 0);
}

static void vcpu0_writes_and_reads_page_2(void)
{
	vcpu_write(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void client_makes_slot_over_page_2(void)
{
	client_set_slot(1, 2, 1, 2, 0);
}

SCENARIO(slot_update_in_invalidation,
	.about = "a slot is made over memory whose invalidation is open",
	.bound = -1,
	.program = {
		.setup = no_slot_over_page_2,
		.thread = {
			{ "vCPU 0", vcpu0_writes_and_reads_page_2 },
			{ "client", client_makes_slot_over_page_2 },
			{ "host", host_unmaps_page_2 },
		},
	});
