/* SPDX-License-Identifier: MIT */
/* tests/fuzz/input.h - the bytes that a fuzzer gives, taken piece by piece. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
	const uint8_t *at;
	size_t left;
};

/* Zeros when there is no more. */
static inline void input_bytes(struct input *in, void *to, size_t n)
{
	size_t take = n < in->left ? n : in->left;

	memset(to, 0, n);
	memcpy(to, in->at, take);
	in->at += take;
	in->left -= take;
}

static inline uint8_t input8(struct input *in)
{
	uint8_t v;

	input_bytes(in, &v, 1);
	return v;
}

static inline uint16_t input16(struct input *in)
{
	uint16_t v;

	input_bytes(in, &v, 2);
	return v;
}

static inline uint32_t input32(struct input *in)
{
	uint32_t v;

	input_bytes(in, &v, 4);
	return v;
}

static inline uint64_t input64(struct input *in)
{
	uint64_t v;

	input_bytes(in, &v, 8);
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
