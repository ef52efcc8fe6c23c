/* SPDX-License-Identifier: MIT */
/*
 * kvm/umbra.c - the functions of <umbra/umbra.h>: the choices for future VMs, and descriptors.
 * Those that change memory are kvm/calls/memory.c and kvm/fd/file_memory.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "base/log.h"
#include "kvm/calls/call.h"
#include "kvm/process.h"
#include "kvm/stats.h"

int umbra_set_mmu(int mode)
{
	if (mode != UMBRA_MMU_TDP && mode != UMBRA_MMU_SHADOW)
		return -EINVAL;
	vm_choose_mode(mode == UMBRA_MMU_TDP ? MMU_TDP : MMU_SHADOW);
	return 0;
}

int umbra_set_flush_policy(int policy)
{
	if (policy != UMBRA_FLUSH_IF_MMU_WRITABLE && policy != UMBRA_FLUSH_IF_WRITABLE)
		return -EINVAL;
	vm_choose_flush_policy(policy == UMBRA_FLUSH_IF_WRITABLE ? FLUSH_IF_W_CLEARED :
								   FLUSH_IF_MMUW_CLEARED);
	return 0;
}

void umbra_set_log(void (*sink)(int level, const char *line), int level)
{
	log_set_sink(sink, level);
}

int umbra_stats_write(int fd)
{
	return stats_write_json(fd);
}

static int open_device(int flags)
{
	int err = process_init(), fd;
	enum file_kind kind;
	struct file *file;

	if (err)
		return err;
	process_settle();
	fd = file_make_device(flags, &kind);
	if (fd < 0)
		return fd;
	err = file_prepare(&file, fd, kind, NULL, NULL);
	if (err) {
		close(fd);
		return err;
	}
	file_attach(fd, file);
	return fd;
}

int umbra_open(int flags)
{
	int saved = errno, result;
	thread_sigmask_t mask = thread_hold_signals();
	bool was = thread_enter_library();

	result = open_device(flags);
	thread_leave_library(was);
	thread_release_signals(mask);
	errno = saved;
	return result;
}

bool umbra_owns(int fd)
{
	struct file_seen seen;

	return file_look(fd, &seen);
}

long umbra_ioctl(int fd, unsigned long request, uintptr_t arg)
{
	long result;

	return call_try(fd, request, arg, &result) ? result : -EBADF;
}

int umbra_close(int fd)
{
	thread_sigmask_t saved = thread_hold_signals();
	bool was = thread_enter_library();
	int err = -EBADF;

	if (file_is_known(fd)) {
		/*
		 * The entry is dropped first, then the number becomes free for reuse.  If it was
		 * already reused, the new owner's descriptor is closed.
		 */
		if (!process_is_borrowed())
			file_remove(fd);
		err = close(fd) ? -errno : 0;
	}
	thread_leave_library(was);
	thread_release_signals(saved);
	return err;
}

void umbra_dup(int old_fd, int new_fd)
{
	thread_sigmask_t mask;
	bool was;

	if (!file_is_known(old_fd) && !file_is_known(new_fd))
		return;
	mask = thread_hold_signals();
	was = thread_enter_library();
	if (!process_is_borrowed())
		file_dup(old_fd, new_fd);
	thread_leave_library(was);
	thread_release_signals(mask);
}

void umbra_forget(unsigned int first, unsigned int last)
{
	thread_sigmask_t mask = thread_hold_signals();
	bool was = thread_enter_library();

	if (!process_is_borrowed())
		file_remove_range(first, last);
	thread_leave_library(was);
	thread_release_signals(mask);
}

/* Of a vCPU: 0, or the kernel's errno for a refusal. */
static int check_vcpu_mapping(const struct file *file, uint64_t first, size_t length, int prot,
			      int flags)
{
	uint64_t last = first + (ALIGN_UP(length, PAGE_SIZE) >> PAGE_SHIFT) - 1;
	uint64_t ring_pages = file->vm->ring_bytes >> PAGE_SHIFT;

	/* Ring entries must be shared with the client. */
	if (last >= RING_PAGE && first < RING_PAGE + ring_pages)
		return (prot & PROT_EXEC) || !(flags & MAP_SHARED) ? EINVAL : 0;
	/* The kernel's file system of such files is mounted "noexec". */
	return prot & PROT_EXEC ? EPERM : 0;
}

static int check_mapping(const struct file *file, size_t length, int prot, int flags, off_t offset)
{
	if (file->kind == FILE_PATH)
		return EBADF;
	if (!length || (offset & (off_t)(PAGE_SIZE - 1)))
		return EINVAL;
	if (file->kind != FILE_VCPU)
		return ENODEV;
	return check_vcpu_mapping(file, (uint64_t)offset >> PAGE_SHIFT, length, prot, flags);
}

/*
 * Through a descriptor of our own, which cannot be replaced between the check and the mapping.
 * Through the client's if no number is left.
 */
static void *map_file(const struct file *file, void *addr, size_t length, int prot, int flags,
		      int fd, off_t offset, int *err)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	void *result = MAP_FAILED;

	*err = EBADF;
	if (file_is_behind(file, own < 0 ? fd : own)) {
		result = umbra_mmap_memory(addr, length, prot, flags, own < 0 ? fd : own,
					   offset + (off_t)stats_vcpu_bytes());
		*err = errno;
	}
	if (own >= 0)
		close(own);
	return result;
}

/*
 * One page of every vCPU is the VM's own, the ring of coalesced writes: a second mapping
 * of ours, in its place.
 */
static bool map_coalesced(const struct file *file, uint8_t *at, size_t length, int prot,
			  off_t offset)
{
	off_t start = ((off_t)COALESCED_PAGE << PAGE_SHIFT) - offset;
	uint8_t *page = at + start;

	if (start < 0 || start >= (off_t)length)
		return true;
	return mremap(file->vm->bus.ring, 0, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, page) ==
		       page &&
	       !mprotect(page, PAGE_SIZE, prot);
}

void *umbra_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset, int *err)
{
	thread_sigmask_t mask = thread_hold_signals();
	bool was = thread_enter_library();
	struct file *file = file_get(fd);
	void *result = MAP_FAILED;
	int saved = errno;

	*err = EBADF;
	if (file) {
		*err = check_mapping(file, length, prot, flags, offset);
		if (!*err)
			result = map_file(file, addr, length, prot, flags, fd, offset, err);
		if (result != MAP_FAILED && (flags & MAP_SHARED) &&
		    !map_coalesced(file, result, length, prot, offset)) {
			umbra_munmap(result, length);
			result = MAP_FAILED;
			*err = ENOMEM;
		}
		file_put(file);
	}
	thread_leave_library(was);
	thread_release_signals(mask);
	errno = saved;
	return result;
}
