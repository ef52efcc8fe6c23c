/* SPDX-License-Identifier: MIT */
/* tests/embed/other.h - a template that two units of translation instantiate. */
#ifndef TESTS_MMU_API_OTHER_H
#define TESTS_MMU_API_OTHER_H

#include <umbra/mmu.h>

/* A number in guest memory. */
template <typename T> class Cell {
public:
	Cell(umbra_vcpu *vcpu, uint64_t gva) : vcpu_(vcpu), gva_(gva) {}
	__attribute__((noinline)) T get() const
	{
		uint64_t value = 0;

		umbra_load(vcpu_, gva_, sizeof(T), &value);
		return T(value);
	}
	__attribute__((noinline)) umbra_result set(T value) const
	{
		return umbra_store(vcpu_, gva_, sizeof(T), value);
	}

private:
	umbra_vcpu *vcpu_;
	uint64_t gva_;
};

uint32_t other_sum(umbra_vcpu *vcpu, uint64_t a, uint64_t b);

#endif
