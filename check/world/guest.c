/* SPDX-License-Identifier: MIT */
#include "check/world/guest.h"

#include <string.h>

#include "check/engine/arena.h"
#include "check/engine/memory.h"
#include "check/engine/timeline.h"
#include "mmu/tlb/request.h"

#define MAX_WATCHED 4
#define MAX_VERSIONS 24

/* What a walk gives: 0 is "not present", else frame + 1 and whether writing is allowed. */
struct version {
	uint32_t frame;
	bool writable;
};

static struct {
	unsigned int n_watched;
	uint64_t gva[MAX_WATCHED];
	uint64_t root[MACHINE_VCPUS];
	struct history {
		unsigned int n;
		struct version version[MAX_VERSIONS];
		unsigned int oldest;	/* that the vCPU may still have cached */
		unsigned int complete;	/* the last whose writing instruction has ended */
	} history[MACHINE_VCPUS][MAX_WATCHED];
	unsigned int n_open;		/* instructions that write a table, not ended */
	void *word;			/* orders all of it */
} g;

static uint64_t entry_at(uint64_t table, uint64_t gva, int level)
{
	return host_peek_at((unsigned int)table, gva_index(gva_of(gva), level) * 8);
}

/* Independent of mmu/guest/walk.c: four levels, P and W only. */
static struct version walk_memory(uint64_t root, uint64_t gva)
{
	uint64_t table = root;
	bool writable = true;

	for (int level = 4; level >= 1; level--) {
		uint64_t e = entry_at(table, gva, level);

		if (!(e & GPTE_P))
			return (struct version){ 0 };
		writable &= !!(e & GPTE_W);
		table = (e & 0xffffffffff000ull) >> PAGE_SHIFT;
		if (level == 2 && (e & GPTE_PS)) {
			table += gva_index(gva_of(gva), 1);
			break;
		}
	}
	return (struct version){ (uint32_t)table + 1, writable };
}

static void order(bool write)
{
	sched_point(memory_is_shared(g.word));
	if (write)
		memory_note_write(g.word);
	else
		memory_note_read(g.word);
}

static void note_versions(void)
{
	for (unsigned int n = 0; n < vm->n_vcpus; n++) {
		for (unsigned int i = 0; i < g.n_watched; i++) {
			struct history *h = &g.history[n][i];
			struct version v = walk_memory(g.root[n], g.gva[i]);

			if (h->n && h->version[h->n - 1].frame == v.frame &&
			    h->version[h->n - 1].writable == v.writable)
				continue;
			if (h->n < MAX_VERSIONS)
				h->version[h->n++] = v;
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

static void forget_older(unsigned int n, uint64_t gva, bool all)
{
	for (unsigned int i = 0; i < g.n_watched; i++)
		if (all || g.gva[i] == (gva & PAGE_MASK))
			g.history[n][i].oldest = MAX(g.history[n][i].oldest,
						     g.history[n][i].complete);
}

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
		      (unsigned long long)table, (unsigned long long)(value >> PAGE_SHIFT),
		      value & GPTE_P ? "" : " not present", value & GPTE_W ? "" : " read-only");
	vcpu_access(n, (table << PAGE_SHIFT) + i * 8, true, &value);
}

/* Called by the machine in the step in which the guest's store takes place. */
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

void guest_invlpg(unsigned int n, uint64_t gva)
{
	struct mmu_vcpu *v = &vm->vcpu[n];

	vcpu_boundary(n);
	timeline_note("INVLPG %#llx", (unsigned long long)gva);
	order(false);
	forget_older(n, gva, false);
	mmu_invlpg(v, gva_of(gva));
	timeline_note("INVLPG done");
}

static void set_root(unsigned int n, uint64_t root)
{
	vm->vcpu[n].paging.cr3 = root << PAGE_SHIFT;
	order(true);
	g.root[n] = root;
	note_versions();
	note_complete();
	forget_older(n, 0, true);
}

void guest_load_cr3(unsigned int n, uint64_t root)
{
	vcpu_boundary(n);
	timeline_note("MOV CR3, gfn %llu", (unsigned long long)root);
	set_root(n, root);
	mmu_paging_changed(&vm->vcpu[n]);
}

void guest_set_sregs_cr3(unsigned int n, uint64_t root)
{
	timeline_note("KVM_SET_SREGS: CR3 is gfn %llu", (unsigned long long)root);
	set_root(n, root);
	if (rule(MODEL_SREGS_FLUSH))
		mmu_paging_changed(&vm->vcpu[n]);
}

/* --- the oracle ------------------------------------------------------------------ */

static struct history *history_of(unsigned int n, uint64_t gva)
{
	for (unsigned int i = 0; i < g.n_watched; i++)
		if (g.gva[i] == (gva & PAGE_MASK))
			return &g.history[n][i];
	sched_fail(VERDICT_WRONG, "gva %#llx is not watched", (unsigned long long)gva);
	return NULL;
}

static bool may_use(const struct history *h, uint32_t frame, bool write)
{
	for (unsigned int i = h->oldest; i < h->n; i++)
		if (h->version[i].frame == frame && (!write || h->version[i].writable))
			return true;
	return false;
}

/* True at some moment since version @from was current. */
static bool may_refuse(const struct history *h, unsigned int from, bool write)
{
	for (unsigned int i = h->oldest; i < h->n; i++) {
		if (write && h->version[i].frame && !h->version[i].writable)
			return true;
		if (i >= from && !h->version[i].frame)
			return true;
	}
	return false;
}

static enum outcome watched(unsigned int n, uint64_t gva, bool write)
{
	struct history *h = history_of(n, gva);
	enum outcome outcome;
	unsigned int from;
	uint64_t value = 0;

	vcpu_boundary(n);
	order(false);
	from = h->n - 1;
	outcome = write ? vcpu_write(n, gva) : vcpu_access(n, gva, false, &value);
	order(false);
	if (oracle_is_blind)
		return outcome;
	if (outcome == DONE_RAM && !may_use(h, vm->last_page[n] + 1, write))
		sched_fail(VERDICT_STALE_RIGHT,
			   "vCPU %u %s gva %#llx through gfn %u: the guest's tables had said "
			   "otherwise before its last INVLPG or load of CR3",
			   n, write ? "wrote to" : "read", (unsigned long long)gva,
			   vm->last_page[n]);
	if (outcome == DONE_PAGE_FAULT && !may_refuse(h, from, write))
		sched_fail(VERDICT_STALE_RIGHT,
			   "vCPU %u got a page fault at gva %#llx that the guest's tables gave no "
			   "reason for",
			   n, (unsigned long long)gva);
	return outcome;
}

enum outcome guest_read_watched(unsigned int n, uint64_t gva)
{
	return watched(n, gva, false);
}

enum outcome guest_write_watched(unsigned int n, uint64_t gva)
{
	return watched(n, gva, true);
}

void guest_begin_run(void)
{
	g.word = NULL;
	g.n_watched = 0;
}
