/* SPDX-License-Identifier: MIT */
/**
 * umbra/umbra.h - the KVM API as functions.
 *
 * umbra_open(), umbra_ioctl(), umbra_mmap() and umbra_close() do what open(2), ioctl(2),
 * mmap(2) and close(2) do with /dev/kvm, with the commands and structures of
 * <linux/kvm.h>.  File descriptors are real ones, so dup, poll, close-on-exec and fork
 * treat them like any other; only these calls know what is behind them.
 *
 * Guest memory is ordinary memory of the calling process.  To unmap, move, replace or
 * protect memory behind a slot, the program must use umbra_munmap() and its siblings.
 * (A program run by `umbra run` need not: its own calls are interposed.)  If memory
 * goes away in another way, the guest's next access finds out, and KVM_RUN fails with
 * EFAULT, as in the kernel.
 *
 * Context: every call may be made from any thread unless it says otherwise.  A
 * call on a vCPU waits while another thread is in a call on it.  In the child of
 * fork(2) the parent's VMs answer every call with -EIO; the child can make its own.
 *
 * Return: these functions return 0 or more, or a negative errno, and leave errno
 * itself alone.
 *
 * Source: Linux Documentation/virt/kvm/api.rst.
 */
#ifndef UMBRA_UMBRA_H
#define UMBRA_UMBRA_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <umbra/modes.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UMBRA_VERSION "0.1.0"

/**
 * umbra_set_mmu - choose the MMU of VMs created from now on.
 * @mode: an enum umbra_mmu_mode.
 *
 * Return: 0, or -EINVAL for a mode that is not known.
 */
UMBRA_API int umbra_set_mmu(int mode);

/**
 * umbra_set_flush_policy - choose the flush policy of VMs created from now on.
 * @policy: an enum umbra_flush_policy.
 *
 * Both are correct; the statistics show what each costs.  With the first, write-protecting
 * pages for dirty logging flushes once, after the MMU lock is dropped; with the second,
 * each time, under the lock.
 *
 * Return: 0, or -EINVAL for a policy that is not known.
 */
UMBRA_API int umbra_set_flush_policy(int policy);

/**
 * umbra_set_log - receive the library's log.
 * @sink:  called with a level of syslog(3) and a line without newline, from any
 *         thread; NULL to receive nothing more.
 * @level: lines above it are dropped.
 */
UMBRA_API void umbra_set_log(void (*sink)(int level, const char *line), int level);

/**
 * umbra_open - the equivalent of open("/dev/kvm", flags).
 * @flags: as for open(2).  No call needs a particular access mode; with O_PATH all fail.
 *         Needs no file system.
 *
 * Return: a file descriptor, or -EMFILE, -ENFILE, -ENOMEM; -EEXIST, -ENOTDIR or
 *         -EINVAL for flags that a device does not accept.
 */
UMBRA_API int umbra_open(int flags);

/**
 * umbra_owns - true if this file descriptor is one of ours.
 *
 * A descriptor is identified by the file behind it: one that was closed by other means
 * than umbra_close(), and whose number was reused, is not ours.
 */
UMBRA_API bool umbra_owns(int fd);

/**
 * umbra_ioctl - one call of the KVM API.
 * @fd:      of the system, a VM or a vCPU.
 * @request: a KVM_* command; only its low 32 bits count, as in the kernel.
 * @arg:     a value, or the address of the command's structure.
 *
 * Signals are held back while a call is in progress, as in a system call.
 *
 * Return: what the command returns, or
 *         -EBADF   @fd is not ours
 *         -ENOTTY  no such command for a VM
 *         -EINVAL  no such command for the system or a vCPU, or bad input
 *         -EFAULT  @arg is not readable or writable as the command needs
 *         -EIO     the VM belongs to another process
 *         and the errnos of the command itself
 */
UMBRA_API long umbra_ioctl(int fd, unsigned long request, uintptr_t arg);

/**
 * umbra_mmap - map a vCPU's shared pages: struct kvm_run, its data, its dirty ring.
 *
 * As mmap(2); @fd must be a vCPU's.
 *
 * Return: the address, or MAP_FAILED with the reason in *@err (a positive errno:
 *         EINVAL for a private or executable mapping of the dirty ring, EPERM for
 *         another executable one, ENODEV for what is no vCPU's, EBADF if not ours).
 */
UMBRA_API void *umbra_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset,
			   int *err);

/**
 * umbra_close - close one descriptor.  A VM lives until its last descriptor and
 * those of all its vCPUs are closed.
 *
 * Return: 0, or -EBADF.
 */
UMBRA_API int umbra_close(int fd);

/**
 * umbra_dup - report that @new_fd is now a duplicate of @old_fd (by dup(2) or fcntl(2)).
 * If @new_fd was one of ours before, that one is closed.  Neither need be ours.
 */
UMBRA_API void umbra_dup(int old_fd, int new_fd);

/**
 * umbra_forget - report that [@first, @last] have been closed by other means.
 */
