/* SPDX-License-Identifier: MIT */
/* check/world/vcpu.c - what vCPUs do, and whether what comes of it may be. */
#include "base/guarded.h"
#include "check/engine/memory.h"
#include "check/engine/timeline.h"
#include "check/world/ages.h"
#include "check/world/guest.h"
#include "check/world/machine.h"
#include "mmu/guest/x86.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"
#include "mmu/translate.h"

/* Times in a row that an access may race before it counts as endless. */
#define MAX_TRIES 40

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
	case MMU_NO_MEMORY:
		sched_fail(VERDICT_WRONG, "out of memory, which there is enough of");
		break;
	case MMU_OK:
	case MMU_RETRY:
		break;
	}
	return DONE_RAM;
}

/* An access as it is asked for. */
struct asked {
	unsigned int n;		/* of the vCPU */
	uint64_t gva;
	enum access access;
	uint64_t *value;
};

/* What the guest reads is what memory has where it should be, and what it writes comes there. */
static void judge_contents(const struct asked *a, const void *host)
{
	unsigned int offset = (unsigned int)(a->gva & PAGE_OFFSET_MASK), page = host_page_of(host);

	if (oracle_is_blind || host_peek_at(page, offset) == *a->value)
		return;
	sched_fail(VERDICT_MMIO_RAM,
		   "vCPU %u %s %#llx at byte %u of hva page %u, where memory has %#llx", a->n,
		   a->access == ACCESS_WRITE ? "wrote" : "read", (unsigned long long)*a->value,
		   offset, page, (unsigned long long)host_peek_at(page, offset));
}

/* In the step of the access itself. */
static void note_access(const struct asked *a, const void *host, bool tracked)
{
	unsigned int page = host_page_of(host);

	timeline_note("%s gva %#llx: frame %u",
		      a->access == ACCESS_WRITE ? "writes" :
		      a->access == ACCESS_READ	? "reads" :
						  "executes",
		      (unsigned long long)a->gva, host_frame_of(host));
	judge_contents(a, host);
	if (a->access == ACCESS_WRITE) {
		if (!tracked)
			copies_write_ends_now(page);
		guest_memory_changed();
	}
	if (!(vm->vcpu[a->n].paging.cr0 & X86_CR0_PG))
		ages_used(page);
	vm->last_page[a->n] = page;
}

static bool load_code(struct mmu_vcpu *v, gva_t gva, uint64_t *value)
{
	uint64_t epoch = epoch_read(&v->epoch);
	const void *host = tlb_exec(v, gva);

	return host && window_load64(&v->epoch, epoch, host, value);
}

static const void *find_hit(const struct mmu_vcpu *v, gva_t gva, enum access access)
{
	switch (access) {
	case ACCESS_READ:
		return tlb_read(v, gva, 8);
	case ACCESS_WRITE:
		return tlb_write(v, gva, 8);
	case ACCESS_EXEC:
		break;
	}
	return tlb_exec(v, gva);
}

static bool access_hit(const struct asked *a)
{
	struct mmu_vcpu *v = &vm->vcpu[a->n];
	gva_t gva = gva_of(a->gva);
	const void *host = find_hit(v, gva, a->access);
	bool hit;

	if (host && vm->loses_translations && sched_ask(2, 1, true)) {
		timeline_note("the TLB forgets gva %#llx", (unsigned long long)a->gva);
		tlb_flush_page(v, gva);
		return false;
	}
	if (a->access == ACCESS_EXEC)
		hit = load_code(v, gva, a->value);
	else
		hit = a->access == ACCESS_WRITE ? tlb_store64(v, gva, *a->value) :
						  tlb_load64(v, gva, a->value);
	if (hit)
		note_access(a, host, false);
	return hit;
}

/* False: it was interrupted, and is stale. */
static bool access_found(const struct asked *a, const struct mmu_result *r)
{
	struct mmu_vcpu *v = &vm->vcpu[a->n];

	if (!(a->access == ACCESS_WRITE ?
		      window_store64(&v->epoch, r->epoch, r->host, *a->value) :
		      window_load64(&v->epoch, r->epoch, r->host, a->value)))
		return false;
	note_access(a, r->host, r->tracked);
	return true;
}

/* By the TLB or by a walk.  What has become stale is tried again at once, without a look
 * at requests between, as umbra_load64() does: *made says whether it came to an access. */
static enum mmu_verdict access_once(const struct asked *a, bool *tracked, bool *made)
{
	struct mmu_vcpu *v = &vm->vcpu[a->n];
	struct mmu_result result = { 0 };
	enum mmu_verdict verdict;

	for (int i = 0; i < 2 && !*made; i++) {
		*made = access_hit(a);
		if (*made)
			break;
		verdict = mmu_translate(v, gva_of(a->gva), a->access, &result);
		vm->last_gpa[a->n] = result.gpa.raw;
		vm->last_error_code[a->n] = result.error_code;
		if (verdict != MMU_OK)
			return verdict;
		if (result.tracked)
			mmu_track_write(v, result.gpa, 8);
		*tracked |= result.tracked;
		*made = access_found(a, &result);
	}
	return MMU_OK;
}

