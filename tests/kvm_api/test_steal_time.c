/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/test_steal_time.c - what the guest is told of processors that it did not have. */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define PAGE 0x101000ull
#define STEAL_TIME 0x4b564d03u
#define ENABLED 1u
#define ENOUGH_NS 20000000ull

struct steal_page {
	uint64_t steal;
	uint32_t version, flags;
	uint8_t preempted, rest[47];
};

static struct steal_page *page_of(const struct api_vm *vm)
{
	return (struct steal_page *)(vm->memory + PAGE);
}

static uint64_t run_delay_ns(void)
{
	unsigned long long ran = 0, waited = 0;
	FILE *f = fopen("/proc/thread-self/schedstat", "r");

	if (f) {
		if (fscanf(f, "%llu %llu", &ran, &waited) != 2)
			ran = 0;
		fclose(f);
	}
	if (!ran) {
		print_message("the host does not count it\n");
		skip();
	}
	return waited;
}

static long set_msr(const struct api_vm *vm, uint64_t value)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = {
		.head.nmsrs = 1, .e = { .index = STEAL_TIME, .data = value },
	};

	return umbra_ioctl(vm->vcpu.fd, KVM_SET_MSRS, (uintptr_t)&m);
}

static uint64_t get_msr(const struct api_vm *vm)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = {
		.head.nmsrs = 1, .e.index = STEAL_TIME,
	};

	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_MSRS, (uintptr_t)&m), 1);
	return m.e.data;
}

/* The guest does so and halts. */
static void guest_writes(struct api_vm *vm, uint64_t value)
{
	struct kvm_regs regs = api_regs(&vm->vcpu);

	api_load_code(vm, "\x0f\x30\xf4"); /* wrmsr; hlt */
	regs.rip = API_CODE;
	regs.rcx = STEAL_TIME;
	regs.rax = (uint32_t)value;
	regs.rdx = value >> 32;
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(api_run(&vm->vcpu), 0);
}

static void guest_halts(struct api_vm *vm)
{
	struct kvm_regs regs = api_regs(&vm->vcpu);

	api_load_code(vm, "\xf4");
	regs.rip = API_CODE;
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(api_run(&vm->vcpu), 0);
}

static atomic_bool competes;

static void *compete(void *unused)
{
	while (atomic_load(&competes))
		;
	return unused;
}

/* This thread shares a processor with another until it has waited for some time. */
static void wait_for_a_processor(void)
{
	uint64_t begin = run_delay_ns();
	cpu_set_t allowed, one;
	pthread_t thread;

	assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	atomic_store(&competes, true);
	/* It inherits the processor. */
	assert_int_equal(pthread_create(&thread, NULL, compete, NULL), 0);
	while (run_delay_ns() - begin < ENOUGH_NS)
		sched_yield();
	atomic_store(&competes, false);
	pthread_join(thread, NULL);
	sched_setaffinity(0, sizeof(allowed), &allowed);
}

static void waiting_for_a_processor_is_shown(void **state)
{
	struct api_vm *vm = *state;
	struct steal_page *page = page_of(vm);
	uint64_t before = run_delay_ns(), first, last;
	uint32_t version;

	memset(page, 0, sizeof(*page));
	/* A random odd version, and a mark that another host has left. */
	page->version = 7;
	page->preempted = 1;
	page->rest[0] = 0x55;
	guest_writes(vm, PAGE | ENABLED);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(page->version, 10);
	assert_int_equal(page->preempted, 0);
	assert_int_equal(page->rest[0], 0x55);
	assert_int_equal(page->flags, 0);
	first = page->steal;
	version = page->version;
	wait_for_a_processor();
	last = run_delay_ns();
	guest_halts(vm);
	assert_true(page->version > version && !(page->version & 1));
	assert_in_range(page->steal - first, ENOUGH_NS, run_delay_ns() - before);
	/* What it had before it was moved to this host is kept. */
	page->steal = 1ull << 40;
	assert_int_equal(set_msr(vm, PAGE | ENABLED), 1);
	guest_halts(vm);
	assert_true(page->steal >= 1ull << 40);
	/* And nothing is told twice. */
	assert_true(page->steal - (1ull << 40) <= run_delay_ns() - last);
	/* No more. */
	guest_writes(vm, PAGE);
	version = page->version;
	wait_for_a_processor();
	guest_halts(vm);
	assert_int_equal(page->version, version);
}

static void its_register_has_reserved_bits(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(get_msr(vm), 0);
	for (unsigned int bit = 1; bit < 6; bit++)
		assert_int_equal(set_msr(vm, PAGE | ENABLED | 1u << bit), 0);
	assert_int_equal(get_msr(vm), 0);
	assert_int_equal(set_msr(vm, (PAGE + 64) | ENABLED), 1);
	assert_int_equal(get_msr(vm), (PAGE + 64) | ENABLED);
	api_set_gate(vm, 13);
	guest_writes(vm, PAGE | 2);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	assert_int_equal(get_msr(vm), (PAGE + 64) | ENABLED);
	/* Nowhere: the guest's loss. */
	assert_int_equal(set_msr(vm, (64ull << 20) | ENABLED), 1);
	guest_halts(vm);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_HLT);
}

static void its_page_is_logged(void **state)
{
	struct api_vm *vm = *state;
	static uint64_t bits[API_MEMORY_BYTES / 4096 / 64];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bits };
	const uint64_t page = PAGE / 4096;

	assert_int_equal(api_set_region(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, API_MEMORY_BYTES,
					vm->memory), 0);
	guest_halts(vm);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_GET_DIRTY_LOG, (uintptr_t)&log), 0);
	assert_false(bits[page / 64] >> page % 64 & 1);
	guest_writes(vm, PAGE | ENABLED);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_GET_DIRTY_LOG, (uintptr_t)&log), 0);
	assert_true(bits[page / 64] >> page % 64 & 1);
	guest_halts(vm);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_GET_DIRTY_LOG, (uintptr_t)&log), 0);
	memset(bits, 0, sizeof(bits));
	assert_int_equal(set_msr(vm, PAGE | ENABLED), 1);
	guest_halts(vm);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_GET_DIRTY_LOG, (uintptr_t)&log), 0);
	assert_true(bits[page / 64] >> page % 64 & 1);
}

static void it_is_offered_where_the_host_counts(void **state)
{
	struct api_vm *vm = *state;
	struct api_cpuid t;

	run_delay_ns();
	api_supported_cpuid(vm, &t);
	for (uint32_t i = 0; i < t.head.nent; i++)
		if (t.entries[i].function == 0x40000001)
			assert_true(t.entries[i].eax >> 5 & 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(it_is_offered_where_the_host_counts),
		api_test(waiting_for_a_processor_is_shown),
		api_test(its_register_has_reserved_bits),
		api_test(its_page_is_logged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
