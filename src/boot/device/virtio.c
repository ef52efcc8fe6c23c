/* SPDX-License-Identifier: MIT */
#include "boot/device/virtio.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <unistd.h>

#define MAGIC 0x74726976	/* "virt" */
#define VERSION 2
#define VENDOR 0x52424d55	/* "UMBR" */

static void interrupt(struct virtio *v, unsigned int cause)
{
	const uint64_t one = 1;
	ssize_t n;

	atomic_fetch_or(&v->interrupts, cause);
	/* It cannot fail: each write is consumed by the line at once. */
	n = write(v->irq_fd, &one, sizeof(one));
	(void)n;
}

static void reset(struct virtio *v)
{
	v->status = 0;
	v->driver_features = 0;
	v->features_word = v->driver_word = v->queue_number = 0;
	v->queue = (struct virtqueue){ .memory = v->queue.memory };
	atomic_store(&v->interrupts, 0);
}

/* --- registers ---------------------------------------------------------------------- */

static uint32_t read_config(const struct virtio *v, uint32_t offset, unsigned int bytes)
{
	uint32_t value = 0;

	if (offset < v->config_bytes && bytes <= v->config_bytes - offset)
		memcpy(&value, (const uint8_t *)v->config + offset, bytes);
	return value;
}

static uint32_t read_locked(const struct virtio *v, uint32_t offset)
{
	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return v->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return v->features_word < 2 ? (uint32_t)(v->features >> 32 * v->features_word) : 0;
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return v->queue_number ? 0 : QUEUE_MAX;
	case VIRTIO_MMIO_QUEUE_READY:
		return !v->queue_number && v->queue.ready;
	case VIRTIO_MMIO_STATUS:
		return v->status;
	}
	return 0;
}

uint32_t virtio_read(struct virtio *v, uint32_t offset, unsigned int bytes)
{
	uint32_t value;

	if (offset >= VIRTIO_MMIO_CONFIG)
		return read_config(v, offset - VIRTIO_MMIO_CONFIG, bytes);
	/* Without the lock: an interrupt's handler must not wait for the disk. */
	if (offset == VIRTIO_MMIO_INTERRUPT_STATUS)
		return atomic_load(&v->interrupts);
	pthread_mutex_lock(&v->lock);
	value = read_locked(v, offset);
	pthread_mutex_unlock(&v->lock);
	return value;
}

static void set_half(uint64_t *value, unsigned int high, uint32_t half)
{
	*value = high ? (uint32_t)*value | (uint64_t)half << 32 : *value >> 32 << 32 | half;
}

/* A driver that wants what is not offered is not told that this is well (3.1.1). */
static void set_status(struct virtio *v, uint32_t status)
{
	if (!status) {
		reset(v);
		return;
	}
	if (v->driver_features & ~v->features ||
	    !(v->driver_features & 1ull << VIRTIO_F_VERSION_1))
		status &= ~(uint32_t)VIRTIO_CONFIG_S_FEATURES_OK;
	v->status = status | (v->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void write_queue(struct virtqueue *q, uint32_t offset, uint32_t value)
{
	/* Its addresses do not change while it is in use. */
	if (q->ready && offset != VIRTIO_MMIO_QUEUE_READY)
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		/* A power of two, at most the largest. */
		q->size = value <= QUEUE_MAX && !(value & (value - 1)) ? (uint16_t)value : 0;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		q->ready = value == 1 && q->size;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&q->desc, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&q->driver, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_half(&q->device, offset == VIRTIO_MMIO_QUEUE_USED_HIGH, value);
		break;
	}
}

static void write_locked(struct virtio *v, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		v->features_word = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		v->driver_word = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		if (v->driver_word < 2 && !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
			set_half(&v->driver_features, v->driver_word, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		v->queue_number = value;
		break;
	case VIRTIO_MMIO_STATUS:
		set_status(v, value);
		break;
	default:
		if (!v->queue_number)
			write_queue(&v->queue, offset, value);
	}
}

void virtio_write(struct virtio *v, uint32_t offset, uint32_t value)
{
	if (offset == VIRTIO_MMIO_INTERRUPT_ACK) {
		atomic_fetch_and(&v->interrupts, ~value);
		return;
	}
	pthread_mutex_lock(&v->lock);
	write_locked(v, offset, value);
	pthread_mutex_unlock(&v->lock);
}

/* --- requests -------------------------------------------------------------------------- */

/* The driver did what it must not: nothing more is done until it resets the device (2.1.2). */
static void need_reset(struct virtio *v)
{
	v->queue.ready = false;
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	interrupt(v, VIRTIO_MMIO_INT_CONFIG);
}

/* False when there is nothing more to do. */
static bool work_one(struct virtio *v, int64_t (*serve)(void *ctx, struct chain *chain), void *ctx)
{
	struct chain chain;
	int taken = virtqueue_take(&v->queue, &chain);
	int64_t written;

	if (!taken)
		return false;
	written = taken > 0 ? serve(ctx, &chain) : -1;
	if (written < 0 || !virtqueue_return(&v->queue, &chain, (uint32_t)written)) {
		need_reset(v);
		return false;
	}
	if (virtqueue_wants_interrupt(&v->queue))
		interrupt(v, VIRTIO_MMIO_INT_VRING);
	return true;
}

bool virtio_work(struct virtio *v, int64_t (*serve)(void *ctx, struct chain *chain), void *ctx)
{
	bool more = true;

	/* A guest that resets or reads the device waits for one request only. */
	for (unsigned int i = 0; more && i < QUEUE_MAX; i++) {
		pthread_mutex_lock(&v->lock);
		more = v->status & VIRTIO_CONFIG_S_DRIVER_OK && work_one(v, serve, ctx);
		pthread_mutex_unlock(&v->lock);
	}
	return more;
}
