/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU without the series: fake pages without a patch, hashed as they are queued. By functions that it
 * exports (level stock), or by its trace events (level usdt).
 *
 * On the migration thread a page goes through buffer_is_zero (`tested`) and then, unless it was zero,
 * through qemu_put_buffer_async (`queued`), or its own trace event before that (`ram_save_page`). A tested
 * page that is not queued next was sent as zero, so no return probe is needed. Another thread's calls are
 * none of a migration's.
 *
 * What a page held when it was last sent is kept per host address, by chunks of 512 pages; a chunk of an
 * earlier migration counts as empty. User space appends programs for USDT locations.
 *
 * Page records, where they are asked for, name a page by its number in the process's memory; user space
 * knows where RAM blocks lie.
 *
 * Defined on the command line: TGID, the process; PAGE_BITS, the size of a target page; CHUNKS, how many
 * chunks its memory can have; SEED, of the hash; SAMPLE, which of how many pages is looked at; and what
 * rings.c wants.
 */

#define PAGE_BYTES (1 << PAGE_BITS)
#define CHUNK_PAGES 512
#define GLOBAL_DIRTY_MIGRATION 1

/* reserved values of a page's record */
#define NOT_SENT 0
#define SENT_ZERO 1

struct chunk {
    u64 generation;
    u64 sent[CHUNK_PAGES];
};

/* touched by the migration thread alone, but for forced syncs */
struct tracked {
    u64 tested; /* the page that buffer_is_zero was asked about, while its fate is open */
    u64 generation;
    u32 tid;
    u32 partial;
    u32 setting_up; /* a migration is about to begin, where states are told by name */
    struct stock_counts counts;
};

struct page {
    u64 words[PAGE_BYTES / 8];
};

#if PAGES
BPF_ARRAY(batches, struct batch_event, 1);
#endif
BPF_ARRAY(migration, struct tracked, 1);
BPF_HASH(chunks, u64, struct chunk, CHUNKS);
BPF_ARRAY(empty, struct chunk, 1);
BPF_PERCPU_ARRAY(copies, struct page, 1);

/* the state, if the process is ours; a main thread never is a migration thread */
static __always_inline struct tracked *tracked(u32 *tid)
{
    u64 id = bpf_get_current_pid_tgid();
    int zero = 0;

    *tid = (u32)id;
    return id >> 32 == TGID ? migration.lookup(&zero) : 0;
}

static __always_inline void emit(struct tracked *m, u32 kind, u32 state, u64 name)
{
    struct stock_event event = {};

    event.header.time_ns = bpf_ktime_get_ns();
    event.header.kind = kind;
    event.header.tid = m->tid;
    event.counts = m->counts;
    event.state = state;
    event.partial = m->partial;
    if (name) {
        bpf_probe_read_user_str(event.name, sizeof(event.name), (void *)name);
    }
    tell(&event, sizeof(event));
}

#if PAGES
/* hand on the page records that wait */
static __always_inline void flush(struct tracked *m)
{
    int zero = 0;
    struct batch_event *batch = batches.lookup(&zero);

    if (!batch || !batch->count) {
        return;
    }
    batch->header.time_ns = bpf_ktime_get_ns();
    batch->header.kind = EVENT_BATCH;
    batch->header.tid = m->tid;
    batch->round = m->counts.round;
    hand_on(batch, batch->count);
    batch->count = 0;
}

static __always_inline void note(struct tracked *m, u64 host, u64 hash, u64 class, u64 disposition)
{
    int zero = 0;
    struct batch_event *batch = batches.lookup(&zero);

    if (!batch || batch->count >= BATCH_PAGES) {
        return;
    }
    batch->records[batch->count].hash = hash;
    batch->records[batch->count].tag = host / PAGE_BYTES << 16 | class << 8 | disposition;
    if (++batch->count == BATCH_PAGES) {
        flush(m);
    }
}
#else
static __always_inline void flush(struct tracked *m)
{
}

static __always_inline void note(struct tracked *m, u64 host, u64 hash, u64 class, u64 disposition)
{
}
#endif

static __always_inline void open_round(struct tracked *m, u32 round)
{
    __builtin_memset(&m->counts, 0, sizeof(m->counts));
    m->counts.round = round;
    m->counts.start_ns = bpf_ktime_get_ns();
}

static __always_inline void start(struct tracked *m, u32 tid, u32 partial)
{
    m->tid = tid;
    m->partial = partial;
    m->setting_up = 0;
    m->generation++;
    m->tested = 0;
    open_round(m, partial);
    emit(m, EVENT_STOCK_STARTED, 0, 0);
}

