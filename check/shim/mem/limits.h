/* SPDX-License-Identifier: MIT */
/* In the place of src/mem/limits.h. */
#ifndef CHECK_SHIM_MEM_LIMITS_H
#define CHECK_SHIM_MEM_LIMITS_H

#define SLOTS_MAX_IDS 8u
#define CHANGE_SPINS 1

#endif
