/* SPDX-License-Identifier: MIT */
/* preload/preload.h - life of the preloaded library in a process. */
#ifndef PRELOAD_PRELOAD_H
#define PRELOAD_PRELOAD_H

#include <stdbool.h>

/* True if the call is not the program's: our own code makes it, or the process is starting or
 * exiting. */
bool preload_is_off(void);

/* An ioctl on a descriptor that is not ours. */
int memory_ioctl(int fd, unsigned long request, void *arg);

/* Reports to `umbra run`, if it waits for that, that the library is loaded. */
void report_begin(void);

#endif
