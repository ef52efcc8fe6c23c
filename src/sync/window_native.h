/* SPDX-License-Identifier: MIT */
/*
 * sync/window_native.h - windows on the CPU itself.  For sync/window.h only.
 *
 * Each is one asm statement from label 4, where it begins and restarts, to label 3 after its
 * access; the fixup table has both.  Nothing that label 4 needs is written before the access, and
 * the registers of a string instruction always say what is left to do.
 */
#ifndef SYNC_WINDOW_NATIVE_H
#define SYNC_WINDOW_NATIVE_H

#include <emmintrin.h>

#define WINDOW_BEGIN "4: cmpq %[now], %[epoch]\n\tjne %l[fail]\n"
#define WINDOW_END "3:\n" GUARDED_WINDOW GUARDED_FIXUP(fail)

#define WINDOW_DEFINE(bits, suffix, reg)                                                      \
	static ALWAYS_INLINE bool window_load##bits(const struct epoch *e, uint64_t epoch,    \
						    const void *from, uint##bits##_t *to)     \
	{                                                                                     \
		uint##bits##_t value;                                                         \
		GUARDED_ASM(WINDOW_BEGIN "1: mov" suffix " %[mem], %" reg "[value]\n"         \
			    WINDOW_END                                                        \
			 : [value] "=r"(value)                                                \
			 : [now] "m"(e->number), [epoch] "r"(epoch),                          \
			   [mem] "m"(*(const uint##bits##_t *)from)                           \
			 : "memory", "cc"                                                     \
			 : fail);                                                             \
		*to = value;                                                                  \
		return true;                                                                  \
GUARDED_LABEL(fail);                                                                          \
		return false;                                                                 \
	}                                                                                     \
	static ALWAYS_INLINE bool window_store##bits(const struct epoch *e, uint64_t epoch,   \
						     void *to, uint##bits##_t value)          \
	{                                                                                     \
		GUARDED_ASM(WINDOW_BEGIN "1: mov" suffix " %" reg "[value], %[mem]\n"         \
			    WINDOW_END                                                        \
			 :                                                                    \
			 : [now] "m"(e->number), [epoch] "r"(epoch), [value] "r"(value),      \
			   [mem] "m"(*(uint##bits##_t *)to)                                   \
			 : "memory", "cc"                                                     \
			 : fail);                                                             \
		return true;                                                                  \
GUARDED_LABEL(fail);                                                                          \
		return false;                                                                 \
	}                                                                                     \
	/* As guarded_cmpxchg. */                                                             \
	static ALWAYS_INLINE bool window_cmpxchg##bits(const struct epoch *e, uint64_t epoch, \
						       void *at, uint##bits##_t *old,         \
						       uint##bits##_t value)                  \
	{                                                                                     \
		uint##bits##_t seen = *old;                                                   \
		GUARDED_ASM(WINDOW_BEGIN "1: lock cmpxchg" suffix " %" reg "[value], %[mem]\n" \
			    WINDOW_END                                                        \
			 : [seen] "+a"(seen)                                                  \
			 : [now] "m"(e->number), [epoch] "r"(epoch), [value] "r"(value),      \
			   [mem] "m"(*(uint##bits##_t *)at)                                   \
			 : "memory", "cc"                                                     \
			 : fail);                                                             \
		*old = seen;                                                                  \
		return true;                                                                  \
GUARDED_LABEL(fail);                                                                          \
		return false;                                                                 \
	}

/* *value is set to the previous contents; xadd stores the sum, xchg the value. */
#define WINDOW_DEFINE_XCHG(name, bits, insn, reg)                                             \
	static ALWAYS_INLINE bool window_##name##bits(const struct epoch *e, uint64_t epoch,  \
						      void *at, uint##bits##_t *value)        \
	{                                                                                     \
		uint##bits##_t v = *value;                                                    \
		GUARDED_ASM(WINDOW_BEGIN "1: lock " insn " %" reg "[v], %[mem]\n" WINDOW_END  \
			 : [v] "+r"(v)                                                        \
			 : [now] "m"(e->number), [epoch] "r"(epoch),                          \
			   [mem] "m"(*(uint##bits##_t *)at)                                   \
			 : "memory", "cc"                                                     \
			 : fail);                                                             \
		*value = v;                                                                   \
		return true;                                                                  \
GUARDED_LABEL(fail);                                                                          \
		return false;                                                                 \
	}

/*
 * Accesses that hit a TLB entry: the expected tag is computed from the context and compared with
 * the entry's; then gva + addend is accessed. load_at also returns the address.
 */
#define WINDOW_HIT                                                                            \
	"4: movq %[context], %[t]\n\t"                                                        \
	"orq %[page], %[t]\n\t"                                                               \
	"cmpq %[tag], %[t]\n\t"                                                               \
	"jne %l[fail]\n\t"                                                                    \
	"movq %[addend], %[t]\n"
#define WINDOW_HIT_INPUTS                                                                     \
	[context] "m"(*context), [tag] "m"(*tag), [addend] "m"(*addend), [page] "r"(page),    \
	[gva] "r"(gva)
#define WINDOW_HIT_ARGS                                                                       \
	const uint64_t *context, const uint64_t *tag, const uint64_t *addend, uint64_t page,  \
	uint64_t gva

#define WINDOW_DEFINE_HIT(bits, suffix, reg)                                                  \
	static ALWAYS_INLINE bool window_hit_load_at##bits(WINDOW_HIT_ARGS, void **host,      \
							   uint##bits##_t *to)                \
	{                                                                                     \
		uint##bits##_t value;                                                         \
		uint64_t t;                                                                   \
		GUARDED_ASM(WINDOW_HIT "1: mov" suffix " (%[gva],%[t]), %" reg "[value]\n"    \
			    WINDOW_END                                                        \
			 : [value] "=r"(value), [t] "=&r"(t)                                  \
			 : WINDOW_HIT_INPUTS                                                  \
			 : "memory", "cc"                                                     \
			 : fail);                                                             \
		*to = value;                                                                  \
		*host = (void *)(uintptr_t)(gva + t);                                         \
		return true;                                                                  \
GUARDED_LABEL(fail);                                                                          \
		return false;                                                                 \
	}                                                                                     \
	static ALWAYS_INLINE bool window_hit_store##bits(WINDOW_HIT_ARGS,                     \
							 uint##bits##_t value)                \
	{                                                                                     \
		uint64_t t;                                                                   \
		GUARDED_ASM(WINDOW_HIT "1: mov" suffix " %" reg "[value], (%[gva],%[t])\n"    \
			    WINDOW_END                                                        \
			 : [t] "=&r"(t)                                                       \
			 : WINDOW_HIT_INPUTS, [value] "r"(value)                              \
			 : "memory", "cc"                                                     \
			 : fail);                                                             \
		return true;                                                                  \
GUARDED_LABEL(fail);                                                                          \
		return false;                                                                 \
	}

#define WINDOW_DEFINE_ALL(bits, suffix, reg)                        \
	WINDOW_DEFINE(bits, suffix, reg)                            \
	WINDOW_DEFINE_XCHG(xchg, bits, "xchg" suffix, reg)          \
	WINDOW_DEFINE_XCHG(xadd, bits, "xadd" suffix, reg)          \
	WINDOW_DEFINE_HIT(bits, suffix, reg)

WINDOW_DEFINE_ALL(8, "b", "b")
WINDOW_DEFINE_ALL(16, "w", "w")
WINDOW_DEFINE_ALL(32, "l", "k")
WINDOW_DEFINE_ALL(64, "q", "q")

static ALWAYS_INLINE bool window_load128(const struct epoch *e, uint64_t epoch, const void *from,
					 __m128i *to)
{
	__m128i value;

	GUARDED_ASM(WINDOW_BEGIN "1: movups %[mem], %[value]\n" WINDOW_END
		 : [value] "=x"(value)
		 : [now] "m"(e->number), [epoch] "r"(epoch), [mem] "m"(*(const char(*)[16])from)
		 : "memory", "cc"
		 : fail);
	*to = value;
	return true;
GUARDED_LABEL(fail);
	return false;
}

static ALWAYS_INLINE bool window_store128(const struct epoch *e, uint64_t epoch, void *to,
					  __m128i value)
{
	GUARDED_ASM(WINDOW_BEGIN "1: movups %[value], %[mem]\n" WINDOW_END
		 :
		 : [now] "m"(e->number), [epoch] "r"(epoch), [value] "x"(value),
		   [mem] "m"(*(char(*)[16])to)
		 : "memory", "cc"
		 : fail);
	return true;
GUARDED_LABEL(fail);
	return false;
}

/* A write access that changes nothing. */
static ALWAYS_INLINE bool window_touch_write(const struct epoch *e, uint64_t epoch, void *at)
{
	GUARDED_ASM(WINDOW_BEGIN "1: lock orb $0, %[mem]\n" WINDOW_END
		 :
		 : [now] "m"(e->number), [epoch] "r"(epoch), [mem] "m"(*(uint8_t *)at)
		 : "memory", "cc"
		 : fail);
	return true;
GUARDED_LABEL(fail);
	return false;
}

/* As guarded_copy(): if it returns false, some bytes may have been copied. */
static inline bool window_copy(const struct epoch *e, uint64_t epoch, void *to, const void *from,
			       size_t bytes)
{
	GUARDED_ASM(WINDOW_BEGIN "1: rep movsb\n" WINDOW_END
		 : "+D"(to), "+S"(from), "+c"(bytes)
		 : [now] "m"(e->number), [epoch] "r"(epoch)
		 : "memory", "cc"
		 : fail);
	return true;
GUARDED_LABEL(fail);
	return false;
}

#endif
