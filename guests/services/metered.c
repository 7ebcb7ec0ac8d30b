/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports the sweeps of a working set as operations, at the end of a sweep, so that no sweep is divided. */
#include "../sweep_report.h"
#include "meter.h"

void sweeps_begin(void)
{
    meter_open();
}

void sweep_ended(uint64_t us)
{
    meter_operations(1);
    meter_latency(us * 1000);
}

void report_sweeps(void)
{
    meter_report();
}
