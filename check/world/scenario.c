/* SPDX-License-Identifier: MIT */
#include "check/world/scenario.h"

#include <string.h>

#include "base/bug.h"

const struct scenario *scenarios[MAX_SCENARIOS];
unsigned int n_scenarios;
const struct scenario *scenario_selected;

void scenario_register(struct scenario *s, const char *id)
{
	struct program *p = &s->program;

	bug_on(n_scenarios == MAX_SCENARIOS || strlen(id) >= sizeof(s->name));
	for (size_t i = 0; id[i]; i++)
		s->name[i] = id[i] == '_' ? '-' : id[i];
	p->name = s->name;
	while (p->n_threads < MAX_THREADS && p->thread[p->n_threads].fn)
		p->n_threads++;
	scenarios[n_scenarios++] = s;
}

const struct scenario *scenario_find(const char *name)
{
	for (unsigned int i = 0; i < n_scenarios; i++)
		if (strcmp(scenarios[i]->name, name) == 0)
			return scenarios[i];
	return NULL;
}

void host_unmaps_page_1(void)
{
	host_unmap(&vm->mmu, 1, 1);
}

void host_unmaps_page_2(void)
{
	host_unmap(&vm->mmu, 2, 1);
}

void client_harvests(void)
{
	client_get_log(0, 0);
}

void log_missed_nothing(void)
{
	client_get_log(0, 0);
	oracle_compare(0, 0, 4);
}
