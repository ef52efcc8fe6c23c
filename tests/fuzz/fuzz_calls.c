/* SPDX-License-Identifier: MIT */
/*
 * tests/fuzz/fuzz_calls.c - any calls of the KVM API, in any order, with anything.
 *
 * An input is a list of steps: open, call, map, scribble, run, take memory away,
 * close.  Guest memory is an arena of our own, and slots are made to lie in it:
 * whoever lets a guest have the rest of the process has asked for it.  A timer ends
 * what runs for too long.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "base/guarded.h"
#include "input.h"
#include "kvm/calls/call.h"

#define PAGE 4096ul
#define ARENA_PAGES 64ul
#define ARENA_BYTES (ARENA_PAGES * PAGE)
#define MAX_FDS 12
#define MAX_STEPS 48
#define ARGUMENT_BYTES PAGE

static uint8_t *arena;
static uint8_t *argument;	/* a page, with nothing behind it */

struct target {
	int fd[MAX_FDS];
	uint8_t *map[MAX_FDS];
	size_t map_bytes[MAX_FDS];
};

static void nothing(int sig)
{
	(void)sig;
}

static void set_up(void)
{
	struct sigaction action = { .sa_handler = nothing };

	arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	argument = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED || argument == MAP_FAILED ||
	    mprotect(argument + PAGE, PAGE, PROT_NONE))
		abort();
	sigaction(SIGALRM, &action, NULL);
}

static void set_timer(long us)
{
	struct itimerval t = { .it_value.tv_usec = us, .it_interval.tv_usec = us };

	setitimer(ITIMER_REAL, &t, NULL);
}

static void remember(struct target *t, long fd)
{
	for (int i = 0; i < MAX_FDS && fd >= 0; i++) {
		if (t->fd[i] >= 0)
			continue;
		t->fd[i] = (int)fd;
		return;
	}
	if (fd >= 0)
		umbra_close((int)fd);
}

/* Where a command's structure says "memory", it says our arena. */
static void tame(uint32_t request, void *arg)
{
	struct kvm_userspace_memory_region *region = arg;
	struct kvm_signal_mask *mask = arg;
	struct kvm_dirty_log *log = arg;

	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
		region->userspace_addr %= ARENA_BYTES;
		region->memory_size %= ARENA_BYTES - region->userspace_addr + 1;
		region->userspace_addr += (uintptr_t)arena;
		break;
	case KVM_GET_DIRTY_LOG:
	case KVM_CLEAR_DIRTY_LOG:
		/* Both have their pointer at the same place. */
		log->dirty_bitmap = arena + (uintptr_t)log->dirty_bitmap % (ARENA_BYTES / 2);
		break;
	case KVM_SET_SIGNAL_MASK:
		/* The timer must get through. */
		memset(mask->sigset, 0, 8);
		break;
	default:
		break;
	}
}

static bool makes_descriptor(uint32_t request)
{
	return request == KVM_CREATE_VM || request == KVM_CREATE_VCPU ||
	       request == KVM_GET_STATS_FD;
}

static void step_call(struct target *t, struct input *in)
{
	uint8_t which = input8(in), how = input8(in);
	uint32_t request = which < n_commands ? commands[which].request : input32(in);
	size_t bytes = how & 0x3f ? (how & 0x3f) * 8u : ARGUMENT_BYTES;
	uint8_t *at = argument + PAGE - bytes;
	int fd = t->fd[input8(in) % MAX_FDS];
	long result;

	if (how & 0x80) {
		uint64_t value = input16(in);

		/* A value, or a pointer to nowhere. */
		result = umbra_ioctl(fd, request, how & 0x40 ? value << 32 | value : value % 70);
	} else {
		input_bytes(in, at, bytes);
		/* One that is cut off is refused. */
		if (bytes >= sizeof(struct kvm_userspace_memory_region))
			tame(request, at);
		result = umbra_ioctl(fd, request, (uintptr_t)at);
	}
	if (makes_descriptor(request)) {
		if (request == KVM_GET_STATS_FD && result >= 0)
			close((int)result);
		else
			remember(t, result);
	}
}

