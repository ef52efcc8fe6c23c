/* SPDX-License-Identifier: MIT */
/* boot/bus.c - what is at a port or an address: nothing is all ones, and takes every write. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boot/board.h"
#include "boot/boot.h"

/* The keyboard controller's way to reset a PC, for kernels that know no ACPI. */
#define KEYBOARD_PORT 0x64
#define KEYBOARD_RESET 0xfe

/* To standard output: a slow reader holds up this processor alone. */
static void send_byte(struct boot *b, uint8_t byte)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

	while (!atomic_load(&b->ending) && write(STDOUT_FILENO, &byte, 1) != 1) {
		if (errno == EAGAIN)
			poll(&out, 1, -1);
		else if (errno != EINTR)
			boot_end(b, EXIT_FAILURE, "standard output: %s", strerror(errno));
	}
}

static uint8_t read_port(struct boot *b, unsigned int port)
{
	if (port - SERIAL_PORT < SERIAL_PORTS)
		return serial_read(&b->serial, port - SERIAL_PORT);
	/* There is no wake-up whose status it could have. */
	if (port == SLEEP_CONTROL_PORT || port == SLEEP_STATUS_PORT)
		return 0;
	return 0xff;
}

static void write_port(struct boot *b, unsigned int port, uint8_t value)
{
	uint8_t byte;

	if (port - SERIAL_PORT < SERIAL_PORTS) {
		if (serial_write(&b->serial, port - SERIAL_PORT, value, &byte))
			send_byte(b, byte);
	} else if (port == SLEEP_CONTROL_PORT) {
		if (value == (SLEEP_ENABLE | SLEEP_TYPE_OFF << 2))
			boot_end(b, EXIT_SUCCESS, NULL);
	} else if ((port == RESET_PORT && value == RESET_VALUE) ||
		   (port == KEYBOARD_PORT && value == KEYBOARD_RESET)) {
		boot_end(b, EXIT_FAILURE, "the guest reset the machine");
	}
}

void bus_io(struct boot *b, struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	/* A wider access is one to each of the ports that it covers. */
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size)
		for (unsigned int j = 0; j < run->io.size; j++) {
			if (run->io.direction == KVM_EXIT_IO_IN)
				data[j] = read_port(b, run->io.port + j);
			else
				write_port(b, run->io.port + j, data[j]);
		}
}

void bus_mmio(struct boot *b, struct kvm_run *run)
{
	uint64_t offset = run->mmio.phys_addr - DISK_GPA;
	uint32_t value = 0;

	if (b->disk.fd < 0 || offset >= DISK_BYTES || run->mmio.len > 4) {
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
	} else if (run->mmio.is_write) {
		memcpy(&value, run->mmio.data, run->mmio.len);
		virtio_write(&b->disk.virtio, (uint32_t)offset, value);
	} else {
		value = virtio_read(&b->disk.virtio, (uint32_t)offset, run->mmio.len);
		memcpy(run->mmio.data, &value, run->mmio.len);
	}
}
