/* SPDX-License-Identifier: MIT */
/*
 * kvm/run.c - KVM_RUN.
 *
 * The client can write to the run page at any time, so each field is read once.  Signals are held
 * throughout (kvm/calls/call.c).  A deferred signal kicks the vCPU; blocked signals are polled
 * whenever CPU_BUDGET is used up.
 */
#include <string.h>

#include "cpu/charge.h"
#include "cpu/event/interrupt.h"
#include "cpu/state/debug.h"
#include "kvm/abi.h"
#include "kvm/calls/regs.h"
#include "kvm/hypercall.h"
#include "kvm/irqchip/apic.h"
#include "kvm/vm.h"
#include "mmu/tlb/request.h"

static long interrupted(struct vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_INTR;
	vcpu_count(&vcpu->cpu.mmu, signal_exits);
	return -EINTR;
}

static int sync_regs_in(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t valid = shared64_load_relaxed(&run->kvm_valid_regs);
	uint64_t dirty = shared64_load_relaxed(&run->kvm_dirty_regs);
	struct kvm_sync_regs s;
	int err = 0;

	if ((valid | dirty) & ~(uint64_t)KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	if (!dirty)
		return 0;
	s = run->s.regs;
	if (dirty & KVM_SYNC_X86_REGS)
		regs_set(&vcpu->cpu, &s.regs);
	if (dirty & KVM_SYNC_X86_SREGS)
		err = sregs_set(&vcpu->cpu, &s.sregs);
	if (!err && (dirty & KVM_SYNC_X86_EVENTS))
		err = events_set(vcpu, &s.events);
	if (!err)
		run->kvm_dirty_regs = 0;
	return err;
}

static void sync_regs_out(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t valid = shared64_load_relaxed(&run->kvm_valid_regs);

	if (valid & KVM_SYNC_X86_REGS)
		regs_get(&vcpu->cpu, &run->s.regs.regs);
	if (valid & KVM_SYNC_X86_SREGS)
		sregs_get(&vcpu->cpu, &run->s.regs.sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		events_get(vcpu, &run->s.regs.events);
}

static void complete_msr(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	cpu_complete_msr(&vcpu->cpu, shared8_load_relaxed(&run->msr.error),
			 shared64_load_relaxed(&run->msr.data));
}

/* What the client has answered to the last exit. */
static void complete_exit(struct vcpu *vcpu)
{
	struct cpu *cpu = &vcpu->cpu;
	uint8_t data[8];

	if (cpu->io.pending)
		cpu_complete_io(cpu);
	if (cpu->mmio.pending) {
		memcpy(data, vcpu->run->mmio.data, sizeof(data));
		cpu_complete_mmio(cpu, data);
	}
	if (cpu->asked.pending && cpu->exit == CPU_EXIT_HYPERCALL)
		hypercall_complete(vcpu);
	else if (cpu->asked.pending)
		complete_msr(vcpu);
}

static long exit_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	const struct cpu_io *io = &vcpu->cpu.io;

	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = io->in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = io->size;
	run->io.port = io->port;
	run->io.count = io->count;
	run->io.data_offset = PIO_PAGE << PAGE_SHIFT;
	/* For SeaBIOS's writes to it the instruction is done before the exit. */
	if (io->port == 0x7e && !io->in && !io->string &&
	    !(atomic32_load_relaxed(&vcpu->vm->quirks_off) & KVM_X86_QUIRK_OUT_7E_INC_RIP))
		cpu_complete_io(&vcpu->cpu);
	vcpu_count(&vcpu->cpu.mmu, io_exits);
	return 0;
}

static long exit_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	const struct cpu_mmio *mmio = &vcpu->cpu.mmio;

	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = mmio->gpa.raw;
	run->mmio.len = mmio->bytes;
	run->mmio.is_write = mmio->write;
	if (mmio->write)
		memcpy(run->mmio.data, mmio->data, sizeof(run->mmio.data));
	vcpu_count(&vcpu->cpu.mmu, mmio_exits);
	return 0;
}

