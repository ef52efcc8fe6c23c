/* SPDX-License-Identifier: MIT */
/* embed/mmu.c - <umbra/mmu.h>: an MMU, its slots, its dirty log, and the memory behind it. */
#include "embed/embed.h"
#include "base/bug.h"
#include "base/guarded.h"
#include "base/random.h"
#include "mem/dirty_log.h"
#include "mem/reservation.h"
#include "mmu/notifier.h"
#include "mmu/tlb/flush.h"
#include "sync/thread.h"

#define DEFAULT_PHYSICAL_BITS 40
#define KNOWN_FLAGS \
	(UMBRA_MMU_MANUAL_PROTECT | UMBRA_MMU_INITIALLY_SET | UMBRA_MMU_1G_PAGES | \
	 UMBRA_MMU_INTERRUPT)
#define MIN_RING_ENTRIES 256u
#define MAX_RING_ENTRIES 65536u

_Static_assert((int)UMBRA_SLOT_LOG_DIRTY == KVM_MEM_LOG_DIRTY_PAGES &&
		       (int)UMBRA_SLOT_READONLY == KVM_MEM_READONLY,
	       "a slot's flags are KVM's");

int umbra_fixups_(const void *start, const void *end)
{
	return guarded_add_table(start, end);
}

static bool is_ring_size(uint32_t n)
{
	return n >= MIN_RING_ENTRIES && n <= MAX_RING_ENTRIES && (n & (n - 1)) == 0;
}

static bool is_valid(const struct umbra_mmu_config *c, size_t bytes)
{
	if (bytes != sizeof(*c))
		return false;
	if (c->mode != UMBRA_MMU_TDP && c->mode != UMBRA_MMU_SHADOW)
		return false;
	if (c->flush_policy != UMBRA_FLUSH_IF_MMU_WRITABLE &&
	    c->flush_policy != UMBRA_FLUSH_IF_WRITABLE)
		return false;
	if (c->physical_bits && (c->physical_bits < 32 || c->physical_bits > 52))
		return false;
	if (c->flags & ~(unsigned int)KNOWN_FLAGS)
		return false;
	if ((c->flags & UMBRA_MMU_INITIALLY_SET) && !(c->flags & UMBRA_MMU_MANUAL_PROTECT))
		return false;
	return !c->dirty_ring_entries || is_ring_size(c->dirty_ring_entries);
}

static int init_slots(struct umbra_mmu *m, const struct umbra_mmu_config *c)
{
	gfn_t max_gfn = gfn_of((1ull << (m->physical_bits - PAGE_SHIFT)) - 1);
	int err = slots_init(&m->slots, &m->alloc, max_gfn,
			     &m->mmu.own_stats[VM_STAT_dirty_pages_harvested],
			     &m->mmu.own_stats[VM_STAT_slot_updates]);

	if (err)
		return err;
	m->slots.manual_protect = c->flags & UMBRA_MMU_MANUAL_PROTECT;
	m->slots.initially_set = c->flags & UMBRA_MMU_INITIALLY_SET;
	m->slots.dirty_ring = c->dirty_ring_entries;
	return 0;
}

static int init(struct umbra_mmu *m, const struct umbra_mmu_config *c)
{
	int err;

	alloc_init(&m->alloc);
	m->physical_bits = (uint8_t)(c->physical_bits ? c->physical_bits : DEFAULT_PHYSICAL_BITS);
	m->has_1g_pages = c->flags & UMBRA_MMU_1G_PAGES;
	m->interrupts = c->flags & UMBRA_MMU_INTERRUPT;
	m->ring_entries = c->dirty_ring_entries;
	m->code_written = c->code_written;
	m->context = c->context;
	err = init_slots(m, c);
	if (err)
		return err;
	m->mmu.mode = c->mode == UMBRA_MMU_SHADOW ? MMU_SHADOW : MMU_TDP;
	random_fill(m->mmu.hash_key, ARRAY_SIZE(m->mmu.hash_key));
	atomic32_store_relaxed(&m->mmu.flush_policy, c->flush_policy == UMBRA_FLUSH_IF_WRITABLE ?
							     FLUSH_IF_W_CLEARED :
							     FLUSH_IF_MMUW_CLEARED);
	err = mmu_init(&m->mmu, &m->alloc, &m->slots, host_process_init(&m->host));
	if (err) {
		host_process_destroy(&m->host);
		slots_destroy(&m->slots);
	}
	return err;
}

int umbra_mmu_create_(const struct umbra_mmu_config *config, size_t bytes, struct umbra_mmu **mmu)
{
	struct umbra_mmu *m;
	int err;

	if (!is_valid(config, bytes))
		return -EINVAL;
	err = guarded_install();
	if (!err)
		err = reservation_init();
	if (!err)
		err = thread_at_fork(NULL);
	if (err)
		return err;
	m = reservation_get(sizeof(*m));
	if (!m)
		return -ENOMEM;
	err = init(m, config);
	if (err)
		reservation_put(m, sizeof(*m));
	else
		*mmu = m;
	return err;
}

