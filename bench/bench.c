/* SPDX-License-Identifier: MIT */
/*
 * bench/bench.c - what Umbra costs, in figures and beside the host kernel's.
 *
 *	bench [JSON-FILE]
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "bench/bench.h"
#include "kvm/fd/file.h"
#include "kvm/vm.h"
#include "mmu/paging/table.h"
#include "mmu/tlb/flush.h"
#include "mmu/tlb/request.h"

#define DATA_BYTES (256ull << 20)
#define DATA_PAGES (DATA_BYTES >> 12)
#define FILL_PAGES 8192u	/* several times what a TLB holds */

struct job {
	struct bench_vm *vm;
	const uint8_t *code, *end;
	uint64_t rounds;
	double per_round;	/* of what is counted */
};

/* ns for each of what the guest does @per_round of in a round. */
static double guest_loop(void *ctx)
{
	const struct job *j = ctx;
	double start;

	bench_prepare(j->vm, j->vm->vcpu, j->code, j->end, BENCH_DATA, j->rounds);
	start = bench_now_ns();
	bench_run(j->vm);
	return (bench_now_ns() - start) / ((double)j->rounds * j->per_round);
}

static double guest_loop_rate(void *ctx)
{
	return 1e3 / guest_loop(ctx);
}

#define JOB(vm, name, rounds, per_round) \
	&(struct job){ vm, bench_##name, bench_##name##_end, rounds, per_round }

static void measure_processor(struct bench_vm *vm)
{
	const struct figure *integer;

	integer = measure("integer loop", "million instructions/s", guest_loop_rate,
			  JOB(vm, integer, 3000000, 10));
	bar_add(integer, 80, true);
	measure("memory loop", "million instructions/s", guest_loop_rate,
		JOB(vm, memory, 3000000, 10));
	measure("load that hits the TLB", "ns", guest_loop, JOB(vm, loads, 1000000, 16));
	measure("store that hits the TLB", "ns", guest_loop, JOB(vm, stores, 1000000, 16));
}

/* Every page has a translation; the TLB cannot hold them all. */
static double tlb_fill_once(void *ctx)
{
	struct bench_vm *vm = ctx;
	double start;

	bench_prepare(vm, vm->vcpu, bench_touch_read, bench_touch_read_end, BENCH_DATA, FILL_PAGES);
	bench_run(vm);
	bench_prepare(vm, vm->vcpu, bench_touch_read, bench_touch_read_end, BENCH_DATA, FILL_PAGES);
	start = bench_now_ns();
	bench_run(vm);
	return (bench_now_ns() - start) / FILL_PAGES;
}

/* The slot is taken out and put back: no translation, but every page is there. */
static void forget_translations(struct bench_vm *vm)
{
	struct kvm_userspace_memory_region region = { .slot = 0 };

	umbra_set_user_memory_region(vm->fd, &region);
	region.memory_size = vm->bytes;
	region.userspace_addr = (uintptr_t)vm->memory;
	umbra_set_user_memory_region(vm->fd, &region);
}

static double tdp_fault_once(void *ctx)
{
	struct bench_vm *vm = ctx;
	double start;

	forget_translations(vm);
	bench_prepare(vm, vm->vcpu, bench_touch_write, bench_touch_write_end, BENCH_DATA,
		      DATA_PAGES);
	start = bench_now_ns();
	bench_run(vm);
	return (bench_now_ns() - start) / DATA_PAGES;
}

static void set_logging(struct bench_vm *vm, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.flags = flags,
		.memory_size = vm->bytes,
		.userspace_addr = (uintptr_t)vm->memory,
	};
	long err = umbra_set_user_memory_region(vm->fd, &region);

	if (err)
		bench_die("KVM_MEM_LOG_DIRTY_PAGES", err);
}

/* Fault, log and harvest: all that a newly dirtied page costs. */
static double dirty_page_once(void *ctx)
{
	static uint64_t bitmap[(BENCH_DATA + DATA_BYTES) >> 12 >> 6];
	struct bench_vm *vm = ctx;
	struct kvm_dirty_log log = { .dirty_bitmap = bitmap };
	double start;
	long err;

	bench_prepare(vm, vm->vcpu, bench_touch_write, bench_touch_write_end, BENCH_DATA,
		      DATA_PAGES);
	start = bench_now_ns();
	bench_run(vm);
	err = umbra_get_dirty_log(vm->fd, &log);
	if (err)
		bench_die("KVM_GET_DIRTY_LOG", err);
	return (bench_now_ns() - start) / DATA_PAGES;
}

static double round_trip_once(void *ctx)
{
	struct bench_vm *vm = ctx;
	const unsigned int rounds = 50000;
	double start;

	bench_prepare(vm, vm->vcpu, bench_out, bench_out_end, BENCH_DATA, rounds);
	start = bench_now_ns();
	do {
		long err = umbra_run(vm->vcpu, 0);

		if (err)
			bench_die("KVM_RUN", err);
	} while (vm->run->exit_reason == KVM_EXIT_IO);
	return (bench_now_ns() - start) / rounds;
}

struct mmu *bench_mmu(struct bench_vm *vm)
{
	struct file *file = file_get(vm->fd);
	struct mmu *mmu = &file->vm->mmu;

	file_put(file);
	return mmu;
}

/* --- remote flushes --- */

struct spinner {
	int vcpu;
	struct kvm_run *run;
	pthread_t thread;
};

static void *spin(void *arg)
{
	struct spinner *s = arg;

	while (!__atomic_load_n(&s->run->immediate_exit, __ATOMIC_RELAXED))
		umbra_run(s->vcpu, 0);
	return NULL;
}

