/* SPDX-License-Identifier: MIT */
/* machine/lapic.c - the registers, by memory, by MSR and by the client; and the modes. */
#include "machine/lapic.h"

#include <string.h>

#include "base/compiler.h"
#include "machine/lapic_internal.h"
#include "machine/lapics.h"

#define VERSION 0x14u
#define BASE_PAGE 0xfffffffffff000ull
#define PAGE_BYTES 0x1000u

#define SVR_KNOWN 0x3ffu
#define DFR_FIXED 0x0fffffffu
#define DELIVERY_PENDING (1u << 12)
/* Reserved in the ICR of x2APIC mode, where a set bit is a fault. */
#define ICR_X2APIC_RESERVED (0xfff00000u | 3u << 16 | 1u << 13)

#define LVT_KNOWN (0xffu | DELIVERY_PENDING | LVT_MASKED)
#define LVT_LINT_KNOWN (LVT_KNOWN | LVT_MODE | 7u << 13)

static uint32_t logical_x2apic_id(uint32_t id)
{
	return id >> 4 << 16 | 1u << (id & 0xf);
}

/* --- modes and reset -------------------------------------------------------------- */

static void set_identity(struct lapic *l)
{
	if (lapic_is_x2apic(l)) {
		lapic_set_reg(l, LAPIC_ID, l->id);
		lapic_set_reg(l, LAPIC_LDR, logical_x2apic_id(l->id));
	} else {
		lapic_set_reg(l, LAPIC_ID, l->id << 24);
	}
}

/* With the number of the last entry of the local vector table. */
static uint32_t version(const struct lapic *l)
{
	return VERSION | (l->has_cmci ? 6u : 5u) << 16;
}

static void mask_lvts(struct lapic *l)
{
	if (l->has_cmci)
		lapic_set_reg(l, LAPIC_LVT_CMCI, lapic_reg(l, LAPIC_LVT_CMCI) | LVT_MASKED);
	for (unsigned int lvt = LAPIC_LVT_TIMER; lvt <= LAPIC_LVT_ERROR; lvt += 16)
		lapic_set_reg(l, lvt, lapic_reg(l, lvt) | LVT_MASKED);
}

void lapic_reset(struct lapic *l)
{
	uint32_t id = lapic_reg(l, LAPIC_ID);

	lapic_timer_stop(l);
	l->period = 0;
	l->tsc_deadline = 0;
	for (unsigned int i = 0; i < LAPIC_WORDS; i++)
		atomic32_store_relaxed(&l->reg[i], 0);
	lapic_set_reg(l, LAPIC_ID, id);
	lapic_set_reg(l, LAPIC_VERSION, version(l));
	lapic_set_reg(l, LAPIC_DFR, UINT32_MAX);
	lapic_set_reg(l, LAPIC_SVR, 0xff);
	mask_lvts(l);
	/* Firmware that knows no APIC gets the PIC's interrupts. */
	if ((atomic64_load_relaxed(&l->base) & LAPIC_BASE_BSP) &&
	    !atomic32_load_relaxed(&l->all->no_virtual_wire))
		lapic_set_reg(l, LAPIC_LVT_LINT0, (uint32_t)DELIVER_EXTINT << 8);
	if (lapic_is_x2apic(l))
		set_identity(l);
}

void lapic_init(struct lapic *l, struct lapics *all, struct timers *timers,
		const struct lapic_ops *ops, uint32_t id, bool bsp)
{
	l->all = all;
	l->timers = timers;
	l->ops = ops;
	l->id = id;
	lapic_timer_init(l);
	atomic64_store_relaxed(&l->base, LAPIC_BASE_DEFAULT | LAPIC_BASE_ENABLED |
						 (bsp ? LAPIC_BASE_BSP : 0));
	lapic_reset(l);
	set_identity(l);
}

void lapic_destroy(struct lapic *l)
{
	lapic_timer_stop(l);
}

void lapic_set_cmci(struct lapic *l, bool has_cmci)
{
	l->has_cmci = has_cmci;
	lapic_set_reg(l, LAPIC_VERSION, version(l));
	lapic_set_reg(l, LAPIC_LVT_CMCI, has_cmci ? LVT_MASKED : 0);
}

void lapic_signal_cmci(struct lapic *l)
{
	if (l->has_cmci)
		lapic_local_event(l, LAPIC_LVT_CMCI);
}

void lapic_set_base(struct lapic *l, uint64_t base)
{
	uint64_t modes = LAPIC_BASE_ENABLED | LAPIC_BASE_X2APIC;
	uint64_t changed = (base ^ atomic64_load_relaxed(&l->base)) & modes;

	atomic64_store_relaxed(&l->base, base);
	if (!changed)
		return;
	/* Switched off, it forgets everything. */
	if (!(base & LAPIC_BASE_ENABLED))
		lapic_reset(l);
	set_identity(l);
}

/* --- writing ---------------------------------------------------------------------- */

