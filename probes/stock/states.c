/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * States of a migration, by the function that sets them or by its trace event. The states that end a migration also
 * end its last round.
 */

/* migrate_set_state(state, old, new) changes the state only where it still is `old`. */
int state_set(struct pt_regs *ctx)
{
    u32 tid, state = 0;
    struct process *m = current_process(&tid);

    if (!m || !m->tid) {
        return 0;
    }
    if (bpf_probe_read_user(&state, sizeof(state), (void *)PT_REGS_PARM1(ctx))) {
        count_loss(&m->head, LOST_UNREADABLE);
        return 0;
    }
    if (state == (u32)PT_REGS_PARM2(ctx)) {
        u32 new = (u32)PT_REGS_PARM3(ctx);
        int over = new < 32 && ENDED >> new & 1;

        if (m->tid == tid) {
            settle(m);
            send_records(m);
        }
        if (m->tid == tid || (over && in_main_thread())) {
            publish_all(m, over);
        }
        send_current_counts(m, EVENT_STOCK_STATE, new, 0);
    }
    return 0;
}

/* the first eight bytes of the name of a state */
#define WORD(a, b, c, d, e, f, g, h)                                                                \
    ((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | (u64)(f) << 40 | \
     (u64)(g) << 48 | (u64)(h) << 56)
#define SETUP WORD('s', 'e', 't', 'u', 'p', 0, 0, 0)
#define FAILED WORD('f', 'a', 'i', 'l', 'e', 'd', 0, 0)
#define CANCELLED WORD('c', 'a', 'n', 'c', 'e', 'l', 'l', 'e') /* not cancelling */
#define COMPLETED WORD('c', 'o', 'm', 'p', 'l', 'e', 't', 'e')

/* QEMU's trace event of the same. It is used where there is one: the compiler may have inlined the function. */
static __always_inline int migrate_set_state(struct pt_regs *ctx, u64 name)
{
    u32 tid;
    u64 word = 0;
    struct process *m = current_process(&tid);

    if (!m) {
        return 0;
    }
    bpf_probe_read_user(&word, sizeof(word), (void *)name);
    if ((word & ~0ULL >> 16) == SETUP) {
        m->setting_up = 1;
    }
    if (m->tid) {
        int failed = word == CANCELLED || (word & ~0ULL >> 8) == FAILED;

        /* The main thread may end the round: it has joined the migration thread, which adds no page any more. */
        if (m->tid == tid || failed) {
            settle(m);
            send_records(m);
        }
        if (m->tid == tid || (failed && in_main_thread())) {
            publish_all(m, failed || word == COMPLETED);
        }
        send_current_counts(m, EVENT_STOCK_STATE, 0, name);
    }
    return 0;
}
