/* SPDX-License-Identifier: MIT */
/*
 * examples/toy.c - a complete emulator on <umbra/mmu.h>: a processor of our own
 * invention, memory, a console, and a program that prints primes.
 *
 *	cc toy.c $(pkg-config --cflags --libs umbra) && ./a.out
 *
 * Instructions have 32 bits: an opcode, two registers, a signed number of 16 bits.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <umbra/mmu.h>

enum op { HALT, LI, ADD, ADDI, HIGH, LOADB, STOREB, STOREW, BEQ, BLT, JUMP };

#define INSN(op, a, b, n) ((uint32_t)(op) << 24 | (a) << 20 | (b) << 16 | ((n)&0xffff))
#define RAM_BYTES (1u << 20)
#define SIEVE 0x4000	/* a byte for each number */
#define LIMIT 100
#define CONSOLE 0x40000000u	/* a word stored here is printed */

/* r1: i, r2: j, r3: LIMIT, r4: 1, r5: what was read, r6: console, r7: sieve + j */
static const uint32_t program[] = {
	INSN(LI, 3, 0, LIMIT),
	INSN(LI, 4, 0, 1),
	INSN(LI, 6, 0, 0x4000),
	INSN(HIGH, 6, 6, 4),
	INSN(LI, 1, 0, 2),
	/*  5: next number */
	INSN(BLT, 1, 3, 1),
	INSN(HALT, 0, 0, 0),
	INSN(LOADB, 5, 1, SIEVE),
	INSN(BEQ, 5, 4, 8),
	INSN(STOREW, 1, 6, 0),
	/* 10: cross out its multiples */
	INSN(LI, 2, 0, 0),
	INSN(ADD, 2, 1, 0),
	INSN(ADD, 2, 1, 0),
	INSN(BLT, 2, 3, 1),
	INSN(JUMP, 0, 0, 2),
	INSN(STOREB, 4, 2, SIEVE),
	INSN(JUMP, 0, 0, -5),
	/* 17: */
	INSN(ADDI, 1, 0, 1),
	INSN(JUMP, 0, 0, -14),
};

struct toy {
	struct umbra_vcpu *vcpu;
	uint32_t pc, r[16];
	uint64_t n;
	bool halted;
};

/* What an access came to, other than that it was done.  True: the instruction is over. */
static bool look_into(struct toy *t, enum umbra_result result, uint32_t value)
{
	const struct umbra_fault *f = umbra_vcpu_fault(t->vcpu);

	switch (result) {
	case UMBRA_MMIO:
		if (f->access == UMBRA_WRITE && f->gpa == CONSOLE) {
			printf("%u ", value);
			return true;
		}
		break;
	case UMBRA_RETRY: /* another thread changed memory: retry */
		return false;
	default:
		break;
	}
	printf("\npc %#x: access to %#llx: result %d\n", t->pc, (unsigned long long)f->gva, result);
	t->halted = true;
	return false;
}

static void step(struct toy *t)
{
	uint32_t insn = 0, *a, b, next = t->pc + 4;
	enum umbra_result result = umbra_fetch32(t->vcpu, t->pc, &insn);
	int32_t number = (int16_t)insn;
	uint8_t byte = 0;

	a = &t->r[(insn >> 20) & 15];
	b = t->r[(insn >> 16) & 15];
	if (result != UMBRA_OK) {
		look_into(t, result, 0);
		return;
	}
	switch ((enum op)(insn >> 24)) {
	case HALT:
		t->halted = true;
		break;
	case LI:
		*a = (uint32_t)number;
		break;
	case ADD:
		*a += b;
		break;
	case ADDI:
		*a += (uint32_t)number;
		break;
	case HIGH:
		*a = b << 16;
		break;
	case LOADB:
		result = umbra_load8(t->vcpu, b + (uint32_t)number, &byte);
		*a = result == UMBRA_OK ? byte : *a;
		break;
	case STOREB:
		result = umbra_store8(t->vcpu, b + (uint32_t)number, (uint8_t)*a);
		break;
	case STOREW:
		result = umbra_store32(t->vcpu, b + (uint32_t)number, *a);
		break;
	case BEQ:
		next += *a == b ? (uint32_t)number * 4 : 0;
		break;
	case BLT:
		next += *a < b ? (uint32_t)number * 4 : 0;
		break;
	case JUMP:
		next += (uint32_t)number * 4;
		break;
	default:
		printf("\npc %#x: no such instruction: %#x\n", t->pc, insn);
		t->halted = true;
	}
	if (result == UMBRA_OK || look_into(t, result, *a))
		t->pc = next;
	t->n++;
}

int main(void)
{
	struct umbra_mmu_config config = { .mode = UMBRA_MMU_TDP, .physical_bits = 32 };
	struct umbra_slot ram = { .id = 0, .gpa = 0, .bytes = RAM_BYTES };
	struct umbra_mmu *mmu;
	struct toy t = { 0 };

	ram.memory = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	if (ram.memory == MAP_FAILED || umbra_mmu_create(&config, &mmu) ||
	    umbra_mmu_set_slot(mmu, &ram) || umbra_vcpu_create(mmu, &t.vcpu))
		return 1;
	__builtin_memcpy(ram.memory, program, sizeof(program));

	umbra_vcpu_enter(t.vcpu);
	while (!t.halted && !umbra_vcpu_poll(t.vcpu))
		step(&t);
	umbra_vcpu_leave(t.vcpu);
	printf("\n%llu instructions\n", (unsigned long long)t.n);

	umbra_vcpu_destroy(t.vcpu);
	return umbra_mmu_destroy(mmu) != 0;
}
