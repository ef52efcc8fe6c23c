/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/guest_fixture.h - a vCPU in guest mode, its translations, and the
 * page tables of its guest.
 */
#ifndef UNIT_GUEST_FIXTURE_H
#define UNIT_GUEST_FIXTURE_H

#include "vm_fixture.h"

#include "mmu/guest/x86.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"
#include "mmu/translate.h"

#define N_PAGES 256u
#define PAGES(n) ((uint64_t)(n) << PAGE_SHIFT)
#define HOLE PAGES(0x1000)	/* a gpa without a slot */
#define TABLES PAGES(128)	/* tables of the guest, the root first */
#define ALL (GPTE_P | GPTE_W | GPTE_U)
#define GVA 0x7f1234567000ull

/* Of the running test. */
extern struct test_vm *vm;
extern struct mmu_vcpu *vcpu;
extern struct mmu_result result;
extern uint64_t next_table;	/* of the guest's tables: where the next one will be */

/* Slot 0: frame n is page n of the memory.  In guest mode, paging off. */
int guest_setup(void **state);
int guest_teardown(void **state);

/* As the vCPU's thread does it: changes of the machine happen outside. */
#define OUTSIDE(call)              \
	do {                       \
		guest_leave(vcpu); \
		call;              \
		guest_enter(vcpu); \
	} while (0)

void slot_again(uint32_t id, uint64_t gpa, uint64_t first, uint64_t pages, uint32_t flags);
void delete_slot(uint32_t id);

/* The vCPU's next translation of @gva. */
void assert_ram(uint64_t gva, enum access access, uint64_t gpa, uint64_t page);
void assert_mmio(uint64_t gva, enum access access, uint64_t gpa);
void assert_guest_fault(uint64_t gva, enum access access, uint32_t error_code);

/* Empty tables, in long mode. */
void paging_on(void);
void set_privilege(uint8_t cpl, bool ac);
uint64_t *entry_at(uint64_t table, uint64_t gva, int level);
/* The guest's entry for @gva at @level; tables are made on the way. */
uint64_t *guest_entry(uint64_t gva, int level);
void guest_map(uint64_t gva, uint64_t gpa, uint64_t bits);

#endif
