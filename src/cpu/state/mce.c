/* SPDX-License-Identifier: MIT */
#include "cpu/state/mce.h"

#include <string.h>

#include "mmu/guest/x86.h"

enum {
	MSR_MCG_CAP = 0x179,
	MSR_MCG_STATUS = 0x17a,
	MSR_MCG_CTL = 0x17b,
	MSR_MC0_CTL2 = 0x280,
	MSR_MC0_CTL = 0x400,
};
/* The registers of a bank. */
enum { BANK_CTL, BANK_STATUS, BANK_ADDRESS, BANK_MISC };

#define MCG_BANKS 0xffull
#define MCG_EXTENDED 0xff0000ull	/* how many registers more; here it means nothing */
#define MCG_IN_PROGRESS (1ull << 2)
#define STATUS_VALID (1ull << 63)
#define STATUS_OVERFLOW (1ull << 62)
#define STATUS_UNCORRECTED (1ull << 61)
#define STATUS_CONTEXT_CORRUPT (1ull << 57)
#define STATUS_SIGNALED (1ull << 56)
#define STATUS_ACTION_REQUIRED (1ull << 55)
#define CTL2_CMCI_ENABLED (1ull << 30)
#define CTL2_KNOWN (CTL2_CMCI_ENABLED | 0x7fff)
/* Linux on AMD's processors clears bit 10 of bank 4, and some guests bit 0. */
#define CTL_LENIENT (1ull << 10 | 1)

static unsigned int n_banks(const struct cpu *cpu)
{
	return cpu->mce.capabilities & MCG_BANKS;
}

bool mce_setup(struct cpu *cpu, uint64_t capabilities)
{
	unsigned int n = capabilities & MCG_BANKS;

	if (!n || n > MCE_MAX_BANKS ||
	    (capabilities & ~(MCE_SUPPORTED | MCG_BANKS | MCG_EXTENDED)))
		return false;
	memset(&cpu->mce, 0, sizeof(cpu->mce));
	cpu->mce.capabilities = capabilities;
	if (capabilities & MCG_CTL_P)
		cpu->mce.ctl = ~0ull;
	for (unsigned int i = 0; i < n; i++)
		cpu->mce.bank[i][BANK_CTL] = ~0ull;
	return true;
}

static void log_error(struct cpu *cpu, const struct mce_error *e)
{
	uint64_t *bank = cpu->mce.bank[e->bank];

	bank[BANK_STATUS] = e->status | (bank[BANK_STATUS] & STATUS_VALID ? STATUS_OVERFLOW : 0);
	bank[BANK_ADDRESS] = e->address;
	bank[BANK_MISC] = e->misc;
}

/* Uncorrected, no action required: nothing but an interrupt, if anything, tells of it. */
static bool is_ucna(const struct mce_error *e)
{
	return !e->mcg_status &&
	       !(e->status & (STATUS_CONTEXT_CORRUPT | STATUS_SIGNALED | STATUS_ACTION_REQUIRED));
}

static bool report_ucna(struct cpu *cpu, const struct mce_error *e)
{
	uint64_t *bank = cpu->mce.bank[e->bank];

	bank[BANK_STATUS] = e->status;
	bank[BANK_ADDRESS] = e->address;
	bank[BANK_MISC] = e->misc;
	return cpu->mce.ctl2[e->bank] & CTL2_CMCI_ENABLED;
}

