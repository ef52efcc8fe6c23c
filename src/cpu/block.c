/* SPDX-License-Identifier: MIT */
/*
 * cpu/block.c - finding, making and forgetting blocks.
 *
 * Memory comes in chunks that grow with use.  When the cap is reached all blocks
 * are dropped at once, as there is no order in which a single one could go, and the
 * chunks are filled anew.
 */
#include "cpu/block.h"

#include <string.h>

#include "cpu/charge.h"
#include "cpu/decode/decode.h"
#include "cpu/event/raise.h"
#include "cpu/memory/access.h"
#include "mem/alloc.h"
#include "mmu/tlb/request.h"

#define CACHE_MAX_BYTES (8u << 20)
#define CHUNK_MIN_BYTES (32u << 10)
#define CHUNK_MAX_BYTES (64u << 10)
#define MAX_INSTRUCTION_BYTES 15u

struct chunk {
	struct chunk *next;
	size_t bytes, used;
	uint8_t data[];
};

static struct alloc *allocator(struct cpu *cpu)
{
	return cpu->mmu.mmu->alloc;
}

static void fill_chunk(struct block_cache *c, struct chunk *chunk)
{
	chunk->used = 0;
	c->filling = chunk;
}

static void drop_blocks(struct block_cache *c)
{
	memset(c->bucket, 0, sizeof(c->bucket));
	fill_chunk(c, c->chunks);
}

void block_cache_destroy(struct cpu *cpu)
{
	struct block_cache *c = cpu->blocks;
	struct chunk *next;

	if (!c)
		return;
	for (; c->chunks; c->chunks = next) {
		next = c->chunks->next;
		alloc_free(allocator(cpu), c->chunks, sizeof(*c->chunks) + c->chunks->bytes);
	}
	alloc_free(allocator(cpu), c->decoders, sizeof(*c->decoders));
	alloc_free(allocator(cpu), c->scratch, sizeof(*c->scratch));
	alloc_free(allocator(cpu), c, sizeof(*c));
	cpu->blocks = NULL;
}

static bool create_cache(struct cpu *cpu)
{
	struct block_cache *c = alloc_zeroed(allocator(cpu), sizeof(*c));

	if (!c)
		return false;
	cpu->blocks = c;
	c->key = block_key(cpu->mmu.mmu);
	c->decoders = alloc_zeroed(allocator(cpu), sizeof(*c->decoders));
	c->scratch = alloc_zeroed(allocator(cpu), sizeof(*c->scratch));
	if (!c->decoders || !c->scratch) {
		block_cache_destroy(cpu);
		return false;
	}
	decode_init(c->decoders);
	return true;
}

/* Behind the chunk that is full. */
static bool add_chunk(struct cpu *cpu)
{
	struct block_cache *c = cpu->blocks;
	size_t bytes = MIN(MAX(c->bytes, CHUNK_MIN_BYTES), CHUNK_MAX_BYTES);
	struct chunk *chunk = alloc_zeroed(allocator(cpu), sizeof(*chunk) + bytes);

	if (!chunk)
		return false;
	chunk->bytes = bytes;
	if (c->filling)
		c->filling->next = chunk;
	else
		c->chunks = chunk;
	c->bytes += bytes;
	fill_chunk(c, chunk);
	return true;
}

static bool next_chunk(struct cpu *cpu)
{
	struct block_cache *c = cpu->blocks;

	if (c->filling && c->filling->next)
		fill_chunk(c, c->filling->next);
	else if (c->bytes + CHUNK_MAX_BYTES > CACHE_MAX_BYTES)
		drop_blocks(c);
	else
		return add_chunk(cpu);
	return true;
}

/* The largest block there can be. */
#define BLOCK_BYTES_MAX                                                                \
	(sizeof(struct block) + BLOCK_MAX_BYTES + BLOCK_MAX_OPS * sizeof(struct op) + CACHE_LINE)

static bool has_room(const struct cpu *cpu)
{
	const struct chunk *chunk = cpu->blocks ? cpu->blocks->filling : NULL;

	return chunk && chunk->bytes - chunk->used >= BLOCK_BYTES_MAX;
}

/* Memory is allocated outside guest mode, since that can take long.  Earlier translations are
 * then stale. */
static bool make_room(struct cpu *cpu)
{
	bool ok;

	guest_leave(&cpu->mmu);
	ok = (cpu->blocks || create_cache(cpu)) && next_chunk(cpu);
	guest_enter(&cpu->mmu);
	charge(cpu, CHARGE_CHUNK);
	return ok || raise_exit(cpu, CPU_EXIT_ENOMEM);
}

