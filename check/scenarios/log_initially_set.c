/* SPDX-License-Identifier: MIT */
/* All dirty from the start: large pages lose W when logging begins, small ones at CLEAR. */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1, .host_pages = 1024, .level = LEVEL_2M,
					       .initially_set = true });
	client_set_slot(0, 0, 1024, 0, 0);
	vcpu_write(0, page(1));
}

static void guest(void)
{
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

static void client(void)
{
	uint64_t bitmap[16] = { 7 };

	client_set_slot(0, 0, 1024, 0, KVM_MEM_LOG_DIRTY_PAGES);
	if (dirty_log_clear(&vm->slots, 0, 0, 64, bitmap))
		sched_fail(VERDICT_WRONG, "no CLEAR");
	for (unsigned int i = 0; i < 3; i++)
		oracle_copy(0, i);
}

static void finish(void)
{
	uint64_t bitmap[16];

	if (dirty_log_get(&vm->slots, 0, bitmap))
		sched_fail(VERDICT_WRONG, "no log");
	for (unsigned int i = 0; i < 3; i++)
		if (bitmap[0] & 1ull << i)
			oracle_copy(0, i);
	oracle_compare(0, 0, 3);
}

SCENARIO(log_initially_set,
	.name = "log-initially-set",
	.about = "a log that begins with all pages dirty is enabled and cleared over large "
		 "pages",
	.modes = TDP_ONLY, .bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 2,
		.thread = { { "vCPU 0", guest }, { "client", client } },
		.finish = finish,
	});
