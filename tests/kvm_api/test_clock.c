/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/test_clock.c - kvmclock, by the page that the guest reads. */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <string.h>

#define PAGE 0x101000ull
#define SYSTEM_TIME 0x4b564d01u
#define WALL_CLOCK 0x4b564d00u
#define SECOND 1000000000ull

struct time_page {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
};

static const struct time_page *page_of(const struct api_vm *vm)
{
	return (const struct time_page *)(vm->memory + PAGE);
}

/* The guest writes @value to @msr and halts. */
static void guest_writes(struct api_vm *vm, uint32_t msr, uint64_t value)
{
	struct kvm_regs regs = api_regs(&vm->vcpu);

	memcpy(vm->memory + API_CODE, "\x0f\x30\xf4", 3); /* wrmsr; hlt */
	regs.rip = API_CODE;
	regs.rcx = msr;
	regs.rax = (uint32_t)value;
	regs.rdx = value >> 32;
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(api_run(&vm->vcpu), 0);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_HLT);
}

static void run_again(struct api_vm *vm)
{
	guest_writes(vm, 0x277, 0x0007040600070406); /* the PAT, as it is */
}

static struct kvm_clock_data get_clock(const struct api_vm *vm)
{
	struct kvm_clock_data d;

	assert_int_equal(umbra_ioctl(vm->fd, KVM_GET_CLOCK, (uintptr_t)&d), 0);
	return d;
}

static long set_clock(const struct api_vm *vm, struct kvm_clock_data d)
{
	return umbra_ioctl(vm->fd, KVM_SET_CLOCK, (uintptr_t)&d);
}

static uint64_t tsc_offset(const struct api_vcpu *vcpu)
{
	uint64_t offset;
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
					.addr = (uintptr_t)&offset };

	assert_int_equal(umbra_ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, (uintptr_t)&attr), 0);
	return offset;
}

/* What the guest would work out when its counter shows @tsc. */
static uint64_t shown(const struct time_page *p, uint64_t tsc)
{
	uint64_t clocks = tsc - p->tsc;

	clocks = p->shift < 0 ? clocks >> -p->shift : clocks << p->shift;
	return p->ns + (uint64_t)((unsigned __int128)clocks * p->mul >> 32);
}

static void the_page_shows_what_the_call_does(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_clock_data d;

	assert_int_equal(umbra_ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_ADJUST_CLOCK),
			 KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC);
	memset(vm->memory + PAGE, 0, 4096);
	guest_writes(vm, SYSTEM_TIME, PAGE); /* not enabled */
	assert_int_equal(page_of(vm)->version, 0);
	guest_writes(vm, SYSTEM_TIME, PAGE | 1);
	assert_true(page_of(vm)->version && !(page_of(vm)->version & 1));
	assert_int_equal(page_of(vm)->flags, 1);
	d = get_clock(vm);
	assert_int_equal(d.flags, KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC);
	assert_true(d.clock == shown(page_of(vm), d.host_tsc + tsc_offset(&vm->vcpu)));
	/* The old number is the same register. */
	guest_writes(vm, 0x12, 0);
	run_again(vm);
}

static void the_clock_can_be_set(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_clock_data d = { .clock = 5000 * SECOND, .flags = 1 };
	uint32_t version;

	guest_writes(vm, SYSTEM_TIME, PAGE | 1);
	version = page_of(vm)->version;
	assert_int_equal(set_clock(vm, d), -EINVAL);
	assert_true(get_clock(vm).clock < 4000 * SECOND);
	d.flags = 0;
	assert_int_equal(set_clock(vm, d), 0);
	run_again(vm);
	assert_int_equal(page_of(vm)->version, version + 2);
	d = get_clock(vm);
	assert_true(d.clock >= 5000 * SECOND);
	assert_true(d.clock == shown(page_of(vm), d.host_tsc + tsc_offset(&vm->vcpu)));
	/* It has been going on since then. */
	d.clock = 7000 * SECOND;
	d.flags = KVM_CLOCK_REALTIME;
	d.realtime -= 1000 * SECOND;
	assert_int_equal(set_clock(vm, d), 0);
	assert_true(get_clock(vm).clock >= 8000 * SECOND);
}