int umbra_mmu_destroy(struct umbra_mmu *m)
{
	if (atomic32_load_acquire(&m->n_vcpus))
		return -EBUSY;
	mmu_destroy(&m->mmu);
	host_process_destroy(&m->host);
	slots_destroy(&m->slots);
	bug_on(atomic64_load_relaxed(&m->alloc.bytes));
	reservation_put(m, sizeof(*m));
	reservation_trim();
	return 0;
}

int umbra_mmu_set_slot(struct umbra_mmu *m, const struct umbra_slot *slot)
{
	const struct kvm_userspace_memory_region region = {
		.slot = slot->id,
		.flags = slot->flags,
		.guest_phys_addr = slot->gpa,
		.memory_size = slot->bytes,
		.userspace_addr = (uintptr_t)slot->memory,
	};

	return slots_set_region(&m->slots, &region);
}

int umbra_mmu_get_dirty_log(struct umbra_mmu *m, uint32_t id, uint64_t *bitmap)
{
	return dirty_log_get(&m->slots, id, bitmap);
}

int umbra_mmu_clear_dirty_log(struct umbra_mmu *m, uint32_t id, uint64_t first_page,
			      uint64_t n_pages, const uint64_t *bitmap)
{
	return dirty_log_clear(&m->slots, id, first_page, n_pages, bitmap);
}

uint32_t umbra_vcpu_take_dirty(struct umbra_vcpu *v, struct umbra_dirty_page *pages, uint32_t n)
{
	struct api_vcpu *a = api_vcpu_of(v);
	const struct dirty_ring *ring = &a->mmu.ring;
	uint32_t taken = 0;

	for (; ring->entries && taken < n; taken++) {
		struct kvm_dirty_gfn *entry = &ring->entries[a->ring_taken & (ring->size - 1)];

		if (shared32_load_acquire(&entry->flags) != KVM_DIRTY_GFN_F_DIRTY)
			break;
		pages[taken].slot = shared32_load_relaxed(&entry->slot);
		pages[taken].page = shared64_load_relaxed(&entry->offset);
		shared32_store_release(&entry->flags, KVM_DIRTY_GFN_F_RESET);
		a->ring_taken++;
	}
	return taken;
}

uint32_t umbra_mmu_reset_dirty_rings(struct umbra_mmu *m)
{
	return mmu_reset_dirty_rings(&m->mmu);
}

_Static_assert(sizeof(struct invalidation) <= sizeof(struct umbra_invalidation) &&
		       _Alignof(struct invalidation) <= _Alignof(struct umbra_invalidation),
	       "the caller has room for it");

static hva_t start_of(const void *memory)
{
	return hva_of((uintptr_t)memory & PAGE_MASK);
}

static hva_t end_of(const void *memory, size_t bytes)
{
	uint64_t end = ALIGN_UP((uintptr_t)memory + bytes, PAGE_SIZE);

	/* The range ends at the end of the address space at the latest. */
	return hva_of(end < (uintptr_t)memory ? PAGE_MASK : end);
}

void umbra_mmu_invalidate_begin(struct umbra_mmu *m, const void *memory, size_t bytes,
				struct umbra_invalidation *invalidation)
{
	hva_t start = start_of(memory);

	mmu_invalidate_begin(&m->mmu, start, bytes ? end_of(memory, bytes) : start,
			     (struct invalidation *)invalidation);
}

int umbra_mmu_invalidate_end(struct umbra_invalidation *invalidation)
{
	struct invalidation *inv = (struct invalidation *)invalidation;

	if (!inv->mmu)
		return -EINVAL;
	mmu_invalidate_end(inv);
	inv->mmu = NULL;
	return 0;
}

_Static_assert((int)UMBRA_AGE_TEST == AGE_TEST && (int)UMBRA_AGE_CLEAR == AGE_CLEAR &&
		       (int)UMBRA_AGE_CLEAR_FLUSH == AGE_CLEAR_FLUSH,
	       "the public names are ours");

bool umbra_mmu_age(struct umbra_mmu *m, const void *memory, size_t bytes, enum umbra_age how)
{
	hva_t start = start_of(memory);

	return bytes && mmu_age(&m->mmu, start, end_of(memory, bytes), (enum age)how);
}

int umbra_mmu_set_page_limit(struct umbra_mmu *m, uint64_t n_pages)
{
	if (n_pages < MMU_MIN_PAGES)
		return -EINVAL;
	mmu_set_page_limit(&m->mmu, n_pages);
	return 0;
}

uint64_t umbra_mmu_page_limit(const struct umbra_mmu *m)
{
	return mmu_page_limit(&m->mmu);
}

void umbra_mmu_flush(struct umbra_mmu *m)
{
	flush_always(&m->mmu);
}
