"""The benchmarks of multifd, compression and postcopy: their formulas, their tables, and what they are run with."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakedirty.cli.bench.compression import compression_line, compression_tables
from fakedirty.cli.bench.hybrid import hybrid_line, hybrid_tables
from fakedirty.cli.bench.results import Results
from fakedirty.cli.bench.scaling import scaling_line, scaling_tables, step_line, step_tables
from fakedirty.cli.main import main
from fakedirty.errors import LabError
from fakedirty.lab.bench import compression, hybrid, scaling
from fakedirty.lab.bench.codec_speed import CODECS, measure_codec
from fakedirty.lab.bench.convergence import ConvergenceJob, ConvergenceRun
from fakedirty.lab.bench.cost import ARMS, CHANNELS, COMPARED, MULTIFD, Cost, CostJob
from fakedirty.lab.bench.full_speed import channel_seconds, sink
from fakedirty.lab.bench.hybrid import Hybrid, HybridJob, hybrid_jobs, moment
from fakedirty.lab.bench.scaling import Scaling, ScalingJob, most_speedup, scaling_jobs
from fakedirty.lab.bench.step_speed import PROGRAM, StepJob, StepSpeed, measure_step, step_jobs
from fakedirty.lab.guests.content import filling
from fakedirty.lab.guests.workload import linux_words
from fakedirty.lab.treatments import COMPRESSION_TREATMENTS
from rich.console import Console
from rich.table import Table

LINK = 50_000_000.0  # bytes/s
FRAMES = np.arange(5_000, 5_512)
TREATMENTS = {each.name: each for each in COMPRESSION_TREATMENTS}
MIX = compression.MIXES[0]


def shown(tables: Iterable[Table]) -> list[str]:
    console = Console(width=250)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
    return capture.get().splitlines()


def made(treatment: str, seconds: float, *, rounds: int = 5, converged: bool = True, **fields: Any) -> ConvergenceRun:
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
def test_pages_of_text_compress_as_records_do(codec: str) -> None:
    """So much that the ratio is fair, and by far less than pages that are one word repeated."""
    text = measure_codec(codec, filling("fake", FRAMES, compression.TEXT).tobytes())
    assert compression.LEAST_RATIO <= text.ratio < 3.5
    assert text.bytes_per_second > 0
    assert measure_codec(codec, filling("fake", FRAMES).tobytes()).ratio > 50


def test_the_mixes_fit_their_guest_and_half_of_one_is_fake() -> None:
    assert MIX.fake_share == 0.5
    for mix in compression.MIXES:
        assert f"text={compression.TEXT}" in linux_words(mix.workload)
    assert "parts=100" in linux_words(MIX.workload)


def test_compression_is_asked_for_on_both_sides() -> None:
    for codec in CODECS:
        for name in (f"multifd+{codec}", f"skip+multifd+{codec}"):
            assert TREATMENTS[name].shared == {"multifd-channels": 2, "multifd-compression": codec}
            assert (TREATMENTS[name].codec, TREATMENTS[name].channels) == (codec, 2)
    assert (TREATMENTS["skip"].codec, TREATMENTS["skip"].channels) == (None, 0)


def test_the_limit_is_the_slower_of_link_and_cpu() -> None:
    treatment = TREATMENTS["skip+multifd+zstd"]
    run = made("skip+multifd+zstd", 4.0)
    link = (150_000_000 + 32_000 * 4104 / 2.8) / LINK
    assert compression.limit_seconds(run, MIX, treatment, LINK) == pytest.approx(link)
    slow = replace(run, codec_bytes_per_second=50e6)
    assert compression.limit_seconds(slow, MIX, treatment, LINK) == pytest.approx((94_000 + 32_000) * 4096 / (2 * 50e6))
    raw = made("skip", 9.0)
    assert compression.limit_seconds(raw, MIX, TREATMENTS["skip"], LINK) == (150_000_000 + 32_000 * 4104) / LINK


@pytest.mark.parametrize(
    ("ratio", "speed", "rounds", "holds"),
    [(2.8, 400e6, 4, True), (2.4, 400e6, 4, False), (2.8, 270e6, 4, False), (2.8, 400e6, 3, False)],
)
def test_a_fair_question_has_three_conditions(ratio: float, speed: float, rounds: int, holds: bool) -> None:
    fields = {"codec_ratio": ratio, "codec_bytes_per_second": speed}
    runs = [made("multifd+zstd", 8.0, rounds=rounds, **fields), made("skip+multifd+zstd", 4.0, rounds=3, **fields)]
    found = compression.fair(runs, "zstd", LINK)
    assert found
    assert found.holds is holds
    assert found.share_of_codec == pytest.approx(LINK * ratio / speed)
    assert compression.fair(runs, "zlib", LINK) is None
    assert compression.fair(runs[:1], "zstd", LINK) is None


def test_a_table_compares_with_skip_and_with_compression_alone() -> None:
    runs = [
        made("skip", 20.0, converged=False),
        made("multifd+zstd", 8.0),
        made("skip+multifd+zstd", 4.0, rounds=3),
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


def test_a_run_of_before_there_was_compression_is_read(tmp_path: Path) -> None:
    run = made("skip", 2.0, bulk_pages=None)
    Results(tmp_path, {}, {}, ConvergenceRun, ConvergenceJob).add(run.job, run)
    file = tmp_path / "runs.jsonl"
    file.write_text(file.read_text().split(', "bulk_pages"')[0] + "}\n")
    assert Results(tmp_path, {}, {}, ConvergenceRun, ConvergenceJob).runs == {run.job: run}


def gone_over(arm: str, left: int | None, requests: int = 0, *, right: bool = True) -> Hybrid:
    return Hybrid(
        HybridJob(1, arm),
        total_seconds=3.0,
        downtime_ms=20,
        blackout_ms=31.0,
        rounds=3,
        left_pages=left,
        requests=requests,
        postcopy_bytes=10_000_000,
        swept_pages=50_000 if arm == hybrid.SWEPT else 0,
        memory_right=right,
    )


def test_what_is_left_to_postcopy_is_compared_with_both_sweeps(tmp_path: Path) -> None:
    runs = [
        gone_over("off", 66_000, 900),
        gone_over(hybrid.UNSWEPT, 60_000, 800),
        gone_over(hybrid.SWEPT, 6_000, 90),
        gone_over(hybrid.SWEPT, None),
    ]
    lines = shown(hybrid_tables(runs))
    [off] = [line for line in lines if "│ off " in line]
    [unswept] = [line for line in lines if f"│ {hybrid.UNSWEPT} " in line]
    [swept] = [line for line in lines if f"│ {hybrid.SWEPT} " in line]
    assert " 0.09 " in off
    assert " 0.10 " in unswept
    assert " 1 of 2 " in swept
    assert "6,000" in swept
    assert "no postcopy" in hybrid_line(runs[3])
    assert "NOT RIGHT" in hybrid_line(gone_over("off", 1, right=False))
    results = Results(tmp_path, {}, {}, Hybrid, HybridJob)
    for run in runs[:3]:
        results.add(run.job, run)
    assert list(Results(tmp_path, {}, {}, Hybrid, HybridJob).runs.values()) == runs[:3]


def test_every_arm_of_a_hybrid_migration_comes_once_a_repetition_and_leaves_the_rest_after_round_2() -> None:
    names = [arm.name for arm in hybrid.ARMS]
    assert Counter(hybrid_jobs(3, 5)) == Counter(HybridJob(number, name) for number in (1, 2, 3) for name in names)
    assert list(hybrid_jobs(3, 5)) != list(hybrid_jobs(3, 6))
    for arm in hybrid.ARMS:
        assert [step.after_round for step in arm.steps] == [2]
        assert arm.capabilities == {"postcopy-ram": True}
    assert [arm.parameters for arm in hybrid.ARMS] == [{}, {"fake-dirty-sweep": False}, {"fake-dirty-sweep": True}]


def test_a_moment_is_that_of_the_last_event_of_its_name() -> None:
    def event(name: str, seconds: int, microseconds: int) -> dict[str, object]:
        return {"event": name, "timestamp": {"seconds": seconds, "microseconds": microseconds}}

    events = [event("STOP", 5, 0), event("RESUME", 6, 0), event("STOP", 7, 250_000), event("MIGRATION", 8, 0)]
    assert moment(events, "STOP") == 7.25
    with pytest.raises(LabError, match="no event SHUTDOWN"):
        moment(events, "SHUTDOWN")


def path(arm: str, repetition: int, path_ns: float, main_ns: float, channel_ns: float) -> Scaling:
    return Scaling(ScalingJob(repetition, arm), path_ns, main_ns, channel_ns, hash_ns=100.0, pages=500_000)


def test_two_channels_are_held_against_what_two_cores_allow(tmp_path: Path) -> None:
    assert most_speedup(150, 50) == 1.5
    assert Counter(scaling_jobs(2, 1)) == Counter(ScalingJob(n, name) for n in (1, 2) for name in scaling.ARMS)
    runs = [
        run
        for number in (1, 2, 3)
        for run in (
            path("no multifd", number, 200, 200, 0),
            path("1 channel", number, 150, 50, 150),
            path("2 channels", number, 107.142857, 50, 159),
        )
    ]
    lines = shown(scaling_tables([*runs, path("1 channel", 4, 1, 1, 1)]))
    told = {words: line.split("│")[3].split()[0] for line in lines for words in WORDS if f"│ {words} " in line}
    assert told == dict(zip(WORDS, ("1.40", "1.50", "0.93", "1.06"), strict=True))
    assert all(" 3 " in line for line in lines if "two cores allow" in line), "the fourth has not all arms"
    assert "150 ns a page" in scaling_line(runs[1])
    Results(tmp_path, {}, {}, Scaling, ScalingJob).add(runs[0].job, runs[0])
    assert Results(tmp_path, {}, {}, Scaling, ScalingJob).runs == {runs[0].job: runs[0]}


WORDS = (
    "two channels, times as fast as one",
    "what two cores allow: 2h / (h + q)",
    "that of this",
    "CPU of a page in channels, two by one",
)


def test_the_step_is_read_from_the_program_beside_qemu(tmp_path: Path) -> None:
    qemu = tmp_path / "qemu-system-x86_64"
    with pytest.raises(LabError, match="there is no benchmark-fake-dirty-step beside"):
        measure_step(StepJob(1), qemu)
    program = tmp_path / PROGRAM
    told = "# step, 1 thread: 170.0 ns per page\\nok 1\\n# step, 2 threads: 100.0 ns per page\\nok 2\\n"
    program.write_text(f"#!/bin/sh\nprintf '{told}'\n")
    program.chmod(0o755)
    run = measure_step(StepJob(1), qemu)
    assert (run.one_ns, run.two_ns, run.speedup) == (170.0, 100.0, 1.7)
    assert "1.70 times as fast" in step_line(run)
    assert any(" 1.70 (1.70-1.70) " in line for line in shown(step_tables([run, StepSpeed(StepJob(2), 17.0, 10.0)])))
    assert list(step_jobs(2)) == [StepJob(1), StepJob(2)]
    program.write_text("#!/bin/sh\nprintf '# step, 1 thread: 170.0 ns per page\\n'\nexit 1\n")
    with pytest.raises(LabError, match="exit status 1"):
        measure_step(StepJob(1), qemu)


def test_the_cost_of_a_page_is_that_of_all_threads_that_send_it() -> None:
    assert Cost(CostJob(1, "off"), 1.0, 0.5, 1_000_000, 0.25).thread_ns_per_page == 750
    names = [arm.name for arm in ARMS]
    assert len(set(names)) == len(names)
    assert {arm.name: arm.channels for arm in ARMS if arm.channels} == {
        f"{name}{MULTIFD}": CHANNELS for name in ("unpatched", "off", "observe", "skip")
    }
    assert {each for pair in COMPARED for each in pair} <= set(names)
    assert (f"unpatched{MULTIFD}", f"off{MULTIFD}") in COMPARED


def test_the_time_of_channels_is_the_sum_of_theirs(tmp_path: Path) -> None:
    threads: Sequence[tuple[str, int]] = (
        ("mig/src/main", 9),
        ("mig/src/send_0", 1_000_000_000),
        ("mig/src/send_1", 500_000_000),
    )
    for number, (name, ran) in enumerate(threads, 10):
        task = tmp_path / "77" / "task" / str(number)
        task.mkdir(parents=True)
        (task / "comm").write_text(f"{name}\n")
        (task / "schedstat").write_text(f"{ran} 5 6\n")
    assert channel_seconds(SimpleNamespace(pid=77, name="vm"), tmp_path) == 1.5  # type: ignore[arg-type]


def test_a_sink_takes_what_several_connections_send_at_once() -> None:
    with sink() as uri:
        _tcp, host, port = uri.split(":")
        connections = [socket.create_connection((host, int(port))) for _ in range(3)]
        for connection in reversed(connections):
            connection.settimeout(20)
            connection.sendall(bytes(8 << 20))  # far more than waits in buffers
            connection.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["convergence", "--mix", "text 8k/8k"], "bench convergence has 60k/5k"),
        (["compression", "--treatment", "vanilla"], "bench compression has skip, multifd+zstd"),
        (["compression", "--mbit", "0"], "--mbit is above 0"),
    ],
)
def test_what_a_benchmark_does_not_have_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fakedirty.cli.bench.migrations.build_guest", lambda _name: None)
    monkeypatch.setattr("fakedirty.cli.bench.migrations.qemu_binary", lambda: tmp_path)
    assert main(["bench", *words, "--out", str(tmp_path / "out")]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
