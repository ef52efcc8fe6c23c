/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/test_interrupts.c - the client as the interrupt controller. */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <string.h>

static long interrupt(const struct api_vm *vm, uint32_t vector)
{
	struct kvm_interrupt irq = { vector };

	return umbra_ioctl(vm->vcpu.fd, KVM_INTERRUPT, (uintptr_t)&irq);
}

/* The frame of the handler's level, without an error code. */
static uint64_t pushed_rip(const struct api_vm *vm)
{
	return *(const uint64_t *)(vm->memory + API_STACK - 40);
}

/* The exit comes before the next instruction, and again as long as it is asked for. */
static void the_client_asks_for_a_window_and_injects(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;

	api_set_gate(vm, 0x30);
	api_load_code(vm, "\xfb\x90\x90\xf4"); /* sti; nop; nop; hlt */
	run->request_interrupt_window = 1;
	api_run_to(vm, KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_CODE + 2);
	assert_int_equal(run->ready_for_interrupt_injection, 1);
	assert_int_equal(run->if_flag, 1);
	api_run_to(vm, KVM_EXIT_IRQ_WINDOW_OPEN);

	assert_int_equal(interrupt(vm, 256), -EINVAL);
	assert_int_equal(interrupt(vm, 0x30), 0);
	assert_int_equal(api_events(vm).interrupt.injected, 1);
	assert_int_equal(api_events(vm).interrupt.nr, 0x30);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	assert_int_equal(pushed_rip(vm), API_CODE + 2);
	assert_int_equal(run->ready_for_interrupt_injection, 0);
	assert_int_equal(run->if_flag, 0);
	assert_int_equal(api_events(vm).interrupt.injected, 0);
}

/* With IF set and nothing that waits, the window is open where the guest has halted. */
static void a_halted_guest_is_ready(void **state)
{
	struct api_vm *vm = *state;

	api_load_code(vm, "\xfb\xf4"); /* sti; hlt */
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(vm->vcpu.run->ready_for_interrupt_injection, 1);
	assert_int_equal(vm->vcpu.run->if_flag, 1);
}

static void an_nmi_goes_in_and_stays_masked(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_vcpu_events e;

	assert_int_equal(umbra_ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_USER_NMI), 1);
	api_set_gate(vm, 2);
	api_load_code(vm, "\xf4");
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_NMI, 0), 0);
	assert_int_equal(api_events(vm).nmi.pending, 1);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	e = api_events(vm);
	assert_int_equal(e.nmi.masked, 1);
	assert_int_equal(e.nmi.pending, 0);
	/* The next one waits for IRET. */
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_NMI, 0), 0);
	vm->memory[API_HANDLER + 1] = 0xf4;
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 2);
	assert_int_equal(api_events(vm).nmi.pending, 1);
}

/* All that waits can be read and put back, all at once. */
static void events_of_every_sort_are_kept(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_vcpu_events e = {
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW,
		.exception = { .injected = 1, .nr = 13, .has_error_code = 1, .error_code = 5 },
		.interrupt = { .injected = 1, .nr = 0x30, .shadow = KVM_X86_SHADOW_INT_STI },
		.nmi = { .injected = 1, .pending = 1, .masked = 1 },
	}, got;

	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), 0);
	got = api_events(vm);
	assert_memory_equal(&got.exception, &e.exception, sizeof(e.exception));
	assert_memory_equal(&got.interrupt, &e.interrupt, sizeof(e.interrupt));
	assert_memory_equal(&got.nmi, &e.nmi, sizeof(e.nmi));

	/* Fields without their flag stay. */
	e.flags = 0;
	e.nmi.pending = 0;
	e.interrupt.shadow = 0;
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), 0);
	assert_int_equal(api_events(vm).nmi.pending, 1);
	assert_int_equal(api_events(vm).interrupt.shadow, KVM_X86_SHADOW_INT_STI);

	/* Refused, and nothing has changed. */
	memset(&e, 0, sizeof(e));
	e.exception.injected = 1;
	e.exception.nr = 32;
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), -EINVAL);
	e.exception.nr = 2;
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), -EINVAL);
	memset(&e, 0, sizeof(e));
	e.flags = KVM_VCPUEVENT_VALID_SMM;
	e.smi.smm = 1;
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), -EINVAL);
	assert_int_equal(api_events(vm).interrupt.nr, 0x30);
}

static void the_client_sees_cr8_and_its_fall(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;

	/* mov %cr8, %rax; dec %eax; mov %rax, %cr8; hlt */
	api_load_code(vm, "\x44\x0f\x20\xc0\xff\xc8\x44\x0f\x22\xc0\xf4");
	run->cr8 = 16;
	assert_int_equal(umbra_run(vm->vcpu.fd, 0), -EINVAL);
	run->cr8 = 9;
	api_run_to(vm, KVM_EXIT_SET_TPR);
	assert_int_equal(run->cr8, 8);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_CODE + 10);
	api_run_to(vm, KVM_EXIT_HLT);
}

static void without_a_controller_nothing_is_routed(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_irq_routing none = { 0 };

	assert_int_equal(umbra_ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING), 4096);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_SET_GSI_ROUTING, (uintptr_t)&none), -EINVAL);
}

static void create_irqchip(struct api_vm *vm)
{
	assert_int_equal(umbra_ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), 0);
}

/* It is not the client's business then. */
static void with_an_irqchip_the_client_cannot_inject(void **state)
{
	struct api_vm vm;

	(void)state;
	api_vm_create_with(&vm, create_irqchip);
	assert_int_equal(interrupt(&vm, 0x30), -ENXIO);
	api_vm_destroy(&vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(the_client_asks_for_a_window_and_injects),
		api_test(a_halted_guest_is_ready),
		api_test(an_nmi_goes_in_and_stays_masked),
		api_test(events_of_every_sort_are_kept),
		api_test(the_client_sees_cr8_and_its_fall),
		api_test(without_a_controller_nothing_is_routed),
		cmocka_unit_test(with_an_irqchip_the_client_cannot_inject),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
