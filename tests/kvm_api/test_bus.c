/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/test_bus.c - writes that make no exit: ioeventfds and coalesced zones. */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync/atomic.h"
#include "sync/thread.h"

#define NOWHERE 0x3f000000ull /* mapped by the guest, backed by nothing */
#define PORT 0x1f0u
#define RUN_BYTES 12288u

/* mov %rax, (%rdi); hlt */
static const uint8_t store64[] = { 0x48, 0x89, 0x07, 0xf4 };
/* mov %eax, (%rdi); hlt */
static const uint8_t store32[] = { 0x89, 0x07, 0xf4 };
/* rep outsb; hlt */
static const uint8_t rep_outsb[] = { 0xf3, 0x6e, 0xf4 };

static void start(struct api_vm *vm, const uint8_t *code, size_t bytes, struct kvm_regs regs)
{
	api_vcpu_reset(&vm->vcpu);
	api_load(vm, code, code + bytes);
	regs.rip = API_CODE;
	regs.rsp = API_STACK;
	regs.rflags = 2;
	api_set_regs(&vm->vcpu, &regs);
}

#define START(vm, code, ...) \
	start(vm, code, sizeof(code), (struct kvm_regs){ __VA_ARGS__ })

static struct kvm_coalesced_mmio_ring *ring_of(const struct api_vm *vm)
{
	long page = umbra_ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	assert_int_equal(page, 2);
	return (struct kvm_coalesced_mmio_ring *)((uint8_t *)vm->vcpu.run + page * 4096);
}

static long zone_call(const struct api_vm *vm, unsigned long request, uint64_t addr,
		      uint32_t bytes, uint32_t pio)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = addr, .size = bytes, .pio = pio };

	return umbra_ioctl(vm->fd, request, (uintptr_t)&zone);
}

static long event_call(const struct api_vm *vm, int fd, uint64_t addr, uint32_t bytes,
		       uint32_t flags, uint64_t datamatch)
{
	struct kvm_ioeventfd e = {
		.datamatch = datamatch, .addr = addr, .len = bytes, .fd = fd, .flags = flags,
	};

	return umbra_ioctl(vm->fd, KVM_IOEVENTFD, (uintptr_t)&e);
}

static uint64_t count_of(int fd)
{
	uint64_t n = 0;

	if (read(fd, &n, sizeof(n)) < 0)
		assert_int_equal(errno, EAGAIN);
	return n;
}

static void writes_to_a_zone_wait_in_the_ring(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_coalesced_mmio_ring *ring = ring_of(vm);

	assert_int_equal(zone_call(vm, KVM_REGISTER_COALESCED_MMIO, NOWHERE, 64, 0), 0);
	START(vm, store64, .rdi = NOWHERE + 8, .rax = 0x1122334455667788);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(ring->first, 0);
	assert_int_equal(ring->last, 1);
	assert_int_equal(ring->coalesced_mmio[0].phys_addr, NOWHERE + 8);
	assert_int_equal(ring->coalesced_mmio[0].len, 8);
	assert_int_equal(ring->coalesced_mmio[0].pio, 0);
	assert_memory_equal(ring->coalesced_mmio[0].data, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	ring->first = 1;

	/* Half outside is outside; and so is the port of that number. */
	START(vm, store64, .rdi = NOWHERE + 60, .rax = 1);
	api_run_to(vm, KVM_EXIT_MMIO);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(zone_call(vm, KVM_UNREGISTER_COALESCED_MMIO, NOWHERE, 64, 0), 0);
	START(vm, store64, .rdi = NOWHERE + 8, .rax = 1);
	api_run_to(vm, KVM_EXIT_MMIO);
	assert_int_equal(ring->last, 1);
}

static void a_full_ring_is_an_exit_and_nonsense_in_it_harms_nobody(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_coalesced_mmio_ring *ring = ring_of(vm);
	const uint32_t max = (4096 - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);

	assert_int_equal(zone_call(vm, KVM_REGISTER_COALESCED_MMIO, NOWHERE, 64, 0), 0);
	for (uint32_t i = 0; i < max - 1; i++) {
		START(vm, store32, .rdi = NOWHERE, .rax = i);
		api_run_to(vm, KVM_EXIT_HLT);
	}
	assert_int_equal(ring->last, max - 1);
	START(vm, store32, .rdi = NOWHERE, .rax = 77);
	api_run_to(vm, KVM_EXIT_MMIO);
	assert_int_equal(vm->vcpu.run->mmio.data[0], 77);

	for (uint32_t last = max; last; last = last < 4 * max ? last + 1 : last * 2) {
		ring->last = last;
		START(vm, store32, .rdi = NOWHERE, .rax = 78);
		api_run_to(vm, KVM_EXIT_MMIO);
		assert_int_equal(ring->last, last);
	}
	ring->last = 0;
	ring->first = ~0u;
	START(vm, store32, .rdi = NOWHERE, .rax = 79);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(ring->last, 1);
}

static void ports_coalesce_too_and_what_finds_no_room_exits(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_coalesced_mmio_ring *ring = ring_of(vm);
	const uint32_t max = (4096 - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);
	struct kvm_run *run = vm->vcpu.run;

	assert_int_equal(umbra_ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO), 1);
	assert_int_equal(zone_call(vm, KVM_REGISTER_COALESCED_MMIO, PORT, 1, 1), 0);
	ring->first = ring->last = 10;
	ring->first = (10 + 4) % max; /* room for three */
	for (int i = 0; i < 5; i++)
		vm->memory[API_DATA + i] = (uint8_t)(0x30 + i);
	START(vm, rep_outsb, .rsi = API_DATA, .rcx = 5, .rdx = PORT);
	api_run_to(vm, KVM_EXIT_IO);
	assert_int_equal(ring->last, 13);
	assert_int_equal(ring->coalesced_mmio[12].pio, 1);
	assert_int_equal(ring->coalesced_mmio[12].data[0], 0x32);
	assert_int_equal(run->io.count, 2);
	assert_int_equal(((uint8_t *)run)[run->io.data_offset], 0x33);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rcx, 0);
	assert_int_equal(api_regs(&vm->vcpu).rsi, API_DATA + 5);
}

