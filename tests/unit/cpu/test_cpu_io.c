/* SPDX-License-Identifier: MIT */
/* Port I/O and memory-mapped I/O: which exits are made, and how they go on. */
#include <string.h>

#include "code.h"
#include "cpu/insn/sse/xsave.h"
#include "cpu/state/cpuid.h"
#include "mmu/tlb/request.h"

/* No slot is there. */
#define DEVICE 0x10000000ull
/* The last page of memory, and a page of no memory behind it. */
#define MEMORY_END (4ull << 20)

static enum cpu_exit answer(struct cpu *cpu, uint64_t value)
{
	uint8_t data[8];

	memcpy(data, &value, 8);
	assert_true(cpu->mmio.pending);
	cpu_complete_mmio(cpu, data);
	return run_on(cpu);
}

static void expect_mmio(const struct cpu *cpu, bool write, uint64_t gpa, unsigned int bytes)
{
	assert_true(cpu->mmio.pending);
	assert_int_equal(cpu->mmio.write, write);
	assert_true(cpu->mmio.gpa.raw == gpa);
	assert_int_equal(cpu->mmio.bytes, bytes);
}

static uint64_t written(const struct cpu *cpu)
{
	uint64_t v;

	memcpy(&v, cpu->mmio.data, 8);
	return v;
}

CODE(in_out, ".code64",
     "mov $0x1122334455667788, %rax\n in $0x70, %al\n mov $0x3f8, %edx\n in (%dx), %ax\n"
     "in (%dx), %eax\n out %eax, $0x80\n hlt\n")

static void in_stays_at_the_instruction_until_completed(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint8_t *data = m->io_data[0];

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, in_out), CPU_EXIT_IO);
	assert_int_equal(cpu->rip, MACHINE_CODE + 10);
	assert_true(cpu->io.in);
	assert_int_equal(cpu->io.port, 0x70);
	assert_int_equal(cpu->io.size, 1);
	assert_int_equal(cpu->io.count, 1);
	data[0] = 0xab;
	cpu_complete_io(cpu);
	assert_false(cpu->io.pending);
	assert_int_equal(cpu->rip, MACHINE_CODE + 12);
	assert_true(cpu->r[GPR_RAX] == 0x11223344556677ab);
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	assert_int_equal(cpu->io.size, 2);
	memcpy(data, "\x34\x12", 2);
	cpu_complete_io(cpu);
	assert_true(cpu->r[GPR_RAX] == 0x1122334455661234);
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	memcpy(data, "\x04\x03\x02\x01", 4);
	cpu_complete_io(cpu);
	assert_true(cpu->r[GPR_RAX] == 0x01020304);
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	assert_false(cpu->io.in);
	assert_int_equal(cpu->io.port, 0x80);
	assert_memory_equal(data, "\x04\x03\x02\x01", 4);
	cpu_complete_io(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
}

static void client_that_moves_rip_gets_no_completion(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	assert_int_equal(run_code(m, cpu, in_out), CPU_EXIT_IO);
	m->io_data[0][0] = 0xab;
	cpu->rip = MACHINE_CODE + (uint64_t)(in_out.end - in_out.start) - 1;
	cpu_complete_io(cpu);
	assert_true(cpu->r[GPR_RAX] == 0x1122334455667788);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
}

CODE(rep_ins, ".code64", "cld\n rep insb\n hlt\n")

