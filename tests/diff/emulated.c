/* SPDX-License-Identifier: MIT */
/*
 * tests/diff/emulated.c - runs cases on Umbra, as a program of level 3 in long
 * mode.
 *
 * What the system needs (tables, stack, the handlers, each a HLT) is mapped in
 * the upper half for the supervisor only; the case ends in one of the handlers,
 * and its frame on the stack says the rest.
 */
#include <stdio.h>
#include <string.h>

#include "cpu/state/cpuid.h"
#include "diff.h"
#include "machine.h"

#define MEMORY_BYTES (4u << 20)
/* Where the first 256 KiB of memory are in the upper half. */
#define SYSTEM_AT 0xffff800000000000ull
#define SYSTEM_PAGES 64u
/* Physical places that machine.h leaves free. */
#define UPPER_TABLES 0x10000u
#define CODE_GPA 0x100000u
#define DATA_GPA 0x110000u

static struct machine *m;

static uint64_t *table(uint64_t gpa)
{
	return (uint64_t *)(m->memory + gpa);
}

static void map_pages(uint64_t *level1, uint64_t gva, uint64_t gpa, unsigned int pages,
		      uint64_t bits)
{
	for (unsigned int i = 0; i < pages; i++)
		level1[(gva >> PAGE_SHIFT & 511) + i] = (gpa + ((uint64_t)i << PAGE_SHIFT)) | bits;
}

static void write_page_tables(void)
{
	const uint64_t link = GPTE_P | GPTE_W | GPTE_U;
	uint64_t *level4 = table(MACHINE_TABLES), *low = table(MACHINE_TABLES + 0x3000);

	memset(level4, 0, 0x4000);
	memset(table(UPPER_TABLES), 0, 0x3000);
	level4[0] = (MACHINE_TABLES + 0x1000) | link;
	table(MACHINE_TABLES + 0x1000)[0] = (MACHINE_TABLES + 0x2000) | link;
	table(MACHINE_TABLES + 0x2000)[0] = (MACHINE_TABLES + 0x3000) | link;
	map_pages(low, CODE_AT, CODE_GPA, CODE_BYTES >> PAGE_SHIFT, GPTE_P | GPTE_U);
	map_pages(low, DATA_AT, DATA_GPA, DATA_WRITABLE >> PAGE_SHIFT,
		  GPTE_P | GPTE_W | GPTE_U | GPTE_NX);
	map_pages(low, DATA_AT + DATA_WRITABLE, DATA_GPA + DATA_WRITABLE,
		  (DATA_BYTES - DATA_WRITABLE) >> PAGE_SHIFT, GPTE_P | GPTE_U | GPTE_NX);
	level4[256] = UPPER_TABLES | link;
	table(UPPER_TABLES)[0] = (UPPER_TABLES + 0x1000) | link;
	table(UPPER_TABLES + 0x1000)[0] = (UPPER_TABLES + 0x2000) | link;
	map_pages(table(UPPER_TABLES + 0x2000), SYSTEM_AT, 0, SYSTEM_PAGES, GPTE_P | GPTE_W);
}

static void write_handlers(void)
{
	uint64_t stack = SYSTEM_AT + MACHINE_STACK;

	for (unsigned int v = 0; v < 256; v++)
		machine_set_gate(m, v, SYSTEM_AT + MACHINE_STUBS + v, SEL_CODE64,
				 v == EXC_BP || v == EXC_OF ? 0xee : 0x8e, 0);
	memcpy(m->memory + MACHINE_TSS + 4, &stack, 8);
}

void emulated_start(void)
{
	m = machine_make(MEMORY_BYTES, 1);
	machine_set_long(m, m->cpu, true);
	write_page_tables();
	write_handlers();
}

void emulated_stop(void)
{
	machine_free(m);
}

static void set_x87(struct x87 *x, const struct diff_x87 *in)
{
	*x = (struct x87){
		.fcw = in->fcw, .fsw = in->fsw, .ftw = (uint8_t)in->ftw, .fop = in->fop,
		.fip = in->fip, .fdp = in->fdp,
	};
	memcpy(x->st, in->st, sizeof(x->st));
}