static void every_vcpu_has_the_same_ring(void **state)
{
	struct api_vm *vm = *state;
	struct api_vcpu second;
	struct kvm_coalesced_mmio_ring *other;

	api_vcpu_create(vm, 1, &second);
	other = (void *)((uint8_t *)second.run + 2 * 4096);
	ring_of(vm)->first = 42;
	assert_int_equal(other->first, 42);
	/* But the pages before it are its own. */
	vm->vcpu.run->exit_reason = 1;
	second.run->exit_reason = 2;
	assert_int_equal(vm->vcpu.run->exit_reason, 1);
	api_vcpu_destroy(vm, &second);
}

static void zones_are_checked(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(zone_call(vm, KVM_REGISTER_COALESCED_MMIO, 0, 1, 2), -EINVAL);
	assert_int_equal(zone_call(vm, KVM_UNREGISTER_COALESCED_MMIO, 0, 1, 2), -EINVAL);
	assert_int_equal(zone_call(vm, KVM_UNREGISTER_COALESCED_MMIO, 0, 1, 0), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(zone_call(vm, KVM_REGISTER_COALESCED_MMIO, NOWHERE, 1, 0), 0);
	assert_int_equal(zone_call(vm, KVM_REGISTER_COALESCED_MMIO, NOWHERE, 1, 0), -ENOSPC);
	/* Ports are another bus. */
	assert_int_equal(zone_call(vm, KVM_REGISTER_COALESCED_MMIO, PORT, 1, 1), 0);
	assert_int_equal(zone_call(vm, KVM_UNREGISTER_COALESCED_MMIO, NOWHERE, 1, 0), 0);
	assert_int_equal(zone_call(vm, KVM_REGISTER_COALESCED_MMIO, NOWHERE, 1, 0), 0);
}

static void an_ioeventfd_counts_and_makes_no_exit(void **state)
{
	struct api_vm *vm = *state;
	int any = eventfd(0, EFD_NONBLOCK), seven = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(event_call(vm, seven, NOWHERE, 4, KVM_IOEVENTFD_FLAG_DATAMATCH, 7), 0);
	assert_int_equal(event_call(vm, any, NOWHERE + 16, 0, 0, 0), 0);
	START(vm, store32, .rdi = NOWHERE, .rax = 7);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(count_of(seven), 1);
	/* Another value, another size, another place: for the client. */
	START(vm, store32, .rdi = NOWHERE, .rax = 8);
	api_run_to(vm, KVM_EXIT_MMIO);
	START(vm, store64, .rdi = NOWHERE, .rax = 7);
	api_run_to(vm, KVM_EXIT_MMIO);
	START(vm, store32, .rdi = NOWHERE + 4, .rax = 7);
	api_run_to(vm, KVM_EXIT_MMIO);
	assert_int_equal(count_of(seven), 0);
	/* Of any size. */
	START(vm, store32, .rdi = NOWHERE + 16, .rax = 1);
	api_run_to(vm, KVM_EXIT_HLT);
	START(vm, store64, .rdi = NOWHERE + 16, .rax = 1);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(count_of(any), 2);
	close(any);
	close(seven);
}

static void a_full_counter_does_not_hold_the_guest(void **state)
{
	struct api_vm *vm = *state;
	const uint64_t full = 0xfffffffffffffffe;
	int fd = eventfd(0, 0); /* a write to it waits */

	assert_int_equal(event_call(vm, fd, PORT, 1, KVM_IOEVENTFD_FLAG_PIO, 0), 0);
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	START(vm, rep_outsb, .rsi = API_DATA, .rcx = 3, .rdx = PORT);
	api_run_to(vm, KVM_EXIT_HLT);
	close(fd);
}

static void an_ioeventfd_outlives_its_number_and_is_found_by_another(void **state)
{
	struct api_vm *vm = *state;
	int fd = eventfd(0, EFD_NONBLOCK), again = dup(fd);

	assert_int_equal(event_call(vm, fd, PORT, 1, KVM_IOEVENTFD_FLAG_PIO, 0), 0);
	close(fd);
	START(vm, rep_outsb, .rsi = API_DATA, .rcx = 2, .rdx = PORT);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(count_of(again), 2);
	assert_int_equal(event_call(vm, again, PORT, 1,
				    KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN, 0), 0);
	START(vm, rep_outsb, .rsi = API_DATA, .rcx = 2, .rdx = PORT);
	api_run_to(vm, KVM_EXIT_IO);
	close(again);
}

static void ioeventfds_are_checked(void **state)
{
	const uint32_t off = KVM_IOEVENTFD_FLAG_DEASSIGN, match = KVM_IOEVENTFD_FLAG_DATAMATCH;
	struct api_vm *vm = *state;
	int fd = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK), pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(event_call(vm, fd, 0, 3, 0, 0), -EINVAL);
	assert_int_equal(event_call(vm, fd, 0, 16, 0, 0), -EINVAL);
	assert_int_equal(event_call(vm, fd, ~0ull, 8, 0, 0), -EINVAL);
	assert_int_equal(event_call(vm, fd, 0, 4, 1 << 8, 0), -EINVAL);
	assert_int_equal(event_call(vm, fd, 0, 0, match, 0), -EINVAL);
	assert_int_equal(event_call(vm, -1, 0, 4, 0, 0), -EBADF);
	assert_int_equal(event_call(vm, pipes[1], 0, 4, 0, 0), -EINVAL);
	assert_int_equal(event_call(vm, vm->fd, 0, 4, 0, 0), -EINVAL);

	assert_int_equal(event_call(vm, fd, 0, 4, off, 0), -ENOENT);
	/* Nothing can have been assigned with these; but that is all that is wrong. */
	assert_int_equal(event_call(vm, fd, 0, 3, off, 0), -ENOENT);
	assert_int_equal(event_call(vm, fd, ~0ull, 8, off, 0), -ENOENT);
	assert_int_equal(event_call(vm, fd, 0, 0, match | off, 0), -ENOENT);
	assert_int_equal(event_call(vm, -1, 0, 3, off, 0), -EBADF);
	assert_int_equal(event_call(vm, fd, 0, 4, match, 1), 0);
	assert_int_equal(event_call(vm, other, 0, 4, match, 1), -EEXIST);
	assert_int_equal(event_call(vm, other, 0, 4, 0, 0), -EEXIST);
	assert_int_equal(event_call(vm, other, 0, 0, 0, 0), -EEXIST);
	assert_int_equal(event_call(vm, other, 0, 4, match, 2), 0);
	assert_int_equal(event_call(vm, other, 0, 2, 0, 0), 0);
	assert_int_equal(event_call(vm, other, 0, 4, match | off, 1), -ENOENT);
	assert_int_equal(event_call(vm, fd, 0, 4, match | off, 1), 0);
	assert_int_equal(event_call(vm, fd, 0, 4, match | off, 1), -ENOENT);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
	close(other);
}

