/* SPDX-License-Identifier: MIT */
/*
 * kvm/calls/memory.c - changes of the process's own mappings, in step with its VMs.
 *
 * The kernel reports these to KVM through MMU notifiers.  We interpose on the calls instead: the
 * range is invalidated in every VM, the system call is made, the invalidation ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "base/guarded.h"
#include "base/system_call.h"
#include "kvm/fd/mappings.h"
#include "kvm/revoke.h"
#include "mem/reservation.h"

/* A system call with up to six arguments, and its result. */
struct change {
	long number, args[6], result;
};

static void make_call(void *ctx)
{
	struct change *c = ctx;

	c->result = system_call(c->number, c->args[0], c->args[1], c->args[2], c->args[3],
				c->args[4], c->args[5]);
}

static struct hva_range range_of(const void *addr, size_t length)
{
	return (struct hva_range){ hva_of((uintptr_t)addr & PAGE_MASK),
				   hva_of(ALIGN_UP((uintptr_t)addr + length, PAGE_SIZE)) };
}

static long change_range(struct change *c, const void *addr, size_t length)
{
	struct hva_range range = range_of(addr, length);

	/* The kernel refuses an empty or wrapping range without touching anything. */
	revoke_around(&range, !hva_range_is_empty(range), make_call, c);
	return c->result;
}

/* Umbra's own memory is not part of the client's address space: calls on it fail as they do
 * beyond its end. */
static bool is_ours(const void *addr, size_t length)
{
	return reservation_meets((uintptr_t)addr, length);
}

static int refuse(int err)
{
	errno = err;
	return -1;
}

int umbra_munmap(void *addr, size_t length)
{
	struct change c = { .number = SYS_munmap, .args = { (long)addr, (long)length } };
	uint64_t since = mappings_now();

	if (is_ours(addr, length))
		return refuse(EINVAL);
	if (change_range(&c, addr, length) == 0)
		mappings_remove(hva_of((uintptr_t)addr), range_of(addr, length).end, since);
	return (int)c.result;
}

/* The guest has what the process may read and write: extending permissions revokes nothing. */
static bool takes_rights(int prot)
{
	return (prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE);
}

int umbra_mprotect(void *addr, size_t length, int prot)
{
	struct change c = { .number = SYS_mprotect, .args = { (long)addr, (long)length, prot } };

	if (is_ours(addr, length))
		return refuse(ENOMEM);
	if (takes_rights(prot))
		return (int)change_range(&c, addr, length);
	make_call(&c);
	return (int)c.result;
}

/* The rights of a key are per thread and can change without a call. */
int umbra_pkey_mprotect(void *addr, size_t length, int prot, int pkey)
{
	struct change c = {
		.number = SYS_pkey_mprotect,
		.args = { (long)addr, (long)length, prot, pkey },
	};

	if (is_ours(addr, length))
		return refuse(ENOMEM);
	return (int)change_range(&c, addr, length);
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103
#endif

/*
 * These leave contents and permissions of every page unchanged; where the host keeps a page (in a
 * large page, or merged with an equal one) does not show through a host address.  MADV_PAGEOUT is
 * not among them: waiting for a page to be read in again must happen outside guest mode, so the
 * guest must fault on it again.  Neither is any advice that we do not know.
 */
static bool advice_takes_pages(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_COLD:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_COLLAPSE:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_GUARD_REMOVE:
		return false;
	}
	return true;
}

int umbra_madvise(void *addr, size_t length, int advice)
{
	struct change c = { .number = SYS_madvise, .args = { (long)addr, (long)length, advice } };

	if (!advice_takes_pages(advice)) {
		make_call(&c);
		return (int)c.result;
	}
	if (is_ours(addr, length))
		return refuse(ENOMEM);
	return (int)change_range(&c, addr, length);
}

/* The PID that a pidfd refers to, or -1. */
static long pid_of(int pidfd)
{
	char path[40], text[512];
	const char *line;
	long fd, n;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = syscall(SYS_read, fd, text, sizeof(text) - 1);
	syscall(SYS_close, fd);
	text[MAX(n, 0)] = '\0';
	line = strstr(text, "\nPid:");
	return line ? strtol(line + strlen("\nPid:"), NULL, 10) : -1;
}

/* Any of our threads counts.  If unknown (no /proc), assume that it is us. */
static bool is_another_process(int pidfd)
{
	int saved = errno;
	long pid = pidfd >= 0 ? pid_of(pidfd) : -1;
	char path[40];
	bool is_other;

	snprintf(path, sizeof(path), "/proc/self/task/%ld", pid);
	is_other = pid > 0 && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) && errno == ENOENT;
	errno = saved;
	return is_other;
}