/* the same pages always, spread over all memory */
static __always_inline int sampled(u64 host)
{
    return SAMPLE == 1 || ((host / PAGE_BYTES ^ SEED) * 0x9e3779b97f4a7c15ULL >> 32) % SAMPLE == 0;
}

static __always_inline void classify(struct tracked *m, u64 host, u64 now, u64 disposition)
{
    u64 key = host / PAGE_BYTES / CHUNK_PAGES;
    int zero = 0, index = host / PAGE_BYTES % CHUNK_PAGES;
    struct chunk *chunk = chunks.lookup(&key);
    u64 class = CLASS_UNKNOWN;

    if (!chunk) {
        struct chunk *template = empty.lookup(&zero);

        if (template) {
            chunks.update(&key, template);
        }
        chunk = chunks.lookup(&key);
    }
    if (!chunk) {
        lose(LOST_UNRECORDED);
        note(m, host, now, class, disposition);
        return;
    }
    if (chunk->generation != m->generation) {
        for (int i = 0; i < CHUNK_PAGES; i++) {
            *(volatile u64 *)&chunk->sent[i] = NOT_SENT; /* volatile: there is no memset to call */
        }
        chunk->generation = m->generation;
    }
    if (now == NOT_SENT) {
        /* sent unseen: whatever is compared with it next is a first page */
    } else if (chunk->sent[index] == NOT_SENT) {
        m->counts.first_pages++;
        class = CLASS_FIRST;
    } else if (chunk->sent[index] == now) {
        m->counts.fake_pages++;
        class = CLASS_FAKE;
    } else {
        m->counts.changed_pages++;
        class = CLASS_CHANGED;
    }
    chunk->sent[index] = now;
    note(m, host, now, class, disposition);
}

/* the fate of the tested page is known: it was not queued, so it went as zero */
static __always_inline void settle(struct tracked *m)
{
    if (m->tested) {
        m->counts.zero_pages++;
        if (sampled(m->tested)) {
            classify(m, m->tested, SENT_ZERO, DISPOSITION_ZERO);
        }
        m->tested = 0;
    }
}

#define MIX(lane, word, prime) lane = ((lane) ^ (word)) * prime, lane ^= (lane) >> 32

/* four independent lanes, for the multiplications to overlap; never a reserved value */
static __always_inline u64 hash(struct page *page)
{
    u64 a = SEED, b = ~(u64)SEED, c = (u64)SEED << 1, d = ~(u64)SEED << 1;

    for (int i = 0; i < PAGE_BYTES / 8; i += 4) {
        MIX(a, page->words[i], 0x9e3779b185ebca87ULL);
        MIX(b, page->words[i + 1], 0xc2b2ae3d27d4eb4fULL);
        MIX(c, page->words[i + 2], 0x165667b19e3779f9ULL);
        MIX(d, page->words[i + 3], 0x85ebca77c2b2ae63ULL);
    }
    MIX(a, b, 0xc2b2ae3d27d4eb4fULL);
    MIX(a, c, 0x165667b19e3779f9ULL);
    MIX(a, d, 0x9e3779b185ebca87ULL);
    return a > SENT_ZERO ? a : a + 2;
}

static __always_inline int sent(u64 host, u64 size)
{
    int zero = 0;
    u32 tid;
    struct tracked *m = tracked(&tid);
    struct page *copy = copies.lookup(&zero);

    if (!m || !copy || tid == TGID) {
        return 0;
    }
    if (!m->tid) {
        start(m, tid, 1);
    }
    if (m->tid != tid) {
        return 0;
    }
    if (m->tested == host) {
        m->tested = 0;
    }
    settle(m);
    if (size != PAGE_BYTES) {
        m->counts.odd_buffers++;
        return 0;
    }
    m->counts.normal_pages++;
    if (!sampled(host)) {
        return 0;
    }
    if (bpf_probe_read_user(copy, sizeof(*copy), (void *)host)) {
        lose(LOST_UNREADABLE);
        classify(m, host, NOT_SENT, DISPOSITION_NORMAL);
        return 0;
    }
    classify(m, host, hash(copy), DISPOSITION_NORMAL);
    return 0;
}

int queued(struct pt_regs *ctx)
{
    return sent(PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx));
}

/* a trace event: a page that is not zero, whatever becomes of it */
static __always_inline int ram_save_page(struct pt_regs *ctx, u64 block, u64 offset, u64 host)
{
    return sent(host, PAGE_BYTES);
}

int tested(struct pt_regs *ctx)
{
    u64 host = PT_REGS_PARM1(ctx), size = PT_REGS_PARM2(ctx);
    u32 tid;
    struct tracked *m = tracked(&tid);

    /* a test may pass several probed functions */
    if (m && m->tid == tid && m->tested != host && size == PAGE_BYTES && host % PAGE_BYTES == 0) {
        settle(m);
        m->tested = host;
    }
    return 0;
}

