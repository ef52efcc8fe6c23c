/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/mmu/test_walk.c - the walk of the guest's tables against another, naive
 * one, that was written from the manual (SDM 3A, chapter 4) and shares no code.
 */
#include "vm_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "mmu/guest/walk.h"
#include "mmu/guest/x86.h"
#include "mmu/tdp/internal.h"
#include "mmu/tlb/flush.h"
#include "mmu/tlb/request.h"

#define N_PAGES 16u	/* of guest memory: tables that may point at each other */

struct world {
	struct run run;
	struct test_vm *vm;
	struct mmu_vcpu *v;
	uint8_t *copy;		/* what memory should look like */
	uint64_t n_verdicts[WALK_RACED + 1];
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->vm = vm_make(1, N_PAGES);
	w->v = &w->vm->vcpu[0];
	w->copy = calloc(N_PAGES, PAGE_SIZE);
	assert_non_null(w->copy);
	vm_slot(w->vm, 0, 0, 0, N_PAGES, 0);
	for (uint64_t gpa = 0; gpa < N_PAGES << PAGE_SHIFT; gpa += PAGE_SIZE)
		assert_int_equal(tdp_fault(w->v, gpa_of(gpa), ACCESS_WRITE), FAULT_FIXED);
	guest_enter(w->v);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	guest_leave(w->v);
	vm_free(w->vm);
	free(w->copy);
	free(w);
	return 0;
}

/* --- the naive walker ---------------------------------------------------- */

struct naive {
	const struct paging *p;
	uint8_t *memory;	/* the copy: it sets A and D here */
	uint64_t gva;
	enum access access;
	/* the way */
	uint64_t used[5];
	int n_used, entry_bytes;
	/* the outcome */
	enum walk_verdict verdict;
	uint32_t error_code;
	uint64_t gpa, missing;
	int page_shift;
	bool user, write, execute_disable, dirty;
	unsigned int key;
};

static uint64_t field(uint64_t v, int high, int low)
{
	return v >> low & ((1ull << (high - low + 1)) - 1);
}

static bool naive_read(struct naive *n, uint64_t gpa, uint64_t *entry)
{
	uint32_t narrow;

	n->used[n->n_used++] = gpa;
	if (gpa >= (uint64_t)N_PAGES << PAGE_SHIFT) {
		n->verdict = WALK_MISS;
		n->missing = gpa;
		return false;
	}
	if (n->entry_bytes == 8) {
		memcpy(entry, n->memory + gpa, 8);
	} else {
		memcpy(&narrow, n->memory + gpa, 4);
		*entry = narrow;
	}
	return true;
}

/* 4.7: what is said of the access itself, whatever was wrong. */
static bool naive_fault(struct naive *n, uint32_t bits)
{
	const struct paging *p = n->p;
	bool smep = p->cr4 & X86_CR4_SMEP, pae = p->cr4 & X86_CR4_PAE;

	n->verdict = WALK_FAULT;
	n->error_code = bits;
	if (n->access == ACCESS_WRITE)
		n->error_code |= 1 << 1;
	if (p->cpl == 3)
		n->error_code |= 1 << 2;
	if (n->access == ACCESS_EXEC && (smep || (pae && (p->efer & X86_EFER_NX))))
		n->error_code |= 1 << 4;
	return false;
}

