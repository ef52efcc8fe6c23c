/* SPDX-License-Identifier: MIT */
#include "preload/signals/deliver.h"

#include <cpuid.h>
#include <stdbool.h>
#include <string.h>
#include <ucontext.h>

#include "base/compiler.h"

/* The head of the C library's ucontext_t is the kernel's, up to the eight bytes that
 * the kernel's signal sets have. */
#define CONTEXT_BYTES (offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t))
#define RED_ZONE 128

/* Segments are restored too: uc_flags of the kernel's asm/ucontext.h. */
#define UC_SIGCONTEXT_SS 2
#define UC_STRICT_RESTORE_SS 4

/*
 * What is put on the stack, aligned to 64. First the registers to resume with, which are read
 * once.  Then, to run a handler, the frame that it returns to.
 */
struct image {
	uint8_t go[CONTEXT_BYTES];
	uint64_t pad;
	uint64_t return_to;		/* where a function finds it on entry */
	uint8_t back[CONTEXT_BYTES];
	siginfo_t info;
	uint64_t pad2[2];
	uint8_t fpu[512] __attribute__((aligned(64)));
};

_Static_assert(offsetof(struct image, return_to) % 16 == 8, "the stack of a function's entry");
_Static_assert(sizeof(struct image) % 64 == 0, "it ends where the stack was");

/* Unwinders recognize it by these bytes, which are the C library's own. */
void preload_return_from_signal(void) __attribute__((visibility("hidden")));
asm(".text\n"
    ".balign 16\n"
    ".byte 0x90\n"
    ".globl preload_return_from_signal\n"
    ".hidden preload_return_from_signal\n"
    ".type preload_return_from_signal, @function\n"
    "preload_return_from_signal:\n"
    ".byte 0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00\n" /* mov $15, %rax */
    ".byte 0x0f, 0x05\n"			       /* syscall */
    ".size preload_return_from_signal, . - preload_return_from_signal\n");

static uint64_t segments(void)
{
	uint16_t cs, ss;

	asm("movw %%cs, %0" : "=r"(cs));
	asm("movw %%ss, %0" : "=r"(ss));
	return cs | (uint64_t)ss << 48;
}

/* The rights of protection keys: the only user-mode register that is not in the frame. */
static bool has_keys(void)
{
	static int known;	/* 1: no, 2: yes */
	unsigned int a, b, c = 0, d;
	int has = __atomic_load_n(&known, __ATOMIC_RELAXED);

	if (!has) {
		if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
			c = 0;
		has = c & 1u << 4 ? 2 : 1;
		__atomic_store_n(&known, has, __ATOMIC_RELAXED);
	}
	return has == 2;
}

static uint32_t read_keys(void)
{
	uint32_t keys, high;

	asm volatile(".byte 0x0f, 0x01, 0xee" : "=a"(keys), "=d"(high) : "c"(0));
	return keys;
}

static void write_keys(uint32_t keys)
{
	asm volatile(".byte 0x0f, 0x01, 0xef" ::"a"(keys), "c"(0), "d"(0) : "memory");
}

static void fill_context(uint8_t *context, uint64_t mask, const stack_t *stack, const uint8_t *fpu)
{
	ucontext_t uc = { .uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS, .uc_stack = *stack };

	uc.uc_mcontext.gregs[REG_CSGSFS] = (greg_t)segments();
	uc.uc_mcontext.gregs[REG_EFL] = 0x202;
	uc.uc_mcontext.fpregs = (fpregset_t)(uintptr_t)fpu;
	memcpy(&uc.uc_sigmask, &mask, sizeof(mask));
	memcpy(context, &uc, CONTEXT_BYTES);
}

static greg_t *registers(uint8_t *context)
{
	return (greg_t *)(context + offsetof(ucontext_t, uc_mcontext.gregs));
}

/*
 * Copies the image to @base, which must be unused, and resumes with its first registers.  Returns
 * when the registers of @resume are resumed.
 */
