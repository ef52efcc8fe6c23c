/* SPDX-License-Identifier: MIT */
/*
 * tests/preload/client.h - a small client of /dev/kvm: one vCPU in 32-bit mode without
 * paging, 64 MiB of memory, code at 0x1000.
 */
#ifndef TESTS_PRELOAD_CLIENT_H
#define TESTS_PRELOAD_CLIENT_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_MEMORY (64ull << 20)
#define CLIENT_CODE 0x1000u
#define CLIENT_MMIO 0xd0000000u
#define CLIENT_HOLE 0x20000000u	/* a slot whose memory is not there */

struct client {
	int system, vm, vcpu;
	uint8_t *memory;
	struct kvm_run *run;
};

/* Each returns 0, or -1 with a message: not for assertions, a filter may be on. */
int client_create(struct client *c);
void client_destroy(struct client *c);
/* Puts the code in place; the registers are zero but for those given. */
int client_load(struct client *c, const uint8_t *code, size_t bytes, uint64_t rcx, uint64_t rdi);
#define client_load_array(c, code, rcx, rdi) client_load(c, code, sizeof(code), rcx, rdi)
/* KVM_RUN: 0, or -errno. */
int client_run(struct client *c);

/* Counts in EAX for ever. */
static const uint8_t code_spin[] = { 0x40, 0xeb, 0xfd };
/* Halts. */
static const uint8_t code_halt[] = { 0xf4 };
/* Writes EAX to ECX pages from EDI, then halts. */
static const uint8_t code_fill[] = { 0x89, 0x07, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00,
				     0x49, 0x75, 0xf5, 0xf4 };
/* EAX = [EDI], then halts. */
static const uint8_t code_load[] = { 0x8b, 0x07, 0xf4 };
/* out %al, $0x10; in $0x10, %al; mov %eax, (EDI); mov (EDI), %eax; halts. */
static const uint8_t code_devices[] = { 0xe6, 0x10, 0xe4, 0x10, 0x89, 0x07, 0x8b, 0x07, 0xf4 };

#endif
