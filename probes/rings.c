/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way to user space, and the count of what did not get there, for each process. User space puts this file
 * before each of the others: bcc gives map calls of an included file no code.
 *
 * Probes lie on an executable, and so run in every process of it; those that are observed have a slot, and by it
 * a map of their own in the map `observed`, which each of the other files declares with what is in it. What a
 * program works on lies there and not in a map by CPU: a thread of one process may be preempted by one of another
 * while its program runs.
 *
 * Defined on the command line: PAGES, 1 to hand page records on; EVENT_RING and PAGE_RING, the sizes of the
 * ring buffers in pages; PROCESSES, how many slots there are, of which 0 is nobody's.
 */
#include <uapi/linux/ptrace.h>
#include "events.h"

BPF_RINGBUF_OUTPUT(events, EVENT_RING);
#if PAGES
BPF_RINGBUF_OUTPUT(pages, PAGE_RING);
BPF_ARRAY(handed, u64, 1);
#endif

BPF_ARRAY(places, struct place, PLACES);

/* 0: the process is not observed */
static __always_inline int slot_of(u32 tgid)
{
#pragma unroll
    for (int attempt = 0; attempt < PLACES_TRIED; attempt++) {
        int index = PLACE_OF(tgid, attempt);
        struct place *place = places.lookup(&index);

        if (place && place->tgid == tgid) {
            return place->slot;
        }
    }
    return 0;
}

/* the state that is in a process's own map, unless the slot was another process's a moment ago */
static __always_inline void *state_in(void *map, u32 tgid)
{
    int zero = 0;
    struct process_head *head = map ? bpf_map_lookup_elem(map, &zero) : 0;

    return head && head->tgid == tgid ? head : 0;
}

static __always_inline void lose(struct process_head *process, int place)
{
    lock_xadd(&process->lost[place], 1);
}

static __always_inline void head(struct process_head *process, struct event_header *header, u32 kind)
{
    header->time_ns = bpf_ktime_get_ns();
    header->kind = kind;
    header->slot = process->slot;
    header->tid = (u32)bpf_get_current_pid_tgid();
}

/* an event wakes the reader, who then takes the page records before it too */
static __always_inline void tell(struct process_head *process, void *event, u64 size)
{
    if (events.ringbuf_output(event, size, 0)) {
        lose(process, LOST_EVENTS);
    }
}

#if PAGES
/* the first `count` records; waking a reader costs more than all the rest, so it is done by parts of the ring */
static __always_inline void hand_on(struct process_head *process, struct batch_event *batch, u32 count)
{
    int zero = 0;
    u32 bytes = (count & (2 * BATCH_PAGES - 1)) * sizeof(struct page_record);
    u64 *waiting = handed.lookup(&zero), flags = BPF_RB_NO_WAKEUP;

    if (!waiting || bytes > sizeof(batch->records)) {
        return;
    }
    bytes += offsetof(struct batch_event, records);
    lock_xadd(waiting, bytes);
    if (*waiting >= PAGE_RING * 4096ULL / 8) {
        *waiting = 0;
        flags = BPF_RB_FORCE_WAKEUP;
    }
    if (pages.ringbuf_output(batch, bytes, flags)) {
        lose(process, LOST_BATCHES);
    }
}
#endif
