/* SPDX-License-Identifier: MIT */
/*
 * kvm/irqchip/irqchip.h - the interrupt controllers of a VM that has them in the "kernel":
 * machine/'s devices, put together.
 *
 * Split: only local APICs and routes; IOAPIC, PIC and PIT are the client's.
 */
#ifndef KVM_IRQCHIP_H
#define KVM_IRQCHIP_H

#include "kvm/irqchip/irqfd.h"
#include "kvm/vm.h"
#include "machine/ioapic.h"
#include "machine/lapics.h"
#include "machine/pic.h"
#include "machine/pit.h"
#include "machine/routes.h"
#include "machine/timers.h"

/* (c) constant after creation  (a) atomic  [v] vm->lock
 * (o) an object with locks or owners of its own: its header says */
struct irqchip {
	struct vm *vm;			/* (c) */
	bool split;			/* (c) */
	uint32_t n_split_pins;		/* (c) GSIs of the client's IOAPIC: the first ones */
	struct timers timers;		/* (o) */
	struct lapics lapics;		/* (o) */
	struct atomic_ptr lapic[MMU_MAX_VCPUS]; /* lapics' */
	struct routes routes;		/* (o) replaced under vm->lock */
	struct irqfds irqfds;		/* (o) */
	/* Not with split: */
	struct pic pic;			/* (o) */
	struct ioapic ioapic;		/* (o) */
	struct pit pit;			/* (o) once has_pit */
	struct atomic32 has_pit;	/* (a) changed under vm->lock */
};

/* NULL: there is none. */
static inline struct irqchip *irqchip_of(const struct vm *vm)
{
	return atomic_ptr_load_acquire(&vm->irqchip);
}

/* PIC and IOAPIC too; NULL as well where they are the client's. */
static inline struct irqchip *irqchip_full(const struct vm *vm)
{
	struct irqchip *chip = irqchip_of(vm);

	return chip && !chip->split ? chip : NULL;
}

static inline struct pit *irqchip_pit(const struct vm *vm)
{
	struct irqchip *chip = irqchip_of(vm);

	return chip && atomic32_load_acquire(&chip->has_pit) ? &chip->pit : NULL;
}

/* KVM_CAP_SPLIT_IRQCHIP.  0 or -errno. */
long irqchip_split(struct vm *vm, uint64_t n_pins) REQUIRES(vm->lock);
/* KVM_INTERRUPT of a vCPU with a local APIC.  0 or -errno. */
long irqchip_queue_external(struct vcpu *vcpu, uint8_t vector);

/* 0 or -errno.  @n_split_pins: of a split one, else NULL. */
int irqchip_create(struct vm *vm, const uint32_t *n_split_pins) MUST_CHECK REQUIRES(vm->lock);
void irqchip_add_pit(struct irqchip *chip, bool has_port_61);
/* What the client has chosen for local APICs, before or after there were some. */
void irqchip_take_choices(struct vm *vm) REQUIRES(vm->lock);
/* Its threads end.  Before the vCPUs go. */
void irqchip_stop(struct vm *vm);
/* After them. */
void irqchip_destroy(struct vm *vm);

/* A line of the client's or of an irqfd's. */
static inline int irqchip_set_line(struct irqchip *chip, uint32_t gsi, enum line_source source,
				   bool level)
{
	return routes_set_line(&chip->routes, gsi, source, level);
}

#endif
