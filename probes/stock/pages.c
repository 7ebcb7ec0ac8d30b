/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that the migration thread sends: each one is hashed and counted.
 *
 * The migration thread gives a page to buffer_is_zero (`tested`). If the page is not zero, the thread then gives it to
 * qemu_put_buffer_async (`queued`); the trace event `ram_save_page` comes before that. If a tested page is not queued
 * next, it was sent as a zero page, so no return probe is needed. Calls of other threads belong to no migration.
 */

static __always_inline void classify(struct process *m, u64 host, u64 now, u64 disposition)
{
    u64 page = host / PAGE_BYTES, number = page / CHUNK_PAGES, index = page - number * CHUNK_PAGES;
    struct chunk *chunk = chunk_of(m, number);
    u64 class = CLASS_UNKNOWN;

    asm volatile("" : "+r"(index)); /* the compiler would leave out the bound, which the verifier needs */
    if (index >= CHUNK_PAGES) {
        return;
    }
    if (!chunk) {
        count_loss(&m->head, LOST_UNRECORDED);
        add_record(m, host, now, class, disposition);
        return;
    }
    class = class_of(chunk, index, now);
    if (class == CLASS_FIRST) {
        m->counts.first_pages++;
    } else if (class == CLASS_FAKE) {
        m->counts.fake_pages++;
    } else if (class == CLASS_CHANGED) {
        m->counts.changed_pages++;
    }
    add_record(m, host, now, class, disposition);
}

/* The tested page was not queued, so it was sent as a zero page. */
static __always_inline void settle(struct process *m)
{
    if (m->tested) {
        m->counts.zero_pages++;
        if (sampled(m->tested)) {
            classify(m, m->tested, SENT_ZERO, DISPOSITION_ZERO);
        }
        m->tested = 0;
    }
}

static __always_inline int sent(u64 host, u64 size)
{
    u32 tid;
    struct process *m = current_process(&tid);

    if (!m) {
        return 0;
    }
    if (!m->tid && !in_main_thread()) {
        start(m, tid, 1);
    }
    if (m->tid != tid) {
        return 0;
    }
    if (m->tested == host) {
        m->tested = 0;
    }
    settle(m);
    if (size != PAGE_BYTES) {
        m->counts.odd_buffers++;
        return 0;
    }
    m->counts.normal_pages++;
    if (!sampled(host)) {
        return 0;
    }
    if (bpf_probe_read_user(&m->copy, sizeof(m->copy), (void *)host)) {
        count_loss(&m->head, LOST_UNREADABLE);
        classify(m, host, NOT_SENT, DISPOSITION_NORMAL);
        return 0;
    }
    classify(m, host, hash(&m->copy), DISPOSITION_NORMAL);
    return 0;
}

int queued(struct pt_regs *ctx)
{
    return sent(PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx));
}

/* The trace event of a page that is not zero, whichever route it takes then. */
static __always_inline int ram_save_page(struct pt_regs *ctx, u64 block, u64 offset, u64 host)
{
    return sent(host, PAGE_BYTES);
}

int tested(struct pt_regs *ctx)
{
    u64 host = PT_REGS_PARM1(ctx), size = PT_REGS_PARM2(ctx);
    u32 tid;
    struct process *m = current_process(&tid);

    /* one test may pass several probed functions */
    if (m && m->tid == tid && m->tested != host && size == PAGE_BYTES && host % PAGE_BYTES == 0) {
        settle(m);
        m->tested = host;
    }
    return 0;
}
