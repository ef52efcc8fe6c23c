/* SPDX-License-Identifier: MIT */
/* cpu/insn/sse/xsave.c - FXSAVE and XSAVE, what brings it back, and XCR0. */
#include "cpu/insn/sse/xsave.h"

#include <string.h>

#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/insn/sse/fp.h"
#include "cpu/insn/x87/x87.h"
#include "cpu/memory/access.h"
#include "cpu/state/cpuid.h"
#include "cpu/state/mode.h"

#define COMPACTED (1ull << 63)

/* --- the image ----------------------------------------------------------------------- */

/* The pointers are of 64 bits, or of 32 with segments behind them that are always 0. */
static uint64_t pointer(uint64_t value, bool wide)
{
	return wide ? value : (uint32_t)value;
}

static void put_x87(const struct x87 *x, struct fx_image *image, bool wide)
{
	image->fcw = x->fcw;
	image->fsw = x->fsw;
	image->ftw = x->ftw;
	image->reserved = 0;
	image->fop = x->fop;
	image->fip = pointer(x->fip, wide);
	image->fdp = pointer(x->fdp, wide);
	memcpy(image->st, x->st, sizeof(image->st));
}

static void take_x87(struct x87 *x, const struct fx_image *image, bool wide)
{
	x->fcw = image->fcw;
	x->fsw = image->fsw;
	x->ftw = image->ftw;
	x->fop = image->fop;
	x->fip = pointer(image->fip, wide);
	x->fdp = pointer(image->fdp, wide);
	memcpy(x->st, image->st, sizeof(x->st));
	x87_settle(x);
}

static void init_x87(struct x87 *x)
{
	x87_reset(x);
	memset(x->st, 0, sizeof(x->st));
}

/* Outside of 64-bit code there are eight registers. */
static unsigned int xmm_bytes(const struct op *op)
{
	return (op->flags & OP_LONG ? 16 : 8) * (unsigned int)sizeof(union xmm);
}

static bool is_zero(const void *p, size_t bytes)
{
	const uint64_t *words = p;

	for (size_t i = 0; i < bytes / 8; i++)
		if (words[i])
			return false;
	return true;
}

/* XINUSE: what is not as after reset. */
static uint64_t in_use(const struct cpu *cpu)
{
	const struct x87 *x = &cpu->x87;
	bool x87 = x->fcw != X87_FCW_RESET || x->fsw || x->ftw || x->fop || x->fip || x->fdp ||
		   !is_zero(x->st, sizeof(x->st));

	return (x87 ? XCR0_X87 : 0) | (is_zero(cpu->xmm, sizeof(cpu->xmm)) ? 0 : XCR0_SSE) |
	       (is_zero(cpu->ymm_high, sizeof(cpu->ymm_high)) ? 0 : XCR0_AVX);
}

/* XSAVEC counts MXCSR to SSE. */
static uint64_t in_use_with_mxcsr(const struct cpu *cpu)
{
	return in_use(cpu) | (cpu->mxcsr != MXCSR_RESET ? XCR0_SSE : 0);
}

void xsave_get(const struct cpu *cpu, struct xsave_area *area)
{
	memset(area, 0, sizeof(*area));
	put_x87(&cpu->x87, &area->fx, true);
	area->fx.mxcsr = cpu->mxcsr;
	area->fx.mxcsr_mask = cpu->mxcsr_mask;
	memcpy(area->fx.xmm, cpu->xmm, sizeof(area->fx.xmm));
	memcpy(area->ymm_high, cpu->ymm_high, sizeof(area->ymm_high));
	area->header.xstate_bv = in_use_with_mxcsr(cpu);
}

void xsave_set(struct cpu *cpu, const struct xsave_area *area)
{
	uint64_t what = area->header.xstate_bv;

	if (what & XCR0_X87)
		take_x87(&cpu->x87, &area->fx, true);
	else
		init_x87(&cpu->x87);
	cpu->mxcsr = what & XCR0_SSE ? area->fx.mxcsr : MXCSR_RESET;
	if (what & XCR0_SSE)
		memcpy(cpu->xmm, area->fx.xmm, sizeof(cpu->xmm));
	else
		memset(cpu->xmm, 0, sizeof(cpu->xmm));
	if (what & XCR0_AVX)
		memcpy(cpu->ymm_high, area->ymm_high, sizeof(cpu->ymm_high));
	else
		memset(cpu->ymm_high, 0, sizeof(cpu->ymm_high));
}

