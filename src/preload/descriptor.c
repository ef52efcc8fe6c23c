/* SPDX-License-Identifier: MIT */
/* preload/descriptor.c - calls that close and copy descriptors. */
#include "preload/next.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <stdarg.h>
#include <umbra/umbra.h>
#include <unistd.h>

EXPORT int close(int fd)
{
	if (preload_is_off() || !umbra_owns(fd))
		return NEXT(close)(fd);
	return as_libc(umbra_close(fd));
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
		if (result >= 0 && !preload_is_off() &&                                 \
		    (command == F_DUPFD || command == F_DUPFD_CLOEXEC))                 \
			umbra_dup(fd, result);                                          \
		return result;                                                          \
	}

DEFINE_FCNTL(fcntl)
DEFINE_FCNTL(fcntl64)
