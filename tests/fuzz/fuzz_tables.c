/* SPDX-License-Identifier: MIT */
/*
 * tests/fuzz/fuzz_tables.c - any page tables, in any format, changed at any time.
 *
 * The same steps are done on two MMUs, one with direct tables and one with shadow
 * tables; every access must come to the same, and at the end so must all of memory,
 * the accessed and dirty bits in it included.  What was written since the last look
 * at the dirty log must be in the next.
 *
 * Memory is small and its first pages are most likely to be tables, so that tables
 * point at tables, at themselves and at nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <umbra/mmu.h>

#include "input.h"

#define PAGE 4096ul
#define N_PAGES 128u
#define N_TABLES 12u
#define BYTES (N_PAGES * PAGE)
#define MAX_STEPS 200
#define MAX_RETRIES 1000

#define CR0_PE (1u << 0)
#define CR0_WP (1u << 16)
#define CR0_PG (1u << 31)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_LA57 (1u << 12)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define CR4_PKE (1u << 22)
#define EFER_LMA (1u << 10)
#define EFER_NX (1u << 11)

struct side {
	struct umbra_mmu *mmu;
	struct umbra_vcpu *vcpu;
	uint8_t *memory;
	uint8_t *copy;		/* at the last look at the log; NULL: not logged */
};

struct world {
	struct side side[2];
	struct umbra_paging paging;
	struct input in;
	bool has_slot;
};

static void fail(const struct world *w, const char *what)
{
	fprintf(stderr, "%s (cr0 %#llx cr3 %#llx cr4 %#llx efer %#llx cpl %u)\n", what,
		(unsigned long long)w->paging.cr0, (unsigned long long)w->paging.cr3,
		(unsigned long long)w->paging.cr4, (unsigned long long)w->paging.efer,
		w->paging.cpl);
	abort();
}

static void must(const struct world *w, const char *what, int result)
{
	if (result)
		fail(w, what);
}

static uint8_t *map_memory(void)
{
	uint8_t *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		abort();
	return at;
}

static void set_slot(struct world *w, bool there, uint32_t flags)
{
	for (int i = 0; i < 2; i++) {
		struct umbra_slot slot = {
			.flags = flags,
			.bytes = there ? BYTES : 0,
			.memory = w->side[i].memory,
		};

		must(w, "umbra_mmu_set_slot", umbra_mmu_set_slot(w->side[i].mmu, &slot));
	}
	w->has_slot = there;
}

static void forget_log(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		free(w->side[i].copy);
		w->side[i].copy = NULL;
	}
}

static void set_up(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		struct umbra_mmu_config config = {
			.mode = i ? UMBRA_MMU_SHADOW : UMBRA_MMU_TDP,
			.physical_bits = 40,
			.flags = UMBRA_MMU_1G_PAGES,
		};

		w->side[i].memory = map_memory();
		must(w, "umbra_mmu_create", umbra_mmu_create(&config, &w->side[i].mmu));
		must(w, "umbra_vcpu_create",
		     umbra_vcpu_create(w->side[i].mmu, &w->side[i].vcpu));
	}
	set_slot(w, true, 0);
	umbra_mmu_set_page_limit(w->side[1].mmu, 64);
}

static void tear_down(struct world *w)
{
	forget_log(w);
	for (int i = 0; i < 2; i++) {
		umbra_vcpu_destroy(w->side[i].vcpu);
		umbra_mmu_destroy(w->side[i].mmu);
		munmap(w->side[i].memory, BYTES);
	}
}

static void apply_paging(struct world *w)
{
	for (int i = 0; i < 2; i++)
		umbra_vcpu_set_paging(w->side[i].vcpu, &w->paging);
}

static void step_paging(struct world *w)
{
	uint16_t bits = input16(&w->in);
	struct umbra_paging *p = &w->paging;

	*p = (struct umbra_paging){ .cr0 = CR0_PE };
	p->cr0 |= bits & 1 ? CR0_WP : 0;
	p->cr0 |= bits & 0xe ? CR0_PG : 0;
	p->cr4 |= bits & 0x10 ? CR4_SMEP : 0;
	p->cr4 |= bits & 0x20 ? CR4_SMAP : 0;
	p->cr4 |= bits & 0x40 ? CR4_PKE : 0;
	p->cr4 |= bits & 0x80 ? CR4_PSE : 0;
	p->efer |= bits & 0x100 ? EFER_NX : 0;
	p->cpl = bits & 0x200 ? 3 : 0;
	p->ac = bits & 0x400;
	p->cr3 = (input8(&w->in) % N_TABLES) * PAGE;
	switch (bits >> 12 & 3) {
	case 0:
		break;
	case 1:
		p->cr4 |= CR4_PAE;
		for (int i = 0; i < 4; i++)
			p->pdptr[i] = (input8(&w->in) % N_PAGES) * PAGE | (bits >> 14 & 1);
		break;
	case 2:
		p->cr4 |= CR4_PAE | CR4_LA57;
		p->efer |= EFER_LMA;
		break;
	default:
		p->cr4 |= CR4_PAE;
		p->efer |= EFER_LMA;
	}
	p->pkru = bits & 0x800 ? input32(&w->in) : 0;
	apply_paging(w);
}

