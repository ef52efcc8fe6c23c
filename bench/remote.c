/* SPDX-License-Identifier: MIT */
/*
 * bench/remote.c - remote TLB flushes, while those who are flushed do not run: preempted
 * by busy threads, more of them than processors, asleep in a page fault.  Beside them what
 * the host's kernel needs to reach the same threads: membarrier(2), and mprotect(2), which
 * has to flush the TLBs of their processors.
 */
#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "bench/bench.h"
#include "mmu/tlb/flush.h"
#include "mmu/tlb/request.h"
#include "tests/uffd.h"

#define N_SAMPLES 400
#define MAX_RUNNERS 32

struct runner {
	int vcpu;
	struct kvm_run *run;
	pthread_t thread;
};

static struct runner runners[MAX_RUNNERS];
static unsigned int n_runners;
static struct bench_vm vm;

static void nothing(int sig)
{
	(void)sig;
}

static void *run(void *arg)
{
	struct runner *r = arg;

	while (!__atomic_load_n(&r->run->immediate_exit, __ATOMIC_RELAXED))
		umbra_run(r->vcpu, 0);
	return NULL;
}

static void start(unsigned int n, const uint8_t *code, const uint8_t *end)
{
	signal(SIGUSR1, nothing);
	bench_vm_create(&vm, 1 << 20);
	n_runners = n;
	for (unsigned int i = 0; i < n; i++) {
		runners[i].vcpu = bench_vcpu_create(&vm, i + 1, &runners[i].run);
		bench_prepare(&vm, runners[i].vcpu, code, end, BENCH_DATA, 1ull << 60);
		if (pthread_create(&runners[i].thread, NULL, run, &runners[i]))
			bench_die("pthread_create", -11);
	}
}

static void stop(void)
{
	for (unsigned int i = 0; i < n_runners; i++) {
		__atomic_store_n(&runners[i].run->immediate_exit, 1, __ATOMIC_RELAXED);
		pthread_kill(runners[i].thread, SIGUSR1);
		pthread_join(runners[i].thread, NULL);
		umbra_close(runners[i].vcpu);
	}
	bench_vm_destroy(&vm);
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

/* us */
static double flush_once(void)
{
	struct mmu *m = bench_mmu(&vm);
	double start_ns;

	rwlock_rdlock(&m->lock);
	flush_owe(m);
	rwlock_rdunlock(&m->lock);
	start_ns = bench_now_ns();
	flush_settle(m);
	return (bench_now_ns() - start_ns) / 1e3;
}

static double membarrier_once(void)
{
	double start_ns = bench_now_ns();

	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	return (bench_now_ns() - start_ns) / 1e3;
}

static double mprotect_once(void)
{
	static volatile char *page;
	double start_ns;

	if (!page)
		page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	*page = 1;
	start_ns = bench_now_ns();
	mprotect((void *)(uintptr_t)page, 4096, PROT_READ);
	start_ns = bench_now_ns() - start_ns;
	mprotect((void *)(uintptr_t)page, 4096, PROT_READ | PROT_WRITE);
	return start_ns / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median of many, and the one that 99 of 100 do not exceed. */
static const struct figure *percentiles(const char *name, double (*once)(void))
{
	static char names[32][2][100];
	static unsigned int n_names;
	const struct figure *p99;
	double sample[N_SAMPLES];

	for (int i = 0; i < N_SAMPLES; i++) {
		/* Whoever is flushed has had its turn meanwhile. */
		wait_until_in_guest(bench_mmu(&vm));
		usleep(200);
		sample[i] = once();
	}
	qsort(sample, N_SAMPLES, sizeof(sample[0]), by_value);
	snprintf(names[n_names][0], sizeof(names[0][0]), "%s, median", name);
	snprintf(names[n_names][1], sizeof(names[0][1]), "%s, 99 of 100", name);
	figure_add(names[n_names][0], "us", &sample[N_SAMPLES / 2], 1);
	p99 = figure_add(names[n_names][1], "us", &sample[N_SAMPLES * 99 / 100], 1);
	n_names++;
	return p99;
}

/* --- preempted ------------------------------------------------------------------ */

static volatile bool busy;

static void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *keep_busy(void *arg)
{
	pin_to(*(int *)arg);
	while (busy)
		;
	return NULL;
}

static void move_runner(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(runners[0].thread, sizeof(set), &set);
}

/* The vCPU and three busy threads share a processor, of which it has a quarter. */
static void measure_preempted(void)
{
	static int cpu;
	const struct figure *p99;
	pthread_t others[3];

	cpu = sched_getcpu();
	start(1, bench_spin, bench_spin_end);
	move_runner(cpu);
	busy = true;
	for (int i = 0; i < 3; i++)
		if (pthread_create(&others[i], NULL, keep_busy, &cpu))
			bench_die("pthread_create", -11);
	p99 = percentiles("remote flush, vCPU preempted by 3 busy threads", flush_once);
	bar_add(p99, 100, false);
	percentiles("membarrier, beside the same", membarrier_once);
	percentiles("mprotect, beside the same", mprotect_once);
	busy = false;
	for (int i = 0; i < 3; i++)
		pthread_join(others[i], NULL);
	stop();
}

static void measure_many(unsigned int n, const char *flush, const char *barrier,
			 const char *protect)
{
	start(n, bench_spin, bench_spin_end);
	percentiles(flush, flush_once);
	percentiles(barrier, membarrier_once);
	percentiles(protect, mprotect_once);
	stop();
}

/* --- asleep ----------------------------------------------------------------------- */

static int uffd;

/* The vCPU sleeps in a page fault, behind a TLB entry, when the flush begins. */
static double asleep_once(void)
{
	uint8_t *at = vm.memory + BENCH_DATA;
	struct uffdio_range page = { (uintptr_t)at, 4096 };
	double us;

	if (uffd_register(uffd, at, 4096, UFFDIO_REGISTER_MODE_MISSING))
		return 0;
	syscall(SYS_madvise, at, 4096, MADV_DONTNEED);
	uffd_wait(uffd);
	us = flush_once();
	ioctl(uffd, UFFDIO_UNREGISTER, &page);
	uffd_give_zeros(uffd, at, 4096);
	return us;
}

static void measure_asleep(void)
{
	uffd = uffd_open(UFFD_USER_MODE_ONLY, 0);
	if (uffd < 0) {
		figure_unknown("remote flush, vCPU asleep in userfaultfd, median", "us");
		return;
	}
	start(1, bench_loads, bench_loads_end);
	percentiles("remote flush, vCPU asleep in userfaultfd", asleep_once);
	close(uffd);
	stop();
}

void measure_remote(void)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	measure_preempted();
	measure_many(8, "remote flush, 8 vCPUs on all processors", "membarrier, beside these 8",
		     "mprotect, beside these 8");
	measure_many(32, "remote flush, 32 vCPUs on all processors", "membarrier, beside these 32",
		     "mprotect, beside these 32");
	measure_asleep();
}
