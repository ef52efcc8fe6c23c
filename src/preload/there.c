/* SPDX-License-Identifier: MIT */
#include "preload/next.h"

#include "preload/there.h"

#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/system_call.h"
#include "base/types.h"
#include "sync/thread.h"

/* The kernel reads the set before it rejects the operation.  It lies at the end of the page: a
 * set at address 0 would mean none. */
#define DO_NOTHING (-1)
#define SET_BYTES sizeof(uint64_t)

static bool page_is_there(uintptr_t page)
{
	long set = (long)(page + PAGE_SIZE - SET_BYTES);
	int saved = errno;
	bool there;

	if (thread_is_filtered())
		return true;
	there = !system_call(SYS_rt_sigprocmask, DO_NOTHING, set, 0, SET_BYTES, 0, 0) ||
		errno != EFAULT;
	errno = saved;
	return there;
}

static uintptr_t page_of(const void *at)
{
	return ALIGN_DOWN((uintptr_t)at, (uintptr_t)PAGE_SIZE);
}

bool there_is(const void *at, size_t bytes)
{
	uintptr_t last = page_of((const char *)at + bytes - 1);

	if (!at || last < page_of(at))
		return false;
	for (uintptr_t page = page_of(at); page <= last; page += PAGE_SIZE)
		if (!page_is_there(page))
			return false;
	return true;
}

bool there_is_string(const char *string)
{
	const char *at = string;

	while (at && page_is_there(page_of(at))) {
		size_t rest = PAGE_SIZE - (uintptr_t)at % PAGE_SIZE;

		if (memchr(at, '\0', rest))
			return true;
		at += rest;
	}
	return false;
}
