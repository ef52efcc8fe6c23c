/* SPDX-License-Identifier: MIT */
/* demo/demo.h - the built-in guest's host: its VM, its phases, its display. */
#ifndef DEMO_DEMO_H
#define DEMO_DEMO_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "demo/guest/protocol.h"

enum demo_slot { SLOT_SYSTEM, SLOT_DATA, SLOT_WINDOW, N_DEMO_SLOTS };

struct demo_region {
	uint64_t gpa;
	size_t bytes;
	uint8_t *memory;
	uint8_t *copy;		/* of the live copy */
	uint64_t *log;		/* one bit a page */
	uint32_t flags;
};

struct demo_vcpu {
	struct demo *demo;
	unsigned int number;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	unsigned int refills_seen;	/* demo.refills before the last KVM_RUN */
};

struct demo {
	int kvm_fd, vm_fd;
	struct demo_region slots[N_DEMO_SLOTS];
	struct mailbox *mailbox;
	struct demo_vcpu vcpus[GUEST_VCPUS];

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* under lock */
	unsigned int n_paused;		/* vCPUs that have since the last resume */
	unsigned int n_finished;
	unsigned int resumes;		/* incremented to resume paused vCPUs */
	unsigned int n_faulted;		/* vCPUs that wait for memory to come back */
	unsigned int refills;		/* incremented when it has */
	uint64_t n_efaults, n_mmio;
	char problem[256];		/* the first thing that went wrong */
};

/* demo/vm.c.  All return false, with demo->problem set, if something failed. */
bool demo_create(struct demo *d);
void demo_destroy(struct demo *d);
/* Starts the vCPUs, or resumes paused ones, with a command for the guest. */
bool demo_start(struct demo *d, enum command command);
bool demo_resume(struct demo *d, enum command command);
/* Gives @command and waits until every vCPU has paused. */
bool demo_pause(struct demo *d, enum command command);
bool demo_finish(struct demo *d);
bool demo_set_slot(struct demo *d, enum demo_slot slot);
bool demo_delete_slot(struct demo *d, enum demo_slot slot);
void demo_memory_is_back(struct demo *d);
bool demo_failed(struct demo *d);
void demo_fail(struct demo *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sum of a counter over the VM and all vCPUs, by name. */
uint64_t demo_counter(struct demo *d, const char *name);

static inline uint64_t demo_written(const struct demo *d)
{
	uint64_t n = 0;

	for (int i = 0; i < GUEST_VCPUS; i++)
		n += d->mailbox->report[i].pages_written;
	return n;
}

/* demo/view.c */
void view_title(const char *mmu);
/* A phase's line while it runs (only on a terminal), and when it is done. */
void view_progress(const char *phase, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void view_done(const char *phase, bool held, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* One round of the live copy, with a map of what was dirty. */
void view_round(unsigned int round, const struct demo_region *data, uint64_t n_dirty,
		uint64_t n_copied, double seconds);
void view_table(struct demo *d, double seconds);
double view_seconds(void);

#endif