/* 4.3: 32-bit paging. */
static bool naive_32(struct naive *n)
{
	const struct paging *p = n->p;
	int m = p->maxphyaddr < 40 ? p->maxphyaddr : 40;
	uint64_t pde, pte;

	n->entry_bytes = 4;
	if (!naive_read(n, (p->cr3 & 0xfffff000) | field(n->gva, 31, 22) << 2, &pde))
		return false;
	if (!(pde & 1))
		return naive_fault(n, 0);
	n->write = pde >> 1 & 1;
	n->user = pde >> 2 & 1;
	if ((p->cr4 & X86_CR4_PSE) && (pde >> 7 & 1)) {
		/* Table 4-4: bits 21:(M-19) are reserved. */
		for (int bit = m - 19; bit <= 21; bit++)
			if (pde >> bit & 1)
				return naive_fault(n, 1 | 1 << 3);
		n->gpa = field(pde, 20, 13) << 32 | (pde & 0xffc00000) | field(n->gva, 21, 0);
		n->page_shift = 22;
		n->dirty = pde >> 6 & 1;
		return true;
	}
	if (!naive_read(n, (pde & 0xfffff000) | field(n->gva, 21, 12) << 2, &pte))
		return false;
	if (!(pte & 1))
		return naive_fault(n, 0);
	n->write &= pte >> 1 & 1;
	n->user &= pte >> 2 & 1;
	n->gpa = (pte & 0xfffff000) | field(n->gva, 11, 0);
	n->page_shift = 12;
	n->dirty = pte >> 6 & 1;
	return true;
}

static bool any_set(uint64_t v, int high, int low)
{
	return high >= low && field(v, high, low);
}

/* One entry of 8 bytes that covers 2^shift bytes; *is_page if it maps one. */
static bool naive_entry_64(struct naive *n, uint64_t table, int shift, bool four_level,
			   bool *is_page, uint64_t *address)
{
	const struct paging *p = n->p;
	bool nxe = p->efer & X86_EFER_NX, ps, reserved;
	uint64_t e;

	if (!naive_read(n, table | field(n->gva, shift + 8, shift) << 3, &e))
		return false;
	if (!(e & 1))
		return naive_fault(n, 0);
	ps = shift > 12 && (e >> 7 & 1);
	*is_page = shift == 12 || (ps && (shift == 21 || (shift == 30 && p->has_1g_pages)));

	/* Tables 4-9 to 4-11 and 4-15 to 4-20. */
	reserved = any_set(e, four_level ? 51 : 62, p->maxphyaddr);
	reserved |= !nxe && e >> 63;
	reserved |= ps && !*is_page;
	reserved |= ps && *is_page && any_set(e, shift - 1, 13);
	if (reserved)
		return naive_fault(n, 1 | 1 << 3);

	n->write &= e >> 1 & 1;
	n->user &= e >> 2 & 1;
	n->execute_disable |= nxe && e >> 63;
	n->dirty = e >> 6 & 1;
	n->key = (unsigned int)field(e, 62, 59);
	*address = field(e, p->maxphyaddr - 1, 12) << 12;
	if (*is_page) {
		n->page_shift = shift;
		n->gpa = (*address >> shift << shift) | field(n->gva, shift - 1, 0);
	}
	return true;
}

static bool naive_64(struct naive *n, uint64_t table, int top_shift, bool four_level)
{
	bool is_page = false;

	n->entry_bytes = 8;
	n->write = n->user = true;
	for (int shift = top_shift; !is_page; shift -= 9)
		if (!naive_entry_64(n, table, shift, four_level, &is_page, &table))
			return false;
	return true;
}

/* 4.4.1: the four registers have no rights of their own. */
static bool naive_pae(struct naive *n)
{
	uint64_t pdpte = n->p->pdptr[field(n->gva, 31, 30)];

	if (!(pdpte & 1))
		return naive_fault(n, 0);
	return naive_64(n, field(pdpte, n->p->maxphyaddr - 1, 12) << 12, 21, false);
}

/* 4.6.1 */
static bool naive_rights(const struct naive *n, enum access access)
{
	const struct paging *p = n->p;
	bool wp = p->cr0 & X86_CR0_WP, smap = p->cr4 & X86_CR4_SMAP, smep = p->cr4 & X86_CR4_SMEP;

	if (p->cpl == 3) {
		if (!n->user)
			return false;
		if (access == ACCESS_WRITE)
			return n->write;
		return access == ACCESS_READ || !n->execute_disable;
	}
	if (access == ACCESS_EXEC)
		return !n->execute_disable && !(n->user && smep);
	if (n->user && smap && !p->ac)
		return false;
	return access == ACCESS_READ || n->write || !wp;
}

