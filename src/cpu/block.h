/* SPDX-License-Identifier: MIT */
/*
 * cpu/block.h - decoded code, kept by host address and mode.
 *
 * A block verifies itself: it carries the bytes that it was made from, and they are compared with
 * guest memory on every entry.  So no one has to notify us of code changes.
 *
 * A block lies within a page, except that one instruction may cross into the
 * next and is then a block of its own.
 */
#ifndef CPU_BLOCK_H
#define CPU_BLOCK_H

#include "cpu/decode/op.h"
#include "cpu/memory/access.h"
#include "cpu/state/mode.h"
#include "mmu/mmu.h"

struct block {
	const uint8_t *host;		/* of the first byte */
	uint32_t mode;			/* MODE_*, and BLOCK_CROSSES */
	uint16_t n_words;		/* whole ones in code[] */
	int16_t tail_at;		/* where to compare what is left, and how */
	uint64_t tail_mask, tail;	/* mask 0: nothing is left */
	struct block *next;		/* of the same bucket */
	const struct op *ops;
	uint16_t bytes;
	uint16_t charge;		/* for entering it, and what its instructions cost */
	uint8_t n_instructions, n_accesses;
	uint64_t code[];		/* then the ops */
};

/* In the key of a block that crosses pages: the quick search never finds it. */
#define BLOCK_CROSSES (1u << 31)

#define BLOCK_BUCKET_BITS 13
#define BLOCK_BUCKETS (1u << BLOCK_BUCKET_BITS)
/* Chains are never longer, whatever the guest does: the least recently used block is dropped. */
#define BLOCK_CHAIN_MAX 6u

struct decoders;
struct block_cache {
	uint64_t key;			/* (c) block_key() */
	struct block *bucket[BLOCK_BUCKETS];
	struct chunk *chunks;		/* in the order of their use */
	struct chunk *filling;		/* the one that blocks are put into */
	size_t bytes;			/* of all chunks */
	struct decoders *decoders;
	struct decoded_block *scratch;
};

/* An odd multiplier that the guest does not know: what it chooses without it meets in one
 * bucket as seldom as by chance. */
static inline uint64_t block_key(const struct mmu *m)
{
	return (m->hash_key[0] ^ 0x9e3779b97f4a7c15ull) | 1;
}

static ALWAYS_INLINE unsigned int block_bucket(uint64_t key, const uint8_t *host)
{
	return (unsigned int)((uintptr_t)host * key >> (64 - BLOCK_BUCKET_BITS));
}

static ALWAYS_INLINE bool block_load(const struct cpu *cpu, struct host_at at, int offset,
				     uint64_t *seen)
{
	return window_load64(&cpu->mmu.epoch, at.epoch, at.host + offset, seen);
}

/* Do the bytes at @at still say what the block was made from?  False also if
 * they cannot be read, or @at is stale. */
static ALWAYS_INLINE bool block_is_current(const struct cpu *cpu, const struct block *b,
					   struct host_at at)
{
	uint64_t seen;

	for (int i = 0; i < b->n_words; i++)
		if (!block_load(cpu, at, 8 * i, &seen) || seen != b->code[i])
			return false;
	if (!b->tail_mask)
		return true;
	return block_load(cpu, at, b->tail_at, &seen) && (seen & b->tail_mask) == b->tail;
}

/*
 * The block at RIP, for code without limits that has been run before.  NULL:
 * block_find() knows more.
 */
static ALWAYS_INLINE const struct block *block_find_quick(const struct cpu *cpu)
{
	struct host_at at = { .epoch = epoch_read(&cpu->mmu.epoch) };
	const struct block *b;

	if (unlikely(!(cpu->mode & MODE_FLAT)))
		return NULL;
	at.host = tlb_exec(&cpu->mmu, gva_of(cpu->rip));
	if (unlikely(!at.host) || unlikely(!cpu->blocks))
		return NULL;
	b = cpu->blocks->bucket[block_bucket(cpu->blocks->key, at.host)];
	if (unlikely(!b) || unlikely(b->host != at.host) || unlikely(b->mode != cpu->mode) ||
	    unlikely(!block_is_current(cpu, b, at)))
		return NULL;
	return b;
}

/*
 * The block at RIP, decoded if need be.  @single: MODE_SINGLE, or 0.  NULL: a
 * fault or an exit has been raised, or guest mode was left and it is to be tried
 * again.
 */
const struct block *block_find(struct cpu *cpu, uint32_t single);

/* Everything is forgotten. */
void block_cache_destroy(struct cpu *cpu);

#endif
