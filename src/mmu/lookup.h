/* SPDX-License-Identifier: MIT */
/*
 * mmu/lookup.h - translations on request of the client, without an access.
 *
 * The vCPU's thread, outside guest mode, no lock held; both may block in the host.
 */
#ifndef MMU_LOOKUP_H
#define MMU_LOOKUP_H

#include "mmu/mmu.h"
#include "mmu/verdict.h"

/*
 * KVM_TRANSLATE: the guest's own translation of @gva, for a supervisor read.  MMU_OK,
 * MMU_GUEST_FAULT if there is none, MMU_RETRY if the tables keep changing, or the reason why they
 * cannot be read.
 */
enum mmu_verdict mmu_lookup(struct mmu_vcpu *v, gva_t gva, gpa_t *gpa);

/*
 * KVM_PRE_FAULT_MEMORY: maps @gpa in the direct tables as a read would, if
 * mmu_can_prefault().  MMU_OK: @bytes from @gpa on are mapped by the same entry.
 * MMU_RETRY: raced, call again.
 */
enum mmu_verdict mmu_prefault(struct mmu_vcpu *v, gpa_t gpa, uint64_t *bytes);

#endif
