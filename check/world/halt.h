/* SPDX-License-Identifier: MIT */
/*
 * check/world/halt.h - vCPU 0 with a local APIC: it may have nothing to do, and be woken.
 *
 * A wake-up that is lost is a deadlock.
 */
#ifndef CHECK_WORLD_HALT_H
#define CHECK_WORLD_HALT_H

#include "machine/interrupt.h"

#define HALT_STARTUP_VECTOR 0x10

/* In the setup, after machine_make(). */
void halt_make(void);

/* --- vCPU 0, outside the guest: sleeps until that has come ------------------------ */

/* An interrupt, which it takes. */
void halt_until_interrupt(void);
/* INIT and SIPI, with HALT_STARTUP_VECTOR or it fails. */
void halt_until_startup(void);
/* The client says so. */
void halt_until_stop(void);

/* --- others ------------------------------------------------------------------------ */

void halt_send(uint8_t vector, enum delivery delivery);
void halt_stop(void);

#endif
