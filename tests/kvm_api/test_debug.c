/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/test_debug.c - KVM_SET_GUEST_DEBUG: breakpoints and steps of the client's. */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <string.h>

#define DR6_FIXED 0xffff0ff0ull
#define DR7_FIXED 0x400ull
#define DR6_BS (1ull << 14)
#define DR6_BD (1ull << 13)
#define DR7_GD (1ull << 13)
#define FLAG_TF (1ull << 8)
#define BP 3
#define DB 1

#define load_handler(vm, code) memcpy((vm)->memory + API_HANDLER, code, sizeof(code) - 1)

static void run_to_debug(struct api_vm *vm, uint32_t exception, uint64_t pc, uint64_t dr6)
{
	const struct kvm_debug_exit_arch *exit = &vm->vcpu.run->debug.arch;

	api_run_to(vm, KVM_EXIT_DEBUG);
	assert_int_equal(exit->exception, exception);
	assert_int_equal(exit->pc, pc);
	assert_int_equal(api_regs(&vm->vcpu).rip, pc);
	if (exception == DB)
		assert_int_equal(exit->dr6, DR6_FIXED | dr6);
}

static void debug(struct api_vm *vm, uint32_t control)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | control };

	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &d), 0);
}

static void break_at(struct api_vm *vm, unsigned int n, uint64_t at, uint64_t kind)
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [7] = DR7_FIXED | 2u << (2 * n) | kind << (16 + 4 * n) },
	};

	d.arch.debugreg[n] = at;
	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &d), 0);
	run_to_debug(vm, DB, vm->vcpu.run->debug.arch.pc, 1ull << n);
	assert_int_equal(vm->vcpu.run->debug.arch.dr7, d.arch.debugreg[7]);
}

static void what_is_unknown_is_refused_and_changes_nothing(void **state)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	struct api_vm *vm = *state;

	api_load_code(vm, "\x90\x90\xf4");
	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &d), 0);
	for (unsigned int bit = 2; bit < 32; bit++) {
		d.control = 1u << bit;
		if (bit >= 16 && bit <= 20)
			continue;
		errno = 0;
		assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &d), -EINVAL);
	}
	run_to_debug(vm, DB, API_CODE + 1, DR6_BS);
	assert_int_equal(umbra_check_extension(vm->fd, KVM_CAP_SET_GUEST_DEBUG2), 0x1f0003);
}

/* nop; int3; hlt */
static void int3_is_the_clients_if_it_asks_for_it(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_INJECT_BP };
	struct kvm_regs regs = api_regs(&vm->vcpu);

	api_set_gate(vm, BP);
	api_load_code(vm, "\x90\xcc\xf4");
	load_handler(vm, "\xf4");
	debug(vm, KVM_GUESTDBG_USE_SW_BP);
	run_to_debug(vm, BP, API_CODE + 1, 0);
	run_to_debug(vm, BP, API_CODE + 1, 0);

	/* It was the guest's own: it gets it, and may have one event at a time. */
	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &d), 0);
	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &d), -EBUSY);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	assert_int_equal(*(uint64_t *)(vm->memory + API_STACK - 40), API_CODE + 2);

	/* INT 3 of two bytes is an interrupt like any other. */
	api_load_code(vm, "\x90\xcd\x03\xf4");
	debug(vm, KVM_GUESTDBG_USE_SW_BP);
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
}

/* mov %al, (%rdi); mov (%rdi), %al; out %al, $0x21; nop; hlt */
static void breakpoints_are_the_clients_own(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_regs regs = api_regs(&vm->vcpu);
	struct kvm_debugregs dr;
	struct kvm_sregs s;

	api_load_code(vm, "\x88\x07\x8a\x07\xe6\x21\x90\xf4");
	regs.rdi = API_DATA;
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &s), 0);
	s.cr4 |= 1u << 3; /* DE */
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &s), 0);

	vm->vcpu.run->debug.arch.pc = API_CODE;
	break_at(vm, 0, API_CODE, 0);
	vm->vcpu.run->debug.arch.pc = API_CODE + 2;
	break_at(vm, 1, API_DATA, 1);
	vm->vcpu.run->debug.arch.pc = API_CODE + 4;
	break_at(vm, 2, API_DATA, 3);
	/* A port: behind the exit that the client completes. */
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [3] = 0x21, [7] = DR7_FIXED | 2u << 6 | 2u << 28 },
	};
	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &d), 0);
	api_run_to(vm, KVM_EXIT_IO);
	run_to_debug(vm, DB, API_CODE + 6, 1u << 3);

	/* The guest's registers know nothing of all this. */
	assert_int_equal(umbra_get_debugregs(vm->vcpu.fd, &dr), 0);
	assert_int_equal(dr.dr6, DR6_FIXED);
	assert_int_equal(dr.dr7, DR7_FIXED);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(dr.db[i], 0);
	api_run_to(vm, KVM_EXIT_HLT);
}

