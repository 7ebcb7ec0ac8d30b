/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a migration and its rounds begin and end, and how their counts are reported to user space.
 *
 * Without multifd a round is reported when the migration thread leaves it. With multifd it is reported when channels
 * have sent the last of its pages.
 */

static __always_inline struct open_round *open_round_of(struct process *m, u32 round)
{
    return &m->multifd.open_rounds[round & (OPEN_ROUNDS - 1)];
}

/* Report counts of the migration thread, with those of `channels` where there are any. */
static __always_inline void send_counts(struct process *m, struct stock_counts *counts, struct open_round *channels,
                                        u64 end_ns, u32 kind, u32 state, u64 name)
{
    struct stock_event event = {};

    fill_header(&m->head, &event.header, kind);
    event.header.tid = m->tid;
    event.counts = *counts;
    event.counts.generation = m->generation;
    event.state = state;
    event.partial = m->partial;
    event.end_ns = end_ns;
    if (channels) {
        event.counts.first_pages += channels->first_pages;
        event.counts.changed_pages += channels->changed_pages;
        event.counts.fake_pages += channels->fake_pages;
        event.counts.normal_pages += channels->normal_pages;
        event.counts.zero_pages += channels->zero_pages;
        event.queued_pages = channels->queued_pages;
        event.channel_pages = channels->channel_pages;
    }
    if (name) {
        bpf_probe_read_user_str(event.name, sizeof(event.name), (void *)name);
    }
    send_event(&m->head, &event, sizeof(event));
}

/* Report the counts of the round that the migration thread is in. */
static __always_inline void send_current_counts(struct process *m, u32 kind, u32 state, u64 name)
{
    if (m->multifd.active) {
        send_counts(m, &m->counts, open_round_of(m, m->counts.round), bpf_ktime_get_ns(), kind, state, name);
    } else {
        send_counts(m, &m->counts, 0, 0, kind, state, name);
    }
}

static __always_inline void open_round(struct process *m, u32 round)
{
    __builtin_memset(&m->counts, 0, sizeof(m->counts));
    m->counts.round = round;
    m->counts.start_ns = bpf_ktime_get_ns();
}

/* Report the oldest round that is not reported yet, if no channel has a page of it left, or `anyhow`. */
static __always_inline void publish(struct process *m, int anyhow)
{
    struct open_round *oldest = open_round_of(m, m->multifd.oldest);

    if (m->multifd.oldest < m->counts.round && (anyhow || oldest->channel_pages >= oldest->queued_pages)) {
        send_counts(m, &oldest->counts, oldest, oldest->end_ns, EVENT_STOCK_ROUND, 0, 0);
        m->multifd.oldest++;
    }
}

/* Report all open rounds that are complete, or with `anyhow` all. */
static __always_inline void publish_all(struct process *m, int anyhow)
{
    if (!m->multifd.active) {
        return;
    }
#pragma clang loop unroll(disable)
    for (int i = 0; i < OPEN_ROUNDS; i++) {
        publish(m, anyhow);
    }
}

/* The migration thread leaves its round and enters the next one. */
static __always_inline void end_round(struct process *m)
{
    u32 round = m->counts.round;
    struct open_round *ended = open_round_of(m, round), *next = open_round_of(m, round + 1);

    if (!m->multifd.active) {
        if (round) {
            send_current_counts(m, EVENT_STOCK_ROUND, 0, 0);
        }
        open_round(m, round + 1);
        return;
    }
    ended->counts = m->counts;
    ended->end_ns = bpf_ktime_get_ns();
    if (round + 1 - m->multifd.oldest >= OPEN_ROUNDS) {
        m->counts.round++; /* the next round needs the place of the oldest, which is reported as it is */
        publish(m, 1);
    }
    __builtin_memset(next, 0, sizeof(*next));
    open_round(m, round + 1);
    publish_all(m, 0);
}

static __always_inline void start(struct process *m, u32 tid, u32 partial)
{
    m->tid = tid;
    m->partial = partial;
    m->setting_up = 0;
    m->generation++;
    m->tested = 0;
    m->multifd.active = 0;
    m->multifd.block = 0;
    m->multifd.known_blocks = 0;
    open_round(m, partial);
    send_current_counts(m, EVENT_STOCK_STARTED, 0, 0);
}
