/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of the sweeps of workingset.c: told on the console (linux), or metered (services). */
#ifndef GUESTS_SWEEPING_H
#define GUESTS_SWEEPING_H

#include <stdint.h>

/* The sets are filled. */
void sweeping_begins(void);

/* A sweep, with its pause, took `us`. */
void swept(uint64_t us);

/* Time to tell of those since the report before. */
void report_sweeps(void);

#endif
