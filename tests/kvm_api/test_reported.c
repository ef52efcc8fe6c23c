/* SPDX-License-Identifier: MIT */
/*
 * tests/kvm_api/test_reported.c - what KVM_CHECK_EXTENSION and its kind report, in use.
 * docs/REPORTED.md names the test of each; here are those that no other test is about.
 */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "kvm/abi.h"

#define FAR 0x3e000000ull	/* mapped by the guest, backed by nothing */
#define GFNI (1u << 8)		/* CPUID.7:ECX, which is not there */
#define GF2P8MULB "\x66\x0f\x38\xcf\xc1"

static long capability_of(const struct api_vm *vm, long number)
{
	return umbra_check_extension(vm->fd, (unsigned long)number);
}

/* --- CPUID ----------------------------------------------------------------------- */

static struct kvm_cpuid_entry2 *leaf_of(struct api_cpuid *t, uint32_t leaf)
{
	for (uint32_t i = 0; i < t->head.nent; i++)
		if (t->entries[i].function == leaf)
			return &t->entries[i];
	fail_msg("no leaf %#x", leaf);
	return NULL;
}

#define CPUID_HLT "\x0f\xa2\xf4"

static void the_supported_table_can_be_set_and_is_seen(void **state)
{
	struct api_vm *vm = *state;
	static struct api_cpuid t, again;
	struct kvm_regs regs = { .rip = API_CODE, .rsp = API_STACK, .rflags = 2 };
	struct kvm_xcrs xcrs = { .nr_xcrs = 1 };
	const struct kvm_cpuid_entry2 *e;

	assert_int_equal(capability_of(vm, KVM_CAP_EXT_CPUID), 1);
	api_supported_cpuid(vm, &t);
	/* Each feature without another: a table is the client's to choose. */
	leaf_of(&t, 7)->ebx &= ~1u;
	assert_int_equal(umbra_set_cpuid2(vm->vcpu.fd, &t.head), 0);
	again.head.nent = 100;
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_CPUID2, (uintptr_t)&again), 0);
	assert_int_equal(again.head.nent, t.head.nent);
	/* The size of XSAVE's area is what XCR0 makes it, in the table too: x87 alone as yet. */
	assert_int_equal(leaf_of(&again, 0xd)->ebx, 576);
	xcrs.xcrs[0].value = leaf_of(&t, 0xd)->eax;
	assert_int_equal(umbra_set_xcrs(vm->vcpu.fd, &xcrs), 0);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_CPUID2, (uintptr_t)&again), 0);
	assert_memory_equal(again.entries, t.entries, t.head.nent * sizeof(*t.entries));
	api_load_code(vm, CPUID_HLT);
	for (uint32_t i = 0; i < t.head.nent; i++) {
		e = &t.entries[i];
		regs.rax = e->function;
		regs.rcx = e->index;
		api_set_regs(&vm->vcpu, &regs);
		api_run_to(vm, KVM_EXIT_HLT);
		assert_int_equal(api_regs(&vm->vcpu).rax, e->eax);
		assert_int_equal(api_regs(&vm->vcpu).rbx, e->ebx);
		assert_int_equal(api_regs(&vm->vcpu).rcx, e->ecx);
		/* An APIC, if there were one, is shown by its state. */
		assert_int_equal(api_regs(&vm->vcpu).rdx, e->edx);
	}
}

static void the_bit_for_ports_without_delay_is_offered(void **state)
{
	struct api_vm *vm = *state;
	static struct api_cpuid t;

	api_supported_cpuid(vm, &t);
	assert_int_equal(capability_of(vm, KVM_CAP_NOP_IO_DELAY), 1);
	assert_int_equal(leaf_of(&t, 0x40000001)->eax & 2, 2);
}

/* --- vCPUs ----------------------------------------------------------------------- */

