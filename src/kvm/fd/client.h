/* SPDX-License-Identifier: MIT */
/* kvm/fd/client.h - a call's accesses to the client's memory. */
#ifndef KVM_CLIENT_H
#define KVM_CLIENT_H

#include "base/types.h"

/* 0, or -EFAULT: it is not there, or it is Umbra's own. */
long copy_from_client(void *to, uintptr_t from, size_t bytes) MUST_CHECK;
long copy_to_client(uintptr_t to, const void *from, size_t bytes) MUST_CHECK;

#endif
