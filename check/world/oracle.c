/* SPDX-License-Identifier: MIT */
#include "check/world/oracle.h"

#include <string.h>

#include "check/engine/arena.h"
#include "check/engine/memory.h"
#include "check/engine/sched.h"
#include "check/world/ages.h"
#include "check/world/copies.h"
#include "check/world/machine.h"

bool oracle_is_blind;

/* A place: 0 is nowhere, else the host page + 1. */
#define READ_ONLY 0x8000u

static uint16_t coded(unsigned int page, bool read_only)
{
	if (page == ORACLE_NOWHERE)
		return 0;
	return (uint16_t)((page + 1) | (read_only ? READ_ONLY : 0));
}

static unsigned int page_of(uint16_t place)
{
	return place ? (place & ~READ_ONLY) - 1 : ORACLE_NOWHERE;
}

/* A place that a frame had, or has, or is about to have. */
struct stay {
	uint16_t place;
	uint8_t changer;	/* thread + 1 that is changing it to this, if not CHANGED */
	uint32_t until;		/* the moment at which it ended; UINT32_MAX: it has not */
};
#define CHANGED UINT8_MAX
#define NOT_ENDED UINT32_MAX
#define MAX_STAYS 24u

/* With no stay it leads nowhere, and always has. */
struct lead {
	unsigned int n;
	struct stay stay[MAX_STAYS];
};

static struct {
	struct lead lead[ORACLE_GFNS];
	unsigned int n_gfns;			/* of those that ever led somewhere */
	uint32_t now;				/* goes up when a call begins or returns */
	uint32_t since[MACHINE_VCPUS];		/* when the open access began; 0: none is */
	int thread[MACHINE_VCPUS];		/* whose that access is */
	void *word;				/* calls and accesses are ordered by it */
} table;

void oracle_begin_run(void)
{
	memset(table.lead, 0, table.n_gfns * sizeof(table.lead[0]));
	memset(table.since, 0, sizeof(table.since));
	table.n_gfns = 0;
	table.now = 1;
	table.word = arena_alloc(8);
	copies_begin_run();
	ages_begin_run();
}

static void order(bool write)
{
	sched_point(memory_is_shared(table.word));
	if (write)
		memory_note_write(table.word);
	else
		memory_note_read(table.word);
}

/* Leaves out what ended before every open access. */
static void forget_old(struct lead *l)
{
	uint32_t oldest = table.now;
	unsigned int kept = 0;

	for (unsigned int i = 0; i < MACHINE_VCPUS; i++)
		if (table.since[i])
			oldest = MIN(oldest, table.since[i]);
	for (unsigned int i = 0; i < l->n; i++)
		if (l->stay[i].until > oldest)
			l->stay[kept++] = l->stay[i];
	l->n = kept;
}

static void add_stay(struct lead *l, uint16_t place, uint8_t changer)
{
	forget_old(l);
	if (l->n == MAX_STAYS)
		sched_fail(VERDICT_WRONG, "a frame is changed too often during one access");
	else
		l->stay[l->n++] = (struct stay){ place, changer, NOT_ENDED };
}

static uint8_t self(void)
{
	return (uint8_t)(sched_self() + 1);
}

void oracle_change_begin(void)
{
	order(true);
	table.now++;
}

/* A call may name a frame twice, as one that moves a slot to where it overlaps itself. */
void oracle_change(uint64_t gfn, unsigned int page, bool read_only)
{
	uint16_t place = coded(page, read_only);
	struct lead *l = &table.lead[gfn];
	struct stay *last;

	if (gfn >= ORACLE_GFNS) {
		sched_fail(VERDICT_WRONG, "no oracle for gfn %llu", (unsigned long long)gfn);
		return;
	}
	table.n_gfns = MAX(table.n_gfns, (unsigned int)gfn + 1);
	if (!l->n)
		add_stay(l, 0, CHANGED);
	last = &l->stay[l->n - 1];
	if (last->changer == self())
		last->place = place;
	else
		add_stay(l, place, self());
}

