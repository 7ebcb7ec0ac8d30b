"""The compression benchmark: its guests, its limits, the conditions of a fair comparison, and its tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from benchmark_tables import shown
from fakedirty.lab.bench import compression
from fakedirty.lab.bench.benchmarks.compression import compression_line, compression_tables
from fakedirty.lab.bench.codec_speed import CODECS, measure_codec
from fakedirty.lab.bench.convergence import ConvergenceJob, ConvergenceRun
from fakedirty.lab.guests.content import filling
from fakedirty.lab.guests.workload import linux_words
from fakedirty.lab.treatments import COMPRESSION_TREATMENTS

LINK = 50_000_000.0  # bytes/s
FRAMES = np.arange(5_000, 5_512)
TREATMENTS = {each.name: each for each in COMPRESSION_TREATMENTS}
MIX = compression.MIXES[0]


def run_of(treatment: str, seconds: float, *, rounds: int = 5, converged: bool = True, **fields: Any) -> ConvergenceRun:
    codec = TREATMENTS[treatment].codec
    return ConvergenceRun(
        ConvergenceJob(1, MIX.name, treatment),
        converged=converged,
        total_seconds=seconds,
        downtime_ms=200 if converged else None,
        sent_bytes=200_000_000,
        rounds=rounds,
        bulk_bytes=150_000_000,
        sweeps_per_second=0.3,
        memory_equal=True,
        **{
            "bulk_pages": 94_000,
            "codec_ratio": 2.8 if codec else None,
            "codec_bytes_per_second": 400e6 if codec else None,
            **fields,
        },
    )


@pytest.mark.parametrize("codec", CODECS)
def test_pages_of_text_compress_like_records(codec: str) -> None:
    """The ratio is high enough to be fair, and far lower than that of pages with one word repeated."""
    text = measure_codec(codec, filling("fake", FRAMES, compression.TEXT).tobytes())
    assert compression.LEAST_RATIO <= text.ratio < 3.5
    assert text.bytes_per_second > 0
    assert measure_codec(codec, filling("fake", FRAMES).tobytes()).ratio > 50


def test_the_mixes_fit_their_guest_and_half_of_one_is_fake() -> None:
    assert MIX.fake_share == 0.5
    for mix in compression.MIXES:
        assert f"text={compression.TEXT}" in linux_words(mix.workload)
    assert "parts=100" in linux_words(MIX.workload)


def test_compression_is_set_on_both_sides() -> None:
    for codec in CODECS:
        for name in (f"multifd+{codec}", f"skip+multifd+{codec}"):
            assert TREATMENTS[name].shared == {"multifd-channels": 2, "multifd-compression": codec}
            assert (TREATMENTS[name].codec, TREATMENTS[name].channels) == (codec, 2)
    assert (TREATMENTS["skip"].codec, TREATMENTS["skip"].channels) == (None, 0)


def test_the_limit_is_the_slower_of_link_and_cpu() -> None:
    treatment = TREATMENTS["skip+multifd+zstd"]
    run = run_of("skip+multifd+zstd", 4.0)
    link = (150_000_000 + 32_000 * 4104 / 2.8) / LINK
    assert compression.limit_seconds(run, MIX, treatment, LINK) == pytest.approx(link)
    slow = replace(run, codec_bytes_per_second=50e6)
    assert compression.limit_seconds(slow, MIX, treatment, LINK) == pytest.approx((94_000 + 32_000) * 4096 / (2 * 50e6))
    raw = run_of("skip", 9.0)
    assert compression.limit_seconds(raw, MIX, TREATMENTS["skip"], LINK) == (150_000_000 + 32_000 * 4104) / LINK


@pytest.mark.parametrize(
    ("ratio", "speed", "rounds", "holds"),
    [(2.8, 400e6, 4, True), (2.4, 400e6, 4, False), (2.8, 270e6, 4, False), (2.8, 400e6, 3, False)],
)
def test_a_fair_comparison_has_three_conditions(ratio: float, speed: float, rounds: int, holds: bool) -> None:
    fields = {"codec_ratio": ratio, "codec_bytes_per_second": speed}
    runs = [run_of("multifd+zstd", 8.0, rounds=rounds, **fields), run_of("skip+multifd+zstd", 4.0, rounds=3, **fields)]
    check = compression.check_fairness(runs, "zstd", LINK)
    assert check
    assert check.holds is holds
    assert check.share_of_codec == pytest.approx(LINK * ratio / speed)
    assert compression.check_fairness(runs, "zlib", LINK) is None
    assert compression.check_fairness(runs[:1], "zstd", LINK) is None


def test_a_table_compares_with_skip_and_with_compression_alone() -> None:
    runs = [
        run_of("skip", 20.0, converged=False),
        run_of("multifd+zstd", 8.0),
        run_of("skip+multifd+zstd", 4.0, rounds=3),
    ]
    lines = shown(compression_tables(runs, [MIX], TREATMENTS, LINK))
    [both] = [line for line in lines if " skip+multifd+zstd " in line]
    [alone] = [line for line in lines if " multifd+zstd " in line]
    cells = [cell.strip() for cell in both.split("│")[1:-1]]
    assert cells[:3] == ["skip+multifd+zstd", "1 of 1", "4.00"]
    assert cells[5:7] == ["< 0.20", "0.50"], "skip has not ended, so it is at least five times as slow"
    assert lines.index(both) < lines.index(alone)
    assert "19,200 (19,200-19,200) pages/s are written" in lines[0]
    [fair] = [line for line in lines if " zstd " in line]
    assert [cell.strip() for cell in fair.split("│")[2:-1]] == ["zstd", "2.80", "400", "0.35", "5", "yes"]
    assert not [line for line in lines if " zlib " in line]
    assert "ratio 2.80, 400 MB/s a thread" in compression_line(runs[2])
    assert "ratio" not in compression_line(runs[0])
