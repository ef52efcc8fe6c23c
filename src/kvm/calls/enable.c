/* SPDX-License-Identifier: MIT */
/* kvm/calls/enable.c - KVM_ENABLE_CAP, and other choices for all of a VM's vCPUs. */
#include "kvm/abi.h"
#include "kvm/calls/call.h"
#include "kvm/irqchip/irqchip.h"

static long enable_manual_protect(struct vm *vm, const struct kvm_enable_cap *cap)
{
	uint64_t allowed = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (cap->args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		allowed |= KVM_DIRTY_LOG_INITIALLY_SET;
	if (cap->args[0] & ~allowed)
		return -EINVAL;
	mutex_lock(&vm->slots.lock);
	vm->slots.manual_protect = cap->args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	vm->slots.initially_set = cap->args[0] & KVM_DIRTY_LOG_INITIALLY_SET;
	mutex_unlock(&vm->slots.lock);
	return 0;
}

static long enable_dirty_ring(struct vm *vm, uint64_t bytes) REQUIRES(vm->lock)
{
	if (!bytes || (bytes & (bytes - 1)) || bytes < PAGE_SIZE ||
	    bytes < DIRTY_RING_RESERVED * sizeof(struct kvm_dirty_gfn))
		return -EINVAL;
	if (bytes > RING_MAX_ENTRIES * sizeof(struct kvm_dirty_gfn))
		return -E2BIG;
	if (vm->ring_bytes || vm->n_vcpus)
		return -EINVAL;
	vm->ring_bytes = (uint32_t)bytes;
	atomic32_store_relaxed(&vm->ring_enabled, 1);
	mutex_lock(&vm->slots.lock);
	vm->slots.dirty_ring = true;
	mutex_unlock(&vm->slots.lock);
	return 0;
}

static long limit_vcpu_ids(struct vm *vm, uint64_t limit) REQUIRES(vm->lock)
{
	if (limit > VM_MAX_VCPU_IDS || vm->boot_id > limit ||
	    (vm->max_vcpu_id && vm->max_vcpu_id != limit))
		return -EINVAL;
	vm->max_vcpu_id = (uint32_t)limit;
	return 0;
}

static long disable_quirks(struct vm *vm, uint64_t which) REQUIRES(vm->lock)
{
	atomic32_store_relaxed(&vm->quirks_off, (uint32_t)which);
	atomic32_store_relaxed(&vm->mmu.slot_zaps_all, !(which & KVM_X86_QUIRK_SLOT_ZAP_ALL));
	irqchip_take_choices(vm);
	return 0;
}

/* What has been enabled stays. */
static long enable_x2apic_api(struct vm *vm, uint64_t flags) REQUIRES(vm->lock)
{
	if (flags & ~X2APIC_API_FLAGS)
		return -EINVAL;
	atomic32_fetch_or(&vm->x2apic_api, (uint32_t)flags);
	irqchip_take_choices(vm);
	return 0;
}

/* @on: 0 or, if it is @known, another number. */
static long enable(struct atomic32 *on, uint64_t value, uint64_t known)
{
	if (value & ~known)
		return -EINVAL;
	atomic32_store_relaxed(on, value != 0);
	return 0;
}

static long exit_for_hypercalls(struct vm *vm, uint64_t which)
{
	if (which & ~(uint64_t)KVM_EXIT_HYPERCALL_VALID_MASK)
		return -EINVAL;
	atomic32_store_relaxed(&vm->hypercall_exits, (uint32_t)which);
	return 0;
}

long call_vm_enable_cap(struct call *c)
{
	const struct kvm_enable_cap *cap = c->data;
	struct vm *vm = c->vm;

	mutex_assert_held(&vm->lock);
	if (cap->flags)
		return -EINVAL;
	switch (cap->cap) {
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return enable_manual_protect(vm, cap);
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		return enable_dirty_ring(vm, cap->args[0]);
	case KVM_CAP_SPLIT_IRQCHIP:
		return irqchip_split(vm, cap->args[0]);
	case KVM_CAP_MAX_VCPU_ID:
		return limit_vcpu_ids(vm, cap->args[0]);
	case KVM_CAP_MSR_PLATFORM_INFO:
		return enable(&vm->hide_platform_info, !cap->args[0], ~0ull);
	case KVM_CAP_X86_USER_SPACE_MSR:
		return msr_filter_set_exits(vm, cap->args[0]);
	case KVM_CAP_EXCEPTION_PAYLOAD:
		return enable(&vm->has_payloads, cap->args[0], ~0ull);
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
		return enable(&vm->has_triple_faults, cap->args[0], 1);
	case KVM_CAP_EXIT_HYPERCALL:
		return exit_for_hypercalls(vm, cap->args[0]);
	case KVM_CAP_X2APIC_API:
		return enable_x2apic_api(vm, cap->args[0]);
	case KVM_CAP_DISABLE_QUIRKS2:
		return cap->args[0] & ~QUIRKS ? -EINVAL : disable_quirks(vm, cap->args[0]);
	/* The older one takes anything. */
	case KVM_CAP_DISABLE_QUIRKS:
		return disable_quirks(vm, cap->args[0]);
	}
	return -EINVAL;
}

long call_vcpu_enable_cap(struct call *c)
{
	const struct kvm_enable_cap *cap = c->data;

	if (cap->flags || cap->cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID)
		return -EINVAL;
	c->vcpu->cpu.pv_is_enforced = cap->args[0];
	return 0;
}

long call_set_boot_cpu_id(struct call *c)
{
	struct vm *vm = c->vm;

	mutex_assert_held(&vm->lock);
	if (vm->n_vcpus)
		return -EBUSY;
	if (c->arg > VM_MAX_VCPU_IDS || (vm->max_vcpu_id && c->arg > vm->max_vcpu_id))
		return -EINVAL;
	vm->boot_id = (uint32_t)c->arg;
	return 0;
}
