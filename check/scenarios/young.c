/* SPDX-License-Identifier: MIT */
/* Ageing: after a clear that flushes, an access is seen; also if another has cleared
 * before it, without a flush. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 4, 0, 0);
	vcpu_write(0, page(1));
}

static void guest(void)
{
	vcpu_read(0, page(1));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void host(void)
{
	client_age(1, AGE_CLEAR);
	host_unmap(&vm->mmu, 2, 1);
	client_age(1, AGE_CLEAR_FLUSH);
}

static void finish(void)
{
	vcpu_read(0, page(1));
	vcpu_stop(0);
	client_age(1, AGE_CLEAR);
	client_age(1, AGE_CLEAR_FLUSH);
	vcpu_read(0, page(1));
	vcpu_stop(0);
	if (!oracle_is_blind && !client_age(1, AGE_TEST))
		sched_fail(VERDICT_WRONG, "a page that was used is not young");
}

SCENARIO(young,
	.name = "young",
	.about = "the host asks which pages are young while a vCPU uses them, and takes "
		 "one",
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "host", host } },
		.finish = finish,
	});
