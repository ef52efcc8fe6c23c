/* SPDX-License-Identifier: MIT */
/* mmu/paging/paging.h - what the processor asks: an access, under its paging registers. */
#ifndef MMU_PAGING_H
#define MMU_PAGING_H

#include "base/types.h"

/* Kinds of access; the bits of a page fault's error code follow from them. */
enum access {
	ACCESS_READ,
	ACCESS_WRITE,
	ACCESS_EXEC,
};

/* Bits of a page fault's error code.  SDM 3A 4.7. */
#define PFERR_PRESENT (1u << 0)
#define PFERR_WRITE (1u << 1)
#define PFERR_USER (1u << 2)
#define PFERR_RSVD (1u << 3)
#define PFERR_FETCH (1u << 4)
#define PFERR_PK (1u << 5)

/* The paging registers of the CPU. */
struct paging {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t pdptr[4];	/* PAE: the page-directory-pointer registers */
	uint32_t pkru;
	uint8_t cpl;
	bool ac;		/* EFLAGS.AC */
	uint8_t maxphyaddr;	/* of the guest's CPUID */
	bool has_1g_pages;	/* of the guest's CPUID */
};

#endif
