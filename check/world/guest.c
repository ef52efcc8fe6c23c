/* SPDX-License-Identifier: MIT */
#include "check/world/guest.h"

#include <string.h>

#include "check/engine/arena.h"
#include "check/engine/memory.h"
#include "check/engine/timeline.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"

#define MAX_WATCHED 4
#define MAX_VERSIONS 32
#define LEVELS 4

/* How a walk ends. */
enum walk_end {
	AT_PAGE,
	AT_NOT_PRESENT,
	AT_RESERVED_BIT,
	AT_NO_TABLE,		/* where a table should be is no memory */
};

/* What a walk gives, and by which tables. */
struct version {
	enum walk_end end;
	uint16_t frame;
	bool writable, user, no_exec, large;
	uint8_t key;
	struct {
		uint16_t frame, page;
	} table[LEVELS];	/* from the root; .frame 0: not reached */
};

/* Of one vCPU and one address. */
struct history {
	unsigned int n;
	struct version version[MAX_VERSIONS];
	uint32_t usable;	/* a bit for each: the vCPU may still have it cached */
	unsigned int complete;	/* the last whose writing instruction has ended */
	unsigned int before_change; /* of the slots that is open: that was current */
	/* when the access began: what it may find, besides all later ones */
	uint32_t usable_at_begin;
	unsigned int at_begin;	/* that was current */
};

static struct {
	unsigned int n_watched;
	uint64_t gva[MAX_WATCHED];
	uint64_t root[MACHINE_VCPUS];
	struct history history[MACHINE_VCPUS][MAX_WATCHED];
	unsigned int n_open;		/* instructions that write a table, not ended */
	unsigned int n_changes;		/* of the slots, not returned */
	void *word;			/* orders all of it */
} g;

/* --- a walk of its own ------------------------------------------------------------- */

static unsigned int index_at(uint64_t gva, int level)
{
	return (unsigned int)(gva >> (PAGE_SHIFT + 9 * (level - 1))) & 511;
}

/* Of 48 bits; no 1 GiB pages. */
static uint64_t reserved_bits(const struct paging *p, uint64_t e, int level)
{
	uint64_t bits = 0xf000000000000ull;

	if (!(p->efer & X86_EFER_NX))
		bits |= GPTE_NX;
	if (level == 2 && (e & GPTE_PS))
		bits |= 0x1fe000;
	if (level > 2)
		bits |= GPTE_PS;
	return bits;
}

static void narrow(struct version *v, uint64_t e)
{
	v->writable &= !!(e & GPTE_W);
	v->user &= !!(e & GPTE_U);
	v->no_exec |= !!(e & GPTE_NX);
	v->key = (e >> GPTE_PKEY_SHIFT) & 15;
}

/* Independent of mmu/guest/walk.c. */
static enum walk_end walk_memory(unsigned int n, uint64_t gva, struct version *v)
{
	const struct paging *p = &vm->vcpu[n].paging;
	uint64_t frame = g.root[n];

	v->writable = v->user = true;
	for (int level = LEVELS; level >= 1; level--) {
		unsigned int page = oracle_place_of(frame);
		uint64_t e;

		v->table[LEVELS - level].frame = (uint16_t)frame;
		v->table[LEVELS - level].page = (uint16_t)page;
		if (page == ORACLE_NOWHERE)
			return AT_NO_TABLE;
		e = host_peek_at(page, index_at(gva, level) * 8);
		if (!(e & GPTE_P))
			return AT_NOT_PRESENT;
		if (e & reserved_bits(p, e, level))
			return AT_RESERVED_BIT;
		narrow(v, e);
		frame = (e & 0xffffffffff000ull) >> PAGE_SHIFT;
		if (level == 2 && (e & GPTE_PS)) {
			v->large = true;
			frame += index_at(gva, 1);
			break;
		}
	}
	v->frame = (uint16_t)frame;
	return AT_PAGE;
}

/* --- histories --------------------------------------------------------------------- */

