/* SPDX-License-Identifier: MIT */
/* tests/embed/test_mmu.c - <umbra/mmu.h> as a C program uses it, in both modes. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "guest.h"

#define DATA 0x400000u		/* gpa of data */
#define GVA 0x7f0012345000ull	/* where tests map it */

static enum umbra_mmu_mode mode;

static struct guest unpaged_with(unsigned int flags)
{
	struct umbra_mmu_config config = { .mode = mode, .flags = flags };
	struct guest g;

	guest_create_with(&g, &config);
	umbra_vcpu_enter(g.vcpu);
	return g;
}

static struct guest unpaged(void)
{
	return unpaged_with(0);
}

static struct guest paged_with(unsigned int flags)
{
	struct guest g = unpaged_with(flags);

	guest_page(&g);
	return g;
}

static struct guest paged(void)
{
	return paged_with(0);
}

static void finish(struct guest *g)
{
	umbra_vcpu_leave(g->vcpu);
	guest_destroy(g);
}

static void bad_configurations_are_refused(void)
{
	struct umbra_mmu_config bad[] = {
		{ .mode = (enum umbra_mmu_mode)2 },
		{ .flush_policy = (enum umbra_flush_policy)2 },
		{ .physical_bits = 31 },
		{ .physical_bits = 53 },
		{ .flags = 16 },
		{ .flags = UMBRA_MMU_INITIALLY_SET },
		{ .dirty_ring_entries = 128 },
		{ .dirty_ring_entries = 1000 },
		{ .dirty_ring_entries = 1 << 17 },
	};
	struct umbra_mmu *mmu = NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(umbra_mmu_create(&bad[i], &mmu) == -EINVAL);
	CHECK(!mmu);
}

static void an_mmu_outlives_its_vcpus(void)
{
	struct guest g = unpaged();

	CHECK(umbra_mmu_destroy(g.mmu) == -EBUSY);
	finish(&g);
}

static void slots_answer_as_the_kernels(void)
{
	struct guest g = unpaged();
	struct umbra_slot s = { .id = 1, .gpa = 0x10000000, .bytes = 0x10000, .memory = g.memory };
	struct umbra_slot bad;
	uint32_t v;

	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_mmu_set_slot(g.mmu, &s) == 0);
	bad = s, bad.gpa = 1;
	CHECK(umbra_mmu_set_slot(g.mmu, &bad) == -EINVAL);
	bad = s, bad.bytes = 0x20000;
	CHECK(umbra_mmu_set_slot(g.mmu, &bad) == -EINVAL);
	bad = s, bad.flags = UMBRA_SLOT_READONLY;
	CHECK(umbra_mmu_set_slot(g.mmu, &bad) == -EINVAL);
	bad = s, bad.flags = 4;
	CHECK(umbra_mmu_set_slot(g.mmu, &bad) == -EINVAL);
	bad = s, bad.id = 32764;
	CHECK(umbra_mmu_set_slot(g.mmu, &bad) == -EINVAL);
	bad = s, bad.id = 2, bad.gpa += 0xf000;
	CHECK(umbra_mmu_set_slot(g.mmu, &bad) == -EEXIST);
	bad = s, bad.id = 2, bad.gpa = 1ull << 40;
	CHECK(umbra_mmu_set_slot(g.mmu, &bad) == -EINVAL);
	bad = s, bad.id = 3, bad.bytes = 0;
	CHECK(umbra_mmu_set_slot(g.mmu, &bad) == -EINVAL);

	memcpy(g.memory + 4, "abcd", 4);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_load32(g.vcpu, 0x10000004, &v) == UMBRA_OK && v == 0x64636261);
	CHECK(umbra_load32(g.vcpu, 0x20000004, &v) == UMBRA_MMIO);
	umbra_vcpu_leave(g.vcpu);
	s.gpa = 0x20000000;
	CHECK(umbra_mmu_set_slot(g.mmu, &s) == 0);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_load32(g.vcpu, 0x20000004, &v) == UMBRA_OK && v == 0x64636261);
	CHECK(umbra_load32(g.vcpu, 0x10000004, &v) == UMBRA_MMIO);
	CHECK(umbra_vcpu_fault(g.vcpu)->gpa == 0x10000004);
	umbra_vcpu_leave(g.vcpu);
	s.bytes = 0;
	CHECK(umbra_mmu_set_slot(g.mmu, &s) == 0);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_store32(g.vcpu, 0x20000004, 1) == UMBRA_MMIO);
	finish(&g);
}

static void accesses_have_every_size_and_place(void)
{
	struct guest g = unpaged();
	uint64_t value, at;
	uint8_t v8;
	uint16_t v16;

	for (unsigned int bytes = 1; bytes <= 8; bytes++) {
		for (at = DATA - 8; at <= DATA + 8; at++) {
			uint64_t mask = ~0ull >> (64 - 8 * bytes), seen = 0;

			memset(g.memory + DATA - 16, 0xee, 48);
			value = 0x1122334455667788ull * (at | 1);
			CHECK(umbra_store(g.vcpu, at, bytes, value) == UMBRA_OK);
			memcpy(&seen, g.memory + at, bytes);
			CHECK(seen == (value & mask));
			CHECK(g.memory[at - 1] == 0xee && g.memory[at + bytes] == 0xee);
			CHECK(umbra_load(g.vcpu, at, bytes, &seen) == UMBRA_OK);
			CHECK(seen == (value & mask));
			CHECK(umbra_fetch(g.vcpu, at, bytes, &seen) == UMBRA_OK);
			CHECK(seen == (value & mask));
		}
	}
	g.memory[DATA] = 0xff;
	CHECK(umbra_load8(g.vcpu, DATA, &v8) == UMBRA_OK && v8 == 0xff);
	CHECK(umbra_load16(g.vcpu, DATA - 1, &v16) == UMBRA_OK && v16 >> 8 == 0xff);
	CHECK(umbra_load(g.vcpu, DATA, 9, &value) == UMBRA_SPLIT);
	finish(&g);
}

