/* SPDX-License-Identifier: MIT */
/* The archive in a program that uses, for its own things, names of our inside. */
#include <stdlib.h>
#include <umbra/umbra.h>

#define OURS(name)        \
	void name(void);  \
	void name(void)   \
	{                 \
		abort();  \
	}

OURS(log_emit)
OURS(mutex_init)
OURS(process_init)
OURS(slots_set_region)
OURS(vm_create)
OURS(vcpu_create)
OURS(commands)

int main(void)
{
	int kvm = umbra_open(0), vm = (int)umbra_create_vm(kvm, 0);

	return umbra_create_vcpu(vm, 0) < 0 || umbra_close(vm) || umbra_close(kvm);
}
