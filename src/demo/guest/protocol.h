/* SPDX-License-Identifier: MIT */
/*
 * demo/guest/protocol.h - what the built-in guest and its host agree on.
 *
 * Guest memory is 64 MiB in three slots:
 *
 *	system   0 MiB   4 MiB   code, page tables, stacks, the mailbox, the ledger
 *	data    16 MiB  48 MiB   pages that the guest writes and checks
 *	window  any     12 MiB   pages that it reads wherever the host has put them
 *
 * A data page records which page it is and how often it was written; the rest follows from that
 * by pattern_word().  The ledger, in the system slot, counts the guest's writes to each page: a
 * lost write, or a page that went back in time, shows as a difference.
 */
#ifndef DEMO_GUEST_PROTOCOL_H
#define DEMO_GUEST_PROTOCOL_H

#include <stdint.h>

#define GUEST_VCPUS 2

#define SYSTEM_GPA 0x0ull
#define SYSTEM_BYTES (4ull << 20)
#define DATA_GPA (16ull << 20)
#define DATA_BYTES (48ull << 20)
#define DATA_PAGES (DATA_BYTES >> 12)
#define WINDOW_BYTES (12ull << 20)
#define WINDOW_PAGES (WINDOW_BYTES >> 12)
#define WINDOW_FIRST_GPA (128ull << 20)

#define IMAGE_GPA 0x100000ull
#define MAILBOX_GPA 0x8000ull
#define LEDGER_GPA 0x200000ull		/* uint32_t a data page */
#define TABLES_GPA 0x300000ull		/* page tables that the guest builds */

/* Data pages are also mapped here, in an order unrelated to their physical one: what is written
 * through one address is checked through the other. */
#define SCRAMBLED_GVA 0x500000000000ull
#define SCRAMBLE_FACTOR 5003u		/* odd, so that no page is missed */

/* Ports: the value written is the number of the vCPU. */
#define PORT_PAUSED 0x510		/* waits here until the host runs it again */
#define PORT_FAILED 0x511		/* mailbox.failure says what */

enum command {
	COMMAND_RUN,		/* write and check pages */
	COMMAND_READ_WINDOW,	/* read the window, wherever it is */
	COMMAND_VERIFY,		/* check every page against the ledger, then pause */
	COMMAND_PAUSE,
	COMMAND_QUIT,		/* HLT */
};

enum failure {
	FAILURE_NONE,
	FAILURE_WRONG_PAGE,	/* a page is not the one that belongs there */
	FAILURE_LOST_WRITE,	/* it lacks a write that was made */
	FAILURE_TORN_PAGE,	/* its words are inconsistent */
	FAILURE_STALE_HOLE,	/* a revoked page was still there */
	FAILURE_WINDOW,		/* the window shows what was never in it */
};

struct vcpu_report {
	uint64_t pages_written;
	uint64_t pages_checked;
	uint64_t pages_found_empty;	/* after the host revoked them */
	uint64_t window_reads;
	uint64_t window_misses;		/* nothing was there: MMIO */
	uint64_t pad[3];
};

struct mailbox {
	/* by the host */
	volatile uint32_t command;
	volatile uint32_t pages_in_use;	/* the working set: pages that are written */
	volatile uint64_t window_gpa;
	volatile uint32_t hole_first, hole_end;	/* frames of the data slot that may
						 * be found empty, in whole or in part */
	/* by the guest */
	volatile uint32_t tables_ready;
	volatile uint32_t failure;
	volatile uint32_t failed_page;
	volatile uint32_t failed_vcpu;
	volatile uint64_t seen, expected;
	uint64_t pad[1];
	volatile struct vcpu_report report[GUEST_VCPUS];
};

/* What word @i (2..511) of a page holds after its @count-th writing. */
static inline uint64_t pattern_word(uint64_t page, uint64_t count, uint64_t i)
{
	return (page * 0x9e3779b97f4a7c15ull ^ count * 0xd1b54a32d192ed03ull) + i * 0x0101010101ull;
}

static inline uint64_t window_word(uint64_t page, uint64_t i)
{
	return (page << 32 | i) ^ 0x57494e444f573a29ull;
}

#endif
