/* SPDX-License-Identifier: MIT */
#include "mmu/shadow/hash.h"

#include "base/bug.h"
#include "mmu/shadow/internal.h"

#define MIN_BITS 8

/* Two for each page that is added: done before half of the new table is used. */
#define MOVES_PER_ADD 2

/*
 * By two secret odd multipliers: frames chosen without knowing them collide no more than random
 * ones.
 */
static uint64_t hash_of(const struct shadow_hash *h, gfn_t gfn)
{
	uint64_t x = (gfn.raw ^ h->key[0]) * ((h->key[1] ^ 0x9e3779b97f4a7c15ull) | 1);

	x ^= x >> 32;
	return x * ((h->key[0] ^ 0xd6e8feb86659fd93ull) | 1);
}

static struct shadow_page **bucket_of(const struct shadow_hash *h, gfn_t gfn)
{
	uint64_t x = hash_of(h, gfn);

	if (h->old && x >> (64 - h->bits + 1) >= h->n_moved)
		return &h->old[x >> (64 - h->bits + 1)];
	return &h->bucket[x >> (64 - h->bits)];
}

static size_t bytes_of(unsigned int bits)
{
	return sizeof(struct shadow_page *) << bits;
}

int shadow_hash_init(struct shadow_hash *h, struct alloc *a, const uint64_t key[2])
{
	*h = (struct shadow_hash){
		.alloc = a,
		.key = { key[0], key[1] },
		.bits = MIN_BITS,
	};
	h->bucket = alloc_zeroed(a, bytes_of(h->bits));
	return h->bucket ? 0 : -ENOMEM;
}

static void end_move(struct shadow_hash *h)
{
	alloc_free(h->alloc, h->old, bytes_of(h->bits - 1));
	h->old = NULL;
}

void shadow_hash_destroy(struct shadow_hash *h)
{
	if (h->old)
		end_move(h);
	if (!h->bucket)
		return;
	alloc_free(h->alloc, h->bucket, bytes_of(h->bits));
	h->bucket = NULL;
}

struct shadow_page *shadow_hash_first(const struct shadow_hash *h, gfn_t gfn)
{
	return *bucket_of(h, gfn);
}

/* If there is no memory for it, the buckets grow longer. */
static void begin_move(struct shadow_hash *h)
{
	struct shadow_page **larger = alloc_zeroed(h->alloc, bytes_of(h->bits + 1));

	if (!larger)
		return;
	h->old = h->bucket;
	h->bucket = larger;
	h->bits++;
	h->n_moved = 0;
}

static void insert_page(struct shadow_hash *h, struct shadow_page *sp)
{
	struct shadow_page **bucket = bucket_of(h, sp->gfn);

	sp->next = *bucket;
	*bucket = sp;
}

static void move_bucket(struct shadow_hash *h)
{
	struct shadow_page *sp = h->old[h->n_moved], *next;

	/* From here on its pages are looked up in the larger table. */
	h->old[h->n_moved++] = NULL;
	for (; sp; sp = next) {
		next = sp->next;
		insert_page(h, sp);
	}
	if (h->n_moved == (size_t)1 << (h->bits - 1))
		end_move(h);
}

void shadow_hash_add(struct shadow_hash *h, struct shadow_page *sp)
{
	if (!h->old && h->n >> h->bits)
		begin_move(h);
	for (int i = 0; h->old && i < MOVES_PER_ADD; i++)
		move_bucket(h);
	insert_page(h, sp);
	h->n++;
}

void shadow_hash_remove(struct shadow_hash *h, struct shadow_page *sp)
{
	struct shadow_page **at = bucket_of(h, sp->gfn);

	while (*at != sp) {
		bug_on(!*at);
		at = &(*at)->next;
	}
	*at = sp->next;
	h->n--;
}

static void visit_buckets(struct shadow_page *const *bucket, size_t n,
		  void (*fn)(void *ctx, const struct shadow_page *sp), void *ctx)
{
	for (size_t i = 0; bucket && i < n; i++)
		for (const struct shadow_page *sp = bucket[i]; sp; sp = sp->next)
			fn(ctx, sp);
}

void shadow_hash_visit(const struct shadow_hash *h,
		       void (*fn)(void *ctx, const struct shadow_page *sp), void *ctx)
{
	visit_buckets(h->bucket, (size_t)1 << h->bits, fn, ctx);
	visit_buckets(h->old, (size_t)1 << (h->bits - 1), fn, ctx);
}
