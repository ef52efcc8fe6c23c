/* SPDX-License-Identifier: MIT */
/*
 * base/guarded.h - accesses to memory that may not be there.
 *
 * Guest memory and the arguments of a call belong to the client, which may
 * unmap, protect or truncate them at any moment.  Each access below is one
 * instruction with an entry in the fixup table: when it faults, the signal
 * handler of guarded.c resumes at the entry's label and the call returns
 * false.  On the path without a fault they cost what a plain access costs.
 *
 * Being assembler, they are invisible to the sanitizers, which is what guest
 * memory needs: the guest's own data races are not ours.
 *
 * An access of 2, 4 or 8 bytes is a single one, as atomic as the host makes it.
 */
#ifndef BASE_GUARDED_H
#define BASE_GUARDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Takes over SIGSEGV and SIGBUS, once; faults that are not ours go on to the
 * program's own handler.  Any thread.  0 or -errno. */
int guarded_install(void) MUST_CHECK;

/* Adds the entries [@start, @end) of another program or library that makes such accesses,
 * permanently.  Any thread.  0, or -ENOMEM: no memory, or too many such tables. */
int guarded_add_table(const void *start, const void *end) MUST_CHECK;

/* Where the window (sync/window.h) begins that @pc is in; 0 if in none.  In any signal
 * handler. */
uintptr_t guarded_window_of(uintptr_t pc);
/* @context is a handler's.  Restarts the window that it interrupted, if any.  Every handler that
 * may run on a thread in guest mode calls this: the handler that makes windows stale may
 * interrupt it, and would not see the window. */
void guarded_leave_window(void *context);

struct sigaction;
/* What sigaction(2) means to the program for a signal that we have taken over:
 * reads and replaces the action to which foreign faults are passed on.
 * False if @sig is not one of ours (yet): ask the system then. */
bool guarded_sigaction(int sig, const struct sigaction *new_action, struct sigaction *old_action);

/* In a forked child, where a thread that no longer exists may hold the lock of the above. */
void guarded_after_fork(void);

/* Installs the two handlers again if they were replaced behind our back, and logs that.  Any
 * thread. */
void guarded_take_back(void);

/*
 * A SIGSEGV or SIGBUS that was sent waits while the thread is in a call.  Two things say that it
 * is, and neither is left behind when a handler jumps out of the end of the call: the number of
 * holds, which is 0 before any handler runs, and the mask that a thread has which holds by its
 * mask (all but few: base/guarded.c).
 */
extern __thread unsigned int guarded_holds __attribute__((tls_model("initial-exec")));
extern __thread bool guarded_holds_by_mask __attribute__((tls_model("initial-exec")));
/* True if one waits.  The second function sends it again, when the call has ended. */
bool guarded_has_kept(void);
void guarded_send_kept(void);

/* For whoever remembers the thread's signal mask: while a handler of the program for
 * one of the two runs, it is another. */
struct guarded_mask {
	bool is_known;
	uint64_t mask;
};
extern __thread struct guarded_mask guarded_mask __attribute__((tls_model("initial-exec")));

/* The label is resolved by asm goto; "1:" is the instruction that may fault. */
#define GUARDED_FIXUP(label)                       \
	".pushsection umbra_fixup, \"a\"\n"        \
	".balign 4\n"                              \
	".long 1b - .\n"                           \
	".long %l[" #label "] - .\n"               \
	".popsection\n"

/* A window, from label 4 up to label 3: an entry of the same table, known by the number
 * that is added. */
#define GUARDED_WINDOW                       \
	".pushsection umbra_fixup, \"a\"\n" \
	".balign 4\n"                       \
	".long 4b - .\n"                    \
	".long 3b - . + 0x40000000\n"       \
	".popsection\n"
#define GUARDED_WINDOW_MARK 0x40000000

/*
 * Two bugs of gcc before 12.4 in asm goto with outputs.  It is dropped if the outputs are unused,
 * unless it is volatile (PR 98619).  And the code that fetches the outputs is placed on both ways
 * out after instructions of the code that follows, whose variables it overwrites (PR 113921): so
 * each way out begins with an empty statement of its own.
 */
#define GUARDED_ASM(...)                        \
	do {                                    \
		asm volatile goto(__VA_ARGS__); \
		asm volatile("");               \
	} while (0)
#define GUARDED_LABEL(label) label : asm volatile("")

