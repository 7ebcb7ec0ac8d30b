/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way to user space, and for each process the count of what was lost on it. User space puts the text of this file
 * before that of all others: bcc does not translate map calls in a file that is included.
 *
 * Defined on the command line: PAGES, 1 to send page records to user space; EVENT_RING and PAGE_RING, the sizes of the
 * ring buffers in pages.
 */
#include <uapi/linux/ptrace.h>
#include "events.h"

BPF_RINGBUF_OUTPUT(events, EVENT_RING);
#if PAGES
BPF_RINGBUF_OUTPUT(page_records, PAGE_RING);
BPF_ARRAY(waiting_bytes, u64, 1); /* of page records, since the reader was last woken */
#endif

static __always_inline void count_loss(struct process_head *process, int place)
{
    lock_xadd(&process->lost[place], 1);
}

static __always_inline void fill_header(struct process_head *process, struct event_header *header, u32 kind)
{
    header->time_ns = bpf_ktime_get_ns();
    header->kind = kind;
    header->slot = process->slot;
    header->tid = (u32)bpf_get_current_pid_tgid();
}

/* An event wakes the reader, who then also takes the page records that were sent before it. */
static __always_inline void send_event(struct process_head *process, void *event, u64 size)
{
    if (events.ringbuf_output(event, size, 0)) {
        count_loss(process, LOST_EVENTS);
    }
}

#if PAGES
/*
 * Send the first `count` records of a batch. Waking the reader costs more than all the rest, so the reader is woken
 * once for each eighth of the ring buffer.
 */
static __always_inline void send_batch(struct process_head *process, struct batch_event *batch, u32 count)
{
    int zero = 0;
    u32 bytes = (count & (2 * BATCH_PAGES - 1)) * sizeof(struct page_record);
    u64 *waiting = waiting_bytes.lookup(&zero), flags = BPF_RB_NO_WAKEUP;

    if (!waiting || bytes > sizeof(batch->records)) {
        return;
    }
    bytes += offsetof(struct batch_event, records);
    lock_xadd(waiting, bytes);
    if (*waiting >= PAGE_RING * 4096ULL / 8) {
        *waiting = 0;
        flags = BPF_RB_FORCE_WAKEUP;
    }
    if (page_records.ringbuf_output(batch, bytes, flags)) {
        count_loss(process, LOST_BATCHES);
    }
}
#endif
