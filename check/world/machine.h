/* SPDX-License-Identifier: MIT */
/*
 * check/world/machine.h - a VM for scenarios: what its vCPUs, its client and its host do.
 *
 * A vCPU enters guest mode, uses its TLB and misses as in the processor; between two
 * accesses it looks at its requests, as at the end of a block.  Every call that a
 * client could make is made through the functions here, as they tell the oracles
 * (check/world/oracle.h) what was asked and when it was done.  Each outcome is judged: an access
 * to memory, an exit to the client and a page fault alike need a reason.
 */
#ifndef CHECK_WORLD_MACHINE_H
#define CHECK_WORLD_MACHINE_H

#include "check/engine/sched.h"
#include "check/world/copies.h"
#include "check/world/host.h"
#include "check/world/oracle.h"
#include "mem/limits.h"
#include "mmu/mmu.h"
#include "mmu/notifier.h"

#define MACHINE_VCPUS 3

/* What the client knows of a slot of its own. */
struct client_slot {
	uint64_t gfn;
	unsigned int pages, page;	/* .pages 0: there is none */
	uint32_t flags;
};

struct machine {
	struct alloc alloc;
	struct slots slots;
	struct mmu mmu;
	struct mmu_vcpu vcpu[MACHINE_VCPUS];
	unsigned int n_vcpus;
	bool loses_translations;	/* a TLB may forget at any access */
	bool cannot_interrupt;		/* flushes wait for vCPUs */
	uint32_t fetched[MACHINE_VCPUS]; /* how far the client is in each ring */
	struct client_slot client_slot[SLOTS_MAX_IDS];
	unsigned int n_resetting;	/* threads in a reset of the rings */
	uint32_t n_resets;		/* of those that have begun */

	/* Of each vCPU's last access. */
	unsigned int last_page[MACHINE_VCPUS];		/* of the host, if it reached memory */
	uint64_t last_gpa[MACHINE_VCPUS];		/* if there was none there */
	uint32_t last_error_code[MACHINE_VCPUS];	/* of a page fault */
	uint64_t n_written[MACHINE_VCPUS];		/* so that no two writes are alike */
};

/* Of the run that is being made. */
extern struct machine *vm;

struct machine_options {
	unsigned int vcpus;		/* 1 if 0 */
	unsigned int host_pages;	/* 8 if 0 */
	int level;			/* largest page of the host's; LEVEL_4K if 0 */
	bool rings;			/* log to rings ... */
	unsigned int ring_entries;	/* ... of this many entries; 128 if 0 */
	bool manual_protect;		/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 */
	bool initially_set;
	bool loses_translations;
	bool cannot_interrupt;		/* as where the system refuses it */
	uint64_t page_limit;		/* KVM_SET_NR_MMU_PAGES; 0: none */
};
/* In which mode machines are made. */
extern enum mmu_mode machine_mode;
void machine_make(struct machine_options o);
/* And slot 0, with @slot_flags, over the first four pages. */
void machine_make_with_slot(struct machine_options o, uint32_t slot_flags);

/* What TLBs, sptes and the debt hold now: for the timeline. */
void machine_show(void);

/* --- the guest: vCPU @n's own thread ------------------------------------------- */

enum outcome {
	DONE_RAM,
	DONE_MMIO,		/* KVM_EXIT_MMIO */
	DONE_EFAULT,
	DONE_RING_FULL,		/* KVM_EXIT_DIRTY_RING_FULL; the access did not take place */
	DONE_PAGE_FAULT,	/* #PF in the guest */
	DONE_BAD_TABLES,
};

enum outcome vcpu_write(unsigned int n, uint64_t gva);
enum outcome vcpu_read(unsigned int n, uint64_t gva);
/* Fetches an instruction. */
enum outcome vcpu_execute(unsigned int n, uint64_t gva);
/* Of 8 bytes; the value read or written goes through @value. */
enum outcome vcpu_access(unsigned int n, uint64_t gva, bool write, uint64_t *value);
/* In guest mode, after a look at the requests: the end of a block. */
void vcpu_boundary(unsigned int n);
/* Out of the guest, as for an exit to the client. */
void vcpu_stop(unsigned int n);

/* --- the client ------------------------------------------------------------------ */

/* KVM_SET_USER_MEMORY_REGION: @pages guest frames from @gfn, at host page @page. */
void client_set_slot(unsigned int id, uint64_t gfn, unsigned int pages, unsigned int page,
		     uint32_t flags);
void client_delete_slot(unsigned int id);

/* One of up to two clients that each keep a copy of the guest's memory by the log. */
void client_get_log(unsigned int consumer, unsigned int id);
/* The same, if the slot is logged at that moment. */
void client_try_log(unsigned int consumer, unsigned int id);
/* With manual protection: asks, clears what it was told, copies it. */
void client_get_clear_copy(unsigned int consumer, unsigned int id);
/* Takes what vCPU @n's ring has, resets the rings, copies the pages. */
void client_reap_ring(unsigned int consumer, unsigned int n);
void client_copy_all(unsigned int consumer, unsigned int id);

/* Ageing by the host's pages: were they used since that was last cleared? */
bool client_age(unsigned int page, enum age how);
bool client_age_pages(unsigned int first, unsigned int n, enum age how);

#endif
