/* SPDX-License-Identifier: MIT */
#include "boot/device/virtqueue.h"

#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

/* Fields of the rings, by their index of 16 bits: flags, index, entries. */
#define RING_FLAGS 0
#define RING_INDEX 1
#define RING_ENTRIES 2
#define USED_HEADER 4
#define USED_BYTES 8

/* A field of the avail or the used ring; NULL if it is not in memory. */
static _Atomic uint16_t *field(const struct virtqueue *q, uint64_t ring, unsigned int i)
{
	return ring & 1 ? NULL : memory_at(q->memory, ring + 2ull * i, 2);
}

static bool read_desc(const struct virtqueue *q, unsigned int i, struct vring_desc *desc)
{
	const void *at = i < q->size ? memory_at(q->memory, q->desc + 16ull * i, 16) : NULL;

	if (at)
		memcpy(desc, at, sizeof(*desc));
	return at;
}

static bool add_part(const struct virtqueue *q, struct chain *chain, const struct vring_desc *desc)
{
	void *at = memory_at(q->memory, desc->addr, desc->len);
	bool writes = desc->flags & VRING_DESC_F_WRITE;

	/* What is read comes first, and nothing has been negotiated that allows a table. */
	if (!at || desc->flags & VRING_DESC_F_INDIRECT || chain->n == QUEUE_MAX ||
	    (!writes && chain->n > chain->n_read))
		return false;
	chain->part[chain->n++] = (struct iovec){ at, desc->len };
	if (!writes)
		chain->n_read = chain->n;
	return true;
}

/* Follows the chain; one that goes in a circle is longer than the queue. */
static bool read_chain(const struct virtqueue *q, struct chain *chain)
{
	struct vring_desc desc = { .next = chain->head, .flags = VRING_DESC_F_NEXT };

	chain->n = chain->n_read = 0;
	for (unsigned int i = 0; desc.flags & VRING_DESC_F_NEXT; i++)
		if (i == q->size || !read_desc(q, desc.next, &desc) || !add_part(q, chain, &desc))
			return false;
	return true;
}

int virtqueue_take(struct virtqueue *q, struct chain *chain)
{
	_Atomic uint16_t *index = field(q, q->driver, RING_INDEX), *entry;

	if (!q->ready)
		return 0;
	entry = field(q, q->driver, RING_ENTRIES + q->next % q->size);
	if (!index || !entry)
		return -1;
	/* Acquires the entry and the chain, which were written before. */
	if (atomic_load_explicit(index, memory_order_acquire) == q->next)
		return 0;
	chain->head = atomic_load_explicit(entry, memory_order_relaxed);
	q->next++;
	return read_chain(q, chain) ? 1 : -1;
}

bool virtqueue_return(struct virtqueue *q, const struct chain *chain, uint32_t written)
{
	const struct vring_used_elem element = { chain->head, written };
	_Atomic uint16_t *index = field(q, q->device, RING_INDEX);
	uint16_t at;

	if (!index)
		return false;
	at = atomic_load_explicit(index, memory_order_relaxed);
	if (!memory_write(q->memory, q->device + USED_HEADER + at % q->size * USED_BYTES, &element,
			  sizeof(element)))
		return false;
	/* Releases the element, and the data. */
	atomic_store_explicit(index, at + 1, memory_order_release);
	return true;
}

bool virtqueue_wants_interrupt(const struct virtqueue *q)
{
	_Atomic uint16_t *flags = field(q, q->driver, RING_FLAGS);

	/* The flag must be read after the index was written (2.7.7.2). */
	atomic_thread_fence(memory_order_seq_cst);
	return flags && !(atomic_load_explicit(flags, memory_order_relaxed) &
			  VRING_AVAIL_F_NO_INTERRUPT);
}
