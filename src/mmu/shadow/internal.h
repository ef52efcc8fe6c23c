/* SPDX-License-Identifier: MIT */
/* mmu/shadow/internal.h - private to this folder and its tests. */
#ifndef MMU_SHADOW_INTERNAL_H
#define MMU_SHADOW_INTERNAL_H

#include "base/list.h"
#include "mem/rules.h"
#include "mmu/fault.h"
#include "mmu/guest/gpte.h"
#include "mmu/guest/walk.h"
#include "mmu/limits.h"
#include "mmu/paging/table.h"
#include "mmu/shadow/frames.h"
#include "mmu/shadow/hash.h"
#include "mmu/shadow/shadow.h"
#include "mmu/translate.h"

/* The permissions that the entries above a shadow page leave. */
#define SHADOW_USER 1u
#define SHADOW_WRITE 2u
#define SHADOW_EXEC 4u
#define SHADOW_ALL 7u

union shadow_role {
	struct {
		uint32_t level : 3;
		uint32_t format : 2;	/* enum gpt_format; GPT_LONG if direct */
		uint32_t direct : 1;
		uint32_t quadrant : 2;	/* which part of a 32-bit table */
		uint32_t access : 3;	/* SHADOW_* */
		uint32_t dirty : 1;	/* direct: the guest's entry is */
		uint32_t key : 4;	/* direct: the guest's protection key */
		uint32_t nx : 1;	/* as in struct gpt_kind */
		uint32_t pse : 1;
		uint32_t has_1g : 1;
		uint32_t maxphyaddr : 6;
	};
	uint32_t word;
};

_Static_assert(sizeof(union shadow_role) == sizeof(uint32_t), "a role is compared as one word");

struct shadow_page {
	struct table table;		/* (a) its entries */
	union shadow_role role;		/* (c) */
	gfn_t gfn;			/* (c) of the guest's table; direct: the first mapped */
	uint64_t *gfns;			/* (a) gfn of each leaf; NULL if direct */
	uint64_t *place[ENTRIES_PER_TABLE]; /* [l] where each entry is in its list, if not alone */
	struct shadow_page *next;	/* [l] in its hash bucket */
	struct cds_list_head node;	/* [l] of shadow->active, oldest first */
	struct spte_list parents;	/* [l] the links to it */
	uint64_t changed;		/* [l] gpt_seq of the last change */
	uint32_t n_roots;		/* [l] vCPUs that hold it as a root */
	uint32_t n_writes;		/* [l] tracked writes since it was last used */
	struct atomic32 zapped;		/* (a) in no list, but still a root */
	struct atomic32 unsync;		/* (a) writes to the table are not intercepted */
	struct atomic32 unsync_children; /* (a) how many bits are set in: */
	uint64_t unsync_links[ENTRIES_PER_TABLE / 64]; /* [l] unsync, or with unsync below */
	uint64_t debt;			/* dead: `owed` when it was unlinked */
};

/* (c) constant  (a) atomic  [l] MMU lock for write */
struct shadow {
	struct pool pages, gfns;	/* (c) */
	struct frames frames;		/* [l] who maps which guest frame */
	struct shadow_hash hash;	/* [l] */
	struct cds_list_head active;	/* [l] */
	struct shadow_page *dead_first, **dead_last; /* [l] unlinked, in the order of their debt */
	unsigned int n_dead;		/* [l] */
	uint64_t n_used;		/* [l] in active */
	uint64_t n_pinned;		/* [l] of these, roots */
	uint64_t write_debt;		/* [l] `owed` once a writable leaf was last dropped */
	struct atomic64 gpt_seq;	/* (a) written under the lock */
};

static inline struct shadow_page *shadow_page_of(struct table *t)
{
	return (struct shadow_page *)((char *)t - offsetof(struct shadow_page, table));
}

static inline union shadow_role shadow_role_of_kind(struct gpt_kind k)
{
	return (union shadow_role){
		.format = k.format,
		.nx = k.nx,
		.pse = k.pse,
		.has_1g = k.has_1g,
		.maxphyaddr = k.maxphyaddr,
	};
}

static inline struct gpt_kind shadow_kind_of_role(union shadow_role r)
{
	return (struct gpt_kind){
		.format = (uint8_t)r.format,
		.nx = r.nx,
		.pse = r.pse,
		.has_1g = r.has_1g,
		.maxphyaddr = (uint8_t)r.maxphyaddr,
	};
}

