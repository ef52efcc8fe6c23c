/* SPDX-License-Identifier: MIT */
/*
 * boot/device/virtqueue.h - a split virtqueue (virtio 1.2, section 2.7), the device's side.  The
 * guest may change every part of it at any time: what is read is read once, and checked.
 */
#ifndef BOOT_VIRTQUEUE_H
#define BOOT_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "boot/memory.h"

#define QUEUE_MAX 128

struct virtqueue {
	const struct guest_memory *memory;
	uint16_t size;
	bool ready;
	uint64_t desc, driver, device;	/* addresses of the table, the avail and the used ring */
	uint16_t next;			/* index in the avail ring */
};

/* The parts of one request: what the device reads, then what it writes. */
struct chain {
	uint16_t head;
	struct iovec part[QUEUE_MAX];
	unsigned int n_read, n;
};

/* Takes the next request; 0 if there is none, -1 if the queue or the request is invalid. */
int virtqueue_take(struct virtqueue *q, struct chain *chain);
/* Gives it back, with @written bytes; false if the queue is invalid. */
bool virtqueue_return(struct virtqueue *q, const struct chain *chain, uint32_t written);
/* Does the driver want an interrupt? */
bool virtqueue_wants_interrupt(const struct virtqueue *q);

#endif
