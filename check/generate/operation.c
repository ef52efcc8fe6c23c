/* SPDX-License-Identifier: MIT */
#include "check/generate/operation.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "check/generate/world.h"

enum where { WORLD_ANY, WORLD_FLAT, WORLD_PAGED };

static const struct {
	const char *name;
	enum actor actor;
	unsigned int n_arguments;
	enum where where;
	bool changes_slots;
} kinds[N_OPERATIONS] = {
#define OPERATION(name, actor, arguments, world, changes) \
	{ #name, ACTOR_##actor, arguments, WORLD_##world, changes },
#include "check/generate/operation.def"
#undef OPERATION
};

enum actor operation_actor(struct operation o)
{
	return kinds[o.kind].actor;
}

bool operation_changes_slots(struct operation o)
{
	return kinds[o.kind].changes_slots;
}

void operation_print(struct operation o, char text[OPERATION_BYTES])
{
	static const char *const actors[] = { "v", "client", "host" };
	char number[12] = "", argument[20] = "";

	if (operation_actor(o) == ACTOR_VCPU)
		snprintf(number, sizeof(number), "%u", o.vcpu);
	if (kinds[o.kind].n_arguments && o.a == o.b)
		snprintf(argument, sizeof(argument), "%u", o.a);
	else if (kinds[o.kind].n_arguments)
		snprintf(argument, sizeof(argument), "%uto%u", o.a, o.b);
	snprintf(text, OPERATION_BYTES, "%s%s.%s%s", actors[operation_actor(o)], number,
		 kinds[o.kind].name, argument);
}

static bool parse_actor(const char *text, size_t n, enum actor *actor, uint8_t *vcpu)
{
	*vcpu = 0;
	*actor = ACTOR_VCPU;
	if (n == 2 && text[0] == 'v' && text[1] >= '0' && text[1] < '0' + WORLD_VCPUS)
		*vcpu = (uint8_t)(text[1] - '0');
	else if (n == 6 && strncmp(text, "client", n) == 0)
		*actor = ACTOR_CLIENT;
	else if (n == 4 && strncmp(text, "host", n) == 0)
		*actor = ACTOR_HOST;
	else
		return false;
	return true;
}

static bool parse_number(const char **at, uint16_t *number)
{
	char *end;
	unsigned long n;

	if (!isdigit((unsigned char)**at))
		return false;
	n = strtoul(*at, &end, 10);
	*at = end;
	*number = (uint16_t)n;
	return n <= UINT16_MAX;
}

static bool parse_arguments(const char *at, unsigned int most, struct operation *o)
{
	if (!most)
		return !*at;
	if (!parse_number(&at, &o->a))
		return false;
	o->b = o->a;
	if (most == 1 || !*at)
		return !*at;
	if (strncmp(at, "to", 2))
		return false;
	at += 2;
	return parse_number(&at, &o->b) && !*at;
}

bool operation_parse(const char *text, struct operation *o)
{
	const char *dot = strchr(text, '.'), *name = dot ? dot + 1 : text;
	size_t n = 0;
	enum actor actor;

	*o = (struct operation){ 0 };
	if (!dot || !parse_actor(text, (size_t)(dot - text), &actor, &o->vcpu))
		return false;
	while (islower((unsigned char)name[n]))
		n++;
	for (unsigned int i = 0; i < N_OPERATIONS; i++) {
		if (kinds[i].actor != actor || strlen(kinds[i].name) != n ||
		    strncmp(kinds[i].name, name, n))
			continue;
		o->kind = (uint8_t)i;
		return parse_arguments(name + n, kinds[i].n_arguments, o);
	}
	return false;
}

static bool is_one_of(uint16_t value, const uint16_t *list, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (list[i] == value)
			return true;
	return false;
}

static bool vcpu_is_valid(struct operation o, bool paged)
{
	static const uint16_t roots[] = { GUEST_PML4, GUEST_PML4_2, WORLD_ROOT_3 };
	static const uint16_t links[] = { 0, GUEST_PT2, WORLD_THIRD_TABLE, WORLD_TABLE_GFN };

	switch (o.kind) {
	case OP_read:
	case OP_execute:
		return o.a < (paged ? GUEST_PAGES : WORLD_FLAT_GFNS) ||
		       (paged && world_is_watched(o.a));
	case OP_write:
		/* By its entries alone a table is written to. */
		return o.a < (paged ? GUEST_PML4 : WORLD_FLAT_GFNS) ||
		       (paged && world_is_watched(o.a));
	case OP_map:
		return (o.a < GUEST_PML4 || o.a == GUEST_PT2 || world_is_watched(o.a)) &&
		       o.b < GUEST_PML4;
	case OP_link:
		return is_one_of(o.a, links, ARRAY_SIZE(links));
	case OP_load:
	case OP_sregs:
		return is_one_of(o.a, roots, ARRAY_SIZE(roots));
	case OP_wp:
		return o.a < 2;
	case OP_cpl:
		return o.a == 0 || o.a == 3;
	case OP_halt:
	case OP_startup:
	case OP_pause:
		return o.vcpu == 0;
	case OP_exit:
	case OP_large:
	case OP_largero:
		return true;
	default:
		/* Or the address at which the guest writes to its second table. */
		return o.a < GUEST_PML4 || o.a == GUEST_PT2 || world_is_watched(o.a);
	}
}

static bool client_is_valid(struct operation o, bool paged)
{
	switch (o.kind) {
	case OP_create:
	case OP_ro:
	case OP_other:
	case OP_delete:
	case OP_move:
		/* All of the guest's tables are in slot 0. */
		return o.a < WORLD_SLOTS && (!paged || o.a == 1);
	case OP_irq:
		return o.a < 8;
	case OP_churn:
		return o.a >= 1 && o.a <= 8;
	case OP_limit:
		/* Below that no walk has room: KVM allows no less than 64. */
		return o.a >= 9 && o.a <= 64;
	case OP_reap:
		return o.a < WORLD_VCPUS;
	default:
		return o.a < WORLD_SLOTS;
	}
}

/* A table's memory may be exchanged, but its contents stay. */
static bool host_is_valid(struct operation o, bool paged, unsigned int host_pages)
{
	unsigned int end = paged && o.kind != OP_migrate && o.kind != OP_refill &&
			   o.kind != OP_young && o.kind != OP_old && o.kind != OP_oldflush ?
			   GUEST_PML4 : host_pages;

	if (o.kind == OP_flush)
		return true;
	if (o.kind == OP_provide)
		return o.a == WORLD_AWAITED;
	return o.a <= o.b && o.b < end;
}

bool operation_is_valid(struct operation o, bool paged, unsigned int host_pages)
{
	if (kinds[o.kind].where == (paged ? WORLD_FLAT : WORLD_PAGED))
		return false;
	switch (operation_actor(o)) {
	case ACTOR_VCPU:
		return vcpu_is_valid(o, paged);
	case ACTOR_CLIENT:
		return client_is_valid(o, paged);
	default:
		return host_is_valid(o, paged, host_pages);
	}
}
