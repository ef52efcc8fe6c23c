/* SPDX-License-Identifier: MIT */
/*
 * base/types.h - addresses and frame numbers, in KVM's terms.
 *
 *   gva  guest virtual address      gpa  guest physical address
 *   gfn  guest frame (gpa >> 12)    hva  host virtual address
 *   pfn  host frame; with the process host memory it is hva >> 12
 *
 * They do not mix: each is a type of its own, with the same few operations.  Plain numbers are
 * counts of bytes or pages; what others define (public structures, registers, entries of tables);
 * and our own memory, which is no guest's.  .raw is where a number crosses that border.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

typedef uint64_t pfn_t;

/*
 * xxx_of() makes one of a number, xxx_add() goes that far up (or, by a negative number, down), and
 * xxx_diff() is how far @a lies above @b; all three wrap.
 */
#define DEFINE_UNIT(xxx)                                                                      \
	typedef struct {                                                                      \
		uint64_t raw;                                                                 \
	} xxx##_t;                                                                            \
	static inline xxx##_t xxx##_of(uint64_t raw)                                          \
	{                                                                                     \
		return (xxx##_t){ raw };                                                      \
	}                                                                                     \
	static inline xxx##_t xxx##_add(xxx##_t a, uint64_t n)                                \
	{                                                                                     \
		return (xxx##_t){ a.raw + n };                                                \
	}                                                                                     \
	static inline uint64_t xxx##_diff(xxx##_t a, xxx##_t b)                               \
	{                                                                                     \
		return a.raw - b.raw;                                                         \
	}                                                                                     \
	static inline bool xxx##_eq(xxx##_t a, xxx##_t b)                                     \
	{                                                                                     \
		return a.raw == b.raw;                                                        \
	}                                                                                     \
	static inline bool xxx##_lt(xxx##_t a, xxx##_t b)                                     \
	{                                                                                     \
		return a.raw < b.raw;                                                         \
	}                                                                                     \
	static inline bool xxx##_le(xxx##_t a, xxx##_t b)                                     \
	{                                                                                     \
		return a.raw <= b.raw;                                                        \
	}                                                                                     \
	static inline xxx##_t xxx##_min(xxx##_t a, xxx##_t b)                                 \
	{                                                                                     \
		return a.raw < b.raw ? a : b;                                                 \
	}                                                                                     \
	static inline xxx##_t xxx##_max(xxx##_t a, xxx##_t b)                                 \
	{                                                                                     \
		return a.raw < b.raw ? b : a;                                                 \
	}                                                                                     \
	/* Where the block of @size, a power of two, begins that @a is in. */                 \
	static inline xxx##_t xxx##_align(xxx##_t a, uint64_t size)                           \
	{                                                                                     \
		return (xxx##_t){ ALIGN_DOWN(a.raw, size) };                                  \
	}

DEFINE_UNIT(gva)
DEFINE_UNIT(gpa)
DEFINE_UNIT(gfn)
DEFINE_UNIT(hva)

#define PAGE_SHIFT 12
#define PAGE_SIZE (1ull << PAGE_SHIFT)
#define PAGE_OFFSET_MASK (PAGE_SIZE - 1)
#define PAGE_MASK (~PAGE_OFFSET_MASK)

static inline gfn_t gfn_of_gpa(gpa_t gpa)
{
	return gfn_of(gpa.raw >> PAGE_SHIFT);
}

static inline gpa_t gpa_of_gfn(gfn_t gfn)
{
	return gpa_of(gfn.raw << PAGE_SHIFT);
}

static inline uint64_t gva_offset(gva_t gva)
{
	return gva.raw & PAGE_OFFSET_MASK;
}

static inline uint64_t gpa_offset(gpa_t gpa)
{
	return gpa.raw & PAGE_OFFSET_MASK;
}

static inline void *hva_pointer(hva_t hva)
{
	return (void *)(uintptr_t)hva.raw;
}

static inline pfn_t pfn_of_hva(hva_t hva)
{
	return hva.raw >> PAGE_SHIFT;
}

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
	return gfn_align(gfn, level_pages(level));
}

/* The entry for it in a table at this level. */
static inline unsigned gfn_index(gfn_t gfn, int level)
{
	return (gfn.raw >> ((level - 1) * LEVEL_BITS)) & (ENTRIES_PER_TABLE - 1);
}

static inline unsigned gva_index(gva_t gva, int level)
{
	return gfn_index(gfn_of(gva.raw >> PAGE_SHIFT), level);
}

#endif
