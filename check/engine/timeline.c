/* SPDX-License-Identifier: MIT */
#include "check/engine/timeline.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check/engine/memory.h"
#include "check/engine/sched.h"
#include "mmu/paging/table.h"

#define MAX_EVENTS 4096
#define MAX_NAMES 256
#define STATE_BYTES 4096
#define SPTES_BYTES sizeof(((struct table *)0)->spte)

bool timeline_on;

static struct event events[MAX_EVENTS];
static unsigned int n_events;
static char state[STATE_BYTES];

static struct name {
	uintptr_t start, end;
	size_t stride;
	enum word_kind kind;
	char text[48];
} names[MAX_NAMES];
static unsigned int n_names;

void timeline_begin_run(void)
{
	n_events = 0;
	state[0] = 0;
	n_names = 0;
}

const struct event *timeline_events(unsigned int *n)
{
	*n = n_events;
	return events;
}

const char *timeline_state(void)
{
	return state;
}

void timeline_add_state(const char *format, ...)
{
	size_t n = strlen(state);
	va_list args;

	va_start(args, format);
	vsnprintf(state + n, sizeof(state) - n, format, args);
	va_end(args);
}

/* --- names ------------------------------------------------------------------- */

void timeline_register(const void *start, size_t bytes, size_t stride, enum word_kind kind,
		       const char *name, ...)
{
	struct name *n = &names[n_names];
	va_list args;

	if (!timeline_on || n_names == MAX_NAMES)
		return;
	n_names++;
	n->start = (uintptr_t)start;
	n->end = n->start + bytes;
	n->stride = stride;
	n->kind = kind;
	va_start(args, name);
	vsnprintf(n->text, sizeof(n->text), name, args);
	va_end(args);
}

/* The smallest that it lies in. */
static const struct name *find(const void *at)
{
	const struct name *best = NULL;

	for (unsigned int i = 0; i < n_names; i++) {
		const struct name *n = &names[i];

		if ((uintptr_t)at >= n->start && (uintptr_t)at < n->end &&
		    (!best || n->end - n->start < best->end - best->start))
			best = n;
	}
	return best;
}

const char *timeline_name(const void *at)
{
	static char texts[2][80];
	static int which;
	char *text = texts[which ^= 1];
	const struct name *n = find(at);
	unsigned long i;

	if (!n) {
		snprintf(text, sizeof(texts[0]), "word at %p", at);
	} else if (n->kind == WORD_SPTE && (uintptr_t)at - n->start < SPTES_BYTES) {
		const struct table *t = (const struct table *)n->start;

		i = ((uintptr_t)at - n->start) / 8;
		snprintf(text, sizeof(texts[0]), "%s[%lu]", n->text, i);
		if (t->level >= 1 && t->level <= 5)
			snprintf(text, sizeof(texts[0]), "level-%d spte %lu", t->level, i);
	} else if (n->stride) {
		i = ((uintptr_t)at - n->start) / n->stride;
		snprintf(text, sizeof(texts[0]), "%s[%lu]", n->text, i);
	} else {
		snprintf(text, sizeof(texts[0]), "%s", n->text);
	}
	return text;
}

const char *timeline_spte(uint64_t raw)
{
	static char texts[2][64];
	static int which;
	char *text = texts[which ^= 1];
	spte_t s = { raw };

	switch (spte_kind(s)) {
	case SPTE_NONE:
		return "none";
	case SPTE_FROZEN:
		return "frozen";
	case SPTE_MMIO:
		snprintf(text, sizeof(texts[0]), "MMIO generation %llu",
			 (unsigned long long)spte_mmio_generation(s));
		return text;
	case SPTE_PRESENT:
		break;
	}
	if (!spte_is_leaf(s))
		return "link to a table";
	snprintf(text, sizeof(texts[0]), "frame %llu%s%s%s%s%s",
		 (unsigned long long)(spte_pfn(s) - (FRAMES_BASE >> PAGE_SHIFT)),
		 raw & SPTE_W ? " W" : " -", raw & SPTE_MMUW ? " MMUW" : "",
		 raw & SPTE_HOSTW ? " HOSTW" : "", raw & SPTE_A ? " A" : "",
		 raw & SPTE_D ? " D" : "");
	return text;
}

