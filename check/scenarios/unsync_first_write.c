/* SPDX-License-Identifier: MIT */
/*
 * The first write to a table that is given up: from the moment it is writable its shadow
 * must be known to be out of date.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
	guest_read_watched(0, page(2));
	guest_read_watched(1, page(2));
	vcpu_read(0, page(GUEST_PT));
	vcpu_read(1, page(GUEST_PT));
}

static void guest0(void)
{
	guest_set_gpte(0, GUEST_PT, 2, gpte(3, GPTE_ALL));
	guest_invlpg(0, page(2));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_set_gpte(1, GUEST_PT, 2, gpte(4, GPTE_ALL));
	guest_load_cr3(1, GUEST_PML4);
	guest_read_watched(1, page(2));
	vcpu_stop(1);
}

SCENARIO(unsync_first_write,
	.name = "unsync-first-write",
	.about = "two vCPUs make the first write to a table that is given up to the guest",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 } },
		.finish = look_no_further,
	});
