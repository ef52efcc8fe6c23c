/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/test_hypercalls.c - what the guest asks of KVM, and what CPUID must say for it. */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <linux/kvm_para.h>
#include <string.h>

#define SVR 0xf0
#define IRR 0x200
#define VECTOR 0x31
#define AMD_EBX 0x68747541u
#define HYGON_EBX 0x6f677948u
#define HYPERCALL_BYTES 3
#define PORT 0x42
#define N_PV_MSRS 5u

/* The instruction of the guest's vendor, or the other one; OUT and HLT behind it. */
static void load_hypercall(struct api_vm *vm, bool native)
{
	static struct api_cpuid t;
	uint8_t code[] = { 0x0f, 0x01, 0xc1, 0xe6, PORT, 0xf4 };

	api_supported_cpuid(vm, &t);
	if ((t.entries[0].ebx == AMD_EBX || t.entries[0].ebx == HYGON_EBX) == native)
		code[2] = 0xd9;
	memcpy(vm->memory + API_CODE, code, sizeof(code));
}

static void set_arguments(const struct api_vcpu *vcpu, uint64_t nr, uint64_t a0, uint64_t a1,
			  uint64_t a2, uint64_t a3)
{
	struct kvm_regs regs = { .rip = API_CODE, .rsp = API_STACK, .rflags = 2, .rax = nr,
				 .rbx = a0, .rcx = a1, .rdx = a2, .rsi = a3 };

	api_set_regs(vcpu, &regs);
}

/* Runs to the OUT, and tells what the hypercall has returned. */
static int64_t result_of(const struct api_vcpu *vcpu)
{
	assert_int_equal(api_run(vcpu), 0);
	assert_int_equal(vcpu->run->exit_reason, KVM_EXIT_IO);
	return (int64_t)api_regs(vcpu).rax;
}

static int64_t hypercall(const struct api_vcpu *vcpu, uint64_t nr, uint64_t a0, uint64_t a1,
			 uint64_t a2, uint64_t a3)
{
	set_arguments(vcpu, nr, a0, a1, a2, a3);
	return result_of(vcpu);
}

static void what_is_not_there_says_so(void **state)
{
	struct api_vm *vm = *state;

	load_hypercall(vm, true);
	assert_int_equal(hypercall(&vm->vcpu, 0x7777, 0, 0, 0, 0), -KVM_ENOSYS);
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0), 0);
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_SCHED_YIELD, 0, 0, 0, 0), 0);
	/* Without local APICs there is nobody to interrupt. */
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_SEND_IPI, 1, 0, 0, VECTOR),
			 -KVM_EOPNOTSUPP);
}

static long disable_quirks(struct api_vm *vm, uint64_t which)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DISABLE_QUIRKS2, .args = { which } };

	return umbra_enable_cap(vm->fd, &cap);
}

static void the_other_vendors_instruction_is_replaced(void **state)
{
	struct api_vm *vm = *state;
	uint8_t native[HYPERCALL_BYTES], other[HYPERCALL_BYTES];

	api_set_gate(vm, 6);
	load_hypercall(vm, true);
	memcpy(native, vm->memory + API_CODE, sizeof(native));
	load_hypercall(vm, false);
	memcpy(other, vm->memory + API_CODE, sizeof(other));
	assert_memory_not_equal(native, other, sizeof(native));
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_SCHED_YIELD, 0, 0, 0, 0), 0);
	assert_memory_equal(vm->memory + API_CODE, native, sizeof(native));

	/* But if the client does not want that, it is not there. */
	assert_int_equal(disable_quirks(vm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN), 0);
	load_hypercall(vm, false);
	set_arguments(&vm->vcpu, KVM_HC_SCHED_YIELD, 0, 0, 0, 0);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	assert_memory_equal(vm->memory + API_CODE, other, sizeof(other));
}

static uint32_t lapic_word(const struct api_vcpu *vcpu, unsigned int offset)
{
	struct kvm_lapic_state s;
	uint32_t value;

	assert_int_equal(umbra_ioctl(vcpu->fd, KVM_GET_LAPIC, (uintptr_t)&s), 0);
	memcpy(&value, s.regs + offset, sizeof(value));
	return value;
}

static void enable_lapic(const struct api_vcpu *vcpu)
{
	const uint32_t value = 0x1ff;
	struct kvm_lapic_state s;

	assert_int_equal(umbra_ioctl(vcpu->fd, KVM_GET_LAPIC, (uintptr_t)&s), 0);
	memcpy(s.regs + SVR, &value, sizeof(value));
	assert_int_equal(umbra_ioctl(vcpu->fd, KVM_SET_LAPIC, (uintptr_t)&s), 0);
}

static void full(struct api_vm *vm)
{
	assert_int_equal(umbra_ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), 0);
}

