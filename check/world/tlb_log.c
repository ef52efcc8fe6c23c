/* SPDX-License-Identifier: MIT */
#include "check/world/tlb_log.h"

#include "check/world/machine.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"

static bool is_in_a_ring(uint32_t slot_id, uint64_t page)
{
	for (unsigned int n = 0; n < vm->n_vcpus; n++) {
		const struct dirty_ring *ring = &vm->vcpu[n].ring;

		for (uint32_t at = ring->reset.v; ring->entries && at != ring->pushed.v; at++) {
			const struct kvm_dirty_gfn *e = &ring->entries[at & (ring->size - 1)];

			if (e->slot == slot_id && e->offset == page)
				return true;
		}
	}
	return false;
}

static bool is_in_log(const struct memslot *slot, uint64_t page)
{
	if (slot->dirty)
		return slot->dirty->words[page / 64].v >> page % 64 & 1;
	return is_in_a_ring(slot->id, page);
}

/* By any of the slots that have it; a write through one that is not logged is in none. */
static bool may_be_written(hva_t hva)
{
	bool logged = false;

	for (unsigned int id = 0; id < SLOTS_MAX_IDS; id++) {
		const struct memslot *slot = vm->slots.by_id[id];

		if (!slot || hva_lt(hva, slot->hva) || hva_le(memslot_hva_end(slot), hva))
			continue;
		if (!memslot_is_logged(slot) ||
		    is_in_log(slot, hva_diff(hva, slot->hva) >> PAGE_SHIFT))
			return true;
		logged = true;
	}
	return !logged;
}

static bool may_write(const struct mmu_vcpu *v, const struct tlb_entry *e)
{
	return e->write && !((e->write ^ v->tlb_context) & PAGE_OFFSET_MASK & ~TLB_PRIVILEGE_MASK);
}

static void check_entry(unsigned int n, const struct tlb_entry *e)
{
	uint64_t gva = e->write & PAGE_MASK;
	const void *host = (const void *)(uintptr_t)(gva + e->addend);
	unsigned int page;

	if (!may_write(&vm->vcpu[n], e) || !host_is_frame(host))
		return;
	page = host_page_of(host);
	if (!may_be_written(host_hva(page)))
		sched_fail(VERDICT_LOST_DIRTY,
			   "vCPU %u may write to hva page %u by its TLB (gva %#llx) and is not "
			   "asked to flush it, but the page is in no log",
			   n, page, (unsigned long long)gva);
}

void tlb_log_check(void)
{
	if (oracle_is_blind)
		return;
	for (unsigned int n = 0; n < vm->n_vcpus; n++) {
		const struct mmu_vcpu *v = &vm->vcpu[n];

		for (unsigned int i = 0; v->tlb && i < TLB_ENTRIES; i++)
			if (!(v->requests.v & REQUEST_TLB_FLUSH))
				check_entry(n, &v->tlb[i]);
	}
}
