/* SPDX-License-Identifier: MIT */
/*
 * The log is copied into memory that another thread has yet to provide; that thread first
 * unmaps something.
 */
#include "check/world/scenario.h"

#define LOG_PAGE 7

static void setup(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 3, 0, KVM_MEM_LOG_DIRTY_PAGES);
	host_await(LOG_PAGE);
}

static void guest(void)
{
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void client(void)
{
	if (dirty_log_get(&vm->slots, 0, (void *)host_hva(LOG_PAGE)))
		sched_fail(VERDICT_WRONG, "the log could not be copied");
}

static void handler(void)
{
	host_unmap(&vm->mmu, 2, 1);
	host_provide(LOG_PAGE);
}

SCENARIO(log_to_awaited_page,
	.name = "log-to-awaited-page",
	.about = "a harvest waits for the memory that it copies to, and whoever provides that "
		 "unmaps a page",
	.bound = -1,
	.program = {
		.setup = setup,
		.n_threads = 3,
		.thread = { { "vCPU 0", guest }, { "client", client }, { "handler", handler } },
		.finish = look_no_further,
	});
