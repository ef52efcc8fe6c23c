/* SPDX-License-Identifier: MIT */
#include "cpu/state/debug.h"

#include <string.h>

#include "cpu/charge.h"
#include "cpu/event/raise.h"
#include "cpu/state/mode.h"
#include "mmu/tlb/tlb.h"

#define N_BREAKPOINTS 4u
#define DR7_ENABLES 0xffull	/* L0, G0 to L3, G3 */

/* DR7.R/W: what a breakpoint waits for. */
enum { AT_EXECUTION, AT_WRITE, AT_IO, AT_ACCESS };

static bool is_enabled(const struct cpu *cpu, unsigned int i)
{
	return cpu->debug.dr7 >> (2 * i) & 3;
}

static unsigned int kind_of(const struct cpu *cpu, unsigned int i)
{
	return cpu->debug.dr7 >> (16 + 4 * i) & 3;
}

/* DR7.LEN: 1, 2, 8 or 4 bytes. */
static unsigned int length_of(const struct cpu *cpu, unsigned int i)
{
	static const uint8_t lengths[] = { 1, 2, 8, 4 };

	return lengths[cpu->debug.dr7 >> (18 + 4 * i) & 3];
}

/* The low bits of an address that its length covers do not count. */
static uint64_t address_of(const struct cpu *cpu, unsigned int i)
{
	return cpu->debug.dr[i] & ~(uint64_t)(length_of(cpu, i) - 1);
}

/* Addresses wrap at 32 bits but in long mode. */
static bool overlaps(const struct cpu *cpu, unsigned int i, uint64_t at, unsigned int bytes)
{
	uint64_t mask = cpu_is_long_mode(cpu) ? ~0ull : 0xffffffff, watched = address_of(cpu, i);

	if (watched & ~mask)
		return false;
	return ((watched - at) & mask) < bytes || ((at - watched) & mask) < length_of(cpu, i);
}

static void choose_registers(struct cpu *cpu)
{
	struct cpu_debug *d = &cpu->debug;

	memcpy(d->dr, d->client.breaks ? d->client.dr : cpu->dr, sizeof(d->dr));
	d->dr7 = d->client.breaks ? d->client.dr7 : cpu->dr7;
}

void debug_changed(struct cpu *cpu)
{
	struct tlb_watch watches[TLB_WATCHES];
	unsigned int n = 0;

	choose_registers(cpu);
	for (unsigned int i = 0; i < N_BREAKPOINTS; i++) {
		unsigned int kind = kind_of(cpu, i);

		if (is_enabled(cpu, i) && (kind == AT_WRITE || kind == AT_ACCESS))
			watches[n++] = (struct tlb_watch){
				.page = gva_of(cpu->debug.dr[i] & PAGE_MASK),
				.reads = kind == AT_ACCESS,
			};
	}
	tlb_watch(&cpu->mmu, watches, n);
	cpu->debug.enabled = cpu->debug.dr7 & DR7_ENABLES;
	/* Breakpoints are not looked for within a block. */
	if (cpu->debug.enabled)
		cpu->stop = true;
}

void debug_set_client(struct cpu *cpu, const struct cpu_client_debug *client)
{
	uint64_t rflags = debug_client_rflags(cpu);

	cpu->debug.client = client ? *client : (struct cpu_client_debug){ 0 };
	cpu->debug.client.step_rip = cpu_linear_rip(cpu);
	cpu->debug.report.pending = false;
	debug_client_set_rflags(cpu, rflags);
	debug_changed(cpu);
}

uint64_t debug_client_rflags(struct cpu *cpu)
{
	uint64_t hidden = cpu->debug.client.steps ? X86_EFLAGS_TF : 0;

	return cpu_get_rflags(cpu) & ~hidden;
}

void debug_client_set_rflags(struct cpu *cpu, uint64_t rflags)
{
	bool steps = cpu->debug.client.steps && cpu_linear_rip(cpu) == cpu->debug.client.step_rip;

	cpu_set_rflags(cpu, rflags | (steps ? X86_EFLAGS_TF : 0));
}

