/* SPDX-License-Identifier: MIT */
/*
 * preload/preload.c - the C library's calls that a KVM client makes, taken over.
 *
 * Each wrapper asks whether the call concerns us; if not, or if it is our own code
 * that calls, it goes on to the next definition of the symbol.  What is exported
 * here, and nothing else, is listed in preload/exports.txt.
 */
/* Meson defines it, and then open is open64: here both must be defined. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "base/guarded.h"
#include "preload/preload.h"

#define EXPORT __attribute__((visibility("default")))

/* The next definition of a symbol.  Found on first use: wrappers run before our
 * constructor has. */
#define NEXT(name)                                                                      \
	({                                                                              \
		static __typeof__(&name) found;                                         \
		__typeof__(&name) next = __atomic_load_n(&found, __ATOMIC_RELAXED);     \
		if (!next) {                                                            \
			next = (__typeof__(&name))dlsym(RTLD_NEXT, #name);              \
			__atomic_store_n(&found, next, __ATOMIC_RELAXED);               \
		}                                                                       \
		next;                                                                   \
	})

/* The API's result as the C library gives it. */
static int as_libc(long result)
{
	if (result >= 0)
		return (int)result;
	errno = (int)-result;
	return -1;
}

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

/* userfaultfd's ways to take pages from under the guest: the kernel notifies KVM
 * of them as of an unmapping. */
struct uffd_call {
	int fd;
	unsigned long request;
	void *arg;
	int result;
};

static void make_uffd_call(void *ctx)
{
	struct uffd_call *c = ctx;

	c->result = NEXT(ioctl)(c->fd, c->request, c->arg);
}

static bool protects_pages(unsigned long request, const void *arg, struct uffdio_range *range)
{
	struct uffdio_writeprotect wp;

	if (request == UFFDIO_REGISTER)
		return guarded_copy(range, arg, sizeof(*range));
	if (request != UFFDIO_WRITEPROTECT || !guarded_copy(&wp, arg, sizeof(wp)))
		return false;
	*range = wp.range;
	return wp.mode & UFFDIO_WRITEPROTECT_MODE_WP;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct uffdio_range range;
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);

	if (preload_is_off())
		return NEXT(ioctl)(fd, request, arg);
	if (umbra_owns(fd))
		return as_libc(umbra_ioctl(fd, request, (uintptr_t)arg));
	if (protects_pages(request, arg, &range)) {
		struct uffd_call c = { .fd = fd, .request = request, .arg = arg };

		umbra_changing((void *)(uintptr_t)range.start, range.len, make_uffd_call, &c);
		return c.result;
	}
	return NEXT(ioctl)(fd, request, arg);
}

static void *map(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *result;
	int err;

	if ((flags & MAP_ANONYMOUS) || !umbra_owns(fd))
		return umbra_mmap_memory(addr, length, prot, flags, fd, offset);
	result = umbra_mmap(addr, length, prot, flags, fd, offset, &err);
	if (result == MAP_FAILED)
		errno = err;
	return result;
}

EXPORT void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
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

/* SIGSEGV and SIGBUS are ours as soon as there is a VM; the program's handlers
 * for them are called for every fault that is not. */
EXPORT int sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	if (!preload_is_off() && guarded_sigaction(sig, new_action, old_action))
		return 0;
	return NEXT(sigaction)(sig, new_action, old_action);
}

EXPORT sighandler_t signal(int sig, sighandler_t handler)
{
	struct sigaction new_action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct sigaction old_action;

	sigemptyset(&new_action.sa_mask);
	if (!preload_is_off() && guarded_sigaction(sig, &new_action, &old_action))
		return old_action.sa_handler;
	return NEXT(signal)(sig, handler);
}
