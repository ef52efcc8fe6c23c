/* SPDX-License-Identifier: MIT */
#include "mem/alloc.h"

#include <string.h>

#include "base/bug.h"
#include "mem/reservation.h"

#ifdef BUILT_WITH_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, bytes) ((void)(p), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(p, bytes) ((void)(p), (void)(bytes))
#endif

void alloc_init(struct alloc *a)
{
	atomic64_store_relaxed(&a->bytes, 0);
	atomic64_store_relaxed(&a->fail_in, 0);
}

static bool must_fail(struct alloc *a)
{
	uint64_t n = atomic64_load_relaxed(&a->fail_in);

	while (n)
		if (atomic64_cmpxchg(&a->fail_in, &n, n - 1))
			return n == 1;
	return false;
}

void *alloc_zeroed(struct alloc *a, size_t bytes)
{
	void *p = must_fail(a) ? NULL : reservation_get(bytes);

	if (p)
		atomic64_fetch_add(&a->bytes, bytes);
	return p;
}

void alloc_free(struct alloc *a, void *p, size_t bytes)
{
	if (!p)
		return;
	atomic64_fetch_add(&a->bytes, -(uint64_t)bytes);
	reservation_put(p, bytes);
}

#define CHUNK_OBJECTS 63

struct pool_free {
	struct pool_free *next;
};

struct pool_chunk {
	struct pool_chunk *next;
	void *memory;
};

void pool_init(struct pool *p, struct alloc *a, size_t object_bytes)
{
	*p = (struct pool){
		.alloc = a,
		.object_bytes = ALIGN_UP(object_bytes, (size_t)CACHE_LINE),
	};
	mutex_init(&p->lock, RANK_ALLOC);
}

static size_t chunk_bytes(const struct pool *p)
{
	return p->object_bytes * CHUNK_OBJECTS + CACHE_LINE;
}

void pool_destroy(struct pool *p)
{
	struct pool_chunk *chunk, *next;

	bug_on(atomic64_load_relaxed(&p->in_use));
	for (chunk = p->chunks; chunk; chunk = next) {
		next = chunk->next;
		ASAN_UNPOISON_MEMORY_REGION(chunk->memory, chunk_bytes(p));
		alloc_free(p->alloc, chunk->memory, chunk_bytes(p));
		alloc_free(p->alloc, chunk, sizeof(*chunk));
	}
	mutex_destroy(&p->lock);
}

static void give_back(struct pool *p, void *object) REQUIRES(p->lock)
{
	struct pool_free *f = object;

	f->next = p->free;
	p->free = f;
	ASAN_POISON_MEMORY_REGION(object, p->object_bytes);
}

static bool add_chunk(struct pool *p) REQUIRES(p->lock)
{
	struct pool_chunk *chunk = alloc_zeroed(p->alloc, sizeof(*chunk));
	char *first;

	if (!chunk)
		return false;
	chunk->memory = alloc_zeroed(p->alloc, chunk_bytes(p));
	if (!chunk->memory) {
		alloc_free(p->alloc, chunk, sizeof(*chunk));
		return false;
	}
	chunk->next = p->chunks;
	p->chunks = chunk;

	first = (char *)ALIGN_UP((uintptr_t)chunk->memory, CACHE_LINE);
	for (int i = CHUNK_OBJECTS - 1; i >= 0; i--)
		give_back(p, first + (size_t)i * p->object_bytes);
	return true;
}

void *pool_get(struct pool *p)
{
	struct pool_free *f = NULL;

	mutex_lock(&p->lock);
	if (!must_fail(p->alloc) && (p->free || add_chunk(p))) {
		f = p->free;
		ASAN_UNPOISON_MEMORY_REGION(f, p->object_bytes);
		p->free = f->next;
	}
	mutex_unlock(&p->lock);

	if (f) {
		memset(f, 0, p->object_bytes);
		atomic64_fetch_add(&p->in_use, 1);
	}
	return f;
}

void pool_put(struct pool *p, void *object)
{
	mutex_lock(&p->lock);
	give_back(p, object);
	mutex_unlock(&p->lock);
	atomic64_fetch_add(&p->in_use, (uint64_t)-1);
}
