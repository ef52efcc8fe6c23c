/* SPDX-License-Identifier: MIT */
#include "kvm/publish.h"

#include "kvm/vm.h"
#include "mmu/translate.h"

static enum mmu_verdict store(struct vcpu *vcpu, gpa_t gpa, const uint32_t *words, unsigned int i)
{
	return mmu_store_gpa32(&vcpu->cpu.mmu, gpa_add(gpa, 4 * i), words[i]);
}

enum mmu_verdict publish(struct vcpu *vcpu, gpa_t gpa, uint32_t *words, unsigned int n,
			 unsigned int version)
{
	enum mmu_verdict verdict;
	uint32_t old;

	if ((gpa.raw & 3) || (gpa.raw & PAGE_OFFSET_MASK) + 4 * n > PAGE_SIZE)
		return MMU_OK;
	verdict = mmu_load_gpa32(&vcpu->cpu.mmu, gpa_add(gpa, 4 * version), &old);
	if (verdict == MMU_OK) {
		words[version] = (old + 1) | 1;
		verdict = store(vcpu, gpa, words, version);
	}
	for (unsigned int i = 0; i < n && verdict == MMU_OK; i++)
		if (i != version)
			verdict = store(vcpu, gpa, words, i);
	if (verdict == MMU_OK) {
		words[version]++;
		verdict = store(vcpu, gpa, words, version);
	}
	return verdict == MMU_RETRY || verdict == MMU_RING_FULL ? verdict : MMU_OK;
}