#define MANY_EVENTS 2600u	/* each a descriptor of ours */

static void allow_descriptors(unsigned int n)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < n)
		skip();
	if (limit.rlim_cur < n)
		limit.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Some by address, some by value, in no order; KVM counts none of them. */
static long nth_event(const struct api_vm *vm, unsigned int n, int fd, uint32_t flags)
{
	n = n * 1003 % MANY_EVENTS;
	if (n % 2)
		return event_call(vm, fd, NOWHERE, 4, flags | KVM_IOEVENTFD_FLAG_DATAMATCH, n);
	return event_call(vm, fd, NOWHERE + 8 + 8 * n, 4, flags, 0);
}

static void there_may_be_more_ioeventfds_than_devices(void **state)
{
	const unsigned int odd = 1233, even = 2468;
	struct api_vm *vm = *state;
	int fd = eventfd(0, EFD_NONBLOCK);

	allow_descriptors(MANY_EVENTS + 100);
	assert_int_equal(zone_call(vm, KVM_REGISTER_COALESCED_MMIO, NOWHERE - 64, 8, 0), 0);
	for (unsigned int i = 0; i < MANY_EVENTS; i++)
		assert_int_equal(nth_event(vm, i, fd, 0), 0);
	/* And still the devices that are counted find room. */
	assert_int_equal(zone_call(vm, KVM_REGISTER_COALESCED_MMIO, NOWHERE - 128, 8, 0), 0);
	START(vm, store32, .rdi = NOWHERE, .rax = odd);
	api_run_to(vm, KVM_EXIT_HLT);
	START(vm, store32, .rdi = NOWHERE + 8 + 8 * even, .rax = 5);
	api_run_to(vm, KVM_EXIT_HLT);
	START(vm, store32, .rdi = NOWHERE - 64, .rax = 5);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(count_of(fd), 2);
	START(vm, store32, .rdi = NOWHERE, .rax = even);
	api_run_to(vm, KVM_EXIT_MMIO);
	for (unsigned int i = 0; i < MANY_EVENTS; i++)
		assert_int_equal(nth_event(vm, i, fd, KVM_IOEVENTFD_FLAG_DEASSIGN), 0);
	START(vm, store32, .rdi = NOWHERE, .rax = odd);
	api_run_to(vm, KVM_EXIT_MMIO);
	close(fd);
}

