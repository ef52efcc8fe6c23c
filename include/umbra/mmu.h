/* SPDX-License-Identifier: MIT */
/**
 * umbra/mmu.h - the MMU for any CPU.
 *
 * For programs that have a CPU (an emulator, an interpreter, a translator) and need
 * guest memory for it: x86 page tables of all formats, memory slots, dirty logging,
 * MMIO, a TLB for each vCPU, and the protocol that keeps all of these coherent while
 * other threads change memory and slots.  It knows no instruction set and runs no
 * code; it answers accesses.
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
 * Terms are KVM's.  gva, gpa: guest virtual and physical address.  Slot: a range of
 * gpas backed by memory of this process.  MMIO: an access outside all slots.
 *
 * Threads.  A vCPU belongs to one thread at a time; only that thread makes calls that
 * take the vCPU, except umbra_vcpu_kick().  Outside guest mode a vCPU may be handed to
 * another thread, synchronized by a lock or similar.  Calls that take the MMU may be
 * made at any time from any number of threads, but not from a thread that has a vCPU in
 * guest mode: they wait for vCPUs to leave guest mode, so it would wait for itself.
 * umbra_vcpu_kick() is the only call allowed in a signal handler; signals need not be
 * blocked.  The child of fork(2) must not use the parent's MMUs and vCPUs.
 *
 * Guest mode.  A vCPU uses its TLB only between umbra_vcpu_enter() and
 * umbra_vcpu_leave().  In between it must not block, and must call umbra_vcpu_poll()
 * often, at least every few microseconds: whoever revokes memory or harvests the dirty
 * log waits for it (but see UMBRA_MMU_INTERRUPT).  Any call that is not inline may leave
 * guest mode and enter it again: pointers returned by umbra_translate() are then stale.
 *
 * The memory behind slots belongs to the caller, who may map it in any way and may read
 * and write it at any time (the dirty log does not see such writes, and shadow paging
 * sees them only through umbra_written()).  Before the caller unmaps, moves, replaces or
 * protects it, umbra_mmu_invalidate_begin() must be called.  If memory vanishes without
 * that, guest accesses return UMBRA_HOST_FAULT and do not crash: for this the library
 * installs handlers of SIGSEGV and SIGBUS when the first MMU is created.  Faults that are
 * not its own go to the handler that was installed before; a program that installs one
 * later uses umbra_sigaction().
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
	/** Getting the dirty log only reads it; clearing it write-protects.  As
	 * KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE. */
	UMBRA_MMU_MANUAL_PROTECT = 1 << 0,
	/** A new log starts with all pages dirty.  As
	 * KVM_DIRTY_LOG_INITIALLY_SET; needs UMBRA_MMU_MANUAL_PROTECT. */
	UMBRA_MMU_INITIALLY_SET = 1 << 1,
	/** The guest's CPU has 1 GiB pages (CPUID 80000001h EDX bit 26). */
	UMBRA_MMU_1G_PAGES = 1 << 2,
	/** Do not wait for a thread in guest mode that is preempted, or asleep in a page
	 * fault: after two microseconds, interrupt it by a signal (number 61).  For this
	 * umbra_vcpu_enter() blocks the thread's other signals and umbra_vcpu_leave()
	 * restores the mask: two system calls.  No effect where the system refuses the
	 * signal or membarrier(2). */
	UMBRA_MMU_INTERRUPT = 1 << 3,
};

/** The properties of an MMU; all zero is a good default. */
struct umbra_mmu_config {
	enum umbra_mmu_mode mode;
	enum umbra_flush_policy flush_policy;
	/** Of the guest's CPU (CPUID 80000008h EAX bits 7-0), 32 to 52; 0: 40.
	 * Higher bits are reserved in page-table entries, and slots lie below. */
	unsigned int physical_bits;
	unsigned int flags;
	/** 0: log dirty pages in a bitmap of each slot.  Otherwise in a ring of each vCPU,
	 * of this many entries: a power of two from 256 to 65536. */
	uint32_t dirty_ring_entries;
	/** If not NULL: called when @vcpu has stored to a page that its TLB held for
	 * execution.  Its thread makes the call in guest mode, after the store and before
	 * the accessor returns; the callback must not call the library.  Stores by another
	 * vCPU, through another gva, or by the caller itself are not reported: compare
	 * decoded code with what umbra_fetch64() reads from time to time. */
	void (*code_written)(void *context, struct umbra_vcpu *vcpu, uint64_t gva, uint64_t gpa);
	void *context;
};

