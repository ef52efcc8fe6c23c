/* SPDX-License-Identifier: MIT */
/*
 * kvm/bus.c - see bus.h.
 *
 * What is registered is an immutable set behind one pointer, replaced by RCU: a guest's write
 * takes no lock to find that it matches nothing.
 */
#include "kvm/bus.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <unistd.h>

#include "kvm/fd/eventfd.h"
#include "sync/rcu.h"

/* As many as KVM has on a bus.  Only memory limits events. */
#define MAX_ZONES 1000u

/*
 * Our own duplicate of the descriptor.  Referenced by each set that it is in (one, except while
 * that is being replaced) and by each vCPU that is about to write to it.
 */
struct bell {
	struct atomic32 refs;
	int fd;				/* (c) */
};

struct event {
	uint64_t addr, datamatch;
	uint32_t bytes;			/* 0: of any size */
	bool pio, match;		/* without match datamatch is 0 */
	struct bell *bell;
};

struct bus_set {
	unsigned int n_zones, n_events;
	size_t bytes;			/* of all of it */
	struct kvm_coalesced_mmio_zone *zone; /* after the events */
	struct event event[];		/* in the order of compare_events() */
};

void bus_init(struct bus *b, struct alloc *alloc, void *ring)
{
	b->alloc = alloc;
	mutex_init(&b->lock, RANK_BUS);
	atomic_ptr_store_relaxed(&b->set, NULL);
	b->ring = ring;
}

static void put_bell(struct bus *b, struct bell *bell)
{
	if (!bell || atomic32_fetch_add(&bell->refs, (uint32_t)-1) != 1)
		return;
	close(bell->fd);
	alloc_free(b->alloc, bell, sizeof(*bell));
}

static void free_set(struct bus *b, struct bus_set *set)
{
	if (set)
		alloc_free(b->alloc, set, set->bytes);
}

void bus_destroy(struct bus *b)
{
	struct bus_set *set = atomic_ptr_load_relaxed(&b->set);

	for (unsigned int i = 0; set && i < set->n_events; i++)
		put_bell(b, set->event[i].bell);
	free_set(b, set);
	mutex_destroy(&b->lock);
}

/* A copy of the set, with room for this many more. */
static struct bus_set *copy_set(struct bus *b, unsigned int zones, unsigned int events)
	REQUIRES(b->lock)
{
	static const struct bus_set none;
	const struct bus_set *old = atomic_ptr_load_relaxed(&b->set);
	size_t n_zones, n_events, bytes;
	struct bus_set *set;

	if (!old)
		old = &none;
	n_zones = old->n_zones + zones;
	n_events = old->n_events + events;
	bytes = sizeof(*set) + n_events * sizeof(*set->event) + n_zones * sizeof(*set->zone);
	set = alloc_zeroed(b->alloc, bytes);
	if (!set)
		return NULL;
	set->bytes = bytes;
	set->n_zones = old->n_zones;
	set->n_events = old->n_events;
	set->zone = (struct kvm_coalesced_mmio_zone *)&set->event[n_events];
	for (unsigned int i = 0; i < old->n_events; i++)
		set->event[i] = old->event[i];
	for (unsigned int i = 0; i < old->n_zones; i++)
		set->zone[i] = old->zone[i];
	return set;
}

static void publish(struct bus *b, struct bus_set *set) REQUIRES(b->lock)
{
	struct bus_set *old = atomic_ptr_load_relaxed(&b->set);

	atomic_ptr_store_release(&b->set, set);
	rcu_synchronize();
	free_set(b, old);
}

/* Memory and ports are two busses. */
static bool has_room(const struct bus_set *set, uint32_t pio)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < set->n_zones; i++)
		n += set->zone[i].pio == pio;
	return n < MAX_ZONES;
}

int bus_add_zone(struct bus *b, const struct kvm_coalesced_mmio_zone *zone)
{
	struct bus_set *set;
	int err = 0;

	if (zone->pio > 1)
		return -EINVAL;
	mutex_lock(&b->lock);
	set = copy_set(b, 1, 0);
	if (!set)
		err = -ENOMEM;
	else if (!has_room(set, zone->pio))
		err = -ENOSPC;
	if (!err) {
		set->zone[set->n_zones++] = *zone;
		publish(b, set);
	} else {
		free_set(b, set);
	}
	mutex_unlock(&b->lock);
	return err;
}