static int set_up_two(void **state)
{
	static struct api_vm vm;
	static struct api_vcpu second;
	static void *both[2];
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	api_vm_create_with(&vm, full);
	api_vcpu_create(&vm, 1, &second);
	assert_int_equal(umbra_ioctl(second.fd, KVM_SET_MP_STATE, (uintptr_t)&mp), 0);
	enable_lapic(&vm.vcpu);
	enable_lapic(&second);
	load_hypercall(&vm, true);
	both[0] = &vm;
	both[1] = &second;
	*state = both;
	return 0;
}

static int tear_down_two(void **state)
{
	void **both = *state;

	api_vcpu_destroy(both[0], both[1]);
	api_vm_destroy(both[0]);
	return 0;
}

static void an_ipi_goes_to_a_set_of_vcpus(void **state)
{
	void **both = *state;
	struct api_vm *vm = both[0];
	struct api_vcpu *second = both[1];
	const unsigned int word = IRR + VECTOR / 32 * 16;

	assert_int_equal(hypercall(second, KVM_HC_SEND_IPI, 0, 0, 0, VECTOR), 0);
	/* By their identifiers from the third argument on; the second word is 64 further on. */
	assert_int_equal(hypercall(second, KVM_HC_SEND_IPI, 1, 0, 1, VECTOR), 1);
	assert_int_equal(lapic_word(&vm->vcpu, word), 0);
	assert_int_equal(lapic_word(second, word), 1u << VECTOR % 32);
	assert_int_equal(hypercall(second, KVM_HC_SEND_IPI, 0, 1, (uint32_t)-64, VECTOR), 1);
	assert_int_equal(lapic_word(&vm->vcpu, word), 1u << VECTOR % 32);
	assert_int_equal(hypercall(second, KVM_HC_SEND_IPI, 3, 0, 0, VECTOR + 1), 2);
	/* A shorthand says nothing here. */
	assert_int_equal(hypercall(second, KVM_HC_SEND_IPI, 3, 0, 0, 1u << 18 | VECTOR),
			 -KVM_EINVAL);
}

static void a_kick_ends_a_halt_with_interrupts_off(void **state)
{
	static const uint8_t halts[] = { 0xf4, 0xe6, PORT + 1 };
	void **both = *state;
	struct api_vm *vm = both[0];
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_HALTED };

	assert_int_equal(hypercall(both[1], KVM_HC_KICK_CPU, 0, 0, 0, 0), 0);
	memcpy(vm->memory + API_CODE, halts, sizeof(halts));
	api_run_to(vm, KVM_EXIT_IO);
	assert_int_equal(vm->vcpu.run->io.port, PORT + 1);
	/* One that sleeps already, too. */
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_MP_STATE, (uintptr_t)&mp), 0);
	load_hypercall(vm, true);
	assert_int_equal(hypercall(both[1], KVM_HC_KICK_CPU, 0, 0, 0, 0), 0);
	assert_int_equal(umbra_get_mp_state(vm->vcpu.fd, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
}

static void set_code(const struct api_vcpu *vcpu, bool is_64bit, uint8_t level)
{
	struct kvm_sregs s;

	assert_int_equal(umbra_get_sregs(vcpu->fd, &s), 0);
	s.cs.l = is_64bit;
	s.cs.db = !is_64bit;
	s.cs.dpl = s.ss.dpl = level;
	s.cs.selector |= level;
	s.ss.selector |= level;
	assert_int_equal(umbra_set_sregs(vcpu->fd, &s), 0);
}

static void in_32_bit_code_numbers_have_32_bits(void **state)
{
	const uint64_t more = 0xdeadull << 32;
	void **both = *state;
	struct api_vcpu *second = both[1];

	set_code(second, false, 0);
	assert_true(hypercall(second, more | 0x7777, 0, 0, 0, 0) == (uint32_t)-KVM_ENOSYS);
	assert_int_equal(hypercall(second, more | KVM_HC_SEND_IPI, more | 1, more, more | 1,
				   more | VECTOR), 1);
	/* So the second word is 32 further on. */
	assert_int_equal(hypercall(second, KVM_HC_SEND_IPI, 0, 1, (uint32_t)-32, VECTOR), 1);
}

static void programs_of_the_guest_may_not_ask(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_regs regs;

	for (unsigned int i = 0; i < 3; i++)
		((uint64_t *)(vm->memory + API_TABLES))[512 * i] |= 4;
	load_hypercall(vm, true);
	set_code(&vm->vcpu, true, 3);
	set_arguments(&vm->vcpu, KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0);
	regs = api_regs(&vm->vcpu);
	regs.rflags |= 3u << 12; /* it may use ports */
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(result_of(&vm->vcpu), -KVM_EPERM);
}

static void a_change_of_encryption_is_the_clients(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXIT_HYPERCALL,
				      .args = { 1u << KVM_HC_MAP_GPA_RANGE } };
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;

	assert_int_equal(umbra_check_extension(vm->fd, KVM_CAP_EXIT_HYPERCALL), cap.args[0]);
	load_hypercall(vm, true);
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_MAP_GPA_RANGE, 0x5000, 2, 16, 0),
			 -KVM_ENOSYS);
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), 0);
	set_arguments(&vm->vcpu, KVM_HC_MAP_GPA_RANGE, 0x5000, 2, 16, 0);
	memset(&run->hypercall, 0x55, sizeof(run->hypercall));
	api_run_to(vm, KVM_EXIT_HYPERCALL);
	/* A client that says nothing has said yes. */
	assert_int_equal(run->hypercall.ret, 0);
	assert_int_equal(run->hypercall.nr, KVM_HC_MAP_GPA_RANGE);
	assert_int_equal(run->hypercall.args[0], 0x5000);
	assert_int_equal(run->hypercall.args[1], 2);
	assert_int_equal(run->hypercall.args[2], 16);
	assert_int_equal(run->hypercall.longmode, 1);
	run->hypercall.ret = 0x123456789abcdef;
	assert_true(result_of(&vm->vcpu) == 0x123456789abcdef);
	/* Not of pages, none, or beyond the end. */
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_MAP_GPA_RANGE, 0x5001, 2, 0, 0),
			 -KVM_EINVAL);
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_MAP_GPA_RANGE, 0x5000, 0, 0, 0),
			 -KVM_EINVAL);
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_MAP_GPA_RANGE, 0x5000, ~0ull, 0, 0),
			 -KVM_EINVAL);
	cap.args[0] = 1;
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EINVAL);
}

