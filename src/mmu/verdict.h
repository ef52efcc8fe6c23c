/* SPDX-License-Identifier: MIT */
/*
 * mmu/verdict.h - the results of an access to guest memory, and of a fault.
 *
 * Not errnos, and never mixed with them.
 */
#ifndef MMU_VERDICT_H
#define MMU_VERDICT_H

enum mmu_verdict {
	MMU_OK,
	MMU_GUEST_FAULT,	/* a page fault for the guest */
	MMU_MMIO,		/* no memory there, or for a write a read-only slot */
	MMU_RETRY,		/* raced: start the instruction again, but look at
				 * requests and signals before */
	MMU_RING_FULL,		/* restart it once the dirty ring has been reset */
	MMU_HOST_FAULT,		/* the client has no memory there: EFAULT */
	MMU_NO_MEMORY,		/* ENOMEM */
	MMU_BAD_TABLES,		/* the guest's page tables lie where no memory is */
};

enum fault_verdict {
	FAULT_FIXED,		/* a translation was made or changed */
	FAULT_SPURIOUS,		/* it was already there */
	FAULT_RETRY,		/* raced with another thread: run again */
	FAULT_MMIO,		/* no memory: the access goes to the client */
	FAULT_RING_FULL,	/* no page may be dirtied before the ring is reset */
	FAULT_HOST,		/* the host has no such page */
	FAULT_NO_MEMORY,	/* ours, for tables */
};

/* MMU_OK: translate again. */
static inline enum mmu_verdict mmu_verdict_of_fault(enum fault_verdict verdict)
{
	switch (verdict) {
	case FAULT_FIXED:
	case FAULT_SPURIOUS:
		return MMU_OK;
	case FAULT_RETRY:
		return MMU_RETRY;
	case FAULT_MMIO:
		return MMU_MMIO;
	case FAULT_RING_FULL:
		return MMU_RING_FULL;
	case FAULT_HOST:
		return MMU_HOST_FAULT;
	case FAULT_NO_MEMORY:
		break;
	}
	return MMU_NO_MEMORY;
}

#endif
