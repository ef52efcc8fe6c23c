/* SPDX-License-Identifier: MIT */
/*
 * tests/kvm_api/api_vm.h - a small VM for tests of the API: 16 MiB, 64-bit mode.
 *
 *	0x1000   page tables: identity of the first GiB, by 2 MiB pages
 *	0x10000  code
 *	0x20000  interrupt descriptor table and GDT, if api_set_gate() has been called
 *	0x21000  handler
 *	0x40000  end of the stack
 *	0x100000 data
 */
#ifndef TESTS_KVM_API_API_VM_H
#define TESTS_KVM_API_API_VM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <umbra/umbra.h>

#define API_MEMORY_BYTES (16ull << 20)
#define API_TABLES 0x1000ull
#define API_CODE 0x10000ull
#define API_IDT 0x20000ull
#define API_HANDLER 0x21000ull
#define API_STACK 0x40000ull
#define API_DATA 0x100000ull

struct api_vcpu {
	int fd;
	struct kvm_run *run;
};

struct api_vm {
	int kvm, fd;
	uint8_t *memory;
	struct api_vcpu vcpu;
};

/* With one vCPU in 64-bit mode at API_CODE.  Any failure fails the test. */
void api_vm_create(struct api_vm *vm);
/* Likewise, but after @configure has had the VM before the vCPU is made. */
void api_vm_create_with(struct api_vm *vm, void (*configure)(struct api_vm *vm));
void api_vm_destroy(struct api_vm *vm);
/* Before and after a test that has such a VM, and nothing else, as its state. */
int api_set_up(void **state);
int api_tear_down(void **state);
#define api_test(f) cmocka_unit_test_setup_teardown(f, api_set_up, api_tear_down)
void api_vcpu_create(struct api_vm *vm, unsigned int id, struct api_vcpu *vcpu);
void api_vcpu_destroy(struct api_vm *vm, struct api_vcpu *vcpu);
/* Long mode, flat, registers zero but for RIP and RSP. */
void api_vcpu_reset(struct api_vcpu *vcpu);

/* A gate of @vector to the handler, which is a HLT. */
void api_set_gate(struct api_vm *vm, unsigned int vector);

long api_set_region(struct api_vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t bytes,
		    const void *memory);
void api_load(struct api_vm *vm, const uint8_t *code, const uint8_t *end);
/* Code that is a string literal. */
#define api_load_code(vm, code) \
	api_load(vm, (const uint8_t *)(code), (const uint8_t *)(code) + sizeof(code) - 1)
/* Registers by way of KVM_GET_REGS and KVM_SET_REGS. */
struct kvm_regs api_regs(const struct api_vcpu *vcpu);
void api_set_regs(const struct api_vcpu *vcpu, const struct kvm_regs *regs);
/* Those of the first vCPU. */
struct kvm_vcpu_events api_events(const struct api_vm *vm);

/* A table for KVM_SET_CPUID2: what KVM_GET_SUPPORTED_CPUID gives. */
struct api_cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[100];
};
void api_supported_cpuid(const struct api_vm *vm, struct api_cpuid *t);

/* KVM_RUN until an exit that is not a signal's: 0 or a negative errno. */
long api_run(const struct api_vcpu *vcpu);
/* Of the first vCPU, and it ends for this reason. */
void api_run_to(struct api_vm *vm, uint32_t exit_reason);

/* Guest code of tests/kvm_api/guests.S. */
#define API_GUEST(name) extern const uint8_t guest_##name[], guest_##name##_end[]
API_GUEST(halt);
API_GUEST(spin);
API_GUEST(store);
API_GUEST(store_byte);
API_GUEST(load);
API_GUEST(writer);
API_GUEST(reader);
API_GUEST(out_in);
API_GUEST(undefined);
API_GUEST(fill);
#define api_load_guest(vm, name) api_load(vm, guest_##name, guest_##name##_end)

#endif
