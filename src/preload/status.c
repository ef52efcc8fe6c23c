/* SPDX-License-Identifier: MIT */
/* preload/status.c - calls that ask for the status of a file, by name or descriptor. */
#include "preload/next.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "kvm/fd/file.h"
#include "preload/device.h"
#include "preload/there.h"

/* On x86-64 the two structures are one. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "stat64 is stat");
#define as_stat(st) ((struct stat *)(void *)(st))

/* Files of VMs and vCPUs have no type, like the kernel's anonymous files. */
static int status_of(enum file_kind kind, struct stat *st)
{
	if (kind == FILE_SYSTEM || kind == FILE_PATH)
		return device_status(st);
	st->st_mode = 0600;
	st->st_nlink = 1;
	st->st_uid = st->st_gid = 0;
	st->st_size = 0;
	st->st_blocks = 0;
	return 0;
}

static bool is_ours(int fd, struct file_seen *seen)
{
	return file_is_known(fd) && !preload_is_off() && file_look(fd, seen);
}

/* AT_EMPTY_PATH means the descriptor itself. */
static bool means_descriptor(const char *path, int flags)
{
	return (flags & AT_EMPTY_PATH) && (!path || (there_is(path, 1) && !*path));
}

static bool at_device(int dir, const char *path, int flags, struct file_seen *seen)
{
	if (means_descriptor(path, flags))
		return is_ours(dir, seen);
	seen->kind = FILE_SYSTEM;
	return device_is_at(dir, path, flags);
}

/* A call of the stat family has returned @result. */
static int named_status(int dir, const char *path, int flags, int result, struct stat *st)
{
	bool follow = !(flags & AT_SYMLINK_NOFOLLOW);

	if (result < 0 ? !follow || !device_is_behind_link(dir, path) : !device_is_hosts(st))
		return result;
	return device_status(st);
}

#define DEFINE_STAT(name, type, flags)                                                       \
	EXPORT int name(const char *restrict path, struct type *restrict st)                 \
	{                                                                                    \
		if (device_is_at(AT_FDCWD, path, flags))                                     \
			return device_status(as_stat(st));                                   \
		return named_status(AT_FDCWD, path, flags, NEXT(name)(path, st),             \
				    as_stat(st));                                            \
	}

DEFINE_STAT(stat, stat, 0)
DEFINE_STAT(stat64, stat64, 0)
DEFINE_STAT(lstat, stat, AT_SYMLINK_NOFOLLOW)
DEFINE_STAT(lstat64, stat64, AT_SYMLINK_NOFOLLOW)

#define DEFINE_FSTAT(name, type)                                    \
	EXPORT int name(int fd, struct type *st)                    \
	{                                                           \
		int result = NEXT(name)(fd, st);                    \
		struct file_seen seen;                              \
                                                                    \
		if (!result && is_ours(fd, &seen))                  \
			return status_of(seen.kind, as_stat(st));   \
		return result;                                      \
	}

DEFINE_FSTAT(fstat, stat)
DEFINE_FSTAT(fstat64, stat64)

#define DEFINE_FSTATAT(name, type)                                                        \
	EXPORT int name(int dir, const char *restrict path, struct type *restrict st,     \
			int flags)                                                        \
	{                                                                                 \
		struct file_seen seen;                                                    \
		int result;                                                               \
                                                                                          \
		if (!at_device(dir, path, flags, &seen)) {                                \
			result = NEXT(name)(dir, path, st, flags);                        \
			return named_status(dir, path, flags, result, as_stat(st));       \
		}                                                                         \
		if (seen.kind != FILE_SYSTEM && NEXT(name)(dir, path, st, flags))         \
			return -1;                                                        \
		return status_of(seen.kind, as_stat(st));                                 \
	}

DEFINE_FSTATAT(fstatat, stat)
DEFINE_FSTATAT(fstatat64, stat64)