static void rep_ins_comes_in_batches_within_a_page(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	unsigned int total = 0;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RDI] = MACHINE_DATA + 0xf00;
	cpu->r[GPR_RCX] = 8192;
	cpu->r[GPR_RDX] = 0x80;
	load_code(m, rep_ins);
	while (run_on(cpu) == CPU_EXIT_IO) {
		assert_true(cpu->io.string && cpu->io.in);
		assert_int_equal(cpu->rip, MACHINE_CODE + 1);
		assert_int_equal(cpu->io.count,
				 MIN(MIN(8192 - total, 1024), 4096 - ((0xf00 + total) & 4095)));
		memset(m->io_data[0], 0xaa, 4096);
		total += cpu->io.count;
		cpu_complete_io(cpu);
	}
	assert_int_equal(total, 8192);
	assert_int_equal(cpu->r[GPR_RCX], 0);
	assert_int_equal(cpu->r[GPR_RDI], MACHINE_DATA + 0xf00 + 8192);
	for (unsigned int i = 0; i < 8192; i++)
		assert_int_equal(m->memory[MACHINE_DATA + 0xf00 + i], 0xaa);
	assert_int_equal(m->memory[MACHINE_DATA + 0xf00 + 8192], 0);
	assert_int_equal(m->memory[MACHINE_DATA + 0xeff], 0);
}

/* What the kernel's userspace_io_test does: the counter is changed at the exit. */
static void rep_ins_believes_the_changed_counter(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	load_code(m, rep_ins);
	cpu->r[GPR_RDI] = MACHINE_DATA;
	cpu->r[GPR_RCX] = 2;
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	assert_int_equal(cpu->io.count, 2);
	cpu->r[GPR_RCX] = 1;
	memset(m->io_data[0], 0xaa, 4096);
	cpu_complete_io(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RCX], 0);
	assert_int_equal(cpu->r[GPR_RDI], MACHINE_DATA + 1);
	assert_int_equal(machine_read32(m, MACHINE_DATA), 0xaa);

	cpu->rip = MACHINE_CODE;
	cpu->r[GPR_RDI] = MACHINE_DATA;
	cpu->r[GPR_RCX] = 3;
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	cpu->r[GPR_RCX] = 8192;
	memset(m->io_data[0], 0xbb, 4096);
	cpu_complete_io(cpu);
	assert_int_equal(cpu->r[GPR_RCX], 8189);
	while (run_on(cpu) == CPU_EXIT_IO)
		cpu_complete_io(cpu);
	assert_int_equal(cpu->r[GPR_RCX], 0);
	assert_int_equal(cpu->r[GPR_RDI], MACHINE_DATA + 8192);
}

static void ins_to_an_absent_page_faults_before_it_asks(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	*machine_pte(m, MACHINE_DATA) = 0;
	cpu->r[GPR_RDI] = MACHINE_DATA;
	cpu->r[GPR_RCX] = 4;
	assert_int_equal(run_code(m, cpu, rep_ins), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_PF);
	assert_int_equal(cpu->r[GPR_RCX], 4);
}

/* The page goes away while the client answers. */
static void ins_data_waits_for_the_page(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t pte, rip;

	machine_set_long(m, cpu, false);
	load_code(m, rep_ins);
	pte = *machine_pte(m, MACHINE_DATA);
	cpu->r[GPR_RDI] = MACHINE_DATA;
	cpu->r[GPR_RCX] = 4;
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	rip = cpu->rip;
	*machine_pte(m, MACHINE_DATA) = 0;
	cpu_state_changed(cpu);
	memcpy(m->io_data[0], "abcd", 4);
	cpu_complete_io(cpu);
	assert_int_equal(cpu->r[GPR_RCX], 4);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_PF);
	/* The handler maps it and returns. */
	*machine_pte(m, MACHINE_DATA) = pte;
	cpu->rip = rip;
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RCX], 0);
	assert_memory_equal(m->memory + MACHINE_DATA, "abcd", 4);
}

CODE(rep_outs, ".code64", "rep outsw\n hlt\n")