/**
 * umbra_mmu_create - create an MMU without slots or vCPUs.
 * @config: read only, not kept.
 * @mmu:    set if the call succeeds; destroy it with umbra_mmu_destroy().
 *
 * (An inline function that also registers the fixups of the caller's inline accesses:
 * see umbra_use_fixups().)
 *
 * Context: any thread.
 * Return:  0, or
 *          -EINVAL  a value of @config is out of its range
 *          -ENOMEM  no memory
 */
static inline int umbra_mmu_create(const struct umbra_mmu_config *config, struct umbra_mmu **mmu);

/**
 * umbra_mmu_destroy - destroy an MMU.  The memory behind its slots is left alone.
 *
 * Context: no other thread is in a call on it.
 * Return:  0, or -EBUSY: it still has vCPUs, and nothing was done.
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
 * @slot: read only, not kept.  Only gpa and UMBRA_SLOT_LOG_DIRTY of an existing slot can
 *        be changed; to change size, memory or UMBRA_SLOT_READONLY delete it first.
 *
 * When the call returns, no vCPU uses the old slot, and cached MMIO translations are
 * gone.  Memory and MMIO are never confused: an access concurrent with the call sees
 * the slots before or after it, an access that begins later sees those after it.
 *
 * Context: invalidations may be open; accesses to a new slot over their ranges wait until
 *          they have ended.
 * Return:  0, or
 *          -EINVAL  misaligned, wrapping, or beyond the physical addresses; unknown
 *                   flag or id; deletion of a slot that does not exist; a change that is not
 *                   possible
 *          -EEXIST  the range overlaps another slot's
 *          -ENOMEM  the slots are as they were
 * Source:  api.rst, KVM_SET_USER_MEMORY_REGION.
 */
UMBRA_API int umbra_mmu_set_slot(struct umbra_mmu *mmu, const struct umbra_slot *slot);

/* --- the dirty log ------------------------------------------------------------ */

/**
 * umbra_mmu_get_dirty_log - get the pages of a slot that guests have written.
 * @bitmap: bit n of word n / 64: page n.  For all the slot's pages, rounded up to 64.
 *
 * Takes the log and write-protects the pages in it: a write after the call returns is in
 * the next log.  A copy of a page made after the call contains every write that the next
 * log does not name.  With UMBRA_MMU_MANUAL_PROTECT the call only reads the log.
 *
 * Context: as umbra_mmu_set_slot().
 * Return:  0, or
 *          -EINVAL  bad id
 *          -ENOENT  no such slot, or it is not logged
 *          -ENXIO   the MMU logs to rings
 *          -EFAULT  @bitmap cannot be written; the pages stay in the log
 * Source:  api.rst, KVM_GET_DIRTY_LOG.
 */
UMBRA_API int umbra_mmu_get_dirty_log(struct umbra_mmu *mmu, uint32_t id, uint64_t *bitmap);

/**
 * umbra_mmu_clear_dirty_log - remove pages from the log and write-protect them.
 * @first_page, @n_pages: multiples of 64, or up to the slot's end.
 * @bitmap: a set bit n clears page @first_page + n.
 *
 * Call it before copying the pages.
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
 * umbra_vcpu_take_dirty - take pages from a vCPU's dirty ring.
 * @pages: room for @n.
 *
 * Until umbra_mmu_reset_dirty_rings() these pages can be written again without a new
 * entry; copy them after it.
 *
 * Context: any thread, also while the vCPU runs, but one at a time for each vCPU.
 * Return:  the number taken; 0 if there are no rings.
 * Source:  api.rst, KVM_CAP_DIRTY_LOG_RING.
 */
UMBRA_API uint32_t umbra_vcpu_take_dirty(struct umbra_vcpu *vcpu, struct umbra_dirty_page *pages,
					 uint32_t n);

/**
 * umbra_mmu_reset_dirty_rings - free the entries taken, and write-protect their pages.
 *
 * Context: as umbra_mmu_set_slot().
 * Return:  the number of entries freed, of all vCPUs.
 * Source:  api.rst, KVM_RESET_DIRTY_RINGS.
 */
UMBRA_API uint32_t umbra_mmu_reset_dirty_rings(struct umbra_mmu *mmu);

/* --- the caller's own memory --------------------------------------------------- */

/** An open invalidation; the caller provides it, on its stack. */
struct umbra_invalidation {
	void *private_[6];
};

