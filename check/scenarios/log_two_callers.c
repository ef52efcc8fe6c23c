/* SPDX-License-Identifier: MIT */
/*
 * Two threads of a client, with one copy of the memory, use GET and CLEAR with manual
 * protection.  Of the two CLEARs the second may find nothing to clear.
 */
#include "check/world/scenario.h"

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1, .manual_protect = true });
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_write(0, page(1));
}

static void guest(void)
{
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void client_a(void)
{
	client_get_clear_copy(0, 0);
}

static void client_b(void)
{
	client_get_clear_copy(0, 0);
}

static void finish(void)
{
	client_get_clear_copy(0, 0);
	oracle_compare(0, 0, 4);
}

SCENARIO(log_two_callers,
	.name = "log-two-callers",
	.about = "two clients with a copy each ask for the dirty log and clear it at the "
		 "same time",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = {
			{ "vCPU 0", guest },
			{ "client A", client_a },
			{ "client B", client_b },
		},
		.finish = finish,
	});
