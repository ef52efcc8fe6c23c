/* SPDX-License-Identifier: MIT */
/*
 * kvm/bus.c - see bus.h.
 *
 * What is registered is an immutable set behind one pointer, replaced by RCU: a write of
 * the guest takes no lock to see that it is not meant.
 */
#include "kvm/bus.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sync/rcu.h"
#include "sync/thread.h"

/* As many as KVM has on a bus. */
#define MAX_DEVICES 1000u

struct event {
	uint64_t addr, datamatch;
	uint32_t bytes;			/* 0: of any size */
	bool pio, match;
	int fd;				/* ours, a duplicate */
};

struct bus_set {
	unsigned int n_zones, n_events;
	struct kvm_coalesced_mmio_zone zone[MAX_DEVICES];
	struct event event[MAX_DEVICES];
};

void bus_init(struct bus *b, struct alloc *alloc, void *ring)
{
	b->alloc = alloc;
	mutex_init(&b->lock, RANK_BUS);
	atomic_ptr_store_relaxed(&b->set, NULL);
	b->ring = ring;
}

void bus_destroy(struct bus *b)
{
	struct bus_set *set = atomic_ptr_load_relaxed(&b->set);

	for (unsigned int i = 0; set && i < set->n_events; i++)
		close(set->event[i].fd);
	alloc_free(b->alloc, set, sizeof(*set));
	mutex_destroy(&b->lock);
}

static struct bus_set *copy_set(struct bus *b) REQUIRES(b->lock)
{
	const struct bus_set *old = atomic_ptr_load_relaxed(&b->set);
	struct bus_set *set = alloc_zeroed(b->alloc, sizeof(*set));

	if (set && old)
		*set = *old;
	return set;
}

static void publish(struct bus *b, struct bus_set *set) REQUIRES(b->lock)
{
	struct bus_set *old = atomic_ptr_load_relaxed(&b->set);

	atomic_ptr_store_release(&b->set, set);
	rcu_synchronize();
	alloc_free(b->alloc, old, sizeof(*old));
}

int bus_add_zone(struct bus *b, const struct kvm_coalesced_mmio_zone *zone)
{
	struct bus_set *set;
	int err = 0;

	if (zone->pio > 1)
		return -EINVAL;
	mutex_lock(&b->lock);
	set = copy_set(b);
	if (!set)
		err = -ENOMEM;
	else if (set->n_zones == MAX_DEVICES)
		err = -ENOSPC;
	if (!err) {
		set->zone[set->n_zones++] = *zone;
		publish(b, set);
	} else {
		alloc_free(b->alloc, set, sizeof(*set));
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
	set = copy_set(b);
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

/* 0, -EBADF, or -EINVAL for what is no eventfd. */
static int check_eventfd(int fd)
{
	char path[32], target[32];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st))
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0) /* without /proc: it has no type, as all that only the kernel makes */
		return st.st_mode & S_IFMT ? -EINVAL : 0;
	target[n] = 0;
	return strcmp(target, "anon_inode:[eventfd]") ? -EINVAL : 0;
}

/* Two descriptors of one open file: ours is a duplicate of the one that was assigned. */
static bool is_same_file(int a, int b)
{
	enum { COMPARE_FILES = 0 };
	long order = syscall(SYS_kcmp, getpid(), getpid(), COMPARE_FILES, a, b);

	return order == 0;
}

static bool is_alike(const struct event *e, const struct kvm_ioeventfd *args)
{
	return e->addr == args->addr && e->pio == !!(args->flags & KVM_IOEVENTFD_FLAG_PIO) &&
	       e->bytes == args->len;
}

static bool matches(const struct event *e, const struct kvm_ioeventfd *args)
{
	return e->match == !!(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) &&
	       (!e->match || e->datamatch == args->datamatch);
}

/* One that takes all values is in the way of any other, and any other of it. */
static bool collides(const struct event *e, const struct kvm_ioeventfd *args)
{
	return e->addr == args->addr && e->pio == !!(args->flags & KVM_IOEVENTFD_FLAG_PIO) &&
	       (!e->bytes || !args->len || e->bytes == args->len) &&
	       (!e->match || !(args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH) ||
		e->datamatch == args->datamatch);
}

