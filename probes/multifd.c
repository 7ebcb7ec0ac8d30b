/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that channels of multifd send, by levels stock and usdt: hashed in the thread of their channel, as their packet
 * is about to be written. What is the same for all pages is in stock.c, which comes before this file.
 *
 * The migration thread queues a page for a channel (`multifd_queue_page`). A page is of the round in which that
 * happens: its channel may send it in the next one. So its round is kept by its place until the channel comes to it.
 *
 * A channel's thread is about to write a packet (`multifd_packet`): QEMU calls qio_channel_writev_full_all, whose
 * first buffer is the packet's head in the form that goes over the wire, whatever the compression. It has the name
 * of the RAM block and the offsets of its pages, first those that are sent, then those that are zero. A call
 * with anything else there (a page that goes without a copy) is passed over, and so is not counted: user space
 * holds the pages that were queued against those that were in packets.
 *
 * Between two visits of a page QEMU waits for all channels, so that no two threads work on what is kept of one.
 */

#define PACKET_MAGIC 0x11223344
#define PACKET_VERSION 1
#define PACKET_PAGES 128 /* QEMU: 512 KiB, of pages of 4 KiB */
#define DEVICE_STATE 64  /* a flag: no pages */
#define STEP_PAGES 16    /* of a packet, hashed by one program */

/* QEMU's MultiFDPacket_t, of 2018 and later; numbers have their first byte first */
struct packet {
    u32 magic;
    u32 version;
    u32 flags;
    u32 pages_allocated;
    u32 normal_pages;
    u32 next_packet_size;
    u64 packet_number;
    u32 zero_pages; /* 0 where QEMU finds them before it queues a page */
    u32 unused[7];
    u64 block[BLOCK_BYTES / 8];
};

struct buffer {
    u64 address;
    u64 bytes;
};

/* pages of one round that follow each other in a packet */
struct stretch {
    u32 place; /* the lower bits of the round */
    u32 pages;
};

/* what a channel's thread works on: a packet, and how far it is */
struct channel {
    struct packet packet;
    u64 offsets[PACKET_PAGES];
    u64 hashes[PACKET_PAGES];
    u64 host; /* where the packet's block lies */
    u32 normal_pages;
    u32 pages;
    u32 at;
    struct stretch stretch;
    struct page copy;
#if PAGES
    struct batch_event batch;
#endif
};

#define QUEUED_PAGES (8 * CHUNK_PAGES) /* a byte for each, in an element as large as that of `chunks` */
#define QUEUED_CHUNKS (CHUNKS / 8 + 1024) /* RAM blocks begin and end anywhere */

/* in which round a page was queued that no channel has sent yet: its number's lower bits, and 1; 0: it was not */
struct queued_chunk {
    u8 round[QUEUED_PAGES];
};

/* of keys the `chunk` is the id of a thread in the second map */
BPF_F_TABLE("hash", struct chunk_key, struct queued_chunk, queued_chunks, QUEUED_CHUNKS, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct chunk_key, struct channel, channels, PROCESSES, BPF_F_NO_PREALLOC);
BPF_ARRAY(nothing_queued, struct queued_chunk, 1);
BPF_ARRAY(idle_channel, struct channel, 1);
BPF_PROG_ARRAY(steps, 2); /* the verifier takes no program of 128 hashes: user space puts those there that go on */

static __always_inline struct channel *channel_of(struct process *m, u32 tid)
{
    struct chunk_key key = {.slot = m->head.slot, .generation = m->generation, .chunk = tid};
    struct channel *channel = channels.lookup(&key);
    int zero = 0;

    if (!channel) {
        struct channel *template = idle_channel.lookup(&zero);

        if (template) {
            channels.insert(&key, template);
        }
        channel = channels.lookup(&key);
    }
    return channel;
}

static __always_inline u64 hash_of_name(u64 *words)
{
    u64 a = SEED, prime = 0x9e3779b185ebca87ULL;

#pragma unroll
    for (int i = 0; i < BLOCK_BYTES / 8; i++) {
        MIX(a, words[i]);
    }
    return a;
}

