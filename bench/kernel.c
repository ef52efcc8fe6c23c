/* SPDX-License-Identifier: MIT */
/*
 * bench/kernel.c - the host kernel's own means, for comparison: a first touch, and
 * three ways to learn which pages were written.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/pagemap.h"
#include "bench/bench.h"
#include "tests/uffd.h"

#define PAGES 16384u
#define BYTES (PAGES * 4096ull)

static void *map_area(void)
{
	void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_die("mmap", -errno);
	madvise(p, BYTES, MADV_NOHUGEPAGE);
	return p;
}

static void write_all(volatile uint8_t *area)
{
	for (size_t i = 0; i < PAGES; i++)
		area[i * 4096]++;
}

static double minor_fault_once(void *ctx)
{
	uint8_t *area = map_area();
	double start = bench_now_ns();

	(void)ctx;
	write_all(area);
	start = bench_now_ns() - start;
	munmap(area, BYTES);
	return start / PAGES;
}

const struct figure *kernel_minor_fault(void)
{
	return measure("kernel: first-touch minor fault", "ns/page", minor_fault_once, NULL);
}

/* --- mprotect and SIGSEGV --- */

static uint8_t *tracked;
static uint64_t dirty[PAGES / 64];

static void on_write(int sig, siginfo_t *info, void *context)
{
	size_t page = ((uintptr_t)info->si_addr - (uintptr_t)tracked) / 4096;

	(void)sig;
	(void)context;
	dirty[page / 64] |= 1ull << (page % 64);
	mprotect(tracked + page * 4096, 4096, PROT_READ | PROT_WRITE);
}

static double mprotect_once(void *ctx)
{
	double start = bench_now_ns();

	(void)ctx;
	memset(dirty, 0, sizeof(dirty));
	mprotect(tracked, BYTES, PROT_READ);
	write_all(tracked);
	return (bench_now_ns() - start) / PAGES;
}

const struct figure *kernel_mprotect_tracking(void)
{
	struct sigaction action = { .sa_sigaction = on_write, .sa_flags = SA_SIGINFO }, old;
	const struct figure *f;

	tracked = map_area();
	write_all(tracked);
	sigaction(SIGSEGV, &action, &old);
	f = measure("kernel: dirty page by mprotect + SIGSEGV", "ns/page", mprotect_once, NULL);
	sigaction(SIGSEGV, &old, NULL);
	munmap(tracked, BYTES);
	return f;
}

/* --- userfaultfd --- */

struct uffd {
	int fd, pagemap;
	uint8_t *area;
	pthread_t thread;
};

static bool begin(struct uffd *u, uint64_t features)
{
	u->fd = uffd_open(0, features);
	if (u->fd < 0)
		return false;
	u->area = map_area();
	write_all(u->area);
	if (uffd_register(u->fd, u->area, BYTES, UFFDIO_REGISTER_MODE_WP)) {
		close(u->fd);
		munmap(u->area, BYTES);
		return false;
	}
	return true;
}

static void end(struct uffd *u)
{
	close(u->fd);
	munmap(u->area, BYTES);
}

static int write_protect(struct uffd *u, uintptr_t start, uint64_t len, uint64_t mode)
{
	struct uffdio_writeprotect wp = { .range = { start, len }, .mode = mode };

	return ioctl(u->fd, UFFDIO_WRITEPROTECT, &wp);
}

static void *uffd_handler(void *arg)
{
	struct uffd *u = arg;
	struct uffd_msg msg;

	for (;;) {
		struct pollfd p = { .fd = u->fd, .events = POLLIN };

		if (poll(&p, 1, -1) < 0)
			continue;
		if (read(u->fd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		if (write_protect(u, msg.arg.pagefault.address & ~0xfffull, 4096, 0))
			return NULL;
	}
}

static double uffd_sync_once(void *ctx)
{
	struct uffd *u = ctx;
	double start = bench_now_ns();

	write_protect(u, (uintptr_t)u->area, BYTES, UFFDIO_WRITEPROTECT_MODE_WP);
	write_all(u->area);
	return (bench_now_ns() - start) / PAGES;
}

const struct figure *kernel_uffd_wp_sync(void)
{
	const char *name = "kernel: dirty page by userfaultfd, synchronous";
	const struct figure *f;
	struct uffd u;

	if (!begin(&u, UFFD_FEATURE_PAGEFAULT_FLAG_WP))
		return figure_unknown(name, "ns/page");
	if (pthread_create(&u.thread, NULL, uffd_handler, &u))
		bench_die("pthread_create", -EAGAIN);
	f = measure(name, "ns/page", uffd_sync_once, &u);
	pthread_cancel(u.thread);
	pthread_join(u.thread, NULL);
	end(&u);
	return f;
}

/* The kernel lifts the protection itself; a scan reports and protects again. */
static double uffd_async_once(void *ctx)
{
	static struct pagemap_region regions[PAGES];
	struct uffd *u = ctx;
	struct pagemap_scan arg = {
		.size = sizeof(arg),
		.flags = PAGEMAP_SCAN_PROTECTS | PAGEMAP_SCAN_CHECKS,
		.start = (uintptr_t)u->area,
		.end = (uintptr_t)u->area + BYTES,
		.vec = (uintptr_t)regions,
		.vec_len = PAGES,
		.category_mask = PAGEMAP_IS_WRITTEN,
		.return_mask = PAGEMAP_IS_WRITTEN,
	};
	double start = bench_now_ns();

	write_all(u->area);
	if (ioctl(u->pagemap, PAGEMAP_SCAN_CALL, &arg) < 0)
		bench_die("PAGEMAP_SCAN", -errno);
	return (bench_now_ns() - start) / PAGES;
}

const struct figure *kernel_uffd_wp_async(void)
{
	const char *name = "kernel: dirty page by userfaultfd, asynchronous";
	const struct figure *f;
	struct uffd u;

	if (!begin(&u, UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_ASYNC |
				   UFFD_FEATURE_WP_HUGETLBFS_SHMEM))
		return figure_unknown(name, "ns/page");
	u.pagemap = open("/proc/self/pagemap", O_RDONLY);
	write_protect(&u, (uintptr_t)u.area, BYTES, UFFDIO_WRITEPROTECT_MODE_WP);
	f = measure(name, "ns/page", uffd_async_once, &u);
	close(u.pagemap);
	end(&u);
	return f;
}
