/* SPDX-License-Identifier: MIT */
/*
 * preload/change.c - calls that change access to the device, which scripts make before they start
 * a VMM. Everyone has access, so these do nothing, but only for those allowed to make them.
 */
#include "preload/next.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/fd/file.h"
#include "preload/device.h"

static int change_device(void)
{
	if (geteuid() == 0)
		return 0;
	errno = EPERM;
	return -1;
}

/* The kernel's anonymous files have no owner and no mode of their own. */
static int change_descriptor(enum file_kind kind)
{
	if (kind == FILE_SYSTEM)
		return change_device();
	errno = kind == FILE_PATH ? EBADF : EOPNOTSUPP;
	return -1;
}

static bool is_device(int dir, const char *path, int flags)
{
	/* Links of any name are resolved: the host's own device must not be changed. */
	return device_is_opened(dir, path, flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : O_CREAT);
}

#define DEFINE_BY_PATH(name, flags, parameters, ...)                                          \
	EXPORT int name parameters                                                            \
	{                                                                                     \
		return is_device(AT_FDCWD, path, flags) ? change_device() :                   \
							  NEXT(name)(__VA_ARGS__);            \
	}

DEFINE_BY_PATH(chmod, 0, (const char *path, mode_t mode), path, mode)
DEFINE_BY_PATH(chown, 0, (const char *path, uid_t user, gid_t group), path, user, group)
DEFINE_BY_PATH(lchown, AT_SYMLINK_NOFOLLOW, (const char *path, uid_t user, gid_t group), path,
	       user, group)

#define DEFINE_AT(name, parameters, ...)                                                      \
	EXPORT int name parameters                                                            \
	{                                                                                     \
		return is_device(dir, path, flags) ?                                          \
			       change_device() :                                              \
			       NEXT(name)(__VA_ARGS__);                                       \
	}

DEFINE_AT(fchmodat, (int dir, const char *path, mode_t mode, int flags), dir, path, mode, flags)
DEFINE_AT(fchownat, (int dir, const char *path, uid_t user, gid_t group, int flags), dir, path,
	  user, group, flags)

#define DEFINE_BY_DESCRIPTOR(name, parameters, ...)                                           \
	EXPORT int name parameters                                                            \
	{                                                                                     \
		struct file_seen seen;                                                        \
                                                                                              \
		if (!file_is_known(fd) || preload_is_off() || !file_look(fd, &seen))          \
			return NEXT(name)(__VA_ARGS__);                                       \
		return change_descriptor(seen.kind);                                          \
	}

DEFINE_BY_DESCRIPTOR(fchmod, (int fd, mode_t mode), fd, mode)
DEFINE_BY_DESCRIPTOR(fchown, (int fd, uid_t user, gid_t group), fd, user, group)