static void expect_fault(struct guest *g, enum umbra_access access, uint32_t code)
{
	uint64_t v = 0;
	enum umbra_result r = access == UMBRA_READ  ? umbra_load64(g->vcpu, GVA, &v) :
			      access == UMBRA_WRITE ? umbra_store64(g->vcpu, GVA, v) :
						      umbra_fetch64(g->vcpu, GVA, &v);
	const struct umbra_fault *f = umbra_vcpu_fault(g->vcpu);

	if (code == ~0u) {
		CHECK(r == UMBRA_OK);
		return;
	}
	CHECK(r == UMBRA_GUEST_FAULT);
	CHECK(f->gva == GVA && f->error_code == code && f->access == access);
}

/* By our own hand, of which shadow paging has to be told. */
static void remap_to(struct guest *g, uint64_t gpa, uint64_t bits)
{
	guest_map(g, GVA, gpa, bits);
	CHECK(umbra_written(g->vcpu, guest_pte_gpa(g, GVA), 8) == UMBRA_OK);
	umbra_vcpu_flush(g->vcpu);
}

static void remap(struct guest *g, uint64_t bits)
{
	remap_to(g, DATA, bits);
}

static void page_faults_say_why(void)
{
	struct guest g = paged();

	expect_fault(&g, UMBRA_READ, 0);
	expect_fault(&g, UMBRA_WRITE, UMBRA_PF_WRITE);
	expect_fault(&g, UMBRA_EXEC, UMBRA_PF_FETCH);
	remap(&g, P);
	expect_fault(&g, UMBRA_READ, ~0u);
	expect_fault(&g, UMBRA_WRITE, UMBRA_PF_PRESENT | UMBRA_PF_WRITE);
	umbra_vcpu_set_cr0(g.vcpu, CR0_PE | CR0_PG);
	expect_fault(&g, UMBRA_WRITE, ~0u);
	umbra_vcpu_set_cr0(g.vcpu, CR0_PE | CR0_PG | CR0_WP);
	remap(&g, P | NX);
	expect_fault(&g, UMBRA_EXEC, UMBRA_PF_PRESENT | UMBRA_PF_FETCH);
	umbra_vcpu_set_efer(g.vcpu, EFER_LMA);
	expect_fault(&g, UMBRA_READ, UMBRA_PF_PRESENT | UMBRA_PF_RSVD);
	umbra_vcpu_set_efer(g.vcpu, EFER_LMA | EFER_NX);
	remap(&g, P | 1ull << 45);
	expect_fault(&g, UMBRA_READ, UMBRA_PF_PRESENT | UMBRA_PF_RSVD);

	remap(&g, P | W);
	umbra_vcpu_set_privilege(g.vcpu, 3, false);
	expect_fault(&g, UMBRA_READ, UMBRA_PF_PRESENT | UMBRA_PF_USER);
	remap(&g, P | W | U);
	expect_fault(&g, UMBRA_WRITE, ~0u);
	umbra_vcpu_set_privilege(g.vcpu, 0, false);
	umbra_vcpu_set_cr4(g.vcpu, CR4_PAE | CR4_SMEP | CR4_SMAP);
	expect_fault(&g, UMBRA_EXEC, UMBRA_PF_PRESENT | UMBRA_PF_FETCH);
	expect_fault(&g, UMBRA_READ, UMBRA_PF_PRESENT);
	umbra_vcpu_set_privilege(g.vcpu, 0, true);
	expect_fault(&g, UMBRA_READ, ~0u);

	umbra_vcpu_set_cr4(g.vcpu, CR4_PAE | CR4_PKE);
	remap(&g, P | W | U | 1ull << 59);
	umbra_vcpu_set_pkru(g.vcpu, 2u << 2);
	expect_fault(&g, UMBRA_READ, ~0u);
	expect_fault(&g, UMBRA_WRITE, UMBRA_PF_PRESENT | UMBRA_PF_WRITE | UMBRA_PF_PK);
	umbra_vcpu_set_pkru(g.vcpu, 1u << 2);
	expect_fault(&g, UMBRA_READ, UMBRA_PF_PRESENT | UMBRA_PF_PK);
	umbra_vcpu_set_pkru(g.vcpu, 0);
	expect_fault(&g, UMBRA_WRITE, ~0u);
	finish(&g);
}

static void accessed_and_dirty_bits_are_set(void)
{
	struct guest g = paged();
	uint64_t v;

	guest_map(&g, GVA, DATA, P | W);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK);
	CHECK((*guest_pte(&g, GVA) & (A | D)) == A);
	CHECK(umbra_store64(g.vcpu, GVA, 1) == UMBRA_OK);
	CHECK((*guest_pte(&g, GVA) & (A | D)) == (A | D));
	finish(&g);
}

static void addresses_that_are_none_are_refused(void)
{
	struct guest g = unpaged();
	uint64_t v;

	CHECK(umbra_load64(g.vcpu, 1ull << 32, &v) == UMBRA_BAD_ADDRESS);
	guest_page(&g);
	CHECK(umbra_load64(g.vcpu, 1ull << 47, &v) == UMBRA_BAD_ADDRESS);
	CHECK(umbra_store64(g.vcpu, (1ull << 47) - 4, 0) == UMBRA_GUEST_FAULT);
	CHECK(umbra_load64(g.vcpu, ~0ull << 47, &v) == UMBRA_GUEST_FAULT);
	umbra_vcpu_set_cr3(g.vcpu, 0x30000000);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_BAD_TABLES);
	finish(&g);
}

