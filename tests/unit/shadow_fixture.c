/* SPDX-License-Identifier: MIT */
#include "shadow_fixture.h"

#include <string.h>

#include "base/guarded.h"
#include "mmu/tdp/internal.h"

struct test_vm *vm;
struct mmu_vcpu *v0, *v1;
struct shadow *shadow;
_Thread_local struct mmu_result result;
enum guest_format format;
uint64_t linear, a_page;

static uint64_t next_table;

static int setup(enum mmu_mode mode)
{
	vm_mode = mode;
	vm = vm_make_sim(2, N_PAGES);
	v0 = &vm->vcpu[0];
	v1 = &vm->vcpu[1];
	shadow = vm->mmu.shadow;
	result = (struct mmu_result){ 0 };
	format = UNPAGED;
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	return 0;
}

int shadow_setup(void **state UNUSED)
{
	return setup(MMU_SHADOW);
}

int direct_setup(void **state UNUSED)
{
	return setup(MMU_TDP);
}

int shadow_teardown(void **state UNUSED)
{
	for (enum hook_point point = 0; point < N_HOOKS; point++)
		hook_clear(point);
	assert_valid();
	vm_free(vm);
	return 0;
}

void assert_valid(void)
{
	const char *wrong = shadow ? shadow_find_fault(&vm->mmu) : NULL;

	assert_true(shadow || tdp_is_valid(&vm->mmu));
	if (wrong)
		fail_msg("not so: %s", wrong);
}

/* --- the guest's tables ------------------------------------------------------ */

static int top_level(void)
{
	static const int top[] = { 0, 2, 2, 4, 5 };

	return top[format];
}

unsigned int entry_bytes(void)
{
	return format == GUEST_32BIT ? 4 : 8;
}

uint64_t read_gpa(uint64_t gpa, unsigned int bytes)
{
	uint64_t value = 0;

	memcpy(&value, vm->memory + gpa, bytes);
	return value;
}

void write_gpa(uint64_t gpa, unsigned int bytes, uint64_t value)
{
	memcpy(vm->memory + gpa, &value, bytes);
}

uint64_t new_table(void)
{
	uint64_t table = next_table;

	next_table += PAGE_SIZE;
	memset(vm->memory + table, 0, PAGE_SIZE);
	return table;
}

static uint64_t table_of(const struct paging *p, uint64_t gva)
{
	return (format == GUEST_PAE ? p->pdptr[gva >> 30 & 3] : p->cr3) & ~0xfffull;
}

uint64_t entry_gpa(uint64_t gva, int level)
{
	int bits = format == GUEST_32BIT ? 10 : 9;
	uint64_t table = table_of(&v0->paging, gva);

	for (int at = top_level();; at--) {
		uint64_t i = gva >> (12 + bits * (at - 1)) & ((1u << bits) - 1);
		uint64_t e = table + i * entry_bytes();

		if (at == level)
			return e;
		if (!read_gpa(e, entry_bytes()))
			write_gpa(e, entry_bytes(), new_table() | ALL | GPTE_A);
		table = read_gpa(e, entry_bytes()) & 0xffffffffff000ull;
	}
}

uint64_t entry(uint64_t gva, int level)
{
	return read_gpa(entry_gpa(gva, level), entry_bytes());
}

void map(uint64_t gva, int level, uint64_t value)
{
	write_gpa(entry_gpa(gva, level), entry_bytes(), value);
}

void guest_map(struct mmu_vcpu *v, uint64_t gva, int level, uint64_t value)
{
	assert_int_equal(guest_store(v, linear + entry_gpa(gva, level), entry_bytes(), value),
			 MMU_OK);
}

static struct paging registers(void)
{
	static const uint64_t cr4[] = {
		[GUEST_32BIT] = X86_CR4_PSE,
		[GUEST_PAE] = X86_CR4_PAE,
		[GUEST_4LEVEL] = X86_CR4_PAE,
		[GUEST_5LEVEL] = X86_CR4_PAE | X86_CR4_LA57,
	};
	struct paging p = {
		.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP, .cr3 = new_table(),
		.cr4 = cr4[format],
		.efer = format >= GUEST_4LEVEL ? X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX :
						 X86_EFER_NX,
		.maxphyaddr = 48, .has_1g_pages = true,
	};

	for (int i = 0; format == GUEST_PAE && i < 4; i++)
		p.pdptr[i] = new_table() | GPTE_P;
	return p;
}

void paging(enum guest_format f)
{
	struct paging p;

	format = f;
	next_table = TABLES;
	p = registers();
	for (unsigned int i = 0; i < vm->n_vcpus; i++) {
		vm->vcpu[i].paging = p;
		mmu_paging_changed(&vm->vcpu[i]);
	}
	linear = f >= GUEST_4LEVEL ? 0xffff888000000000 : 0xc0000000;
	a_page = f >= GUEST_4LEVEL ? 0x7f1234567000 : 0x12345000;
	for (uint64_t gpa = 0; gpa < PAGES(N_PAGES); gpa += PAGE_SIZE)
		map(linear + gpa, 1, gpa | (DONE & ~GPTE_U));
}

/* --- what a vCPU does -------------------------------------------------------- */

