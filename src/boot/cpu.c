/* SPDX-License-Identifier: MIT */
/* boot/cpu.c - the guest's processors, each a thread that calls KVM_RUN. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <umbra/umbra.h>

#include "boot/boot.h"
#include "tool/output.h"
#include "tool/tool.h"

#define CPUID_ENTRIES 100
#define TSC_DEADLINE (1u << 24)	/* in ECX of leaf 1: the APIC's timer has that mode */
#define CR0_PE 1u
#define CR0_PG (1u << 31)
#define CR4_PAE (1u << 5)
#define EFER_LONG 0x500		/* LME, LMA */
#define MAPPED_BYTES GIB(4)

/* --- CPUID ---------------------------------------------------------------------------- */

static unsigned int bits_for(unsigned int n)
{
	unsigned int bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

/* Each processor is a core of one package, with its number for an APIC ID. */
static void set_topology(struct kvm_cpuid_entry2 *e, unsigned int number, unsigned int n)
{
	if (e->function == 1) {
		e->ebx = (e->ebx & 0xffff) | n << 16 | number << 24;
		e->edx |= 1u << 28;
		e->ecx |= TSC_DEADLINE;
	} else if (e->function == 0xb && e->index < 2) {
		e->eax = e->index ? bits_for(n) : 0;
		e->ebx = e->index ? n : 1;
		e->ecx = e->index | (e->index + 1) << 8;
		e->edx = number;
	}
}

static bool set_cpuid(struct boot *b, const struct boot_cpu *cpu)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));
	bool ok;

	if (!cpuid)
		return boot_check("CPUID", -ENOMEM);
	cpuid->nent = CPUID_ENTRIES;
	ok = boot_check("KVM_GET_SUPPORTED_CPUID", umbra_get_supported_cpuid(b->kvm_fd, cpuid));
	for (uint32_t i = 0; ok && i < cpuid->nent; i++)
		set_topology(&cpuid->entries[i], cpu->number, b->n_cpus);
	ok = ok && boot_check("KVM_SET_CPUID2", umbra_set_cpuid2(cpu->fd, cpuid));
	free(cpuid);
	return ok;
}

/* --- what firmware sets ----------------------------------------------------------------- */

#define MISC_ENABLE 0x1a0
#define FAST_STRINGS 1		/* without it Linux still takes REP MOVSB for a fast one */
#define MTRR_DEF_TYPE 0x2ff
#define ALL_WRITE_BACK 0x806

static bool set_msrs(const struct boot_cpu *cpu)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[2];
	} msrs = {
		.head.nmsrs = 2,
		.entry = {
			{ .index = MISC_ENABLE, .data = FAST_STRINGS },
			{ .index = MTRR_DEF_TYPE, .data = ALL_WRITE_BACK },
		},
	};
	long done = umbra_set_msrs(cpu->fd, &msrs.head);

	return boot_check("KVM_SET_MSRS", done == 2 ? 0 : done < 0 ? done : -EINVAL);
}

/* --- the first one's state ----------------------------------------------------------- */

/* Flat segments, as Linux's boot protocol numbers them; Multiboot and PVH want no number. */
static void set_segments(struct kvm_sregs *sregs, bool long_mode)
{
	const struct kvm_segment code = {
		.limit = ~0u, .selector = 0x10, .type = 11, .present = 1, .s = 1, .g = 1,
		.db = !long_mode, .l = long_mode,
	};
	const struct kvm_segment data = {
		.limit = ~0u, .selector = 0x18, .type = 3, .present = 1, .s = 1, .g = 1, .db = 1,
	};

	sregs->cs = code;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
}

/* The same in memory. */
static void write_gdt(struct boot *b, struct kvm_sregs *sregs, bool long_mode)
{
	const uint64_t gdt[] = {
		0, 0, long_mode ? 0x00af9b000000ffff : 0x00cf9b000000ffff, 0x00cf93000000ffff,
	};

	memory_write(&b->memory, GDT_GPA, gdt, sizeof(gdt));
	sregs->gdt.base = GDT_GPA;
	sregs->gdt.limit = sizeof(gdt) - 1;
}

/* The first 4 GiB, by pages of 2 MiB: a root, a table of four entries, and those four. */
static void map_memory(struct boot *b, struct kvm_sregs *sregs)
{
	uint64_t *table = memory_at(&b->memory, PAGE_TABLES_GPA, 6 * 4096ull);
	const uint64_t flags = 3, large = 0x80;

	table[0] = (PAGE_TABLES_GPA + 4096) | flags;
	for (unsigned int i = 0; i < MAPPED_BYTES >> 30; i++)
		table[512 + i] = (PAGE_TABLES_GPA + 4096 * (2 + i)) | flags;
	for (uint64_t i = 0; i < MAPPED_BYTES >> 21; i++)
		table[1024 + i] = i << 21 | flags | large;
	sregs->cr3 = PAGE_TABLES_GPA;
	sregs->cr4 |= CR4_PAE;
	sregs->cr0 |= CR0_PG;
	sregs->efer |= EFER_LONG;
}