static void mmio_is_told_with_its_address(void)
{
	struct guest g = paged();
	const struct umbra_fault *f = umbra_vcpu_fault(g.vcpu);
	struct umbra_slot rom = { .id = 5, .flags = UMBRA_SLOT_READONLY, .gpa = 0x20000000,
				  .bytes = 4096, .memory = g.memory + DATA };
	uint64_t v = 0;

	guest_map(&g, GVA, 0xfee00000, P | W);
	for (int i = 0; i < 3; i++) {
		CHECK(umbra_load32(g.vcpu, GVA + 0x30, (uint32_t *)&v) == UMBRA_MMIO);
		CHECK(f->gpa == 0xfee00030 && f->gva == GVA + 0x30);
		CHECK(umbra_store8(g.vcpu, GVA + 0x31, 0) == UMBRA_MMIO && f->gpa == 0xfee00031);
	}
	guest_map(&g, GVA + 4096, DATA, P | W);
	CHECK(umbra_store64(g.vcpu, GVA + 4092, ~0ull) == UMBRA_SPLIT);
	CHECK(umbra_load64(g.vcpu, GVA + 4092, &v) == UMBRA_SPLIT);
	CHECK(g.memory[DATA] == 0);

	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_mmu_set_slot(g.mmu, &rom) == 0);
	umbra_vcpu_enter(g.vcpu);
	guest_map(&g, GVA + 8192, 0x20000000, P | W);
	g.memory[DATA + 1] = 7;
	CHECK(umbra_load(g.vcpu, GVA + 8193, 1, &v) == UMBRA_OK && v == 7);
	CHECK(umbra_store8(g.vcpu, GVA + 8193, 8) == UMBRA_MMIO && f->gpa == 0x20000001);
	CHECK(umbra_load(g.vcpu, GVA + 8193, 1, &v) == UMBRA_OK && v == 7);
	finish(&g);
}

static void a_translation_lasts_until_it_is_flushed(void)
{
	struct guest g = paged();
	uint64_t v;

	*(uint64_t *)(g.memory + DATA) = 1;
	*(uint64_t *)(g.memory + DATA + 4096) = 2;
	guest_map(&g, GVA, DATA, P | W);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK && v == 1);
	remap_to(&g, DATA + 4096, P | W);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK && v == 2);
	umbra_vcpu_set_cr3(g.vcpu, TABLES);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK && v == 2);
	finish(&g);
}

/* The guest changes its own tables, through its own mapping of them. */
static void a_guests_own_tables_are_followed(void)
{
	const uint64_t window = 0x600000000000ull;
	struct guest g = paged();
	uint64_t pte_gpa = guest_pte_gpa(&g, GVA), v;
	uint64_t pte = window + (pte_gpa & 4095);

	guest_map(&g, window, pte_gpa & ~0xfffull, P | W);
	for (uint64_t i = 0; i < 64; i++)
		*(uint64_t *)(g.memory + DATA + i * 4096) = i;
	for (uint64_t i = 0; i < 64; i++) {
		CHECK(umbra_store64(g.vcpu, pte, (DATA + i * 4096) | P | W) == UMBRA_OK);
		umbra_vcpu_invlpg(g.vcpu, GVA);
		CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK && v == i);
		CHECK(umbra_store64(g.vcpu, GVA + 8, v) == UMBRA_OK);
	}
	/* The table above: each of them is another leaf table. */
	for (uint64_t i = 0; i < 8; i++) {
		CHECK(umbra_store64(g.vcpu, pte, 0) == UMBRA_OK);
		umbra_vcpu_invlpg(g.vcpu, GVA);
		CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_GUEST_FAULT);
		CHECK(umbra_store32(g.vcpu, pte, (uint32_t)(DATA + i * 4096) | P) == UMBRA_OK);
		CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK && v == i);
	}
	finish(&g);
}

static void writes_through_a_translation_are_followed_too(void)
{
	const uint64_t window = 0x600000000000ull;
	struct guest g = paged();
	uint64_t pte_gpa = guest_pte_gpa(&g, GVA), v;
	struct umbra_translation t;

	guest_map(&g, window, pte_gpa & ~0xfffull, P | W);
	for (uint64_t i = 0; i < 8; i++) {
		*(uint64_t *)(g.memory + DATA + i * 4096) = i;
		CHECK(umbra_translate(g.vcpu, window + (pte_gpa & 4095), UMBRA_WRITE, &t) ==
		      UMBRA_OK);
		CHECK(t.gpa == pte_gpa && t.host == g.memory + pte_gpa);
		*(uint64_t *)t.host = (DATA + i * 4096) | P | W;
		if (t.tracked)
			CHECK(umbra_written(g.vcpu, t.gpa, 8) == UMBRA_OK);
		umbra_vcpu_invlpg(g.vcpu, GVA);
		CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK && v == i);
	}
	CHECK(umbra_translate(g.vcpu, GVA, UMBRA_EXEC, &t) == UMBRA_OK && !t.tracked);
	CHECK(umbra_translate(g.vcpu, GVA + 4096, UMBRA_READ, &t) == UMBRA_GUEST_FAULT);
	finish(&g);
}

static void atomics_are_atomic(void)
{
	struct guest g = paged();
	uint64_t *host = (uint64_t *)(g.memory + DATA), v64 = 5;
	uint32_t v32 = 1;
	uint16_t v16 = 0x1234;
	uint8_t v8 = 3;

	guest_map(&g, GVA, DATA, P | W);
	guest_map(&g, GVA + 4096, DATA + 8192, P | W);
	guest_map(&g, GVA + 8192, DATA + 12288, P | W);
	for (int i = 0; i < 2; i++) {
		*host = 5, v64 = 5;
		CHECK(umbra_cmpxchg64(g.vcpu, GVA, &v64, 7) == UMBRA_OK && v64 == 5 && *host == 7);
		CHECK(umbra_cmpxchg64(g.vcpu, GVA, &v64, 9) == UMBRA_OK && v64 == 7 && *host == 7);
		v32 = 1;
		CHECK(umbra_xadd32(g.vcpu, GVA, &v32) == UMBRA_OK && v32 == 7 && *host == 8);
		v16 = 0x1234;
		CHECK(umbra_xchg16(g.vcpu, GVA, &v16) == UMBRA_OK && v16 == 8 && *host == 0x1234);
		v8 = 0xff;
		CHECK(umbra_xadd8(g.vcpu, GVA + 1, &v8) == UMBRA_OK && v8 == 0x12);
		CHECK(*host == 0x1134);
		umbra_vcpu_flush(g.vcpu);
	}
	CHECK(umbra_cmpxchg64(g.vcpu, GVA + 4092, &v64, 1) == UMBRA_SPLIT);
	/* Neighbours in the host. */
	g.memory[DATA + 12288 - 4] = 40, v64 = 2ull << 32 | 2;
	CHECK(umbra_xadd64(g.vcpu, GVA + 8188, &v64) == UMBRA_OK && v64 == 40);
	CHECK(g.memory[DATA + 12288 - 4] == 42 && g.memory[DATA + 12288] == 2);
	CHECK(umbra_xadd64(g.vcpu, GVA + 12288, &v64) == UMBRA_GUEST_FAULT);
	finish(&g);
}

