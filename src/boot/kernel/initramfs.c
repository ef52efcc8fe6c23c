/* SPDX-License-Identifier: MIT */
/*
 * boot/kernel/initramfs.c - busybox and a script, as an archive of cpio's "newc" format
 * (Documentation/driver-api/early-userspace/buffer-format.rst).
 */
#include "boot/kernel/initramfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/boot.h"
#include "tool/output.h"

#define BUSYBOX "/bin/busybox"
#define PACKAGE "busybox-static"

static const char init_script[] =
	"#!/bin/busybox sh\n"
	"/bin/busybox mkdir -p /proc /sys /dev /tmp /root\n"
	"/bin/busybox --install -s /bin\n"
	"mount -t proc proc /proc\n"
	"mount -t sysfs sys /sys\n"
	"mount -t devtmpfs dev /dev\n"
	"export HOME=/root TERM=linux\n"
	"cd\n"
	"echo\n"
	"echo \"Linux $(uname -r) on $(nproc) CPUs.  'exit' switches the machine off;"
	" " ESCAPE_TEXT " leaves it at once.\"\n"
	"setsid sh -c 'exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'\n"
	"poweroff -f\n";

static void put_padded(FILE *out, const void *bytes, size_t n)
{
	fwrite(bytes, 1, n, out);
	for (long at = ftell(out); at % 4; at++)
		fputc(0, out);
}

static void put_entry(FILE *out, const char *name, unsigned int mode, const void *bytes, size_t n)
{
	static unsigned int inode;
	char header[111];

	/* Inode, mode, owner, group, links, time, size, devices, length of the name, checksum. */
	snprintf(header, sizeof(header),
		 "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		 ++inode, mode, 0u, 0u, 1u, 0u, (unsigned int)n, 0u, 0u, 0u, 0u,
		 (unsigned int)strlen(name) + 1, 0u);
	fwrite(header, 1, sizeof(header) - 1, out);
	put_padded(out, name, strlen(name) + 1);
	put_padded(out, bytes, n);
}

bool initramfs_make(struct file *initrd)
{
	struct file busybox = { 0 };
	char *archive = NULL;
	size_t size = 0;
	FILE *out;

	if (access(BUSYBOX, R_OK) || !file_open(&busybox, BUSYBOX) || !elf_is(&busybox) ||
	    elf_is_dynamic(&busybox)) {
		file_close(&busybox);
		complain("boot: without --initrd a static " BUSYBOX " is needed (package "
			 PACKAGE ")");
		return false;
	}
	out = open_memstream(&archive, &size);
	if (out) {
		put_entry(out, "bin", S_IFDIR | 0755, "", 0);
		put_entry(out, "bin/busybox", S_IFREG | 0755, busybox.bytes, busybox.size);
		put_entry(out, "init", S_IFREG | 0755, init_script, sizeof(init_script) - 1);
		put_entry(out, "TRAILER!!!", 0, "", 0);
	}
	file_close(&busybox);
	if (!out || output_close(out)) {
		complain("boot: no memory");
		return false;
	}
	*initrd = (struct file){ "the initramfs", (const uint8_t *)archive, size };
	return true;
}