static int assign(struct bus_set *set, const struct kvm_ioeventfd *args)
{
	int fd;

	for (unsigned int i = 0; i < set->n_events; i++)
		if (collides(&set->event[i], args))
			return -EEXIST;
	if (set->n_events == MAX_DEVICES)
		return -ENOSPC;
	fd = fcntl(args->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	set->event[set->n_events++] = (struct event){
		.addr = args->addr,
		.bytes = args->len,
		.datamatch = args->datamatch,
		.match = args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH,
		.pio = args->flags & KVM_IOEVENTFD_FLAG_PIO,
		.fd = fd,
	};
	return 0;
}

/* *fd: to be closed when nobody uses it any more. */
static int deassign(struct bus_set *set, const struct kvm_ioeventfd *args, int *fd)
{
	for (unsigned int i = 0; i < set->n_events; i++) {
		struct event *e = &set->event[i];

		if (!is_alike(e, args) || !matches(e, args) || !is_same_file(e->fd, args->fd))
			continue;
		*fd = e->fd;
		*e = set->event[--set->n_events];
		return 0;
	}
	return -ENOENT;
}

/* What is to be taken away need only be there. */
static int check_ioeventfd(const struct kvm_ioeventfd *args)
{
	const uint32_t known = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO |
			       KVM_IOEVENTFD_FLAG_DEASSIGN;

	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		return check_eventfd(args->fd);
	if (args->len > 8 || (args->len & (args->len - 1)))
		return -EINVAL;
	if (args->addr + args->len < args->addr || (args->flags & ~known))
		return -EINVAL;
	if (!args->len && (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH))
		return -EINVAL;
	return check_eventfd(args->fd);
}

int bus_ioeventfd(struct bus *b, const struct kvm_ioeventfd *args)
{
	int err = check_ioeventfd(args), gone = -1;
	struct bus_set *set;

	if (err)
		return err;
	mutex_lock(&b->lock);
	set = copy_set(b);
	if (!set)
		err = -ENOMEM;
	else if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		err = deassign(set, args, &gone);
	else
		err = assign(set, args);
	if (err)
		alloc_free(b->alloc, set, sizeof(*set));
	else
		publish(b, set);
	mutex_unlock(&b->lock);
	if (gone >= 0)
		close(gone);
	return err;
}

/*
 * The client writes to the ring what it likes: indices are read once and checked.  One
 * entry stays free, or full would look like empty.
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

static bool is_meant(const struct event *e, bool pio, uint64_t addr, uint64_t value,
		     unsigned int bytes)
{
	if (e->pio != pio || e->addr != addr || (e->bytes && e->bytes != bytes))
		return false;
	return !e->match || e->datamatch == value;
}

/*
 * A counter that is full would let us wait: it says all that there is to say.  Where
 * system calls are restricted the question may not be allowed.
 */
static void signal_event(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	const uint64_t one = 1;

	if ((thread_is_filtered() || poll(&p, 1, 0) == 1) &&
	    write(fd, &one, sizeof(one)) != sizeof(one))
		return;
}

bool bus_write(struct bus *b, bool pio, gpa_t addr, const uint8_t *data, unsigned int bytes)
{
	const struct bus_set *set;
	bool coalesced = false;
	uint64_t value = 0;
	int fd = -1;

	if (!atomic_ptr_load_relaxed(&b->set))
		return false;
	memcpy(&value, data, MIN(bytes, 8u));
	rcu_read_begin();
	set = atomic_ptr_load_acquire(&b->set);
	for (unsigned int i = 0; i < set->n_events && fd < 0; i++)
		if (is_meant(&set->event[i], pio, addr, value, bytes))
			fd = set->event[i].fd;
	for (unsigned int i = 0; i < set->n_zones && fd < 0 && !coalesced; i++)
		coalesced = holds(&set->zone[i], pio, addr, bytes);
	/* Does not wait; and the descriptor is open until the section ends. */
	if (fd >= 0)
		signal_event(fd);
	rcu_read_end();
	return fd >= 0 || (coalesced && put_in_ring(b, pio, addr, data, bytes));
}