static void set_logging(struct guest *g, bool on)
{
	struct umbra_slot slot = { .flags = on ? UMBRA_SLOT_LOG_DIRTY : 0, .bytes = MEMORY_BYTES,
				   .memory = g->memory };

	CHECK(umbra_mmu_set_slot(g->mmu, &slot) == 0);
}

static bool in_log(const uint64_t *log, uint64_t gpa)
{
	return log[gpa >> 18] & (1ull << ((gpa >> 12) & 63));
}

static unsigned int bits_in(const uint64_t *log)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < MEMORY_BYTES >> 18; i++)
		n += (unsigned int)__builtin_popcountll(log[i]);
	return n;
}

static void the_log_names_what_was_written(void)
{
	static uint64_t log[MEMORY_BYTES >> 18];
	struct guest g = unpaged();
	uint64_t v;

	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_mmu_get_dirty_log(g.mmu, 0, log) == -ENOENT);
	CHECK(umbra_mmu_get_dirty_log(g.mmu, 1, log) == -ENOENT);
	CHECK(umbra_mmu_get_dirty_log(g.mmu, 40000, log) == -EINVAL);
	set_logging(&g, true);
	for (int round = 0; round < 3; round++) {
		umbra_vcpu_enter(g.vcpu);
		CHECK(umbra_load64(g.vcpu, DATA - 4096, &v) == UMBRA_OK);
		CHECK(umbra_store64(g.vcpu, DATA - 4, 1) == UMBRA_OK);
		CHECK(umbra_store64(g.vcpu, DATA + 8, 1) == UMBRA_OK);
		umbra_vcpu_leave(g.vcpu);
		CHECK(umbra_mmu_get_dirty_log(g.mmu, 0, log) == 0);
		CHECK(in_log(log, DATA) && in_log(log, DATA - 1) && bits_in(log) == 2);
		CHECK(umbra_mmu_get_dirty_log(g.mmu, 0, log) == 0 && bits_in(log) == 0);
	}
	CHECK(umbra_mmu_get_dirty_log(g.mmu, 0, (uint64_t *)8) == -EFAULT);
	set_logging(&g, false);
	CHECK(umbra_mmu_get_dirty_log(g.mmu, 0, log) == -ENOENT);
	umbra_vcpu_enter(g.vcpu);
	finish(&g);
}

static void a_log_can_be_cleared_by_hand(void)
{
	static uint64_t log[MEMORY_BYTES >> 18], some = 1ull << ((DATA >> 12) & 63);
	struct umbra_mmu_config config = {
		.mode = mode,
		.flags = UMBRA_MMU_MANUAL_PROTECT | UMBRA_MMU_INITIALLY_SET,
	};
	const uint64_t pages = MEMORY_BYTES >> 12;
	struct guest g;

	guest_create_with(&g, &config);
	set_logging(&g, true);
	CHECK(umbra_mmu_get_dirty_log(g.mmu, 0, log) == 0 && bits_in(log) == pages);
	CHECK(umbra_mmu_clear_dirty_log(g.mmu, 0, 0, pages, log) == 0);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_store64(g.vcpu, DATA, 1) == UMBRA_OK);
	umbra_vcpu_leave(g.vcpu);
	for (int i = 0; i < 2; i++)
		CHECK(umbra_mmu_get_dirty_log(g.mmu, 0, log) == 0 && bits_in(log) == 1);
	CHECK(umbra_mmu_clear_dirty_log(g.mmu, 0, 1, 64, &some) == -EINVAL);
	CHECK(umbra_mmu_clear_dirty_log(g.mmu, 0, 0, pages + 64, log) == -EINVAL);
	CHECK(umbra_mmu_clear_dirty_log(g.mmu, 0, (DATA >> 12) & ~63ull, 64, &some) == 0);
	CHECK(umbra_mmu_get_dirty_log(g.mmu, 0, log) == 0 && bits_in(log) == 0);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_store64(g.vcpu, DATA, 2) == UMBRA_OK);
	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_mmu_get_dirty_log(g.mmu, 0, log) == 0 && in_log(log, DATA));
	guest_destroy(&g);
}

static void rings_name_what_was_written_and_fill_up(void)
{
	struct umbra_mmu_config config = { .mode = mode, .dirty_ring_entries = 256 };
	struct umbra_dirty_page pages[300];
	enum umbra_result r = UMBRA_OK;
	struct guest g;
	uint32_t n;

	guest_create_with(&g, &config);
	set_logging(&g, true);
	CHECK(umbra_mmu_get_dirty_log(g.mmu, 0, NULL) == -ENXIO);
	umbra_vcpu_enter(g.vcpu);
	for (n = 0; n < 300 && r == UMBRA_OK; n++)
		r = umbra_store64(g.vcpu, DATA + n * 4096, n);
	CHECK(r == UMBRA_RING_FULL && --n >= 128);
	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_vcpu_take_dirty(g.vcpu, pages, 300) == n);
	for (uint32_t i = 0; i < n; i++)
		CHECK(pages[i].slot == 0 && pages[i].page == (DATA >> 12) + i);
	CHECK(umbra_vcpu_take_dirty(g.vcpu, pages, 300) == 0);
	CHECK(umbra_mmu_reset_dirty_rings(g.mmu) == n);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_store64(g.vcpu, DATA + n * 4096, n) == UMBRA_OK);
	CHECK(umbra_store64(g.vcpu, DATA, 1) == UMBRA_OK);
	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_vcpu_take_dirty(g.vcpu, pages, 300) == 2);
	CHECK(pages[1].page == DATA >> 12);
	guest_destroy(&g);
}

