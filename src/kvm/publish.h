/* SPDX-License-Identifier: MIT */
/*
 * kvm/publish.h - structures that the guest reads while we change them.
 *
 * One word of each is its version, odd while the rest changes: a guest reads it before and
 * after.
 */
#ifndef KVM_PUBLISH_H
#define KVM_PUBLISH_H

#include "base/types.h"
#include "mmu/verdict.h"

struct vcpu;

/*
 * Writes @n words to @gpa; the one at @version becomes the next even number.  vcpu->lock held,
 * outside guest mode.  MMU_RETRY, MMU_RING_FULL: not yet.  Words that cannot be written are the
 * guest's loss (MMU_OK); so is what is not aligned, or not in one page.
 */
enum mmu_verdict publish(struct vcpu *vcpu, gpa_t gpa, uint32_t *words, unsigned int n,
			 unsigned int version);

#endif
