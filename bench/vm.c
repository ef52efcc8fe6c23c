/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <umbra/umbra.h>

#include "bench/bench.h"

#define TABLES 0x1000ull
#define CODE 0x10000ull
#define CODE_BYTES 0x1000ull
#define PTE 3ull
#define PTE_LARGE 0x80ull
/* A table of 4 KiB pages, for a window at the end of the first 4 GiB. */
#define SMALL_TABLE 0x8000ull
/* Copies of the root. */
#define MORE_ROOTS 0x9000ull
#define N_MORE_ROOTS 7
#define RUN_BYTES 12288

void bench_die(const char *what, long result)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror((int)-result));
	exit(1);
}

static long must(const char *what, long result)
{
	if (result < 0)
		bench_die(what, result);
	return result;
}

#define DIRECTORIES 0x20000ull

/* Identity of the first 8 GiB by pages of 2 MiB. */
static void build_tables(uint8_t *memory)
{
	uint64_t *pml4 = (uint64_t *)(memory + TABLES), *pdpt = pml4 + 512;
	uint64_t *pd = (uint64_t *)(memory + DIRECTORIES);

	pml4[0] = (TABLES + 0x1000) | PTE;
	for (uint64_t i = 0; i < 8; i++)
		pdpt[i] = (DIRECTORIES + i * 0x1000) | PTE;
	for (uint64_t i = 0; i < 8 * 512; i++)
		pd[i] = i << 21 | PTE | PTE_LARGE;
	pd[2047] = SMALL_TABLE | PTE;
	for (uint64_t i = 0; i < 512; i++)
		((uint64_t *)(memory + SMALL_TABLE))[i] = (BENCH_DATA + i * 4096) | PTE;
	for (int i = 0; i < N_MORE_ROOTS; i++)
		memcpy(memory + MORE_ROOTS + i * 4096, pml4, 4096);
}

int bench_vcpu_create(struct bench_vm *vm, unsigned int id, struct kvm_run **run)
{
	int vcpu = (int)must("KVM_CREATE_VCPU", umbra_create_vcpu(vm->fd, id)), err;

	*run = umbra_mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0, &err);
	if (*run == MAP_FAILED)
		bench_die("mmap", -err);
	return vcpu;
}

void bench_vm_create(struct bench_vm *vm, size_t data_bytes)
{
	struct kvm_userspace_memory_region region = { .slot = 0 };

	vm->bytes = BENCH_DATA + data_bytes;
	vm->kvm = (int)must("umbra_open", umbra_open(O_RDWR));
	vm->fd = (int)must("KVM_CREATE_VM", umbra_create_vm(vm->kvm, 0));
	vm->memory = mmap(NULL, vm->bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (vm->memory == MAP_FAILED)
		bench_die("mmap", -12);
	/* Pages of 4 KiB, all there before the guest asks for them. */
	madvise(vm->memory, vm->bytes, MADV_NOHUGEPAGE);
	memset(vm->memory, 1, vm->bytes);
	build_tables(vm->memory);
	region.memory_size = vm->bytes;
	region.userspace_addr = (uintptr_t)vm->memory;
	must("KVM_SET_USER_MEMORY_REGION", umbra_set_user_memory_region(vm->fd, &region));
	vm->vcpu = bench_vcpu_create(vm, 0, &vm->run);
}

void bench_vm_destroy(struct bench_vm *vm)
{
	munmap(vm->run, RUN_BYTES);
	umbra_close(vm->vcpu);
	umbra_close(vm->fd);
	umbra_close(vm->kvm);
	umbra_munmap(vm->memory, vm->bytes);
}

void bench_prepare(struct bench_vm *vm, int vcpu, const uint8_t *code, const uint8_t *end,
		   uint64_t rdi, uint64_t rcx)
{
	struct kvm_segment cs = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1,
	};
	struct kvm_segment ds = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1,
	};
	struct kvm_regs regs = { .rip = CODE, .rflags = 2, .rdi = rdi, .rcx = rcx };
	struct kvm_sregs s;

	if ((size_t)(end - code) > CODE_BYTES)
		bench_die("guest code", -7);
	memcpy(vm->memory + CODE, code, (size_t)(end - code));
	must("KVM_GET_SREGS", umbra_get_sregs(vcpu, &s));
	s.cs = cs;
	s.ds = s.es = s.fs = s.gs = s.ss = ds;
	s.cr0 = 0x80000031;
	s.cr3 = TABLES;
	s.cr4 = 0x20;
	s.efer = 0x500;
	must("KVM_SET_SREGS", umbra_set_sregs(vcpu, &s));
	must("KVM_SET_REGS", umbra_set_regs(vcpu, &regs));
}

uint32_t bench_enter(struct bench_vm *vm)
{
	must("KVM_RUN", umbra_run(vm->vcpu, 0));
	return vm->run->exit_reason;
}

void bench_run(struct bench_vm *vm)
{
	if (bench_enter(vm) != KVM_EXIT_HLT)
		bench_die("the guest did not halt", -5);
}
