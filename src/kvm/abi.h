/* SPDX-License-Identifier: MIT */
/*
 * kvm/abi.h - definitions that Linux 6.12 has in <linux/kvm.h> and Debian 12's headers lack.
 * Source:  Documentation/virt/kvm/api.rst, under the names.
 */
#ifndef KVM_ABI_H
#define KVM_ABI_H

#include <linux/kvm.h>

#ifndef KVM_MEM_GUEST_MEMFD
#define KVM_MEM_GUEST_MEMFD (1u << 2)

struct kvm_userspace_memory_region2 {
	__u32 slot, flags;
	__u64 guest_phys_addr, memory_size, userspace_addr;
	__u64 guest_memfd_offset;
	__u32 guest_memfd, pad1;
	__u64 pad2[14];
};
#define KVM_SET_USER_MEMORY_REGION2 _IOW(KVMIO, 0x49, struct kvm_userspace_memory_region2)
#define KVM_CAP_USER_MEMORY2 231
#define KVM_CAP_MEMORY_FAULT_INFO 232
#define KVM_CAP_VM_TYPES 235
#define KVM_EXIT_MEMORY_FAULT 39
#endif

#ifndef KVM_X86_DEFAULT_VM
#define KVM_X86_DEFAULT_VM 0
#endif

#ifndef KVM_PRE_FAULT_MEMORY
struct kvm_pre_fault_memory {
	__u64 gpa, size, flags, padding[5];
};
#define KVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)
#define KVM_CAP_PRE_FAULT_MEMORY 236
#endif

#ifndef KVM_X86_QUIRK_SLOT_ZAP_ALL
#define KVM_X86_QUIRK_SLOT_ZAP_ALL (1 << 7)
#endif

/* 6.1 and later have it. */
#ifndef KVM_EXIT_HYPERCALL_VALID_MASK
#define KVM_EXIT_HYPERCALL_VALID_MASK (1 << 12)	/* KVM_HC_MAP_GPA_RANGE */
#endif

#ifndef KVM_PIT_FLAGS_SPEAKER_DATA_ON
#define KVM_PIT_FLAGS_SPEAKER_DATA_ON 2
#endif

/* kvm_run.memory_fault, which lies where the union of all exits begins. */
struct abi_memory_fault {
	__u64 flags, gpa, size;
};

#endif
