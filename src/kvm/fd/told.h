/* SPDX-License-Identifier: MIT */
/*
 * kvm/fd/told.h - logs what a client asks for.
 *
 * At `info` what was refused: each kind of refusal (a call and an errno) and each missing
 * capability, once per process.  At `debug` every call.
 */
#ifndef KVM_TOLD_H
#define KVM_TOLD_H

#include "kvm/calls/call.h"

/* Only worth calling if there is a listener at LOG_INFO. */
void tell_call(const struct file *file, const struct call *c, long result);

#endif