static void order(bool write)
{
	sched_point(memory_is_shared(g.word));
	if (write)
		memory_note_write(g.word);
	else
		memory_note_read(g.word);
}

static void note_version(struct history *h, const struct version *v)
{
	if (h->n && !memcmp(&h->version[h->n - 1], v, sizeof(*v)))
		return;
	if (h->n == MAX_VERSIONS) {
		sched_fail(VERDICT_WRONG, "the guest changes its tables too often");
		return;
	}
	h->usable |= 1u << h->n;
	h->version[h->n++] = *v;
}

static void note_versions(void)
{
	for (unsigned int n = 0; n < vm->n_vcpus; n++) {
		for (unsigned int i = 0; i < g.n_watched; i++) {
			struct version v;

			/* With the bytes between its fields. */
			memset(&v, 0, sizeof(v));
			v.end = walk_memory(n, g.gva[i], &v);
			note_version(&g.history[n][i], &v);
		}
	}
}

/*
 * Between a write to a tracked table and the end of its instruction another vCPU could
 * have seen the write, and its own INVLPG not have helped: so it is in KVM too.  What the
 * writer does after the instruction tells nobody too early, so only then it counts.
 */
static void note_complete(void)
{
	for (unsigned int n = 0; n < vm->n_vcpus && !g.n_open; n++)
		for (unsigned int i = 0; i < g.n_watched; i++)
			g.history[n][i].complete = g.history[n][i].n - 1;
}

/* What was complete is current; all before it are not cached any more. */
static void forget_all(unsigned int n)
{
	for (unsigned int i = 0; i < g.n_watched; i++)
		g.history[n][i].usable &= ~0u << g.history[n][i].complete;
}

/* The page at @gva; of a large one, as the guest had it then, also what is beside it. */
static void forget_page(unsigned int n, uint64_t gva)
{
	for (unsigned int i = 0; i < g.n_watched; i++) {
		struct history *h = &g.history[n][i];

		if ((g.gva[i] ^ gva) >> (PAGE_SHIFT + 9))
			continue;
		for (unsigned int k = 0; k < h->complete; k++)
			if (h->version[k].large || g.gva[i] == (gva & PAGE_MASK))
				h->usable &= ~(1u << k);
	}
}

/* --- the guest and what it does ------------------------------------------------------ */

static void map(unsigned int table, unsigned int i, uint64_t gfn, uint64_t bits)
{
	host_poke(table, i * 8, gpte(gfn, bits));
}

void guest_make(struct machine_options o, uint32_t slot_flags)
{
	if (o.host_pages < GUEST_PAGES)
		o.host_pages = GUEST_PAGES;
	machine_make(o);
	memset(&g, 0, sizeof(g));
	g.word = arena_alloc(8);
	client_set_slot(0, 0, o.host_pages, 0, slot_flags);
	map(GUEST_PML4, 0, GUEST_PDPT, GPTE_ALL);
	map(GUEST_PML4_2, 0, GUEST_PDPT, GPTE_ALL);
	map(GUEST_PDPT, 0, GUEST_PD, GPTE_ALL);
	map(GUEST_PD, 0, GUEST_PT, GPTE_ALL);
	for (unsigned int i = 0; i < GUEST_PAGES; i++)
		map(GUEST_PT, i, i, GPTE_ALL);
	for (unsigned int n = 0; n < vm->n_vcpus; n++) {
		struct paging *p = &vm->vcpu[n].paging;

		p->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
		p->cr4 = X86_CR4_PAE;
		p->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX;
		p->cr3 = (uint64_t)GUEST_PML4 << PAGE_SHIFT;
		g.root[n] = GUEST_PML4;
	}
}

void guest_watch(uint64_t gva)
{
	g.gva[g.n_watched++] = gva & PAGE_MASK;
	note_versions();
	note_complete();
}