/* Called by programs built with a C library before 2.33. */
int __xstat(int version, const char *path, struct stat *st);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat(int version, const char *path, struct stat *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstat(int version, int fd, struct stat *st);
int __fxstat64(int version, int fd, struct stat64 *st);
int __fxstatat(int version, int dir, const char *path, struct stat *st, int flags);
int __fxstatat64(int version, int dir, const char *path, struct stat64 *st, int flags);

#define STAT_VERSION 1	/* 0, the kernel's, is the same */

static bool knows_version(int version)
{
	if (version == 0 || version == STAT_VERSION)
		return true;
	errno = EINVAL;
	return false;
}

#define DEFINE_XSTAT(name, type, call)                                    \
	EXPORT int name(int version, const char *path, struct type *st)   \
	{                                                                 \
		return knows_version(version) ? call(path, st) : -1;      \
	}

DEFINE_XSTAT(__xstat, stat, stat)
DEFINE_XSTAT(__xstat64, stat64, stat64)
DEFINE_XSTAT(__lxstat, stat, lstat)
DEFINE_XSTAT(__lxstat64, stat64, lstat64)

#define DEFINE_FXSTAT(name, type, call)                                   \
	EXPORT int name(int version, int fd, struct type *st)             \
	{                                                                 \
		return knows_version(version) ? call(fd, st) : -1;        \
	}

DEFINE_FXSTAT(__fxstat, stat, fstat)
DEFINE_FXSTAT(__fxstat64, stat64, fstat64)

#define DEFINE_FXSTATAT(name, type, call)                                             \
	EXPORT int name(int version, int dir, const char *path, struct type *st,      \
			int flags)                                                    \
	{                                                                             \
		return knows_version(version) ? call(dir, path, st, flags) : -1;      \
	}

DEFINE_FXSTATAT(__fxstatat, stat, fstatat)
DEFINE_FXSTATAT(__fxstatat64, stat64, fstatat64)

static void to_statx(const struct stat *st, struct statx *stx)
{
	struct statx_timestamp access = { .tv_sec = st->st_atim.tv_sec,
					  .tv_nsec = (__u32)st->st_atim.tv_nsec };
	struct statx_timestamp data = { .tv_sec = st->st_mtim.tv_sec,
					.tv_nsec = (__u32)st->st_mtim.tv_nsec };
	struct statx_timestamp status = { .tv_sec = st->st_ctim.tv_sec,
					  .tv_nsec = (__u32)st->st_ctim.tv_nsec };

	*stx = (struct statx){
		.stx_mask = STATX_BASIC_STATS,
		.stx_blksize = (__u32)st->st_blksize,
		.stx_nlink = (__u32)st->st_nlink,
		.stx_uid = st->st_uid,
		.stx_gid = st->st_gid,
		.stx_mode = (__u16)st->st_mode,
		.stx_ino = st->st_ino,
		.stx_atime = access,
		.stx_ctime = status,
		.stx_mtime = data,
		.stx_rdev_major = major(st->st_rdev),
		.stx_rdev_minor = minor(st->st_rdev),
		.stx_dev_major = major(st->st_dev),
		.stx_dev_minor = minor(st->st_dev),
	};
}

static bool is_hosts(const struct statx *stx)
{
	struct stat st = {
		.st_mode = stx->stx_mode,
		.st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
	};

	return device_is_hosts(&st);
}

static int statx_of(enum file_kind kind, int fd, struct statx *stx)
{
	struct stat st;

	/* The kernel writes to it, so a bad pointer is EFAULT. */
	if (NEXT(statx)(AT_FDCWD, "/", 0, 0, stx) && errno == EFAULT)
		return -1;
	if (kind != FILE_SYSTEM && kind != FILE_PATH && NEXT(fstat)(fd, &st))
		return -1;
	if (status_of(kind, &st))
		return -1;
	to_statx(&st, stx);
	return 0;
}

EXPORT int statx(int dir, const char *restrict path, int flags, unsigned int mask,
		 struct statx *restrict stx)
{
	struct file_seen seen;
	int result;

	if (at_device(dir, path, flags, &seen))
		return statx_of(seen.kind, dir, stx);
	result = NEXT(statx)(dir, path, flags, mask, stx);
	if (result < 0 ? !(flags & AT_SYMLINK_NOFOLLOW) && device_is_behind_link(dir, path) :
			 is_hosts(stx))
		return statx_of(FILE_SYSTEM, -1, stx);
	return result;
}

/* Everyone may read and write it, no one execute it. */
static int may_access(int mode)
{
	if (!(mode & ~(R_OK | W_OK)))
		return 0;
	errno = mode & ~(R_OK | W_OK | X_OK) ? EINVAL : EACCES;
	return -1;
}

#define DEFINE_ACCESS(name)                                                           \
	EXPORT int name(const char *path, int mode)                                   \
	{                                                                             \
		int result;                                                           \
                                                                                      \
		if (device_is_at(AT_FDCWD, path, 0))                                  \
			return may_access(mode);                                      \
		result = NEXT(name)(path, mode);                                      \
		return result < 0 && device_is_behind_link(AT_FDCWD, path) ?          \
			       may_access(mode) :                                     \
			       result;                                                \
	}

DEFINE_ACCESS(access)
DEFINE_ACCESS(euidaccess)
DEFINE_ACCESS(eaccess)

EXPORT int faccessat(int dir, const char *path, int mode, int flags)
{
	struct file_seen seen;
	int result;

	if (at_device(dir, path, flags, &seen) &&
	    (seen.kind == FILE_SYSTEM || seen.kind == FILE_PATH))
		return may_access(mode);
	result = NEXT(faccessat)(dir, path, mode, flags);
	return result < 0 && !(flags & AT_SYMLINK_NOFOLLOW) && device_is_behind_link(dir, path) ?
		       may_access(mode) :
		       result;
}

/* It is no link. */
char *__realpath_chk(const char *path, char *resolved, size_t bytes);
ssize_t __readlink_chk(const char *path, char *target, size_t bytes, size_t room);
ssize_t __readlinkat_chk(int dir, const char *path, char *target, size_t bytes, size_t room);

static bool refuse_readlink(int dir, const char *path)
{
	if (!device_is_at(dir, path, AT_SYMLINK_NOFOLLOW))
		return false;
	errno = EINVAL;
	return true;
}

EXPORT ssize_t readlink(const char *restrict path, char *restrict target, size_t bytes)
{
	return refuse_readlink(AT_FDCWD, path) ? -1 : NEXT(readlink)(path, target, bytes);
}

EXPORT ssize_t readlinkat(int dir, const char *restrict path, char *restrict target, size_t bytes)
{
	return refuse_readlink(dir, path) ? -1 : NEXT(readlinkat)(dir, path, target, bytes);
}

EXPORT ssize_t __readlink_chk(const char *path, char *target, size_t bytes, size_t room)
{
	return refuse_readlink(AT_FDCWD, path) ? -1 :
						 NEXT(__readlink_chk)(path, target, bytes, room);
}

EXPORT ssize_t __readlinkat_chk(int dir, const char *path, char *target, size_t bytes, size_t room)
{
	return refuse_readlink(dir, path) ? -1 :
					    NEXT(__readlinkat_chk)(dir, path, target, bytes, room);
}

static char *device_path(char *resolved)
{
	static const char path[] = "/dev/kvm";

	return resolved ? memcpy(resolved, path, sizeof(path)) : strdup(path);
}

static bool resolves_to_device(const char *path)
{
	return device_is_at(AT_FDCWD, path, 0);
}

/* Where the host has none @result is NULL. */
static char *resolved_path(const char *path, char *resolved, char *result)
{
	return result || !device_is_behind_link(AT_FDCWD, path) ? result : device_path(resolved);
}

EXPORT char *realpath(const char *restrict path, char *restrict resolved)
{
	char *result = resolves_to_device(path) ? device_path(resolved) :
						 NEXT(realpath)(path, resolved);

	return resolved_path(path, resolved, result);
}

EXPORT char *__realpath_chk(const char *path, char *resolved, size_t bytes)
{
	char *result = resolves_to_device(path) ? device_path(resolved) :
						 NEXT(__realpath_chk)(path, resolved, bytes);

	return resolved_path(path, resolved, result);
}

EXPORT char *canonicalize_file_name(const char *path)
{
	return realpath(path, NULL);
}

/* ls(1) asks: the device has no extended attributes. */
#define DEFINE_GETXATTR(name, flags)                                                    \
	EXPORT ssize_t name(const char *path, const char *attribute, void *value,       \
			    size_t bytes)                                               \
	{                                                                               \
		if (!device_is_at(AT_FDCWD, path, flags))                               \
			return NEXT(name)(path, attribute, value, bytes);               \
		errno = ENODATA;                                                        \
		return -1;                                                              \
	}

#define DEFINE_LISTXATTR(name, flags)                                                   \
	EXPORT ssize_t name(const char *path, char *list, size_t bytes)                 \
	{                                                                               \
		return device_is_at(AT_FDCWD, path, flags) ?                            \
			       0 :                                                      \
			       NEXT(name)(path, list, bytes);                           \
	}

DEFINE_GETXATTR(getxattr, 0)
DEFINE_GETXATTR(lgetxattr, AT_SYMLINK_NOFOLLOW)
DEFINE_LISTXATTR(listxattr, 0)
DEFINE_LISTXATTR(llistxattr, AT_SYMLINK_NOFOLLOW)
