/* SPDX-License-Identifier: MIT */
#include "kvm/irqchip/irqfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kvm/fd/eventfd.h"

#define STOP_ID 0u
#define EVENTS_AT_ONCE 16

struct irqfd {
	struct cds_list_head node;	/* [irqfds.lock] */
	uint64_t id;			/* (c) by which the thread finds it, or that it is gone */
	int fd;				/* (c) our duplicate */
	int resample_fd;		/* (c) likewise; -1: it is an edge */
	uint32_t gsi;			/* (c) */
};

void irqfds_init(struct irqfds *fds, struct alloc *alloc, irqfd_line set_line)
{
	*fds = (struct irqfds){ .alloc = alloc, .set_line = set_line, .epoll = -1, .stop = -1 };
	mutex_init(&fds->lock, RANK_IRQFDS);
	CDS_INIT_LIST_HEAD(&fds->all);
}

static void free_irqfd(struct irqfds *fds, struct irqfd *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->resample_fd >= 0)
		close(f->resample_fd);
	alloc_free(fds->alloc, f, sizeof(*f));
}

/* --- the thread ------------------------------------------------------------------- */

static struct irqfd *find_by_id(struct irqfds *fds, uint64_t id) REQUIRES(fds->lock)
{
	struct irqfd *f;

	cds_list_for_each_entry(f, &fds->all, node)
		if (f->id == id)
			return f;
	return NULL;
}

/* Somebody else may have read it meanwhile: without waiting, where the kernel can (5.8). */
static bool take_count(int fd)
{
	uint64_t count;
	struct iovec to = { .iov_base = &count, .iov_len = sizeof(count) };
	ssize_t n = preadv2(fd, &to, 1, -1, RWF_NOWAIT);

	if (n < 0 && errno != EAGAIN)
		n = read(fd, &count, sizeof(count));
	return n == sizeof(count);
}

static void raise_line(struct irqfds *fds, const struct irqfd *f) REQUIRES(fds->lock)
{
	if (f->resample_fd >= 0) {
		fds->set_line(fds, f->gsi, LINE_RESAMPLE, true);
		return;
	}
	fds->set_line(fds, f->gsi, LINE_CLIENT, true);
	fds->set_line(fds, f->gsi, LINE_CLIENT, false);
}

/* One that has been removed raises nothing any more: under the lock. */
static void handle_event(struct irqfds *fds, uint64_t id)
{
	struct irqfd *f;

	mutex_lock(&fds->lock);
	f = find_by_id(fds, id);
	if (f && take_count(f->fd))
		raise_line(fds, f);
	mutex_unlock(&fds->lock);
}

static void serve_eventfds(void *arg)
{
	struct irqfds *fds = arg;
	struct epoll_event event[EVENTS_AT_ONCE];

	for (;;) {
		int n = epoll_wait(fds->epoll, event, EVENTS_AT_ONCE, -1);

		/* The client has closed descriptors that it does not know. */
		if (n < 0 && errno != EINTR)
			return;
		for (int i = 0; i < n; i++) {
			if (event[i].data.u64 == STOP_ID)
				return;
			handle_event(fds, event[i].data.u64);
		}
	}
}

