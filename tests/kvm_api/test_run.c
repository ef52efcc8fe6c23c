/* SPDX-License-Identifier: MIT */
/* tests/kvm_api/test_run.c - KVM_RUN: exits and their answers, signals, dirty logs. */
#include "tests/kvm_api/api_vm.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOWHERE 0x3f000000ull /* mapped by the guest, backed by nothing */

static void a_store_lands_in_memory(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_regs regs = api_regs(&vm->vcpu);

	api_load_guest(vm, store);
	regs.rdi = API_DATA;
	regs.rax = 0x1122334455667788;
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(*(uint64_t *)(vm->memory + API_DATA), 0x1122334455667788);
}

static void port_io_is_answered(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;
	uint64_t rip;

	api_load_guest(vm, out_in);
	api_run_to(vm, KVM_EXIT_IO);
	assert_int_equal(run->io.direction, KVM_EXIT_IO_OUT);
	assert_int_equal(run->io.port, 0x42);
	assert_int_equal(run->io.size, 1);
	assert_int_equal(run->io.count, 1);
	assert_int_equal(((uint8_t *)run)[run->io.data_offset], 0x5a);

	api_run_to(vm, KVM_EXIT_IO);
	assert_int_equal(run->io.direction, KVM_EXIT_IO_IN);
	assert_int_equal(run->io.port, 0x43);
	rip = api_regs(&vm->vcpu).rip;
	((uint8_t *)run)[run->io.data_offset] = 0x99;

	/* With immediate_exit the answer is taken and the exit stays readable. */
	run->immediate_exit = 1;
	assert_int_equal(umbra_run(vm->vcpu.fd, 0), -EINTR);
	assert_int_equal(umbra_run(vm->vcpu.fd, 0), -EINTR);
	run->immediate_exit = 0;
	assert_int_equal(run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(run->io.port, 0x43);
	assert_int_equal(api_regs(&vm->vcpu).rip, rip + 2);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rax & 0xff, 0x99);
}

static void an_in_whose_rip_was_moved_is_not_skipped(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_regs regs;

	api_load_guest(vm, out_in);
	api_run_to(vm, KVM_EXIT_IO);
	api_run_to(vm, KVM_EXIT_IO);
	regs = api_regs(&vm->vcpu);
	regs.rip += 2; /* to the HLT */
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, regs.rip + 1);
}

static void mmio_reads_and_writes_are_answered(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;
	struct kvm_regs regs = api_regs(&vm->vcpu);
	const uint64_t answer = 0xfeedfacecafebeef;

	api_load_guest(vm, load);
	regs.rdi = NOWHERE + 8;
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_MMIO);
	assert_int_equal(run->mmio.phys_addr, NOWHERE + 8);
	assert_int_equal(run->mmio.len, 8);
	assert_int_equal(run->mmio.is_write, 0);
	memcpy(run->mmio.data, &answer, sizeof(answer));
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rax, answer);

	api_vcpu_reset(&vm->vcpu);
	api_load_guest(vm, store);
	regs = api_regs(&vm->vcpu);
	regs.rdi = NOWHERE;
	regs.rax = answer;
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_MMIO);
	assert_int_equal(run->mmio.phys_addr, NOWHERE);
	assert_int_equal(run->mmio.is_write, 1);
	assert_memory_equal(run->mmio.data, &answer, sizeof(answer));
	api_run_to(vm, KVM_EXIT_HLT);
}

/* An access that crosses from the page before into nothing, 3 bytes and 5. */
static void an_access_half_in_memory_is_split(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;
	struct kvm_regs regs = api_regs(&vm->vcpu);
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);

	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE - 4096, 4096, page), 0);
	api_load_guest(vm, load);
	memset(page + 4093, 0x11, 3);
	regs.rdi = NOWHERE - 3;
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_MMIO);
	assert_int_equal(run->mmio.phys_addr, NOWHERE);
	assert_int_equal(run->mmio.len, 5);
	memset(run->mmio.data, 0x22, 5);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rax, 0x2222222222111111);

	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE - 4096, 0, page), 0);
	umbra_munmap(page, 4096);
}

