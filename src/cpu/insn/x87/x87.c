/* SPDX-License-Identifier: MIT */
/*
 * cpu/insn/x87/x87.c - x87 instructions that compute, load and store: the host executes the
 * same two bytes.
 */
#include "cpu/insn/x87/x87.h"

#include <string.h>

#include "cpu/event/raise.h"
#include "cpu/insn/alu.h"
#include "cpu/insn/insn.h"
#include "cpu/insn/operand.h"
#include "cpu/memory/access.h"
#include "cpu/state/flags.h"
#include "cpu/state/mode.h"

/*
 * Every x87 instruction as a function: for each of the opcodes d8 to df the 64 that have registers,
 * and the 8 that have memory, which is where their argument points (rDI).
 */
#define HOST_CODE_BYTES 4
#define HOST_REGISTER_FORMS 64u
#define HOST_MEMORY_FORMS 8u
typedef void (*host_fn)(void *operand);

__asm__(".pushsection .text\n"
	".balign 64\n"
	"x87_host_code:\n"
	".set .Lescape, 0xd8\n"
	".rept 8\n"
	".set .Lmodrm, 0xc0\n"
	".rept 64\n"
	".byte .Lescape, .Lmodrm, 0xc3, 0x90\n"
	".set .Lmodrm, .Lmodrm + 1\n"
	".endr\n"
	".set .Lescape, .Lescape + 1\n"
	".endr\n"
	".set .Lescape, 0xd8\n"
	".rept 8\n"
	".set .Lmodrm, 7\n"
	".rept 8\n"
	".byte .Lescape, .Lmodrm, 0xc3, 0x90\n"
	".set .Lmodrm, .Lmodrm + 8\n"
	".endr\n"
	".set .Lescape, .Lescape + 1\n"
	".endr\n"
	".popsection\n");
extern const uint8_t x87_host_code[] __asm__("x87_host_code");

/* And those of da, db and df with registers once more, between flags: from EDI, to EAX, in
 * the form of HOST_FLAGS_IN and HOST_FLAGS_OUT. */
#define HOST_FLAGS_CODE_BYTES 16
typedef uint32_t (*host_flags_fn)(uint32_t flags);

#define HOST_FLAGS_BLOCK(opcode)                       \
	".set .Lmodrm, 0xc0\n"                         \
	".rept 64\n"                                   \
	".balign 16\n"                                 \
	"movl %edi, %eax\n\t"                          \
	"addb $0x7f, %al\n\t"                          \
	"sahf\n\t"                                     \
	".byte " #opcode ", .Lmodrm\n\t"               \
	"lahf\n\t"                                     \
	"seto %al\n\t"                                 \
	"ret\n"                                        \
	".set .Lmodrm, .Lmodrm + 1\n"                  \
	".endr\n"
__asm__(".pushsection .text\n"
	".balign 64\n"
	"x87_host_flags_code:\n"
	HOST_FLAGS_BLOCK(0xda) HOST_FLAGS_BLOCK(0xdb) HOST_FLAGS_BLOCK(0xdf)
	".popsection\n");
extern const uint8_t x87_host_flags_code[] __asm__("x87_host_flags_code");

/* imm: the opcode as FOP has it, and above it where the code for it is. */
#define FOP_BITS 11
#define FOP_MASK ((1u << FOP_BITS) - 1)

static ALWAYS_INLINE void execute_host(const struct op *op, void *operand)
{
	((host_fn)(uintptr_t)(x87_host_code + (op->imm >> FOP_BITS)))(operand);
}

static ALWAYS_INLINE void note_address(struct cpu *cpu, const struct op *op)
{
	cpu->x87.fip = op_rip(cpu, op);
}

/* The offset of a memory operand in its segment. */
static uint64_t operand_offset(const struct cpu *cpu, const struct op *op)
{
	bool has_base = !mode_is_64bit(cpu) || op->seg == SEG_FS || op->seg == SEG_GS;

	return (op_ea(cpu, op) - (has_base ? cpu->segs[op->seg].base : 0)) & cpu->ea_mask;
}

