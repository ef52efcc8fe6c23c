/* SPDX-License-Identifier: MIT */
#include "check/engine/arena.h"

#include <string.h>

#include "check/engine/memory.h"
#include "check/engine/sched.h"
#include "check/engine/timeline.h"
#include "mem/alloc.h"

/* Non-canonical as a pointer, huge as an integer. */
#define POISON 0xdb

static size_t used[ARENA_PARTS];
static unsigned int in_use;

void arena_begin_run(void)
{
	memset(used, 0, sizeof(used));
	/* The first line of the world's part is the ordering word of RCU. */
	used[0] = CACHE_LINE;
	in_use = 0;
}

void *arena_alloc(size_t bytes)
{
	int part = sched_self() + 1;
	char *p = (char *)(uintptr_t)(ARENA_BASE + (uint64_t)part * ARENA_PART_BYTES) + used[part];

	bytes = (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	if (used[part] + bytes > ARENA_PART_BYTES)
		sched_fail(VERDICT_NO_PROGRESS, "%s allocates without end",
			   sched_thread_name(sched_self()));
	used[part] += bytes;
	memset(p, 0, bytes);
	memory_allocated(p, bytes);
	return p;
}

unsigned int arena_in_use(void)
{
	return in_use;
}

static void release(void *p, size_t bytes)
{
	if (memory_is_freed(p))
		sched_fail(VERDICT_MEMORY, "%s frees %s a second time",
			   sched_thread_name(sched_self()), timeline_name(p));
	timeline_freed(p);
	memory_mark_freed(p, bytes);
	memset(p, POISON, bytes);
	in_use--;
}

/* --- mem/alloc.h ------------------------------------------------------------- */

void alloc_init(struct alloc *a)
{
	*a = (struct alloc){ 0 };
}

void *alloc_zeroed(struct alloc *a, size_t bytes)
{
	a->bytes.v += bytes;
	in_use++;
	return arena_alloc(bytes);
}

void alloc_free(struct alloc *a, void *p, size_t bytes)
{
	if (!p)
		return;
	a->bytes.v -= bytes;
	release(p, bytes);
}

void pool_init(struct pool *p, struct alloc *a, size_t object_bytes)
{
	*p = (struct pool){ .alloc = a, .object_bytes = object_bytes };
}

void pool_destroy(struct pool *p)
{
	(void)p;
}

void *pool_get(struct pool *p)
{
	void *object = arena_alloc(p->object_bytes);

	p->in_use.v++;
	in_use++;
	timeline_table(object, p->object_bytes);
	return object;
}

void pool_put(struct pool *p, void *object)
{
	p->in_use.v--;
	release(object, p->object_bytes);
}
