/* SPDX-License-Identifier: MIT */
/* kvm/calls/vcpu_calls.c - calls on a vCPU's descriptor, except those on registers. */
#include <string.h>

#include "cpu/state/cpuid.h"
#include "cpu/state/msr.h"
#include "kvm/calls/call.h"
#include "kvm/fd/client.h"
#include "kvm/irqchip/apic.h"
#include "machine/startup.h"

#define MAX_CPUID_ENTRIES 256u
#define MAX_IO_MSRS 256u

long call_run(struct call *c)
{
	return c->arg ? -EINVAL : vcpu_run(c->vcpu, c->caller_mask);
}

long call_get_mp_state(struct call *c)
{
	/* An INIT or SIPI that waits is part of it. */
	if (c->vcpu->irqchip)
		apic_take_events(c->vcpu);
	*(struct kvm_mp_state *)c->data = (struct kvm_mp_state){ c->vcpu->mp_state };
	return 0;
}

long call_set_mp_state(struct call *c)
{
	const struct kvm_mp_state *mp = c->data;

	switch (mp->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		if (c->vcpu->irqchip)
			break;
		return -EINVAL;
	default:
		return -EINVAL;
	}
	c->vcpu->mp_state = mp->mp_state;
	/* One that is no state to stay in. */
	if (mp->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
		c->vcpu->mp_state = KVM_MP_STATE_INIT_RECEIVED;
		startup_post_sipi(&c->vcpu->lapic.startup, 0);
	}
	return 0;
}

long call_get_cpuid2(struct call *c)
{
	struct kvm_cpuid2 *head = c->data;
	const struct cpu *cpu = &c->vcpu->cpu;

	/* The client does not learn the number. */
	if (head->nent < cpu->n_cpuid)
		return -E2BIG;
	head->nent = cpu->n_cpuid;
	for (unsigned int i = 0; i < cpu->n_cpuid; i++) {
		const struct cpuid_entry *from = &cpu->cpuid[i];
		struct kvm_cpuid_entry2 e = {
			.function = from->leaf,
			.index = from->subleaf,
			.flags = from->has_subleafs ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		};
		uint32_t out[4];

		cpuid_read(cpu, from, out);
		e.eax = out[0];
		e.ebx = out[1];
		e.ecx = out[2];
		e.edx = out[3];
		if (copy_to_client(c->arg + sizeof(*head) + i * sizeof(e), &e, sizeof(e)))
			return -EFAULT;
	}
	return 0;
}

static void free_cpuid(struct vm *vm, struct cpuid_entry *entries, unsigned int n)
{
	alloc_free(&vm->alloc, entries, MAX(n, 1u) * sizeof(*entries));
}

/* 0 or -errno; *entries is the caller's to free. */
static int read_cpuid(struct vm *vm, uintptr_t from, unsigned int n, struct cpuid_entry **entries)
{
	*entries = alloc_zeroed(&vm->alloc, MAX(n, 1u) * sizeof(**entries));
	if (!*entries)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++) {
		struct kvm_cpuid_entry2 e;

		if (copy_from_client(&e, from + i * sizeof(e), sizeof(e))) {
			free_cpuid(vm, *entries, n);
			return -EFAULT;
		}
		(*entries)[i] = (struct cpuid_entry){
			.leaf = e.function,
			.subleaf = e.index,
			.has_subleafs = e.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = e.eax,
			.ebx = e.ebx,
			.ecx = e.ecx,
			.edx = e.edx,
		};
	}
	return 0;
}

/* The address widths must be supported by the page tables. */
static bool is_sensible(const struct cpuid_entry *entries, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		unsigned int va_bits = (entries[i].eax >> 8) & 0xff;

		if (entries[i].leaf == 0x80000008 && va_bits && va_bits != 48 && va_bits != 57)
			return false;
	}
	return true;
}

static bool is_same_entry(const struct cpu *cpu, const struct cpuid_entry *a,
			  const struct cpuid_entry *b)
{
	uint32_t of_a[4], of_b[4];

	cpuid_read(cpu, a, of_a);
	cpuid_read(cpu, b, of_b);
	return a->leaf == b->leaf && a->subleaf == b->subleaf &&
	       a->has_subleafs == b->has_subleafs && !memcmp(of_a, of_b, sizeof(of_a));
}

