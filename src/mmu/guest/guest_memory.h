/* SPDX-License-Identifier: MIT */
/*
 * mmu/guest/guest_memory.h - our own accesses to guest physical memory.
 *
 * Through the memory slots, not through translations; for the tables of the guest.  The vCPU's
 * thread, outside guest mode, no lock held: may block in the host.
 */
#ifndef MMU_GUEST_MEMORY_H
#define MMU_GUEST_MEMORY_H

#include "mmu/vcpu.h"
#include "mmu/verdict.h"

/* All within one page.  MMU_OK, MMU_BAD_TABLES (no slot), MMU_HOST_FAULT or MMU_RETRY. */
enum mmu_verdict guest_read(struct mmu_vcpu *v, gpa_t gpa, void *to, unsigned int bytes);

/*
 * A whole naturally aligned entry of 4 or 8 bytes; the page is marked dirty.  *old is set to the
 * previous contents: they were replaced if they equal its former value.  As guest_read(), or
 * MMU_MMIO: the slot is read-only, or MMU_RING_FULL.
 */
enum mmu_verdict guest_cmpxchg(struct mmu_vcpu *v, gpa_t gpa, unsigned int bytes, uint64_t *old,
				 uint64_t value);

#endif
