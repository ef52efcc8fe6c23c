/* SPDX-License-Identifier: MIT */
#include "kvm/irqchip/irqchip.h"

#define PIT_GSI 0

/* --- what the devices ask for ----------------------------------------------------- */

/* The PIC's output goes to those whose LINT0 lets it through: they look at it. */
static void pic_output(struct pic *p)
{
	struct irqchip *chip = container_of(p, struct irqchip, pic);

	for (uint32_t i = 0; i < atomic32_load_acquire(&chip->lapics.n); i++) {
		struct lapic *l = atomic_ptr_load_relaxed(&chip->lapic[i]);

		if (lapic_accepts_extint(l))
			l->ops->kick(l);
	}
}

static int gsi_of(struct irqchip *chip, enum controller controller, unsigned int pin)
{
	return routes_find_gsi(&chip->routes, controller, pin);
}

static void unmasked(struct irqchip *chip, enum controller controller, unsigned int pin)
{
	if (atomic32_load_acquire(&chip->has_pit) && gsi_of(chip, controller, pin) == PIT_GSI)
		pit_forget_interrupts(&chip->pit);
}

static void ended(struct irqchip *chip, enum controller controller, unsigned int pin)
{
	int gsi = gsi_of(chip, controller, pin);

	if (gsi == PIT_GSI && atomic32_load_acquire(&chip->has_pit))
		pit_interrupt_ended(&chip->pit);
	if (gsi >= 0)
		irqfds_ended(&chip->irqfds, (uint32_t)gsi);
}

static void pic_unmasked(struct pic *p, unsigned int pin)
{
	unmasked(container_of(p, struct irqchip, pic), pin / 8, pin % 8);
}

static void pic_ended(struct pic *p, unsigned int pin)
{
	ended(container_of(p, struct irqchip, pic), pin / 8, pin % 8);
}

static const struct pic_ops pic_ops = {
	.output = pic_output,
	.unmasked = pic_unmasked,
	.ended = pic_ended,
};

static int ioapic_deliver(struct ioapic *io, const struct interrupt *i)
{
	return lapics_deliver(&container_of(io, struct irqchip, ioapic)->lapics, i);
}

static void ioapic_unmasked(struct ioapic *io, unsigned int pin)
{
	unmasked(container_of(io, struct irqchip, ioapic), CONTROLLER_IOAPIC, pin);
}

static void ioapic_ended(struct ioapic *io, unsigned int pin)
{
	ended(container_of(io, struct irqchip, ioapic), CONTROLLER_IOAPIC, pin);
}

static const struct ioapic_ops ioapic_ops = {
	.deliver = ioapic_deliver,
	.unmasked = ioapic_unmasked,
	.ended = ioapic_ended,
};

static int pit_pulse(struct pit *p)
{
	struct irqchip *chip = container_of(p, struct irqchip, pit);

	return routes_pulse(&chip->routes, PIT_GSI, LINE_PIT);
}

static const struct pit_ops pit_ops = { .pulse = pit_pulse };

static int irqfd_set_line(struct irqfds *fds, uint32_t gsi, enum line_source source, bool level)
{
	struct irqchip *chip = container_of(fds, struct irqchip, irqfds);

	return irqchip_set_line(chip, gsi, source, level);
}

/* --- life ------------------------------------------------------------------------- */

static size_t table_bytes(unsigned int n)
{
	return sizeof(struct route_table) + n * sizeof(struct route);
}

/* NULL without memory. */
static struct route_table *default_routes(struct vm *vm)
{
	struct route_table *t = alloc_zeroed(&vm->alloc, table_bytes(ROUTES_DEFAULT_ENTRIES));

	if (!t)
		return NULL;
	t->bytes = table_bytes(ROUTES_DEFAULT_ENTRIES);
	routes_fill_default(t);
	routes_sort(t);
	return t;
}

static void init_controllers(struct irqchip *chip, struct route_table *routes)
{
	pic_init(&chip->pic, &pic_ops);
	ioapic_init(&chip->ioapic, &chip->timers, &ioapic_ops);
	routes_init(&chip->routes, &chip->lapics, &chip->pic, &chip->ioapic);
	atomic_ptr_store_relaxed(&chip->routes.table, routes);
}

void irqchip_take_choices(struct vm *vm)
{
	struct irqchip *chip = irqchip_of(vm);
	uint32_t quirks_off = atomic32_load_relaxed(&vm->quirks_off);
	uint32_t api = atomic32_load_relaxed(&vm->x2apic_api);

	if (!chip)
		return;
	atomic32_store_relaxed(&chip->lapics.no_virtual_wire,
			       quirks_off & KVM_X86_QUIRK_LINT0_REENABLED);
	atomic32_store_relaxed(&chip->lapics.no_page_of_ones,
			       quirks_off & KVM_X86_QUIRK_LAPIC_MMIO_HOLE);
	atomic32_store_relaxed(&chip->lapics.no_broadcast_quirk,
			       api & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	atomic32_store_relaxed(&chip->routes.wide_messages,
			       api & KVM_X2APIC_API_USE_32BIT_IDS);
}

int irqchip_create(struct vm *vm, const uint32_t *n_split_pins)
{
	struct irqchip *chip = alloc_zeroed(&vm->alloc, sizeof(*chip));
	struct route_table *routes = n_split_pins ? NULL : default_routes(vm);
	int err = -ENOMEM;

	if (!chip || (!n_split_pins && !routes))
		goto free_memory;
	timers_init(&chip->timers);
	err = timers_start(&chip->timers);
	if (err)
		goto destroy_timers;
	chip->vm = vm;
	lapics_init(&chip->lapics, chip->lapic, ARRAY_SIZE(chip->lapic));
	irqfds_init(&chip->irqfds, &vm->alloc, irqfd_set_line);
	chip->split = n_split_pins;
	if (n_split_pins) {
		chip->n_split_pins = *n_split_pins;
		routes_init(&chip->routes, &chip->lapics, NULL, NULL);
	} else {
		init_controllers(chip, routes);
	}
	atomic_ptr_store_release(&vm->irqchip, chip);
	irqchip_take_choices(vm);
	return 0;

destroy_timers:
	timers_destroy(&chip->timers);
free_memory:
	if (routes)
		alloc_free(&vm->alloc, routes, routes->bytes);
	alloc_free(&vm->alloc, chip, sizeof(*chip));
	return err;
}

void irqchip_add_pit(struct irqchip *chip, bool has_port_61)
{
	pit_init(&chip->pit, &chip->timers, &pit_ops, has_port_61);
	atomic32_store_release(&chip->has_pit, 1);
}

void irqchip_stop(struct vm *vm)
{
	struct irqchip *chip = irqchip_of(vm);

	if (!chip)
		return;
	irqfds_destroy(&chip->irqfds);
	timers_stop(&chip->timers);
}

void irqchip_destroy(struct vm *vm)
{
	struct irqchip *chip = irqchip_of(vm);
	struct route_table *routes;

	if (!chip)
		return;
	routes = atomic_ptr_load_relaxed(&chip->routes.table);
	if (routes)
		alloc_free(&vm->alloc, routes, routes->bytes);
	if (atomic32_load_relaxed(&chip->has_pit))
		pit_destroy(&chip->pit);
	if (!chip->split) {
		ioapic_destroy(&chip->ioapic);
		pic_destroy(&chip->pic);
	}
	timers_destroy(&chip->timers);
	alloc_free(&vm->alloc, chip, sizeof(*chip));
}