static bool set_entry(struct boot *b, int fd, const struct entry *entry)
{
	const struct kvm_regs regs = {
		.rip = entry->rip, .rax = entry->rax, .rbx = entry->rbx, .rsi = entry->rsi,
		.rflags = 2,
	};
	struct kvm_sregs sregs;

	if (!boot_check("KVM_GET_SREGS", umbra_get_sregs(fd, &sregs)))
		return false;
	sregs.cr0 |= CR0_PE;
	set_segments(&sregs, entry->long_mode);
	write_gdt(b, &sregs, entry->long_mode);
	if (entry->long_mode)
		map_memory(b, &sregs);
	return boot_check("KVM_SET_SREGS", umbra_set_sregs(fd, &sregs)) &&
	       boot_check("KVM_SET_REGS", umbra_set_regs(fd, &regs));
}

/* --- running -------------------------------------------------------------------------- */

static void report_stop(struct boot_cpu *cpu)
{
	struct kvm_regs regs = { 0 };

	umbra_get_regs(cpu->fd, &regs);
	boot_end(cpu->boot, EXIT_FAILURE, "processor %u stopped at %#llx, exit reason %u",
		 cpu->number, (unsigned long long)regs.rip, cpu->run->exit_reason);
}

static void handle_exit(struct boot_cpu *cpu)
{
	switch (cpu->run->exit_reason) {
	case KVM_EXIT_IO:
		bus_io(cpu->boot, cpu->run);
		break;
	case KVM_EXIT_MMIO:
		bus_mmio(cpu->boot, cpu->run);
		break;
	case KVM_EXIT_SHUTDOWN:
		boot_end(cpu->boot, EXIT_FAILURE, "the guest reset the machine by a triple fault");
		break;
	default:
		report_stop(cpu);
	}
}

static void *cpu_thread(void *arg)
{
	struct boot_cpu *cpu = arg;
	struct boot *b = cpu->boot;

	while (!atomic_load(&b->ending)) {
		long err = umbra_run(cpu->fd, 0);

		/* EAGAIN: it was started meanwhile. */
		if (!err)
			handle_exit(cpu);
		else if (err != -EINTR && err != -EAGAIN)
			boot_end(b, EXIT_FAILURE, "KVM_RUN: %s", strerror((int)-err));
	}
	return NULL;
}

static bool create_cpu(struct boot *b, unsigned int number)
{
	struct boot_cpu *cpu = &b->cpus[number];
	long bytes = umbra_get_vcpu_mmap_size(b->kvm_fd, 0);
	int err;

	*cpu = (struct boot_cpu){ .boot = b, .number = number };
	cpu->fd = (int)umbra_create_vcpu(b->vm_fd, number);
	if (!boot_check("KVM_CREATE_VCPU", cpu->fd))
		return false;
	cpu->run = umbra_mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0,
			      &err);
	if (cpu->run == MAP_FAILED) {
		cpu->run = NULL;
		return boot_check("mapping struct kvm_run", -err);
	}
	return set_cpuid(b, cpu) && set_msrs(cpu);
}

bool cpus_create(struct boot *b, unsigned int n)
{
	b->n_cpus = n;
	for (unsigned int i = 0; i < n; i++)
		b->cpus[i].fd = -1;
	for (unsigned int i = 0; i < n; i++)
		if (!create_cpu(b, i))
			return false;
	return true;
}

bool cpus_start(struct boot *b, const struct entry *entry)
{
	if (!set_entry(b, b->cpus[0].fd, entry))
		return false;
	for (unsigned int i = 0; i < b->n_cpus; i++) {
		int err = pthread_create(&b->cpus[i].thread, NULL, cpu_thread, &b->cpus[i]);

		if (err)
			return boot_check("starting a thread", -err);
		b->cpus[i].started = true;
	}
	return true;
}

void cpus_stop(struct boot *b)
{
	long bytes = umbra_get_vcpu_mmap_size(b->kvm_fd, 0);

	atomic_store(&b->ending, true);
	for (unsigned int i = 0; i < b->n_cpus; i++)
		if (b->cpus[i].started)
			vcpu_thread_join(b->cpus[i].thread);
	for (unsigned int i = 0; i < b->n_cpus; i++) {
		if (b->cpus[i].run)
			munmap(b->cpus[i].run, (size_t)bytes);
		if (b->cpus[i].fd >= 0)
			umbra_close(b->cpus[i].fd);
	}
}
