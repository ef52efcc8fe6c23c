/* SPDX-License-Identifier: MIT */
/* A vCPU is made, and taken away, while a flush looks for whom to ask. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 4, 0, 0);
}

static void guest(void)
{
	struct mmu_vcpu *v = &vm->vcpu[1];

	if (mmu_vcpu_init(v, &vm->mmu))
		sched_fail(VERDICT_WRONG, "no vCPU");
	v->paging.maxphyaddr = 48;
	vm->n_vcpus = 2;
	vcpu_write(1, page(1));
	vcpu_read(1, page(1));
	vcpu_stop(1);
	mmu_vcpu_destroy(v);
}

static void host(void)
{
	host_unmap(&vm->mmu, 1, 1);
}

SCENARIO(late_vcpu,
	.name = "late-vcpu",
	.about = "a vCPU is created, used and destroyed while the host unmaps a page",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 1", guest }, { "host", host } },
		.finish = look_no_further,
	});
