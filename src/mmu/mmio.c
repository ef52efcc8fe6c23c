/* SPDX-License-Identifier: MIT */
#include "mmu/mmio.h"

static uint64_t cache_tag(const struct mmu_vcpu *v, gva_t gva)
{
	return (gva.raw & PAGE_MASK) | v->tlb_context;
}

bool mmio_generation_wraps(uint64_t generation)
{
	return (generation & MMIO_GENERATION_MASK) == 0;
}

bool mmio_cache_find(const struct mmu_vcpu *v, gva_t gva, enum access access, gpa_t *gpa)
{
	uint64_t generation = mmio_generation(v->mmu);

	for (unsigned int i = 0; i < MMIO_CACHE_ENTRIES; i++) {
		const struct mmio_cache_entry *e = &v->mmio_cache[i];

		if (e->tag == cache_tag(v, gva) && e->access == access &&
		    e->generation == generation) {
			*gpa = gpa_add(e->gpa, gva_offset(gva));
			return true;
		}
	}
	return false;
}

void mmio_cache_add(struct mmu_vcpu *v, gva_t gva, enum access access, gpa_t gpa,
		    uint64_t generation)
{
	struct mmio_cache_entry *e = &v->mmio_cache[v->mmio_cache_next++ % MMIO_CACHE_ENTRIES];

	if (mmio_in_flux(generation))
		return;
	*e = (struct mmio_cache_entry){
		.tag = cache_tag(v, gva),
		.generation = generation,
		.gpa = gpa_align(gpa, PAGE_SIZE),
		.access = access,
	};
}