int log_started(struct pt_regs *ctx)
{
    u32 tid;
    struct tracked *m = tracked(&tid);

    if (m && tid != TGID && PT_REGS_PARM1(ctx) & GLOBAL_DIRTY_MIGRATION) {
        start(m, tid, 0);
    }
    return 0;
}

static __always_inline int sync(void)
{
    u32 tid;
    struct tracked *m = tracked(&tid);

    if (!m || !m->tid) {
        return 0;
    }
    if (m->tid == tid) {
        settle(m);
        flush(m);
        if (m->counts.round) {
            emit(m, EVENT_STOCK_ROUND, 0, 0);
        }
        open_round(m, m->counts.round + 1);
    } else if (tid == TGID) {
        lock_xadd(&m->counts.forced_syncs, 1);
    }
    return 0;
}

int synced(struct pt_regs *ctx)
{
    return sync();
}

/*
 * A trace event: of the migration's own syncs alone. The first one after the setup is where the migration
 * begins: that dirty logging is turned on need not be told, since of a guest that is stopped it may still be on.
 */
static __always_inline int migration_bitmap_sync_start(struct pt_regs *ctx)
{
    u32 tid;
    struct tracked *m = tracked(&tid);

    if (m && m->setting_up && tid != TGID) {
        start(m, tid, 0);
    }
    return sync();
}

/* migrate_set_state(state, old, new) changes the state only where it still is `old` */
int state_set(struct pt_regs *ctx)
{
    u32 tid, state = 0;
    struct tracked *m = tracked(&tid);

    if (!m || !m->tid) {
        return 0;
    }
    if (bpf_probe_read_user(&state, sizeof(state), (void *)PT_REGS_PARM1(ctx))) {
        lose(LOST_UNREADABLE);
        return 0;
    }
    if (state == (u32)PT_REGS_PARM2(ctx)) {
        if (m->tid == tid) {
            settle(m);
            flush(m);
        }
        emit(m, EVENT_STOCK_STATE, (u32)PT_REGS_PARM3(ctx), 0);
    }
    return 0;
}

/* what the name of a state begins with */
#define WORD(a, b, c, d, e, f, g, h)                                                                \
    ((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | (u64)(f) << 40 | \
     (u64)(g) << 48 | (u64)(h) << 56)
#define SETUP WORD('s', 'e', 't', 'u', 'p', 0, 0, 0)
#define FAILED WORD('f', 'a', 'i', 'l', 'e', 'd', 0, 0)
#define CANCELLED WORD('c', 'a', 'n', 'c', 'e', 'l', 'l', 'e') /* not cancelling */

/* the same by QEMU's trace event, where there is one: the compiler may have inlined the function above */
static __always_inline int migrate_set_state(struct pt_regs *ctx, u64 name)
{
    u32 tid;
    u64 word = 0;
    struct tracked *m = tracked(&tid);

    if (!m) {
        return 0;
    }
    bpf_probe_read_user(&word, sizeof(word), (void *)name);
    if ((word & ~0ULL >> 16) == SETUP) {
        m->setting_up = 1;
    }
    if (m->tid) {
        /* the main thread ends what its migration thread, joined by now, can add no page to */
        if (m->tid == tid || word == CANCELLED || (word & ~0ULL >> 8) == FAILED) {
            settle(m);
            flush(m);
        }
        emit(m, EVENT_STOCK_STATE, 0, name);
    }
    return 0;
}

/* every migration ends with this, its state known or not; no page is sent any more */
int log_stopped(struct pt_regs *ctx)
{
    u32 tid;
    struct tracked *m = tracked(&tid);

    if (m && m->tid && PT_REGS_PARM1(ctx) & GLOBAL_DIRTY_MIGRATION) {
        settle(m);
        flush(m);
        emit(m, EVENT_STOCK_STOPPED, 0, 0);
    }
    return 0;
}

/* a way of fakedirty/observe/bypass.py: pages that take it are not seen by `tested` and `queued` */
static __always_inline int bypass(int bit)
{
    u32 tid;
    struct tracked *m = tracked(&tid);

    if (m && m->tid == tid) {
        m->counts.bypassed |= 1 << bit;
    }
    return 0;
}

#define BYPASS(bit)                       \
    int bypass_##bit(struct pt_regs *ctx) \
    {                                     \
        return bypass(bit);               \
    }

BYPASS(0)
BYPASS(1)
BYPASS(2)
BYPASS(3)
BYPASS(4)

/* a trace event: the first of those ways, whether its function is exported or not */
static __always_inline int multifd_send_sync_main(struct pt_regs *ctx, u64 packet)
{
    return bypass(0);
}
