/* SPDX-License-Identifier: MIT */
/* tests/uffd.h - a userfaultfd, for tests and benchmarks. */
#ifndef TESTS_UFFD_H
#define TESTS_UFFD_H

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 6.7 and 6.8: later than Debian 12's headers. */
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1ull << 15)
#endif
#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1ull << 16)
#endif

/* @flags: UFFD_USER_MODE_ONLY, which every user may have, or 0.  -1: not permitted here, or
 * without such features. */
static inline int uffd_open(int flags, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* 0, or -1 and errno.  @mode: UFFDIO_REGISTER_MODE_*. */
static inline int uffd_register(int fd, const void *at, uint64_t bytes, uint64_t mode)
{
	struct uffdio_register r = { .range = { (uintptr_t)at, bytes }, .mode = mode };

	return ioctl(fd, UFFDIO_REGISTER, &r);
}

/* Until somebody waits for a page. */
static inline void uffd_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct uffd_msg msg;

	while (poll(&p, 1, -1) != 1 || read(fd, &msg, sizeof(msg)) != sizeof(msg))
		;
}

/* Whoever waits there goes on, with zeros. */
static inline int uffd_give_zeros(int fd, const void *at, uint64_t bytes)
{
	struct uffdio_zeropage zero = { .range = { (uintptr_t)at, bytes } };

	return ioctl(fd, UFFDIO_ZEROPAGE, &zero);
}

#endif