static void a_vcpu_is_runnable_or_halted(void **state)
{
	struct api_vm *vm = *state, other;
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_HALTED };

	assert_int_equal(capability_of(vm, KVM_CAP_MP_STATE), 1);
	/* Without a controller HLT is the client's matter, and so is who is halted. */
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_MP_STATE, (uintptr_t)&mp), -EINVAL);
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_MP_STATE, (uintptr_t)&mp), 0);
	mp.mp_state = 77;
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_MP_STATE, (uintptr_t)&mp), -EINVAL);
	assert_int_equal(umbra_get_mp_state(vm->vcpu.fd, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);

	other = *vm;
	other.fd = (int)umbra_create_vm(vm->kvm, 0);
	assert_int_equal(umbra_ioctl(other.fd, KVM_CREATE_IRQCHIP, 0), 0);
	api_vcpu_create(&other, 0, &other.vcpu);
	mp.mp_state = KVM_MP_STATE_HALTED;
	assert_int_equal(umbra_ioctl(other.vcpu.fd, KVM_SET_MP_STATE, (uintptr_t)&mp), 0);
	mp.mp_state = 0;
	assert_int_equal(umbra_get_mp_state(other.vcpu.fd, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_HALTED);
	api_vcpu_destroy(&other, &other.vcpu);
	assert_int_equal(umbra_close(other.fd), 0);
}

static void assert_pushed(const struct api_vm *vm, uint64_t error_code, uint64_t rip)
{
	const uint64_t *frame = (const uint64_t *)(vm->memory + API_STACK - 48);

	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	if (error_code)
		assert_int_equal(frame[0], error_code);
	assert_int_equal(frame[1], rip);
}

static void events_are_injected_and_read_back(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_vcpu_events e = { .exception = { .injected = 1, .nr = 13,
						    .has_error_code = 1, .error_code = 0x55 } };
	struct kvm_vcpu_events got;

	assert_int_equal(capability_of(vm, KVM_CAP_VCPU_EVENTS), 1);
	api_load_guest(vm, halt);
	api_set_gate(vm, 13);
	api_set_gate(vm, 99);
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), 0);
	assert_int_equal(umbra_get_vcpu_events(vm->vcpu.fd, &got), 0);
	assert_memory_equal(&got.exception, &e.exception, sizeof(got.exception));
	api_run_to(vm, KVM_EXIT_HLT);
	assert_pushed(vm, 0x55, API_CODE);
	assert_int_equal(umbra_get_vcpu_events(vm->vcpu.fd, &got), 0);
	assert_int_equal(got.exception.injected, 0);

	api_vcpu_reset(&vm->vcpu);
	api_set_gate(vm, 99);
	e = (struct kvm_vcpu_events){ .interrupt = { .injected = 1, .nr = 99 } };
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), 0);
	assert_int_equal(umbra_get_vcpu_events(vm->vcpu.fd, &got), 0);
	assert_true(got.interrupt.injected && got.interrupt.nr == 99);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_pushed(vm, 0, API_CODE);
	/* One that there is not. */
	e = (struct kvm_vcpu_events){ .flags = 1u << 31 };
	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &e), -EINVAL);
}

static void each_sort_of_sync_regs_goes_in_and_out(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;

	assert_int_equal(capability_of(vm, KVM_CAP_SYNC_REGS),
			 KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS);
	api_load_guest(vm, halt);
	api_set_gate(vm, 14);
	run->s.regs.regs = api_regs(&vm->vcpu);
	run->s.regs.regs.rbx = 5;
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &run->s.regs.sregs), 0);
	run->s.regs.sregs.cr2 = 0x1234;
	memset(&run->s.regs.events, 0, sizeof(run->s.regs.events));
	run->s.regs.events.exception.injected = 1;
	run->s.regs.events.exception.nr = 14;
	run->s.regs.events.exception.has_error_code = 1;
	run->s.regs.events.exception.error_code = 0x66;
	run->kvm_dirty_regs = run->kvm_valid_regs = KVM_SYNC_X86_VALID_FIELDS;
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(run->s.regs.regs.rbx, 5);
	assert_int_equal(run->s.regs.regs.rip, API_HANDLER + 1);
	assert_int_equal(run->s.regs.sregs.cr2, 0x1234);
	assert_int_equal(run->s.regs.events.exception.injected, 0);
	assert_pushed(vm, 0x66, API_CODE);
}

