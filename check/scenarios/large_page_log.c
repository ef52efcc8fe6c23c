/* SPDX-License-Identifier: MIT */
/*
 * A large page is in use when logging is enabled: it must be split before the next
 * write, or one bit would stand for 512 pages.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1, .host_pages = 512, .level = LEVEL_2M });
	client_set_slot(0, 0, 512, 0, 0);
	vcpu_write(0, page(1));
}

static void guest(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void client(void)
{
	client_set_slot(0, 0, 512, 0, KVM_MEM_LOG_DIRTY_PAGES);
	for (unsigned int i = 1; i < 3; i++)
		oracle_copy(0, i);
}

static void finish(void)
{
	client_get_log(0, 0);
	oracle_compare(0, 1, 2);
}

SCENARIO(large_page_log,
	.name = "large-page-log",
	.about = "logging is enabled under a large page that a vCPU writes to",
	.modes = TDP_ONLY, .bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = finish,
	});
