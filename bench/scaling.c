/* SPDX-License-Identifier: MIT */
/* bench/scaling.c - what must not grow with the memory, and what may. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <umbra/umbra.h>
#include <unistd.h>

#include "bench/bench.h"
#include "kvm/vm.h"
#include "mmu/notifier.h"

#define GIB (1ull << 30)
#define MMIO_GPA (1ull << 30)		/* in the guest's identity map, without memory */
#define BIG_SLOT_GPA (8 * GIB)
#define BIG_SLOT_BYTES (16 * GIB)
#define BIG_SLOT_PAGES (BIG_SLOT_BYTES >> 12)
#define BACKING_BYTES (64ull << 20)

/* --- MMIO --------------------------------------------------------------------- */

struct mmio_job {
	struct bench_vm *vm;
	const uint8_t *code, *end;
	uint64_t n;
};

static double mmio_loop(void *ctx)
{
	const struct mmio_job *j = ctx;
	double start;

	bench_prepare(j->vm, j->vm->vcpu, j->code, j->end, MMIO_GPA, j->n);
	start = bench_now_ns();
	while (bench_enter(j->vm) == KVM_EXIT_MMIO)
		;
	return (bench_now_ns() - start) / (double)j->n;
}

static void set_small_slot(struct bench_vm *vm, uint64_t bytes)
{
	struct kvm_userspace_memory_region region = {
		.slot = 1,
		.guest_phys_addr = 7 * GIB,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)vm->memory,
	};
	long err = umbra_set_user_memory_region(vm->fd, &region);

	if (err)
		bench_die("KVM_SET_USER_MEMORY_REGION", err);
}

static uint8_t other_memory[64 << 20];

/* Creates a slot, which makes every MMIO translation stale. */
static double invalidate_once(void *ctx)
{
	const struct mmio_job *j = ctx;
	double start, ns;

	mmio_loop(ctx);
	/* Whatever number it was: nothing of ours is in the caches. */
	memset(other_memory, (int)j->n, sizeof(other_memory));
	start = bench_now_ns();
	set_small_slot(j->vm, 4096);
	ns = bench_now_ns() - start;
	set_small_slot(j->vm, 0);
	return ns / 1e3;
}

#define MMIO_JOB(vm, name, n) &(struct mmio_job){ vm, bench_##name, bench_##name##_end, n }

/* Before each run, so that nothing of it is known. */
static double mmio_uncached(void *ctx)
{
	const struct mmio_job *j = ctx;

	set_small_slot(j->vm, 4096);
	set_small_slot(j->vm, 0);
	return mmio_loop(ctx);
}

static void measure_mmio(void)
{
	struct bench_vm vm;

	bench_vm_create(&vm, 1 << 20);
	measure("MMIO exit, translation cached", "ns", mmio_loop, MMIO_JOB(&vm, mmio_one, 20000));
	measure("MMIO exit, translation not cached", "ns", mmio_uncached,
		MMIO_JOB(&vm, mmio_many, 20000));
	measure("invalidating 1 thousand MMIO translations", "us", invalidate_once,
		MMIO_JOB(&vm, mmio_many, 1000));
	measure("invalidating 1 million MMIO translations", "us", invalidate_once,
		MMIO_JOB(&vm, mmio_many, 1000000));
	bench_vm_destroy(&vm);
}

/* --- taking memory back ------------------------------------------------------- */

static double unmap_once(void *ctx)
{
	struct bench_vm *vm = ctx;
	struct mmu *m = bench_mmu(vm);
	struct invalidation inv;
	double start = bench_now_ns();
	hva_t hva = hva_of((uintptr_t)vm->memory + BENCH_DATA);

	mmu_invalidate_begin(m, hva, hva_add(hva, GIB), &inv);
	mmu_invalidate_end(&inv);
	return (bench_now_ns() - start) / 1e3;
}

static double unmap_mapped_once(void *ctx)
{
	struct bench_vm *vm = ctx;

	bench_prepare(vm, vm->vcpu, bench_touch_write, bench_touch_write_end, BENCH_DATA,
		      GIB >> 12);
	bench_run(vm);
	return unmap_once(vm);
}

static void measure_unmap(void)
{
	struct bench_vm vm;

	bench_vm_create(&vm, GIB);
	measure("taking back 1 GiB, none of it mapped", "us", unmap_once, &vm);
	measure("taking back 1 GiB, all mapped by 4 KiB", "us", unmap_mapped_once, &vm);
	bench_vm_destroy(&vm);
}

/* --- harvest ------------------------------------------------------------------ */

struct harvest {
	struct bench_vm *vm;
	uint64_t percent;
	uint64_t *bitmap;
};

/* Marks pages without a guest, whose faults would take longer than all else. */
static void dirty_pages(struct bench_vm *vm, uint64_t percent)
{
	struct slots *s = bench_mmu(vm)->slots;
	struct dirty_bitmap *d;

	mutex_lock(&s->lock);
	d = slots_by_id(s, 1)->dirty;
	for (uint64_t page = 0; page < BIG_SLOT_PAGES; page += 64) {
		uint64_t bits = percent == 100 ? ~0ull : 0;

		for (uint64_t i = 0; percent == 1 && i < 64; i++)
			if ((page + i) % 100 == 0)
				bits |= 1ull << i;
		atomic64_store_relaxed(&d->words[page / 64], bits);
	}
	mutex_unlock(&s->lock);
}