/* More often than the ring is long: it is an answer, and nothing is lost by it. */
static void writes_by_hand_fill_a_ring_up_too(void)
{
	struct umbra_mmu_config config = { .mode = mode, .dirty_ring_entries = 256 };
	struct umbra_dirty_page pages[300];
	enum umbra_result r = UMBRA_OK;
	struct guest g;
	uint32_t n;

	guest_create_with(&g, &config);
	set_logging(&g, true);
	umbra_vcpu_enter(g.vcpu);
	for (n = 0; n < 600 && r == UMBRA_OK; n++)
		r = umbra_written(g.vcpu, DATA + n % 64 * 4096, 8);
	if (mode == UMBRA_MMU_TDP) {
		CHECK(r == UMBRA_OK);
		guest_destroy(&g);
		return;
	}
	CHECK(r == UMBRA_RING_FULL && --n >= 128 && n < 256);
	CHECK(umbra_store64(g.vcpu, DATA + 100 * 4096, 1) == UMBRA_RING_FULL);
	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_vcpu_take_dirty(g.vcpu, pages, 300) == n);
	CHECK(umbra_mmu_reset_dirty_rings(g.mmu) == n);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_written(g.vcpu, DATA + n % 64 * 4096, 8) == UMBRA_OK);
	CHECK(umbra_store64(g.vcpu, DATA + 100 * 4096, 1) == UMBRA_OK);
	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_vcpu_take_dirty(g.vcpu, pages, 300) == 2);
	CHECK(pages[0].page == (DATA >> 12) + n % 64);
	guest_destroy(&g);
}

static void what_is_not_within_a_page_is_refused(void)
{
	struct guest g = paged();
	uint64_t pte_gpa = guest_pte_gpa(&g, GVA), v = 0;
	uint8_t buffer[4097] = { 0 };

	guest_map(&g, GVA, DATA, P | W);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK);
	CHECK(umbra_written(g.vcpu, pte_gpa, 0) == UMBRA_SPLIT);
	CHECK(umbra_written(g.vcpu, pte_gpa | 4092, 8) == UMBRA_SPLIT);
	CHECK(umbra_written(g.vcpu, pte_gpa, ~0u) == UMBRA_SPLIT);
	CHECK(umbra_written(g.vcpu, pte_gpa & ~4095ull, 4096) == UMBRA_OK);
	CHECK(umbra_read_physical(g.vcpu, DATA + 4092, &v, 8) == UMBRA_SPLIT);
	CHECK(umbra_read_physical(g.vcpu, DATA, buffer, 4097) == UMBRA_SPLIT);
	CHECK(umbra_read_physical(g.vcpu, DATA, buffer, 0) == UMBRA_SPLIT);
	CHECK(umbra_read_physical(g.vcpu, DATA, buffer, 4096) == UMBRA_OK);
	finish(&g);
}

static void an_invalidation_ends_once(void)
{
	struct guest g = paged();
	struct umbra_invalidation inv = { { NULL } };
	uint64_t v;

	guest_map(&g, GVA, DATA, P | W);
	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_mmu_invalidate_end(&inv) == -EINVAL);
	umbra_mmu_invalidate_begin(g.mmu, g.memory + DATA, 4096, &inv);
	CHECK(umbra_mmu_invalidate_end(&inv) == 0);
	CHECK(umbra_mmu_invalidate_end(&inv) == -EINVAL);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK);
	finish(&g);
}

static void memory_that_is_withdrawn_is_not_used(void)
{
	struct guest g = paged();
	struct umbra_invalidation inv, outer;
	uint64_t v;

	guest_map(&g, GVA, DATA, P | W);
	guest_map(&g, GVA + 4096, DATA + 4096, P | W);
	CHECK(umbra_store64(g.vcpu, GVA, 7) == UMBRA_OK);
	umbra_vcpu_leave(g.vcpu);
	umbra_mmu_invalidate_begin(g.mmu, g.memory + MEMORY_BYTES, 1ull << 40, &outer);
	umbra_mmu_invalidate_begin(g.mmu, g.memory + DATA + 100, 1, &inv);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_RETRY);
	CHECK(umbra_store64(g.vcpu, GVA, 8) == UMBRA_RETRY);
	CHECK(umbra_store64(g.vcpu, GVA + 4096, 8) == UMBRA_OK);
	umbra_vcpu_leave(g.vcpu);
	CHECK(mmap(g.memory + DATA, 4096, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == g.memory + DATA);
	umbra_mmu_invalidate_end(&inv);
	umbra_mmu_invalidate_end(&outer);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK && v == 0);
	finish(&g);
}