/* nop; nop; hlt: the guest's breakpoint is at the second, the client's nowhere. */
static void the_guests_breakpoints_wait_meanwhile(void **state)
{
	struct kvm_debugregs dr = { .db[0] = API_CODE + 1, .dr6 = DR6_FIXED, .dr7 = DR7_FIXED | 2 };
	struct kvm_guest_debug off = { .control = KVM_GUESTDBG_USE_HW_BP };
	struct api_vm *vm = *state;
	struct kvm_regs regs = api_regs(&vm->vcpu);

	api_set_gate(vm, DB);
	api_load_code(vm, "\x90\x90\xf4");
	load_handler(vm, "\xf4");
	assert_int_equal(umbra_set_debugregs(vm->vcpu.fd, &dr), 0);
	debug(vm, KVM_GUESTDBG_USE_HW_BP);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_CODE + 3);

	/* Without KVM_GUESTDBG_ENABLE nothing else counts. */
	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &off), 0);
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	assert_int_equal(umbra_get_debugregs(vm->vcpu.fd, &dr), 0);
	assert_int_equal(dr.dr6, DR6_FIXED | 1);

	/* With steps alone #DB is the client's, and the breakpoints are the guest's. */
	api_set_regs(&vm->vcpu, &regs);
	debug(vm, KVM_GUESTDBG_SINGLESTEP);
	run_to_debug(vm, DB, API_CODE + 1, DR6_BS);
	run_to_debug(vm, DB, API_CODE + 1, 1);
}

/* nop; out %al, $0x21; rep stosb; pushf; pop %rax; hlt */
static void steps_stop_after_each_instruction(void **state)
{
	struct kvm_guest_debug off = { 0 };
	struct api_vm *vm = *state;
	struct kvm_regs regs = api_regs(&vm->vcpu);

	api_load_code(vm, "\x90\xe6\x21\xf3\xaa\x9c\x58\xf4");
	regs.rdi = API_DATA;
	regs.rcx = 2;
	api_set_regs(&vm->vcpu, &regs);
	debug(vm, KVM_GUESTDBG_SINGLESTEP);
	assert_int_equal(api_regs(&vm->vcpu).rflags & FLAG_TF, 0);
	run_to_debug(vm, DB, API_CODE + 1, DR6_BS);
	api_run_to(vm, KVM_EXIT_IO);
	run_to_debug(vm, DB, API_CODE + 3, DR6_BS);
	/* An element is a step, as with EFLAGS.TF. */
	run_to_debug(vm, DB, API_CODE + 3, DR6_BS);
	assert_int_equal(api_regs(&vm->vcpu).rcx, 1);
	run_to_debug(vm, DB, API_CODE + 5, DR6_BS);
	run_to_debug(vm, DB, API_CODE + 6, DR6_BS);
	/* Registers that are set where the step began keep it going, though TF is hidden. */
	debug(vm, KVM_GUESTDBG_SINGLESTEP);
	regs = api_regs(&vm->vcpu);
	assert_int_equal(regs.rflags & FLAG_TF, 0);
	api_set_regs(&vm->vcpu, &regs);
	run_to_debug(vm, DB, API_CODE + 7, DR6_BS);

	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &off), 0);
	assert_int_equal(api_regs(&vm->vcpu).rflags & FLAG_TF, 0);
	api_run_to(vm, KVM_EXIT_HLT);
}

/* ud2; hlt.  The handler: addq $2, (%rsp); iretq. */
static void a_step_takes_the_handler_along(void **state)
{
	struct api_vm *vm = *state;

	api_set_gate(vm, 6);
	api_load_code(vm, "\x0f\x0b\x90\xf4");
	load_handler(vm, "\x48\x83\x04\x24\x02\x48\xcf");
	debug(vm, KVM_GUESTDBG_SINGLESTEP);
	run_to_debug(vm, DB, API_CODE + 3, DR6_BS);
}

/* nop; nop; nop; hlt */
static void an_nmi_waits_for_the_steps_to_end(void **state)
{
	struct kvm_guest_debug off = { 0 };
	struct api_vm *vm = *state;

	api_set_gate(vm, 2);
	api_load_code(vm, "\x90\x90\x90\xf4");
	load_handler(vm, "\xf4");
	debug(vm, KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_NMI, 0), 0);
	run_to_debug(vm, DB, API_CODE + 1, DR6_BS);
	run_to_debug(vm, DB, API_CODE + 2, DR6_BS);
	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &off), 0);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	assert_int_equal(*(uint64_t *)(vm->memory + API_STACK - 40), API_CODE + 2);
}

/* mov %dr6, %rax; int1 */
static void debug_registers_and_int1_are_the_clients_too(void **state)
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = { [7] = DR7_FIXED | DR7_GD },
	};
	struct api_vm *vm = *state;

	api_load_code(vm, "\x0f\x21\xf0\xf1");
	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &d), 0);
	run_to_debug(vm, DB, API_CODE, DR6_BD);
	d.arch.debugreg[7] = DR7_FIXED;
	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &d), 0);
	run_to_debug(vm, DB, API_CODE + 3, 0);
	assert_int_equal(api_regs(&vm->vcpu).rax, DR6_FIXED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(what_is_unknown_is_refused_and_changes_nothing),
		api_test(int3_is_the_clients_if_it_asks_for_it),
		api_test(breakpoints_are_the_clients_own),
		api_test(the_guests_breakpoints_wait_meanwhile),
		api_test(steps_stop_after_each_instruction),
		api_test(a_step_takes_the_handler_along),
		api_test(an_nmi_waits_for_the_steps_to_end),
		api_test(debug_registers_and_int1_are_the_clients_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
