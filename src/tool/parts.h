/* SPDX-License-Identifier: MIT */
/* tool/parts.h - finds the other parts of this installation. */
#ifndef TOOL_PARTS_H
#define TOOL_PARTS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Looks for @name beside this command (in a build), relative to the command as in an installation
 * (wherever it was unpacked), and in the configured place.
 */
bool parts_find_library(const char *name, char *path, size_t bytes);
bool parts_find_program(const char *name, char *path, size_t bytes);

#endif