/* 4.6.2, and the PK flag in 4.7, which knows nothing of the other rights. */
static bool naive_key_refuses(const struct naive *n, enum access access)
{
	const struct paging *p = n->p;
	bool ad = p->pkru >> (2 * n->key) & 1, wd = p->pkru >> (2 * n->key + 1) & 1;

	if (!(p->efer & X86_EFER_LMA) || !(p->cr4 & X86_CR4_PKE))
		return false;
	if (access == ACCESS_EXEC || !n->user)
		return false;
	return ad || (wd && access == ACCESS_WRITE && ((p->cr0 & X86_CR0_WP) || p->cpl == 3));
}

/* 4.8 */
static void naive_mark(struct naive *n)
{
	for (int i = 0; i < n->n_used; i++)
		n->memory[n->used[i]] |= 1 << 5;
	if (n->access == ACCESS_WRITE) {
		n->memory[n->used[n->n_used - 1]] |= 1 << 6;
		n->dirty = true;
	}
}

static bool naive_tables(struct naive *n)
{
	const struct paging *p = n->p;
	uint64_t table = field(p->cr3, p->maxphyaddr - 1, 12) << 12;

	if (!(p->cr4 & X86_CR4_PAE))
		return naive_32(n);
	if (!(p->efer & X86_EFER_LMA))
		return naive_pae(n);
	return naive_64(n, table, p->cr4 & X86_CR4_LA57 ? 48 : 39, true);
}

static void naive_walk(struct naive *n)
{
	bool refused;

	n->verdict = WALK_OK;
	if (!(n->p->cr0 & X86_CR0_PG)) {
		n->gpa = n->gva;
		n->user = n->write = n->dirty = true;
		n->page_shift = 12;
		return;
	}
	if (!naive_tables(n))
		return;
	refused = naive_key_refuses(n, n->access);
	if (refused || !naive_rights(n, n->access))
		naive_fault(n, refused ? 1 | 1 << 5 : 1);
	else
		naive_mark(n);
}

/* May a TLB write through what this access has found? */
static bool naive_writable(const struct naive *n)
{
	if (!(n->p->cr0 & X86_CR0_PG))
		return true;
	return n->dirty && naive_rights(n, ACCESS_WRITE) && !naive_key_refuses(n, ACCESS_WRITE);
}

/* --- comparing ------------------------------------------------------------ */

static void compare_entries(struct world *w, const struct naive *n)
{
	for (int i = 0; i < n->n_used; i++) {
		uint64_t gpa = n->used[i];

		if (gpa < (uint64_t)N_PAGES << PAGE_SHIFT)
			run_assert(&w->run, !memcmp(w->vm->memory + gpa, w->copy + gpa,
						    (size_t)n->entry_bytes));
	}
}

static void walk_and_compare(struct world *w, uint64_t gva, enum access access)
{
	struct naive n = { .p = &w->v->paging, .memory = w->copy, .gva = gva, .access = access };
	struct walk walk = { .gva = gva_of(gva), .access = access };
	enum walk_verdict verdict = walk_guest(w->v, &walk);

	naive_walk(&n);
	run_assert(&w->run, verdict == n.verdict);
	if (verdict == WALK_FAULT)
		run_assert(&w->run, walk.error_code == n.error_code);
	if (verdict == WALK_MISS)
		run_assert(&w->run, walk.missing.raw == n.missing &&
				    walk.missing_access == ACCESS_READ);
	if (verdict == WALK_OK) {
		run_assert(&w->run, walk.gpa.raw == n.gpa);
		run_assert(&w->run, (walk.level > 1) == (n.page_shift > 12));
		run_assert(&w->run, walk.writable == naive_writable(&n));
	}
	compare_entries(w, &n);
	w->n_verdicts[verdict]++;
}

