/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/test_mce.c - machine checks. */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <string.h>

#define VALID (1ull << 63)
#define OVERFLOW (1ull << 62)
#define UNCORRECTED (1ull << 61)
#define CONTROL (1ull << 8)
#define MACHINE_CHECK 18
#define STATUS_OF_BANK_1 0x405u
#define CTL2_OF_BANK_1 0x281u
#define CMCI (1ull << 10)
#define CMCI_ENABLED (1ull << 30)
#define CMCI_VECTOR 0x41u

static long setup(const struct api_vm *vm, uint64_t capabilities)
{
	return umbra_ioctl(vm->vcpu.fd, KVM_X86_SETUP_MCE, (uintptr_t)&capabilities);
}

static long report(const struct api_vm *vm, uint8_t bank, uint64_t status)
{
	struct kvm_x86_mce m = { .status = status, .addr = 0x1234, .mcg_status = 5, .bank = bank };

	return umbra_ioctl(vm->vcpu.fd, KVM_X86_SET_MCE, (uintptr_t)&m);
}

static long msr(const struct api_vm *vm, unsigned long call, uint32_t index, uint64_t *value)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = {
		.head.nmsrs = 1, .e = { .index = index, .data = *value },
	};
	long result = umbra_ioctl(vm->vcpu.fd, call, (uintptr_t)&m);

	*value = m.e.data;
	return result;
}

static uint64_t get(const struct api_vm *vm, uint32_t index)
{
	uint64_t value = 0;

	assert_int_equal(msr(vm, KVM_GET_MSRS, index, &value), 1);
	return value;
}

static long set(const struct api_vm *vm, uint32_t index, uint64_t value)
{
	return msr(vm, KVM_SET_MSRS, index, &value);
}

static void banks_are_there_when_they_are_asked_for(void **state)
{
	struct api_vm *vm = *state;
	uint64_t supported, value = 0;

	assert_int_equal(umbra_ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_MCE), 32);
	assert_int_equal(umbra_ioctl(vm->kvm, KVM_X86_GET_MCE_CAP_SUPPORTED,
				     (uintptr_t)&supported), 0);
	assert_int_equal(supported, CONTROL | CMCI | 1u << 24);
	assert_int_equal(msr(vm, KVM_GET_MSRS, 0x400, &value), 0);
	assert_int_equal(setup(vm, 0), -EINVAL);
	assert_int_equal(setup(vm, 33), -EINVAL);
	assert_int_equal(setup(vm, 2 | 1u << 11), -EINVAL);
	assert_int_equal(get(vm, 0x179), 0);
	assert_int_equal(setup(vm, 2 | CONTROL), 0);
	assert_int_equal(get(vm, 0x179), 2 | CONTROL);
	assert_true(get(vm, 0x17b) == ~0ull);
	assert_true(get(vm, 0x404) == ~0ull);
	assert_int_equal(msr(vm, KVM_GET_MSRS, 0x408, &value), 0);
	/* All ones or nothing. */
	assert_int_equal(set(vm, 0x17b, 5), 0);
	assert_int_equal(set(vm, 0x404, 5), 0);
	assert_int_equal(set(vm, 0x404, 0), 1);
	assert_int_equal(set(vm, 0x404, ~0ull), 1);
	assert_int_equal(set(vm, 0x17b, 0), 1);
	assert_int_equal(get(vm, 0x17b), 0);
}

static void a_corrected_error_waits_in_its_bank(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(setup(vm, 2 | CONTROL), 0);
	assert_int_equal(report(vm, 2, VALID), -EINVAL);
	assert_int_equal(report(vm, 1, 1), -EINVAL);
	assert_int_equal(report(vm, 1, VALID | 7), 0);
	assert_true(get(vm, STATUS_OF_BANK_1) == (VALID | 7));
	assert_int_equal(get(vm, STATUS_OF_BANK_1 + 1), 0x1234);
	assert_int_equal(report(vm, 1, VALID | 8), 0);
	assert_true(get(vm, STATUS_OF_BANK_1) == (VALID | OVERFLOW | 8));
}

static void set_cr4_mce(struct api_vm *vm)
{
	struct kvm_sregs s;

	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &s), 0);
	s.cr4 |= 1u << 6;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &s), 0);
}

