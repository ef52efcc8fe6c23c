/* SPDX-License-Identifier: MIT */
#include "preload/next.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "preload/device.h"
#include "preload/there.h"
#include "sync/thread.h"

#define NAME "kvm"
#define FOLDER "/dev"
#define MAX_LINKS 40
#define DEVICE_NUMBER makedev(10, 232)

/* By number: the C library's functions are interposed.  (On x86-64 the structures agree.) */
static bool read_status(int dir, const char *path, struct stat *st)
{
	return !syscall(SYS_newfstatat, dir, path, st, *path ? 0 : AT_EMPTY_PATH);
}

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_named_kvm(const char *path)
{
	return strcmp(last_component(path), NAME) == 0;
}

/* The next component that is not ".": its length, 0 at the end. */
static size_t next_component(const char **path)
{
	for (;;) {
		size_t n;

		*path += strspn(*path, "/");
		n = strcspn(*path, "/");
		if (n != 1 || **path != '.')
			return n;
		*path += n;
	}
}

/* "/dev/kvm", with any number of slashes and dots.  The folder need not exist. */
static bool is_spelled_out(const char *path)
{
	if (*path != '/' || next_component(&path) != 3 || memcmp(path, "dev", 3) != 0)
		return false;
	path += 3;
	return next_component(&path) == 3 && memcmp(path, NAME, 3) == 0 && !path[3];
}

/* True if the folder of @path is the host's /dev, also by a bind mount or a link. */
static bool is_in_dev(int dir, const char *path)
{
	size_t n = (size_t)(last_component(path) - path);
	struct stat folder, dev;
	char parent[PATH_MAX];

	if (n >= sizeof(parent))
		return false;
	memcpy(parent, path, n);
	parent[n] = '\0';
	if (!n && dir == AT_FDCWD)
		strcpy(parent, ".");
	return read_status(AT_FDCWD, FOLDER, &dev) && read_status(dir, parent, &folder) &&
	       folder.st_ino == dev.st_ino && folder.st_dev == dev.st_dev;
}

/* Replaces @path by the target of the link of this name.  False if it is not a link. */
static bool follow_link(int dir, char path[PATH_MAX])
{
	size_t n = (size_t)(last_component(path) - path);
	char target[PATH_MAX];
	long bytes = syscall(SYS_readlinkat, dir, path, target, sizeof(target) - 1);

	if (bytes <= 0)
		return false;
	target[bytes] = '\0';
	if (*target == '/')
		n = 0;
	if (n + (size_t)bytes >= PATH_MAX)
		return false;
	strcpy(path + n, target);
	return true;
}

static bool leads_there(int dir, const char *start, int at_flags)
{
	char path[PATH_MAX];

	if (strlen(start) >= sizeof(path))
		return false;
	strcpy(path, start);
	for (int links = 0; links <= MAX_LINKS; links++) {
		if (is_spelled_out(path) || (is_named_kvm(path) && is_in_dev(dir, path)))
			return true;
		if ((at_flags & AT_SYMLINK_NOFOLLOW) || !follow_link(dir, path))
			return false;
	}
	return false;
}

bool device_is_at(int dir, const char *path, int at_flags)
{
	int saved = errno;
	bool found;

	if (preload_is_off() || !there_is_string(path) || !is_named_kvm(path))
		return false;
	found = leads_there(dir, path, at_flags);
	errno = saved;
	return found;
}

static bool host_has_device(void)
{
	static int known;	/* (a) 0: not yet, 1: it has none, 2: it has one */
	int has = __atomic_load_n(&known, __ATOMIC_RELAXED);
	struct stat st;

	if (!has) {
		has = read_status(AT_FDCWD, FOLDER "/" NAME, &st) ? 2 : 1;
		__atomic_store_n(&known, has, __ATOMIC_RELAXED);
	}
	return has == 2;
}

bool device_is_opened(int dir, const char *path, int flags)
{
	bool follow = !(flags & O_NOFOLLOW), found;
	int saved = errno;

	if (preload_is_off() || !there_is_string(path))
		return false;
	if (!is_named_kvm(path) && !(follow && ((flags & O_CREAT) || host_has_device())))
		return false;
	found = leads_there(dir, path, follow ? 0 : AT_SYMLINK_NOFOLLOW);
	errno = saved;
	return found;
}

bool device_is_behind_link(int dir, const char *path)
{
	int saved = errno;
	bool found;

	switch (saved) {
	case ENOENT:	/* the host has none */
	case ENXIO:	/* or one without a driver */
	case ENODEV:
	case EACCES:	/* or one for others only */
	case EPERM:
		break;
	default:
		return false;
	}
	if (preload_is_off() || !there_is_string(path) || !*path)
		return false;
	found = leads_there(dir, path, 0);
	errno = saved;
	return found;
}

int device_status(struct stat *st)
{
	int saved = errno;

	/* Owner and times are those of its folder, if there is one.  The kernel does the write:
	 * the program's pointer may be bad. */
	if (!read_status(AT_FDCWD, FOLDER, st)) {
		if (!read_status(AT_FDCWD, "/", st) && errno == EFAULT)
			return -1;
		memset(st, 0, sizeof(*st));
	}
	errno = saved;
	st->st_ino = 0x6b766d;
	st->st_mode = S_IFCHR | 0666;
	st->st_nlink = 1;
	st->st_rdev = DEVICE_NUMBER;
	st->st_size = 0;
	st->st_blksize = 4096;
	st->st_blocks = 0;
	return 0;
}

bool device_is_hosts(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == DEVICE_NUMBER && !preload_is_off();
}

/* The new one has the old one's number, mode and flags. */
static bool replace_device(int fd, int flags, int descriptor_flags)
{
	int ours = umbra_open(flags), err;

	if (ours < 0)
		return false;
	err = NEXT(dup3)(ours, fd, descriptor_flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0;
	if (!err)
		umbra_dup(ours, fd);
	umbra_close(ours);
	return !err;
}

bool device_takes_over(int fd)
{
	int saved = errno, flags, descriptor_flags;
	thread_sigmask_t mask;
	struct stat st;
	bool was, taken = false;

	if (!read_status(fd, "", &st) || !device_is_hosts(&st))
		return false;
	mask = thread_hold_signals();
	was = thread_enter_library();
	flags = fcntl(fd, F_GETFL);
	descriptor_flags = fcntl(fd, F_GETFD);
	if (flags >= 0 && descriptor_flags >= 0)
		taken = replace_device(fd, flags & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_PATH),
				       descriptor_flags);
	thread_leave_library(was);
	thread_release_signals(mask);
	errno = saved;
	return taken;
}
