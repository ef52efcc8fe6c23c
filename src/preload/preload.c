/* SPDX-License-Identifier: MIT */
/*
 * preload/preload.c - calls on our descriptors, on the process's memory, and on its
 * signals.
 *
 * preload/exports.txt lists exactly what the library exports.
 */
#include "preload/next.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "base/guarded.h"
#include "kvm/calls/call.h"
#include "mem/reservation.h"
#include "preload/device.h"
#include "preload/signals/defer.h"
#include "sync/thread.h"

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;
	long result;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);

	if (preload_is_off())
		return NEXT(ioctl)(fd, request, arg);
	if (call_try(fd, request, (uintptr_t)arg, &result))
		return as_libc(result);
	if (_IOC_TYPE(request) == KVMIO && device_takes_over(fd) &&
	    call_try(fd, request, (uintptr_t)arg, &result))
		return as_libc(result);
	return memory_ioctl(fd, request, arg);
}

static void *map(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *result;
	int err;

	if ((flags & MAP_ANONYMOUS) || !file_is_known(fd) || !umbra_owns(fd))
		return umbra_mmap_memory(addr, length, prot, flags, fd, offset);
	result = umbra_mmap(addr, length, prot, flags, fd, offset, &err);
	if (result == MAP_FAILED)
		errno = err;
	return result;
}

/* liburcu's record of threads: it must not lie in a hole of the client's memory. */
static bool is_for_us(int flags)
{
	return thread_is_in_library && defer_is_holding() &&
	       (flags & (MAP_ANONYMOUS | MAP_FIXED | MAP_FIXED_NOREPLACE)) == MAP_ANONYMOUS;
}

static void *map_for_us(size_t length)
{
	void *p = reservation_get(ALIGN_UP(length, (size_t)PAGE_SIZE));

	errno = ENOMEM;
	return p ? p : MAP_FAILED;
}

EXPORT void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	if (is_for_us(flags))
		return map_for_us(length);
	if (preload_is_off())
		return NEXT(mmap)(addr, length, prot, flags, fd, offset);
	return map(addr, length, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off64_t offset)
{
	if (preload_is_off())
		return NEXT(mmap64)(addr, length, prot, flags, fd, offset);
	return map(addr, length, prot, flags, fd, offset);
}

EXPORT int munmap(void *addr, size_t length)
{
	return preload_is_off() ? NEXT(munmap)(addr, length) : umbra_munmap(addr, length);
}

EXPORT int mprotect(void *addr, size_t length, int prot)
{
	return preload_is_off() ? NEXT(mprotect)(addr, length, prot) :
				  umbra_mprotect(addr, length, prot);
}

EXPORT int madvise(void *addr, size_t length, int advice)
{
	return preload_is_off() ? NEXT(madvise)(addr, length, advice) :
				  umbra_madvise(addr, length, advice);
}

EXPORT void *mremap(void *addr, size_t old_length, size_t new_length, int flags, ...)
{
	void *new_addr = NULL;
	va_list args;

	if (flags & MREMAP_FIXED) {
		va_start(args, flags);
		new_addr = va_arg(args, void *);
		va_end(args);
	}
	return preload_is_off() ? NEXT(mremap)(addr, old_length, new_length, flags, new_addr) :
				  umbra_mremap(addr, old_length, new_length, flags, new_addr);
}
