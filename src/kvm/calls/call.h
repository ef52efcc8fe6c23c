/* SPDX-License-Identifier: MIT */
/*
 * kvm/calls/call.h - one ioctl in progress, and the table of all commands.
 *
 * Fixed-size arguments are copied in before the handler runs and, if the command
 * is one that reads, copied out after it has succeeded; handlers of commands with
 * a variable tail copy that themselves, from arg.
 */
#ifndef KVM_CALL_H
#define KVM_CALL_H

#include "kvm/fd/file.h"
#include "kvm/vm.h"

struct call {
	uint32_t request;
	int fd;
	uintptr_t arg;			/* a value or the client's address */
	void *data;			/* our copy of the fixed part */
	struct vm *vm;			/* of VM and vCPU descriptors */
	struct vcpu *vcpu;		/* of vCPU descriptors */
	thread_sigmask_t caller_mask;	/* the signals blocked before the call */
};

/*
 * Locks by rank.  Those of the VM and of the vCPU are held around the handler; it takes the
 * others itself, in that order and none for longer than it must.  With -Ddebug_checks=true
 * a handler that takes one that its row does not name is a bug.
 */
enum call_locks {
	LOCK_NONE = 0,
	LOCK_VM = RANK_BIT(RANK_VM),
	LOCK_VCPU = RANK_BIT(RANK_VCPU),
	LOCK_BUS = RANK_BIT(RANK_BUS),
	LOCK_TIMERS = RANK_BIT(RANK_TIMERS),
	/* Whoever raises or ends an interrupt. */
	LOCKS_IRQ = RANK_BIT(RANK_IRQFDS) | RANK_BIT(RANK_PIT) | RANK_BIT(RANK_PIC) |
		    RANK_BIT(RANK_IOAPIC) | LOCK_TIMERS,
	LOCK_PROCESS = RANK_BIT(RANK_PROCESS),
	LOCK_SLOTS = RANK_BIT(RANK_SLOTS),
	LOCK_MMU = RANK_BIT(RANK_MMU),
	LOCK_CHANGES = RANK_BIT(RANK_CHANGES),
	LOCK_FLUSH = RANK_BIT(RANK_FLUSH),

	/* Whoever changes the slots, or their logs, changes translations and flushes. */
	LOCKS_MEMORY = LOCK_SLOTS | LOCK_MMU | LOCK_FLUSH,
	/* A fault changes translations, flushes for shadow tables, and sleeps on the record. */
	LOCKS_FAULT = LOCK_MMU | LOCK_CHANGES | LOCK_FLUSH,
	/* A new descriptor may have the number of one that was closed unseen: what that
	 * stood for ends then, with all its vCPUs. */
	LOCKS_END_VM = LOCK_PROCESS | LOCK_SLOTS | LOCK_MMU | LOCK_FLUSH | LOCKS_IRQ,
	/* To allocate needs no mention. */
	LOCKS_OF_ANY = RANK_BIT(RANK_ALLOC) | RANK_BIT(RANK_RESERVATION),
};

typedef long (*call_fn)(struct call *c);

struct command {
	uint32_t request;
	unsigned int kinds;	/* FILE_*: of which descriptors */
	enum call_locks locks;	/* all that it takes */
	call_fn handler;
};

/*
 * One call of the API.  False if @fd is not ours, and then nothing was done.
 */
bool call_try(int fd, unsigned long request, uintptr_t arg, long *result);

extern const struct command commands[];
extern const unsigned int n_commands;

/* Largest argument that is copied for the handler; it copies a larger one itself. */
#define CALL_DATA_MAX 1024

/* What KVM_CAP_ADJUST_CLOCK says, and KVM_SET_CLOCK takes. */
#define CLOCK_FLAGS (KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)

