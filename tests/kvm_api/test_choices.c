/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/test_choices.c - what KVM_ENABLE_CAP and its kind choose for a VM. */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <string.h>

#include "kvm/abi.h"

#define DB 1
#define UD 6
#define PF 14
#define SVR 0xf0
#define LVT_LINT0 0x350
#define MSR_APIC_BASE 0x1bu
#define MSR_MISC_ENABLE 0x1a0u
#define MWAIT_ENABLE (1u << 18)
#define APIC_BASE_BSP 0x100u

static long enable(const struct api_vm *vm, uint32_t what, uint64_t value)
{
	struct kvm_enable_cap cap = { .cap = what, .args = { value } };

	return umbra_enable_cap(vm->fd, &cap);
}

/* --- events ---------------------------------------------------------------------- */

static void an_exception_brings_its_payload_along(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_vcpu_events e = {
		.flags = KVM_VCPUEVENT_VALID_PAYLOAD,
		.exception = { .pending = 1, .nr = PF, .has_error_code = 1 },
		.exception_has_payload = 1, .exception_payload = 0x123456,
	};
	struct kvm_sregs sregs;
	struct kvm_debugregs d;

	api_load_guest(vm, halt);
	api_set_gate(vm, PF);
	api_set_gate(vm, DB);
	assert_int_equal(umbra_check_extension(vm->fd, KVM_CAP_EXCEPTION_PAYLOAD), 1);
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), -EINVAL);
	/* Unless the client has both, an exception is injected or is not there. */
	e.flags = 0;
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), 0);
	assert_int_equal(api_events(vm).exception.injected, 0);
	assert_int_equal(api_events(vm).exception.pending, 0);
	assert_int_equal(api_events(vm).flags & KVM_VCPUEVENT_VALID_PAYLOAD, 0);
	e.flags = KVM_VCPUEVENT_VALID_PAYLOAD;
	assert_int_equal(enable(vm, KVM_CAP_EXCEPTION_PAYLOAD, 0), 0);
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), -EINVAL);
	assert_int_equal(enable(vm, KVM_CAP_EXCEPTION_PAYLOAD, 1), 0);
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), 0);
	/* Until it is delivered, it is in no register. */
	assert_int_equal(api_events(vm).exception.pending, 1);
	assert_int_equal(api_events(vm).exception.injected, 0);
	assert_int_equal(api_events(vm).flags & KVM_VCPUEVENT_VALID_PAYLOAD,
			 KVM_VCPUEVENT_VALID_PAYLOAD);
	assert_int_equal(api_events(vm).exception_has_payload, 1);
	assert_int_equal(api_events(vm).exception_payload, 0x123456);
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &sregs), 0);
	assert_int_equal(sregs.cr2, 0);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &sregs), 0);
	assert_int_equal(sregs.cr2, 0x123456);

	api_vcpu_reset(&vm->vcpu);
	api_set_gate(vm, DB);
	e.exception.nr = DB;
	e.exception.has_error_code = 0;
	e.exception_payload = 1u << 14;
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), 0);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_DEBUGREGS, (uintptr_t)&d), 0);
	assert_int_equal(d.dr6, 0xffff4ff0);
}

static void a_triple_fault_can_be_injected(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_vcpu_events e = { .flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT,
				     .triple_fault.pending = 1 };

	api_load_guest(vm, halt);
	assert_int_equal(umbra_check_extension(vm->fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT), 1);
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), -EINVAL);
	assert_int_equal(enable(vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 2), -EINVAL);
	assert_int_equal(enable(vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1), 0);
	e.flags = 0;
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), 0);
	assert_int_equal(api_events(vm).triple_fault.pending, 0);
	e.flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), 0);
	assert_int_equal(api_events(vm).flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT,
			 KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	assert_int_equal(api_events(vm).triple_fault.pending, 1);
	api_run_to(vm, KVM_EXIT_SHUTDOWN);
	assert_int_equal(api_events(vm).triple_fault.pending, 0);
	api_run_to(vm, KVM_EXIT_HLT);
}

