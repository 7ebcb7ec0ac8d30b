/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One page of a packet, in the thread of its channel: its content, its class, and the round that counts it.
 */

#if PAGES
static __always_inline void send_channel_records(struct process *m, struct channel *channel, u32 round)
{
    struct batch_event *batch = &channel->batch;

    if (!batch->count) {
        return;
    }
    fill_header(&m->head, &batch->header, EVENT_BATCH);
    batch->header.tid = m->tid;
    batch->round = round;
    send_batch(&m->head, batch, batch->count);
    batch->count = 0;
}

static __always_inline void add_channel_record(struct channel *channel, u64 host, u64 hash, u64 class, u64 disposition)
{
    struct batch_event *batch = &channel->batch;
    u32 index = batch->count;

    if (index < PACKET_PAGES) {
        batch->records[index].hash = hash;
        batch->records[index].tag = host / PAGE_BYTES << 16 | class << 8 | disposition;
        batch->count = index + 1;
    }
}
#else
static __always_inline void send_channel_records(struct process *m, struct channel *channel, u32 round)
{
}

static __always_inline void add_channel_record(struct channel *channel, u64 host, u64 hash, u64 class, u64 disposition)
{
}
#endif

/* What a page holds, in the form in which `sent_pages` keeps it. */
static __always_inline u64 content(struct process *m, struct channel *channel, u64 host, int zero)
{
    if (zero) {
        return SENT_ZERO;
    }
    if (bpf_probe_read_user(&channel->copy, sizeof(channel->copy), (void *)host)) {
        count_loss(&m->head, LOST_UNREADABLE);
        return NOT_SENT;
    }
    return hash(&channel->copy);
}

static __always_inline u64 class_sent(struct process *m, u64 host, u64 now)
{
    u64 page = host / PAGE_BYTES, number = page / CHUNK_PAGES, index = page - number * CHUNK_PAGES;
    struct chunk *chunk = chunk_of(m, number);

    asm volatile("" : "+r"(index));
    if (!chunk || index >= CHUNK_PAGES) {
        count_loss(&m->head, LOST_UNRECORDED);
        return CLASS_UNKNOWN;
    }
    return class_of(chunk, index, now);
}

/* Page records go to user space before the round that their pages may complete. */
static __always_inline void end_stretch(struct process *m, struct channel *channel)
{
    u32 now = m->counts.round, place = channel->stretch.place;

    send_channel_records(m, channel, now - (now - place & (OPEN_ROUNDS - 1)));
    lock_xadd(&open_round_of(m, place)->channel_pages, channel->stretch.pages);
    channel->stretch.pages = 0;
}

/*
 * Count a page of a packet, if it was queued. One that was not is either sent twice or was queued before the probes
 * were attached. QEMU 7.2 sends a page twice where a channel is quicker than the migration thread: the last page of a
 * full packet is then in the next packet too, and QEMU counts it once.
 */
static __always_inline void take_page(struct process *m, struct channel *channel, u64 host, u64 now, int zero)
{
    u32 queued = queued_round(m, host), place = queued - 1;
    struct open_round *round = open_round_of(m, place);
    u64 class = CLASS_UNKNOWN;

    if (sampled(host)) {
        class = class_sent(m, host, now);
    }
    if (!queued) {
        return;
    }
    if (place != channel->stretch.place) {
        end_stretch(m, channel);
        channel->stretch.place = place;
    }
    channel->stretch.pages++;
    if (zero) {
        lock_xadd(&round->zero_pages, 1);
    } else {
        lock_xadd(&round->normal_pages, 1);
    }
    if (!sampled(host)) {
        return;
    }
    if (class == CLASS_FIRST) {
        lock_xadd(&round->first_pages, 1);
    } else if (class == CLASS_FAKE) {
        lock_xadd(&round->fake_pages, 1);
    } else if (class == CLASS_CHANGED) {
        lock_xadd(&round->changed_pages, 1);
    }
    add_channel_record(channel, host, now, class, zero ? DISPOSITION_ZERO : DISPOSITION_NORMAL);
}