/* The hull: there is rarely more than one. */
ssize_t umbra_process_madvise(int pidfd, const struct iovec *vector, size_t n, int advice,
			      unsigned int flags)
{
	struct change c = {
		.number = SYS_process_madvise,
		.args = { pidfd, (long)vector, (long)n, advice, flags },
	};
	struct hva_range hull = { hva_of(~0ull), hva_of(0) };
	struct hva_range range;
	struct iovec part;

	if (!advice_takes_pages(advice) || is_another_process(pidfd)) {
		make_call(&c);
		return c.result;
	}
	for (size_t i = 0; i < n && i < IOV_MAX; i++) {
		if (!guarded_copy(&part, &vector[i], sizeof(part)))
			break;
		if (is_ours(part.iov_base, part.iov_len))
			return refuse(ENOMEM);
		range = range_of(part.iov_base, part.iov_len);
		hull.start = hva_min(hull.start, range.start);
		hull.end = hva_max(hull.end, range.end);
	}
	revoke_around(&hull, !hva_range_is_empty(hull), make_call, &c);
	return c.result;
}

int umbra_remap_file_pages(void *addr, size_t size, int prot, size_t page, int flags)
{
	struct change c = {
		.number = SYS_remap_file_pages,
		.args = { (long)addr, (long)size, prot, (long)page, flags },
	};

	if (is_ours(addr, size))
		return refuse(EINVAL);
	return (int)change_range(&c, addr, size);
}

void *umbra_mmap_memory(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct change c = {
		.number = SYS_mmap,
		.args = { (long)addr, (long)length, prot, flags, fd, (long)offset },
	};
	uint64_t since = mappings_now();
	bool replaces = (flags & MAP_FIXED) && !(flags & MAP_FIXED_NOREPLACE);
	struct hva_range range;

	if (replaces && is_ours(addr, length)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	if (replaces)
		change_range(&c, addr, length);
	else
		make_call(&c);
	if ((void *)c.result == MAP_FAILED)
		return MAP_FAILED;
	range = range_of((void *)c.result, length);
	if (!(flags & MAP_ANONYMOUS))
		mappings_add_file(range, fd, (uint64_t)offset);
	else if (replaces)
		mappings_remove(range.start, range.end, since);
	return (void *)c.result;
}

/* In place, all entries stay, except for the part cut off or added. */
static void note_resize(struct hva_range old, struct hva_range new, uint64_t since)
{
	if (hva_lt(new.end, old.end))
		mappings_remove(new.end, old.end, since);
	else if (hva_lt(old.end, new.end))
		mappings_grow(old.end, new.end, since);
}

/* An @old without a length is shared memory being mapped a second time. */
static void note_move(struct hva_range old, struct hva_range new, int flags, uint64_t since)
{
	bool is_copied = hva_range_is_empty(old);

	if (!is_copied && hva_eq(new.start, old.start)) {
		note_resize(old, new, since);
		return;
	}
	mappings_remove(new.start, new.end, since);
	if (is_copied)
		old.end = hva_add(old.end, PAGE_SIZE);
	mappings_copy(old, new, since);
	if (!is_copied && !(flags & MREMAP_DONTUNMAP))
		mappings_remove(old.start, old.end, since);
}

void *umbra_mremap(void *addr, size_t old_length, size_t new_length, int flags, void *new_addr)
{
	struct change c = {
		.number = SYS_mremap,
		.args = { (long)addr, (long)old_length, (long)new_length, flags, (long)new_addr },
	};
	struct hva_range ranges[2] = { range_of(addr, old_length) };
	unsigned int n = !hva_range_is_empty(ranges[0]);
	uint64_t since = mappings_now();

	if (is_ours(addr, old_length) ||
	    ((flags & MREMAP_FIXED) && is_ours(new_addr, new_length))) {
		errno = is_ours(addr, old_length) ? EFAULT : EINVAL;
		return MAP_FAILED;
	}
	/* One vanishes, the other is replaced. */
	if (flags & MREMAP_FIXED) {
		ranges[n] = range_of(new_addr, new_length);
		n += !hva_range_is_empty(ranges[n]);
	}
	revoke_around(ranges, n, make_call, &c);
	if ((void *)c.result != MAP_FAILED)
		note_move(range_of(addr, old_length), range_of((void *)c.result, new_length),
			  flags, since);
	return (void *)c.result;
}

void umbra_changing(void *addr, size_t length, void (*change)(void *ctx), void *ctx)
{
	struct hva_range range = range_of(addr, length);

	revoke_around(&range, !hva_range_is_empty(range), change, ctx);
}
