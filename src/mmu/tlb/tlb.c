/* SPDX-License-Identifier: MIT */
#include "mmu/tlb/tlb.h"

#include <string.h>

#include "mmu/guest/x86.h"
#include "mmu/mmu.h"

#define TLB_BYTES ((TLB_ENTRIES + GPA_TLB_ENTRIES) * sizeof(struct tlb_entry))

static enum tlb_privilege privilege_of(const struct paging *p)
{
	if (p->cpl == 3)
		return TLB_USER;
	return (p->cr4 & X86_CR4_SMAP) && p->ac ? TLB_SUPERVISOR_AC : TLB_SUPERVISOR;
}

void tlb_set_privilege(struct mmu_vcpu *v)
{
	uint64_t context = v->tlb_context;

	while (!owner_swap(&v->tlb_context, &context,
			   (context & ~(uint64_t)TLB_PRIVILEGE_MASK) | privilege_of(&v->paging)))
		;
}

static uint64_t number_of(uint64_t context)
{
	return (context & PAGE_OFFSET_MASK) >> TLB_FLUSH_SHIFT;
}

static uint64_t with_number(uint64_t context, uint64_t number)
{
	return (context & TLB_PRIVILEGE_MASK) | number << TLB_FLUSH_SHIFT;
}

/* Makes all entries stale.  The memory is not touched, since the owner may be using it: when the
 * numbers have run out nothing hits until the owner has wiped it. */
static void take_next_number(struct mmu_vcpu *v)
{
	uint64_t context = v->tlb_context, number;

	do
		number = MIN(number_of(context) + 1, TLB_FLUSH_DEAD);
	while (!owner_swap(&v->tlb_context, &context, with_number(context, number)));
}

/* The owner's handler: window_line.answer. */
static void answer_interrupt(struct window_line *line)
{
	struct mmu_vcpu *v = container_of(line, struct mmu_vcpu, line);

	epoch_advance(&v->epoch);
	take_next_number(v);
	vcpu_count(v, flush_interrupts);
}

static void wipe_entries(struct mmu_vcpu *v)
{
	uint64_t context = v->tlb_context;

	memset(v->tlb, 0, TLB_BYTES);
	memset(v->mmio_cache, 0, sizeof(v->mmio_cache));
	while (!owner_swap(&v->tlb_context, &context, with_number(context, 1)))
		;
}

int tlb_init(struct mmu_vcpu *v)
{
	v->tlb = alloc_zeroed(v->mmu->alloc, TLB_BYTES);
	if (!v->tlb)
		return -ENOMEM;
	v->gpa_tlb = v->tlb + TLB_ENTRIES;
	v->tlb_context = 1u << TLB_FLUSH_SHIFT;
	tlb_set_privilege(v);
	v->line.answer = answer_interrupt;
	return 0;
}

void tlb_destroy(struct mmu_vcpu *v)
{
	alloc_free(v->mmu->alloc, v->tlb, TLB_BYTES);
}

struct tlb_stamp tlb_stamp(struct mmu_vcpu *v)
{
	struct tlb_stamp stamp;

	do {
		if (unlikely(tlb_flush_number(v) == TLB_FLUSH_DEAD))
			wipe_entries(v);
		stamp.epoch = epoch_read(&v->epoch);
		stamp.context = v->tlb_context;
		owner_barrier();
	} while (unlikely(number_of(stamp.context) == TLB_FLUSH_DEAD));
	return stamp;
}

/* The page and flush number of a tag, which all tags of an entry share. */
static uint64_t tag_page(uint64_t tag)
{
	return tag & ~(uint64_t)TLB_PRIVILEGE_MASK;
}

static void hide_watched(const struct mmu_vcpu *v, gva_t gva, struct tlb_entry *e)
{
	for (unsigned int i = 0; i < v->n_watches; i++) {
		if (!gva_eq(gva_align(gva, PAGE_SIZE), v->watches[i].page))
			continue;
		e->write = 0;
		if (v->watches[i].reads)
			e->read = 0;
	}
}

/*
 * An entry may hold a page for several privileges, one for each kind of access.  Once executable
 * for any privilege, a page stays non-writable until an actual write, which is reported to the
 * caller; a read never makes it writable silently.
 */
bool tlb_fill(struct mmu_vcpu *v, gva_t gva, enum access access, struct tlb_stamp stamp,
	      struct tlb_page page)
{
	struct tlb_entry *e = tlb_entry_of(v, gva);
	uint64_t tag = (gva.raw & PAGE_MASK) | stamp.context, common = tag_page(tag);
	uint64_t addend = (uintptr_t)page.host - gva.raw;
	bool is_code;

	if (e->addend != addend || (tag_page(e->read) != common && tag_page(e->write) != common &&
				    tag_page(e->exec) != common))
		*e = (struct tlb_entry){ .addend = addend };
	is_code = e->exec;
	if (access == ACCESS_EXEC) {
		e->exec = tag;
		e->write = 0;
	} else {
		e->read = tag;
		if (access == ACCESS_WRITE || (page.writable && !is_code)) {
			e->write = tag;
			e->exec = 0;
		}
	}
	if (unlikely(v->n_watches))
		hide_watched(v, gva, e);
	v->tlb_has_large |= page.large;
	vcpu_count(v, tlb_fills);
	return access == ACCESS_WRITE && is_code;
}

void tlb_flush_all(struct mmu_vcpu *v)
{
	take_next_number(v);
	if (unlikely(tlb_flush_number(v) == TLB_FLUSH_DEAD))
		wipe_entries(v);
	v->tlb_has_large = false;
	tlb_set_privilege(v);
	vcpu_count(v, tlb_flushes);
}

static bool is_watched_as_before(const struct mmu_vcpu *v, const struct tlb_watch *watches,
				 unsigned int n)
{
	if (v->n_watches != n)
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (!gva_eq(v->watches[i].page, watches[i].page) ||
		    v->watches[i].reads != watches[i].reads)
			return false;
	return true;
}

void tlb_watch(struct mmu_vcpu *v, const struct tlb_watch *watches, unsigned int n)
{
	if (is_watched_as_before(v, watches, n))
		return;
	v->n_watches = n;
	for (unsigned int i = 0; i < n; i++)
		v->watches[i] = watches[i];
	/* Entries from before the watch may exist. */
	tlb_flush_all(v);
}

void tlb_flush_page(struct mmu_vcpu *v, gva_t gva)
{
	/* Entries are 4 KiB each, whatever the guest's page was. */
	if (v->tlb_has_large) {
		tlb_flush_all(v);
		return;
	}
	*tlb_entry_of(v, gva) = (struct tlb_entry){ 0 };
	memset(v->mmio_cache, 0, sizeof(v->mmio_cache));
}