/* INT 0x55, whose delivery was interrupted: it returns behind the instruction. */
static void a_software_interrupt_begins_again(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_vcpu_events e = { .interrupt = { .injected = 1, .nr = 0x55, .soft = 1 } };
	const uint64_t *frame = (const uint64_t *)(vm->memory + API_STACK - 40);

	api_load_code(vm, "\xcd\x55\xf4");
	api_set_gate(vm, 0x55);
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), 0);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	assert_int_equal(frame[0], API_CODE + 2);
}

/* --- quirks ---------------------------------------------------------------------- */

static void unknown_quirks_are_refused(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(umbra_check_extension(vm->fd, KVM_CAP_DISABLE_QUIRKS2), 0xff);
	assert_int_equal(umbra_check_extension(vm->fd, KVM_CAP_DISABLE_QUIRKS), 1);
	assert_int_equal(enable(vm, KVM_CAP_DISABLE_QUIRKS2, 0x100), -EINVAL);
	assert_int_equal(enable(vm, KVM_CAP_DISABLE_QUIRKS, 0x100), 0);
	/* Without effect here: memory types. */
	assert_int_equal(enable(vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_CD_NW_CLEARED), 0);
}

static void run_out_7e(struct api_vm *vm, uint64_t rip)
{
	struct kvm_regs regs = { .rip = API_CODE, .rsp = API_STACK, .rflags = 2 };

	api_load_code(vm, "\xe6\x7e\xf4");
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_IO);
	assert_int_equal(api_regs(&vm->vcpu).rip, rip);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_CODE + 3);
}

static void out_7e_is_done_before_its_exit(void **state)
{
	struct api_vm *vm = *state;

	run_out_7e(vm, API_CODE + 2);
	assert_int_equal(enable(vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_OUT_7E_INC_RIP), 0);
	run_out_7e(vm, API_CODE);
}

static void set_table_without_mwait(struct api_vm *vm)
{
	static struct api_cpuid t;

	api_supported_cpuid(vm, &t);
	for (uint32_t i = 0; i < t.head.nent; i++)
		if (t.entries[i].function == 1)
			t.entries[i].ecx = (t.entries[i].ecx & ~8u) | 1;
	assert_int_equal(umbra_set_cpuid2(vm->vcpu.fd, &t.head), 0);
}

/* MONITOR, MWAIT, CPUID of 1, HLT: CPUID's bit, or -1 for #UD. */
static int run_mwait(struct api_vm *vm)
{
	struct kvm_regs regs = { .rip = API_CODE, .rsp = API_STACK, .rflags = 2, .rax = API_DATA };

	api_load_code(vm, "\x0f\x01\xc8\x0f\x01\xc9\xb8\x01\x00\x00\x00\x0f\xa2\xf4");
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	return api_regs(&vm->vcpu).rip == API_HANDLER + 1 ? -1 :
		(int)(api_regs(&vm->vcpu).rcx >> 3 & 1);
}

static void set_msr(const struct api_vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = {
		.head.nmsrs = 1, .e = { .index = index, .data = value },
	};

	assert_int_equal(umbra_ioctl(vcpu->fd, KVM_SET_MSRS, (uintptr_t)&m), 1);
}

static void mwait_is_there_unless_the_client_is_strict(void **state)
{
	struct api_vm *vm = *state;

	set_table_without_mwait(vm);
	api_set_gate(vm, UD);
	assert_int_equal(run_mwait(vm), 0);
	set_msr(&vm->vcpu, MSR_MISC_ENABLE, MWAIT_ENABLE);
	assert_int_equal(run_mwait(vm), 0);
	assert_int_equal(enable(vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS),
			 0);
	assert_int_equal(run_mwait(vm), -1);
	/* CPUID follows the MSR. */
	assert_int_equal(enable(vm, KVM_CAP_DISABLE_QUIRKS2,
				KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS |
					KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT), 0);
	assert_int_equal(run_mwait(vm), 1);
	set_msr(&vm->vcpu, MSR_MISC_ENABLE, 0);
	assert_int_equal(run_mwait(vm), -1);
}

/* --- local APICs ------------------------------------------------------------------ */

static void full(struct api_vm *vm)
{
	assert_int_equal(umbra_ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), 0);
}