/* --- random tables -------------------------------------------------------- */

static uint64_t random_frame(struct run *r)
{
	return run_chance(r, 98) ? run_below(r, N_PAGES) : N_PAGES + run_below(r, 1 << 19);
}

/* Mostly present and permissive: so that walks get somewhere. */
static uint64_t random_entry(struct run *r, int bytes)
{
	uint64_t bits = run_next(r), e = random_frame(r) << PAGE_SHIFT;

	e |= (bits & 0xf) ? GPTE_P : 0;
	e |= (bits >> 4 & 7) ? GPTE_W : 0;
	e |= (bits >> 7 & 7) ? GPTE_U : 0;
	e |= bits & (GPTE_A | GPTE_D) << 20 ? GPTE_A : 0;
	e |= (bits >> 30 & 1) ? GPTE_D : 0;
	e |= (bits >> 31 & 7) ? 0 : GPTE_PS;
	e |= (bits >> 34 & 0x1f) == 0 ? 1ull << (8 + (bits >> 40) % 14) : 0;
	if (bytes == 4)
		return (uint32_t)e;
	e |= (bits >> 48 & 0xf) ? 0 : GPTE_NX;
	e |= (bits >> 52 & 0xf) << GPTE_PKEY_SHIFT;
	e |= (bits >> 56 & 0x1f) == 0 ? 1ull << (20 + run_below(r, 39)) : 0;
	return e;
}

static void random_memory(struct world *w)
{
	bool wide = w->v->paging.cr4 & X86_CR4_PAE;
	size_t bytes = N_PAGES << PAGE_SHIFT;

	for (size_t at = 0; at < bytes; at += wide ? 8 : 4) {
		uint64_t e = random_entry(&w->run, wide ? 8 : 4);

		memcpy(w->copy + at, &e, wide ? 8 : 4);
	}
	memcpy(w->vm->memory, w->copy, bytes);
}

static uint64_t maybe(struct run *r, unsigned int percent, uint64_t bit)
{
	return run_chance(r, percent) ? bit : 0;
}

static void random_privilege(struct world *w)
{
	struct paging *p = &w->v->paging;
	struct run *r = &w->run;

	p->cpl = run_chance(r, 50) ? 3 : (uint8_t)run_below(r, 3);
	p->ac = run_chance(r, 50);
	p->pkru = run_chance(r, 60) ? 0 : (uint32_t)run_next(r) & (uint32_t)run_next(r);
	p->cr0 = (p->cr0 & ~X86_CR0_WP) | maybe(r, 60, X86_CR0_WP);
}

static void random_paging(struct world *w)
{
	static const uint8_t widths[] = { 32, 36, 38, 39, 40, 41, 46, 48, 52 };
	struct paging *p = &w->v->paging;
	struct run *r = &w->run;

	*p = (struct paging){
		.cr0 = X86_CR0_PE | maybe(r, 98, X86_CR0_PG),
		.cr3 = random_frame(r) << PAGE_SHIFT | (run_next(r) & 0xfff),
		.cr4 = maybe(r, 80, X86_CR4_PSE) | maybe(r, 75, X86_CR4_PAE) |
		       maybe(r, 50, X86_CR4_SMEP) | maybe(r, 50, X86_CR4_SMAP) |
		       maybe(r, 50, X86_CR4_PKE) | maybe(r, 30, X86_CR4_LA57),
		.efer = maybe(r, 70, X86_EFER_LMA) | maybe(r, 80, X86_EFER_NX),
		.maxphyaddr = widths[run_below(r, ARRAY_SIZE(widths))],
		.has_1g_pages = run_chance(r, 70),
	};
	for (int i = 0; i < 4; i++)
		p->pdptr[i] = random_frame(r) << PAGE_SHIFT | maybe(r, 90, 1) |
			      (run_next(r) & 0xe18);
}

