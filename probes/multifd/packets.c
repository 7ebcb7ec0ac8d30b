/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets that the channels of multifd write: the thread of a channel calls qio_channel_writev_full_all, whose first
 * buffer is the head of the packet as it goes over the wire, whatever the compression. The head has the name of the RAM
 * block and the offsets of the packet's pages: first the pages that are sent, then those that are zero.
 *
 * A call whose first buffer is anything else (QEMU sends a page without a copy) is passed over, and its pages are not
 * counted. User space compares the pages that were queued with those that were in packets.
 */

#define PACKET_MAGIC 0x11223344
#define PACKET_VERSION 1
#define DEVICE_STATE 64 /* a flag: the packet has no pages */
#define STEP_PAGES 16   /* of a packet, hashed by one program */

/* The verifier takes no program with 128 hashes. So a program goes on to one of these, which user space puts here. */
#define HASHES 0
#define PAGES_OF_PACKET 1
BPF_PROG_ARRAY(steps, 2);

struct buffer {
    u64 address;
    u64 bytes;
};

/* Whether the buffers are those of a packet; then its head and its offsets are read. */
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

/*
 * Whether the first page of a packet lies where the block and the offset say. This shows only where pages are sent as
 * they are: then each is a buffer of its own after the packet's head.
 */
static __always_inline int lies_there(u64 buffers, u64 count, u64 normal, u64 host)
{
    struct buffer first = {};

    if (!normal || count != normal + 1 ||
        bpf_probe_read_user(&first, sizeof(first), (void *)(buffers + sizeof(first))) || first.bytes != PAGE_BYTES) {
        return 1;
    }
    return first.address == host;
}

/* Hash the next pages of a channel's packet, and go on to those after them. */
int multifd_hashes(struct pt_regs *ctx)
{
    u32 tid;
    struct process *m = current_process(&tid);
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

/* Count the pages of a packet, whose hashes are known by now. */
int multifd_pages(struct pt_regs *ctx)
{
    u32 tid;
    struct process *m = current_process(&tid);
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

/* A channel's thread is about to write buffers, which may be a packet. */
int multifd_packet(struct pt_regs *ctx)
{
    u64 buffers = PT_REGS_PARM2(ctx), count = (u32)PT_REGS_PARM3(ctx), host;
    u32 tid;
    struct process *m = current_process(&tid);
    struct channel *channel;
    struct block *block;

    if (!m || !m->tid || m->tid == tid || !m->multifd.active) {
        return 0;
    }
    channel = channel_of(m, tid);
    if (!channel) {
        count_loss(&m->head, LOST_UNRECORDED);
        return 0;
    }
    if (!read_packet(channel, buffers, count)) {
        return 0;
    }
    block = block_of(m, hash_of_name(channel->packet.block));
    host = block ? block->host : 0;
    if (!host || !lies_there(buffers, count, channel->normal_pages, host + __builtin_bswap64(channel->offsets[0]))) {
        return 0; /* it was queued before the probes were attached, or QEMU's RAMBlock has another form than here */
    }
    channel->host = host;
    channel->at = 0;
    channel->stretch.place = m->counts.round & (OPEN_ROUNDS - 1);
    channel->stretch.pages = 0;
    steps.call(ctx, HASHES);
    return 0;
}
