/* SPDX-License-Identifier: MIT */
#include "check/world/copies.h"

#include <string.h>

#include "check/engine/arena.h"
#include "check/engine/memory.h"
#include "check/engine/sched.h"
#include "check/engine/timeline.h"
#include "check/world/host.h"
#include "check/world/machine.h"

/* Writes to a page are counted; the first n of them are known to a client that was told of the
 * page, or had it to copy, when n had been made. */
struct written_page {
	uint32_t writes;
	uint32_t ended;		/* of instructions that have ended: the last of them */
	uint32_t told;		/* a call that has returned told of this many */
	uint32_t due;		/* one that has returned had to */
	uint8_t writer;		/* thread + 1 of the last write */
	bool is_logged;
	uint64_t copy[COPIES_CONSUMERS]; /* fingerprints */
};

/* Of each thread, and of setup and finish: writes of the access that is being made. */
#define MAX_PENDING 8u
struct pending {
	unsigned int n;
	struct {
		unsigned int page;
		uint32_t write;
	} write[MAX_PENDING];
};

static struct {
	struct written_page page[ORACLE_GFNS];
	struct pending pending[MAX_THREADS + 1];
	unsigned int n_pages;		/* of those above zero */
	unsigned int n_open;		/* calls that have not returned */
	void *word;			/* orders the calls */
} logs;

void copies_begin_run(void)
{
	memset(logs.page, 0, logs.n_pages * sizeof(logs.page[0]));
	memset(logs.pending, 0, sizeof(logs.pending));
	logs.n_pages = 0;
	logs.n_open = 0;
	logs.word = arena_alloc(8);
}

static struct written_page *page_at(unsigned int page)
{
	logs.n_pages = MAX(logs.n_pages, page + 1);
	return &logs.page[page];
}

/* Those that are too many to remember, nobody has to tell of. */
void copies_written(unsigned int page)
{
	struct pending *own = &logs.pending[sched_self() + 1];
	struct written_page *p;

	if (page >= ORACLE_GFNS)
		return;
	p = page_at(page);
	p->writes++;
	p->writer = (uint8_t)(sched_self() + 1);
	if (!p->is_logged)
		p->ended = p->writes;
	else if (own->n < MAX_PENDING) {
		own->write[own->n].page = page;
		own->write[own->n++].write = p->writes;
	}
}

void copies_write_ends_now(unsigned int page)
{
	struct pending *own = &logs.pending[sched_self() + 1];

	if (!own->n || own->write[own->n - 1].page != page)
		return;
	logs.page[page].ended = logs.page[page].writes;
	own->n--;
}

void copies_access_ends(void)
{
	struct pending *own = &logs.pending[sched_self() + 1];

	if (!own->n)
		return;
	sched_point(memory_is_shared(logs.word));
	memory_note_write(logs.word);
	while (own->n) {
		uint32_t write = own->write[--own->n].write;
		struct written_page *p = &logs.page[own->write[own->n].page];

		p->ended = MAX(p->ended, write);
	}
}

/* --- what a call hands out ----------------------------------------------------------- */

/* The step that follows is ordered with other calls, and with writes to the pages. */
static void order(unsigned int first, unsigned int n, uint64_t mask)
{
	bool matters = memory_is_shared(logs.word);

	for (unsigned int i = 0; i < n; i++)
		if (mask >> i & 1)
			matters |= host_page_is_shared(first + i);
	sched_point(matters);
	memory_note_write(logs.word);
	for (unsigned int i = 0; i < n; i++)
		if (mask >> i & 1)
			host_note_read(first + i);
}

void copies_log_begins(unsigned int first, unsigned int n)
{
	order(first, n, ~0ull);
	for (unsigned int i = 0; i < n; i++) {
		struct written_page *p = page_at(first + i);

		p->is_logged = true;
		p->told = p->due = p->ended = p->writes;
	}
}

void copies_log_ends(unsigned int first, unsigned int n)
{
	order(first, n, 0);
	for (unsigned int i = 0; i < n; i++)
		page_at(first + i)->is_logged = false;
}

void copies_call_begins(struct copies_call *c, unsigned int first, unsigned int n)
{
	c->first = first;
	c->n = MIN(n, COPIES_PAGES);
	if (vm->n_vcpus > 1)
		oracle_order_with_accesses();
	order(first, c->n, ~0ull);
	logs.n_open++;
	for (unsigned int i = 0; i < c->n; i++) {
		const struct written_page *p = page_at(first + i);

		c->ended[i] = oracle_others_access(p->writer - 1) ? 0 : p->ended;
	}
}

static void judge(unsigned int page)
{
	const struct written_page *p = &logs.page[page];

	if (!p->is_logged || p->told >= p->due || oracle_is_blind)
		return;
	sched_fail(VERDICT_LOST_DIRTY,
		   "%s's write to hva page %u came before the call that asked for the log, and "
		   "when that returned the page had been in none",
		   sched_thread_name(p->writer - 1), page);
}

/*
 * Of two calls at the same time one may have taken what the other had to tell: it is looked at
 * when both have returned.
 */
void copies_call_returns(const struct copies_call *c, uint64_t told)
{
	order(c->first, c->n, told);
	logs.n_open--;
	for (unsigned int i = 0; i < c->n; i++) {
		struct written_page *p = page_at(c->first + i);

		if (told >> i & 1)
			p->told = p->writes;
		p->due = MAX(p->due, c->ended[i]);
	}
	for (unsigned int page = 0; page < logs.n_pages && !logs.n_open; page++)
		judge(page);
}

/* --- copies kept by the log ---------------------------------------------------------- */

void oracle_copy(unsigned int consumer, unsigned int page)
{
	if (page >= ORACLE_GFNS || !host_has(page))
		return;
	page_at(page)->copy[consumer] = host_copy(page);
	timeline_note("client copies hva page %u", page);
}

void oracle_compare(unsigned int consumer, unsigned int first, unsigned int n)
{
	for (unsigned int page = first; page < first + n; page++) {
		const struct written_page *p = page_at(page);

		if (!host_has(page) || oracle_is_blind ||
		    p->copy[consumer] == host_fingerprint(page))
			continue;
		sched_fail(VERDICT_LOST_DIRTY,
			   "%s's last write to hva page %u is not in %s copy: the page was in no "
			   "log that was taken after it",
			   sched_thread_name(p->writer - 1), page,
			   consumer ? "the second client's" : "the client's");
	}
}
