/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each page held when it was last sent, and by that the class of a page that is sent now.
 *
 * Pages are found by process, migration and host address. The kernel allocates a chunk of CHUNK_PAGES when the first
 * page of it is sent. When a migration is over, user space deletes its chunks.
 */

struct chunk {
    u64 sent[CHUNK_PAGES]; /* the hash of what was sent, NOT_SENT or SENT_ZERO */
};

BPF_F_TABLE("hash", struct chunk_key, struct chunk, sent_pages, CHUNKS, BPF_F_NO_PREALLOC);
BPF_ARRAY(unsent_chunk, struct chunk, 1);

/* The chunk of a page, which is made if there is none. Several threads may make the same one at once. */
static __always_inline struct chunk *chunk_of(struct process *m, u64 number)
{
    struct chunk_key key = {.slot = m->head.slot, .generation = m->generation, .chunk = number};
    struct chunk *chunk = sent_pages.lookup(&key);
    int zero = 0;

    if (!chunk) {
        struct chunk *template = unsent_chunk.lookup(&zero);

        if (template) {
            sent_pages.insert(&key, template);
        }
        chunk = sent_pages.lookup(&key);
    }
    return chunk;
}

/* The class of a page that is sent with the content `now`; that content is kept. */
static __always_inline u64 class_of(struct chunk *chunk, u64 index, u64 now)
{
    u64 before = chunk->sent[index];

    chunk->sent[index] = now;
    if (now == NOT_SENT) {
        return CLASS_UNKNOWN; /* its content could not be read: when it is sent again it is a first page */
    }
    if (before == NOT_SENT) {
        return CLASS_FIRST;
    }
    return before == now ? CLASS_FAKE : CLASS_CHANGED;
}