void guest_set_gpte(unsigned int n, uint64_t table, unsigned int i, uint64_t value)
{
	timeline_note("guest writes gpte %u of the table in gfn %llu: gfn %llu%s%s", i,
		      (unsigned long long)table,
		      (unsigned long long)((value & 0xffffffffff000ull) >> PAGE_SHIFT),
		      value & GPTE_P ? "" : " not present", value & GPTE_W ? "" : " read-only");
	vcpu_access(n, (table << PAGE_SHIFT) + i * 8, true, &value);
}

void guest_invlpg(unsigned int n, uint64_t gva)
{
	struct mmu_vcpu *v = &vm->vcpu[n];

	vcpu_boundary(n);
	timeline_note("INVLPG %#llx", (unsigned long long)gva);
	order(false);
	forget_page(n, gva);
	mmu_invlpg(v, gva_of(gva));
	timeline_note("INVLPG done");
}

/* Its registers have changed: the TLB is empty. */
static void paging_changes(unsigned int n)
{
	order(true);
	g.root[n] = vm->vcpu[n].paging.cr3 >> PAGE_SHIFT;
	note_versions();
	note_complete();
	forget_all(n);
}

void guest_load_cr3(unsigned int n, uint64_t root)
{
	vcpu_boundary(n);
	timeline_note("MOV CR3, gfn %llu", (unsigned long long)root);
	vm->vcpu[n].paging.cr3 = root << PAGE_SHIFT;
	paging_changes(n);
	mmu_paging_changed(&vm->vcpu[n]);
}

void guest_set_sregs_cr3(unsigned int n, uint64_t root)
{
	timeline_note("KVM_SET_SREGS: CR3 is gfn %llu", (unsigned long long)root);
	vm->vcpu[n].paging.cr3 = root << PAGE_SHIFT;
	paging_changes(n);
	if (rule(MODEL_SREGS_FLUSH))
		mmu_paging_changed(&vm->vcpu[n]);
}

/* As in the processor: cpu/state/mode.c, cpu/state/control.c, cpu/insn/system.c. */

void guest_set_cpl(unsigned int n, unsigned int cpl)
{
	timeline_note("CPL %u", cpl);
	vm->vcpu[n].paging.cpl = (uint8_t)cpl;
	tlb_set_privilege(&vm->vcpu[n]);
}

void guest_set_ac(unsigned int n, bool ac)
{
	timeline_note(ac ? "STAC" : "CLAC");
	vm->vcpu[n].paging.ac = ac;
	tlb_set_privilege(&vm->vcpu[n]);
}

void guest_set_cr0(unsigned int n, uint64_t cr0)
{
	vcpu_boundary(n);
	timeline_note("MOV CR0, %#llx", (unsigned long long)cr0);
	vm->vcpu[n].paging.cr0 = cr0;
	paging_changes(n);
	mmu_paging_changed(&vm->vcpu[n]);
}

void guest_set_cr4(unsigned int n, uint64_t cr4)
{
	vcpu_boundary(n);
	timeline_note("MOV CR4, %#llx", (unsigned long long)cr4);
	vm->vcpu[n].paging.cr4 = cr4;
	paging_changes(n);
	mmu_paging_changed(&vm->vcpu[n]);
}

void guest_set_pkru(unsigned int n, uint32_t pkru)
{
	vcpu_boundary(n);
	timeline_note("WRPKRU, %#x", pkru);
	vm->vcpu[n].paging.pkru = pkru;
	tlb_flush_all(&vm->vcpu[n]);
}

/* --- told by the machine ------------------------------------------------------------- */

void guest_begin_run(void)
{
	g.word = NULL;
	g.n_watched = 0;
}

/* In the step in which the guest's store takes place. */
void guest_memory_changed(void)
{
	if (!g.word || !g.n_watched)
		return;
	memory_note_write(g.word);
	g.n_open++;
	note_versions();
}

void guest_write_ends(void)
{
	if (!g.word || !g.n_watched)
		return;
	order(true);
	g.n_open--;
	note_complete();
}

/* In the call's own step: it orders all accesses.  Until it returns, what was current before may
 * still be so. */
