/* SPDX-License-Identifier: MIT */
/*
 * cpu/state/mce.h - machine checks: registers, and errors that the client reports.  SDM 3B 16.3.
 *
 * There are as many banks as the client asks for; without that, none.
 */
#ifndef CPU_MCE_H
#define CPU_MCE_H

#include "cpu/state/msr.h"

#define MCG_CTL_P (1ull << 8)
#define MCG_CMCI_P (1ull << 10)	/* an interrupt tells of errors */
#define MCG_SER_P (1ull << 24)	/* errors that software can recover from */
#define MCE_SUPPORTED (MCG_CTL_P | MCG_CMCI_P | MCG_SER_P)

struct mce_error {
	uint64_t status, address, misc, mcg_status;
	uint8_t bank;
};

/* False: more banks than there can be, none, or what is not supported; nothing has changed. */
bool mce_setup(struct cpu *cpu, uint64_t capabilities);
/* False: it is not a valid error, or there is no such bank.  *interrupts: the local APIC's CMCI is
 * due. */
bool mce_report(struct cpu *cpu, const struct mce_error *e, bool *interrupts);

/* Of a processor with all banks. */
bool mce_is_register(uint32_t index);

/* MSRs; *known is false if @index is not one of these. */
bool mce_read(const struct cpu *cpu, uint32_t index, uint64_t *value, enum msr_access who,
	      bool *known);
bool mce_write(struct cpu *cpu, uint32_t index, uint64_t value, enum msr_access who, bool *known);

#endif
