/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sweeps of a working set as operations. A report comes at the end of a sweep, so that none is cut in two. */
#include "../sweeping.h"
#include "meter.h"

void sweeping_begins(void)
{
    meter_open();
}

void swept(uint64_t us)
{
    meter_operations(1);
    meter_latency(us * 1000);
}

void report_sweeps(void)
{
    meter_report();
}
