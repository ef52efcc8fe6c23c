/* SPDX-License-Identifier: MIT */
/* cpu/event/interrupt.c - SDM 3A 6.7 and 6.8. */
#include "cpu/event/interrupt.h"

static bool event_is_interrupt(const struct cpu *cpu)
{
	return cpu->event.pending && cpu->event.interrupt && !cpu->event.nmi;
}

/* An instruction that waits for a device, or has read from one, is finished first. */
static bool is_at_boundary(const struct cpu *cpu)
{
	const struct cpu_io *io = &cpu->io;

	return !cpu->mmio.n_done && !cpu->mmio.n_writes &&
	       !(io->n_ready && io->linear_rip == cpu_linear_rip(cpu));
}

static bool nmi_can_be_taken(const struct cpu *cpu)
{
	return cpu->interrupts.nmis && !cpu->interrupts.nmi_blocked && !cpu->interrupt_shadow;
}

/* An NMI comes first. */
bool interrupt_can_be_taken(const struct cpu *cpu)
{
	return (cpu->rflags & X86_EFLAGS_IF) && !cpu->interrupt_shadow && !cpu->event.pending &&
	       !cpu->interrupts.accepted && !cpu->interrupts.nmi_accepted &&
	       !nmi_can_be_taken(cpu) && is_at_boundary(cpu);
}

/* What has been accepted becomes the event, if there is none. */
static void queue_accepted(struct cpu *cpu)
{
	struct cpu_interrupts *w = &cpu->interrupts;

	if (cpu->event.pending || !(w->nmi_accepted | w->accepted))
		return;
	cpu->event = (struct cpu_event){ .pending = true, .interrupt = true };
	if (w->nmi_accepted) {
		cpu->event.nmi = true;
		cpu->event.vector = EXC_NMI;
		w->nmi_accepted = false;
	} else {
		cpu->event.vector = w->vector;
		w->accepted = false;
	}
}

void interrupt_accept(struct cpu *cpu, uint8_t vector)
{
	if (event_is_interrupt(cpu))
		cpu->event.pending = false;
	cpu->interrupts.accepted = true;
	cpu->interrupts.vector = vector;
	queue_accepted(cpu);
}

int interrupt_accepted(const struct cpu *cpu)
{
	if (event_is_interrupt(cpu))
		return cpu->event.vector;
	return cpu->interrupts.accepted ? cpu->interrupts.vector : -1;
}

bool interrupt_nmi_accepted(const struct cpu *cpu)
{
	return (cpu->event.pending && cpu->event.nmi) || cpu->interrupts.nmi_accepted;
}

void interrupt_nmi(struct cpu *cpu)
{
	bool blocked = cpu->interrupts.nmi_blocked || interrupt_nmi_accepted(cpu);

	cpu->interrupts.nmis = (uint8_t)MIN(cpu->interrupts.nmis + 1u, blocked ? 1u : 2u);
}

void interrupt_restore(struct cpu *cpu, const struct cpu_interrupts *to)
{
	bool wanted = cpu->interrupts.window_wanted;

	if (cpu->event.interrupt)
		cpu->event.pending = false;
	cpu->interrupts = *to;
	cpu->interrupts.window_wanted = wanted;
	queue_accepted(cpu);
}

bool interrupt_wakes(const struct cpu *cpu)
{
	return cpu->event.pending || cpu->interrupts.accepted || cpu->interrupts.nmi_accepted ||
	       nmi_can_be_taken(cpu);
}

void interrupt_next(struct cpu *cpu)
{
	struct cpu_interrupts *w = &cpu->interrupts;

	if (!cpu->event.pending && !w->accepted && !w->nmi_accepted && nmi_can_be_taken(cpu) &&
	    !cpu->debug.client.holds_interrupts && is_at_boundary(cpu)) {
		w->nmis--;
		w->nmi_accepted = true;
	}
	queue_accepted(cpu);
}

void interrupt_unblock_nmi(struct cpu *cpu)
{
	cpu->interrupts.nmi_blocked = false;
	if (cpu->interrupts.nmis)
		cpu->stop = true;
}
