/* SPDX-License-Identifier: MIT */
#include "check/world/machine.h"

#include <string.h>

#include "check/engine/arena.h"
#include "check/engine/memory.h"
#include "check/engine/timeline.h"
#include "check/world/guest.h"
#include "check/world/tlb_log.h"
#include "mmu/tlb/request.h"
#include "mmu/tdp/tdp.h"
#include "mmu/tlb/tlb.h"

#define MAX_GFN ((1ull << 20) - 1)
struct machine *vm;
enum mmu_mode machine_mode;

static void register_vcpu(const struct mmu_vcpu *v, unsigned int n)
{
	timeline_register(&v->requests, 4, 0, WORD_REQUESTS, "vcpu%u.requests", n);
	timeline_register(&v->guest_seq, 4, 0, WORD_GUEST_SEQ, "vcpu%u.guest_seq", n);
	timeline_register(&v->waiters, 4, 0, WORD_NUMBER, "vcpu%u.waiters", n);
	timeline_register(&v->pin, 4, 0, WORD_NUMBER, "vcpu%u.pin", n);
	timeline_register(&v->ring.pushed, 4, 0, WORD_NUMBER, "vcpu%u.ring.pushed", n);
	timeline_register(&v->ring.reset, 4, 0, WORD_NUMBER, "vcpu%u.ring.reset", n);
}

static void register_names(void)
{
	const struct mmu *m = &vm->mmu;

	timeline_register(&vm->slots.lock, sizeof(vm->slots.lock), 0, WORD_HEX, "slots_lock");
	timeline_register(&vm->slots.n_swaps, 4, 0, WORD_NUMBER, "slots.n_swaps");
	timeline_register(&m->changes->lock, sizeof(m->changes->lock), 0, WORD_HEX, "changes.lock");
	timeline_register(&m->changes->n_open, 4, 0, WORD_NUMBER, "changes.n_open");
	timeline_register(&m->changes->n_closed, 4, 0, WORD_NUMBER, "changes.n_closed");
	timeline_register(&m->changes->n_asleep, 4, 0, WORD_NUMBER, "changes.n_asleep");
	timeline_register(&vm->slots.current, 8, 0, WORD_POINTER, "the slots");
	timeline_register(&vm->slots.generation, 8, 0, WORD_HEX, "slots.generation");
	timeline_register(&m->lock, sizeof(m->lock), 0, WORD_HEX, "mmu.lock");
	timeline_register(&m->flush_lock, sizeof(m->flush_lock), 0, WORD_HEX, "mmu.flush_lock");
	timeline_register(&m->invalidate_seq, 8, 0, WORD_NUMBER, "mmu.invalidate_seq");
	timeline_register(&m->owed, 8, 0, WORD_NUMBER, "mmu.owed");
	timeline_register(&m->paid, 8, 0, WORD_NUMBER, "mmu.paid");
	for (unsigned int i = 0; i < vm->n_vcpus; i++)
		register_vcpu(&vm->vcpu[i], i);
}

static void make_ring(struct mmu_vcpu *v, unsigned int n, unsigned int entries)
{
	uint32_t bytes = (entries ? entries : 128) * (uint32_t)sizeof(struct kvm_dirty_gfn);
	void *memory = arena_alloc(bytes);

	dirty_ring_init(&v->ring, memory, bytes);
	timeline_register(memory, bytes, 8, WORD_HEX, "vcpu%u.ring", n);
}

static void must(int err)
{
	if (err)
		sched_fail(VERDICT_WRONG, "a call that had to succeed failed with %d", err);
}

