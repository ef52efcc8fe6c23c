/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/io.c - port I/O: every IN, OUT, INS and OUTS is an exit to the client.
 *
 * The instruction is abandoned for the exit, so that RIP stays at it, and is
 * finished by cpu_complete_io().  String forms take as many elements to an exit
 * as lie in the page, one if they go downwards.  Elements read by INS are stored
 * when the client has answered; where that faults, the instruction stores the
 * rest when it is started again.  While somebody looks for traps (single steps,
 * breakpoints) they take one element at a time.
 */
#include "cpu/charge.h"
#include "cpu/event/ask.h"
#include "cpu/event/raise.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/insn/string.h"
#include "cpu/memory/access.h"
#include "cpu/memory/address.h"
#include "cpu/memory/mmio.h"
#include "cpu/state/control.h"
#include "cpu/state/debug.h"
#include "cpu/state/segment.h"
#include "mmu/tlb/request.h"

static bool ask_client(struct cpu *cpu, const struct op *op, struct cpu_io io)
{
	io.pending = true;
	io.length = op->length;
	io.address_bytes = op->address_bytes;
	io.rep = op->flags & (OP_REP | OP_REPNE);
	io.linear_rip = ask_linear_rip(cpu, op);
	cpu->io = io;
	return raise_exit(cpu, CPU_EXIT_IO);
}

/* The port is in src's place if that is an immediate, else in DX. */
static uint16_t port_of(const struct cpu *cpu, const struct op *op)
{
	return op->flags & OP_IMM_SRC ? (uint16_t)(op->imm & 0xff) : (uint16_t)cpu->r[GPR_RDX];
}

/* The operands are AL, AX or EAX, and a port. */
OP_END(in)
{
	struct cpu_io io = { .in = true, .size = op->size, .count = 1, .port = port_of(cpu, op) };

	return tss_allows_io(cpu, io.port, io.size) && ask_client(cpu, op, io);
}

OP_END(out)
{
	struct cpu_io io = { .size = op->size, .count = 1, .port = port_of(cpu, op) };

	if (!tss_allows_io(cpu, io.port, io.size))
		return false;
	for (unsigned int i = 0; i < io.size; i++)
		cpu->io_data[i] = (uint8_t)(cpu->r[GPR_RAX] >> (8 * i));
	return ask_client(cpu, op, io);
}

