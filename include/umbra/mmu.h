/* SPDX-License-Identifier: MIT */
/**
 * umbra/mmu.h - the MMU for any CPU.
 *
 * For who has a processor (an emulator, an interpreter, a translator) and needs guest
 * memory for it: x86 page tables of all formats, memory slots, dirty logging, MMIO,
 * a TLB for each vCPU, and the protocol that keeps those right while other threads
 * change what they stand for.  It knows no instruction set and runs nothing; it
 * answers accesses.
 *
 *	struct umbra_mmu_config config = { .mode = UMBRA_MMU_TDP, .physical_bits = 40 };
 *	struct umbra_slot slot = { .id = 0, .memory = memory, .bytes = bytes };
 *	umbra_mmu_create(&config, &mmu);
 *	umbra_mmu_set_slot(mmu, &slot);
 *	umbra_vcpu_create(mmu, &vcpu);
 *	umbra_vcpu_enter(vcpu);
 *	while (!umbra_vcpu_poll(vcpu))
 *		...umbra_load32(vcpu, address, &value)...
 *	umbra_vcpu_leave(vcpu);
 *
 * Words (those of KVM): gva, gpa: guest virtual and physical address.  Slot: a range
 * of gpas with memory of this process behind it.  MMIO: an access where no slot is.
 *
 * Threads.  A vCPU belongs to one thread at a time; calls that take a vCPU are made by
 * that thread, but for umbra_vcpu_kick().  It may be handed to another thread outside
 * guest mode, with a lock or the like between.  Calls that take the MMU may be made
 * from any thread that has no vCPU in guest mode, at any time, and from several at
 * once: they wait for vCPUs to leave guest mode, so a thread in it would wait for
 * itself.  No call may be made from a signal handler, but umbra_vcpu_kick(); signals
 * need not be blocked.  In the child of fork(2) nothing of the parent's may be used.
 *
 * Guest mode.  A vCPU uses its TLB only between umbra_vcpu_enter() and
 * umbra_vcpu_leave().  In between it must not block, and calls umbra_vcpu_poll() often,
 * at least every few microseconds: whoever takes memory away or harvests the dirty log
 * waits for it (but see UMBRA_MMU_INTERRUPT).  Every call that is not inline may leave
 * guest mode for a moment and come back: what umbra_translate() has returned before is
 * void then.
 *
 * Memory behind slots is the caller's: it may be mapped in any way, read and written
 * by the caller at any time (which the dirty log does not notice, and shadow paging only
 * by umbra_written()), and must be
 * withdrawn by umbra_mmu_invalidate_begin() before it is unmapped, moved, replaced or
 * protected.  If it vanishes all the same, guest accesses end in UMBRA_HOST_FAULT, and
 * not in a crash: for that the library takes over SIGSEGV and SIGBUS when the first MMU
 * is made.  Faults that are not its own go on to the handler that was installed before;
 * who installs one later uses umbra_sigaction() of <umbra/umbra.h>.
 *
 * Needs: x86-64, gcc 11 or clang 11 or later (the inline accesses are asm goto with
 * outputs), C11 or C++11.  Functions return 0 or more, or a negative errno, and leave
 * errno itself alone, unless they say otherwise.
 */
#ifndef UMBRA_MMU_H
#define UMBRA_MMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <umbra/modes.h>

