/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When a guest stops and when it runs: every call of runstate_set, of a source and of the QEMUs that wait for
 * a migration on the same host. One clock, and no word of QEMU's own about it.
 */

int runstate_set(struct pt_regs *ctx)
{
    struct runstate_event event = {};

    event.header.time_ns = bpf_ktime_get_ns();
    event.header.kind = EVENT_RUNSTATE;
    event.header.tid = (u32)bpf_get_current_pid_tgid();
    event.pid = bpf_get_current_pid_tgid() >> 32;
    event.state = PT_REGS_PARM1(ctx);
    tell(&event, sizeof(event));
    return 0;
}
