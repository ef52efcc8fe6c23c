/* SPDX-License-Identifier: MIT */
#include "flat.h"

#include <string.h>

#include "mmu/guest/x86.h"

static uint64_t field(uint64_t v, int high, int low)
{
	return high < low ? 0 : v >> low & ((2ull << (high - low)) - 1);
}

static bool is_long(const struct paging *p)
{
	return p->efer & X86_EFER_LMA;
}

static bool is_32bit(const struct paging *p)
{
	return !(p->cr4 & X86_CR4_PAE);
}

/* --- memory ------------------------------------------------------------------ */

const struct flat_slot *flat_slot_at(const struct flat *f, uint64_t gpa)
{
	uint64_t gfn = gpa >> PAGE_SHIFT;

	for (int i = 0; i < FLAT_SLOTS; i++)
		if (gfn >= f->slot[i].gfn && gfn - f->slot[i].gfn < f->slot[i].n_pages)
			return &f->slot[i];
	return NULL;
}

static uint64_t page_of(const struct flat_slot *slot, uint64_t gpa)
{
	return slot->first + (gpa >> PAGE_SHIFT) - slot->gfn;
}

uint8_t *flat_pointer(const struct flat *f, uint64_t gpa)
{
	const struct flat_slot *slot = flat_slot_at(f, gpa);

	return slot ? f->memory + (page_of(slot, gpa) << PAGE_SHIFT) + (gpa & 0xfff) : NULL;
}

static void mark(struct flat *f, uint64_t gpa)
{
	const struct flat_slot *slot = flat_slot_at(f, gpa);

	if (slot->logged)
		f->dirty[page_of(slot, gpa) / 64] |= 1ull << (page_of(slot, gpa) % 64);
}

void flat_stored(struct flat *f, const struct flat_result *r)
{
	mark(f, r->gpa);
}

/* --- the walk ---------------------------------------------------------------- */

/* 4.3 for 32-bit, 4.4.1 for PAE, 4.5.2 for long mode. */
int flat_begin(const struct paging *p, uint64_t gva, struct flat_walk *w)
{
	*w = (struct flat_walk){ .user = true, .write = true };
	if (!(p->cr0 & X86_CR0_PG)) {
		w->gpa = gva;
		w->dirty = true;
		return 0;
	}
	w->table = field(p->cr3, p->maxphyaddr - 1, 12) << 12;
	if (is_32bit(p)) {
		w->table = field(p->cr3, MIN(31, p->maxphyaddr - 1), 12) << 12;
		return 2;
	}
	if (is_long(p))
		return p->cr4 & X86_CR4_LA57 ? 5 : 4;
	if (!(p->pdptr[field(gva, 31, 30)] & 1))
		return -1;
	w->table = field(p->pdptr[field(gva, 31, 30)], p->maxphyaddr - 1, 12) << 12;
	return 2;
}

unsigned int flat_entry_bytes(const struct paging *p)
{
	return is_32bit(p) ? 4 : 8;
}

uint64_t flat_entry_gpa(const struct paging *p, int level, uint64_t table, uint64_t gva)
{
	if (is_32bit(p))
		return table + 4 * (level == 2 ? field(gva, 31, 22) : field(gva, 21, 12));
	return table + 8 * field(gva, 3 + 9 * level + 8, 3 + 9 * level);
}

/* Tables 4-4 to 4-6. */
static enum flat_step step_32(const struct paging *p, int level, uint64_t e, uint64_t gva,
			      struct flat_walk *w)
{
	int m = p->maxphyaddr < 40 ? p->maxphyaddr : 40;

	w->dirty = e >> 6 & 1;
	if (level == 1) {
		w->gpa = (e & 0xfffff000) | field(gva, 11, 0);
		return FLAT_LEAF;
	}
	if ((e >> 7 & 1) && (p->cr4 & X86_CR4_PSE)) {
		if (field(e, 21, m - 19))
			return FLAT_RESERVED;
		w->gpa = field(e, 20, 13) << 32 | (e & 0xffc00000) | field(gva, 21, 0);
		return FLAT_LEAF;
	}
	w->table = field(e, MIN(31, p->maxphyaddr - 1), 12) << 12;
	return FLAT_TABLE;
}

/* Tables 4-9 to 4-11 for PAE, 4-14 to 4-20 for four and five levels. */
static enum flat_step step_64(const struct paging *p, int level, uint64_t e, uint64_t gva,
			      struct flat_walk *w)
{
	bool ps = e >> 7 & 1, may_be_large = level == 2 || (level == 3 && p->has_1g_pages);
	int shift = 3 + 9 * level;

	if (field(e, is_long(p) ? 51 : 62, p->maxphyaddr))
		return FLAT_RESERVED;
	if (e >> 63 && !(p->efer & X86_EFER_NX))
		return FLAT_RESERVED;
	if (level > 1 && ps && (!may_be_large || field(e, shift - 1, 13)))
		return FLAT_RESERVED;
	w->execute_disable |= e >> 63;
	w->dirty = e >> 6 & 1;
	w->key = (unsigned int)field(e, 62, 59);
	w->table = field(e, p->maxphyaddr - 1, 12) << 12;
	if (level > 1 && !ps)
		return FLAT_TABLE;
	w->gpa = (w->table >> shift << shift) | field(gva, shift - 1, 0);
	return FLAT_LEAF;
}

