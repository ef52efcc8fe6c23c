/* SPDX-License-Identifier: MIT */
/* The dirty log against writes: none is lost. */
#include "check/world/scenario.h"

static void one_vcpu(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 1 }, KVM_MEM_LOG_DIRTY_PAGES);
}

static void two_vcpus(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 2 }, KVM_MEM_LOG_DIRTY_PAGES);
}

static void vcpu0_writes_page_1(void)
{
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void vcpu0_writes_page_1_twice(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void vcpu0_writes_pages_1_and_2(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_stop(0);
}

/* --- KVM_GET_DIRTY_LOG -------------------------------------------------------- */

static void vcpu0_writes_page_1_thrice(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(1));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

SCENARIO(log_harvest,
	.about = "a vCPU writes to a page three times while its dirty log is harvested",
	.bound = 1,
	.program = {
		.setup = one_vcpu,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_1_thrice },
			{ "client", client_harvests },
		},
		.finish = log_missed_nothing,
	});

static void vcpu1_writes_page_2(void)
{
	vcpu_write(1, page(2));
	vcpu_stop(1);
}

static void client_harvests_twice(void)
{
	client_get_log(0, 0);
	client_get_log(0, 0);
}

SCENARIO(log_two_vcpus,
	.about = "two vCPUs dirty pages whose bits share a word while the log is harvested "
		 "twice",
	.bound = -1,
	.program = {
		.setup = two_vcpus,
		.thread = {
			{ "vCPU 0", vcpu0_writes_pages_1_and_2 },
			{ "vCPU 1", vcpu1_writes_page_2 },
			{ "client", client_harvests_twice },
		},
		.finish = log_missed_nothing,
	});

/* --- with manual protection: of two CLEARs the second may find nothing to clear --- */

static void page_1_is_dirty_under_manual_protection(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 1, .manual_protect = true },
			       KVM_MEM_LOG_DIRTY_PAGES);
	vcpu_write(0, page(1));
}

static void client_gets_and_clears(void)
{
	client_get_clear_copy(0, 0);
}

static void cleared_log_missed_nothing(void)
{
	client_get_clear_copy(0, 0);
	oracle_compare(0, 0, 4);
}

SCENARIO(log_two_callers,
	.about = "two clients with a copy each ask for the dirty log and clear it at the "
		 "same time",
	.bound = -1,
	.program = {
		.setup = page_1_is_dirty_under_manual_protection,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_1 },
			{ "client A", client_gets_and_clears },
			{ "client B", client_gets_and_clears },
		},
		.finish = cleared_log_missed_nothing,
	});

/* --- logging begins under a vCPU that writes; the memory is copied after that --- */

static void page_1_is_writable_and_not_logged(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 1 }, 0);
	vcpu_write(0, page(1));
}

static void vcpu0_writes_pages_1_2_1(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(2));
	vcpu_write(0, page(1));
	vcpu_stop(0);
}

static void client_enables_and_copies(void)
{
	client_set_slot(0, 0, 4, 0, KVM_MEM_LOG_DIRTY_PAGES);
	client_copy_all(0, 0);
}

SCENARIO(log_enable,
	.about = "logging is enabled, and all memory copied, while a vCPU writes",
	.program = {
		.setup = page_1_is_writable_and_not_logged,
		.thread = {
			{ "vCPU 0", vcpu0_writes_pages_1_2_1 },
			{ "client", client_enables_and_copies },
		},
		.finish = log_missed_nothing,
	});

/* --- off and on again, with a harvest by another thread between --------------- */

static void page_1_is_dirty(void)
{
	one_vcpu();
	vcpu_write(0, page(1));
}

static void client_disables_and_enables(void)
{
	client_set_slot(0, 0, 4, 0, 0);
	client_enables_and_copies();
}

static void other_asks_for_the_log(void)
{
	client_try_log(0, 0);
}

static void page_3_is_logged(void)
{
	vcpu_write(0, page(3));
	vcpu_stop(0);
	client_get_log(0, 0);
	oracle_compare(0, 3, 1);
}

