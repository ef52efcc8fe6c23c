/* SPDX-License-Identifier: MIT */
/* Two vCPUs write the same entry: the last one counts, for both. */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2 }, 0);
	guest_watch(page(2));
	/* Both have read the table as data, so that it may be given up to them. */
	vcpu_read(0, page(GUEST_PT));
	guest_read_watched(0, page(2));
	vcpu_stop(0);
}

static void change(unsigned int n, gfn_t gfn)
{
	guest_set_gpte(n, GUEST_PT, 2, gpte(gfn, GPTE_ALL));
	guest_invlpg(n, page(2));
	guest_read_watched(n, page(2));
	vcpu_stop(n);
}

static void guest0(void)
{
	change(0, 3);
}

static void guest1(void)
{
	change(1, 4);
}

SCENARIO(one_table_two_writers,
	.name = "one-table-two-writers",
	.about = "two vCPUs write the same guest entry, invalidate and use it",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 } },
		.finish = look_no_further,
	});
