/* SPDX-License-Identifier: MIT */
/*
 * A table that is out of date is linked again: the entry that leads to it was "not
 * present", so the guest need not invalidate anything.
 */
#include "check/world/scenario.h"

#define GVA (2ull << 20)

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	host_poke(GUEST_PD, 8, gpte(GUEST_PT2, GPTE_ALL));
	host_poke(GUEST_PT2, 0, gpte(2, GPTE_ALL));
	guest_watch(GVA);
	guest_read_watched(0, GVA);
	/* Read as data first: then it is given up to the guest's writes. */
	vcpu_read(0, page(GUEST_PT2));
	guest_set_gpte(0, GUEST_PT2, 9, 0);
	guest_set_gpte(0, GUEST_PD, 1, 0);
	guest_invlpg(0, GVA);
	guest_load_cr3(1, GUEST_PML4);
}

static void guest0(void)
{
	guest_set_gpte(0, GUEST_PT2, 0, gpte(3, GPTE_ALL));
	guest_set_gpte(0, GUEST_PD, 1, gpte(GUEST_PT2, GPTE_ALL));
	guest_read_watched(0, GVA);
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_read_watched(1, GVA);
	guest_read_watched(1, GVA);
	vcpu_stop(1);
}

SCENARIO(link_sync,
	.name = "link-sync",
	.about = "a guest table is changed while no entry leads to it, and then linked",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 } },
		.finish = look_no_further,
	});
