/* SPDX-License-Identifier: MIT */
/*
 * kvm/told.h - what a client asks for, in the log.
 *
 * At `info` what it did not get: each kind of refusal (a call and an errno) and each
 * capability that is not there, once a process.  At `debug` every call.
 */
#ifndef KVM_TOLD_H
#define KVM_TOLD_H

#include "kvm/call.h"

/* Worth calling if somebody listens at LOG_INFO. */
void tell_call(const struct file *file, const struct call *c, long result);

#endif
