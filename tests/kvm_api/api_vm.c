/* SPDX-License-Identifier: MIT */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * cmocka puts its own handlers for SIGSEGV and SIGBUS in place for each test, over
 * the library's.  This stands before libc's and leaves all as it is.
 */
__attribute__((visibility("default"))) sighandler_t signal(int sig, sighandler_t handler)
{
	(void)sig;
	(void)handler;
	return SIG_DFL;
}

#define RUN_BYTES 12288
#define PTE_PRESENT_WRITABLE 3ull
#define PTE_LARGE 0x80ull

static void build_tables(uint8_t *memory)
{
	uint64_t *pml4 = (uint64_t *)(memory + API_TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512;

	pml4[0] = (API_TABLES + 0x1000) | PTE_PRESENT_WRITABLE;
	pdpt[0] = (API_TABLES + 0x2000) | PTE_PRESENT_WRITABLE;
	for (uint64_t i = 0; i < 512; i++)
		pd[i] = i << 21 | PTE_PRESENT_WRITABLE | PTE_LARGE;
}

void api_set_gate(struct api_vm *vm, unsigned int vector)
{
	uint64_t gate[2] = { (API_HANDLER & 0xffff) | 8ull << 16 | 0x8eull << 40 |
			     (API_HANDLER >> 16) << 48, 0 };
	/* Of the selectors 8 and 16: 64-bit code, flat data. */
	uint64_t gdt[3] = { 0, 0x00209b0000000000, 0x00cf93000000ffff };
	struct kvm_sregs sregs;

	memcpy(vm->memory + API_IDT + 16 * vector, gate, 16);
	memcpy(vm->memory + API_IDT + 0x1000 - sizeof(gdt), gdt, sizeof(gdt));
	vm->memory[API_HANDLER] = 0xf4;
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &sregs), 0);
	sregs.idt.base = API_IDT;
	sregs.idt.limit = 0xfff - sizeof(gdt);
	sregs.gdt.base = API_IDT + 0x1000 - sizeof(gdt);
	sregs.gdt.limit = sizeof(gdt) - 1;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &sregs), 0);
}

long api_set_region(struct api_vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t bytes,
		    const void *memory)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)memory,
	};

	return umbra_set_user_memory_region(vm->fd, &region);
}

void api_vcpu_reset(struct api_vcpu *vcpu)
{
	struct kvm_segment code = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1,
	};
	struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1,
	};
	struct kvm_regs regs = { .rip = API_CODE, .rsp = API_STACK, .rflags = 2 };
	struct kvm_sregs s;

	assert_int_equal(umbra_get_sregs(vcpu->fd, &s), 0);
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 = 0x80000031;	/* PG, NE, ET, PE */
	s.cr3 = API_TABLES;
	s.cr4 = 0x20;		/* PAE */
	s.efer = 0x500;		/* LMA, LME */
	s.idt.limit = 0;
	assert_int_equal(umbra_set_sregs(vcpu->fd, &s), 0);
	assert_int_equal(umbra_set_regs(vcpu->fd, &regs), 0);
}

void api_vcpu_create(struct api_vm *vm, unsigned int id, struct api_vcpu *vcpu)
{
	int err;

	vcpu->fd = (int)umbra_create_vcpu(vm->fd, id);
	assert_true(vcpu->fd >= 0);
	assert_int_equal(umbra_get_vcpu_mmap_size(vm->kvm, 0), RUN_BYTES);
	vcpu->run = umbra_mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0,
			       &err);
	assert_ptr_not_equal(vcpu->run, MAP_FAILED);
	api_vcpu_reset(vcpu);
}

void api_vcpu_destroy(struct api_vm *vm, struct api_vcpu *vcpu)
{
	(void)vm;
	munmap(vcpu->run, RUN_BYTES);
	assert_int_equal(umbra_close(vcpu->fd), 0);
}

void api_vm_create_with(struct api_vm *vm, void (*configure)(struct api_vm *vm))
{
	vm->kvm = umbra_open(O_RDWR | O_CLOEXEC);
	assert_true(vm->kvm >= 0);
	vm->fd = (int)umbra_create_vm(vm->kvm, 0);
	assert_true(vm->fd >= 0);
	vm->memory = mmap(NULL, API_MEMORY_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(vm->memory, MAP_FAILED);
	build_tables(vm->memory);
	assert_int_equal(api_set_region(vm, 0, 0, 0, API_MEMORY_BYTES, vm->memory), 0);
	if (configure)
		configure(vm);
	api_vcpu_create(vm, 0, &vm->vcpu);
}

void api_vm_create(struct api_vm *vm)
{
	api_vm_create_with(vm, NULL);
}

void api_vm_destroy(struct api_vm *vm)
{
	api_vcpu_destroy(vm, &vm->vcpu);
	assert_int_equal(umbra_close(vm->fd), 0);
	assert_int_equal(umbra_close(vm->kvm), 0);
	umbra_munmap(vm->memory, API_MEMORY_BYTES);
}

int api_set_up(void **state)
{
	static struct api_vm vm;

	api_vm_create(&vm);
	*state = &vm;
	return 0;
}

int api_tear_down(void **state)
{
	api_vm_destroy(*state);
	return 0;
}

void api_load(struct api_vm *vm, const uint8_t *code, const uint8_t *end)
{
	memcpy(vm->memory + API_CODE, code, (size_t)(end - code));
}

struct kvm_regs api_regs(const struct api_vcpu *vcpu)
{
	struct kvm_regs regs;

	assert_int_equal(umbra_get_regs(vcpu->fd, &regs), 0);
	return regs;
}

void api_set_regs(const struct api_vcpu *vcpu, const struct kvm_regs *regs)
{
	assert_int_equal(umbra_set_regs(vcpu->fd, regs), 0);
}

struct kvm_vcpu_events api_events(const struct api_vm *vm)
{
	struct kvm_vcpu_events e;

	assert_int_equal(umbra_get_vcpu_events(vm->vcpu.fd, &e), 0);
	return e;
}

void api_supported_cpuid(const struct api_vm *vm, struct api_cpuid *t)
{
	memset(t, 0, sizeof(*t));
	t->head.nent = sizeof(t->entries) / sizeof(t->entries[0]);
	assert_int_equal(umbra_get_supported_cpuid(vm->kvm, &t->head), 0);
}

long api_run(const struct api_vcpu *vcpu)
{
	long result;

	do
		result = umbra_run(vcpu->fd, 0);
	while (result == -EINTR);
	return result;
}

void api_run_to(struct api_vm *vm, uint32_t exit_reason)
{
	assert_int_equal(api_run(&vm->vcpu), 0);
	assert_int_equal(vm->vcpu.run->exit_reason, exit_reason);
}