/* The guest's tables are guest memory too: what lies there meanwhile is not the guest's. */
static void tables_that_are_withdrawn_are_not_read(void)
{
	static uint8_t saved[4 * 4096]; /* as many as there are levels */
	struct umbra_invalidation inv;
	struct guest g = paged();
	uint64_t v = 0;

	for (size_t page = 0; page < sizeof(saved); page += 4096)
		guest_map(&g, GVA + page, DATA + page, P | W);
	for (size_t first = 0; first < sizeof(saved); first += 4096) {
		uint8_t *tables = g.memory + TABLES + first;

		umbra_vcpu_leave(g.vcpu);
		umbra_mmu_invalidate_begin(g.mmu, tables, sizeof(saved) - first, &inv);
		memcpy(saved, tables, sizeof(saved) - first);
		memset(tables, 0, sizeof(saved) - first);
		umbra_vcpu_enter(g.vcpu);
		umbra_vcpu_flush(g.vcpu);
		CHECK(umbra_load64(g.vcpu, GVA + first, &v) == UMBRA_RETRY);
		CHECK(umbra_store64(g.vcpu, GVA + first, 1) == UMBRA_RETRY);
		umbra_vcpu_leave(g.vcpu);
		for (size_t i = 0; i < sizeof(saved) - first; i++)
			CHECK(!tables[i]);
		memcpy(tables, saved, sizeof(saved) - first);
		umbra_mmu_invalidate_end(&inv);
		umbra_vcpu_enter(g.vcpu);
	}
	CHECK(umbra_store64(g.vcpu, GVA, 1) == UMBRA_OK);
	finish(&g);
}

static void memory_that_vanishes_is_a_result(void)
{
	struct guest g = paged();
	const struct umbra_fault *f = umbra_vcpu_fault(g.vcpu);
	uint64_t v = 0;
	size_t done;

	guest_map(&g, GVA, DATA, P | W);
	guest_map(&g, GVA + 4096, DATA + 4096, P | W);
	CHECK(umbra_store64(g.vcpu, GVA, 7) == UMBRA_OK);
	CHECK(umbra_fetch64(g.vcpu, GVA, &v) == UMBRA_OK);
	CHECK(umbra_store64(g.vcpu, GVA, 7) == UMBRA_OK);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK);
	CHECK(mprotect(g.memory + DATA, 4096, PROT_NONE) == 0);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_HOST_FAULT && f->gpa == DATA);
	CHECK(umbra_store64(g.vcpu, GVA, 7) == UMBRA_HOST_FAULT && f->gpa == DATA);
	CHECK(umbra_xadd64(g.vcpu, GVA, &v) == UMBRA_HOST_FAULT);
	CHECK(umbra_store64(g.vcpu, GVA + 4092, 7) == UMBRA_HOST_FAULT);
	CHECK(umbra_read(g.vcpu, GVA + 4096, &v, 8, &done) == UMBRA_OK && done == 8);
	CHECK(umbra_read(g.vcpu, GVA, &v, 8, &done) == UMBRA_HOST_FAULT && done == 0);
	CHECK(mprotect(g.memory + DATA, 4096, PROT_READ) == 0);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK && v == 7);
	CHECK(umbra_store64(g.vcpu, GVA, 8) == UMBRA_HOST_FAULT);
	CHECK(mprotect(g.memory + DATA, 4096, PROT_READ | PROT_WRITE) == 0);
	CHECK(umbra_store64(g.vcpu, GVA, 8) == UMBRA_OK);
	finish(&g);
}

static void either_page_of_an_atomic_may_vanish(void)
{
	struct guest g = paged();
	uint64_t v = 0;

	/* A logged page has an entry of its own. */
	umbra_vcpu_leave(g.vcpu);
	set_logging(&g, true);
	umbra_vcpu_enter(g.vcpu);
	guest_map(&g, GVA, DATA, P | W);
	guest_map(&g, GVA + 4096, DATA + 4096, P | W);
	for (unsigned int i = 0; i < 2; i++) {
		uint8_t *page = g.memory + DATA + i * 4096;

		CHECK(umbra_xadd64(g.vcpu, GVA + 4092, &v) == UMBRA_OK);
		CHECK(mprotect(page, 4096, PROT_NONE) == 0);
		CHECK(umbra_xadd64(g.vcpu, GVA + 4092, &v) == UMBRA_HOST_FAULT);
		CHECK(umbra_vcpu_fault(g.vcpu)->gpa == (i ? DATA + 4096 : DATA + 4092));
		CHECK(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
	}
	finish(&g);
}

static void age_tells_use(void)
{
	struct guest g = paged();
	void *page = g.memory + DATA;
	uint64_t v;

	guest_map(&g, GVA, DATA, P | W);
	umbra_vcpu_leave(g.vcpu);
	CHECK(!umbra_mmu_age(g.mmu, page, 4096, UMBRA_AGE_TEST));
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK);
	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_mmu_age(g.mmu, page, 4096, UMBRA_AGE_TEST));
	CHECK(umbra_mmu_age(g.mmu, page, 4096, UMBRA_AGE_CLEAR_FLUSH));
	CHECK(!umbra_mmu_age(g.mmu, page, 4096, UMBRA_AGE_CLEAR));
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK);
	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_mmu_age(g.mmu, page, 1, UMBRA_AGE_CLEAR));
	/* Cleared already, and still in the TLB. */
	CHECK(!umbra_mmu_age(g.mmu, page, 1, UMBRA_AGE_CLEAR_FLUSH));
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_load64(g.vcpu, GVA, &v) == UMBRA_OK);
	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_mmu_age(g.mmu, page, 1, UMBRA_AGE_TEST));
	umbra_vcpu_enter(g.vcpu);
	finish(&g);
}

struct code_writes {
	unsigned int n;
	uint64_t gva, gpa;
};

static void code_was_written(void *context, struct umbra_vcpu *vcpu, uint64_t gva, uint64_t gpa)
{
	struct code_writes *w = context;

	CHECK(vcpu);
	w->n++;
	w->gva = gva;
	w->gpa = gpa;
}

