/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/test_irqchip.c - interrupt controllers and timers in the "kernel". */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define APIC 0xfee00000ull
#define APIC_EOI 0xb0
#define VECTOR 0x30
#define PORT 0xe9
#define LEVEL 0x8000u
#define REAL_CODE 0x9000ull
#define ROUNDS 200

/* Registers of struct kvm_lapic_state. */
enum { ID = 0x20, SVR = 0xf0, ISR = 0x100, LVT_TIMER = 0x320, LVT_LINT0 = 0x350,
       INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0 };

static long call(int fd, unsigned long request, void *arg)
{
	return umbra_ioctl(fd, request, (uintptr_t)arg);
}

static uint32_t get_reg(const struct api_vcpu *vcpu, unsigned int offset)
{
	struct kvm_lapic_state s;
	uint32_t value;

	assert_int_equal(call(vcpu->fd, KVM_GET_LAPIC, &s), 0);
	memcpy(&value, s.regs + offset, sizeof(value));
	return value;
}

static void set_reg(const struct api_vcpu *vcpu, unsigned int offset, uint32_t value)
{
	struct kvm_lapic_state s;

	assert_int_equal(call(vcpu->fd, KVM_GET_LAPIC, &s), 0);
	memcpy(s.regs + offset, &value, sizeof(value));
	assert_int_equal(call(vcpu->fd, KVM_SET_LAPIC, &s), 0);
}

/*
 * The guest halts with interrupts on, again and again.  Its handler writes to a port, ends the
 * interrupt at the local APIC, and returns.
 */
static void load_guest(struct api_vm *vm)
{
	static const uint8_t halts[] = { 0xfb, 0xf4, 0xeb, 0xfd };
	static const uint8_t handles[] = {
		0xe6, PORT,				/* out %al, $PORT */
		0xbf, APIC_EOI, 0x00, 0xe0, 0xfe,	/* mov $APIC + EOI, %edi */
		0xc7, 0x07, 0, 0, 0, 0,			/* movl $0, (%rdi) */
		0x48, 0xcf,				/* iretq */
	};
	uint64_t *pdpt = (uint64_t *)(vm->memory + API_TABLES + 0x1000);
	struct kvm_sregs sregs;

	/* The fourth GiB, large pages: the local APIC is there. */
	pdpt[3] = 3ull << 30 | 0x83;
	api_load(vm, halts, halts + sizeof(halts));
	api_set_gate(vm, VECTOR);
	memcpy(vm->memory + API_HANDLER, handles, sizeof(handles));
	/* Where IRET returns to. */
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &sregs), 0);
	sregs.cs.selector = 8;
	sregs.ss.selector = 0;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &sregs), 0);
	set_reg(&vm->vcpu, SVR, 0x1ff);
}

static void full(struct api_vm *vm)
{
	assert_int_equal(umbra_ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), 0);
}

static void split(struct api_vm *vm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	assert_int_equal(umbra_enable_cap(vm->fd, &cap), 0);
}

static int set_up(void **state, void (*configure)(struct api_vm *vm))
{
	struct api_vm *vm = calloc(1, sizeof(*vm));

	assert_non_null(vm);
	api_vm_create_with(vm, configure);
	load_guest(vm);
	*state = vm;
	return 0;
}

static int set_up_full(void **state)
{
	return set_up(state, full);
}

static int set_up_split(void **state)
{
	return set_up(state, split);
}

static int tear_down(void **state)
{
	api_vm_destroy(*state);
	free(*state);
	return 0;
}

/* The guest's handler runs. */
static void expect_interrupt(struct api_vm *vm)
{
	assert_int_equal(api_run(&vm->vcpu), 0);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(vm->vcpu.run->io.port, PORT);
	assert_int_equal(get_reg(&vm->vcpu, ISR + (VECTOR / 32) * 16), 1u << VECTOR % 32);
}