UMBRA_API void umbra_forget(unsigned int first, unsigned int last);

/**
 * umbra_munmap, umbra_mremap, umbra_mprotect, umbra_pkey_mprotect, umbra_madvise,
 * umbra_process_madvise, umbra_remap_file_pages, umbra_mmap_memory, umbra_shmat,
 * umbra_shmdt - change the mappings of this process as the system calls of these names
 * do, in step with every VM: no vCPU uses the old pages from the moment the system call is
 * made.
 *
 * No lock is held during the system call, so it may wait for other threads of the program,
 * whatever these do.  Signal handlers do not run on its thread meanwhile, unless the call
 * revokes nothing (as MADV_POPULATE_WRITE).
 *
 * Return: as the system calls, with -1 and errno.
 */
UMBRA_API int umbra_munmap(void *addr, size_t length);
UMBRA_API void *umbra_mremap(void *addr, size_t old_length, size_t new_length, int flags,
			     void *new_addr);
UMBRA_API int umbra_mprotect(void *addr, size_t length, int prot);
UMBRA_API int umbra_pkey_mprotect(void *addr, size_t length, int prot, int pkey);
UMBRA_API int umbra_madvise(void *addr, size_t length, int advice);
struct iovec;
UMBRA_API ssize_t umbra_process_madvise(int pidfd, const struct iovec *vector, size_t n,
					int advice, unsigned int flags);
UMBRA_API int umbra_remap_file_pages(void *addr, size_t size, int prot, size_t page, int flags);
UMBRA_API void *umbra_shmat(int id, const void *addr, int flags);
UMBRA_API int umbra_shmdt(const void *addr);
UMBRA_API void *umbra_mmap_memory(void *addr, size_t length, int prot, int flags, int fd,
				  off_t offset);

/**
 * umbra_fallocate, umbra_ftruncate, umbra_truncate - the same for the pages of a file,
 * wherever umbra_mmap_memory() has mapped it.
 *
 * Return: as the system calls, with -1 and errno.
 */
UMBRA_API int umbra_fallocate(int fd, int mode, off_t offset, off_t length);
UMBRA_API int umbra_ftruncate(int fd, off_t length);
UMBRA_API int umbra_truncate(const char *path, off_t length);

/**
 * umbra_changing - run @change while no vCPU uses [@addr, @addr + @length).
 *
 * For changes of mappings that no function above makes, such as userfaultfd's.  Calls may
 * be nested for several ranges.
 */
UMBRA_API void umbra_changing(void *addr, size_t length, void (*change)(void *ctx), void *ctx);

/**
 * umbra_stats_write - write every counter, summed over all VMs so far, as one line of
 * JSON, with this process's PID and name.
 * @fd: if opened with O_APPEND it may be shared with other processes.
 *
 * Return: 0 or a negative errno.
 */
UMBRA_API int umbra_stats_write(int fd);

/*
 * The commands by name, with their arguments' types.
 */
#define UMBRA_CALL_VALUE(name, request)                              \
	static inline long umbra_##name(int fd, unsigned long value) \
	{                                                            \
		return umbra_ioctl(fd, request, value);              \
	}
#define UMBRA_CALL_STRUCT(name, request, type)                       \
	static inline long umbra_##name(int fd, type *arg)           \
	{                                                            \
		return umbra_ioctl(fd, request, (uintptr_t)arg);     \
	}

/* The system. */
UMBRA_CALL_VALUE(create_vm, KVM_CREATE_VM)
UMBRA_CALL_VALUE(check_extension, KVM_CHECK_EXTENSION)
UMBRA_CALL_VALUE(get_vcpu_mmap_size, KVM_GET_VCPU_MMAP_SIZE)
UMBRA_CALL_STRUCT(get_supported_cpuid, KVM_GET_SUPPORTED_CPUID, struct kvm_cpuid2)
UMBRA_CALL_STRUCT(get_msr_index_list, KVM_GET_MSR_INDEX_LIST, struct kvm_msr_list)
UMBRA_CALL_STRUCT(get_msr_feature_index_list, KVM_GET_MSR_FEATURE_INDEX_LIST, struct kvm_msr_list)

/* A VM; the dirty log and capabilities work on its descriptor. */
UMBRA_CALL_VALUE(create_vcpu, KVM_CREATE_VCPU)
UMBRA_CALL_VALUE(set_tss_addr, KVM_SET_TSS_ADDR)
UMBRA_CALL_STRUCT(set_identity_map_addr, KVM_SET_IDENTITY_MAP_ADDR, const uint64_t)
UMBRA_CALL_STRUCT(set_user_memory_region, KVM_SET_USER_MEMORY_REGION,
		  const struct kvm_userspace_memory_region)