/* They are what they were when CR3 was loaded, whatever memory says by now. */
static void the_registers_of_pae_paging_are_kept(void **state)
{
	struct api_vm *vm = *state;
	uint64_t *table = (uint64_t *)(vm->memory + API_DATA);
	const int fd = vm->vcpu.fd;
	struct kvm_sregs2 s, got;

	assert_int_equal(capability_of(vm, KVM_CAP_SREGS2), 1);
	assert_int_equal(umbra_ioctl(fd, KVM_GET_SREGS2, (uintptr_t)&s), 0);
	assert_int_equal(s.flags, 0);
	s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID; /* in long mode there are none */
	assert_int_equal(umbra_ioctl(fd, KVM_SET_SREGS2, (uintptr_t)&s), -EINVAL);

	s.flags = 0;
	s.efer = 0;
	s.cs.l = 0;
	s.cs.db = 1;
	s.cr3 = API_DATA;
	table[0] = 0x5001;
	assert_int_equal(umbra_ioctl(fd, KVM_SET_SREGS2, (uintptr_t)&s), 0);
	table[0] = 0x6001;
	assert_int_equal(umbra_ioctl(fd, KVM_GET_SREGS2, (uintptr_t)&got), 0);
	assert_int_equal(got.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
	assert_int_equal(got.pdptrs[0], 0x5001);
	got.pdptrs[3] = 0x7001;
	assert_int_equal(umbra_ioctl(fd, KVM_SET_SREGS2, (uintptr_t)&got), 0);
	assert_int_equal(umbra_ioctl(fd, KVM_GET_SREGS2, (uintptr_t)&s), 0);
	assert_memory_equal(&s, &got, sizeof(s));
	/* Refused, and nothing has changed. */
	got.flags = 2;
	assert_int_equal(umbra_ioctl(fd, KVM_SET_SREGS2, (uintptr_t)&got), -EINVAL);
	got = s;
	got.cr4 |= 1ull << 60;
	assert_int_equal(umbra_ioctl(fd, KVM_SET_SREGS2, (uintptr_t)&got), -EINVAL);
	assert_int_equal(umbra_ioctl(fd, KVM_GET_SREGS2, (uintptr_t)&got), 0);
	assert_memory_equal(&s, &got, sizeof(s));
}

static uint64_t get_msr(const struct api_vm *vm, uint32_t index)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = {
		.head.nmsrs = 1, .e.index = index,
	};

	assert_int_equal(umbra_get_msrs(vm->vcpu.fd, &m.head), 1);
	return m.e.data;
}

static void the_attribute_of_a_vcpu_is_its_counters_offset(void **state)
{
	struct api_vm *vm = *state;
	uint64_t offset = 0, more, before;
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL,
					.attr = KVM_VCPU_TSC_OFFSET,
					.addr = (uintptr_t)&offset };
	const int fd = vm->vcpu.fd;

	assert_int_equal(capability_of(vm, KVM_CAP_VCPU_ATTRIBUTES), 1);
	assert_int_equal(umbra_ioctl(fd, KVM_HAS_DEVICE_ATTR, (uintptr_t)&attr), 0);
	assert_int_equal(umbra_ioctl(fd, KVM_GET_DEVICE_ATTR, (uintptr_t)&attr), 0);
	before = get_msr(vm, 0x10);
	more = offset + (1ull << 60);
	attr.addr = (uintptr_t)&more;
	assert_int_equal(umbra_ioctl(fd, KVM_SET_DEVICE_ATTR, (uintptr_t)&attr), 0);
	assert_true(get_msr(vm, 0x10) - before >= 1ull << 60);
	attr.addr = (uintptr_t)&offset;
	assert_int_equal(umbra_ioctl(fd, KVM_GET_DEVICE_ATTR, (uintptr_t)&attr), 0);
	assert_true(offset == more);
	attr.attr = 9;
	assert_int_equal(umbra_ioctl(fd, KVM_HAS_DEVICE_ATTR, (uintptr_t)&attr), -ENXIO);
	assert_int_equal(umbra_ioctl(fd, KVM_SET_DEVICE_ATTR, (uintptr_t)&attr), -ENXIO);
	attr.attr = KVM_VCPU_TSC_OFFSET;
	attr.group = 9;
	assert_int_equal(umbra_ioctl(fd, KVM_HAS_DEVICE_ATTR, (uintptr_t)&attr), -ENXIO);
}