void guest_slots_change(void)
{
	if (!g.word || !g.n_watched)
		return;
	memory_note_write(g.word);
	for (unsigned int n = 0; n < vm->n_vcpus && !g.n_changes; n++)
		for (unsigned int i = 0; i < g.n_watched; i++)
			g.history[n][i].before_change = g.history[n][i].n - 1;
	g.n_changes++;
	note_versions();
}

static bool uses_what_is_gone(const struct version *v)
{
	for (unsigned int i = 0; i < LEVELS; i++)
		if (v->table[i].frame && oracle_place_of(v->table[i].frame) != v->table[i].page)
			return true;
	return false;
}

/* What was read of a table that is gone is used no more, though the guest has not asked for
 * that. */
void guest_slots_changed(void)
{
	if (!g.word || !g.n_watched)
		return;
	memory_note_write(g.word);
	g.n_changes--;
	note_versions();
	note_complete();
	for (unsigned int n = 0; n < vm->n_vcpus; n++)
		for (unsigned int i = 0; i < g.n_watched; i++)
			for (unsigned int k = 0; k < g.history[n][i].n; k++)
				if (uses_what_is_gone(&g.history[n][i].version[k]))
					g.history[n][i].usable &= ~(1u << k);
}

/* --- the oracle ------------------------------------------------------------------ */

static struct history *history_of(unsigned int n, uint64_t gva)
{
	for (unsigned int i = 0; i < g.n_watched; i++)
		if (g.gva[i] == (gva & PAGE_MASK))
			return &g.history[n][i];
	return NULL;
}

void guest_access_begins(unsigned int n, uint64_t gva)
{
	struct history *h = history_of(n, gva);

	if (!h)
		return;
	order(false);
	h->at_begin = g.n_changes ? h->before_change : h->n - 1;
	h->usable_at_begin = h->usable;
}

static bool key_refuses(const struct paging *p, const struct version *v, enum access access)
{
	uint32_t two = p->pkru >> (2 * v->key) & 3;

	if (!(p->cr4 & X86_CR4_PKE) || !v->user || access == ACCESS_EXEC)
		return false;
	return (two & 1) || (access == ACCESS_WRITE && (two & 2) &&
			     (p->cpl == 3 || (p->cr0 & X86_CR0_WP)));
}

static bool rights_refuse(const struct paging *p, const struct version *v, enum access access)
{
	if (p->cpl == 3)
		return !v->user || (access == ACCESS_WRITE && !v->writable) ||
		       (access == ACCESS_EXEC && v->no_exec);
	if (access == ACCESS_EXEC)
		return v->no_exec || (v->user && (p->cr4 & X86_CR4_SMEP));
	if (v->user && (p->cr4 & X86_CR4_SMAP) && !p->ac)
		return true;
	return access == ACCESS_WRITE && !v->writable && (p->cr0 & X86_CR0_WP);
}

/* SDM 3A 4.6 and 4.7.  The error code of the page fault; -1: there is none. */
static int64_t refusal(const struct paging *p, const struct version *v, enum access access)
{
	uint32_t code = (access == ACCESS_WRITE ? PFERR_WRITE : 0) |
			(p->cpl == 3 ? PFERR_USER : 0) |
			(access == ACCESS_EXEC &&
			 ((p->efer & X86_EFER_NX) || (p->cr4 & X86_CR4_SMEP)) ? PFERR_FETCH : 0);

	if (v->end == AT_NOT_PRESENT)
		return code;
	if (v->end == AT_RESERVED_BIT)
		return code | PFERR_PRESENT | PFERR_RSVD;
	if (key_refuses(p, v, access))
		return code | PFERR_PRESENT | PFERR_PK;
	return rights_refuse(p, v, access) ? (int64_t)(code | PFERR_PRESENT) : -1;
}

struct seen {
	unsigned int n;
	uint64_t gva;
	enum access access;
	enum outcome outcome;
};

