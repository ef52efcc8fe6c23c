/* SPDX-License-Identifier: MIT */
/* tests/embed/nothing.c - the header as C11, with no inline access used. */
#include <umbra/mmu.h>

int main(void)
{
	struct umbra_mmu_config config = { .physical_bits = 36 };
	struct umbra_mmu *mmu;

	return umbra_mmu_create(&config, &mmu) || umbra_mmu_destroy(mmu);
}