static void *take_bytes(struct cpu *cpu, size_t bytes)
{
	struct chunk *chunk = cpu->blocks->filling;
	uint8_t *p = (uint8_t *)ALIGN_UP((uintptr_t)chunk->data + chunk->used, CACHE_LINE);

	chunk->used = (size_t)(p - chunk->data) + bytes;
	return p;
}

/* The comparison of the bytes after the whole words must not cross the page boundary. */
static void set_tail(struct block *b, const uint8_t *code)
{
	unsigned int left = b->bytes % 8;
	uint8_t window[8] = { 0 };
	unsigned int at = 0;

	if (!left)
		return;
	if (b->bytes >= 8) {
		b->tail_at = (int16_t)(b->bytes - 8);
		memcpy(window, code + b->tail_at, 8);
		b->tail_mask = ~0ull;
	} else {
		if (((uintptr_t)b->host & PAGE_OFFSET_MASK) > PAGE_SIZE - 8)
			at = 8 - left;
		b->tail_at = (int16_t)-(int)at;
		memcpy(window + at, code, left);
		b->tail_mask = (~0ull >> (64 - 8 * left)) << (8 * at);
	}
	memcpy(&b->tail, window, 8);
}

static struct block **bucket_of(struct cpu *cpu, const uint8_t *host)
{
	return &cpu->blocks->bucket[block_bucket(cpu->blocks->key, host)];
}

/* A block at the front; at the end one may have to go. */
static void link_block(struct block **bucket, struct block *b)
{
	struct block **at = bucket;

	b->next = *bucket;
	*bucket = b;
	for (unsigned int i = 0; i < BLOCK_CHAIN_MAX && *at; i++)
		at = &(*at)->next;
	*at = NULL;
}

/* A code word is compared in less than a quarter of an instruction's time. */
static uint16_t entry_charge(const struct decoded_block *d)
{
	return (uint16_t)MIN(2 + d->bytes / 32 + d->costs, 0xffffu);
}

static struct block *make_block(struct cpu *cpu, const uint8_t *host, uint32_t mode,
				const uint8_t *code, const struct decoded_block *d)
{
	size_t code_bytes = ALIGN_UP(d->bytes, 8u), ops_bytes = d->n_ops * sizeof(struct op);
	struct block *b = take_bytes(cpu, sizeof(*b) + code_bytes + ops_bytes);
	struct op *ops;

	memset(b, 0, sizeof(*b));
	b->host = host;
	b->mode = mode;
	b->bytes = (uint16_t)d->bytes;
	b->n_words = (uint16_t)(d->bytes / 8);
	b->n_instructions = (uint8_t)d->n_instructions;
	b->n_accesses = (uint8_t)d->n_accesses;
	memcpy(b->code, code, d->bytes);
	set_tail(b, code);
	ops = (struct op *)((uint8_t *)b->code + code_bytes);
	memcpy(ops, d->ops, ops_bytes);
	b->ops = ops;
	b->charge = entry_charge(d);
	link_block(bucket_of(cpu, host), b);
	charge(cpu, (uint64_t)d->n_instructions * CHARGE_DECODE);
	vcpu_count(&cpu->mmu, blocks_decoded);
	return b;
}

static void unlink_block(struct cpu *cpu, const struct block *b)
{
	struct block **at = bucket_of(cpu, b->host);

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
}

/* Found blocks go to the front, where the quick search looks. */
static struct block *search_bucket(struct cpu *cpu, const uint8_t *host, uint32_t mode)
{
	struct block **bucket, *b;

	if (!cpu->blocks)
		return NULL;
	bucket = bucket_of(cpu, host);
	for (b = *bucket; b; b = b->next)
		if (b->host == host && b->mode == mode)
			break;
	if (b && b != *bucket) {
		unlink_block(cpu, b);
		b->next = *bucket;
		*bucket = b;
	}
	return b;
}

/* As in the kernel, whose emulator cannot fetch it either: a program of the guest must not be able
 * to end the VM. */
static void refuse_mmio_code(struct cpu *cpu)
{
	if (cpl(cpu))
		raise_ud(cpu);
	else
		raise_unimplemented(cpu, "code in memory-mapped I/O");
}

/* .host NULL: the code cannot be fetched. */
static struct host_at translate_code(struct cpu *cpu, uint64_t gva)
{
	enum mmu_verdict verdict;
	struct span s;

