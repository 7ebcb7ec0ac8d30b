/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bitmap syncs, which end rounds, and dirty logging, whose start and stop enclose every migration.
 */

#define GLOBAL_DIRTY_MIGRATION 1 /* the flag of QEMU: a migration wants the dirty log, and not another user of it */

int log_started(struct pt_regs *ctx)
{
    u32 tid;
    struct process *m = current_process(&tid);

    if (m && !in_main_thread() && PT_REGS_PARM1(ctx) & GLOBAL_DIRTY_MIGRATION) {
        start(m, tid, 0);
    }
    return 0;
}

/* The migration thread's own sync ends a round; the main thread's is a forced one. */
static __always_inline int sync(void)
{
    u32 tid;
    struct process *m = current_process(&tid);

    if (!m || !m->tid) {
        return 0;
    }
    if (m->tid == tid) {
        settle(m);
        send_records(m);
        end_round(m);
    } else if (in_main_thread()) {
        lock_xadd(&m->counts.forced_syncs, 1);
    }
    return 0;
}

int synced(struct pt_regs *ctx)
{
    return sync();
}

/*
 * The trace event of the migration's own syncs alone. A migration begins with the first one after its setup. The start
 * of dirty logging would not do: if the guest is stopped, logging may still be on from the migration before.
 */
static __always_inline int migration_bitmap_sync_start(struct pt_regs *ctx)
{
    u32 tid;
    struct process *m = current_process(&tid);

    if (m && m->setting_up && !in_main_thread()) {
        start(m, tid, 0);
    }
    return sync();
}

/* Every migration stops dirty logging last, whether its state was seen or not. No page is sent after this. */
int log_stopped(struct pt_regs *ctx)
{
    u32 tid;
    struct process *m = current_process(&tid);

    if (m && m->tid && PT_REGS_PARM1(ctx) & GLOBAL_DIRTY_MIGRATION) {
        settle(m);
        send_records(m);
        send_current_counts(m, EVENT_STOCK_STOPPED, 0, 0);
    }
    return 0;
}