static void rep_outs_hands_over_what_memory_holds(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	memcpy(m->memory + MACHINE_DATA, "01234567", 8);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	cpu->r[GPR_RCX] = 4;
	cpu->r[GPR_RDX] = 0x1f0;
	load_code(m, rep_outs);
	/* The first element fills the TLB, the rest is one batch. */
	assert_int_equal(run_on(cpu), CPU_EXIT_IO);
	assert_false(cpu->io.in);
	assert_int_equal(cpu->io.size, 2);
	assert_memory_equal(m->io_data[0], "01", 2);
	if (cpu->io.count == 1) {
		cpu_complete_io(cpu);
		assert_int_equal(cpu->r[GPR_RCX], 3);
		assert_int_equal(run_on(cpu), CPU_EXIT_IO);
		assert_int_equal(cpu->io.count, 3);
		assert_memory_equal(m->io_data[0], "234567", 6);
	}
	cpu_complete_io(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(cpu->r[GPR_RSI], MACHINE_DATA + 8);
}

static void user_io_needs_the_bitmap(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, true);
	memset(m->memory + MACHINE_TSS + 0x68, 0xff, 0x100);
	assert_int_equal(run_code(m, cpu, in_out), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);

	/* Port 0x70 allowed; port 0x3f8 for two bytes is not. */
	cpu_reset(cpu);
	machine_set_long(m, cpu, true);
	memset(m->memory + MACHINE_TSS + 0x68, 0xff, 0x100);
	m->memory[MACHINE_TSS + 0x68 + 0x70 / 8] = 0xfe;
	m->memory[MACHINE_TSS + 0x68 + 0x3f8 / 8] = 0xfe;
	assert_int_equal(run_code(m, cpu, in_out), CPU_EXIT_IO);
	cpu_complete_io(cpu);
	assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_GP);

	/* With IOPL 3 the bitmap is not checked. */
	cpu_reset(cpu);
	machine_set_long(m, cpu, true);
	memset(m->memory + MACHINE_TSS + 0x68, 0xff, 0x100);
	cpu_set_rflags(cpu, X86_EFLAGS_IOPL | X86_EFLAGS_FIXED);
	assert_int_equal(run_code(m, cpu, in_out), CPU_EXIT_IO);
}

/* Memory-mapped I/O */

CODE(mmio_moves, ".code32",
     "mov $0x10000000, %ebx\n"
     "mov (%ebx), %eax\n"
     "movb $0x5a, 4(%ebx)\n"
     "movzbl 3(%ebx), %ecx\n"
     "add %eax, 8(%ebx)\n"
     "xchg %ecx, 12(%ebx)\n"
     "push 16(%ebx)\n"
     "hlt\n")

static void loads_and_stores_exit_in_order(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_protected(m, cpu, false, false);
	assert_int_equal(run_code(m, cpu, mmio_moves), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE, 4);
	assert_int_equal(cpu->rip, MACHINE_CODE + 5);
	assert_int_equal(answer(cpu, 0x11111111), CPU_EXIT_MMIO);
	/* The store is done: RIP is behind it. */
	expect_mmio(cpu, true, DEVICE + 4, 1);
	assert_int_equal(written(cpu), 0x5a);
	assert_int_equal(cpu->rip, MACHINE_CODE + 11);
	assert_int_equal(answer(cpu, 0), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE + 3, 1);
	assert_int_equal(answer(cpu, 0xeeffc3), CPU_EXIT_MMIO);
	assert_int_equal(cpu->r[GPR_RCX], 0xc3);
	/* Read, modify, write. */
	expect_mmio(cpu, false, DEVICE + 8, 4);
	assert_int_equal(answer(cpu, 0x22222222), CPU_EXIT_MMIO);
	expect_mmio(cpu, true, DEVICE + 8, 4);
	assert_int_equal(written(cpu), 0x33333333);
	assert_int_equal(answer(cpu, 0), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE + 12, 4);
	assert_int_equal(answer(cpu, 0x77), CPU_EXIT_MMIO);
	expect_mmio(cpu, true, DEVICE + 12, 4);
	assert_int_equal(written(cpu), 0xc3);
	assert_int_equal(cpu->r[GPR_RCX], 0x77);
	assert_int_equal(answer(cpu, 0), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE + 16, 4);
	assert_int_equal(answer(cpu, 0xfeed), CPU_EXIT_HLT);
	assert_int_equal(machine_read32(m, MACHINE_STACK - 4), 0xfeed);
}

