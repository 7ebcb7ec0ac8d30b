/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every struct that crosses a boundary: from the QEMU series to the kernel (the trace events fake_dirty_batch,
 * and migration_round or fake_dirty_round), and from the kernel to user space (the ring buffer). The Python
 * side is fakedirty/observe/decode/wire.py; a test holds the two, and QEMU's own header, together.
 */
#ifndef FAKEDIRTY_EVENTS_H
#define FAKEDIRTY_EVENTS_H

#define BATCH_PAGES 256

/* one visited page: fake_dirty_batch carries up to BATCH_PAGES of one block and one round */
struct page_record {
    unsigned long long hash; /* the first 64 bits of the content's hash */
    unsigned long long tag;  /* page index in its block << 16 | class << 8 | disposition */
};

/* as of fake_dirty_batch; a page that the observer itself lost track of is of no class */
#define CLASS_FIRST 0
#define CLASS_CHANGED 1
#define CLASS_FAKE 2
#define CLASS_UNKNOWN 255
#define DISPOSITION_NORMAL 0
#define DISPOSITION_ZERO 1

#define ROUND_CLASSIFIED 1 /* flags: the mode was on for the whole round, so that classes are complete */
#define ROUND_INEXACT 2    /* pages were counted where they were queued, so that the laws of rounds do not hold */

#define ROUND_VERSION 1 /* of a record that can be read here, as far as its size says */
#define ROUND_VERSION_OF_DRAFTS 2 /* the same fields, of a series before it was given a first version */

/* one round, as QEMU counted it: migration_round carries it. It grows at its end only. */
struct migration_round_record {
    unsigned int version;
    unsigned int size; /* of the whole record as QEMU has it, which may be more or less than this */
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
    /* with the modes of the series */
    unsigned long long first_pages;
    unsigned long long changed_pages;
    unsigned long long fake_pages;
    unsigned long long hash_ns;
    unsigned char mode; /* at the end of the round */
    unsigned char hash;
    unsigned char reserved_mode[6];
    /* with mode skip */
    unsigned long long skipped_pages;
    unsigned long long saved_bytes;
};

/* the same of a series whose records had no version: fake_dirty_round carries it */
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

/* ---- from the kernel to user space: every event opens with this ---- */

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

struct event_header {
    unsigned long long time_ns; /* CLOCK_MONOTONIC */
    unsigned short kind;
    unsigned short slot; /* the observed process: user space gives each one a number of its own */
    unsigned int tid;
};

/* what the kernel itself counted of a round, from the page records */
struct seen_counts {
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
    struct seen_counts seen;
};

struct migration_round_event {
    struct event_header header;
    struct migration_round_record record;
    struct seen_counts seen;
    unsigned int record_bytes; /* that were read of the record; the rest of it is 0 here, and means nothing */
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

/* one round of a stock QEMU, as the kernel counted it; a lost page is in no class */
struct stock_counts {
    unsigned long long start_ns;
    unsigned long long first_pages;
    unsigned long long changed_pages;
    unsigned long long fake_pages;
    unsigned long long normal_pages;
    unsigned long long zero_pages;
    unsigned long long odd_buffers; /* sent in pieces that are not one page */
    unsigned int round;             /* 0: between the start and the first bitmap sync */
    unsigned int forced_syncs;
    unsigned int bypassed;   /* bit i: pages took the way i of fakedirty/observe/bpf/blind_spots.py */
    unsigned int generation; /* which migration of the process since it is observed, from 1 */
};

struct stock_event {
    struct event_header header;
    struct stock_counts counts;
    unsigned int state;     /* EVENT_STOCK_STATE: the number of the new MigrationStatus, */
    unsigned int partial;   /* the migration was running when the first event came */
    char name[WORD_BYTES];  /* or its name */
    /* with multifd, else 0; of a trace that was recorded before these were there, too */
    unsigned long long queued_pages;  /* given to the channels in this round */
    unsigned long long channel_pages; /* those of them that were in a channel's packet */
    unsigned long long end_ns;        /* of the round: its event may come later */
};

/* a guest is about to be in another RunState */
struct runstate_event {
    struct event_header header;
    unsigned int pid;
    unsigned int state;
};

/* places where events of a process are lost: indices of `lost` */
#define LOST_EVENTS 0     /* no room in the ring buffer of events */
#define LOST_BATCHES 1    /* no room in the ring buffer of page records */
#define LOST_UNREADABLE 2 /* memory of the process could not be read */
#define LOST_UNRECORDED 3 /* no room to remember what a page held */
#define LOST_LATE 4       /* user space's own: a reader that is late */
#define LOST_CROWDED 5    /* more threads at a batch at once than there is room for */
#define LOST_PLACES 6

/* how the kernel's state of every observed process opens: a map of its own, by slot in the map `observed` */
struct process_head {
    unsigned long long lost[LOST_PLACES];
    unsigned short slot;
    unsigned short reserved;
    unsigned int tgid; /* whose state it is: a place may be read while it is written */
};

/*
 * Which slot a process has: the map `places`, at one of a few places that follow from its id. A map of the kernel's
 * own hashing would be asked by a call, at each page; arrays are read in place.
 */
#define PLACES 32768
#define PLACES_TRIED 4
#define PLACE_OF(tgid, attempt) ((((tgid) * 0x9e3779b9u >> 17) + (attempt)) & (PLACES - 1))

struct place {
    unsigned int tgid; /* 0: nobody's */
    unsigned int slot;
};

/* ---- what was last sent, of the levels stock and usdt: CHUNK_PAGES pages by process, migration and place ---- */

/* the element with its key and the kernel's own part fits 4096 bytes, a size that the kernel's allocator has */
#define CHUNK_PAGES 496

struct chunk_key {
    unsigned short slot;
    unsigned short generation; /* its lower bits: of a process, only a few are kept at once */
    unsigned int chunk;        /* addresses of 2^52 bytes would fit */
};

#endif
