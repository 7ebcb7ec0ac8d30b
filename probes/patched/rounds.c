/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rounds that have ended, with QEMU's own counts, by the trace event migration_round or fake_dirty_round.
 */

/* Move the counts of a round that has ended to its event: a later round will use their place. */
static __always_inline void take_counts(struct process *p, u64 round, struct page_counts *taken)
{
    struct page_counts *counts = &p->counts[round & (ROUNDS - 1)];

    *taken = *counts;
    __builtin_memset(counts, 0, sizeof(*counts));
}

/* An earlier form of the patch series has this event. Its records have no version, and one size. */
static __always_inline int fake_dirty_round(struct pt_regs *ctx, u64 round, u64 visited, u64 fake, u64 skipped,
                                            u64 record, u64 size)
{
    struct process *p = this_process();
    struct round_event event = {};

    if (!p) {
        return 0;
    }
    fill_header(&p->head, &event.header, EVENT_ROUND);
    take_counts(p, round, &event.counted);
    if (size != sizeof(event.record) || bpf_probe_read_user(&event.record, sizeof(event.record), (void *)record)) {
        count_loss(&p->head, LOST_UNREADABLE);
        return 0;
    }
    send_event(&p->head, &event, sizeof(event));
    return 0;
}

/* QEMU's record may be longer or shorter than the struct here. The event has the bytes that both have, and how many. */
static __always_inline int migration_round(struct pt_regs *ctx, u64 round, u64 dirty, u64 visited, u64 left, u64 record,
                                           u64 size)
{
    struct process *p = this_process();
    struct migration_round_event event = {};
    u32 bytes = size > sizeof(event.record) ? sizeof(event.record) : size;

    if (!p) {
        return 0;
    }
    fill_header(&p->head, &event.header, EVENT_MIGRATION_ROUND);
    take_counts(p, round, &event.counted);
    if (bytes > sizeof(event.record) || bpf_probe_read_user(&event.record, bytes, (void *)record)) {
        count_loss(&p->head, LOST_UNREADABLE);
        return 0;
    }
    event.record_bytes = bytes;
    send_event(&p->head, &event, sizeof(event));
    return 0;
}