/* Those of a model are read from the device, before there is a VM. */
static void features_that_are_msrs_are_read_from_the_device(void **state)
{
	struct api_vm *vm = *state;
	struct { struct kvm_msr_list head; uint32_t indices[64]; } list = { .head.nmsrs = 64 };
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = { .head.nmsrs = 1 };

	assert_int_equal(capability_of(vm, KVM_CAP_GET_MSR_FEATURES), 1);
	assert_int_equal(umbra_get_msr_feature_index_list(vm->kvm, &list.head), 0);
	assert_int_equal(list.head.nmsrs, 3);
	for (uint32_t i = 0; i < list.head.nmsrs; i++) {
		m.e.index = list.head.indices[i];
		assert_int_equal(umbra_ioctl(vm->kvm, KVM_GET_MSRS, (uintptr_t)&m), 1);
		/* A vCPU begins with the same. */
		assert_true(m.e.data == get_msr(vm, m.e.index));
		assert_true(!m.e.data == (m.e.index == 0x345));
	}
	m.e.index = 0x480;
	assert_int_equal(umbra_ioctl(vm->kvm, KVM_GET_MSRS, (uintptr_t)&m), 0);
}

#define RDMSR_HLT "\x0f\x32\xf4"

static void platform_info_can_be_hidden_from_the_guest(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_regs regs = { .rip = API_CODE, .rsp = API_STACK, .rflags = 2, .rcx = 0xce };
	struct { struct kvm_msrs head; struct kvm_msr_entry e; } m = {
		.head.nmsrs = 1, .e = { .index = 0xce, .data = 0x2a00 },
	};
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MSR_PLATFORM_INFO };

	assert_int_equal(capability_of(vm, KVM_CAP_MSR_PLATFORM_INFO), 1);
	api_load_code(vm, RDMSR_HLT);
	api_set_gate(vm, 13);
	assert_int_equal(umbra_set_msrs(vm->vcpu.fd, &m.head), 1);
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rax, 0x2a00);
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), 0);
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_pushed(vm, 0, API_CODE);
	assert_int_equal(get_msr(vm, 0xce), 0x2a00);
}