static bool one_try(const struct asked *a, enum outcome *outcome)
{
	bool tracked = false, made = false;
	enum mmu_verdict verdict;
	uint64_t turns;

	vcpu_boundary(a->n);
	turns = sched_turns();
	verdict = access_once(a, &tracked, &made);
	if (tracked) {
		timeline_note("the page is write-tracked: its shadow entries go");
		mmu_tracked_writes(&vm->vcpu[a->n]);
	}
	if (verdict == MMU_RETRY && turns == sched_turns() && !oracle_is_blind)
		sched_fail(VERDICT_NO_PROGRESS,
			   "vCPU %u's access to gva %#llx has to be tried again, though nobody "
			   "else did anything meanwhile",
			   a->n, (unsigned long long)a->gva);
	*outcome = outcome_of(verdict);
	if (verdict != MMU_OK && verdict != MMU_RETRY) {
		vcpu_stop(a->n);
		return true;
	}
	if (made && a->access == ACCESS_WRITE)
		guest_write_ends();
	return made;
}

/* --- what may come of it ---------------------------------------------------------- */

static unsigned int ring_use(const struct dirty_ring *ring)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < ring->size; i++)
		n += ring->entries[i].flags != 0;
	return n;
}

/* Whoever resets rings meanwhile may have made room. */
static void judge_ring_full(unsigned int n, uint32_t resets)
{
	const struct dirty_ring *ring = &vm->vcpu[n].ring;

	if (ring->entries && (ring_use(ring) + DIRTY_RING_RESERVED >= ring->size ||
			      vm->n_resets != resets || vm->n_resetting))
		return;
	sched_fail(VERDICT_NO_PROGRESS, "vCPU %u is told that its ring is full, and it is not", n);
}

/* The frame that is named is one whose page the host does not have. */
static void judge_fault(const struct asked *a, uint32_t moment)
{
	uint64_t gfn = vm->vcpu[a->n].host_fault.raw >> PAGE_SHIFT;
	bool pages = vm->vcpu[a->n].paging.cr0 & X86_CR0_PG;

	for (unsigned int page = 0; page < ORACLE_GFNS; page++)
		if (oracle_may_reach(a->n, gfn, page, false) &&
		    host_was_absent(page, pages || a->access == ACCESS_WRITE, moment))
			return;
	sched_fail(VERDICT_MMIO_RAM,
		   "vCPU %u's access to gva %#llx ended with EFAULT for gfn %llu, whose memory "
		   "was there all the time",
		   a->n, (unsigned long long)a->gva, (unsigned long long)gfn);
}

/* Without paging.  A gva is a gpa then. */
static void judge_unpaged(const struct asked *a, enum outcome outcome)
{
	uint64_t gfn = a->gva >> PAGE_SHIFT;
	bool write = a->access == ACCESS_WRITE;

	if (outcome == DONE_RAM)
		oracle_judge_place(a->n, gfn, vm->last_page[a->n], write);
	else if (outcome == DONE_MMIO && vm->last_gpa[a->n] == a->gva)
		oracle_judge_place(a->n, gfn, ORACLE_NOWHERE, write);
	else if (outcome == DONE_MMIO || outcome == DONE_PAGE_FAULT || outcome == DONE_BAD_TABLES)
		sched_fail(VERDICT_WRONG, "vCPU %u's access to gpa %#llx, without paging, %s", a->n,
			   (unsigned long long)a->gva,
			   outcome == DONE_MMIO ? "became MMIO at another" :
						  "found fault with page tables");
}

/* With paging a gva says nothing of slots: check/world/guest.c follows some of them. */
static void judge_paged(const struct asked *a, enum outcome outcome)
{
	guest_judge(a->n, a->gva, a->access, outcome);
	if (outcome == DONE_RAM && !oracle_may_see(a->n, vm->last_page[a->n]))
		sched_fail(VERDICT_MMIO_RAM,
			   "vCPU %u's access to gva %#llx reached hva page %u, which was in no "
			   "slot at any time of it",
			   a->n, (unsigned long long)a->gva, vm->last_page[a->n]);
}

static enum outcome access(const struct asked *a)
{
	bool pages = vm->vcpu[a->n].paging.cr0 & X86_CR0_PG;
	uint32_t moment = host_moment(), resets = vm->n_resets;
	enum outcome outcome;

	oracle_access_begin(a->n);
	if (pages)
		guest_access_begins(a->n, a->gva);
	for (int i = 0; !one_try(a, &outcome); i++)
		if (i == MAX_TRIES)
			sched_fail(VERDICT_NO_PROGRESS,
				   "vCPU %u's access to gva %#llx races for ever", a->n,
				   (unsigned long long)a->gva);
	if (outcome == DONE_MMIO)
		timeline_note("exit: MMIO at %#llx", (unsigned long long)vm->last_gpa[a->n]);
	else if (outcome == DONE_EFAULT)
		timeline_note("exit: EFAULT");
	copies_access_ends();
	oracle_access_end(a->n);
	if (!oracle_is_blind) {
		if (pages)
			judge_paged(a, outcome);
		else
			judge_unpaged(a, outcome);
		if (outcome == DONE_EFAULT)
			judge_fault(a, moment);
		else if (outcome == DONE_RING_FULL)
			judge_ring_full(a->n, resets);
	}
	oracle_access_judged(a->n);
	return outcome;
}

enum outcome vcpu_access(unsigned int n, uint64_t gva, bool write, uint64_t *value)
{
	return access(&(struct asked){ n, gva, write ? ACCESS_WRITE : ACCESS_READ, value });
}

enum outcome vcpu_write(unsigned int n, uint64_t gva)
{
	uint64_t value = (uint64_t)(n + 1) << 32 | ++vm->n_written[n];

	return vcpu_access(n, gva, true, &value);
}

enum outcome vcpu_read(unsigned int n, uint64_t gva)
{
	uint64_t value;

	return vcpu_access(n, gva, false, &value);
}

enum outcome vcpu_execute(unsigned int n, uint64_t gva)
{
	uint64_t value;

	return access(&(struct asked){ n, gva, ACCESS_EXEC, &value });
}
