/* SPDX-License-Identifier: MIT */
#include "mem/host_process.h"

#include <fcntl.h>
#include <linux/types.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/guarded.h"
#include "mem/reservation.h"
#include "sync/thread.h"

/*
 * PAGEMAP_SCAN of Linux 6.7, which Debian 12's headers do not have yet
 * (Documentation/admin-guide/mm/pagemap.rst).
 */
struct scan_region {
	__u64 start, end, categories;
};

struct scan_arg {
	__u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
	__u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define SCAN_PRESENT (1u << 3)
#define SCAN_HUGE (1u << 6)

/* The system's own calls: those of the C library are interposed, and what we
 * do here is not the program's doing. */
static bool is_huge(const struct host_process *h, hva_t start, uint64_t bytes)
{
	struct scan_region region;
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = start + bytes,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = SCAN_PRESENT | SCAN_HUGE,
		.return_mask = SCAN_PRESENT | SCAN_HUGE,
	};

	return h->pagemap_fd >= 0 && !thread_is_filtered() &&
	       syscall(SYS_ioctl, h->pagemap_fd, SCAN_IOCTL, &arg) == 1 &&
	       region.start == start && region.end == start + bytes;
}

static bool touch(hva_t hva, bool write)
{
	void *at = (void *)(uintptr_t)hva;

	return write ? guarded_touch_write(at) : guarded_touch_read(at);
}

/*
 * A large page is safe if no access within it can wait for anybody: the host
 * maps it by one entry of its own tables (so what holds for the page touched
 * holds for all), or by several such entries that have all been touched.
 */
static int safe_level(const struct host_process *h, hva_t hva, bool write, int max_level)
{
	const uint64_t size_2m = level_pages(LEVEL_2M) << PAGE_SHIFT;
	const uint64_t size_1g = level_pages(LEVEL_1G) << PAGE_SHIFT;
	hva_t start;

	if (max_level < LEVEL_2M || !is_huge(h, ALIGN_DOWN(hva, size_2m), size_2m))
		return LEVEL_4K;

	start = ALIGN_DOWN(hva, size_1g);
	if (max_level < LEVEL_1G || !is_huge(h, start, size_1g))
		return LEVEL_2M;
	for (hva_t at = start; at < start + size_1g; at += size_2m)
		if (!touch(at, write))
			return LEVEL_2M;
	return LEVEL_1G;
}

static int resolve(void *ctx, hva_t hva, bool write, int max_level, struct host_page *page)
{
	const struct host_process *h = ctx;

	/* What a guest must never see, wherever a slot may point. */
	if (reservation_meets(hva & PAGE_MASK, PAGE_SIZE) || !touch(hva, write))
		return -EFAULT;
	page->pfn = hva >> PAGE_SHIFT;
	page->writable = write;
	page->level = safe_level(h, hva, write, max_level);
	return 0;
}

static const struct host_memory_ops process_ops = {
	.resolve = resolve,
};

struct host_memory host_process_init(struct host_process *h)
{
	h->pagemap_fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/pagemap",
				     O_RDONLY | O_CLOEXEC);
	return (struct host_memory){ .ops = &process_ops, .ctx = h };
}

void host_process_destroy(struct host_process *h)
{
	if (h->pagemap_fd >= 0)
		syscall(SYS_close, h->pagemap_fd);
}