static long exit_msr(struct vcpu *vcpu)
{
	const struct cpu_asked *asked = &vcpu->cpu.asked;
	struct kvm_run *run = vcpu->run;

	run->exit_reason = asked->write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	memset(&run->msr, 0, sizeof(run->msr));
	run->msr.reason = msr_filter_reason(asked->why);
	run->msr.index = asked->msr;
	run->msr.data = asked->value;
	return 0;
}

/* EFAULT says where: KVM_CAP_MEMORY_FAULT_INFO. */
static long exit_memory_fault(struct vcpu *vcpu)
{
	struct abi_memory_fault fault = {
		.gpa = gpa_align(vcpu->cpu.mmu.host_fault, PAGE_SIZE).raw,
		.size = PAGE_SIZE,
	};

	vcpu->run->exit_reason = KVM_EXIT_MEMORY_FAULT;
	memcpy(&vcpu->run->hw, &fault, sizeof(fault));
	vcpu_count(&vcpu->cpu.mmu, efault_exits);
	return -EFAULT;
}

/* True if no exit is needed after all.  Some of a string's elements may have been written. */
static bool bus_takes_io(struct vcpu *vcpu)
{
	struct cpu_io *io = &vcpu->cpu.io;
	uint32_t n = 0;

	if (vcpu->irqchip && apic_takes_io(vcpu)) {
		cpu_complete_io(&vcpu->cpu);
		return true;
	}

	while (!io->in && n < io->count &&
	       bus_write(&vcpu->vm->bus, BUS_PORTS, io->port, vcpu->cpu.io_data + n * io->size,
			 io->size))
		n++;
	if (!n)
		return false;
	io->count = n;
	cpu_complete_io(&vcpu->cpu);
	return true;
}

static bool bus_takes_mmio(struct vcpu *vcpu)
{
	const struct cpu_mmio *mmio = &vcpu->cpu.mmio;
	uint8_t data[8];

	if (vcpu->irqchip && apic_takes_mmio(vcpu, data)) {
		cpu_complete_mmio(&vcpu->cpu, data);
		return true;
	}
	if (!mmio->write ||
	    !bus_write(&vcpu->vm->bus, BUS_MEMORY, mmio->gpa.raw, mmio->data, mmio->bytes))
		return false;
	cpu_complete_mmio(&vcpu->cpu, mmio->data);
	return true;
}

static long exit_internal_error(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	const struct cpu_error *error = &vcpu->cpu.error;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	/* In words of 64 bits: the flags; the size and bytes of the instruction. */
	run->emulation_failure.ndata = error->n_bytes ? 3 : 1;
	run->emulation_failure.flags =
		error->n_bytes ? KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES : 0;
	run->emulation_failure.insn_size = error->n_bytes;
	memcpy(run->emulation_failure.insn_bytes, error->bytes, sizeof(error->bytes));
	vcpu_count(&vcpu->cpu.mmu, internal_error_exits);
	return 0;
}

static long exit_debug(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	const struct cpu_debug *debug = &vcpu->cpu.debug;

	run->exit_reason = KVM_EXIT_DEBUG;
	run->debug.arch = (struct kvm_debug_exit_arch){
		.exception = debug->report.vector, .pc = cpu_linear_rip(&vcpu->cpu),
		.dr6 = debug->report.dr6, .dr7 = debug->dr7,
	};
	return 0;
}

static long exit_shutdown(struct vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	vcpu_count(&vcpu->cpu.mmu, shutdown_exits);
	return 0;
}

static long exit_ring_full(struct vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
	vcpu_count(&vcpu->cpu.mmu, dirty_ring_exits);
	return 0;
}

/* With an interrupt controller in the kernel HLT waits there, else it exits. */
static bool halt_waits(struct vcpu *vcpu)
{
	vcpu_count(&vcpu->cpu.mmu, halt_exits);
	if (!vcpu->irqchip) {
		vcpu->run->exit_reason = KVM_EXIT_HLT;
		return false;
	}
	vcpu->mp_state = KVM_MP_STATE_HALTED;
	return true;
}