static void set_pin(struct api_vm *vm, unsigned int pin, uint64_t entry)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	assert_int_equal(call(vm->fd, KVM_GET_IRQCHIP, &chip), 0);
	chip.chip.ioapic.redirtbl[pin].bits = entry;
	assert_int_equal(call(vm->fd, KVM_SET_IRQCHIP, &chip), 0);
}

static int set_line(struct api_vm *vm, uint32_t gsi, uint32_t level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	assert_int_equal(call(vm->fd, KVM_IRQ_LINE_STATUS, &line), 0);
	return line.status;
}

static long send(struct api_vm *vm, uint32_t dest, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000 | dest << 12, .data = data };

	return call(vm->fd, KVM_SIGNAL_MSI, &msi);
}

static sem_t taken;

/* One at a time: the guest has taken the one before. */
static void *send_often(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		send(arg, 0, VECTOR);
		sem_wait(&taken);
	}
	return NULL;
}

static void a_line_interrupts_through_the_ioapic(void **state)
{
	struct api_vm *vm = *state;

	assert_int_equal(set_line(vm, 20, 1), -1);
	assert_int_equal(set_line(vm, 20, 0), 1);
	set_pin(vm, 20, VECTOR);
	assert_int_equal(set_line(vm, 20, 1), 1);
	assert_int_equal(set_line(vm, 20, 1), 0);
	expect_interrupt(vm);
	assert_int_equal(set_line(vm, 20, 0), 1);
	assert_int_equal(set_line(vm, 20, 1), 1);
	expect_interrupt(vm);
}

static void the_pics_interrupt_comes_through_lint0(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_MASTER };

	assert_int_equal(get_reg(&vm->vcpu, LVT_LINT0), 0x700);
	chip.chip.pic.irq_base = VECTOR - 4;
	assert_int_equal(call(vm->fd, KVM_SET_IRQCHIP, &chip), 0);
	assert_int_equal(set_line(vm, 4, 1), 1);
	assert_int_equal(api_run(&vm->vcpu), 0);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(call(vm->fd, KVM_GET_IRQCHIP, &chip), 0);
	assert_int_equal(chip.chip.pic.isr, 1u << 4);
	assert_int_equal(chip.chip.pic.elcr_mask, 0xf8);
}

static void a_message_wakes_a_halted_vcpu_each_time(void **state)
{
	struct api_vm *vm = *state;
	pthread_t sender;

	assert_int_equal(sem_init(&taken, 0, 0), 0);
	assert_int_equal(pthread_create(&sender, NULL, send_often, vm), 0);
	for (int i = 0; i < ROUNDS; i++) {
		assert_int_equal(api_run(&vm->vcpu), 0);
		assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_IO);
		sem_post(&taken);
	}
	pthread_join(sender, NULL);
}

static void messages_say_who_took_them(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_msi msi = { .flags = 4 };

	assert_int_equal(send(vm, 0, VECTOR), 1);
	/* -1 is EPERM. */
	assert_int_equal(send(vm, 9, VECTOR), -EPERM);
	assert_int_equal(call(vm->fd, KVM_SIGNAL_MSI, &msi), -EINVAL);
	expect_interrupt(vm);
}

static void the_timer_of_the_local_apic_ends_a_halt(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_lapic_state s;

	set_reg(&vm->vcpu, LVT_TIMER, VECTOR);
	set_reg(&vm->vcpu, DIVIDE, 0xb);
	assert_int_equal(call(vm->vcpu.fd, KVM_GET_LAPIC, &s), 0);
	memcpy(s.regs + INITIAL, &(uint32_t){ 1000000 }, 4);
	memcpy(s.regs + CURRENT, &(uint32_t){ 500000 }, 4);
	assert_int_equal(call(vm->vcpu.fd, KVM_SET_LAPIC, &s), 0);
	expect_interrupt(vm);
}

