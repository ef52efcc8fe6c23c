/* SPDX-License-Identifier: MIT */
/*
 * kvm/bus.h - guest writes to MMIO and ports that cause no exit.
 *
 * Either the client takes them later, from a ring that it shares with the VM (coalesced MMIO:
 * KVM_REGISTER_COALESCED_MMIO), or they only signal an eventfd (KVM_IOEVENTFD).
 */
#ifndef KVM_BUS_H
#define KVM_BUS_H

#include "base/types.h"
#include "mem/alloc.h"
#include "sync/atomic.h"
#include "sync/lock.h"

struct kvm_coalesced_mmio_zone;
struct kvm_ioeventfd;

/* Position of the ring among a vCPU's pages, reported by KVM_CAP_COALESCED_MMIO. */
#define COALESCED_PAGE 2u

/* (c) constant after creation  (a) atomic */
struct bus {
	struct alloc *alloc;		/* (c) */
	struct mutex lock;		/* (c) rank RANK_BUS */
	struct atomic_ptr set;		/* (a) struct bus_set by RCU, written under lock; or NULL */
	struct kvm_coalesced_mmio_ring *ring; /* (c) shared with the client: read once */
};

/* @ring: a page, zeroed. */
void bus_init(struct bus *b, struct alloc *alloc, void *ring);
void bus_destroy(struct bus *b);

/* 0, -EINVAL, -ENOMEM or -ENOSPC. */
int bus_add_zone(struct bus *b, const struct kvm_coalesced_mmio_zone *zone) MUST_CHECK;
/* Removes all zones inside @zone. 0, or -EINVAL or -ENOMEM and none was removed. */
int bus_remove_zones(struct bus *b, const struct kvm_coalesced_mmio_zone *zone) MUST_CHECK;
/* Assigns or deassigns.  0, -EINVAL, -EBADF, -EEXIST, -ENOENT, -ENOMEM, -EMFILE, -ENOSPC. */
int bus_ioeventfd(struct bus *b, const struct kvm_ioeventfd *args) MUST_CHECK;

enum bus_space { BUS_MEMORY, BUS_PORTS };

/* The guest writes.  False: exit to the client.  Any thread, no lock held. */
bool bus_write(struct bus *b, enum bus_space space, uint64_t addr, const uint8_t *data,
	       unsigned int bytes);

#endif