/* the block of a name, of those that pages were queued of; 0: none */
static __always_inline struct block *block_of(struct process *m, u64 name)
{
    u64 most = m->multifd.blocks_seen;

#pragma clang loop unroll(disable)
    for (int i = 0; i < MOST_BLOCKS; i++) {
        if (i >= most) {
            break;
        }
        if (m->multifd.blocks[i].name == name) {
            return &m->multifd.blocks[i];
        }
    }
    return 0;
}

/* QEMU's RAMBlock, which has kept its first fields for ten years: blocks.py finds blocks by them, too */
struct ram_block {
    u64 rcu[2];
    u64 region;
    u64 host;
    u64 colo_cache;
    u64 offset;
    u64 used_length;
    u64 max_length;
};
#define RAM_BLOCK_NAME 76 /* after a callback and flags */

/* whether there is a RAM block at an address which has a page at an offset; then it is read */
static __always_inline int has_page(struct ram_block *block, u64 address, u64 offset)
{
    return !bpf_probe_read_user(block, sizeof(*block), (void *)address) && block->host &&
           block->host % PAGE_BYTES == 0 && offset % PAGE_BYTES == 0 && offset < block->used_length &&
           block->used_length <= block->max_length;
}

/* a page of another block than the one before is queued */
static __always_inline void enter_block(struct process *m, u64 address, u64 host)
{
    struct multifd *multifd = &m->multifd;
    struct block *block;
    u64 name, seen = multifd->blocks_seen;

    multifd->block = address;
    multifd->host = host;
    __builtin_memset(multifd->name, 0, sizeof(multifd->name));
    bpf_probe_read_user_str(multifd->name, sizeof(multifd->name), (void *)(address + RAM_BLOCK_NAME));
    name = hash_of_name(multifd->name);
    block = block_of(m, name);
    if (block) {
        block->host = host;
    } else if (seen < MOST_BLOCKS) {
        multifd->blocks[seen].name = name;
        multifd->blocks[seen].host = host;
        multifd->blocks_seen = seen + 1;
    }
}

/* where the page lies; 0: not known. Before 8.2 the function has an argument before the block and the offset. */
static __always_inline u64 queued_host(struct process *m, u64 first, u64 second, u64 third)
{
    struct multifd *multifd = &m->multifd;
    struct ram_block block = {}, later = {};

    if (multifd->block && multifd->block == second) {
        return multifd->host + third;
    }
    if (multifd->block && multifd->block == first) {
        return multifd->host + second;
    }
    /* where zero pages are found before pages are queued, that test knew the page */
    if (has_page(&later, second, third) && (!has_page(&block, first, second) || m->tested == later.host + third)) {
        enter_block(m, second, later.host);
        return later.host + third;
    }
    if (has_page(&block, first, second)) {
        enter_block(m, first, block.host);
        return block.host + second;
    }
    return 0;
}

int multifd_queue_page(struct pt_regs *ctx)
{
    u32 tid, round;
    struct process *m = tracked(&tid);
    struct queued_chunk *chunk;
    struct chunk_key key = {};
    u64 host, page, index;
    int zero = 0;

    if (!m) {
        return 0;
    }
    if (!m->tid && !main_thread()) {
        start(m, tid, 1);
    }
    if (m->tid != tid) {
        return 0;
    }
    round = m->counts.round;
    if (!m->multifd.active) {
        __builtin_memset(open_round_of(m, round), 0, sizeof(struct open_round));
        m->multifd.oldest = round;
        m->multifd.active = 1;
    }
    host = queued_host(m, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx));
    if (m->tested == host) {
        m->tested = 0;
    }
    settle(m);
    publish(m, 0);
    open_round_of(m, round)->queued_pages++;
    page = host / PAGE_BYTES;
    key.slot = m->head.slot;
    key.generation = m->generation;
    key.chunk = page / QUEUED_PAGES;
    index = page - page / QUEUED_PAGES * QUEUED_PAGES;
    chunk = queued_chunks.lookup(&key);
    if (!chunk) {
        struct queued_chunk *template = nothing_queued.lookup(&zero);

        if (template) {
            queued_chunks.insert(&key, template);
        }
        chunk = queued_chunks.lookup(&key);
    }
    asm volatile("" : "+r"(index));
    if (!chunk || !host || index >= QUEUED_PAGES) {
        lose(&m->head, LOST_UNRECORDED);
        return 0;
    }
    chunk->round[index] = (round & (OPEN_ROUNDS - 1)) + 1;
    return 0;
}

