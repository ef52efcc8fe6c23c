/* SPDX-License-Identifier: MIT */
/* kvm/irqchip/calls.c - calls that make controllers, route and raise interrupts. */
#include "kvm/calls/call.h"
#include "kvm/fd/client.h"
#include "kvm/irqchip/irqchip.h"

#define MAX_ROUTES 4096u		/* KVM_MAX_IRQ_ROUTES */

static long create_irqchip(struct vm *vm, const uint32_t *n_split_pins)
{
	mutex_assert_held(&vm->lock);
	if (irqchip_of(vm))
		return -EEXIST;
	if (vm->n_vcpus)
		return -EINVAL;
	return irqchip_create(vm, n_split_pins);
}

long call_create_irqchip(struct call *c)
{
	return create_irqchip(c->vm, NULL);
}

long irqchip_split(struct vm *vm, uint64_t n_pins)
{
	uint32_t n = (uint32_t)n_pins;

	return n_pins > MAX_ROUTES ? -EINVAL : create_irqchip(vm, &n);
}

static long create_pit(struct call *c, bool has_port_61)
{
	struct irqchip *chip = irqchip_full(c->vm);

	if (irqchip_pit(c->vm))
		return -EEXIST;
	if (!chip)
		return -ENOENT;
	irqchip_add_pit(chip, has_port_61);
	return 0;
}

long call_create_pit(struct call *c)
{
	return create_pit(c, true);
}

long call_create_pit2(struct call *c)
{
	const struct kvm_pit_config *config = c->data;

	return create_pit(c, config->flags & KVM_PIT_SPEAKER_DUMMY);
}

/* Of both numbers: by one of them the status goes back to the client. */
long call_irq_line(struct call *c)
{
	struct kvm_irq_level *line = c->data;
	struct irqchip *chip = irqchip_of(c->vm);

	if (!chip)
		return -ENXIO;
	line->status = irqchip_set_line(chip, line->irq, LINE_CLIENT, line->level);
	return 0;
}

/* With identifiers of 32 bits its upper half has bits 31 to 8 of one, and nothing else. */
static bool is_good_address(const struct vm *vm, uint32_t high)
{
	return !(atomic32_load_relaxed(&vm->x2apic_api) & KVM_X2APIC_API_USE_32BIT_IDS) ||
	       !(high & 0xff);
}

/* -1, if nobody takes it, is EPERM to the client: as in the kernel. */
long call_signal_msi(struct call *c)
{
	const struct kvm_msi *msi = c->data;
	struct irqchip *chip = irqchip_of(c->vm);

	if (!chip || (msi->flags & ~KVM_MSI_VALID_DEVID) ||
	    !is_good_address(c->vm, msi->address_hi))
		return -EINVAL;
	return routes_send_message(&chip->routes,
				   (uint64_t)msi->address_hi << 32 | msi->address_lo, msi->data);
}

/* False: no such type, or a flag that it does not have. */
static bool route_of(const struct vm *vm, const struct kvm_irq_routing_entry *e,
		     struct route *route)
{
	*route = (struct route){ .gsi = e->gsi };
	switch (e->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		if (e->flags || e->u.irqchip.irqchip >= N_CONTROLLERS ||
		    e->u.irqchip.pin >= IOAPIC_PINS)
			return false;
		route->controller = (uint8_t)e->u.irqchip.irqchip;
		route->pin = (uint8_t)e->u.irqchip.pin;
		return true;
	case KVM_IRQ_ROUTING_MSI:
		if ((e->flags & ~KVM_MSI_VALID_DEVID) || !is_good_address(vm, e->u.msi.address_hi))
			return false;
		route->is_message = true;
		route->address = (uint64_t)e->u.msi.address_hi << 32 | e->u.msi.address_lo;
		route->data = e->u.msi.data;
		return true;
	default:
		return false;
	}
}

static long read_routes(struct call *c, struct irqchip *chip, struct route_table *t)
{
	uintptr_t from = c->arg + sizeof(struct kvm_irq_routing);

	for (unsigned int i = 0; i < t->n; i++) {
		struct kvm_irq_routing_entry e;

		if (copy_from_client(&e, from + i * sizeof(e), sizeof(e)))
			return -EFAULT;
		if (!route_of(c->vm, &e, &t->route[i]))
			return -EINVAL;
	}
	routes_sort(t);
	return routes_are_valid(&chip->routes, t) ? 0 : -EINVAL;
}

_Static_assert(KVM_IRQCHIP_PIC_MASTER == CONTROLLER_PIC_1 &&
		       KVM_IRQCHIP_PIC_SLAVE == CONTROLLER_PIC_2 &&
		       KVM_IRQCHIP_IOAPIC == CONTROLLER_IOAPIC,
	       "the client's numbers");

long call_set_gsi_routing(struct call *c)
{
	const struct kvm_irq_routing *head = c->data;
	struct irqchip *chip = irqchip_of(c->vm);
	struct route_table *t;
	size_t bytes;
	long err;

	if (!chip || head->nr > MAX_ROUTES || head->flags)
		return -EINVAL;
	bytes = sizeof(*t) + head->nr * sizeof(t->route[0]);
	t = alloc_zeroed(&c->vm->alloc, bytes);
	if (!t)
		return -ENOMEM;
	t->bytes = bytes;
	t->n = head->nr;
	err = read_routes(c, chip, t);
	if (!err)
		t = routes_replace(&chip->routes, t);
	if (t)
		alloc_free(&c->vm->alloc, t, t->bytes);
	return err;
}

long call_irqfd(struct call *c)
{
	const struct kvm_irqfd *args = c->data;
	struct irqchip *chip = irqchip_of(c->vm);

	if (args->flags & ~(uint32_t)(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	if (!chip || (chip->split && (args->flags & KVM_IRQFD_FLAG_RESAMPLE)))
		return -EINVAL;
	if (args->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return irqfds_deassign(&chip->irqfds, args);
	return irqfds_assign(&chip->irqfds, args);
}

/* With the PIC in the kernel there is no other. */
long irqchip_queue_external(struct vcpu *vcpu, uint8_t vector)
{
	if (!vcpu->irqchip->split)
		return -ENXIO;
	if (vcpu->external_vector >= 0)
		return -EEXIST;
	vcpu->external_vector = vector;
	return 0;
}
