/* SPDX-License-Identifier: MIT */
/*
 * cpu/locked.h - the host's locked instructions by a size known at run time.
 *
 * False: the access faulted.
 */
#ifndef CPU_LOCKED_H
#define CPU_LOCKED_H

#include "base/guarded.h"

#define LOCKED_DEFINE_EXCHANGE(name)                                                      \
	static inline bool locked_##name(void *host, unsigned int bytes, uint64_t *value) \
	{                                                                                 \
		uint8_t v8 = (uint8_t)*value;                                             \
		uint16_t v16 = (uint16_t)*value;                                          \
		uint32_t v32 = (uint32_t)*value;                                          \
		bool ok;                                                                  \
											  \
		switch (bytes) {                                                          \
		case 1:                                                                   \
			ok = guarded_##name##8(host, &v8);                                \
			*value = v8;                                                      \
			return ok;                                                        \
		case 2:                                                                   \
			ok = guarded_##name##16(host, &v16);                              \
			*value = v16;                                                     \
			return ok;                                                        \
		case 4:                                                                   \
			ok = guarded_##name##32(host, &v32);                              \
			*value = v32;                                                     \
			return ok;                                                        \
		default:                                                                  \
			return guarded_##name##64(host, value);                           \
		}                                                                         \
	}

/* *value becomes what was there before. */
LOCKED_DEFINE_EXCHANGE(xchg)
LOCKED_DEFINE_EXCHANGE(xadd)

/* *old becomes what was there; it took place iff that is what *old was. */
static inline bool locked_cmpxchg(void *host, unsigned int bytes, uint64_t *old, uint64_t value)
{
	uint8_t v8 = (uint8_t)*old;
	uint16_t v16 = (uint16_t)*old;
	uint32_t v32 = (uint32_t)*old;
	bool ok;

	switch (bytes) {
	case 1:
		ok = guarded_cmpxchg8(host, &v8, (uint8_t)value);
		*old = v8;
		return ok;
	case 2:
		ok = guarded_cmpxchg16(host, &v16, (uint16_t)value);
		*old = v16;
		return ok;
	case 4:
		ok = guarded_cmpxchg32(host, &v32, (uint32_t)value);
		*old = v32;
		return ok;
	default:
		return guarded_cmpxchg64(host, old, value);
	}
}

#endif