static long access_msr(struct api_vm *vm, unsigned long request, uint32_t index, uint64_t *value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = index, .data = *value } };
	long result = call(vm->vcpu.fd, request, &msrs);

	*value = msrs.entry.data;
	return result;
}

static void the_tsc_deadline_ends_a_halt(void **state)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[100];
	} cpuid = { .head.nent = 100 };
	struct api_vm *vm = *state;
	uint64_t now = 0, at;

	assert_int_equal(umbra_get_supported_cpuid(vm->kvm, &cpuid.head), 0);
	for (uint32_t i = 0; i < cpuid.head.nent; i++)
		if (cpuid.entry[i].function == 1)
			cpuid.entry[i].ecx |= 1u << 24;
	assert_int_equal(umbra_set_cpuid2(vm->vcpu.fd, &cpuid.head), 0);
	set_reg(&vm->vcpu, LVT_TIMER, 2u << 17 | VECTOR);
	assert_int_equal(access_msr(vm, KVM_GET_MSRS, 0x10, &now), 1);
	at = now + 3000000;
	assert_int_equal(access_msr(vm, KVM_SET_MSRS, 0x6e0, &at), 1);
	expect_interrupt(vm);
	assert_int_equal(access_msr(vm, KVM_GET_MSRS, 0x6e0, &at), 1);
	assert_int_equal(at, 0);
}

static void x2apic_registers_are_msrs(void **state)
{
	struct api_vm *vm = *state;
	uint64_t base = APIC | 0xd00, value = 0;

	assert_int_equal(access_msr(vm, KVM_GET_MSRS, 0x802, &value), 0);
	assert_int_equal(access_msr(vm, KVM_SET_MSRS, 0x1b, &base), 1);
	assert_int_equal(access_msr(vm, KVM_GET_MSRS, 0x802, &value), 1);
	assert_int_equal(access_msr(vm, KVM_GET_MSRS, 0x803, &value), 1);
	assert_int_equal(value, 0x50014);
	assert_int_equal(access_msr(vm, KVM_GET_MSRS, 0x80e, &value), 0);
	/* Its identifier is in the upper byte all the same. */
	assert_int_equal(get_reg(&vm->vcpu, ID), 0);
}

/* A client that restores a guest goes from xAPIC, or from none, to x2APIC in one step. */
static void x2apic_mode_is_restored_with_the_registers(void **state)
{
	struct api_vm *vm = *state;
	static struct api_cpuid cpuid;
	struct kvm_sregs sregs;
	struct kvm_sregs2 sregs2;
	uint64_t value = 0;

	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &sregs), 0);
	sregs.apic_base = APIC | 0x100;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &sregs), 0);
	assert_int_equal(call(vm->vcpu.fd, KVM_GET_SREGS2, &sregs2), 0);
	sregs2.apic_base = APIC | 0xd00;
	assert_int_equal(call(vm->vcpu.fd, KVM_SET_SREGS2, &sregs2), 0);
	assert_int_equal(access_msr(vm, KVM_GET_MSRS, 0x802, &value), 1);
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &sregs), 0);
	assert_int_equal(sregs.apic_base, APIC | 0xd00);

	sregs.apic_base = APIC | 0x500;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &sregs), -EINVAL);
	sregs.apic_base = APIC | 0xb00;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &sregs), -EINVAL);
	sregs.apic_base = 1ull << 52;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &sregs), -EINVAL);
	api_supported_cpuid(vm, &cpuid);
	for (uint32_t i = 0; i < cpuid.head.nent; i++)
		if (cpuid.entries[i].function == 1)
			cpuid.entries[i].ecx &= ~(1u << 21);
	assert_int_equal(umbra_set_cpuid2(vm->vcpu.fd, &cpuid.head), 0);
	sregs.apic_base = APIC | 0xd00;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &sregs), -EINVAL);
}

