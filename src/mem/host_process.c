/* SPDX-License-Identifier: MIT */
#include "mem/host_process.h"

#include <fcntl.h>
#include <linux/types.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/guarded.h"
#include "base/pagemap.h"
#include "mem/reservation.h"
#include "sync/thread.h"

#define BYTES_2M (level_pages(LEVEL_2M) << PAGE_SHIFT)
#define BYTES_1G (level_pages(LEVEL_1G) << PAGE_SHIFT)

/* Raw system calls: the C library's functions are interposed, and these calls are not the
 * program's. */
static long scan_pagemap(int fd, struct pagemap_scan *arg)
{
	return syscall(SYS_ioctl, fd, PAGEMAP_SCAN_CALL, arg);
}

static bool is_huge(const struct host_process *h, hva_t start, uint64_t bytes)
{
	struct pagemap_region region;
	struct pagemap_scan arg = {
		.size = sizeof(arg),
		.start = start.raw,
		.end = start.raw + bytes,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = PAGEMAP_IS_PRESENT | PAGEMAP_IS_HUGE,
		.return_mask = PAGEMAP_IS_PRESENT | PAGEMAP_IS_HUGE,
	};

	return scan_pagemap(h->pagemap_fd, &arg) == 1 && region.start == arg.start &&
	       region.end == arg.end;
}

/*
 * Without PAGEMAP_SCAN (Linux before 6.7) the host's page sizes are unknown: pagemap hides frame
 * numbers, and smaps has only sums.  But one can tell that the whole large page is present, and
 * that no userfaultfd waits for a write to it.
 */
static bool is_present(const struct host_process *h, hva_t start)
{
	uint64_t entry[ENTRIES_PER_TABLE];
	uint64_t offset = pfn_of_hva(start) * sizeof(*entry);

	if (syscall(SYS_pread64, h->pagemap_fd, entry, sizeof(entry), offset) != sizeof(entry))
		return false;
	for (unsigned int i = 0; i < ENTRIES_PER_TABLE; i++)
		if ((entry[i] & (PAGEMAP_PRESENT | PAGEMAP_UFFD_WP)) != PAGEMAP_PRESENT)
			return false;
	return true;
}

static bool touch_page(hva_t hva, bool write)
{
	void *at = hva_pointer(hva);

	return write ? guarded_touch_write(at) : guarded_touch_read(at);
}

/* None of our own memory may get into a large page of the guest's. */
static bool is_guests(hva_t start, uint64_t bytes)
{
	return !reservation_meets(start.raw, bytes);
}

/*
 * A large page is safe if no access within it can block on memory that was never present: the
 * host maps it by one entry of its own tables (so what holds for the page touched holds for all),
 * or by several such entries that have all been touched; or every page of it is present now.  For
 * memory that the host removes later, unannounced (swap), the access waits at any level.
 */
static int largest_level(void *ctx, hva_t hva, int max_level)
{
	const struct host_process *h = ctx;
	hva_t start = hva_align(hva, BYTES_2M);

	if (max_level < LEVEL_2M || h->pagemap_fd < 0 || thread_is_filtered() ||
	    !is_guests(start, BYTES_2M))
		return LEVEL_4K;
	if (!h->scans)
		return is_present(h, start) ? LEVEL_2M : LEVEL_4K;
	if (!is_huge(h, start, BYTES_2M))
		return LEVEL_4K;
	start = hva_align(hva, BYTES_1G);
	if (max_level < LEVEL_1G || !is_guests(start, BYTES_1G) || !is_huge(h, start, BYTES_1G))
		return LEVEL_2M;
	return LEVEL_1G;
}

static int safe_level(struct host_process *h, hva_t hva, bool write, int max_level)
{
	hva_t start = hva_align(hva, BYTES_1G);
	int found = largest_level(h, hva, max_level);

	for (uint64_t at = 0; found == LEVEL_1G && at < BYTES_1G; at += BYTES_2M)
		if (!touch_page(hva_add(start, at), write))
			found = LEVEL_2M;
	return found;
}

static int resolve_page(void *ctx, hva_t hva, bool write, int max_level, struct host_page *page)
{
	struct host_process *h = ctx;

	/* Never visible to a guest, wherever a slot points. */
	if (!is_guests(hva_align(hva, PAGE_SIZE), PAGE_SIZE) || !touch_page(hva, write))
		return -EFAULT;
	page->pfn = pfn_of_hva(hva);
	page->writable = write;
	page->level = safe_level(h, hva, write, max_level);
	return 0;
}

static const struct host_memory_ops process_ops = {
	.resolve = resolve_page,
	.level = largest_level,
};

struct host_memory host_process_init(struct host_process *h)
{
	struct pagemap_scan nothing = {
		.size = sizeof(nothing),
		.category_mask = PAGEMAP_IS_PRESENT,
		.return_mask = PAGEMAP_IS_PRESENT,
	};

	h->pagemap_fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/pagemap",
				     O_RDONLY | O_CLOEXEC);
	h->scans = scan_pagemap(h->pagemap_fd, &nothing) >= 0;
	return (struct host_memory){ .ops = &process_ops, .ctx = h };
}

void host_process_destroy(struct host_process *h)
{
	if (h->pagemap_fd >= 0)
		syscall(SYS_close, h->pagemap_fd);
}
