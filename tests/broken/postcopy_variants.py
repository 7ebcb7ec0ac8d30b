"""Broken variants of hybrid migration: what must not happen once postcopy begins."""

from __future__ import annotations

from variant import RAM, VISIT, Edit, Variant

VARIANTS = (
    Variant(
        "hashed-in-postcopy",
        6,
        "QEMU hashes, records and skips pages after the destination got the list of pages to discard",
        (
            Edit(
                RAM,
                r"fake_dirty_postcopy\(rs->fake_dirty\);\n(?= +round_tracker_end_postcopy\(&rs->rounds,\n)",
                "\n",
            ),
            Edit(
                RAM,
                r"fake_dirty_postcopy\(rs->fake_dirty\);\n(?= +round_tracker_end_postcopy\(&rs->rounds, rs)",
                "\n",
            ),
        ),
        part="9-hybrid",
        plans="postcopy",
    ),
    Variant(
        "swept-unequal",
        6,
        "a sweep marks pages clean although they differ from the sent content",
        (Edit(VISIT, r"if \(class == FAKE_DIRTY_FAKE\) \{(?=\n +return true;)", "if (class != FAKE_DIRTY_FIRST) {"),),
        part="9-hybrid",
        plans="postcopy",
    ),
    Variant(
        "unflushed-before-postcopy",
        4,
        "postcopy begins while channels still have pages",
        (
            Edit(
                RAM,
                r"ret = multifd_ram_flush_and_sync\(f\);(?=\n.*\n +error_setg\(errp, .*multifd flush and sync)",
                "ret = 0;",
                own=True,
            ),
        ),
        part="9-hybrid",
        plans="postcopy with multifd",
        release="10.2",
        may_hang=True,  # the source may stay in postcopy-device, and the monitor of the destination not answer
    ),
)
