"""Broken variants of the switchover and of the estimate that it is decided by."""

from __future__ import annotations

from variant import ESTIMATE, LOOK, SERIES, TESTS, Edit, Variant

VARIANTS = (
    Variant(
        "late-toggle",
        10,
        "QEMU adopts a change of mode or hash after it has decided on the switchover",
        (Edit(SERIES, r"frozen = shared->frozen;", "frozen = false;"),),
        wrong_counts=True,
    ),
    Variant(
        "underestimated",
        "of the switchover",
        "QEMU expects to send only half of the dirty pages that it has to send",
        (Edit(LOOK, r"fake_dirty_limit\(block->sample\.send,", "fake_dirty_limit(block->sample.send / 2,"),),
        wrong_counts=True,
    ),
    Variant(
        "never-decays",
        "of the switchover",
        "QEMU keeps the highest bandwidth that the link has ever had, even if the link has become slower",
        (
            Edit(
                ESTIMATE,
                r"return !link->evidence_ns \|\|\n +now_ns <= link->evidence_ns \+ FAKE_DIRTY_LINK_KNOWN_NS;",
                "return true;",
            ),
            Edit(ESTIMATE, r"link->probe = link->probe \?: 1;", "link->probe = 0;"),
            Edit(
                ESTIMATE,
                r"link->rate = least;(?=\n +link->evidence_ns)",
                "link->rate = MAX(link->rate, least);",
            ),
            Edit(
                ESTIMATE,
                r"link->rate = link->rate > most \? least : MAX\(link->rate, least\);",
                "link->rate = MAX(link->rate, least);",
            ),
            Edit(
                ESTIMATE,
                r"link->rate = MIN\(link->rate, \(w->bytes \+ w->after\) / sending_ms\(w\)\);",
                ";",
            ),
        ),
        test=TESTS + "test_series_link.py",
    ),
)