/* An entry: rights and a frame, now and then whatever bits. */
static uint64_t make_entry(struct input *in)
{
	uint16_t flags = input16(in);
	uint64_t entry = (flags & 0x1ff) | 1;

	if ((flags >> 9 & 7) == 7)
		return input64(in);
	entry |= (uint64_t)(input8(in) % (N_PAGES + 8)) << 12;
	if (flags & 0x200)
		entry |= 1ull << 63;
	if (flags & 0x400)
		entry |= (uint64_t)(flags >> 12) << 59;
	/* Large pages must be aligned, most of the time. */
	if ((entry & 0x80) && !(flags & 0x800))
		entry &= ~0x1ff000ull;
	return entry;
}

/* Of a few addresses, those that differ in one index each. */
static uint64_t make_gva(struct world *w)
{
	uint16_t bits = input16(&w->in);
	uint64_t offset = input16(&w->in) & 0xfff, gva = 0;

	if (w->paging.efer & EFER_LMA) {
		gva |= (uint64_t)(bits & 1) << 39 | (uint64_t)(bits >> 1 & 1) << 30;
		gva |= (uint64_t)(bits >> 2 & 3) << 21 | (uint64_t)(bits >> 4 & 7) << 12;
		if (bits & 0x80)
			gva |= ~0ull << (w->paging.cr4 & CR4_LA57 ? 56 : 47);
	} else {
		gva |= (uint64_t)(bits & 3) << 30 | (uint64_t)(bits >> 2 & 3) << 21;
		gva |= (uint64_t)(bits >> 4 & 7) << 12;
	}
	return gva | offset;
}

static enum umbra_result access_once(struct umbra_vcpu *v, uint64_t gva, enum umbra_access how,
				     unsigned int bytes, uint64_t *value)
{
	switch (how) {
	case UMBRA_READ:
		return umbra_load(v, gva, bytes, value);
	case UMBRA_WRITE:
		return umbra_store(v, gva, bytes, *value);
	default:
		return umbra_fetch(v, gva, bytes, value);
	}
}

static enum umbra_result do_access(struct umbra_vcpu *v, uint64_t gva, enum umbra_access how,
				   unsigned int bytes, uint64_t *value)
{
	enum umbra_result result = UMBRA_RETRY;

	umbra_vcpu_enter(v);
	for (int i = 0; i < MAX_RETRIES && result == UMBRA_RETRY; i++) {
		umbra_vcpu_poll(v);
		result = access_once(v, gva, how, bytes, value);
	}
	umbra_vcpu_leave(v);
	return result;
}

static void compare_access(struct world *w, uint64_t gva, enum umbra_access how,
			   unsigned int bytes, uint64_t value)
{
	uint64_t values[2] = { value, value };
	const struct umbra_fault *f[2];
	enum umbra_result r[2];

	for (int i = 0; i < 2; i++) {
		r[i] = do_access(w->side[i].vcpu, gva, how, bytes, &values[i]);
		f[i] = umbra_vcpu_fault(w->side[i].vcpu);
	}
	if (r[0] != r[1]) {
		fprintf(stderr, "gva %#llx access %d: %d, %d\n", (unsigned long long)gva, how, r[0],
			r[1]);
		fail(w, "the two MMUs differ in a result");
	}
	if (r[0] == UMBRA_RETRY)
		fail(w, "an access makes no progress");
	if (r[0] == UMBRA_OK && values[0] != values[1])
		fail(w, "the two MMUs differ in a value");
	if (r[0] == UMBRA_GUEST_FAULT &&
	    (f[0]->error_code != f[1]->error_code || f[0]->gva != f[1]->gva))
		fail(w, "the two MMUs differ in a page fault");
	if (r[0] == UMBRA_MMIO && f[0]->gpa != f[1]->gpa)
		fail(w, "the two MMUs differ in an address");
}

