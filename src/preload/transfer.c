/* SPDX-License-Identifier: MIT */
/*
 * preload/transfer.c - reading, writing and the like of our descriptors.
 *
 * They are memory files, whose contents are private.  As for the kernel's own files, these
 * operations do not exist.  The device can be opened for only one of reading and writing; the
 * others are like anonymous files, and have no position.
 */
#include "preload/next.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "kvm/fd/file.h"

enum transfer {
	READS,
	WRITES,
	READS_AT,
	WRITES_AT,
};

static int errno_of(enum transfer what, const struct file_seen *seen)
{
	bool reads = what == READS || what == READS_AT;

	if (seen->kind == FILE_PATH || seen->access == (reads ? O_WRONLY : O_RDONLY))
		return EBADF;
	if (seen->kind == FILE_SYSTEM)
		return EINVAL;
	return what == READS_AT || what == WRITES_AT ? ESPIPE : EINVAL;
}

static bool is_ours(int fd, struct file_seen *seen)
{
	int saved = errno;
	bool ours = file_is_known(fd) && !preload_is_off() && file_look(fd, seen);

	errno = saved;
	return ours;
}

/* Sets errno if so. */
static bool refuses(int fd, enum transfer what)
{
	struct file_seen seen;

	if (!is_ours(fd, &seen))
		return false;
	errno = errno_of(what, &seen);
	return true;
}

ssize_t __read_chk(int fd, void *to, size_t bytes, size_t room);
ssize_t __pread_chk(int fd, void *to, size_t bytes, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *to, size_t bytes, off64_t offset, size_t room);

#define DEFINE(name, what, parameters, ...)                                             \
	EXPORT ssize_t name parameters                                                  \
	{                                                                               \
		return refuses(fd, what) ? -1 : NEXT(name)(__VA_ARGS__);                \
	}

DEFINE(read, READS, (int fd, void *to, size_t bytes), fd, to, bytes)
DEFINE(__read_chk, READS, (int fd, void *to, size_t bytes, size_t room), fd, to, bytes, room)
DEFINE(readv, READS, (int fd, const struct iovec *v, int n), fd, v, n)
DEFINE(write, WRITES, (int fd, const void *from, size_t bytes), fd, from, bytes)
DEFINE(writev, WRITES, (int fd, const struct iovec *v, int n), fd, v, n)
DEFINE(pread, READS_AT, (int fd, void *to, size_t bytes, off_t at), fd, to, bytes, at)
DEFINE(pread64, READS_AT, (int fd, void *to, size_t bytes, off64_t at), fd, to, bytes, at)
DEFINE(__pread_chk, READS_AT, (int fd, void *to, size_t bytes, off_t at, size_t room), fd, to,
       bytes, at, room)
DEFINE(__pread64_chk, READS_AT, (int fd, void *to, size_t bytes, off64_t at, size_t room), fd, to,
       bytes, at, room)
DEFINE(pwrite, WRITES_AT, (int fd, const void *from, size_t bytes, off_t at), fd, from, bytes, at)
DEFINE(pwrite64, WRITES_AT, (int fd, const void *from, size_t bytes, off64_t at), fd, from, bytes,
       at)
DEFINE(preadv, READS_AT, (int fd, const struct iovec *v, int n, off_t at), fd, v, n, at)
DEFINE(preadv64, READS_AT, (int fd, const struct iovec *v, int n, off64_t at), fd, v, n, at)
DEFINE(pwritev, WRITES_AT, (int fd, const struct iovec *v, int n, off_t at), fd, v, n, at)
DEFINE(pwritev64, WRITES_AT, (int fd, const struct iovec *v, int n, off64_t at), fd, v, n, at)

/* Offset -1 is the file's position. */
#define READS_FROM(at) ((at) == -1 ? READS : READS_AT)
#define WRITES_FROM(at) ((at) == -1 ? WRITES : WRITES_AT)
DEFINE(preadv2, READS_FROM(at), (int fd, const struct iovec *v, int n, off_t at, int flags), fd, v,
       n, at, flags)
DEFINE(preadv64v2, READS_FROM(at), (int fd, const struct iovec *v, int n, off64_t at, int flags),
       fd, v, n, at, flags)