struct writer {
	const struct api_vm *vm;
	struct atomic32 tid, done;
	long result;
};

static void *run_into_a_full_counter(void *arg)
{
	struct writer *w = arg;

	atomic32_store_release(&w->tid, (uint32_t)gettid());
	w->result = api_run(&w->vm->vcpu);
	atomic32_store_release(&w->done, 1);
	return NULL;
}

/* Waits until it is blocked in write(2), which takes no time otherwise.  False: cannot tell. */
static bool wait_until_it_writes(struct writer *w)
{
	char path[64], text[32] = "";

	while (!atomic32_load_acquire(&w->tid))
		sched_yield();
	snprintf(path, sizeof(path), "/proc/self/task/%u/syscall",
		 atomic32_load_relaxed(&w->tid));
	while (strtol(text, NULL, 10) != SYS_write) {
		int fd = open(path, O_RDONLY);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

		if (fd >= 0)
			close(fd);
		if (n <= 0 || atomic32_load_acquire(&w->done))
			return false;
		text[n] = 0;
		sched_yield();
	}
	return true;
}

/* Who may make few system calls cannot ask whether there is room, and waits. */
static void who_waits_for_a_counter_holds_up_nobody(void **state)
{
	const uint64_t full = 0xfffffffffffffffe;
	struct api_vm *vm = *state;
	struct writer w = { .vm = vm };
	int fd = eventfd(0, 0), other = eventfd(0, 0);
	pthread_t thread;
	uint64_t n;

	thread_before_filter();
	assert_int_equal(event_call(vm, fd, NOWHERE, 4, 0, 0), 0);
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	START(vm, store32, .rdi = NOWHERE, .rax = 5);
	assert_int_equal(pthread_create(&thread, NULL, run_into_a_full_counter, &w), 0);
	if (wait_until_it_writes(&w)) {
		/* Each of these waits for readers; the third takes away what is written to. */
		assert_int_equal(event_call(vm, other, NOWHERE + 8, 4, 0, 0), 0);
		assert_int_equal(api_set_region(vm, 3, 0, NOWHERE / 2, 4096, vm->memory), 0);
		assert_int_equal(event_call(vm, fd, NOWHERE, 4, KVM_IOEVENTFD_FLAG_DEASSIGN, 0), 0);
	}
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	pthread_join(thread, NULL);
	assert_int_equal(w.result, 0);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
	close(fd);
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(writes_to_a_zone_wait_in_the_ring),
		api_test(a_full_ring_is_an_exit_and_nonsense_in_it_harms_nobody),
		api_test(ports_coalesce_too_and_what_finds_no_room_exits),
		api_test(every_vcpu_has_the_same_ring),
		api_test(zones_are_checked),
		api_test(an_ioeventfd_counts_and_makes_no_exit),
		api_test(a_full_counter_does_not_hold_the_guest),
		api_test(an_ioeventfd_outlives_its_number_and_is_found_by_another),
		api_test(ioeventfds_are_checked),
		api_test(there_may_be_more_ioeventfds_than_devices),
		/* The last: from then on the process counts as restricted. */
		api_test(who_waits_for_a_counter_holds_up_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