/* Between the two is one instruction. */
static bool begin_x87(struct cpu *cpu)
{
	if (!x87_check_pending(cpu))
		return false;
	if (!cpu->x87_live)
		x87_go_live(cpu);
	return true;
}

static void end_x87(struct cpu *cpu, const struct op *op)
{
	note_address(cpu, op);
	if (likely(x87_can_stay(cpu)))
		return;
	x87_retire(cpu);
	if (!(cpu->x87.fsw & X87_ES))
		return;
	cpu->x87.fop = (uint16_t)(op->imm & FOP_MASK);
	if (op->flags & (OP_MEM_DST | OP_MEM_SRC))
		cpu->x87.fdp = operand_offset(cpu, op);
}

/* Registers only. */

OP(x87_register_first)
{
	if (!begin_x87(cpu))
		return false;
	execute_host(op, NULL);
	end_x87(cpu, op);
	return true;
}

static void x87_register(struct cpu *cpu, const struct op *op)
{
	if (unlikely(!cpu->x87_live))
		TAIL_CALL(op_x87_register_first(cpu, op));
	execute_host(op, NULL);
	note_address(cpu, op);
	NEXT_OP(cpu, op);
}

/* By EFLAGS, or into them: FCMOVcc, FCOMI and their kind. */

OP(x87_flags)
{
	const uint8_t *code = x87_host_flags_code + (op->imm >> FOP_BITS);
	uint32_t flags;

	if (!begin_x87(cpu))
		return false;
	flags = ((host_flags_fn)(uintptr_t)code)(cc_host(cpu));
	end_x87(cpu, op);
	cc_set_host(cpu, flags);
	return true;
}

/* From memory. */

OP(x87_load)
{
	union xmm v;

	if (!x87_check_pending(cpu) || !mem_load(cpu, op->seg, op_ea(cpu, op), &v, op->size) ||
	    !begin_x87(cpu))
		return false;
	execute_host(op, &v);
	end_x87(cpu, op);
	return true;
}

#define DEFINE_LOAD(bytes, hit)                                                       \
	static void x87_load##bytes(struct cpu *cpu, const struct op *op)             \
	{                                                                             \
		uint64_t ea = op_ea(cpu, op);                                         \
		union xmm v;                                                          \
										      \
		if (unlikely(!cpu->x87_live) || unlikely(!(hit)))                     \
			TAIL_CALL(op_x87_load(cpu, op));                              \
		execute_host(op, &v);                                                 \
		note_address(cpu, op);                                                \
		NEXT_OP(cpu, op);                                                     \
	}

DEFINE_LOAD(2, load_hit16(cpu, ea, &v.u16[0]))
DEFINE_LOAD(4, load_hit32(cpu, ea, &v.u32[0]))
DEFINE_LOAD(8, load_hit64(cpu, ea, &v.u64[0]))
DEFINE_LOAD(10, load_hit64(cpu, ea, &v.u64[0]) && load_hit16(cpu, ea + 8, &v.u16[4]))

/* To memory: the host's instruction accesses the guest's memory, and does nothing if it
 * cannot.  Otherwise it is done beside it, and undone if the memory is not to be had. */

OP(x87_store)
{
	uint64_t ea = op_ea(cpu, op);
	struct x87 before;
	union xmm v;

	if (!x87_check_pending(cpu))
		return false;
	x87_retire(cpu);
	before = cpu->x87;
	x87_go_live(cpu);
	execute_host(op, &v);
	end_x87(cpu, op);
	x87_retire(cpu);
	if (cpu->x87.fsw & ~cpu->x87.fcw & X87_OPERAND_FLAGS)
		return true;
	if (mem_store(cpu, op->seg, ea, &v, op->size))
		return true;
	cpu->x87 = before;
	return false;
}

#define X87_STORES(X)                                                                   \
	X(fsts, 0xd9, 2, 4) X(fstps, 0xd9, 3, 4) X(fistl, 0xdb, 2, 4)                   \
	X(fistpl, 0xdb, 3, 4) X(fstpt, 0xdb, 7, 10) X(fstl, 0xdd, 2, 8)                 \
	X(fstpl, 0xdd, 3, 8) X(fists, 0xdf, 2, 2) X(fistps, 0xdf, 3, 2)                 \
	X(fistpll, 0xdf, 7, 8)