static const char *value_text(const void *at, uint64_t value)
{
	static char texts[3][64];
	static int which;
	char *text = texts[which = (which + 1) % 3];
	const struct name *n = find(at);

	switch (n ? n->kind : WORD_HEX) {
	case WORD_SPTE:
		return timeline_spte(value);
	case WORD_REQUESTS:
		return value & 1 ? "TLB_FLUSH" : value ? "others" : "none";
	case WORD_GUEST_SEQ:
		snprintf(text, sizeof(texts[0]), "%llu (%s)", (unsigned long long)value,
			 value & 1 ? "in guest" : "outside");
		return text;
	case WORD_POINTER:
		snprintf(text, sizeof(texts[0]), "%s",
			 value ? timeline_name((void *)(uintptr_t)value) : "NULL");
		return text;
	case WORD_HEX:
		snprintf(text, sizeof(texts[0]), "%#llx", (unsigned long long)value);
		return text;
	case WORD_NUMBER:
		break;
	}
	snprintf(text, sizeof(texts[0]), "%llu", (unsigned long long)value);
	return text;
}

/* --- events ------------------------------------------------------------------ */

static struct event *new_event(enum event_kind kind, int thread)
{
	struct event *e = &events[n_events];

	if (n_events == MAX_EVENTS)
		return NULL;
	n_events++;
	e->tick = sched_tick();
	e->thread = thread;
	e->kind = kind;
	return e;
}

void timeline_add(enum event_kind kind, const char *format, ...)
{
	struct event *e = timeline_on ? new_event(kind, sched_self()) : NULL;
	va_list args;

	if (!e)
		return;
	va_start(args, format);
	vsnprintf(e->text, sizeof(e->text), format, args);
	va_end(args);
}

static bool has_name(const void *at)
{
	return timeline_on && find(at);
}

void timeline_load(const void *at, unsigned int bytes, uint64_t value)
{
	(void)bytes;
	if (has_name(at))
		timeline_add(EVENT_READ, "read %s: %s", timeline_name(at), value_text(at, value));
}

void timeline_store(const void *at, unsigned int bytes, uint64_t value)
{
	(void)bytes;
	if (has_name(at))
		timeline_add(EVENT_WORD, "%s = %s", timeline_name(at), value_text(at, value));
}

void timeline_delayed(const void *at, unsigned int bytes, uint64_t value)
{
	(void)bytes;
	if (has_name(at))
		timeline_add(EVENT_WORD, "%s = %s, not yet visible to others", timeline_name(at),
			     value_text(at, value));
}

void timeline_commit(int t, const void *at, unsigned int bytes, uint64_t value)
{
	struct event *e;

	(void)bytes;
	if (!has_name(at))
		return;
	e = new_event(EVENT_WORD, t);
	if (e)
		snprintf(e->text, sizeof(e->text), "(now visible: %s = %s)", timeline_name(at),
			 value_text(at, value));
}

void timeline_rmw(const void *at, unsigned int bytes, uint64_t old, uint64_t value)
{
	(void)bytes;
	if (has_name(at))
		timeline_add(EVENT_WORD, "%s: %s -> %s", timeline_name(at), value_text(at, old),
			     value_text(at, value));
}

void timeline_cmpxchg(const void *at, unsigned int bytes, uint64_t expected, uint64_t found,
		      uint64_t value)
{
	(void)bytes;
	if (!has_name(at))
		return;
	if (expected == found)
		timeline_add(EVENT_WORD, "%s: %s -> %s", timeline_name(at), value_text(at, found),
			     value_text(at, value));
	else
		timeline_add(EVENT_WORD, "%s: lost the race, it is %s", timeline_name(at),
			     value_text(at, found));
}

void timeline_lock(const void *lock, const char *what)
{
	if (timeline_on)
		timeline_add(EVENT_LOCK, "%s %s", what, timeline_name(lock));
}

void timeline_table(const void *table, size_t bytes)
{
	timeline_register(table, bytes, 8, WORD_SPTE, "page table %u", n_names);
}

void timeline_freed(const void *at)
{
	if (has_name(at))
		timeline_add(EVENT_NOTE, "frees %s", timeline_name(at));
}
