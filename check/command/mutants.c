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
#define LIKE(name_, from_, rules_, sentence_, scenarios_)                                   \
	{ .name = #name_, .from = from_, .off = rules_, .sentence = sentence_,              \
	  .scenarios = scenarios_ }

#define PATCH(name_, from_, sentence_, scenarios_, survives_)                               \
	{ .name = #name_, .from = from_, .off = #name_, .patch = #name_,                    \
	  .sentence = sentence_, .scenarios = scenarios_, .survives = survives_ },

static struct mutation table[] = {
	WITHOUT(RETRY_UNDER_LOCK, "fault-notifier-page"),
	WITHOUT(SEQ_INC_BEFORE_COUNT_DEC, "fault-notifier-page"),
	WITHOUT(FLUSH_BEFORE_FREE, "fault-notifier-page"),
	WITHOUT(DEBT_INC_UNDER_LOCK_BEFORE_UNLOCK, "sync-notifier fault-notifier-page"),
	SURVIVES(PFN_CHANGE_GOES_THROUGH_ZERO,
		 "an assertion: no path changes a frame in place, so there is nothing to find "
		 "(see REPLACE_OWES_NOTHING)"),
	SURVIVES(FOUR_STATES, "an assertion on every store, which all paths keep"),
	WITHOUT(LOGGING_FLUSH_MAY_TRAIL, "log-harvest"),
	WITHOUT(FLUSH_BY_SOFTWARE_STATE, "log-harvest"),
	WITHOUT(ENABLE_FLUSHES_ALWAYS, "log-enable"),
	WITHOUT(CMPXCHG_EMUL_DIRTIES, "walk-logged"),
	WITHOUT(NO_HUGE_WRITABLE_WHEN_LOGGING, "large-page-log"),
	SURVIVES(FAST_PF_ONLY_DIRECT,
		 "kept by structure: only the direct tables have a fast path to switch off"),
	SURVIVES(FAST_PF_REJECTS_MMIO,
		 "with the narrow generation no MMIO entry has the bit that the fast "
		 "path asks for"),
	WITHOUT(RING_RESET_FLUSHES, "ring-reset"),
	WITHOUT(RING_SOFT_LIMIT, "ring-full"),
	SURVIVES(RING_DISTRUST,
		 "the number only looks up a translation: a wrapped one protects a page too many"),
	WITHOUT(AGE_LEAVES_DEBT, "young"),
	WITHOUT(WALKER_ANNOUNCE, "table-free"),
	WITHOUT(ENTRY_STILL_LINKED, "table-free table-emptied slot-tables"),
	WITHOUT(KEEP_WALK_UNTIL_FLUSH, "slot-of-a-walk"),
	WITHOUT(STALE_ROOT_RETRY, "slot-readd obsolete-roots"),
	SURVIVES(FROZEN_SPTE_UNTOUCHED,
		 "no fault comes to a frozen entry: its slot is invalid (MEMSLOT_INVALID_FIRST)"),
	WITHOUT(GEN_TWO_STEPS, "mmio-wrap-pieces"),
	WITHOUT(GEN_WRAP_ZAPS, "mmio-generation-wraps mmio-wrap-pieces"),
	WITHOUT(MEMSLOT_INVALID_FIRST, "mmio-delete slot-delete"),
	WITHOUT(WAIT_MEANS_LEFT_GUEST, "fault-notifier-page"),
	WITHOUT(BARRIER_BEFORE_PIN, "fault-notifier-page"),
	WITHOUT(WALKS_ARE_PINNED, "table-free"),
	WITHOUT(NO_ENTRY_PAST_PENDING, "fault-notifier-page"),
	WITHOUT(MODEL_SREGS_FLUSH, "set-sregs"),
	SURVIVES(W_LOSS_OWES,
		 "only the log needs it, which flushes by its own state all the same; without "
		 "that it is found (W_LOST_UNOWED)"),
	WITHOUT(SYNCED_IMPLIES_WPROT, "track-log"),
	WITHOUT(UNSYNC_ONLY_LEAF, "link-sync upper-table"),
	WITHOUT(UNSYNC_BEFORE_W, "guest-tables"),
	WITHOUT(SYNC_FIRST_CLEAR_THEN_READ, "guest-tables unsync-sync"),
	WITHOUT(RECHECK_GPTE_UNDER_PROTECTION, "recheck track-log"),
	WITHOUT(SYNC_BEFORE_LINK, "link-sync"),
	WITHOUT(RMAP_BIJECTION, "guest-tables replace-leaf"),
	WITHOUT(ZAP_BEFORE_REPLACE, "replace-leaf"),
	WITHOUT(UNSYNC_CHILD_COUNTS, "unsync-sync"),
	WITHOUT(EMULATED_PT_WRITE_ZAPS, "guest-tables"),
	WITHOUT(ROOT_LOAD_FLUSHES, "set-sregs"),
	SURVIVES(INVALID_THEN_REQUEST,
		 "an obsolete root is emptied under the lock; the next fault finds it obsolete, "
		 "asked or not"),
#include "mutants.inc"

	{
		.name = "W_LOST_UNOWED",
		.from = "Umbra's own, found by reading",
		.patch = "LOG_FLUSH_BY_DEBT",
		.off = "W_LOSS_OWES",
		.sentence = "a guest's change to its tables takes W and leaves no debt, by which "
			    "the log decides whether to flush",
		.scenarios = "w-lost-get w-lost-clear w-lost-enable w-lost-ring",
	},

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

static struct mutation *find(const char *name)
{
	for (unsigned int i = 0; name && i < ARRAY_SIZE(table); i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

/* What the rule says; and a bug that is the absence of a rule is so in the same way. */
static void fill(struct mutation *m)
{
	const struct mutation *rule = find(m->off);

	if (!m->sentence)
		m->sentence = rules_find_sentence(m->name);
	if (rule && rule->patch)
		m->patch = rule->patch;
}

static void fill_all(void)
{
	static bool done;

	for (unsigned int i = 0; !done && i < ARRAY_SIZE(table); i++)
		fill(&table[i]);
	done = true;
}

unsigned int mutations_count(void)
{
	return ARRAY_SIZE(table);
}

const struct mutation *mutation_at(unsigned int i)
{
	fill_all();
	return &table[i];
}

bool mutation_is_rule(const struct mutation *m)
{
	return !m->from;
}

const struct mutation *mutation_find(const char *name)
{
	fill_all();
	return find(name);
}

void mutation_apply(const struct mutation *m)
{
	rules_reset();
	if (m && m->off)
		rules_switch_off(m->off);
}
