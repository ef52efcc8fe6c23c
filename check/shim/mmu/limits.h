/* SPDX-License-Identifier: MIT */
/* In the place of src/mmu/limits.h. */
#ifndef CHECK_SHIM_MMU_LIMITS_H
#define CHECK_SHIM_MMU_LIMITS_H

#define MMU_MAX_VCPUS 4u
#define MMIO_GENERATION_BITS 3
#define TLB_BITS 3
#define GPA_TLB_ENTRIES 8u
#define REQUEST_SPINS 1
#define ENTRIES_BEFORE_YIELD 6
#define TABLES_BEFORE_YIELD 1u
#define MAX_DEAD_TABLES 0u
#define SHADOW_LIST_MAX 2u

#endif
