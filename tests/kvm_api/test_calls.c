/* SPDX-License-Identifier: MIT */
/*
 * tests/kvm_api/test_calls.c - every command with a wrong size, a bad pointer, a
 * descriptor of the wrong kind, a closed one: an errno, and nothing has changed.
 */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/calls/call.h"

/* What a vCPU and its VM look like from outside. */
struct snapshot {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_debugregs debug;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	long nr_mmu_pages;
};

static void take_snapshot(const struct api_vm *vm, struct snapshot *s)
{
	memset(s, 0, sizeof(*s));
	assert_int_equal(umbra_get_regs(vm->vcpu.fd, &s->regs), 0);
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &s->sregs), 0);
	assert_int_equal(umbra_get_fpu(vm->vcpu.fd, &s->fpu), 0);
	assert_int_equal(umbra_get_debugregs(vm->vcpu.fd, &s->debug), 0);
	assert_int_equal(umbra_get_vcpu_events(vm->vcpu.fd, &s->events), 0);
	assert_int_equal(umbra_get_mp_state(vm->vcpu.fd, &s->mp), 0);
	s->nr_mmu_pages = umbra_ioctl(vm->fd, KVM_GET_NR_MMU_PAGES, 0);
}

static void assert_unchanged(const struct api_vm *vm, const struct snapshot *before)
{
	struct snapshot now;

	take_snapshot(vm, &now);
	assert_memory_equal(&now, before, sizeof(now));
}

static int fd_of(const struct api_vm *vm, unsigned int kind)
{
	return kind & FILE_SYSTEM ? vm->kvm : kind & FILE_VM ? vm->fd : vm->vcpu.fd;
}

static void another_size_is_another_command(void **state)
{
	struct api_vm *vm = *state;
	struct snapshot before;
	uint8_t data[2048] = { 0 };

	take_snapshot(vm, &before);
	for (unsigned int i = 0; i < n_commands; i++) {
		uint32_t request = commands[i].request;
		int fd = fd_of(vm, commands[i].kinds);
		uint32_t larger = _IOC(_IOC_DIR(request), _IOC_TYPE(request), _IOC_NR(request),
				       _IOC_SIZE(request) + 8);

		assert_int_equal(umbra_ioctl(fd, larger, (uintptr_t)data),
				 fd == vm->fd ? -ENOTTY : -EINVAL);
	}
	assert_unchanged(vm, &before);
}

/* Some commands answer on a descriptor of another kind too: the table says which. */
static void a_command_is_refused_on_the_wrong_kind(void **state)
{
	struct api_vm *vm = *state;
	struct snapshot before;
	uint8_t data[2048] = { 0 };

	take_snapshot(vm, &before);
	for (unsigned int i = 0; i < n_commands; i++) {
		unsigned int kinds = 0;

		for (unsigned int j = 0; j < n_commands; j++)
			if (commands[j].request == commands[i].request)
				kinds |= commands[j].kinds;
		for (unsigned int kind = FILE_SYSTEM; kind <= FILE_VCPU; kind <<= 1)
			if (!(kinds & kind))
				assert_int_equal(umbra_ioctl(fd_of(vm, kind), commands[i].request,
							     (uintptr_t)data),
						 kind == FILE_VM ? -ENOTTY : -EINVAL);
	}
	assert_unchanged(vm, &before);
}

/* They only answer, and have no answer without a controller: that is found first. */
static bool needs_a_controller(uint32_t request)
{
	return request == KVM_GET_PIT2 || request == KVM_GET_LAPIC;
}

static void a_bad_pointer_is_efault(void **state)
{
	struct api_vm *vm = *state;
	void *hole = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct snapshot before;

	take_snapshot(vm, &before);
	for (unsigned int i = 0; i < n_commands; i++) {
		uint32_t request = commands[i].request;
		int fd = fd_of(vm, commands[i].kinds);

		if (!_IOC_SIZE(request) || needs_a_controller(request))
			continue;
		assert_int_equal(umbra_ioctl(fd, request, (uintptr_t)hole), -EFAULT);
		/* The first byte is there and the last is not. */
		assert_int_equal(umbra_ioctl(fd, request, (uintptr_t)hole + 4096 - 1), -EFAULT);
		if (request != KVM_SET_SIGNAL_MASK)
			assert_int_equal(umbra_ioctl(fd, request, 0), -EFAULT);
		/* No address at all: in the middle of the hole between the halves. */
		assert_int_equal(umbra_ioctl(fd, request, 0x8000000000000000), -EFAULT);
	}
	assert_unchanged(vm, &before);
	munmap(hole, 8192);
}

static void the_bits_above_32_of_a_request_do_not_count(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_regs regs;

	assert_int_equal(umbra_ioctl(vm->vcpu.fd, 0xffffffff00000000 | KVM_GET_REGS,
				     (uintptr_t)&regs),
			 0);
	assert_int_equal(regs.rip, API_CODE);
}

