/* SPDX-License-Identifier: MIT */
/* mmu/shadow/path.c - finding an entry of the shadow tables, from a root. */
#include "mmu/shadow/internal.h"

void shadow_path_find(const struct mmu *m, struct shadow_path *p, struct shadow_page *root)
{
	p->entry = (struct table_entry){
		.level = LEVEL_1G,
		.unlinks = atomic64_load_acquire(&m->unlinks),
	};
	if (!root)
		return;
	shadow_path_end_at(p, root->table.level, root);
	shadow_path_descend(p);
}
