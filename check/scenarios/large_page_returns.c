/* SPDX-License-Identifier: MIT */
/*
 * The log of a slot ends, and its small translations go for a large one, without a flush
 * before the large one is made: TLBs keep what they have.  Then the log begins again.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1, .host_pages = 512, .level = LEVEL_2M });
	client_set_slot(0, 0, 512, 0, KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_write(0, page(1));
	vcpu_read(0, page(2));
}

static void guest(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void client(void)
{
	client_set_slot(0, 0, 512, 0, 0);
	client_set_slot(0, 0, 512, 0, KVM_MEM_LOG_DIRTY_PAGES);
	for (unsigned int i = 1; i < 3; i++)
		oracle_copy(0, i);
}

static void finish(void)
{
	client_get_log(0, 0);
	oracle_compare(0, 1, 2);
}

SCENARIO(large_page_returns,
	.name = "large-page-returns",
	.about = "the log of a slot ends, and begins again, while a vCPU writes to what becomes "
		 "a large page",
	.bound = -2,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = finish,
	});