enum flat_step flat_step(const struct paging *p, int level, uint64_t e, uint64_t gva,
			 struct flat_walk *w)
{
	enum flat_step step;

	if (!(e & 1))
		return FLAT_ABSENT;
	step = is_32bit(p) ? step_32(p, level, e, gva, w) : step_64(p, level, e, gva, w);
	w->write &= e >> 1 & 1;
	w->user &= e >> 2 & 1;
	return step;
}

/* 4.6.1 */
static bool rights_refuse(const struct paging *p, const struct flat_walk *w, enum access access)
{
	bool smep = p->cr4 & X86_CR4_SMEP, smap = p->cr4 & X86_CR4_SMAP;

	if (access == ACCESS_EXEC && w->execute_disable)
		return true;
	if (p->cpl == 3)
		return !w->user || (access == ACCESS_WRITE && !w->write);
	if (access == ACCESS_EXEC)
		return w->user && smep;
	if (w->user && smap && !p->ac)
		return true;
	return access == ACCESS_WRITE && !w->write && (p->cr0 & X86_CR0_WP);
}

/* 4.6.2 */
static bool key_refuses(const struct paging *p, const struct flat_walk *w, enum access access)
{
	uint32_t ad = p->pkru >> (2 * w->key) & 1, wd = p->pkru >> (2 * w->key + 1) & 1;

	if (!is_long(p) || !(p->cr4 & X86_CR4_PKE) || !w->user || access == ACCESS_EXEC)
		return false;
	if (ad)
		return true;
	return wd && access == ACCESS_WRITE && (p->cpl == 3 || (p->cr0 & X86_CR0_WP));
}

uint32_t flat_refuses(const struct paging *p, const struct flat_walk *w, enum access access)
{
	if (!(p->cr0 & X86_CR0_PG))
		return 0;
	if (key_refuses(p, w, access))
		return PFERR_PRESENT | PFERR_PK;
	return rights_refuse(p, w, access) ? PFERR_PRESENT : 0;
}

/* --- an access --------------------------------------------------------------- */

/* 4.7 */
static void raise_fault(const struct paging *p, enum access access, uint32_t bits,
			struct flat_result *r)
{
	bool tells_fetch = (p->cr4 & X86_CR4_SMEP) ||
			   ((p->cr4 & X86_CR4_PAE) && (p->efer & X86_EFER_NX));

	r->kind = FLAT_FAULT;
	r->error_code = bits;
	if (access == ACCESS_WRITE)
		r->error_code |= PFERR_WRITE;
	if (access == ACCESS_EXEC && tells_fetch)
		r->error_code |= PFERR_FETCH;
	if (p->cpl == 3)
		r->error_code |= PFERR_USER;
}

static bool follow(struct flat *f, const struct paging *p, uint64_t gva, enum access access,
		   struct flat_walk *w, struct flat_result *r)
{
	enum flat_step step = FLAT_TABLE;
	int level = flat_begin(p, gva, w);

	if (level < 0) {
		raise_fault(p, access, 0, r);
		return false;
	}
	for (; level > 0 && step == FLAT_TABLE; level--) {
		uint64_t gpa = flat_entry_gpa(p, level, w->table, gva);
		const uint8_t *at = flat_pointer(f, gpa);
		uint64_t e = 0;

		r->used[r->n_used++] = gpa;
		if (!at) {
			r->kind = FLAT_NO_TABLE;
			return false;
		}
		memcpy(&e, at, flat_entry_bytes(p));
		step = flat_step(p, level, e, gva, w);
		if (step == FLAT_ABSENT || step == FLAT_RESERVED) {
			raise_fault(p, access, step == FLAT_ABSENT ? 0 : PFERR_PRESENT | PFERR_RSVD,
				    r);
			return false;
		}
	}
	return true;
}

/* 4.8; memory that cannot be written keeps what it has. */
static void set_bits(struct flat *f, uint64_t gpa, uint8_t bits)
{
	uint8_t *at = flat_pointer(f, gpa);

	if (flat_slot_at(f, gpa)->read_only || (*at & bits) == bits)
		return;
	*at |= bits;
	mark(f, gpa);
}

void flat_access(struct flat *f, const struct paging *p, uint64_t gva, enum access access,
		 struct flat_result *r)
{
	const struct flat_slot *slot;
	struct flat_walk w;
	uint32_t refused;

	*r = (struct flat_result){ 0 };
	if (!follow(f, p, gva, access, &w, r))
		return;
	refused = flat_refuses(p, &w, access);
	if (refused) {
		raise_fault(p, access, refused, r);
		return;
	}
	for (int i = 0; i < r->n_used; i++)
		set_bits(f, r->used[i], i == r->n_used - 1 && access == ACCESS_WRITE ? 0x60 : 0x20);
	r->gpa = w.gpa;
	slot = flat_slot_at(f, w.gpa);
	r->kind = !slot || (slot->read_only && access == ACCESS_WRITE) ? FLAT_MMIO : FLAT_RAM;
	r->at = flat_pointer(f, w.gpa);
}
