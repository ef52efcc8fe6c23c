/* SPDX-License-Identifier: MIT */
/*
 * mmu/guest/gpte.h - entries of the guest's page tables, and what they allow.
 *
 * SDM 3A chapter 4.  The meaning of an entry depends on its table's level and on the format of
 * the tables, which follows from the paging registers.
 */
#ifndef MMU_GPTE_H
#define MMU_GPTE_H

#include "mmu/guest/x86.h"
#include "mmu/paging/paging.h"

enum gpt_format {
	GPT_32BIT,		/* 4-byte entries, 1024 a table, 2 levels */
	GPT_PAE,		/* 8-byte entries, 2 levels below four registers */
	GPT_LONG,		/* 8-byte entries, 4 or 5 levels */
};

/* Everything except privilege that decides what an entry means. */
struct gpt_kind {
	uint8_t format;		/* enum gpt_format */
	uint8_t levels;		/* that lie in memory */
	uint8_t maxphyaddr;
	bool nx, pse, has_1g;
};

static inline struct gpt_kind gpt_kind_of(const struct paging *p)
{
	struct gpt_kind k = {
		.format = GPT_LONG,
		.levels = p->cr4 & X86_CR4_LA57 ? 5 : 4,
		.maxphyaddr = p->maxphyaddr,
		.nx = p->efer & X86_EFER_NX,
		.pse = p->cr4 & X86_CR4_PSE,
		.has_1g = p->has_1g_pages,
	};

	if (!(p->cr4 & X86_CR4_PAE))
		k.format = GPT_32BIT;
	else if (!(p->efer & X86_EFER_LMA))
		k.format = GPT_PAE;
	if (k.format != GPT_LONG)
		k.levels = 2;
	return k;
}

/* Bits first..last, both included; none if first > last. */
static inline uint64_t bit_range(int first, int last)
{
	return first > last ? 0 : (~0ull >> (63 - last)) & (~0ull << first);
}

static inline int gpt_index_bits(struct gpt_kind k)
{
	return k.format == GPT_32BIT ? 10 : 9;
}

static inline unsigned int gpt_entry_bytes(struct gpt_kind k)
{
	return k.format == GPT_32BIT ? 4 : 8;
}

/* The lowest address bit that a table of @level decides. */
static inline int gpt_shift(struct gpt_kind k, int level)
{
	return PAGE_SHIFT + gpt_index_bits(k) * (level - 1);
}

static inline bool gpte_is_large(struct gpt_kind k, int level, uint64_t entry)
{
	if (level == 1 || !(entry & GPTE_PS))
		return false;
	if (k.format == GPT_32BIT)
		return k.pse;
	return level == 2 || (level == 3 && k.format == GPT_LONG && k.has_1g);
}

/* The bits that must be zero in a present entry. */
static inline uint64_t gpte_reserved_bits(struct gpt_kind k, int level, uint64_t entry)
{
	bool large = gpte_is_large(k, level, entry);
	uint64_t bits = 0;

	if (k.format == GPT_32BIT) {
		/* PSE-36: bits 13-20 are address bits 32-39 as far as there are any. */
		return large ? bit_range(MAX(13, MIN((int)k.maxphyaddr, 40) - 32 + 13), 21) : 0;
	}
	if (!k.nx)
		bits |= GPTE_NX;
	bits |= bit_range(k.maxphyaddr, k.format == GPT_PAE ? 62 : 51);
	if (large)
		bits |= bit_range(13, PAGE_SHIFT + 9 * (level - 1) - 1);
	else if (level > 2)
		bits |= GPTE_PS;
	return bits;
}

/* The table that an entry, CR3 or a PDPTE points to. */
static inline gpa_t gpte_table(struct gpt_kind k, uint64_t entry)
{
	if (k.format == GPT_32BIT)
		entry &= 0xffffffff;
	return gpa_of(entry & bit_range(PAGE_SHIFT, MIN((int)k.maxphyaddr, 52) - 1));
}

/* The address that a leaf maps, with the offset of @gva into its page. */
static inline gpa_t gpte_leaf_address(struct gpt_kind k, int level, uint64_t entry, gva_t gva)
{
	uint64_t offset = bit_range(0, gpt_shift(k, level) - 1);
	uint64_t frame = gpte_table(k, entry).raw & ~offset;

	if (k.format == GPT_32BIT && level == 2)
		frame |= ((entry >> 13) & 0xff) << 32;
	return gpa_of(frame | (gva.raw & offset));
}

/* The permissions that the entries of a walk leave, from the top down. */
struct rights {
	bool user, write, no_exec;
	uint8_t key;			/* of the leaf */
};

static inline void rights_narrow(struct rights *r, struct gpt_kind k, uint64_t entry)
{
	r->user &= !!(entry & GPTE_U);
	r->write &= !!(entry & GPTE_W);
	r->no_exec |= k.format != GPT_32BIT && k.nx && (entry & GPTE_NX);
}

static inline bool key_allows(const struct paging *p, const struct rights *r, enum access access)
{
	uint32_t two = p->pkru >> (2 * r->key);

	if (!(p->cr4 & X86_CR4_PKE) || !(p->efer & X86_EFER_LMA) || !r->user ||
	    access == ACCESS_EXEC)
		return true;
	if (two & 1)
		return false;
	return !(two & 2) || access != ACCESS_WRITE || (p->cpl != 3 && !(p->cr0 & X86_CR0_WP));
}

/* Without protection keys. */
static inline bool rights_allow(const struct paging *p, const struct rights *r, enum access access)
{
	if (access == ACCESS_EXEC) {
		if (r->no_exec)
			return false;
		return p->cpl == 3 ? r->user : !(r->user && (p->cr4 & X86_CR4_SMEP));
	}
	if (p->cpl == 3)
		return r->user && (access == ACCESS_READ || r->write);
	if (r->user && (p->cr4 & X86_CR4_SMAP) && !p->ac)
		return false;
	return access == ACCESS_READ || r->write || !(p->cr0 & X86_CR0_WP);
}

#endif