static void get_x87(const struct x87 *x, struct diff_x87 *out)
{
	*out = (struct diff_x87){
		.fcw = x->fcw, .fsw = x->fsw, .ftw = x->ftw, .fop = x->fop,
		.fip = x->fip, .fdp = x->fdp,
	};
	memcpy(out->st, x->st, sizeof(out->st));
}

static void begin_case(const struct diff_case *c)
{
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, true);
	write_page_tables();
	write_handlers();
	cpu->gdt.base += SYSTEM_AT;
	cpu->idt.base += SYSTEM_AT;
	cpu->segs[SEG_TR].base += SYSTEM_AT;
	if (c->is_32bit) {
		cpu->segs[SEG_CS].selector = SEL_USER_CODE32 | 3;
		cpu->segs[SEG_CS].l = false;
		cpu->segs[SEG_CS].db = true;
	}
	memset(m->memory + CODE_GPA, 0xcc, CODE_BYTES);
	memcpy(m->memory + CODE_GPA + c->offset, c->code, c->bytes);
	memcpy(m->memory + DATA_GPA, c->in.data, DATA_BYTES);
	memcpy(cpu->r, c->in.gpr, sizeof(c->in.gpr));
	memcpy(cpu->xmm, c->in.xmm, sizeof(c->in.xmm));
	memcpy(cpu->ymm_high, c->in.ymm_high, sizeof(c->in.ymm_high));
	cpu->mmu.paging.cr4 |= X86_CR4_OSXSAVE;
	cpu->xcr0 = cpuid_xcr0_offered();
	cpu->mxcsr = c->in.mxcsr;
	set_x87(&cpu->x87, &c->in.x87);
	cpu->rip = c->in.rip;
	cpu->event.pending = false;
	cpu_set_rflags(cpu, c->in.rflags | X86_EFLAGS_IF);
	cpu_state_changed(cpu);
}

static void end_case(struct diff_state *s, uint32_t vector)
{
	/* Which exceptions push an error code. */
	const uint32_t with_code = 1u << EXC_DF | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS |
				   1u << EXC_GP | 1u << EXC_PF | 1u << EXC_AC;
	struct cpu *cpu = m->cpu;
	uint64_t frame = cpu->r[GPR_RSP] - SYSTEM_AT;

	s->vector = vector;
	s->error = 0;
	if (vector < 32 && (with_code >> vector & 1)) {
		s->error = machine_read32(m, frame);
		frame += 8;
	}
	memcpy(s->gpr, cpu->r, sizeof(s->gpr));
	s->rip = machine_read64(m, frame);
	s->rflags = machine_read64(m, frame + 16);
	s->gpr[GPR_RSP] = machine_read64(m, frame + 24);
	s->cr2 = cpu->cr2;
	memcpy(s->xmm, cpu->xmm, sizeof(s->xmm));
	memcpy(s->ymm_high, cpu->ymm_high, sizeof(s->ymm_high));
	s->mxcsr = cpu->mxcsr;
	get_x87(&cpu->x87, &s->x87);
	memcpy(s->data, m->memory + DATA_GPA, DATA_BYTES);
}

const char *emulated_run(const struct diff_case *c, struct diff_state *result)
{
	static char text[64];
	struct cpu *cpu = m->cpu;
	enum cpu_exit exit;

	begin_case(c);
	for (int i = 0; i < 1000; i++) {
		exit = cpu_run(cpu, 10000);
		if (exit != CPU_EXIT_POLL)
			break;
	}
	if (exit == CPU_EXIT_HLT) {
		end_case(result, (uint32_t)(cpu->rip - 1 - SYSTEM_AT - MACHINE_STUBS));
		return NULL;
	}
	snprintf(text, sizeof(text), "exit %d at rip %#llx", (int)exit,
		 (unsigned long long)cpu->rip);
	return text;
}
