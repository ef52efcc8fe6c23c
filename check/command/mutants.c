/* SPDX-License-Identifier: MIT */
/*
 * check/command/mutants.c - the rules, and bugs of the past as KVM and others had them.
 *
 * The bugs are stated in our words, by commit or advisory; what is switched is ours.
 */
#include "check/command/mutants.h"

#include <string.h>

#include "base/compiler.h"
#include "check/engine/rules.h"

#define WITHOUT(name_, scenarios_) { .name = #name_, .off = #name_, .scenarios = scenarios_ }
#define SURVIVES(name_, why) { .name = #name_, .off = #name_, .survives = why }
#define BUG_SURVIVES(name_, from_, why) \
	{ .name = #name_, .from = from_, .on = #name_, .survives = why }
#define BUG(name_, from_, scenarios_) \
	{ .name = #name_, .from = from_, .on = #name_, .scenarios = scenarios_ }
#define LIKE(name_, from_, rules_, sentence_, scenarios_)                                   \
	{ .name = #name_, .from = from_, .off = rules_, .sentence = sentence_,              \
	  .scenarios = scenarios_ }

static struct mutation table[] = {
	WITHOUT(SEQ_BEFORE_PFN, "fault-notifier-page"),
	WITHOUT(RETRY_UNDER_LOCK, "fault-notifier-page"),
	WITHOUT(OPEN_BEFORE_ZAP, "fault-notifier-page fault-notifier-range"),
	WITHOUT(SEQ_INC_BEFORE_COUNT_DEC, "fault-notifier-page"),
	WITHOUT(WINDOW_UNION, "two-invalidations"),
	WITHOUT(WINDOW_UNITS, "fault-notifier-page"),
	WITHOUT(NOTIFIER_NEVER_TAKES_SLOTS_LOCK, "log-to-awaited-page"),
	WITHOUT(BEGIN_END_BALANCED, "slot-update-in-invalidation"),
	WITHOUT(OPEN_WITHOUT_SLOT, "slot-update-in-invalidation"),
	WITHOUT(FLUSH_BEFORE_FREE, "fault-notifier-page"),
	WITHOUT(NO_SPTE_IMPLIES_NO_TLB, "sync-notifier zap-in-two-steps"),
	WITHOUT(DEBT_READ_BEFORE_REQUEST, "two-flushers"),
	WITHOUT(DEBT_INC_UNDER_LOCK_BEFORE_UNLOCK, "sync-notifier fault-notifier-page"),
	SURVIVES(PFN_CHANGE_GOES_THROUGH_ZERO,
		 "an assertion: no path changes a frame in place, so there is nothing to find "
		 "(see REPLACE_OWES_NOTHING)"),
	SURVIVES(FOUR_STATES, "an assertion on every store, which all paths keep"),
	WITHOUT(WPROT_LOGGING_KEEPS_MMUW, "track-log"),
	WITHOUT(LOGGING_FLUSH_MAY_TRAIL, "log-harvest"),
	WITHOUT(FLUSH_BY_SOFTWARE_STATE, "log-harvest"),
	WITHOUT(SLOTS_LOCK_SPANS_FLUSH, "ring-two-reapers"),
	WITHOUT(ENABLE_FLUSHES_ALWAYS, "log-enable"),
	WITHOUT(WPROT_AFTER_PUBLISH, "log-enable"),
	WITHOUT(YIELD_FLUSHES, "zap-in-two-steps slot-delete-pieces young-pieces"),
	WITHOUT(SET_BIT_ORDER_VCPU, "log-two-callers fast-fault-harvest"),
	WITHOUT(HARVEST_ORDER, "log-harvest"),
	WITHOUT(CLEAR_ATOMIC, "log-two-vcpus"),
	WITHOUT(CMPXCHG_EMUL_DIRTIES, "walk-logged"),
	WITHOUT(NO_HUGE_WRITABLE_WHEN_LOGGING, "large-page-log"),
	SURVIVES(FAST_PF_ONLY_DIRECT,
		 "kept by structure: only the direct tables have a fast path to switch off"),
	SURVIVES(FAST_PF_REJECTS_MMIO,
		 "with the narrow generation no MMIO entry has the bit that the fast "
		 "path asks for"),
	WITHOUT(VOLATILE_RMW, "fault-notifier-page"),
	WITHOUT(RING_PUBLISH, "ring-reset"),
	WITHOUT(RING_RESET_FLUSHES, "ring-reset"),
	WITHOUT(RING_SOFT_LIMIT, "ring-full"),
	SURVIVES(RING_DISTRUST,
		 "the number only looks up a translation: a wrapped one protects a page too many"),
	WITHOUT(AGE_LEAVES_DEBT, "young"),
	WITHOUT(UNLINK_FLUSH_FREE, "table-free slot-delete"),
	WITHOUT(WALKER_ANNOUNCE, "table-free"),
	WITHOUT(STALE_ROOT_RETRY, "slot-readd obsolete-roots"),
	SURVIVES(FROZEN_SPTE_UNTOUCHED,
		 "no fault comes to a frozen entry: its slot is invalid (MEMSLOT_INVALID_FIRST)"),
	WITHOUT(GEN_FROM_SAME_SNAPSHOT, "mmio-cache mmio-generation-wraps mmio-wrap-pieces"),
	WITHOUT(GEN_TWO_STEPS, "mmio-wrap-pieces"),
	WITHOUT(GEN_WRAP_ZAPS, "mmio-generation-wraps mmio-wrap-pieces"),
	WITHOUT(MEMSLOT_INVALID_FIRST, "mmio-delete slot-delete"),
	WITHOUT(ZAP_BEFORE_UNREACHABLE, "slot-delete-notifier"),
	WITHOUT(DEKKER_ENTRY, "request-kick-entry"),
	SURVIVES(CLEAR_BEFORE_SERVICE,
		 "it is served outside the guest, where no TLB entry is made; and a root "
		 "whose request is lost is empty, and the next fault finds it obsolete"),
	WITHOUT(WAIT_MEANS_LEFT_GUEST, "fault-notifier-page"),
	WITHOUT(INTERRUPT_BEFORE_BARRIER, "fault-notifier-page"),
	WITHOUT(BARRIER_BEFORE_PIN, "fault-notifier-page"),
	WITHOUT(WALKS_ARE_PINNED, "table-free"),
	WITHOUT(NO_ENTRY_PAST_PENDING, "fault-notifier-page"),
	WITHOUT(TLB_OWNER_ONLY, "fault-notifier-page"),
	WITHOUT(NO_TLB_POINTER_ACROSS_BLOCKING, "fault-notifier-page"),
	WITHOUT(MODEL_SREGS_FLUSH, "set-sregs"),
	SURVIVES(W_LOSS_OWES,
		 "only the log needs it, which flushes by its own state all the same; without "
		 "that it is found (W_LOST_UNOWED)"),
	WITHOUT(FLUSH_IFF_MMUW_CLEARED, "track-log"),
	WITHOUT(SYNCED_IMPLIES_WPROT, "track-log"),
	WITHOUT(UNSYNC_ONLY_LEAF, "link-sync upper-table"),
	WITHOUT(UNSYNC_BEFORE_W, "guest-tables"),
	WITHOUT(SYNC_FIRST_CLEAR_THEN_READ, "guest-tables unsync-sync"),
	WITHOUT(RECHECK_GPTE_UNDER_PROTECTION, "recheck track-log"),
	WITHOUT(SYNC_BEFORE_LINK, "link-sync"),
	WITHOUT(ROLE_IS_PART_OF_KEY, "fault-notifier-page"),
	WITHOUT(DIRECT_ACCESS_MATCH, "large-guest-page"),
	WITHOUT(RMAP_BIJECTION, "guest-tables replace-leaf"),
	WITHOUT(ZAP_BEFORE_REPLACE, "replace-leaf"),
	WITHOUT(UNSYNC_CHILD_COUNTS, "unsync-sync"),
	WITHOUT(EMULATED_PT_WRITE_ZAPS, "guest-tables"),
	WITHOUT(ROOT_LOAD_FLUSHES, "set-sregs"),
	SURVIVES(INVALID_THEN_REQUEST,
		 "an obsolete root is emptied under the lock; the next fault finds it obsolete, "
		 "asked or not"),

	BUG(DEBT_RESET_TO_ZERO, "the patch of 2010, with flushes outside the lock (2014-2021)",
	    "debt-two-flushers"),
	BUG(DEBT_IS_A_FLAG, "KVM 5befdc385ddb, taken back by a086f6a1ebc9", "debt-two-flushers"),
	BUG(DEBT_NARROW, "KVM 88bf56d04bc3, bec87d6e34de", "fault-notifier-page"),
	BUG(PAID_BEFORE_DONE, "a flush that counts before it is done", "zap-in-two-steps"),
	BUG(FLUSH_BEFORE_CLEAR, "Xen XSA-401", "fault-notifier-page"),
	BUG(FLUSH_OVERWRITTEN, "KVM 315f02c60d9e, 048f49809c52", "alias-slots"),
	BUG(FLUSH_ONLY_RUNNING, "Unicorn #552", "request-kick-entry"),
	BUG(FILL_CONTEXT_LATE, "what an interrupted walk leads to", "fault-notifier-page"),
	BUG(WINDOW_ENDS_EARLY, "a window that is a load too short", "fault-notifier-page"),
	BUG(END_WAKES_NOBODY, "a lost wake-up", "fault-notifier-page slot-update-in-invalidation"),
	BUG(LEAVE_LOOKS_FIRST, "a lost wake-up", "request-kick-entry fault-notifier-page"),
	BUG_SURVIVES(INVALID_SLOT_IS_MMIO, "KVM e0c378684b65",
		     "the answer is that of the call that is under way, and is kept under a "
		     "generation that the call's second step ends"),
	BUG(MMIO_CACHE_NO_GENERATION, "KVM 56f17dd3fbc4", "mmio-cache"),
	BUG(MMIO_IN_FLUX, "KVM ddfd1730fd82", "mmio-wrap-pieces"),
	BUG_SURVIVES(WRAP_ZAPS_LATE, "KVM 152482580a1b",
		     "all of it is within the call that changes the slots, in which either answer "
		     "is right"),
	BUG(UNLINKED_OWES_NOTHING, "KVM 33a3164161fc: a zap whose flush is forgotten",
	    "large-page-returns"),
	BUG(HINT_NO_VERSION, "QEMU #174: an entry kept over what changes the table", "log-enable"),
	BUG(LARGE_READ_ONLY_STAYS, "KVM 404381c5839d", "log-initially-set"),
	BUG(HOST_READ_ONLY_IGNORED, "host-writable not looked at", "host-protect"),
	BUG_SURVIVES(INVLPG_CURRENT_ROOT_ONLY, "KVM: INVEPT and cached roots (2020)",
		     "a root that is loaded again is brought up to date first"),
	BUG(REPLACE_OWES_NOTHING, "KVM 91546356d0e5", "replace-leaf"),
	BUG(TABLES_OUTLIVE_SLOT, "a zap of the slot's translations alone (KVM 4e103134b862)",
	    "slot-tables"),
	BUG_SURVIVES(FULL_RMAP_OWES_NOTHING, "entries dropped to make room, and no debt",
		     "the log flushes always, and whoever takes the frame finds the one entry "
		     "that is left, and flushes for it"),
	BUG(RING_INDEX_AFTER_FLAG, "Umbra's own, found by this checker", "ring-reset"),
	BUG(HIT_NOT_LOOKED_AT_AGAIN, "Umbra's own, found by this checker", "fault-notifier-range"),
	BUG(WRITE_DEBT_UNKNOWN, "Umbra's own, found by reading", "write-debt"),
	BUG(GUEST_READ_IN_INVALIDATION, "Umbra's own, found by reading", "tables-refilled"),
	BUG(AD_BITS_IN_INVALIDATION, "Umbra's own, found by reading", "tables-moved"),
	BUG(RETRY_KEEPS_PROCESSOR, "Umbra's own, found by this checker", "tables-refilled"),
	BUG_SURVIVES(LOG_FLUSH_BY_DEBT, "half of W_LOST_UNOWED",
		     "whoever takes W owes, so the debt says no less than the log's own state"),
	{
		.name = "W_LOST_UNOWED",
		.from = "Umbra's own, found by reading",
		.on = "LOG_FLUSH_BY_DEBT",
		.off = "W_LOSS_OWES",
		.sentence = "a guest's change to its tables takes W and leaves no debt, by which "
			    "the log decides whether to flush",
		.scenarios = "w-lost-get w-lost-clear w-lost-enable w-lost-ring",
	},

	LIKE(WINDOW_IN_FRAMES, "KVM 6d3085e4d89a", "WINDOW_UNITS",
	     "the window of an invalidation is given in frames, and compared with hva",
	     "fault-notifier-page"),
	LIKE(END_NOT_BALANCED, "KVM b25ab9cae30f", "BEGIN_END_BALANCED",
	     "an invalidation that met no slot is begun and not ended",
	     "slot-update-in-invalidation"),
	LIKE(GUEST_TABLE_POINTER_KEPT, "CVE-2022-49562 and its kin",
	     "NO_TLB_POINTER_ACROSS_BLOCKING", "a pointer to a guest table outlives the flush",
	     "fault-notifier-page"),
	LIKE(CR3_LOAD_KEEPS_TLB, "Xen XSA-294", "ROOT_LOAD_FLUSHES",
	     "a load of CR3 does not empty the TLB", "set-sregs"),
	LIKE(PARENTS_NOT_TOLD, "unsync children not counted (illumos-kvm #11)",
	     "UNSYNC_CHILD_COUNTS", "the pages above one that is unsync are not told",
	     "unsync-sync"),
	LIKE(KVM_2010_DIRECT_ACCESS, "KVM 9e7b0e7fba45, 5fd5387c89ec", "DIRECT_ACCESS_MATCH",
	     "a large page's changed rights lead to the direct page of the old ones",
	     "large-guest-page"),
	LIKE(KVM_2026_MMIO_OVER_PRESENT, "CVE-2026-23401", "ZAP_BEFORE_REPLACE",
	     "an entry is written over another that is present", "replace-leaf"),
	LIKE(KVM_2014_LOG_AND_TRACK, "KVM 6dbf79e7164e", "FLUSH_IFF_MMUW_CLEARED",
	     "write tracking looks at W to decide whether to flush", "track-log"),
	LIKE(KVM_2010_SYNC_WITHOUT_DEBT, "the state before the patch of 2010",
	     "NO_SPTE_IMPLIES_NO_TLB",
	     "an invalidation that finds no translation does not flush", "sync-notifier"),
	LIKE(KVM_2021_LINK_UNSYNCED, "KVM 65855ed8b034", "SYNC_BEFORE_LINK",
	     "an unsync table is linked without being brought up to date", "link-sync"),
	LIKE(KVM_2010_PROTECT_BEFORE_SWAP, "KVM edde99ce0529", "WPROT_AFTER_PUBLISH",
	     "pages are protected before the logging slot is visible", "log-enable"),
	LIKE(KVM_6_1_RING_FLUSH_AFTER_UNLOCK, "the order of Linux 6.1 (docs/findings.md)",
	     "SLOTS_LOCK_SPANS_FLUSH", "a ring reset flushes after slots_lock was dropped",
	     "ring-two-reapers"),
	LIKE(QEMU_2018_DIRTY_BITMAP, "QEMU 9458a9a1df1a", "WAIT_MEANS_LEFT_GUEST",
	     "the harvester does not wait for the block that a vCPU is in", "log-harvest"),
	LIKE(KVM_2021_STALE_ROOT, "KVM a955cad84cda", "STALE_ROOT_RETRY",
	     "a fault installs under a root that a slot update has made obsolete",
	     "slot-readd obsolete-roots"),
	LIKE(KVM_2022_LOST_BITS, "KVM 4f510c8bb1dd", "VOLATILE_RMW",
	     "an entry with volatile bits is changed by a plain store", "fault-notifier-page"),
	LIKE(XEN_FREE_BEFORE_FLUSH, "Xen XSA-480, CVE-2026-23554", "UNLINK_FLUSH_FREE",
	     "a page table is freed before the deferred flush", "table-free"),
	LIKE(KVM_2023_SREGS, "KVM 4346db6e6e7a", "MODEL_SREGS_FLUSH",
	     "KVM_SET_SREGS does not flush", "set-sregs"),
	LIKE(KVM_2026_ROLE, "CVE-2026-53359, KVM 81ccda30b4e8", "ROLE_IS_PART_OF_KEY",
	     "a child is used again by its frame alone", "fault-notifier-page"),
	LIKE(QEMU_CROSS_THREAD_FLUSH, "QEMU #175", "TLB_OWNER_ONLY",
	     "a TLB is flushed by another thread than its owner", "fault-notifier-page"),
	LIKE(KVM_2008_RECHECK, "KVM f7d9c7b7b902", "RECHECK_GPTE_UNDER_PROTECTION",
	     "a guest entry is not read again under protection", "recheck track-log"),
	LIKE(ARM_2023_SEQ_AFTER, "arm64, Linux 6.3", "SEQ_BEFORE_PFN",
	     "the sequence is sampled after the page was looked up", "fault-notifier-page"),
	LIKE(KVM_2020_GUARD_BY_CHANGE, "KVM before 081976992f43", "FLUSH_BY_SOFTWARE_STATE",
	     "a harvest flushes by which entries changed", "log-harvest"),
};

static void fill_sentences(void)
{
	static bool done;

	for (unsigned int i = 0; !done && i < ARRAY_SIZE(table); i++)
		if (!table[i].sentence)
			table[i].sentence = rules_find_sentence(table[i].name);
	done = true;
}

unsigned int mutations_count(void)
{
	return ARRAY_SIZE(table);
}

const struct mutation *mutation_at(unsigned int i)
{
	fill_sentences();
	return &table[i];
}

bool mutation_is_rule(const struct mutation *m)
{
	return !m->from;
}

const struct mutation *mutation_find(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(table[i].name, name) == 0)
			return mutation_at(i);
	return NULL;
}

void mutation_apply(const struct mutation *m)
{
	char copy[200], *rest = copy, *rule;

	rules_reset();
	if (!m)
		return;
	if (m->on)
		rules_switch_on_mutant(m->on);
	if (!m->off)
		return;
	strncpy(copy, m->off, sizeof(copy) - 1);
	copy[sizeof(copy) - 1] = 0;
	while ((rule = strsep(&rest, " ")))
		rules_switch_off(rule);
}