CODE(wide_load, ".code64", "movups (%rbx), %xmm0\n movups %xmm0, (%rcx)\n hlt\n")

static void wide_accesses_are_split_at_eight_bytes(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RBX] = DEVICE + 4;
	cpu->r[GPR_RCX] = DEVICE + 0xffc;
	assert_int_equal(run_code(m, cpu, wide_load), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE + 4, 8);
	assert_int_equal(answer(cpu, 0x1111111122222222), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE + 12, 8);
	assert_int_equal(answer(cpu, 0x3333333344444444), CPU_EXIT_MMIO);
	assert_true(cpu->xmm[0].u64[0] == 0x1111111122222222);
	assert_true(cpu->xmm[0].u64[1] == 0x3333333344444444);
	/* At the end of the page, and then at eight. */
	expect_mmio(cpu, true, DEVICE + 0xffc, 4);
	assert_int_equal(written(cpu), 0x22222222);
	assert_int_equal(answer(cpu, 0), CPU_EXIT_MMIO);
	expect_mmio(cpu, true, DEVICE + 0x1000, 8);
	assert_true(written(cpu) == 0x4444444411111111);
	assert_int_equal(answer(cpu, 0), CPU_EXIT_MMIO);
	expect_mmio(cpu, true, DEVICE + 0x1008, 4);
	assert_int_equal(written(cpu), 0x33333333);
	assert_int_equal(answer(cpu, 0), CPU_EXIT_HLT);
}

CODE(save_to_device, ".code64", "fxsave (%rbx)\n hlt\n")
CODE(load_from_device, ".code64", "fxrstor (%rbx)\n hlt\n")

static void the_widest_accesses_reach_a_device(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint64_t image[64];
	unsigned int n;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RBX] = DEVICE;
	cpu->xmm[15].u64[0] = 0x1122334455667788;
	assert_int_equal(run_code(m, cpu, save_to_device), CPU_EXIT_MMIO);
	for (n = 0; cpu->mmio.pending && n < 64; n++) {
		expect_mmio(cpu, true, DEVICE + 8 * n, 8);
		image[n] = written(cpu);
		assert_int_equal(answer(cpu, 0), n < 51 ? CPU_EXIT_MMIO : CPU_EXIT_HLT);
	}
	assert_int_equal(n, 52); /* the last 96 bytes are the program's own */
	assert_true(image[50] == 0x1122334455667788);

	cpu->xmm[15].u64[0] = 0;
	cpu->rip = MACHINE_CODE;
	assert_int_equal(run_code(m, cpu, load_from_device), CPU_EXIT_MMIO);
	for (n = 0; n < 52; n++) {
		expect_mmio(cpu, false, DEVICE + 8 * n, 8);
		assert_int_equal(answer(cpu, image[n]), n < 51 ? CPU_EXIT_MMIO : CPU_EXIT_HLT);
	}
	assert_true(cpu->xmm[15].u64[0] == 0x1122334455667788);
}

CODE(save_all_to_device, ".code64", "mov $7, %eax\n xor %edx, %edx\n xsave64 (%rbx)\n hlt\n")
CODE(load_all_from_device, ".code64", "mov $7, %eax\n xor %edx, %edx\n xrstor64 (%rbx)\n hlt\n")

/* The header first: it says what else is read. */
static void load_area(struct machine *m, const struct xsave_area *area)
{
	enum cpu_exit exit = run_code(m, m->cpu, load_all_from_device);
	unsigned int n;

	for (n = 0; exit == CPU_EXIT_MMIO; n++) {
		uint64_t at = m->cpu->mmio.gpa.raw - DEVICE, value;

		assert_false(m->cpu->mmio.write);
		assert_in_range(at, 0, sizeof(*area) - 8);
		memcpy(&value, (const uint8_t *)area + at, sizeof(value));
		exit = answer(m->cpu, value);
	}
	assert_int_equal(exit, CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, m->cpu), -1);
	/* Of the first 512 bytes the last 96 are the program's own. */
	assert_int_equal(n, (sizeof(*area) - 96) / 8);
}

