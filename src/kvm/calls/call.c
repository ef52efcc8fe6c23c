/* SPDX-License-Identifier: MIT */
/*
 * kvm/calls/call.c - the table of commands, and how a call gets to its handler.
 *
 * A command is looked up by its full 32 bits together with the kind of its
 * descriptor: the same number means different things on different ones, and the
 * bits above 32 may be a sign extension.
 */
#include "kvm/calls/call.h"

#include <linux/fs.h>
#include <linux/ioctl.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "kvm/abi.h"
#include "kvm/fd/client.h"
#include "kvm/fd/told.h"
#include "kvm/process.h"
#include "sync/thread.h"

const struct command commands[] = {
	{ KVM_GET_API_VERSION, FILE_SYSTEM, LOCK_NONE, call_get_api_version },
	{ KVM_CREATE_VM, FILE_SYSTEM, LOCKS_END_VM, call_create_vm },
	{ KVM_CHECK_EXTENSION, FILE_SYSTEM | FILE_VM, LOCK_NONE, call_check_extension },
	{ KVM_GET_VCPU_MMAP_SIZE, FILE_SYSTEM, LOCK_NONE, call_get_vcpu_mmap_size },
	{ KVM_GET_SUPPORTED_CPUID, FILE_SYSTEM, LOCK_NONE, call_get_supported_cpuid },
	{ KVM_GET_MSR_INDEX_LIST, FILE_SYSTEM, LOCK_NONE, call_get_msr_index_list },
	{ KVM_GET_MSR_FEATURE_INDEX_LIST, FILE_SYSTEM, LOCK_NONE, call_get_msr_feature_index_list },
	{ KVM_GET_MSRS, FILE_SYSTEM, LOCK_NONE, call_get_feature_msrs },
	{ KVM_X86_GET_MCE_CAP_SUPPORTED, FILE_SYSTEM, LOCK_NONE, call_get_mce_cap_supported },

	{ KVM_CREATE_VCPU, FILE_VM, LOCK_VM | LOCKS_END_VM, call_create_vcpu },
	{ KVM_SET_USER_MEMORY_REGION, FILE_VM, LOCKS_MEMORY, call_set_user_memory_region },
	{ KVM_SET_USER_MEMORY_REGION2, FILE_VM, LOCKS_MEMORY, call_set_user_memory_region2 },
	{ KVM_REGISTER_COALESCED_MMIO, FILE_VM, LOCK_BUS, call_register_coalesced },
	{ KVM_UNREGISTER_COALESCED_MMIO, FILE_VM, LOCK_BUS, call_unregister_coalesced },
	{ KVM_IOEVENTFD, FILE_VM, LOCK_BUS, call_ioeventfd },
	{ KVM_SET_TSC_KHZ, FILE_VM, LOCK_VM, call_set_default_tsc_khz },
	{ KVM_GET_TSC_KHZ, FILE_VM, LOCK_VM, call_get_default_tsc_khz },
	{ KVM_GET_CLOCK, FILE_VM, LOCK_VM, call_get_clock },
	{ KVM_SET_CLOCK, FILE_VM, LOCK_VM, call_set_clock },
	{ KVM_GET_DIRTY_LOG, FILE_VM, LOCKS_MEMORY, call_get_dirty_log },
	{ KVM_CLEAR_DIRTY_LOG, FILE_VM, LOCKS_MEMORY, call_clear_dirty_log },
	{ KVM_RESET_DIRTY_RINGS, FILE_VM, LOCKS_MEMORY, call_reset_dirty_rings },
	{ KVM_SET_TSS_ADDR, FILE_VM, LOCK_VM, call_set_tss_addr },
	{ KVM_SET_IDENTITY_MAP_ADDR, FILE_VM, LOCK_VM, call_set_identity_map_addr },
	{ KVM_SET_NR_MMU_PAGES, FILE_VM, LOCK_VM | LOCK_MMU | LOCK_FLUSH, call_set_nr_mmu_pages },
	{ KVM_GET_NR_MMU_PAGES, FILE_VM, LOCK_VM, call_get_nr_mmu_pages },
	{ KVM_CREATE_IRQCHIP, FILE_VM, LOCK_VM, call_create_irqchip },
	{ KVM_SET_GSI_ROUTING, FILE_VM, LOCK_VM, call_set_gsi_routing },
	{ KVM_CREATE_PIT, FILE_VM, LOCK_VM, call_create_pit },
	{ KVM_CREATE_PIT2, FILE_VM, LOCK_VM, call_create_pit2 },
	{ KVM_GET_IRQCHIP, FILE_VM, LOCKS_IRQ, call_get_irqchip },
	{ KVM_SET_IRQCHIP, FILE_VM, LOCKS_IRQ, call_set_irqchip },
	{ KVM_GET_PIT, FILE_VM, LOCKS_IRQ, call_get_pit },
	{ KVM_SET_PIT, FILE_VM, LOCKS_IRQ, call_set_pit },
	{ KVM_GET_PIT2, FILE_VM, LOCKS_IRQ, call_get_pit2 },
	{ KVM_SET_PIT2, FILE_VM, LOCKS_IRQ, call_set_pit2 },
	{ KVM_REINJECT_CONTROL, FILE_VM, LOCK_NONE, call_reinject_control },
	{ KVM_IRQ_LINE, FILE_VM, LOCKS_IRQ, call_irq_line },
	{ KVM_IRQ_LINE_STATUS, FILE_VM, LOCKS_IRQ, call_irq_line },
	{ KVM_SIGNAL_MSI, FILE_VM, LOCKS_IRQ, call_signal_msi },
	{ KVM_IRQFD, FILE_VM, LOCKS_IRQ, call_irqfd },
	{ KVM_ENABLE_CAP, FILE_VM, LOCK_VM | LOCK_SLOTS, call_vm_enable_cap },
	{ KVM_SET_BOOT_CPU_ID, FILE_VM, LOCK_VM, call_set_boot_cpu_id },
	{ KVM_ENABLE_CAP, FILE_VCPU, LOCK_VCPU, call_vcpu_enable_cap },
	{ KVM_X86_SET_MSR_FILTER, FILE_VM, LOCK_VM, call_set_msr_filter },
	{ KVM_GET_STATS_FD, FILE_VM | FILE_VCPU, LOCKS_END_VM, call_get_stats_fd },

	{ KVM_RUN, FILE_VCPU, LOCK_VCPU | LOCK_BUS | LOCKS_IRQ | LOCKS_FAULT, call_run },
	{ KVM_GET_LAPIC, FILE_VCPU, LOCK_VCPU | LOCK_TIMERS, call_get_lapic },
	{ KVM_SET_LAPIC, FILE_VCPU, LOCK_VCPU | LOCK_TIMERS, call_set_lapic },
	{ KVM_SET_VAPIC_ADDR, FILE_VCPU, LOCK_VCPU, call_set_vapic_addr },
	{ KVM_GET_REGS, FILE_VCPU, LOCK_VCPU, call_get_regs },
	{ KVM_SET_REGS, FILE_VCPU, LOCK_VCPU, call_set_regs },
	{ KVM_GET_SREGS, FILE_VCPU, LOCK_VCPU, call_get_sregs },
	{ KVM_SET_SREGS, FILE_VCPU, LOCK_VCPU | LOCK_TIMERS, call_set_sregs },
	{ KVM_GET_SREGS2, FILE_VCPU, LOCK_VCPU, call_get_sregs2 },
	{ KVM_SET_SREGS2, FILE_VCPU, LOCK_VCPU | LOCK_TIMERS, call_set_sregs2 },
	{ KVM_GET_FPU, FILE_VCPU, LOCK_VCPU, call_get_fpu },
	{ KVM_SET_FPU, FILE_VCPU, LOCK_VCPU, call_set_fpu },
	{ KVM_SET_GUEST_DEBUG, FILE_VCPU, LOCK_VCPU, call_set_guest_debug },
	{ KVM_GET_XSAVE, FILE_VCPU, LOCK_VCPU, call_get_xsave },
	{ KVM_GET_XSAVE2, FILE_VCPU, LOCK_VCPU, call_get_xsave },
	{ KVM_SET_XSAVE, FILE_VCPU, LOCK_VCPU, call_set_xsave },
	{ KVM_GET_XCRS, FILE_VCPU, LOCK_VCPU, call_get_xcrs },
	{ KVM_SET_XCRS, FILE_VCPU, LOCK_VCPU, call_set_xcrs },
	{ KVM_GET_DEBUGREGS, FILE_VCPU, LOCK_VCPU, call_get_debugregs },
	{ KVM_SET_DEBUGREGS, FILE_VCPU, LOCK_VCPU, call_set_debugregs },
	{ KVM_GET_VCPU_EVENTS, FILE_VCPU, LOCK_VCPU, call_get_vcpu_events },
	{ KVM_SET_VCPU_EVENTS, FILE_VCPU, LOCK_VCPU | LOCKS_FAULT, call_set_vcpu_events },
	{ KVM_INTERRUPT, FILE_VCPU, LOCK_VCPU, call_interrupt },
	{ KVM_NMI, FILE_VCPU, LOCK_VCPU, call_nmi },
	{ KVM_GET_MP_STATE, FILE_VCPU, LOCK_VCPU | LOCK_TIMERS, call_get_mp_state },
	{ KVM_SET_MP_STATE, FILE_VCPU, LOCK_VCPU, call_set_mp_state },
	{ KVM_GET_CPUID2, FILE_VCPU, LOCK_VCPU, call_get_cpuid2 },
	{ KVM_SET_CPUID2, FILE_VCPU, LOCK_VCPU, call_set_cpuid2 },
	{ KVM_GET_MSRS, FILE_VCPU, LOCK_VCPU, call_get_msrs },
	{ KVM_SET_MSRS, FILE_VCPU, LOCK_VCPU | LOCKS_IRQ, call_set_msrs },
	{ KVM_SET_SIGNAL_MASK, FILE_VCPU, LOCK_VCPU, call_set_signal_mask },
	{ KVM_TRANSLATE, FILE_VCPU, LOCK_VCPU | LOCKS_FAULT, call_translate },
	{ KVM_PRE_FAULT_MEMORY, FILE_VCPU, LOCK_VCPU | LOCKS_FAULT, call_pre_fault_memory },
	{ KVM_SET_TSC_KHZ, FILE_VCPU, LOCK_VCPU, call_set_tsc_khz },
	{ KVM_GET_TSC_KHZ, FILE_VCPU, LOCK_VCPU, call_get_tsc_khz },
	{ KVM_X86_SETUP_MCE, FILE_VCPU, LOCK_VCPU, call_setup_mce },
	{ KVM_X86_SET_MCE, FILE_VCPU, LOCK_VCPU, call_set_mce },
	{ KVM_KVMCLOCK_CTRL, FILE_VCPU, LOCK_VCPU, call_kvmclock_ctrl },
	{ KVM_HAS_DEVICE_ATTR, FILE_VCPU, LOCK_VCPU, call_has_device_attr },
	{ KVM_GET_DEVICE_ATTR, FILE_VCPU, LOCK_VCPU, call_get_device_attr },
	{ KVM_SET_DEVICE_ATTR, FILE_VCPU, LOCK_VCPU, call_set_device_attr },
};
const unsigned int n_commands = ARRAY_SIZE(commands);

