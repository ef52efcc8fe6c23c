/* SPDX-License-Identifier: MIT */
/*
 * mmu/mmio.h - "there is no memory here", cached under a generation.
 *
 * A change of the slots invalidates all such entries by one increment, however many there are.
 * In tables the generation is truncated: before it wraps, all entries are dropped
 * (GEN_WRAP_ZAPS).
 */
#ifndef MMU_MMIO_H
#define MMU_MMIO_H

#include "mmu/mmu.h"
#include "mmu/paging/spte.h"

/* A generation under which nothing may be cached or trusted. */
static inline bool mmio_in_flux(uint64_t generation)
{
	return generation & GENERATION_IN_PROGRESS;
}

static inline uint64_t mmio_generation(const struct mmu *m)
{
	return atomic64_load_acquire(&m->slots->generation);
}

/* slots_ops.generation_wraps: its truncated form repeats. */
bool mmio_generation_wraps(uint64_t generation);

/* True if this MMIO entry of a table is still valid. */
static inline bool mmio_spte_is_current(const struct mmu *m, spte_t spte)
{
	uint64_t now = mmio_generation(m);

	return !mmio_in_flux(now) && spte_mmio_generation(spte) == (now & MMIO_GENERATION_MASK);
}

/* The vCPU's own cache, by gva: page walks for MMIO are not repeated. */
bool mmio_cache_find(const struct mmu_vcpu *v, gva_t gva, enum access access, gpa_t *gpa);
void mmio_cache_add(struct mmu_vcpu *v, gva_t gva, enum access access, gpa_t gpa,
		    uint64_t generation);

#endif
