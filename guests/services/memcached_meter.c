/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memcached_meter PORT: reports the operations of the memcached on this port, by its own counters. For the latency it
 * makes a request every few milliseconds, which is not counted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meter.h"
#include "store.h"

#define PROBE_MS 2

/* the gets and sets since memcached was started */
static uint64_t served(struct store *store)
{
    char line[256];
    uint64_t gets = 0, sets = 0;

    store_send_line(store, "stats");
    while (strcmp(store_read_line(store, line, sizeof(line)), "END")) {
        sscanf(line, "STAT cmd_get %" SCNu64, &gets);
        sscanf(line, "STAT cmd_set %" SCNu64, &sets);
    }
    return gets + sets;
}

int main(int argc, char **argv)
{
    struct store store;
    uint64_t before, due;

    meter_open();
    store_open(&store, "memcached", argc > 1 ? atoi(argv[1]) : 0);
    before = served(&store);
    for (due = now_ns() + METER_MS * 1000000ULL;; due = now_ns() + METER_MS * 1000000ULL) {
        uint64_t now, own = 0;

        while (now_ns() < due) {
            uint64_t start = now_ns();

            store_get(&store, 0, 1);
            meter_latency(now_ns() - start);
            own++;
            nanosleep(&(struct timespec){0, PROBE_MS * 1000000}, NULL);
        }
        now = served(&store);
        meter_operations(now - before - own);
        meter_report();
        before = now;
    }
}
