/* SPDX-License-Identifier: MIT */
/* A vCPU goes back and forth between two roots; what was changed meanwhile counts. */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
	guest_read_watched(0, page(2));
	guest_load_cr3(0, GUEST_PML4_2);
	guest_read_watched(0, page(2));
	vcpu_read(1, page(GUEST_PT));
	guest_set_gpte(1, GUEST_PT, 9, gpte(9, GPTE_ALL));
}

static void guest0(void)
{
	guest_load_cr3(0, GUEST_PML4);
	guest_read_watched(0, page(2));
	guest_load_cr3(0, GUEST_PML4_2);
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

SCENARIO(root_reuse,
	.name = "root-reuse",
	.about = "a vCPU goes back to a root that it has used, whose tables another "
		 "changes",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 } },
		.finish = look_no_further,
	});