static void a_write_to_a_read_only_slot_is_mmio_and_a_read_is_not(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;
	struct kvm_regs regs = api_regs(&vm->vcpu);
	uint64_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);

	*page = 77;
	assert_int_equal(api_set_region(vm, 1, KVM_MEM_READONLY, NOWHERE, 4096, page), 0);
	api_load_guest(vm, load);
	regs.rdi = NOWHERE;
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rax, 77);

	api_vcpu_reset(&vm->vcpu);
	api_load_guest(vm, store);
	regs = api_regs(&vm->vcpu);
	regs.rdi = NOWHERE;
	regs.rax = 78;
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_MMIO);
	assert_int_equal(run->mmio.is_write, 1);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(*page, 77);
	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 0, page), 0);
	umbra_munmap(page, 4096);
}

/* The store behind itself is MMIO, until the same page is there to be written. */
static void code_in_a_read_only_slot_runs(void **state)
{
	/* mov $0x9090f490, %eax; mov %eax, 0(%rip); hlt; hlt */
	static const uint8_t code[] = { 0xb8, 0x90, 0xf4, 0x90, 0x90, 0x89, 0x05, 0, 0, 0, 0,
					0xf4, 0xf4 };
	struct api_vm *vm = *state;
	struct kvm_regs regs = api_regs(&vm->vcpu);
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);

	memcpy(page, code, sizeof(code));
	assert_int_equal(api_set_region(vm, 1, KVM_MEM_READONLY, NOWHERE, 4096, page), 0);
	regs.rip = NOWHERE;
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_MMIO);
	assert_int_equal(vm->vcpu.run->mmio.phys_addr, NOWHERE + 11);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, NOWHERE + 12);
	assert_memory_equal(page, code, sizeof(code));

	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 0, page), 0);
	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 4096, page), 0);
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, NOWHERE + 13);
	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 0, page), 0);
	umbra_munmap(page, 4096);
}

/* A slot is made where MMIO was, and taken away again: seen at once either way. */
static void a_new_slot_ends_mmio_and_its_end_brings_it_back(void **state)
{
	struct api_vm *vm = *state;
	uint64_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);
	struct kvm_regs regs;

	*page = 5;
	api_load_guest(vm, load);
	for (int i = 0; i < 3; i++) {
		bool memory = i == 1;

		if (memory)
			assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 4096, page), 0);
		api_vcpu_reset(&vm->vcpu);
		regs = api_regs(&vm->vcpu);
		regs.rdi = NOWHERE;
		api_set_regs(&vm->vcpu, &regs);
		if (!memory) {
			api_run_to(vm, KVM_EXIT_MMIO);
			memset(vm->vcpu.run->mmio.data, 0, 8);
		}
		api_run_to(vm, KVM_EXIT_HLT);
		assert_int_equal(api_regs(&vm->vcpu).rax, memory ? 5 : 0);
		if (memory)
			assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 0, page), 0);
	}
	umbra_munmap(page, 4096);
}

static void an_undefined_instruction_without_idt_is_a_shutdown(void **state)
{
	struct api_vm *vm = *state;

	api_load_guest(vm, undefined);
	api_run_to(vm, KVM_EXIT_SHUTDOWN);
}

static void memory_that_the_client_does_not_have_is_efault(void **state)
{
	struct api_vm *vm = *state;
	uint8_t *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
	struct kvm_regs regs = api_regs(&vm->vcpu);

	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 8192, page), 0);
	api_load_guest(vm, store);
	regs.rdi = NOWHERE;
	regs.rax = 1;
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT); /* it is in the TLB now */

	/* Past everything that could tell us: a system call of the program's own. */
	assert_int_equal(syscall(SYS_mmap, page, 4096, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0L), page);
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(api_run(&vm->vcpu), -EFAULT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_CODE);
	assert_int_equal(api_run(&vm->vcpu), -EFAULT);

	/* It comes back, and the instruction goes on where it was. */
	assert_ptr_equal(umbra_mmap_memory(page, 4096, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 page);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(page[0], 1);

	/* Read-only memory can be read and not written. */
	assert_int_equal(umbra_mprotect(page, 4096, PROT_READ), 0);
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(api_run(&vm->vcpu), -EFAULT);
	api_load_guest(vm, load);
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 0, page), 0);
	umbra_munmap(page, 8192);
}