/* An instruction that the client offers in vain: its bytes are told. */
static void an_internal_error_has_its_data(void **state)
{
	struct api_vm *vm = *state;
	const struct kvm_run *run = vm->vcpu.run;
	static struct api_cpuid t;

	assert_int_equal(capability_of(vm, KVM_CAP_INTERNAL_ERROR_DATA), 1);
	api_supported_cpuid(vm, &t);
	leaf_of(&t, 7)->ecx |= GFNI;
	assert_int_equal(umbra_set_cpuid2(vm->vcpu.fd, &t.head), 0);
	api_load_code(vm, GF2P8MULB);
	api_run_to(vm, KVM_EXIT_INTERNAL_ERROR);
	assert_int_equal(run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	assert_int_equal(run->internal.ndata, 3);
	assert_int_equal(run->emulation_failure.flags,
			 KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	assert_true(run->emulation_failure.insn_size >= 5);
	assert_memory_equal(run->emulation_failure.insn_bytes, GF2P8MULB, 5);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_CODE);
}

/* --- x87 and SSE ------------------------------------------------------------------- */

#define XSTATE_BV (512 / 4)	/* in words of kvm_xsave.region */

static void registers_of_x87_and_sse_go_in_and_out(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_fpu fpu = { .fcw = 0x37f, .fsw = 7 << 11, .ftwx = 0x80, .last_ip = 0x1234,
			       .mxcsr = 0xffffffff };
	struct kvm_xsave xsave, other;

	assert_int_equal(capability_of(vm, KVM_CAP_XSAVE), 1);
	assert_int_equal(capability_of(vm, KVM_CAP_XSAVE2), sizeof(xsave));
	memcpy(fpu.fpr[0], "\0\0\0\0\0\0\0\xc0\0\x40", 10); /* 3 */
	memcpy(fpu.xmm[2], "second register.", 16);
	assert_int_equal(umbra_set_fpu(vm->vcpu.fd, &fpu), 0);
	api_load_code(vm, "\xd9\xe8\xde\xc1\xf4"); /* fld1; faddp */
	api_run_to(vm, KVM_EXIT_HLT);
	memset(&fpu, 0, sizeof(fpu));
	assert_int_equal(umbra_get_fpu(vm->vcpu.fd, &fpu), 0);
	assert_memory_equal(fpu.fpr[0], "\0\0\0\0\0\0\0\x80\x01\x40", 10); /* 4 */
	assert_int_equal(fpu.fsw, 7 << 11);
	assert_int_equal(fpu.last_ip, API_CODE + 2);
	assert_int_equal(umbra_get_xsave(vm->vcpu.fd, &xsave), 0);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_GET_XSAVE2, (uintptr_t)&other), 0);
	assert_memory_equal(&xsave, &other, sizeof(xsave));
	assert_memory_equal((uint8_t *)xsave.region + 32, fpu.fpr[0], 16);
	assert_memory_equal((uint8_t *)xsave.region + 160 + 32, "second register.", 16);
	assert_int_equal(xsave.region[XSTATE_BV], 3);
	/* What is not named is as after reset. */
	xsave.region[XSTATE_BV] = 1;
	assert_int_equal(umbra_set_xsave(vm->vcpu.fd, &xsave), 0);
	assert_int_equal(umbra_get_fpu(vm->vcpu.fd, &fpu), 0);
	assert_int_equal(fpu.fsw, 7 << 11);
	assert_int_equal(fpu.xmm[2][0], 0);
}

#define YMM_HIGH (576 / 4)

static void upper_halves_go_in_and_out(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_xsave xsave, other;
	bool has_avx = false;
	static struct api_cpuid t;

	api_supported_cpuid(vm, &t);
	for (uint32_t i = 0; i < t.head.nent; i++)
		has_avx |= t.head.entries[i].function == 1 && t.head.entries[i].ecx >> 28 & 1;
	assert_int_equal(umbra_get_xsave(vm->vcpu.fd, &xsave), 0);
	memcpy(&xsave.region[YMM_HIGH], "upper half of 0.", 16);
	xsave.region[XSTATE_BV] |= 4;
	assert_int_equal(umbra_set_xsave(vm->vcpu.fd, &xsave), has_avx ? 0 : -EINVAL);
	if (!has_avx) {
		print_message("the host does not have AVX\n");
		skip();
	}
	assert_int_equal(umbra_get_xsave(vm->vcpu.fd, &other), 0);
	assert_memory_equal(&other, &xsave, sizeof(xsave));
	xsave.region[XSTATE_BV] = 3;
	assert_int_equal(umbra_set_xsave(vm->vcpu.fd, &xsave), 0);
	assert_int_equal(umbra_get_xsave(vm->vcpu.fd, &other), 0);
	assert_int_equal(other.region[XSTATE_BV] & 4, 0);
	assert_int_equal(other.region[YMM_HIGH], 0);
}

