/* SPDX-License-Identifier: MIT */
/* Scenarios in the language of `umbra check --generate`: what it prints of a finding goes here. */
#include "check/generate/scenario.h"

/* The guest cleans a page that another vCPU may write to: a load of CR3 takes W from its entry. */
GENERATED(w_lost_by_sync,
	"paged,log:v0.read11,v0.fill7,v0.exit,v1.write2,v1.exit:"
	"v0.clean2,v0.load8,v0.read3+v1.write2+client.get0",
	.about = "a log is taken after the guest has made an entry clean, and a load of CR3 has "
		 "followed it",
	.modes = SHADOW_ONLY,
	.bound = -2)
