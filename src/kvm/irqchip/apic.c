/* SPDX-License-Identifier: MIT */
#include "kvm/irqchip/apic.h"

#include <string.h>

#include "base/bug.h"
#include "cpu/event/interrupt.h"
#include "cpu/state/cpuid.h"
#include "kvm/irqchip/apic_msr.h"
#include "machine/startup.h"
#include "mmu/tlb/request.h"

/* --- what the local APIC asks for ------------------------------------------------- */

static struct vcpu *vcpu_of(struct lapic *l)
{
	return container_of(l, struct vcpu, lapic);
}

static void kick(struct lapic *l)
{
	wakeup_kick(&vcpu_of(l)->wakeup);
}

/* The client's IOAPIC hears of the vectors that its pins send as levels. */
static void note_eoi(struct lapic *l, uint8_t vector, bool level)
{
	struct vcpu *vcpu = vcpu_of(l);
	struct irqchip *chip = vcpu->irqchip;

	if (!chip->split) {
		ioapic_end(&chip->ioapic, vector, level);
		return;
	}
	if (!level || !routes_has_level_vector(&chip->routes, chip->n_split_pins, l, vector))
		return;
	vcpu->eois[vector / 64] |= 1ull << (vector % 64);
	kick(l);
}

static uint64_t guest_tsc(struct lapic *l)
{
	return cpu_tsc(&vcpu_of(l)->cpu);
}

static uint64_t tsc_to_ns(struct lapic *l, uint64_t ticks)
{
	uint32_t khz = MAX(tsc_khz(&vcpu_of(l)->cpu), 1u);
	unsigned __int128 ns = (unsigned __int128)ticks * 1000000u / khz;

	return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

static const struct lapic_ops ops = {
	.kick = kick,
	.eoi = note_eoi,
	.tsc = guest_tsc,
	.tsc_to_ns = tsc_to_ns,
};

/* --- life ------------------------------------------------------------------------- */

void apic_init(struct vcpu *vcpu, struct irqchip *chip)
{
	vcpu->irqchip = chip;
	vcpu->external_vector = -1;
	wakeup_init(&vcpu->wakeup, &vcpu->cpu.mmu.requests, REQUEST_KICK);
	lapic_init(&vcpu->lapic, &chip->lapics, &chip->timers, &ops, vcpu->id,
		   vcpu->cpu.apic_base & LAPIC_BASE_BSP);
	vcpu->cpu.apic = &apic_of_cpu;
}

void apic_destroy(struct vcpu *vcpu)
{
	lapic_destroy(&vcpu->lapic);
	wakeup_destroy(&vcpu->wakeup);
}

/* There is room for as many as there can be vCPUs. */
void apic_add(struct vcpu *vcpu)
{
	bool added = lapics_add(&vcpu->irqchip->lapics, &vcpu->lapic);

	bug_on(!added);
}

void apic_cpuid_changed(struct vcpu *vcpu)
{
	vcpu->lapic.has_tsc_deadline = cpuid_has(&vcpu->cpu, FEATURE_TSC_DEADLINE);
	vcpu->lapic.has_directed_eoi =
		vcpu->irqchip->split && cpuid_has(&vcpu->cpu, FEATURE_X2APIC);
}

/* --- events ----------------------------------------------------------------------- */

static bool external_waits(const struct vcpu *vcpu)
{
	const struct irqchip *chip = vcpu->irqchip;

	if (chip->split ? vcpu->external_vector < 0 : !atomic32_load_acquire(&chip->pic.raised))
		return false;
	return lapic_accepts_extint(&vcpu->lapic);
}

static bool interrupt_waits(const struct vcpu *vcpu)
{
	return external_waits(vcpu) || lapic_pending_vector(&vcpu->lapic) >= 0;
}

static void take_init(struct vcpu *vcpu)
{
	bool is_bsp = vcpu->cpu.apic_base & LAPIC_BASE_BSP;

	cpu_take_init(&vcpu->cpu);
	lapic_reset(&vcpu->lapic);
	vcpu->mp_state = is_bsp ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED;
}

/* SDM 3A 9.4.4: real mode at the page that the vector names. */
static void take_sipi(struct vcpu *vcpu, uint32_t vector)
{
	struct cpu *cpu = &vcpu->cpu;

	if (vcpu->mp_state != KVM_MP_STATE_INIT_RECEIVED)
		return;
	cpu->segs[SEG_CS].selector = (uint16_t)(vector << 8);
	cpu->segs[SEG_CS].base = (uint64_t)vector << 12;
	cpu->rip = 0;
	cpu_state_changed(cpu);
	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
}

static void take_nmis(struct vcpu *vcpu)
{
	uint32_t n = atomic32_load_relaxed(&vcpu->lapic.nmis);

	if (n)
		n = atomic32_xchg(&vcpu->lapic.nmis, 0);
	/* More than two at a time are two. */
	for (n = MIN(n, 2u); n; n--)
		interrupt_nmi(&vcpu->cpu);
}

static bool wakes(const struct vcpu *vcpu)
{
	return interrupt_wakes(&vcpu->cpu) || atomic32_load_relaxed(&vcpu->lapic.unhalted) ||
	       ((vcpu->cpu.rflags & X86_EFLAGS_IF) && interrupt_waits(vcpu));
}

void apic_take_events(struct vcpu *vcpu)
{
	uint32_t startup = startup_take(&vcpu->lapic.startup);

	lapic_poll(&vcpu->lapic);
	if (startup & STARTUP_INIT)
		take_init(vcpu);
	if (startup & STARTUP_SIPI)
		take_sipi(vcpu, startup & STARTUP_VECTOR);
	take_nmis(vcpu);
	if (vcpu->mp_state == KVM_MP_STATE_HALTED && wakes(vcpu)) {
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
		atomic32_store_relaxed(&vcpu->lapic.unhalted, 0);
	}
	vcpu->cpu.cr8 = lapic_get_cr8(&vcpu->lapic);
}

static uint8_t take_external(struct vcpu *vcpu)
{
	uint8_t vector = (uint8_t)vcpu->external_vector;

	if (!vcpu->irqchip->split)
		return pic_acknowledge(&vcpu->irqchip->pic);
	vcpu->external_vector = -1;
	return vector;
}

void apic_offer_interrupt(struct vcpu *vcpu)
{
	struct cpu *cpu = &vcpu->cpu;
	int vector;

	if (cpu->debug.client.holds_interrupts)
		return;
	if (interrupt_can_be_taken(cpu) && interrupt_waits(vcpu)) {
		if (external_waits(vcpu)) {
			vector = take_external(vcpu);
		} else {
			vector = lapic_pending_vector(&vcpu->lapic);
			lapic_take_vector(&vcpu->lapic, (uint8_t)vector);
		}
		interrupt_accept(cpu, (uint8_t)vector);
	}
	cpu->interrupts.window_wanted |= interrupt_waits(vcpu);
}

void apic_after_run(struct vcpu *vcpu)
{
	lapic_set_cr8(&vcpu->lapic, (unsigned int)vcpu->cpu.cr8);
}

struct wait {
	struct vcpu *vcpu;
	thread_sigmask_t blocked;
	uint32_t state;		/* it was in when the wait began */
	bool interrupted;
};

static bool has_changed(void *arg)
{
	struct wait *wait = arg;

	wait->interrupted = thread_signal_waits(wait->blocked);
	if (wait->interrupted)
		return true;
	apic_take_events(wait->vcpu);
	return wait->vcpu->mp_state != wait->state;
}

int apic_wait(struct vcpu *vcpu, thread_sigmask_t blocked)
{
	struct wait wait = { .vcpu = vcpu, .blocked = blocked, .state = vcpu->mp_state };

	wakeup_wait(&vcpu->wakeup, has_changed, &wait, blocked);
	return wait.interrupted ? -EINTR : 0;
}

int apic_take_eoi(struct vcpu *vcpu)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(vcpu->eois); i++) {
		int bit = __builtin_ffsll((long long)vcpu->eois[i]) - 1;

		if (bit < 0)
			continue;
		vcpu->eois[i] &= vcpu->eois[i] - 1;
		return (int)(i * 64) + bit;
	}
	return -1;
}

