/* SPDX-License-Identifier: MIT */
/* A vCPU changes an entry of the tables that another uses. */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
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
	guest_read_watched(1, page(2));
	guest_load_cr3(1, GUEST_PML4);
	guest_read_watched(1, page(2));
	vcpu_stop(1);
}

SCENARIO(guest_tables,
	.name = "guest-tables",
	.about = "one vCPU changes a guest page table entry that another uses, each then "
		 "forgets it in its own time",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 } },
		.finish = look_no_further,
	});