static uint64_t random_gva(struct world *w)
{
	const struct paging *p = &w->v->paging;
	uint64_t gva = run_next(&w->run);

	if (!(p->cr0 & X86_CR0_PG) || !(p->efer & X86_EFER_LMA) || !(p->cr4 & X86_CR4_PAE))
		return (uint32_t)gva;
	/* Canonical. */
	return (uint64_t)((int64_t)(gva << 7) >> (p->cr4 & X86_CR4_LA57 ? 7 : 16));
}

#define N_WORLDS STEPS(20000)
#define WALKS_EACH 64

static void walks_of_random_tables_agree_with_the_manual(void **state)
{
	struct world *w = *state;
	uint64_t n = 0;

	run_begin(&w->run, 61);
	for (; w->run.step < N_WORLDS; w->run.step++) {
		random_paging(w);
		random_memory(w);
		for (int i = 0; i < WALKS_EACH; i++, n++) {
			if (i % 8 == 0)
				random_privilege(w);
			walk_and_compare(w, random_gva(w), (enum access)run_below(&w->run, 3));
		}
		run_assert(&w->run, !memcmp(w->vm->memory, w->copy, N_PAGES << PAGE_SHIFT));
	}
	assert_true(n >= STEPS(1000000));
	/* The tables were neither too good nor too bad. */
	assert_true(w->n_verdicts[WALK_OK] > n / 8);
	assert_true(w->n_verdicts[WALK_FAULT] > n / 8);
	assert_true(w->n_verdicts[WALK_MISS] > n / 100);
}

/* --- single claims --------------------------------------------------------- */

static void put64(struct world *w, uint64_t gpa, uint64_t entry)
{
	memcpy(w->vm->memory + gpa, &entry, 8);
}

static uint64_t get64(struct world *w, uint64_t gpa)
{
	uint64_t entry;

	memcpy(&entry, w->vm->memory + gpa, 8);
	return entry;
}

static void put32(struct world *w, uint64_t gpa, uint32_t entry)
{
	memcpy(w->vm->memory + gpa, &entry, 4);
}

#define ALL (GPTE_P | GPTE_W | GPTE_U)

/* Four levels at 0x1000, 0x2000, 0x3000, 0x4000; gva 0 is gpa 0x5000. */
static void four_levels(struct world *w)
{
	w->v->paging = (struct paging){
		.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP, .cr3 = 0x1000, .cr4 = X86_CR4_PAE,
		.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX,
		.maxphyaddr = 46, .has_1g_pages = true, .cpl = 3,
	};
	memset(w->vm->memory, 0, N_PAGES << PAGE_SHIFT);
	for (uint64_t gpa = 0x1000; gpa <= 0x4000; gpa += 0x1000)
		put64(w, gpa, (gpa + 0x1000) | ALL);
}

static enum walk_verdict walk_at(struct world *w, struct walk *walk, uint64_t gva,
				 enum access access)
{
	*walk = (struct walk){ .gva = gva_of(gva), .access = access };
	return walk_guest(w->v, walk);
}

static void bit_21_of_a_4m_page_is_reserved_however_wide_the_addresses(void **state)
{
	static const uint8_t widths[] = { 36, 40, 41, 46, 52 };
	struct world *w = *state;
	struct walk walk;

	for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
		w->v->paging = (struct paging){ .cr0 = X86_CR0_PE | X86_CR0_PG,
						.cr4 = X86_CR4_PSE, .maxphyaddr = widths[i] };
		put32(w, 0, 1 << 21 | GPTE_PS | ALL);
		assert_int_equal(walk_at(w, &walk, 5, ACCESS_READ), WALK_FAULT);
		assert_int_equal(walk.error_code, PFERR_PRESENT | PFERR_RSVD);
		put32(w, 0, 3 << 13 | GPTE_PS | ALL);
		assert_int_equal(walk_at(w, &walk, 5, ACCESS_READ), WALK_OK);
		assert_true(walk.gpa.raw == (3ull << 32 | 5));
	}
}