static void step_access(struct world *w)
{
	uint8_t how = input8(&w->in);
	unsigned int bytes = 1u << (how >> 2 & 3);
	uint64_t gva = make_gva(w);

	compare_access(w, gva, (enum umbra_access)(how % 3), bytes, input32(&w->in));
	/* What it may have done to a table in use is made known to the TLBs. */
	if (how % 3 == UMBRA_WRITE)
		for (int i = 0; i < 2; i++)
			umbra_vcpu_flush(w->side[i].vcpu);
}

/* As a guest does before it turns paging on. */
static void step_table(struct world *w)
{
	struct umbra_paging flat = { .cr0 = CR0_PE };
	unsigned int page = input8(&w->in) % N_TABLES, index = input16(&w->in);
	uint64_t gpa = page * PAGE + (index & 0x1ff) % 8 * 8, value = make_entry(&w->in);
	bool narrow = !(w->paging.cr4 & CR4_PAE);

	/* The few indices that make_gva() uses, or any. */
	if (index & 0x8000)
		gpa = page * PAGE + (index & 0x1ff) * 8;
	for (int i = 0; i < 2; i++)
		umbra_vcpu_set_paging(w->side[i].vcpu, &flat);
	compare_access(w, narrow ? gpa / 2 & ~3ull : gpa, UMBRA_WRITE, narrow ? 4 : 8, value);
	apply_paging(w);
}

static void step_invlpg(struct world *w)
{
	uint64_t gva = make_gva(w);

	for (int i = 0; i < 2; i++) {
		umbra_vcpu_enter(w->side[i].vcpu);
		umbra_vcpu_invlpg(w->side[i].vcpu, gva);
		umbra_vcpu_leave(w->side[i].vcpu);
	}
}

static void step_memory_goes(struct world *w)
{
	unsigned int first = input8(&w->in) % N_PAGES, n = 1 + input8(&w->in) % 4;

	if (first + n > N_PAGES || w->side[0].copy)
		return;
	for (int i = 0; i < 2; i++) {
		struct umbra_invalidation inv;
		uint8_t *at = w->side[i].memory + first * PAGE;

		umbra_mmu_invalidate_begin(w->side[i].mmu, at, n * PAGE, &inv);
		if (madvise(at, n * PAGE, MADV_DONTNEED))
			abort();
		umbra_mmu_invalidate_end(&inv);
		/* Tables may have gone with it: the guest is told, as after a reset. */
		umbra_vcpu_flush(w->side[i].vcpu);
	}
	/* Shadow pages know nothing of what the host does to tables: nor does KVM. */
	set_slot(w, false, 0);
	set_slot(w, true, 0);
}

static void step_slot(struct world *w)
{
	uint8_t how = input8(&w->in);

	forget_log(w);
	if (w->has_slot)
		set_slot(w, false, 0);
	set_slot(w, true, how & 1 ? UMBRA_SLOT_LOG_DIRTY : 0);
	for (int i = 0; i < 2 && (how & 1); i++) {
		w->side[i].copy = malloc(BYTES);
		if (!w->side[i].copy)
			abort();
		memcpy(w->side[i].copy, w->side[i].memory, BYTES);
	}
}

static void step_harvest(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		uint64_t bitmap[N_PAGES / 64];
		struct side *s = &w->side[i];

		if (!s->copy)
			return;
		must(w, "umbra_mmu_get_dirty_log", umbra_mmu_get_dirty_log(s->mmu, 0, bitmap));
		for (unsigned int p = 0; p < N_PAGES; p++) {
			if (bitmap[p / 64] >> (p % 64) & 1)
				memcpy(s->copy + p * PAGE, s->memory + p * PAGE, PAGE);
			else if (memcmp(s->copy + p * PAGE, s->memory + p * PAGE, PAGE))
				fail(w, "a written page is not in the dirty log");
		}
	}
}

static void step(struct world *w)
{
	switch (input8(&w->in) % 16) {
	case 0:
	case 1:
		step_paging(w);
		break;
	case 2:
		step_invlpg(w);
		break;
	case 3:
		step_memory_goes(w);
		break;
	case 4:
		step_slot(w);
		break;
	case 5:
		step_harvest(w);
		break;
	case 6:
	case 7:
	case 8:
	case 9:
	case 10:
		step_table(w);
		break;
	default:
		step_access(w);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { .in = { data, size } };

	set_up(&w);
	step_paging(&w);
	for (int i = 0; i < MAX_STEPS && w.in.left; i++)
		step(&w);
	step_harvest(&w);
	if (memcmp(w.side[0].memory, w.side[1].memory, BYTES))
		fail(&w, "the two memories differ");
	tear_down(&w);
	return 0;
}