void load_cr3(struct mmu_vcpu *v, uint64_t cr3)
{
	v->paging.cr3 = cr3;
	mmu_paging_changed(v);
}

void invlpg(struct mmu_vcpu *v, uint64_t gva)
{
	guest_enter(v);
	mmu_invlpg(v, gva_of(gva));
	guest_leave(v);
}

void set_privilege(struct mmu_vcpu *v, uint8_t cpl, bool ac)
{
	v->paging.cpl = cpl;
	v->paging.ac = ac;
	tlb_set_privilege(v);
}

static void *by_tlb(struct mmu_vcpu *v, uint64_t gva, enum access access)
{
	switch (access) {
	case ACCESS_READ:
		return tlb_read(v, gva_of(gva), 1);
	case ACCESS_WRITE:
		return tlb_write(v, gva_of(gva), 1);
	default:
		return tlb_exec(v, gva_of(gva));
	}
}

static enum mmu_verdict find(struct mmu_vcpu *v, uint64_t gva, enum access access)
{
	result = (struct mmu_result){ .host = by_tlb(v, gva, access), .gpa = gpa_of(~0ull) };
	return result.host ? MMU_OK : mmu_translate(v, gva_of(gva), access, &result);
}

enum mmu_verdict guest_access(struct mmu_vcpu *v, uint64_t gva, enum access access)
{
	enum mmu_verdict verdict;

	guest_enter(v);
	verdict = find(v, gva, access);
	guest_leave(v);
	return verdict;
}

enum mmu_verdict guest_store(struct mmu_vcpu *v, uint64_t gva, unsigned int bytes, uint64_t value)
{
	enum mmu_verdict verdict;

	guest_enter(v);
	verdict = find(v, gva, ACCESS_WRITE);
	if (verdict == MMU_OK && result.tracked)
		assert_true(mmu_track_write(v, result.gpa, bytes));
	if (verdict == MMU_OK)
		assert_true(guarded_copy(result.host, &value, bytes));
	mmu_tracked_writes(v);
	guest_leave(v);
	return verdict;
}

enum mmu_verdict guest_translate(struct mmu_vcpu *v, uint64_t gva, enum access access)
{
	enum mmu_verdict verdict;

	guest_enter(v);
	result = (struct mmu_result){ .gpa = gpa_of(~0ull) };
	verdict = mmu_translate(v, gva_of(gva), access, &result);
	guest_leave(v);
	return verdict;
}

bool tlb_hits(struct mmu_vcpu *v, uint64_t gva, enum access access)
{
	bool hits;

	guest_enter(v);
	hits = by_tlb(v, gva, access);
	guest_leave(v);
	return hits;
}

void assert_page(struct mmu_vcpu *v, uint64_t gva, enum access access, uint64_t page)
{
	assert_int_equal(guest_access(v, gva, access), MMU_OK);
	assert_ptr_equal(result.host, vm->memory + PAGES(page) + (gva & PAGE_OFFSET_MASK));
}

void assert_verdict(struct mmu_vcpu *v, uint64_t gva, enum access access, enum mmu_verdict verdict)
{
	assert_int_equal(guest_access(v, gva, access), verdict);
}

void assert_guest_fault(struct mmu_vcpu *v, uint64_t gva, enum access access, uint32_t error_code)
{
	assert_int_equal(guest_access(v, gva, access), MMU_GUEST_FAULT);
	assert_int_equal(result.error_code, error_code);
}

/* --- what the shadow tables say ---------------------------------------------- */

struct shadow_entry shadow_entry(const struct mmu_vcpu *v, uint64_t gva)
{
	struct shadow_page *sp = shadow_current_root(v, gva_of(gva));
	struct shadow_entry e = { 0 };

	while (sp) {
		e.sp = sp;
		e.i = gva_index(gva_of(gva), sp->table.level);
		e.spte = sptep_read(&sp->table.spte[e.i]);
		sp = spte_is_link(e.spte) ? shadow_page_of(spte_link(e.spte)) : NULL;
	}
	return e;
}

struct shadow_page *shadow_page_at(const struct mmu_vcpu *v, uint64_t gva, int level)
{
	struct shadow_page *sp = shadow_current_root(v, gva_of(gva));

	while (sp && sp->table.level > level) {
		spte_t spte = sptep_read(&sp->table.spte[gva_index(gva_of(gva), sp->table.level)]);

		sp = spte_is_link(spte) ? shadow_page_of(spte_link(spte)) : NULL;
	}
	return sp;
}

unsigned int n_shadow_pages(uint64_t gfn)
{
	struct shadow_page *sp;
	unsigned int n = 0;

	cds_list_for_each_entry(sp, &shadow->active, node)
		n += sp->gfn.raw == gfn && !sp->role.direct;
	return n;
}

bool is_tracked(uint64_t gfn)
{
	const struct frame *frame = frames_find(&shadow->frames, gfn_of(gfn), LEVEL_4K);

	return frame && frame->n_tables;
}

bool is_unsync(const struct mmu_vcpu *v, uint64_t gva)
{
	const struct shadow_page *sp = shadow_page_at(v, gva, LEVEL_4K);

	return sp && atomic32_load_relaxed(&sp->unsync);
}
