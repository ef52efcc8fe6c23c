/* SPDX-License-Identifier: MIT */
/*
 * bench/edge.c - what threads that change mappings cost the others: a slot update beside
 * four of them, faults beside four of them, and what the calls cost themselves where no
 * slot is.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "bench/bench.h"
#include "mmu/mmu.h"
#include "mmu/notifier.h"

#define N_CHANGERS 4
#define DATA_BYTES (64ull << 20)
#define DATA_PAGES (DATA_BYTES >> 12)
#define BATCH_PAGES 16ul
#define LARGE_BYTES (2ul << 20)

/* Each changes pages of its own, over and over. */
struct changer {
	pthread_t thread;
	uint8_t *memory;
	bool *stop;
};

static void *change(void *arg)
{
	struct changer *c = arg;

	while (!__atomic_load_n(c->stop, __ATOMIC_RELAXED)) {
		umbra_mprotect(c->memory, BATCH_PAGES << 12, PROT_READ);
		umbra_mprotect(c->memory, BATCH_PAGES << 12, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

/* What the others have if these do nothing but take their share of the processors. */
static void *compute(void *arg)
{
	struct changer *c = arg;

	while (!__atomic_load_n(c->stop, __ATOMIC_RELAXED))
		;
	return NULL;
}

static void start(struct changer *c, bool *stop, void *(*how)(void *), uint8_t *memory)
{
	__atomic_store_n(stop, false, __ATOMIC_RELAXED);
	for (int i = 0; i < N_CHANGERS; i++) {
		c[i] = (struct changer){ .memory = memory ? memory + (i * BATCH_PAGES << 12) : NULL,
				       .stop = stop };
		if (pthread_create(&c[i].thread, NULL, how, &c[i]))
			bench_die("pthread_create", -11);
	}
}

static void stop_all(struct changer *c, bool *stop)
{
	__atomic_store_n(stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < N_CHANGERS; i++)
		pthread_join(c[i].thread, NULL);
}

/* --- slot updates ---------------------------------------------------------------- */

static double slot_update_once(void *ctx)
{
	struct bench_vm *vm = ctx;
	struct kvm_userspace_memory_region region = {
		.slot = 1,
		.guest_phys_addr = 1ull << 40 >> 8,
		.memory_size = 4096,
		.userspace_addr = (uintptr_t)vm->memory,
	};
	const int n = 100;
	double start_ns = bench_now_ns();

	for (int i = 0; i < n; i++) {
		long err;

		region.memory_size = i & 1 ? 0 : 4096;
		err = umbra_set_user_memory_region(vm->fd, &region);
		if (err)
			bench_die("KVM_SET_USER_MEMORY_REGION", err);
	}
	return (bench_now_ns() - start_ns) / n / 1e3;
}

/* --- faults ----------------------------------------------------------------------- */

/*
 * Drops what is mapped of [start, end) but for the first page of each 2 MiB, so that the
 * tables stay: a fault below a new table asks the system how large the host's pages are
 * (PAGEMAP_SCAN), and waits for the process's mmap lock as the changers do.
 */
static uint64_t withdraw_pages(struct mmu *m, hva_t start, hva_t end)
{
	uint64_t pages = 0;

	for (hva_t at = start; hva_lt(at, end); at = hva_add(at, LARGE_BYTES)) {
		hva_t stop = hva_min(hva_add(at, LARGE_BYTES), end);

		mmu_withdraw(m, hva_add(at, 4096), stop);
		pages += hva_diff(stop, at) / 4096 - 1;
	}
	return pages;
}

/* All but the changers' own pages, which are at the end of the slot. */
static double fault_rate_once(void *ctx)
{
	struct bench_vm *vm = ctx;
	const uint64_t pages = DATA_PAGES - N_CHANGERS * BATCH_PAGES;
	hva_t start = hva_of((uintptr_t)vm->memory + BENCH_DATA);
	hva_t end = hva_add(start, pages << 12);
	const int rounds = 4;	/* long beside a slice of the scheduler's time */
	double ns = 0, faults = 0;

	for (int i = 0; i < rounds; i++) {
		double start_ns;

		faults += (double)withdraw_pages(bench_mmu(vm), start, end);
		bench_prepare(vm, vm->vcpu, bench_touch_write, bench_touch_write_end, BENCH_DATA,
			      pages);
		start_ns = bench_now_ns();
		bench_run(vm);
		ns += bench_now_ns() - start_ns;
	}
	return faults * 1e6 / ns;
}

/* --- the calls themselves ----------------------------------------------------------- */

static double map_and_unmap(int (*unmap)(void *addr, size_t bytes))
{
	const int n = 20000;
	double ns = 0;

	for (int i = 0; i < n; i++) {
		void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				-1, 0);
		double start_ns;

		*(volatile char *)at = 1;
		start_ns = bench_now_ns();
		unmap(at, 4096);
		ns += bench_now_ns() - start_ns;
	}
	return ns / n;
}

static int unmap_plainly(void *addr, size_t bytes)
{
	return (int)syscall(SYS_munmap, addr, bytes);
}

static double unmap_once(void *ctx)
{
	return map_and_unmap(ctx ? umbra_munmap : unmap_plainly);
}

void measure_edge(void)
{
	struct changer changers[N_CHANGERS];
	const struct figure *share, *beside, *plain, *ours;
	uint8_t *elsewhere, *in_slot;
	struct bench_vm vm;
	bool stop;

	bench_vm_create(&vm, DATA_BYTES);
	in_slot = vm.memory + BENCH_DATA + DATA_BYTES - (N_CHANGERS * BATCH_PAGES << 12);
	elsewhere = mmap(NULL, N_CHANGERS * BATCH_PAGES << 12, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (elsewhere == MAP_FAILED)
		bench_die("mmap", -12);

	plain = measure("munmap of a page, the system call", "ns", unmap_once, NULL);
	ours = measure("munmap of a page that no slot has", "ns", unmap_once, &vm);
	ratio_add("munmap where no slot is / the system call", ours, plain, 0);

	measure("slot update", "us", slot_update_once, &vm);
	start(changers, &stop, change, elsewhere);
	measure("slot update beside 4 threads of mprotect elsewhere", "us", slot_update_once, &vm);
	stop_all(changers, &stop);
	start(changers, &stop, change, in_slot);
	measure("slot update beside 4 threads of mprotect in a slot", "us", slot_update_once, &vm);
	stop_all(changers, &stop);

	measure("faults", "thousand/s", fault_rate_once, &vm);
	start(changers, &stop, compute, NULL);
	share = measure("faults beside 4 threads that compute", "thousand/s", fault_rate_once, &vm);
	stop_all(changers, &stop);
	start(changers, &stop, change, in_slot);
	beside = measure("faults beside 4 threads of mprotect in the slot", "thousand/s",
			 fault_rate_once, &vm);
	stop_all(changers, &stop);
	/* Their fair share, but for what chance makes of it. */
	bar_add(beside, 0.8 * share->median, true);
	munmap(elsewhere, N_CHANGERS * BATCH_PAGES << 12);
	bench_vm_destroy(&vm);
}