static const struct command *find_command(uint32_t request, enum file_kind kind)
{
	for (unsigned int i = 0; i < n_commands; i++)
		if (commands[i].request == request && (commands[i].kinds & kind))
			return &commands[i];
	return NULL;
}

static long handle_locked(const struct command *cmd, struct call *c) NO_THREAD_SAFETY
{
	struct mutex *lock = cmd->locks & LOCK_VM   ? &c->vm->lock :
			     cmd->locks & LOCK_VCPU ? &c->vcpu->lock :
						      NULL;
	long result;

	lock_watch_begin();
	if (lock)
		mutex_lock(lock);
	/* Any call that enters guest mode can be interrupted there: signals are held. */
	if (cmd->locks & LOCK_VCPU)
		window_bind(&c->vcpu->cpu.mmu.line);
	result = cmd->handler(c);
	if (cmd->locks & LOCK_VCPU)
		window_unbind(&c->vcpu->cpu.mmu.line);
	if (lock)
		mutex_unlock(lock);
	lock_watch_end(cmd->locks | LOCKS_OF_ANY);
	lock_assert_none();
	return result;
}

static long answer_call(const struct file *file, struct call *c, void *data)
{
	const struct command *cmd = find_command(c->request, file->kind);
	size_t bytes = _IOC_SIZE(c->request) <= CALL_DATA_MAX ? _IOC_SIZE(c->request) : 0;
	long result;

	if (file->vm && file->vm->process != process_number())
		return -EIO;
	if (!cmd)
		return file->kind == FILE_VM ? -ENOTTY : -EINVAL;

	c->data = data;
	/* A null signal mask is not a bad address but "none". */
	if (c->request == KVM_SET_SIGNAL_MASK && !c->arg)
		c->data = NULL;
	else if (_IOC_DIR(c->request) & _IOC_WRITE) {
		result = copy_from_client(data, c->arg, bytes);
		if (result)
			return result;
	}
	result = handle_locked(cmd, c);
	if (result >= 0 && (_IOC_DIR(c->request) & _IOC_READ) &&
	    copy_to_client(c->arg, data, bytes))
		return -EFAULT;
	return result;
}

