/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is kept of each channel of multifd, and of the pages that are queued for channels.
 *
 * A page belongs to the round in which it is queued; a channel may send it in the next one. So the round of a queued
 * page is kept until a channel sends the page. Before QEMU visits a page again it waits for all channels, so no two
 * threads work on what is kept of one page.
 */

#define PACKET_PAGES 128 /* QEMU: 512 KiB, in pages of 4 KiB */

/* QEMU's MultiFDPacket_t, in use since 2018; numbers are big-endian */
struct packet {
    u32 magic;
    u32 version;
    u32 flags;
    u32 pages_allocated;
    u32 normal_pages;
    u32 next_packet_size;
    u64 packet_number;
    u32 zero_pages; /* 0 where QEMU finds zero pages before it queues them */
    u32 unused[7];
    u64 block[BLOCK_BYTES / 8];
};

/* pages that follow each other in a packet, and were queued in one round */
struct stretch {
    u32 place; /* the lower bits of the number of that round */
    u32 pages;
};

/* what a channel's thread works on: a packet, and how far it has come */
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

#define QUEUED_PAGES (8 * CHUNK_PAGES) /* a byte for each, in an element as large as that of `sent_pages` */
#define QUEUED_CHUNKS (CHUNKS / 8 + 1024) /* RAM blocks begin and end anywhere */

/* for each page the lower bits of the round in which it was queued, plus 1; 0: no channel has it to send */
struct queued_chunk {
    u8 round[QUEUED_PAGES];
};

/* In the second map the `chunk` of a key is the id of a thread. */
BPF_F_TABLE("hash", struct chunk_key, struct queued_chunk, queued_pages, QUEUED_CHUNKS, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct chunk_key, struct channel, channels, PROCESSES, BPF_F_NO_PREALLOC);
BPF_ARRAY(unqueued_chunk, struct queued_chunk, 1);
BPF_ARRAY(idle_channel, struct channel, 1);

/* The channel of a thread, which is made if there is none. */
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
