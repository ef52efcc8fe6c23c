/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/test_msr.c - MSRs that the client filters, and accesses that it answers. */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <string.h>

#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define X2APIC_ID 0x802u
#define MSR_NONE 0x474f4f00u
#define NOT_CANONICAL 0x8000000000000000ull
#define GP 13
#define RDMSR "\x0f\x32\xf4"	/* and HLT */
#define WRMSR "\x0f\x30\xf4"
#define MSR_BYTES 2

/* RDMSR or WRMSR of RCX, then HLT; RSI has what is written. */
static void begin(struct api_vm *vm, const char *code, uint32_t msr, uint64_t value)
{
	struct kvm_regs regs = { .rip = API_CODE, .rsp = API_STACK, .rflags = 2, .rcx = msr,
				 .rax = (uint32_t)value, .rdx = value >> 32 };

	memcpy(vm->memory + API_CODE, code, MSR_BYTES + 1);
	api_set_regs(&vm->vcpu, &regs);
}

static long answer_for(struct api_vm *vm, uint64_t reasons)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { reasons } };

	return umbra_enable_cap(vm->fd, &cap);
}

static long set_filter(struct api_vm *vm, const struct kvm_msr_filter *f)
{
	return umbra_ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, (uintptr_t)f);
}

static void expect_exit(struct api_vm *vm, uint32_t exit, uint32_t reason, uint32_t msr)
{
	const struct kvm_run *run = vm->vcpu.run;

	api_run_to(vm, exit);
	assert_int_equal(run->msr.reason, reason);
	assert_int_equal(run->msr.index, msr);
	assert_int_equal(run->msr.error, 0);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_CODE);
}

static void expect_done(struct api_vm *vm)
{
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_CODE + MSR_BYTES + 1);
}

static void expect_fault(struct api_vm *vm)
{
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	/* The error code, and where it was. */
	assert_int_equal(((const uint64_t *)(vm->memory + API_STACK - 48))[0], 0);
	assert_int_equal(((const uint64_t *)(vm->memory + API_STACK - 48))[1], API_CODE);
}

static void accesses_that_fail_are_the_clients_if_it_asks_for_them(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;

	assert_int_equal(umbra_check_extension(vm->fd, KVM_CAP_X86_USER_SPACE_MSR), 1);
	assert_int_equal(answer_for(vm, 8), -EINVAL);
	api_set_gate(vm, GP);
	/* Unless it does they fault. */
	begin(vm, RDMSR, MSR_NONE, 0);
	expect_fault(vm);
	assert_int_equal(answer_for(vm, KVM_MSR_EXIT_REASON_UNKNOWN), 0);
	begin(vm, WRMSR, MSR_LSTAR, NOT_CANONICAL);
	expect_fault(vm);

	begin(vm, RDMSR, MSR_NONE, 0);
	expect_exit(vm, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE);
	run->msr.data = 0x1122334455667788;
	expect_done(vm);
	assert_int_equal(api_regs(&vm->vcpu).rax, 0x55667788);
	assert_int_equal(api_regs(&vm->vcpu).rdx, 0x11223344);
	begin(vm, WRMSR, MSR_NONE, 0x8877665544332211);
	expect_exit(vm, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE);
	assert_true(run->msr.data == 0x8877665544332211);
	expect_done(vm);

	assert_int_equal(answer_for(vm, KVM_MSR_EXIT_REASON_INVAL), 0);
	begin(vm, WRMSR, MSR_LSTAR, NOT_CANONICAL);
	expect_exit(vm, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_INVAL, MSR_LSTAR);
	run->msr.error = 1;
	expect_fault(vm);
	begin(vm, RDMSR, MSR_NONE, 0);
	expect_fault(vm);
}

static long client_reads(const struct api_vm *vm, uint32_t msr)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = {
		.head.nmsrs = 1, .e.index = msr,
	};

	return umbra_ioctl(vm->vcpu.fd, KVM_GET_MSRS, (uintptr_t)&m);
}

static void a_filter_takes_registers_away(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;
	uint8_t bits[2] = { 0xfd, 0xff };	/* all but the second: LSTAR */
	struct kvm_msr_filter f = {
		.ranges[3] = { .flags = KVM_MSR_FILTER_READ, .base = MSR_STAR, .nmsrs = 9,
			       .bitmap = bits },
	};
	const uint64_t kept = 0x123456;

	assert_int_equal(umbra_check_extension(vm->fd, KVM_CAP_X86_MSR_FILTER), 1);
	api_set_gate(vm, GP);
	assert_int_equal(set_filter(vm, &f), 0);
	begin(vm, RDMSR, MSR_LSTAR, 0);
	expect_fault(vm);
	assert_int_equal(answer_for(vm, KVM_MSR_EXIT_REASON_FILTER), 0);
	begin(vm, WRMSR, MSR_LSTAR, kept);
	expect_done(vm);
	begin(vm, RDMSR, MSR_LSTAR, 0);
	expect_exit(vm, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER, MSR_LSTAR);
	run->msr.data = 5;
	expect_done(vm);
	assert_int_equal(api_regs(&vm->vcpu).rax, 5);
	begin(vm, RDMSR, MSR_STAR, 0);
	expect_done(vm);

	/* Only what is named; the guest is not asked, nor told. */
	f.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	bits[0] = 0x02;
	bits[1] = 0;
	assert_int_equal(set_filter(vm, &f), 0);
	begin(vm, RDMSR, MSR_LSTAR, 0);
	expect_done(vm);
	assert_int_equal(api_regs(&vm->vcpu).rax, kept);
	begin(vm, WRMSR, MSR_LSTAR, 0);
	expect_exit(vm, KVM_EXIT_X86_WRMSR, KVM_MSR_EXIT_REASON_FILTER, MSR_LSTAR);
	expect_done(vm);
	begin(vm, RDMSR, 0x10, 0);
	expect_exit(vm, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_FILTER, 0x10);
	expect_done(vm);
	/* The client is not filtered, and an empty filter allows all. */
	assert_int_equal(client_reads(vm, MSR_STAR), 1);
	memset(&f, 0, sizeof(f));
	assert_int_equal(set_filter(vm, &f), 0);
	begin(vm, RDMSR, MSR_LSTAR, 0);
	expect_done(vm);
	assert_int_equal(api_regs(&vm->vcpu).rax, kept);
}

