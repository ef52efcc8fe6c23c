/* SPDX-License-Identifier: MIT */
/*
 * A fault has read the guest's entry; before it installs, the entry is changed and the
 * change is complete.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
	guest_read_watched(0, page(2));
	vcpu_read(1, page(GUEST_PT));
	guest_invlpg(0, page(2));
}

static void guest0(void)
{
	guest_read_watched(0, page(2));
	guest_invlpg(0, page(2));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_set_gpte(1, GUEST_PT, 2, gpte(3, GPTE_ALL));
	guest_invlpg(1, page(2));
	guest_read_watched(1, page(2));
	vcpu_stop(1);
}

SCENARIO(recheck,
	.name = "recheck",
	.about = "a guest entry is changed between its reading by a fault and the install",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 } },
		.finish = look_no_further,
	});
