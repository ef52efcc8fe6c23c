/* SPDX-License-Identifier: MIT */
/*
 * tests/style/reported.c - writes down all that Umbra reports on this host, one name a line,
 * for reported.py, which compares it with docs/REPORTED.md.
 *
 *	CPUID.LEAF.REGISTER.BIT	a feature; CPUID.LEAF[.REGISTER] where there are numbers
 *	CR4.BIT, EFER.BIT	what a guest may set
 *	MSR.INDEX		what KVM_GET_MSRS answers; the list is a part of it
 *	MSR_FEATURE.INDEX	KVM_GET_MSR_FEATURE_INDEX_LIST
 *	CAP.NAME, SYNC.BIT, ATTRIBUTE.GROUP.NUMBER
 */
#include <fcntl.h>
#include <stdio.h>
#include <umbra/umbra.h>

#include "cpu/state/control.h"
#include "cpu/state/cpuid.h"
#include "cpu/state/msr.h"

#define MAX_CAPABILITY 1024u
#define MAX_ATTRIBUTE 32u
/* AMD's processors have these bits of leaf 1's EDX in that of leaf 80000001h once more. */
#define AMD_REPEATS 0x0183f3ffu

static const char *const capability_names[] = {
#define CALL_NAME(name)
#define CALL_NAME_SINCE(name, number)
#define CAPABILITY_NAME(number, name) [number] = #name,
#include "kvm/calls/names.def"
#undef CALL_NAME
#undef CALL_NAME_SINCE
#undef CAPABILITY_NAME
};

/* Leaves, and words of others, that hold numbers and names; every other word is of bits. */
static bool leaf_is_of_numbers(uint32_t leaf, uint32_t subleaf)
{
	return leaf == 0 || leaf == 2 || leaf == 4 || leaf == 0x40000000 || leaf == 0x80000000 ||
	       (leaf == 0xd && subleaf != 1) || (leaf >= 0x80000002 && leaf <= 0x80000006);
}

static bool word_is_a_number(uint32_t leaf, unsigned int word)
{
	return (leaf == 1 && word < 2) || (leaf == 7 && word == 0) || (leaf == 0xd && word == 1) ||
	       (leaf == 0x80000001 && word == 0) || (leaf == 0x80000008 && word == 0);
}

static void write_word(const struct cpuid_entry *e, unsigned int word, uint32_t value,
		       uint32_t repeated)
{
	static const char *const names[] = { "EAX", "EBX", "ECX", "EDX" };

	if (word_is_a_number(e->leaf, word)) {
		printf("CPUID.%X.%s\n", e->leaf, names[word]);
		return;
	}
	if (e->leaf == 0x80000001 && word == 3)
		value &= ~repeated;
	for (unsigned int bit = 0; bit < 32; bit++)
		if (value >> bit & 1)
			printf("CPUID.%X.%s.%u\n", e->leaf, names[word], bit);
}

static void write_cpuid(void)
{
	static struct cpuid_entry entries[100];
	unsigned int n = cpuid_supported(entries, ARRAY_SIZE(entries));
	uint32_t repeated = 0;

	for (unsigned int i = 0; i < n; i++) {
		const struct cpuid_entry *e = &entries[i];
		const uint32_t words[] = { e->eax, e->ebx, e->ecx, e->edx };

		if (e->leaf == 1)
			repeated = e->edx & AMD_REPEATS;
		if (leaf_is_of_numbers(e->leaf, e->subleaf)) {
			if (!e->subleaf)
				printf("CPUID.%X\n", e->leaf);
			continue;
		}
		for (unsigned int word = 0; word < 4; word++)
			write_word(e, word, words[word], repeated);
	}
}

static void write_msrs(struct cpu *cpu)
{
	/* Where any processor or hypervisor has some. */
	static const uint32_t starts[] = { 0, 0x40000000, 0x4b560000, 0x80860000, 0xc0000000,
					   0xc0010000 };
	uint64_t value;

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		for (uint32_t index = starts[i]; index < starts[i] + 0x10000; index++)
			if (msr_read(cpu, index, &value, MSR_BY_CLIENT))
				printf("MSR.%X\n", index);
	for (unsigned int i = 0; i < n_msr_list; i++)
		if (!msr_read(cpu, msr_list[i], &value, MSR_BY_CLIENT))
			printf("MSR.%X\n", msr_list[i]);
	for (unsigned int i = 0; i < n_msr_feature_list; i++)
		printf("MSR_FEATURE.%X\n", msr_feature_list[i]);
}

static void write_control_bits(const struct cpu *cpu)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (control_cr4_is_valid(cpu, 1ull << bit))
			printf("CR4.%u\n", bit);
		if (!(cpuid_efer_reserved(cpu) >> bit & 1))
			printf("EFER.%u\n", bit);
	}
}

static void write_capabilities(int kvm, int vm)
{
	for (unsigned long n = 0; n < MAX_CAPABILITY; n++) {
		if (umbra_check_extension(kvm, n) <= 0 && umbra_check_extension(vm, n) <= 0)
			continue;
		if (n < ARRAY_SIZE(capability_names) && capability_names[n])
			printf("CAP.%s\n", capability_names[n]);
		else
			printf("CAP.%lu\n", n);
	}
	for (unsigned int bit = 0; bit < 31; bit++)
		if (umbra_check_extension(vm, KVM_CAP_SYNC_REGS) >> bit & 1)
			printf("SYNC.%u\n", bit);
}

static void write_attributes(const char *of, int fd)
{
	for (uint32_t i = 0; i < MAX_ATTRIBUTE * MAX_ATTRIBUTE; i++) {
		struct kvm_device_attr attr = { .group = i / MAX_ATTRIBUTE,
						.attr = i % MAX_ATTRIBUTE };

		if (!umbra_ioctl(fd, KVM_HAS_DEVICE_ATTR, (uintptr_t)&attr))
			printf("ATTRIBUTE.%s.%u.%llu\n", of, attr.group,
			       (unsigned long long)attr.attr);
	}
}

int main(void)
{
	static struct cpu cpu;
	int kvm = umbra_open(O_RDWR), vm = (int)umbra_create_vm(kvm, 0);
	int vcpu = (int)umbra_create_vcpu(vm, 0);

	if (kvm < 0 || vm < 0 || vcpu < 0)
		return 1;
	write_cpuid();
	write_control_bits(&cpu);
	write_msrs(&cpu);
	write_capabilities(kvm, vm);
	write_attributes("SYSTEM", kvm);
	write_attributes("VM", vm);
	write_attributes("VCPU", vcpu);
	umbra_close(vcpu);
	umbra_close(vm);
	umbra_close(kvm);
	return 0;
}
