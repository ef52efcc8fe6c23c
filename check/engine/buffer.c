/* SPDX-License-Identifier: MIT */
#include "check/engine/buffer.h"

#include <string.h>

#include "check/engine/sched.h"

static struct buffer {
	struct buffered entry[MAX_BUFFERED];
	unsigned int n;
	uint8_t group;
} buffers[MAX_THREADS];
static unsigned int n_buffered;

void buffer_begin_run(void)
{
	for (int t = 0; t < MAX_THREADS; t++)
		buffers[t].n = buffers[t].group = 0;
	n_buffered = 0;
}

bool buffer_any(void)
{
	return n_buffered;
}

bool buffer_is_empty(int t)
{
	return t < 0 || !buffers[t].n;
}

static bool meets(const struct buffered *e, const void *at, size_t bytes)
{
	return (uintptr_t)e->at < (uintptr_t)at + bytes &&
	       (uintptr_t)at < (uintptr_t)e->at + e->bytes;
}

static bool thread_meets(const struct buffer *b, const struct buffered *e)
{
	for (unsigned int i = 0; i < b->n; i++)
		if (meets(&b->entry[i], e->at, e->bytes))
			return true;
	return false;
}

bool buffers_meet(void)
{
	for (int t = 0; n_buffered && t < MAX_THREADS; t++)
		for (int u = 0; u < t; u++)
			for (unsigned int i = 0; i < buffers[u].n; i++)
				if (thread_meets(&buffers[t], &buffers[u].entry[i]))
					return true;
	return false;
}

/* --- order ------------------------------------------------------------------------ */

/* May @e become visible before the first @n entries have? */
static bool may_overtake(const struct buffer *b, unsigned int n, const struct buffered *e)
{
	if (!n)
		return true;
	if (sched_memory() != MEMORY_WEAK || e->kind != STORE_RELAXED)
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (meets(&b->entry[i], e->at, e->bytes) || b->entry[i].group != e->group)
			return false;
	return true;
}

bool buffer_holds_back(int t, const struct buffered *e)
{
	struct buffered named = *e;

	named.group = buffers[t].group;
	return !may_overtake(&buffers[t], buffers[t].n, &named);
}

bool buffer_has_room(int t)
{
	return buffers[t].n < MAX_BUFFERED;
}

void buffer_put(int t, struct buffered e)
{
	struct buffer *b = &buffers[t];

	e.group = b->group;
	b->entry[b->n++] = e;
	n_buffered++;
}

void buffer_barrier(int t)
{
	struct buffer *b = &buffers[t];

	/* Numbers that no entry has are not used up: 8 bits are enough. */
	if (b->n && b->entry[b->n - 1].group == b->group)
		b->group++;
}

unsigned int buffer_n_committable(int t)
{
	const struct buffer *b = &buffers[t];
	unsigned int n = 0;

	for (unsigned int i = 0; i < b->n; i++)
		n += may_overtake(b, i, &b->entry[i]);
	return n;
}

unsigned int buffer_committable(int t, unsigned int i)
{
	const struct buffer *b = &buffers[t];
	unsigned int k = 0;

	for (;; k++)
		if (may_overtake(b, k, &b->entry[k]) && i-- == 0)
			return k;
}

static void remove_entry(struct buffer *b, unsigned int i)
{
	memmove(&b->entry[i], &b->entry[i + 1], (b->n - i - 1) * sizeof(b->entry[0]));
	b->n--;
	n_buffered--;
}

struct buffered buffer_take(int t, unsigned int entry)
{
	struct buffered e = buffers[t].entry[entry];

	remove_entry(&buffers[t], entry);
	return e;
}

void buffer_drop(int t, const void *start, size_t bytes)
{
	struct buffer *b = &buffers[t];

	for (unsigned int i = b->n; t >= 0 && i-- > 0;)
		if (meets(&b->entry[i], start, bytes))
			remove_entry(b, i);
}

/* --- what the thread itself sees ----------------------------------------------------- */

uint64_t buffer_view(int t, const void *at, unsigned int bytes, uint64_t old, uint64_t *hash)
{
	const struct buffer *b = &buffers[t];

	for (unsigned int i = 0; i < b->n; i++) {
		const struct buffered *e = &b->entry[i];

		if (e->at != at || e->bytes != bytes)
			continue;
		old = e->kind >= STORE_UNLOCK ? (uint32_t)(old + e->value) : e->value;
		*hash = e->hash;
	}
	return old;
}

int buffer_overlap(int t, const void *at, unsigned int bytes)
{
	const struct buffer *b = &buffers[t];

	for (unsigned int i = b->n; i-- > 0;)
		if (meets(&b->entry[i], at, bytes) &&
		    (b->entry[i].at != at || b->entry[i].bytes != bytes))
			return (int)i;
	return -1;
}

uint64_t buffer_hash(int t)
{
	const struct buffer *b = &buffers[t];
	uint64_t h = b->n;

	for (unsigned int i = 0; i < b->n; i++)
		h = hash_mix(h, b->entry[i].hash);
	return h;
}
