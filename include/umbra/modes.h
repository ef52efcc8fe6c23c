/* SPDX-License-Identifier: MIT */
/**
 * umbra/modes.h - what <umbra/umbra.h> and <umbra/mmu.h> have in common.
 */
#ifndef UMBRA_MODES_H
#define UMBRA_MODES_H

#ifndef UMBRA_API
#define UMBRA_API __attribute__((visibility("default")))
#endif

/** How guest memory is virtualized. */
enum umbra_mmu_mode {
	UMBRA_MMU_TDP = 0,	/**< two-dimensional paging */
	UMBRA_MMU_SHADOW = 1,	/**< shadow paging */
};

/** Which change of a translation requires a TLB flush at once. */
enum umbra_flush_policy {
	UMBRA_FLUSH_IF_MMU_WRITABLE = 0, /**< it is no longer MMU-writable */
	UMBRA_FLUSH_IF_WRITABLE = 1,	 /**< it is no longer writable: the older rule */
};

#endif
