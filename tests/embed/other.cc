// SPDX-License-Identifier: MIT
// tests/embed/other.cc - the second unit.
#include "other.h"

uint32_t other_sum(umbra_vcpu *vcpu, uint64_t a, uint64_t b)
{
	return uint32_t(Cell<uint8_t>(vcpu, a).get()) + Cell<uint32_t>(vcpu, b).get();
}