static inline uint32_t shadow_access(const struct rights *r)
{
	return (r->user ? SHADOW_USER : 0) | (r->write ? SHADOW_WRITE : 0) |
	       (r->no_exec ? 0 : SHADOW_EXEC);
}

static inline struct rights shadow_rights(uint32_t access, unsigned int key)
{
	return (struct rights){
		.user = access & SHADOW_USER,
		.write = access & SHADOW_WRITE,
		.no_exec = !(access & SHADOW_EXEC),
		.key = (uint8_t)key,
	};
}

/* The bits of a leaf that are the guest's. */
static inline uint64_t shadow_guest_bits(const struct rights *r, bool dirty)
{
	return (r->user ? SPTE_U : 0) | (r->write ? SPTE_GW : 0) | (r->no_exec ? SPTE_NX : 0) |
	       (dirty ? SPTE_GD : 0) | (uint64_t)r->key << SPTE_KEY_SHIFT;
}

static inline struct rights shadow_rights_of_leaf(spte_t s)
{
	return (struct rights){
		.user = s.raw & SPTE_U,
		.write = s.raw & SPTE_GW,
		.no_exec = s.raw & SPTE_NX,
		.key = (s.raw >> SPTE_KEY_SHIFT) & 15,
	};
}

/* --- page.c: the pages themselves --- */

/* NULL if there is none. */
struct shadow_page *shadow_find(struct mmu *m, gfn_t gfn, union shadow_role role)
	REQUIRES(m->lock);
/* Any for a part of a large page that begins at @gfn; never a root. */
struct shadow_page *shadow_find_direct(struct mmu *m, gfn_t gfn, int level) REQUIRES(m->lock);
/* Any of @gfn's indirect pages after @after (NULL: the first). */
struct shadow_page *shadow_next_of(struct mmu *m, gfn_t gfn, struct shadow_page *after)
	REQUIRES(m->lock);
/* Creates one that was not found.  NULL: no memory.  Its guest table is write-protected; adds what
 * that owes to *due. */
struct shadow_page *shadow_make(struct mmu *m, gfn_t gfn, union shadow_role role,
				enum flush_due *due) REQUIRES(m->lock);
/* Makes every translation of @gfn read-only, until the frame is untracked. */
void shadow_protect_frame(struct mmu *m, gfn_t gfn, enum flush_due *due) REQUIRES(m->lock);
bool shadow_frame_is_tracked(const struct mmu *m, gfn_t gfn) REQUIRES(m->lock);

/* False: no memory, and nothing has changed. */
bool shadow_link(struct mmu *m, struct shadow_page *parent, unsigned int i,
		 struct shadow_page *child) REQUIRES(m->lock);
/* Clears entry @i, whatever it was.  Returns what that owes. */
enum flush_due shadow_drop(struct mmu *m, struct shadow_page *sp, unsigned int i)
	REQUIRES(m->lock);
/* Clears every entry of the list, which is a frame's rmap or a page's parents; returns their
 * number.  Leafs leave a debt. */
unsigned int shadow_drop_all(struct mmu *m, const struct spte_list *l) REQUIRES(m->lock);
/* frame_iter_next(), and counts what that visits. */
bool shadow_next_frame(struct mmu *m, struct frame_iter *it) REQUIRES(m->lock);
#define shadow_for_each_frame(it, m, r)                                             \
	for (struct frame_iter it = frame_iter_begin(&(m)->shadow->frames, r);      \
	     shadow_next_frame(m, &it);)
void shadow_mark_unsync(struct mmu *m, struct shadow_page *sp) REQUIRES(m->lock);
void shadow_mark_synced(struct mmu *m, struct shadow_page *sp) REQUIRES(m->lock);

/* @n, plus the links on all paths to @sp, up to SHADOW_MAX_LINKS_MARKED: with more of them, marking
 * the page as unsync would take too long. */
#define SHADOW_MAX_LINKS_MARKED (4 * SHADOW_LIST_MAX)
unsigned int shadow_links_above(struct mmu *m, const struct shadow_page *sp, unsigned int n)
	REQUIRES(m->lock);

/*
 * Gives the leaf the rights @bits that the guest's entry leaves; its frame stays, and what
 * of @bits is ours is added.  False: it had them.
 */
bool shadow_change_leaf(struct mmu *m, struct spte_ref ref, uint64_t bits, enum flush_due *due)
	REQUIRES(m->lock);

/* Invalidates all earlier reads of the guest table. */
void shadow_changed(struct mmu *m, struct shadow_page *sp) REQUIRES(m->lock);

