/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The switchover, step by step, by trace events with the names of these functions: on the source and in each QEMU of
 * this host that waits for a migration. They fire some fifty times in a migration, and once for each bitmap sync.
 */

static __always_inline int send_step(u32 kind, u64 stage, u64 name, u64 instance, u64 duration_us)
{
    u32 tgid = bpf_get_current_pid_tgid() >> 32;
    struct process *p = process_of(tgid);
    struct switchover_event event = {};

    if (!p) {
        return 0;
    }
    fill_header(&p->head, &event.header, kind);
    event.pid = tgid;
    event.instance = instance;
    event.duration_us = duration_us;
    bpf_probe_read_user_str(event.stage, sizeof(event.stage), (void *)stage);
    bpf_probe_read_user_str(event.name, sizeof(event.name), (void *)name);
    send_event(&p->head, &event, sizeof(event));
    return 0;
}

static __always_inline int vmstate_downtime_checkpoint(struct pt_regs *ctx, u64 name)
{
    return send_step(EVENT_CHECKPOINT, 0, name, 0, 0);
}

static __always_inline int vmstate_downtime_save(struct pt_regs *ctx, u64 stage, u64 device, u64 instance,
                                                 u64 duration_us)
{
    return send_step(EVENT_DEVICE_SAVED, stage, device, instance, duration_us);
}

static __always_inline int vmstate_downtime_load(struct pt_regs *ctx, u64 stage, u64 device, u64 instance,
                                                 u64 duration_us)
{
    return send_step(EVENT_DEVICE_LOADED, stage, device, instance, duration_us);
}

/* QEMU has no checkpoint for this: user space sees which of them ended the sync with the guest stopped. */
static __always_inline int migration_bitmap_sync_end(struct pt_regs *ctx, u64 pages)
{
    u32 tgid = bpf_get_current_pid_tgid() >> 32;
    struct process *p = process_of(tgid);
    struct switchover_event event = {.name = "bitmap-synced"};

    if (!p) {
        return 0;
    }
    fill_header(&p->head, &event.header, EVENT_CHECKPOINT);
    event.pid = tgid;
    send_event(&p->head, &event, sizeof(event));
    return 0;
}