/* To the guest: bits that follow its state may differ from those set first. */
static bool is_same(const struct cpu *cpu, const struct cpuid_entry *entries, unsigned int n)
{
	if (n != cpu->n_cpuid)
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (!is_same_entry(cpu, &cpu->cpuid[i], &entries[i]))
			return false;
	return true;
}

long call_set_cpuid2(struct call *c)
{
	const struct kvm_cpuid2 *head = c->data;
	struct cpu *cpu = &c->vcpu->cpu;
	struct cpuid_entry *entries;
	int err;

	if (head->nent > MAX_CPUID_ENTRIES)
		return -E2BIG;
	err = read_cpuid(c->vm, c->arg + sizeof(*head), head->nent, &entries);
	if (err)
		return err;
	/* The guest may have seen the table: it must not change any more. */
	if (c->vcpu->has_run || !is_sensible(entries, head->nent)) {
		err = c->vcpu->has_run && is_same(cpu, entries, head->nent) ? 0 : -EINVAL;
		free_cpuid(c->vm, entries, head->nent);
		return err;
	}
	free_cpuid(c->vm, cpu->cpuid, cpu->n_cpuid);
	cpu->cpuid = entries;
	cpu->n_cpuid = head->nent;
	cpu_cpuid_changed(cpu);
	if (c->vcpu->irqchip)
		apic_cpuid_changed(c->vcpu);
	return 0;
}

/* Each in turn, up to the first that is refused; returns the number done. */
static long each_msr(struct call *c, bool (*access)(struct vcpu *vcpu, struct kvm_msr_entry *e),
		     bool write_back)
{
	const struct kvm_msrs *head = c->data;

	if (head->nmsrs >= MAX_IO_MSRS)
		return -E2BIG;
	for (uint32_t i = 0; i < head->nmsrs; i++) {
		uintptr_t at = c->arg + sizeof(*head) + i * sizeof(struct kvm_msr_entry);
		struct kvm_msr_entry e;

		if (copy_from_client(&e, at, sizeof(e)))
			return -EFAULT;
		if (!access(c->vcpu, &e))
			return i;
		if (write_back && copy_to_client(at, &e, sizeof(e)))
			return -EFAULT;
	}
	return head->nmsrs;
}

static bool get_one(struct vcpu *vcpu, struct kvm_msr_entry *e)
{
	uint64_t value;

	if (!msr_read(&vcpu->cpu, e->index, &value, MSR_BY_CLIENT))
		return false;
	e->data = value;
	return true;
}

static bool set_one(struct vcpu *vcpu, struct kvm_msr_entry *e)
{
	if (e->index == MSR_TSC) {
		pvclock_write_tsc(vcpu, e->data);
		return true;
	}
	return msr_write(&vcpu->cpu, e->index, e->data, MSR_BY_CLIENT);
}

long call_get_msrs(struct call *c)
{
	return each_msr(c, get_one, true);
}

long call_set_msrs(struct call *c)
{
	return each_msr(c, set_one, false);
}

long call_set_signal_mask(struct call *c)
{
	const struct kvm_signal_mask *mask = c->data;
	struct vcpu *vcpu = c->vcpu;
	thread_sigmask_t set;

	if (!mask) {
		vcpu->sigmask_set = false;
		return 0;
	}
	if (mask->len != sizeof(set))
		return -EINVAL;
	if (copy_from_client(&set, c->arg + sizeof(*mask), sizeof(set)))
		return -EFAULT;
	vcpu->sigmask = set;
	vcpu->sigmask_set = true;
	return 0;
}

/* The only attribute: the offset of the guest's time-stamp counter. */
static uint64_t *find_attr(struct call *c)
{
	const struct kvm_device_attr *attr = c->data;

	if (attr->group != KVM_VCPU_TSC_CTRL || attr->attr != KVM_VCPU_TSC_OFFSET)
		return NULL;
	return &c->vcpu->cpu.tsc_offset;
}

long call_has_device_attr(struct call *c)
{
	return find_attr(c) ? 0 : -ENXIO;
}

long call_get_device_attr(struct call *c)
{
	const struct kvm_device_attr *attr = c->data;
	uint64_t *value = find_attr(c);

	return value ? copy_to_client(attr->addr, value, sizeof(*value)) : -ENXIO;
}

long call_set_device_attr(struct call *c)
{
	const struct kvm_device_attr *attr = c->data;
	uint64_t *value = find_attr(c);

	c->vcpu->cpu.pvclock.time_stale = true;
	return value ? copy_from_client(value, attr->addr, sizeof(*value)) : -ENXIO;
}