/**
 * umbra_mmu_invalidate_begin, umbra_mmu_invalidate_end - around a change of mappings.
 * @memory, @bytes: of the caller's address space, rounded outwards to pages; any
 *                  length, whether slots lie there or not.
 *
 * Once begin has returned no vCPU reads or writes the range, and none will before end:
 * guest accesses to it return UMBRA_RETRY.  Call begin, then munmap(2), mremap(2),
 * mmap(2) over it, mprotect(2) or madvise(2), then end.  Costs next to nothing for a
 * range without slots.
 *
 * Context: several may be open at once, in any order, even of overlapping ranges.
 *          Each begin needs its end.  In between any call may be made, including changes
 *          of slots, and no lock is held: the thread may wait for others.  An access to
 *          the range waits for the end for a moment before it returns UMBRA_RETRY.
 * Return:  of end: 0, or -EINVAL: @invalidation is all zero, or has already ended.
 * Source:  Linux, MMU notifiers.
 */
UMBRA_API void umbra_mmu_invalidate_begin(struct umbra_mmu *mmu, const void *memory, size_t bytes,
					  struct umbra_invalidation *invalidation);
UMBRA_API int umbra_mmu_invalidate_end(struct umbra_invalidation *invalidation);

/** What umbra_mmu_age() does to the accessed bits besides testing them. */
enum umbra_age {
	UMBRA_AGE_TEST = 0,	/**< nothing */
	UMBRA_AGE_CLEAR,	/**< clears the bits; later uses that hit a TLB are missed */
	UMBRA_AGE_CLEAR_FLUSH,	/**< clears them, and sees every use from now on, even if
				 * UMBRA_AGE_CLEAR was used on the page before */
};

/**
 * umbra_mmu_age - test whether a guest has used any page of this memory.
 * @memory, @bytes: as for umbra_mmu_invalidate_begin().
 *
 * Return:  true if it has, since the accessed bits were last cleared.
 * Source:  Linux, MMU notifiers (test_young, clear_young, clear_flush_young).
 */
UMBRA_API bool umbra_mmu_age(struct umbra_mmu *mmu, const void *memory, size_t bytes,
			     enum umbra_age how);

/* --- limits, flushes, counters ------------------------------------------------ */

/**
 * umbra_mmu_set_page_limit - limit the number of shadow pages (of about 5 KiB).
 * @n_pages: at least 64.  By default one for each 50 pages of the slots' memory.
 *
 * If there are more, the oldest are zapped at once.  Only shadow paging has a limit; the
 * other mode stores the number and ignores it.
 *
 * Return:  0, or -EINVAL.
 * Source:  api.rst, KVM_SET_NR_MMU_PAGES.
 */
UMBRA_API int umbra_mmu_set_page_limit(struct umbra_mmu *mmu, uint64_t n_pages);
UMBRA_API uint64_t umbra_mmu_page_limit(const struct umbra_mmu *mmu);

/**
 * umbra_mmu_flush - empty all TLBs.
 *
 * Never needed for coherence: the other calls flush by themselves.  For measurements, and
 * for a guest's paravirtual flush, where each vCPU also calls umbra_vcpu_flush().
 */
UMBRA_API void umbra_mmu_flush(struct umbra_mmu *mmu);

/** A counter.  Those that KVM has too carry KVM's names. */
struct umbra_stat {
	const char *name;
	const char *meaning;
	bool is_gauge;		/**< a current number; the others only grow */
	bool of_vcpu;		/**< kept for each vCPU */
};

/**
 * umbra_stats - list the counters.
 * @n: set to their number.
 *
 * Return:  the list, a constant array.
 */
UMBRA_API const struct umbra_stat *umbra_stats(unsigned int *n);

/**
 * umbra_mmu_stat - read a counter by its name.
 * @value: for a vCPU counter, the sum over all vCPUs, past ones included.
 *
 * Return:  0, or -ENOENT.
 */
UMBRA_API int umbra_mmu_stat(struct umbra_mmu *mmu, const char *name, uint64_t *value);

/* --- vCPUs -------------------------------------------------------------------- */

/**
 * umbra_vcpu_create - create a vCPU with an empty TLB and zero paging registers.
 * @vcpu: set if the call succeeds; destroy it with umbra_vcpu_destroy().
 *
 * Return:  0, or
 *          -EINVAL  the MMU has 1024 already
 *          -ENOMEM  no memory
 */
UMBRA_API int umbra_vcpu_create(struct umbra_mmu *mmu, struct umbra_vcpu **vcpu);