/* Zaps the page; it is freed when no TLB and no vCPU can use it any more. */
void shadow_zap(struct mmu *m, struct shadow_page *sp) REQUIRES(m->lock);
/* Frees pages unlinked before a completed flush, a limited number at a time; flushes first for
 * all, or if there are many.  True: there are more. */
bool shadow_reap(struct mmu *m, enum reap which) REQUIRES(m->lock);
void shadow_pin(struct mmu *m, struct shadow_page *sp) REQUIRES(m->lock);
void shadow_unpin(struct mmu *m, struct shadow_page *sp) REQUIRES(m->lock);
/* Zaps some of the oldest if @n more do not fit.  True: there are still too many. */
bool shadow_make_room(struct mmu *m, unsigned int n) REQUIRES(m->lock);

static inline bool shadow_is_obsolete(const struct shadow_page *sp)
{
	return atomic32_load_acquire(&sp->zapped);
}

/*
 * ROLE_IS_PART_OF_KEY, and for direct pages DIRECT_ACCESS_MATCH: a change of a large page's
 * permissions or dirty bit makes it another page.
 */
static inline bool shadow_has_role(const struct shadow_page *sp, union shadow_role role)
{
	return sp->role.word == role.word;
}

/* True if it, or something below it, needs a sync. */
static inline bool shadow_has_unsync(const struct shadow_page *sp)
{
	return atomic32_load_acquire(&sp->unsync) || atomic32_load_acquire(&sp->unsync_children);
}

static inline struct spte_word *shadow_sptep(struct spte_ref ref)
{
	return &ref.sp->table.spte[ref.i];
}

/* The entry, which maps @gfn. */
static inline struct table_place shadow_place(struct spte_ref ref, gfn_t gfn)
{
	struct spte_word *sptep = shadow_sptep(ref);

	return (struct table_place){ sptep, sptep_read(sptep), gfn, ref.sp->table.level };
}

/* The guest frame that entry @i maps, if it is a leaf. */
static inline gfn_t shadow_gfn(const struct shadow_page *sp, unsigned int i)
{
	return sp->gfns ? gfn_of(shared64_load_relaxed(&sp->gfns[i])) :
			  gfn_add(sp->gfn, i * level_pages(sp->table.level));
}

/* --- root.c --- */

/* Loads the roots of the paging registers, and syncs what is below them.  The vCPU's thread,
 * outside guest mode.  MMU_OK, MMU_RETRY, or the reason why not. */
enum mmu_verdict shadow_load_roots(struct mmu_vcpu *v) MUST_CHECK;
/* mmu_ops.drop_roots, vcpu_destroy: drops the obsolete ones, or all. */
void shadow_drop_obsolete_roots(struct mmu_vcpu *v) EXCLUDES(v->mmu->lock);
void shadow_drop_all_roots(struct mmu_vcpu *v) EXCLUDES(v->mmu->lock);

/* Where the way to @gva begins; NULL: nowhere. */
static inline struct shadow_page *shadow_root_of(const struct shadow_roots *r, gva_t gva)
{
	union shadow_role role = { .word = r->role };

	return r->page[role.format == GPT_LONG && !role.direct ? 0 : (gva.raw >> 30) & 3];
}

static inline struct shadow_page *shadow_current_root(const struct mmu_vcpu *v, gva_t gva)
{
	return shadow_root_of(&v->shadow.roots[v->shadow.root], gva);
}

/* --- sync.c --- */

/* A page, by its key. */
struct shadow_id {
	gfn_t gfn;
	union shadow_role role;
};

#define SHADOW_SYNC_BATCH 16

/* Unsync pages to be synced. */
struct shadow_batch {
	struct shadow_id id[SHADOW_SYNC_BATCH];
	unsigned int n;
};

/* Adds @sp, or the pages below it, as far as they fit. */
void shadow_collect_unsync(struct mmu *m, struct shadow_page *sp, struct shadow_batch *batch)
	REQUIRES(m->lock);
/* The vCPU's thread, outside guest mode, no lock held. */
void shadow_sync(struct mmu_vcpu *v, const struct shadow_batch *batch) EXCLUDES(v->mmu->lock);
/* mmu_ops.invlpg.  In guest mode and back. */
void shadow_invlpg(struct mmu_vcpu *v, gva_t gva);

/* --- path.c --- */

/* The way from a root to the lowest entry for an address, as it was found. */
struct shadow_path {
	gva_t gva;
	struct table_entry entry;	/* the lowest; sptep NULL: none, or forgotten */
	struct shadow_page *page[LEVEL_256T + 1]; /* by level, from the root's to the entry's */
};

