/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is kept of a migration whose pages are sent by channels (multifd), in the levels stock and usdt.
 *
 * The migration thread queues a page, and the thread of a channel sends it, maybe in the next round. So a round stays
 * open after the migration thread has left it, until channels have sent all of its pages.
 */

/* as many rounds may be open; a power of two */
#define OPEN_ROUNDS 8

/* one round: the counts of its channels, and those of the migration thread once that has left the round */
struct open_round {
    struct stock_counts counts;
    u64 end_ns;
    u64 queued_pages;  /* the migration thread writes this and all above */
    u64 channel_pages; /* those of them that were in packets; several threads write this and all below */
    u64 first_pages;
    u64 changed_pages;
    u64 fake_pages;
    u64 normal_pages;
    u64 zero_pages;
};

#define MOST_BLOCKS 128

/* a RAM block of which pages were queued */
struct block {
    u64 name; /* a hash of its name */
    u64 host;
};

/* the migration thread alone writes this, but for the counts of channels */
struct multifd {
    u32 active; /* pages were queued in this migration */
    u32 oldest; /* of the rounds that were not reported to user space */
    u64 block;  /* the address of QEMU's RAMBlock of the page that was queued last */
    u64 host;   /* where that block lies */
    u64 known_blocks;
    struct block blocks[MOST_BLOCKS];
    u64 name[BLOCK_BYTES / 8]; /* of the block of the page that was queued last */
    struct open_round open_rounds[OPEN_ROUNDS];
};
