/* SPDX-License-Identifier: MIT */
/* mmu/fault.h - a guest physical address that the tables do not translate yet. */
#ifndef MMU_FAULT_H
#define MMU_FAULT_H

#include "mmu/tdp.h"

/*
 * Makes the tables translate @gpa, for reading or writing.  The vCPU's thread,
 * outside guest mode; may block in the host.
 */
enum fault_verdict mmu_fault(struct mmu_vcpu *v, gpa_t gpa, bool write);

/*
 * An access through a translation met a host page that is not there: the client
 * changed its mappings in a way that nobody told us of.  Drops what we know of
 * the page, so that the next access asks the host again.  Outside guest mode.
 */
void mmu_host_fault(struct mmu_vcpu *v, hva_t hva);

#endif
