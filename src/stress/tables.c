/* SPDX-License-Identifier: MIT */
/*
 * stress/tables.c - guests of umbra stress that change their page tables.
 *
 * If the guest has flushed, the result of an access through a changed entry follows from that
 * entry alone; if not, from any value that it has had since the last flush.
 */
#include "stress/stress.h"

#define MAX_LOOKS 8u

static uint64_t random_pte(struct guest *g, uint64_t page)
{
	uint64_t bits = stress_random(&g->w) % 4 ? PTE_P : 0;

	if (stress_random(&g->w) % 4)
		bits |= PTE_W;
	if (stress_random(&g->w) % 4 == 0)
		bits |= PTE_A;
	if (stress_random(&g->w) % 4 == 0)
		bits |= PTE_A | PTE_D;
	return page * PAGE | bits;
}

/* One of the two pages that only entry @number, of all such entries, leads to. */
static uint64_t exclusive_page(struct guest *g, uint64_t number)
{
	return EXCLUSIVE + (number * 2 + (stress_random(&g->w) & 1)) % (VOLATILE - EXCLUSIVE);
}

static uint64_t page_of(uint64_t pte)
{
	return (pte & PTE_FRAME) / PAGE;
}

/* The result of an access through one entry. */
static bool explains(uint64_t pte, bool write, enum umbra_result result, uint32_t code,
		     uint64_t page)
{
	uint32_t write_bit = write ? UMBRA_PF_WRITE : 0;

	if (!(pte & PTE_P))
		return result == UMBRA_GUEST_FAULT && code == write_bit;
	if (write && !(pte & PTE_W))
		return result == UMBRA_GUEST_FAULT && code == (UMBRA_PF_PRESENT | write_bit);
	return result == UMBRA_OK && (write || page == page_of(pte));
}

/* The target of a write whose page is not known in advance: a word of each vCPU's own, which no
 * other reads. */
#define LAZY_WORD(g) (LAZY_WORDS + (g)->id)

struct outcome {
	bool write;
	enum umbra_result result;
	uint32_t code;
	uint64_t page;		/* that the first word says: of a read */
};

static struct outcome try_access(struct guest *g, uint64_t gva, bool write, uint64_t value)
{
	struct outcome o = { .write = write };

	o.result = write ? stress_store(g, gva, value) : stress_load(g, gva, &value);
	o.page = (value >> 40) & 0xffff;
	o.code = umbra_vcpu_fault(g->vcpu)->error_code;
	stress_event(&g->w, write ? "churn store" : "churn load", gva, (uint64_t)o.result);
	return o;
}

static void stale(struct guest *g, uint64_t gva, uint64_t pte, const struct outcome *o)
{
	if (stress_stopped(g->w.s))
		return;
	stress_hit(&g->w, ORACLE_STALE,
		   "gva %#llx, entry %#llx: %s has result %d, error code %#x, page %llu",
		   (unsigned long long)gva, (unsigned long long)pte, o->write ? "write" : "read",
		   (int)o->result, o->code, (unsigned long long)o->page);
}

static void must_be_marked(struct guest *g, uint64_t table, unsigned int i, uint64_t bits)
{
	uint64_t pte = stress_load_sure(g, stress_physical(g, table + i * 8));

	if ((pte & bits) != bits && !stress_stopped(g->w.s))
		stress_hit(&g->w, ORACLE_STALE, "entry %#llx was used and is not marked accessed",
			   (unsigned long long)pte);
}

/* One access through an entry that all TLBs hold. */
static void check_read(struct guest *g, uint64_t gva, uint64_t pte)
{
	struct outcome o = try_access(g, gva, false, 0);

	if (!explains(pte, false, o.result, o.code, o.page))
		stale(g, gva, pte, &o);
}

static void check_write(struct guest *g, uint64_t gva, uint64_t pte)
{
	unsigned int i = (unsigned int)(stress_random(&g->w) % OWN_WORDS);
	unsigned int word = FIRST_OWN + g->id * OWN_WORDS + i;
	uint64_t page = page_of(pte), value = stress_tag(page, word, g->count[page][i] + 1);
	struct outcome o = try_access(g, gva + word * 8, true, value);

	if (!explains(pte, true, o.result, o.code, page))
		stale(g, gva, pte, &o);
	if (o.result != UMBRA_OK)
		return;
	g->count[page][i]++;
	if (stress_load_sure(g, stress_physical(g, page * PAGE + word * 8)) != value)
		stale(g, gva, pte, &o);
}

