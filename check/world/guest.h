/* SPDX-License-Identifier: MIT */
/*
 * check/world/guest.h - a guest with page tables (4 levels), and what it may see of them.
 *
 * Oracle O3 for translations: a vCPU may use what its processor could have cached.
 * Each address that is watched has a history of what a walk of the guest's tables, as they
 * lie in memory, would have given: frame, rights, protection key.  INVLPG and a load of CR3 end
 * the right to all of it that is older, INVLPG for all of a large page.  What is "not present" is
 * never cached: to see it, it must have been true during the access.  An access that is allowed
 * needs a version that allows it, a page fault one that gives its error code, and an exit to the
 * client one whose frame leads nowhere (check/world/oracle.h).
 *
 * Guest frames are host pages of the same number here, as long as a scenario does not say
 * otherwise, and the tables map all of them at the address equal to their own, so that the guest
 * can write to its tables.
 */
#ifndef CHECK_WORLD_GUEST_H
#define CHECK_WORLD_GUEST_H

#include "check/world/machine.h"
#include "mmu/guest/x86.h"

/* Frames of the tables. */
#define GUEST_PML4 8u
#define GUEST_PDPT 9u
#define GUEST_PD 10u
#define GUEST_PT 11u	/* of gva 0 .. 2 MiB */
#define GUEST_PT2 12u	/* free for a second one */
#define GUEST_PML4_2 13u /* a second root, with the same tables below */
#define GUEST_PAGES 16u

#define GPTE_ALL (GPTE_P | GPTE_W | GPTE_U | GPTE_A | GPTE_D)

static inline uint64_t gpte(uint64_t gfn, uint64_t bits)
{
	return gfn << PAGE_SHIFT | bits;
}

/* A machine with such a guest on every vCPU, and slot 0 over all its memory. */
void guest_make(struct machine_options o, uint32_t slot_flags);

/* An address whose translations are followed, as far as all of its page; up to four. */
void guest_watch(uint64_t gva);

/* vCPU @n writes entry @i of the table in @table. */
void guest_set_gpte(unsigned int n, uint64_t table, unsigned int i, uint64_t value);
void guest_invlpg(unsigned int n, uint64_t gva);
void guest_load_cr3(unsigned int n, uint64_t root);
/* KVM_SET_SREGS by the client, the vCPU being outside: MODEL_SREGS_FLUSH. */
void guest_set_sregs_cr3(unsigned int n, uint64_t root);
/* The privilege of its next accesses; EFLAGS.AC, for SMAP. */
void guest_set_cpl(unsigned int n, unsigned int cpl);
void guest_set_ac(unsigned int n, bool ac);
/* MOV CR0, MOV CR4, WRPKRU. */
void guest_set_cr0(unsigned int n, uint64_t cr0);
void guest_set_cr4(unsigned int n, uint64_t cr4);
void guest_set_pkru(unsigned int n, uint32_t pkru);

/* Accesses to an address that has to be watched. */
enum outcome guest_read_watched(unsigned int n, uint64_t gva);
enum outcome guest_write_watched(unsigned int n, uint64_t gva);

/* --- called by the machine ------------------------------------------------------- */

/* A run begins; a store of the guest's takes place; and its instruction has ended. */
void guest_begin_run(void);
void guest_memory_changed(void);
void guest_write_ends(void);
/* A call that changes slots has said what it is to change; and has returned. */
void guest_slots_change(void);
void guest_slots_changed(void);
/* An access begins; and what has come of it is judged, if the address is watched. */
void guest_access_begins(unsigned int n, uint64_t gva);
void guest_judge(unsigned int n, uint64_t gva, enum access access, enum outcome outcome);

#endif
