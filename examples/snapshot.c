/* SPDX-License-Identifier: MIT */
/*
 * examples/snapshot.c - take a snapshot of a guest, let it run, put it back: what a
 * fuzzer that starts each case from the same state does some thousand times a second.
 *
 *	cc -O2 snapshot.c $(pkg-config --cflags --libs umbra) && ./a.out [SECONDS]
 *
 * Only pages that the guest wrote are restored; the dirty log names them.  It is tried
 * with both kinds of log: a bitmap of the slot, and a ring of the vCPU, which does not
 * have to be searched.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <umbra/mmu.h>

#define PAGE 4096u
#define N_PAGES 65536u	/* 256 MiB */

struct machine {
	struct umbra_mmu *mmu;
	struct umbra_vcpu *vcpu;
	uint8_t *memory, *snapshot;
	uint64_t log[N_PAGES / 64];
	struct umbra_dirty_page pages[4096];
	uint32_t random;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *memory_of(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(1);
	return p;
}

static void build(struct machine *m, uint32_t ring_entries)
{
	struct umbra_mmu_config config = { .dirty_ring_entries = ring_entries };
	struct umbra_slot slot = { .flags = UMBRA_SLOT_LOG_DIRTY, .bytes = N_PAGES * PAGE };

	m->random = 1;
	m->memory = memory_of(N_PAGES * PAGE);
	m->snapshot = memory_of(N_PAGES * PAGE);
	for (uint32_t i = 0; i < N_PAGES; i++)
		memset(m->memory + i * PAGE, (int)i, PAGE);
	memcpy(m->snapshot, m->memory, N_PAGES * PAGE);
	slot.memory = m->memory;
	if (umbra_mmu_create(&config, &m->mmu) || umbra_mmu_set_slot(m->mmu, &slot) ||
	    umbra_vcpu_create(m->mmu, &m->vcpu))
		exit(1);
}

static void tear_down(struct machine *m)
{
	umbra_vcpu_destroy(m->vcpu);
	umbra_mmu_destroy(m->mmu);
	munmap(m->memory, N_PAGES * PAGE);
	munmap(m->snapshot, N_PAGES * PAGE);
}

/* The guest: it writes here and there. */
static void run_case(struct machine *m, uint32_t n_pages)
{
	umbra_vcpu_enter(m->vcpu);
	for (uint32_t i = 0; i < n_pages; i++) {
		m->random = m->random * 1664525 + 1013904223;
		umbra_store32(m->vcpu, (m->random >> 16) * PAGE + (i & 255) * 4, m->random);
		umbra_vcpu_poll(m->vcpu);
	}
	umbra_vcpu_leave(m->vcpu);
}

static void restore_page(struct machine *m, uint64_t page)
{
	memcpy(m->memory + page * PAGE, m->snapshot + page * PAGE, PAGE);
}

static uint64_t restore_by_bitmap(struct machine *m)
{
	uint64_t n = 0;

	if (umbra_mmu_get_dirty_log(m->mmu, 0, m->log))
		exit(1);
	for (uint64_t i = 0; i < N_PAGES / 64; i++)
		for (uint64_t bits = m->log[i]; bits; bits &= bits - 1, n++)
			restore_page(m, i * 64 + (uint64_t)__builtin_ctzll(bits));
	return n;
}

static uint64_t restore_by_ring(struct machine *m)
{
	uint32_t n = umbra_vcpu_take_dirty(m->vcpu, m->pages, 4096);

	umbra_mmu_reset_dirty_rings(m->mmu);
	for (uint32_t i = 0; i < n; i++)
		restore_page(m, m->pages[i].page);
	return n;
}

/* False: the guest's memory is not what it was. */
static bool measure(const char *name, struct machine *m, uint64_t (*restore)(struct machine *m),
		    uint32_t n_pages, uint64_t for_ns)
{
	uint64_t start = now_ns(), run = 0, put_back = 0, cases = 0, pages = 0;
	bool same;

	while (now_ns() - start < for_ns) {
		uint64_t a = now_ns(), b;

		run_case(m, n_pages);
		b = now_ns();
		run += b - a;
		pages += restore(m);
		put_back += now_ns() - b;
		cases++;
	}
	same = memcmp(m->memory, m->snapshot, N_PAGES * PAGE) == 0;
	printf("%-6s  %5u  %10.0f  %14.1f  %17.1f  %s\n", name, n_pages,
	       1e9 * (double)cases / (double)put_back, (double)put_back / (double)pages,
	       (double)run / (double)pages, same ? "same" : "DIFFERENT");
	return same;
}

int main(int argc, char **argv)
{
	uint64_t for_ns = (uint64_t)(1e9 * (argc > 1 ? atof(argv[1]) : 2)) / 6;
	static const uint32_t sizes[] = { 1, 32, 1024 };
	static struct machine m;
	bool ok = true;

	printf("256 MiB of guest memory\n");
	printf("log     pages  restores/s  ns per restore  ns per first write  memory after it\n");
	printf("                              and page          to a page\n");
	for (int ring = 0; ring < 2; ring++) {
		build(&m, ring ? 4096 : 0);
		for (int i = 0; i < 3; i++)
			ok &= measure(ring ? "ring" : "bitmap", &m,
				      ring ? restore_by_ring : restore_by_bitmap, sizes[i], for_ns);
		tear_down(&m);
	}
	return !ok;
}
