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
 * What a page held when it was last sent is kept by process, migration and host address, in chunks of pages that
 * the kernel allocates when the first page of one comes. User space deletes those of a migration that is over,
 * and appends programs for USDT locations.
 *
 * Page records, where they are asked for, name a page by its number in the process's memory; user space
 * knows where RAM blocks lie.
 *
 * Defined on the command line: PAGE_BITS, the size of a target page; CHUNKS, how many chunks there can be at
 * once, of all processes; SEED, of the hash; SAMPLE, which of how many pages is looked at; and what rings.c
 * wants.
 */

#define PAGE_BYTES (1 << PAGE_BITS)
#define GLOBAL_DIRTY_MIGRATION 1

/* reserved values of a page's record */
#define NOT_SENT 0
#define SENT_ZERO 1

struct chunk {
    u64 sent[CHUNK_PAGES];
};

struct page {
    u64 words[PAGE_BYTES / 8];
};

/* touched by the migration thread alone, but for forced syncs */
struct process {
    struct process_head head;
    u64 tested; /* the page that buffer_is_zero was asked about, while its fate is open */
    u32 tid;
    u32 generation;
    u32 partial;
    u32 setting_up; /* a migration is about to begin, where states are told by name */
    struct stock_counts counts;
    struct page copy;
#if PAGES
    struct batch_event batch;
#endif
};

BPF_F_TABLE("hash", struct chunk_key, struct chunk, chunks, CHUNKS, BPF_F_NO_PREALLOC);
BPF_ARRAY(empty, struct chunk, 1);
BPF_ARRAY(process_state, struct process, 1); /* what each process's own map is like */
BPF_ARRAY_OF_MAPS(observed, "process_state", PROCESSES);

/* the state, if the process is observed */
static __always_inline struct process *process_of(u32 tgid)
{
    int slot = slot_of(tgid);

    return slot ? state_in(observed.lookup(&slot), tgid) : 0;
}

/* the same, and who asks */
static __always_inline struct process *tracked(u32 *tid)
{
    u64 id = bpf_get_current_pid_tgid();

    *tid = (u32)id;
    return process_of(id >> 32);
}

/* whose calls are none of a migration's */
static __always_inline int main_thread(void)
{
    u64 id = bpf_get_current_pid_tgid();

    return (u32)id == id >> 32;
}

static __always_inline void emit(struct process *m, u32 kind, u32 state, u64 name)
{
    struct stock_event event = {};

    head(&m->head, &event.header, kind);
    event.header.tid = m->tid;
    event.counts = m->counts;
    event.counts.generation = m->generation;
    event.state = state;
    event.partial = m->partial;
    if (name) {
        bpf_probe_read_user_str(event.name, sizeof(event.name), (void *)name);
    }
    tell(&m->head, &event, sizeof(event));
}

#if PAGES
/* hand on the page records that wait */
static __always_inline void flush(struct process *m)
{
    struct batch_event *batch = &m->batch;

    if (!batch->count) {
        return;
    }
    head(&m->head, &batch->header, EVENT_BATCH);
    batch->header.tid = m->tid;
    batch->round = m->counts.round;
    hand_on(&m->head, batch, batch->count);
    batch->count = 0;
}

static __always_inline void note(struct process *m, u64 host, u64 hash, u64 class, u64 disposition)
{
    struct batch_event *batch = &m->batch;
    u32 index = batch->count;

    if (index >= BATCH_PAGES) {
        return;
    }
    batch->records[index].hash = hash;
    batch->records[index].tag = host / PAGE_BYTES << 16 | class << 8 | disposition;
    batch->count = index + 1;
    if (index + 1 == BATCH_PAGES) {
        flush(m);
    }
}
#else
static __always_inline void flush(struct process *m)
{
}

static __always_inline void note(struct process *m, u64 host, u64 hash, u64 class, u64 disposition)
{
}
#endif

static __always_inline void open_round(struct process *m, u32 round)
{
    __builtin_memset(&m->counts, 0, sizeof(m->counts));
    m->counts.round = round;
    m->counts.start_ns = bpf_ktime_get_ns();
}

static __always_inline void start(struct process *m, u32 tid, u32 partial)
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

