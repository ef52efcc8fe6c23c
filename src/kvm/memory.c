/* SPDX-License-Identifier: MIT */
/*
 * kvm/memory.c - changes of the process's own mappings, in step with its VMs.
 *
 * The kernel tells KVM of them by MMU notifiers.  Here the call itself comes by:
 * the range is withdrawn from every VM, the system call made, the range released.
 */
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "kvm/process.h"
#include "mem/reservation.h"

/* A system call with up to six arguments, and its result. */
struct change {
	long number, args[6], result;
};

static void make_call(void *ctx)
{
	struct change *c = ctx;

	c->result = syscall(c->number, c->args[0], c->args[1], c->args[2], c->args[3], c->args[4],
			    c->args[5]);
}

static struct hva_range range_of(const void *addr, size_t length)
{
	return (struct hva_range){ (uintptr_t)addr & PAGE_MASK,
				   ALIGN_UP((uintptr_t)addr + length, PAGE_SIZE) };
}

static long change_range(struct change *c, const void *addr, size_t length)
{
	struct hva_range range = range_of(addr, length);

	/* The system refuses an empty or wrapping one, without touching anything. */
	process_invalidate(&range, range.start < range.end, make_call, c);
	return c->result;
}

/* Umbra's own memory is no part of the client's address space: calls on it fail as
 * they do beyond the end of that. */
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

	if (is_ours(addr, length))
		return refuse(EINVAL);
	return (int)change_range(&c, addr, length);
}

int umbra_mprotect(void *addr, size_t length, int prot)
{
	struct change c = { .number = SYS_mprotect, .args = { (long)addr, (long)length, prot } };

	if (is_ours(addr, length))
		return refuse(ENOMEM);
	return (int)change_range(&c, addr, length);
}

/* Advice that only concerns how soon pages come and go changes none of them. */
static bool advice_changes_pages(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
		return false;
	}
	return true;
}

int umbra_madvise(void *addr, size_t length, int advice)
{
	struct change c = { .number = SYS_madvise, .args = { (long)addr, (long)length, advice } };

	if (!advice_changes_pages(advice)) {
		make_call(&c);
		return (int)c.result;
	}
	if (is_ours(addr, length))
		return refuse(ENOMEM);
	return (int)change_range(&c, addr, length);
}

void *umbra_mmap_memory(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	struct change c = {
		.number = SYS_mmap,
		.args = { (long)addr, (long)length, prot, flags, fd, (long)offset },
	};

	/* Without MAP_FIXED nothing is there that could be replaced. */
	if (!(flags & MAP_FIXED)) {
		make_call(&c);
		return (void *)c.result;
	}
	if (is_ours(addr, length)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return (void *)change_range(&c, addr, length);
}

void *umbra_mremap(void *addr, size_t old_length, size_t new_length, int flags, void *new_addr)
{
	struct change c = {
		.number = SYS_mremap,
		.args = { (long)addr, (long)old_length, (long)new_length, flags, (long)new_addr },
	};
	struct hva_range ranges[2] = { range_of(addr, old_length) };
	unsigned int n = ranges[0].start < ranges[0].end;

	if (is_ours(addr, old_length) ||
	    ((flags & MREMAP_FIXED) && is_ours(new_addr, new_length))) {
		errno = is_ours(addr, old_length) ? EFAULT : EINVAL;
		return MAP_FAILED;
	}
	/* One vanishes, the other is replaced. */
	if (flags & MREMAP_FIXED) {
		ranges[n] = range_of(new_addr, new_length);
		n += ranges[n].start < ranges[n].end;
	}
	process_invalidate(ranges, n, make_call, &c);
	return (void *)c.result;
}

void umbra_changing(void *addr, size_t length, void (*change)(void *ctx), void *ctx)
{
	struct hva_range range = range_of(addr, length);

	process_invalidate(&range, range.start < range.end, change, ctx);
}
