/* SPDX-License-Identifier: MIT */
/*
 * kvm/fd/file_memory.c - calls that revoke memory through the file, or the segment, behind it:
 * kvm/fd/mappings.h says where that is mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "base/system_call.h"
#include "kvm/fd/file_memory.h"
#include "kvm/fd/mappings.h"
#include "kvm/process.h"
#include "mem/reservation.h"

struct file_call {
	long number, args[4], result;
};

static void make_file_call(void *ctx)
{
	struct file_call *c = ctx;

	c->result = system_call(c->number, c->args[0], c->args[1], c->args[2], c->args[3], 0, 0);
}

static void change_file(struct file_call *c, const struct stat *file, uint64_t first, uint64_t last)
{
	struct hva_range ranges[REVOKE_MAX_RANGES];
	unsigned int n = first <= last ? mappings_find(file, first, last, ranges) : 0;

	revoke_around(ranges, n, make_file_call, c);
}

/* Allocation revokes nothing; an unknown mode may do anything. */
static bool takes_pages(int mode)
{
	return mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE);
}

int umbra_fallocate(int fd, int mode, off_t offset, off_t length)
{
	struct file_call c = { SYS_fallocate, { fd, mode, offset, length }, 0 };
	bool moves_rest = mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE);
	uint64_t first = (uint64_t)offset, last = moves_rest ? ~0ull : first + (uint64_t)length - 1;
	struct stat file;

	if (takes_pages(mode) && process_may_have_vms() && offset >= 0 && length > 0 &&
	    syscall(SYS_fstat, fd, &file) == 0)
		change_file(&c, &file, first, last);
	else
		make_file_call(&c);
	return (int)c.result;
}

int umbra_ftruncate(int fd, off_t length)
{
	struct file_call c = { SYS_ftruncate, { fd, length }, 0 };
	struct stat file;

	if (process_may_have_vms() && length >= 0 && syscall(SYS_fstat, fd, &file) == 0)
		change_file(&c, &file, (uint64_t)length, ~0ull);
	else
		make_file_call(&c);
	return (int)c.result;
}

int umbra_truncate(const char *path, off_t length)
{
	struct file_call c = { SYS_truncate, { (long)path, length }, 0 };
	struct stat file;

	if (process_may_have_vms() && length >= 0 &&
	    syscall(SYS_newfstatat, AT_FDCWD, path, &file, 0) == 0)
		change_file(&c, &file, (uint64_t)length, ~0ull);
	else
		make_file_call(&c);
	return (int)c.result;
}

void truncation_begin(struct truncation *t, int dir, const char *path, int flags)
{
	struct hva_range ranges[REVOKE_MAX_RANGES];
	int saved = errno;
	struct stat file;
	unsigned int n = 0;

	t->is_open = false;
	if (!(flags & O_TRUNC) || (flags & O_PATH) || !process_may_have_vms())
		return;
	/* A pipe or a device has no pages to lose, and opening it may block for ever. */
	if (!system_call(SYS_newfstatat, dir, (long)path, (long)&file, 0, 0, 0) &&
	    S_ISREG(file.st_mode))
		n = mappings_find(&file, 0, ~0ull, ranges);
	errno = saved;
	if (!n)
		return;
	revoke_begin(&t->change, ranges, n);
	t->is_open = true;
}

void truncation_end(struct truncation *t)
{
	if (t->is_open)
		revoke_end(&t->change);
	t->is_open = false;
}

void *umbra_shmat(int id, const void *addr, int flags)
{
	struct file_call c = { SYS_shmat, { id, (long)addr, flags }, 0 };
	struct hva_range range = { hva_of((uintptr_t)addr & PAGE_MASK), hva_of(~0ull) };
	uint64_t bytes = 0;
	struct shmid_ds segment;

	/* A process that may not look at a segment can hardly map it. */
	if (shmctl(id, IPC_STAT, &segment) == 0) {
		bytes = ALIGN_UP((uint64_t)segment.shm_segsz, PAGE_SIZE);
		range.end = hva_add(range.start, bytes);
	}
	if ((flags & SHM_REMAP) && reservation_meets(range.start.raw, bytes)) {
		errno = EINVAL;
		return (void *)-1;
	}
	revoke_around(&range, !!(flags & SHM_REMAP), make_file_call, &c);
	if (c.result != -1 && bytes)
		mappings_add_segment(hva_of((uint64_t)c.result), bytes);
	return (void *)c.result;
}

int umbra_shmdt(const void *addr)
{
	struct file_call c = { SYS_shmdt, { (long)addr }, 0 };
	uint64_t since = mappings_now();
	struct hva_range range;
	bool is_known = mappings_segment(hva_of((uintptr_t)addr), &range);

	revoke_around(&range, !hva_range_is_empty(range), make_file_call, &c);
	if (c.result == 0 && is_known)
		mappings_remove(range.start, range.end, since);
	return (int)c.result;
}
