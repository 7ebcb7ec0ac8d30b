/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loaded into sysbench, because sysbench itself reports at most once a second. When an event begins, sysbench reads the
 * clock into the first half of a timer; when it ends, into the second half. This library counts the second readings.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "meter.h"

static __thread bool is_main; /* the main thread has other timers, and no events */

static void __attribute__((constructor)) start(void)
{
    is_main = true;
    meter_open();
    meter_start();
}

static void __attribute__((destructor)) stop(void)
{
    meter_report();
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static __thread const struct timespec *before;
    static __thread uint64_t start_ns;
    int failed = syscall(SYS_clock_gettime, clock, time);
    uint64_t now;

    if (failed || clock != CLOCK_MONOTONIC || is_main)
        return failed;
    now = (uint64_t)time->tv_sec * 1000000000 + time->tv_nsec;
    if (time == before + 1) {
        meter_latency(now - start_ns);
        meter_operations(1);
    }
    before = time;
    start_ns = now;
    return 0;
}
