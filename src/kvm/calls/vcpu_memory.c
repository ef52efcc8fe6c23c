/* SPDX-License-Identifier: MIT */
/* kvm/calls/vcpu_memory.c - calls on a vCPU's descriptor that translate or map memory. */
#include "kvm/abi.h"
#include "kvm/calls/call.h"
#include "mmu/lookup.h"

/* Others may keep changing the tables; the client must retry. */
#define MAX_TRIES 1000

long call_translate(struct call *c)
{
	struct kvm_translation *t = c->data;
	struct mmu_vcpu *v = &c->vcpu->cpu.mmu;
	enum mmu_verdict verdict = MMU_RETRY;
	gpa_t gpa = gpa_of(0);

	for (int i = 0; i < MAX_TRIES && verdict == MMU_RETRY; i++)
		verdict = mmu_lookup(v, gva_of(t->linear_address), &gpa);
	if (verdict == MMU_RETRY)
		return -EAGAIN;
	t->valid = verdict == MMU_OK;
	t->physical_address = t->valid ? gpa.raw : ~0ull;
	t->writeable = 1;
	t->usermode = 0;
	return 0;
}

static long prefault_one(struct call *c, struct kvm_pre_fault_memory *range)
{
	uint64_t mapped = 0;

	for (;;) {
		if (thread_signal_waits(c->caller_mask))
			return -EINTR;
		switch (mmu_prefault(&c->vcpu->cpu.mmu, gpa_of(range->gpa), &mapped)) {
		case MMU_OK:
			mapped = MIN(mapped, range->size);
			range->gpa += mapped;
			range->size -= mapped;
			return 0;
		case MMU_RETRY:
			continue;
		case MMU_MMIO:
			return -ENOENT;
		case MMU_NO_MEMORY:
			return -ENOMEM;
		default:
			return -EFAULT;
		}
	}
}

/* Success if at least one page was mapped; the result says how many. */
long call_pre_fault_memory(struct call *c)
{
	struct kvm_pre_fault_memory *range = c->data;
	uint64_t first = range->gpa;
	long result;

	if (!mmu_can_prefault(c->vm->mmu.mode))
		return -EOPNOTSUPP;
	if (range->flags || (range->gpa | range->size) & PAGE_OFFSET_MASK ||
	    range->gpa + range->size <= range->gpa)
		return -EINVAL;
	do
		result = prefault_one(c, range);
	while (!result && range->size);
	return range->gpa != first ? 0 : result;
}
