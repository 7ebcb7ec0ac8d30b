/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is kept of each process in the levels stock and usdt: fake pages of a QEMU without the patch series. The level
 * stock probes functions that QEMU exports, the level usdt QEMU's trace events.
 *
 * Pages are hashed when they are queued. Page records, where user space wants them, name a page by its number in the
 * memory of the process; user space knows where RAM blocks lie. User space also appends the programs of USDT locations.
 *
 * Defined on the command line: PAGE_BITS, the size of a target page; CHUNKS, how many chunks of pages there can be at
 * once, of all processes; SEED, of the hash; SAMPLE, one page of how many is hashed; ENDED, a bit for the number of
 * each MigrationStatus that ends a migration, 0 where states are known by their names.
 */

#define PAGE_BYTES (1 << PAGE_BITS)

struct page {
    u64 words[PAGE_BYTES / 8];
};

/* The migration thread alone writes this, but for forced syncs and the counts of channels. */
struct process {
    struct process_head head;
    u64 tested;     /* the last page given to buffer_is_zero, until it is known how that page is sent */
    u32 tid;        /* of the migration thread; 0: no migration runs */
    u32 generation; /* the number of the migration, from 1 */
    u32 partial;    /* the migration was running when its first page was seen */
    u32 setting_up; /* a migration is about to begin, where states are known by their names */
    struct stock_counts counts;
    struct multifd multifd;
    struct page copy;
#if PAGES
    struct batch_event batch;
#endif
};