/* --- FXSAVE, FXRSTOR ------------------------------------------------------------------- */

static void retire(struct cpu *cpu)
{
	fp_retire(cpu);
	x87_retire(cpu);
}

static bool fxsave(struct cpu *cpu, const struct op *op, bool wide)
{
	uint64_t ea = op_ea(cpu, op);
	struct fx_image image;

	if (ea & 15)
		return raise_gp(cpu, 0);
	retire(cpu);
	put_x87(&cpu->x87, &image, wide);
	image.mxcsr = cpu->mxcsr;
	image.mxcsr_mask = cpu->mxcsr_mask;
	memcpy(image.xmm, cpu->xmm, sizeof(image.xmm));
	return mem_store(cpu, op->seg, ea, &image, offsetof(struct fx_image, xmm) + xmm_bytes(op));
}

static bool fxrstor(struct cpu *cpu, const struct op *op, bool wide)
{
	uint64_t ea = op_ea(cpu, op);
	struct fx_image image;

	if (ea & 15)
		return raise_gp(cpu, 0);
	if (!mem_load(cpu, op->seg, ea, &image, offsetof(struct fx_image, xmm) + xmm_bytes(op)) ||
	    !fp_set_mxcsr(cpu, image.mxcsr))
		return false;
	retire(cpu);
	take_x87(&cpu->x87, &image, wide);
	memcpy(cpu->xmm, image.xmm, xmm_bytes(op));
	return true;
}

OP(fxsave)
{
	return fxsave(cpu, op, false);
}

OP(fxsave64)
{
	return fxsave(cpu, op, true);
}

OP(fxrstor)
{
	return fxrstor(cpu, op, false);
}

OP(fxrstor64)
{
	return fxrstor(cpu, op, true);
}

/* --- XSAVE and its kind ------------------------------------------------------------------ */

static bool is_enabled(struct cpu *cpu)
{
	if (!(cpu->mmu.paging.cr4 & X86_CR4_OSXSAVE))
		return raise_ud(cpu);
	if (cpu->mmu.paging.cr0 & X86_CR0_TS)
		return raise_exception(cpu, EXC_NM);
	return true;
}

/* RFBM: what is enabled and asked for. */
static uint64_t requested(const struct cpu *cpu)
{
	return cpu->xcr0 & (cpu->r[GPR_RDX] << 32 | (uint32_t)cpu->r[GPR_RAX]);
}

/* Part of an area, if it is wanted. */
static bool store_part(struct cpu *cpu, const struct op *op, bool wanted, const void *area,
		       size_t offset, size_t bytes)
{
	uint64_t ea = (op_ea(cpu, op) + offset) & cpu->ea_mask;

	return !wanted ||
	       mem_store(cpu, op->seg, ea, (const uint8_t *)area + offset, (unsigned int)bytes);
}

#define PART(field, to) \
	offsetof(struct fx_image, field), offsetof(struct fx_image, to) - \
						  offsetof(struct fx_image, field)

/* At the same place in both formats: SSE's is never left out. */
static bool store_high_halves(struct cpu *cpu, const struct op *op, bool wanted)
{
	uint64_t ea = (op_ea(cpu, op) + offsetof(struct xsave_area, ymm_high)) & cpu->ea_mask;

	return !wanted || mem_store(cpu, op->seg, ea, cpu->ymm_high, xmm_bytes(op));
}

/* Saves @what, and MXCSR. */
static bool store_registers(struct cpu *cpu, const struct op *op, uint64_t what, bool mxcsr,
			    bool wide)
{
	struct fx_image image;

	put_x87(&cpu->x87, &image, wide);
	image.mxcsr = cpu->mxcsr;
	image.mxcsr_mask = cpu->mxcsr_mask;
	memcpy(image.xmm, cpu->xmm, sizeof(image.xmm));
	return store_part(cpu, op, what & XCR0_X87, &image, PART(fcw, mxcsr)) &&
	       store_part(cpu, op, mxcsr, &image, PART(mxcsr, st)) &&
	       store_part(cpu, op, what & XCR0_X87, &image, PART(st, xmm)) &&
	       store_part(cpu, op, what & XCR0_SSE, &image, offsetof(struct fx_image, xmm),
			  xmm_bytes(op)) &&
	       store_high_halves(cpu, op, what & XCR0_AVX);
}

