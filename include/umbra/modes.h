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

#ifdef __cplusplus
extern "C" {
#endif

/**
 * umbra_sigaction - sigaction(2) for a program that links the library.
 *
 * The first umbra_open() or umbra_mmu_create() installs handlers of SIGSEGV and SIGBUS, to
 * notice when guest memory has gone; faults that are not ours go on to the handler that the
 * program had.  A program that installs one later must use this call.
 *
 * Return: as sigaction(2), with -1 and errno.
 */
struct sigaction;
UMBRA_API int umbra_sigaction(int sig, const struct sigaction *new_action,
			      struct sigaction *old_action);

#ifdef __cplusplus
}
#endif

#endif
