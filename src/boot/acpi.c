/* SPDX-License-Identifier: MIT */
/*
 * boot/acpi.c - ACPI's tables for a hardware-reduced machine (ACPI 6.4, sections 4.1 and 5.2):
 * it has no PIC and no timer of the PC, and its devices are those of the DSDT.
 */
#include "boot/acpi.h"

#include <string.h>

#include "boot/board.h"

#define MADT_BYTES_EACH 8

/* Tables, one after the other: a few hundred bytes, and eight for each processor. */
struct writer {
	uint8_t *bytes;
	size_t at, size;
	size_t table;	/* where the present one begins */
};

static void put_value(struct writer *w, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++, value >>= 8)
		if (w->at < w->size)
			w->bytes[w->at++] = (uint8_t)value;
}

static void put_bytes(struct writer *w, const void *from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		put_value(w, ((const uint8_t *)from)[i], 1);
}

static void put_text(struct writer *w, const char *text)
{
	put_bytes(w, text, strlen(text));
}

/* Skips to an offset in the table; what is between is 0. */
static void skip_to(struct writer *w, size_t offset)
{
	while (w->at - w->table < offset && w->at < w->size)
		put_value(w, 0, 1);
}

static uint8_t checksum(const uint8_t *bytes, size_t n)
{
	uint8_t sum = 0;

	while (n--)
		sum = (uint8_t)(sum + *bytes++);
	return (uint8_t)-sum;
}

/* --- the header that all tables have (5.2.6) --------------------------------------- */

static void begin_table(struct writer *w, const char *signature, unsigned int revision)
{
	w->at = (w->at + 15) & ~(size_t)15;
	w->table = w->at;
	put_text(w, signature);
	put_value(w, 0, 4);		/* length: by end_table() */
	put_value(w, revision, 1);
	put_value(w, 0, 1);		/* checksum: by end_table() */
	put_text(w, "UMBRA ");
	put_text(w, "UMBRABOO");
	put_value(w, 1, 4);
	put_text(w, "UMBR");
	put_value(w, 1, 4);
}

/* Returns its address. */
static uint64_t end_table(struct writer *w)
{
	uint32_t length = (uint32_t)(w->at - w->table);

	memcpy(w->bytes + w->table + 4, &length, 4);
	w->bytes[w->table + 9] = checksum(w->bytes + w->table, length);
	return ACPI_GPA + w->table;
}

/* --- the DSDT, in AML (20.2) --------------------------------------------------------- */

/* A package length of two bytes, which end_package() fills in. */
static size_t begin_package(struct writer *w)
{
	w->at += 2;
	return w->at - 2;
}

static void end_package(struct writer *w, size_t from)
{
	size_t length = w->at - from;

	w->bytes[from] = (uint8_t)(0x40 | (length & 15));
	w->bytes[from + 1] = (uint8_t)(length >> 4);
}

static size_t begin_device(struct writer *w, const char *name)
{
	size_t from;

	put_value(w, 0x825b, 2);	/* DeviceOp */
	from = begin_package(w);
	put_text(w, name);
	return from;
}

static void put_name(struct writer *w, const char *name)
{
	put_value(w, 0x08, 1);	/* NameOp */
	put_text(w, name);
}

/* Name(_CRS, Buffer of @bytes): the caller writes that many, the end tag among them. */
static size_t begin_resources(struct writer *w, unsigned int bytes)
{
	size_t from;

	put_name(w, "_CRS");
	put_value(w, 0x11, 1);	/* BufferOp */
	from = begin_package(w);
	put_value(w, 0x0a, 1);
	put_value(w, bytes, 1);
	return from;
}

#define INTERRUPT_BYTES 9
#define END_BYTES 2
#define PORTS_BYTES 8
#define MEMORY_BYTES 12

/* Edge-triggered, active high, its owner's alone; and the end tag. */
static void put_interrupt_and_end(struct writer *w, unsigned int gsi)
{
	put_value(w, 0x89, 1);
	put_value(w, INTERRUPT_BYTES - 3, 2);
	put_value(w, 3, 1);
	put_value(w, 1, 1);
	put_value(w, gsi, 4);
	put_value(w, 0x79, END_BYTES);
}

static void put_serial(struct writer *w)
{
	size_t device = begin_device(w, "COM1"), resources;

	put_name(w, "_HID");
	put_value(w, 0x0c, 1);
	put_value(w, 0x0105d041, 4);	/* PNP0501, compressed */
	put_name(w, "_UID");
	put_value(w, 1, 1);		/* OneOp */
	resources = begin_resources(w, PORTS_BYTES + INTERRUPT_BYTES + END_BYTES);
	put_value(w, 0x0147, 2);	/* ports, 16 bits decoded */
	put_value(w, SERIAL_PORT, 2);
	put_value(w, SERIAL_PORT, 2);
	put_value(w, 1, 1);
	put_value(w, SERIAL_PORTS, 1);
	put_interrupt_and_end(w, SERIAL_GSI);
	end_package(w, resources);
	end_package(w, device);
}

