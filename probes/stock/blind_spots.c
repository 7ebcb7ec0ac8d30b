/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routes of pages that pass by the probes of this level, each known by a function that QEMU calls only there. Pages
 * that take one of them are not counted. fakedirty/observe/decode/blind_spots.py has the function and the reason of each.
 */

static __always_inline int bypass(int bit)
{
    u32 tid;
    struct process *m = current_process(&tid);

    if (m && m->tid == tid) {
        m->counts.bypassed |= 1 << bit;
    }
    return 0;
}

#define BYPASS(bit)                       \
    int bypass_##bit(struct pt_regs *ctx) \
    {                                     \
        return bypass(bit);               \
    }

BYPASS(0)
BYPASS(1)
BYPASS(2)
BYPASS(3)
BYPASS(4)

/* A trace event of multifd, the route with bit 0: it also shows where the function is not exported. */
static __always_inline int multifd_send_sync_main(struct pt_regs *ctx, u64 packet)
{
    return bypass(0);
}