static void *run_vcpu(void *arg)
{
	struct api_vcpu *vcpu = arg;
	long result;

	do
		result = umbra_run(vcpu->fd, 0);
	while (result == -EAGAIN || result == -EINTR);
	return (void *)result;
}

static void init_and_sipi_start_a_vcpu(void **state)
{
	static const uint8_t real_code[] = { 0xe6, 0x43 };
	struct api_vm *vm = *state;
	struct api_vcpu ap;
	struct kvm_mp_state mp;
	struct kvm_sregs sregs;
	pthread_t thread;
	void *result;

	memcpy(vm->memory + REAL_CODE, real_code, sizeof(real_code));
	api_vcpu_create(vm, 1, &ap);
	assert_int_equal(umbra_get_mp_state(ap.fd, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	assert_int_equal(send(vm, 1, 0x600 | REAL_CODE >> 12), 1);
	assert_int_equal(umbra_get_mp_state(ap.fd, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	assert_int_equal(pthread_create(&thread, NULL, run_vcpu, &ap), 0);
	assert_int_equal(send(vm, 1, 0x500), 1);
	assert_int_equal(send(vm, 1, 0x600 | REAL_CODE >> 12), 1);
	pthread_join(thread, &result);
	assert_int_equal((long)result, 0);
	assert_int_equal(ap.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(ap.run->io.port, 0x43);
	assert_int_equal(umbra_get_sregs(ap.fd, &sregs), 0);
	assert_int_equal(sregs.cs.base, REAL_CODE);
	assert_int_equal(sregs.cs.selector, REAL_CODE >> 4);
	assert_int_equal(sregs.cr0 & 1, 0);
	api_vcpu_destroy(vm, &ap);
}

static void ring(int fd)
{
	const uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void an_irqfd_interrupts(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd(0, 0), .gsi = 20 };

	set_pin(vm, 20, VECTOR);
	assert_int_equal(call(vm->fd, KVM_IRQFD, &irqfd), 0);
	assert_int_equal(call(vm->fd, KVM_IRQFD, &irqfd), -EBUSY);
	for (int i = 0; i < 20; i++) {
		ring((int)irqfd.fd);
		expect_interrupt(vm);
	}
	irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
	assert_int_equal(call(vm->fd, KVM_IRQFD, &irqfd), 0);
	assert_int_equal(call(vm->fd, KVM_IRQFD, &irqfd), 0);
	irqfd.flags = 8;
	assert_int_equal(call(vm->fd, KVM_IRQFD, &irqfd), -EINVAL);
	close((int)irqfd.fd);
	irqfd.flags = 0;
	assert_int_equal(call(vm->fd, KVM_IRQFD, &irqfd), -EBADF);
}

/* A device that is asked whether it still wants its level, and does. */
static void *insist(void *arg)
{
	const struct kvm_irqfd *irqfd = arg;
	uint64_t count = 0;

	if (read((int)irqfd->resamplefd, &count, sizeof(count)) == sizeof(count))
		ring((int)irqfd->fd);
	return (void *)count;
}

/* The level stays until the guest has ended its interrupt; then the client is asked. */
static void a_resampling_irqfd_asks_again(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)eventfd(0, 0),
		.resamplefd = (uint32_t)eventfd(0, 0),
		.gsi = 20,
		.flags = KVM_IRQFD_FLAG_RESAMPLE,
	};
	pthread_t device;
	void *count;

	set_pin(vm, 20, LEVEL | VECTOR);
	assert_int_equal(call(vm->fd, KVM_IRQFD, &irqfd), 0);
	assert_int_equal(pthread_create(&device, NULL, insist, &irqfd), 0);
	ring((int)irqfd.fd);
	expect_interrupt(vm);
	expect_interrupt(vm);
	pthread_join(device, &count);
	assert_int_equal((uintptr_t)count, 1);
	irqfd.flags |= KVM_IRQFD_FLAG_DEASSIGN;
	assert_int_equal(call(vm->fd, KVM_IRQFD, &irqfd), 0);
	close((int)irqfd.fd);
	close((int)irqfd.resamplefd);
}

static void the_pit_ticks(void **state)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct kvm_reinject_control reinject = { .pit_reinject = 0 };
	struct kvm_pit_state2 pit;
	struct api_vm *vm = *state;

	assert_int_equal(call(vm->fd, KVM_GET_PIT2, &pit), -ENXIO);
	assert_int_equal(call(vm->fd, KVM_REINJECT_CONTROL, &reinject), -ENXIO);
	assert_int_equal(call(vm->fd, KVM_CREATE_PIT2, &config), 0);
	assert_int_equal(call(vm->fd, KVM_REINJECT_CONTROL, &reinject), 0);
	assert_int_equal(call(vm->fd, KVM_REINJECT_CONTROL, (void *)8), -EFAULT);
	assert_int_equal(call(vm->fd, KVM_CREATE_PIT2, &config), -EEXIST);
	/* GSI 0 is a pin of the PIC, too. */
	set_reg(&vm->vcpu, LVT_LINT0, 0x10000);
	set_pin(vm, 0, VECTOR);
	assert_int_equal(call(vm->fd, KVM_GET_PIT2, &pit), 0);
	pit.channels[0].mode = 2;
	pit.channels[0].count = 1193;
	assert_int_equal(call(vm->fd, KVM_SET_PIT2, &pit), 0);
	for (int i = 0; i < 5; i++)
		expect_interrupt(vm);
	memset(&pit, 0xff, sizeof(pit));
	assert_int_equal(call(vm->fd, KVM_SET_PIT2, &pit), 0);
	assert_int_equal(call(vm->fd, KVM_GET_PIT2, &pit), 0);
	assert_int_equal(pit.flags & KVM_PIT_FLAGS_HPET_LEGACY, KVM_PIT_FLAGS_HPET_LEGACY);
}

static void ports_are_the_devices(void **state)
{
	/* mov $0xa5, %al; out %al, $0x21; xor %eax, %eax; in $0x21, %ax; out %ax, $PORT */
	static const uint8_t code[] = { 0xb0, 0xa5, 0xe6, 0x21, 0x31, 0xc0, 0x66, 0xe5, 0x21,
					0x66, 0xe7, PORT };
	struct api_vm *vm = *state;

	api_load(vm, code, code + sizeof(code));
	assert_int_equal(api_run(&vm->vcpu), 0);
	assert_int_equal(vm->vcpu.run->io.port, PORT);
	assert_int_equal(api_regs(&vm->vcpu).rax, 0xffa5);
}

static void split_ends_of_levels_are_the_clients(void **state)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[2];
	} routing = { .head.nr = 2 };
	struct api_vm *vm = *state;

	for (uint32_t i = 0; i < 2; i++) {
		routing.entry[i].gsi = i;
		routing.entry[i].type = KVM_IRQ_ROUTING_MSI;
		routing.entry[i].u.msi.address_lo = (uint32_t)APIC;
		routing.entry[i].u.msi.data = i ? VECTOR : LEVEL | 0x4000 | VECTOR;
	}
	assert_int_equal(call(vm->fd, KVM_SET_GSI_ROUTING, &routing), 0);
	assert_int_equal(set_line(vm, 0, 1), 1);
	expect_interrupt(vm);
	assert_int_equal(api_run(&vm->vcpu), 0);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_IOAPIC_EOI);
	assert_int_equal(vm->vcpu.run->eoi.vector, VECTOR);
	/* An edge is nobody's business. */
	assert_int_equal(set_line(vm, 1, 1), 1);
	expect_interrupt(vm);
	assert_int_equal(set_line(vm, 1, 1), 1);
	expect_interrupt(vm);
}

