/* SPDX-License-Identifier: MIT */
/*
 * preload/memory.c - calls that change the process's memory other than by its mappings:
 * by a file (those on descriptors: preload/transfer.c), a segment, the heap's end,
 * userfaultfd, the page map.
 */
#include "preload/next.h"

#include <linux/types.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/uio.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "base/guarded.h"
#include "base/pagemap.h"

EXPORT int pkey_mprotect(void *addr, size_t length, int prot, int pkey)
{
	return preload_is_off() ? NEXT(pkey_mprotect)(addr, length, prot, pkey) :
				  umbra_pkey_mprotect(addr, length, prot, pkey);
}

EXPORT ssize_t process_madvise(int pidfd, const struct iovec *vector, size_t n, int advice,
			       unsigned int flags)
{
	return preload_is_off() ? NEXT(process_madvise)(pidfd, vector, n, advice, flags) :
				  umbra_process_madvise(pidfd, vector, n, advice, flags);
}

EXPORT int remap_file_pages(void *addr, size_t size, int prot, size_t page, int flags)
{
	return preload_is_off() ? NEXT(remap_file_pages)(addr, size, prot, page, flags) :
				  umbra_remap_file_pages(addr, size, prot, page, flags);
}

EXPORT void *shmat(int id, const void *addr, int flags)
{
	return preload_is_off() ? NEXT(shmat)(id, addr, flags) : umbra_shmat(id, addr, flags);
}

EXPORT int shmdt(const void *addr)
{
	return preload_is_off() ? NEXT(shmdt)(addr) : umbra_shmdt(addr);
}

#define DEFINE_TRUNCATE(name, type)                                               \
	EXPORT int name(const char *path, type length)                            \
	{                                                                         \
		return preload_is_off() ? NEXT(name)(path, length) :              \
					  umbra_truncate(path, length);           \
	}

DEFINE_TRUNCATE(truncate, off_t)
DEFINE_TRUNCATE(truncate64, off64_t)

/* The heap's end, which the C library records: guest memory may lie in what is released. */
struct heap_call {
	void *end;
	int result;
};

static void make_brk(void *ctx)
{
	struct heap_call *c = ctx;

	c->result = NEXT(brk)(c->end);
}

static int shrink_heap(uintptr_t end, uintptr_t now)
{
	struct heap_call c = { .end = (void *)end };

	umbra_changing((void *)end, now - end, make_brk, &c);
	return c.result;
}

EXPORT int brk(void *end)
{
	uintptr_t now;

	if (preload_is_off())
		return NEXT(brk)(end);
	now = (uintptr_t)NEXT(sbrk)(0);
	if ((uintptr_t)end >= now)
		return NEXT(brk)(end);
	return shrink_heap((uintptr_t)end, now);
}

EXPORT void *sbrk(intptr_t more)
{
	uintptr_t now;

	if (preload_is_off() || more >= 0)
		return NEXT(sbrk)(more);
	now = (uintptr_t)NEXT(sbrk)(0);
	if ((uintptr_t)-more > now) {
		errno = ENOMEM;
		return (void *)-1;
	}
	return shrink_heap(now - (uintptr_t)-more, now) ? (void *)-1 : (void *)now;
}

/* --- by ioctl ------------------------------------------------------------------ */

/* Newer than Debian 12's headers: userfaultfd.rst. */
struct uffd_move {
	__u64 dst, src, len, mode;
	__s64 move;
};
#define UFFD_MOVE _IOWR(UFFDIO, 0x05, struct uffd_move)

/* The ranges, up to two, of which an ioctl removes pages or write permission. */
struct taken {
	uint64_t start[2], bytes[2];
	unsigned int n;
};

static void take_range(struct taken *t, uint64_t start, uint64_t bytes)
{
	t->start[t->n] = start;
	t->bytes[t->n++] = bytes;
}

static void find_taken(unsigned long request, const void *arg, struct taken *t)
{
	struct uffdio_writeprotect wp;
	struct uffdio_range range;
	struct pagemap_scan scan;
	struct uffd_move move;

	switch (request) {
	case UFFDIO_REGISTER:
		if (guarded_copy(&range, arg, sizeof(range)))
			take_range(t, range.start, range.len);
		break;
	case UFFDIO_WRITEPROTECT:
		if (guarded_copy(&wp, arg, sizeof(wp)) && (wp.mode & UFFDIO_WRITEPROTECT_MODE_WP))
			take_range(t, wp.range.start, wp.range.len);
		break;
	case UFFD_MOVE:
		if (!guarded_copy(&move, arg, sizeof(move)))
			break;
		take_range(t, move.src, move.len);
		take_range(t, move.dst, move.len);
		break;
	case PAGEMAP_SCAN_CALL:
		if (guarded_copy(&scan, arg, sizeof(scan)) && (scan.flags & PAGEMAP_SCAN_PROTECTS))
			take_range(t, scan.start, scan.end - scan.start);
		break;
	}
}

struct ioctl_call {
	struct taken taken;
	int fd;
	unsigned long request;
	void *arg;
	int result;
};

/* One range nested in the other, then the call. */
static void make_ioctl(void *ctx)
{
	struct ioctl_call *c = ctx;
	unsigned int n = c->taken.n;

	if (!n) {
		c->result = NEXT(ioctl)(c->fd, c->request, c->arg);
		return;
	}
	c->taken.n = n - 1;
	umbra_changing((void *)(uintptr_t)c->taken.start[n - 1], c->taken.bytes[n - 1],
		       make_ioctl, c);
}

int memory_ioctl(int fd, unsigned long request, void *arg)
{
	struct ioctl_call c = { .fd = fd, .request = request, .arg = arg };

	find_taken(request, arg, &c.taken);
	make_ioctl(&c);
	return c.result;
}