bool mce_report(struct cpu *cpu, const struct mce_error *e, bool *interrupts)
{
	bool uncorrected = e->status & STATUS_UNCORRECTED;
	uint64_t *bank;

	*interrupts = false;
	if (e->bank >= n_banks(cpu) || !(e->status & STATUS_VALID))
		return false;
	if (is_ucna(e)) {
		*interrupts = report_ucna(cpu, e);
		return true;
	}
	bank = cpu->mce.bank[e->bank];
	if (!uncorrected) {
		/* It does not displace a worse one. */
		if ((bank[BANK_STATUS] & (STATUS_VALID | STATUS_UNCORRECTED)) ==
		    (STATUS_VALID | STATUS_UNCORRECTED))
			bank[BANK_STATUS] |= STATUS_OVERFLOW;
		else
			log_error(cpu, e);
		return true;
	}
	/* The guest does not want to know. */
	if (bank[BANK_CTL] != ~0ull ||
	    ((cpu->mce.capabilities & MCG_CTL_P) && cpu->mce.ctl != ~0ull))
		return true;
	if ((cpu->mce.status & MCG_IN_PROGRESS) || !(cpu->mmu.paging.cr4 & X86_CR4_MCE)) {
		cpu->shutdown = true;
		return true;
	}
	log_error(cpu, e);
	cpu->mce.status = e->mcg_status;
	cpu->event = (struct cpu_event){ .pending = true, .vector = EXC_MC };
	return true;
}

static bool is_ctl2(const struct cpu *cpu, uint32_t index)
{
	return index - MSR_MC0_CTL2 < n_banks(cpu);
}

/* NULL: not of a bank that there is. */
static uint64_t *bank_word(const struct cpu *cpu, uint32_t index)
{
	if (is_ctl2(cpu, index))
		return (uint64_t *)&cpu->mce.ctl2[index - MSR_MC0_CTL2];
	if (index - MSR_MC0_CTL >= 4 * n_banks(cpu))
		return NULL;
	return (uint64_t *)&cpu->mce.bank[(index - MSR_MC0_CTL) / 4][index % 4];
}

/* To the client the second control registers are there, and zero, whatever it has asked for. */
static bool lacks_ctl2(const struct cpu *cpu, uint64_t value, enum msr_access who)
{
	return !(cpu->mce.capabilities & MCG_CMCI_P) && (who == MSR_BY_GUEST || value);
}

bool mce_is_register(uint32_t index)
{
	return (index >= MSR_MCG_CAP && index <= MSR_MCG_CTL) ||
	       index - MSR_MC0_CTL2 < MCE_MAX_BANKS ||
	       index - MSR_MC0_CTL < 4 * MCE_MAX_BANKS;
}

bool mce_read(const struct cpu *cpu, uint32_t index, uint64_t *value, enum msr_access who,
	      bool *known)
{
	const uint64_t *word = bank_word(cpu, index);

	*known = true;
	switch (index) {
	case MSR_MCG_CAP:
		*value = cpu->mce.capabilities;
		return true;
	case MSR_MCG_STATUS:
		*value = cpu->mce.status;
		return true;
	case MSR_MCG_CTL:
		*value = cpu->mce.ctl;
		return cpu->mce.capabilities & MCG_CTL_P;
	default:
		*known = word;
		*value = word ? *word : 0;
		return word && !(is_ctl2(cpu, index) && lacks_ctl2(cpu, 0, who));
	}
}

static bool write_bank(uint64_t *word, uint32_t index, uint64_t value, enum msr_access who)
{
	if (index % 4 == BANK_CTL && value && (value | CTL_LENIENT) != ~0ull)
		return false;
	/* The guest can only clear it. */
	if (index % 4 == BANK_STATUS && value && who == MSR_BY_GUEST)
		return false;
	*word = value;
	return true;
}

static bool write_ctl2(struct cpu *cpu, uint64_t *word, uint64_t value, enum msr_access who)
{
	if (lacks_ctl2(cpu, value, who) || (value & ~CTL2_KNOWN))
		return false;
	*word = value;
	return true;
}

bool mce_write(struct cpu *cpu, uint32_t index, uint64_t value, enum msr_access who, bool *known)
{
	uint64_t *word = bank_word(cpu, index);

	*known = true;
	switch (index) {
	case MSR_MCG_STATUS:
		cpu->mce.status = value;
		return true;
	case MSR_MCG_CTL:
		if (!(cpu->mce.capabilities & MCG_CTL_P))
			return who == MSR_BY_CLIENT && !value;
		if (value && value != ~0ull)
			return false;
		cpu->mce.ctl = value;
		return true;
	default:
		*known = word;
		if (word && is_ctl2(cpu, index))
			return write_ctl2(cpu, word, value, who);
		return word && write_bank(word, index, value, who);
	}
}
