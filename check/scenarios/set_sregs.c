/* SPDX-License-Identifier: MIT */
/* The client changes CR3 of a vCPU that is outside. */
#include "check/world/scenario.h"

/* A second set of tables, in which page 2 is elsewhere. */
static void setup(void)
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

static void vcpu(void)
{
	guest_set_sregs_cr3(0, GUEST_PML4_2);
	guest_read_watched(0, page(2));
	guest_load_cr3(0, GUEST_PML4);
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void host(void)
{
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(set_sregs,
	.name = "set-sregs",
	.about = "CR3 is changed by KVM_SET_SREGS and by the guest while the host unmaps a "
		 "page",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", vcpu }, { "host", host } },
		.finish = look_no_further,
	});