static uint32_t lvt_known(unsigned int offset)
{
	switch (offset) {
	case LAPIC_LVT_LINT0:
	case LAPIC_LVT_LINT1:
		return LVT_LINT_KNOWN;
	case LAPIC_LVT_ERROR:
		return LVT_KNOWN;
	default:
		return LVT_KNOWN | LVT_MODE;
	}
}

static void write_lvt(struct lapic *l, unsigned int offset, uint32_t value)
{
	if (!(lapic_reg(l, LAPIC_SVR) & LAPIC_SVR_ENABLED))
		value |= LVT_MASKED;
	lapic_set_reg(l, offset, value & lvt_known(offset));
}

static void write_svr(struct lapic *l, uint32_t value)
{
	uint32_t known = SVR_KNOWN;

	if (l->has_directed_eoi)
		known |= LAPIC_SVR_NO_EOI_BROADCAST;
	lapic_set_reg(l, LAPIC_SVR, value & known);
	if (value & LAPIC_SVR_ENABLED)
		return;
	mask_lvts(l);
	/* An expiry that was not yet taken over is masked too. */
	lapic_poll(l);
}

static void write_icr(struct lapic *l, uint32_t low, uint32_t high)
{
	low &= ~DELIVERY_PENDING;
	lapic_set_reg(l, LAPIC_ICR, low);
	lapic_set_reg(l, LAPIC_ICR_HIGH, high);
	lapics_send_ipi(l, low, lapic_is_x2apic(l) ? high : high >> 24);
}

/* Those of xAPIC mode alone.  False: none of these. */
static bool write_xapic_reg(struct lapic *l, unsigned int offset, uint32_t value)
{
	switch (offset) {
	case LAPIC_ID:
		lapic_set_reg(l, offset, value & 0xff000000);
		return true;
	case LAPIC_LDR:
		lapic_set_reg(l, offset, value & 0xff000000);
		return true;
	case LAPIC_DFR:
		lapic_set_reg(l, offset, value | DFR_FIXED);
		return true;
	case LAPIC_ICR:
		write_icr(l, value, lapic_reg(l, LAPIC_ICR_HIGH));
		return true;
	case LAPIC_ICR_HIGH:
		lapic_set_reg(l, offset, value & 0xff000000);
		return true;
	default:
		return false;
	}
}

/* Those of both modes.  False: none of these, or reserved bits in x2APIC mode. */
static bool write_reg(struct lapic *l, unsigned int offset, uint32_t value)
{
	switch (offset) {
	case LAPIC_TPR:
		lapic_set_reg(l, offset, value & 0xff);
		return true;
	case LAPIC_EOI:
		lapic_end_interrupt(l);
		return true;
	case LAPIC_SVR:
		write_svr(l, value);
		return true;
	case LAPIC_ESR:
		/* No errors are found: there is nothing to latch. */
		lapic_set_reg(l, offset, 0);
		return !lapic_is_x2apic(l) || !value;
	case LAPIC_LVT_TIMER:
		lapic_timer_set_lvt(l, value);
		return true;
	case LAPIC_LVT_CMCI:
		if (!l->has_cmci)
			return false;
		write_lvt(l, offset, value);
		return true;
	case LAPIC_LVT_THERMAL:
	case LAPIC_LVT_PERF:
	case LAPIC_LVT_LINT0:
	case LAPIC_LVT_LINT1:
	case LAPIC_LVT_ERROR:
		write_lvt(l, offset, value);
		return true;
	case LAPIC_INITIAL_COUNT:
		lapic_timer_set_count(l, value);
		return true;
	case LAPIC_DIVIDE:
		lapic_timer_set_divide(l, value);
		return true;
	default:
		return false;
	}
}

bool lapic_write_msr(struct lapic *l, uint32_t index, uint64_t value)
{
	unsigned int offset = (index - MSR_X2APIC_FIRST) * 16;

	if (!lapic_is_x2apic(l) || offset >= LAPIC_BYTES)
		return false;
	if (offset == LAPIC_ICR) {
		if (value & ICR_X2APIC_RESERVED)
			return false;
		write_icr(l, (uint32_t)value, (uint32_t)(value >> 32));
		return true;
	}
	if (value >> 32)
		return false;
	if (offset == LAPIC_SELF_IPI) {
		if (value >> 8)
			return false;
		lapics_send_ipi(l, (uint32_t)value | 1u << 18, 0);
		return true;
	}
	return write_reg(l, offset, (uint32_t)value);
}

/* --- reading ---------------------------------------------------------------------- */

