/* SPDX-License-Identifier: MIT */
/*
 * machine/startup.h - INIT and SIPI that wait for a vCPU.
 *
 * One word, so that a vCPU that takes it gets an INIT and what came after it together.  An INIT
 * forgets an earlier SIPI; of several SIPIs the last one's vector counts.
 */
#ifndef MACHINE_STARTUP_H
#define MACHINE_STARTUP_H

#include "sync/atomic.h"

#define STARTUP_INIT (1u << 8)
#define STARTUP_SIPI (1u << 9)
#define STARTUP_VECTOR 0xffu

/* Any thread, before the kick. */
void startup_post_init(struct atomic32 *word);
void startup_post_sipi(struct atomic32 *word, uint8_t vector);
/* The owner, after it has taken the kick: what waits, or 0. */
uint32_t startup_take(struct atomic32 *word);

#endif
