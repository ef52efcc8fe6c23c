/* SPDX-License-Identifier: MIT */
/* boot/terminal.h - the terminal, raw while the guest has it. */
#ifndef BOOT_TERMINAL_H
#define BOOT_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * If standard input is a terminal, makes it raw and goes on in a child process: however that
 * ends, this one sets the terminal back, and ends as it did.  Call it before there are threads.
 */
void terminal_take(void);

/* Ctrl-A begins a command: x ends the run, another Ctrl-A is one for the guest. */
struct terminal {
	bool is_one;
	bool escaped;
};
/* Removes commands from what was typed; false if one of them ends the run. */
bool terminal_filter(struct terminal *t, uint8_t *bytes, size_t *n);

#endif
