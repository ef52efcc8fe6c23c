/* SPDX-License-Identifier: MIT */
#include "vm_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/guarded.h"
#include "mmu/guest/walk.h"
#include "mmu/shadow/internal.h"
#include "mmu/tdp/internal.h"
#include "mmu/tlb/request.h"
#include "sync/wait.h"

/*
 * cmocka calls it around every test to take over SIGSEGV and SIGBUS, which are
 * base/guarded.c's.  This one stands before libc's and leaves all as it is.
 */
__attribute__((visibility("default")))
sighandler_t signal(int sig UNUSED, sighandler_t handler UNUSED)
{
	return SIG_DFL;
}

/* --- random runs ------------------------------------------------------- */

void run_begin(struct run *r, uint64_t seed)
{
	*r = (struct run){ .seed = seed, .state = seed };
}

/* splitmix64 */
uint64_t run_next(struct run *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint64_t run_below(struct run *r, uint64_t n)
{
	return run_next(r) % n;
}

bool run_chance(struct run *r, unsigned int percent)
{
	return run_below(r, 100) < percent;
}

/* --- threads ----------------------------------------------------------- */

static struct atomic32 n_failures;

void note_failure_unless(bool ok, const char *what, int line)
{
	if (ok)
		return;
	if (!atomic32_fetch_add(&n_failures, 1))
		fprintf(stderr, "in a thread, line %d: not so: %s\n", line, what);
}

void assert_no_thread_failed(void)
{
	assert_int_equal(atomic32_xchg(&n_failures, 0), 0);
}

void thread_start(pthread_t *t, void *(*fn)(void *), void *arg)
{
	assert_int_equal(pthread_create(t, NULL, fn, arg), 0);
}

void thread_end(pthread_t t)
{
	assert_int_equal(pthread_join(t, NULL), 0);
}

/* --- hooks ------------------------------------------------------------- */

struct hook {
	struct atomic_ptr fn;
	struct atomic_ptr ctx;
	struct atomic64 count;
};

static struct hook hooks[N_HOOKS];
static struct atomic_ptr watched;
static struct atomic64 n_watched;

typedef void (*hook_fn)(void *ctx);

void hook_once(enum hook_point point, void (*fn)(void *ctx), void *ctx)
{
	atomic_ptr_store_relaxed(&hooks[point].ctx, ctx);
	atomic_ptr_store_release(&hooks[point].fn, (void *)(uintptr_t)fn);
}

void hook_clear(enum hook_point point)
{
	atomic_ptr_store_release(&hooks[point].fn, NULL);
}

uint64_t hook_count(enum hook_point point)
{
	return atomic64_load_relaxed(&hooks[point].count);
}

static void come_to(enum hook_point point)
{
	struct hook *h = &hooks[point];
	hook_fn fn;

	atomic64_fetch_add(&h->count, 1);
	if (!atomic_ptr_load_relaxed(&h->fn))
		return;
	fn = (hook_fn)(uintptr_t)atomic_ptr_xchg(&h->fn, NULL);
	if (fn)
		fn(atomic_ptr_load_relaxed(&h->ctx));
}

void watch_mutex(const struct mutex *m)
{
	atomic64_store_relaxed(&n_watched, 0);
	atomic_ptr_store_release(&watched, (void *)(uintptr_t)m);
}

uint64_t watched_locks(void)
{
	return atomic64_load_relaxed(&n_watched);
}

void __real_fair_rdlock(struct fair_rwlock *lock);
void __wrap_fair_rdlock(struct fair_rwlock *lock);
void __real_fair_wrlock(struct fair_rwlock *lock);
void __wrap_fair_wrlock(struct fair_rwlock *lock);
int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);
void __real_wait_on(struct atomic32 *word, uint32_t value);
void __wrap_wait_on(struct atomic32 *word, uint32_t value);
void __real_wait_on_for(struct atomic32 *word, uint32_t value, uint32_t microseconds);
void __wrap_wait_on_for(struct atomic32 *word, uint32_t value, uint32_t microseconds);
void __real_rcu_synchronize(void);
void __wrap_rcu_synchronize(void);
void __real_tdp_find(const struct mmu *m, struct table_entry *e, gfn_t gfn);
void __wrap_tdp_find(const struct mmu *m, struct table_entry *e, gfn_t gfn);
void __real_shadow_path_find(const struct mmu *m, struct shadow_path *p,
			     struct shadow_page *root);
