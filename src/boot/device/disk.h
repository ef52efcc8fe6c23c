/* SPDX-License-Identifier: MIT */
/* boot/device/disk.h - a virtio block device (virtio 1.2, section 5.2), whose content is a file. */
#ifndef BOOT_DISK_H
#define BOOT_DISK_H

#include <linux/virtio_blk.h>

#include "boot/device/virtio.h"

struct disk {
	int fd;			/* of the file; -1: there is no disk */
	int notify_fd;		/* an eventfd: there is something in the queue */
	uint64_t sectors;
	struct virtio_blk_config config;
	struct virtio virtio;
};

/* Opens the file, for this process alone; false after a message. */
bool disk_create(struct disk *d, int vm_fd, const struct guest_memory *memory, const char *name);
void disk_destroy(struct disk *d);

/* When notify_fd is readable. */
void disk_work(struct disk *d);

#endif