SCENARIO(log_disable_enable,
	.about = "logging goes off and on again while another thread asks for the log",
	.bound = -1,
	.program = {
		.setup = page_1_is_dirty,
		.thread = {
			{ "vCPU 0", vcpu0_writes_pages_1_and_2 },
			{ "client", client_disables_and_enables },
			{ "other", other_asks_for_the_log },
		},
		.finish = page_3_is_logged,
	});

/* --- the log goes to memory that another thread has yet to provide ------------ */

#define LOG_PAGE 7

static void log_page_is_awaited(void)
{
	machine_make((struct machine_options){ .vcpus = 1 });
	client_set_slot(0, 0, 3, 0, KVM_MEM_LOG_DIRTY_PAGES);
	host_await(LOG_PAGE);
}

static void client_harvests_to_the_page(void)
{
	if (dirty_log_get(&vm->slots, 0, hva_pointer(host_hva(LOG_PAGE))))
		sched_fail(VERDICT_WRONG, "the log could not be copied");
}

static void handler_unmaps_and_provides(void)
{
	host_unmap(&vm->mmu, 2, 1);
	host_provide(LOG_PAGE);
}

SCENARIO(log_to_awaited_page,
	.about = "a harvest waits for the memory that it copies to, and whoever provides that "
		 "unmaps a page",
	.bound = -1,
	.program = {
		.setup = log_page_is_awaited,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_1 },
			{ "client", client_harvests_to_the_page },
			{ "handler", handler_unmaps_and_provides },
		},
	});

/* --- W is given back without the lock ----------------------------------------- */

static void take_w_of_page_1(void)
{
	vcpu_write(0, page(1));
	vcpu_stop(0);
	client_get_log(0, 0);
}

static void page_1_has_lost_w_to_two(void)
{
	two_vcpus();
	take_w_of_page_1();
}

static void vcpu1_reads_and_writes_page_1(void)
{
	vcpu_read(1, page(1));
	vcpu_write(1, page(1));
	vcpu_stop(1);
}

SCENARIO(fast_fault_harvest,
	.about = "two vCPUs take fast page faults on a page that is being harvested",
	.bound = -1,
	.program = {
		.setup = page_1_has_lost_w_to_two,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_1_twice },
			{ "vCPU 1", vcpu1_reads_and_writes_page_1 },
			{ "client", client_harvests },
		},
		.finish = log_missed_nothing,
	});

static void page_1_has_lost_w(void)
{
	one_vcpu();
	take_w_of_page_1();
}

static void host_replaces_page_1(void)
{
	host_replace(&vm->mmu, 1, 1);
}

SCENARIO(fast_fault_zap,
	.about = "a vCPU takes a fast page fault on a page that the host replaces",
	.bound = 1,
	.program = {
		.setup = page_1_has_lost_w,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_1_twice },
			{ "host", host_replaces_page_1 },
		},
		.finish = client_harvests,
	});

/* --- what the fault has found of the slot goes with it ------------------------ */

static void client_deletes_the_slot(void)
{
	client_delete_slot(0);
}

SCENARIO(fast_fault_delete,
	.about = "a vCPU takes a fast page fault on a page of a logged slot that is deleted",
	.bound = -1,
	.program = {
		.setup = page_1_has_lost_w,
		.thread = {
			{ "vCPU 0", vcpu0_writes_page_1_twice },
			{ "client", client_deletes_the_slot },
		},
	});

/* --- all of a page: its first bytes and its last ------------------------------ */

#define LAST_WORD (PAGE_SIZE - 8)

static void vcpu0_writes_both_ends_of_page_1(void)
{
	vcpu_write(0, page(1));
	vcpu_write(0, page(1) + LAST_WORD);
	vcpu_stop(0);
}

static void vcpu1_reads_and_writes_its_middle(void)
{
	vcpu_read(1, page(1) + LAST_WORD);
	vcpu_write(1, page(1) + PAGE_SIZE / 2);
	vcpu_stop(1);
}

SCENARIO(log_whole_page,
	.about = "two vCPUs write to different parts of a page that is being harvested",
	.bound = -1,
	.program = {
		.setup = two_vcpus,
		.thread = {
			{ "vCPU 0", vcpu0_writes_both_ends_of_page_1 },
			{ "vCPU 1", vcpu1_reads_and_writes_its_middle },
			{ "client", client_harvests },
		},
		.finish = log_missed_nothing,
	});
