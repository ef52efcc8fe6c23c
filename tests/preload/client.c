/* SPDX-License-Identifier: MIT */
#include "tests/preload/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RUN_BYTES 12288

static int add_slot(struct client *c, uint32_t id, uint32_t gpa, uint64_t bytes, void *memory)
{
	struct kvm_userspace_memory_region r = {
		.slot = id,
		.flags = id ? 0 : KVM_MEM_LOG_DIRTY_PAGES,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)memory,
	};

	return ioctl(c->vm, KVM_SET_USER_MEMORY_REGION, &r);
}

/* A slot behind which the client has nothing (any more). */
static int add_hole(struct client *c)
{
	void *hole = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return hole == MAP_FAILED || add_slot(c, 1, CLIENT_HOLE, 1 << 20, hole);
}

static void make_flat(struct kvm_segment *s, uint16_t selector, uint8_t type)
{
	*s = (struct kvm_segment){ .limit = ~0u, .selector = selector, .type = type, .present = 1,
				   .db = 1, .s = 1, .g = 1 };
}

static int set_mode(struct client *c)
{
	struct kvm_sregs s;

	if (ioctl(c->vcpu, KVM_GET_SREGS, &s))
		return -1;
	make_flat(&s.cs, 8, 11);
	make_flat(&s.ds, 16, 3);
	s.es = s.ss = s.fs = s.gs = s.ds;
	s.cr0 |= 1;
	return ioctl(c->vcpu, KVM_SET_SREGS, &s);
}

int client_create(struct client *c)
{
	c->system = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	c->vm = ioctl(c->system, KVM_CREATE_VM, 0);
	c->memory = mmap(NULL, CLIENT_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	if (c->vm < 0 || c->memory == MAP_FAILED || add_slot(c, 0, 0, CLIENT_MEMORY, c->memory) ||
	    add_hole(c))
		return -1;
	c->vcpu = ioctl(c->vm, KVM_CREATE_VCPU, 0);
	c->run = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, c->vcpu, 0);
	return c->run == MAP_FAILED ? -1 : set_mode(c);
}

void client_destroy(struct client *c)
{
	munmap(c->run, RUN_BYTES);
	munmap(c->memory, CLIENT_MEMORY);
	close(c->vcpu);
	close(c->vm);
	close(c->system);
}

int client_load(struct client *c, const uint8_t *code, size_t bytes, uint64_t rcx, uint64_t rdi)
{
	struct kvm_regs r = { .rip = CLIENT_CODE, .rflags = 2, .rcx = rcx, .rdi = rdi };

	memcpy(c->memory + CLIENT_CODE, code, bytes);
	return ioctl(c->vcpu, KVM_SET_REGS, &r);
}

int client_run(struct client *c)
{
	return ioctl(c->vcpu, KVM_RUN, 0) ? -errno : 0;
}
