/* SPDX-License-Identifier: MIT */
/* preload/path.c - calls that name a file: there is a /dev/kvm. */
#include "preload/next.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <umbra/umbra.h>
#include <unistd.h>

static bool is_dev_kvm(const char *path)
{
	return !preload_is_off() && path && strcmp(path, "/dev/kvm") == 0;
}

static bool needs_mode(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

static mode_t read_mode(int flags, va_list args)
{
	return needs_mode(flags) ? va_arg(args, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                    \
	EXPORT int name(const char *path, int flags, ...)                    \
	{                                                                    \
		va_list args;                                                \
		mode_t mode;                                                 \
                                                                             \
		if (is_dev_kvm(path))                                        \
			return as_libc(umbra_open(flags));                   \
		va_start(args, flags);                                       \
		mode = read_mode(flags, args);                               \
		va_end(args);                                                \
		return NEXT(name)(path, flags, mode);                        \
	}

#define DEFINE_OPENAT(name)                                                  \
	EXPORT int name(int dir, const char *path, int flags, ...)           \
	{                                                                    \
		va_list args;                                                \
		mode_t mode;                                                 \
                                                                             \
		if (is_dev_kvm(path))                                        \
			return as_libc(umbra_open(flags));                   \
		va_start(args, flags);                                       \
		mode = read_mode(flags, args);                               \
		va_end(args);                                                \
		return NEXT(name)(dir, path, flags, mode);                   \
	}

/* What _FORTIFY_SOURCE makes of an open without a mode; no header declares them. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

#define DEFINE_OPEN_2(name)                                  \
	EXPORT int name(const char *path, int flags)         \
	{                                                    \
		if (is_dev_kvm(path))                        \
			return as_libc(umbra_open(flags));   \
		return NEXT(name)(path, flags);              \
	}

#define DEFINE_OPENAT_2(name)                                \
	EXPORT int name(int dir, const char *path, int flags) \
	{                                                    \
		if (is_dev_kvm(path))                        \
			return as_libc(umbra_open(flags));   \
		return NEXT(name)(dir, path, flags);         \
	}

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)
DEFINE_OPEN_2(__open_2)
DEFINE_OPEN_2(__open64_2)
DEFINE_OPENAT_2(__openat_2)
DEFINE_OPENAT_2(__openat64_2)

/* A device that cannot be seen but can be opened would puzzle who looks first. */
EXPORT int access(const char *path, int mode)
{
	if (is_dev_kvm(path) && !(mode & X_OK))
		return 0;
	return NEXT(access)(path, mode);
}
