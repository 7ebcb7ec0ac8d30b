/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports sweeps on standard output, by the protocol of guests/README.md. */
#include <inttypes.h>
#include <stdio.h>

#include "sweep_report.h"

static uint64_t sweeps, since_ready_us, longest_us;

void sweeps_begin(void)
{
}

void sweep_ended(uint64_t us)
{
    sweeps++;
    since_ready_us += us;
    if (us > longest_us)
        longest_us = us;
}

void report_sweeps(void)
{
    printf("guest: sweeps %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", sweeps, since_ready_us / 1000, longest_us / 1000);
    longest_us = 0;
}
