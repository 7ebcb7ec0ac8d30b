/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ycsb STORE A-F RECORDS [PORT]: the core workloads of the Yahoo! Cloud Serving Benchmark (Cooper et al., SoCC 2010), as a
 * client of our own: request mixes, distributions and sizes are theirs, the program is not. One request at a time.
 *
 * A record of ten fields is one value. An update draws one field anew. A scan asks for up to 100 records that follow
 * one another, in one request.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "meter.h"
#include "store.h"
#include "zipfian.h"

#define FIELDS 10
#define FIELD_BYTES 100
#define RECORD_BYTES (FIELDS * FIELD_BYTES)
#define SCAN_MAX 100
#define LOADED_AT_ONCE 32

enum request { READ, UPDATE, INSERT, SCAN, MODIFY, REQUESTS };

struct workload {
    unsigned percent[REQUESTS];
    bool latest; /* the newest records are the frequent ones; otherwise some, all over */
};

static const struct workload workloads[] = {
    {.percent = {[READ] = 50, [UPDATE] = 50}},
    {.percent = {[READ] = 95, [UPDATE] = 5}},
    {.percent = {[READ] = 100}},
    {.percent = {[READ] = 95, [INSERT] = 5}, .latest = true},
    {.percent = {[SCAN] = 95, [INSERT] = 5}},
    {.percent = {[READ] = 50, [MODIFY] = 50}},
};

static uint64_t random_state = 0x9e3779b97f4a7c15;
static struct zipfian zipfian;

/* what a field holds: printable, and the same for the same seed */
static void fill(char *field, uint64_t seed)
{
    uint64_t state = scattered(seed);

    for (unsigned i = 0; i < FIELD_BYTES; i++) {
        if (i % 8 == 0)
            state = state * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
        field[i] = '0' + (state >> 8 * (i % 8) & 63);
    }
}

static void send_record(struct store *store, uint64_t key, bool anew)
{
    char record[RECORD_BYTES];
    unsigned drawn = uniform(&random_state) * FIELDS;

    for (unsigned i = 0; i < FIELDS; i++)
        fill(record + i * FIELD_BYTES, anew && i == drawn ? random_state : key * FIELDS + i);
    store_send_set(store, key, record, sizeof(record));
}

static void put(struct store *store, uint64_t key, bool anew)
{
    send_record(store, key, anew);
    store_await_sets(store, 1);
}

static void load(struct store *store, uint64_t records)
{
    for (uint64_t key = 0; key < records;) {
        unsigned sent = 0;

        while (sent < LOADED_AT_ONCE && key < records) {
            send_record(store, key++, false);
            sent++;
        }
        store_await_sets(store, sent);
    }
}

static uint64_t chosen(const struct workload *workload)
{
    uint64_t item = zipfian_item(&zipfian, uniform(&random_state));

    return workload->latest ? zipfian.items - 1 - item : scattered(item) % zipfian.items;
}

static enum request drawn_request(const struct workload *workload)
{
    int drawn = uniform(&random_state) * 100;
    enum request request = READ;

    while ((drawn -= workload->percent[request]) >= 0)
        request++;
    return request;
}

static void carry_out(struct store *store, const struct workload *workload)
{
    uint64_t key;

    switch (drawn_request(workload)) {
    case READ:
        store_get(store, chosen(workload), 1);
        break;
    case UPDATE:
        put(store, chosen(workload), true);
        break;
    case INSERT:
        put(store, zipfian.items, false);
        zipfian_grow(&zipfian, zipfian.items + 1);
        break;
    case SCAN:
        store_get(store, chosen(workload), 1 + uniform(&random_state) * SCAN_MAX);
        break;
    case MODIFY:
        key = chosen(workload);
        store_get(store, key, 1);
        put(store, key, true);
        break;
    default:
        abort();
    }
}

int main(int argc, char **argv)
{
    struct store store;
    unsigned which = argc > 2 ? argv[2][0] - 'A' : -1;
    uint64_t records = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

    meter_open();
    if (which >= sizeof(workloads) / sizeof(*workloads) || !records)
        meter_fail("ycsb STORE A-F RECORDS [PORT]");
    store_open(&store, argv[1], argc > 4 ? atoi(argv[4]) : 0);
    load(&store, records);
    zipfian_grow(&zipfian, records);
    meter_start();
    for (;;) {
        uint64_t began = now_ns();

        carry_out(&store, &workloads[which]);
        meter_latency(now_ns() - began);
        meter_operations(1);
    }
}
