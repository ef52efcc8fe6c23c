/* SPDX-License-Identifier: MIT */
/* boot/device/virtio.h - a virtio device with one queue, over MMIO (virtio 1.2, section 4.2). */
#ifndef BOOT_VIRTIO_H
#define BOOT_VIRTIO_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "boot/device/virtqueue.h"

struct virtio {
	uint32_t id;			/* kind of device */
	uint64_t features;		/* offered */
	const void *config;
	uint32_t config_bytes;
	int irq_fd;			/* an eventfd, of the interrupt line */
	atomic_uint interrupts;		/* causes that the guest has not acknowledged */

	/* Held while the queue is worked on: a guest that resets the device waits. */
	pthread_mutex_t lock;
	/* under it */
	uint32_t status;
	uint32_t features_word, driver_word, queue_number;
	uint64_t driver_features;
	struct virtqueue queue;
};

/* A register is read; written. */
uint32_t virtio_read(struct virtio *v, uint32_t offset, unsigned int bytes);
void virtio_write(struct virtio *v, uint32_t offset, uint32_t value);

/*
 * Does what is in the queue, up to QUEUE_MAX requests; true if there may be more.  @serve returns
 * the number of bytes it has written, or -1 if the request is invalid, after which the device
 * needs a reset.
 */
bool virtio_work(struct virtio *v, int64_t (*serve)(void *ctx, struct chain *chain), void *ctx);

#endif
