/* SPDX-License-Identifier: MIT */
/* embed/stats.c - <umbra/mmu.h>: counters by name. */
#include <string.h>

#include "embed/embed.h"

#define COUNT false
#define GAUGE true

/* vCPU counters first, so that the built-in CPU's own can be left out. */
static const struct umbra_stat stats[] = {
#define VM_STAT(name, kind, text)
#define VCPU_STAT(name, kind, text) { #name, text, kind, true },
#include "base/stats.def"
#undef VM_STAT
#undef VCPU_STAT
#define VM_STAT(name, kind, text) { #name, text, kind, false },
#define VCPU_STAT(name, kind, text)
#include "base/stats.def"
#undef VM_STAT
#undef VCPU_STAT
};

#define FIRST VCPU_STAT_tlb_fills

const struct umbra_stat *umbra_stats(unsigned int *n)
{
	*n = ARRAY_SIZE(stats) - FIRST;
	return &stats[FIRST];
}

static uint64_t sum_of_vcpus(struct umbra_mmu *m, unsigned int i)
{
	uint64_t sum = atomic64_load_relaxed(&m->vcpu_stats[i]);

	/* None is created or destroyed meanwhile. */
	mutex_lock(&m->mmu.flush_lock);
	for (unsigned int v = 0; v < atomic32_load_relaxed(&m->mmu.n_vcpus); v++) {
		const struct mmu_vcpu *vcpu = atomic_ptr_load_relaxed(&m->mmu.vcpus[v]);

		if (vcpu)
			sum += atomic64_load_relaxed(&vcpu->stats[i]);
	}
	mutex_unlock(&m->mmu.flush_lock);
	return sum;
}

int umbra_mmu_stat(struct umbra_mmu *m, const char *name, uint64_t *value)
{
	for (unsigned int i = FIRST; i < ARRAY_SIZE(stats); i++) {
		if (strcmp(stats[i].name, name))
			continue;
		*value = stats[i].of_vcpu ? sum_of_vcpus(m, i) :
			 atomic64_load_relaxed(&m->mmu.stats[i - N_VCPU_STATS]);
		return 0;
	}
	return -ENOENT;
}
