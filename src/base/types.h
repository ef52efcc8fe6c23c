/* SPDX-License-Identifier: MIT */
/*
 * base/types.h - addresses and frame numbers, in KVM's terms.
 *
 *   gva  guest virtual address      gpa  guest physical address
 *   gfn  guest frame (gpa >> 12)    hva  host virtual address
 *   pfn  host frame; with the process host memory it is hva >> 12
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

typedef uint64_t gva_t;
typedef uint64_t gpa_t;
typedef uint64_t gfn_t;
typedef uint64_t hva_t;
typedef uint64_t pfn_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE (1ull << PAGE_SHIFT)
#define PAGE_OFFSET_MASK (PAGE_SIZE - 1)
#define PAGE_MASK (~PAGE_OFFSET_MASK)

/* Levels count as in KVM: 1 is the table whose entries map 4 KiB. */
enum page_level {
	LEVEL_4K = 1,
	LEVEL_2M = 2,
	LEVEL_1G = 3,
	LEVEL_512G = 4,
	LEVEL_256T = 5,
};

#define LEVEL_BITS 9
#define ENTRIES_PER_TABLE (1u << LEVEL_BITS)

/* 4 KiB pages that one entry of a table at this level covers. */
static inline uint64_t level_pages(int level)
{
	return 1ull << ((level - 1) * LEVEL_BITS);
}

static inline gfn_t level_align(gfn_t gfn, int level)
{
	return ALIGN_DOWN(gfn, level_pages(level));
}

static inline unsigned level_index(gfn_t gfn, int level)
{
	return (gfn >> ((level - 1) * LEVEL_BITS)) & (ENTRIES_PER_TABLE - 1);
}

#endif