/* The handlers, by file. */
/* kvm/calls/system.c */
long call_get_api_version(struct call *c);
long call_create_vm(struct call *c);
long call_check_extension(struct call *c);
long call_get_vcpu_mmap_size(struct call *c);
long call_get_supported_cpuid(struct call *c);
long call_get_msr_index_list(struct call *c);
long call_get_msr_feature_index_list(struct call *c);
long call_get_feature_msrs(struct call *c);
/* kvm/calls/vm_calls.c */
long call_create_vcpu(struct call *c);
long call_set_user_memory_region(struct call *c);
long call_set_user_memory_region2(struct call *c);
long call_register_coalesced(struct call *c);
long call_unregister_coalesced(struct call *c);
long call_ioeventfd(struct call *c);
long call_get_dirty_log(struct call *c);
long call_clear_dirty_log(struct call *c);
long call_reset_dirty_rings(struct call *c);
long call_set_tss_addr(struct call *c);
long call_set_identity_map_addr(struct call *c);
long call_set_nr_mmu_pages(struct call *c);
long call_get_nr_mmu_pages(struct call *c);
long call_get_stats_fd(struct call *c);
/* kvm/calls/enable.c */
long call_vm_enable_cap(struct call *c);
long call_vcpu_enable_cap(struct call *c);
long call_set_boot_cpu_id(struct call *c);
/* All that KVM_CAP_DISABLE_QUIRKS2 and KVM_CAP_X2APIC_API know. */
#define QUIRKS                                                                         \
	((uint64_t)(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_CD_NW_CLEARED |     \
		    KVM_X86_QUIRK_LAPIC_MMIO_HOLE | KVM_X86_QUIRK_OUT_7E_INC_RIP |    \
		    KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT |                              \
		    KVM_X86_QUIRK_FIX_HYPERCALL_INSN |                                \
		    KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS | KVM_X86_QUIRK_SLOT_ZAP_ALL))
#define X2APIC_API_FLAGS \
	(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
/* kvm/msr_filter.c */
long call_set_msr_filter(struct call *c);
/* kvm/irqchip/calls.c */
long call_create_irqchip(struct call *c);
long call_create_pit(struct call *c);
long call_create_pit2(struct call *c);
long call_irq_line(struct call *c);
long call_signal_msi(struct call *c);
long call_set_gsi_routing(struct call *c);
long call_irqfd(struct call *c);
/* kvm/irqchip/state.c */
long call_get_irqchip(struct call *c);
long call_set_irqchip(struct call *c);
long call_get_pit(struct call *c);
long call_set_pit(struct call *c);
long call_get_pit2(struct call *c);
long call_set_pit2(struct call *c);
long call_reinject_control(struct call *c);
long call_get_lapic(struct call *c);
long call_set_lapic(struct call *c);
long call_set_vapic_addr(struct call *c);
/* kvm/calls/vcpu_calls.c */
long call_run(struct call *c);
long call_get_mp_state(struct call *c);
long call_set_mp_state(struct call *c);
long call_get_cpuid2(struct call *c);
long call_set_cpuid2(struct call *c);
long call_get_msrs(struct call *c);
long call_set_msrs(struct call *c);
long call_set_signal_mask(struct call *c);
long call_has_device_attr(struct call *c);
long call_get_device_attr(struct call *c);
long call_set_device_attr(struct call *c);
/* kvm/calls/vcpu_memory.c */
long call_translate(struct call *c);
long call_pre_fault_memory(struct call *c);
/* kvm/calls/tsc.c */
long call_set_tsc_khz(struct call *c);
long call_get_tsc_khz(struct call *c);
long call_set_default_tsc_khz(struct call *c);
long call_get_default_tsc_khz(struct call *c);
/* kvm/pvclock.c */
long call_get_clock(struct call *c);
long call_set_clock(struct call *c);
long call_kvmclock_ctrl(struct call *c);
/* kvm/calls/regs.c */
long call_get_regs(struct call *c);
long call_set_regs(struct call *c);
long call_get_sregs(struct call *c);
long call_set_sregs(struct call *c);
long call_get_sregs2(struct call *c);
long call_set_sregs2(struct call *c);
/* All that KVM_SET_GUEST_DEBUG knows, as KVM_CAP_SET_GUEST_DEBUG2 tells. */
#define GUEST_DEBUG_CONTROLS                                                          \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |     \
	 KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |   \
	 KVM_GUESTDBG_BLOCKIRQ)
long call_set_guest_debug(struct call *c);
long call_get_debugregs(struct call *c);
long call_set_debugregs(struct call *c);
/* kvm/calls/mce.c */
long call_get_mce_cap_supported(struct call *c);
long call_setup_mce(struct call *c);
long call_set_mce(struct call *c);
/* kvm/calls/events.c */
long call_get_vcpu_events(struct call *c);
long call_set_vcpu_events(struct call *c);
long call_interrupt(struct call *c);
long call_nmi(struct call *c);
/* kvm/calls/fpu.c */
long call_get_fpu(struct call *c);
long call_set_fpu(struct call *c);
long call_get_xsave(struct call *c);
long call_set_xsave(struct call *c);
long call_get_xcrs(struct call *c);
long call_set_xcrs(struct call *c);

/* kvm/calls/caps.c: what KVM_CHECK_EXTENSION answers; 0: no. */
int capability(uint64_t number);

#endif