static bool is_readable(const struct lapic *l, unsigned int offset)
{
	switch (offset) {
	case LAPIC_ARBITRATION:
	case LAPIC_DFR:
	case LAPIC_ICR_HIGH:
		return !lapic_is_x2apic(l);
	case LAPIC_LVT_CMCI:
		return l->has_cmci;
	case LAPIC_ID:
	case LAPIC_VERSION:
	case LAPIC_TPR:
	case LAPIC_PPR:
	case LAPIC_LDR:
	case LAPIC_SVR:
	case LAPIC_ESR:
	case LAPIC_ICR:
	case LAPIC_INITIAL_COUNT:
	case LAPIC_CURRENT_COUNT:
	case LAPIC_DIVIDE:
		return true;
	default:
		return (offset >= LAPIC_ISR && offset < LAPIC_ESR) ||
		       (offset >= LAPIC_LVT_TIMER && offset <= LAPIC_LVT_ERROR);
	}
}

static uint32_t read_reg(struct lapic *l, unsigned int offset)
{
	uint32_t value = lapic_reg(l, offset);

	switch (offset) {
	case LAPIC_VERSION:
		return value | (l->has_directed_eoi ? LAPIC_VERSION_NO_EOI_BROADCAST : 0);
	case LAPIC_ARBITRATION:
		return 0;
	case LAPIC_PPR:
		return lapic_ppr(l);
	case LAPIC_CURRENT_COUNT:
		return lapic_timer_count(l);
	default:
		return value;
	}
}

bool lapic_read_msr(struct lapic *l, uint32_t index, uint64_t *value)
{
	unsigned int offset = (index - MSR_X2APIC_FIRST) * 16;

	if (!lapic_is_x2apic(l) || offset >= LAPIC_BYTES || !is_readable(l, offset))
		return false;
	*value = read_reg(l, offset);
	if (offset == LAPIC_ICR)
		*value |= (uint64_t)lapic_reg(l, LAPIC_ICR_HIGH) << 32;
	return true;
}

/* --- by memory -------------------------------------------------------------------- */

static bool is_in_page(const struct lapic *l, uint64_t gpa)
{
	return gpa - (atomic64_load_relaxed(&l->base) & BASE_PAGE) < PAGE_BYTES;
}

static bool has_page(const struct lapic *l)
{
	return lapic_is_on(l) && !lapic_is_x2apic(l);
}

/* Off, or in x2APIC mode, the page is still there, and all ones; or it is the client's. */
static bool is_its_page(const struct lapic *l, uint64_t gpa)
{
	return is_in_page(l, gpa) &&
	       (has_page(l) || !atomic32_load_relaxed(&l->all->no_page_of_ones));
}

bool lapic_read(struct lapic *l, uint64_t gpa, void *data, unsigned int bytes)
{
	unsigned int offset = gpa & (PAGE_BYTES - 1), within = offset % 16;
	uint32_t value = 0;

	if (!is_its_page(l, gpa))
		return false;
	memset(data, has_page(l) ? 0 : 0xff, bytes);
	if (!has_page(l) || within + bytes > sizeof(value))
		return true;
	offset -= within;
	if (offset < LAPIC_BYTES && is_readable(l, offset))
		value = read_reg(l, offset);
	memcpy(data, (const uint8_t *)&value + within, bytes);
	return true;
}

/* Anything but an aligned word is undefined: it does nothing. */
bool lapic_write(struct lapic *l, uint64_t gpa, const void *data, unsigned int bytes)
{
	unsigned int offset = gpa & (PAGE_BYTES - 1);
	uint32_t value;

	if (!is_its_page(l, gpa))
		return false;
	if (!has_page(l) || bytes != sizeof(value) || offset % 16 || offset >= LAPIC_BYTES)
		return true;
	memcpy(&value, data, sizeof(value));
	if (!write_xapic_reg(l, offset, value))
		write_reg(l, offset, value);
	return true;
}

void lapic_set_cr8(struct lapic *l, unsigned int cr8)
{
	if (cr8 != lapic_get_cr8(l))
		lapic_set_reg(l, LAPIC_TPR, (cr8 & 0xf) << 4);
}

/* --- by the client ---------------------------------------------------------------- */

void lapic_get_state(struct lapic *l, uint8_t state[LAPIC_BYTES])
{
	lapic_poll(l);
	memset(state, 0, LAPIC_BYTES);
	for (unsigned int offset = 0; offset < LAPIC_BYTES; offset += 16) {
		uint32_t value = is_readable(l, offset) ? read_reg(l, offset) :
							  lapic_reg(l, offset);

		memcpy(state + offset, &value, sizeof(value));
	}
}

static uint32_t word_at(const uint8_t *state, unsigned int offset)
{
	uint32_t value;

	memcpy(&value, state + offset, sizeof(value));
	return value;
}

/* Its own identity and version are not the client's to choose. */
void lapic_set_state(struct lapic *l, const uint8_t state[LAPIC_BYTES])
{
	lapic_timer_stop(l);
	for (unsigned int offset = 0; offset < LAPIC_BYTES; offset += 16)
		lapic_set_reg(l, offset, word_at(state, offset));
	lapic_set_reg(l, LAPIC_VERSION, version(l));
	if (lapic_is_x2apic(l))
		set_identity(l);
	lapic_timer_restart(l, word_at(state, LAPIC_CURRENT_COUNT));
	l->ops->kick(l);
}
