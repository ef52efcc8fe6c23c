/* SPDX-License-Identifier: MIT */
/* Ageing: after a clear that flushes, an access is seen. */
#include "check/world/scenario.h"

static void one_vcpu(void)
{
	machine_make_with_slot((struct machine_options){ .vcpus = 1 }, 0);
}

static void see_that_page_1_is_young(void)
{
	vcpu_read(0, page(1));
	vcpu_stop(0);
	if (!oracle_is_blind && !client_age(1, AGE_TEST))
		sched_fail(VERDICT_WRONG, "a page that was used is not young");
}

/* --- also if another has cleared before it, without a flush ------------------- */

static void page_1_is_in_use(void)
{
	one_vcpu();
	vcpu_write(0, page(1));
}

static void vcpu0_reads_pages_1_and_2(void)
{
	vcpu_read(0, page(1));
	vcpu_read(0, page(2));
	vcpu_stop(0);
}

static void host_ages_page_1_and_unmaps_page_2(void)
{
	client_age(1, AGE_CLEAR);
	host_unmap(&vm->mmu, 2, 1);
	client_age(1, AGE_CLEAR_FLUSH);
}

static void page_1_is_young_after_both_clears(void)
{
	vcpu_read(0, page(1));
	vcpu_stop(0);
	client_age(1, AGE_CLEAR);
	client_age(1, AGE_CLEAR_FLUSH);
	client_age(1, AGE_TEST);
	see_that_page_1_is_young();
}

SCENARIO(young,
	.about = "the host asks which pages are young while a vCPU uses them, and takes "
		 "one",
	.program = {
		.setup = page_1_is_in_use,
		.thread = {
			{ "vCPU 0", vcpu0_reads_pages_1_and_2 },
			{ "host", host_ages_page_1_and_unmaps_page_2 },
		},
		.finish = page_1_is_young_after_both_clears,
	});

/* --- ageing of much memory gives up the MMU lock on the way ----------------------
 *
 * Whoever ages one page of it meanwhile, and wants to see every use from then on, finds
 * its translation old already, and must find the debt.
 */

static void three_pages_are_young(void)
{
	one_vcpu();
	vcpu_read(0, page(1));
	vcpu_read(0, page(2));
	vcpu_read(0, page(3));
	vcpu_stop(0);
}

static void host_ages_all(void)
{
	client_age_pages(1, 3, AGE_CLEAR);
}

static void host_ages_page_1(void)
{
	client_age(1, AGE_CLEAR_FLUSH);
}

/* Nobody has used it since: so the last look's use is seen. */
SCENARIO(young_pieces,
	.about = "much memory is aged, piece by piece, while a page of it is aged with a flush",
	.program = {
		.setup = three_pages_are_young,
		.thread = { { "host A", host_ages_all }, { "host B", host_ages_page_1 } },
		.finish = see_that_page_1_is_young,
	});
