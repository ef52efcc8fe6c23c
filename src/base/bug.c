/* SPDX-License-Identifier: MIT */
#include "base/bug.h"

#include <stdlib.h>

#include "base/log.h"

void bug(const char *file, int line, const char *what)
{
	log_emit(LOG_CRIT, "bug at %s:%d: %s", file, line, what);
	abort();
}