static void writes_to_code_are_told(void)
{
	struct code_writes w = { 0 };
	struct umbra_mmu_config config = { .mode = mode, .code_written = code_was_written,
					   .context = &w };
	struct guest g;
	uint64_t v;

	guest_create_with(&g, &config);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_store64(g.vcpu, DATA, 1) == UMBRA_OK && w.n == 0);
	CHECK(umbra_fetch64(g.vcpu, DATA, &v) == UMBRA_OK && v == 1);
	CHECK(umbra_store64(g.vcpu, DATA + 16, 2) == UMBRA_OK && w.n == 1);
	CHECK(w.gva == DATA + 16 && w.gpa == DATA + 16);
	CHECK(umbra_store64(g.vcpu, DATA + 16, 3) == UMBRA_OK && w.n == 1);
	CHECK(umbra_fetch64(g.vcpu, DATA, &v) == UMBRA_OK);
	CHECK(umbra_store64(g.vcpu, DATA, 3) == UMBRA_OK && w.n == 2);
	/* Of two pages the second is faulted in when the first has been found. */
	umbra_vcpu_leave(g.vcpu);
	set_logging(&g, true);
	umbra_vcpu_enter(g.vcpu);
	CHECK(umbra_fetch64(g.vcpu, DATA, &v) == UMBRA_OK);
	CHECK(umbra_store64(g.vcpu, DATA + 4092, 4) == UMBRA_OK && w.n == 3);
	CHECK(w.gva == DATA + 4092 && w.gpa == DATA + 4092);
	finish(&g);
}

static void bytes_are_copied_page_by_page(void)
{
	static uint8_t from[10000], to[10000];
	struct guest g = paged();
	size_t done;

	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7);
	for (unsigned int i = 0; i < 3; i++)
		guest_map(&g, GVA + i * 4096, DATA + (2 - i) * 4096, P | W);
	CHECK(umbra_write(g.vcpu, GVA + 100, from, sizeof(from), &done) == UMBRA_OK);
	CHECK(done == sizeof(from));
	CHECK(umbra_read(g.vcpu, GVA + 100, to, sizeof(to), &done) == UMBRA_OK);
	CHECK(done == sizeof(to) && !memcmp(from, to, sizeof(to)));
	CHECK(!memcmp(g.memory + DATA + 2 * 4096 + 100, from, 3996));
	CHECK(umbra_read(g.vcpu, GVA + 8192, to, 8192, &done) == UMBRA_GUEST_FAULT);
	CHECK(done == 4096 && umbra_vcpu_fault(g.vcpu)->gva == GVA + 12288);
	CHECK(umbra_read_physical(g.vcpu, DATA, to, 16) == UMBRA_OK);
	CHECK(!memcmp(to, g.memory + DATA, 16));
	CHECK(umbra_read_physical(g.vcpu, 0x30000000, to, 16) == UMBRA_BAD_TABLES);
	finish(&g);
}

static void pae_has_four_pointers(void)
{
	struct guest g = unpaged();
	uint64_t *pdpt = guest_table(&g, TABLES), *pd = guest_table(&g, TABLES + 4096), v;
	struct umbra_paging p = { .cr0 = CR0_PE | CR0_PG, .cr3 = TABLES + 32, .cr4 = CR4_PAE };

	pdpt[4 + 3] = (TABLES + 4096) | P;
	pd[1] = DATA | P | W | PS;
	umbra_vcpu_set_paging(g.vcpu, &p);
	CHECK(umbra_vcpu_load_pdptrs(g.vcpu) == UMBRA_OK);
	CHECK(umbra_vcpu_paging(g.vcpu)->pdptr[3] == pdpt[7]);
	g.memory[DATA + 0x3000] = 9;
	CHECK(umbra_load(g.vcpu, 0xc0203000, 1, &v) == UMBRA_OK && v == 9);
	CHECK(umbra_load(g.vcpu, 0x80203000, 1, &v) == UMBRA_GUEST_FAULT);
	pdpt[4] = P | W;
	CHECK(umbra_vcpu_load_pdptrs(g.vcpu) == UMBRA_GUEST_FAULT);
	CHECK(umbra_vcpu_paging(g.vcpu)->pdptr[0] == 0);
	finish(&g);
}

static void counters_have_names(void)
{
	struct guest g = paged();
	uint64_t fills = 0, before, value;
	unsigned int n;
	const struct umbra_stat *list = umbra_stats(&n);

	CHECK(n > 30);
	for (unsigned int i = 0; i < n; i++)
		CHECK(list[i].meaning[0] && umbra_mmu_stat(g.mmu, list[i].name, &value) == 0);
	CHECK(umbra_mmu_stat(g.mmu, "exits", &value) == -ENOENT);
	CHECK(umbra_mmu_stat(g.mmu, "tlb_fills", &before) == 0);
	guest_map(&g, GVA, DATA, P | W);
	CHECK(umbra_store64(g.vcpu, GVA, 1) == UMBRA_OK);
	CHECK(umbra_mmu_stat(g.mmu, "tlb_fills", &fills) == 0 && fills > before);
	umbra_vcpu_leave(g.vcpu);
	umbra_vcpu_destroy(g.vcpu);
	CHECK(umbra_mmu_stat(g.mmu, "tlb_fills", &value) == 0 && value == fills);
	CHECK(umbra_mmu_stat(g.mmu, "slot_updates", &value) == 0 && value == 1);
	umbra_mmu_flush(g.mmu);
	CHECK(umbra_mmu_stat(g.mmu, "remote_tlb_flush", &value) == 0 && value == 1);
	CHECK(umbra_vcpu_create(g.mmu, &g.vcpu) == 0);
	guest_destroy(&g);
}

static void the_page_limit_holds(void)
{
	struct guest g = paged();
	uint64_t value;

	umbra_vcpu_leave(g.vcpu);
	CHECK(umbra_mmu_page_limit(g.mmu) == (MEMORY_BYTES >> 12) / 50);
	CHECK(umbra_mmu_set_page_limit(g.mmu, 63) == -EINVAL);
	CHECK(umbra_mmu_set_page_limit(g.mmu, 64) == 0 && umbra_mmu_page_limit(g.mmu) == 64);
	umbra_vcpu_enter(g.vcpu);
	for (uint64_t i = 0; i < 200; i++) {
		guest_map(&g, GVA + (i << 21), DATA, P | W);
		CHECK(umbra_store64(g.vcpu, GVA + (i << 21), i) == UMBRA_OK);
	}
	CHECK(umbra_mmu_stat(g.mmu, "mmu_tables", &value) == 0);
	CHECK(mode == UMBRA_MMU_TDP || value <= 64);
	finish(&g);
}