/** umbra_vcpu_destroy - destroy a vCPU, outside guest mode.  No thread may kick it any more. */
UMBRA_API void umbra_vcpu_destroy(struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_enter, umbra_vcpu_leave - begin and end using the TLB.
 *
 * Not nested.  Entering services any requests posted in the meantime.
 *
 * Source:  Linux, Documentation/virt/kvm/vcpu-requests.rst.
 */
UMBRA_API void umbra_vcpu_enter(struct umbra_vcpu *vcpu);
UMBRA_API void umbra_vcpu_leave(struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_poll - service the vCPU's requests.
 *
 * In guest mode.  Without requests, one load and one branch.  May leave guest mode and
 * enter it again.
 *
 * Return:  true if the vCPU was kicked since a call last returned true.
 */
static inline bool umbra_vcpu_poll(struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_kick - make the next umbra_vcpu_poll() return true.
 *
 * Gets a vCPU's attention for the caller's own purposes.  Does not wait, and does not wake
 * a sleeping thread.
 *
 * Context: any thread, also in a signal handler, or in guest mode.
 * Source:  vcpu-requests.rst, "VCPU kicks".
 */
UMBRA_API void umbra_vcpu_kick(struct umbra_vcpu *vcpu);

/**
 * The paging state, as in the CPU's registers.  SDM 3A, chapter 4.
 *
 * Values are not checked (it is for the emulator to refuse what MOV to a control register
 * refuses), but no value harms the process.
 */
struct umbra_paging {
	uint64_t cr0;		/**< PG, WP */
	uint64_t cr3;
	uint64_t cr4;		/**< PSE, PAE, PGE, LA57, SMEP, SMAP, PKE */
	uint64_t efer;		/**< LMA, NXE */
	uint64_t pdptr[4];	/**< with PAE, outside long mode */
	uint32_t pkru;
	uint8_t cpl;		/**< 3: user-mode accesses */
	bool ac;		/**< EFLAGS.AC, for SMAP */
};

/** umbra_vcpu_paging - what was set.  Valid until the next change; by the vCPU's thread. */
UMBRA_API const struct umbra_paging *umbra_vcpu_paging(const struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_set_paging - set all of it, and flush all translations.
 *
 * In guest mode or outside, as all of these:
 *
 * umbra_vcpu_set_cr0 … set_pkru - one register.  Each flushes all translations,
 * global ones included, even if the value is the same: a load of CR3 flushes.
 *
 * umbra_vcpu_set_privilege - CPL and EFLAGS.AC.  Flushes nothing and costs little.
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
 * umbra_vcpu_flush - flush all translations, as reloading CR3 or INVPCID does.  In guest
 * mode or outside.
 *
 * Source:  SDM 3A 4.10.4.
 */
UMBRA_API void umbra_vcpu_flush(struct umbra_vcpu *vcpu);

/**
 * umbra_vcpu_invlpg - flush the page at @gva: INVLPG.  In guest mode; may leave it and
 * enter it again.
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
 * The result of an access.  Unless noted otherwise, anything but UMBRA_OK means that
 * nothing was stored and no value returned.
 */
enum umbra_result {
	UMBRA_OK = 0,
	/** A page fault for the guest: umbra_fault.gva for CR2, .error_code. */
	UMBRA_GUEST_FAULT,
	/** No memory at umbra_fault.gpa, or a store to a read-only slot. */
	UMBRA_MMIO,
	/** Raced with another thread.  Repeat it, but first check whatever else should stop
	 * the vCPU: while an invalidation is open this can go on. */
	UMBRA_RETRY,
	/** Leave guest mode, and repeat it once the dirty ring has been reset. */
	UMBRA_RING_FULL,
	/** A slot covers umbra_fault.gpa, but the caller has no memory mapped there. */
	UMBRA_HOST_FAULT,
	/** No memory for the MMU's own tables. */
	UMBRA_NO_MEMORY,
	/** The guest's page tables lie outside all slots. */
	UMBRA_BAD_TABLES,
	/** The gva is not canonical, or outside long mode above 4 GiB: #GP or #SS. */
	UMBRA_BAD_ADDRESS,
	/** The access crosses a page boundary and is atomic or touches MMIO, so it cannot be
	 * made as one.  Split it. */
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
 * All permissions were checked when the entry was made; a store finds an entry only if
 * the guest's gpte is dirty and the page is in the dirty log.  Otherwise the call walks
 * the guest's tables, sets their accessed and dirty bits, and fills the TLB.
 *
 * An access within a page is one access on the host, and as atomic.  One that crosses a
 * page boundary is two, and neither is made unless both are allowed.
 *
 * A store to a guest page table that has shadow pages also zaps what was derived from it,
 * before the call returns.
 *
 * Return:  any enum umbra_result; UMBRA_SPLIT only if MMIO is touched.
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
 * @old: set to the previous contents.  @value was stored if they equal the old *@old.
 *
 * umbra_xchg8 …, umbra_xadd8 … - atomic exchange; atomic addition.
 * @value: set to the previous contents; the old *@value was stored, or added.
 *
 * Like the stores, and atomic towards all vCPUs and the caller's own atomic accesses.
 * Full barrier.  UMBRA_SPLIT if it crosses a page boundary, unless the two pages are
 * adjacent in the caller's memory.
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
 * *@value are set to zero.
 *
 * For 1, 2, 4 and 8 bytes like the calls above, and inline if @bytes is a constant.
 * Other sizes are accessed byte by byte.
 */
static inline enum umbra_result umbra_load(struct umbra_vcpu *vcpu, uint64_t gva,
					   unsigned int bytes, uint64_t *value);
static inline enum umbra_result umbra_fetch(struct umbra_vcpu *vcpu, uint64_t gva,
					    unsigned int bytes, uint64_t *value);
static inline enum umbra_result umbra_store(struct umbra_vcpu *vcpu, uint64_t gva,
					    unsigned int bytes, uint64_t value);

/**
 * umbra_read, umbra_write - copy any number of bytes from or to the guest.
 * @done: the number copied: all for UMBRA_OK, otherwise those before umbra_fault.gva.
 *
 * In guest mode.  Page by page, not atomic.
 */
UMBRA_API enum umbra_result umbra_read(struct umbra_vcpu *vcpu, uint64_t gva, void *to,
				       size_t bytes, size_t *done);
UMBRA_API enum umbra_result umbra_write(struct umbra_vcpu *vcpu, uint64_t gva, const void *from,
					size_t bytes, size_t *done);

/**
 * umbra_read_physical - read bytes at @gpa, without translation.
 *
 * In guest mode.
 *
 * Return:  UMBRA_OK, UMBRA_SPLIT if they are not within one page, UMBRA_BAD_TABLES outside
 *          all slots, UMBRA_HOST_FAULT or UMBRA_RETRY.
 */
UMBRA_API enum umbra_result umbra_read_physical(struct umbra_vcpu *vcpu, uint64_t gpa, void *to,
						unsigned int bytes);

/**
 * umbra_vcpu_load_pdptrs - load the page-directory-pointer registers, as a load of CR3
 * does with PAE outside long mode, from where CR3 points.
 *
 * In guest mode.  Flushes all translations if it succeeds.
 *
 * Return:  as umbra_read_physical(), or UMBRA_GUEST_FAULT: a reserved bit is set, which
 *          is #GP(0), and the registers are unchanged.
 * Source:  SDM 3A 4.4.1.
 */
UMBRA_API enum umbra_result umbra_vcpu_load_pdptrs(struct umbra_vcpu *vcpu);

/** Where a page is. */
struct umbra_translation {
	void *host;		/**< of the byte at gva, valid up to the end of its page */
	uint64_t gpa;
	bool was_code;		/**< UMBRA_WRITE: code_written() would be called */
	bool tracked;		/**< UMBRA_WRITE: call umbra_written() after the store */
};

/**
 * umbra_translate - for accesses that none of the calls above makes (vectors, whole pages).
 *
 * In guest mode.  Make the access at once: the pointer is stale when guest mode is next
 * left, hence at the next call that is not inline.  It must not leave the page.  The
 * caller's own loads and stores are not guarded: if the memory behind the slot vanishes
 * without an invalidation, they fault.
 *
 * Return:  UMBRA_OK, or what the access would return.
 */
UMBRA_API enum umbra_result umbra_translate(struct umbra_vcpu *vcpu, uint64_t gva,
					    enum umbra_access access,
					    struct umbra_translation *translation);

/**
 * umbra_written - report that @bytes at @gpa, within one page, have been stored.
 *
 * Call it after the caller's own store to a page that umbra_translate() called tracked, and
 * after changing page tables of a running guest: shadow paging does not see such a change
 * otherwise, whatever the guest flushes.  In guest mode.
 *
 * With shadow paging this also marks the page dirty.
 *
 * Return:  UMBRA_OK;
 *          UMBRA_RING_FULL: nothing was done.  Call it again once the dirty ring has been
 *          reset, before the guest goes on; never for a tracked page, if called right after
 *          the store;
 *          UMBRA_SPLIT: no bytes, or not within one page.
 */
UMBRA_API enum umbra_result umbra_written(struct umbra_vcpu *vcpu, uint64_t gpa,
						  unsigned int bytes);

#include <umbra/mmu_inline.h>

#ifdef __cplusplus
}
#endif

#endif