static void memory_that_is_discarded_reads_as_zero(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_regs regs = api_regs(&vm->vcpu);

	*(uint64_t *)(vm->memory + API_DATA) = 123;
	api_load_guest(vm, load);
	regs.rdi = API_DATA;
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rax, 123);
	assert_int_equal(umbra_madvise(vm->memory + API_DATA, 4096, MADV_DONTNEED), 0);
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rax, 0);
}

/* --- signals --- */

struct runner {
	struct api_vm *vm;
	pthread_t thread;
	long result;
	uint32_t exit_reason;
	sigset_t blocked;
	bool still_pending;
};

static void *run_thread(void *arg)
{
	struct runner *r = arg;
	sigset_t pending;

	pthread_sigmask(SIG_SETMASK, &r->blocked, NULL);
	r->result = umbra_run(r->vm->vcpu.fd, 0);
	r->exit_reason = r->vm->vcpu.run->exit_reason;
	sigpending(&pending);
	r->still_pending = sigismember(&pending, SIGUSR1);
	return NULL;
}

static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

static void install(int sig, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };

	assert_int_equal(sigaction(sig, &action, NULL), 0);
}

/* The guest spins; it shows that it runs by what it writes. */
static void start_spinning(struct api_vm *vm, struct runner *r)
{
	struct kvm_regs regs = api_regs(&vm->vcpu);
	volatile uint64_t *word = (uint64_t *)(vm->memory + API_DATA);

	api_load_guest(vm, writer);
	regs.rdi = API_DATA;
	regs.rcx = 4;
	api_set_regs(&vm->vcpu, &regs);
	*word = 0;
	r->vm = vm;
	assert_int_equal(pthread_create(&r->thread, NULL, run_thread, r), 0);
	while (!*word)
		;
}

static void a_signal_interrupts_and_its_handler_runs(void **state)
{
	struct runner r = { 0 };

	handled = 0;
	install(SIGUSR1, on_signal);
	start_spinning(*state, &r);
	pthread_kill(r.thread, SIGUSR1);
	pthread_join(r.thread, NULL);
	assert_int_equal(r.result, -EINTR);
	assert_int_equal(r.exit_reason, KVM_EXIT_INTR);
	assert_int_equal(handled, 1);
	assert_false(r.still_pending);
}

/* KVM_SET_SIGNAL_MASK: the signal interrupts but stays for sigwait(). */
static void a_signal_blocked_outside_interrupts_and_stays_pending(void **state)
{
	struct api_vm *vm = *state;
	const uint64_t set = ~(1ull << (SIGUSR1 - 1));
	union {
		struct kvm_signal_mask mask;
		uint8_t bytes[sizeof(struct kvm_signal_mask) + sizeof(set)];
	} all = { .mask.len = sizeof(set) };
	struct runner r = { 0 };

	memcpy(all.mask.sigset, &set, sizeof(set));
	handled = 0;
	install(SIGUSR1, on_signal);
	sigaddset(&r.blocked, SIGUSR1);
	assert_int_equal(umbra_set_signal_mask(vm->vcpu.fd, &all.mask), 0);
	start_spinning(vm, &r);
	pthread_kill(r.thread, SIGUSR1);
	pthread_join(r.thread, NULL);
	assert_int_equal(r.result, -EINTR);
	assert_int_equal(r.exit_reason, KVM_EXIT_INTR);
	assert_int_equal(handled, 0);
	assert_true(r.still_pending);
	assert_int_equal(umbra_ioctl(vm->vcpu.fd, KVM_SET_SIGNAL_MASK, 0), 0);
}