static int watch(struct irqfds *fds, int fd, uint64_t id)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = id };

	return epoll_ctl(fds->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static void close_own(struct irqfds *fds)
{
	if (fds->epoll >= 0)
		close(fds->epoll);
	if (fds->stop >= 0)
		close(fds->stop);
	fds->epoll = fds->stop = -1;
}

static int start_thread(struct irqfds *fds) REQUIRES(fds->lock)
{
	int err;

	if (fds->running)
		return 0;
	fds->epoll = epoll_create1(EPOLL_CLOEXEC);
	fds->stop = eventfd(0, EFD_CLOEXEC);
	err = fds->epoll < 0 || fds->stop < 0 ? -errno : watch(fds, fds->stop, STOP_ID);
	if (!err)
		err = service_start(&fds->service, serve_eventfds, fds);
	if (err)
		close_own(fds);
	fds->running = !err;
	return err;
}

void irqfds_destroy(struct irqfds *fds)
{
	struct irqfd *f, *next;

	if (fds->running) {
		eventfd_signal(fds->stop);
		service_join(&fds->service);
		fds->running = false;
	}
	close_own(fds);
	cds_list_for_each_entry_safe(f, next, &fds->all, node)
		free_irqfd(fds, f);
	CDS_INIT_LIST_HEAD(&fds->all);
	mutex_destroy(&fds->lock);
}

/* --- the client's calls ----------------------------------------------------------- */

static int duplicate(int fd, int *copy)
{
	int err = eventfd_check(fd);

	if (err)
		return err;
	*copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *copy < 0 ? -errno : 0;
}

/* One eventfd raises one interrupt. */
static bool is_assigned(struct irqfds *fds, int fd) REQUIRES(fds->lock)
{
	struct irqfd *f;

	cds_list_for_each_entry(f, &fds->all, node)
		if (eventfd_is_same(f->fd, fd))
			return true;
	return false;
}

static int add_irqfd(struct irqfds *fds, struct irqfd *f) REQUIRES(fds->lock)
{
	int err;

	if (is_assigned(fds, f->fd))
		return -EBUSY;
	err = start_thread(fds);
	if (err)
		return err;
	f->id = ++fds->last_id;
	err = watch(fds, f->fd, f->id);
	if (err)
		return err;
	cds_list_add_tail(&f->node, &fds->all);
	if (f->resample_fd >= 0)
		atomic32_fetch_add(&fds->n_resampling, 1);
	return 0;
}

int irqfds_assign(struct irqfds *fds, const struct kvm_irqfd *args)
{
	struct irqfd *f = alloc_zeroed(fds->alloc, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	f->fd = f->resample_fd = -1;
	f->gsi = args->gsi;
	err = duplicate((int)args->fd, &f->fd);
	if (!err && (args->flags & KVM_IRQFD_FLAG_RESAMPLE))
		err = duplicate((int)args->resamplefd, &f->resample_fd);
	if (!err) {
		mutex_lock(&fds->lock);
		err = add_irqfd(fds, f);
		mutex_unlock(&fds->lock);
	}
	if (err)
		free_irqfd(fds, f);
	return err;
}

/* A level that it has raised goes with it. */
static void remove_irqfd(struct irqfds *fds, struct irqfd *f) REQUIRES(fds->lock)
{
	cds_list_del(&f->node);
	epoll_ctl(fds->epoll, EPOLL_CTL_DEL, f->fd, NULL);
	if (f->resample_fd >= 0) {
		atomic32_fetch_add(&fds->n_resampling, (uint32_t)-1);
		fds->set_line(fds, f->gsi, LINE_RESAMPLE, false);
	}
	free_irqfd(fds, f);
}

/* As in the kernel: if there is none, that is no error. */
int irqfds_deassign(struct irqfds *fds, const struct kvm_irqfd *args)
{
	int err = eventfd_check((int)args->fd);
	struct irqfd *f, *next;

	if (err)
		return err;
	mutex_lock(&fds->lock);
	cds_list_for_each_entry_safe(f, next, &fds->all, node)
		if (f->gsi == args->gsi && eventfd_is_same(f->fd, (int)args->fd))
			remove_irqfd(fds, f);
	mutex_unlock(&fds->lock);
	return 0;
}

void irqfds_ended(struct irqfds *fds, uint32_t gsi)
{
	struct irqfd *f;
	bool lowered = false;

	if (!atomic32_load_relaxed(&fds->n_resampling))
		return;
	mutex_lock(&fds->lock);
	cds_list_for_each_entry(f, &fds->all, node) {
		if (f->gsi != gsi || f->resample_fd < 0)
			continue;
		/* They share the line: down first, then all are asked. */
		if (!lowered)
			fds->set_line(fds, gsi, LINE_RESAMPLE, false);
		lowered = true;
		eventfd_signal(f->resample_fd);
	}
	mutex_unlock(&fds->lock);
}