static bool settle(struct lead *l)
{
	struct stay *last = &l->stay[l->n - 1];

	if (!l->n || last->changer != self())
		return false;
	for (unsigned int i = 0; i + 1 < l->n; i++)
		if (l->stay[i].until == NOT_ENDED)
			l->stay[i].until = table.now;
	last->changer = CHANGED;
	return true;
}

void oracle_change_end(void)
{
	order(true);
	table.now++;
	for (unsigned int i = 0; i < table.n_gfns; i++)
		settle(&table.lead[i]);
}

void oracle_access_begin(unsigned int n)
{
	order(false);
	table.since[n] = table.now;
	table.thread[n] = sched_self();
}

void oracle_access_end(unsigned int n UNUSED)
{
	order(false);
}

void oracle_access_judged(unsigned int n)
{
	table.since[n] = 0;
}

void oracle_order_with_accesses(void)
{
	order(true);
}

bool oracle_others_access(int thread)
{
	for (unsigned int i = 0; i < MACHINE_VCPUS; i++)
		if (table.since[i] && table.thread[i] != thread)
			return true;
	return false;
}

static bool may_be(uint16_t place, unsigned int page, bool write)
{
	bool to_client = !place || (write && (place & READ_ONLY));

	return page == ORACLE_NOWHERE ? to_client : !to_client && page_of(place) == page;
}

bool oracle_may_reach(unsigned int n, uint64_t gfn, unsigned int page, bool write)
{
	const struct lead *l = &table.lead[gfn];

	if (gfn >= table.n_gfns || !l->n)
		return may_be(0, page, write);
	for (unsigned int i = 0; i < l->n; i++)
		if (l->stay[i].until > table.since[n] && may_be(l->stay[i].place, page, write))
			return true;
	return false;
}

bool oracle_may_see(unsigned int n, unsigned int page)
{
	for (uint64_t gfn = 0; gfn < table.n_gfns; gfn++)
		if (oracle_may_reach(n, gfn, page, false))
			return true;
	return false;
}

void oracle_judge_place(unsigned int n, uint64_t gfn, unsigned int page, bool write)
{
	if (oracle_is_blind || oracle_may_reach(n, gfn, page, write))
		return;
	if (page == ORACLE_NOWHERE)
		sched_fail(VERDICT_MMIO_RAM,
			   "vCPU %u's access to gfn %llu went to the client as MMIO, though a slot "
			   "had memory there all the time",
			   n, (unsigned long long)gfn);
	else if (oracle_may_reach(n, gfn, page, false))
		sched_fail(VERDICT_MMIO_RAM,
			   "vCPU %u wrote to gfn %llu, hva page %u, though the slot was read-only "
			   "all the time",
			   n, (unsigned long long)gfn, page);
	else if (oracle_may_reach(n, gfn, ORACLE_NOWHERE, write))
		sched_fail(VERDICT_MMIO_RAM,
			   "vCPU %u's access to gfn %llu reached hva page %u, though no slot had "
			   "that memory there at any time of it",
			   n, (unsigned long long)gfn, page);
	else
		sched_fail(VERDICT_MMIO_RAM,
			   "vCPU %u's access to gfn %llu reached hva page %u, which is not that of "
			   "the slot",
			   n, (unsigned long long)gfn, page);
}

bool oracle_slots_change(void)
{
	return memory_is_shared(table.word);
}

void oracle_note_step(void)
{
	memory_note_read(table.word);
}

static bool leads_to(const struct lead *l, unsigned int page, bool write)
{
	for (unsigned int i = 0; i < l->n; i++)
		if (l->stay[i].until == NOT_ENDED && may_be(l->stay[i].place, page, write))
			return true;
	return false;
}

bool oracle_shows(unsigned int page, bool write)
{
	/* Most often it is the one of its own number. */
	if (page < table.n_gfns && leads_to(&table.lead[page], page, write))
		return true;
	for (unsigned int gfn = 0; gfn < table.n_gfns; gfn++)
		if (leads_to(&table.lead[gfn], page, write))
			return true;
	return false;
}

unsigned int oracle_place_of(uint64_t gfn)
{
	const struct lead *l = &table.lead[gfn];

	return gfn < table.n_gfns && l->n ? page_of(l->stay[l->n - 1].place) : ORACLE_NOWHERE;
}
