/* SPDX-License-Identifier: MIT */
/* boot/device/serial.c - registers as in National Semiconductor's data sheet of the PC16550D. */
#include "boot/device/serial.h"

#include <errno.h>
#include <linux/kvm.h>
#include <linux/serial_reg.h>
#include <sys/eventfd.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "boot/board.h"
#include "boot/boot.h"

#define IER_KNOWN 0x0f

bool serial_create(struct serial *s, int vm_fd)
{
	*s = (struct serial){ .vm_fd = vm_fd, .dll = 1 };
	pthread_mutex_init(&s->lock, NULL);
	s->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return boot_check("eventfd", s->room_fd < 0 ? -errno : 0);
}

void serial_destroy(struct serial *s)
{
	close(s->room_fd);
	pthread_mutex_destroy(&s->lock);
}

/* --- under the lock ---------------------------------------------------------------- */

/* The cause of highest priority, as IIR shows it. */
static uint8_t cause(const struct serial *s)
{
	if (s->n && s->ier & UART_IER_RDI)
		return UART_IIR_RDI;
	if (s->thre_pending && s->ier & UART_IER_THRI)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

static void update_line(struct serial *s)
{
	bool level = cause(s) != UART_IIR_NO_INT;
	struct kvm_irq_level line = { .irq = SERIAL_GSI, .level = level };

	if (level != s->level)
		umbra_irq_line(s->vm_fd, &line);
	s->level = level;
}

static void push(struct serial *s, uint8_t byte)
{
	if (s->n < SERIAL_FIFO)
		s->fifo[(s->first + s->n++) % SERIAL_FIFO] = byte;
}

static uint8_t pop(struct serial *s)
{
	const uint64_t one = 1;
	uint8_t byte;

	if (!s->n)
		return 0;
	byte = s->fifo[s->first];
	s->first = (s->first + 1) % SERIAL_FIFO;
	/* Nobody waits unless it was full; a counter that is full wakes as well. */
	if (s->n-- == SERIAL_FIFO && write(s->room_fd, &one, sizeof(one)) < 0)
		return byte;
	return byte;
}

/* In loopback the modem's lines are our own. */
static uint8_t modem_status(const struct serial *s)
{
	if (!(s->mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	return (s->mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
	       (s->mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
	       (s->mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) |
	       (s->mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static uint8_t read_locked(struct serial *s, unsigned int reg)
{
	uint8_t value;

	switch (reg) {
	case UART_RX:
		return s->lcr & UART_LCR_DLAB ? s->dll : pop(s);
	case UART_IER:
		return s->lcr & UART_LCR_DLAB ? s->dlm : s->ier;
	case UART_IIR:
		value = cause(s);
		if (value == UART_IIR_THRI)
			s->thre_pending = false;
		return value | (s->fcr & UART_FCR_ENABLE_FIFO ? 0xc0 : 0);
	case UART_LCR:
		return s->lcr;
	case UART_MCR:
		return s->mcr;
	case UART_LSR:
		return UART_LSR_THRE | UART_LSR_TEMT | (s->n ? UART_LSR_DR : 0);
	case UART_MSR:
		return modem_status(s);
	default:
		return s->scr;
	}
}

/* The transmitter is empty again at once.  In loopback it is the receiver that has the byte. */
static bool transmit(struct serial *s, uint8_t byte)
{
	s->thre_pending = true;
	if (s->mcr & UART_MCR_LOOP)
		push(s, byte);
	return !(s->mcr & UART_MCR_LOOP);
}

static bool write_locked(struct serial *s, unsigned int reg, uint8_t value)
{
	bool divisor = s->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_TX:
		if (!divisor)
			return transmit(s, value);
		s->dll = value;
		break;
	case UART_IER:
		if (divisor) {
			s->dlm = value;
			break;
		}
		/* Enabling it while the transmitter is empty is a cause, too. */
		if (value & ~s->ier & UART_IER_THRI)
			s->thre_pending = true;
		s->ier = value & IER_KNOWN;
		break;
	case UART_FCR:
		while (value & UART_FCR_CLEAR_RCVR && s->n)
			pop(s);
		s->fcr = value;
		break;
	case UART_LCR:
		s->lcr = value;
		break;
	case UART_MCR:
		s->mcr = value & 0x1f;
		break;
	case UART_SCR:
		s->scr = value;
		break;
	}
	return false;
}

/* --- from the guest, and from outside ------------------------------------------------ */

uint8_t serial_read(struct serial *s, unsigned int reg)
{
	uint8_t value;

	pthread_mutex_lock(&s->lock);
	value = read_locked(s, reg);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	return value;
}

bool serial_write(struct serial *s, unsigned int reg, uint8_t value, uint8_t *byte)
{
	bool sent;

	pthread_mutex_lock(&s->lock);
	sent = write_locked(s, reg, value);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
	*byte = value;
	return sent;
}

size_t serial_room(struct serial *s)
{
	size_t room;

	pthread_mutex_lock(&s->lock);
	room = SERIAL_FIFO - s->n;
	pthread_mutex_unlock(&s->lock);
	return room;
}

void serial_receive(struct serial *s, const uint8_t *bytes, size_t n)
{
	pthread_mutex_lock(&s->lock);
	while (n--)
		push(s, *bytes++);
	update_line(s);
	pthread_mutex_unlock(&s->lock);
}
