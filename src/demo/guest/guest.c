/* SPDX-License-Identifier: MIT */
/*
 * demo/guest/guest.c - the built-in guest: freestanding x86-64 code.
 *
 * Each vCPU owns every second data page.  It writes pages in a scattered order, checking each
 * before it writes; it writes through one mapping and checks through another.
 */
#include <stddef.h>

#include "protocol.h"

#define WORDS 512
#define PTE_PRESENT_WRITABLE 3ull

static struct mailbox *const mailbox = (struct mailbox *)MAILBOX_GPA;
static uint32_t *const ledger = (uint32_t *)LEDGER_GPA;

static void out(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static void relax(void)
{
	__asm__ volatile("pause");
}

/* By its identity mapping, and by its scrambled one. */
static uint64_t *page_by_identity(uint32_t page)
{
	return (uint64_t *)(DATA_GPA + ((uint64_t)page << 12));
}

static uint64_t *page_scrambled(uint32_t page)
{
	return (uint64_t *)(SCRAMBLED_GVA + ((uint64_t)page << 12));
}

/* Where the scrambled mapping has @slot: a permutation of all data pages. */
static uint32_t scramble(uint32_t slot)
{
	return (uint32_t)((uint64_t)slot * SCRAMBLE_FACTOR % DATA_PAGES);
}

/*
 * SCRAMBLED_GVA + page maps the data page of that number, in another place than the identity
 * mapping: physical frames are assigned in a scrambled order.
 */
static void build_scrambled_mapping(void)
{
	uint64_t *pml4 = (uint64_t *)TABLES_GPA;
	uint64_t pdpt = TABLES_GPA + 0x10000, pd = pdpt + 0x1000, pt = pd + 0x1000;

	pml4[(SCRAMBLED_GVA >> 39) & 511] = pdpt | PTE_PRESENT_WRITABLE;
	*(uint64_t *)pdpt = pd | PTE_PRESENT_WRITABLE;
	for (uint32_t i = 0; i < DATA_PAGES / WORDS; i++)
		((uint64_t *)pd)[i] = (pt + i * 0x1000) | PTE_PRESENT_WRITABLE;
	for (uint32_t page = 0; page < DATA_PAGES; page++)
		((uint64_t *)pt)[page] =
			(DATA_GPA + ((uint64_t)scramble(page) << 12)) | PTE_PRESENT_WRITABLE;
}

static void fail(uint32_t vcpu, enum failure what, uint32_t page, uint64_t seen, uint64_t expected)
{
	mailbox->failed_page = page;
	mailbox->failed_vcpu = vcpu;
	mailbox->seen = seen;
	mailbox->expected = expected;
	mailbox->failure = what;
	for (;;)
		out(PORT_FAILED, vcpu);
}

static int is_empty(const uint64_t *words)
{
	for (uint32_t i = 0; i < WORDS; i++)
		if (words[i])
			return 0;
	return 1;
}

static uint64_t expected_word(uint32_t page, uint64_t count, uint32_t i)
{
	return i == 0 ? page : i == 1 ? count : pattern_word(page, count, i);
}

static int is_in_hole(uint32_t page)
{
	uint32_t frame = scramble(page);

	return frame >= mailbox->hole_first && frame < mailbox->hole_end;
}

/*
 * The host has revoked the page and given back an empty one, perhaps while we were writing it:
 * every word is zero or as expected, and some are zero.
 */
static int was_taken(uint32_t page, uint64_t count, const uint64_t *words)
{
	uint32_t n_zero = 0;

	for (uint32_t i = 0; i < WORDS; i++) {
		if (words[i] == expected_word(page, count, i))
			continue;
		if (words[i])
			return 0;
		n_zero++;
	}
	return n_zero != 0;
}

static void begin_anew(uint32_t vcpu, uint32_t page, uint64_t *words)
{
	for (uint32_t i = 0; i < WORDS; i++)
		words[i] = 0;
	ledger[page] = 0;
	mailbox->report[vcpu].pages_found_empty++;
}

/* The page must be what the ledger says, unless the host has revoked it: that is checked after a
 * wrong word is found, since it can happen between one word and the next. */
static void check_page(uint32_t vcpu, uint32_t page, uint64_t *words)
{
	uint64_t count = ledger[page], seen = 0;
	uint32_t i;

	mailbox->report[vcpu].pages_checked++;
	if (count == 0) {
		if (!is_empty(words))
			fail(vcpu, FAILURE_STALE_HOLE, page, words[1], 0);
		return;
	}
	for (i = 0; i < WORDS; i++) {
		seen = words[i];
		if (seen != expected_word(page, count, i))
			break;
	}
	if (i == WORDS)
		return;
	if (is_in_hole(page) && was_taken(page, count, words)) {
		begin_anew(vcpu, page, words);
		return;
	}
	fail(vcpu, i == 0 ? FAILURE_WRONG_PAGE : i == 1 ? FAILURE_LOST_WRITE : FAILURE_TORN_PAGE,
	     page, seen, expected_word(page, count, i));
}

static void write_page(uint32_t vcpu, uint32_t page, uint64_t *words)
{
	uint64_t count = ++ledger[page];

	words[0] = page;
	words[1] = count;
	for (uint32_t i = 2; i < WORDS; i++)
		words[i] = pattern_word(page, count, i);
	mailbox->report[vcpu].pages_written++;
}

/* One page of this vCPU's half of the working set. */
static void work(uint32_t vcpu, uint32_t *step)
{
	uint32_t half = mailbox->pages_in_use / GUEST_VCPUS;
	uint32_t page = (*step)++ % half * GUEST_VCPUS + vcpu;

	/* Checked through one mapping, written through the other. */
	check_page(vcpu, page, page_by_identity(scramble(page)));
	write_page(vcpu, page, page_scrambled(page));
}

/* A word of the window.  Where no slot is, reading gives all ones. */
static void read_window(uint32_t vcpu, uint32_t *step)
{
	uint64_t gpa = mailbox->window_gpa;
	uint32_t page = (*step)++ * 7u % WINDOW_PAGES, i = *step % WORDS;
	uint64_t seen = ((volatile uint64_t *)(gpa + ((uint64_t)page << 12)))[i];

	mailbox->report[vcpu].window_reads++;
	if (seen == ~0ull)
		mailbox->report[vcpu].window_misses++;
	else if (seen != window_word(page, i))
		fail(vcpu, FAILURE_WINDOW, page, seen, window_word(page, i));
}

static void verify_all(uint32_t vcpu)
{
	for (uint32_t page = vcpu; page < DATA_PAGES; page += GUEST_VCPUS)
		check_page(vcpu, page, page_scrambled(page));
}

void guest_main(uint32_t vcpu);

void guest_main(uint32_t vcpu)
{
	uint32_t step = 0;

	if (vcpu == 0) {
		build_scrambled_mapping();
		mailbox->tables_ready = 1;
	}
	while (!mailbox->tables_ready)
		relax();

	for (;;) {
		switch (mailbox->command) {
		case COMMAND_RUN:
			work(vcpu, &step);
			break;
		case COMMAND_READ_WINDOW:
			read_window(vcpu, &step);
			break;
		case COMMAND_VERIFY:
			verify_all(vcpu);
			out(PORT_PAUSED, vcpu);
			break;
		case COMMAND_PAUSE:
			out(PORT_PAUSED, vcpu);
			break;
		case COMMAND_QUIT:
			return;
		}
	}
}
