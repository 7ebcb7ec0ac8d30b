/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When a guest stops and when it runs: every call of runstate_set, in the source and in each QEMU of this host that
 * waits for a migration. All these times are of one clock, and none of them is reported by QEMU.
 */

int runstate_set(struct pt_regs *ctx)
{
    u32 tgid = bpf_get_current_pid_tgid() >> 32;
    struct process *p = process_of(tgid);
    struct runstate_event event = {};

    if (!p) {
        return 0;
    }
    fill_header(&p->head, &event.header, EVENT_RUNSTATE);
    event.pid = tgid;
    event.state = PT_REGS_PARM1(ctx);
    send_event(&p->head, &event, sizeof(event));
    return 0;
}
