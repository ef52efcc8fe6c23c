/* SPDX-License-Identifier: MIT */
/* preload/truncation.h - calls that open a file and may remove its pages. */
#ifndef PRELOAD_TRUNCATION_H
#define PRELOAD_TRUNCATION_H

#include "kvm/fd/file_memory.h"

/* What @call returns. */
#define MAY_TRUNCATE(dir, path, flags, call)                            \
	({                                                              \
		struct truncation truncation = { .is_open = false };    \
		__typeof__(call) result;                                \
                                                                        \
		if (!preload_is_off())                                  \
			truncation_begin(&truncation, dir, path, flags); \
		result = (call);                                        \
		truncation_end(&truncation);                            \
		result;                                                 \
	})

#endif