/* Would the processor have done this by version @v?  For MMIO also: what frame was it? */
static bool explains(const struct seen *s, const struct version *v)
{
	const struct paging *p = &vm->vcpu[s->n].paging;
	bool write = s->access == ACCESS_WRITE;
	int64_t refused;

	if (s->outcome == DONE_BAD_TABLES || v->end == AT_NO_TABLE)
		return s->outcome == DONE_BAD_TABLES && v->end == AT_NO_TABLE;
	refused = refusal(p, v, s->access);
	if (s->outcome == DONE_PAGE_FAULT)
		return refused == (int64_t)vm->last_error_code[s->n];
	if (refused >= 0)
		return false;
	if (s->outcome == DONE_MMIO)
		return vm->last_gpa[s->n] ==
			       ((uint64_t)v->frame << PAGE_SHIFT | (s->gva & PAGE_OFFSET_MASK)) &&
		       oracle_may_reach(s->n, v->frame, ORACLE_NOWHERE, write);
	return oracle_may_reach(s->n, v->frame, vm->last_page[s->n], write);
}

/* What ends before a page is not cached: it must have been so since the access began. */
static bool may_be_found(const struct history *h, unsigned int i)
{
	return i >= h->at_begin ||
	       (h->version[i].end == AT_PAGE && (h->usable_at_begin >> i & 1));
}

static bool is_explained(const struct seen *s, const struct history *h)
{
	for (unsigned int i = 0; i < h->n; i++)
		if (may_be_found(h, i) && explains(s, &h->version[i]))
			return true;
	return false;
}

static void complain(const struct seen *s)
{
	const char *did = s->access == ACCESS_WRITE ? "write to" :
			  s->access == ACCESS_READ  ? "read of" :
						      "fetch from";
	unsigned long long gva = s->gva;

	if (s->outcome == DONE_RAM)
		sched_fail(VERDICT_STALE_RIGHT,
			   "vCPU %u's %s gva %#llx went to hva page %u: the guest's tables, or the "
			   "slots, had said otherwise before its last INVLPG or load of CR3",
			   s->n, did, gva, vm->last_page[s->n]);
	else if (s->outcome == DONE_MMIO)
		sched_fail(VERDICT_MMIO_RAM,
			   "vCPU %u's %s gva %#llx became MMIO at %#llx: the guest's tables led to "
			   "memory, or elsewhere",
			   s->n, did, gva, (unsigned long long)vm->last_gpa[s->n]);
	else if (s->outcome == DONE_PAGE_FAULT)
		sched_fail(VERDICT_STALE_RIGHT,
			   "vCPU %u's %s gva %#llx ended in a page fault, error code %#x, that the "
			   "guest's tables gave no reason for",
			   s->n, did, gva, vm->last_error_code[s->n]);
	else
		sched_fail(VERDICT_WRONG,
			   "vCPU %u's %s gva %#llx found no memory where a guest table should be, "
			   "though there was some",
			   s->n, did, gva);
}

/* The rest, EFAULT and a full ring, is judged by the machine. */
void guest_judge(unsigned int n, uint64_t gva, enum access access, enum outcome outcome)
{
	const struct history *h = history_of(n, gva);
	const struct seen s = { n, gva, access, outcome };

	if (!h || outcome == DONE_EFAULT || outcome == DONE_RING_FULL)
		return;
	order(false);
	if (!is_explained(&s, h))
		complain(&s);
}

static enum outcome watched(unsigned int n, uint64_t gva, bool write)
{
	uint64_t value = 0;

	if (!history_of(n, gva))
		sched_fail(VERDICT_WRONG, "gva %#llx is not watched", (unsigned long long)gva);
	return write ? vcpu_write(n, gva) : vcpu_access(n, gva, false, &value);
}

enum outcome guest_read_watched(unsigned int n, uint64_t gva)
{
	return watched(n, gva, false);
}

enum outcome guest_write_watched(unsigned int n, uint64_t gva)
{
	return watched(n, gva, true);
}
