/* SPDX-License-Identifier: MIT */
/*
 * boot/memory.h - the guest's memory: from 0, with a gap below 4 GiB for the interrupt
 * controllers and devices, and what lies where in it when the guest begins.
 */
#ifndef BOOT_MEMORY_H
#define BOOT_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* Memory goes on at 4 GiB if there is more. */
#define GAP_GPA GIB(3)
#define HIGH_GPA GIB(4)

/* Below 640 KiB: what the kernel is told, and what the processor begins with. */
#define GDT_GPA 0x1000
#define INFO_GPA 0x2000		/* Linux's zero page, or the information of PVH or Multiboot */
#define LISTS_GPA 0x4000	/* that it points to */
#define PAGE_TABLES_GPA 0x8000
#define COMMAND_LINE_GPA 0x10000
#define COMMAND_LINE_BYTES KIB(64)
#define LOW_END KIB(639)
/* The range that a kernel searches for ACPI's tables. */
#define ACPI_GPA 0xe0000
#define ACPI_BYTES KIB(128)
#define KERNEL_GPA MIB(1)

struct guest_memory {
	uint8_t *host;		/* of guest-physical 0; contiguous, without the gap */
	uint64_t bytes;
	uint64_t low;		/* how many of them are below the gap */
};

/* Allocates it, as slots of the VM; false, after a message, if that fails. */
bool memory_create(struct guest_memory *m, int vm_fd, uint64_t bytes);
void memory_destroy(struct guest_memory *m);

/* Where [gpa, gpa + bytes) is, or NULL unless all of it is memory, in one piece. */
void *memory_at(const struct guest_memory *m, uint64_t gpa, uint64_t bytes);
/* Copies there; false if it is not memory. */
bool memory_write(const struct guest_memory *m, uint64_t gpa, const void *from, uint64_t bytes);

/* The map that kernels are told: memory (type 1) and what is reserved (type 2). */
struct memory_range {
	uint64_t gpa, bytes;
	uint32_t type;
};
#define MEMORY_RANGES 4
/* Returns their number. */
unsigned int memory_map(const struct guest_memory *m, struct memory_range map[MEMORY_RANGES]);

#endif
