/* SPDX-License-Identifier: MIT */
/*
 * tests/kvm_api/test_memory_calls.c - what Linux has added to the memory API up to 6.12, and
 * KVM_TRANSLATE and the time-stamp counter's rate.
 */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/abi.h"

#define NOWHERE 0x3f000000ull /* mapped by the guest, backed by nothing */

static int set_up_shadow(void **state)
{
	umbra_set_mmu(UMBRA_MMU_SHADOW);
	api_set_up(state);
	umbra_set_mmu(UMBRA_MMU_TDP);
	return 0;
}

static long capability_of(const struct api_vm *vm, long number)
{
	return umbra_ioctl(vm->fd, KVM_CHECK_EXTENSION, (uintptr_t)number);
}

static void *map_pages(size_t n)
{
	void *at = mmap(NULL, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(at != MAP_FAILED);
	return at;
}

static void a_region_of_the_second_kind_is_one_of_the_first(void **state)
{
	struct api_vm *vm = *state;
	uint64_t *page = map_pages(1);
	struct kvm_userspace_memory_region2 r = {
		.slot = 1, .guest_phys_addr = NOWHERE, .memory_size = 4096,
		.userspace_addr = (uintptr_t)page,
	};
	struct kvm_regs regs = api_regs(&vm->vcpu);

	assert_int_equal(capability_of(vm, KVM_CAP_USER_MEMORY2), 1);
	r.flags = KVM_MEM_GUEST_MEMFD;
	assert_int_equal(umbra_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, (uintptr_t)&r), -EINVAL);
	r.flags = 0;
	assert_int_equal(umbra_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, (uintptr_t)&r), 0);
	api_load_guest(vm, store);
	regs.rdi = NOWHERE;
	regs.rax = 5;
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(api_run(&vm->vcpu), 0);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(*page, 5);
	r.memory_size = 0;
	assert_int_equal(umbra_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, (uintptr_t)&r), 0);
	umbra_munmap(page, 4096);
}

/* Their numbers are from the API document. */
static void private_memory_is_refused(void **state)
{
	struct api_vm *vm = *state;
	uint64_t args[8] = { 0 };
	const long absent[] = { 233 /* MEMORY_ATTRIBUTES */, 234 /* GUEST_MEMFD */,
				238 /* X86_GUEST_MODE */, 237 /* X86_APIC_BUS_CYCLES_NS */ };

	for (size_t i = 0; i < sizeof(absent) / sizeof(*absent); i++)
		assert_int_equal(capability_of(vm, absent[i]), 0);
	assert_int_equal(capability_of(vm, KVM_CAP_VM_TYPES), 1);
	/* KVM_SET_MEMORY_ATTRIBUTES and KVM_CREATE_GUEST_MEMFD */
	assert_int_equal(umbra_ioctl(vm->fd, _IOW(KVMIO, 0xd2, uint64_t[4]), (uintptr_t)args),
			 -ENOTTY);
	assert_int_equal(umbra_ioctl(vm->fd, _IOWR(KVMIO, 0xd4, uint64_t[8]), (uintptr_t)args),
			 -ENOTTY);
}

static long prefault(struct api_vm *vm, uint64_t gpa, uint64_t bytes, uint64_t flags,
		     struct kvm_pre_fault_memory *left)
{
	*left = (struct kvm_pre_fault_memory){ .gpa = gpa, .size = bytes, .flags = flags };
	return umbra_ioctl(vm->vcpu.fd, KVM_PRE_FAULT_MEMORY, (uintptr_t)left);
}

