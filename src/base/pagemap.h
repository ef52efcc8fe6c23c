/* SPDX-License-Identifier: MIT */
/*
 * base/pagemap.h - what the kernel says of memory in /proc/PID/pagemap.
 *
 * Its PAGEMAP_SCAN came with Linux 6.7, after Debian 12's headers.
 * Source: Documentation/admin-guide/mm/pagemap.rst.
 */
#ifndef BASE_PAGEMAP_H
#define BASE_PAGEMAP_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Bits of an entry that need no privilege. */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_UFFD_WP (1ull << 57)

struct pagemap_region {
	__u64 start, end, categories;
};

struct pagemap_scan {
	__u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
	__u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_CALL _IOWR('f', 16, struct pagemap_scan)

/* Flags. */
#define PAGEMAP_SCAN_PROTECTS (1u << 0)	/* protect what matches */
#define PAGEMAP_SCAN_CHECKS (1u << 1)	/* fail on memory that is not tracked */

/* Categories. */
#define PAGEMAP_IS_WRITTEN (1u << 1)
#define PAGEMAP_IS_PRESENT (1u << 3)
#define PAGEMAP_IS_HUGE (1u << 6)

#endif
