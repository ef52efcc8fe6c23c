/* SPDX-License-Identifier: MIT */
/* W is given back without the lock, against a harvest that takes it. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 2 });
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_write(0, page(1));
	vcpu_stop(0);
	client_get_log(0, 0);
}

static void guest0(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_read(1, page(1));
	vcpu_write(1, page(1));
	vcpu_stop(1);
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

SCENARIO(fast_fault_harvest,
	.name = "fast-fault-harvest",
	.about = "two vCPUs take fast page faults on a page that is being harvested",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "client", client } },
		.finish = finish,
	});