static void an_uncorrected_error_is_an_exception(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(setup(vm, 2 | CONTROL), 0);
	api_load_guest(vm, halt);
	api_set_gate(vm, MACHINE_CHECK);
	/* Where the guest has switched it off nothing happens. */
	assert_int_equal(set(vm, 0x404, 0), 1);
	assert_int_equal(report(vm, 1, VALID | UNCORRECTED), 0);
	assert_int_equal(get(vm, STATUS_OF_BANK_1), 0);
	assert_int_equal(set(vm, 0x404, ~0ull), 1);
	set_cr4_mce(vm);
	assert_int_equal(report(vm, 1, VALID | UNCORRECTED), 0);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	assert_true(get(vm, STATUS_OF_BANK_1) == (VALID | UNCORRECTED));
	assert_int_equal(get(vm, 0x17a), 5);
	/* A corrected one does not displace it; another, while it is handled, ends it all. */
	assert_int_equal(report(vm, 1, VALID), 0);
	assert_true(get(vm, STATUS_OF_BANK_1) == (VALID | UNCORRECTED | OVERFLOW));
	assert_int_equal(report(vm, 0, VALID | UNCORRECTED), 0);
	api_run_to(vm, KVM_EXIT_SHUTDOWN);
}

static void full(struct api_vm *vm)
{
	assert_int_equal(umbra_ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), 0);
}

static void set_lapic_word(struct api_vm *vm, unsigned int offset, uint32_t value)
{
	struct kvm_lapic_state s;

	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_LAPIC, (uintptr_t)&s), 0);
	memcpy(s.regs + offset, &value, sizeof(value));
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_LAPIC, (uintptr_t)&s), 0);
}

static uint32_t lapic_word(const struct api_vm *vm, unsigned int offset)
{
	struct kvm_lapic_state s;
	uint32_t value;

	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_LAPIC, (uintptr_t)&s), 0);
	memcpy(&value, s.regs + offset, sizeof(value));
	return value;
}

static bool cmci_is_pending(const struct api_vm *vm)
{
	return lapic_word(vm, 0x200 + CMCI_VECTOR / 32 * 16) >> CMCI_VECTOR % 32 & 1;
}

/* Uncorrected, and no action is required: no exception, but an interrupt if it is wanted. */
static long report_ucna(struct api_vm *vm, uint64_t address)
{
	struct kvm_x86_mce m = { .status = VALID | UNCORRECTED | 0x10090, .addr = address,
				 .bank = 1 };

	return umbra_ioctl(vm->vcpu.fd, KVM_X86_SET_MCE, (uintptr_t)&m);
}

static void an_error_without_action_interrupts(void **state)
{
	struct api_vm vm;

	(void)state;
	api_vm_create_with(&vm, full);
	assert_int_equal(setup(&vm, 2 | CONTROL), 0);
	assert_int_equal(lapic_word(&vm, 0x30), 0x50014);
	assert_int_equal(set(&vm, CTL2_OF_BANK_1, CMCI_ENABLED), 0);
	assert_int_equal(set(&vm, CTL2_OF_BANK_1, 0), 1);
	assert_int_equal(setup(&vm, 2 | CONTROL | CMCI), 0);
	assert_int_equal(lapic_word(&vm, 0x30), 0x60014);
	assert_int_equal(lapic_word(&vm, 0x2f0), 0x10000);
	set_lapic_word(&vm, 0xf0, 0x1ff);
	set_lapic_word(&vm, 0x2f0, CMCI_VECTOR);
	assert_int_equal(set(&vm, CTL2_OF_BANK_1 + 1, 0), 0);
	assert_int_equal(set(&vm, CTL2_OF_BANK_1, 1u << 29), 0);
	assert_int_equal(report_ucna(&vm, 0x5000), 0);
	assert_int_equal(get(&vm, STATUS_OF_BANK_1 + 1), 0x5000);
	assert_false(cmci_is_pending(&vm));
	assert_int_equal(set(&vm, CTL2_OF_BANK_1, CMCI_ENABLED | 0x7fff), 1);
	assert_int_equal(report_ucna(&vm, 0x6000), 0);
	assert_int_equal(get(&vm, STATUS_OF_BANK_1 + 1), 0x6000);
	assert_true(cmci_is_pending(&vm));
	api_vm_destroy(&vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(banks_are_there_when_they_are_asked_for),
		api_test(a_corrected_error_waits_in_its_bank),
		api_test(an_uncorrected_error_is_an_exception),
		cmocka_unit_test(an_error_without_action_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
