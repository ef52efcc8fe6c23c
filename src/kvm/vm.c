/* SPDX-License-Identifier: MIT */
/* kvm/vm.c - life of VMs and vCPUs. */
#include "kvm/vm.h"

#include <stdio.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/random.h"
#include "cpu/state/cpuid.h"
#include "kvm/irqchip/apic.h"
#include "kvm/process.h"
#include "kvm/stats.h"
#include "mem/reservation.h"

/* Page tables of small guests; decoded code, mostly (cpu/block.c). */
#define VM_EXPECTS (int64_t)(16u << 20)
#define VCPU_EXPECTS (int64_t)(16u << 20)

#define APIC_BASE_BSP (1u << 8)	/* the bootstrap processor: id 0 */

static gfn_t max_gfn(void)
{
	struct cpuid_entry entries[128];
	unsigned int n = cpuid_supported(entries, ARRAY_SIZE(entries));

	for (unsigned int i = 0; i < n; i++)
		if (entries[i].leaf == 0x80000008)
			return gfn_of((1ull << ((entries[i].eax & 0xff) - PAGE_SHIFT)) - 1);
	return gfn_of((1ull << (36 - PAGE_SHIFT)) - 1);
}

/* (a) for VMs created from now on */
static struct atomic32 chosen_mode, chosen_flush_policy;

void vm_choose_mode(enum mmu_mode mode)
{
	atomic32_store_relaxed(&chosen_mode, mode);
}

enum mmu_mode vm_chosen_mode(void)
{
	return (enum mmu_mode)atomic32_load_relaxed(&chosen_mode);
}

void vm_choose_flush_policy(enum flush_policy policy)
{
	atomic32_store_relaxed(&chosen_flush_policy, policy);
}

int vm_create(struct vm **created)
{
	struct vm *vm = reservation_get(sizeof(*vm));
	char id[32];
	int err;

	thread_look_for_handlers();
	if (!vm)
		return -ENOMEM;
	err = shared_create(&vm->shared, "kvm-vm", stats_vm_bytes() + PAGE_SIZE);
	if (err)
		goto free_vm;
	snprintf(id, sizeof(id), "kvm-%d", getpid());
	vm->mmu.stats = stats_describe_vm(vm->shared.map, id);

	alloc_init(&vm->alloc);
	err = slots_init(&vm->slots, &vm->alloc, max_gfn(),
			 &vm->mmu.stats[VM_STAT_dirty_pages_harvested],
			 &vm->mmu.stats[VM_STAT_slot_updates]);
	if (err)
		goto destroy_shared;
	vm->mmu.mode = vm_chosen_mode();
	random_fill(vm->mmu.hash_key, ARRAY_SIZE(vm->mmu.hash_key));
	atomic32_store_relaxed(&vm->mmu.flush_policy,
			       atomic32_load_relaxed(&chosen_flush_policy));
	atomic32_store_relaxed(&vm->mmu.slot_zaps_all, true);
	vm->mmu.changes = process_changes();
	err = mmu_init(&vm->mmu, &vm->alloc, &vm->slots, host_process_init(&vm->host));
	if (err)
		goto destroy_slots;
	bus_init(&vm->bus, &vm->alloc, vm->shared.map + stats_vm_bytes());
	pvclock_init(&vm->clock);
	mutex_init(&vm->lock, RANK_VM);
	atomic32_store_relaxed(&vm->refs, 1);
	reservation_expect(VM_EXPECTS);
	process_add_vm(vm);
	*created = vm;
	return 0;

destroy_slots:
	host_process_destroy(&vm->host);
	slots_destroy(&vm->slots);
destroy_shared:
	shared_destroy(&vm->shared);
free_vm:
	reservation_put(vm, sizeof(*vm));
	return err;
}

void vm_get(struct vm *vm)
{
	atomic32_fetch_add(&vm->refs, 1);
}

bool vm_get_unless_gone(struct vm *vm)
{
	uint32_t refs = atomic32_load_relaxed(&vm->refs);

	while (refs)
		if (atomic32_cmpxchg(&vm->refs, &refs, refs + 1))
			return true;
	return false;
}

