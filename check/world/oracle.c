/* SPDX-License-Identifier: MIT */
#include "check/world/oracle.h"

#include <string.h>

#include "check/engine/arena.h"
#include "check/world/host.h"
#include "check/engine/memory.h"
#include "check/engine/sched.h"
#include "check/engine/timeline.h"

bool oracle_is_blind;

/* --- O4: where frames lead ----------------------------------------------------------- */

#define MAX_ALLOWED 8
#define MAX_VCPUS 3

struct open_access {
	bool open;
	uint64_t gfn;
	unsigned int n;
	uint16_t allowed[MAX_ALLOWED];
};

static struct {
	/* Settled by the last call that has returned; NOWHERE + 1 = 0, so that zero
	 * is nowhere. */
	uint16_t settled[ORACLE_GFNS];
	uint16_t coming[ORACLE_GFNS];
	bool is_changing[ORACLE_GFNS];
	unsigned int highest;
	struct open_access access[MAX_VCPUS];
} table;
static void *table_word;

static struct {
	uint64_t copy[ORACLE_CONSUMERS][ORACLE_GFNS];
	uint64_t last_writer[ORACLE_GFNS];
	uint64_t last_tick[ORACLE_GFNS];
	unsigned int highest;
} dirty;

void oracle_begin_run(void)
{
	size_t n = table.highest + 1, m = dirty.highest + 1;

	memset(table.settled, 0, n * sizeof(table.settled[0]));
	memset(table.coming, 0, n * sizeof(table.coming[0]));
	memset(table.is_changing, 0, n * sizeof(table.is_changing[0]));
	memset(table.access, 0, sizeof(table.access));
	table.highest = 0;
	for (unsigned int i = 0; i < ORACLE_CONSUMERS; i++)
		memset(dirty.copy[i], 0, m * sizeof(dirty.copy[0][0]));
	memset(dirty.last_writer, 0, m * sizeof(dirty.last_writer[0]));
	dirty.highest = 0;
	/* Calls and accesses are ordered as accesses of this word. */
	table_word = arena_alloc(8);
}

static uint16_t coded(unsigned int page)
{
	return page == ORACLE_NOWHERE ? 0 : (uint16_t)(page + 1);
}

static void allow(struct open_access *a, uint16_t where)
{
	for (unsigned int i = 0; i < a->n; i++)
		if (a->allowed[i] == where)
			return;
	if (a->n < MAX_ALLOWED)
		a->allowed[a->n++] = where;
}

void oracle_change_begin(void)
{
	sched_point(memory_is_shared(table_word));
	memory_note_write(table_word);
}

void oracle_change(uint64_t gfn, unsigned int page)
{
	if (gfn >= ORACLE_GFNS)
		return;
	if (gfn > table.highest)
		table.highest = (unsigned int)gfn;
	table.coming[gfn] = coded(page);
	table.is_changing[gfn] = true;
	for (unsigned int i = 0; i < MAX_VCPUS; i++)
		if (table.access[i].open && table.access[i].gfn == gfn)
			allow(&table.access[i], coded(page));
}

void oracle_change_end(void)
{
	sched_point(memory_is_shared(table_word));
	memory_note_write(table_word);
	for (unsigned int i = 0; i <= table.highest; i++) {
		if (table.is_changing[i])
			table.settled[i] = table.coming[i];
		table.is_changing[i] = false;
	}
}

void oracle_access_begin(unsigned int n, uint64_t gfn)
{
	struct open_access *a = &table.access[n];

	sched_point(memory_is_shared(table_word));
	memory_note_read(table_word);
	*a = (struct open_access){ .open = true, .gfn = gfn };
	if (gfn >= ORACLE_GFNS)
		return;
	allow(a, table.settled[gfn]);
	if (table.is_changing[gfn])
		allow(a, table.coming[gfn]);
}

void oracle_access_end(unsigned int n, uint64_t gfn, unsigned int page)
{
	struct open_access *a = &table.access[n];

	sched_point(memory_is_shared(table_word));
	memory_note_read(table_word);
	a->open = false;
	if (gfn >= ORACLE_GFNS || oracle_is_blind)
		return;
	for (unsigned int i = 0; i < a->n; i++)
		if (a->allowed[i] == coded(page))
			return;
	if (page == ORACLE_NOWHERE)
		sched_fail(VERDICT_MMIO_RAM,
			   "vCPU %u's access to gfn %llu went to the client as MMIO, though a slot "
			   "had memory there all the time",
			   n, (unsigned long long)gfn);
	else if (a->n == 1 && !a->allowed[0])
		sched_fail(VERDICT_MMIO_RAM,
			   "vCPU %u's access to gfn %llu reached hva page %u, though no slot had "
			   "memory there at any time of it",
			   n, (unsigned long long)gfn, page);
	else
		sched_fail(VERDICT_MMIO_RAM,
			   "vCPU %u's access to gfn %llu reached hva page %u, which is not that of "
			   "the slot",
			   n, (unsigned long long)gfn, page);
}

/* --- O2: copies by the log --------------------------------------------------------------- */

void oracle_wrote(unsigned int n, unsigned int page)
{
	if (page >= ORACLE_GFNS)
		return;
	dirty.last_writer[page] = n + 1;
	dirty.last_tick[page] = sched_tick();
	if (page > dirty.highest)
		dirty.highest = page;
}

void oracle_copy(unsigned int consumer, unsigned int page)
{
	if (!host_has(page))
		return;
	dirty.copy[consumer][page] = host_copy(page);
	if (page > dirty.highest)
		dirty.highest = page;
	timeline_note("client copies hva page %u", page);
}

void oracle_compare(unsigned int consumer, unsigned int first, unsigned int n)
{
	for (unsigned int page = first; page < first + n; page++) {
		if (!host_has(page) || oracle_is_blind ||
		    dirty.copy[consumer][page] == host_peek(page))
			continue;
		sched_fail(VERDICT_LOST_DIRTY,
			   "vCPU %llu's last write to hva page %u is not in %s copy: the page was "
			   "in no log that was taken after it",
			   (unsigned long long)dirty.last_writer[page] - 1, page,
			   consumer ? "the second client's" : "the client's");
	}
}
