/* SPDX-License-Identifier: MIT */
/*
 * kvm/vm.h - a VM and its vCPUs, as the API knows them.
 */
#ifndef KVM_VM_H
#define KVM_VM_H

#include "base/list.h"
#include "cpu/cpu.h"
#include "kvm/bus.h"
#include "kvm/fd/shared.h"
#include "kvm/msr_filter.h"
#include "kvm/pvclock.h"
#include "kvm/steal_time.h"
#include "machine/lapic.h"
#include "machine/wakeup.h"
#include "mem/alloc.h"
#include "mem/host_process.h"
#include "mem/slots.h"
#include "mmu/mmu.h"
#include "sync/thread.h"

#define VM_MAX_VCPU_IDS 4096u
#define RING_MAX_ENTRIES 65536u

/* Pages of a vCPU's shared file, after its statistics. */
#define VCPU_PAGES 3u		/* what KVM_GET_VCPU_MMAP_SIZE says */
#define RUN_PAGE 0u		/* struct kvm_run */
#define PIO_PAGE 1u		/* KVM_PIO_PAGE_OFFSET */
#define RING_PAGE 64u		/* KVM_DIRTY_LOG_PAGE_OFFSET */

/* (c) constant after creation  (a) atomic  [v] vm->lock  [p] process.lock
 * (o) an object with locks or owners of its own: its header says */
struct vm {
	struct atomic32 refs;		/* (a) descriptors and vCPUs' descriptors */
	struct cds_list_head node;	/* [p] among all VMs */
	unsigned int process;		/* (c) which process it belongs to */

	struct mutex lock;		/* (c) rank RANK_VM */
	struct alloc alloc;		/* (o) */
	struct slots slots;		/* (o) */
	struct host_process host;	/* (o) */
	struct mmu mmu;			/* (o) */
	struct bus bus;			/* (o) */
	struct pvclock clock;		/* (o) */
	struct msr_filters msr_filters;	/* (o) */
	struct shared shared;		/* (c) statistics, then the ring of coalesced writes */

	struct vcpu *vcpus[MMU_MAX_VCPUS]; /* [v] in the order of creation */
	unsigned int n_vcpus;		/* [v] */
	uint32_t max_vcpu_id;		/* [v] 0: not set; ids are below it */
	uint32_t ring_bytes;		/* [v] 0: logged slots have bitmaps */
	struct atomic_ptr irqchip;	/* (a) struct irqchip, made before there is a vCPU; NULL */
	uint32_t tsc_khz;		/* [v] of new vCPUs; 0: the host's */
	uint64_t identity_map_addr;	/* [v] */
	struct atomic32 ring_enabled;	/* (a) ring_bytes != 0 */
	struct atomic64 expected;	/* (a) bytes of tables: mem/reservation.h */
	uint32_t boot_id;		/* [v] of the bootstrap processor */
	/* What KVM_ENABLE_CAP has chosen, changed under the lock: */
	struct atomic32 hide_platform_info; /* (a) KVM_CAP_MSR_PLATFORM_INFO off */
	struct atomic32 has_payloads;	/* (a) KVM_CAP_EXCEPTION_PAYLOAD */
	struct atomic32 has_triple_faults; /* (a) KVM_CAP_X86_TRIPLE_FAULT_EVENT */
	struct atomic32 hypercall_exits; /* (a) a bit for each number */
	struct atomic32 quirks_off;	/* (a) KVM_X86_QUIRK_* */
	struct atomic32 x2apic_api;	/* (a) KVM_X2APIC_API_* */
};

struct irqchip;

/* Likewise, and [l] its lock: the thread that is in a call on it. */
struct vcpu {
	struct cpu cpu;			/* [l] but for what mmu/vcpu.h says of cpu.mmu */
	struct vm *vm;			/* (c) */
	uint32_t id;			/* (c) */
	struct mutex lock;		/* (c) rank RANK_VCPU: one call at a time */
	struct shared shared;		/* (c) statistics, run page, ring */
	struct kvm_run *run;		/* (c) shared with the client: read once */
	bool has_run;			/* [l] */
	bool tsc_apart;			/* [l] counted in vm->clock.n_apart */
	uint32_t mp_state;		/* [l] */
	struct steal_time steal_time;	/* [l] */
	/* With controllers in the "kernel", else NULL and unused. */
	struct irqchip *irqchip;	/* (c) */
	struct lapic lapic;		/* (o) */
	struct wakeup wakeup;		/* (o) */
	uint64_t eois[4];		/* [l] vectors whose EOI the client is to hear of */
	int external_vector;		/* [l] of the client's PIC; -1: none */
	bool sigmask_set;		/* [l] KVM_SET_SIGNAL_MASK */
	thread_sigmask_t sigmask;	/* [l] */
};

/* 0 or -errno; the caller has the only reference. */
int vm_create(struct vm **created) MUST_CHECK;
void vm_get(struct vm *vm);
/* False if its last reference is already gone. */
bool vm_get_unless_gone(struct vm *vm) MUST_CHECK;
/* The last one destroys it and its vCPUs. */
void vm_put(struct vm *vm);

/* 0 or -errno.  It becomes the VM's by vcpu_add(); before that it may be destroyed. */
int vcpu_create(struct vm *vm, uint32_t id, struct vcpu **created) MUST_CHECK REQUIRES(vm->lock);
void vcpu_add(struct vm *vm, struct vcpu *vcpu) REQUIRES(vm->lock);
void vcpu_destroy(struct vcpu *vcpu);

/* How VMs made from now on translate, and when they flush. */
void vm_choose_mode(enum mmu_mode mode);
enum mmu_mode vm_chosen_mode(void);
void vm_choose_flush_policy(enum flush_policy policy);

/* The guest's time-stamp counter: kvm/calls/tsc.c.  @khz was accepted by a call. */
void tsc_set_khz(struct cpu *cpu, uint32_t khz);
uint32_t tsc_khz(const struct cpu *cpu);

/* KVM_RUN: kvm/run.c.  vcpu->lock held; @caller: the signals blocked outside. */
long vcpu_run(struct vcpu *vcpu, thread_sigmask_t caller);

#endif
