/* SPDX-License-Identifier: MIT */
/* tool/self.h - where this executable is. */
#ifndef TOOL_SELF_H
#define TOOL_SELF_H

#include <stdbool.h>

/* Its directory, into PATH_MAX bytes. */
bool self_directory(char *dir);

#endif
