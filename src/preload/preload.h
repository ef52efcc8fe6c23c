/* SPDX-License-Identifier: MIT */
/* preload/preload.h - how the preloaded library begins and ends. */
#ifndef PRELOAD_PRELOAD_H
#define PRELOAD_PRELOAD_H

#include <stdbool.h>

/* Our own code calls, or the process begins or ends: not the program's doing. */
bool preload_is_off(void);

/* An ioctl on a descriptor that is not ours. */
int memory_ioctl(int fd, unsigned long request, void *arg);

/* Tells `umbra run`, if it asks, that the library is in. */
void report_begin(void);

#endif