UMBRA_CALL_STRUCT(get_dirty_log, KVM_GET_DIRTY_LOG, const struct kvm_dirty_log)
UMBRA_CALL_STRUCT(clear_dirty_log, KVM_CLEAR_DIRTY_LOG, const struct kvm_clear_dirty_log)
UMBRA_CALL_VALUE(reset_dirty_rings, KVM_RESET_DIRTY_RINGS)
UMBRA_CALL_STRUCT(register_coalesced_mmio, KVM_REGISTER_COALESCED_MMIO,
		  const struct kvm_coalesced_mmio_zone)
UMBRA_CALL_STRUCT(unregister_coalesced_mmio, KVM_UNREGISTER_COALESCED_MMIO,
		  const struct kvm_coalesced_mmio_zone)
UMBRA_CALL_STRUCT(ioeventfd, KVM_IOEVENTFD, const struct kvm_ioeventfd)
UMBRA_CALL_VALUE(create_irqchip, KVM_CREATE_IRQCHIP)
UMBRA_CALL_STRUCT(irq_line, KVM_IRQ_LINE, const struct kvm_irq_level)
UMBRA_CALL_STRUCT(irqfd, KVM_IRQFD, const struct kvm_irqfd)
UMBRA_CALL_STRUCT(enable_cap, KVM_ENABLE_CAP, const struct kvm_enable_cap)
UMBRA_CALL_VALUE(get_stats_fd, KVM_GET_STATS_FD)

/* A vCPU. */
UMBRA_CALL_VALUE(run, KVM_RUN)
UMBRA_CALL_STRUCT(get_regs, KVM_GET_REGS, struct kvm_regs)
UMBRA_CALL_STRUCT(set_regs, KVM_SET_REGS, const struct kvm_regs)
UMBRA_CALL_STRUCT(get_sregs, KVM_GET_SREGS, struct kvm_sregs)
UMBRA_CALL_STRUCT(set_sregs, KVM_SET_SREGS, const struct kvm_sregs)
UMBRA_CALL_STRUCT(get_fpu, KVM_GET_FPU, struct kvm_fpu)
UMBRA_CALL_STRUCT(set_fpu, KVM_SET_FPU, const struct kvm_fpu)
UMBRA_CALL_STRUCT(set_guest_debug, KVM_SET_GUEST_DEBUG, const struct kvm_guest_debug)
UMBRA_CALL_STRUCT(get_xsave, KVM_GET_XSAVE, struct kvm_xsave)
UMBRA_CALL_STRUCT(set_xsave, KVM_SET_XSAVE, const struct kvm_xsave)
UMBRA_CALL_STRUCT(get_xcrs, KVM_GET_XCRS, struct kvm_xcrs)
UMBRA_CALL_STRUCT(set_xcrs, KVM_SET_XCRS, const struct kvm_xcrs)
UMBRA_CALL_STRUCT(get_debugregs, KVM_GET_DEBUGREGS, struct kvm_debugregs)
UMBRA_CALL_STRUCT(set_debugregs, KVM_SET_DEBUGREGS, const struct kvm_debugregs)
UMBRA_CALL_STRUCT(get_vcpu_events, KVM_GET_VCPU_EVENTS, struct kvm_vcpu_events)
UMBRA_CALL_STRUCT(set_vcpu_events, KVM_SET_VCPU_EVENTS, const struct kvm_vcpu_events)
UMBRA_CALL_STRUCT(get_mp_state, KVM_GET_MP_STATE, struct kvm_mp_state)
UMBRA_CALL_STRUCT(set_mp_state, KVM_SET_MP_STATE, const struct kvm_mp_state)
UMBRA_CALL_STRUCT(get_cpuid2, KVM_GET_CPUID2, struct kvm_cpuid2)
UMBRA_CALL_STRUCT(set_cpuid2, KVM_SET_CPUID2, const struct kvm_cpuid2)
UMBRA_CALL_STRUCT(translate, KVM_TRANSLATE, struct kvm_translation)
/* Also on a VM, for the vCPUs that it will have. */
UMBRA_CALL_VALUE(set_tsc_khz, KVM_SET_TSC_KHZ)
UMBRA_CALL_VALUE(get_tsc_khz, KVM_GET_TSC_KHZ)
/* Also on the system, for features. */
UMBRA_CALL_STRUCT(get_msrs, KVM_GET_MSRS, struct kvm_msrs)
UMBRA_CALL_STRUCT(set_msrs, KVM_SET_MSRS, const struct kvm_msrs)
UMBRA_CALL_STRUCT(set_signal_mask, KVM_SET_SIGNAL_MASK, const struct kvm_signal_mask)
UMBRA_CALL_STRUCT(has_device_attr, KVM_HAS_DEVICE_ATTR, const struct kvm_device_attr)
UMBRA_CALL_STRUCT(get_device_attr, KVM_GET_DEVICE_ATTR, const struct kvm_device_attr)
UMBRA_CALL_STRUCT(set_device_attr, KVM_SET_DEVICE_ATTR, const struct kvm_device_attr)

#undef UMBRA_CALL_VALUE
#undef UMBRA_CALL_STRUCT

#ifdef __cplusplus
}
#endif

#endif