struct runner {
	struct guest *g;
	atomic_bool running;
	uint64_t n, last;
};

static void *run_until_kicked(void *arg)
{
	struct runner *r = arg;
	uint64_t v = 0, one;

	umbra_vcpu_enter(r->g->vcpu);
	while (!umbra_vcpu_poll(r->g->vcpu)) {
		one = 1;
		if (umbra_xadd64(r->g->vcpu, GVA, &one) == UMBRA_OK)
			r->n++;
		CHECK(umbra_load64(r->g->vcpu, GVA, &v) != UMBRA_GUEST_FAULT);
		atomic_store(&r->running, true);
	}
	umbra_vcpu_leave(r->g->vcpu);
	r->last = v;
	return NULL;
}

/* What another thread does to memory and slots happens between accesses. */
static void change_memory_under(struct guest g)
{
	static uint64_t log[MEMORY_BYTES >> 18];
	struct runner r = { .g = &g };
	struct umbra_invalidation inv;
	volatile uint64_t *word = (uint64_t *)(g.memory + DATA);
	pthread_t thread;

	guest_map(&g, GVA, DATA, P | W);
	umbra_vcpu_leave(g.vcpu);
	set_logging(&g, true);
	CHECK(pthread_create(&thread, NULL, run_until_kicked, &r) == 0);
	while (!atomic_load(&r.running))
		;
	for (int i = 0; i < 100; i++) {
		uint64_t seen;

		umbra_mmu_invalidate_begin(g.mmu, g.memory + DATA, 4096, &inv);
		seen = *word;
		for (int j = 0; j < 100; j++)
			CHECK(*word == seen);
		umbra_mmu_invalidate_end(&inv);
		CHECK(umbra_mmu_get_dirty_log(g.mmu, 0, log) == 0);
	}
	umbra_vcpu_kick(g.vcpu);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(*word == r.n && r.last <= r.n);
	guest_destroy(&g);
}

static void other_threads_are_waited_for(void)
{
	change_memory_under(paged());
}

static void other_threads_are_waited_for_or_interrupted(void)
{
	change_memory_under(paged_with(UMBRA_MMU_INTERRUPT));
}

struct idler {
	struct guest *g;
	atomic_bool is_in, may_go;
	enum umbra_result before, after;
};

/* Stands in guest mode and does not poll. */
static void *idle_in_guest_mode(void *arg)
{
	struct idler *i = arg;
	uint64_t v;

	umbra_vcpu_enter(i->g->vcpu);
	i->before = umbra_load64(i->g->vcpu, GVA, &v);
	atomic_store(&i->is_in, true);
	while (!atomic_load(&i->may_go))
		;
	i->after = umbra_load64(i->g->vcpu, GVA, &v);
	umbra_vcpu_leave(i->g->vcpu);
	return NULL;
}

static void *flush(void *arg)
{
	struct guest *g = arg;

	umbra_mmu_flush(g->mmu);
	return NULL;
}

/* Or, where the system refuses to interrupt it, the counter says that it is waited for. */
static void nobody_waits_for_who_can_be_interrupted(void)
{
	struct guest g = paged_with(UMBRA_MMU_INTERRUPT);
	struct idler i = { .g = &g };
	uint64_t interrupts = 0, sleeps = 0;
	pthread_t vcpu, flusher;

	guest_map(&g, GVA, DATA, P | W);
	umbra_vcpu_leave(g.vcpu);
	CHECK(pthread_create(&vcpu, NULL, idle_in_guest_mode, &i) == 0);
	while (!atomic_load(&i.is_in))
		;
	CHECK(pthread_create(&flusher, NULL, flush, &g) == 0);
	while (!interrupts && !sleeps) {
		CHECK(umbra_mmu_stat(g.mmu, "remote_tlb_flush_interrupts", &interrupts) == 0);
		CHECK(umbra_mmu_stat(g.mmu, "remote_tlb_flush_sleeps", &sleeps) == 0);
	}
	if (interrupts)
		CHECK(pthread_join(flusher, NULL) == 0);
	atomic_store(&i.may_go, true);
	if (!interrupts)
		CHECK(pthread_join(flusher, NULL) == 0);
	CHECK(pthread_join(vcpu, NULL) == 0);
	CHECK(i.before == UMBRA_OK && i.after == UMBRA_OK);
	guest_destroy(&g);
}

int main(void)
{
	static void (*const tests[])(void) = {
		bad_configurations_are_refused,
		an_mmu_outlives_its_vcpus,
		slots_answer_as_the_kernels,
		accesses_have_every_size_and_place,
		page_faults_say_why,
		accessed_and_dirty_bits_are_set,
		addresses_that_are_none_are_refused,
		mmio_is_told_with_its_address,
		a_translation_lasts_until_it_is_flushed,
		a_guests_own_tables_are_followed,
		writes_through_a_translation_are_followed_too,
		atomics_are_atomic,
		the_log_names_what_was_written,
		a_log_can_be_cleared_by_hand,
		rings_name_what_was_written_and_fill_up,
		writes_by_hand_fill_a_ring_up_too,
		what_is_not_within_a_page_is_refused,
		an_invalidation_ends_once,
		memory_that_is_withdrawn_is_not_used,
		tables_that_are_withdrawn_are_not_read,
		memory_that_vanishes_is_a_result,
		either_page_of_an_atomic_may_vanish,
		age_tells_use,
		writes_to_code_are_told,
		bytes_are_copied_page_by_page,
		pae_has_four_pointers,
		counters_have_names,
		the_page_limit_holds,
		other_threads_are_waited_for,
		other_threads_are_waited_for_or_interrupted,
		nobody_waits_for_who_can_be_interrupted,
	};

	for (mode = UMBRA_MMU_TDP; mode <= UMBRA_MMU_SHADOW; mode++)
		for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
			tests[i]();
	return 0;
}
