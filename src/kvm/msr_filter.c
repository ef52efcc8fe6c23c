/* SPDX-License-Identifier: MIT */
#include "kvm/msr_filter.h"

#include "kvm/calls/call.h"
#include "kvm/fd/client.h"
#include "sync/rcu.h"

#define REASONS (KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | \
		 KVM_MSR_EXIT_REASON_FILTER)
#define BITMAP_WORDS (KVM_MSR_FILTER_MAX_BITMAP_SIZE / sizeof(uint64_t))

struct msr_range {
	uint32_t flags;		/* KVM_MSR_FILTER_READ, _WRITE */
	uint32_t base, n;	/* 0: it is empty */
	uint64_t allowed[BITMAP_WORDS];
};

struct msr_filter {
	bool allows_others;
	struct msr_range range[KVM_MSR_FILTER_MAX_RANGES];
};

/* The first range that is about it decides. */
static bool filter_allows(const struct msr_filter *f, uint32_t index, uint32_t access)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(f->range); i++) {
		const struct msr_range *r = &f->range[i];
		uint32_t at = index - r->base;

		if (at < r->n && (r->flags & access))
			return r->allowed[at / 64] >> (at % 64) & 1;
	}
	return f->allows_others;
}

/* The registers of an APIC in x2APIC mode are not filtered. */
static bool is_x2apic(uint32_t index)
{
	return index - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST;
}

static bool allows(struct cpu *cpu, uint32_t index, bool write)
{
	struct vm *vm = container_of(cpu, struct vcpu, cpu)->vm;
	const struct msr_filter *f;
	bool allowed;

	if (!atomic_ptr_load_relaxed(&vm->msr_filters.filter) || is_x2apic(index))
		return true;
	rcu_read_begin();
	f = atomic_ptr_load_acquire(&vm->msr_filters.filter);
	allowed = !f || filter_allows(f, index,
				      write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ);
	rcu_read_end();
	return allowed;
}

uint32_t msr_filter_reason(enum msr_trouble why)
{
	switch (why) {
	case MSR_INVALID:
		return KVM_MSR_EXIT_REASON_INVAL;
	case MSR_UNKNOWN:
		return KVM_MSR_EXIT_REASON_UNKNOWN;
	case MSR_FILTERED:
		break;
	}
	return KVM_MSR_EXIT_REASON_FILTER;
}

static bool answers(struct cpu *cpu, enum msr_trouble why)
{
	const struct vm *vm = container_of(cpu, struct vcpu, cpu)->vm;

	return atomic32_load_relaxed(&vm->msr_filters.exits) & msr_filter_reason(why);
}

const struct cpu_msr_policy msr_filter_policy = {
	.allows = allows,
	.answers = answers,
};

long msr_filter_set_exits(struct vm *vm, uint64_t reasons)
{
	if (reasons & ~(uint64_t)REASONS)
		return -EINVAL;
	atomic32_store_relaxed(&vm->msr_filters.exits, (uint32_t)reasons);
	return 0;
}

static long read_range(struct msr_range *to, const struct kvm_msr_filter_range *from)
{
	size_t bytes = ((size_t)from->nmsrs + 63) / 64 * sizeof(uint64_t);

	if (!from->nmsrs)
		return 0;
	if (!from->flags || (from->flags & ~(uint32_t)(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)))
		return -EINVAL;
	if (bytes > sizeof(to->allowed))
		return -EINVAL;
	to->flags = from->flags;
	to->base = from->base;
	to->n = from->nmsrs;
	return copy_from_client(to->allowed, (uintptr_t)from->bitmap, bytes);
}

static long read_filter(struct msr_filter *to, const struct kvm_msr_filter *from)
{
	bool empty = true;
	long err = 0;

	to->allows_others = !(from->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	for (unsigned int i = 0; i < ARRAY_SIZE(to->range) && !err; i++) {
		err = read_range(&to->range[i], &from->ranges[i]);
		empty &= !from->ranges[i].nmsrs;
	}
	/* It would deny everything. */
	if (!err && empty && !to->allows_others)
		return -EINVAL;
	return err;
}

static void free_filter(struct vm *vm, struct msr_filter *f)
{
	if (f)
		alloc_free(&vm->alloc, f, sizeof(*f));
}

long call_set_msr_filter(struct call *c)
{
	const struct kvm_msr_filter *from = c->data;
	struct msr_filter *f, *old;
	long err;

	mutex_assert_held(&c->vm->lock);
	if (from->flags & ~(uint32_t)KVM_MSR_FILTER_DEFAULT_DENY)
		return -EINVAL;
	f = alloc_zeroed(&c->vm->alloc, sizeof(*f));
	if (!f)
		return -ENOMEM;
	err = read_filter(f, from);
	if (err) {
		free_filter(c->vm, f);
		return err;
	}
	old = atomic_ptr_load_relaxed(&c->vm->msr_filters.filter);
	atomic_ptr_store_release(&c->vm->msr_filters.filter, f);
	rcu_synchronize();
	free_filter(c->vm, old);
	return 0;
}

void msr_filter_destroy(struct vm *vm)
{
	free_filter(vm, atomic_ptr_load_relaxed(&vm->msr_filters.filter));
}
