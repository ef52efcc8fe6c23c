/* SPDX-License-Identifier: MIT */
/*
 * preload/device.h - which paths are /dev/kvm, and what it looks like there.
 *
 * There is one on every host and in every jail.  Whoever names it in another way finds
 * it too: "//dev/kvm", "kvm" in /dev, a symbolic link.
 */
#ifndef PRELOAD_DEVICE_H
#define PRELOAD_DEVICE_H

#include <stdbool.h>
#include <sys/stat.h>

/* Names whose last component is not "kvm" are not looked into. */
bool device_is_at(int dir, const char *path, bool follow);
/*
 * Would open(2) open it, or make it?  A host that has a device of its own must not be
 * asked, and one that has none must not put a plain file there: so then links of any
 * name are looked into.
 */
bool device_is_opened(int dir, const char *path, int flags);
/*
 * After a call on @path that failed with errno: because it is a link of any name to
 * our device, which the host does not have or does not open?  errno is kept.
 */
bool device_is_behind_link(int dir, const char *path);

/* A character device 10:232 that everybody may read and write.  0, or -1 with EFAULT. */
int device_status(struct stat *st);
/* The host's own, by whatever name: it is not shown. */
bool device_is_hosts(const struct stat *st);

/* @fd is the host's own device, however it was come by: it becomes ours. */
bool device_takes_over(int fd);

#endif