static long dispatch(const struct file *file, struct call *c)
{
	uint8_t data[CALL_DATA_MAX] __attribute__((aligned(16)));
	long result = answer_call(file, c, data);

	if (log_has(LOG_INFO))
		tell_call(file, c, result);
	return result;
}

/* Commands that the kernel handles for any file, before it looks at the type. */
static bool answer_for_any_file(const struct call *c, const struct file *file, long *result)
{
	switch (file->kind == FILE_PATH ? 0 : c->request) {
	case 0:
		*result = -EBADF;
		return true;
	case FIOCLEX:
	case FIONCLEX:
	case FIONBIO:
	case FIOASYNC:
	case FIGETBSZ:
		*result = ioctl(c->fd, c->request, c->arg) ? -errno : 0;
		return true;
	case FIOQSIZE:
		*result = -ENOTTY;
		return true;
	}
	return false;
}

/*
 * KVM_RUN is called a million times a second, and never on a pipe: there the number is trusted.
 * (Verifying costs a system call, which a client's seccomp filter may not even allow its vCPU
 * threads.)
 */
static struct file *find_file(int fd, uint32_t request)
{
	struct file *file = request == KVM_RUN ? file_get_unverified(fd) : file_get(fd);

	return file || _IOC_TYPE(request) != KVMIO ? file : file_recognize(fd);
}

bool call_try(int fd, unsigned long request, uintptr_t arg, long *result)
{
	struct call c = { .request = (uint32_t)request, .fd = fd, .arg = arg };
	int saved_errno = errno;
	struct file *file;
	bool was;

	/* All other calls of the program pass through here too. */
	if (!file_is_known(fd) && _IOC_TYPE(request) != KVMIO)
		return false;
	/* First: looking up the file is the thread's first read section, for which liburcu may
	 * need memory. */
	c.caller_mask = thread_hold_signals();
	was = thread_enter_library();
	process_settle();
	file = find_file(fd, (uint32_t)request);
	if (file) {
		c.vm = file->vm;
		c.vcpu = file->vcpu;
		if (!answer_for_any_file(&c, file, result))
			*result = dispatch(file, &c);
		file_put(file);
	}
	thread_leave_library(was);
	thread_release_signals(c.caller_mask);
	errno = saved_errno;
	return file;
}
