/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every struct that crosses a boundary: from a QEMU with the patch series to the kernel (by the trace events
 * fake_dirty_batch, and migration_round or fake_dirty_round), and from the kernel to user space (by the ring buffers).
 * The Python side is fakedirty/observe/decode/wire.py. A test compares the two, and QEMU's own header.
 */
#ifndef FAKEDIRTY_EVENTS_H
#define FAKEDIRTY_EVENTS_H

#define BATCH_PAGES 256

/* one visited page; fake_dirty_batch carries up to BATCH_PAGES of these, of one block and one round */
struct page_record {
    unsigned long long hash; /* the first 64 bits of the content's hash */
    unsigned long long tag;  /* page index in its block << 16 | class << 8 | disposition */
};

/* the numbers that fake_dirty_batch uses; CLASS_UNKNOWN is a page of which the probes lost track */
#define CLASS_FIRST 0
#define CLASS_CHANGED 1
#define CLASS_FAKE 2
#define CLASS_UNKNOWN 255
#define DISPOSITION_NORMAL 0
#define DISPOSITION_ZERO 1

/* flags of a round */
#define ROUND_CLASSIFIED 1 /* the mode was on for the whole round, so the classes are complete */
#define ROUND_INEXACT 2    /* pages were counted when they were queued, so the laws of rounds do not hold */

/* versions of a record that can be read here; its size says how many of its fields there are */
#define ROUND_VERSION 1
#define ROUND_VERSION_OF_DRAFTS 2 /* the same fields, from drafts of the patch series */

/* one round as QEMU counted it, carried by migration_round; new fields are added at the end only */
struct migration_round_record {
    unsigned int version;
    unsigned int size; /* of QEMU's record, which may be larger or smaller than this struct */
    unsigned long long migration_start_ns; /* times: CLOCK_MONOTONIC */
    unsigned long long start_ns;
    unsigned long long end_ns;
    unsigned long long dirty_pages;
    unsigned long long forced_pages;
    unsigned long long visited_pages;
    unsigned long long normal_pages;
    unsigned long long zero_pages;
    unsigned long long xbzrle_pages;
    unsigned long long unchanged_pages;
    unsigned long long left_pages;
    unsigned long long hinted_pages;
    unsigned long long transferred_bytes;
    unsigned int forced_syncs;
    unsigned int round;
    unsigned char kind;
    unsigned char flags;
    unsigned char reserved[6];
    /* of a QEMU with fake dirty modes */
    unsigned long long first_pages;
    unsigned long long changed_pages;
    unsigned long long fake_pages;
    unsigned long long hash_ns;
    unsigned char mode; /* at the end of the round */
    unsigned char hash;
    unsigned char reserved_mode[6];
    /* of a QEMU with the mode skip */
    unsigned long long skipped_pages;
    unsigned long long saved_bytes;
};

/* the same from a patch series whose records had no version, carried by fake_dirty_round */
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

/* ---- from the kernel to user space: events, each of which begins with struct event_header ---- */

#define EVENT_ROUND 1         /* struct round_event */
#define EVENT_MODE 2          /* struct mode_event */
#define EVENT_STATE 3         /* struct state_event */
#define EVENT_BATCH 4         /* struct batch_event, `count` records of it */
#define EVENT_STOCK_STARTED 5 /* struct stock_event, as are the next three */
#define EVENT_STOCK_ROUND 6
#define EVENT_STOCK_STATE 7
#define EVENT_STOCK_STOPPED 8
#define EVENT_RUNSTATE 9         /* struct runstate_event */
#define EVENT_MIGRATION_ROUND 10 /* struct migration_round_event */
#define EVENT_CHECKPOINT 11      /* struct switchover_event, as are the next two */
#define EVENT_DEVICE_SAVED 12
#define EVENT_DEVICE_LOADED 13

struct event_header {
    unsigned long long time_ns; /* CLOCK_MONOTONIC */
    unsigned short kind;
    unsigned short slot; /* the number that user space gave to the observed process */
    unsigned int tid;
};

/* the kernel's own counts of a round, from the page records */
struct page_counts {
    unsigned long long visited_pages;
    unsigned long long first_pages;
    unsigned long long changed_pages;
    unsigned long long fake_pages;
    unsigned long long normal_pages;
    unsigned long long zero_pages;
    unsigned long long xbzrle_pages;
    unsigned long long unchanged_pages;
    unsigned long long skipped_pages;
};

struct round_event {
    struct event_header header;
    struct round_record record;
    struct page_counts counted;
};