static __always_inline void classify(struct process *m, u64 host, u64 now, u64 disposition)
{
    u64 page = host / PAGE_BYTES, number = page / CHUNK_PAGES, index = page - number * CHUNK_PAGES;
    u64 class = CLASS_UNKNOWN;
    struct chunk_key key = {.slot = m->head.slot, .generation = m->generation, .chunk = number};
    struct chunk *chunk = chunks.lookup(&key);
    int zero = 0;

    asm volatile("" : "+r"(index)); /* the verifier wants a bound that the compiler would leave out */
    if (index >= CHUNK_PAGES) {
        return;
    }
    if (!chunk) {
        struct chunk *template = empty.lookup(&zero);

        if (template) {
            chunks.update(&key, template);
        }
        chunk = chunks.lookup(&key);
    }
    if (!chunk) {
        lose(&m->head, LOST_UNRECORDED);
        note(m, host, now, class, disposition);
        return;
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
static __always_inline void settle(struct process *m)
{
    if (m->tested) {
        m->counts.zero_pages++;
        if (sampled(m->tested)) {
            classify(m, m->tested, SENT_ZERO, DISPOSITION_ZERO);
        }
        m->tested = 0;
    }
}

#define MIX(lane, word) lane = ((lane) ^ (word)) * prime, lane ^= (lane) >> 32
#define MIX_SIX(words)                                                     \
    MIX(a, (words)[0]), MIX(b, (words)[1]), MIX(c, (words)[2]),            \
        MIX(d, (words)[3]), MIX(e, (words)[4]), MIX(f, (words)[5])
#define WORDS (PAGE_BYTES / 8)

/*
 * Six independent lanes, for the multiplications to overlap: as many as there are registers for beside the prime,
 * which would else be loaded for each word. Never a reserved value.
 */
static __always_inline u64 hash(struct page *page)
{
    u64 a = SEED, b = ~(u64)SEED, c = (u64)SEED << 1, d = ~(u64)SEED << 1, e = (u64)SEED << 2, f = ~(u64)SEED << 2;
    u64 prime = 0x9e3779b185ebca87ULL;
    int i;

    asm volatile("" : "+r"(prime));
#pragma clang loop unroll(disable)
    for (i = 0; i < WORDS / 24 * 24; i += 24) {
        MIX_SIX(page->words + i);
        MIX_SIX(page->words + i + 6);
        MIX_SIX(page->words + i + 12);
        MIX_SIX(page->words + i + 18);
    }
#pragma unroll
    for (i = WORDS / 24 * 24; i < WORDS / 6 * 6; i += 6) {
        MIX_SIX(page->words + i);
    }
#pragma unroll
    for (i = WORDS / 6 * 6; i < WORDS; i++) {
        MIX(a, page->words[i]);
    }
    MIX(a, b);
    MIX(a, c);
    MIX(a, d);
    MIX(a, e);
    MIX(a, f);
    return a > SENT_ZERO ? a : a + 2;
}

static __always_inline int sent(u64 host, u64 size)
{
    u32 tid;
    struct process *m = tracked(&tid);

    if (!m) {
        return 0;
    }
    if (!m->tid && !main_thread()) {
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
    if (bpf_probe_read_user(&m->copy, sizeof(m->copy), (void *)host)) {
        lose(&m->head, LOST_UNREADABLE);
        classify(m, host, NOT_SENT, DISPOSITION_NORMAL);
        return 0;
    }
    classify(m, host, hash(&m->copy), DISPOSITION_NORMAL);
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
    struct process *m = tracked(&tid);

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
    struct process *m = tracked(&tid);

    if (m && !main_thread() && PT_REGS_PARM1(ctx) & GLOBAL_DIRTY_MIGRATION) {
        start(m, tid, 0);
    }
    return 0;
}

static __always_inline int sync(void)
{
    u32 tid;
    struct process *m = tracked(&tid);

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
    } else if (main_thread()) {
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
    struct process *m = tracked(&tid);

    if (m && m->setting_up && !main_thread()) {
        start(m, tid, 0);
    }
    return sync();
}

/* migrate_set_state(state, old, new) changes the state only where it still is `old` */
int state_set(struct pt_regs *ctx)
{
    u32 tid, state = 0;
    struct process *m = tracked(&tid);

    if (!m || !m->tid) {
        return 0;
    }
    if (bpf_probe_read_user(&state, sizeof(state), (void *)PT_REGS_PARM1(ctx))) {
        lose(&m->head, LOST_UNREADABLE);
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
    struct process *m = tracked(&tid);

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
    struct process *m = tracked(&tid);

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
    struct process *m = tracked(&tid);

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
