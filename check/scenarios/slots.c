/* SPDX-License-Identifier: MIT */
/* Memory slots are deleted, moved and made again while vCPUs use them. */
#include "check/world/scenario.h"

static void one_vcpu_and_page_2(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 2, 1, 2, 0);
}

static void client_deletes_slot_1(void)
{
	client_delete_slot(1);
}

/* --- a slot goes, then the host takes its memory ------------------------------ */

static void slot_1_over_page_2(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 1, 0, 0);
	client_set_slot(1, 2, 1, 2, 0);
}

static void vcpu0_writes_and_reads_page_2(void)
{
	vcpu_write(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void client_deletes_and_unmaps(void)
{
	client_delete_slot(1);
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(slot_delete,
	.about = "a vCPU uses a slot that the client deletes, and then unmaps the memory "
		 "of",
	.program = {
		.setup = slot_1_over_page_2,
		.thread = {
			{ "vCPU 0", vcpu0_writes_and_reads_page_2 },
			{ "client", client_deletes_and_unmaps },
		},
	});

/* --- a slot goes while another thread takes its memory ------------------------ */

static void slot_1_is_in_use(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(1, 2, 1, 2, 0);
	vcpu_write(0, page(2));
}

static void vcpu0_reads_page_2_twice(void)
{
	vcpu_read(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

SCENARIO(slot_delete_notifier,
	.about = "a slot is deleted by one thread while another unmaps its memory",
	.bound = -1,
	.program = {
		.setup = slot_1_is_in_use,
		.thread = {
			{ "vCPU 0", vcpu0_reads_page_2_twice },
			{ "client", client_deletes_slot_1 },
			{ "host", host_unmaps_page_2 },
		},
	});

/* --- so large that the MMU lock is given up on the way ---------------------------
 *
 * The host takes a page of the piece that is done: it finds nothing mapped, and must
 * find the debt.
 */

static void all_of_slot_1_is_mapped(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 1, 0, 0);
	client_set_slot(1, 2, 4, 2, 0);
	for (uint64_t gfn = 2; gfn < 6; gfn++)
		vcpu_read(0, page(gfn));
}

static void vcpu0_reads_page_2(void)
{
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

SCENARIO(slot_delete_pieces,
	.about = "a slot is deleted piece by piece while the host takes a page of it that a "
		 "vCPU uses",
	.bound = -1,
	.program = {
		.setup = all_of_slot_1_is_mapped,
		.thread = {
			{ "vCPU 0", vcpu0_reads_page_2 },
			{ "client", client_deletes_slot_1 },
			{ "host", host_unmaps_page_2 },
		},
	});

/* --- its pages are at the old place or the new, and then at the new ----------- */

static void two_vcpus_and_page_2(void)
{
	machine_make((struct machine_options){ .vcpus = 2 });
	client_set_slot(0, 2, 1, 2, 0);
}

static void vcpu1_reads_and_writes_page_4(void)
{
	vcpu_read(1, page(4));
	vcpu_write(1, page(4));
	vcpu_stop(1);
}

static void client_moves_the_slot(void)
{
	client_set_slot(0, 4, 1, 2, 0);
}

SCENARIO(slot_move,
	.about = "two vCPUs use the old and the new place of a slot that moves",
	.bound = -1,
	.program = {
		.setup = two_vcpus_and_page_2,
		.thread = {
			{ "vCPU 0", vcpu0_writes_and_reads_page_2 },
			{ "vCPU 1", vcpu1_reads_and_writes_page_4 },
			{ "client", client_moves_the_slot },
		},
	});

/* --- deleted and made again over other memory --------------------------------- */

static void vcpu0_writes_page_2_and_reads_it_twice(void)
{
	vcpu_write(0, page(2));
	vcpu_read(0, page(2));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void client_makes_the_slot_again(void)
{
	client_delete_slot(0);
	client_set_slot(0, 2, 1, 3, 0);
}

SCENARIO(slot_readd,
	.about = "a slot is deleted and made again over other memory while a vCPU uses it",
	.program = {
		.setup = one_vcpu_and_page_2,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_2_and_reads_it_twice },
			{ "client", client_makes_the_slot_again },
		},
	});

/* --- a slot that may only be read: writes are the client's -------------------- */

static void slot_over_page_2_is_read_only(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 2, 1, 2, KVM_MEM_READONLY);
}

static void vcpu0_reads_and_writes_page_2(void)
{
	vcpu_read(0, page(2));
	vcpu_write(0, page(2));
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void client_makes_it_writable(void)
{
	client_delete_slot(0);
	client_set_slot(0, 2, 1, 2, 0);
}

SCENARIO(slot_read_only,
	.about = "a vCPU reads and writes to a read-only slot that is deleted, and made again for "
		 "writing",
	.program = {
		.setup = slot_over_page_2_is_read_only,
		.thread = {
			{ "vCPU 0", vcpu0_reads_and_writes_page_2 },
			{ "client", client_makes_it_writable },
		},
	});
