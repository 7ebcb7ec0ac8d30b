/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of the fake dirty mode, and states of a migration, each by the trace event with its name.
 */

static __always_inline int fake_dirty_mode(struct pt_regs *ctx, u64 round, u64 from, u64 to, u64 hash)
{
    struct process *p = this_process();
    struct mode_event event = {};

    if (!p) {
        return 0;
    }
    fill_header(&p->head, &event.header, EVENT_MODE);
    event.round = round;
    bpf_probe_read_user_str(event.from_mode, sizeof(event.from_mode), (void *)from);
    bpf_probe_read_user_str(event.to_mode, sizeof(event.to_mode), (void *)to);
    bpf_probe_read_user_str(event.hash, sizeof(event.hash), (void *)hash);
    send_event(&p->head, &event, sizeof(event));
    return 0;
}

static __always_inline int migrate_set_state(struct pt_regs *ctx, u64 state)
{
    struct process *p = this_process();
    struct state_event event = {};

    if (!p) {
        return 0;
    }
    fill_header(&p->head, &event.header, EVENT_STATE);
    bpf_probe_read_user_str(event.state, sizeof(event.state), (void *)state);
    send_event(&p->head, &event, sizeof(event));
    return 0;
}
