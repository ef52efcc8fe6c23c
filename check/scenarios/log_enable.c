/* SPDX-License-Identifier: MIT */
/* Logging is switched on under a vCPU that writes, and the memory copied after it. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 4, 0, 0);
	vcpu_write(0, page(1));
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
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
	client_copy_all(0, 0);
}

static void finish(void)
{
	client_get_log(0, 0);
	oracle_compare(0, 0, 4);
}

SCENARIO(log_enable,
	.name = "log-enable",
	.about = "logging is enabled, and all memory copied, while a vCPU writes",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = finish,
	});