static void the_first_range_decides(void **state)
{
	struct api_vm *vm = *state;
	uint8_t all_but_100[17], all[2] = { 0xff, 0xff };
	struct kvm_msr_filter f = {
		.flags = KVM_MSR_FILTER_DEFAULT_DENY,
		.ranges[2] = { .flags = KVM_MSR_FILTER_READ, .base = MSR_LSTAR - 100,
			       .nmsrs = 130, .bitmap = all_but_100 },
		.ranges[5] = { .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			       .base = MSR_STAR, .nmsrs = 9, .bitmap = all },
	};

	memset(all_but_100, 0xff, sizeof(all_but_100));
	all_but_100[100 / 8] &= (uint8_t)~(1u << 100 % 8);
	api_set_gate(vm, GP);
	assert_int_equal(set_filter(vm, &f), 0);
	begin(vm, RDMSR, MSR_LSTAR, 0);
	expect_fault(vm);
	begin(vm, RDMSR, MSR_STAR, 0);
	expect_done(vm);
	/* It says nothing of writes. */
	begin(vm, WRMSR, MSR_LSTAR, 0);
	expect_done(vm);
}

static void registers_of_an_apic_are_not_filtered(void **state)
{
	struct api_vm *vm = *state;
	uint8_t bits[1] = { 0 };
	struct kvm_msr_filter f = {
		.ranges[0] = { .flags = KVM_MSR_FILTER_READ, .base = X2APIC_ID, .nmsrs = 2,
			       .bitmap = bits },
	};

	api_set_gate(vm, GP);
	assert_int_equal(answer_for(vm, KVM_MSR_EXIT_REASON_FILTER), 0);
	assert_int_equal(set_filter(vm, &f), 0);
	/* There is none: it faults, and the client does not hear of it. */
	begin(vm, RDMSR, X2APIC_ID, 0);
	expect_fault(vm);
}

static void bad_filters_change_nothing(void **state)
{
	struct api_vm *vm = *state;
	uint8_t bits[KVM_MSR_FILTER_MAX_BITMAP_SIZE + 8] = { 0 };
	struct kvm_msr_filter good = {
		.ranges[0] = { .flags = KVM_MSR_FILTER_READ, .base = MSR_STAR, .nmsrs = 1,
			       .bitmap = bits },
	};
	struct kvm_msr_filter bad = { .flags = KVM_MSR_FILTER_DEFAULT_DENY };

	api_set_gate(vm, GP);
	assert_int_equal(set_filter(vm, &good), 0);
	assert_int_equal(set_filter(vm, &bad), -EINVAL);
	bad.flags = 2;
	assert_int_equal(set_filter(vm, &bad), -EINVAL);
	bad = good;
	bad.ranges[0].flags = 4;
	assert_int_equal(set_filter(vm, &bad), -EINVAL);
	bad.ranges[0].flags = 0;
	assert_int_equal(set_filter(vm, &bad), -EINVAL);
	bad = good;
	bad.ranges[0].nmsrs = KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8 + 1;
	assert_int_equal(set_filter(vm, &bad), -EINVAL);
	bad.ranges[0].nmsrs = ~0u;
	assert_int_equal(set_filter(vm, &bad), -EINVAL);
	bad.ranges[0].nmsrs = KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8;
	bad.ranges[0].bitmap = (uint8_t *)8;
	assert_int_equal(set_filter(vm, &bad), -EFAULT);
	begin(vm, RDMSR, MSR_STAR, 0);
	expect_fault(vm);
	bad.ranges[0].bitmap = bits;
	assert_int_equal(set_filter(vm, &bad), 0);
}

/* An answer is for the instruction that asked, and for no other. */
static void an_answer_is_dropped_where_the_client_goes_elsewhere(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_regs regs;

	assert_int_equal(answer_for(vm, KVM_MSR_EXIT_REASON_UNKNOWN), 0);
	begin(vm, RDMSR, MSR_NONE, 0);
	expect_exit(vm, KVM_EXIT_X86_RDMSR, KVM_MSR_EXIT_REASON_UNKNOWN, MSR_NONE);
	regs = api_regs(&vm->vcpu);
	regs.rip = API_CODE + MSR_BYTES;
	regs.rax = 77;
	api_set_regs(&vm->vcpu, &regs);
	expect_done(vm);
	assert_int_equal(api_regs(&vm->vcpu).rax, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(accesses_that_fail_are_the_clients_if_it_asks_for_them),
		api_test(a_filter_takes_registers_away),
		api_test(the_first_range_decides),
		api_test(registers_of_an_apic_are_not_filtered),
		api_test(bad_filters_change_nothing),
		api_test(an_answer_is_dropped_where_the_client_goes_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
