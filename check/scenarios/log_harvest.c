/* SPDX-License-Identifier: MIT */
/* Harvest against writes: no write is lost. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
}

static void guest(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(1));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void client(void)
{
	client_get_log(0, 0);
}

static void finish(void)
{
	client_get_log(0, 0);
	oracle_compare(0, 0, 4);
}

SCENARIO(log_harvest,
	.name = "log-harvest",
	.about = "a vCPU writes to a page three times while its dirty log is harvested",
	.bound = 1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = finish,
	});
