/* SPDX-License-Identifier: MIT */
#include "work.h"

#include <Zydis/Zydis.h>

#include "cpu/charge.h"

/* About what decoding an instruction takes, in blocks. */
#define DECODE_WORK 150u
/* Bytes that the C library moves in the time of a block. */
#define BYTES_PER_WORK 32u

static uint64_t work;

/* Wrapped, since libFuzzer has a function of this name. */
void __wrap___sanitizer_cov_trace_pc(void);
void __wrap___sanitizer_cov_trace_pc(void)
{
	work++;
}

ZyanStatus __real_ZydisDecoderDecodeFull(const ZydisDecoder *decoder, const void *buffer,
					 ZyanUSize length, ZydisDecodedInstruction *instruction,
					 ZydisDecodedOperand *operands);
ZyanStatus __wrap_ZydisDecoderDecodeFull(const ZydisDecoder *decoder, const void *buffer,
					 ZyanUSize length, ZydisDecodedInstruction *instruction,
					 ZydisDecodedOperand *operands);
ZyanStatus __wrap_ZydisDecoderDecodeFull(const ZydisDecoder *decoder, const void *buffer,
					 ZyanUSize length, ZydisDecodedInstruction *instruction,
					 ZydisDecodedOperand *operands)
{
	work += DECODE_WORK;
	return __real_ZydisDecoderDecodeFull(decoder, buffer, length, instruction, operands);
}

void *__real_memset(void *to, int c, size_t n);
void *__wrap_memset(void *to, int c, size_t n);
void *__wrap_memset(void *to, int c, size_t n)
{
	work += n / BYTES_PER_WORK;
	return __real_memset(to, c, n);
}

uint64_t work_of_run(struct cpu *cpu, enum cpu_exit *exit)
{
	uint64_t before = work;

	*exit = cpu_run(cpu, CPU_BUDGET);
	return work - before;
}