static void what_is_not_ours_is_ebadf(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_regs regs;
	int pipes[2], closed;

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(umbra_ioctl(pipes[0], KVM_GET_API_VERSION, 0), -EBADF);
	assert_int_equal(umbra_ioctl(-1, KVM_GET_API_VERSION, 0), -EBADF);
	assert_int_equal(umbra_ioctl(1 << 30, KVM_GET_API_VERSION, 0), -EBADF);
	close(pipes[0]);
	close(pipes[1]);

	closed = umbra_open(O_RDONLY);
	assert_int_equal(umbra_ioctl(closed, KVM_GET_API_VERSION, 0), KVM_API_VERSION);
	assert_int_equal(umbra_close(closed), 0);
	assert_int_equal(umbra_ioctl(closed, KVM_GET_API_VERSION, 0), -EBADF);
	assert_int_equal(umbra_close(closed), -EBADF);
	assert_false(umbra_owns(closed));
	assert_int_equal(umbra_get_regs(vm->vcpu.fd, &regs), 0);
}

static void arguments_that_must_be_zero_are(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(umbra_ioctl(vm->kvm, KVM_GET_API_VERSION, 1), -EINVAL);
	assert_int_equal(umbra_ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 1), -EINVAL);
	assert_int_equal(umbra_ioctl(vm->kvm, KVM_CREATE_VM, 1), -EINVAL);
	assert_int_equal(umbra_run(vm->vcpu.fd, 1), -EINVAL);
}

static void vcpu_ids_are_checked(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(umbra_create_vcpu(vm->fd, 0), -EEXIST);
	assert_int_equal(umbra_create_vcpu(vm->fd, 4096), -EINVAL);
	assert_int_equal(umbra_create_vcpu(vm->fd, ~0ul), -EINVAL);
	assert_int_equal(umbra_check_extension(vm->kvm, KVM_CAP_MAX_VCPU_ID), 4096);
}

static void set_sregs_refuses_what_no_processor_has(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_sregs good, bad;
	struct snapshot before;

	take_snapshot(vm, &before);
	good = before.sregs;
	bad = good;
	bad.cr4 = 0; /* long mode without PAE */
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &bad), -EINVAL);
	bad = good;
	bad.cr4 |= 1ull << 60;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &bad), -EINVAL);
	bad = good;
	bad.cr0 &= ~1ull; /* paging without protection */
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &bad), -EINVAL);
	bad = good;
	bad.cr0 |= 1ull << 29; /* NW without CD */
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &bad), -EINVAL);
	bad = good;
	bad.cr3 |= 1ull << 60;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &bad), -EINVAL);
	bad = good;
	bad.efer &= ~0x400ull; /* LME and PG without LMA */
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &bad), -EINVAL);
	bad = good;
	bad.apic_base |= 1u << 9;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &bad), -EINVAL);
	assert_unchanged(vm, &before);
}

static void tables_of_variable_length_are_bounded(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_cpuid2 cpuid = { .nent = 257 };
	struct kvm_msrs msrs = { .nmsrs = 256 };
	struct kvm_msr_list list = { .nmsrs = 0 };
	struct kvm_signal_mask mask = { .len = 4 };

	assert_int_equal(umbra_set_cpuid2(vm->vcpu.fd, &cpuid), -E2BIG);
	assert_int_equal(umbra_get_msrs(vm->vcpu.fd, &msrs), -E2BIG);
	assert_int_equal(umbra_set_msrs(vm->vcpu.fd, &msrs), -E2BIG);
	assert_int_equal(umbra_get_msr_index_list(vm->kvm, &list), -E2BIG);
	assert_true(list.nmsrs > 0);
	cpuid.nent = 0;
	assert_int_equal(umbra_get_supported_cpuid(vm->kvm, &cpuid), -E2BIG);
	assert_int_equal(umbra_set_signal_mask(vm->vcpu.fd, &mask), -EINVAL);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_SIGNAL_MASK, 0), 0);
}

static void capabilities_that_are_not_there_are_zero(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(umbra_check_extension(vm->kvm, KVM_CAP_X86_SMM), 0);
	assert_int_equal(umbra_check_extension(vm->kvm, KVM_CAP_NESTED_STATE), 0);
	assert_int_equal(umbra_check_extension(vm->fd, 1u << 20), 0);
	assert_int_equal(umbra_check_extension(vm->fd, ~0ul), 0);
	assert_int_equal(umbra_check_extension(vm->fd, KVM_CAP_NR_MEMSLOTS), 32764);
}

static void enable_cap_checks_what_it_is_given(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .flags = 1 };

	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EINVAL);
	cap.flags = 0;
	cap.args[0] = 2; /* initially set without manual protection */
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EINVAL);
	cap.args[0] = 4;
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EINVAL);
	cap.cap = KVM_CAP_DIRTY_LOG_RING;
	cap.args[0] = 4096;
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EINVAL); /* there is a vCPU */
	cap.cap = ~0u;
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EINVAL);
	assert_int_equal(umbra_reset_dirty_rings(vm->fd, 0), -EINVAL);
}

