/* SPDX-License-Identifier: MIT */
#include "check/world/machine.h"

#include <string.h>

#include "base/guarded.h"
#include "check/engine/arena.h"
#include "check/world/guest.h"
#include "check/engine/memory.h"
#include "check/engine/timeline.h"
#include "check/world/tlb_log.h"
#include "mem/dirty_log.h"
#include "mmu/tlb/request.h"
#include "mmu/tdp/tdp.h"
#include "mmu/tlb/tlb.h"
#include "mmu/translate.h"
#include "mmu/guest/x86.h"

#define MAX_GFN ((1ull << 20) - 1)
/* Times in a row that an access may race before it counts as endless. */
#define MAX_TRIES 40

struct machine *vm;
enum mmu_mode machine_mode;

/* What the client knows of its slots. */
struct client_slot {
	uint64_t gfn;
	unsigned int pages, page;
};

static struct client_slot client_slots[8];

/* What each thread has written last, so that no two writes are alike. */
static uint64_t written[MACHINE_VCPUS];

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
	memset(written, 0, sizeof(written));
	memset(client_slots, 0, sizeof(client_slots));
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

/* --- the guest ---------------------------------------------------------------- */

/* The end of a block, or the beginning of KVM_RUN. */
void vcpu_boundary(unsigned int n)
{
	struct mmu_vcpu *v = &vm->vcpu[n];

	if (guest_mode(v)) {
		if (!request_pending(v))
			return;
		timeline_note("leaves the guest: a request");
		guest_leave(v);
	}
	if (!vm->cannot_interrupt)
		window_bind(&v->line);
	guest_enter(v);
}

void vcpu_stop(unsigned int n)
{
	if (guest_mode(&vm->vcpu[n]))
		guest_leave(&vm->vcpu[n]);
}

static enum outcome outcome_of(enum mmu_verdict verdict)
{
	switch (verdict) {
	case MMU_MMIO:
		return DONE_MMIO;
	case MMU_HOST_FAULT:
		return DONE_EFAULT;
	case MMU_RING_FULL:
		return DONE_RING_FULL;
	case MMU_GUEST_FAULT:
		return DONE_PAGE_FAULT;
	case MMU_BAD_TABLES:
		return DONE_BAD_TABLES;
	default:
		return DONE_RAM;
	}
}

/* In the step of the access itself. */
static void note_access(unsigned int n, uint64_t gva, const void *host, bool write)
{
	timeline_note("%s gva %#llx: frame %u", write ? "writes" : "reads",
		      (unsigned long long)gva, host_frame_of(host));
	if (write) {
		oracle_wrote(n, host_page_of(host));
		guest_memory_changed();
	}
	vm->last_page[n] = host_page_of(host);
}

static bool access_hit(unsigned int n, uint64_t gva, bool write, uint64_t *value)
{
	struct mmu_vcpu *v = &vm->vcpu[n];
	void *host = write ? tlb_write(v, gva_of(gva), 8) : tlb_read(v, gva_of(gva), 8);

	if (host && vm->loses_translations && sched_ask(2, 1, true)) {
		timeline_note("the TLB forgets gva %#llx", (unsigned long long)gva);
		tlb_flush_page(v, gva_of(gva));
		return false;
	}
	if (!(write ? tlb_store64(v, gva_of(gva), *value) : tlb_load64(v, gva_of(gva), value)))
		return false;
	note_access(n, gva, host, write);
	return true;
}

/* False: it was interrupted, and is stale. */
static bool access_found(unsigned int n, uint64_t gva, const struct mmu_result *r, bool write,
			 uint64_t *value)
{
	struct mmu_vcpu *v = &vm->vcpu[n];

	if (!(write ? window_store64(&v->epoch, r->epoch, r->host, *value) :
		      window_load64(&v->epoch, r->epoch, r->host, value)))
		return false;
	note_access(n, gva, r->host, write);
	return true;
}

/* By the TLB or by a walk.  What has become stale is tried again at once, without a look
 * at requests between, as umbra_load64() does: *made says whether it came to an access. */