static void the_wall_clock_says_when_it_was_zero(void **state)
{
	struct api_vm *vm = *state;
	const uint32_t *wall = (const uint32_t *)(vm->memory + PAGE);
	struct kvm_clock_data d;
	uint64_t zero;

	memset(vm->memory + PAGE, 0, 4096);
	guest_writes(vm, WALL_CLOCK, PAGE);
	assert_int_equal(wall[0], 2);
	zero = wall[1] * SECOND + wall[2];
	d = get_clock(vm);
	assert_true(zero + d.clock <= d.realtime + SECOND);
	assert_true(zero + d.clock + 60 * SECOND > d.realtime);
}

static void a_guest_that_was_stopped_is_told(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_KVMCLOCK_CTRL, 0), -EINVAL);
	guest_writes(vm, SYSTEM_TIME, PAGE | 1);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_KVMCLOCK_CTRL, 0), 0);
	run_again(vm);
	assert_int_equal(page_of(vm)->flags & 2, 2);
}

/* What the host writes is in the log; addresses that are not right do no harm. */
static void the_page_is_guest_memory(void **state)
{
	struct api_vm *vm = *state;
	uint64_t bitmap[API_MEMORY_BYTES / 4096 / 64];
	struct kvm_dirty_log log = { .dirty_bitmap = bitmap };

	assert_int_equal(api_set_region(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, API_MEMORY_BYTES,
					vm->memory), 0);
	guest_writes(vm, SYSTEM_TIME, PAGE | 1);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_GET_DIRTY_LOG, (uintptr_t)&log), 0);
	assert_true(bitmap[PAGE / 4096 / 64] >> (PAGE / 4096 % 64) & 1);
	guest_writes(vm, SYSTEM_TIME, 0x3f000001);	/* no memory */
	guest_writes(vm, SYSTEM_TIME, PAGE | 3);	/* not aligned */
	guest_writes(vm, SYSTEM_TIME, (PAGE - 16) | 1); /* across pages */
	guest_writes(vm, SYSTEM_TIME, ~0ull);
	guest_writes(vm, WALL_CLOCK, ~0ull);
}

/* A second vCPU's counter is the first's, whenever it is made; zero means: as theirs. */
static void counters_are_alike(void **state)
{
	struct api_vm *vm = *state;
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = {
		.head.nmsrs = 1, .e = { .index = 0x10 },
	};
	struct api_vcpu second;

	api_vcpu_create(vm, 1, &second);
	assert_true(tsc_offset(&second) == tsc_offset(&vm->vcpu));
	assert_int_equal(umbra_ioctl(second.fd, KVM_SET_MSRS, (uintptr_t)&m), 1);
	assert_true(tsc_offset(&second) == tsc_offset(&vm->vcpu));
	/* Far away is another one, which the first is told to follow. */
	m.e.data = 1ull << 60;
	assert_int_equal(umbra_ioctl(second.fd, KVM_SET_MSRS, (uintptr_t)&m), 1);
	assert_true(tsc_offset(&second) != tsc_offset(&vm->vcpu));
	guest_writes(vm, SYSTEM_TIME, PAGE | 1);
	assert_int_equal(page_of(vm)->flags & 1, 0);
	m.e.data += 1000000;
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_MSRS, (uintptr_t)&m), 1);
	assert_true(tsc_offset(&second) == tsc_offset(&vm->vcpu));
	run_again(vm);
	assert_int_equal(page_of(vm)->flags & 1, 1);
	api_vcpu_destroy(vm, &second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(the_page_shows_what_the_call_does),
		api_test(the_clock_can_be_set),
		api_test(the_wall_clock_says_when_it_was_zero),
		api_test(a_guest_that_was_stopped_is_told),
		api_test(the_page_is_guest_memory),
		api_test(counters_are_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