void __wrap_shadow_path_find(const struct mmu *m, struct shadow_path *p,
			     struct shadow_page *root);
enum walk_verdict __real_walk_guest(struct mmu_vcpu *v, struct walk *w);
enum walk_verdict __wrap_walk_guest(struct mmu_vcpu *v, struct walk *w);

static const struct test_vm *worked;
static uint64_t work_seen, most_work;

static void note_work(void)
{
	uint64_t now = worked ? vm_stat(worked, VM_STAT_mmu_visited) : 0;

	most_work = MAX(most_work, now - work_seen);
	work_seen = now;
}

void work_watch(const struct test_vm *vm)
{
	worked = vm;
	note_work();
	most_work = 0;
}

uint64_t work_most(void)
{
	note_work();
	worked = NULL;
	work_seen = 0;
	return most_work;
}

/* A lock counts as held from before it is waited for; not in a hook. */
static void come_to_lock(enum hook_point point, const void *lock, enum lock_rank rank,
			 enum lock_mode mode)
{
	lock_note_drop(lock, rank);
	if (worked)
		note_work();
	come_to(point);
	lock_note_take(lock, rank, mode);
}

void __wrap_fair_rdlock(struct fair_rwlock *lock)
{
	const struct rwlock *l = container_of(lock, struct rwlock, native);

	come_to_lock(HOOK_RDLOCK, l, l->rank, LOCKED_FOR_READ);
	__real_fair_rdlock(lock);
}

void __wrap_fair_wrlock(struct fair_rwlock *lock)
{
	const struct rwlock *l = container_of(lock, struct rwlock, native);

	come_to_lock(HOOK_WRLOCK, l, l->rank, LOCKED_FOR_WRITE);
	__real_fair_wrlock(lock);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *lock)
{
	const struct mutex *m = atomic_ptr_load_relaxed(&watched);

	if (m && &m->native == lock) {
		atomic64_fetch_add(&n_watched, 1);
		come_to_lock(HOOK_WATCHED, m, m->rank, LOCKED_FOR_WRITE);
	}
	return __real_pthread_mutex_lock(lock);
}

void __wrap_wait_on(struct atomic32 *word, uint32_t value)
{
	come_to(HOOK_WAIT);
	__real_wait_on(word, value);
}

void __wrap_wait_on_for(struct atomic32 *word, uint32_t value, uint32_t microseconds)
{
	come_to(HOOK_WAIT);
	__real_wait_on_for(word, value, microseconds);
}

void __wrap_rcu_synchronize(void)
{
	come_to(HOOK_SYNCHRONIZE);
	__real_rcu_synchronize();
}

void __wrap_tdp_find(const struct mmu *m, struct table_entry *e, gfn_t gfn)
{
	come_to(HOOK_DESCENT);
	__real_tdp_find(m, e, gfn);
}

void __wrap_shadow_path_find(const struct mmu *m, struct shadow_path *p,
			     struct shadow_page *root)
{
	come_to(HOOK_DESCENT);
	__real_shadow_path_find(m, p, root);
}

enum walk_verdict __wrap_walk_guest(struct mmu_vcpu *v, struct walk *w)
{
	come_to(HOOK_WALK);
	return __real_walk_guest(v, w);
}

/* --- slots alone ------------------------------------------------------- */

static struct recorder *recorder_of(struct mmu *m)
{
	return container_of(m, struct recorder, mmu);
}

static void record(struct recorder *r, struct event e)
{
	e.generation = atomic64_load_relaxed(&r->slots.generation);
	if (r->n_events < MAX_EVENTS)
		r->events[r->n_events++] = e;
	if (r->on_event)
		r->on_event(r, &e);
}

static void record_zap(struct mmu *m, const struct memslot *slot)
{
	record(recorder_of(m),
	       (struct event){ .kind = EV_ZAP, .slot = slot->id, .flags = slot->flags });
}

static void record_protect(struct mmu *m, const struct memslot *slot, int first_level)
{
	record(recorder_of(m),
	       (struct event){ .kind = EV_PROTECT, .slot = slot->id, .flags = slot->flags,
			       .a = (uint64_t)first_level });
}

