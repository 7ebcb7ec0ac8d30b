"""Every column of the record of a joined migration."""

from __future__ import annotations

from fakedirty.record.columns import COUNT, NUMBER, TEXT, Column

JOINED = (
    Column("source_vm", TEXT, "", "name of the VM on the source"),
    Column("destination_vm", TEXT, "", "name of the VM on the destination"),
    Column("source_host", TEXT, "", "name of the source's host; empty in older recordings"),
    Column("destination_host", TEXT, "", "name of the destination's host; empty in older recordings"),
    Column("source_id", TEXT, "", "`migration_id` of the recording of the source"),
    Column("destination_id", TEXT, "", "`migration_id` of the recording of the destination"),
    Column("source", TEXT, "", "directory of the recording of the source"),
    Column("destination", TEXT, "", "directory of the recording of the destination"),
    Column("uuid", TEXT, "", "UUID of the guest; empty if it has none"),
    Column("matched_by", TEXT, "", "what matched the halves: `UUID` or `name`, and `time`, and `bytes` if both agree"),
    Column("started_at", TEXT, "", "start of the migration, UTC, ISO 8601, by the clock of the source"),
    Column("stopped_at", TEXT, "", "when the source stopped the guest, by its clock"),
    Column("arrived_at", TEXT, "", "when the guest arrived, by the clock of the destination"),
    Column("resumed_at", TEXT, "", "when the destination let the guest run, by its clock"),
    Column("ended_at", TEXT, "", "when the migration ended on the source, by its clock"),
    Column(
        "offset_low_seconds",
        NUMBER,
        "s",
        "what the clock of the destination shows more than that of the source, at least; negative if it shows less",
    ),
    Column("offset_high_seconds", NUMBER, "s", "the same, at most"),
    Column(
        "offset_by",
        TEXT,
        "",
        "what bounds the offset: `clocks` (their errors), `states` (the order of what both sides saw), or `clocks and "
        "states`",
    ),
    Column(
        "downtime_low_ms",
        NUMBER,
        "ms",
        "from `stopped_at` to `resumed_at`, corrected by the offset, at least. Empty if one of the two was not seen",
    ),
    Column("downtime_high_ms", NUMBER, "ms", "the same, at most"),
    Column("downtime_reason", TEXT, "", "why there is no downtime; empty if there is one"),
    Column("downtime_ms", COUNT, "ms", "`downtime` that QEMU reports on the source"),
    Column("total_time_ms", COUNT, "ms", "`total-time` that QEMU reports on the source"),
    Column("sent_bytes", COUNT, "bytes", "`ram.transferred` that QEMU reports on the source"),
    Column("received_bytes", COUNT, "bytes", "`ram.transferred` that QEMU reports on the destination, if it does"),
    Column("postcopy_latency_ns", COUNT, "ns", "`postcopy-latency` that QEMU reports on the destination, if it does"),
    Column("remarks", TEXT, "", "what does not agree, though both are taken for one migration; empty if nothing"),
)