#if PAGES
static __always_inline void flush_channel(struct process *m, struct channel *channel, u32 round)
{
    struct batch_event *batch = &channel->batch;

    if (!batch->count) {
        return;
    }
    head(&m->head, &batch->header, EVENT_BATCH);
    batch->header.tid = m->tid;
    batch->round = round;
    hand_on(&m->head, batch, batch->count);
    batch->count = 0;
}

static __always_inline void note_sent(struct channel *channel, u64 host, u64 hash, u64 class, u64 disposition)
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
static __always_inline void flush_channel(struct process *m, struct channel *channel, u32 round)
{
}

static __always_inline void note_sent(struct channel *channel, u64 host, u64 hash, u64 class, u64 disposition)
{
}
#endif

/* what a page holds, as its record has it */
static __always_inline u64 content(struct process *m, struct channel *channel, u64 host, int zero)
{
    if (zero) {
        return SENT_ZERO;
    }
    if (bpf_probe_read_user(&channel->copy, sizeof(channel->copy), (void *)host)) {
        lose(&m->head, LOST_UNREADABLE);
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
        lose(&m->head, LOST_UNRECORDED);
        return CLASS_UNKNOWN;
    }
    return class_of(chunk, index, now);
}

/* the round that a page was queued in, which is forgotten; 0: it was not seen to be queued */
static __always_inline u32 queued_round(struct process *m, u64 host)
{
    u64 page = host / PAGE_BYTES, number = page / QUEUED_PAGES, index = page - number * QUEUED_PAGES;
    struct chunk_key key = {.slot = m->head.slot, .generation = m->generation, .chunk = number};
    struct queued_chunk *chunk = queued_chunks.lookup(&key);
    u32 round;

    asm volatile("" : "+r"(index));
    if (!chunk || index >= QUEUED_PAGES) {
        return 0;
    }
    round = chunk->round[index];
    chunk->round[index] = 0;
    return round;
}

/* their records come before the round that they may complete */
static __always_inline void end_stretch(struct process *m, struct channel *channel)
{
    u32 now = m->counts.round, place = channel->stretch.place;

    flush_channel(m, channel, now - (now - place & (OPEN_ROUNDS - 1)));
    lock_xadd(&open_round_of(m, place)->channel_pages, channel->stretch.pages);
    channel->stretch.pages = 0;
}

/*
 * A page that was not queued is sent again: QEMU 7.2 puts the last page of a full packet into the next one too, where a
 * channel is quicker than its look at the packet, and counts it once. Or it was queued before the observer came.
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
    note_sent(channel, host, now, class, zero ? DISPOSITION_ZERO : DISPOSITION_NORMAL);
}

/* whether the buffers are a packet's; then its head and its offsets are read */
static __always_inline int read_packet(struct channel *channel, u64 buffers, u64 count)
{
    struct packet *packet = &channel->packet;
    struct buffer head = {};
    u32 allocated, normal, zeros;

    if (!count || bpf_probe_read_user(&head, sizeof(head), (void *)buffers) ||
        bpf_probe_read_user(packet, sizeof(*packet), (void *)head.address)) {
        return 0;
    }
    allocated = __builtin_bswap32(packet->pages_allocated);
    normal = __builtin_bswap32(packet->normal_pages);
    zeros = __builtin_bswap32(packet->zero_pages);
    if (packet->magic != __builtin_bswap32(PACKET_MAGIC) || packet->version != __builtin_bswap32(PACKET_VERSION) ||
        packet->flags & __builtin_bswap32(DEVICE_STATE) || allocated != PACKET_PAGES || normal > allocated ||
        zeros > allocated - normal || head.bytes != sizeof(*packet) + sizeof(channel->offsets)) {
        return 0;
    }
    channel->normal_pages = normal;
    channel->pages = normal + zeros;
    return channel->pages &&
           !bpf_probe_read_user(channel->offsets, sizeof(channel->offsets), (void *)(head.address + sizeof(*packet)));
}