static void all_of_xsaves_area_reaches_a_device(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	struct xsave_area area = { .header.xstate_bv = 0 };
	enum cpu_exit exit;

	if (!cpuid_has(cpu, FEATURE_AVX)) {
		print_message("the host has no AVX\n");
		skip();
	}
	machine_set_long(m, cpu, false);
	cpu->mmu.paging.cr4 |= X86_CR4_OSXSAVE;
	cpu->xcr0 = cpuid_xcr0_offered();
	cpu_state_changed(cpu);
	cpu->r[GPR_RBX] = DEVICE;
	memset(cpu->xmm, 0x55, sizeof(cpu->xmm));
	memset(cpu->ymm_high, 0x77, sizeof(cpu->ymm_high));
	exit = run_code(m, cpu, save_all_to_device);
	while (exit == CPU_EXIT_MMIO) {
		uint64_t at = cpu->mmio.gpa.raw - DEVICE, value = written(cpu);

		assert_in_range(at, 0, sizeof(area) - 1);
		memcpy((uint8_t *)&area + at, &value, cpu->mmio.bytes);
		/* It reads the header, and writes the rest. */
		exit = answer(cpu, 0);
	}
	assert_int_equal(exit, CPU_EXIT_HLT);
	assert_int_equal(area.ymm_high[15].u8[15], 0x77);
	memset(cpu->xmm, 0, sizeof(cpu->xmm));
	memset(cpu->ymm_high, 0, sizeof(cpu->ymm_high));
	cpu->rip = MACHINE_CODE;
	load_area(m, &area);
	assert_int_equal(cpu->xmm[0].u8[0], 0x55);
	assert_int_equal(cpu->ymm_high[15].u8[15], 0x77);
}

CODE(half_load, ".code64", "mov (%rbx), %rax\n mov %rcx, (%rbx)\n lock add %rax, (%rbx)\n hlt\n")

static void half_memory_half_device(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint64_t at = MEMORY_END - 4;

	machine_set_long(m, cpu, false);
	memcpy(m->memory + at, "\x01\x02\x03\x04", 4);
	cpu->r[GPR_RBX] = at;
	cpu->r[GPR_RCX] = 0x8877665544332211;
	assert_int_equal(run_code(m, cpu, half_load), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, MEMORY_END, 4);
	assert_int_equal(answer(cpu, 0x08070605), CPU_EXIT_MMIO);
	assert_true(cpu->r[GPR_RAX] == 0x0807060504030201);
	expect_mmio(cpu, true, MEMORY_END, 4);
	assert_int_equal(written(cpu), 0x88776655);
	assert_int_equal(machine_read32(m, at), 0x44332211);
	assert_int_equal(answer(cpu, 0), CPU_EXIT_MMIO);
	/* What cannot be locked is read and written. */
	expect_mmio(cpu, false, MEMORY_END, 4);
	assert_int_equal(answer(cpu, 0x10), CPU_EXIT_MMIO);
	expect_mmio(cpu, true, MEMORY_END, 4);
	assert_int_equal(written(cpu), 0x08070615);
	assert_int_equal(machine_read32(m, at), 0x48362412);
	assert_int_equal(answer(cpu, 0), CPU_EXIT_HLT);
}

static void data_of_a_load_is_dropped_if_rip_moves(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint8_t data[8] = { 1 };

	machine_set_protected(m, cpu, false, false);
	assert_int_equal(run_code(m, cpu, mmio_moves), CPU_EXIT_MMIO);
	cpu_complete_mmio(cpu, data);
	cpu->r[GPR_RBX] = DEVICE + 0x100;
	cpu->rip = MACHINE_CODE + 11;
	assert_int_equal(run_on(cpu), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE + 0x103, 1);
	/* And if it comes back, the device is asked again. */
	cpu_complete_mmio(cpu, data);
	cpu->rip = MACHINE_CODE + 5;
	assert_int_equal(run_on(cpu), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE + 0x100, 4);
}