static void the_dirty_log_checks_what_it_is_given(void **state)
{
	struct api_vm *vm = *state;
	uint64_t bitmap[64];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };
	struct kvm_clear_dirty_log clear = { .slot = 0, .num_pages = 64, .dirty_bitmap = bitmap };

	assert_int_equal(umbra_get_dirty_log(vm->fd, &log), -ENOENT); /* not logged */
	log.slot = 32764;
	assert_int_equal(umbra_get_dirty_log(vm->fd, &log), -EINVAL);
	log.slot = 1u << 16;
	assert_int_equal(umbra_get_dirty_log(vm->fd, &log), -EINVAL);
	log.slot = 7;
	assert_int_equal(umbra_get_dirty_log(vm->fd, &log), -ENOENT);
	clear.slot = 7;
	assert_int_equal(umbra_clear_dirty_log(vm->fd, &clear), -ENOENT);
	clear.first_page = 1;
	assert_int_equal(umbra_clear_dirty_log(vm->fd, &clear), -EINVAL);
	clear.slot = 1u << 16;
	clear.first_page = 0;
	assert_int_equal(umbra_clear_dirty_log(vm->fd, &clear), -EINVAL);
	clear.slot = 0;

	assert_int_equal(api_set_region(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, API_MEMORY_BYTES,
					vm->memory),
			 0);
	clear.first_page = 1;
	assert_int_equal(umbra_clear_dirty_log(vm->fd, &clear), -EINVAL);
	clear.first_page = 64;
	clear.num_pages = 63;
	assert_int_equal(umbra_clear_dirty_log(vm->fd, &clear), -EINVAL);
	clear.first_page = 1ull << 40;
	assert_int_equal(umbra_clear_dirty_log(vm->fd, &clear), -EINVAL);
	clear.first_page = 0;
	clear.num_pages = 64;
	clear.dirty_bitmap = NULL;
	assert_int_equal(umbra_clear_dirty_log(vm->fd, &clear), -EFAULT);
	assert_int_equal(api_set_region(vm, 0, 0, 0, API_MEMORY_BYTES, vm->memory), 0);
}

static void regions_are_checked(void **state)
{
	struct api_vm *vm = *state;
	uint8_t *m = vm->memory;

	assert_int_equal(api_set_region(vm, 1, 0, 1ull << 30, 4095, m), -EINVAL);
	assert_int_equal(api_set_region(vm, 1, 0, (1ull << 30) + 1, 4096, m), -EINVAL);
	assert_int_equal(api_set_region(vm, 1, 0, 1ull << 30, 4096, m + 1), -EINVAL);
	assert_int_equal(api_set_region(vm, 1, 4, 1ull << 30, 4096, m), -EINVAL);
	assert_int_equal(api_set_region(vm, 32764, 0, 1ull << 30, 4096, m), -EINVAL);
	assert_int_equal(api_set_region(vm, 1u << 16, 0, 1ull << 30, 4096, m), -EINVAL);
	assert_int_equal(api_set_region(vm, 1, 0, ~0xfffull, 8192, m), -EINVAL);
	assert_int_equal(api_set_region(vm, 1, 0, 1ull << 60, 4096, m), -EINVAL);
	assert_int_equal(api_set_region(vm, 1, 0, 1ull << 30, 0, m), -EINVAL);
	assert_int_equal(api_set_region(vm, 1, 0, 0x1000, 4096, m), -EEXIST);
	assert_int_equal(api_set_region(vm, 0, 0, 0, 4096, m), -EINVAL);
	assert_int_equal(api_set_region(vm, 0, KVM_MEM_READONLY, 0, API_MEMORY_BYTES, m), -EINVAL);
	assert_int_equal(api_set_region(vm, 1, 0, 1ull << 30, 4096, (void *)(1ull << 63)), -EINVAL);
}

static void a_full_table_of_slots_takes_no_more(void **state)
{
	struct api_vm *vm = *state;
	const unsigned int n = 32764;

	for (unsigned int i = 1; i < n; i++)
		assert_int_equal(api_set_region(vm, i, 0, (1ull << 30) + i * 4096ull, 4096,
						vm->memory),
				 0);
	assert_int_equal(api_set_region(vm, n, 0, 1ull << 40, 4096, vm->memory), -EINVAL);
	api_load_guest(vm, halt);
	api_vcpu_reset(&vm->vcpu);
	assert_int_equal(api_run(&vm->vcpu), 0);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_HLT);
	for (unsigned int i = 1; i < n; i++)
		assert_int_equal(api_set_region(vm, i, 0, 0, 0, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(another_size_is_another_command),
		api_test(a_command_is_refused_on_the_wrong_kind),
		api_test(a_bad_pointer_is_efault),
		api_test(the_bits_above_32_of_a_request_do_not_count),
		api_test(what_is_not_ours_is_ebadf),
		api_test(arguments_that_must_be_zero_are),
		api_test(vcpu_ids_are_checked),
		api_test(set_sregs_refuses_what_no_processor_has),
		api_test(tables_of_variable_length_are_bounded),
		api_test(capabilities_that_are_not_there_are_zero),
		api_test(enable_cap_checks_what_it_is_given),
		api_test(the_dirty_log_checks_what_it_is_given),
		api_test(regions_are_checked),
		api_test(a_full_table_of_slots_takes_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