static void strict(struct api_vm *vm)
{
	assert_int_equal(enable(vm, KVM_CAP_DISABLE_QUIRKS2,
				KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_LAPIC_MMIO_HOLE), 0);
	full(vm);
}

static uint32_t lapic_word(const struct api_vcpu *vcpu, unsigned int offset)
{
	struct kvm_lapic_state s;
	uint32_t value;

	assert_int_equal(umbra_ioctl(vcpu->fd, KVM_GET_LAPIC, (uintptr_t)&s), 0);
	memcpy(&value, s.regs + offset, sizeof(value));
	return value;
}

/* Loads from the page of a local APIC that is off. */
static void read_its_page(struct api_vm *vm)
{
	struct kvm_regs regs = { .rip = API_CODE, .rsp = API_STACK, .rflags = 2,
				 .rdi = 0xfee00000 + SVR };
	uint64_t *pdpt = (uint64_t *)(vm->memory + API_TABLES + 0x1000);

	pdpt[3] = 3ull << 30 | 0x83;
	set_msr(&vm->vcpu, MSR_APIC_BASE, 0xfee00000);
	/* mov (%rdi), %eax; out %al, $0x42 */
	api_load_code(vm, "\x8b\x07\xe6\x42");
	api_set_regs(&vm->vcpu, &regs);
}

static void an_apic_that_is_off_has_a_page_of_ones(void **state)
{
	struct api_vm vm;

	(void)state;
	api_vm_create_with(&vm, full);
	assert_int_equal(lapic_word(&vm.vcpu, LVT_LINT0), 0x700);
	read_its_page(&vm);
	api_run_to(&vm, KVM_EXIT_IO);
	assert_int_equal(api_regs(&vm.vcpu).rax, 0xffffffff);
	api_vm_destroy(&vm);

	api_vm_create_with(&vm, strict);
	assert_int_equal(lapic_word(&vm.vcpu, LVT_LINT0), 0x10000);
	read_its_page(&vm);
	api_run_to(&vm, KVM_EXIT_MMIO);
	assert_int_equal(vm.vcpu.run->mmio.phys_addr, 0xfee00000 + SVR);
	api_vm_destroy(&vm);
}

static void choose_second(struct api_vm *vm)
{
	full(vm);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 4097), -EINVAL);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 5), 0);
	assert_int_equal(enable(vm, KVM_CAP_MAX_VCPU_ID, 4), -EINVAL);
	assert_int_equal(enable(vm, KVM_CAP_MAX_VCPU_ID, 8), 0);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 9), -EINVAL);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_SET_BOOT_CPU_ID, 1), 0);
}