static void note_report(struct cpu *cpu, uint8_t vector, uint64_t bits)
{
	cpu->debug.report.vector = vector;
	cpu->debug.report.dr6 = DR6_FIXED | bits;
}

bool debug_raise_exit(struct cpu *cpu, uint8_t vector, uint64_t bits)
{
	note_report(cpu, vector, bits);
	return raise_exit(cpu, CPU_EXIT_DEBUG);
}

/* Between instructions: the exit is made when the loop looks around. */
static void raise_debug(struct cpu *cpu, uint64_t bits)
{
	if (debug_is_clients(cpu)) {
		note_report(cpu, EXC_DB, bits);
		cpu->debug.report.pending = true;
		cpu->stop = true;
		return;
	}
	debug_report(cpu, bits);
	cpu->event = (struct cpu_event){ .pending = true, .vector = EXC_DB };
}

/* RF suppresses them, and so does MOV SS for the next instruction.  A length other
 * than one is undefined here, and never hits. */
bool debug_stops_instruction(struct cpu *cpu)
{
	uint64_t at = cpu_linear_rip(cpu);
	uint8_t hits = 0;

	charge(cpu, CHARGE_DEBUG);
	if ((cpu->rflags & X86_EFLAGS_RF) || (cpu->interrupt_shadow & SHADOW_MOV_SS))
		return false;
	for (unsigned int i = 0; i < N_BREAKPOINTS; i++)
		if (is_enabled(cpu, i) && kind_of(cpu, i) == AT_EXECUTION &&
		    length_of(cpu, i) == 1 && cpu->debug.dr[i] == at)
			hits |= (uint8_t)(1u << i);
	if (hits)
		raise_debug(cpu, hits);
	return hits;
}

void debug_note_access(struct cpu *cpu, uint64_t gva, unsigned int bytes, enum access access)
{
	charge(cpu, CHARGE_DEBUG);
	for (unsigned int i = 0; i < N_BREAKPOINTS; i++) {
		unsigned int kind = kind_of(cpu, i);

		if (!is_enabled(cpu, i) || !overlaps(cpu, i, gva, bytes) ||
		    !(kind == AT_ACCESS || (kind == AT_WRITE && access == ACCESS_WRITE)))
			continue;
		cpu->debug.seen |= (uint8_t)(1u << i);
		/* The trap comes before the next iteration. */
		cpu->stop = true;
	}
}

/* Without CR4.DE the encoding is undefined, and never hits. */
uint8_t debug_io_hits(const struct cpu *cpu, uint16_t port, unsigned int bytes)
{
	uint8_t hits = 0;

	if (!(cpu->mmu.paging.cr4 & X86_CR4_DE))
		return 0;
	for (unsigned int i = 0; i < N_BREAKPOINTS; i++)
		if (is_enabled(cpu, i) && kind_of(cpu, i) == AT_IO && overlaps(cpu, i, port, bytes))
			hits |= (uint8_t)(1u << i);
	return hits;
}

/*
 * SDM 3A 6.8.3: after MOV SS and POP SS a single step is dropped, and a data breakpoint
 * that they have hit themselves waits for the next instruction, or for the delivery of
 * an event (INT n: it is found at the first instruction of the handler).
 */
void debug_trap(struct cpu *cpu, bool step)
{
	uint16_t bits = cpu->debug.seen;

	cpu->debug.seen = 0;
	if (cpu->interrupt_shadow & SHADOW_MOV_SS) {
		cpu->debug.held |= bits;
		return;
	}
	bits |= cpu->debug.held;
	if (step)
		bits |= DR6_BS;
	/* After an event that is pending already: INT1's own, or one that was injected. */
	cpu->debug.held = cpu->event.pending ? bits : 0;
	if (bits && !cpu->event.pending)
		raise_debug(cpu, bits);
}

void debug_event_delivered(struct cpu *cpu)
{
	uint16_t bits = cpu->debug.seen | cpu->debug.held;

	cpu->debug.seen = 0;
	cpu->debug.held = 0;
	if (bits)
		raise_debug(cpu, bits);
}