/* The client may change more than RIP: then it is another access. */
static void data_of_a_load_is_dropped_if_its_address_moves(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	uint8_t data[8] = { 1 };

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RBX] = DEVICE;
	cpu->r[GPR_RCX] = MACHINE_DATA;
	assert_int_equal(run_code(m, cpu, wide_load), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE, 8);
	cpu_complete_mmio(cpu, data);
	cpu->r[GPR_RBX] = DEVICE + 0x40;
	assert_int_equal(run_on(cpu), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE + 0x40, 8);
	assert_int_equal(answer(cpu, 0x11), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE + 0x48, 8);
	assert_int_equal(answer(cpu, 0x22), CPU_EXIT_HLT);
	assert_true(machine_read64(m, MACHINE_DATA) == 0x11);
	assert_true(machine_read64(m, MACHINE_DATA + 8) == 0x22);
}

CODE(push_all, ".code32", "pusha\n hlt\n")

/* The first pushes go to a device, the others to a page that is not there. */
static void stores_of_a_faulting_instruction_do_not_reach_the_device(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_pae(m, cpu);
	*machine_pte(m, 0x51000) = DEVICE | GPTE_P | GPTE_W;
	*machine_pte(m, 0x50000) = 0;
	cpu->r[GPR_RSP] = 0x51010;
	cpu->r[GPR_RAX] = 0x11110000;
	assert_int_equal(run_code(m, cpu, push_all), CPU_EXIT_MMIO);
	/* What is pushed there is the frame of the double fault's handler... */
	assert_true(cpu->mmio.write);
	assert_true(cpu->cr2 == 0x50ffc);
	/* ...whose first word is the flags, not EAX. */
	expect_mmio(cpu, true, DEVICE + 0xc, 4);
	assert_int_equal(written(cpu) & X86_EFLAGS_FIXED, X86_EFLAGS_FIXED);
}

static void interrupt_injected_with_the_answer_waits(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_protected(m, cpu, false, false);
	assert_int_equal(run_code(m, cpu, mmio_moves), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE, 4);
	cpu->event = (struct cpu_event){ .pending = true, .vector = 0x30 };
	assert_int_equal(answer(cpu, 0x1234), CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), 0x30);
	assert_int_equal(cpu->r[GPR_RAX], 0x1234);
	assert_int_equal(machine_read32(m, cpu->r[GPR_RSP]), MACHINE_CODE + 7);
}

static void table_of_interrupts_in_a_device(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_protected(m, cpu, false, false);
	cpu->idt.base = DEVICE;
	machine_load(m, MACHINE_CODE, "\x0f\x0b", 2);
	assert_int_equal(run_on(cpu), CPU_EXIT_MMIO);
	expect_mmio(cpu, false, DEVICE + 8 * EXC_UD, 8);
	assert_int_equal(answer(cpu, 0x00008e0000300000ull | (MACHINE_STUBS + EXC_UD)),
			 CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_UD);
}

CODE(call_on_device, ".code64", "call 1f\n 1: hlt\n")

static void call_pushes_to_a_device(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RSP] = DEVICE + 0x800;
	assert_int_equal(run_code(m, cpu, call_on_device), CPU_EXIT_MMIO);
	expect_mmio(cpu, true, DEVICE + 0x7f8, 8);
	assert_int_equal(written(cpu), MACHINE_CODE + 5);
	assert_int_equal(cpu->rip, MACHINE_CODE + 5);
	assert_int_equal(cpu->r[GPR_RSP], DEVICE + 0x7f8);
	assert_int_equal(answer(cpu, 0), CPU_EXIT_HLT);
}

CODE(rep_to_device, ".code64", "rep movsl\n hlt\n")