static void destroy(struct vm *vm)
{
	int64_t expected = VM_EXPECTS + (int64_t)atomic64_load_relaxed(&vm->expected);

	process_remove_vm(vm, stats_keep);
	irqchip_stop(vm);
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		vcpu_destroy(vm->vcpus[i]);
	irqchip_destroy(vm);
	bus_destroy(&vm->bus);
	msr_filter_destroy(vm);
	mmu_destroy(&vm->mmu);
	host_process_destroy(&vm->host);
	slots_destroy(&vm->slots);
	bug_on(atomic64_load_relaxed(&vm->alloc.bytes));
	mutex_destroy(&vm->lock);
	shared_destroy(&vm->shared);
	reservation_put(vm, sizeof(*vm));
	reservation_expect(-expected);
	reservation_trim();
}

void vm_put(struct vm *vm)
{
	if (atomic32_fetch_add(&vm->refs, (uint32_t)-1) != 1)
		return;
	/* In a forked child it is a copy, and threads that no longer exist may hold its locks. */
	if (vm->process == process_number())
		destroy(vm);
}

static size_t vcpu_file_bytes(const struct vm *vm)
{
	return stats_vcpu_bytes() + (RING_PAGE << PAGE_SHIFT) + vm->ring_bytes;
}

int vcpu_create(struct vm *vm, uint32_t id, struct vcpu **created)
{
	struct vcpu *vcpu = reservation_get(sizeof(*vcpu));
	uint8_t *pages;
	char name[48];
	int err;

	thread_look_for_handlers();
	if (!vcpu)
		return -ENOMEM;
	*vcpu = (struct vcpu){ .vm = vm, .id = id };
	err = shared_create(&vcpu->shared, "kvm-vcpu", vcpu_file_bytes(vm));
	if (err)
		goto free_vcpu;
	snprintf(name, sizeof(name), "kvm-%d/vcpu-%u", getpid(), id);
	vcpu->cpu.mmu.stats = stats_describe_vcpu(vcpu->shared.map, name);
	pages = vcpu->shared.map + stats_vcpu_bytes();
	vcpu->run = (struct kvm_run *)(pages + (RUN_PAGE << PAGE_SHIFT));
	if (vm->ring_bytes)
		dirty_ring_init(&vcpu->cpu.mmu.ring, pages + (RING_PAGE << PAGE_SHIFT),
				vm->ring_bytes);

	err = mmu_vcpu_init(&vcpu->cpu.mmu, &vm->mmu);
	if (err)
		goto destroy_shared;
	err = cpu_init(&vcpu->cpu, pages + (PIO_PAGE << PAGE_SHIFT));
	if (err)
		goto destroy_mmu;

	vcpu->cpu.msr_policy = &msr_filter_policy;
	if (vm->tsc_khz)
		tsc_set_khz(&vcpu->cpu, vm->tsc_khz);
	mutex_init(&vcpu->lock, RANK_VCPU);
	if (id == vm->boot_id)
		vcpu->cpu.apic_base |= APIC_BASE_BSP;
	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	if (irqchip_of(vm)) {
		apic_init(vcpu, irqchip_of(vm));
		if (id != vm->boot_id)
			vcpu->mp_state = KVM_MP_STATE_UNINITIALIZED;
	}
	reservation_expect(VCPU_EXPECTS);
	*created = vcpu;
	return 0;

destroy_mmu:
	mmu_vcpu_destroy(&vcpu->cpu.mmu);
destroy_shared:
	shared_destroy(&vcpu->shared);
free_vcpu:
	reservation_put(vcpu, sizeof(*vcpu));
	return err;
}

void vcpu_add(struct vm *vm, struct vcpu *vcpu)
{
	pvclock_write_tsc(vcpu, 0);
	vm->vcpus[vm->n_vcpus++] = vcpu;
	if (vcpu->irqchip)
		apic_add(vcpu);
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->irqchip)
		apic_destroy(vcpu);
	cpu_destroy(&vcpu->cpu);
	alloc_free(&vcpu->vm->alloc, vcpu->cpu.cpuid,
		   MAX(vcpu->cpu.n_cpuid, 1u) * sizeof(*vcpu->cpu.cpuid));
	mmu_vcpu_destroy(&vcpu->cpu.mmu);
	mutex_destroy(&vcpu->lock);
	shared_destroy(&vcpu->shared);
	reservation_put(vcpu, sizeof(*vcpu));
	reservation_expect(-VCPU_EXPECTS);
}
