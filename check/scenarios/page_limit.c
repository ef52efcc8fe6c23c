/* SPDX-License-Identifier: MIT */
/* So few shadow pages that those in use are zapped. */
#include "check/world/scenario.h"

static void setup(void)
{
	guest_make((struct machine_options){ .vcpus = 2, .page_limit = 9 }, 0);
	guest_watch(page(2));
	guest_read_watched(0, page(2));
}

static void guest0(void)
{
	guest_read_watched(0, page(2));
	vcpu_read(0, page(1));
	vcpu_stop(0);
}

static void guest1(void)
{
	guest_load_cr3(1, GUEST_PML4_2);
	guest_read_watched(1, page(2));
	vcpu_stop(1);
}

static void host(void)
{
	host_unmap(&vm->mmu, 2, 1);
}

SCENARIO(page_limit,
	.name = "page-limit",
	.about = "shadow pages are recycled under a limit while two vCPUs walk them and "
		 "the host takes a page",
	.modes = SHADOW_ONLY, .bound = -2,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "host", host } },
		.finish = look_no_further,
	});