static enum mmu_verdict access_once(unsigned int n, uint64_t gva, bool write, uint64_t *value,
				    bool *tracked, bool *made)
{
	struct mmu_result result;
	enum mmu_verdict verdict;

	for (int i = 0; i < 2 && !*made; i++) {
		*made = access_hit(n, gva, write, value);
		if (*made)
			break;
		verdict = mmu_translate(&vm->vcpu[n], gva_of(gva),
					write ? ACCESS_WRITE : ACCESS_READ, &result);
		if (verdict != MMU_OK)
			return verdict;
		if (result.tracked)
			mmu_track_write(&vm->vcpu[n], result.gpa, 8);
		*tracked |= result.tracked;
		*made = access_found(n, gva, &result, write, value);
	}
	return MMU_OK;
}

static enum outcome one_try(unsigned int n, uint64_t gva, bool write, uint64_t *value,
			    unsigned int *page, bool *again)
{
	bool tracked = false, made = false;
	enum mmu_verdict verdict;

	vcpu_boundary(n);
	verdict = access_once(n, gva, write, value, &tracked, &made);
	if (tracked) {
		timeline_note("the page is write-tracked: its shadow entries go");
		mmu_tracked_writes(&vm->vcpu[n]);
	}
	if (verdict != MMU_OK && verdict != MMU_RETRY) {
		vcpu_stop(n);
		return outcome_of(verdict);
	}
	*again = !made;
	if (!made)
		return DONE_RAM;
	if (write)
		guest_write_ends();
	*page = vm->last_page[n];
	return DONE_RAM;
}

enum outcome vcpu_access(unsigned int n, uint64_t gva, bool write, uint64_t *value)
{
	unsigned int page = ORACLE_NOWHERE;
	/* With paging a gva says nothing of slots: check/world/guest.c looks at it. */
	bool again = true, pages = vm->vcpu[n].paging.cr0 & X86_CR0_PG;
	enum outcome outcome;

	if (!pages)
		oracle_access_begin(n, gva >> PAGE_SHIFT);
	for (int i = 0; again; i++) {
		if (i == MAX_TRIES)
			sched_fail(VERDICT_NO_PROGRESS,
				   "vCPU %u's access to gva %#llx races for ever", n,
				   (unsigned long long)gva);
		again = false;
		outcome = one_try(n, gva, write, value, &page, &again);
	}
	if (outcome == DONE_MMIO)
		timeline_note("exit: MMIO at %#llx", (unsigned long long)gva);
	else if (outcome == DONE_EFAULT)
		timeline_note("exit: EFAULT");
	if (!pages && (outcome == DONE_RAM || outcome == DONE_MMIO))
		oracle_access_end(n, gva >> PAGE_SHIFT, page);
	return outcome;
}

enum outcome vcpu_write(unsigned int n, uint64_t gva)
{
	uint64_t value = (uint64_t)(n + 1) << 32 | ++written[n];

	return vcpu_access(n, gva, true, &value);
}

enum outcome vcpu_read(unsigned int n, uint64_t gva)
{
	uint64_t value;

	return vcpu_access(n, gva, false, &value);
}

/* --- the client ----------------------------------------------------------------- */

static void expect(const struct client_slot *c, unsigned int pages, bool there)
{
	for (unsigned int i = 0; i < pages; i++)
		oracle_change(c->gfn + i, there ? c->page + i : ORACLE_NOWHERE);
}

void client_set_slot(unsigned int id, uint64_t gfn, unsigned int pages, unsigned int page,
		     uint32_t flags)
{
	struct client_slot *c = &client_slots[id], now = { gfn, pages, page };
	struct kvm_userspace_memory_region r = {
		.slot = id,
		.flags = flags,
		.guest_phys_addr = gfn << PAGE_SHIFT,
		.memory_size = (uint64_t)pages << PAGE_SHIFT,
		.userspace_addr = host_hva(page).raw,
	};

	timeline_note("KVM_SET_USER_MEMORY_REGION: slot %u, gfn %llu, %u pages, hva page %u%s%s",
		      id, (unsigned long long)gfn, pages, page,
		      flags & KVM_MEM_LOG_DIRTY_PAGES ? ", logged" : "",
		      flags & KVM_MEM_READONLY ? ", read-only" : "");
	oracle_change_begin();
	if (sched_self() >= 0 && c->pages)
		expect(c, c->pages, false);
	expect(&now, pages, true);
	must(slots_set_region(&vm->slots, &r));
	*c = now;
	oracle_change_end();
	timeline_note("KVM_SET_USER_MEMORY_REGION returns");
}

