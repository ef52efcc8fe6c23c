/* SPDX-License-Identifier: MIT */
/* demo/view.c - the display of a run. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <umbra/umbra.h>

#include "demo/demo.h"
#include "tool/output.h"

#define MAP_COLUMNS 48

/* True if lines can be rewritten. */
static bool is_terminal(void)
{
	return output_is_screen(stdout);
}

static const char *style(const char *code)
{
	return output_has_colour(stdout) ? code : "";
}

#define BOLD style("\033[1m")
#define DIM style("\033[2m")
#define GREEN style("\033[32m")
#define RED style("\033[31m")
#define YELLOW style("\033[33m")
#define PLAIN style("\033[0m")

double view_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void view_title(const char *mmu)
{
	printf("%sUmbra %s%s: a guest of %d vCPUs and 64 MiB, run in software (--mmu=%s)\n\n",
	       BOLD, UMBRA_VERSION, PLAIN, GUEST_VCPUS, mmu);
	fflush(stdout);
}

void view_progress(const char *phase, const char *format, ...)
{
	va_list args;

	if (!is_terminal())
		return;
	printf("\r\033[K  %-12s %s", phase, DIM);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	fputs(PLAIN, stdout);
	fflush(stdout);
}

void view_done(const char *phase, bool held, const char *format, ...)
{
	va_list args;

	printf("%s  %-12s %s%-6s%s ", is_terminal() ? "\r\033[K" : "", phase, held ? GREEN : RED,
	       held ? "held" : "FAILED", PLAIN);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

/* How full of dirty pages one column's share of the slot is. */
static char density(const uint64_t *log, uint64_t first, uint64_t end)
{
	uint64_t n = 0;

	for (uint64_t page = first; page < end; page++)
		n += log[page / 64] >> (page % 64) & 1;
	if (!n)
		return '.';
	return n * 3 < end - first ? ':' : n * 3 < 2 * (end - first) ? '+' : '#';
}

void view_round(unsigned int round, const struct demo_region *data, uint64_t n_dirty,
		uint64_t n_copied, double seconds)
{
	uint64_t pages = data->bytes >> 12;
	char map[MAP_COLUMNS + 1];

	for (int i = 0; i < MAP_COLUMNS; i++)
		map[i] = density(data->log, pages * (unsigned int)i / MAP_COLUMNS,
				 pages * ((unsigned int)i + 1) / MAP_COLUMNS);
	map[MAP_COLUMNS] = '\0';
	printf("%s    round %-2u   %s[%s]%s %6" PRIu64 " dirty, %6.1f MiB copied in %.0f ms\n",
	       is_terminal() ? "\r\033[K" : "", round, YELLOW, map, PLAIN, n_dirty,
	       (double)n_copied / 256, seconds * 1e3);
	fflush(stdout);
}

static void row(struct demo *d, const char *text, const char *counter)
{
	printf("  %-44s %14" PRIu64 "\n", text, demo_counter(d, counter));
}

void view_table(struct demo *d, double seconds)
{
	uint64_t instructions = demo_counter(d, "instructions");
	uint64_t written = demo_written(d);

	printf("\n%s  what happened                                             count%s\n", BOLD,
	       PLAIN);
	printf("  %-44s %14" PRIu64 "\n", "pages written and checked by the guest", written);
	row(d, "guest instructions", "instructions");
	row(d, "faults taken by the MMU", "pf_taken");
	row(d, "  fixed under the MMU lock", "pf_fixed");
	row(d, "  fixed without it (write protection lifted)", "pf_fast");
	row(d, "  raced and retried", "pf_retry");
	row(d, "  outside all slots", "pf_mmio");
	row(d, "TLB entries made by page walks", "tlb_fills");
	row(d, "TLB hits (estimated from samples)", "tlb_hits_sampled");
	row(d, "remote TLB flushes requested", "remote_tlb_flush_requests");
	row(d, "  performed", "remote_tlb_flush");
	row(d, "  not needed: the debt was paid", "remote_tlb_flush_elided");
	row(d, "translations dropped", "mmu_zapped");
	row(d, "translations write-protected", "mmu_write_protected");
	row(d, "dirty pages harvested", "dirty_pages_harvested");
	row(d, "ranges revoked by the host", "mmu_notifier_overlaps");
	row(d, "changes of memory slots", "slot_updates");
	row(d, "exits for MMIO", "mmio_exits");
	row(d, "exits for missing memory", "efault_exits");
	printf("\n  %.2f s, %.0f million guest instructions a second\n", seconds,
	       (double)instructions / seconds / 1e6);
}
