"""The benchmark of convergence: its order, its formula, its tables, and results that are gone on with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fakedirty.cli import bench
from fakedirty.cli.bench_report import spread, tables
from fakedirty.cli.main import main
from fakedirty.lab.convergence import MIXES, PAGE_BYTES, Job, Measured, jobs
from fakedirty.lab.treatments import CONVERGENCE
from rich.console import Console

LINE = 125_000_000.0  # bytes/s


def made(
    treatment: str, seconds: float, *, mix: str = "60k/5k", repetition: int = 1, converged: bool = True
) -> Measured:
    return Measured(
        Job(repetition, mix, treatment),
        converged=converged,
        total_seconds=seconds,
        downtime_ms=42 if converged else None,
        sent_bytes=371_000_000,
        rounds=4,
        bulk_bytes=330_000_000,
        sweeps_per_second=30.0,
        memory_equal=True,
    )


def test_every_block_has_every_treatment_once_in_an_order_of_its_own() -> None:
    drawn = list(jobs(3, seed=7))
    assert drawn == list(jobs(3, seed=7))
    assert drawn != list(jobs(3, seed=8))
    assert len(set(drawn)) == len(drawn) == 3 * len(MIXES) * len(CONVERGENCE)
    for at in range(0, len(drawn), len(CONVERGENCE)):
        block = drawn[at : at + len(CONVERGENCE)]
        assert {(job.repetition, job.mix) for job in block} == {(block[0].repetition, block[0].mix)}
        assert Counter(job.treatment for job in block) == Counter(each.name for each in CONVERGENCE)


def test_at_least_half_of_the_pages_are_fake_where_it_is_claimed() -> None:
    shares = {mix.name: mix.fake_share for mix in MIXES}
    assert shares["20k/20k"] == 0.5
    assert shares["60k/5k"] == 60 / 65
    assert shares["phases"] == 1 - 30_500 / 60_500


def test_the_limit_is_the_bulk_round_and_one_pass_of_what_changes() -> None:
    (mix,) = [mix for mix in MIXES if mix.name == "60k/5k"]
    assert made("skip", 2.85).limit_seconds(mix, LINE) == (330_000_000 + 5_000 * PAGE_BYTES) / LINE


def test_a_run_is_the_same_when_it_is_read_again() -> None:
    run = made("vanilla", 25.0, converged=False)
    assert Measured.of_row(run.row()) == run


def test_a_table_has_medians_with_ranges_and_says_who_did_not_end() -> None:
    runs = [made("skip", seconds, repetition=number) for number, seconds in enumerate((2.85, 2.71, 3.02), 1)]
    runs += [made("vanilla", 25.0, repetition=number, converged=False) for number in (1, 2, 3)]
    console = Console(width=200, record=True)
    with console.capture() as capture:
        for table in tables(runs, MIXES[:1], LINE):
            console.print(table)
    lines = capture.get().splitlines()
    (skip,) = [line for line in lines if " skip " in line]
    (vanilla,) = [line for line in lines if " vanilla " in line]
    assert "3 of 3" in skip
    assert "2.85 (2.71-3.02)" in skip
    assert "0 of 3" in vanilla
    assert "> 25.00" in vanilla
    assert lines.index(skip) < lines.index(vanilla)


def test_one_value_has_no_range() -> None:
    assert (spread([], 2), spread([1.0], 2), spread([1, 2, 6], 0)) == ("-", "1.00", "2 (1-6)")


def test_results_of_other_settings_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"seed": 1}
    monkeypatch.setattr(bench, "_manifest", lambda _arguments: {"settings": dict(settings)})
    monkeypatch.setattr(bench, "qemu_binary", lambda: Path("qemu"))
    monkeypatch.setattr(bench, "build_guest", lambda _name: None)
    measured: list[Job] = []

    def measure(job: Job, *_rest: object, **_more: object) -> Measured:
        measured.append(job)
        return made(job.treatment, 3.0, mix=job.mix, repetition=job.repetition)

    monkeypatch.setattr(bench, "measure", measure)
    words = ["bench", "convergence", "--out", str(tmp_path), "--mix", "60k/5k", "--repetitions"]
    assert main([*words, "1"]) == 0
    assert len(measured) == len(CONVERGENCE)
    assert main([*words, "2"]) == 0, "what is there already is not measured again"
    assert len(measured) == 2 * len(CONVERGENCE)
    settings["seed"] = 2
    assert main([*words, "2"]) == 2
    assert "results of other settings" in capsys.readouterr().err
