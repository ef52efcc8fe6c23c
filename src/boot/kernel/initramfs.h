/* SPDX-License-Identifier: MIT */
/* boot/kernel/initramfs.h - a root file system for those who bring none. */
#ifndef BOOT_INITRAMFS_H
#define BOOT_INITRAMFS_H

#include "boot/kernel/load.h"

/* A shell of busybox on the serial line; false, after a message, without a static busybox.
 * The memory is never freed. */
bool initramfs_make(struct file *initrd);

#endif
