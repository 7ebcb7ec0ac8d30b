/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Batches of page records, by the trace event fake_dirty_batch. The kernel counts their classes and dispositions, so
 * that QEMU's own counts of a round can be checked against its pages.
 *
 * Defined on the command line: BATCHES, how many threads of all processes may report a batch at once.
 */

/* by thread; all elements are allocated at the start, so a running program never waits for the kernel's allocator */
BPF_F_TABLE("hash", u64, struct batch_event, batches, BATCHES, 0);
BPF_ARRAY(empty_batch, struct batch_event, 1);

static __always_inline struct batch_event *begin_batch(u64 thread)
{
    int zero = 0;
    struct batch_event *empty = empty_batch.lookup(&zero);

    if (!empty || batches.update(&thread, empty)) {
        return 0;
    }
    return batches.lookup(&thread);
}

static __always_inline void count_batch(struct process *p, struct batch_event *batch, u64 block, u64 round, u64 records,
                                        u64 count)
{
    u64 classes = 0, dispositions = 0;
    struct page_counts *counts = &p->counts[round & (ROUNDS - 1)];
    u32 bytes = (count & (2 * BATCH_PAGES - 1)) * sizeof(struct page_record);

    if (bytes > sizeof(batch->records) || bpf_probe_read_user(batch->records, bytes, (void *)records)) {
        count_loss(&p->head, LOST_UNREADABLE);
        return;
    }
    /* counters side by side in one word: a batch has at most 256 pages, which fit 12 bits */
    for (int i = 0; i < BATCH_PAGES; i++) {
        u64 tag;

        if (i >= count) {
            break;
        }
        tag = batch->records[i].tag;
        classes += 1ULL << (12 * (tag >> 8 & 3));
        dispositions += 1ULL << 12 * (tag & 7) % 64;
    }
    lock_xadd(&counts->visited_pages, count);
    lock_xadd(&counts->first_pages, classes & 0xfff);
    lock_xadd(&counts->changed_pages, classes >> 12 & 0xfff);
    lock_xadd(&counts->fake_pages, classes >> 24 & 0xfff);
    lock_xadd(&counts->normal_pages, dispositions & 0xfff);
    lock_xadd(&counts->zero_pages, dispositions >> 12 & 0xfff);
    lock_xadd(&counts->xbzrle_pages, dispositions >> 24 & 0xfff);
    lock_xadd(&counts->unchanged_pages, dispositions >> 36 & 0xfff);
    lock_xadd(&counts->skipped_pages, dispositions >> 48 & 0xfff);
#if PAGES
    fill_header(&p->head, &batch->header, EVENT_BATCH);
    batch->round = round;
    batch->count = count;
    if (bpf_probe_read_user_str(batch->block, sizeof(batch->block), (void *)block) < 0) {
        count_loss(&p->head, LOST_UNREADABLE);
        return;
    }
    send_batch(&p->head, batch, count);
#endif
}

static __always_inline int fake_dirty_batch(struct pt_regs *ctx, u64 block, u64 round, u64 records, u64 count)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct process *p = this_process();
    struct batch_event *batch;

    if (!p) {
        return 0;
    }
    batch = begin_batch(thread);
    if (!batch) {
        count_loss(&p->head, LOST_CROWDED);
        return 0;
    }
    count_batch(p, batch, block, round, records, count);
    batches.delete(&thread);
    return 0;
}
