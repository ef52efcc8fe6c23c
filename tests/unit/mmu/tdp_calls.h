/* SPDX-License-Identifier: MIT */
/* tests/unit/mmu/tdp_calls.h - the calls of mmu/tdp/tdp.h with their locks, and what they leave. */
#ifndef UNIT_TDP_CALLS_H
#define UNIT_TDP_CALLS_H

#include "vm_fixture.h"

#include "mmu/tdp/internal.h"

#define M2 (1ull << 9)		/* pages of 2 MiB, */
#define G1 (1ull << 18)		/* of 1 GiB, */
#define G512 (1ull << 27)	/* and of 512 GiB */

#define PFN 0x7f0000000ull	/* aligned to 1 GiB */

static inline int setup(void **state)
{
	*state = vm_make(1, 1);
	return 0;
}

static inline int teardown(void **state)
{
	vm_free(*state);
	return 0;
}

enum { READ_ONLY = 1, WRITE = 2, NO_W_YET = 4 };

static inline uint64_t leaf_bits(int how)
{
	uint64_t bits = SPTE_U;

	if (!(how & READ_ONLY))
		bits |= SPTE_HOSTW | SPTE_MMUW | (how & NO_W_YET ? 0 : SPTE_W);
	return bits;
}

/* A page that was brought in for writing, unless READ_ONLY. */
static inline enum fault_verdict map(struct test_vm *vm, uint64_t gfn, pfn_t pfn, int level,
				     int how)
{
	struct host_page page = { .pfn = pfn, .writable = !(how & READ_ONLY), .level = level };
	struct fault f = { .gfn = gfn_of(gfn), .write = how & WRITE };
	enum fault_verdict verdict;

	rwlock_rdlock(&vm->mmu.lock);
	rcu_read_begin();
	verdict = tdp_map(&vm->mmu, &f, &page, leaf_bits(how));
	rcu_read_end();
	rwlock_rdunlock(&vm->mmu.lock);
	return verdict;
}

static inline void map_mmio(struct test_vm *vm, uint64_t gfn, uint64_t generation)
{
	struct fault f = { .gfn = gfn_of(gfn), .generation = generation };

	rwlock_rdlock(&vm->mmu.lock);
	rcu_read_begin();
	tdp_map_mmio(&vm->mmu, &f);
	rcu_read_end();
	rwlock_rdunlock(&vm->mmu.lock);
}

static inline void protect(struct test_vm *vm, uint64_t start, uint64_t end, int first_level)
{
	const struct memslot slot = { .base_gfn = gfn_of(start), .npages = end - start };

	tdp_write_protect(&vm->mmu, &slot, first_level);
}

static inline void protect_mask(struct test_vm *vm, uint64_t first, uint64_t mask)
{
	const struct memslot slot = { .base_gfn = gfn_of(first), .npages = 64 };

	tdp_write_protect_mask(&vm->mmu, &slot, 0, mask);
}

/* As of a slot there. */
static inline void zap_frames(struct mmu *m, uint64_t start, uint64_t end)
{
	const struct memslot slot = { .base_gfn = gfn_of(start), .npages = end - start };

	tdp_zap_slot(m, &slot);
}

static inline uint64_t zap(struct test_vm *vm, uint64_t start, uint64_t end)
{
	struct range r = range_make(gfn_of(start), gfn_of(end));
	uint64_t n = 0;

	rwlock_wrlock(&vm->mmu.lock);
	while (range_more(&r))
		n += tdp_zap_leafs(&vm->mmu, &r);
	rwlock_wrunlock(&vm->mmu.lock);
	return n;
}

static inline struct table_entry look(struct test_vm *vm, uint64_t gfn)
{
	struct table_entry e;

	rcu_read_begin();
	e = tdp_lookup(&vm->mmu, gfn_of(gfn));
	rcu_read_end();
	return e;
}

/* Without those that wait for a flush, or until there are more. */
static inline uint64_t n_linked_tables(const struct test_vm *vm)
{
	return vm_stat(vm, VM_STAT_mmu_tables) - atomic32_load_relaxed(&vm->mmu.n_dead);
}

static inline void assert_gauges(struct test_vm *vm, uint64_t tables, uint64_t n4k, uint64_t n2m,
				 uint64_t n1g)
{
	assert_int_equal(n_linked_tables(vm), tables);
	assert_int_equal(atomic64_load_relaxed(&vm->mmu.tables.in_use),
			 vm_stat(vm, VM_STAT_mmu_tables));
	assert_int_equal(vm_stat(vm, VM_STAT_pages_4k), n4k);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_2m), n2m);
	assert_int_equal(vm_stat(vm, VM_STAT_pages_1g), n1g);
}

#endif