static void put_pte(struct guest *g, uint64_t table, unsigned int i, uint64_t pte)
{
	stress_event(&g->w, "entry", table + i * 8, pte);
	stress_store_sure(g, stress_physical(g, table + i * 8), pte);
}

static void collapse(struct maybe *m)
{
	m->pte[0] = m->pte[m->n - 1];
	m->n = 1;
}

/* A full flush: entries changed lazily now have their current value only. */
static void flush_all(struct guest *g)
{
	umbra_vcpu_set_cr3(g->vcpu, g->root[stress_random(&g->w) & 1]);
	stress_event(&g->w, "load cr3", 0, 0);
	for (unsigned int i = 0; i < N_CHURN; i++)
		collapse(&g->lazy[i]);
}

static void flush(struct guest *g, uint64_t gva)
{
	if (stress_random(&g->w) % 4 == 0) {
		flush_all(g);
		return;
	}
	stress_event(&g->w, "invlpg", gva, 0);
	umbra_vcpu_invlpg(g->vcpu, gva);
}

/* The two tables of the window swap places. */
static void swap_tables(struct guest *g)
{
	g->which = !g->which;
	put_pte(g, g->directory, W_CHURN, g->churn_table[g->which] | PTE_P | PTE_W);
	flush_all(g);
}

void stress_op_tables(struct guest *g)
{
	unsigned int i = (unsigned int)(stress_random(&g->w) % N_CHURN);
	uint64_t gva = WINDOW(W_CHURN) + i * (uint64_t)PAGE, *pte;

	if (stress_random(&g->w) % 32 == 0)
		swap_tables(g);
	pte = &g->churn[g->which][i];
	if (stress_random(&g->w) % 4) {
		*pte = random_pte(g, stress_random_page(&g->w, KIND_STEADY));
		put_pte(g, g->churn_table[g->which], i, *pte);
		flush(g, gva);
	}
	if (stress_random(&g->w) & 1)
		check_read(g, gva, *pte);
	check_write(g, gva, *pte);
	check_read(g, gva, *pte);
	if ((*pte & (PTE_P | PTE_W)) == (PTE_P | PTE_W))
		must_be_marked(g, g->churn_table[g->which], i, PTE_A | PTE_D);
}

/* --- lazily -------------------------------------------------------------------- */

static bool took_write(struct guest *g, uint64_t pte, uint64_t value)
{
	uint64_t gpa = (pte & PTE_FRAME) + LAZY_WORD(g) * 8;

	return stress_load_sure(g, stress_physical(g, gpa)) == value;
}

static bool lazily_explained(struct guest *g, const struct maybe *m, const struct outcome *o,
			     uint64_t value)
{
	for (unsigned int i = 0; i < m->n; i++) {
		/* Entries that are not present are not cached: only the current value counts. */
		if (!(m->pte[i] & PTE_P) && i + 1 < m->n)
			continue;
		if (explains(m->pte[i], o->write, o->result, o->code, o->page) &&
		    (!o->write || o->result != UMBRA_OK || took_write(g, m->pte[i], value)))
			return true;
	}
	return false;
}

/* Few are used often. */
static unsigned int random_entry(struct guest *g)
{
	uint64_t r = stress_random(&g->w);

	return (unsigned int)((r >> 1) % (r & 1 ? N_HOT_ENTRIES : N_CHURN));
}

static void change_lazily(struct guest *g, unsigned int i, uint64_t page)
{
	uint64_t gva = WINDOW(W_LAZY) + i * (uint64_t)PAGE, pte = random_pte(g, page);
	struct maybe *m = &g->lazy[i];

	if (m->n == MAX_MAYBE || stress_random(&g->w) % 8 == 0) {
		umbra_vcpu_invlpg(g->vcpu, gva);
		stress_event(&g->w, "lazy invlpg", gva, 0);
		collapse(m);
	}
	m->pte[m->n++] = pte;
	put_pte(g, g->lazy_table, i, pte);
}

