/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/guarded.h"

#define CHECK(cond)                                                        \
	do {                                                               \
		if (!(cond)) {                                             \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                           \
		}                                                          \
	} while (0)

/* cmocka takes over SIGSEGV by signal(), which is base/guarded.c's. */
__attribute__((visibility("default"))) sighandler_t signal(int sig UNUSED,
							   sighandler_t handler UNUSED)
{
	return SIG_DFL;
}

enum mmu_mode machine_mmu_mode = MMU_TDP;

struct machine *machine_make(uint64_t bytes, unsigned int n_cpus)
{
	struct machine *m = calloc(1, sizeof(*m));

	CHECK(m && n_cpus <= ARRAY_SIZE(m->cpus));
	CHECK(!guarded_install());
	alloc_init(&m->alloc);
	CHECK(!slots_init(&m->slots, &m->alloc, gfn_of((1ull << 36) - 1),
			  &m->mmu.own_stats[VM_STAT_dirty_pages_harvested],
			  &m->mmu.own_stats[VM_STAT_slot_updates]));
	m->mmu.mode = machine_mmu_mode;
	CHECK(!mmu_init(&m->mmu, &m->alloc, &m->slots, host_process_init(&m->host)));
	m->bytes = bytes;
	m->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m->memory != MAP_FAILED);
	CHECK(!machine_slot(m, 0, 0, m->memory, bytes, 0));
	for (m->n_cpus = 0; m->n_cpus < n_cpus; m->n_cpus++) {
		struct cpu *cpu = aligned_alloc(CACHE_LINE,
						ALIGN_UP(sizeof(*cpu), (size_t)CACHE_LINE));

		CHECK(cpu);
		memset(cpu, 0, sizeof(*cpu));
		CHECK(!mmu_vcpu_init(&cpu->mmu, &m->mmu));
		CHECK(!cpu_init(cpu, m->io_data[m->n_cpus]));
		m->cpus[m->n_cpus] = cpu;
	}
	m->cpu = m->cpus[0];
	return m;
}

void machine_free(struct machine *m)
{
	for (unsigned int i = 0; i < m->n_cpus; i++) {
		cpu_destroy(m->cpus[i]);
		mmu_vcpu_destroy(&m->cpus[i]->mmu);
		free(m->cpus[i]);
	}
	mmu_destroy(&m->mmu);
	slots_destroy(&m->slots);
	host_process_destroy(&m->host);
	CHECK(!atomic64_load_relaxed(&m->alloc.bytes));
	munmap(m->memory, m->bytes);
	free(m);
}

int machine_slot(struct machine *m, unsigned int id, uint64_t gpa, void *host, uint64_t bytes,
		 uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = id,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)host,
	};

	return slots_set_region(&m->slots, &region);
}