/* The flag says that the key would have refused, too. */
static void a_refused_key_is_reported_beside_other_refusals(void **state)
{
	struct world *w = *state;
	struct walk walk;

	four_levels(w);
	w->v->paging.cr4 |= X86_CR4_PKE;
	w->v->paging.pkru = 1;
	put64(w, 0x4000, 0x5000 | GPTE_P | GPTE_U);
	assert_int_equal(walk_at(w, &walk, 0, ACCESS_WRITE), WALK_FAULT);
	assert_int_equal(walk.error_code, PFERR_PRESENT | PFERR_WRITE | PFERR_USER | PFERR_PK);
	assert_int_equal(walk_at(w, &walk, 0, ACCESS_READ), WALK_FAULT);
	assert_int_equal(walk.error_code, PFERR_PRESENT | PFERR_USER | PFERR_PK);
	/* Fetching does not ask the key. */
	put64(w, 0x4000, 0x5000 | ALL | GPTE_NX);
	assert_int_equal(walk_at(w, &walk, 0, ACCESS_EXEC), WALK_FAULT);
	assert_int_equal(walk.error_code, PFERR_PRESENT | PFERR_USER | PFERR_FETCH);
}

static void a_refused_access_marks_no_entry(void **state)
{
	struct world *w = *state;
	struct walk walk;

	four_levels(w);
	put64(w, 0x4000, 0x5000 | GPTE_P | GPTE_U);
	assert_int_equal(walk_at(w, &walk, 0, ACCESS_WRITE), WALK_FAULT);
	for (uint64_t gpa = 0x1000; gpa <= 0x4000; gpa += 0x1000)
		assert_int_equal(get64(w, gpa) & (GPTE_A | GPTE_D), 0);
}

static void only_a_write_marks_the_page_dirty_and_only_in_the_last_entry(void **state)
{
	struct world *w = *state;
	struct walk walk;

	four_levels(w);
	assert_int_equal(walk_at(w, &walk, 0, ACCESS_READ), WALK_OK);
	assert_false(walk.writable);
	for (uint64_t gpa = 0x1000; gpa <= 0x4000; gpa += 0x1000)
		assert_int_equal(get64(w, gpa) & (GPTE_A | GPTE_D), GPTE_A);
	assert_int_equal(walk_at(w, &walk, 0, ACCESS_WRITE), WALK_OK);
	assert_true(walk.writable);
	for (uint64_t gpa = 0x1000; gpa <= 0x3000; gpa += 0x1000)
		assert_int_equal(get64(w, gpa) & (GPTE_A | GPTE_D), GPTE_A);
	assert_int_equal(get64(w, 0x4000) & (GPTE_A | GPTE_D), GPTE_A | GPTE_D);
	/* A read finds it dirty: a write may go the same way. */
	assert_int_equal(walk_at(w, &walk, 0, ACCESS_READ), WALK_OK);
	assert_true(walk.writable);
}

static void a_table_that_points_at_itself_is_walked_like_any_other(void **state)
{
	struct world *w = *state;
	struct walk walk;
	uint64_t gva = 0;

	four_levels(w);
	put64(w, 0x1000 + 8 * 7, 0x1000 | ALL);
	for (int shift = 12; shift <= 39; shift += 9)
		gva |= 7ull << shift;
	assert_int_equal(walk_at(w, &walk, gva | 0x38, ACCESS_WRITE), WALK_OK);
	assert_int_equal(walk.gpa.raw, 0x1038);
	assert_int_equal(get64(w, 0x1038), 0x1000 | ALL | GPTE_A | GPTE_D);
}

static void what_the_tables_lack_is_named(void **state)
{
	struct world *w = *state;
	struct walk walk;

	four_levels(w);
	put64(w, 0x2000, 0x123456000 | ALL);
	assert_int_equal(walk_at(w, &walk, 0x1ff000, ACCESS_READ), WALK_MISS);
	assert_true(walk.missing.raw == 0x123456000 && walk.missing_access == ACCESS_READ &&
		    !walk.absent);
}