#ifdef __cplusplus
extern "C" {
#endif

struct umbra_mmu;
struct umbra_vcpu;

/* --- the MMU ------------------------------------------------------------------ */

/** For umbra_mmu_config.flags. */
enum {
	/** Getting the dirty log only reads it; clearing it protects.  As
	 * KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE. */
	UMBRA_MMU_MANUAL_PROTECT = 1 << 0,
	/** A log that begins says that all pages are dirty.  As
	 * KVM_DIRTY_LOG_INITIALLY_SET; needs UMBRA_MMU_MANUAL_PROTECT. */
	UMBRA_MMU_INITIALLY_SET = 1 << 1,
	/** The guest's processor has pages of 1 GiB (CPUID 80000001h EDX bit 26). */
	UMBRA_MMU_1G_PAGES = 1 << 2,
	/** Nobody waits for a thread in guest mode that does not run, being preempted or
	 * asleep in a page fault: after two microseconds it is interrupted by a signal
	 * of the library's (number 61).  For that umbra_vcpu_enter() blocks the thread's
	 * other signals and umbra_vcpu_leave() restores the mask: two system calls.
	 * Without effect where the system refuses the signal or membarrier(2). */
	UMBRA_MMU_INTERRUPT = 1 << 3,
};

/** What an MMU shall be; all zero is a good beginning. */
struct umbra_mmu_config {
	enum umbra_mmu_mode mode;
	enum umbra_flush_policy flush_policy;
	/** Of the guest's processor (CPUID 80000008h EAX bits 7-0), 32 to 52; 0: 40.
	 * Higher bits are reserved in page-table entries, and slots lie below. */
	unsigned int physical_bits;
	unsigned int flags;
	/** 0: dirty pages are logged in a bitmap of each slot.  Else in a ring of each
	 * vCPU, of so many entries: a power of two from 256 to 65536. */
	uint32_t dirty_ring_entries;
	/** If not NULL: @vcpu has stored to a page that its TLB held for execution.
	 * Called by its thread, in guest mode, after the store and before the call
	 * that made it returns; must not call back.  A store by another vCPU, by
	 * another gva, or by the caller's own hand is not told: code that was decoded
	 * has to be compared with what umbra_fetch64() reads now and then. */
	void (*code_written)(void *context, struct umbra_vcpu *vcpu, uint64_t gva, uint64_t gpa);
	void *context;
};

/**
 * umbra_mmu_create - make an MMU without slots or vCPUs.
 * @config: read only, not kept.
 * @mmu:    set if the call succeeds; to be destroyed by umbra_mmu_destroy().
 *
 * (An inline function, which also tells the library where the fixups of the caller's
 * own inline accesses are: see umbra_use_fixups().)
 *
 * Context: any thread.
 * Return:  0, or
 *          -EINVAL  a value of @config is out of its range
 *          -ENOMEM  no memory
 */
static inline int umbra_mmu_create(const struct umbra_mmu_config *config, struct umbra_mmu **mmu);

/**
 * umbra_mmu_destroy - end an MMU.  The memory behind its slots is left alone.
 *
 * Context: no other thread is in a call on it.
 * Return:  0, or -EBUSY: it still has vCPUs, and nothing has happened.
 */
UMBRA_API int umbra_mmu_destroy(struct umbra_mmu *mmu);

/** For umbra_slot.flags: those of struct kvm_userspace_memory_region. */
enum {
	UMBRA_SLOT_LOG_DIRTY = 1 << 0,
	UMBRA_SLOT_READONLY = 1 << 1,	/**< stores to it are UMBRA_MMIO */
};

/** A memory slot.  Addresses and size are multiples of 4096. */
struct umbra_slot {
	uint32_t id;	/**< 0 to 32763 */
	uint32_t flags;
	uint64_t gpa;
	uint64_t bytes;	/**< 0 deletes the slot */
	void *memory;	/**< of this process; need not be mapped yet */
};

/**
 * umbra_mmu_set_slot - create, move, re-flag or delete one memory slot.
 * @slot: read only, not kept.  What differs from the slot of the same id is changed:
 *        gpa and UMBRA_SLOT_LOG_DIRTY can be; size, memory and UMBRA_SLOT_READONLY
 *        cannot, delete it first.
 *
 * When the call returns, no vCPU uses what the slot was before, and what was
 * remembered of MMIO is forgotten.  Memory and MMIO are never taken for each other:
 * an access that overlaps the call in time is answered by the slots before or after,
 * one that begins later by those after.
 *
 * Context: invalidations may be open; slots made over their ranges are used when they
 *          have ended.
 * Return:  0, or
 *          -EINVAL  misaligned, wrapping, or beyond the physical addresses; unknown
 *                   flag or id; deletion of what is not there; change of what cannot be
 *          -EEXIST  the range overlaps another slot's
 *          -ENOMEM  the slots are as they were
 * Source:  api.rst, KVM_SET_USER_MEMORY_REGION.
 */
UMBRA_API int umbra_mmu_set_slot(struct umbra_mmu *mmu, const struct umbra_slot *slot);

/* --- the dirty log ------------------------------------------------------------ */

/**
 * umbra_mmu_get_dirty_log - which pages of a slot guests have written.
 * @bitmap: bit n of word n / 64: page n.  For all the slot's pages, rounded up to 64.
 *
 * Takes the log and protects the pages that it names: a write after the call returns is
 * in the next log.  A page that is copied after the call has the write or will be
 * named again.  With UMBRA_MMU_MANUAL_PROTECT it only reads the log.
 *
 * Context: as umbra_mmu_set_slot().
 * Return:  0, or
 *          -EINVAL  bad id
 *          -ENOENT  no such slot, or it is not logged
 *          -ENXIO   the MMU logs to rings
 *          -EFAULT  @bitmap cannot be written; the pages will be named again
 * Source:  api.rst, KVM_GET_DIRTY_LOG.
 */
UMBRA_API int umbra_mmu_get_dirty_log(struct umbra_mmu *mmu, uint32_t id, uint64_t *bitmap);

/**
 * umbra_mmu_clear_dirty_log - take pages out of the log, and protect them.
 * @first_page, @n_pages: multiples of 64, or up to the slot's end.
 * @bitmap: a set bit n clears page @first_page + n.
 *
 * To be called before the pages are copied.
 *
 * Return:  as umbra_mmu_get_dirty_log(), and -EINVAL for a bad range
 * Source:  api.rst, KVM_CLEAR_DIRTY_LOG.
 */
UMBRA_API int umbra_mmu_clear_dirty_log(struct umbra_mmu *mmu, uint32_t id, uint64_t first_page,
					uint64_t n_pages, const uint64_t *bitmap);

/** A page that a vCPU has written. */
struct umbra_dirty_page {
	uint32_t slot;
	uint64_t page;	/**< of the slot */
};

/**
 * umbra_vcpu_take_dirty - take pages out of a vCPU's dirty ring.
 * @pages: room for @n.
 *
 * Pages may be written again unseen until umbra_mmu_reset_dirty_rings(); copy them
 * after that.
 *
 * Context: any thread, also while the vCPU runs, but one at a time for each vCPU.
 * Return:  how many were taken; 0 also without rings.
 * Source:  api.rst, KVM_CAP_DIRTY_LOG_RING.
 */
UMBRA_API uint32_t umbra_vcpu_take_dirty(struct umbra_vcpu *vcpu, struct umbra_dirty_page *pages,
					 uint32_t n);

/**
 * umbra_mmu_reset_dirty_rings - make room for what has been taken, and protect the pages.
 *
 * Context: as umbra_mmu_set_slot().
 * Return:  how many entries were given back, of all vCPUs.
 * Source:  api.rst, KVM_RESET_DIRTY_RINGS.
 */
UMBRA_API uint32_t umbra_mmu_reset_dirty_rings(struct umbra_mmu *mmu);

/* --- the caller's own memory --------------------------------------------------- */

/** An invalidation that is open; the caller's, on its stack. */
struct umbra_invalidation {
	void *private_[6];
};

/**
 * umbra_mmu_invalidate_begin, umbra_mmu_invalidate_end - around a change of mappings.
 * @memory, @bytes: of the caller's address space, rounded outwards to pages; any
 *                  length, whether slots lie there or not.
 *
 * When begin has returned no vCPU reads or writes the range, and none will before end:
 * guest accesses to it are UMBRA_RETRY.  Call begin, then munmap(2), mremap(2),
 * mmap(2) over it, mprotect(2) or madvise(2), then end.  Costs nothing to speak of
 * where no slot is.
 *
 * Context: several may be open at once, in any order, also of overlapping ranges.
 *          Each begin needs its end.  In between any call may be made, also changes
 *          of slots, and no lock is held: the thread may wait for others.  An access to
 *          the range waits for the end, a moment at a time, before it is UMBRA_RETRY.
 * Return:  of end: 0, or -EINVAL: @invalidation is all zero, or has ended before.
 * Source:  Linux, MMU notifiers.
 */
UMBRA_API void umbra_mmu_invalidate_begin(struct umbra_mmu *mmu, const void *memory, size_t bytes,
					  struct umbra_invalidation *invalidation);
UMBRA_API int umbra_mmu_invalidate_end(struct umbra_invalidation *invalidation);

/** What umbra_mmu_age() does besides looking. */
enum umbra_age {
	UMBRA_AGE_TEST = 0,	/**< nothing */
	UMBRA_AGE_CLEAR,	/**< forgets the uses; those that hit a TLB are not seen later */
	UMBRA_AGE_CLEAR_FLUSH,	/**< forgets them, and every use from now on is seen, also if
				 * UMBRA_AGE_CLEAR had forgotten the page before */
};

/**
 * umbra_mmu_age - has a guest used any page of this memory?
 * @memory, @bytes: as for umbra_mmu_invalidate_begin().
 *
 * Return:  true if it has, since that was last forgotten.
 * Source:  Linux, MMU notifiers (test_young, clear_young, clear_flush_young).
 */
UMBRA_API bool umbra_mmu_age(struct umbra_mmu *mmu, const void *memory, size_t bytes,
			     enum umbra_age how);

/* --- limits, flushes, counters ------------------------------------------------ */

/**
 * umbra_mmu_set_page_limit - how many shadow pages (of about 5 KiB) there may be.
 * @n_pages: at least 64.  Until it is called: one for 50 pages of the slots' memory.
 *
 * The oldest go at once if there are more.  Only shadow paging knows a limit; the
 * number is kept in the other mode.
 *
 * Return:  0, or -EINVAL.
 * Source:  api.rst, KVM_SET_NR_MMU_PAGES.
 */
UMBRA_API int umbra_mmu_set_page_limit(struct umbra_mmu *mmu, uint64_t n_pages);
UMBRA_API uint64_t umbra_mmu_page_limit(const struct umbra_mmu *mmu);

/**
 * umbra_mmu_flush - every TLB forgets what it holds.
 *
 * No MMU needs this call: the others flush by themselves.  For measurements, and for a
 * guest's paravirtual flush, where each vCPU also calls umbra_vcpu_flush().
 */
UMBRA_API void umbra_mmu_flush(struct umbra_mmu *mmu);

/** A counter: those of KVM have KVM's names. */
struct umbra_stat {
	const char *name;
	const char *meaning;
	bool is_gauge;		/**< the number that there are now; else it only grows */
	bool of_vcpu;		/**< kept for each vCPU */
};

/**
 * umbra_stats - what counters there are.
 * @n: set to their number.
 *
 * Return:  the list, constant and for ever.
 */
UMBRA_API const struct umbra_stat *umbra_stats(unsigned int *n);

/**
 * umbra_mmu_stat - read a counter by its name.
 * @value: of a counter of vCPUs, the sum over all there are and have been.
 *
 * Return:  0, or -ENOENT.
 */
UMBRA_API int umbra_mmu_stat(struct umbra_mmu *mmu, const char *name, uint64_t *value);

/* --- vCPUs -------------------------------------------------------------------- */

/**
 * umbra_vcpu_create - make a vCPU, its TLB empty and its paging registers zero.
 * @vcpu: set if the call succeeds; to be destroyed by umbra_vcpu_destroy().
 *
 * Return:  0, or
 *          -EINVAL  the MMU has 1024 already
 *          -ENOMEM  no memory
 */
UMBRA_API int umbra_vcpu_create(struct umbra_mmu *mmu, struct umbra_vcpu **vcpu);

/** umbra_vcpu_destroy - end a vCPU.  Outside guest mode; nobody kicks it any more. */
UMBRA_API void umbra_vcpu_destroy(struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_enter, umbra_vcpu_leave - begin and end using the TLB.
 *
 * Not nested.  To enter does what others have asked of the vCPU meanwhile.
 *
 * Source:  Linux, Documentation/virt/kvm/vcpu-requests.rst.
 */
UMBRA_API void umbra_vcpu_enter(struct umbra_vcpu *vcpu);
UMBRA_API void umbra_vcpu_leave(struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_poll - do what others want of the vCPU.
 *
 * In guest mode.  When nobody wants anything, one load and one branch.  May leave guest
 * mode and come back.
 *
 * Return:  true if the vCPU was kicked since a call last returned true.
 */
static inline bool umbra_vcpu_poll(struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_kick - let the next umbra_vcpu_poll() return true.
 *
 * To get a vCPU's attention for whatever the caller likes.  It does not wait, and wakes
 * nobody who sleeps.
 *
 * Context: any thread, also in a signal handler, or in guest mode.
 * Source:  vcpu-requests.rst, "VCPU kicks".
 */
UMBRA_API void umbra_vcpu_kick(struct umbra_vcpu *vcpu);

/**
 * The paging state, as the processor's registers have it.  SDM 3A, chapter 4.
 *
 * Nothing is checked (what MOV to a control register refuses is the processor's to
 * refuse), but no value does harm to the process.
 */
struct umbra_paging {
	uint64_t cr0;		/**< PG, WP */
	uint64_t cr3;
	uint64_t cr4;		/**< PSE, PAE, PGE, LA57, SMEP, SMAP, PKE */
	uint64_t efer;		/**< LMA, NXE */
	uint64_t pdptr[4];	/**< with PAE, outside long mode */
	uint32_t pkru;
	uint8_t cpl;		/**< 3: a user's accesses */
	bool ac;		/**< EFLAGS.AC, for SMAP */
};

/** umbra_vcpu_paging - what was set.  Until the next change; by the vCPU's thread. */
UMBRA_API const struct umbra_paging *umbra_vcpu_paging(const struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_set_paging - set all of it, and forget all translations.
 *
 * In guest mode or outside, as all of these:
 *
 * umbra_vcpu_set_cr0 … set_pkru - one register.  Each forgets all translations, global
 * ones included, also if the value is the same: a load of CR3 flushes.
 *
 * umbra_vcpu_set_privilege - CPL and EFLAGS.AC.  Forgets nothing and costs little.
 *
 * Source:  SDM 3A 4.1 (modes), 4.6 (access rights), 4.10.4 (what flushes).
 */
UMBRA_API void umbra_vcpu_set_paging(struct umbra_vcpu *vcpu, const struct umbra_paging *paging);
UMBRA_API void umbra_vcpu_set_cr0(struct umbra_vcpu *vcpu, uint64_t value);
UMBRA_API void umbra_vcpu_set_cr3(struct umbra_vcpu *vcpu, uint64_t value);
UMBRA_API void umbra_vcpu_set_cr4(struct umbra_vcpu *vcpu, uint64_t value);
UMBRA_API void umbra_vcpu_set_efer(struct umbra_vcpu *vcpu, uint64_t value);
UMBRA_API void umbra_vcpu_set_pkru(struct umbra_vcpu *vcpu, uint32_t value);
UMBRA_API void umbra_vcpu_set_privilege(struct umbra_vcpu *vcpu, unsigned int cpl, bool ac);

/**
 * umbra_vcpu_flush - forget all translations, as a load of CR3 with its own value or
 * INVPCID does.  In guest mode or outside.
 *
 * Source:  SDM 3A 4.10.4.
 */
UMBRA_API void umbra_vcpu_flush(struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_invlpg - forget the page at @gva: INVLPG.  In guest mode, and may leave it
 * for a moment.
 *
 * Source:  SDM 3A 4.10.4.
 */
UMBRA_API void umbra_vcpu_invlpg(struct umbra_vcpu *vcpu, uint64_t gva);

/* --- accesses ----------------------------------------------------------------- */

enum umbra_access {
	UMBRA_READ = 0,
	UMBRA_WRITE = 1,
	UMBRA_EXEC = 2,
};

/**
 * What an access comes to.  Other than by UMBRA_OK, nothing was stored and no value
 * given, unless said.
 */
enum umbra_result {
	UMBRA_OK = 0,
	/** A page fault for the guest: umbra_fault.gva for CR2, .error_code. */
	UMBRA_GUEST_FAULT,
	/** No memory at umbra_fault.gpa, or a store to a read-only slot. */
	UMBRA_MMIO,
	/** Raced with another thread.  Do it again, but look before at whatever else
	 * would let the vCPU stop: while memory is being exchanged this can last. */
	UMBRA_RETRY,
	/** Do it again when the dirty ring was reset: leave guest mode meanwhile. */
	UMBRA_RING_FULL,
	/** The caller has no memory at umbra_fault.gpa, though a slot says so. */
	UMBRA_HOST_FAULT,
	/** No memory for the MMU's own tables. */
	UMBRA_NO_MEMORY,
	/** The guest's page tables lie where no memory is. */
	UMBRA_BAD_TABLES,
	/** The gva is not canonical, or without long mode over 4 GiB: #GP or #SS. */
	UMBRA_BAD_ADDRESS,
	/** The access leaves its page, and meets MMIO, or is atomic: it cannot be done
	 * as one.  Do it in parts. */
	UMBRA_SPLIT,
};

/** Bits of umbra_fault.error_code.  SDM 3A 4.7. */
enum {
	UMBRA_PF_PRESENT = 1 << 0,
	UMBRA_PF_WRITE = 1 << 1,
	UMBRA_PF_USER = 1 << 2,
	UMBRA_PF_RSVD = 1 << 3,
	UMBRA_PF_FETCH = 1 << 4,
	UMBRA_PF_PK = 1 << 5,
};

/** Why the last access was not UMBRA_OK. */
struct umbra_fault {
	uint64_t gva;		/**< of the first byte that could not be accessed */
	uint64_t gpa;		/**< its gpa, for UMBRA_MMIO and UMBRA_HOST_FAULT */
	uint32_t error_code;	/**< for UMBRA_GUEST_FAULT */
	enum umbra_access access;
};

/** umbra_vcpu_fault - the details.  Valid until the next access; by the vCPU's thread. */
UMBRA_API const struct umbra_fault *umbra_vcpu_fault(const struct umbra_vcpu *vcpu);

/**
 * umbra_load8 … umbra_load64, umbra_fetch8 … umbra_fetch64, umbra_store8 …
 * umbra_store64 - one access of 1, 2, 4 or 8 bytes, at any @gva.
 *
 * In guest mode.  Inline when the TLB has the page: one compare, one add, the access.
 * All permissions were checked when the entry was made; a store finds one only if the
 * guest's entry is dirty and the page is in the dirty log.  Otherwise out of line: the
 * guest's tables are walked, their accessed and dirty bits set, the TLB filled.
 *
 * An access within its page is one access of the host's, so as atomic as there; one
 * that leaves it is two, with none done if either is not allowed.
 *
 * A store to a page of page tables that the MMU has made shadows of is followed by
 * what it does to them, inside the call.
 *
 * Return:  any enum umbra_result but, for pages that do not meet MMIO, UMBRA_SPLIT.
 * Source:  SDM 3A 4.6-4.8; api.rst, KVM_EXIT_MMIO and KVM_RUN.
 */
static inline enum umbra_result umbra_load8(struct umbra_vcpu *vcpu, uint64_t gva, uint8_t *value);
static inline enum umbra_result umbra_load16(struct umbra_vcpu *vcpu, uint64_t gva,
					     uint16_t *value);
static inline enum umbra_result umbra_load32(struct umbra_vcpu *vcpu, uint64_t gva,
					     uint32_t *value);
static inline enum umbra_result umbra_load64(struct umbra_vcpu *vcpu, uint64_t gva,
					     uint64_t *value);
static inline enum umbra_result umbra_fetch8(struct umbra_vcpu *vcpu, uint64_t gva,
					     uint8_t *value);
static inline enum umbra_result umbra_fetch16(struct umbra_vcpu *vcpu, uint64_t gva,
					      uint16_t *value);
static inline enum umbra_result umbra_fetch32(struct umbra_vcpu *vcpu, uint64_t gva,
					      uint32_t *value);
static inline enum umbra_result umbra_fetch64(struct umbra_vcpu *vcpu, uint64_t gva,
					      uint64_t *value);
static inline enum umbra_result umbra_store8(struct umbra_vcpu *vcpu, uint64_t gva, uint8_t value);
static inline enum umbra_result umbra_store16(struct umbra_vcpu *vcpu, uint64_t gva,
					      uint16_t value);
static inline enum umbra_result umbra_store32(struct umbra_vcpu *vcpu, uint64_t gva,
					      uint32_t value);
static inline enum umbra_result umbra_store64(struct umbra_vcpu *vcpu, uint64_t gva,
					      uint64_t value);

/**
 * umbra_cmpxchg8 … umbra_cmpxchg64 - atomic compare and exchange.
 * @old: becomes what was there.  @value was stored if that is what @old had been.
 *
 * umbra_xchg8 …, umbra_xadd8 … - atomic exchange; atomic addition.
 * @value: becomes what was there; the old @value was stored, or added.
 *
 * As the stores, and all vCPUs and the caller's own atomic accesses agree on the order.
 * Full barrier.  UMBRA_SPLIT if it leaves its page, unless both pages are neighbours in
 * the caller's memory.
 */
static inline enum umbra_result umbra_cmpxchg8(struct umbra_vcpu *vcpu, uint64_t gva,
					       uint8_t *old, uint8_t value);
static inline enum umbra_result umbra_cmpxchg16(struct umbra_vcpu *vcpu, uint64_t gva,
						uint16_t *old, uint16_t value);
static inline enum umbra_result umbra_cmpxchg32(struct umbra_vcpu *vcpu, uint64_t gva,
						uint32_t *old, uint32_t value);
static inline enum umbra_result umbra_cmpxchg64(struct umbra_vcpu *vcpu, uint64_t gva,
						uint64_t *old, uint64_t value);
static inline enum umbra_result umbra_xchg8(struct umbra_vcpu *vcpu, uint64_t gva, uint8_t *value);
static inline enum umbra_result umbra_xchg16(struct umbra_vcpu *vcpu, uint64_t gva,
					     uint16_t *value);
static inline enum umbra_result umbra_xchg32(struct umbra_vcpu *vcpu, uint64_t gva,
					     uint32_t *value);
static inline enum umbra_result umbra_xchg64(struct umbra_vcpu *vcpu, uint64_t gva,
					     uint64_t *value);
static inline enum umbra_result umbra_xadd8(struct umbra_vcpu *vcpu, uint64_t gva, uint8_t *value);
static inline enum umbra_result umbra_xadd16(struct umbra_vcpu *vcpu, uint64_t gva,
					     uint16_t *value);
static inline enum umbra_result umbra_xadd32(struct umbra_vcpu *vcpu, uint64_t gva,
					     uint32_t *value);
static inline enum umbra_result umbra_xadd64(struct umbra_vcpu *vcpu, uint64_t gva,
					     uint64_t *value);

/**
 * umbra_load, umbra_fetch, umbra_store - 1 to 8 bytes, as a number; the other bytes of
 * *@value become zero.
 *
 * As the calls above for 1, 2, 4 and 8, and inline if @bytes is known to the compiler.
 * Other sizes are accessed byte by byte.
 */
static inline enum umbra_result umbra_load(struct umbra_vcpu *vcpu, uint64_t gva,
					   unsigned int bytes, uint64_t *value);
static inline enum umbra_result umbra_fetch(struct umbra_vcpu *vcpu, uint64_t gva,
					    unsigned int bytes, uint64_t *value);
static inline enum umbra_result umbra_store(struct umbra_vcpu *vcpu, uint64_t gva,
					    unsigned int bytes, uint64_t value);

/**
 * umbra_read, umbra_write - any number of bytes, from or to memory of the caller's.
 * @done: how many were copied: all for UMBRA_OK, else those before umbra_fault.gva.
 *
 * In guest mode.  Page after page, not atomic.
 */
UMBRA_API enum umbra_result umbra_read(struct umbra_vcpu *vcpu, uint64_t gva, void *to,
				       size_t bytes, size_t *done);
UMBRA_API enum umbra_result umbra_write(struct umbra_vcpu *vcpu, uint64_t gva, const void *from,
					size_t bytes, size_t *done);

/**
 * umbra_read_physical - bytes at @gpa, past all translation.
 *
 * In guest mode.  Within one page, else UMBRA_SPLIT.  UMBRA_OK, UMBRA_BAD_TABLES where no
 * slot is, UMBRA_HOST_FAULT or UMBRA_RETRY.
 */
UMBRA_API enum umbra_result umbra_read_physical(struct umbra_vcpu *vcpu, uint64_t gpa, void *to,
						unsigned int bytes);

/**
 * umbra_vcpu_load_pdptrs - load the page-directory-pointer registers, as a load of CR3
 * does with PAE outside long mode, from where CR3 points.
 *
 * In guest mode.  Forgets all translations if it succeeds.
 *
 * Return:  as umbra_read_physical(), or UMBRA_GUEST_FAULT: a reserved bit is set, which
 *          is #GP(0), and the registers are as they were.
 * Source:  SDM 3A 4.4.1.
 */
UMBRA_API enum umbra_result umbra_vcpu_load_pdptrs(struct umbra_vcpu *vcpu);

/** Where a page is. */
struct umbra_translation {
	void *host;		/**< of the byte at gva, good up to the end of its page */
	uint64_t gpa;
	bool was_code;		/**< UMBRA_WRITE: as code_written() would tell */
	bool tracked;		/**< UMBRA_WRITE: call umbra_written() after the store */
};

/**
 * umbra_translate - for an access that no call above makes (vectors, whole pages).
 *
 * In guest mode.  The access is to be made by the caller at once: the pointer is void
 * when guest mode is next left, hence at the next call that is not inline.  It must not
 * leave the page.  The caller's own loads and stores there are not guarded: if the
 * memory behind the slot vanishes without a word, they fault.
 *
 * Return:  UMBRA_OK, or as the access would.
 */
UMBRA_API enum umbra_result umbra_translate(struct umbra_vcpu *vcpu, uint64_t gva,
					    enum umbra_access access,
					    struct umbra_translation *translation);

/**
 * umbra_written - @bytes at @gpa, within one page, have been stored.
 *
 * After a store by hand to what umbra_translate() has called tracked.  Also if the
 * caller itself has changed page tables of a guest that runs: shadow paging does not
 * notice that by itself, whatever the guest flushes.  In guest mode.
 *
 * With shadow paging the page is dirty, too.
 *
 * Return:  UMBRA_OK;
 *          UMBRA_RING_FULL: nothing has been told.  Call it again when the dirty ring was
 *          reset, before the guest goes on; does not happen for a page that was tracked,
 *          if it comes right after the store;
 *          UMBRA_SPLIT: no bytes, or they leave their page.
 */
UMBRA_API enum umbra_result umbra_written(struct umbra_vcpu *vcpu, uint64_t gpa,
						  unsigned int bytes);

#include <umbra/mmu_inline.h>

#ifdef __cplusplus
}
#endif

#endif
