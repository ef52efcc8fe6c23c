/* SPDX-License-Identifier: MIT */
/*
 * tests/kvm_api/test_hostile.c - guests that mean ill: page tables that point where they
 * should not.  Every run ends in an exit or an errno, and nothing else happens.
 */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "mem/reservation.h"

#define NOWHERE 0x3f000000ull
#define PRESENT_WRITABLE 3ull

static struct api_vm vm;

static int set_up(void **state)
{
	(void)state;
	api_vm_create(&vm);
	api_load_guest(&vm, load);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	api_vm_destroy(&vm);
	return 0;
}

static uint64_t *table(uint64_t gpa)
{
	return (uint64_t *)(vm.memory + gpa);
}

static void load_from(uint64_t gva)
{
	struct kvm_regs regs;

	api_vcpu_reset(&vm.vcpu);
	regs = api_regs(&vm.vcpu);
	regs.rdi = gva;
	api_set_regs(&vm.vcpu, &regs);
}

/* A second mapping at 512 GiB, so that the code's own stays whole. */
#define OTHER_GVA (1ull << 39)

static void tables_outside_memory_are_an_internal_error(void **state)
{
	(void)state;
	table(API_TABLES)[1] = NOWHERE | PRESENT_WRITABLE;
	load_from(OTHER_GVA);
	assert_int_equal(api_run(&vm.vcpu), 0);
	assert_int_equal(vm.vcpu.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(vm.vcpu.run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	assert_int_equal(api_regs(&vm.vcpu).rip, API_CODE);
}

static void a_root_outside_memory_is_an_internal_error(void **state)
{
	struct kvm_sregs sregs;

	(void)state;
	load_from(0);
	assert_int_equal(umbra_get_sregs(vm.vcpu.fd, &sregs), 0);
	sregs.cr3 = NOWHERE;
	assert_int_equal(umbra_set_sregs(vm.vcpu.fd, &sregs), 0);
	assert_int_equal(api_run(&vm.vcpu), 0);
	assert_int_equal(vm.vcpu.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
}

/* The table maps itself at every level: the guest reads its own entry. */
static void a_table_that_points_at_itself_is_read_as_memory(void **state)
{
	(void)state;
	table(API_TABLES)[1] = API_TABLES | PRESENT_WRITABLE;
	/* Index 1 at every level. */
	load_from(1ull << 39 | 1ull << 30 | 1ull << 21 | 1ull << 12 | 8);
	assert_int_equal(api_run(&vm.vcpu), 0);
	assert_int_equal(vm.vcpu.run->exit_reason, KVM_EXIT_HLT);
	/* The entry itself, with its accessed bit set by the walk. */
	assert_int_equal(api_regs(&vm.vcpu).rax & ~0x60ull, API_TABLES | PRESENT_WRITABLE);
}

/* No IDT: the page fault, with its reserved bit, ends in a triple fault. */
static void reserved_bits_fault(void **state)
{
	const uint64_t reserved[] = { 1ull << 51, 1ull << 63, 1ull << 7 };

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		struct kvm_sregs sregs;

		table(API_TABLES)[1] = (API_TABLES + 0x1000) | PRESENT_WRITABLE | reserved[i];
		load_from(OTHER_GVA + API_DATA);
		assert_int_equal(api_run(&vm.vcpu), 0);
		assert_int_equal(vm.vcpu.run->exit_reason, KVM_EXIT_SHUTDOWN);
		assert_int_equal(umbra_get_sregs(vm.vcpu.fd, &sregs), 0);
		assert_int_equal(sregs.cr2, OTHER_GVA + API_DATA);
	}
}

static void an_address_that_is_not_canonical_faults(void **state)
{
	(void)state;
	load_from(1ull << 47);
	assert_int_equal(api_run(&vm.vcpu), 0);
	assert_int_equal(vm.vcpu.run->exit_reason, KVM_EXIT_SHUTDOWN);
}

static void code_outside_memory_is_an_internal_error(void **state)
{
	struct kvm_regs regs;

	(void)state;
	load_from(0);
	regs = api_regs(&vm.vcpu);
	regs.rip = NOWHERE;
	api_set_regs(&vm.vcpu, &regs);
	assert_int_equal(api_run(&vm.vcpu), 0);
	assert_int_equal(vm.vcpu.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(api_regs(&vm.vcpu).rip, NOWHERE);
}

/* The slot with the page tables goes away under a guest that has run on them. */
static void page_tables_whose_slot_is_deleted_are_an_internal_error(void **state)
{
	(void)state;
	load_from(API_DATA);
	assert_int_equal(api_run(&vm.vcpu), 0);
	assert_int_equal(vm.vcpu.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(api_set_region(&vm, 0, 0, 0, 0, NULL), 0);
	load_from(API_DATA);
	assert_int_equal(api_run(&vm.vcpu), 0);
	assert_int_equal(vm.vcpu.run->exit_reason, KVM_EXIT_INTERNAL_ERROR);
}

/* The client's alarm clock: a guest may loop for ever. */
static volatile sig_atomic_t n_ticks;

static void tick(int sig)
{
	(void)sig;
	n_ticks++;
}

static void set_clock(long microseconds)
{
	const struct itimerval clock = {
		.it_interval.tv_usec = microseconds, .it_value.tv_usec = microseconds,
	};
	const struct sigaction action = { .sa_handler = tick };

	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &clock, NULL), 0);
}

/* KVM_RUN until an exit, but not after the second tick: the first may come at once. */
static long run_for_a_while(void)
{
	long result;

	n_ticks = 0;
	do
		result = umbra_run(vm.vcpu.fd, 0);
	while (result == -EINTR && n_ticks < 2);
	return result;
}

static uint64_t noise_entry(void)
{
	uint64_t entry = (uint64_t)rand() << 33 ^ (uint64_t)rand() << 12;

	return entry | (rand() & 0xfff);
}

static void fill_with_noise(void)
{
	struct kvm_regs regs;

	for (unsigned int i = 0; i < 64; i++)
		table(API_TABLES + 0x1000 * (rand() % 3u))[rand() % 512] = noise_entry();
	for (unsigned int i = 0; i < 256; i++)
		vm.memory[API_CODE + i] = (uint8_t)rand();
	api_vcpu_reset(&vm.vcpu);
	regs = api_regs(&vm.vcpu);
	regs.rax = (uint64_t)rand() << 20;
	regs.rcx = (uint64_t)rand();
	regs.rdi = (uint64_t)rand() << (rand() % 32);
	regs.rsi = (uint64_t)rand() << (rand() % 32);
	regs.rsp = (uint64_t)rand() << (rand() % 32);
	api_set_regs(&vm.vcpu, &regs);
}

/* Tables, registers and code full of noise, from a seed: whatever comes of it, KVM_RUN
 * returns, and memory outside the slot is as it was. */
static void noise_does_no_harm(void **state)
{
	const unsigned int rounds = 3000;
	uint64_t guard[512];

	(void)state;
	memset(guard, 0xa5, sizeof(guard));
	set_clock(10000);
	for (unsigned int round = 0; round < rounds; round++) {
		srand(round);
		fill_with_noise();
		for (unsigned int exits = 0; exits < 12; exits++)
			if (run_for_a_while() || vm.vcpu.run->exit_reason == KVM_EXIT_SHUTDOWN)
				break;
		/* What the last exit was about is finished without entering the guest. */
		vm.vcpu.run->immediate_exit = 1;
		assert_int_equal(umbra_run(vm.vcpu.fd, 0), -EINTR);
		api_vm_destroy(&vm);
		api_vm_create(&vm);
	}
	set_clock(0);
	for (unsigned int i = 0; i < 512; i++)
		assert_int_equal(guard[i], 0xa5a5a5a5a5a5a5a5);
}

/* What the guest reads at offset 0, 1 page, 2 pages, ... of a slot over @from: nothing. */
static void assert_guest_sees_nothing(const void *from, uint64_t bytes, uint64_t step)
{
	const uint64_t gpa = 256ull << 20;
	struct kvm_regs regs;

	assert_int_equal(api_set_region(&vm, 5, 0, gpa, bytes, from), 0);
	api_load_guest(&vm, load);
	for (uint64_t at = 0; at < bytes; at += step) {
		api_vcpu_reset(&vm.vcpu);
		regs = api_regs(&vm.vcpu);
		regs.rax = 0x5555;
		regs.rdi = gpa + at;
		api_set_regs(&vm.vcpu, &regs);
		assert_int_equal(api_run(&vm.vcpu), -EFAULT);
		assert_int_equal(api_regs(&vm.vcpu).rax, 0x5555);
	}
	assert_int_equal(api_set_region(&vm, 5, 0, gpa, 0, from), 0);
}

static void a_slot_over_umbras_own_memory_reaches_none_of_it(void **state)
{
	void *ours = reservation_get(4096);
	uint64_t *arg = (uint64_t *)((uintptr_t)ours & ~4095ull);

	(void)state;
	assert_guest_sees_nothing(arg, 8 << 20, 4096);
	/* Where it is not opened yet too. */
	assert_guest_sees_nothing(arg, 512 << 20, 16 << 20);
	/* Nor does a call of the client's take its argument from there, or put it. */
	assert_int_equal(umbra_ioctl(vm.vcpu.fd, KVM_GET_REGS, (uintptr_t)ours), -EFAULT);
	assert_int_equal(umbra_ioctl(vm.vcpu.fd, KVM_SET_REGS, (uintptr_t)ours), -EFAULT);
	reservation_put(ours, 4096);
}

/* Guests enough that every sort of our memory is there, and a hole large enough. */
static void a_slot_over_a_hole_stays_empty_whatever_we_allocate(void **state)
{
	const uint64_t bytes = 64 << 20;
	uint8_t *hole = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct api_vm others[4];

	(void)state;
	assert_true(hole != MAP_FAILED);
	munmap(hole, bytes);
	for (int i = 0; i < 4; i++) {
		/* Not where the client's own mappings go. */
		void *again = mmap(hole, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		api_vm_create(&others[i]);
		assert_ptr_equal(again, hole);
		munmap(hole, bytes);
		api_load_guest(&others[i], halt);
		assert_int_equal(api_run(&others[i].vcpu), 0);
	}
	assert_guest_sees_nothing(hole, bytes, 1 << 16);
	for (int i = 0; i < 4; i++)
		api_vm_destroy(&others[i]);
}

static void the_clients_calls_do_not_change_umbras_own_memory(void **state)
{
	uint64_t *ours = reservation_get(4096);
	int fd = memfd_create("none", MFD_CLOEXEC);

	(void)state;
	*ours = 7;
	assert_int_equal(umbra_munmap(ours, 4096), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(umbra_mprotect(ours, 4096, PROT_NONE), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(umbra_madvise(ours, 4096, MADV_DONTNEED), -1);
	assert_int_equal(errno, ENOMEM);
	assert_ptr_equal(umbra_mremap(ours, 4096, 8192, MREMAP_MAYMOVE, NULL), MAP_FAILED);
	assert_int_equal(errno, EFAULT);
	assert_ptr_equal(umbra_mremap(vm.memory, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, ours),
			 MAP_FAILED);
	assert_int_equal(errno, EINVAL);
	assert_ptr_equal(umbra_mmap_memory(ours, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED |
					   MAP_ANONYMOUS, -1, 0), MAP_FAILED);
	assert_int_equal(errno, ENOMEM);
	/* A range that begins and ends outside contains it. */
	assert_int_equal(umbra_madvise((void *)4096, (size_t)1 << 46, MADV_DONTNEED), -1);
	assert_int_equal(*ours, 7);
	reservation_put(ours, 4096);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tables_outside_memory_are_an_internal_error),
		TEST(a_root_outside_memory_is_an_internal_error),
		TEST(a_table_that_points_at_itself_is_read_as_memory),
		TEST(reserved_bits_fault),
		TEST(an_address_that_is_not_canonical_faults),
		TEST(code_outside_memory_is_an_internal_error),
		TEST(page_tables_whose_slot_is_deleted_are_an_internal_error),
		TEST(noise_does_no_harm),
		TEST(a_slot_over_umbras_own_memory_reaches_none_of_it),
		TEST(a_slot_over_a_hole_stays_empty_whatever_we_allocate),
		TEST(the_clients_calls_do_not_change_umbras_own_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
