/* SPDX-License-Identifier: MIT */
/*
 * umbra/mmu_inline.h - the inline half of <umbra/mmu.h>, which includes it.
 *
 * Names that end in an underscore are internal and may change.
 *
 * An access to guest memory is a window: the comparison of the TLB's tag and the access in one
 * piece of assembler, from label 4 to label 3. It has two entries in a table (section
 * umbra_fixup).  If the access faults, the library resumes at its label, and the access is
 * repeated out of line.  A flush may also restart the window, which then misses
 * (UMBRA_MMU_INTERRUPT).  Each program and shared library that accesses guest memory inline has a
 * table of its own, which must be registered with the library.
 */
#ifndef UMBRA_MMU_INLINE_H
#define UMBRA_MMU_INLINE_H

#ifndef UMBRA_MMU_H
#error "include <umbra/mmu.h>"
#endif

struct umbra_tlb_entry_ {
	uint64_t tag[3];	/* by enum umbra_access */
	uint64_t addend;
};

#define UMBRA_TLB_ENTRIES_ 1024u

/* The head of a vCPU: what the hit path needs, accessed only by its thread except for the
 * requests.  The rest is internal to the library. */
struct umbra_vcpu {
	uint64_t context_;
	const struct umbra_tlb_entry_ *tlb_;
	uint32_t requests_;
};

/* --- fixups ------------------------------------------------------------------- */

/* The linker's names for the ends of the section, which may not exist. */
extern const char __start_umbra_fixup[] __attribute__((weak, visibility("hidden")));
extern const char __stop_umbra_fixup[] __attribute__((weak, visibility("hidden")));

UMBRA_API int umbra_fixups_(const void *start, const void *end);
UMBRA_API int umbra_mmu_create_(const struct umbra_mmu_config *config, size_t bytes,
				struct umbra_mmu **mmu);

/**
 * umbra_use_fixups - register the inline accesses of this program or shared library.
 *
 * umbra_mmu_create() does this for its caller.  Any other shared library that uses the inline
 * functions must call this once before, and must not be unloaded afterwards.
 *
 * Return: 0, or -ENOMEM: there are 64 already.
 */
static inline int umbra_use_fixups(void)
{
	return umbra_fixups_(__start_umbra_fixup, __stop_umbra_fixup);
}

static inline int umbra_mmu_create(const struct umbra_mmu_config *config, struct umbra_mmu **mmu)
{
	int err = umbra_use_fixups();

	return err ? err : umbra_mmu_create_(config, sizeof(*config), mmu);
}

/* The section joins the group of the function's own, if that is in one (C++). */
#define UMBRA_WINDOW_END_(label)             \
	"3:\n"                               \
	".pushsection umbra_fixup, \"a?\"\n" \
	".balign 4\n"                        \
	".long 1b - .\n"                     \
	".long %l[" #label "] - .\n"         \
	".long 4b - .\n"                     \
	".long 3b - . + 0x40000000\n"        \
	".popsection\n"

/* The empty statements keep gcc before 12.4 from mixing up the outputs of asm goto on
 * its two ways out (PR 98619, PR 113921). */
#define UMBRA_ASM_(...)                                     \
	do {                                                \
		__asm__ __volatile__ goto(__VA_ARGS__);     \
		__asm__ __volatile__("");                   \
	} while (0)
#define UMBRA_LABEL_(label) label : __asm__ __volatile__("")

/* --- the hit path ------------------------------------------------------------- */

/*
 * The expected tag is computed from the context and compared with the entry's; then gva + addend
 * is accessed.  The entry is that of the first byte's page, the expected tag that of the last
 * byte's, so an access that crosses a page boundary never hits.
 */
#define UMBRA_WINDOW_                    \
	"4: movq %[context], %[t]\n\t"   \
	"orq %[page], %[t]\n\t"          \
	"cmpq %[tag], %[t]\n\t"          \
	"jne %l[slow]\n\t"               \
	"movq %[addend], %[t]\n"
#define UMBRA_WINDOW_INPUTS_(access)                                                            \
	[context] "m"(vcpu->context_), [tag] "m"(umbra_entry_(vcpu, gva)->tag[access]),         \
	[addend] "m"(umbra_entry_(vcpu, gva)->addend), [page] "r"(page), [gva] "r"(gva)
#define UMBRA_PAGE_(bits) ((gva + (bits) / 8 - 1) & ~0xfffull)

static inline const struct umbra_tlb_entry_ *umbra_entry_(const struct umbra_vcpu *v,
							  uint64_t gva)
{
	return &v->tlb_[(gva >> 12) & (UMBRA_TLB_ENTRIES_ - 1)];
}

