/* SPDX-License-Identifier: MIT */
/* tool/parts.h - where the other parts of this installation are. */
#ifndef TOOL_PARTS_H
#define TOOL_PARTS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Looks for @name beside this command (as built), where an installation has it as seen
 * from the command (wherever it was unpacked), and where this one was to be installed.
 */
bool parts_find_library(const char *name, char *path, size_t bytes);
bool parts_find_program(const char *name, char *path, size_t bytes);

#endif