static void rep_movs_makes_an_exit_for_each_element(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	enum cpu_exit exit;

	/* To a device. */
	machine_set_long(m, cpu, false);
	for (uint32_t i = 0; i < 20; i++)
		memcpy(m->memory + MACHINE_DATA + 4 * i, &i, 4);
	cpu->r[GPR_RSI] = MACHINE_DATA;
	cpu->r[GPR_RDI] = DEVICE;
	cpu->r[GPR_RCX] = 20;
	exit = run_code(m, cpu, rep_to_device);
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(exit, CPU_EXIT_MMIO);
		expect_mmio(cpu, true, DEVICE + 4 * i, 4);
		assert_int_equal(written(cpu), i);
		assert_int_equal(cpu->r[GPR_RCX], 19 - i);
		exit = answer(cpu, 0);
	}
	assert_int_equal(exit, CPU_EXIT_HLT);

	/* And from one: more elements than there are fragments. */
	cpu->rip = MACHINE_CODE;
	cpu->r[GPR_RSI] = DEVICE;
	cpu->r[GPR_RDI] = MACHINE_DATA + 0x100;
	cpu->r[GPR_RCX] = 20;
	exit = run_on(cpu);
	for (uint64_t i = 0; i < 20; i++) {
		assert_int_equal(exit, CPU_EXIT_MMIO);
		expect_mmio(cpu, false, DEVICE + 4 * i, 4);
		exit = answer(cpu, 100 + i);
	}
	assert_int_equal(exit, CPU_EXIT_HLT);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(machine_read32(m, MACHINE_DATA + 0x100 + 4 * i), 100 + i);

	/* From one to another. */
	cpu->rip = MACHINE_CODE;
	cpu->r[GPR_RSI] = DEVICE;
	cpu->r[GPR_RDI] = DEVICE + 0x2000;
	cpu->r[GPR_RCX] = 3;
	exit = run_on(cpu);
	for (uint64_t i = 0; i < 3; i++) {
		expect_mmio(cpu, false, DEVICE + 4 * i, 4);
		assert_int_equal(answer(cpu, i + 7), CPU_EXIT_MMIO);
		expect_mmio(cpu, true, DEVICE + 0x2000 + 4 * i, 4);
		assert_int_equal(written(cpu), i + 7);
		exit = answer(cpu, 0);
	}
	assert_int_equal(exit, CPU_EXIT_HLT);
}

static void ins_to_a_device(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	enum cpu_exit exit;
	unsigned int n = 0;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RDI] = DEVICE;
	cpu->r[GPR_RCX] = 20;
	exit = run_code(m, cpu, rep_ins);
	while (exit != CPU_EXIT_HLT) {
		if (exit == CPU_EXIT_IO) {
			for (unsigned int i = 0; i < 20; i++)
				m->io_data[0][i] = (uint8_t)(n + i);
			cpu_complete_io(cpu);
			exit = run_on(cpu);
		} else {
			assert_int_equal(exit, CPU_EXIT_MMIO);
			expect_mmio(cpu, true, DEVICE + n, 1);
			assert_int_equal(written(cpu), n);
			n++;
			exit = answer(cpu, 0);
		}
	}
	assert_int_equal(n, 20);
}

/* A slot that is read-only: loads are memory, stores are MMIO. */
CODE(to_rom, ".code64", "mov (%rbx), %eax\n add $1, %eax\n or %eax, (%rbx)\n hlt\n")

static void rom_is_memory_to_read_and_a_device_to_write(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	assert_int_equal(machine_slot(m, 1, 0x8000000, m->memory + 0x100000, 0x1000,
				      KVM_MEM_READONLY), 0);
	memcpy(m->memory + 0x100000, "\x40\x30\x20\x10", 4);
	cpu->r[GPR_RBX] = 0x8000000;
	assert_int_equal(run_code(m, cpu, to_rom), CPU_EXIT_MMIO);
	expect_mmio(cpu, true, 0x8000000, 4);
	assert_int_equal(written(cpu), 0x10203041);
	assert_int_equal(machine_read32(m, 0x100000), 0x10203040);
	assert_int_equal(answer(cpu, 0), CPU_EXIT_HLT);
}

