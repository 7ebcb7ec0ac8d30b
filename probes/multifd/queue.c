/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that the migration thread queues for the channels of multifd, and the round in which each was queued.
 */

int multifd_queue_page(struct pt_regs *ctx)
{
    u32 tid, round;
    struct process *m = current_process(&tid);
    struct queued_chunk *chunk;
    struct chunk_key key = {};
    u64 host, page, index;
    int zero = 0;

    if (!m) {
        return 0;
    }
    if (!m->tid && !in_main_thread()) {
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
    chunk = queued_pages.lookup(&key);
    if (!chunk) {
        struct queued_chunk *template = unqueued_chunk.lookup(&zero);

        if (template) {
            queued_pages.insert(&key, template);
        }
        chunk = queued_pages.lookup(&key);
    }
    asm volatile("" : "+r"(index));
    if (!chunk || !host || index >= QUEUED_PAGES) {
        count_loss(&m->head, LOST_UNRECORDED);
        return 0;
    }
    chunk->round[index] = (round & (OPEN_ROUNDS - 1)) + 1;
    return 0;
}

/* The round in which a page was queued, which is forgotten then; 0: the page was not seen in the queue. */
static __always_inline u32 queued_round(struct process *m, u64 host)
{
    u64 page = host / PAGE_BYTES, number = page / QUEUED_PAGES, index = page - number * QUEUED_PAGES;
    struct chunk_key key = {.slot = m->head.slot, .generation = m->generation, .chunk = number};
    struct queued_chunk *chunk = queued_pages.lookup(&key);
    u32 round;

    asm volatile("" : "+r"(index));
    if (!chunk || index >= QUEUED_PAGES) {
        return 0;
    }
    round = chunk->round[index];
    chunk->round[index] = 0;
    return round;
}
