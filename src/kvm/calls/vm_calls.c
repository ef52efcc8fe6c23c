/* SPDX-License-Identifier: MIT */
/* kvm/calls/vm_calls.c - calls on a VM's descriptor. */
#include "kvm/abi.h"
#include "kvm/calls/call.h"
#include "kvm/irqchip/irqchip.h"
#include "kvm/stats.h"
#include "mem/dirty_log.h"
#include "mem/reservation.h"
#include "sync/rcu.h"

static bool id_is_taken(const struct vm *vm, uint32_t id) REQUIRES(vm->lock)
{
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		if (vm->vcpus[i]->id == id)
			return true;
	return false;
}

long call_create_vcpu(struct call *c)
{
	struct vm *vm = c->vm;
	uint32_t id = (uint32_t)c->arg;
	struct vcpu *vcpu;
	struct file *file;
	int err, fd;

	mutex_assert_held(&vm->lock);
	if (c->arg >= (vm->max_vcpu_id ? vm->max_vcpu_id : VM_MAX_VCPU_IDS))
		return -EINVAL;
	if (vm->n_vcpus == MMU_MAX_VCPUS)
		return -EINVAL;
	if (id_is_taken(vm, id))
		return -EEXIST;

	err = vcpu_create(vm, id, &vcpu);
	if (err)
		return err;
	fd = vcpu->shared.fd;
	err = file_prepare(&file, fd, FILE_VCPU, vm, vcpu);
	if (err) {
		vcpu_destroy(vcpu);
		return err;
	}
	/* From here on nothing fails. */
	vcpu->shared.fd = -1;
	vm_get(vm);
	vcpu_add(vm, vcpu);
	file_attach(fd, file);
	return fd;
}

/* Tables, reverse maps and bitmaps of a page of memory, with room to spare. */
#define BYTES_PER_PAGE 64
#define MAX_EXPECTED (4ull << 30)

/* Concurrent callers each count their own step. */
static void expect_tables(struct vm *vm)
{
	uint64_t was = atomic64_load_relaxed(&vm->expected), now;

	rcu_read_begin();
	now = MIN(slots_current(&vm->slots)->n_pages, MAX_EXPECTED / BYTES_PER_PAGE) *
	      BYTES_PER_PAGE;
	rcu_read_end();
	if (now != was && atomic64_cmpxchg(&vm->expected, &was, now))
		reservation_expect((int64_t)(now - was));
}

static long set_region(struct vm *vm, const struct kvm_userspace_memory_region *region)
{
	long err = slots_set_region(&vm->slots, region);

	if (!err)
		expect_tables(vm);
	return err;
}

long call_set_user_memory_region(struct call *c)
{
	return set_region(c->vm, c->data);
}

/* Without guest_memfd this is the older call: the flag for the other fields is refused. */
long call_set_user_memory_region2(struct call *c)
{
	const struct kvm_userspace_memory_region2 *r = c->data;
	struct kvm_userspace_memory_region region = {
		.slot = r->slot,
		.flags = r->flags,
		.guest_phys_addr = r->guest_phys_addr,
		.memory_size = r->memory_size,
		.userspace_addr = r->userspace_addr,
	};

	return set_region(c->vm, &region);
}

long call_register_coalesced(struct call *c)
{
	return bus_add_zone(&c->vm->bus, c->data);
}

long call_unregister_coalesced(struct call *c)
{
	return bus_remove_zones(&c->vm->bus, c->data);
}

long call_ioeventfd(struct call *c)
{
	return bus_ioeventfd(&c->vm->bus, c->data);
}

long call_get_dirty_log(struct call *c)
{
	const struct kvm_dirty_log *log = c->data;

	return dirty_log_get(&c->vm->slots, log->slot, log->dirty_bitmap);
}

long call_clear_dirty_log(struct call *c)
{
	const struct kvm_clear_dirty_log *log = c->data;

	return dirty_log_clear(&c->vm->slots, log->slot, log->first_page, log->num_pages,
			       log->dirty_bitmap);
}

long call_reset_dirty_rings(struct call *c)
{
	if (!atomic32_load_relaxed(&c->vm->ring_enabled))
		return -EINVAL;
	return mmu_reset_dirty_rings(&c->vm->mmu);
}

/* Real mode needs no help: the three pages are not used.  As KVM on AMD. */
long call_set_tss_addr(struct call *c)
{
	return (uint32_t)c->arg > (uint32_t)(-3 * (int)PAGE_SIZE) ? -EINVAL : 0;
}

long call_set_identity_map_addr(struct call *c)
{
	if (c->vm->n_vcpus)
		return -EINVAL;
	c->vm->identity_map_addr = *(const uint64_t *)c->data;
	return 0;
}

long call_set_nr_mmu_pages(struct call *c)
{
	if (c->arg < MMU_MIN_PAGES)
		return -EINVAL;
	mmu_set_page_limit(&c->vm->mmu, c->arg);
	return 0;
}

long call_get_nr_mmu_pages(struct call *c)
{
	return (long)mmu_page_limit(&c->vm->mmu);
}

long call_get_stats_fd(struct call *c)
{
	int fd = c->vcpu ? shared_open_again(&c->vcpu->shared, stats_vcpu_bytes(), c->fd) :
			   shared_open_again(&c->vm->shared, stats_vm_bytes(), c->fd);

	/* It has our inode: its number must not be that of a descriptor closed unseen. */
	if (fd >= 0 && file_is_known(fd))
		file_remove(fd);
	return fd;
}
