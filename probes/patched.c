/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU with the series: its trace events, one trap per batch of pages, nothing hashed here.
 *
 * Of every batch the kernel counts classes and dispositions by itself, so that what QEMU says of a round
 * can be held against what was seen of its pages. User space appends one small program per USDT
 * location, which fetches the arguments and calls the handler of the event's name.
 *
 * Defined on the command line: TGID, the process, and what rings.c wants.
 */

#define ROUNDS 16 /* rounds that may be open at once; a power of two */

BPF_ARRAY(seen, struct seen_counts, ROUNDS);
BPF_PERCPU_ARRAY(batches, struct batch_event, 1);
BPF_PERCPU_ARRAY(rounds, struct round_event, 1);

static __always_inline int foreign(void)
{
    return bpf_get_current_pid_tgid() >> 32 != TGID;
}

static __always_inline void head(struct event_header *header, u32 kind)
{
    header->time_ns = bpf_ktime_get_ns();
    header->kind = kind;
    header->tid = (u32)bpf_get_current_pid_tgid();
}

static __always_inline int fake_dirty_batch(struct pt_regs *ctx, u64 block, u64 round, u64 records, u64 count)
{
    int zero = 0, slot = round & (ROUNDS - 1);
    struct batch_event *batch = batches.lookup(&zero);
    struct seen_counts *counts = seen.lookup(&slot);
    u64 classes = 0, dispositions = 0;
    u32 bytes;

    if (foreign() || !batch || !counts) {
        return 0;
    }
    bytes = (count & (2 * BATCH_PAGES - 1)) * sizeof(struct page_record);
    if (bytes > sizeof(batch->records) || bpf_probe_read_user(batch->records, bytes, (void *)records)) {
        lose(LOST_UNREADABLE);
        return 0;
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
    head(&batch->header, EVENT_BATCH);
    batch->round = round;
    batch->count = count;
    bpf_probe_read_user_str(batch->block, sizeof(batch->block), (void *)block);
    hand_on(batch, count);
#endif
    return 0;
}

static __always_inline int fake_dirty_round(struct pt_regs *ctx, u64 round, u64 visited, u64 fake, u64 skipped,
                                            u64 record, u64 size)
{
    int zero = 0, slot = round & (ROUNDS - 1);
    struct round_event *event = rounds.lookup(&zero);
    struct seen_counts *counts = seen.lookup(&slot);

    if (foreign() || !event || !counts) {
        return 0;
    }
    head(&event->header, EVENT_ROUND);
    event->seen = *counts;
    __builtin_memset(counts, 0, sizeof(*counts));
    if (size != sizeof(event->record) ||
        bpf_probe_read_user(&event->record, sizeof(event->record), (void *)record)) {
        lose(LOST_UNREADABLE);
        return 0;
    }
    tell(event, sizeof(*event));
    return 0;
}

static __always_inline int fake_dirty_mode(struct pt_regs *ctx, u64 round, u64 from, u64 to, u64 hash)
{
    struct mode_event event = {};

    if (foreign()) {
        return 0;
    }
    head(&event.header, EVENT_MODE);
    event.round = round;
    bpf_probe_read_user_str(event.from_mode, sizeof(event.from_mode), (void *)from);
    bpf_probe_read_user_str(event.to_mode, sizeof(event.to_mode), (void *)to);
    bpf_probe_read_user_str(event.hash, sizeof(event.hash), (void *)hash);
    tell(&event, sizeof(event));
    return 0;
}

static __always_inline int migrate_set_state(struct pt_regs *ctx, u64 state)
{
    struct state_event event = {};

    if (foreign()) {
        return 0;
    }
    head(&event.header, EVENT_STATE);
    bpf_probe_read_user_str(event.state, sizeof(event.state), (void *)state);
    tell(&event, sizeof(event));
    return 0;
}
