/* SPDX-License-Identifier: MIT */
/* Of a large page the host takes one small page back. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1, .host_pages = 512, .level = LEVEL_2M });
	client_set_slot(0, 0, 512, 0, 0);
}

static void guest(void)
{
	vcpu_write(0, page(1));
	vcpu_read(0, page(3));
	vcpu_stop(0);
}

static void host(void)
{
	host_unmap(&vm->mmu, 3, 1);
}

SCENARIO(large_page_notifier,
	.name = "large-page-notifier",
	.about = "the host takes back one page of a large one that a vCPU uses",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "host", host } },
		.finish = look_no_further,
	});
