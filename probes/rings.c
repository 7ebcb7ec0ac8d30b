/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way to user space, and the count of what did not get there. User space puts this file before each of
 * the others: bcc gives map calls of an included file no code.
 *
 * Defined on the command line: PAGES, 1 to hand page records on; EVENT_RING and PAGE_RING, the sizes of the
 * ring buffers in pages.
 */
#include <uapi/linux/ptrace.h>
#include "events.h"

BPF_ARRAY(lost, u64, LOST_PLACES);
BPF_RINGBUF_OUTPUT(events, EVENT_RING);
#if PAGES
BPF_RINGBUF_OUTPUT(pages, PAGE_RING);
BPF_ARRAY(handed, u64, 1);
#endif

static __always_inline void lose(int place)
{
    u64 *count = lost.lookup(&place);

    if (count) {
        lock_xadd(count, 1);
    }
}

/* an event wakes the reader, who then takes the page records before it too */
static __always_inline void tell(void *event, u64 size)
{
    if (events.ringbuf_output(event, size, 0)) {
        lose(LOST_EVENTS);
    }
}

#if PAGES
/* the first `count` records; waking a reader costs more than all the rest, so it is done by parts of the ring */
static __always_inline void hand_on(struct batch_event *batch, u32 count)
{
    int zero = 0;
    u32 bytes = (count & (2 * BATCH_PAGES - 1)) * sizeof(struct page_record);
    u64 *waiting = handed.lookup(&zero), flags = BPF_RB_NO_WAKEUP;

    if (!waiting || bytes > sizeof(batch->records)) {
        return;
    }
    bytes += offsetof(struct batch_event, records);
    *waiting += bytes;
    if (*waiting >= PAGE_RING * 4096ULL / 8) {
        *waiting = 0;
        flags = BPF_RB_FORCE_WAKEUP;
    }
    if (pages.ringbuf_output(batch, bytes, flags)) {
        lose(LOST_BATCHES);
    }
}
#endif