op_fn pick_out(const struct insn *insn, struct op *op)
{
	op->size = (uint8_t)(insn->operands[1].size / 8);
	if (insn->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		op->flags |= OP_IMM_SRC;
	return op_out;
}

/* What is moved between two looks for signals: an exit is not always one. */
#define MAX_ELEMENTS 1024u

/* True if a trap may follow each element. */
static bool is_debugged(const struct cpu *cpu)
{
	return cpu->debug.enabled || (cpu->rflags & X86_EFLAGS_TF);
}

/* How many elements to take at once, from @linear on. */
static uint32_t batch(const struct cpu *cpu, const struct op *op, uint64_t linear)
{
	uint64_t in_page = (PAGE_SIZE - (linear & PAGE_OFFSET_MASK)) / op->size;
	uint64_t count = 1;

	if (op->flags & (OP_REP | OP_REPNE))
		count = string_count(cpu, op->address_bytes);
	if ((cpu->rflags & X86_EFLAGS_DF) || is_debugged(cpu))
		return 1;
	return (uint32_t)MAX(MIN(count, MIN(in_page, MAX_ELEMENTS)), 1u);
}

/* One element of a string form is done. */
static void element_done(struct cpu *cpu, enum cpu_reg reg)
{
	struct cpu_io *io = &cpu->io;

	io->hits |= debug_io_hits(cpu, io->port, io->size) | cpu->debug.seen;
	string_advance(cpu, reg, io->address_bytes, io->size, 1);
	if (io->rep)
		set_reg(cpu, GPR_AT(GPR_RCX), io->address_bytes, cpu->r[GPR_RCX] - 1);
}

/* The client may have changed the counter: never go beyond it. */
static bool elements_left(const struct cpu *cpu)
{
	return !cpu->io.rep || string_count(cpu, cpu->io.address_bytes);
}

static bool store_ready(struct cpu *cpu)
{
	struct cpu_io *io = &cpu->io;
	uint64_t linear;

	for (; io->n_stored < io->n_ready && elements_left(cpu); io->n_stored++) {
		uint64_t offset = cpu->r[GPR_RDI] & width_mask(io->address_bytes), v = 0;

		for (unsigned int i = 0; i < io->size; i++)
			v |= (uint64_t)cpu->io_data[io->n_stored * io->size + i] << (8 * i);
		if (!address_linear(cpu, SEG_ES, offset, io->size, ACCESS_WRITE, &linear) ||
		    !mem_write(cpu, SEG_ES, linear, io->size, v))
			return false;
		charge(cpu, CHARGE_ELEMENT);
		element_done(cpu, GPR_RDI);
		/* Into a device: an exit for each. */
		if (mmio_has_writes(cpu)) {
			io->n_stored++;
			return false;
		}
	}
	io->n_ready = 0;
	return true;
}

static bool is_finished(const struct cpu *cpu, const struct op *op)
{
	return (op->flags & (OP_REP | OP_REPNE)) && !string_count(cpu, op->address_bytes);
}

static NOINLINE bool exec_ins(struct cpu *cpu, const struct op *op)
{
	struct cpu_io io = { .in = true, .string = true, .size = op->size,
			     .port = (uint16_t)cpu->r[GPR_RDX] };
	uint64_t linear;

	if (cpu->io.n_ready && cpu->io.linear_rip == ask_linear_rip(cpu, op)) {
		if (!store_ready(cpu))
			return false;
		cpu->debug.seen = cpu->io.hits;
		if (!cpu->io.rep || is_finished(cpu, op) || is_debugged(cpu))
			return true;
	}
	if (is_finished(cpu, op))
		return true;
	if (!tss_allows_io(cpu, io.port, io.size) ||
	    !address_linear(cpu, SEG_ES, cpu->r[GPR_RDI] & width_mask(op->address_bytes), op->size,
			    ACCESS_WRITE, &linear) ||
	    !mem_probe(cpu, SEG_ES, linear, op->size, ACCESS_WRITE))
		return false;
	io.count = batch(cpu, op, linear);
	return ask_client(cpu, op, io);
}

void op_ins(struct cpu *cpu, const struct op *op)
{
	cpu->rip = op_next_rip(cpu, op);
	if (exec_ins(cpu, op)) {
		if ((op->flags & (OP_REP | OP_REPNE)) && !is_finished(cpu, op))
			TAIL_CALL(op_suspend(cpu, op));
		cpu->budget -= op->ordinal + 1;
		return;
	}
	if (mmio_has_writes(cpu) && !cpu->fault.pending && !cpu->leaving)
		TAIL_CALL(op_suspend(cpu, op));
	TAIL_CALL(op_abandon(cpu, op));
}

OP_END(outs)
{
	struct cpu_io io = { .string = true, .size = op->size, .port = (uint16_t)cpu->r[GPR_RDX] };
	uint64_t linear, offset, v;
	uint32_t count;

	if (is_finished(cpu, op))
		return true;
	offset = cpu->r[GPR_RSI] & width_mask(op->address_bytes);
	if (!tss_allows_io(cpu, io.port, io.size) ||
	    !address_linear(cpu, op->seg, offset, op->size, ACCESS_READ, &linear))
		return false;
	count = batch(cpu, op, linear);
	/* One element at a time if they come from a device, or may lie beyond a limit. */
	if (!tlb_read(&cpu->mmu, gva_of(linear), op->size) || !(cpu->mode & MODE_FLAT))
		count = 1;
	for (io.count = 0; io.count < count; io.count++) {
		charge(cpu, CHARGE_ELEMENT);
		if (!mem_read(cpu, op->seg, linear, op->size, &v))
			return false;
		for (unsigned int i = 0; i < op->size; i++)
			cpu->io_data[io.count * op->size + i] = (uint8_t)(v >> (8 * i));
		linear += op->size;
	}
	io.hits = cpu->debug.seen;
	return ask_client(cpu, op, io);
}

op_fn pick_string_io(const struct insn *insn, struct op *op, unsigned int which)
{
	string_prepare(insn, op);
	return which == PICK_string_io_outs ? op_outs : op_ins;
}

static void finish_io(struct cpu *cpu)
{
	ask_finish(cpu, cpu->io.length, cpu->io.hits);
}

/* It continues with the next element, as whenever REP is interrupted. */
static void suspend_io(struct cpu *cpu)
{
	cpu->rflags |= X86_EFLAGS_RF;
	ask_trap(cpu, cpu->io.hits);
}

static void complete_string(struct cpu *cpu)
{
	struct cpu_io *io = &cpu->io;
	bool done = true;

	cpu->debug.seen = 0;
	if (io->in) {
		io->n_ready = io->count;
		io->n_stored = 0;
		guest_enter(&cpu->mmu);
		done = store_ready(cpu);
		guest_leave(&cpu->mmu);
		/* Whatever stopped it will be found again by cpu_run(). */
		cpu->fault.pending = false;
		control_clear_exit(cpu);
	} else {
		for (uint32_t i = 0; i < io->count && elements_left(cpu); i++)
			element_done(cpu, GPR_RSI);
	}
	if (done && (!io->rep || !string_count(cpu, io->address_bytes)))
		finish_io(cpu);
	else if (done)
		suspend_io(cpu);
}

void cpu_complete_io(struct cpu *cpu)
{
	struct cpu_io *io = &cpu->io;
	uint64_t v = 0;

	if (!io->pending)
		return;
	io->pending = false;
	if (io->linear_rip != cpu_linear_rip(cpu))
		return;
	if (io->string) {
		complete_string(cpu);
		return;
	}
	if (io->in) {
		for (unsigned int i = 0; i < io->size; i++)
			v |= (uint64_t)cpu->io_data[i] << (8 * i);
		set_reg(cpu, GPR_AT(GPR_RAX), io->size, v);
	}
	io->hits = debug_io_hits(cpu, io->port, io->size);
	finish_io(cpu);
}
