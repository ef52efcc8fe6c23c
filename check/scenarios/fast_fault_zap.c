/* SPDX-License-Identifier: MIT */
/* W is given back without the lock, against an invalidation that zaps. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_write(0, page(1));
	vcpu_stop(0);
	client_get_log(0, 0);
}

static void guest(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void host(void)
{
	host_replace(&vm->mmu, 1, 1);
}

static void finish(void)
{
	client_get_log(0, 0);
}

SCENARIO(fast_fault_zap,
	.name = "fast-fault-zap",
	.about = "a vCPU takes a fast page fault on a page that the host replaces",
	.bound = 1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "host", host } },
		.finish = finish,
	});