DEFINE(pwritev2, WRITES_FROM(at), (int fd, const struct iovec *v, int n, off_t at, int flags), fd,
       v, n, at, flags)
DEFINE(pwritev64v2, WRITES_FROM(at), (int fd, const struct iovec *v, int n, off64_t at, int flags),
       fd, v, n, at, flags)

DEFINE(sendfile, READS, (int out, int fd, off_t *at, size_t bytes), out, fd, at, bytes)
DEFINE(sendfile64, READS, (int out, int fd, off64_t *at, size_t bytes), out, fd, at, bytes)

/* No length and no blocks; the errno @wanted for what has no such operation. */
static bool refuses_change(int fd, int wanted)
{
	struct file_seen seen;

	if (!is_ours(fd, &seen))
		return false;
	errno = seen.kind == FILE_PATH ? EBADF : wanted;
	return true;
}

#define DEFINE_CHANGE(name, wanted, parameters, ...)                                    \
	EXPORT int name parameters                                                      \
	{                                                                               \
		return refuses_change(fd, wanted) ? -1 : NEXT(name)(__VA_ARGS__);       \
	}

DEFINE_CHANGE(fsync, EINVAL, (int fd), fd)
DEFINE_CHANGE(fdatasync, EINVAL, (int fd), fd)

/* On other files they may revoke memory. */
#define DEFINE_FTRUNCATE(name, type)                                                    \
	EXPORT int name(int fd, type length)                                            \
	{                                                                               \
		if (refuses_change(fd, EINVAL))                                         \
			return -1;                                                      \
		return preload_is_off() ? NEXT(name)(fd, length) :                      \
					  umbra_ftruncate(fd, length);                  \
	}

DEFINE_FTRUNCATE(ftruncate, off_t)
DEFINE_FTRUNCATE(ftruncate64, off64_t)

static int fallocate_errno(int fd, off64_t offset, off64_t length)
{
	struct file_seen seen = { .access = O_RDWR };

	if (offset < 0 || length <= 0)
		return EINVAL;
	return is_ours(fd, &seen) && seen.access == O_RDONLY ? EBADF : ENODEV;
}

#define DEFINE_FALLOCATE(name, type)                                                    \
	EXPORT int name(int fd, int mode, type offset, type length)                     \
	{                                                                               \
		if (refuses_change(fd, fallocate_errno(fd, offset, length)))            \
			return -1;                                                      \
		return preload_is_off() ? NEXT(name)(fd, mode, offset, length) :        \
					  umbra_fallocate(fd, mode, offset, length);    \
	}

DEFINE_FALLOCATE(fallocate, off_t)
DEFINE_FALLOCATE(fallocate64, off64_t)

/* It returns its error and leaves errno alone. */
#define DEFINE_POSIX_FALLOCATE(name, type)                                              \
	EXPORT int name(int fd, type offset, type length)                               \
	{                                                                               \
		int saved = errno, wanted;                                              \
                                                                                        \
		if (!refuses_change(fd, fallocate_errno(fd, offset, length)))           \
			return NEXT(name)(fd, offset, length);                          \
		wanted = errno;                                                         \
		errno = saved;                                                          \
		return wanted;                                                          \
	}

DEFINE_POSIX_FALLOCATE(posix_fallocate, off_t)
DEFINE_POSIX_FALLOCATE(posix_fallocate64, off64_t)

/* Nothing moves. */
static off64_t position(int whence, const struct file_seen *seen)
{
	if (seen->kind == FILE_PATH)
		errno = EBADF;
	else if (whence < SEEK_SET || whence > SEEK_HOLE)
		errno = EINVAL;
	else
		return 0;
	return -1;
}

#define DEFINE_LSEEK(name, type)                                                        \
	EXPORT type name(int fd, type offset, int whence)                               \
	{                                                                               \
		struct file_seen seen;                                                  \
                                                                                        \
		return is_ours(fd, &seen) ? position(whence, &seen) :               \
					    NEXT(name)(fd, offset, whence);             \
	}

DEFINE_LSEEK(lseek, off_t)
DEFINE_LSEEK(lseek64, off64_t)
