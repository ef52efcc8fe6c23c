/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/locked.h - the host's locked instructions by a size known at run time.
 *
 * False: the access faulted, or @at is stale: mem_lost().
 */
#ifndef CPU_INSN_LOCKED_H
#define CPU_INSN_LOCKED_H

#include "cpu/memory/access.h"

#define LOCKED_DEFINE_EXCHANGE(name)                                                      \
	static inline bool locked_##name(const struct cpu *cpu, struct host_at at,        \
					 unsigned int bytes, uint64_t *value)             \
	{                                                                                 \
		const struct epoch *e = &cpu->mmu.epoch;                                  \
		uint8_t v8 = (uint8_t)*value;                                             \
		uint16_t v16 = (uint16_t)*value;                                          \
		uint32_t v32 = (uint32_t)*value;                                          \
		bool ok;                                                                  \
											  \
		switch (bytes) {                                                          \
		case 1:                                                                   \
			ok = window_##name##8(e, at.epoch, at.host, &v8);                 \
			*value = v8;                                                      \
			return ok;                                                        \
		case 2:                                                                   \
			ok = window_##name##16(e, at.epoch, at.host, &v16);               \
			*value = v16;                                                     \
			return ok;                                                        \
		case 4:                                                                   \
			ok = window_##name##32(e, at.epoch, at.host, &v32);               \
			*value = v32;                                                     \
			return ok;                                                        \
		default:                                                                  \
			return window_##name##64(e, at.epoch, at.host, value);            \
		}                                                                         \
	}

/* *value becomes what was there before. */
LOCKED_DEFINE_EXCHANGE(xchg)
LOCKED_DEFINE_EXCHANGE(xadd)

/* *old becomes what was there; it took place iff that is what *old was. */
static inline bool locked_cmpxchg(const struct cpu *cpu, struct host_at at, unsigned int bytes,
				  uint64_t *old, uint64_t value)
{
	uint8_t v8 = (uint8_t)*old;
	uint16_t v16 = (uint16_t)*old;
	uint32_t v32 = (uint32_t)*old;
	bool ok;

	switch (bytes) {
	case 1:
		ok = at_cmpxchg8(cpu, at, &v8, (uint8_t)value);
		*old = v8;
		return ok;
	case 2:
		ok = at_cmpxchg16(cpu, at, &v16, (uint16_t)value);
		*old = v16;
		return ok;
	case 4:
		ok = at_cmpxchg32(cpu, at, &v32, (uint32_t)value);
		*old = v32;
		return ok;
	default:
		return at_cmpxchg64(cpu, at, old, value);
	}
}

#endif