static void xsave_is_refused_with_what_is_unknown(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_xsave xsave, bad;

	assert_int_equal(umbra_get_xsave(vm->vcpu.fd, &xsave), 0);
	for (unsigned int i = 0; i < 5; i++) {
		bad = xsave;
		if (i == 0)
			bad.region[XSTATE_BV] = 1u << 17;
		else if (i == 1)
			bad.region[XSTATE_BV + 3] = 1u << 31; /* the compacted format */
		else if (i == 2)
			bad.region[XSTATE_BV + 15] = 1;
		else
			bad.region[6] = 1u << 31; /* MXCSR */
		if (i >= 3)
			bad.region[XSTATE_BV] = i - 2;
		assert_int_equal(umbra_set_xsave(vm->vcpu.fd, &bad), -EINVAL);
	}
	bad.region[XSTATE_BV] = 0;
	assert_int_equal(umbra_set_xsave(vm->vcpu.fd, &bad), 0);
}

static void xcr0_is_what_cpuid_allows(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_xcrs xcrs;
	static struct api_cpuid t;

	assert_int_equal(capability_of(vm, KVM_CAP_XCRS), 1);
	api_supported_cpuid(vm, &t);
	assert_int_equal(umbra_set_cpuid2(vm->vcpu.fd, &t.head), 0);
	memset(&xcrs, 0x55, sizeof(xcrs));
	assert_int_equal(umbra_get_xcrs(vm->vcpu.fd, &xcrs), 0);
	assert_int_equal(xcrs.nr_xcrs, 1);
	assert_true(xcrs.xcrs[0].xcr == 0 && xcrs.xcrs[0].value == 1);
	xcrs.xcrs[0].value = 3;
	assert_int_equal(umbra_set_xcrs(vm->vcpu.fd, &xcrs), 0);
	for (unsigned int i = 0; i < 4; i++) {
		struct kvm_xcrs bad = xcrs;

		bad.flags = i == 0;
		bad.nr_xcrs = i == 1 ? 17 : 1;
		bad.xcrs[0].value = i == 2 ? 2 : i == 3 ? 1ull << 40 | 1 : 1;
		assert_int_equal(umbra_set_xcrs(vm->vcpu.fd, &bad), -EINVAL);
	}
	/* Other registers than XCR0 say nothing. */
	xcrs.xcrs[0].xcr = 1;
	xcrs.xcrs[0].value = 1;
	assert_int_equal(umbra_set_xcrs(vm->vcpu.fd, &xcrs), 0);
	assert_int_equal(umbra_get_xcrs(vm->vcpu.fd, &xcrs), 0);
	assert_int_equal(xcrs.xcrs[0].value, 3);
}

/* --- VMs ------------------------------------------------------------------------- */

/* Real mode needs no help of theirs: they are taken, checked, and lie unused. */
static void addresses_for_real_mode_are_taken(void **state)
{
	struct api_vm *vm = *state;
	uint64_t address = 0xfeffc000;
	int fd = (int)umbra_create_vm(vm->kvm, 0);

	assert_int_equal(capability_of(vm, KVM_CAP_SET_TSS_ADDR), 1);
	assert_int_equal(capability_of(vm, KVM_CAP_SET_IDENTITY_MAP_ADDR), 1);
	assert_int_equal(umbra_set_tss_addr(fd, 0xfffbd000), 0);
	assert_int_equal(umbra_set_tss_addr(fd, 0xffffe000), -EINVAL);
	assert_int_equal(umbra_set_identity_map_addr(fd, &address), 0);
	assert_int_equal(umbra_set_identity_map_addr(vm->fd, &address), -EINVAL); /* vCPUs */
	assert_int_equal(umbra_close(fd), 0);
}