static NOINLINE void go_on(struct image *image, uintptr_t base, greg_t *resume)
{
	size_t bytes = sizeof(*image);
	uint32_t keys = has_keys() ? read_keys() : 0;

	asm volatile("movq %%rbx, %c[rbx](%[resume])\n"
		     "movq %%rbp, %c[rbp](%[resume])\n"
		     "movq %%r12, %c[r12](%[resume])\n"
		     "movq %%r13, %c[r13](%[resume])\n"
		     "movq %%r14, %c[r14](%[resume])\n"
		     "movq %%r15, %c[r15](%[resume])\n"
		     "movq %%rsp, %c[rsp](%[resume])\n"
		     "leaq 1f(%%rip), %%rax\n"
		     "movq %%rax, %c[rip](%[resume])\n"
		     /* The stack first: a signal may arrive at any moment. */
		     "movq %%rdi, %%rsp\n"
		     "rep movsb\n"
		     "movl $15, %%eax\n"
		     "syscall\n"
		     "1:\n"
		     : "+D"(base), "+S"(image), "+c"(bytes)
		     : [resume] "d"(resume), [rbx] "i"(REG_RBX * 8), [rbp] "i"(REG_RBP * 8),
		       [r12] "i"(REG_R12 * 8), [r13] "i"(REG_R13 * 8), [r14] "i"(REG_R14 * 8),
		       [r15] "i"(REG_R15 * 8), [rsp] "i"(REG_RSP * 8), [rip] "i"(REG_RIP * 8)
		     : "rax", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2",
		       "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
		       "xmm12", "xmm13", "xmm14", "xmm15");
	if (has_keys())
		write_keys(keys);
}

static uintptr_t place_below(uintptr_t top)
{
	return ALIGN_DOWN(top - RED_ZONE - sizeof(struct image), (uintptr_t)64);
}

/* The frame of go_on(), which is a small one. */
#define FRAME_BELOW 512

static ALWAYS_INLINE uintptr_t this_stack(void)
{
	uintptr_t rsp;

	asm volatile("movq %%rsp, %0" : "=r"(rsp));
	return place_below(rsp - FRAME_BELOW);
}

static void save_fpu(struct image *image)
{
	asm volatile("fxsave64 %0" : "=m"(image->fpu));
}

static bool is_on(const stack_t *stack, uintptr_t at)
{
	return at - (uintptr_t)stack->ss_sp < stack->ss_size;
}

/* The alternate stack, if requested, set and not in use. */
static uintptr_t place_for(const struct deferred_signal *s)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	if (!(s->flags & SA_ONSTACK) || !s->stack.ss_size || (s->stack.ss_flags & SS_DISABLE) ||
	    is_on(&s->stack, here))
		return 0;
	return place_below((uintptr_t)s->stack.ss_sp + s->stack.ss_size);
}

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

void deliver_signal(const struct deferred_signal *s)
{
	struct image image = { .return_to = (uintptr_t)preload_return_from_signal };
	uintptr_t base = place_for(s);
	stack_t stack = s->stack;
	const uint8_t *fpu;
	greg_t *go;

	if (!base)
		base = this_stack();
	if (stack.ss_flags & (int)SS_AUTODISARM)
		stack = (stack_t){ .ss_flags = SS_DISABLE };
	fpu = (uint8_t *)base + offsetof(struct image, fpu);
	fill_context(image.go, s->handler_mask, &stack, fpu);
	fill_context(image.back, s->mask, &s->stack, fpu);
	image.info = s->info;
	go = registers(image.go);
	go[REG_RIP] = (greg_t)(uintptr_t)s->handler;
	go[REG_RSP] = (greg_t)(base + offsetof(struct image, return_to));
	go[REG_RDI] = s->info.si_signo;
	go[REG_RSI] = (greg_t)(base + offsetof(struct image, info));
	go[REG_RDX] = (greg_t)(base + offsetof(struct image, back));
	save_fpu(&image);
	go_on(&image, base, registers(image.back));
}

void deliver_mask(uint64_t mask)
{
	struct image image = { 0 };
	/* The kernel ignores a stack that it cannot use: the old one stays. */
	const stack_t none = { .ss_flags = -1 };
	uintptr_t base = this_stack();

	fill_context(image.go, mask, &none, (uint8_t *)base + offsetof(struct image, fpu));
	save_fpu(&image);
	go_on(&image, base, registers(image.go));
}
