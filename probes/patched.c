/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU with the series: its trace events, one trap per batch of pages, nothing hashed here.
 *
 * Of every batch the kernel counts classes and dispositions by itself, so that what QEMU says of a round
 * can be held against what was seen of its pages. User space appends one small program per USDT
 * location, which fetches the arguments and calls the handler of the event's name.
 *
 * With multifd the threads of all channels report what they send, each for itself and at the same time. So nothing that
 * a program works on is shared: a batch lies in an element of its thread's own, which is there while the program runs,
 * and a round on the stack. What all of them count is added to in one step.
 *
 * A round is reported when all batches of it were, and the reports of rounds come one after the other: then nobody adds
 * to its counts any more.
 *
 * Defined on the command line: BATCHES, how many threads may be at a batch at once, of all processes; and what rings.c
 * wants.
 */

#define ROUNDS 16 /* rounds that may be open at once; a power of two */

struct process {
    struct process_head head;
    struct seen_counts seen[ROUNDS];
};

/* by thread, and there from the start: the kernel allocates nothing while a program runs */
BPF_F_TABLE("hash", u64, struct batch_event, batches, BATCHES, 0);
BPF_ARRAY(empty_batch, struct batch_event, 1);

BPF_ARRAY(process_state, struct process, 1); /* what each process's own map is like */
BPF_ARRAY_OF_MAPS(observed, "process_state", PROCESSES);

/* the state, if the process is observed */
static __always_inline struct process *process_of(u32 tgid)
{
    int slot = slot_of(tgid);

    return slot ? state_in(observed.lookup(&slot), tgid) : 0;
}

static __always_inline struct process *process(void)
{
    return process_of(bpf_get_current_pid_tgid() >> 32);
}

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
    struct seen_counts *counts = &p->seen[round & (ROUNDS - 1)];
    u32 bytes = (count & (2 * BATCH_PAGES - 1)) * sizeof(struct page_record);

    if (bytes > sizeof(batch->records) || bpf_probe_read_user(batch->records, bytes, (void *)records)) {
        lose(&p->head, LOST_UNREADABLE);
        return;
    }
    /* counters side by side in one word: a batch has 256 pages at most, which fit 12 bits */
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
    head(&p->head, &batch->header, EVENT_BATCH);
    batch->round = round;
    batch->count = count;
    if (bpf_probe_read_user_str(batch->block, sizeof(batch->block), (void *)block) < 0) {
        lose(&p->head, LOST_UNREADABLE);
        return;
    }
    hand_on(&p->head, batch, count);
#endif
}

static __always_inline int fake_dirty_batch(struct pt_regs *ctx, u64 block, u64 round, u64 records, u64 count)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct process *p = process();
    struct batch_event *batch;

    if (!p) {
        return 0;
    }
    batch = begin_batch(thread);
    if (!batch) {
        lose(&p->head, LOST_CROWDED);
        return 0;
    }
    count_batch(p, batch, block, round, records, count);
    batches.delete(&thread);
    return 0;
}

/* of a round that is over; its place is the next one's to come that has it */
static __always_inline void take_counts(struct process *p, u64 round, struct seen_counts *seen)
{
    struct seen_counts *counts = &p->seen[round & (ROUNDS - 1)];

    *seen = *counts;
    __builtin_memset(counts, 0, sizeof(*counts));
}

/* of a series whose records have no version, and one size */
static __always_inline int fake_dirty_round(struct pt_regs *ctx, u64 round, u64 visited, u64 fake, u64 skipped,
                                            u64 record, u64 size)
{
    struct process *p = process();
    struct round_event event = {};

    if (!p) {
        return 0;
    }
    head(&p->head, &event.header, EVENT_ROUND);
    take_counts(p, round, &event.seen);
    if (size != sizeof(event.record) || bpf_probe_read_user(&event.record, sizeof(event.record), (void *)record)) {
        lose(&p->head, LOST_UNREADABLE);
        return 0;
    }
    tell(&p->head, &event, sizeof(event));
    return 0;
}

/* the record says how long it is: what is known of it here is read, and user space told how much that was */
static __always_inline int migration_round(struct pt_regs *ctx, u64 round, u64 dirty, u64 visited, u64 left, u64 record,
                                           u64 size)
{
    struct process *p = process();
    struct migration_round_event event = {};
    u32 bytes = size > sizeof(event.record) ? sizeof(event.record) : size;

    if (!p) {
        return 0;
    }
    head(&p->head, &event.header, EVENT_MIGRATION_ROUND);
    take_counts(p, round, &event.seen);
    if (bytes > sizeof(event.record) || bpf_probe_read_user(&event.record, bytes, (void *)record)) {
        lose(&p->head, LOST_UNREADABLE);
        return 0;
    }
    event.record_bytes = bytes;
    tell(&p->head, &event, sizeof(event));
    return 0;
}

static __always_inline int fake_dirty_mode(struct pt_regs *ctx, u64 round, u64 from, u64 to, u64 hash)
{
    struct process *p = process();
    struct mode_event event = {};

    if (!p) {
        return 0;
    }
    head(&p->head, &event.header, EVENT_MODE);
    event.round = round;
    bpf_probe_read_user_str(event.from_mode, sizeof(event.from_mode), (void *)from);
    bpf_probe_read_user_str(event.to_mode, sizeof(event.to_mode), (void *)to);
    bpf_probe_read_user_str(event.hash, sizeof(event.hash), (void *)hash);
    tell(&p->head, &event, sizeof(event));
    return 0;
}

static __always_inline int migrate_set_state(struct pt_regs *ctx, u64 state)
{
    struct process *p = process();
    struct state_event event = {};

    if (!p) {
        return 0;
    }
    head(&p->head, &event.header, EVENT_STATE);
    bpf_probe_read_user_str(event.state, sizeof(event.state), (void *)state);
    tell(&p->head, &event, sizeof(event));
    return 0;
}
