/* SPDX-License-Identifier: MIT */
#include "kvm/fd/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem/reservation.h"

/* Known to kernels from 6.3 on, which may require it (vm.memfd_noexec). */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

int shared_file(const char *name, unsigned int flags)
{
	int fd = memfd_create(name, flags | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, flags | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

/* Beyond the limit the kernel not only fails: it sends SIGXFSZ, which kills. */
static bool may_be_as_long(size_t bytes)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur == RLIM_INFINITY ||
	       bytes <= limit.rlim_cur;
}

int shared_create(struct shared *s, const char *name, size_t bytes)
{
	int err;

	s->fd = -1;
	if (!may_be_as_long(bytes))
		return -EFBIG;
	s->bytes = bytes;
	s->fd = shared_file(name, MFD_CLOEXEC);
	if (s->fd < 0)
		return s->fd;
	/* If the client could shrink it, our own accesses would fault. */
	if (ftruncate(s->fd, (off_t)bytes) ||
	    fcntl(s->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		goto fail;
	s->map = reservation_map(s->fd, bytes);
	if (s->map)
		return 0;
fail:
	err = -errno;
	close(s->fd);
	s->fd = -1;
	return err;
}

void shared_destroy(struct shared *s)
{
	if (s->map)
		reservation_unmap(s->map, s->bytes);
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct shared){ .fd = -1 };
}

static int open_again(int fd)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	return again < 0 ? -errno : again;
}

/* Only /proc can open a memory file a second time. */
static int copy_of(const uint8_t *map, size_t bytes)
{
	int fd, err;

	if (!may_be_as_long(bytes))
		return -EFBIG;
	fd = shared_file("kvm-stats", MFD_CLOEXEC);
	if (fd < 0)
		return fd;
	if (pwrite(fd, map, bytes, 0) == (ssize_t)bytes &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int shared_open_again(const struct shared *s, size_t bytes, int fd)
{
	struct stat ours, opened;
	int again;

	if (fstat(fd, &ours))
		return -errno;
	again = open_again(fd);
	if (again < 0)
		return copy_of(s->map, bytes);
	/* A jail may have another /proc, or the number may have been reused. */
	if (!fstat(again, &opened) && opened.st_ino == ours.st_ino && opened.st_dev == ours.st_dev)
		return again;
	close(again);
	return copy_of(s->map, bytes);
}