/* Without an interrupt controller in the kernel the client has one, and looks at CR8. */
static bool tpr_exits(struct vcpu *vcpu)
{
	if (vcpu->irqchip)
		return false;
	vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
	return true;
}

/* Without a PIC in the kernel the client has one, and waits for its turn. */
static bool window_is_requested(const struct vcpu *vcpu)
{
	if (vcpu->irqchip && !apic_hears_external(vcpu))
		return false;
	return shared8_load_relaxed(&vcpu->run->request_interrupt_window);
}

static bool is_ready_for_injection(const struct vcpu *vcpu)
{
	if (irqchip_full(vcpu->vm))
		return true;
	return (!vcpu->irqchip || apic_hears_external(vcpu)) &&
	       interrupt_can_be_taken(&vcpu->cpu);
}

/* True if the client is to know that its interrupt can come. */
static bool window_exits(struct vcpu *vcpu)
{
	if (!window_is_requested(vcpu) || !is_ready_for_injection(vcpu))
		return false;
	vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
	vcpu_count(&vcpu->cpu.mmu, request_irq_exits);
	return true;
}

/* What the controllers have for the vCPU.  0; 1: back to the client; -EINTR. */
static int look_at_interrupts(struct vcpu *vcpu, thread_sigmask_t blocked)
{
	int vector;

	apic_take_events(vcpu);
	while (vcpu->mp_state != KVM_MP_STATE_RUNNABLE)
		if (apic_wait(vcpu, blocked))
			return -EINTR;
	vector = apic_take_eoi(vcpu);
	if (vector >= 0) {
		vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
		vcpu->run->eoi.vector = (uint8_t)vector;
		return 1;
	}
	apic_offer_interrupt(vcpu);
	return 0;
}

/* After cpu_run(): what KVM_RUN returns, or GO_ON. */
#define GO_ON 1

static long handle_exit(struct vcpu *vcpu, enum cpu_exit exit)
{
	switch (exit) {
	case CPU_EXIT_POLL:
		break;
	case CPU_EXIT_IO:
		if (!bus_takes_io(vcpu))
			return exit_io(vcpu);
		break;
	case CPU_EXIT_MMIO:
		if (!bus_takes_mmio(vcpu))
			return exit_mmio(vcpu);
		break;
	case CPU_EXIT_MSR:
		return exit_msr(vcpu);
	case CPU_EXIT_HYPERCALL:
		if (!hypercall_answer(vcpu))
			return 0;
		break;
	case CPU_EXIT_HLT:
		/* A client that waits to interrupt it does not wait until it wakes. */
		if (!halt_waits(vcpu) || window_exits(vcpu))
			return 0;
		break;
	case CPU_EXIT_DEBUG:
		return exit_debug(vcpu);
	case CPU_EXIT_WINDOW:
		if (window_exits(vcpu))
			return 0;
		break;
	case CPU_EXIT_TPR:
		if (tpr_exits(vcpu))
			return 0;
		break;
	case CPU_EXIT_SHUTDOWN:
		return exit_shutdown(vcpu);
	case CPU_EXIT_INTERNAL_ERROR:
		return exit_internal_error(vcpu);
	case CPU_EXIT_RING_FULL:
		return exit_ring_full(vcpu);
	case CPU_EXIT_EFAULT:
		return exit_memory_fault(vcpu);
	case CPU_EXIT_ENOMEM:
		return -ENOMEM;
	}
	return GO_ON;
}