/* All of [addr, addr + bytes), without wrapping around. */
static bool holds(const struct kvm_coalesced_mmio_zone *zone, bool pio, uint64_t addr,
		  uint64_t bytes)
{
	return zone->pio == pio && addr >= zone->addr && addr + bytes >= addr &&
	       bytes <= zone->size && addr - zone->addr <= zone->size - bytes;
}

int bus_remove_zones(struct bus *b, const struct kvm_coalesced_mmio_zone *zone)
{
	struct bus_set *set;
	unsigned int n = 0;

	if (zone->pio > 1)
		return -EINVAL;
	mutex_lock(&b->lock);
	set = copy_set(b, 0, 0);
	if (!set) {
		mutex_unlock(&b->lock);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < set->n_zones; i++)
		if (!holds(zone, set->zone[i].pio, set->zone[i].addr, set->zone[i].size))
			set->zone[n++] = set->zone[i];
	set->n_zones = n;
	publish(b, set);
	mutex_unlock(&b->lock);
	return 0;
}

static int order(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* By everything that a write is compared with.  No two are equal: see collides(). */
static int compare_events(const struct event *a, const struct event *b)
{
	const int by[] = {
		order(a->pio, b->pio), order(a->addr, b->addr), order(a->bytes, b->bytes),
		order(a->match, b->match), order(a->datamatch, b->datamatch),
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(by); i++)
		if (by[i])
			return by[i];
	return 0;
}

/* How many come before @e. */
static unsigned int place_of(const struct bus_set *set, const struct event *e)
{
	unsigned int low = 0, high = set->n_events;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (compare_events(&set->event[middle], e) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct event *find_event(const struct bus_set *set, const struct event *e)
{
	unsigned int at = place_of(set, e);

	if (at == set->n_events || compare_events(&set->event[at], e))
		return NULL;
	return &set->event[at];
}

static struct event event_of(const struct kvm_ioeventfd *args)
{
	bool match = args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH;

	return (struct event){
		.addr = args->addr,
		.bytes = args->len,
		.match = match,
		.datamatch = match ? args->datamatch : 0,
		.pio = args->flags & KVM_IOEVENTFD_FLAG_PIO,
	};
}

/* One that takes all values collides with any other. */
static bool collides(const struct event *e, const struct event *other)
{
	return e->addr == other->addr && e->pio == other->pio &&
	       (!e->bytes || !other->bytes || e->bytes == other->bytes) &&
	       (!e->match || !other->match || e->datamatch == other->datamatch);
}

static struct bell *make_bell(struct bus *b, int fd, int *err)
{
	struct bell *bell = alloc_zeroed(b->alloc, sizeof(*bell));

	*err = -ENOMEM;
	if (!bell)
		return NULL;
	bell->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (bell->fd >= 0) {
		atomic32_store_relaxed(&bell->refs, 1);
		return bell;
	}
	*err = -errno;
	alloc_free(b->alloc, bell, sizeof(*bell));
	return NULL;
}

static int assign(struct bus *b, struct bus_set *set, const struct kvm_ioeventfd *args)
{
	struct event e = event_of(args);
	unsigned int at;
	int err;

	for (unsigned int i = 0; i < set->n_events; i++)
		if (collides(&set->event[i], &e))
			return -EEXIST;
	e.bell = make_bell(b, args->fd, &err);
	if (!e.bell)
		return err;
	at = place_of(set, &e);
	memmove(&set->event[at + 1], &set->event[at], (set->n_events - at) * sizeof(e));
	set->event[at] = e;
	set->n_events++;
	return 0;
}

/* *gone: put it when no reader can find it any more. */
static int deassign(struct bus_set *set, const struct kvm_ioeventfd *args, struct bell **gone)
{
	const struct event e = event_of(args), *found = find_event(set, &e);
	unsigned int at;

	if (!found || !eventfd_is_same(found->bell->fd, args->fd))
		return -ENOENT;
	*gone = found->bell;
	at = (unsigned int)(found - set->event);
	set->n_events--;
	memmove(&set->event[at], &set->event[at + 1], (set->n_events - at) * sizeof(e));
	return 0;
}

/* To remove one, it only has to exist. */
static int check_ioeventfd(const struct kvm_ioeventfd *args)
{
	const uint32_t known = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO |
			       KVM_IOEVENTFD_FLAG_DEASSIGN;

	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		return eventfd_check(args->fd);
	if (args->len > 8 || (args->len & (args->len - 1)))
		return -EINVAL;
	if (args->addr + args->len < args->addr || (args->flags & ~known))
		return -EINVAL;
	if (!args->len && (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH))
		return -EINVAL;
	return eventfd_check(args->fd);
}

int bus_ioeventfd(struct bus *b, const struct kvm_ioeventfd *args)
{
	bool adds = !(args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN);
	int err = check_ioeventfd(args);
	struct bell *gone = NULL;
	struct bus_set *set;

	if (err)
		return err;
	mutex_lock(&b->lock);
	set = copy_set(b, 0, adds);
	if (!set)
		err = -ENOMEM;
	else if (adds)
		err = assign(b, set, args);
	else
		err = deassign(set, args, &gone);
	if (err)
		free_set(b, set);
	else
		publish(b, set);
	mutex_unlock(&b->lock);
	put_bell(b, gone);
	return err;
}

/*
 * The client can write anything to the ring: indices are read once and checked.  One entry stays
 * free, or full would look like empty.
 */
static bool put_in_ring(struct bus *b, bool pio, uint64_t addr, const uint8_t *data,
			unsigned int bytes)
{
	struct kvm_coalesced_mmio_ring *ring = b->ring;
	uint32_t last, first, next;
	bool room;

	mutex_lock(&b->lock);
	last = shared32_load_relaxed(&ring->last);
	first = shared32_load_acquire(&ring->first);
	next = (last + 1) % KVM_COALESCED_MMIO_MAX;
	room = last < KVM_COALESCED_MMIO_MAX && next != first;
	if (room) {
		struct kvm_coalesced_mmio *e = &ring->coalesced_mmio[last];

		e->phys_addr = addr;
		e->len = bytes;
		e->pio = pio;
		memcpy(e->data, data, bytes);
		shared32_store_release(&ring->last, next);
	}
	mutex_unlock(&b->lock);
	return room;
}

/* At most one matches: any size, or this size with any value or this one. */
static const struct event *find_meant(const struct bus_set *set, bool pio, uint64_t addr,
				      uint64_t value, unsigned int bytes)
{
	const struct event wanted[] = {
		{ .pio = pio, .addr = addr },
		{ .pio = pio, .addr = addr, .bytes = bytes },
		{ .pio = pio, .addr = addr, .bytes = bytes, .match = true, .datamatch = value },
	};
	const struct event *found = NULL;

	for (unsigned int i = 0; i < ARRAY_SIZE(wanted) && !found; i++)
		found = find_event(set, &wanted[i]);
	return found;
}

bool bus_write(struct bus *b, enum bus_space space, uint64_t addr, const uint8_t *data,
	       unsigned int bytes)
{
	bool pio = space == BUS_PORTS;
	const struct bus_set *set;
	const struct event *event;
	struct bell *bell = NULL;
	bool coalesced = false;
	uint64_t value = 0;

	if (!atomic_ptr_load_relaxed(&b->set))
		return false;
	memcpy(&value, data, MIN(bytes, 8u));
	rcu_read_begin();
	set = atomic_ptr_load_acquire(&b->set);
	event = find_meant(set, pio, addr, value, bytes);
	if (event) {
		/* The set's own reference lasts as long as the section. */
		bell = event->bell;
		atomic32_fetch_add(&bell->refs, 1);
	}
	for (unsigned int i = 0; i < set->n_zones && !bell && !coalesced; i++)
		coalesced = holds(&set->zone[i], pio, addr, bytes);
	rcu_read_end();
	if (bell) {
		eventfd_signal(bell->fd);
		put_bell(b, bell);
		return true;
	}
	return coalesced && put_in_ring(b, pio, addr, data, bytes);
}
