/* SPDX-License-Identifier: MIT */
/* check/generate/operation.h - one step of a generated scenario, as a value and as a word. */
#ifndef CHECK_GENERATE_OPERATION_H
#define CHECK_GENERATE_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum operation_kind {
#define OPERATION(name, actor, arguments, world, changes) OP_##name,
#include "check/generate/operation.def"
#undef OPERATION
	N_OPERATIONS,
};

enum actor { ACTOR_VCPU, ACTOR_CLIENT, ACTOR_HOST };

struct operation {
	uint8_t kind;		/* enum operation_kind */
	uint8_t vcpu;		/* whose; 0 if it is none's */
	uint16_t a, b;		/* b: the same as a if there is one */
};

#define OPERATION_BYTES 40
void operation_print(struct operation o, char text[OPERATION_BYTES]);
/* False: it is none. */
bool operation_parse(const char *text, struct operation *o);

enum actor operation_actor(struct operation o);
bool operation_changes_slots(struct operation o);
/* Has it a meaning, in a world with the guest's own page tables or without? */
bool operation_is_valid(struct operation o, bool paged, unsigned int host_pages);

#endif
