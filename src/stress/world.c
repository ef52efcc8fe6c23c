/* SPDX-License-Identifier: MIT */
/* stress/world.c - the memory, the MMU and the guests' tables that umbra stress uses. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "stress/stress.h"
#include "tool/output.h"

#define GUARD_BYTES (64u << 10)
#define LARGE_BYTES (2u << 20)
#define MEMORY_BYTES (N_PAGES * (size_t)PAGE)
#define MOVING_BYTES (N_MOVING * (size_t)PAGE)
#define SCRATCH_BYTES (BLOCK * (size_t)PAGE)
#define ARENA_BYTES (MEMORY_BYTES + MOVING_BYTES + 4 * GUARD_BYTES + 2 * SCRATCH_BYTES + \
		     2 * (size_t)LARGE_BYTES)
#define RING_ENTRIES 512u

/* Memory, with guard areas around each part. */
static bool map_memory(struct stress *s)
{
	uint8_t *at = mmap(NULL, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return false;
	s->arena = at;
	at = (uint8_t *)(((uintptr_t)at + GUARD_BYTES + LARGE_BYTES - 1) &
			 ~(uintptr_t)(LARGE_BYTES - 1));
	s->memory = at;
	s->moving = at + MEMORY_BYTES + GUARD_BYTES;
	s->scratch[0] = s->moving + MOVING_BYTES + GUARD_BYTES;
	s->scratch[1] = s->scratch[0] + SCRATCH_BYTES;
	s->copy = calloc(1, MEMORY_BYTES);
	return s->copy && !mprotect(s->memory, MEMORY_BYTES, PROT_READ | PROT_WRITE) &&
	       !mprotect(s->moving, MOVING_BYTES, PROT_READ | PROT_WRITE);
}

static uint64_t *table_at(struct stress *s, uint64_t gpa)
{
	return (uint64_t *)(void *)(s->memory + gpa);
}

static uint64_t new_table(uint64_t *next)
{
	uint64_t gpa = *next;

	*next += PAGE;
	return gpa;
}

/* Windows that are the same for all vCPUs, each with tables of its own, so that there are more
 * tables than the MMU may have shadow pages for. */
static void make_windows(struct stress *s, uint64_t *next, uint64_t windows[16])
{
	for (unsigned int w = 0; w < 4; w++) {
		uint64_t *table = table_at(s, windows[W_SMALL + w] = new_table(next));

		for (unsigned int i = 0; i < 512; i++)
			table[i] = ((uint64_t)w * 512 + i) * PAGE | PTE_P | PTE_W;
		windows[W_LARGE + w] = w * (uint64_t)LARGE_BYTES;
	}
	windows[W_MOVING] = new_table(next);
	for (unsigned int i = 0; i < 2 * N_MOVING; i++)
		table_at(s, windows[W_MOVING])[i] =
			(PLACE_GPA(i / N_MOVING) + (i % N_MOVING) * PAGE) | PTE_P | PTE_W;
	windows[W_MMIO] = new_table(next);
	for (unsigned int i = 0; i < N_MMIO; i++)
		table_at(s, windows[W_MMIO])[i] = (MMIO_GPA + i * PAGE) | PTE_P | PTE_W;
	windows[W_SHARED] = s->shared_table;
}

static void make_guest_tables(struct stress *s, struct guest *g, uint64_t *next)
{
	uint64_t pointers = new_table(next), windows[16] = { 0 }, *directory;

	make_windows(s, next, windows);
	g->directory = new_table(next);
	directory = table_at(s, g->directory);
	table_at(s, pointers)[0] = g->directory | PTE_P | PTE_W;
	for (unsigned int i = 0; i < 2; i++) {
		g->root[i] = new_table(next);
		table_at(s, g->root[i])[0] = pointers | PTE_P | PTE_W;
		g->churn_table[i] = new_table(next);
	}
	g->lazy_table = new_table(next);
	for (unsigned int w = 0; w < 16; w++)
		if (windows[w] || w == W_LARGE)
			directory[w] = windows[w] | PTE_P | PTE_W | (w >= W_LARGE ? PTE_PS : 0);
	directory[W_CHURN] = g->churn_table[0] | PTE_P | PTE_W;
	directory[W_LAZY] = g->lazy_table | PTE_P | PTE_W;
	for (unsigned int i = 0; i < N_CHURN; i++)
		g->lazy[i].n = 1;
}

static void fill_data(uint8_t *memory, uint64_t first, uint64_t n_pages, uint64_t number)
{
	for (uint64_t i = 0; i < n_pages; i++) {
		uint64_t *page = (uint64_t *)(void *)(memory + (first + i) * PAGE);

		for (unsigned int word = 0; word < PAGE / 8; word++)
			page[word] = stress_tag(number + i, word, 0);
	}
}

static void make_tables(struct stress *s)
{
	uint64_t next = PAGE;

	s->lock_gpa = 0;
	s->shared_table = new_table(&next);
	for (unsigned int i = 0; i < s->n_vcpus; i++)
		make_guest_tables(s, &s->guests[i], &next);
	fill_data(s->memory, EXCLUSIVE, N_PAGES - EXCLUSIVE, EXCLUSIVE);
	fill_data(s->moving, 0, N_MOVING, MOVING_PAGE);
}

static bool make_mmu(struct stress *s)
{
	struct umbra_mmu_config config = {
		.mode = s->mode,
		.flush_policy = s->policy,
		/* Both ways in which a flush handles a vCPU that does not run. */
		.flags = (s->log == LOG_MANUAL ? UMBRA_MMU_MANUAL_PROTECT : 0) |
			 (s->seed & 1 ? UMBRA_MMU_INTERRUPT : 0),
		.dirty_ring_entries = s->log == LOG_RING ? RING_ENTRIES : 0,
	};
	struct umbra_slot slot = { .id = 0, .bytes = MEMORY_BYTES, .memory = s->memory };
	const struct umbra_paging paging = {
		.cr0 = 0x80010001,	/* PG, WP, PE */
		.cr4 = 1 << 5,		/* PAE */
		.efer = 1 << 10 | 1 << 11, /* LMA, NXE */
	};

	if (s->enabled[OP_HARVEST]) {
		slot.flags = UMBRA_SLOT_LOG_DIRTY;
		s->logging = true;
		memcpy(s->copy, s->memory, MEMORY_BYTES);
	}
	if (umbra_mmu_create(&config, &s->mmu) || umbra_mmu_set_slot(s->mmu, &slot))
		return false;
	for (unsigned int i = 0; i < s->n_vcpus; i++) {
		struct guest *g = &s->guests[i];

		if (umbra_vcpu_create(s->mmu, &g->vcpu))
			return false;
		umbra_vcpu_set_paging(g->vcpu, &paging);
		umbra_vcpu_set_cr3(g->vcpu, g->root[0]);
	}
	return true;
}

bool stress_world_create(struct stress *s)
{
	if (!map_memory(s)) {
		complain("no memory for the guest");
		return false;
	}
	make_tables(s);
	if (!make_mmu(s)) {
		complain("no memory for the MMU");
		return false;
	}
	return true;
}

void stress_world_destroy(struct stress *s)
{
	for (unsigned int i = 0; i < s->n_vcpus; i++)
		umbra_vcpu_destroy(s->guests[i].vcpu);
	umbra_mmu_destroy(s->mmu);
	free(s->copy);
	munmap(s->arena, ARENA_BYTES);
}