static void split_leaves_the_pic_to_the_client(void **state)
{
	struct kvm_interrupt interrupt = { .irq = VECTOR };
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_pit_config config = { 0 };
	struct api_vm *vm = *state;

	assert_int_equal(call(vm->fd, KVM_GET_IRQCHIP, &chip), -ENXIO);
	assert_int_equal(call(vm->fd, KVM_CREATE_PIT2, &config), -ENOENT);
	/* IF is clear: the client waits for the window. */
	vm->vcpu.run->request_interrupt_window = 1;
	assert_int_equal(api_run(&vm->vcpu), 0);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_int_equal(vm->vcpu.run->ready_for_interrupt_injection, 1);
	vm->vcpu.run->request_interrupt_window = 0;
	assert_int_equal(call(vm->vcpu.fd, KVM_INTERRUPT, &interrupt), 0);
	assert_int_equal(call(vm->vcpu.fd, KVM_INTERRUPT, &interrupt), -EEXIST);
	assert_int_equal(api_run(&vm->vcpu), 0);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_IO);
}

static void bad_routes_change_nothing(void **state)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry[2];
	} routing = { .head.nr = 2 };
	struct api_vm *vm = *state;

	routing.entry[0].type = routing.entry[1].type = KVM_IRQ_ROUTING_IRQCHIP;
	assert_int_equal(call(vm->fd, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	routing.entry[1].gsi = 4096;
	assert_int_equal(call(vm->fd, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	routing.entry[1].gsi = 1;
	routing.entry[1].u.irqchip.pin = 8;
	assert_int_equal(call(vm->fd, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	routing.entry[1].u.irqchip.irqchip = 3;
	assert_int_equal(call(vm->fd, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	routing.entry[1].type = 99;
	assert_int_equal(call(vm->fd, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	routing.head.nr = 4097;
	assert_int_equal(call(vm->fd, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	routing.head.nr = 1;
	routing.head.flags = 1;
	assert_int_equal(call(vm->fd, KVM_SET_GSI_ROUTING, &routing), -EINVAL);
	set_pin(vm, 20, VECTOR);
	assert_int_equal(set_line(vm, 20, 1), 1);
	/* None at all: the line goes nowhere. */
	routing.head = (struct kvm_irq_routing){ 0 };
	assert_int_equal(call(vm->fd, KVM_SET_GSI_ROUTING, &routing), 0);
	assert_int_equal(set_line(vm, 20, 1), -1);
}

static void without_controllers_their_calls_are_refused(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	union {
		struct kvm_irqchip chip;
		struct kvm_lapic_state lapic;
		struct kvm_pit_state2 pit;
		struct kvm_irq_level line;
		struct kvm_msi msi;
		struct kvm_irqfd irqfd;
	} arg;

	memset(&arg, 0, sizeof(arg));
	assert_int_equal(call(vm->fd, KVM_GET_IRQCHIP, &arg), -ENXIO);
	assert_int_equal(call(vm->fd, KVM_SET_IRQCHIP, &arg), -ENXIO);
	assert_int_equal(call(vm->fd, KVM_GET_PIT2, &arg), -ENXIO);
	assert_int_equal(call(vm->fd, KVM_SET_PIT2, &arg), -ENXIO);
	assert_int_equal(call(vm->fd, KVM_CREATE_PIT2, &arg), -ENOENT);
	assert_int_equal(call(vm->fd, KVM_IRQ_LINE, &arg), -ENXIO);
	assert_int_equal(call(vm->fd, KVM_SIGNAL_MSI, &arg), -EINVAL);
	assert_int_equal(call(vm->fd, KVM_IRQFD, &arg), -EINVAL);
	assert_int_equal(call(vm->vcpu.fd, KVM_GET_LAPIC, &arg), -EINVAL);
	assert_int_equal(call(vm->vcpu.fd, KVM_SET_LAPIC, &arg), -EINVAL);
	/* There is a vCPU: too late. */
	assert_int_equal(umbra_ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), -EINVAL);
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EINVAL);
	cap.args[0] = 4097;
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EINVAL);
}

static void a_controller_is_made_once(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	struct kvm_irqchip chip = { .chip_id = 3 };

	assert_int_equal(umbra_ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0), -EEXIST);
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EEXIST);
	assert_int_equal(call(vm->fd, KVM_GET_IRQCHIP, &chip), -EINVAL);
	assert_int_equal(call(vm->fd, KVM_SET_IRQCHIP, &chip), -EINVAL);
}

static void do_nothing(int sig)
{
	(void)sig;
}

struct kicker {
	pthread_t vcpu;
	bool stop;
};

static void *kick_often(void *arg)
{
	struct kicker *k = arg;

	while (!__atomic_load_n(&k->stop, __ATOMIC_RELAXED))
		pthread_kill(k->vcpu, SIGUSR1);
	return NULL;
}

/* Before it halts, while it does and after: it comes back. */
static void a_signal_ends_a_halt(void **state)
{
	struct api_vm *vm = *state;
	struct sigaction action = { .sa_handler = do_nothing };
	struct kicker k = { .vcpu = pthread_self() };
	pthread_t kicker;

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	assert_int_equal(pthread_create(&kicker, NULL, kick_often, &k), 0);
	for (int i = 0; i < ROUNDS; i++) {
		assert_int_equal(umbra_run(vm->vcpu.fd, 0), -EINTR);
		assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_INTR);
	}
	__atomic_store_n(&k.stop, true, __ATOMIC_RELAXED);
	pthread_join(kicker, NULL);
	for (int i = 0; i < 20; i++) {
		pthread_kill(k.vcpu, SIGUSR1);
		send(vm, 0, VECTOR);
		expect_interrupt(vm);
	}
}

/* sti; nop; nop; hlt; jmp to the hlt */
static void an_interrupt_waits_for_the_clients_steps_to_end(void **state)
{
	static const uint8_t code[] = { 0xfb, 0x90, 0x90, 0xf4, 0xeb, 0xfd };
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ,
	};
	struct api_vm *vm = *state;

	api_load(vm, code, code + sizeof(code));
	send(vm, 0, VECTOR);
	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &debug), 0);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(api_run(&vm->vcpu), 0);
		assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_DEBUG);
		assert_int_equal(vm->vcpu.run->debug.arch.pc, API_CODE + i);
	}
	debug.control = 0;
	assert_int_equal(umbra_set_guest_debug(vm->vcpu.fd, &debug), 0);
	expect_interrupt(vm);
}

