/* SPDX-License-Identifier: MIT */
/* kvm/fd/eventfd.h - the client's eventfds. */
#ifndef KVM_EVENTFD_H
#define KVM_EVENTFD_H

#include <stdbool.h>

/* 0, -EBADF, or -EINVAL if it is not an eventfd. */
int eventfd_check(int fd);
/* Two descriptors of one open file? */
bool eventfd_is_same(int a, int b);
/* Adds one, if that does not have to wait. */
void eventfd_signal(int fd);

#endif