static void a_blocked_or_ignored_signal_does_not_interrupt(void **state)
{
	struct api_vm *vm = *state;
	volatile uint64_t *word = (uint64_t *)(vm->memory + API_DATA);
	struct runner r = { 0 };
	uint64_t before;

	handled = 0;
	install(SIGUSR1, on_signal);
	install(SIGUSR2, SIG_IGN);
	sigaddset(&r.blocked, SIGUSR1);
	start_spinning(vm, &r);
	pthread_kill(r.thread, SIGUSR1);
	pthread_kill(r.thread, SIGUSR2);
	pthread_kill(r.thread, SIGCHLD);
	/* Several times the interval at which it looks. */
	for (before = *word; *word < before + 200000;)
		;
	pthread_kill(r.thread, SIGALRM);
	pthread_join(r.thread, NULL);
	assert_int_equal(r.result, -EINTR);
	assert_int_equal(handled, 1); /* SIGALRM's only */
}

static void immediate_exit_returns_at_once_and_keeps_the_reason(void **state)
{
	struct api_vm *vm = *state;

	api_load_guest(vm, halt);
	api_run_to(vm, KVM_EXIT_HLT);
	vm->vcpu.run->immediate_exit = 1;
	assert_int_equal(umbra_run(vm->vcpu.fd, 0), -EINTR);
	assert_int_equal(vm->vcpu.run->exit_reason, KVM_EXIT_HLT);
	vm->vcpu.run->immediate_exit = 0;
}

/* The guest sets it, where the client could: only its value on entry counts. */
static void immediate_exit_set_while_running_waits_for_the_next_run(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;
	struct kvm_regs regs = api_regs(&vm->vcpu);

	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 4096, run), 0);
	api_load_guest(vm, store_byte);
	regs.rdi = NOWHERE + offsetof(struct kvm_run, immediate_exit);
	regs.rax = 1;
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(umbra_run(vm->vcpu.fd, 0), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(run->immediate_exit, 1);
	assert_int_equal(umbra_run(vm->vcpu.fd, 0), -EINTR);
	run->immediate_exit = 0;
	assert_int_equal(api_set_region(vm, 1, 0, NOWHERE, 0, run), 0);
}

static void an_interrupt_of_the_bitmap_is_delivered(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_vcpu_events events;
	struct kvm_regs regs;
	struct kvm_sregs s;

	api_set_gate(vm, 0x91);
	api_load_guest(vm, undefined);
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &s), 0);
	s.interrupt_bitmap[2] = 1ull << (0x91 - 128) | 1ull << 63;
	assert_int_equal(umbra_set_sregs(vm->vcpu.fd, &s), 0);
	/* It stays where it is when the registers change. */
	regs = api_regs(&vm->vcpu);
	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &s), 0);
	assert_true(s.interrupt_bitmap[2] == 1ull << (0x91 - 128));
	assert_int_equal(umbra_get_vcpu_events(vm->vcpu.fd, &events), 0);
	assert_int_equal(events.interrupt.injected, 1);
	assert_int_equal(events.interrupt.nr, 0x91);
	assert_int_equal(events.exception.injected, 0);

	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	assert_int_equal(*(uint64_t *)(vm->memory + API_STACK - 40), API_CODE);
	assert_int_equal(umbra_get_sregs(vm->vcpu.fd, &s), 0);
	assert_true(s.interrupt_bitmap[2] == 0);
}

static uint8_t shadow_of(struct api_vm *vm)
{
	struct kvm_vcpu_events events;

	assert_int_equal(umbra_get_vcpu_events(vm->vcpu.fd, &events), 0);
	return events.interrupt.shadow;
}

static void set_shadow(struct api_vm *vm, uint8_t shadow)
{
	struct kvm_vcpu_events events = { .flags = KVM_VCPUEVENT_VALID_SHADOW,
					  .interrupt.shadow = shadow };

	assert_int_equal(umbra_set_vcpu_events(vm->vcpu.fd, &events), 0);
}

