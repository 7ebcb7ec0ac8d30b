"""The convergence benchmark: its order, its formulas, and its tables."""

from __future__ import annotations

from collections import Counter

from benchmark_tables import shown
from fakedirty.lab.bench.benchmarks.convergence import convergence_tables
from fakedirty.lab.bench.convergence import MIXES, PAGE_BYTES, ConvergenceJob, ConvergenceRun, jobs
from fakedirty.lab.treatments import CONVERGENCE

LINE = 125_000_000.0  # bytes/s


def run_of(treatment: str, seconds: float, *, repetition: int = 1, converged: bool = True) -> ConvergenceRun:
    return ConvergenceRun(
        ConvergenceJob(repetition, "60k/5k", treatment),
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


def test_the_share_of_fake_pages_of_a_mix() -> None:
    shares = {mix.name: mix.fake_share for mix in MIXES}
    assert shares["20k/20k"] == 0.5
    assert shares["60k/5k"] == 60 / 65
    assert shares["phases"] == 1 - 30_500 / 60_500


def test_the_limit_is_the_bulk_round_and_one_pass_of_changed_pages() -> None:
    [mix] = [mix for mix in MIXES if mix.name == "60k/5k"]
    assert run_of("skip", 2.85).limit_seconds(mix, LINE) == (330_000_000 + 5_000 * PAGE_BYTES) / LINE


def test_a_table_has_medians_with_ranges_and_marks_treatments_that_did_not_end() -> None:
    runs = [run_of("skip", seconds, repetition=number) for number, seconds in enumerate((2.85, 2.71, 3.02), 1)]
    runs += [run_of("vanilla", 25.0, repetition=number, converged=False) for number in (1, 2, 3)]
    lines = shown(convergence_tables(runs, MIXES[:1], LINE))
    [skip] = [line for line in lines if " skip " in line]
    [vanilla] = [line for line in lines if " vanilla " in line]
    assert "3 of 3" in skip
    assert "2.85 (2.71-3.02)" in skip
    assert "0 of 3" in vanilla
    assert "> 25.00" in vanilla
    assert lines.index(skip) < lines.index(vanilla)
