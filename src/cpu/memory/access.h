/* SPDX-License-Identifier: MIT */
/*
 * cpu/memory/access.h - the guest's memory, as instructions reach it.
 *
 * The quick half is inline: one look into the TLB, one access.  Everything else
 * (misses, page-crossing, MMIO, faults) is out of line, and the quick half never
 * does it: it answers false and the caller asks again by the mem_*() calls.
 *
 * Linear addresses throughout, as numbers: what an instruction computes is a gva_t from the TLB
 * on.  @seg only chooses between #SS and #GP.
 */
#ifndef CPU_ACCESS_H
#define CPU_ACCESS_H

#include "base/guarded.h"
#include "cpu/cpu.h"
#include "mmu/guest/span.h"
#include "mmu/tlb/tlb.h"

#define ACCESS_DEFINE_HITS(bits)                                                              \
	static ALWAYS_INLINE bool load_hit##bits(const struct cpu *cpu, uint64_t gva,         \
						 uint##bits##_t *value)                       \
	{                                                                                     \
		return likely(tlb_load##bits(&cpu->mmu, gva_of(gva), value));                 \
	}                                                                                     \
	static ALWAYS_INLINE bool store_hit##bits(const struct cpu *cpu, uint64_t gva,        \
						  uint##bits##_t value)                       \
	{                                                                                     \
		return likely(tlb_store##bits(&cpu->mmu, gva_of(gva), value));                \
	}                                                                                     \
	/* The same in two steps: the second stores where the first has loaded. */            \
	static ALWAYS_INLINE bool modify_hit##bits(const struct cpu *cpu, uint64_t gva,       \
						   struct host_at *at, uint##bits##_t *value) \
	{                                                                                     \
		void *host;                                                                   \
											      \
		at->epoch = epoch_read(&cpu->mmu.epoch);                                      \
		if (unlikely(!tlb_load_at##bits(&cpu->mmu, gva_of(gva), true, &host, value))) \
			return false;                                                         \
		at->host = host;                                                              \
		return true;                                                                  \
	}                                                                                     \
	static ALWAYS_INLINE bool at_load##bits(const struct cpu *cpu, struct host_at at,     \
						uint##bits##_t *value)                        \
	{                                                                                     \
		return window_load##bits(&cpu->mmu.epoch, at.epoch, at.host, value);          \
	}                                                                                     \
	static ALWAYS_INLINE bool at_store##bits(const struct cpu *cpu, struct host_at at,    \
						 uint##bits##_t value)                        \
	{                                                                                     \
		return window_store##bits(&cpu->mmu.epoch, at.epoch, at.host, value);         \
	}                                                                                     \
	static ALWAYS_INLINE bool at_cmpxchg##bits(const struct cpu *cpu, struct host_at at,  \
						   uint##bits##_t *old, uint##bits##_t value) \
	{                                                                                     \
		return window_cmpxchg##bits(&cpu->mmu.epoch, at.epoch, at.host, old, value);  \
	}

ACCESS_DEFINE_HITS(8)
ACCESS_DEFINE_HITS(16)
ACCESS_DEFINE_HITS(32)
ACCESS_DEFINE_HITS(64)

/* By a look into the TLB, for accesses that have no hit of their own; host is NULL if
 * it does not know. */
static ALWAYS_INLINE struct host_at find_hit(const struct cpu *cpu, uint64_t gva,
					     unsigned int bytes, enum access access)
{
	struct host_at at = { .epoch = epoch_read(&cpu->mmu.epoch) };

	at.host = access == ACCESS_WRITE ? tlb_write(&cpu->mmu, gva_of(gva), bytes) :
					   tlb_read(&cpu->mmu, gva_of(gva), bytes);
	return at;
}

/*
 * Any number of bytes that lie in no more than two pages.  False: the
 * instruction is to be abandoned (cpu/event/raise.h), and nothing has been stored.
 */
bool mem_load(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, void *to, unsigned int bytes);
/* A load whose place will be stored to: it must be writable. */
bool mem_load_to_modify(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, void *to,
			unsigned int bytes);
bool mem_store(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, const void *from,
	       unsigned int bytes);
/* Would a load or store fault?  Then it does so now. */
bool mem_probe(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes,
	       enum access access);

/* 1, 2, 4 or 8 bytes, as a number; the quick half included. */
bool mem_read(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes, uint64_t *value);
bool mem_read_to_modify(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes,
			uint64_t *value);
bool mem_write(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes, uint64_t value);

/* The processor's own accesses to its tables: a supervisor's. */
bool sys_load(struct cpu *cpu, uint64_t gva, void *to, unsigned int bytes);
bool sys_store(struct cpu *cpu, uint64_t gva, const void *from, unsigned int bytes);

/*
 * Where a locked instruction may work on memory directly.
 *
 * An access that leaves its page is done directly too if the two pages are
 * neighbours in the host; the host then locks across the border, or across its
 * cache lines, as it does for any program.  If they are not neighbours, or one
 * of them is MMIO, it is done by plain accesses: then it is not atomic towards
 * other vCPUs.  (Real processors lock the bus for it, and offer to fault on it.)
 */
enum lock_way {
	LOCK_FAILED,		/* abandon the instruction */
	LOCK_DIRECT,		/* at *at */
	LOCK_PLAIN,
};
enum lock_way mem_lock(struct cpu *cpu, enum cpu_seg seg, uint64_t gva, unsigned int bytes,
		       struct host_at *at);

/* An access to @at has faulted, or that is stale: forgets the translation.  Returns
 * false, for the instruction to be started again. */
bool mem_lost(struct cpu *cpu, struct host_at at, unsigned int bytes);

/* For the translations that span_find() has made. */
void mem_charge_span(struct cpu *cpu, const struct span *s);
/* Handles the result of a translation that is not MMU_OK. */
bool mem_raise_verdict(struct cpu *cpu, enum mmu_verdict verdict, uint64_t gva,
		       uint32_t error_code);

#endif
