/* SPDX-License-Identifier: MIT */
/*
 * The host puts an empty page in the place of a guest table and fills it.  Between begin
 * and end of the invalidation nobody may take what is there for the guest's.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 1 }, 0);
	guest_watch(page(2));
}

static void guest(void)
{
	guest_read_watched(0, page(2));
	guest_write_watched(0, page(2));
	vcpu_stop(0);
}

static void host(void)
{
	host_refill(&vm->mmu, GUEST_PT, 1);
}

SCENARIO(tables_refilled,
	.name = "tables-refilled",
	.about = "a guest table is walked while the host exchanges its memory for an empty page "
		 "and fills it",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "host", host } },
		.finish = look_no_further,
	});