static void memory_is_mapped_before_it_is_used(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_pre_fault_memory left;
	uint8_t *pages = map_pages(4);

	assert_int_equal(capability_of(vm, KVM_CAP_PRE_FAULT_MEMORY), 1);
	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 4 * 4096, pages), 0);
	assert_int_equal(prefault(vm, NOWHERE, 4 * 4096, 0, &left), 0);
	assert_int_equal(left.size, 0);
	assert_int_equal(left.gpa, NOWHERE + 4 * 4096);

	assert_int_equal(prefault(vm, NOWHERE, 4096, 1, &left), -EINVAL);
	assert_int_equal(prefault(vm, NOWHERE + 1, 4096, 0, &left), -EINVAL);
	assert_int_equal(prefault(vm, NOWHERE, 4095, 0, &left), -EINVAL);
	assert_int_equal(prefault(vm, NOWHERE, 0, 0, &left), -EINVAL);
	assert_int_equal(prefault(vm, -4096ull, 8192, 0, &left), -EINVAL);
	assert_int_equal(left.size, 8192);
	/* As far as there is memory; nothing at all is an error. */
	assert_int_equal(prefault(vm, NOWHERE + 3 * 4096, 2 * 4096, 0, &left), 0);
	assert_int_equal(left.gpa, NOWHERE + 4 * 4096);
	assert_int_equal(left.size, 4096);
	assert_int_equal(prefault(vm, NOWHERE + 4 * 4096, 4096, 0, &left), -ENOENT);
	assert_int_equal(umbra_mprotect(pages + 4096, 4096, PROT_NONE), 0);
	assert_int_equal(prefault(vm, NOWHERE + 4096, 4096, 0, &left), -EFAULT);
	assert_int_equal(left.gpa, NOWHERE + 4096);
	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 0, pages), 0);
	umbra_munmap(pages, 4 * 4096);
}

static void shadow_tables_are_not_made_before_use(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_pre_fault_memory left;

	assert_int_equal(capability_of(vm, KVM_CAP_PRE_FAULT_MEMORY), 0);
	assert_int_equal(prefault(vm, 0, 4096, 0, &left), -EOPNOTSUPP);
}

static void efault_says_where(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_regs regs = api_regs(&vm->vcpu);
	struct abi_memory_fault fault;
	uint8_t *pages = map_pages(2);

	assert_int_equal(capability_of(vm, KVM_CAP_MEMORY_FAULT_INFO), 1);
	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 8192, pages), 0);
	assert_int_equal(umbra_mprotect(pages + 4096, 4096, PROT_NONE), 0);
	api_load_guest(vm, store);
	regs.rdi = NOWHERE + 4096 + 123;
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(api_run(&vm->vcpu), -EFAULT);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	memcpy(&fault, &vm->vcpu.run->hw, sizeof(fault));
	assert_int_equal(fault.gpa, NOWHERE + 4096);
	assert_int_equal(fault.size, 4096);
	assert_int_equal(fault.flags, 0);
	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 0, pages), 0);

	/* A table of the guest's that the client does not have. */
	assert_int_equal(umbra_mprotect(vm->memory + API_TABLES, 4096, PROT_NONE), 0);
	regs.rdi = NOWHERE;
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(api_run(&vm->vcpu), -EFAULT);
	memcpy(&fault, &vm->vcpu.run->hw, sizeof(fault));
	assert_int_equal(fault.gpa, API_TABLES);
	assert_int_equal(umbra_mprotect(vm->memory + API_TABLES, 4096, PROT_READ | PROT_WRITE), 0);
	umbra_munmap(pages, 8192);
}

static struct kvm_translation translate(struct api_vm *vm, uint64_t gva)
{
	struct kvm_translation t = { .linear_address = gva };

	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_TRANSLATE, (uintptr_t)&t), 0);
	return t;
}

static void the_guests_tables_are_walked_for_the_client(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_translation t = translate(vm, API_DATA + 0x123);
	struct kvm_sregs sregs;

	assert_int_equal(t.valid, 1);
	assert_int_equal(t.physical_address, API_DATA + 0x123);
	assert_int_equal(t.writeable, 1);
	assert_int_equal(t.usermode, 0);
	t = translate(vm, 1ull << 40);
	assert_int_equal(t.valid, 0);
	assert_true(t.physical_address == ~0ull);

	/* Level 3 asks no less than the system. */
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &sregs), 0);
	sregs.cr0 &= ~(1u << 31);
	sregs.efer = 0;
	sregs.cs.l = 0;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &sregs), 0);
	t = translate(vm, 0x12345678);
	assert_int_equal(t.valid, 1);
	assert_int_equal(t.physical_address, 0x12345678);
}