	verdict = span_find(&cpu->mmu, gva_of(gva), 1, ACCESS_EXEC, &s);
	mem_charge_span(cpu, &s);
	if (verdict != MMU_OK)
		mem_raise_verdict(cpu, verdict, gva, s.error_code);
	else if (s.mmio)
		refuse_mmio_code(cpu);
	return s.piece[0].at;
}

/* Copies code; on a fault the translation is forgotten. */
static bool copy_code(struct cpu *cpu, uint8_t *to, struct host_at at, unsigned int bytes)
{
	return window_copy(&cpu->mmu.epoch, at.epoch, to, at.host, bytes) ||
	       mem_lost(cpu, at, bytes);
}

/* An instruction that begins in one page and may end in the next. */
static const struct block *find_crossing(struct cpu *cpu, uint64_t gva, uint32_t mode)
{
	unsigned int first = (unsigned int)(PAGE_SIZE - (gva & PAGE_OFFSET_MASK));
	uint64_t next = (gva + first) & cpu->ea_mask;
	struct decoded_block *d = cpu->blocks->scratch;
	struct host_at at, at2;
	uint8_t code[2 * 16];
	struct block *b;

	charge(cpu, CHARGE_CROSSING);
	at2 = translate_code(cpu, next);
	if (!at2.host)
		return NULL;
	/* If guest mode is left on the way, the other is stale. */
	at = translate_code(cpu, gva);
	if (!at.host)
		return NULL;
	if (!copy_code(cpu, code, at, first) ||
	    !copy_code(cpu, code + first, at2, MAX_INSTRUCTION_BYTES))
		return NULL;
	mode |= BLOCK_CROSSES;
	b = search_bucket(cpu, at.host, mode);
	if (b && !memcmp(b->code, code, b->bytes))
		return b;
	if (b)
		unlink_block(cpu, b);
	decode_block(cpu->blocks->decoders, mode | MODE_SINGLE, cpu->usable, code,
		     first + MAX_INSTRUCTION_BYTES, d);
	return make_block(cpu, at.host, mode, code, d);
}

static const struct block *decode_at(struct cpu *cpu, uint64_t gva, struct host_at at,
				     uint32_t mode)
{
	unsigned int in_page = (unsigned int)(PAGE_SIZE - (gva & PAGE_OFFSET_MASK));
	unsigned int available = MIN(in_page, BLOCK_MAX_BYTES);
	struct decoded_block *d = cpu->blocks->scratch;
	uint8_t code[BLOCK_MAX_BYTES];

	if (!copy_code(cpu, code, at, available))
		return NULL;
	decode_block(cpu->blocks->decoders, mode, cpu->usable, code, available, d);
	if (d->needs_more)
		return find_crossing(cpu, gva, mode);
	return make_block(cpu, at.host, mode, code, d);
}

/* A block that would run over the limit of its segment is cut to one instruction,
 * and if that does too it faults. */
static const struct block *check_limit(struct cpu *cpu, const struct block *b)
{
	uint32_t limit = cpu->segs[SEG_CS].limit;

	if (mode_is_64bit(cpu) || cpu->rip + b->bytes - 1 <= limit)
		return b;
	if (!(b->mode & (MODE_SINGLE | BLOCK_CROSSES)))
		return block_find(cpu, MODE_SINGLE);
	raise_gp(cpu, 0);
	return NULL;
}

const struct block *block_find(struct cpu *cpu, uint32_t single)
{
	uint32_t mode = cpu->mode | single;
	uint64_t gva = cpu_linear_rip(cpu);
	const struct block *b;
	struct host_at at;

	charge(cpu, CHARGE_FIND);
	if (mode_is_64bit(cpu) ? !is_canonical(cpu, gva) :
				 cpu->rip > cpu->segs[SEG_CS].limit) {
		raise_gp(cpu, 0);
		return NULL;
	}
	if (!has_room(cpu) && !make_room(cpu))
		return NULL;
	at = translate_code(cpu, gva);
	if (!at.host)
		return NULL;
	if ((gva & PAGE_OFFSET_MASK) > PAGE_SIZE - MAX_INSTRUCTION_BYTES &&
	    search_bucket(cpu, at.host, mode | BLOCK_CROSSES)) {
		b = find_crossing(cpu, gva, mode);
		return b ? check_limit(cpu, b) : NULL;
	}
	b = search_bucket(cpu, at.host, mode);
	if (b && !block_is_current(cpu, b, at)) {
		unlink_block(cpu, b);
		b = NULL;
	}
	if (!b)
		b = decode_at(cpu, gva, at, mode);
	return b ? check_limit(cpu, b) : NULL;
}