static inline void shadow_path_begin(struct shadow_path *p, gva_t gva)
{
	p->gva = gva;
	p->entry = (struct table_entry){ .level = LEVEL_1G };
}

/* From @root, or NULL: a first touch of a page does it once.  Guest mode, pinned, or the MMU lock
 * for write. */
void shadow_path_find(const struct mmu *m, struct shadow_path *p, struct shadow_page *root);

/* It ends at @sp, which is on @level. */
static inline void shadow_path_end_at(struct shadow_path *p, int level, struct shadow_page *sp)
{
	p->page[level] = sp;
	p->entry.level = level;
	p->entry.sptep = &sp->table.spte[gva_index(p->gva, level)];
}

/* Reads the entry again, and goes on down if it is a link now. */
static inline void shadow_path_descend(struct shadow_path *p)
{
	for (;;) {
		p->entry.spte = sptep_read(p->entry.sptep);
		if (!spte_is_link(p->entry.spte) || p->entry.level == LEVEL_4K)
			return;
		shadow_path_end_at(p, p->entry.level - 1, shadow_page_of(spte_link(p->entry.spte)));
	}
}

/* shadow_path_find(), from where it ended before if that is still linked.  @root is the same. */
static inline void shadow_path_look_again(const struct mmu *m, struct shadow_path *p,
					  struct shadow_page *root)
{
	if (table_entry_holds(m, &p->entry))
		shadow_path_descend(p);
	else
		shadow_path_find(m, p, root);
}

static inline struct spte_ref shadow_path_ref(const struct shadow_path *p, int level)
{
	return (struct spte_ref){ p->page[level], gva_index(p->gva, level) };
}

/* --- fault.c, translate.c --- */

/* One access that the TLB has no translation for, from the miss to the leaf. */
struct shadow_fault {
	struct shadow_path path;	/* what the miss has found in our tables; then the leaf */
	bool taken;			/* the last fault has fixed something: look again */
	/* of the last fault */
	struct walk walk;		/* of the guest's tables */
	struct fault fault;
	uint64_t gpt_seq;		/* when the guest's tables were read */
	struct shadow_batch unsync;	/* to be synced first */
	enum flush_due due;		/* to be recorded before the lock is dropped */
	bool made;			/* a shadow page: its table must be read again */
};

/*
 * Outside guest mode.  MMU_OK: look again.  The host is not asked for a larger page than the
 * existing tables can map.
 */
enum mmu_verdict shadow_fault(struct mmu_vcpu *v, struct shadow_fault *sf, enum access access,
			      struct mmu_result *result);
/* mmu_ops.translate */
enum mmu_verdict shadow_translate(struct mmu_vcpu *v, gva_t gva, enum access access,
				  struct mmu_result *result);

/* --- track.c --- */

/* mmu_ops.track_written: the guest has written here, in a tracked page. */
void shadow_track_written(struct mmu_vcpu *v, gpa_t gpa, unsigned int bytes)
	EXCLUDES(v->mmu->lock);

/* --- protect.c: slots_ops.write_protect, write_protect_mask; mmu_ops.age --- */

void shadow_write_protect(struct mmu *m, const struct memslot *slot, int first_level)
	EXCLUDES(m->lock);
void shadow_write_protect_mask(struct mmu *m, const struct memslot *slot, uint64_t offset,
			       uint64_t mask) EXCLUDES(m->lock);
bool shadow_age(struct mmu *m, struct range *r, enum age how) REQUIRES(m->lock);

/* --- zap.c: mmu_ops.zap_leafs, is_split, collapse; slots_ops.zap_mmio, zap --- */

uint64_t shadow_zap_leafs(struct mmu *m, struct range *r) REQUIRES(m->lock);
bool shadow_is_split(struct mmu *m, gfn_t gfn, int level) EXCLUDES(m->lock);
void shadow_collapse(struct mmu *m, gfn_t gfn, int level) EXCLUDES(m->lock);
void shadow_zap_mmio(struct mmu *m) EXCLUDES(m->lock);
void shadow_zap_slot(struct mmu *m, const struct memslot *slot) EXCLUDES(m->lock);

/* --- check.c --- */

/* For tests: checks that everything is in its place.  Returns the sentence that does not hold, or
 * NULL.  No changes meanwhile. */
const char *shadow_find_fault(const struct mmu *m);

#endif
