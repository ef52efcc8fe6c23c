// SPDX-License-Identifier: MIT
// tests/embed/test_mmu.cc - <umbra/mmu.h> as a C++ program uses it: from templates and
// inline functions, of which the linker keeps one copy, and from threads.
#include <atomic>
#include <initializer_list>
#include <thread>

#include "guest.h"
#include "other.h"

namespace {

constexpr uint64_t data = 0x400000;

class Guest {
public:
	explicit Guest(umbra_mmu_mode mode)
	{
		umbra_mmu_config config = {};

		config.mode = mode;
		guest_create_with(&guest, &config);
		guest_page(&guest);
		umbra_vcpu_enter(guest.vcpu);
	}
	~Guest()
	{
		umbra_vcpu_leave(guest.vcpu);
		guest_destroy(&guest);
	}
	Guest(const Guest &) = delete;
	Guest &operator=(const Guest &) = delete;

	struct guest guest = {};
};

void accesses_work_in_templates(umbra_mmu_mode mode)
{
	Guest g(mode);
	umbra_vcpu *v = g.guest.vcpu;

	for (uint64_t page = 0; page < 4; page++)
		guest_map(&g.guest, page << 12, data + (page << 12), P | W);
	Cell<uint8_t> a(v, 0x1000);
	Cell<uint16_t> b(v, 0x1fff);
	Cell<uint32_t> c(v, 0x2004);
	Cell<uint64_t> d(v, 0x2ffc);
	CHECK(a.set(1) == UMBRA_OK && b.set(0x2345) == UMBRA_OK);
	CHECK(c.set(3) == UMBRA_OK && d.set(4) == UMBRA_OK);
	CHECK(a.get() == 1 && b.get() == 0x2345 && c.get() == 3 && d.get() == 4);
	CHECK(other_sum(v, 0x1000, 0x2004) == 4);
	CHECK((*guest_pte(&g.guest, 0x1000) & (A | D)) == (A | D));
}

/* The fixups of functions that come in several copies are found too. */
void memory_that_vanishes_is_a_result(umbra_mmu_mode mode)
{
	Guest g(mode);
	umbra_vcpu *v = g.guest.vcpu;

	guest_map(&g.guest, 0, data, P | W);
	Cell<uint32_t> cell(v, 0x10);
	CHECK(cell.set(5) == UMBRA_OK && cell.get() == 5);
	CHECK(mprotect(g.guest.memory + data, 4096, PROT_NONE) == 0);
	CHECK(cell.set(6) == UMBRA_HOST_FAULT);
	CHECK(other_sum(v, 0x10, 0x10) == 0);
	CHECK(mprotect(g.guest.memory + data, 4096, PROT_READ | PROT_WRITE) == 0);
	CHECK(cell.set(6) == UMBRA_OK && other_sum(v, 0x10, 0x10) == 12);
}

/* Two first touches may meet: the contract lets either of them be asked for again. */
template <typename Access> bool succeeds(Access access)
{
	umbra_result result;

	while ((result = access()) == UMBRA_RETRY)
		continue;
	return result == UMBRA_OK;
}

void vcpus_share_memory(umbra_mmu_mode mode)
{
	Guest g(mode);
	std::atomic<unsigned int> kicked{0};
	umbra_vcpu *second = nullptr;

	guest_map(&g.guest, 0, data, P | W);
	CHECK(umbra_vcpu_create(g.guest.mmu, &second) == 0);
	umbra_vcpu_set_paging(second, umbra_vcpu_paging(g.guest.vcpu));
	std::thread thread([&] {
		umbra_vcpu_enter(second);
		for (uint32_t i = 0; i < 10000; i++) {
			uint32_t one = 1;

			CHECK(succeeds([&] { return umbra_xadd32(second, 0, &one); }));
		}
		while (!umbra_vcpu_poll(second))
			continue;
		kicked++;
		umbra_vcpu_leave(second);
	});
	for (uint32_t i = 0; i < 10000; i++) {
		uint32_t old = 0;

		CHECK(succeeds([&] { return umbra_load32(g.guest.vcpu, 0, &old); }));
		for (uint32_t seen = old;; old = seen) {
			CHECK(succeeds([&] {
				return umbra_cmpxchg32(g.guest.vcpu, 0, &seen, old + 1);
			}));
			if (seen == old)
				break;
		}
		umbra_vcpu_poll(g.guest.vcpu);
	}
	umbra_vcpu_kick(second);
	thread.join();
	CHECK(kicked == 1);
	CHECK(Cell<uint32_t>(g.guest.vcpu, 0).get() == 20000);
	umbra_vcpu_destroy(second);
}

} // namespace

int main()
{
	for (umbra_mmu_mode mode : { UMBRA_MMU_TDP, UMBRA_MMU_SHADOW }) {
		accesses_work_in_templates(mode);
		memory_that_vanishes_is_a_result(mode);
		vcpus_share_memory(mode);
	}
	return 0;
}