CODE(interrupt_frame_on_device, ".code64", "ud2\n")

static void frame_pushed_to_a_device(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	enum cpu_exit exit;

	machine_set_long(m, cpu, false);
	cpu->r[GPR_RSP] = DEVICE + 0x100;
	exit = run_code(m, cpu, interrupt_frame_on_device);
	for (unsigned int i = 1; i <= 5; i++) {
		assert_int_equal(exit, CPU_EXIT_MMIO);
		expect_mmio(cpu, true, DEVICE + 0x100 - 8 * i, 8);
		exit = answer(cpu, 0);
	}
	assert_int_equal(exit, CPU_EXIT_HLT);
	assert_int_equal(machine_vector(m, cpu), EXC_UD);
}

static void code_in_a_device_is_an_error(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	cpu->rip = DEVICE;
	assert_int_equal(run_on(cpu), CPU_EXIT_INTERNAL_ERROR);
	assert_int_equal(cpu->rip, DEVICE);
}

/* At its first byte, or behind what is in memory. */
static void a_users_code_in_a_device_is_its_own_error(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;
	const uint64_t places[] = { DEVICE, MACHINE_DATA + 0xffe };

	for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
		machine_set_long(m, cpu, true);
		machine_load(m, places[1], "\x48\xb8", 2);
		*machine_pte(m, MACHINE_DATA + 0x1000) = DEVICE | 7;
		cpu->rip = places[i];
		assert_int_equal(run_on(cpu), CPU_EXIT_HLT);
		assert_int_equal(machine_vector(m, cpu), EXC_UD);
		assert_int_equal(machine_read64(m, cpu->r[GPR_RSP]), places[i]);
	}
}

static void a_kick_is_an_exit(void **state)
{
	struct machine *m = *state;
	struct cpu *cpu = m->cpu;

	machine_set_long(m, cpu, false);
	machine_load(m, MACHINE_CODE, "\xeb\xfe", 2);
	request_post(&cpu->mmu, REQUEST_KICK);
	assert_int_equal(cpu_run(cpu, 1000000), CPU_EXIT_POLL);
	assert_true(request_take(&cpu->mmu, REQUEST_KICK));
	assert_int_equal(cpu_run(cpu, 10000), CPU_EXIT_POLL);
	assert_true(atomic64_load_relaxed(&cpu->mmu.stats[VCPU_STAT_instructions]) >= 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(in_stays_at_the_instruction_until_completed),
		machine_test(client_that_moves_rip_gets_no_completion),
		machine_test(rep_ins_comes_in_batches_within_a_page),
		machine_test(rep_ins_believes_the_changed_counter),
		machine_test(ins_to_an_absent_page_faults_before_it_asks),
		machine_test(ins_data_waits_for_the_page),
		machine_test(rep_outs_hands_over_what_memory_holds),
		machine_test(user_io_needs_the_bitmap),
		machine_test(loads_and_stores_exit_in_order),
		machine_test(wide_accesses_are_split_at_eight_bytes),
		machine_test(the_widest_accesses_reach_a_device),
		machine_test(all_of_xsaves_area_reaches_a_device),
		machine_test(half_memory_half_device),
		machine_test(data_of_a_load_is_dropped_if_rip_moves),
		machine_test(data_of_a_load_is_dropped_if_its_address_moves),
		machine_test(stores_of_a_faulting_instruction_do_not_reach_the_device),
		machine_test(interrupt_injected_with_the_answer_waits),
		machine_test(table_of_interrupts_in_a_device),
		machine_test(call_pushes_to_a_device),
		machine_test(rep_movs_makes_an_exit_for_each_element),
		machine_test(ins_to_a_device),
		machine_test(rom_is_memory_to_read_and_a_device_to_write),
		machine_test(frame_pushed_to_a_device),
		machine_test(code_in_a_device_is_an_error),
		machine_test(a_users_code_in_a_device_is_its_own_error),
		machine_test(a_kick_is_an_exit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
