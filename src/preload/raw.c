/* SPDX-License-Identifier: MIT */
/*
 * preload/raw.c - syscall(2): system calls by number that concern the device,
 * descriptors and memory, openat2(2) first of all, which has no other name in the C library.
 *
 * They are answered like the functions that make them.  Unlike open() and close(), none is a
 * cancellation point.  This also notices restrictions of system calls, and possible changes of
 * the thread's signal mask.
 */
#include "preload/next.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "kvm/fd/file.h"
#include "preload/device.h"
#include "preload/signals/defer.h"
#include "preload/there.h"
#include "preload/truncation.h"
#include "sync/thread.h"

struct raw_call {
	long number, arg[6];
};

#define PATH(arg) ((const char *)(arg))

static long go_on(const struct raw_call *c)
{
	return NEXT(syscall)(c->number, c->arg[0], c->arg[1], c->arg[2], c->arg[3], c->arg[4],
			     c->arg[5]);
}

static long open_raw(const struct raw_call *c, int dir, const char *path, int flags)
{
	long fd;

	if (device_is_opened(dir, path, flags))
		return as_libc(umbra_open(flags));
	fd = MAY_TRUNCATE(dir, path, flags, go_on(c));
	if (fd < 0 && !(flags & O_NOFOLLOW) && device_is_behind_link(dir, path))
		return as_libc(umbra_open(flags));
	return fd;
}

/* A call that confines its path is left to the kernel, which knows what is allowed. */
static long open_as_told(const struct raw_call *c)
{
	struct open_how how;
	int flags;

	if (c->arg[3] != sizeof(how) || !there_is((const void *)c->arg[2], sizeof(how)))
		return go_on(c);
	memcpy(&how, (const void *)c->arg[2], sizeof(how));
	if (how.resolve & ~(uint64_t)(RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS))
		return go_on(c);
	flags = (int)how.flags | (how.resolve & RESOLVE_NO_SYMLINKS ? O_NOFOLLOW : 0);
	return open_raw(c, (int)c->arg[0], PATH(c->arg[1]), flags);
}

static long close_raw(const struct raw_call *c)
{
	int fd = (int)c->arg[0];

	return file_is_known(fd) ? as_libc(umbra_close(fd)) : go_on(c);
}

/* Before it takes effect: later calls may be forbidden. */
static void note_restriction(bool restricts)
{
	if (!restricts || preload_is_off())
		return;
	file_trust_numbers();
	thread_before_filter();
}

static long restrict_raw(const struct raw_call *c)
{
	note_restriction(c->number == SYS_seccomp ? c->arg[0] != SECCOMP_GET_ACTION_AVAIL &&
							    c->arg[0] != SECCOMP_GET_NOTIF_SIZES :
						    c->arg[0] == PR_SET_SECCOMP);
	return go_on(c);
}

EXPORT int prctl(int option, ...)
{
	unsigned long arg[4];
	va_list args;

	va_start(args, option);
	for (int i = 0; i < 4; i++)
		arg[i] = va_arg(args, unsigned long);
	va_end(args);
	note_restriction(option == PR_SET_SECCOMP);
	return NEXT(prctl)(option, arg[0], arg[1], arg[2], arg[3]);
}

struct heap_call {
	const struct raw_call *call;
	long result;
};

static void make_heap_call(void *ctx)
{
	struct heap_call *h = ctx;

	h->result = go_on(h->call);
}

/* It returns the heap's end, moved or not; the C library does not learn of it. */
static long brk_raw(const struct raw_call *c)
{
	struct heap_call h = { .call = c };
	long now = NEXT(syscall)(SYS_brk, 0), end = c->arg[0];

	if (end <= 0 || end >= now)
		return go_on(c);
	umbra_changing((void *)end, (size_t)(now - end), make_heap_call, &h);
	return h.result;
}

/* Calls on memory, as by their names.  False: it is another call. */
static bool answer_for_memory(const struct raw_call *c, long *result)
{
	long a = c->arg[0], b = c->arg[1], d = c->arg[2], e = c->arg[3], f = c->arg[4];
	void *addr = (void *)a;
	size_t bytes = (size_t)b;

	switch (c->number) {
	case SYS_mmap:
		*result = (long)mmap(addr, bytes, (int)d, (int)e, (int)f, c->arg[5]);
		return true;
	case SYS_munmap:
		*result = munmap(addr, bytes);
		return true;
	case SYS_mprotect:
		*result = mprotect(addr, bytes, (int)d);
		return true;
	case SYS_pkey_mprotect:
		*result = pkey_mprotect(addr, bytes, (int)d, (int)e);
		return true;
	case SYS_madvise:
		*result = madvise(addr, bytes, (int)d);
		return true;
	case SYS_process_madvise:
		*result = process_madvise((int)a, (const struct iovec *)b, (size_t)d, (int)e,
					  (unsigned int)f);
		return true;
	case SYS_mremap:
		*result = (long)mremap(addr, bytes, (size_t)d, (int)e, (void *)f);
		return true;
	case SYS_remap_file_pages:
		*result = remap_file_pages(addr, bytes, (int)d, (size_t)e, (int)f);
		return true;
	case SYS_shmat:
		*result = (long)shmat((int)a, (const void *)b, (int)d);
		return true;
	case SYS_shmdt:
		*result = shmdt(addr);
		return true;
	case SYS_truncate:
		*result = truncate(PATH(a), b);
		return true;
	case SYS_ftruncate:
		*result = ftruncate((int)a, b);
		return true;
	case SYS_fallocate:
		*result = fallocate((int)a, (int)b, d, e);
		return true;
	case SYS_brk:
		*result = brk_raw(c);
		return true;
	}
	return false;
}

static long answer_number(const struct raw_call *c)
{
	long a = c->arg[0], b = c->arg[1], d = c->arg[2];

	switch (c->number) {
	case SYS_open:
		return open_raw(c, AT_FDCWD, PATH(a), (int)b);
	case SYS_creat:
		return open_raw(c, AT_FDCWD, PATH(a), O_CREAT | O_WRONLY | O_TRUNC);
	case SYS_openat:
		return open_raw(c, (int)a, PATH(b), (int)d);
	case SYS_openat2:
		return open_as_told(c);
	case SYS_close:
		return close_raw(c);
	case SYS_close_range:
		return close_range((unsigned int)a, (unsigned int)b, (int)d);
	case SYS_dup:
		return dup((int)a);
	case SYS_dup2:
		return dup2((int)a, (int)b);
	case SYS_dup3:
		return dup3((int)a, (int)b, (int)d);
	case SYS_ioctl:
		return ioctl((int)a, (unsigned long)b, d);
	case SYS_rt_sigprocmask:
		defer_mask_changes();
		break;
	case SYS_seccomp:
	case SYS_prctl:
		return restrict_raw(c);
	case SYS_access:
		return access(PATH(a), (int)b);
	case SYS_faccessat:
		return faccessat((int)a, PATH(b), (int)d, 0);
	case SYS_statx:
		return statx((int)a, PATH(b), (int)d, (unsigned int)c->arg[3],
			     (struct statx *)c->arg[4]);
	}
	return go_on(c);
}

/* All six, whatever the caller has passed: unused ones are ignored. */
long preload_syscall(long number, long a, long b, long c, long d, long e, long f)
	__asm__("syscall");

EXPORT long preload_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	const struct raw_call call = { number, { a, b, c, d, e, f } };
	long result;

	if (preload_is_off())
		return go_on(&call);
	return answer_for_memory(&call, &result) ? result : answer_number(&call);
}
