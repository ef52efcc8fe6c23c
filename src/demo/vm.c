/* SPDX-License-Identifier: MIT */
/* demo/vm.c - the built-in guest's VM, and the threads that run it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "demo/demo.h"
#include "tool/tool.h"

#define CPUID_ENTRIES 100

extern const uint8_t guest_image[] __asm__("umbra_guest_image");
extern const uint8_t guest_image_end[] __asm__("umbra_guest_image_end");

void demo_fail(struct demo *d, const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&d->lock);
	if (!d->problem[0]) {
		va_start(args, format);
		vsnprintf(d->problem, sizeof(d->problem), format, args);
		va_end(args);
	}
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

bool demo_failed(struct demo *d)
{
	bool failed;

	pthread_mutex_lock(&d->lock);
	failed = d->problem[0];
	pthread_mutex_unlock(&d->lock);
	return failed;
}

/* Checks the result of an API call; a failure ends the demonstration. */
static bool check(struct demo *d, const char *what, long result)
{
	if (result >= 0)
		return true;
	demo_fail(d, "%s: %s", what, strerror((int)-result));
	return false;
}

bool demo_set_slot(struct demo *d, enum demo_slot slot)
{
	const struct demo_region *r = &d->slots[slot];
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = r->flags,
		.guest_phys_addr = r->gpa,
		.memory_size = r->bytes,
		.userspace_addr = (uintptr_t)r->memory,
	};

	return check(d, "KVM_SET_USER_MEMORY_REGION",
		     umbra_set_user_memory_region(d->vm_fd, &region));
}

bool demo_delete_slot(struct demo *d, enum demo_slot slot)
{
	struct kvm_userspace_memory_region region = { .slot = slot };

	return check(d, "deleting a slot", umbra_set_user_memory_region(d->vm_fd, &region));
}

static bool make_slot(struct demo *d, enum demo_slot slot, uint64_t gpa, size_t bytes)
{
	struct demo_region *r = &d->slots[slot];

	r->gpa = gpa;
	r->bytes = bytes;
	r->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	r->copy = calloc(1, bytes);
	r->log = calloc(bytes >> 15, 1);
	if (r->memory == MAP_FAILED || !r->copy || !r->log) {
		demo_fail(d, "no memory");
		return false;
	}
	return demo_set_slot(d, slot);
}

/* 32-bit protected mode without paging, flat segments; the guest does the rest. */
static bool set_registers(struct demo *d, struct demo_vcpu *v)
{
	struct kvm_segment code = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1,
	};
	struct kvm_segment data = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1,
	};
	struct kvm_regs regs = { .rip = IMAGE_GPA, .rdi = v->number, .rflags = 2 };
	struct kvm_sregs sregs;

	if (!check(d, "KVM_GET_SREGS", umbra_get_sregs(v->fd, &sregs)))
		return false;
	sregs.cr0 |= 1; /* PE */
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	return check(d, "KVM_SET_SREGS", umbra_set_sregs(v->fd, &sregs)) &&
	       check(d, "KVM_SET_REGS", umbra_set_regs(v->fd, &regs));
}

static bool set_cpuid(struct demo *d, int vcpu_fd)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));
	bool ok = false;

	if (cpuid) {
		cpuid->nent = CPUID_ENTRIES;
		ok = check(d, "KVM_GET_SUPPORTED_CPUID",
			   umbra_get_supported_cpuid(d->kvm_fd, cpuid)) &&
		     check(d, "KVM_SET_CPUID2", umbra_set_cpuid2(vcpu_fd, cpuid));
	}
	free(cpuid);
	return ok;
}

static bool make_vcpu(struct demo *d, unsigned int number)
{
	struct demo_vcpu *v = &d->vcpus[number];
	long bytes = umbra_get_vcpu_mmap_size(d->kvm_fd, 0);
	int err;

	v->demo = d;
	v->number = number;
	v->fd = (int)umbra_create_vcpu(d->vm_fd, number);
	if (!check(d, "KVM_CREATE_VCPU", v->fd) || !check(d, "KVM_GET_VCPU_MMAP_SIZE", bytes))
		return false;
	v->run = umbra_mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0,
			    &err);
	if (v->run == MAP_FAILED)
		return check(d, "mapping struct kvm_run", -err);
	return set_cpuid(d, v->fd) && set_registers(d, v);
}