static long run_guest(struct vcpu *vcpu, thread_sigmask_t blocked)
{
	struct mmu_vcpu *mmu = &vcpu->cpu.mmu;
	enum cpu_exit exit;
	long result;

	for (;;) {
		if (mmu->ring.entries && dirty_ring_is_full(&mmu->ring))
			return exit_ring_full(vcpu);
		if (pvclock_update(vcpu) == MMU_RING_FULL ||
		    steal_time_update(vcpu) == MMU_RING_FULL)
			return exit_ring_full(vcpu);
		if (vcpu->cpu.shutdown) {
			vcpu->cpu.shutdown = false;
			return exit_shutdown(vcpu);
		}
		/* A signal deferred after this posts it again. */
		request_take(mmu, REQUEST_KICK);
		if (thread_signal_deferred(blocked))
			return interrupted(vcpu);

		vcpu->cpu.interrupts.window_wanted = window_is_requested(vcpu);
		if (vcpu->irqchip) {
			int what = look_at_interrupts(vcpu, blocked);

			if (what)
				return what < 0 ? interrupted(vcpu) : 0;
		}
		exit = cpu_run(&vcpu->cpu, CPU_BUDGET);
		if (vcpu->irqchip)
			apic_after_run(vcpu);
		result = handle_exit(vcpu, exit);
		if (result != GO_ON)
			return result;
		if (thread_signal_waits(blocked))
			return interrupted(vcpu);
	}
}

/* What the client has chosen for the VM, perhaps since the last run. */
static void take_choices(struct vcpu *vcpu)
{
	uint32_t off = atomic32_load_relaxed(&vcpu->vm->quirks_off);
	struct cpu *cpu = &vcpu->cpu;

	cpu->platform_info_readable = !atomic32_load_relaxed(&vcpu->vm->hide_platform_info);
	cpu->quirks.fixes_hypercalls = !(off & KVM_X86_QUIRK_FIX_HYPERCALL_INSN);
	cpu->quirks.never_lacks_mwait = !(off & KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS);
	cpu->quirks.mwait_bit_follows = off & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT;
}

static long run_locked(struct vcpu *vcpu, thread_sigmask_t blocked)
{
	struct kvm_run *run = vcpu->run;
	bool immediate_exit = shared8_load_relaxed(&run->immediate_exit);
	uint64_t cr8;
	int err;

	if (vcpu->mp_state == KVM_MP_STATE_UNINITIALIZED) {
		if (immediate_exit)
			return -EINTR;
		/* As in the kernel: the client calls again, with the state that has changed. */
		return apic_wait(vcpu, blocked) ? interrupted(vcpu) : -EAGAIN;
	}
	err = sync_regs_in(vcpu);
	if (err)
		return err;
	if (!vcpu->irqchip) {
		cr8 = shared64_load_relaxed(&run->cr8);
		if (cr8 > 15)
			return -EINVAL;
		vcpu->cpu.cr8 = cr8;
	}
	complete_exit(vcpu);
	/* The reason of the last exit stays: the client may be reading it. */
	if (immediate_exit)
		return -EINTR;
	/* A mask of the vCPU's own admits signals that the thread blocks. */
	if (vcpu->sigmask_set && thread_signal_waits(blocked))
		return interrupted(vcpu);

	run->exit_reason = KVM_EXIT_UNKNOWN;
	vcpu->has_run = true;
	take_choices(vcpu);
	return run_guest(vcpu, blocked);
}

long vcpu_run(struct vcpu *vcpu, thread_sigmask_t caller)
{
	struct cpu *cpu = &vcpu->cpu;
	struct kvm_run *run = vcpu->run;
	long result;

	if (vcpu->sigmask_set)
		caller = (vcpu->sigmask & ~SIGNALS_DEFERRED) | (caller & SIGNALS_DEFERRED) |
			 SIGNALS_ALSO_PENDING;
	run->flags = 0;
	thread_kick_word = &cpu->mmu.requests;
	thread_kick_bits = REQUEST_KICK;
	/* Told anew by each call, as in the kernel. */
	cpu->steal_time.stale = true;
	result = run_locked(vcpu, caller);
	thread_kick_word = NULL;
	sync_regs_out(vcpu);
	run->if_flag = !!(cpu->rflags & X86_EFLAGS_IF);
	run->cr8 = vcpu->irqchip ? lapic_get_cr8(&vcpu->lapic) : cpu->cr8;
	run->apic_base = cpu->apic_base;
	run->ready_for_interrupt_injection = is_ready_for_injection(vcpu);
	vcpu_count(&cpu->mmu, exits);
	return result;
}