/* Ours does not give write access to the guest's table: A and D have to wait. */
static void a_mark_that_cannot_be_set_is_missed_for_writing(void **state)
{
	struct world *w = *state;
	struct walk walk;

	four_levels(w);
	guest_leave(w->v);
	tdp_write_protect(&w->vm->mmu, &(struct memslot){ .base_gfn = gfn_of(4), .npages = 1 },
			  LEVEL_4K);
	flush_settle(&w->vm->mmu);
	guest_enter(w->v);
	assert_int_equal(walk_at(w, &walk, 0, ACCESS_READ), WALK_MISS);
	assert_true(walk.missing.raw == 0x4000 && walk.missing_access == ACCESS_WRITE);
	guest_leave(w->v);
	assert_int_equal(tdp_fault(w->v, gpa_of(0x4000), ACCESS_WRITE), FAULT_FIXED);
	guest_enter(w->v);
	assert_int_equal(walk_at(w, &walk, 0, ACCESS_READ), WALK_OK);
}

/* --- a guest that changes its tables meanwhile ----------------------------- */

#define COUNTER (1ull << 52)	/* bits 52 to 58 are the guest's to use */

struct race {
	struct world *w;
	struct atomic32 stop;
	uint64_t n;
};

static void *count_in_the_entry(void *arg)
{
	struct race *race = arg;
	uint64_t *entry = (uint64_t *)(race->w->vm->memory + 0x4000);

	while (!atomic32_load_relaxed(&race->stop)) {
		uint64_t old = __atomic_load_n(entry, __ATOMIC_RELAXED), new;

		/* One more, and neither accessed nor dirty. */
		do
			new = ((old + COUNTER) & ~(GPTE_A | GPTE_D | 1ull << 59));
		while (!__atomic_compare_exchange_n(entry, &old, new, false, __ATOMIC_SEQ_CST,
						    __ATOMIC_RELAXED));
		race->n++;
	}
	return NULL;
}

static void no_change_of_the_guests_is_lost_to_a_mark(void **state)
{
	struct race race = { .w = *state };
	unsigned int n_ok = 0;
	struct walk walk;
	pthread_t t;

	four_levels(race.w);
	thread_start(&t, count_in_the_entry, &race);
	for (unsigned int i = 0; i < STEPS(400000); i++) {
		enum walk_verdict v;

		/* More to mark above: so that there is time between reading the
		 * last entry and marking it. */
		for (uint64_t gpa = 0x1000; gpa <= 0x3000; gpa += 0x1000)
			put64(race.w, gpa, (gpa + 0x1000) | ALL);
		v = walk_at(race.w, &walk, 0, i % 2 ? ACCESS_READ : ACCESS_WRITE);

		assert_true(v == WALK_OK || v == WALK_RACED);
		n_ok += v == WALK_OK;
	}
	atomic32_store_relaxed(&race.stop, 1);
	thread_end(t);
	assert_true(n_ok > 0);
	assert_int_equal(field(get64(race.w, 0x4000), 58, 52), race.n % 128);
}

#define walk_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		walk_test(walks_of_random_tables_agree_with_the_manual),
		walk_test(bit_21_of_a_4m_page_is_reserved_however_wide_the_addresses),
		walk_test(a_refused_key_is_reported_beside_other_refusals),
		walk_test(a_refused_access_marks_no_entry),
		walk_test(only_a_write_marks_the_page_dirty_and_only_in_the_last_entry),
		walk_test(a_table_that_points_at_itself_is_walked_like_any_other),
		walk_test(what_the_tables_lack_is_named),
		walk_test(a_mark_that_cannot_be_set_is_missed_for_writing),
		walk_test(no_change_of_the_guests_is_lost_to_a_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
