/* SPDX-License-Identifier: MIT */
/*
 * preload/device.h - which paths are /dev/kvm, and what it looks like.
 *
 * The device exists on every host and in every jail, under every name: "//dev/kvm", "kvm" in
 * /dev, a symbolic link.
 */
#ifndef PRELOAD_DEVICE_H
#define PRELOAD_DEVICE_H

#include <stdbool.h>
#include <sys/stat.h>

/* Names whose last component is not "kvm" are not resolved.  @at_flags of fstatat(2): only
 * AT_SYMLINK_NOFOLLOW counts. */
bool device_is_at(int dir, const char *path, int at_flags);
/*
 * True if open(2) would open or create it.  A host's own device must not be opened, and a host
 * without one must not create a plain file there: so links of any name are resolved then.
 */
bool device_is_opened(int dir, const char *path, int flags);
/*
 * After a call on @path failed with errno: true if the reason is that it is a link of any name to
 * our device, which the host does not have or cannot open. errno is kept.
 */
bool device_is_behind_link(int dir, const char *path);

/* A character device 10:232 that everyone may read and write.  0, or -1 with EFAULT. */
int device_status(struct stat *st);
/* The host's own, by whatever name: it is hidden. */
bool device_is_hosts(const struct stat *st);

/* @fd is the host's own device, however the program got it: replaces it by ours. */
bool device_takes_over(int fd);

#endif