#define DEFINE_STORE(name, opcode, reg, bytes)                                                \
	static ALWAYS_INLINE bool store_hit_##name(const struct cpu *cpu, uint64_t gva)       \
	{                                                                                     \
		const struct tlb_entry *e = tlb_entry_of(&cpu->mmu, gva_of(gva));             \
		const uint64_t *context = &cpu->mmu.tlb_context, *tag = &e->write;            \
		const uint64_t *addend = &e->addend;                                          \
		uint64_t page = (gva + bytes - 1) & PAGE_MASK, t;                             \
											      \
		GUARDED_ASM(WINDOW_HIT "1: " #name " (%[gva],%[t])\n" WINDOW_END              \
			 : [t] "=&r"(t)                                                       \
			 : WINDOW_HIT_INPUTS                                                  \
			 : "memory", "cc"                                                     \
			 : fail);                                                             \
		return true;                                                                  \
	GUARDED_LABEL(fail);                                                                  \
		return false;                                                                 \
	}                                                                                     \
	static void x87_##name(struct cpu *cpu, const struct op *op)                          \
	{                                                                                     \
		if (unlikely(!cpu->x87_live) ||                                               \
		    unlikely(!store_hit_##name(cpu, op_ea(cpu, op))))                         \
			TAIL_CALL(op_x87_store(cpu, op));                                     \
		note_address(cpu, op);                                                        \
		NEXT_OP(cpu, op);                                                             \
	}
X87_STORES(DEFINE_STORE)

static op_fn pick_store(unsigned int opcode, unsigned int reg)
{
	static const op_fn stores[8][8] = {
#define STORE(name, opcode, reg, bytes) [(opcode) - 0xd8][reg] = x87_##name,
		X87_STORES(STORE)
#undef STORE
	};
	op_fn fn = stores[opcode - 0xd8][reg];

	return fn ? fn : op_x87_store;
}

static op_fn pick_load(unsigned int bytes)
{
	switch (bytes) {
	case 2:
		return x87_load2;
	case 4:
		return x87_load4;
	case 8:
		return x87_load8;
	default:
		return x87_load10;
	}
}

static op_fn pick_register(unsigned int opcode, unsigned int modrm, int64_t *code)
{
	unsigned int form = modrm & (HOST_REGISTER_FORMS - 1), block;
	bool moves = (opcode == 0xda && modrm < 0xe0) || (opcode == 0xdb && modrm < 0xe0);
	bool compares = (opcode == 0xdb || opcode == 0xdf) && modrm >= 0xe8;

	if (!moves && !compares) {
		block = opcode - 0xd8;
		*code = HOST_CODE_BYTES * (block * HOST_REGISTER_FORMS + form);
		return x87_register;
	}
	block = opcode == 0xda ? 0 : opcode == 0xdb ? 1 : 2;
	*code = HOST_FLAGS_CODE_BYTES * (block * HOST_REGISTER_FORMS + form);
	return op_x87_flags;
}

op_fn pick_x87(const struct insn *insn, struct op *op)
{
	unsigned int opcode = insn->info.opcode, reg = insn->info.raw.modrm.reg;
	unsigned int modrm = insn->info.raw.modrm.mod << 6 | reg << 3 | insn->info.raw.modrm.rm;
	int64_t code;
	op_fn fn;

	if (!decode_is_mem(insn, 0)) {
		fn = pick_register(opcode, modrm, &code);
	} else {
		code = HOST_CODE_BYTES * (8 * HOST_REGISTER_FORMS +
					  (opcode - 0xd8) * HOST_MEMORY_FORMS + reg);
		fn = insn->operands[0].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ?
			     pick_store(opcode, reg) : pick_load(op->size);
	}
	op->imm = code << FOP_BITS | (opcode & 7) << 8 | modrm;
	return fn;
}
