/* SPDX-License-Identifier: MIT */
/*
 * tests/unit/shadow_fixture.h - a guest whose tables are shadowed: its tables in any
 * format, and its accesses to memory, to its own tables too, as a processor makes them.
 *
 * No vCPU is in guest mode between two calls, so that one thread can be all of them.
 */
#ifndef UNIT_SHADOW_FIXTURE_H
#define UNIT_SHADOW_FIXTURE_H

#include "vm_fixture.h"

#include "mmu/guest/x86.h"
#include "mmu/shadow/internal.h"
#include "mmu/tlb/request.h"
#include "mmu/tlb/tlb.h"

#define N_PAGES 2048u		/* four times 2 MiB */
#define PAGES(n) ((uint64_t)(n) << PAGE_SHIFT)
#define M2 512ull
#define HOLE PAGES(0x1000)	/* a gpa without a slot */
#define TABLES PAGES(1024)	/* tables of the guest, the root first */
#define ALL (GPTE_P | GPTE_W | GPTE_U)
#define DONE (ALL | GPTE_A | GPTE_D)

/* Of the running test.  Slot 0: frame n is page n of the memory. */
extern struct test_vm *vm;
extern struct mmu_vcpu *v0, *v1;
extern struct shadow *shadow;
extern _Thread_local struct mmu_result result; /* of the thread's last access */

enum guest_format { UNPAGED, GUEST_32BIT, GUEST_PAE, GUEST_4LEVEL, GUEST_5LEVEL };
extern enum guest_format format;
extern uint64_t linear; /* where the guest has all of its memory, for itself */
extern uint64_t a_page; /* an address that nothing is at yet */

int shadow_setup(void **state);
int direct_setup(void **state);		/* the same guest on direct tables; shadow is NULL */
int shadow_teardown(void **state);
#define shadow_test(f) cmocka_unit_test_setup_teardown(f, shadow_setup, shadow_teardown)

/* Of the tables of either kind. */
void assert_valid(void);

/* --- the guest's tables ------------------------------------------------------ */

/* Every vCPU uses empty tables at TABLES, but for the linear map. */
void paging(enum guest_format f);
uint64_t new_table(void);
unsigned int entry_bytes(void);
uint64_t read_gpa(uint64_t gpa, unsigned int bytes);
void write_gpa(uint64_t gpa, unsigned int bytes, uint64_t value);	/* past the MMU */
/* Where the guest's entry for @gva is.  Tables are made on the way, past the MMU. */
uint64_t entry_gpa(uint64_t gva, int level);
uint64_t entry(uint64_t gva, int level);
/* Past the MMU: for what is not shadowed yet. */
void map(uint64_t gva, int level, uint64_t value);
/* By the linear map: as the guest does it. */
void guest_map(struct mmu_vcpu *v, uint64_t gva, int level, uint64_t value);

/* --- what a vCPU does -------------------------------------------------------- */

void load_cr3(struct mmu_vcpu *v, uint64_t cr3);
void invlpg(struct mmu_vcpu *v, uint64_t gva);
void set_privilege(struct mmu_vcpu *v, uint8_t cpl, bool ac);
/* Through the TLB, or what it takes to fill it. */
enum mmu_verdict guest_access(struct mmu_vcpu *v, uint64_t gva, enum access access);
enum mmu_verdict guest_store(struct mmu_vcpu *v, uint64_t gva, unsigned int bytes, uint64_t value);
/* Past the TLB: what the tables say now. */
enum mmu_verdict guest_translate(struct mmu_vcpu *v, uint64_t gva, enum access access);
/* Would the TLB answer, after all requests were serviced? */
bool tlb_hits(struct mmu_vcpu *v, uint64_t gva, enum access access);

/* The next access finds this page of the memory; or its verdict. */
void assert_page(struct mmu_vcpu *v, uint64_t gva, enum access access, uint64_t page);
void assert_verdict(struct mmu_vcpu *v, uint64_t gva, enum access access, enum mmu_verdict verdict);
void assert_guest_fault(struct mmu_vcpu *v, uint64_t gva, enum access access, uint32_t error_code);

/* --- what the shadow tables say ---------------------------------------------- */

struct shadow_entry {
	struct shadow_page *sp;		/* the lowest on the way; NULL: no root */
	unsigned int i;
	spte_t spte;
};

struct shadow_entry shadow_entry(const struct mmu_vcpu *v, uint64_t gva);
/* The shadow page of @level on the way. */
struct shadow_page *shadow_page_at(const struct mmu_vcpu *v, uint64_t gva, int level);
unsigned int n_shadow_pages(uint64_t gfn);
bool is_tracked(uint64_t gfn);
bool is_unsync(const struct mmu_vcpu *v, uint64_t gva);

#endif