static void put_disk(struct writer *w)
{
	size_t device = begin_device(w, "DISK"), resources;

	put_name(w, "_HID");
	put_value(w, 0x0d, 1);
	put_text(w, "LNRO0005");	/* virtio over MMIO */
	put_value(w, 0, 1);
	put_name(w, "_UID");
	put_value(w, 0, 1);			/* ZeroOp */
	put_name(w, "_CCA");
	put_value(w, 1, 1);
	resources = begin_resources(w, MEMORY_BYTES + INTERRUPT_BYTES + END_BYTES);
	put_value(w, 0x86, 1);
	put_value(w, MEMORY_BYTES - 3, 2);
	put_value(w, 1, 1);			/* read and write */
	put_value(w, DISK_GPA, 4);
	put_value(w, DISK_BYTES, 4);
	put_interrupt_and_end(w, DISK_GSI);
	end_package(w, resources);
	end_package(w, device);
}

static uint64_t write_dsdt(struct writer *w, bool has_disk)
{
	size_t scope, package;

	begin_table(w, "DSDT", 2);
	put_name(w, "_S5_");
	put_value(w, 0x12, 1);		/* PackageOp, of four numbers */
	package = begin_package(w);
	put_value(w, 4, 1);
	put_value(w, 0x0a, 1);
	put_value(w, SLEEP_TYPE_OFF, 1);
	put_value(w, 0, 3);
	end_package(w, package);
	put_value(w, 0x10, 1);		/* ScopeOp */
	scope = begin_package(w);
	put_text(w, "\\_SB_");
	put_serial(w);
	if (has_disk)
		put_disk(w);
	end_package(w, scope);
	return end_table(w);
}

/* --- the others ------------------------------------------------------------------------ */

/* A generic address (5.2.3.2): a port of one byte. */
static void put_port(struct writer *w, unsigned int port)
{
	put_value(w, 1, 1);		/* system I/O */
	put_value(w, 8, 1);
	put_value(w, 0, 1);
	put_value(w, 1, 1);
	put_value(w, port, 8);
}

/* 5.2.9; the offsets are its own. */
static uint64_t write_fadt(struct writer *w, uint64_t dsdt)
{
	begin_table(w, "FACP", 6);
	skip_to(w, 40);
	put_value(w, dsdt, 4);
	skip_to(w, 109);
	put_value(w, 0x24, 2);	/* no VGA, no CMOS clock; and no 8042, no other old devices */
	skip_to(w, 112);
	/* WBINVD, buttons not fixed, a register for reset, hardware-reduced. */
	put_value(w, 1u | 1u << 4 | 1u << 5 | 1u << 10 | 1u << 20, 4);
	put_port(w, RESET_PORT);
	put_value(w, RESET_VALUE, 1);
	skip_to(w, 131);
	put_value(w, 4, 1);
	skip_to(w, 140);
	put_value(w, dsdt, 8);
	skip_to(w, 244);
	put_port(w, SLEEP_CONTROL_PORT);
	put_port(w, SLEEP_STATUS_PORT);
	put_value(w, 0, 8);
	return end_table(w);
}

/* 5.2.12: local APICs, and one I/O APIC for all lines. */
static uint64_t write_madt(struct writer *w, unsigned int cpus)
{
	begin_table(w, "APIC", 5);
	put_value(w, 0xfee00000, 4);
	put_value(w, 0, 4);
	for (unsigned int i = 0; i < cpus; i++) {
		put_value(w, 0, 1);
		put_value(w, MADT_BYTES_EACH, 1);
		put_value(w, i, 1);
		put_value(w, i, 1);
		put_value(w, 1, 4);		/* enabled */
	}
	put_value(w, 1, 1);
	put_value(w, 12, 1);
	put_value(w, 0, 2);
	put_value(w, 0xfec00000, 4);
	put_value(w, 0, 4);
	return end_table(w);
}

static uint64_t write_xsdt(struct writer *w, uint64_t fadt, uint64_t madt)
{
	begin_table(w, "XSDT", 1);
	put_value(w, fadt, 8);
	put_value(w, madt, 8);
	return end_table(w);
}

/* 5.2.5.3: two checksums, the first over what ACPI 1.0 knew. */
static uint64_t write_root(struct writer *w, uint64_t xsdt)
{
	uint8_t *root;

	w->at = (w->at + 15) & ~(size_t)15;
	w->table = w->at;
	root = w->bytes + w->at;
	put_text(w, "RSD PTR ");
	put_value(w, 0, 1);
	put_text(w, "UMBRA ");
	put_value(w, 2, 1);
	put_value(w, 0, 4);
	put_value(w, 36, 4);
	put_value(w, xsdt, 8);
	put_value(w, 0, 4);
	root[8] = checksum(root, 20);
	root[32] = checksum(root, 36);
	return ACPI_GPA + w->table;
}

uint64_t acpi_write(const struct guest_memory *memory, unsigned int cpus, bool has_disk)
{
	struct writer w = { .bytes = memory_at(memory, ACPI_GPA, ACPI_BYTES), .size = ACPI_BYTES };
	uint64_t dsdt = write_dsdt(&w, has_disk);
	uint64_t fadt = write_fadt(&w, dsdt);
	uint64_t madt = write_madt(&w, cpus);

	return write_root(&w, write_xsdt(&w, fadt, madt));
}
