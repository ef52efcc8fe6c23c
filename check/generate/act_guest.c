/* SPDX-License-Identifier: MIT */
/* What a vCPU does. */
#include "check/generate/world.h"
#include "check/world/guest.h"
#include "check/world/halt.h"
#include "check/world/machine.h"

/* Where the tables lead at first. */
static uint64_t home(uint16_t page)
{
	return page < GUEST_PAGES ? page : 2;
}

/* Judged where the oracle follows it. */
static void access_page(struct operation o)
{
	uint64_t gva = (uint64_t)o.a << PAGE_SHIFT;

	if (o.kind == OP_write)
		vcpu_write(o.vcpu, gva);
	else if (o.kind == OP_execute)
		vcpu_execute(o.vcpu, gva);
	else
		vcpu_read(o.vcpu, gva);
}

/* The entry of the last level. */
static void set_leaf(struct operation o, uint64_t gfn, uint64_t bits)
{
	uint64_t table = o.a < ENTRIES_PER_TABLE ? GUEST_PT : GUEST_PT2;

	/* vCPU 1's address of it, if it has one of its own. */
	if (table == GUEST_PT && o.vcpu == 1 &&
	    host_peek_at(GUEST_PT, WORLD_TABLE_ALIAS * 8) >> PAGE_SHIFT == GUEST_PT)
		table = WORLD_TABLE_ALIAS;
	guest_set_gpte(o.vcpu, table, o.a % ENTRIES_PER_TABLE, bits ? gpte(gfn, bits) : 0);
}

static void set_directory(struct operation o, uint64_t value)
{
	guest_set_gpte(o.vcpu, GUEST_PD, 1, value);
}

static bool write_table(struct operation o)
{
	switch (o.kind) {
	case OP_map:
		set_leaf(o, o.b, GPTE_ALL);
		return true;
	case OP_drop:
		set_leaf(o, 0, 0);
		return true;
	case OP_protect:
		set_leaf(o, home(o.a), GPTE_ALL & ~GPTE_W);
		return true;
	case OP_clean:
		set_leaf(o, home(o.a), GPTE_ALL & ~GPTE_D);
		return true;
	case OP_age:
		set_leaf(o, home(o.a), GPTE_ALL & ~(GPTE_A | GPTE_D));
		return true;
	case OP_supervisor:
		set_leaf(o, home(o.a), GPTE_ALL & ~GPTE_U);
		return true;
	case OP_noexec:
		set_leaf(o, home(o.a), GPTE_ALL | GPTE_NX);
		return true;
	case OP_fill:
		set_leaf(o, home(o.a), GPTE_ALL);
		return true;
	case OP_link:
		set_directory(o, o.a ? gpte(o.a, GPTE_ALL) : 0);
		return true;
	case OP_large:
		set_directory(o, gpte(0, GPTE_ALL | GPTE_PS));
		return true;
	case OP_largero:
		set_directory(o, gpte(0, (GPTE_ALL & ~GPTE_W) | GPTE_PS));
		return true;
	default:
		return false;
	}
}

static void halt(struct operation o)
{
	if (o.kind == OP_halt)
		halt_until_interrupt();
	else if (o.kind == OP_startup)
		halt_until_startup();
	else
		halt_until_stop();
}

void guest_do(struct operation o)
{
	if (write_table(o))
		return;
	switch (o.kind) {
	case OP_read:
	case OP_write:
	case OP_execute:
		access_page(o);
		break;
	case OP_exit:
		vcpu_stop(o.vcpu);
		break;
	case OP_invlpg:
		guest_invlpg(o.vcpu, (uint64_t)o.a << PAGE_SHIFT);
		break;
	case OP_load:
		guest_load_cr3(o.vcpu, o.a);
		break;
	case OP_sregs:
		vcpu_stop(o.vcpu);
		guest_set_sregs_cr3(o.vcpu, o.a);
		break;
	case OP_cpl:
		vcpu_boundary(o.vcpu);
		guest_set_cpl(o.vcpu, o.a);
		break;
	case OP_wp:
		guest_set_cr0(o.vcpu, (vm->vcpu[o.vcpu].paging.cr0 & ~X86_CR0_WP) |
					      (o.a ? X86_CR0_WP : 0));
		break;
	case OP_halt:
	case OP_startup:
	case OP_pause:
		vcpu_stop(o.vcpu);
		halt(o);
		break;
	}
}