static uint64_t header_at(const struct cpu *cpu, const struct op *op)
{
	return (op_ea(cpu, op) + offsetof(struct xsave_area, header)) & cpu->ea_mask;
}

static bool area_is_writable(struct cpu *cpu, const struct op *op)
{
	uint64_t ea = op_ea(cpu, op);

	return (!(ea & 63) || raise_gp(cpu, 0)) &&
	       mem_probe(cpu, op->seg, ea, cpuid_xsave_bytes(requested(cpu)), ACCESS_WRITE);
}

/* @optimized: XSAVEOPT, which leaves out what is as after reset. */
static bool xsave(struct cpu *cpu, const struct op *op, bool optimized, bool wide)
{
	uint64_t rfbm = requested(cpu), used, bv;

	if (!is_enabled(cpu) || !area_is_writable(cpu, op) ||
	    !mem_read(cpu, op->seg, header_at(cpu, op), 8, &bv))
		return false;
	retire(cpu);
	used = in_use(cpu);
	bv = (bv & ~rfbm) | (used & rfbm);
	return store_registers(cpu, op, optimized ? rfbm & used : rfbm,
			       rfbm & (XCR0_SSE | XCR0_AVX), wide) &&
	       mem_write(cpu, op->seg, header_at(cpu, op), 8, bv);
}

/* The compacted format, which is the supervisor's too: XSS has nothing. */
static bool save_compacted(struct cpu *cpu, const struct op *op, bool wide)
{
	uint64_t rfbm = requested(cpu), header[2];

	if (!area_is_writable(cpu, op))
		return false;
	retire(cpu);
	header[0] = rfbm & in_use_with_mxcsr(cpu);
	header[1] = rfbm | COMPACTED;
	return store_registers(cpu, op, header[0], header[0] & XCR0_SSE, wide) &&
	       mem_store(cpu, op->seg, header_at(cpu, op), header, sizeof(header));
}

static bool xsavec(struct cpu *cpu, const struct op *op, bool wide)
{
	return is_enabled(cpu) && save_compacted(cpu, op, wide);
}

static bool is_supervisor(struct cpu *cpu)
{
	return cpl(cpu) == 0 || raise_gp(cpu, 0);
}

static bool xsaves(struct cpu *cpu, const struct op *op, bool wide)
{
	return is_enabled(cpu) && is_supervisor(cpu) && save_compacted(cpu, op, wide);
}

static bool header_is_valid(const struct cpu *cpu, const struct xsave_header *h)
{
	if (!(h->xcomp_bv & COMPACTED))
		return !h->xcomp_bv && !h->reserved[0] && !(h->xstate_bv & ~cpu->xcr0);
	return !(h->xcomp_bv & ~(COMPACTED | cpu->xcr0)) &&
	       !(h->xstate_bv & ~h->xcomp_bv) && is_zero(h->reserved, sizeof(h->reserved));
}

/* MXCSR comes from memory, in the standard format also with AVX alone; in the compacted one it is
 * a part of SSE's state, which may be as after reset. */
static bool restore_mxcsr(struct cpu *cpu, const struct xsave_area *area, uint64_t rfbm)
{
	bool compacted = area->header.xcomp_bv & COMPACTED;

	if (!(rfbm & (compacted ? XCR0_SSE : XCR0_SSE | XCR0_AVX)))
		return true;
	return fp_set_mxcsr(cpu, compacted && !(area->header.xstate_bv & XCR0_SSE) ?
				 MXCSR_RESET : area->fx.mxcsr);
}

static bool load_high_halves(struct cpu *cpu, const struct op *op, struct xsave_area *area)
{
	uint64_t ea = (op_ea(cpu, op) + offsetof(struct xsave_area, ymm_high)) & cpu->ea_mask;

	return mem_load(cpu, op->seg, ea, area->ymm_high, xmm_bytes(op));
}

enum format { STANDARD_FORMAT = 1, COMPACTED_FORMAT = 2 };

static enum format format_of(const struct xsave_header *h)
{
	return h->xcomp_bv & COMPACTED ? COMPACTED_FORMAT : STANDARD_FORMAT;
}

