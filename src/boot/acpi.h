/* SPDX-License-Identifier: MIT */
/* boot/acpi.h - what the guest is told about the machine. */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "boot/memory.h"

/* Writes the tables for @cpus processors; returns the address of the root pointer. */
uint64_t acpi_write(const struct guest_memory *memory, unsigned int cpus, bool has_disk);

#endif
