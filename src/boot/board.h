/* SPDX-License-Identifier: MIT */
/* boot/board.h - where the devices are: ports, addresses, interrupt lines. */
#ifndef BOOT_BOARD_H
#define BOOT_BOARD_H

#define SERIAL_PORT 0x3f8
#define SERIAL_PORTS 8
#define SERIAL_GSI 4

/* ACPI's registers for sleep and reset (hardware-reduced). */
#define SLEEP_CONTROL_PORT 0x600
#define SLEEP_STATUS_PORT 0x601
#define RESET_PORT 0x602
#define RESET_VALUE 1
/* Written to SLEEP_CONTROL_PORT: enable, and the type of S5 (boot/acpi.c). */
#define SLEEP_ENABLE 0x20
#define SLEEP_TYPE_OFF 5

#define DISK_GPA 0xd0000000u
#define DISK_BYTES 0x1000
#define DISK_GSI 5

#endif