void machine_set_descriptor(struct machine *m, uint16_t selector, uint32_t base, uint32_t limit,
			    uint8_t access, uint8_t flags)
{
	uint64_t d = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
		     (uint64_t)access << 40 | (uint64_t)((limit >> 16) & 0xf) << 48 |
		     (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;

	memcpy(m->memory + MACHINE_GDT + selector, &d, 8);
}

void machine_set_gate(struct machine *m, unsigned int vector, uint64_t offset, uint16_t selector,
		      uint8_t type, uint8_t ist)
{
	uint64_t gate[2] = {
		(offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 |
			(uint64_t)type << 40 | ((offset >> 16) & 0xffff) << 48,
		offset >> 32,
	};
	bool is_long = m->cpu->mmu.paging.efer & X86_EFER_LMA;

	if (is_long)
		memcpy(m->memory + MACHINE_IDT + 16 * vector, gate, 16);
	else
		memcpy(m->memory + MACHINE_IDT + 8 * vector, gate, 8);
}

void machine_write_tables(struct machine *m, bool is_long)
{
	uint64_t stack0 = MACHINE_STACK, ist1 = MACHINE_IST;
	uint32_t stack32 = MACHINE_STACK;
	uint16_t ss = SEL_DATA, map = 0x68;

	memset(m->memory + MACHINE_GDT, 0, 0x3000);
	machine_set_descriptor(m, SEL_CODE64, 0, 0xfffff, 0x9b, 0xa);
	machine_set_descriptor(m, SEL_DATA, 0, 0xfffff, 0x93, 0xc);
	machine_set_descriptor(m, SEL_USER_CODE32, 0, 0xfffff, 0xfb, 0xc);
	machine_set_descriptor(m, SEL_USER_DATA, 0, 0xfffff, 0xf3, 0xc);
	machine_set_descriptor(m, SEL_USER_CODE64, 0, 0xfffff, 0xfb, 0xa);
	machine_set_descriptor(m, SEL_CODE32, 0, 0xfffff, 0x9b, 0xc);
	machine_set_descriptor(m, SEL_CODE16, MACHINE_CODE, 0xffff, 0x9b, 0);
	machine_set_descriptor(m, SEL_DATA16, MACHINE_DATA, 0xffff, 0x93, 0);
	machine_set_descriptor(m, SEL_TSS, MACHINE_TSS, 0xfff, 0x89, 0);
	memset(m->memory + MACHINE_STUBS, 0xf4, 0x1000);
	if (is_long) {
		memcpy(m->memory + MACHINE_TSS + 4, &stack0, 8);
		memcpy(m->memory + MACHINE_TSS + 36, &ist1, 8);
	} else {
		memcpy(m->memory + MACHINE_TSS + 4, &stack32, 4);
		memcpy(m->memory + MACHINE_TSS + 8, &ss, 2);
	}
	memcpy(m->memory + MACHINE_TSS + 102, &map, 2);
	for (unsigned int v = 0; v < 256; v++)
		machine_set_gate(m, v, MACHINE_STUBS + v, is_long ? SEL_CODE64 : SEL_CODE32, 0x8e,
				 0);
}

static struct segment make_segment(uint16_t selector, uint8_t access, uint8_t flags)
{
	return (struct segment){
		.limit = 0xffffffff, .selector = selector, .type = access & 15, .s = true,
		.dpl = (access >> 5) & 3, .present = true, .g = true,
		.db = (flags >> 2) & 1, .l = (flags >> 1) & 1,
	};
}

static void load_tables(struct cpu *cpu)
{
	cpu->gdt = (struct descriptor_table){ MACHINE_GDT, MACHINE_GDT_BYTES - 1 };
	cpu->idt = (struct descriptor_table){ MACHINE_IDT, 0xfff };
	cpu->segs[SEG_TR] = (struct segment){ .base = MACHINE_TSS, .limit = 0xfff, .type = 11,
					      .selector = SEL_TSS, .present = true };
	cpu->segs[SEG_LDTR] = (struct segment){ .unusable = true };
}

static void set_segments(struct cpu *cpu, struct segment cs, struct segment data, bool user)
{
	cpu->segs[SEG_CS] = cs;
	for (unsigned int i = 0; i < SEG_LDTR; i++)
		if (i != SEG_CS)
			cpu->segs[i] = data;
	cpu->rip = MACHINE_CODE;
	cpu->r[GPR_RSP] = user ? MACHINE_USER_STACK : MACHINE_STACK;
	cpu_state_changed(cpu);
}

void machine_set_real(struct machine *m, struct cpu *cpu)
{
	for (unsigned int i = SEG_ES; i <= SEG_GS; i++) {
		cpu->segs[i].selector = MACHINE_CODE >> 4;
		cpu->segs[i].base = MACHINE_CODE;
	}
	cpu->rip = 0;
	cpu->r[GPR_RSP] = 0x8000;
	cpu->idt = (struct descriptor_table){ MACHINE_IDT, 0x3ff };
	for (uint32_t v = 0; v < 256; v++) {
		uint32_t vector = MACHINE_STUBS << 12 | v;

		memcpy(m->memory + MACHINE_IDT + 4 * v, &vector, 4);
	}
	memset(m->memory + MACHINE_STUBS, 0xf4, 0x1000);
	cpu_state_changed(cpu);
}

void machine_set_protected(struct machine *m, struct cpu *cpu, bool paging, bool user)
{
	uint32_t *directory = (uint32_t *)(m->memory + MACHINE_TABLES);

	cpu->mmu.paging.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP;
	cpu->mmu.paging.cr4 = X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	cpu->mmu.paging.efer = 0;
	machine_write_tables(m, false);
	load_tables(cpu);
	if (paging) {
		/* 4 MiB pages, and a table for the first of them. */
		uint32_t *table = directory + 1024;

		for (uint32_t i = 0; i < 1024; i++) {
			directory[i] = i << 22 | GPTE_P | GPTE_W | GPTE_U | GPTE_PS;
			table[i] = i << 12 | GPTE_P | GPTE_W | GPTE_U;
		}
		directory[0] = (MACHINE_TABLES + 0x1000) | GPTE_P | GPTE_W | GPTE_U;
		cpu->mmu.paging.cr3 = MACHINE_TABLES;
		cpu->mmu.paging.cr4 |= X86_CR4_PSE;
		cpu->mmu.paging.cr0 |= X86_CR0_PG;
	}
	if (user)
		set_segments(cpu, make_segment(SEL_USER_CODE32 | 3, 0xfb, 4),
			     make_segment(SEL_USER_DATA | 3, 0xf3, 4), true);
	else
		set_segments(cpu, make_segment(SEL_CODE32, 0x9b, 4),
			     make_segment(SEL_DATA, 0x93, 4), false);
}

/* Tables that map the first 2 MiB in small pages, and the rest of 1 GiB in large
 * ones: level 3 at MACHINE_TABLES + 0x1000, 2 at 0x2000, 1 at 0x3000. */
static void write_wide_tables(struct machine *m, uint64_t top_bits)
{
	uint64_t *t = (uint64_t *)(m->memory + MACHINE_TABLES);
	uint64_t bits = GPTE_P | GPTE_W | GPTE_U;

	memset(t, 0, 0x4000);
	t[0] = (MACHINE_TABLES + 0x1000) | bits;
	t[512] = (MACHINE_TABLES + 0x2000) | top_bits;
	for (uint64_t i = 0; i < 512; i++) {
		t[1024 + i] = i << 21 | bits | GPTE_PS;
		t[1536 + i] = i << 12 | bits;
	}
	t[1024] = (MACHINE_TABLES + 0x3000) | bits;
}

uint64_t *machine_pte(struct machine *m, uint64_t gva)
{
	return (uint64_t *)(m->memory + MACHINE_TABLES + 0x3000) + (gva >> PAGE_SHIFT);
}

void machine_set_pae(struct machine *m, struct cpu *cpu)
{
	machine_set_protected(m, cpu, false, false);
	write_wide_tables(m, GPTE_P);
	cpu->mmu.paging.cr3 = MACHINE_TABLES + 0x1000;
	cpu->mmu.paging.cr4 |= X86_CR4_PAE;
	cpu->mmu.paging.cr0 |= X86_CR0_PG;
	CHECK(cpu_load_pdptrs(cpu, cpu->mmu.paging.cr3));
	cpu_state_changed(cpu);
}

void machine_set_long(struct machine *m, struct cpu *cpu, bool user)
{
	struct paging *p = &cpu->mmu.paging;

	p->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP;
	p->cr3 = MACHINE_TABLES;
	p->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	p->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NX | X86_EFER_SCE;
	write_wide_tables(m, GPTE_P | GPTE_W | GPTE_U);
	machine_write_tables(m, true);
	load_tables(cpu);
	if (user)
		set_segments(cpu, make_segment(SEL_USER_CODE64 | 3, 0xfb, 2),
			     make_segment(SEL_USER_DATA | 3, 0xf3, 4), true);
	else
		set_segments(cpu, make_segment(SEL_CODE64, 0x9b, 2),
			     make_segment(SEL_DATA, 0x93, 4), false);
}

void machine_load(struct machine *m, uint64_t gpa, const void *code, size_t bytes)
{
	memcpy(m->memory + gpa, code, bytes);
}

int machine_vector(const struct machine *m UNUSED, const struct cpu *cpu)
{
	/* RIP is behind the HLT. */
	uint64_t at = cpu->cs_base + cpu->rip - 1;

	return at >= MACHINE_STUBS && at < MACHINE_STUBS + 256 ? (int)(at - MACHINE_STUBS) : -1;
}

uint64_t machine_read64(const struct machine *m, uint64_t gpa)
{
	uint64_t v;

	memcpy(&v, m->memory + gpa, 8);
	return v;
}

uint32_t machine_read32(const struct machine *m, uint64_t gpa)
{
	uint32_t v;

	memcpy(&v, m->memory + gpa, 4);
	return v;
}