struct migration_round_event {
    struct event_header header;
    struct migration_round_record record;
    struct page_counts counted;
    unsigned int record_bytes; /* of the record that were read; the rest of it is 0 and has no meaning */
    unsigned int reserved;
};

#define WORD_BYTES 32 /* room for a mode, a hash, a migration state */

struct mode_event {
    struct event_header header;
    unsigned int round;
    unsigned int reserved;
    char from_mode[WORD_BYTES];
    char to_mode[WORD_BYTES];
    char hash[WORD_BYTES];
};

struct state_event {
    struct event_header header;
    char state[WORD_BYTES];
};

#define BLOCK_BYTES 256 /* QEMU's own limit on the name of a RAM block */

struct batch_event {
    struct event_header header;
    unsigned int round;
    unsigned int count;
    char block[BLOCK_BYTES];
    struct page_record records[BATCH_PAGES];
};

/* one round of a stock QEMU as the kernel counted it; a page that was lost is in no class */
struct stock_counts {
    unsigned long long start_ns;
    unsigned long long first_pages;
    unsigned long long changed_pages;
    unsigned long long fake_pages;
    unsigned long long normal_pages;
    unsigned long long zero_pages;
    unsigned long long odd_buffers; /* of another size than one page */
    unsigned int round;             /* 0: before the first bitmap sync */
    unsigned int forced_syncs;
    unsigned int bypassed;   /* bit i: pages took route i of fakedirty/observe/decode/blind_spots.py */
    unsigned int generation; /* the number of the migration among those of the process, from 1 */
};

struct stock_event {
    struct event_header header;
    struct stock_counts counts;
    unsigned int state;    /* of EVENT_STOCK_STATE: the number of the new MigrationStatus, or 0 and its name */
    unsigned int partial;  /* the migration was running when the first event came */
    char name[WORD_BYTES];
    /* 0 without multifd; older traces do not have the following fields */
    unsigned long long queued_pages;  /* given to the channels in this round */
    unsigned long long channel_pages; /* those of them that were in a channel's packet */
    unsigned long long end_ns;        /* of the round, whose event may come later */
};

/* a guest is about to be in another RunState */
struct runstate_event {
    struct event_header header;
    unsigned int pid;
    unsigned int state;
};

#define DEVICE_BYTES 128 /* a longer name of a device is cut off */

/* a source or a destination has passed a checkpoint of the switchover, or has saved or loaded the state of a device */
struct switchover_event {
    struct event_header header; /* its time: when that was done */
    unsigned int pid;
    unsigned int instance;           /* of the device */
    unsigned long long duration_us;  /* of saving or loading it, by QEMU's own clock; 0 for a checkpoint */
    char stage[WORD_BYTES];          /* of the device: "iterable" or "non-iterable"; empty for a checkpoint */
    char name[DEVICE_BYTES];         /* of the device or the checkpoint; empty if it could not be read */
};

/* where events of a process are lost: indices of `lost` */
#define LOST_EVENTS 0     /* no room in the ring buffer of events */
#define LOST_BATCHES 1    /* no room in the ring buffer of page records */
#define LOST_UNREADABLE 2 /* memory of the process could not be read */
#define LOST_UNRECORDED 3 /* no room to keep what a page held */
#define LOST_LATE 4       /* counted in user space: the reader was late */
#define LOST_CROWDED 5    /* more threads reported a batch at once than there is room for */
#define LOST_PLACES 6

/* the beginning of the state of an observed process, which is in a map of its own: see processes.c */
struct process_head {
    unsigned long long lost[LOST_PLACES];
    unsigned short slot;
    unsigned short reserved;
    unsigned int tgid; /* the process whose state this is: a place may be read while it is written */
};

/*
 * The slot of a process is in the array `slots_by_tgid`, at one of a few places that follow from the process id. A hash
 * map would cost a call of the kernel for each page; an array is read in place.
 */
#define PLACES 32768
#define PLACES_TRIED 4
#define PLACE_OF(tgid, attempt) ((((tgid) * 0x9e3779b9u >> 17) + (attempt)) & (PLACES - 1))

struct place {
    unsigned int tgid; /* 0: the place is free */
    unsigned int slot;
};

/* ---- levels stock and usdt: what was last sent, in chunks of pages by process, migration and place ---- */

/* an element with its key and the kernel's own part fits 4096 bytes, which is a size of the kernel's allocator */
#define CHUNK_PAGES 496

struct chunk_key {
    unsigned short slot;
    unsigned short generation; /* the lower bits: only a few migrations of a process are kept at once */
    unsigned int chunk;        /* large enough for addresses of 2^52 bytes */
};

#endif