static void record_protect_mask(struct mmu *m, const struct memslot *slot, uint64_t offset,
				uint64_t mask)
{
	record(recorder_of(m),
	       (struct event){ .kind = EV_PROTECT_PAGES, .slot = slot->id, .flags = slot->flags,
			       .a = offset, .b = mask });
}

static void record_flush(struct mmu *m)
{
	record(recorder_of(m), (struct event){ .kind = EV_FLUSH });
}

static void record_zap_mmio(struct mmu *m)
{
	record(recorder_of(m), (struct event){ .kind = EV_ZAP_MMIO });
}

/* So that it does happen: every eighth. */
static bool wraps_at_eight(uint64_t generation)
{
	return (generation & 7) == 0;
}

static void log_ended(struct mmu *m UNUSED, const struct memslot *slot UNUSED)
{
}

static const struct slots_ops recording_ops = {
	.zap = record_zap,
	.write_protect = record_protect,
	.write_protect_mask = record_protect_mask,
	.log_ended = log_ended,
	.flush = record_flush,
	.generation_wraps = wraps_at_eight,
	.zap_mmio = record_zap_mmio,
};

struct recorder *recorder_make(void)
{
	struct recorder *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	assert_int_equal(guarded_install(), 0);
	alloc_init(&r->alloc);
	assert_int_equal(slots_init(&r->slots, &r->alloc, gfn_of(TEST_MAX_GFN), &r->n_harvested,
				    &r->n_updates), 0);
	slots_set_ops(&r->slots, &recording_ops, &r->mmu);
	return r;
}

void recorder_free(struct recorder *r)
{
	slots_destroy(&r->slots);
	assert_int_equal(atomic64_load_relaxed(&r->alloc.bytes), 0);
	free(r);
}

int set_slot(struct slots *s, uint32_t id, uint64_t gpa, uint64_t pages, uint64_t hva,
	     uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = id,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = pages << PAGE_SHIFT,
		.userspace_addr = hva,
	};

	return slots_set_region(s, &region);
}

int slot_at(struct slots *s, uint64_t gpa)
{
	const struct memslot *slot;
	int id;

	rcu_read_begin();
	slot = slot_set_find(slots_current(s), gfn_of(gpa >> PAGE_SHIFT));
	id = slot ? slot->id : -1;
	rcu_read_end();
	return id;
}

/* --- a machine --------------------------------------------------------- */

static int sim_resolve(void *ctx, hva_t hva, bool write, int max_level, struct host_page *page)
{
	struct sim_host *sim = ctx;

	__atomic_fetch_add(&sim->n_resolved, 1, __ATOMIC_RELAXED);
	if (sim->on_resolve)
		sim->on_resolve(sim->ctx, hva, write);
	if (sim->refuse)
		return -EFAULT;
	*page = (struct host_page){
		.pfn = pfn_of_hva(hva),
		.writable = write || sim->eager,
		.level = MIN(sim->level, max_level),
	};
	return 0;
}

static int sim_level(void *ctx, hva_t hva UNUSED, int max_level)
{
	const struct sim_host *sim = ctx;

	return MIN(sim->level, max_level);
}

static const struct host_memory_ops sim_ops = { .resolve = sim_resolve, .level = sim_level };

