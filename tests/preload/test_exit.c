/* SPDX-License-Identifier: MIT */
/*
 * tests/preload/test_exit.c - while one thread ends the process, the others go on.
 *
 * A VMM whose KVM_RUN fails aborts, and a process that was about to exit with 0 dumps
 * core instead.  The C library flushes its streams last of all, after the ends of all
 * libraries: there this test waits for another thread's KVM_RUN.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS 1000

static int vcpu, system_fd;
static long rounds;	/* (a) */
static int failure;	/* (a) errno */

static void fail(int err)
{
	__atomic_store_n(&failure, err, __ATOMIC_RELAXED);
}

static void *run_thread(void *arg)
{
	(void)arg;
	for (;;) {
		if (ioctl(vcpu, KVM_RUN, 0) || ioctl(system_fd, KVM_CHECK_EXTENSION, 0) < 0)
			fail(errno);
		__atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void wait_for_rounds(void)
{
	long until = __atomic_load_n(&rounds, __ATOMIC_RELAXED) + ROUNDS;

	while (__atomic_load_n(&rounds, __ATOMIC_RELAXED) < until)
		sched_yield();
}

static ssize_t flush_last(void *cookie, const char *text, size_t bytes)
{
	(void)cookie;
	(void)text;
	wait_for_rounds();
	if (__atomic_load_n(&failure, __ATOMIC_RELAXED))
		_exit(1);
	return (ssize_t)bytes;
}

/* out %al, $0x10; jmp . - 2: in real mode at 0. */
static const unsigned char guest[] = { 0xe6, 0x10, 0xeb, 0xfc };

static int set_up(void)
{
	struct kvm_userspace_memory_region region = { .memory_size = 4096 };
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_sregs sregs;
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int vm;

	system_fd = open("/dev/kvm", O_RDWR);
	vm = ioctl(system_fd, KVM_CREATE_VM, 0);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	region.userspace_addr = (unsigned long)memory;
	memcpy(memory, guest, sizeof(guest));
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) || ioctl(vcpu, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	return ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs) ? -1 : 0;
}

int main(void)
{
	cookie_io_functions_t io = { .write = flush_last };
	FILE *last = fopencookie(NULL, "w", io);
	pthread_t thread;

	if (set_up() || !last || fputs("x", last) < 0)
		return 2;
	if (pthread_create(&thread, NULL, run_thread, NULL))
		return 2;
	wait_for_rounds();
	return 0;
}