/* To the last, and not one more. */
static void there_may_be_as_many_vcpus_as_reported(void **state)
{
	struct api_vm *vm = *state;
	long max = capability_of(vm, KVM_CAP_MAX_VCPUS);
	long ids = capability_of(vm, KVM_CAP_MAX_VCPU_ID);
	const rlim_t needed = 2048;
	struct rlimit was;
	int fds[2048], n = 0;

	assert_true(max > 0 && max < 2000 && ids >= max);
	assert_true(capability_of(vm, KVM_CAP_NR_VCPUS) >= 1 &&
		    capability_of(vm, KVM_CAP_NR_VCPUS) <= max);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	if (was.rlim_max < needed)
		skip();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ needed,
								    was.rlim_max }), 0);
	/* The fixture has one; the last has the highest number. */
	for (long i = 1; i < max; i++) {
		long id = i == max - 1 ? ids - 1 : i;

		fds[n] = (int)umbra_create_vcpu(vm->fd, (unsigned long)id);
		assert_true(fds[n++] >= 0);
	}
	assert_int_equal(umbra_create_vcpu(vm->fd, (unsigned long)max), -EINVAL);
	while (n)
		assert_int_equal(umbra_close(fds[--n]), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

static void ids_of_vcpus_can_be_limited(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MAX_VCPU_ID, .args = { 8 } };

	assert_int_equal(umbra_enable_cap(vm->fd, &cap), 0);
	assert_int_equal(umbra_create_vcpu(vm->fd, 8), -EINVAL);
	cap.args[0] = 9;
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EINVAL);
	cap.args[0] = 1ull << 20;
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EINVAL);
}

static void there_is_one_type_of_vm(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(capability_of(vm, KVM_CAP_VM_TYPES), 1 << KVM_X86_DEFAULT_VM);
	for (unsigned long type = 1; type < 8; type++)
		assert_int_equal(umbra_create_vm(vm->kvm, type), -EINVAL);
}

static void store_at(struct api_vm *vm, uint64_t address, uint64_t value)
{
	struct kvm_regs regs = { .rip = API_CODE, .rsp = API_STACK, .rflags = 2,
				 .rdi = address, .rax = value };

	api_load_guest(vm, store);
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(api_run(&vm->vcpu), 0);
}

/* Two slots side by side go, and one over both comes. */
static void slots_can_be_joined(void **state)
{
	struct api_vm *vm = *state;
	uint8_t *memory = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

	assert_int_equal(capability_of(vm, KVM_CAP_JOIN_MEMORY_REGIONS_WORKS), 1);
	assert_int_equal(capability_of(vm, KVM_CAP_DESTROY_MEMORY_REGION_WORKS), 1);
	assert_int_equal(api_set_region(vm, 1, 0, FAR, 0x1000, memory), 0);
	assert_int_equal(api_set_region(vm, 2, 0, FAR + 0x1000, 0x1000, memory + 0x1000), 0);
	store_at(vm, FAR + 0xffc, 0x1122334455667788);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(api_set_region(vm, 3, 0, FAR, 0x2000, memory + 0x2000), -EEXIST);
	assert_int_equal(api_set_region(vm, 1, 0, FAR, 0, memory), 0);
	store_at(vm, FAR, 1);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_MMIO);
	assert_int_equal(api_set_region(vm, 2, 0, FAR + 0x1000, 0, memory), 0);
	assert_int_equal(api_set_region(vm, 3, 0, FAR, 0x2000, memory + 0x2000), 0);
	store_at(vm, FAR + 0xffc, 0x99);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_HLT);
	assert_memory_equal(memory + 0xffc, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	assert_int_equal(memory[0x2ffc], 0x99);
	assert_int_equal(api_set_region(vm, 3, 0, FAR, 0, memory), 0);
	umbra_munmap(memory, 0x4000);
}