/* All registers of KVM's own, one after the other: how many are accepted. */
static unsigned int access_msrs(const struct api_vm *vm, unsigned long call)
{
	static const uint32_t all[] = { 0x11, 0x12, 0x4b564d00, 0x4b564d01, 0x4b564d03 };
	unsigned int n = 0;

	for (unsigned int i = 0; i < N_PV_MSRS; i++) {
		struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = {
			.head.nmsrs = 1, .e.index = all[i],
		};

		n += umbra_ioctl(vm->vcpu.fd, call, (uintptr_t)&m) == 1;
	}
	return n;
}

static void what_cpuid_lacks_is_not_there_if_the_client_insists(void **state)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };
	struct api_vm *vm = *state;
	static struct api_cpuid t;

	assert_int_equal(umbra_check_extension(vm->fd, cap.cap), 1);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_ENABLE_CAP, (uintptr_t)&cap), -EINVAL);
	api_supported_cpuid(vm, &t);
	for (uint32_t i = 0; i < t.head.nent; i++)
		if (t.entries[i].function == 0x40000001)
			t.entries[i].eax = 0;
	assert_int_equal(umbra_set_cpuid2(vm->vcpu.fd, &t.head), 0);
	assert_int_equal(access_msrs(vm, KVM_SET_MSRS), N_PV_MSRS);
	load_hypercall(vm, true);
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_KICK_CPU, 0, 0, 0, 0), 0);
	cap.flags = 1;
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_ENABLE_CAP, (uintptr_t)&cap), -EINVAL);
	cap.flags = 0;
	cap.cap = KVM_CAP_HLT;
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_ENABLE_CAP, (uintptr_t)&cap), -EINVAL);
	cap.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID;
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_ENABLE_CAP, (uintptr_t)&cap), 0);
	assert_int_equal(access_msrs(vm, KVM_SET_MSRS), 0);
	assert_int_equal(access_msrs(vm, KVM_GET_MSRS), 0);
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_KICK_CPU, 0, 0, 0, 0), -KVM_ENOSYS);
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_SEND_IPI, 0, 0, 0, 0), -KVM_ENOSYS);
	assert_int_equal(hypercall(&vm->vcpu, KVM_HC_SCHED_YIELD, 0, 0, 0, 0), -KVM_ENOSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(what_is_not_there_says_so),
		api_test(the_other_vendors_instruction_is_replaced),
		cmocka_unit_test_setup_teardown(an_ipi_goes_to_a_set_of_vcpus, set_up_two,
						tear_down_two),
		cmocka_unit_test_setup_teardown(a_kick_ends_a_halt_with_interrupts_off,
						set_up_two, tear_down_two),
		cmocka_unit_test_setup_teardown(in_32_bit_code_numbers_have_32_bits, set_up_two,
						tear_down_two),
		api_test(programs_of_the_guest_may_not_ask),
		api_test(a_change_of_encryption_is_the_clients),
		api_test(what_cpuid_lacks_is_not_there_if_the_client_insists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
