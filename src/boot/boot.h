/* SPDX-License-Identifier: MIT */
/*
 * boot/boot.h - umbra boot: a small client of KVM that boots a kernel, on a machine with a
 * serial line, a disk and what ACPI needs.
 */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "boot/device/disk.h"
#include "boot/kernel/load.h"
#include "boot/memory.h"
#include "boot/device/serial.h"

#define MAX_CPUS 254		/* APIC IDs of eight bits, and one for the I/O APIC */
#define ESCAPE_TEXT "Ctrl-A x"

struct boot;

struct boot_cpu {
	struct boot *boot;
	unsigned int number;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
};

struct boot {
	int kvm_fd, vm_fd;
	struct guest_memory memory;
	struct serial serial;
	struct disk disk;
	unsigned int n_cpus;
	struct boot_cpu cpus[MAX_CPUS];

	/* How it ends: the first of what ends it decides. */
	int end_fd;		/* an eventfd: readable then */
	atomic_bool ending;
	int status;
};

/* Ends the run, from any thread; with a message if there is a @reason. */
void boot_end(struct boot *b, int status, const char *reason, ...)
	__attribute__((format(printf, 3, 4)));
/* Checks the result of a call of the API; a failure leaves a message. */
bool boot_check(const char *what, long result);

/* boot/cpu.c: false after a message. */
bool cpus_create(struct boot *b, unsigned int n);
/* The first one begins at the entry, the others wait to be started. */
bool cpus_start(struct boot *b, const struct entry *entry);
void cpus_stop(struct boot *b);

/* boot/bus.c: an exit for a port or an address. */
void bus_io(struct boot *b, struct kvm_run *run);
void bus_mmio(struct boot *b, struct kvm_run *run);

#endif
