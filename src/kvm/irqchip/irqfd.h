/* SPDX-License-Identifier: MIT */
/*
 * kvm/irqchip/irqfd.h - KVM_IRQFD: an eventfd that raises an interrupt.
 *
 * A thread of ours waits for all of them.  It is made with the first.  A resampling one is a
 * level: it stays up until the guest has ended the interrupt; then it is lowered, and a second
 * eventfd asks the client whether it is still wanted.
 */
#ifndef KVM_IRQFD_H
#define KVM_IRQFD_H

#include <linux/kvm.h>

#include "base/list.h"
#include "machine/routes.h"
#include "mem/alloc.h"
#include "sync/lock.h"
#include "sync/thread.h"

struct irqfds;
typedef int (*irqfd_line)(struct irqfds *fds, uint32_t gsi, enum line_source source, bool level);

/* (c) constant after creation  (a) atomic  [x] under lock x */
struct irqfds {
	struct alloc *alloc;		/* (c) */
	irqfd_line set_line;		/* (c) */
	struct mutex lock;		/* (c) rank RANK_IRQFDS */
	struct cds_list_head all;	/* [lock] */
	uint64_t last_id;		/* [lock] */
	struct atomic32 n_resampling;	/* (a) changed under the lock */
	int epoll, stop;		/* (c) once running: descriptors of ours */
	struct service service;		/* (c) once running */
	bool running;			/* [lock] */
};

void irqfds_init(struct irqfds *fds, struct alloc *alloc, irqfd_line set_line);
void irqfds_destroy(struct irqfds *fds);
/* 0 or -errno.  The caller has checked the flags. */
int irqfds_assign(struct irqfds *fds, const struct kvm_irqfd *args);
int irqfds_deassign(struct irqfds *fds, const struct kvm_irqfd *args);
/* The guest has ended an interrupt of this GSI.  Any thread, with no lock of a controller. */
void irqfds_ended(struct irqfds *fds, uint32_t gsi);

#endif
