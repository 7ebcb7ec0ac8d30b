/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page records of the migration thread, which wait in a batch until it is full or a round ends. They are compiled
 * only where user space wants page records.
 */

#if PAGES
/* Send the page records that wait. */
static __always_inline void send_records(struct process *m)
{
    struct batch_event *batch = &m->batch;

    if (!batch->count) {
        return;
    }
    fill_header(&m->head, &batch->header, EVENT_BATCH);
    batch->header.tid = m->tid;
    batch->round = m->counts.round;
    send_batch(&m->head, batch, batch->count);
    batch->count = 0;
}

static __always_inline void add_record(struct process *m, u64 host, u64 hash, u64 class, u64 disposition)
{
    struct batch_event *batch = &m->batch;
    u32 index = batch->count;

    if (index >= BATCH_PAGES) {
        return;
    }
    batch->records[index].hash = hash;
    batch->records[index].tag = host / PAGE_BYTES << 16 | class << 8 | disposition;
    batch->count = index + 1;
    if (index + 1 == BATCH_PAGES) {
        send_records(m);
    }
}
#else
static __always_inline void send_records(struct process *m)
{
}

static __always_inline void add_record(struct process *m, u64 host, u64 hash, u64 class, u64 disposition)
{
}
#endif