static void step_map(struct target *t, struct input *in)
{
	unsigned int i = input8(in) % MAX_FDS;
	size_t bytes = (1 + input8(in) % 16) * PAGE;
	off_t offset = input8(in) % 4 ? 0 : (off_t)(input8(in) * PAGE);
	int err;
	void *at;

	if (t->map[i])
		return;
	at = umbra_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd[i], offset, &err);
	if (at != MAP_FAILED) {
		t->map[i] = at;
		t->map_bytes[i] = bytes;
	}
}

/* Into a run page, a ring, or behind the end of the file. */
static void step_scribble(struct target *t, struct input *in)
{
	unsigned int i = input8(in) % MAX_FDS, n = 1 + input8(in) % 32u;
	size_t offset = input16(in);
	uint8_t bytes[32];

	input_bytes(in, bytes, n);
	if (t->map[i] && offset + n <= t->map_bytes[i])
		guarded_copy(t->map[i] + offset, bytes, n);
}

static void step_memory(struct input *in)
{
	uint8_t how = input8(in);
	size_t first = input8(in) % ARENA_PAGES;
	size_t bytes = (1 + input8(in) % (ARENA_PAGES - first)) * PAGE;
	uint8_t *at = arena + first * PAGE;

	switch (how % 5) {
	case 0:
		umbra_mmap_memory(at, bytes, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	case 1:
		umbra_mprotect(at, bytes, how & 0x80 ? PROT_READ : PROT_READ | PROT_WRITE);
		break;
	case 2:
		umbra_madvise(at, bytes, MADV_DONTNEED);
		break;
	case 3:
		/* Nobody is told. */
		mprotect(at, bytes, how & 0x80 ? PROT_NONE : PROT_READ | PROT_WRITE);
		break;
	default:
		if (!mprotect(at, PAGE, PROT_READ | PROT_WRITE))
			input_bytes(in, at, 64);
	}
}

static void close_one(struct target *t, unsigned int i)
{
	if (t->map[i])
		munmap(t->map[i], t->map_bytes[i]);
	t->map[i] = NULL;
	if (t->fd[i] >= 0)
		umbra_close(t->fd[i]);
	t->fd[i] = -1;
}

static void step(struct target *t, struct input *in)
{
	switch (input8(in) % 16) {
	case 0:
		remember(t, umbra_open(O_RDWR));
		break;
	case 1:
		step_map(t, in);
		break;
	case 2:
		step_scribble(t, in);
		break;
	case 3:
		step_memory(in);
		break;
	case 4:
		close_one(t, input8(in) % MAX_FDS);
		break;
	case 5:
		umbra_set_mmu(input8(in) & 1);
		break;
	case 6:
	case 7:
		umbra_ioctl(t->fd[input8(in) % MAX_FDS], KVM_RUN, 0);
		break;
	default:
		step_call(t, in);
	}
}

/* Most inputs would never get so far by themselves. */
static void make_machine(struct target *t)
{
	struct kvm_userspace_memory_region region = {
		.memory_size = ARENA_BYTES / 2,
		.userspace_addr = (uintptr_t)arena,
	};

	remember(t, umbra_open(O_RDWR));
	remember(t, umbra_ioctl(t->fd[0], KVM_CREATE_VM, 0));
	umbra_ioctl(t->fd[1], KVM_SET_USER_MEMORY_REGION, (uintptr_t)&region);
	remember(t, umbra_ioctl(t->fd[1], KVM_CREATE_VCPU, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct target t = { 0 };

	if (!arena)
		set_up();
	if (mprotect(arena, ARENA_BYTES, PROT_READ | PROT_WRITE))
		abort();
	memset(arena, 0, ARENA_BYTES);
	for (int i = 0; i < MAX_FDS; i++)
		t.fd[i] = -1;
	set_timer(3000);
	umbra_set_mmu(input8(&in) & 1);
	make_machine(&t);
	input_bytes(&in, arena, 256);
	for (int i = 0; i < MAX_STEPS && in.left; i++)
		step(&t, &in);
	for (unsigned int i = 0; i < MAX_FDS; i++)
		close_one(&t, i);
	set_timer(0);
	return 0;
}