/* All but the first, which does not run: each has been let in by the host again. */
static void wait_until_in_guest(struct mmu *m)
{
	for (uint32_t i = 1; i < atomic32_load_acquire(&m->n_vcpus); i++)
		for (int spins = 0; !guest_mode(atomic_ptr_load_relaxed(&m->vcpus[i])); spins++)
			if (spins < 1000)
				cpu_relax();
			else
				usleep(100);
}

static double flush_once(void *ctx)
{
	struct mmu *m = ctx;
	const int n = 20;
	double sum = 0;

	for (int i = 0; i < n; i++) {
		double start;

		wait_until_in_guest(m);
		rwlock_rdlock(&m->lock);
		flush_owe(m);
		rwlock_rdunlock(&m->lock);
		start = bench_now_ns();
		flush_settle(m);
		sum += bench_now_ns() - start;
	}
	return sum / n / 1e3;
}

static void nothing(int sig)
{
	(void)sig;
}

static void measure_flush(const char *name, unsigned int n)
{
	struct spinner *spinners = calloc(n, sizeof(*spinners));
	struct bench_vm vm;

	signal(SIGUSR1, nothing);
	bench_vm_create(&vm, 1 << 20);
	for (unsigned int i = 0; i < n; i++) {
		spinners[i].vcpu = bench_vcpu_create(&vm, i + 1, &spinners[i].run);
		bench_prepare(&vm, spinners[i].vcpu, bench_spin, bench_spin_end, BENCH_DATA, 0);
		if (pthread_create(&spinners[i].thread, NULL, spin, &spinners[i]))
			bench_die("pthread_create", -11);
	}
	measure(name, "us", flush_once, bench_mmu(&vm));
	for (unsigned int i = 0; i < n; i++) {
		__atomic_store_n(&spinners[i].run->immediate_exit, 1, __ATOMIC_RELAXED);
		pthread_kill(spinners[i].thread, SIGUSR1);
		pthread_join(spinners[i].thread, NULL);
		umbra_close(spinners[i].vcpu);
	}
	bench_vm_destroy(&vm);
	free(spinners);
}

/* --- memory --- */

static double resident_bytes(void)
{
	long pages = 0, ignored;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%ld %ld", &ignored, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return (double)pages * 4096;
}

static void measure_memory(struct bench_vm *vm)
{
	enum { N = 200 };
	struct kvm_run *run;
	const struct figure *f;
	struct bench_vm small;
	double before, value;
	int fds[N];

	bench_vm_create(&small, 1 << 20);
	before = resident_bytes();
	for (unsigned int i = 0; i < N; i++) {
		fds[i] = bench_vcpu_create(&small, i + 1, &run);
		bench_prepare(&small, fds[i], bench_spin, bench_spin_end, BENCH_DATA, 0);
	}
	value = (resident_bytes() - before) / N / 1024;
	f = figure_add("memory of an idle vCPU", "KiB", &value, 1);
	bar_add(f, 256, false);
	for (unsigned int i = 0; i < N; i++)
		umbra_close(fds[i]);
	bench_vm_destroy(&small);

	/* What tables there are for what the faults above have mapped. */
	value = 100.0 * (double)atomic64_load_relaxed(&bench_mmu(vm)->tables.in_use) *
		(double)sizeof(struct table) /
		(double)(atomic64_load_relaxed(&bench_mmu(vm)->stats[VM_STAT_pages_4k]) << 12);
	f = figure_add("page tables, of the memory mapped by 4 KiB", "%", &value, 1);
	bar_add(f, 1, false);
}

int main(int argc, char **argv)
{
	const struct figure *fill, *fault, *newly, *minor, *tracking[3];
	const struct figure *best;
	struct bench_vm vm;

	minor = kernel_minor_fault();
	tracking[0] = kernel_mprotect_tracking();
	tracking[1] = kernel_uffd_wp_sync();
	tracking[2] = kernel_uffd_wp_async();
	best = tracking[0];
	for (int i = 1; i < 3; i++)
		if (tracking[i]->known && tracking[i]->median < best->median)
			best = tracking[i];

	bench_vm_create(&vm, DATA_BYTES);
	measure_processor(&vm);
	fault = measure("TDP fault, host page present", "ns", tdp_fault_once, &vm);
	fill = measure("TLB fill", "ns", tlb_fill_once, &vm);
	measure_memory(&vm);
	set_logging(&vm, KVM_MEM_LOG_DIRTY_PAGES);
	newly = measure("newly dirtied page: fault, log, harvest", "ns", dirty_page_once, &vm);
	measure("KVM_RUN round trip", "ns", round_trip_once, &vm);
	bench_vm_destroy(&vm);

	measure_flush("remote flush, 1 running vCPU", 1);
	measure_flush("remote flush, 2 running vCPUs", 2);
	measure_flush("remote flush, 8 running vCPUs", 8);
	measure_flush("remote flush, 32 running vCPUs", 32);

	measure_remote();

	measure_shadow(minor);
	measure_scaling();
	measure_edge();

	ratio_add("TLB fill / kernel's minor fault", fill, minor, 0);
	ratio_add("TDP fault / kernel's minor fault", fault, minor, 0.2);
	ratio_add("newly dirtied page / mprotect + SIGSEGV", newly, tracking[0], 0);
	ratio_add("newly dirtied page / userfaultfd synchronous", newly, tracking[1], 0);
	ratio_add("newly dirtied page / userfaultfd asynchronous", newly, tracking[2], 0);
	ratio_add("newly dirtied page / best kernel mechanism", newly, best, 0.2);
	return report(argc > 1 ? argv[1] : NULL) ? 0 : 1;
}