UMBRA_API enum umbra_result umbra_load_(struct umbra_vcpu *v, uint64_t gva, unsigned int bytes,
					enum umbra_access access, uint64_t *value);
UMBRA_API enum umbra_result umbra_store_(struct umbra_vcpu *v, uint64_t gva, unsigned int bytes,
					 uint64_t value);
enum umbra_atomic_ { UMBRA_CMPXCHG_, UMBRA_XCHG_, UMBRA_XADD_ };
UMBRA_API enum umbra_result umbra_atomic_(struct umbra_vcpu *v, uint64_t gva, unsigned int bytes,
					  enum umbra_atomic_ op, uint64_t *old, uint64_t value);
UMBRA_API bool umbra_vcpu_service_(struct umbra_vcpu *v);

static inline bool umbra_vcpu_poll(struct umbra_vcpu *vcpu)
{
	if (__builtin_expect(!__atomic_load_n(&vcpu->requests_, __ATOMIC_RELAXED), 1))
		return false;
	return umbra_vcpu_service_(vcpu);
}

#define UMBRA_DEFINE_LOAD_(name, kind, bits, insn, reg)                                         \
	static inline enum umbra_result umbra_##name##bits(struct umbra_vcpu *vcpu,             \
							   uint64_t gva, uint##bits##_t *value) \
	{                                                                                       \
		uint64_t page = UMBRA_PAGE_(bits), t, wide = 0;                                 \
		enum umbra_result result;                                                       \
		uint##bits##_t loaded;                                                          \
		UMBRA_ASM_(UMBRA_WINDOW_ "1: " insn " (%[gva],%[t]), %" reg "[loaded]\n"        \
			   UMBRA_WINDOW_END_(slow)                                              \
			   : [loaded] "=r"(loaded), [t] "=&r"(t)                                \
			   : UMBRA_WINDOW_INPUTS_(kind)                                         \
			   : "memory", "cc"                                                     \
			   : slow);                                                             \
		*value = loaded;                                                                \
		return UMBRA_OK;                                                                \
		UMBRA_LABEL_(slow);                                                             \
		result = umbra_load_(vcpu, gva, bits / 8, kind, &wide);                         \
		if (result == UMBRA_OK)                                                         \
			*value = (uint##bits##_t)wide;                                          \
		return result;                                                                  \
	}

#define UMBRA_DEFINE_STORE_(bits, insn, reg)                                                    \
	static inline enum umbra_result umbra_store##bits(struct umbra_vcpu *vcpu,              \
							  uint64_t gva, uint##bits##_t value)   \
	{                                                                                       \
		uint64_t page = UMBRA_PAGE_(bits), t;                                           \
		UMBRA_ASM_(UMBRA_WINDOW_ "1: " insn " %" reg "[value], (%[gva],%[t])\n"         \
			   UMBRA_WINDOW_END_(slow)                                              \
			   : [t] "=&r"(t)                                                       \
			   : UMBRA_WINDOW_INPUTS_(UMBRA_WRITE), [value] "r"(value)              \
			   : "memory", "cc"                                                     \
			   : slow);                                                             \
		return UMBRA_OK;                                                                \
		UMBRA_LABEL_(slow);                                                             \
		return umbra_store_(vcpu, gva, bits / 8, value);                                \
	}

#define UMBRA_DEFINE_CMPXCHG_(bits, insn, reg)                                                  \
	static inline enum umbra_result umbra_cmpxchg##bits(                                    \
		struct umbra_vcpu *vcpu, uint64_t gva, uint##bits##_t *old,                     \
		uint##bits##_t value)                                                           \
	{                                                                                       \
		uint64_t page = UMBRA_PAGE_(bits), t, wide;                                     \
		enum umbra_result result;                                                       \
		uint##bits##_t seen = *old;                                                     \
		UMBRA_ASM_(UMBRA_WINDOW_ "1: lock " insn " %" reg "[value], (%[gva],%[t])\n"    \
			   UMBRA_WINDOW_END_(slow)                                              \
			   : [seen] "+a"(seen), [t] "=&r"(t)                                    \
			   : UMBRA_WINDOW_INPUTS_(UMBRA_WRITE), [value] "r"(value)              \
			   : "memory", "cc"                                                     \
			   : slow);                                                             \
		*old = seen;                                                                    \
		return UMBRA_OK;                                                                \
		UMBRA_LABEL_(slow);                                                             \
		wide = *old;                                                                    \
		result = umbra_atomic_(vcpu, gva, bits / 8, UMBRA_CMPXCHG_, &wide, value);      \
		if (result == UMBRA_OK)                                                         \
			*old = (uint##bits##_t)wide;                                            \
		return result;                                                                  \
	}

#define UMBRA_DEFINE_RMW_(name, op, bits, insn, reg)                                            \
	static inline enum umbra_result umbra_##name##bits(struct umbra_vcpu *vcpu,             \
							   uint64_t gva, uint##bits##_t *value) \
	{                                                                                       \
		uint64_t page = UMBRA_PAGE_(bits), t, wide = 0;                                 \
		enum umbra_result result;                                                       \
		uint##bits##_t changed = *value;                                                \
		UMBRA_ASM_(UMBRA_WINDOW_ "1: lock " insn " %" reg "[changed], (%[gva],%[t])\n"  \
			   UMBRA_WINDOW_END_(slow)                                              \
			   : [changed] "+r"(changed), [t] "=&r"(t)                              \
			   : UMBRA_WINDOW_INPUTS_(UMBRA_WRITE)                                  \
			   : "memory", "cc"                                                     \
			   : slow);                                                             \
		*value = changed;                                                               \
		return UMBRA_OK;                                                                \
		UMBRA_LABEL_(slow);                                                             \
		result = umbra_atomic_(vcpu, gva, bits / 8, op, &wide, *value);                 \
		if (result == UMBRA_OK)                                                         \
			*value = (uint##bits##_t)wide;                                          \
		return result;                                                                  \
	}

#define UMBRA_DEFINE_ACCESSES_(bits, suffix, reg)                           \
	UMBRA_DEFINE_LOAD_(load, UMBRA_READ, bits, "mov" suffix, reg)       \
	UMBRA_DEFINE_LOAD_(fetch, UMBRA_EXEC, bits, "mov" suffix, reg)      \
	UMBRA_DEFINE_STORE_(bits, "mov" suffix, reg)                        \
	UMBRA_DEFINE_CMPXCHG_(bits, "cmpxchg" suffix, reg)                  \
	UMBRA_DEFINE_RMW_(xchg, UMBRA_XCHG_, bits, "xchg" suffix, reg)      \
	UMBRA_DEFINE_RMW_(xadd, UMBRA_XADD_, bits, "xadd" suffix, reg)

UMBRA_DEFINE_ACCESSES_(8, "b", "b")
UMBRA_DEFINE_ACCESSES_(16, "w", "w")
UMBRA_DEFINE_ACCESSES_(32, "l", "k")
UMBRA_DEFINE_ACCESSES_(64, "q", "q")

#define UMBRA_DEFINE_BY_SIZE_(name, kind)                                                       \
	static inline enum umbra_result umbra_##name(struct umbra_vcpu *vcpu, uint64_t gva,     \
						     unsigned int bytes, uint64_t *value)       \
	{                                                                                       \
		enum umbra_result result;                                                       \
		uint32_t v32 = 0;                                                               \
		uint16_t v16 = 0;                                                               \
		uint8_t v8 = 0;                                                                 \
		switch (bytes) {                                                                \
		case 1:                                                                         \
			result = umbra_##name##8(vcpu, gva, &v8);                               \
			if (result == UMBRA_OK)                                                 \
				*value = v8;                                                    \
			return result;                                                          \
		case 2:                                                                         \
			result = umbra_##name##16(vcpu, gva, &v16);                             \
			if (result == UMBRA_OK)                                                 \
				*value = v16;                                                   \
			return result;                                                          \
		case 4:                                                                         \
			result = umbra_##name##32(vcpu, gva, &v32);                             \
			if (result == UMBRA_OK)                                                 \
				*value = v32;                                                   \
			return result;                                                          \
		case 8:                                                                         \
			return umbra_##name##64(vcpu, gva, value);                              \
		default:                                                                        \
			return umbra_load_(vcpu, gva, bytes, kind, value);                      \
		}                                                                               \
	}

UMBRA_DEFINE_BY_SIZE_(load, UMBRA_READ)
UMBRA_DEFINE_BY_SIZE_(fetch, UMBRA_EXEC)

static inline enum umbra_result umbra_store(struct umbra_vcpu *vcpu, uint64_t gva,
					    unsigned int bytes, uint64_t value)
{
	switch (bytes) {
	case 1:
		return umbra_store8(vcpu, gva, (uint8_t)value);
	case 2:
		return umbra_store16(vcpu, gva, (uint16_t)value);
	case 4:
		return umbra_store32(vcpu, gva, (uint32_t)value);
	case 8:
		return umbra_store64(vcpu, gva, value);
	default:
		return umbra_store_(vcpu, gva, bytes, value);
	}
}

#endif
