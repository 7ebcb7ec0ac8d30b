/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How workingset.c reports its sweeps: on the console (linux), or as operations (services). */
#ifndef GUESTS_SWEEP_REPORT_H
#define GUESTS_SWEEP_REPORT_H

#include <stdint.h>

/* Called when the sets are filled. */
void sweeps_begin(void);

/* Called after a sweep, which took `us` microseconds with its pause. */
void sweep_ended(uint64_t us);

/* Report the sweeps since the previous report. */
void report_sweeps(void);

#endif