static void a_log_can_be_read_and_cleared_apart(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 1 } };
	static uint64_t bitmap[API_MEMORY_BYTES / 4096 / 64];
	const uint64_t page = API_DATA >> 12;
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };
	struct kvm_clear_dirty_log clear = { .slot = 0, .first_page = page & ~63ull,
					     .num_pages = 64, .dirty_bitmap = bitmap + page / 64 };

	assert_int_equal(capability_of(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2),
			 KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), 0);
	assert_int_equal(api_set_region(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, API_MEMORY_BYTES,
					vm->memory), 0);
	store_at(vm, API_DATA, 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(umbra_get_dirty_log(vm->fd, &log), 0);
		assert_true(bitmap[page / 64] >> (page % 64) & 1);
	}
	assert_int_equal(umbra_clear_dirty_log(vm->fd, &clear), 0);
	assert_int_equal(umbra_get_dirty_log(vm->fd, &log), 0);
	assert_false(bitmap[page / 64] >> (page % 64) & 1);
	/* Logging that begins with every page. */
	assert_int_equal(api_set_region(vm, 0, 0, 0, API_MEMORY_BYTES, vm->memory), 0);
	cap.args[0] = 3;
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), 0);
	assert_int_equal(api_set_region(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, API_MEMORY_BYTES,
					vm->memory), 0);
	assert_int_equal(umbra_get_dirty_log(vm->fd, &log), 0);
	assert_true(bitmap[0] == ~0ull && bitmap[page / 64] == ~0ull);
}

static uint32_t ring_capability;

static void use_largest_ring(struct api_vm *vm)
{
	long bytes = capability_of(vm, ring_capability);
	struct kvm_enable_cap cap = { .cap = ring_capability };

	assert_true(bytes >= 4096);
	cap.args[0] = 2 * (uint64_t)bytes;
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -E2BIG);
	cap.args[0] = (uint64_t)bytes;
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), 0);
	assert_int_equal(api_set_region(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, API_MEMORY_BYTES,
					vm->memory), 0);
}

/* Of the greatest size, by the name for any processor and the one for x86. */
static void rings_are_there_by_both_names(void **state)
{
	const uint32_t names[] = { KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL };
	const size_t bytes = 65536 * sizeof(struct kvm_dirty_gfn);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct kvm_dirty_gfn *ring;
		struct api_vm vm;
		bool found = false;
		int err, n = 0;

		ring_capability = names[i];
		api_vm_create_with(&vm, use_largest_ring);
		assert_int_equal(capability_of(&vm, names[i]), bytes);
		ring = umbra_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vm.vcpu.fd,
				  64 * 4096, &err);
		assert_ptr_not_equal(ring, MAP_FAILED);
		store_at(&vm, API_DATA, 1);
		for (; ring[n].flags & KVM_DIRTY_GFN_F_DIRTY; n++) {
			found |= ring[n].slot == 0 && ring[n].offset == API_DATA >> 12;
			ring[n].flags = KVM_DIRTY_GFN_F_RESET;
		}
		assert_true(found);
		assert_int_equal(umbra_reset_dirty_rings(vm.fd, 0), n);
		umbra_munmap(ring, bytes);
		api_vm_destroy(&vm);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(the_supported_table_can_be_set_and_is_seen),
		api_test(the_bit_for_ports_without_delay_is_offered),
		api_test(a_vcpu_is_runnable_or_halted),
		api_test(events_are_injected_and_read_back),
		api_test(each_sort_of_sync_regs_goes_in_and_out),
		api_test(the_registers_of_pae_paging_are_kept),
		api_test(the_attribute_of_a_vcpu_is_its_counters_offset),
		api_test(features_that_are_msrs_are_read_from_the_device),
		api_test(platform_info_can_be_hidden_from_the_guest),
		api_test(an_internal_error_has_its_data),
		api_test(registers_of_x87_and_sse_go_in_and_out),
		api_test(upper_halves_go_in_and_out),
		api_test(xsave_is_refused_with_what_is_unknown),
		api_test(xcr0_is_what_cpuid_allows),
		api_test(addresses_for_real_mode_are_taken),
		api_test(there_may_be_as_many_vcpus_as_reported),
		api_test(ids_of_vcpus_can_be_limited),
		api_test(there_is_one_type_of_vm),
		api_test(slots_can_be_joined),
		api_test(a_log_can_be_read_and_cleared_apart),
		cmocka_unit_test(rings_are_there_by_both_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
