/* SPDX-License-Identifier: MIT */
/*
 * The slot with the roots is deleted: they become obsolete while one vCPU is in the guest
 * and another faults.  Then the host takes the memory of a page that they led to.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2, .host_pages = 18 }, 0);
	client_set_slot(1, 32, 1, 17, 0);
	host_poke(17, 0, gpte(GUEST_PDPT, GPTE_ALL));
	guest_load_cr3(0, 32);
	guest_load_cr3(1, 32);
	vcpu_read(0, page(2));
}

static void guest0(void)
{
	vcpu_read(0, page(2));
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_write(1, page(2));
	vcpu_stop(1);
}

static void client(void)
{
	client_delete_slot(1);
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(obsolete_roots,
	.name = "obsolete-roots",
	.about = "a slot is deleted, and its memory unmapped, while vCPUs use their roots "
		 "and fault",
	.bound = -2,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "client", client } },
		.finish = look_no_further,
	});
