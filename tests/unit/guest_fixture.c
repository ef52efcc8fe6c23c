/* SPDX-License-Identifier: MIT */
#include "guest_fixture.h"

#include <string.h>

struct test_vm *vm;
struct mmu_vcpu *vcpu;
struct mmu_result result;
uint64_t next_table;

int guest_setup(void **state UNUSED)
{
	vm = vm_make(2, N_PAGES);
	vcpu = &vm->vcpu[0];
	result = (struct mmu_result){ 0 };
	vm_slot(vm, 0, 0, 0, N_PAGES, 0);
	guest_enter(vcpu);
	return 0;
}

int guest_teardown(void **state UNUSED)
{
	if (guest_mode(vcpu))
		guest_leave(vcpu);
	hook_clear(HOOK_RDLOCK);
	hook_clear(HOOK_SYNCHRONIZE);
	vm_free(vm);
	return 0;
}

void slot_again(uint32_t id, uint64_t gpa, uint64_t first, uint64_t pages, uint32_t flags)
{
	OUTSIDE(vm_slot(vm, id, gpa, first, pages, flags));
}

void delete_slot(uint32_t id)
{
	OUTSIDE(assert_int_equal(set_slot(&vm->slots, id, 0, 0, 0, 0), 0));
}

void assert_ram(uint64_t gva, enum access access, uint64_t gpa, uint64_t page)
{
	assert_int_equal(mmu_translate(vcpu, gva_of(gva), access, &result), MMU_OK);
	assert_int_equal(result.gpa.raw, gpa);
	assert_ptr_equal(result.host, vm->memory + PAGES(page) + (gpa & PAGE_OFFSET_MASK));
}

void assert_mmio(uint64_t gva, enum access access, uint64_t gpa)
{
	result.gpa = gpa_of(~0ull);
	assert_int_equal(mmu_translate(vcpu, gva_of(gva), access, &result), MMU_MMIO);
	assert_int_equal(result.gpa.raw, gpa);
}

void assert_guest_fault(uint64_t gva, enum access access, uint32_t error_code)
{
	assert_int_equal(mmu_translate(vcpu, gva_of(gva), access, &result), MMU_GUEST_FAULT);
	assert_int_equal(result.error_code, error_code);
}

uint64_t *entry_at(uint64_t table, uint64_t gva, int level)
{
	return (uint64_t *)(vm->memory + table) + (gva >> (12 + 9 * (level - 1)) & 511);
}

uint64_t *guest_entry(uint64_t gva, int level)
{
	uint64_t table = TABLES;

	for (int l = 4; l > level; l--) {
		uint64_t *e = entry_at(table, gva, l);

		if (!*e) {
			*e = next_table | ALL;
			next_table += PAGE_SIZE;
		}
		table = *e & ~0xfffull;
	}
	return entry_at(table, gva, level);
}

void guest_map(uint64_t gva, uint64_t gpa, uint64_t bits)
{
	*guest_entry(gva, 1) = gpa | bits;
}

void paging_on(void)
{
	next_table = TABLES + PAGE_SIZE;
	memset(vm->memory + TABLES, 0, PAGES(N_PAGES) - TABLES);
	vcpu->paging = (struct paging){
		.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP, .cr3 = TABLES,
		.cr4 = X86_CR4_PAE, .efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX,
		.maxphyaddr = 48, .has_1g_pages = true,
	};
	mmu_paging_changed(vcpu);
}

void set_privilege(uint8_t cpl, bool ac)
{
	vcpu->paging.cpl = cpl;
	vcpu->paging.ac = ac;
	tlb_set_privilege(vcpu);
}