static void fill_window(struct demo_region *window)
{
	uint64_t *words = (uint64_t *)window->memory;

	for (uint64_t page = 0; page < WINDOW_PAGES; page++)
		for (uint64_t i = 0; i < 512; i++)
			words[page * 512 + i] = window_word(page, i);
}

bool demo_create(struct demo *d)
{
	*d = (struct demo){ .kvm_fd = -1, .vm_fd = -1 };
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);

	d->kvm_fd = umbra_open(0);
	if (!check(d, "opening /dev/kvm", d->kvm_fd))
		return false;
	d->vm_fd = (int)umbra_create_vm(d->kvm_fd, 0);
	if (!check(d, "KVM_CREATE_VM", d->vm_fd))
		return false;
	if (!make_slot(d, SLOT_SYSTEM, SYSTEM_GPA, SYSTEM_BYTES) ||
	    !make_slot(d, SLOT_DATA, DATA_GPA, DATA_BYTES) ||
	    !make_slot(d, SLOT_WINDOW, WINDOW_FIRST_GPA, WINDOW_BYTES))
		return false;

	memcpy(d->slots[SLOT_SYSTEM].memory + IMAGE_GPA, guest_image,
	       (size_t)(guest_image_end - guest_image));
	fill_window(&d->slots[SLOT_WINDOW]);
	d->mailbox = (struct mailbox *)(d->slots[SLOT_SYSTEM].memory + MAILBOX_GPA);
	d->mailbox->window_gpa = WINDOW_FIRST_GPA;
	d->mailbox->pages_in_use = DATA_PAGES;
	for (unsigned int i = 0; i < GUEST_VCPUS; i++)
		if (!make_vcpu(d, i))
			return false;
	return true;
}

void demo_destroy(struct demo *d)
{
	for (unsigned int i = 0; i < GUEST_VCPUS; i++) {
		struct demo_vcpu *v = &d->vcpus[i];

		if (v->started)
			vcpu_thread_join(v->thread);
		if (v->run && v->run != MAP_FAILED)
			munmap(v->run, (size_t)umbra_get_vcpu_mmap_size(d->kvm_fd, 0));
		if (v->fd > 0)
			umbra_close(v->fd);
	}
	for (int i = 0; i < N_DEMO_SLOTS; i++) {
		if (d->slots[i].memory && d->slots[i].memory != MAP_FAILED)
			umbra_munmap(d->slots[i].memory, d->slots[i].bytes);
		free(d->slots[i].copy);
		free(d->slots[i].log);
	}
	if (d->vm_fd >= 0)
		umbra_close(d->vm_fd);
	if (d->kvm_fd >= 0)
		umbra_close(d->kvm_fd);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
}

static void wait_for_resume(struct demo *d)
{
	unsigned int seen;

	pthread_mutex_lock(&d->lock);
	seen = d->resumes;
	d->n_paused++;
	pthread_cond_broadcast(&d->changed);
	while (d->resumes == seen && !d->problem[0])
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
}

/* The memory may be back already, because another vCPU missed it earlier. */
static void wait_for_memory(struct demo *d, const struct demo_vcpu *v)
{
	pthread_mutex_lock(&d->lock);
	d->n_efaults++;
	d->n_faulted++;
	pthread_cond_broadcast(&d->changed);
	while (d->refills == v->refills_seen && !d->problem[0])
		pthread_cond_wait(&d->changed, &d->lock);
	d->n_faulted--;
	pthread_mutex_unlock(&d->lock);
}

static const char *failure_text(uint32_t failure)
{
	switch (failure) {
	case FAILURE_WRONG_PAGE:
		return "a page was not the one that belongs there";
	case FAILURE_LOST_WRITE:
		return "a write was lost";
	case FAILURE_TORN_PAGE:
		return "the words of a page were inconsistent";
	case FAILURE_STALE_HOLE:
		return "memory revoked by the host was still there";
	case FAILURE_WINDOW:
		return "the window showed data that was never in it";
	}
	return "the guest failed";
}

static void report_failure(struct demo *d)
{
	const struct mailbox *m = d->mailbox;

	demo_fail(d, "%s: page %u, vCPU %u, saw %#llx for %#llx", failure_text(m->failure),
		  m->failed_page, m->failed_vcpu, (unsigned long long)m->seen,
		  (unsigned long long)m->expected);
}

