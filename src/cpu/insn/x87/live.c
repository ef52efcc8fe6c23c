/* SPDX-License-Identifier: MIT */
/* cpu/insn/x87/live.c - the guest's x87 registers to the host's, and back. */
#include <emmintrin.h>
#include <string.h>

#include "cpu/charge.h"
#include "cpu/insn/x87/x87.h"

#define FCW_FIXED 0x40u
#define FCW_BITS 0x1f3fu

/* Both also concern the registers of SSE, which no one relies on here, and MXCSR, which must stay
 * as it is.  Neither waits for an exception. */

static void save(struct fx_image *image)
{
	__asm__ __volatile__("fxsave64 %0" : "=m"(*image));
}

static void restore(struct fx_image *image)
{
	image->mxcsr = _mm_getcsr();
	__asm__ __volatile__("fxrstor64 %0"
			     :
			     : "m"(*image)
			     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			       "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
			       "xmm15");
}

void x87_go_live(struct cpu *cpu)
{
	struct x87 *x = &cpu->x87;
	struct fx_image image __attribute__((aligned(16)));

	save(&cpu->host_x87);
	image.fcw = x->fcw;
	image.fsw = x->fsw;
	image.ftw = x->ftw;
	image.reserved = 0;
	image.fop = 0;
	image.fip = image.fdp = 0;
	memcpy(image.st, x->st, sizeof(image.st));
	restore(&image);
	cpu->x87_live = true;
	charge(cpu, CHARGE_X87);
}

void x87_retire(struct cpu *cpu)
{
	struct x87 *x = &cpu->x87;
	struct fx_image image __attribute__((aligned(16)));

	if (!cpu->x87_live)
		return;
	save(&image);
	x->fsw = image.fsw;
	x->ftw = image.ftw;
	memcpy(x->st, image.st, sizeof(x->st));
	restore(&cpu->host_x87);
	cpu->x87_live = false;
}

void x87_turn(struct x87 *x, uint16_t fsw)
{
	unsigned int by = x87_top(fsw) - x87_top(x->fsw);
	union xmm st[8];

	memcpy(st, x->st, sizeof(st));
	for (unsigned int i = 0; i < 8; i++)
		x->st[i] = st[(i + by) & 7];
	x->fsw = fsw;
}

void x87_reset(struct x87 *x)
{
	x87_turn(x, 0);
	x->fcw = X87_FCW_RESET;
	x->ftw = 0;
	x->fop = 0;
	x->fip = x->fdp = 0;
}

void x87_settle(struct x87 *x)
{
	x->fcw = (uint16_t)((x->fcw & FCW_BITS) | FCW_FIXED);
	x->fsw &= (uint16_t)~(X87_ES | X87_B);
	if (x->fsw & ~x->fcw & X87_FLAGS)
		x->fsw |= X87_ES | X87_B;
	x->fop &= 0x7ff;
	for (unsigned int i = 0; i < ARRAY_SIZE(x->st); i++)
		memset(x->st[i].u8 + 10, 0, 6);
}