static double harvest_once(void *ctx)
{
	const struct harvest *h = ctx;
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = h->bitmap };
	double start;
	long err;

	dirty_pages(h->vm, h->percent);
	start = bench_now_ns();
	err = umbra_get_dirty_log(h->vm->fd, &log);
	if (err)
		bench_die("KVM_GET_DIRTY_LOG", err);
	return (bench_now_ns() - start) / 1e3;
}

/* 16 GiB of addresses, over and over the same 64 MiB. */
static uint8_t *map_big_slot(void)
{
	int fd = memfd_create("bench", 0);
	uint8_t *at = mmap(NULL, BIG_SLOT_BYTES, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (fd < 0 || at == MAP_FAILED || ftruncate(fd, (off_t)BACKING_BYTES))
		bench_die("memory for a slot of 16 GiB", -12);
	for (uint64_t i = 0; i < BIG_SLOT_BYTES; i += BACKING_BYTES)
		if (mmap(at + i, BACKING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			 0) == MAP_FAILED)
			bench_die("mmap", -12);
	close(fd);
	return at;
}

static void measure_harvest(void)
{
	struct kvm_userspace_memory_region region = {
		.slot = 1,
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
		.guest_phys_addr = BIG_SLOT_GPA,
		.memory_size = BIG_SLOT_BYTES,
	};
	struct harvest h = { .bitmap = calloc(1, BIG_SLOT_PAGES / 8) };
	struct bench_vm vm;
	uint8_t *big = map_big_slot();
	long err;

	if (!h.bitmap)
		bench_die("memory", -12);
	bench_vm_create(&vm, 1 << 20);
	region.userspace_addr = (uintptr_t)big;
	err = umbra_set_user_memory_region(vm.fd, &region);
	if (err)
		bench_die("KVM_SET_USER_MEMORY_REGION", err);
	h.vm = &vm;
	measure("harvest of 16 GiB, no page dirty", "us", harvest_once, &h);
	h.percent = 1;
	measure("harvest of 16 GiB, 1% dirty", "us", harvest_once, &h);
	h.percent = 100;
	measure("harvest of 16 GiB, all dirty", "us", harvest_once, &h);
	bench_vm_destroy(&vm);
	umbra_munmap(big, BIG_SLOT_BYTES);
	free(h.bitmap);
}

/* --- beside memory that is mapped ---------------------------------------------- */

static double delete_small_once(void *ctx)
{
	double start;

	set_small_slot(ctx, 4096);
	start = bench_now_ns();
	set_small_slot(ctx, 0);
	return (bench_now_ns() - start) / 1e3;
}

static double set_log(struct bench_vm *vm, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.flags = flags,
		.memory_size = vm->bytes,
		.userspace_addr = (uintptr_t)vm->memory,
	};
	double start = bench_now_ns();
	long err = umbra_set_user_memory_region(vm->fd, &region);

	if (err)
		bench_die("KVM_SET_USER_MEMORY_REGION", err);
	return (bench_now_ns() - start) / 1e3;
}

static double enable_log_once(void *ctx)
{
	double us = set_log(ctx, KVM_MEM_LOG_DIRTY_PAGES);

	set_log(ctx, 0);
	return us;
}

static double age_once(void *ctx)
{
	struct bench_vm *vm = ctx;
	hva_t hva = hva_of((uintptr_t)vm->memory);
	double start = bench_now_ns();

	mmu_age(bench_mmu(vm), hva, hva_add(hva, vm->bytes), AGE_CLEAR);
	return (bench_now_ns() - start) / 1e3;
}

/* The first must not grow; the others are for each entry, some thousand of them at a time
 * under the MMU lock. */
struct mapped_names {
	const char *delete, *log, *age;
};

static void measure_mapped(uint64_t bytes, const struct mapped_names *names)
{
	struct bench_vm vm;

	bench_vm_create(&vm, bytes);
	bench_prepare(&vm, vm.vcpu, bench_touch_write, bench_touch_write_end, BENCH_DATA,
		      bytes >> 12);
	bench_run(&vm);
	measure(names->delete, "us", delete_small_once, &vm);
	measure(names->age, "us", age_once, &vm);
	measure(names->log, "us", enable_log_once, &vm);
	bench_vm_destroy(&vm);
}

#define MAPPED(mode, size) &(struct mapped_names){                         \
	mode "deleting a small slot beside " size,                         \
	mode "enabling the log of " size,                                  \
	mode "ageing " size,                                               \
}

static void measure_beside_memory(void)
{
	measure_mapped(GIB / 4, MAPPED("", "256 MiB"));
	measure_mapped(GIB, MAPPED("", "1 GiB"));
	umbra_set_mmu(UMBRA_MMU_SHADOW);
	measure_mapped(GIB / 4, MAPPED("shadow: ", "256 MiB"));
	measure_mapped(GIB, MAPPED("shadow: ", "1 GiB"));
	umbra_set_mmu(UMBRA_MMU_TDP);
}

void measure_scaling(void)
{
	measure_mmio();
	measure_unmap();
	measure_beside_memory();
	measure_harvest();
}
