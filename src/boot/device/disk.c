/* SPDX-License-Identifier: MIT */
#include "boot/device/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "boot/board.h"
#include "boot/boot.h"
#include "tool/output.h"

#define SECTOR 512
#define IDENTITY "umbra"

/* --- setting up ------------------------------------------------------------------------ */

static bool open_file(struct disk *d, const char *name)
{
	struct stat st;

	d->fd = open(name, O_RDWR | O_CLOEXEC);
	if (d->fd < 0 || fstat(d->fd, &st) || flock(d->fd, LOCK_EX | LOCK_NB)) {
		complain("boot: %s: %s", name,
			 errno == EWOULDBLOCK ? "it is in use already" : strerror(errno));
		return false;
	}
	d->sectors = (uint64_t)st.st_size / SECTOR;
	if (S_ISREG(st.st_mode) && d->sectors && st.st_size % SECTOR == 0)
		return true;
	complain("boot: %s: a disk is a file of whole sectors of 512 bytes", name);
	return false;
}

/* The guest's notifications and our interrupts go past the vCPUs' threads. */
static bool connect_fds(struct disk *d, int vm_fd)
{
	const struct kvm_irqfd irq = { .fd = (uint32_t)d->virtio.irq_fd, .gsi = DISK_GSI };
	const struct kvm_ioeventfd notify = {
		.addr = DISK_GPA + VIRTIO_MMIO_QUEUE_NOTIFY, .len = 4, .fd = d->notify_fd,
	};

	return boot_check("KVM_IRQFD", umbra_irqfd(vm_fd, &irq)) &&
	       boot_check("KVM_IOEVENTFD", umbra_ioeventfd(vm_fd, &notify));
}

bool disk_create(struct disk *d, int vm_fd, const struct guest_memory *memory, const char *name)
{
	*d = (struct disk){
		.fd = -1,
		.notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.virtio = {
			.id = VIRTIO_ID_BLOCK,
			.features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_BLK_F_FLUSH |
				    1ull << VIRTIO_BLK_F_SEG_MAX,
			.config = &d->config,
			.config_bytes = sizeof(d->config),
			.irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
			.queue.memory = memory,
		},
	};
	pthread_mutex_init(&d->virtio.lock, NULL);
	if (!name)
		return true;
	if (!open_file(d, name))
		return false;
	d->config.capacity = d->sectors;
	d->config.seg_max = QUEUE_MAX - 2;
	return connect_fds(d, vm_fd);
}

void disk_destroy(struct disk *d)
{
	if (d->fd >= 0)
		close(d->fd);
	close(d->notify_fd);
	close(d->virtio.irq_fd);
	pthread_mutex_destroy(&d->virtio.lock);
}

/* --- requests -------------------------------------------------------------------------- */

/* Takes @bytes from the front of the parts; false if there are not that many. */
static bool take_front(struct iovec *part, unsigned int n, void *to, size_t bytes)
{
	uint8_t *out = to;

	for (; n && bytes; n--, part++) {
		size_t some = part->iov_len < bytes ? part->iov_len : bytes;

		memcpy(out, part->iov_base, some);
		part->iov_base = (uint8_t *)part->iov_base + some;
		part->iov_len -= some;
		out += some;
		bytes -= some;
	}
	return !bytes;
}

/* The last byte that the device writes is the status; NULL: there is none. */
static uint8_t *take_status(struct iovec *part, unsigned int n)
{
	while (n--)
		if (part[n].iov_len)
			return (uint8_t *)part[n].iov_base + --part[n].iov_len;
	return NULL;
}

static uint64_t sum(const struct iovec *part, unsigned int n)
{
	uint64_t bytes = 0;

	while (n--)
		bytes += part[n].iov_len;
	return bytes;
}

enum direction { FROM_FILE, TO_FILE };

/* Each part by itself, since a call may do less than was asked for. */
static bool transfer(const struct disk *d, const struct iovec *part, unsigned int n,
		     uint64_t sector, enum direction direction)
{
	uint64_t bytes = sum(part, n), offset = sector * SECTOR;

	if (bytes % SECTOR || sector > d->sectors || bytes / SECTOR > d->sectors - sector)
		return false;
	for (; n; n--, part++) {
		for (size_t done = 0; done < part->iov_len;) {
			uint8_t *at = (uint8_t *)part->iov_base + done;
			size_t left = part->iov_len - done;
			ssize_t some = direction == TO_FILE ?
				       pwrite(d->fd, at, left, (off_t)offset) :
				       pread(d->fd, at, left, (off_t)offset);

			if (some < 0 && errno == EINTR)
				continue;
			if (some <= 0)
				return false;
			done += (size_t)some;
			offset += (uint64_t)some;
		}
	}
	return true;
}

static bool identify(const struct iovec *part, unsigned int n)
{
	char identity[VIRTIO_BLK_ID_BYTES] = IDENTITY;

	if (!n || part->iov_len < sizeof(identity))
		return false;
	memcpy(part->iov_base, identity, sizeof(identity));
	return true;
}

static uint8_t execute_request(struct disk *d, const struct virtio_blk_outhdr *header,
			       const struct chain *chain)
{
	const struct iovec *read = chain->part, *written = chain->part + chain->n_read;
	unsigned int n_written = chain->n - chain->n_read;
	bool done;

	switch (header->type) {
	case VIRTIO_BLK_T_IN:
		done = transfer(d, written, n_written, header->sector, FROM_FILE);
		break;
	case VIRTIO_BLK_T_OUT:
		done = transfer(d, read, chain->n_read, header->sector, TO_FILE);
		break;
	case VIRTIO_BLK_T_FLUSH:
		done = !fdatasync(d->fd);
		break;
	case VIRTIO_BLK_T_GET_ID:
		done = identify(written, n_written);
		break;
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
	return done ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static int64_t serve_request(void *ctx, struct chain *chain)
{
	struct iovec *written = chain->part + chain->n_read;
	unsigned int n_written = chain->n - chain->n_read;
	struct virtio_blk_outhdr header;
	uint8_t *status = take_status(written, n_written);

	if (!status || !take_front(chain->part, chain->n_read, &header, sizeof(header)))
		return -1;
	*status = execute_request(ctx, &header, chain);
	return header.type == VIRTIO_BLK_T_OUT ? 1 : (int64_t)sum(written, n_written) + 1;
}

void disk_work(struct disk *d)
{
	const uint64_t one = 1;
	uint64_t n;

	/* What is left waits for the next turn: others have something to do, too. */
	if (read(d->notify_fd, &n, sizeof(n)) == sizeof(n) &&
	    virtio_work(&d->virtio, serve_request, d))
		n = (uint64_t)write(d->notify_fd, &one, sizeof(one));
}
