/* SPDX-License-Identifier: MIT */
/* kvm/system.c - calls on the system's descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "base/guarded.h"
#include "base/log.h"
#include "cpu/cpuid.h"
#include "cpu/msr.h"
#include "kvm/abi.h"
#include "kvm/call.h"
#include "kvm/process.h"
#include "kvm/stats.h"
#include "mem/reservation.h"
#include "sync/window.h"

#define MAX_CPUID_ENTRIES 256u
#define MAX_IO_MSRS 256u

void umbra_set_log(void (*sink)(int level, const char *line), int level)
{
	log_set_sink(sink, level);
}

int umbra_sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action)
{
	if (guarded_sigaction(sig, new_action, old_action))
		return 0;
	if (window_has_signal(sig)) {
		errno = EINVAL;
		return -1;
	}
	return sigaction(sig, new_action, old_action);
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

int umbra_close(int fd)
{
	thread_sigmask_t saved = thread_hold_signals();
	bool was = thread_enter_library();
	int err = -EBADF;

	if (file_is_known(fd)) {
		/*
		 * The number first becomes nobody's, then free for others.  Should it have
		 * changed hands before, it is the new owner's that is closed.
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

/* Of a vCPU: 0, or the errno by which the kernel refuses. */
static int check_vcpu_mapping(const struct file *file, uint64_t first, size_t length, int prot,
			      int flags)
{
	uint64_t last = first + (ALIGN_UP(length, PAGE_SIZE) >> PAGE_SHIFT) - 1;
	uint64_t ring_pages = file->vm->ring_bytes >> PAGE_SHIFT;

	/* Ring entries must be the client's and ours at once. */
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
 * By a descriptor of our own, which nobody can exchange between the look at what it
 * is and the mapping.  Without a number left for it, by the client's.
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

long call_get_api_version(struct call *c)
{
	return c->arg ? -EINVAL : KVM_API_VERSION;
}

long call_create_vm(struct call *c)
{
	struct file *file;
	struct vm *vm;
	int err, fd;

	if (c->arg)
		return -EINVAL;
	err = vm_create(&vm);
	if (err)
		return err;
	fd = vm->shared.fd;
	err = file_prepare(&file, fd, FILE_VM, vm, NULL);
	if (err) {
		vm_put(vm);
		return err;
	}
	vm->shared.fd = -1;
	file_attach(fd, file);
	return fd;
}

long call_check_extension(struct call *c)
{
	enum mmu_mode mode = c->vm ? c->vm->mmu.mode : vm_mode_of_new();

	/* There is nothing to fault in before an access where tables follow the guest's. */
	if (c->arg == KVM_CAP_PRE_FAULT_MEMORY)
		return mode == MMU_TDP;
	return capability(c->arg);
}

long call_get_vcpu_mmap_size(struct call *c)
{
	return c->arg ? -EINVAL : (long)(VCPU_PAGES << PAGE_SHIFT);
}

static struct kvm_cpuid_entry2 to_client(const struct cpuid_entry *e)
{
	return (struct kvm_cpuid_entry2){
		.function = e->leaf,
		.index = e->subleaf,
		.flags = e->has_subleafs ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = e->eax,
		.ebx = e->ebx,
		.ecx = e->ecx,
		.edx = e->edx,
	};
}

long call_get_supported_cpuid(struct call *c)
{
	struct kvm_cpuid2 *head = c->data;
	struct cpuid_entry entries[MAX_CPUID_ENTRIES];
	unsigned int n = cpuid_supported(entries, MAX_CPUID_ENTRIES);

	if (head->nent < n)
		return -E2BIG;
	for (unsigned int i = 0; i < n; i++) {
		struct kvm_cpuid_entry2 e = to_client(&entries[i]);

		if (copy_to_client(c->arg + sizeof(*head) + i * sizeof(e), &e, sizeof(e)))
			return -EFAULT;
	}
	head->nent = n;
	return 0;
}

/* Both lists: the client asks with too small a number first. */
static long give_list(struct call *c, const uint32_t *list, uint32_t n)
{
	struct kvm_msr_list *head = c->data;
	uint32_t room = head->nmsrs;

	head->nmsrs = n;
	if (room < n)
		return copy_to_client(c->arg, head, sizeof(*head)) ? -EFAULT : -E2BIG;
	return copy_to_client(c->arg + sizeof(*head), list, n * sizeof(*list));
}

long call_get_msr_index_list(struct call *c)
{
	return give_list(c, msr_list, n_msr_list);
}

long call_get_msr_feature_index_list(struct call *c)
{
	return give_list(c, msr_feature_list, n_msr_feature_list);
}

/* Up to the first that there is not; returns how many. */
long call_get_feature_msrs(struct call *c)
{
	struct kvm_msrs *head = c->data;

	if (head->nmsrs >= MAX_IO_MSRS)
		return -E2BIG;
	for (uint32_t i = 0; i < head->nmsrs; i++) {
		uintptr_t at = c->arg + sizeof(*head) + i * sizeof(struct kvm_msr_entry);
		struct kvm_msr_entry e;
		uint64_t value;

		if (copy_from_client(&e, at, sizeof(e)))
			return -EFAULT;
		if (!msr_feature(e.index, &value))
			return i;
		e.data = value;
		if (copy_to_client(at, &e, sizeof(e)))
			return -EFAULT;
	}
	return head->nmsrs;
}