/* pages that are sent as they are follow the packet in buffers of their own: then the first must lie where it should */
static __always_inline int lies_there(u64 buffers, u64 count, u64 normal, u64 host)
{
    struct buffer first = {};

    if (!normal || count != normal + 1 ||
        bpf_probe_read_user(&first, sizeof(first), (void *)(buffers + sizeof(first))) || first.bytes != PAGE_BYTES) {
        return 1;
    }
    return first.address == host;
}

#define HASHES 0
#define PAGES_OF_PACKET 1

/* hash the next pages of the packet that a channel's thread is at, and go on to those after them */
int multifd_hashes(struct pt_regs *ctx)
{
    u32 tid;
    struct process *m = tracked(&tid);
    struct channel *channel = m ? channel_of(m, tid) : 0;
    u32 at;

    if (!channel) {
        return 0;
    }
    at = channel->at;
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < STEP_PAGES; i++) {
        u32 index = at + i;
        u64 host;

        if (index >= channel->pages || index >= PACKET_PAGES) {
            break;
        }
        host = channel->host + __builtin_bswap64(channel->offsets[index]);
        if (sampled(host)) {
            channel->hashes[index] = content(m, channel, host, index >= channel->normal_pages);
        }
    }
    channel->at = at + STEP_PAGES;
    steps.call(ctx, channel->at < channel->pages ? HASHES : PAGES_OF_PACKET);
    return 0;
}

/* count the pages of a packet, whose hashes are known */
int multifd_pages(struct pt_regs *ctx)
{
    u32 tid;
    struct process *m = tracked(&tid);
    struct channel *channel = m ? channel_of(m, tid) : 0;

    if (!channel) {
        return 0;
    }
#pragma clang loop unroll(disable)
    for (u32 i = 0; i < PACKET_PAGES; i++) {
        if (i >= channel->pages) {
            break;
        }
        take_page(m, channel, channel->host + __builtin_bswap64(channel->offsets[i]), channel->hashes[i],
                  i >= channel->normal_pages);
    }
    end_stretch(m, channel);
    return 0;
}

int multifd_packet(struct pt_regs *ctx)
{
    u64 buffers = PT_REGS_PARM2(ctx), count = (u32)PT_REGS_PARM3(ctx), host;
    u32 tid;
    struct process *m = tracked(&tid);
    struct channel *channel;
    struct block *block;

    if (!m || !m->tid || m->tid == tid || !m->multifd.active) {
        return 0;
    }
    channel = channel_of(m, tid);
    if (!channel) {
        lose(&m->head, LOST_UNRECORDED);
        return 0;
    }
    if (!read_packet(channel, buffers, count)) {
        return 0;
    }
    block = block_of(m, hash_of_name(channel->packet.block));
    host = block ? block->host : 0;
    if (!host || !lies_there(buffers, count, channel->normal_pages, host + __builtin_bswap64(channel->offsets[0]))) {
        return 0; /* queued before the observer came, or QEMU's RAMBlock is another one than this file's */
    }
    channel->host = host;
    channel->at = 0;
    channel->stretch.place = m->counts.round & (OPEN_ROUNDS - 1);
    channel->stretch.pages = 0;
    steps.call(ctx, HASHES);
    return 0;
}