#define GUARDED_DEFINE_LOAD(bits, insn, reg)                                               \
	static ALWAYS_INLINE bool guarded_load##bits(const void *from, uint##bits##_t *to) \
	{                                                                                  \
		uint##bits##_t value;                                                      \
		GUARDED_ASM("1: " insn " %[mem], %" reg "[value]\n" GUARDED_FIXUP(fault)   \
			 : [value] "=r"(value)                                             \
			 : [mem] "m"(*(const uint##bits##_t *)from)                        \
			 : "memory"                                                        \
			 : fault);                                                         \
		*to = value;                                                               \
		return true;                                                               \
GUARDED_LABEL(fault);                                                                      \
		return false;                                                              \
	}

#define GUARDED_DEFINE_STORE(bits, insn, reg)                                        \
	static ALWAYS_INLINE bool guarded_store##bits(void *to, uint##bits##_t value) \
	{                                                                            \
		GUARDED_ASM("1: " insn " %" reg "[value], %[mem]\n" GUARDED_FIXUP(fault) \
			 :                                                           \
			 : [value] "r"(value), [mem] "m"(*(uint##bits##_t *)to)      \
			 : "memory"                                                  \
			 : fault);                                                   \
		return true;                                                         \
GUARDED_LABEL(fault);                                                                \
		return false;                                                        \
	}

/* *old is set to the previous contents; the exchange took place iff they equal its former value.
 * (The flag itself cannot leave an asm goto in every compiler.) */
#define GUARDED_DEFINE_CMPXCHG(bits, insn, reg)                                              \
	static ALWAYS_INLINE bool guarded_cmpxchg##bits(void *at, uint##bits##_t *old,       \
							uint##bits##_t value)                \
	{                                                                                    \
		uint##bits##_t seen = *old;                                                  \
		GUARDED_ASM("1: lock " insn " %" reg "[value], %[mem]\n" GUARDED_FIXUP(fault) \
			 : [seen] "+a"(seen)                                                 \
			 : [value] "r"(value), [mem] "m"(*(uint##bits##_t *)at)              \
			 : "memory", "cc"                                                    \
			 : fault);                                                           \
		*old = seen;                                                                 \
		return true;                                                                 \
GUARDED_LABEL(fault);                                                                        \
		return false;                                                                \
	}

#define GUARDED_DEFINE_XCHG(name, bits, insn, reg)                                              \
	static ALWAYS_INLINE bool guarded_##name##bits(void *at, uint##bits##_t *value)         \
	{                                                                                       \
		uint##bits##_t v = *value;                                                      \
		GUARDED_ASM("1: " insn " %" reg "[v], %[mem]\n" GUARDED_FIXUP(fault)            \
			 : [v] "+r"(v)                                                          \
			 : [mem] "m"(*(uint##bits##_t *)at)                                     \
			 : "memory", "cc"                                                       \
			 : fault);                                                              \
		*value = v;                                                                     \
		return true;                                                                    \
GUARDED_LABEL(fault);                                                                           \
		return false;                                                                   \
	}

GUARDED_DEFINE_LOAD(8, "movb", "b")
GUARDED_DEFINE_LOAD(16, "movw", "w")
GUARDED_DEFINE_LOAD(32, "movl", "k")
GUARDED_DEFINE_LOAD(64, "movq", "q")
GUARDED_DEFINE_STORE(8, "movb", "b")
GUARDED_DEFINE_STORE(16, "movw", "w")
GUARDED_DEFINE_STORE(32, "movl", "k")
GUARDED_DEFINE_STORE(64, "movq", "q")
GUARDED_DEFINE_CMPXCHG(8, "cmpxchgb", "b")
GUARDED_DEFINE_CMPXCHG(16, "cmpxchgw", "w")
GUARDED_DEFINE_CMPXCHG(32, "cmpxchgl", "k")
GUARDED_DEFINE_CMPXCHG(64, "cmpxchgq", "q")
/* *value is set to the previous contents; xadd stores the sum, xchg the value. */
GUARDED_DEFINE_XCHG(xchg, 8, "xchgb", "b")
GUARDED_DEFINE_XCHG(xchg, 16, "xchgw", "w")
GUARDED_DEFINE_XCHG(xchg, 32, "xchgl", "k")
GUARDED_DEFINE_XCHG(xchg, 64, "xchgq", "q")
GUARDED_DEFINE_XCHG(xadd, 8, "lock xaddb", "b")
GUARDED_DEFINE_XCHG(xadd, 16, "lock xaddw", "w")
GUARDED_DEFINE_XCHG(xadd, 32, "lock xaddl", "k")
GUARDED_DEFINE_XCHG(xadd, 64, "lock xaddq", "q")

/* A write access that changes nothing, whatever others store meanwhile. */
static ALWAYS_INLINE bool guarded_touch_write(void *at)
{
	GUARDED_ASM("1: lock orb $0, %[mem]\n" GUARDED_FIXUP(fault)
		 :
		 : [mem] "m"(*(uint8_t *)at)
		 : "memory", "cc"
		 : fault);
	return true;
GUARDED_LABEL(fault);
	return false;
}

static ALWAYS_INLINE bool guarded_touch_read(const void *at)
{
	uint8_t ignored;

	return guarded_load8(at, &ignored);
}

/* False if some byte could not be read or written; the bytes before it have been copied. */
static inline bool guarded_copy(void *to, const void *from, size_t bytes)
{
	GUARDED_ASM("1: rep movsb\n" GUARDED_FIXUP(fault)
		 : "+D"(to), "+S"(from), "+c"(bytes)
		 :
		 : "memory"
		 : fault);
	return true;
GUARDED_LABEL(fault);
	return false;
}

#endif