/* A breakpoint at the HLT of a program that has been run before. */
static void breakpoints_are_the_clients_to_set(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_debugregs debug = { .db[2] = API_CODE + 3, .dr6 = 0xffff0ff0,
				       .dr7 = 0x400 | 2u << 4 };
	struct kvm_regs regs;

	api_set_gate(vm, 1);
	api_load_guest(vm, store);
	regs = api_regs(&vm->vcpu);
	regs.rdi = 0x8000;
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_CODE + 4);

	api_set_regs(&vm->vcpu, &regs);
	assert_int_equal(umbra_set_debugregs(vm->vcpu.fd, &debug), 0);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);
	assert_int_equal(umbra_get_debugregs(vm->vcpu.fd, &debug), 0);
	assert_int_equal(debug.dr6, 0xffff0ff4);

	/* The shadow of MOV SS suppresses it, that of STI does not. */
	regs.rip = API_CODE + 3;
	api_set_regs(&vm->vcpu, &regs);
	set_shadow(vm, KVM_X86_SHADOW_INT_MOV_SS);
	assert_int_equal(shadow_of(vm), KVM_X86_SHADOW_INT_MOV_SS);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_CODE + 4);
	assert_int_equal(shadow_of(vm), 0);
	api_set_regs(&vm->vcpu, &regs);
	set_shadow(vm, KVM_X86_SHADOW_INT_STI);
	assert_int_equal(shadow_of(vm), KVM_X86_SHADOW_INT_STI);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_HANDLER + 1);

	debug.dr7 = 0x400;
	assert_int_equal(umbra_set_debugregs(vm->vcpu.fd, &debug), 0);
	api_set_regs(&vm->vcpu, &regs);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(api_regs(&vm->vcpu).rip, API_CODE + 4);
}

static void long_mode_outlives_a_client_that_sets_efer(void **state)
{
	struct api_vm *vm = *state;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = { .index = 0xc0000080, .data = 0x900 } };

	api_load_guest(vm, halt);
	assert_int_equal(umbra_set_msrs(vm->vcpu.fd, &msrs.head), 1);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(umbra_get_msrs(vm->vcpu.fd, &msrs.head), 1);
	assert_int_equal(msrs.entry.data, 0xd00);
}

static void sync_regs_go_in_and_out(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_run *run = vm->vcpu.run;

	api_load_guest(vm, store);
	run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	run->s.regs.regs = api_regs(&vm->vcpu);
	run->s.regs.regs.rdi = API_DATA;
	run->s.regs.regs.rax = 42;
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(run->kvm_dirty_regs, 0);
	assert_int_equal(run->s.regs.regs.rip, api_regs(&vm->vcpu).rip);
	assert_int_equal(run->s.regs.sregs.cr3, API_TABLES);
	assert_int_equal(*(uint64_t *)(vm->memory + API_DATA), 42);

	run->kvm_valid_regs = 1ull << 40;
	assert_int_equal(umbra_run(vm->vcpu.fd, 0), -EINVAL);
	run->kvm_valid_regs = 0;
	run->kvm_dirty_regs = 1ull << 40;
	assert_int_equal(umbra_run(vm->vcpu.fd, 0), -EINVAL);
	run->kvm_dirty_regs = 0;
}

/* --- dirty logs --- */

static void start_fill(struct api_vm *vm, uint64_t first, uint64_t pages)
{
	struct kvm_regs regs;

	api_vcpu_reset(&vm->vcpu);
	api_load_guest(vm, fill);
	regs = api_regs(&vm->vcpu);
	regs.rdi = first;
	regs.rcx = pages;
	regs.rax = 1;
	api_set_regs(&vm->vcpu, &regs);
}

static uint64_t bit_count(const uint64_t *bitmap, size_t words)
{
	uint64_t n = 0;

	for (size_t i = 0; i < words; i++)
		n += (uint64_t)__builtin_popcountll(bitmap[i]);
	return n;
}

