/* SPDX-License-Identifier: MIT */
/* preload/next.c - the next definitions of the symbols that we define. */
#include "preload/next.h"

#include <dlfcn.h>

extern struct next_symbol __start_umbra_next[] __attribute__((visibility("hidden")));
extern struct next_symbol __stop_umbra_next[] __attribute__((visibility("hidden")));

void *next_find(struct next_symbol *symbol)
{
	void *found = dlsym(RTLD_NEXT, symbol->name);

	__atomic_store_n(&symbol->found, found, __ATOMIC_RELAXED);
	return found;
}

void next_begin(void)
{
	for (struct next_symbol *s = __start_umbra_next; s < __stop_umbra_next; s++)
		next_find(s);
}