static void the_counter_runs_as_fast_as_it_is_told(void **state)
{
	struct api_vm *vm = *state;
	long host = umbra_ioctl(vm->vcpu.fd, KVM_GET_TSC_KHZ, 0);
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = { .head.nmsrs = 1 };
	uint64_t first, slow, fast;
	struct api_vcpu second;

	assert_true(host > 100000 && host < 20000000);
	assert_int_equal(capability_of(vm, KVM_CAP_TSC_CONTROL), 1);
	assert_int_equal(capability_of(vm, KVM_CAP_GET_TSC_KHZ), 1);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_TSC_KHZ, 0x7fffffff), -EINVAL);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_TSC_KHZ, 1000), 0);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_TSC_KHZ, 0), 1000);

	/* The same time by two rates: each tick of the slow one is some of the other's. */
	m.e.index = 0x10;
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_MSRS, (uintptr_t)&m), 1);
	first = m.e.data;
	usleep(2000);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_MSRS, (uintptr_t)&m), 1);
	slow = m.e.data - first;
	assert_true(slow >= 1900);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_TSC_KHZ, 0), 0);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_TSC_KHZ, 0), host);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_MSRS, (uintptr_t)&m), 1);
	first = m.e.data;
	usleep(2000);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_MSRS, (uintptr_t)&m), 1);
	fast = m.e.data - first;
	assert_true(fast >= (uint64_t)host * 19 / 10);

	/* Of vCPUs to come. */
	assert_int_equal(umbra_ioctl(vm->fd, KVM_GET_TSC_KHZ, 0), host);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_SET_TSC_KHZ, 123456), 0);
	assert_int_equal(umbra_ioctl(vm->fd, KVM_GET_TSC_KHZ, 0), 123456);
	api_vcpu_create(vm, 1, &second);
	assert_int_equal(umbra_ioctl(second.fd, KVM_GET_TSC_KHZ, 0), 123456);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_TSC_KHZ, 0), host);
	api_vcpu_destroy(vm, &second);
}

/* As Linux 6.12: too little room is told from too much by the errno alone. */
static void too_little_room_for_cpuid_changes_nothing(void **state)
{
	struct api_vm *vm = *state;
	struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 e[3]; } c = { .head.nent = 2 };

	c.e[0].function = 0;
	c.e[1].function = 1;
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_CPUID2, (uintptr_t)&c), 0);
	memset(&c, 0, sizeof(c));
	c.head.nent = 1;
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_CPUID2, (uintptr_t)&c), -E2BIG);
	assert_int_equal(c.head.nent, 1);
	c.head.nent = 3;
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_CPUID2, (uintptr_t)&c), 0);
	assert_int_equal(c.head.nent, 2);
	assert_int_equal(c.e[1].function, 1);
}

static uint64_t load_from(struct api_vm *vm, uint64_t gva)
{
	struct kvm_regs regs = { .rip = API_CODE, .rdi = gva, .rflags = 2 };

	api_vcpu_reset(&vm->vcpu);
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	return api_regs(&vm->vcpu).rax;
}

/*
 * KVM_X86_QUIRK_SLOT_ZAP_ALL: a client that loads a snapshot writes into the guest's tables by
 * itself, and then changes a slot.
 */
static void tables_that_the_client_wrote_are_read_again_after_a_slot_has_gone(void **state)
{
	struct api_vm *vm = *state;
	uint64_t *pd = (uint64_t *)(vm->memory + API_TABLES + 0x2000);
	void *page = map_pages(1);

	api_load_guest(vm, load);
	memcpy(vm->memory + (4 << 20), "fourfour", 8);
	memcpy(vm->memory + (6 << 20), "six six ", 8);
	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 4096, page), 0);
	assert_memory_equal(&(uint64_t){ load_from(vm, 4 << 20) }, "fourfour", 8);
	pd[2] = pd[3];
	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 0, page), 0);
	assert_memory_equal(&(uint64_t){ load_from(vm, 4 << 20) }, "six six ", 8);
	munmap(page, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(a_region_of_the_second_kind_is_one_of_the_first),
		api_test(private_memory_is_refused),
		api_test(memory_is_mapped_before_it_is_used),
		cmocka_unit_test_setup_teardown(shadow_tables_are_not_made_before_use,
						set_up_shadow, api_tear_down),
		api_test(efault_says_where),
		cmocka_unit_test_setup_teardown(efault_says_where, set_up_shadow, api_tear_down),
		api_test(tables_that_the_client_wrote_are_read_again_after_a_slot_has_gone),
		cmocka_unit_test_setup_teardown(
			tables_that_the_client_wrote_are_read_again_after_a_slot_has_gone,
			set_up_shadow, api_tear_down),
		api_test(the_guests_tables_are_walked_for_the_client),
		api_test(the_counter_runs_as_fast_as_it_is_told),
		api_test(too_little_room_for_cpuid_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