bool apic_hears_external(const struct vcpu *vcpu)
{
	return vcpu->irqchip->split && vcpu->external_vector < 0 &&
	       lapic_accepts_extint(&vcpu->lapic);
}

/* --- accesses --------------------------------------------------------------------- */

bool apic_takes_mmio(struct vcpu *vcpu, uint8_t data[8])
{
	const struct cpu_mmio *mmio = &vcpu->cpu.mmio;
	struct ioapic *io = vcpu->irqchip->split ? NULL : &vcpu->irqchip->ioapic;

	memset(data, 0, 8);
	if (!mmio->write)
		return lapic_read(&vcpu->lapic, mmio->gpa.raw, data, mmio->bytes) ||
		       (io && ioapic_read(io, mmio->gpa.raw, data, mmio->bytes));
	return lapic_write(&vcpu->lapic, mmio->gpa.raw, mmio->data, mmio->bytes) ||
	       (io && ioapic_write(io, mmio->gpa.raw, mmio->data, mmio->bytes));
}

static bool access_port(struct vcpu *vcpu, bool in, uint16_t port, uint8_t *value)
{
	struct irqchip *chip = vcpu->irqchip;
	struct pit *pit = irqchip_pit(vcpu->vm);

	if (in)
		return pic_read_port(&chip->pic, port, value) ||
		       (pit && pit_read_port(pit, port, value));
	return pic_write_port(&chip->pic, port, *value) ||
	       (pit && pit_write_port(pit, port, *value));
}

/*
 * They are 8 bits wide: wider accesses go to the ports that follow, and where there is none of
 * ours, to nothing.  The first says whose they are.
 */
bool apic_takes_io(struct vcpu *vcpu)
{
	const struct cpu_io *io = &vcpu->cpu.io;

	if (vcpu->irqchip->split)
		return false;
	for (uint32_t i = 0; i < io->count * io->size; i++) {
		uint8_t *data = &vcpu->cpu.io_data[i];

		if (access_port(vcpu, io->in, (uint16_t)(io->port + i % io->size), data))
			continue;
		if (i == 0)
			return false;
		if (io->in)
			*data = 0xff;
	}
	return true;
}
