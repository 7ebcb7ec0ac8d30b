/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When a guest stops and when it runs: every call of runstate_set, of a source and of the QEMUs that wait for
 * a migration on the same host. One clock, and no word of QEMU's own about it.
 */

int runstate_set(struct pt_regs *ctx)
{
    u32 tgid = bpf_get_current_pid_tgid() >> 32;
    struct process *p = process_of(tgid);
    struct runstate_event event = {};

    if (!p) {
        return 0;
    }
    head(&p->head, &event.header, EVENT_RUNSTATE);
    event.pid = tgid;
    event.state = PT_REGS_PARM1(ctx);
    tell(&p->head, &event, sizeof(event));
    return 0;
}
