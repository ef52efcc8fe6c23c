/* SPDX-License-Identifier: MIT */
/* Off and on again, with a harvest by another thread between. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
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
	client_set_slot(0, 0, 4, 0, 0);
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
	client_copy_all(0, 0);
}

static void other(void)
{
	uint64_t bitmap[8];
	int err = dirty_log_get(&vm->slots, 0, bitmap);

	if (err && err != -ENOENT)
		sched_fail(VERDICT_WRONG, "KVM_GET_DIRTY_LOG: %d", err);
}

static void finish(void)
{
	vcpu_write(0, page(3));
	vcpu_stop(0);
	client_get_log(0, 0);
	oracle_compare(0, 3, 1);
}

SCENARIO(log_disable_enable,
	.name = "log-disable-enable",
	.about = "logging goes off and on again while another thread asks for the log",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest }, { "client", client }, { "other", other } },
		.finish = finish,
	});
