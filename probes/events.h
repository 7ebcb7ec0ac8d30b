/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every struct that crosses a boundary: from the QEMU series to the kernel (the fake_dirty_batch and
 * fake_dirty_round trace events), and from the kernel to user space (the ring buffer). The Python side
 * is fakedirty/observe/wire.py; a test holds the two, and QEMU's own header, together.
 */
#ifndef FAKEDIRTY_EVENTS_H
#define FAKEDIRTY_EVENTS_H

#define BATCH_PAGES 256

/* one visited page: fake_dirty_batch carries up to BATCH_PAGES of one block and one round */
struct page_record {
    unsigned long long hash; /* the first 64 bits of the content's hash */
    unsigned long long tag;  /* page index in its block << 16 | class << 8 | disposition */
};

#define ROUND_CLASSIFIED 1 /* flags: the mode was on for the whole round, so that classes are complete */

/* one round, as QEMU counted it */
struct round_record {
    unsigned long long migration_start_ns; /* times: CLOCK_MONOTONIC */
    unsigned long long start_ns;
    unsigned long long end_ns;
    unsigned long long dirty_pages;
    unsigned long long forced_pages;
    unsigned long long visited_pages;
    unsigned long long first_pages;
    unsigned long long changed_pages;
    unsigned long long fake_pages;
    unsigned long long normal_pages;
    unsigned long long zero_pages;
    unsigned long long xbzrle_pages;
    unsigned long long unchanged_pages;
    unsigned long long skipped_pages;
    unsigned long long left_pages;
    unsigned long long hinted_pages;
    unsigned long long transferred_bytes;
    unsigned long long saved_bytes;
    unsigned long long hash_ns;
    unsigned int forced_syncs;
    unsigned int round;
    unsigned char kind;
    unsigned char mode; /* at the end of the round */
    unsigned char hash;
    unsigned char flags;
    unsigned int reserved;
};

#endif
