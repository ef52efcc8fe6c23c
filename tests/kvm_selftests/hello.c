/* SPDX-License-Identifier: MIT */
/*
 * tests/kvm_selftests/hello.c - a small KVM client: the least that runs a guest.
 *
 *	hello real|protected|paged|long
 *
 * Written against /dev/kvm and nothing else.  The guest says a word through port
 * 0xe9, stores 42, and halts with 42 in RAX.  Exit status 0 if all of that was seen.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY_BYTES 0x200000
#define TABLES 0x2000
#define STACK_TOP 0x8000
#define ANSWER_AT 0x400

#define CR0_PE 1u
#define CR0_PG (1u << 31)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)

extern const uint8_t guest16[], guest16_end[], guest32[], guest32_end[], guest64[], guest64_end[];

struct mode {
	const char *name;
	const uint8_t *code, *end;
	void (*set_up)(struct kvm_sregs *sregs, uint8_t *memory);
};

static void flat_segments(struct kvm_sregs *s, int is_long)
{
	struct kvm_segment seg = {
		.limit = 0xffffffff, .selector = 1 << 3, .present = 1, .type = 11,
		.s = 1, .g = 1, .db = !is_long, .l = is_long ? 1 : 0,
	};

	s->cs = seg;
	seg.type = 3;
	seg.selector = 2 << 3;
	s->ds = s->es = s->fs = s->gs = s->ss = seg;
}

static void set_up_real(struct kvm_sregs *s, uint8_t *memory)
{
	(void)memory;
	s->cs.selector = 0;
	s->cs.base = 0;
}

static void set_up_protected(struct kvm_sregs *s, uint8_t *memory)
{
	(void)memory;
	s->cr0 |= CR0_PE;
	flat_segments(s, 0);
}

/* One page of 4 MiB at address 0. */
static void set_up_paged(struct kvm_sregs *s, uint8_t *memory)
{
	*(uint32_t *)(memory + TABLES) = 0x87; /* present, writable, user, large */
	s->cr3 = TABLES;
	s->cr4 = CR4_PSE;
	s->cr0 |= CR0_PE | CR0_PG;
	s->efer = 0;
	flat_segments(s, 0);
}

/* Three levels and a page of 2 MiB. */
static void set_up_long(struct kvm_sregs *s, uint8_t *memory)
{
	*(uint64_t *)(memory + TABLES) = (TABLES + 0x1000) | 7;
	*(uint64_t *)(memory + TABLES + 0x1000) = (TABLES + 0x2000) | 7;
	*(uint64_t *)(memory + TABLES + 0x2000) = 0x87;
	s->cr3 = TABLES;
	s->cr4 = CR4_PAE;
	s->cr0 |= CR0_PE | CR0_PG;
	s->efer = EFER_LME | EFER_LMA;
	flat_segments(s, 1);
}

static const struct mode modes[] = {
	{ "real", guest16, guest16_end, set_up_real },
	{ "protected", guest32, guest32_end, set_up_protected },
	{ "paged", guest32, guest32_end, set_up_paged },
	{ "long", guest64, guest64_end, set_up_long },
};

static int check(const char *what, int result)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

/* Runs to the HLT; what the guest says is kept in @said. */
static int run(int vcpu, struct kvm_run *run_page, char *said, size_t bytes)
{
	size_t n = 0;

	for (;;) {
		check("KVM_RUN", ioctl(vcpu, KVM_RUN, 0));
		switch (run_page->exit_reason) {
		case KVM_EXIT_HLT:
			said[n] = '\0';
			return 0;
		case KVM_EXIT_IO:
			if (run_page->io.direction == KVM_EXIT_IO_OUT &&
			    run_page->io.port == 0xe9 && n + 1 < bytes) {
				said[n++] = *((char *)run_page + run_page->io.data_offset);
				continue;
			}
			/* fall through */
		default:
			fprintf(stderr, "exit reason %u\n", run_page->exit_reason);
			return 1;
		}
	}
}

int main(int argc, char **argv)
{
	const struct mode *mode = NULL;
	struct kvm_regs regs = { .rflags = 2, .rsp = STACK_TOP };
	struct kvm_run *run_page;
	struct kvm_sregs sregs;
	char said[64];
	int kvm, vm, vcpu, size;
	uint8_t *memory;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc == 2 && strcmp(argv[1], modes[i].name) == 0)
			mode = &modes[i];
	if (!mode) {
		fprintf(stderr, "usage: hello real|protected|paged|long\n");
		return 2;
	}

	kvm = check("/dev/kvm", open("/dev/kvm", O_RDWR));
	if (check("KVM_GET_API_VERSION", ioctl(kvm, KVM_GET_API_VERSION, 0)) != KVM_API_VERSION)
		return 1;
	vm = check("KVM_CREATE_VM", ioctl(kvm, KVM_CREATE_VM, 0));
	check("KVM_SET_TSS_ADDR", ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000));
	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct kvm_userspace_memory_region region = {
		.memory_size = MEMORY_BYTES, .userspace_addr = (uintptr_t)memory,
	};
	check("KVM_SET_USER_MEMORY_REGION", ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
	vcpu = check("KVM_CREATE_VCPU", ioctl(vm, KVM_CREATE_VCPU, 0));
	size = check("KVM_GET_VCPU_MMAP_SIZE", ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	run_page = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run_page == MAP_FAILED)
		check("mmap", -1);

	check("KVM_GET_SREGS", ioctl(vcpu, KVM_GET_SREGS, &sregs));
	mode->set_up(&sregs, memory);
	check("KVM_SET_SREGS", ioctl(vcpu, KVM_SET_SREGS, &sregs));
	check("KVM_SET_REGS", ioctl(vcpu, KVM_SET_REGS, &regs));
	memcpy(memory, mode->code, (size_t)(mode->end - mode->code));

	if (run(vcpu, run_page, said, sizeof(said)))
		return 1;
	check("KVM_GET_REGS", ioctl(vcpu, KVM_GET_REGS, &regs));
	printf("%s mode: the guest said \"%s\", rax %llu, memory %u\n", mode->name, said,
	       regs.rax, memory[ANSWER_AT]);
	return !(strcmp(said, "hello") == 0 && regs.rax == 42 && memory[ANSWER_AT] == 42);
}