int main(void)
{
#define full_test(name) cmocka_unit_test_setup_teardown(name, set_up_full, tear_down)
#define split_test(name) cmocka_unit_test_setup_teardown(name, set_up_split, tear_down)
	const struct CMUnitTest tests[] = {
		full_test(a_line_interrupts_through_the_ioapic),
		full_test(the_pics_interrupt_comes_through_lint0),
		full_test(a_message_wakes_a_halted_vcpu_each_time),
		full_test(messages_say_who_took_them),
		full_test(the_timer_of_the_local_apic_ends_a_halt),
		full_test(the_tsc_deadline_ends_a_halt),
		full_test(x2apic_registers_are_msrs),
		full_test(x2apic_mode_is_restored_with_the_registers),
		full_test(init_and_sipi_start_a_vcpu),
		full_test(an_irqfd_interrupts),
		full_test(a_resampling_irqfd_asks_again),
		full_test(the_pit_ticks),
		full_test(ports_are_the_devices),
		split_test(split_ends_of_levels_are_the_clients),
		split_test(split_leaves_the_pic_to_the_client),
		full_test(bad_routes_change_nothing),
		api_test(without_controllers_their_calls_are_refused),
		full_test(a_controller_is_made_once),
		full_test(an_interrupt_waits_for_the_clients_steps_to_end),
		full_test(a_signal_ends_a_halt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
