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
 * With multifd the migration thread queues a page, and a channel's thread sends it, maybe in the next round. What
 * channels count lies in `open_rounds`; the programs are those of multifd.c, which comes after this file.
 *
 * Defined on the command line: PAGE_BITS, the size of a target page; CHUNKS, how many chunks there can be at
 * once, of all processes; SEED, of the hash; SAMPLE, which of how many pages is looked at; ENDED, a bit for each
 * number of a MigrationStatus after which nothing comes, 0 where states are told by name; and what rings.c wants.
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

/* rounds whose last page no channel may have sent yet; a power of two */
#define OPEN_ROUNDS 8

/* what channels of multifd count of a round, and the rest of it once the migration thread has closed it */
struct open_round {
    struct stock_counts counts;
    u64 end_ns;
    u64 queued_pages;  /* by the migration thread, as all above */
    u64 channel_pages; /* those of them that were in packets; by several threads at once, as all below */
    u64 first_pages;
    u64 changed_pages;
    u64 fake_pages;
    u64 normal_pages;
    u64 zero_pages;
};

#define MOST_BLOCKS 128

struct block {
    u64 name; /* a hash of it */
    u64 host;
};

/* of a migration that queues pages for channels; the migration thread's own */
struct multifd {
    u32 active;
    u32 oldest; /* of the rounds that user space was not told of */
    u64 block;  /* QEMU's RAMBlock of the page that was queued last, and where that lies */
    u64 host;
    u64 blocks_seen;
    struct block blocks[MOST_BLOCKS];
    u64 name[BLOCK_BYTES / 8];
    struct open_round open_rounds[OPEN_ROUNDS];
};

/* touched by the migration thread alone, but for forced syncs and what channels count */
struct process {
    struct process_head head;
    u64 tested; /* the page that buffer_is_zero was asked about, while its fate is open */
    u32 tid;
    u32 generation;
    u32 partial;
    u32 setting_up; /* a migration is about to begin, where states are told by name */
    struct stock_counts counts;
    struct multifd multifd;
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

static __always_inline struct open_round *open_round_of(struct process *m, u32 round)
{
    return &m->multifd.open_rounds[round & (OPEN_ROUNDS - 1)];
}

/* counts of the migration thread, with those of channels where there are any */
static __always_inline void tell_counts(struct process *m, struct stock_counts *counts, struct open_round *channels,
                                        u64 end_ns, u32 kind, u32 state, u64 name)
{
    struct stock_event event = {};

    head(&m->head, &event.header, kind);
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
    tell(&m->head, &event, sizeof(event));
}

static __always_inline void emit(struct process *m, u32 kind, u32 state, u64 name)
{
    if (m->multifd.active) {
        tell_counts(m, &m->counts, open_round_of(m, m->counts.round), bpf_ktime_get_ns(), kind, state, name);
    } else {
        tell_counts(m, &m->counts, 0, 0, kind, state, name);
    }
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

/* the oldest closed round that user space was not told of, if no channel has a page of it left, or `anyhow` */
static __always_inline void publish(struct process *m, int anyhow)
{
    struct open_round *oldest = open_round_of(m, m->multifd.oldest);

    if (m->multifd.oldest < m->counts.round && (anyhow || oldest->channel_pages >= oldest->queued_pages)) {
        tell_counts(m, &oldest->counts, oldest, oldest->end_ns, EVENT_STOCK_ROUND, 0, 0);
        m->multifd.oldest++;
    }
}

/* all of them, or those that are complete */
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

/* the next one begins */
static __always_inline void end_round(struct process *m)
{
    u32 round = m->counts.round;
    struct open_round *ended = open_round_of(m, round), *next = open_round_of(m, round + 1);

    if (!m->multifd.active) {
        if (round) {
            emit(m, EVENT_STOCK_ROUND, 0, 0);
        }
        open_round(m, round + 1);
        return;
    }
    ended->counts = m->counts;
    ended->end_ns = bpf_ktime_get_ns();
    if (round + 1 - m->multifd.oldest >= OPEN_ROUNDS) {
        m->counts.round++; /* for its place the oldest is told of, whatever it lacks */
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
    m->multifd.blocks_seen = 0;
    open_round(m, partial);
    emit(m, EVENT_STOCK_STARTED, 0, 0);
}

/* the same pages always, spread over all memory */
static __always_inline int sampled(u64 host)
{
    return SAMPLE == 1 || ((host / PAGE_BYTES ^ SEED) * 0x9e3779b97f4a7c15ULL >> 32) % SAMPLE == 0;
}

/* the chunk that a page is in, made if there is none; several threads may want the same one */
static __always_inline struct chunk *chunk_of(struct process *m, u64 number)
{
    struct chunk_key key = {.slot = m->head.slot, .generation = m->generation, .chunk = number};
    struct chunk *chunk = chunks.lookup(&key);
    int zero = 0;

    if (!chunk) {
        struct chunk *template = empty.lookup(&zero);

        if (template) {
            chunks.insert(&key, template);
        }
        chunk = chunks.lookup(&key);
    }
    return chunk;
}

/* what a page is that is sent with a content, after what was sent of it before; that is kept */
static __always_inline u64 class_of(struct chunk *chunk, u64 index, u64 now)
{
    u64 before = chunk->sent[index];

    chunk->sent[index] = now;
    if (now == NOT_SENT) {
        return CLASS_UNKNOWN; /* sent unseen: whatever is compared with it next is a first page */
    }
    if (before == NOT_SENT) {
        return CLASS_FIRST;
    }
    return before == now ? CLASS_FAKE : CLASS_CHANGED;
}

static __always_inline void classify(struct process *m, u64 host, u64 now, u64 disposition)
{
    u64 page = host / PAGE_BYTES, number = page / CHUNK_PAGES, index = page - number * CHUNK_PAGES;
    struct chunk *chunk = chunk_of(m, number);
    u64 class = CLASS_UNKNOWN;

    asm volatile("" : "+r"(index)); /* the verifier wants a bound that the compiler would leave out */
    if (index >= CHUNK_PAGES) {
        return;
    }
    if (!chunk) {
        lose(&m->head, LOST_UNRECORDED);
        note(m, host, now, class, disposition);
        return;
    }
    class = class_of(chunk, index, now);
    if (class == CLASS_FIRST) {
        m->counts.first_pages++;
    } else if (class == CLASS_FAKE) {
        m->counts.fake_pages++;
    } else if (class == CLASS_CHANGED) {
        m->counts.changed_pages++;
    }
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
        end_round(m);
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
        u32 new = (u32)PT_REGS_PARM3(ctx);
        int over = new < 32 && ENDED >> new & 1;

        if (m->tid == tid) {
            settle(m);
            flush(m);
        }
        if (m->tid == tid || (over && main_thread())) {
            publish_all(m, over);
        }
        emit(m, EVENT_STOCK_STATE, new, 0);
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
#define COMPLETED WORD('c', 'o', 'm', 'p', 'l', 'e', 't', 'e')

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
        int failed = word == CANCELLED || (word & ~0ULL >> 8) == FAILED;

        /* the main thread ends what its migration thread, joined by now, can add no page to */
        if (m->tid == tid || failed) {
            settle(m);
            flush(m);
        }
        if (m->tid == tid || (failed && main_thread())) {
            publish_all(m, failed || word == COMPLETED);
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

/* a way of fakedirty/observe/bpf/blind_spots.py: pages that take it are not seen by `tested` and `queued` */
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