void client_delete_slot(unsigned int id)
{
	struct client_slot *c = &client_slots[id];
	struct kvm_userspace_memory_region r = { .slot = id };

	timeline_note("KVM_SET_USER_MEMORY_REGION: deletes slot %u", id);
	oracle_change_begin();
	expect(c, c->pages, false);
	must(slots_set_region(&vm->slots, &r));
	c->pages = 0;
	oracle_change_end();
	timeline_note("slot %u is deleted", id);
}

/* By host page, so that a move does not matter. */
static void copy_pages(unsigned int consumer, const struct client_slot *c, uint64_t bitmap)
{
	for (unsigned int i = 0; i < c->pages && i < 64; i++)
		if (bitmap & 1ull << i)
			oracle_copy(consumer, c->page + i);
}

void client_get_log(unsigned int consumer, unsigned int id)
{
	uint64_t bitmap[8] = { 0 };

	timeline_note("KVM_GET_DIRTY_LOG");
	must(dirty_log_get(&vm->slots, id, bitmap));
	timeline_note("KVM_GET_DIRTY_LOG returns %#llx", (unsigned long long)bitmap[0]);
	copy_pages(consumer, &client_slots[id], bitmap[0]);
}

void client_get_clear_copy(unsigned int consumer, unsigned int id)
{
	struct client_slot *c = &client_slots[id];
	uint64_t bitmap[8] = { 0 };

	timeline_note("KVM_GET_DIRTY_LOG");
	must(dirty_log_get(&vm->slots, id, bitmap));
	timeline_note("KVM_GET_DIRTY_LOG returns %#llx; KVM_CLEAR_DIRTY_LOG of it",
		      (unsigned long long)bitmap[0]);
	must(dirty_log_clear(&vm->slots, id, 0, c->pages, bitmap));
	timeline_note("KVM_CLEAR_DIRTY_LOG returns");
	copy_pages(consumer, c, bitmap[0]);
}

void client_reap_ring(unsigned int consumer, unsigned int n)
{
	struct mmu_vcpu *v = &vm->vcpu[n];
	struct {
		unsigned int id, page;
	} taken[80];
	unsigned int n_taken = 0;

	for (; n_taken < ARRAY_SIZE(taken); vm->fetched[n]++) {
		struct kvm_dirty_gfn *e = &v->ring.entries[vm->fetched[n] & (v->ring.size - 1)];

		if (!(shared32_load_acquire(&e->flags) & KVM_DIRTY_GFN_F_DIRTY))
			break;
		taken[n_taken].id = shared32_load_relaxed(&e->slot);
		taken[n_taken++].page = (unsigned int)shared64_load_relaxed(&e->offset);
		shared32_store_release(&e->flags, KVM_DIRTY_GFN_F_RESET);
	}
	timeline_note("took %u entries of vCPU %u's ring; KVM_RESET_DIRTY_RINGS", n_taken, n);
	mmu_reset_dirty_rings(&vm->mmu);
	timeline_note("KVM_RESET_DIRTY_RINGS returns");
	for (unsigned int i = 0; i < n_taken; i++)
		oracle_copy(consumer, client_slots[taken[i].id & 7].page + taken[i].page);
}

void client_copy_all(unsigned int consumer, unsigned int id)
{
	const struct client_slot *c = &client_slots[id];

	for (unsigned int i = 0; i < c->pages; i++)
		oracle_copy(consumer, c->page + i);
}

bool client_age(unsigned int page, enum age how)
{
	bool young = mmu_age(&vm->mmu, host_hva(page), host_hva(page + 1), how);

	timeline_note("hva page %u is %s%s", page, young ? "young" : "old",
		      how == AGE_TEST	? "" :
		      how == AGE_CLEAR	? ", and cleared without a flush" :
					  ", and cleared and flushed");
	return young;
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
