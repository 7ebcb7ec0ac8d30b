"""The numbers of pages that were still to come: those of QEMU's answer, and none where it has none."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from fakedirty.model.enums import Level
from fakedirty.model.migration import Migration
from fakedirty.web.ui.postcopy_numbers import latency, most_took_ns, postcopy_numbers


def numbers(report: Mapping[str, object], state: str = "completed") -> dict[str, str]:
    return dict(postcopy_numbers(Migration("vm", Level.STOCK, "id", 0, incoming=True, state=state, report=report)))


def test_a_hybrid_migration_shows_the_latencies_of_its_pages() -> None:
    """Of ten waits nine are below 2^9 µs: two in [128, 256), seven in [256, 512)."""
    report = {
        "postcopy-latency": 380_000,
        "postcopy-non-vcpu-latency": 1_250_000,
        "postcopy-vcpu-latency": [0, 402_000],
        "postcopy-latency-dist": [0, 0, 0, 0, 0, 0, 0, 2, 7, 0, 0, 1],
    }
    assert numbers(report) == {
        "postcopy, wait for a page": "380 µs",
        "of threads that are no vCPU": "1.25 ms",
        "of each vCPU": "-, 402 µs",
        "90% of the pages took less than": "512 µs",
    }


@pytest.mark.parametrize(
    "report",
    [
        {},
        {
            "postcopy-latency": 0,
            "postcopy-non-vcpu-latency": 0,
            "postcopy-vcpu-latency": [0],
            "postcopy-latency-dist": [0],
        },
        {"postcopy-latency": "long", "postcopy-latency-dist": {"0": 1}, "postcopy-vcpu-latency": [1, None]},
        {"postcopy-latency": None, "postcopy-latency-dist": [1, -1], "postcopy-vcpu-latency": [True]},
    ],
    ids=["an older release", "no wait", "other types", "odd values"],
)
def test_what_qemu_does_not_report_is_not_shown(report: Mapping[str, object]) -> None:
    assert numbers(report) == {}


@pytest.mark.parametrize(
    ("state", "remaining", "expected"),
    [
        ("active", 3_000_000, {"left to send, with devices": "3.00 MB"}),
        ("failing", 0, {"left to send, with devices": "0 B"}),
        ("completed", 0, {}),
        ("active", None, {}),
    ],
)
def test_what_is_left_is_shown_of_a_migration_that_has_not_completed(
    state: str, remaining: int | None, expected: dict[str, str]
) -> None:
    migration = Migration("vm", Level.QMP, "id", 0, state=state, remaining_bytes=remaining)
    assert dict(postcopy_numbers(migration)) == expected


@pytest.mark.parametrize(
    ("counts", "ns"),
    [([1], 2_000), ([9, 1], 2_000), ([8, 2], 4_000), ([0, 0, 5], 8_000)],
)
def test_most_waits_are_shorter(counts: list[int], ns: int) -> None:
    assert most_took_ns(counts) == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1 µs"),
        (512_000, "512 µs"),
        (2_500_000, "2.5 ms"),
        (3_200_000_000, "3.20 s"),
    ],
)
def test_latencies_have_three_digits(ns: int, text: str) -> None:
    assert latency(ns) == text
