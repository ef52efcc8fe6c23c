/* SPDX-License-Identifier: MIT */
/* preload/descriptor.c - calls that close and copy descriptors. */
#include "preload/next.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <stdio.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "kvm/fd/file.h"

EXPORT int close(int fd)
{
	if (!file_is_known(fd) || preload_is_off())
		return NEXT(close)(fd);
	return as_libc(umbra_close(fd));
}

/* The C library closes the descriptor of a stream itself. */
EXPORT int fclose(FILE *stream)
{
	int saved = errno, fd = preload_is_off() ? -1 : fileno(stream);

	errno = saved;
	if (file_is_known(fd))
		umbra_forget((unsigned int)fd, (unsigned int)fd);
	return NEXT(fclose)(stream);
}

EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	int result = NEXT(close_range)(first, last, flags);

	if (!result && !(flags & (int)CLOSE_RANGE_CLOEXEC) && !preload_is_off())
		umbra_forget(first, last);
	return result;
}

EXPORT void closefrom(int first)
{
	NEXT(closefrom)(first);
	if (!preload_is_off())
		umbra_forget(first < 0 ? 0 : (unsigned int)first, ~0u);
}

EXPORT int dup(int fd)
{
	int result = NEXT(dup)(fd);

	if (result >= 0 && !preload_is_off())
		umbra_dup(fd, result);
	return result;
}

EXPORT int dup2(int fd, int to)
{
	int result = NEXT(dup2)(fd, to);

	if (result >= 0 && !preload_is_off())
		umbra_dup(fd, result);
	return result;
}

EXPORT int dup3(int fd, int to, int flags)
{
	int result = NEXT(dup3)(fd, to, flags);

	if (result >= 0 && !preload_is_off())
		umbra_dup(fd, result);
	return result;
}

/* The memory file behind the device is always open for both. */
static int flags_as_opened(int fd, int flags)
{
	struct file_seen seen;

	if (!file_look(fd, &seen))
		return flags;
	return (flags & ~O_ACCMODE) | seen.access | (seen.kind == FILE_PATH ? O_PATH : 0);
}

static int after_fcntl(int fd, int command, int result)
{
	if (result < 0)
		return result;
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		umbra_dup(fd, result);
	return command == F_GETFL && file_is_known(fd) ? flags_as_opened(fd, result) : result;
}

#define DEFINE_FCNTL(name)                                                              \
	EXPORT int name(int fd, int command, ...)                                       \
	{                                                                               \
		va_list args;                                                           \
		void *arg;                                                              \
		int result;                                                             \
                                                                                        \
		va_start(args, command);                                                \
		arg = va_arg(args, void *);                                             \
		va_end(args);                                                           \
		result = NEXT(name)(fd, command, arg);                                  \
		return preload_is_off() ? result : after_fcntl(fd, command, result);    \
	}

DEFINE_FCNTL(fcntl)
DEFINE_FCNTL(fcntl64)