/*
 * Even entries are read, and lead to pages that nothing else maps: when the guest drops one,
 * nothing maps the page any more.  Odd ones are also written.
 */
void stress_op_lazy(struct guest *g)
{
	unsigned int i = random_entry(g);
	uint64_t gva = WINDOW(W_LAZY) + i * (uint64_t)PAGE;
	bool write = (i & 1) && (stress_random(&g->w) & 1);
	struct maybe *m = &g->lazy[i];

	if (stress_random(&g->w) % 2)
		change_lazily(g, i, i & 1 ? stress_random_page(&g->w, KIND_STEADY) :
				    exclusive_page(g, N_CHURN + g->id * N_CHURN / 2 + i / 2));
	for (uint64_t n = 1 + stress_random(&g->w) % MAX_LOOKS; n; n--) {
		struct outcome o = try_access(g, gva + (write ? LAZY_WORD(g) * 8 : 0), write,
					      ++g->n_lazy);

		if (!lazily_explained(g, m, &o, g->n_lazy))
			stale(g, gva, m->pte[m->n - 1], &o);
	}
}

/* --- one table for all ---------------------------------------------------------- */

/* Guests do not take every interrupt at once; the sender waits. */
void stress_serve_ipi(struct guest *g, enum when when)
{
	uint64_t wanted = load_shared(&g->ipi_wanted);

	if (wanted == g->ipi_done || (when == NOW_AND_THEN && stress_random(&g->w) % 64))
		return;
	umbra_vcpu_invlpg(g->vcpu, load_shared(&g->ipi_gva));
	stress_event(&g->w, "ipi served", wanted, 0);
	store_shared(&g->ipi_done, wanted);
}

/* Sender and receivers hold the shared lock, or wait for it and service interrupts meanwhile. */
static bool shoot_down(struct guest *g, uint64_t gva)
{
	struct stress *s = g->w.s;

	for (unsigned int i = 0; i < s->n_vcpus; i++) {
		struct guest *other = &s->guests[i];

		if (other == g)
			continue;
		store_shared(&other->ipi_gva, gva);
		store_shared(&other->ipi_wanted, load_shared(&other->ipi_wanted) + 1);
		umbra_vcpu_kick(other->vcpu);
	}
	for (unsigned int i = 0; i < s->n_vcpus; i++) {
		struct guest *other = &s->guests[i];

		while (other != g &&
		       load_shared(&other->ipi_done) != load_shared(&other->ipi_wanted))
			if (!stress_breathe(g))
				return false;
	}
	return true;
}

static void change_shared(struct guest *g, unsigned int i)
{
	struct stress *s = g->w.s;
	struct shared_entry *e = &s->shared[i];
	uint64_t gva = WINDOW(W_SHARED) + i * (uint64_t)PAGE, pte;

	pte = random_pte(g, exclusive_page(g, i));
	if (!stress_lock(g, WORD_SHARED_LOCK))
		return;
	store_shared(&e->seq, load_shared(&e->seq) + 1);
	put_pte(g, s->shared_table, i, pte);
	umbra_vcpu_invlpg(g->vcpu, gva);
	if (shoot_down(g, gva)) {
		store_shared(&e->pte, pte);
		store_shared(&e->seq, load_shared(&e->seq) + 1);
	}
	stress_unlock(g, WORD_SHARED_LOCK);
}

void stress_op_shared(struct guest *g)
{
	unsigned int i = random_entry(g);
	struct shared_entry *e = &g->w.s->shared[i];
	uint64_t gva = WINDOW(W_SHARED) + i * (uint64_t)PAGE, seq, pte;
	struct outcome o;

	/* Rarely: a flush of one page often flushes everything. */
	if (stress_random(&g->w) % 256 == 0)
		change_shared(g, i);
	for (uint64_t n = 1 + stress_random(&g->w) % MAX_LOOKS; n; n--) {
		seq = load_shared(&e->seq);
		pte = load_shared(&e->pte);
		o = try_access(g, gva, false, 0);
		if (!(seq & 1) && load_shared(&e->seq) == seq &&
		    !explains(pte, false, o.result, o.code, o.page))
			stale(g, gva, pte, &o);
	}
}
