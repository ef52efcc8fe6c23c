/* SPDX-License-Identifier: MIT */
/* boot/device/serial.h - a 16550A, whose line is standard input and output. */
#ifndef BOOT_SERIAL_H
#define BOOT_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_FIFO 16

struct serial {
	int vm_fd;
	int room_fd;		/* an eventfd: the guest has read, so more can be received */
	pthread_mutex_t lock;
	/* under it */
	uint8_t ier, lcr, mcr, scr, fcr, dll, dlm;
	bool thre_pending;	/* of the transmitter's interrupt */
	bool level;		/* of the line */
	uint8_t fifo[SERIAL_FIFO];
	unsigned int first, n;
};

/* False after a message. */
bool serial_create(struct serial *s, int vm_fd);
void serial_destroy(struct serial *s);

/* A register is read; written.  What is sent is to be written to standard output: @byte, if
 * true is returned. */
uint8_t serial_read(struct serial *s, unsigned int reg);
bool serial_write(struct serial *s, unsigned int reg, uint8_t value, uint8_t *byte);

/* How many bytes can be received now, and receiving them. */
size_t serial_room(struct serial *s);
void serial_receive(struct serial *s, const uint8_t *bytes, size_t n);

#endif
