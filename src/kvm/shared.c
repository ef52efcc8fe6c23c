/* SPDX-License-Identifier: MIT */
#include "kvm/shared.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/reservation.h"

int shared_create(struct shared *s, const char *name, size_t bytes)
{
	int err;

	s->bytes = bytes;
	s->fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->fd < 0)
		return -errno;
	/* Were the client to shrink it, our own accesses would fault. */
	if (ftruncate(s->fd, (off_t)bytes) ||
	    fcntl(s->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		goto fail;
	s->map = reservation_map(s->fd, bytes);
	if (s->map)
		return 0;
fail:
	err = -errno;
	close(s->fd);
	s->fd = -1;
	return err;
}

void shared_destroy(struct shared *s)
{
	if (s->map)
		reservation_unmap(s->map, s->bytes);
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct shared){ .fd = -1 };
}

int shared_open_again(int fd)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY | O_CLOEXEC);
	return again < 0 ? -errno : again;
}