/* Outside all slots reads return all ones; nothing may be written there. */
static void answer_mmio(struct demo *d, struct kvm_run *run)
{
	pthread_mutex_lock(&d->lock);
	d->n_mmio++;
	pthread_mutex_unlock(&d->lock);
	if (run->mmio.is_write)
		demo_fail(d, "a write went to %#llx, where no memory is",
			  (unsigned long long)run->mmio.phys_addr);
	else
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
}

/* False when this vCPU is done. */
static bool handle_exit(struct demo *d, struct demo_vcpu *v, long result)
{
	struct kvm_run *run = v->run;

	if (result == -EINTR)
		return true;
	if (result == -EFAULT) {
		wait_for_memory(d, v);
		return true;
	}
	if (!check(d, "KVM_RUN", result))
		return false;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.port == PORT_PAUSED)
			wait_for_resume(d);
		else
			report_failure(d);
		return true;
	case KVM_EXIT_MMIO:
		answer_mmio(d, run);
		return true;
	case KVM_EXIT_HLT:
		return false;
	}
	demo_fail(d, "vCPU %u stopped with exit reason %u", v->number, run->exit_reason);
	return false;
}

static bool may_enter(struct demo *d, struct demo_vcpu *v)
{
	bool ok;

	pthread_mutex_lock(&d->lock);
	v->refills_seen = d->refills;
	ok = !d->problem[0];
	pthread_mutex_unlock(&d->lock);
	return ok;
}

static void *vcpu_thread(void *arg)
{
	struct demo_vcpu *v = arg;
	struct demo *d = v->demo;

	while (may_enter(d, v) && handle_exit(d, v, umbra_run(v->fd, 0)))
		;
	pthread_mutex_lock(&d->lock);
	d->n_finished++;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

bool demo_start(struct demo *d, enum command command)
{
	d->mailbox->command = command;
	for (unsigned int i = 0; i < GUEST_VCPUS; i++) {
		int err = pthread_create(&d->vcpus[i].thread, NULL, vcpu_thread, &d->vcpus[i]);

		if (err)
			return check(d, "starting a thread", -err);
		d->vcpus[i].started = true;
	}
	return true;
}

bool demo_resume(struct demo *d, enum command command)
{
	d->mailbox->command = command;
	pthread_mutex_lock(&d->lock);
	d->resumes++;
	d->n_paused = 0;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	return !demo_failed(d);
}

/* Waits until *@count includes all vCPUs, or something has failed. */
static bool wait_for_all(struct demo *d, const unsigned int *count)
{
	bool ok;

	pthread_mutex_lock(&d->lock);
	while (*count < GUEST_VCPUS && !d->problem[0])
		pthread_cond_wait(&d->changed, &d->lock);
	ok = !d->problem[0];
	pthread_mutex_unlock(&d->lock);
	return ok;
}

bool demo_pause(struct demo *d, enum command command)
{
	d->mailbox->command = command;
	return wait_for_all(d, &d->n_paused);
}

bool demo_finish(struct demo *d)
{
	return demo_resume(d, COMMAND_QUIT) && wait_for_all(d, &d->n_finished);
}

void demo_memory_is_back(struct demo *d)
{
	pthread_mutex_lock(&d->lock);
	d->refills++;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

/* One counter by its name, from the binary statistics of one descriptor. */
static uint64_t read_counter(int of_fd, const char *name)
{
	struct kvm_stats_header header;
	int fd = (int)umbra_get_stats_fd(of_fd, 0);
	uint64_t value = 0;
	char text[128];

	if (fd < 0)
		return 0;
	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		goto out;
	for (uint32_t i = 0; i < header.num_desc; i++) {
		struct kvm_stats_desc desc;
		off_t at = header.desc_offset + i * (sizeof(desc) + header.name_size);

		if (pread(fd, &desc, sizeof(desc), at) != sizeof(desc) ||
		    pread(fd, text, header.name_size, at + (off_t)sizeof(desc)) !=
			    (ssize_t)header.name_size)
			break;
		if (strcmp(text, name) == 0) {
			if (pread(fd, &value, sizeof(value), header.data_offset + desc.offset) !=
			    sizeof(value))
				value = 0;
			break;
		}
	}
out:
	close(fd);
	return value;
}

uint64_t demo_counter(struct demo *d, const char *name)
{
	uint64_t sum = read_counter(d->vm_fd, name);

	for (unsigned int i = 0; i < GUEST_VCPUS; i++)
		sum += read_counter(d->vcpus[i].fd, name);
	return sum;
}
