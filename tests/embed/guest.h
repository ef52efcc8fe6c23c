/* SPDX-License-Identifier: MIT */
/*
 * tests/embed/guest.h - an MMU with memory and page tables, for C and for C++, with
 * nothing but <umbra/mmu.h> and the C library.
 */
#ifndef TESTS_MMU_API_GUEST_H
#define TESTS_MMU_API_GUEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <umbra/mmu.h>

#define CHECK(condition)                                                              \
	do {                                                                          \
		if (!(condition)) {                                                   \
			fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__,         \
				__LINE__, __func__, #condition);                      \
			abort();                                                      \
		}                                                                     \
	} while (0)

#define MEMORY_BYTES (16u << 20)
#define TABLES 0x100000u	/* gpa of the tables; the rest is for data */
#define P 1u
#define W 2u
#define U 4u
#define A 0x20u
#define D 0x40u
#define PS 0x80u
#define NX (1ull << 63)
#define CR0_PG (1ull << 31)
#define CR0_WP (1ull << 16)
#define CR0_PE 1u
#define CR4_PAE (1u << 5)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define CR4_PKE (1u << 22)
#define EFER_LMA (1u << 10)
#define EFER_NX (1u << 11)

struct guest {
	struct umbra_mmu *mmu;
	struct umbra_vcpu *vcpu;
	uint8_t *memory;
	uint64_t next_table;
};

static inline uint64_t *guest_table(const struct guest *g, uint64_t gpa)
{
	return (uint64_t *)(void *)(g->memory + (gpa & 0xffffff000ull));
}

/* The entry of the lowest level for @gva, with the tables above made. */
static inline uint64_t guest_pte_gpa(struct guest *g, uint64_t gva)
{
	uint64_t table = TABLES;

	for (int level = 4; level > 1; level--) {
		uint64_t *entry = guest_table(g, table) + ((gva >> (12 + 9 * (level - 1))) & 511);

		if (!*entry) {
			*entry = g->next_table | P | W | U;
			g->next_table += 4096;
		}
		table = *entry & 0xffffff000ull;
	}
	return table + ((gva >> 12) & 511) * 8;
}

static inline uint64_t *guest_pte(struct guest *g, uint64_t gva)
{
	return (uint64_t *)(void *)(g->memory + guest_pte_gpa(g, gva));
}

static inline void guest_map(struct guest *g, uint64_t gva, uint64_t gpa, uint64_t bits)
{
	*guest_pte(g, gva) = gpa | bits;
}

static inline void guest_page(struct guest *g)
{
	struct umbra_paging p = *umbra_vcpu_paging(g->vcpu);

	p.cr0 = CR0_PE | CR0_PG | CR0_WP;
	p.cr3 = TABLES;
	p.cr4 = CR4_PAE;
	p.efer = EFER_LMA | EFER_NX;
	umbra_vcpu_set_paging(g->vcpu, &p);
}

static inline void guest_create_with(struct guest *g, const struct umbra_mmu_config *config)
{
	struct umbra_slot slot;

	memset(&slot, 0, sizeof(slot));
	g->next_table = TABLES + 4096;
	g->memory = (uint8_t *)mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(g->memory != MAP_FAILED);
	CHECK(umbra_mmu_create(config, &g->mmu) == 0);
	slot.bytes = MEMORY_BYTES;
	slot.memory = g->memory;
	CHECK(umbra_mmu_set_slot(g->mmu, &slot) == 0);
	CHECK(umbra_vcpu_create(g->mmu, &g->vcpu) == 0);
}

static inline void guest_destroy(struct guest *g)
{
	umbra_vcpu_destroy(g->vcpu);
	CHECK(umbra_mmu_destroy(g->mmu) == 0);
	munmap(g->memory, MEMORY_BYTES);
}

#endif