/* @formats: those that may be met. */
static bool restore(struct cpu *cpu, const struct op *op, unsigned int formats, bool wide)
{
	uint64_t rfbm = requested(cpu), ea = op_ea(cpu, op);
	struct xsave_area area;

	if (ea & 63)
		return raise_gp(cpu, 0);
	if (!mem_load(cpu, op->seg, header_at(cpu, op), &area.header, sizeof(area.header)))
		return false;
	if (!(formats & format_of(&area.header)) || !header_is_valid(cpu, &area.header))
		return raise_gp(cpu, 0);
	if (rfbm && !mem_load(cpu, op->seg, ea, &area.fx, offsetof(struct fx_image, unused)))
		return false;
	if ((rfbm & area.header.xstate_bv & XCR0_AVX) && !load_high_halves(cpu, op, &area))
		return false;
	if (!restore_mxcsr(cpu, &area, rfbm))
		return false;
	retire(cpu);
	if (rfbm & area.header.xstate_bv & XCR0_X87)
		take_x87(&cpu->x87, &area.fx, wide);
	else if (rfbm & XCR0_X87)
		init_x87(&cpu->x87);
	if (rfbm & area.header.xstate_bv & XCR0_SSE)
		memcpy(cpu->xmm, area.fx.xmm, xmm_bytes(op));
	else if (rfbm & XCR0_SSE)
		memset(cpu->xmm, 0, xmm_bytes(op));
	if (rfbm & area.header.xstate_bv & XCR0_AVX)
		memcpy(cpu->ymm_high, area.ymm_high, xmm_bytes(op));
	else if (rfbm & XCR0_AVX)
		memset(cpu->ymm_high, 0, xmm_bytes(op));
	return true;
}

static bool xrstor(struct cpu *cpu, const struct op *op, bool wide)
{
	unsigned int compacted = cpuid_has(cpu, FEATURE_XSAVEC) ? COMPACTED_FORMAT : 0;

	return is_enabled(cpu) && restore(cpu, op, STANDARD_FORMAT | compacted, wide);
}

static bool xrstors(struct cpu *cpu, const struct op *op, bool wide)
{
	return is_enabled(cpu) && is_supervisor(cpu) && restore(cpu, op, COMPACTED_FORMAT, wide);
}

OP(xsave)
{
	return xsave(cpu, op, false, false);
}

OP(xsave64)
{
	return xsave(cpu, op, false, true);
}

OP(xsaveopt)
{
	return xsave(cpu, op, true, false);
}

OP(xsaveopt64)
{
	return xsave(cpu, op, true, true);
}

OP(xsavec)
{
	return xsavec(cpu, op, false);
}

OP(xsavec64)
{
	return xsavec(cpu, op, true);
}

OP(xsaves)
{
	return xsaves(cpu, op, false);
}

OP(xsaves64)
{
	return xsaves(cpu, op, true);
}

OP(xrstor)
{
	return xrstor(cpu, op, false);
}

OP(xrstor64)
{
	return xrstor(cpu, op, true);
}

OP(xrstors)
{
	return xrstors(cpu, op, false);
}

OP(xrstors64)
{
	return xrstors(cpu, op, true);
}

/* --- XCR0 ---------------------------------------------------------------------------------- */

OP(xgetbv)
{
	uint32_t number = (uint32_t)cpu->r[GPR_RCX];
	uint64_t value = cpu->xcr0;

	if (!(cpu->mmu.paging.cr4 & X86_CR4_OSXSAVE))
		return raise_ud(cpu);
	if (number > 1 || (number == 1 && !cpuid_has(cpu, FEATURE_XGETBV1)))
		return raise_gp(cpu, 0);
	if (number == 1) {
		retire(cpu);
		value &= in_use_with_mxcsr(cpu);
	}
	cpu->r[GPR_RAX] = (uint32_t)value;
	cpu->r[GPR_RDX] = value >> 32;
	return true;
}

OP_END(xsetbv)
{
	uint64_t value = cpu->r[GPR_RDX] << 32 | (uint32_t)cpu->r[GPR_RAX];

	if (!(cpu->mmu.paging.cr4 & X86_CR4_OSXSAVE))
		return raise_ud(cpu);
	if (cpl(cpu) != 0 || (uint32_t)cpu->r[GPR_RCX] || !cpuid_allows_xcr0(cpu, value))
		return raise_gp(cpu, 0);
	cpu->xcr0 = value;
	mode_update(cpu);
	return true;
}
