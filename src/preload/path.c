/* SPDX-License-Identifier: MIT */
/* preload/path.c - calls that open a file by its name: there is a /dev/kvm. */
#include "preload/next.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "preload/device.h"
#include "preload/truncation.h"

static bool needs_mode(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

static mode_t read_mode(int flags, va_list args)
{
	return needs_mode(flags) ? va_arg(args, mode_t) : 0;
}

/* The result of the next definition, unless it failed on our device. */
static int opened_or_device(int dir, const char *path, int flags, int fd)
{
	if (fd < 0 && !(flags & O_NOFOLLOW) && device_is_behind_link(dir, path))
		return as_libc(umbra_open(flags));
	return fd;
}

#define opened(dir, path, flags, call) \
	opened_or_device(dir, path, flags, MAY_TRUNCATE(dir, path, flags, call))

#define DEFINE_OPEN(name)                                                             \
	EXPORT int name(const char *path, int flags, ...)                             \
	{                                                                             \
		va_list args;                                                         \
		mode_t mode;                                                          \
                                                                                      \
		if (device_is_opened(AT_FDCWD, path, flags))                              \
			return as_libc(umbra_open(flags));                            \
		va_start(args, flags);                                                \
		mode = read_mode(flags, args);                                        \
		va_end(args);                                                         \
		return opened(AT_FDCWD, path, flags, NEXT(name)(path, flags, mode));  \
	}

#define DEFINE_OPENAT(name)                                                           \
	EXPORT int name(int dir, const char *path, int flags, ...)                    \
	{                                                                             \
		va_list args;                                                         \
		mode_t mode;                                                          \
                                                                                      \
		if (device_is_opened(dir, path, flags))                                   \
			return as_libc(umbra_open(flags));                            \
		va_start(args, flags);                                                \
		mode = read_mode(flags, args);                                        \
		va_end(args);                                                         \
		return opened(dir, path, flags, NEXT(name)(dir, path, flags, mode));  \
	}

/* Called for an open without a mode under _FORTIFY_SOURCE; no header declares them. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

#define DEFINE_OPEN_2(name)                                                     \
	EXPORT int name(const char *path, int flags)                            \
	{                                                                       \
		if (device_is_opened(AT_FDCWD, path, flags))                        \
			return as_libc(umbra_open(flags));                      \
		return opened(AT_FDCWD, path, flags, NEXT(name)(path, flags));  \
	}

#define DEFINE_OPENAT_2(name)                                                   \
	EXPORT int name(int dir, const char *path, int flags)                   \
	{                                                                       \
		if (device_is_opened(dir, path, flags))                             \
			return as_libc(umbra_open(flags));                      \
		return opened(dir, path, flags, NEXT(name)(dir, path, flags));  \
	}

#define CREAT_FLAGS (O_CREAT | O_WRONLY | O_TRUNC)

#define DEFINE_CREAT(name)                                                            \
	EXPORT int name(const char *path, mode_t mode)                                \
	{                                                                             \
		if (device_is_opened(AT_FDCWD, path, CREAT_FLAGS))                        \
			return as_libc(umbra_open(CREAT_FLAGS));                      \
		return opened(AT_FDCWD, path, CREAT_FLAGS, NEXT(name)(path, mode));   \
	}

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)
DEFINE_OPEN_2(__open_2)
DEFINE_OPEN_2(__open64_2)
DEFINE_OPENAT_2(__openat_2)
DEFINE_OPENAT_2(__openat64_2)
DEFINE_CREAT(creat)
DEFINE_CREAT(creat64)

/* The flags by which fopen() opens; an unknown letter is ignored, as there. */
static int stream_flags(const char *mode)
{
	int access = strchr(mode, '+') ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
	int how = *mode == 'w' ? O_CREAT | O_TRUNC : *mode == 'a' ? O_CREAT | O_APPEND : 0;

	return access | how | (strchr(mode, 'x') ? O_EXCL : 0) |
	       (strchr(mode, 'e') ? O_CLOEXEC : 0);
}

static FILE *open_stream(const char *mode)
{
	int fd = as_libc(umbra_open(stream_flags(mode)));
	FILE *stream;

	if (fd < 0)
		return NULL;
	stream = fdopen(fd, mode);
	if (!stream)
		umbra_close(fd);
	return stream;
}

#define DEFINE_FOPEN(name)                                                                  \
	EXPORT FILE *name(const char *path, const char *mode)                               \
	{                                                                                   \
		FILE *stream;                                                               \
                                                                                            \
		if (device_is_opened(AT_FDCWD, path, stream_flags(mode)))                   \
			return open_stream(mode);                                           \
		stream = MAY_TRUNCATE(AT_FDCWD, path, stream_flags(mode),                   \
				      NEXT(name)(path, mode));                              \
		return stream || !device_is_behind_link(AT_FDCWD, path) ?                   \
			       stream :                                                     \
			       open_stream(mode);                                           \
	}

DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

/* Opens the stream on any file, and then replaces its descriptor. */
static FILE *reopen_stream(const char *mode, FILE *stream)
{
	int flags = stream_flags(mode), fd = as_libc(umbra_open(flags | O_CLOEXEC));
	FILE *result = fd < 0 ? NULL : NEXT(freopen)("/", "r", stream);

	if (result && dup3(fd, fileno(result), flags & O_CLOEXEC) < 0) {
		fclose(result);
		result = NULL;
	}
	if (fd >= 0)
		umbra_close(fd);
	return result;
}

/* A stream whose reopening fails is closed: so resolve links first. */
static bool reopens_device(const char *path, const char *mode)
{
	return path && device_is_opened(AT_FDCWD, path, stream_flags(mode) | O_CREAT);
}

#define DEFINE_FREOPEN(name)                                                      \
	EXPORT FILE *name(const char *path, const char *mode, FILE *stream)       \
	{                                                                         \
		if (reopens_device(path, mode))                                   \
			return reopen_stream(mode, stream);                       \
		return MAY_TRUNCATE(AT_FDCWD, path, stream_flags(mode),           \
				    NEXT(name)(path, mode, stream));              \
	}

DEFINE_FREOPEN(freopen)
DEFINE_FREOPEN(freopen64)