static void the_client_chooses_the_boot_cpu(void **state)
{
	struct kvm_mp_state mp;
	struct kvm_sregs sregs;
	struct api_vcpu second;
	struct api_vm vm;

	(void)state;
	api_vm_create_with(&vm, choose_second);
	assert_int_equal(umbra_check_extension(vm.fd, KVM_CAP_SET_BOOT_CPU_ID), 1);
	assert_int_equal(umbra_ioctl(vm.fd, KVM_SET_BOOT_CPU_ID, 0), -EBUSY);
	api_vcpu_create(&vm, 1, &second);
	assert_int_equal(umbra_get_sregs(vm.vcpu.fd, &sregs), 0);
	assert_int_equal(sregs.apic_base & APIC_BASE_BSP, 0);
	assert_int_equal(umbra_get_mp_state(vm.vcpu.fd, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	assert_int_equal(umbra_get_sregs(second.fd, &sregs), 0);
	assert_int_equal(sregs.apic_base & APIC_BASE_BSP, APIC_BASE_BSP);
	assert_int_equal(umbra_get_mp_state(second.fd, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	assert_int_equal(lapic_word(&second, LVT_LINT0), 0x700);
	api_vcpu_destroy(&vm, &second);
	api_vm_destroy(&vm);
}

static void identifiers_may_have_32_bits(void **state)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .address_hi = 1, .data = 0x31 };
	struct kvm_lapic_state s;
	struct api_vcpu second;
	struct api_vm vm;

	(void)state;
	api_vm_create_with(&vm, full);
	assert_int_equal(umbra_check_extension(vm.fd, KVM_CAP_X2APIC_API), 3);
	assert_int_equal(enable(&vm, KVM_CAP_X2APIC_API, 4), -EINVAL);
	api_vcpu_create(&vm, 5, &second);
	assert_int_equal(enable(&vm, KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS), 0);
	/* In xAPIC mode nothing changes. */
	assert_int_equal(lapic_word(&second, 0x20), 5u << 24);
	set_msr(&second, MSR_APIC_BASE, 0xfee00c00);
	assert_int_equal(lapic_word(&second, 0x20), 5);
	assert_int_equal(umbra_ioctl(second.fd, KVM_GET_LAPIC, (uintptr_t)&s), 0);
	assert_int_equal(umbra_ioctl(second.fd, KVM_SET_LAPIC, (uintptr_t)&s), 0);
	memcpy(s.regs + 0x20, &(uint32_t){ 5u << 24 }, 4);
	assert_int_equal(umbra_ioctl(second.fd, KVM_SET_LAPIC, (uintptr_t)&s), -EINVAL);
	/* The low byte of the upper half is not part of one. */
	assert_int_equal(umbra_ioctl(vm.fd, KVM_SIGNAL_MSI, (uintptr_t)&msi), -EINVAL);
	api_vcpu_destroy(&vm, &second);
	api_vm_destroy(&vm);
}

/* In x2APIC mode, software-enabled. */
static void create_x2apic(struct api_vm *vm, unsigned int id, struct api_vcpu *vcpu)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_lapic_state s;

	api_vcpu_create(vm, id, vcpu);
	assert_int_equal(umbra_ioctl(vcpu->fd, KVM_SET_MP_STATE, (uintptr_t)&mp), 0);
	set_msr(vcpu, MSR_APIC_BASE, 0xfee00c00);
	assert_int_equal(umbra_ioctl(vcpu->fd, KVM_GET_LAPIC, (uintptr_t)&s), 0);
	memcpy(s.regs + SVR, &(uint32_t){ 0x1ff }, 4);
	assert_int_equal(umbra_ioctl(vcpu->fd, KVM_SET_LAPIC, (uintptr_t)&s), 0);
}

static void messages_reach_identifiers_of_32_bits(void **state)
{
	struct kvm_msi far = { .address_lo = 0xfee00000 | (300 & 0xff) << 12,
			       .address_hi = 300 & ~0xff, .data = 0x31 };
	struct kvm_msi all = { .address_lo = 0xfee00000 | 0xff << 12, .data = 0x32 };
	struct api_vcpu second;
	struct api_vm vm;

	(void)state;
	api_vm_create_with(&vm, full);
	create_x2apic(&vm, 300, &second);
	/* Without the choice there are eight bits, and all ones are everybody. */
	assert_int_equal(umbra_ioctl(vm.fd, KVM_SIGNAL_MSI, (uintptr_t)&far), -EPERM);
	assert_int_equal(umbra_ioctl(vm.fd, KVM_SIGNAL_MSI, (uintptr_t)&all), 1);
	assert_int_equal(enable(&vm, KVM_CAP_X2APIC_API,
				KVM_X2APIC_API_USE_32BIT_IDS |
					KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK), 0);
	assert_int_equal(umbra_ioctl(vm.fd, KVM_SIGNAL_MSI, (uintptr_t)&far), 1);
	/* The first vCPU's is in xAPIC mode, where they still are; it is off. */
	assert_int_equal(umbra_ioctl(vm.fd, KVM_SIGNAL_MSI, (uintptr_t)&all), 0);
	api_vcpu_destroy(&vm, &second);
	api_vm_destroy(&vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(an_exception_brings_its_payload_along),
		api_test(a_triple_fault_can_be_injected),
		api_test(a_software_interrupt_begins_again),
		api_test(unknown_quirks_are_refused),
		api_test(out_7e_is_done_before_its_exit),
		api_test(mwait_is_there_unless_the_client_is_strict),
		cmocka_unit_test(an_apic_that_is_off_has_a_page_of_ones),
		cmocka_unit_test(the_client_chooses_the_boot_cpu),
		cmocka_unit_test(identifiers_may_have_32_bits),
		cmocka_unit_test(messages_reach_identifiers_of_32_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