static void the_log_names_what_was_written_each_time_anew(void **state)
{
	struct api_vm *vm = *state;
	uint64_t bitmap[API_MEMORY_BYTES / 4096 / 64];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bitmap };

	assert_int_equal(api_set_region(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, API_MEMORY_BYTES,
					vm->memory),
			 0);
	for (int round = 0; round < 3; round++) {
		start_fill(vm, API_DATA, 300);
		api_run_to(vm, KVM_EXIT_HLT);
		assert_int_equal(umbra_get_dirty_log(vm->fd, &log), 0);
		for (uint64_t page = API_DATA >> 12; page < (API_DATA >> 12) + 300; page++)
			assert_true(bitmap[page / 64] >> (page % 64) & 1);
		/* Beside these only the page tables, whose bits were set. */
		assert_true(bit_count(bitmap, 64) <= 300 + 5);
		assert_int_equal(umbra_get_dirty_log(vm->fd, &log), 0);
		assert_int_equal(bit_count(bitmap, 64), 0);
	}
}

static void use_ring(struct api_vm *vm)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { 4096 } };

	assert_int_equal(umbra_enable_cap(vm->fd, &cap), 0);
	assert_int_equal(umbra_enable_cap(vm->fd, &cap), -EINVAL); /* once */
	assert_int_equal(api_set_region(vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, API_MEMORY_BYTES,
					vm->memory),
			 0);
}

#define RING_ENTRIES (4096 / sizeof(struct kvm_dirty_gfn))
#define RING_OFFSET (64 * 4096)

static struct kvm_dirty_gfn *map_ring(struct api_vm *vm)
{
	int err;
	struct kvm_dirty_gfn *ring = umbra_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
						vm->vcpu.fd, RING_OFFSET, &err);

	assert_ptr_not_equal(ring, MAP_FAILED);
	return ring;
}

