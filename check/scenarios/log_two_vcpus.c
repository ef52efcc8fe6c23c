/* SPDX-License-Identifier: MIT */
/* Two vCPUs dirty two pages of one word of the log while it is harvested twice. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 2 });
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
}

static void guest0(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void guest1(void)
{
	vcpu_write(1, page(2));
	vcpu_stop(1);
}

static void client(void)
{
	client_get_log(0, 0);
	client_get_log(0, 0);
}

static void finish(void)
{
	client_get_log(0, 0);
	oracle_compare(0, 0, 4);
}

SCENARIO(log_two_vcpus,
	.name = "log-two-vcpus",
	.about = "two vCPUs dirty pages whose bits share a word while the log is harvested "
		 "twice",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest0 }, { "vCPU 1", guest1 }, { "client", client } },
		.finish = finish,
	});
