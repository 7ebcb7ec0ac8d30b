/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ycsb STORE A-F RECORDS [PORT]: the core workloads of the Yahoo! Cloud Serving Benchmark (Cooper et al., SoCC 2010).
 * The program is our own; request mixes, distributions and sizes are those of YCSB. It makes one request at a time.
 *
 * A record of ten fields is one value. An update draws a new content for one field. A scan reads up to 100 consecutive
 * records in one request.
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
#define LOAD_BATCH 32

enum request { READ, UPDATE, INSERT, SCAN, MODIFY, REQUESTS };

struct workload {
    unsigned percent[REQUESTS];
    bool latest; /* the newest records are the most frequent ones; otherwise the frequent ones are scattered */
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

/* Fill a field with printable characters, the same for the same seed. */
static void fill(char *field, uint64_t seed)
{
    uint64_t state = scatter(seed);

    for (unsigned i = 0; i < FIELD_BYTES; i++) {
        if (i % 8 == 0)
            state = state * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
        field[i] = '0' + (state >> 8 * (i % 8) & 63);
    }
}

static void send_record(struct store *store, uint64_t key, bool update)
{
    char record[RECORD_BYTES];
    unsigned drawn = uniform(&random_state) * FIELDS;

    for (unsigned i = 0; i < FIELDS; i++)
        fill(record + i * FIELD_BYTES, update && i == drawn ? random_state : key * FIELDS + i);
    store_send_set(store, key, record, sizeof(record));
}

static void put(struct store *store, uint64_t key, bool update)
{
    send_record(store, key, update);
    store_await_sets(store, 1);
}

static void load(struct store *store, uint64_t records)
{
    for (uint64_t key = 0; key < records;) {
        unsigned sent = 0;

        while (sent < LOAD_BATCH && key < records) {
            send_record(store, key++, false);
            sent++;
        }
        store_await_sets(store, sent);
    }
}

static uint64_t choose_key(const struct workload *workload)
{
    uint64_t item = zipfian_item(&zipfian, uniform(&random_state));

    return workload->latest ? zipfian.items - 1 - item : scatter(item) % zipfian.items;
}

static enum request draw_request(const struct workload *workload)
{
    int drawn = uniform(&random_state) * 100;
    enum request request = READ;

    while ((drawn -= workload->percent[request]) >= 0)
        request++;
    return request;
}

static void perform(struct store *store, const struct workload *workload)
{
    uint64_t key;

    switch (draw_request(workload)) {
    case READ:
        store_get(store, choose_key(workload), 1);
        break;
    case UPDATE:
        put(store, choose_key(workload), true);
        break;
    case INSERT:
        put(store, zipfian.items, false);
        zipfian_grow(&zipfian, zipfian.items + 1);
        break;
    case SCAN:
        store_get(store, choose_key(workload), 1 + uniform(&random_state) * SCAN_MAX);
        break;
    case MODIFY:
        key = choose_key(workload);
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
        uint64_t start = now_ns();

        perform(&store, &workloads[which]);
        meter_latency(now_ns() - start);
        meter_operations(1);
    }
}