static uint8_t *map_aligned(uint64_t bytes, uint64_t alignment)
{
	uint8_t *at = mmap(NULL, bytes + alignment, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint8_t *start, *end;

	assert_true(at != MAP_FAILED);
	start = (uint8_t *)ALIGN_UP((uintptr_t)at, alignment);
	end = start + bytes;
	if (start > at)
		munmap(at, (size_t)(start - at));
	munmap(end, (size_t)(at + bytes + alignment - end));
	/* What page the host has must not depend on its mood. */
	madvise(start, bytes, MADV_NOHUGEPAGE);
	return start;
}

static void make_vcpus(struct test_vm *vm, unsigned int n)
{
	vm->vcpu = aligned_alloc(CACHE_LINE, n * sizeof(*vm->vcpu));
	assert_non_null(vm->vcpu);
	memset(vm->vcpu, 0, n * sizeof(*vm->vcpu));
	vm->n_vcpus = n;
	for (unsigned int i = 0; i < n; i++) {
		vm->vcpu[i].paging.maxphyaddr = 48;
		vm->vcpu[i].paging.has_1g_pages = true;
		assert_int_equal(mmu_vcpu_init(&vm->vcpu[i], &vm->mmu), 0);
	}
}

enum mmu_mode vm_mode;

static struct test_vm *make(unsigned int n_vcpus, uint64_t n_pages, bool simulate)
{
	struct test_vm *vm = aligned_alloc(CACHE_LINE, ALIGN_UP(sizeof(*vm), (size_t)CACHE_LINE));
	uint64_t alignment = n_pages >= level_pages(LEVEL_1G) ? level_pages(LEVEL_1G) :
								level_pages(LEVEL_2M);
	struct host_memory host;

	assert_non_null(vm);
	memset(vm, 0, sizeof(*vm));
	assert_int_equal(guarded_install(), 0);
	vm->n_pages = n_pages;
	vm->memory = map_aligned(n_pages << PAGE_SHIFT, alignment << PAGE_SHIFT);
	vm->sim.level = LEVEL_4K;
	vm->mmu.mode = vm_mode;
	alloc_init(&vm->alloc);
	assert_int_equal(slots_init(&vm->slots, &vm->alloc, gfn_of(TEST_MAX_GFN),
				    &vm->mmu.own_stats[VM_STAT_dirty_pages_harvested],
				    &vm->mmu.own_stats[VM_STAT_slot_updates]), 0);
	host = host_process_init(&vm->process);
	if (simulate)
		host = (struct host_memory){ .ops = &sim_ops, .ctx = &vm->sim };
	assert_int_equal(mmu_init(&vm->mmu, &vm->alloc, &vm->slots, host), 0);
	make_vcpus(vm, n_vcpus);
	return vm;
}

struct test_vm *vm_make(unsigned int n_vcpus, uint64_t n_pages)
{
	return make(n_vcpus, n_pages, false);
}

struct test_vm *vm_make_sim(unsigned int n_vcpus, uint64_t n_pages)
{
	return make(n_vcpus, n_pages, true);
}

void vm_free(struct test_vm *vm)
{
	for (unsigned int i = 0; i < vm->n_vcpus; i++) {
		free(vm->vcpu[i].ring.entries);
		mmu_vcpu_destroy(&vm->vcpu[i]);
	}
	mmu_destroy(&vm->mmu);
	slots_destroy(&vm->slots);
	host_process_destroy(&vm->process);
	assert_int_equal(atomic64_load_relaxed(&vm->alloc.bytes), 0);
	munmap(vm->memory, vm->n_pages << PAGE_SHIFT);
	free(vm->vcpu);
	free(vm);
}

void vm_slot(struct test_vm *vm, uint32_t id, uint64_t gpa, uint64_t first, uint64_t pages,
	     uint32_t flags)
{
	assert_int_equal(set_slot(&vm->slots, id, gpa, pages, vm_hva(vm, first).raw, flags), 0);
}

hva_t vm_hva(const struct test_vm *vm, uint64_t page)
{
	return hva_of((uintptr_t)vm->memory + (page << PAGE_SHIFT));
}

uint64_t vm_stat(const struct test_vm *vm, enum vm_stat stat)
{
	return atomic64_load_relaxed(&vm->mmu.stats[stat]);
}

uint64_t vcpu_stat(const struct mmu_vcpu *v, enum vcpu_stat stat)
{
	return atomic64_load_relaxed(&v->stats[stat]);
}

void vm_use_rings(struct test_vm *vm, uint32_t entries)
{
	uint32_t bytes = entries * (uint32_t)sizeof(struct kvm_dirty_gfn);

	vm->slots.dirty_ring = true;
	for (unsigned int i = 0; i < vm->n_vcpus; i++) {
		void *ring = calloc(1, bytes);

		assert_non_null(ring);
		dirty_ring_init(&vm->vcpu[i].ring, ring, bytes);
	}
}

enum mmu_verdict translate_gpa(struct mmu_vcpu *v, uint64_t gpa, enum access access,
			       struct mmu_result *result)
{
	enum mmu_verdict verdict = MMU_OK;
	struct table_entry e;

	*result = (struct mmu_result){ .gpa = gpa_of(gpa) };
	while (verdict == MMU_OK) {
		result->host = walk_gpa(v, tlb_stamp(v), gpa_of(gpa), access, &e);
		if (result->host)
			break;
		guest_leave(v);
		verdict = mmu_verdict_of_fault(tdp_fault(v, gpa_of(gpa), access));
		guest_enter(v);
	}
	return verdict;
}