static void a_full_ring_stops_the_vcpu_until_it_is_reset(void **state)
{
	struct api_vm vm;
	struct kvm_dirty_gfn *ring;
	uint64_t seen = 0;
	unsigned int at = 0;
	bool done = false;
	int err;

	(void)state;
	api_vm_create_with(&vm, use_ring);
	ring = map_ring(&vm);
	assert_ptr_equal(umbra_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, vm.vcpu.fd,
				    RING_OFFSET, &err),
			 MAP_FAILED);
	assert_int_equal(err, EINVAL);
	assert_ptr_equal(umbra_mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, vm.vcpu.fd,
				    RING_OFFSET, &err),
			 MAP_FAILED);

	start_fill(&vm, API_DATA, 1000);
	while (!done) {
		unsigned int harvested = 0;

		assert_int_equal(api_run(&vm.vcpu), 0);
		done = vm.vcpu.run->exit_reason == KVM_EXIT_HLT;
		if (!done) {
			assert_int_equal(vm.vcpu.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
			/* It stays full until the client resets it. */
			assert_int_equal(api_run(&vm.vcpu), 0);
			assert_int_equal(vm.vcpu.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
		}
		while (ring[at % RING_ENTRIES].flags & KVM_DIRTY_GFN_F_DIRTY) {
			seen += ring[at % RING_ENTRIES].offset >= API_DATA >> 12;
			ring[at % RING_ENTRIES].flags = KVM_DIRTY_GFN_F_RESET;
			at++;
			harvested++;
		}
		assert_int_equal(umbra_reset_dirty_rings(vm.fd, 0), harvested);
	}
	assert_int_equal(seen, 1000);
	munmap(ring, 4096);
	api_vm_destroy(&vm);
}

/* The client writes what it likes into the ring: counted, or ignored, never harmful. */
static void a_ring_that_was_scribbled_on_does_no_harm(void **state)
{
	struct api_vm vm;
	struct kvm_dirty_gfn *ring;
	struct kvm_clear_dirty_log clear = { .slot = 0, .first_page = 1 };
	struct kvm_dirty_log log = { .slot = 0 };

	(void)state;
	api_vm_create_with(&vm, use_ring);
	ring = map_ring(&vm);
	log.dirty_bitmap = vm.memory;
	assert_int_equal(umbra_get_dirty_log(vm.fd, &log), -ENXIO);
	assert_int_equal(umbra_clear_dirty_log(vm.fd, &clear), -ENXIO);
	for (unsigned int round = 0; round < 200; round++) {
		start_fill(&vm, API_DATA + round * 4096ull, 40);
		assert_int_equal(api_run(&vm.vcpu), 0);
		for (unsigned int i = 0; i < RING_ENTRIES; i++) {
			uint64_t x = (round * 2654435761u + i) * 0x9e3779b97f4a7c15ull;

			ring[i].slot = (uint32_t)(x >> (x & 31));
			ring[i].offset = x % 3 ? x : ~0ull - (x & 127);
			ring[i].flags = (uint32_t)(x >> 40) & 3;
		}
		assert_true(umbra_reset_dirty_rings(vm.fd, 0) <= (long)RING_ENTRIES);
	}
	for (unsigned int i = 0; i < RING_ENTRIES; i++)
		ring[i].flags = KVM_DIRTY_GFN_F_RESET;
	assert_true(umbra_reset_dirty_rings(vm.fd, 0) <= (long)RING_ENTRIES);
	/* And it works on. */
	start_fill(&vm, API_DATA, 1);
	api_run_to(&vm, KVM_EXIT_HLT);
	munmap(ring, 4096);
	api_vm_destroy(&vm);
}

static void statistics_are_live(void **state)
{
	struct api_vm *vm = *state;
	struct kvm_stats_header header;
	int fd = (int)umbra_get_stats_fd(vm->vcpu.fd, 0);
	uint64_t before, after;
	char id[64];

	assert_true(fd >= 0);
	assert_int_equal(read(fd, &header, sizeof(header)), sizeof(header));
	assert_int_equal(read(fd, id, header.name_size), header.name_size);
	assert_memory_equal(id, "kvm", 3);
	/* The first counter is that of exits. */
	assert_int_equal(pread(fd, &before, 8, header.data_offset), 8);
	api_load_guest(vm, halt);
	api_run_to(vm, KVM_EXIT_HLT);
	assert_int_equal(pread(fd, &after, 8, header.data_offset), 8);
	assert_int_equal(after, before + 1);
	assert_int_equal(write(fd, &after, 8), -1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		api_test(a_store_lands_in_memory),
		api_test(port_io_is_answered),
		api_test(an_in_whose_rip_was_moved_is_not_skipped),
		api_test(mmio_reads_and_writes_are_answered),
		api_test(an_access_half_in_memory_is_split),
		api_test(a_write_to_a_read_only_slot_is_mmio_and_a_read_is_not),
		api_test(code_in_a_read_only_slot_runs),
		api_test(a_new_slot_ends_mmio_and_its_end_brings_it_back),
		api_test(an_undefined_instruction_without_idt_is_a_shutdown),
		api_test(memory_that_the_client_does_not_have_is_efault),
		api_test(memory_that_is_discarded_reads_as_zero),
		api_test(a_signal_interrupts_and_its_handler_runs),
		api_test(a_signal_blocked_outside_interrupts_and_stays_pending),
		api_test(a_blocked_or_ignored_signal_does_not_interrupt),
		api_test(immediate_exit_returns_at_once_and_keeps_the_reason),
		api_test(immediate_exit_set_while_running_waits_for_the_next_run),
		api_test(an_interrupt_of_the_bitmap_is_delivered),
		api_test(breakpoints_are_the_clients_to_set),
		api_test(long_mode_outlives_a_client_that_sets_efer),
		api_test(sync_regs_go_in_and_out),
		api_test(the_log_names_what_was_written_each_time_anew),
		cmocka_unit_test(a_full_ring_stops_the_vcpu_until_it_is_reset),
		cmocka_unit_test(a_ring_that_was_scribbled_on_does_no_harm),
		api_test(statistics_are_live),
	};

	install(SIGALRM, on_signal);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
