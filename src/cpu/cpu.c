/* SPDX-License-Identifier: MIT */
/* cpu/cpu.c - a processor's life, and its state as others see it. */
#include "cpu/cpu.h"

#include <string.h>

#include "base/guarded.h"
#include "cpu/block.h"
#include "cpu/insn/sse/fp.h"
#include "cpu/insn/x87/x87.h"
#include "cpu/memory/mmio.h"
#include "cpu/state/cpuid.h"
#include "cpu/state/mode.h"
#include "cpu/state/msr.h"
#include "mmu/tlb/request.h"
#include "mmu/translate.h"
#include "sync/clock.h"

#define RESET_RIP 0xfff0
#define RESET_DR6 0xffff0ff0
#define RESET_DR7 0x400

static struct segment reset_segment(uint8_t type, bool s)
{
	return (struct segment){ .limit = 0xffff, .type = type, .s = s, .present = true };
}

static void reset_segments(struct cpu *cpu)
{
	for (unsigned int i = SEG_ES; i <= SEG_GS; i++)
		cpu->segs[i] = reset_segment(3, true);
	cpu->segs[SEG_CS] = reset_segment(0xb, true);
	cpu->segs[SEG_CS].selector = 0xf000;
	cpu->segs[SEG_CS].base = 0xffff0000;
	cpu->segs[SEG_LDTR] = reset_segment(2, false);
	cpu->segs[SEG_TR] = reset_segment(0xb, false);
	cpu->gdt = (struct descriptor_table){ .limit = 0xffff };
	cpu->idt = (struct descriptor_table){ .limit = 0xffff };
}

static void reset_paging(struct cpu *cpu)
{
	struct paging *p = &cpu->mmu.paging;

	/* CD and NW are for power-up to set. */
	p->cr0 = (p->cr0 & (X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;
	p->cr3 = p->cr4 = p->efer = 0;
	memset(p->pdptr, 0, sizeof(p->pdptr));
}

void cpu_take_init(struct cpu *cpu)
{
	uint32_t out[4];

	memset(cpu->r, 0, sizeof(cpu->r));
	cpuid_execute(cpu, 1, 0, out);
	cpu->r[GPR_RDX] = out[0] ? out[0] : 0x600;
	cpu->rip = RESET_RIP;
	cpu->cr2 = cpu->cr8 = 0;
	memset(cpu->dr, 0, sizeof(cpu->dr));
	cpu->dr6 = RESET_DR6;
	cpu->dr7 = RESET_DR7;
	cpu->event.pending = false;
	cpu->fault.pending = false;
	cpu->interrupts = (struct cpu_interrupts){ 0 };
	cpu->interrupt_shadow = 0;
	cpu->debug = (struct cpu_debug){ .client = cpu->debug.client };
	cpu->halted = false;
	cpu->io.pending = false;
	cpu->io.n_ready = 0;
	cpu->mmio.pending = false;
	cpu->asked.pending = false;
	mmio_drop_writes(cpu);
	mmio_end_instruction(cpu);
	reset_segments(cpu);
	reset_paging(cpu);
	cpu_set_rflags(cpu, X86_EFLAGS_FIXED);
	cpu_state_changed(cpu);
}

/* What an INIT leaves as it is. */
static void reset_rest(struct cpu *cpu)
{
	memset(cpu->xmm, 0, sizeof(cpu->xmm));
	memset(cpu->ymm_high, 0, sizeof(cpu->ymm_high));
	cpu->mxcsr = MXCSR_RESET;
	cpu->xcr0 = XCR0_X87;
	x87_reset(&cpu->x87);
	memset(cpu->x87.st, 0, sizeof(cpu->x87.st));
	cpu->mmu.paging.cr0 = X86_CR0_CD | X86_CR0_NW;
	cpu->mmu.paging.pkru = 0;
	msr_reset(cpu);
}

void cpu_reset(struct cpu *cpu)
{
	reset_rest(cpu);
	cpu_take_init(cpu);
}

int cpu_init(struct cpu *cpu, uint8_t *io_data)
{
	cpu->io_data = io_data;
	cpu->platform_info_readable = true;
	cpu->apic_base = 0xfee00000 | APIC_BASE_ENABLED;
	cpu->tsc_scale = TSC_SCALE_ONE;
	cpu->tsc_offset = -cpu_tsc(cpu);
	cpu->mxcsr_mask = fp_mxcsr_mask();
	cpu->usable = cpuid_usable(cpu);
	cpu_reset(cpu);
	return 0;
}

void cpu_destroy(struct cpu *cpu)
{
	block_cache_destroy(cpu);
}

unsigned int cpu_peek(struct cpu *cpu, uint64_t linear, uint8_t *to, unsigned int bytes)
{
	struct implicit_access saved;
	struct mmu_result r;
	unsigned int done = 0, n;

	memset(to, 0, bytes);
	guest_enter(&cpu->mmu);
	saved = mode_begin_implicit(cpu);
	while (done < bytes) {
		n = MIN(bytes - done, (unsigned int)(PAGE_SIZE - (linear & PAGE_OFFSET_MASK)));
		if ((cpu_is_long_mode(cpu) && !is_canonical(cpu, linear)) ||
		    mmu_translate(&cpu->mmu, gva_of(linear), ACCESS_READ, &r) != MMU_OK ||
		    !window_copy(&cpu->mmu.epoch, r.epoch, to + done, r.host, n))
			break;
		done += n;
		linear += n;
	}
	mode_end_implicit(cpu, saved);
	guest_leave(&cpu->mmu);
	return done;
}