void machine_make(struct machine_options o)
{
	struct host_memory host;

	vm = arena_alloc(sizeof(*vm));
	oracle_begin_run();
	guest_begin_run();
	memory_ignore(vm->mmu.own_stats, sizeof(vm->mmu.own_stats));
	for (unsigned int i = 0; i < MACHINE_VCPUS; i++)
		memory_ignore(vm->vcpu[i].own_stats, sizeof(vm->vcpu[i].own_stats));

	host = host_make(o.host_pages ? o.host_pages : 8, o.level ? o.level : LEVEL_4K);
	alloc_init(&vm->alloc);
	vm->n_vcpus = o.vcpus ? o.vcpus : 1;
	vm->loses_translations = o.loses_translations;
	vm->cannot_interrupt = o.cannot_interrupt;
	must(slots_init(&vm->slots, &vm->alloc, gfn_of(MAX_GFN),
			&vm->mmu.own_stats[VM_STAT_dirty_pages_harvested],
			&vm->mmu.own_stats[VM_STAT_slot_updates]));
	vm->slots.dirty_ring = o.rings;
	vm->slots.manual_protect = o.manual_protect || o.initially_set;
	vm->slots.initially_set = o.initially_set;
	vm->mmu.mode = machine_mode;
	must(mmu_init(&vm->mmu, &vm->alloc, &vm->slots, host));
	for (unsigned int i = 0; i < vm->n_vcpus; i++) {
		vm->vcpu[i].paging.maxphyaddr = 48;
		must(mmu_vcpu_init(&vm->vcpu[i], &vm->mmu));
		if (o.rings)
			make_ring(&vm->vcpu[i], i, o.ring_entries);
	}
	if (o.page_limit)
		mmu_set_page_limit(&vm->mmu, o.page_limit);
	register_names();
	sched_at_end(tlb_log_check);
}

void machine_make_with_slot(struct machine_options o, uint32_t slot_flags)
{
	machine_make(o);
	client_set_slot(0, 0, 4, 0, slot_flags);
}

/* --- what is shown of it at a failure ------------------------------------------------ */

static void show_entry(const struct mmu_vcpu *v, const struct tlb_entry *e, unsigned int i)
{
	uint64_t tag = e->read > e->write ? e->read : e->write;
	uint64_t gva = tag & PAGE_MASK;

	if ((e->read ^ v->tlb_context) & PAGE_OFFSET_MASK &&
	    (e->write ^ v->tlb_context) & PAGE_OFFSET_MASK)
		return;
	timeline_add_state("  TLB of vCPU %u, entry %u: gva %#llx -> frame %u, %s%s\n", v->index, i,
			   (unsigned long long)gva,
			   host_frame_of((void *)(uintptr_t)(gva + e->addend)),
			   e->read ? "r" : "", e->write ? "w" : "");
}

static void show_sptes(void)
{
	for (uint64_t gfn = 0; gfn < 8 && vm->mmu.root; gfn++) {
		struct table_entry e = tdp_lookup(&vm->mmu, gfn_of(gfn));

		if (spte_kind(e.spte) != SPTE_NONE)
			timeline_add_state("  spte of gfn %llu (level %d): %s\n",
					   (unsigned long long)gfn, e.level,
					   timeline_spte(e.spte.raw));
	}
}

void machine_show(void)
{
	const struct mmu *m = &vm->mmu;

	for (unsigned int n = 0; n < vm->n_vcpus; n++) {
		const struct mmu_vcpu *v = &vm->vcpu[n];

		timeline_add_state("  vCPU %u: %s, requests %s\n", n,
				   v->guest_seq.v & 1 ? "in guest mode" : "outside",
				   v->requests.v & REQUEST_TLB_FLUSH ? "TLB_FLUSH" : "none");
		for (unsigned int i = 0; v->tlb && i < TLB_ENTRIES; i++)
			show_entry(v, &v->tlb[i], i);
	}
	show_sptes();
	timeline_add_state("  debt: owed %llu, paid %llu\n", (unsigned long long)m->owed.v,
			   (unsigned long long)m->paid.v);
	timeline_add_state("  invalidations open: %u, sequence %llu; slots generation %#llx\n",
			   m->changes->n_open.v, (unsigned long long)m->invalidate_seq.v,
			   (unsigned long long)vm->slots.generation.v);
}
