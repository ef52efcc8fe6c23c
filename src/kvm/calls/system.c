/* SPDX-License-Identifier: MIT */
/* kvm/calls/system.c - calls on the system's descriptor. */
#include "cpu/state/cpuid.h"
#include "cpu/state/msr.h"
#include "kvm/abi.h"
#include "kvm/calls/call.h"
#include "kvm/fd/client.h"

#define MAX_CPUID_ENTRIES 256u
#define MAX_IO_MSRS 256u

long call_get_api_version(struct call *c)
{
	return c->arg ? -EINVAL : KVM_API_VERSION;
}

long call_create_vm(struct call *c)
{
	struct file *file;
	struct vm *vm;
	int err, fd;

	if (c->arg)
		return -EINVAL;
	err = vm_create(&vm);
	if (err)
		return err;
	fd = vm->shared.fd;
	err = file_prepare(&file, fd, FILE_VM, vm, NULL);
	if (err) {
		vm_put(vm);
		return err;
	}
	vm->shared.fd = -1;
	file_attach(fd, file);
	return fd;
}

long call_check_extension(struct call *c)
{
	enum mmu_mode mode = c->vm ? c->vm->mmu.mode : vm_chosen_mode();

	/* Nothing can be faulted in before an access where our tables follow the guest's. */
	if (c->arg == KVM_CAP_PRE_FAULT_MEMORY)
		return mmu_can_prefault(mode);
	return capability(c->arg);
}

long call_get_vcpu_mmap_size(struct call *c)
{
	return c->arg ? -EINVAL : (long)(VCPU_PAGES << PAGE_SHIFT);
}

static struct kvm_cpuid_entry2 to_client(const struct cpuid_entry *e)
{
	return (struct kvm_cpuid_entry2){
		.function = e->leaf,
		.index = e->subleaf,
		.flags = e->has_subleafs ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = e->eax,
		.ebx = e->ebx,
		.ecx = e->ecx,
		.edx = e->edx,
	};
}

long call_get_supported_cpuid(struct call *c)
{
	struct kvm_cpuid2 *head = c->data;
	struct cpuid_entry entries[MAX_CPUID_ENTRIES];
	unsigned int n = cpuid_supported(entries, MAX_CPUID_ENTRIES);

	if (head->nent < n)
		return -E2BIG;
	for (unsigned int i = 0; i < n; i++) {
		struct kvm_cpuid_entry2 e = to_client(&entries[i]);

		if (copy_to_client(c->arg + sizeof(*head) + i * sizeof(e), &e, sizeof(e)))
			return -EFAULT;
	}
	head->nent = n;
	return 0;
}

/* Both lists: the client asks with too small a number first. */
static long give_list(struct call *c, const uint32_t *list, uint32_t n)
{
	struct kvm_msr_list *head = c->data;
	uint32_t room = head->nmsrs;

	head->nmsrs = n;
	if (room < n)
		return copy_to_client(c->arg, head, sizeof(*head)) ? -EFAULT : -E2BIG;
	return copy_to_client(c->arg + sizeof(*head), list, n * sizeof(*list));
}

long call_get_msr_index_list(struct call *c)
{
	return give_list(c, msr_list, n_msr_list);
}

long call_get_msr_feature_index_list(struct call *c)
{
	return give_list(c, msr_feature_list, n_msr_feature_list);
}

/* Stops at the first unknown one; returns the number done. */
long call_get_feature_msrs(struct call *c)
{
	struct kvm_msrs *head = c->data;

	if (head->nmsrs >= MAX_IO_MSRS)
		return -E2BIG;
	for (uint32_t i = 0; i < head->nmsrs; i++) {
		uintptr_t at = c->arg + sizeof(*head) + i * sizeof(struct kvm_msr_entry);
		struct kvm_msr_entry e;
		uint64_t value;

		if (copy_from_client(&e, at, sizeof(e)))
			return -EFAULT;
		if (!msr_feature(e.index, &value))
			return i;
		e.data = value;
		if (copy_to_client(at, &e, sizeof(e)))
			return -EFAULT;
	}
	return head->nmsrs;
}
