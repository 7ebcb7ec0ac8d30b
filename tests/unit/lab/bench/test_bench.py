"""The benchmarks: their order, formulas and tables, and results that are gone on with."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakedirty.cli.bench import command
from fakedirty.cli.bench.report import (
    convergence_tables,
    cost_line,
    cost_tables,
    interval,
    overhead_tables,
    scrape_line,
    scrape_tables,
    spread,
)
from fakedirty.cli.bench.results import Results
from fakedirty.cli.main import main
from fakedirty.errors import LabError
from fakedirty.export.tracked_migration import ROUNDS_SHOWN
from fakedirty.lab.bench import overhead
from fakedirty.lab.bench.convergence import MIXES, PAGE_BYTES, ConvergenceJob, ConvergenceRun, jobs
from fakedirty.lab.bench.cost import ARMS, Cost, CostJob, cost_jobs, paired
from fakedirty.lab.bench.full_speed import TimeSpent, thread_seconds
from fakedirty.lab.bench.scrape_speed import (
    HOSTS,
    NEWS,
    ROUNDS,
    WAYS,
    ScrapeJob,
    ScrapeSpeed,
    measure_scrapes,
    scrape_jobs,
)
from fakedirty.lab.treatments import CONVERGENCE
from rich.console import Console

LINE = 125_000_000.0  # bytes/s


def made(
    treatment: str, seconds: float, *, mix: str = "60k/5k", repetition: int = 1, converged: bool = True
) -> ConvergenceRun:
    return ConvergenceRun(
        ConvergenceJob(repetition, mix, treatment),
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


def test_a_run_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    run = made("vanilla", 25.0, converged=False)
    Results(tmp_path, {}, {}, ConvergenceRun, ConvergenceJob).add(run.job, run)
    assert Results(tmp_path, {}, {}, ConvergenceRun, ConvergenceJob).runs == {run.job: run}


def test_a_table_has_medians_with_ranges_and_says_who_did_not_end() -> None:
    runs = [made("skip", seconds, repetition=number) for number, seconds in enumerate((2.85, 2.71, 3.02), 1)]
    runs += [made("vanilla", 25.0, repetition=number, converged=False) for number in (1, 2, 3)]
    console = Console(width=200, record=True)
    with console.capture() as capture:
        for table in convergence_tables(runs, MIXES[:1], LINE):
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


def cost(arm: str, repetition: int, seconds: float) -> Cost:
    return Cost(CostJob(repetition, arm), seconds, seconds / 2, pages=1_000_000)


def test_every_repetition_has_every_arm_once() -> None:
    drawn = list(cost_jobs(4, seed=3))
    assert drawn == list(cost_jobs(4, seed=3))
    assert Counter(drawn) == Counter(CostJob(number, arm.name) for number in range(1, 5) for arm in ARMS)


def test_some_arms_alone() -> None:
    two = [arm for arm in ARMS if arm.name in ("unpatched", "off")]
    assert Counter(cost_jobs(3, seed=3, arms=two)) == Counter(
        CostJob(number, name) for number in (1, 2, 3) for name in ("unpatched", "off")
    )
    console = Console(width=200)
    with console.capture() as capture:
        for table in cost_tables([cost(job.arm, job.repetition, 1.0) for job in cost_jobs(3, seed=3, arms=two)]):
            console.print(table)
    assert "off over unpatched" in capture.get()
    assert "observe" not in capture.get()


def test_costs_are_compared_in_pairs_of_one_repetition() -> None:
    costs = [cost("off", 1, 1.0), cost("off", 2, 2.0), cost("observe", 2, 2.2), cost("observe", 1, 1.1)]
    assert paired(costs, "off", "observe", "pass_seconds") == pytest.approx([0.1, 0.1])
    assert paired(costs, "unpatched", "off", "pass_seconds") == []
    assert cost("off", 1, 1.0).thread_ns_per_page == 500
    console = Console(width=200)
    with console.capture() as capture:
        for table in cost_tables(costs):
            console.print(table)
    assert "+10.00% (+10.00% to +10.00%)" in capture.get()


def test_an_interval_holds_the_median_of_what_it_is_of() -> None:
    assert interval([]) == "-"
    middle, low, high = (
        float(word.strip("(%)")) for word in interval([-0.01, 0.0, 0.01, 0.02]).split() if word != "to"
    )
    assert low < middle < high
    assert middle == 0.5


def test_the_time_of_the_migration_thread_is_read_by_its_name(tmp_path: Path) -> None:
    for number, (name, ran) in enumerate((("CPU 0/TCG", 9), ("mig/src/main", 1_500_000_000)), 10):
        task = tmp_path / "77" / "task" / str(number)
        task.mkdir(parents=True)
        (task / "comm").write_text(f"{name}\n")
        (task / "schedstat").write_text(f"{ran} 5 6\n")
    source = SimpleNamespace(pid=77, name="vm")
    assert thread_seconds(source, tmp_path) == 1.5  # type: ignore[arg-type]
    (tmp_path / "77" / "task" / "11" / "comm").write_text("worker\n")
    with pytest.raises(LabError, match="no migration thread"):
        thread_seconds(source, tmp_path)  # type: ignore[arg-type]


def test_results_of_other_settings_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[CostJob] = []

    def benchmark(arguments: Namespace) -> command.Benchmark:
        def measure(job: CostJob) -> Cost:
            measured.append(job)
            return cost(job.arm, job.repetition, 1.0)

        jobs, settings = list(cost_jobs(arguments.repetitions, arguments.seed)), {"seed": arguments.seed}
        return command.Benchmark(
            settings, jobs, lambda: nullcontext(measure), Cost, CostJob, cost_line, cost_tables, most_seconds=1.0
        )

    monkeypatch.setitem(command.BENCHMARKS, "cost", benchmark)
    words = ["bench", "cost", "--out", str(tmp_path), "--repetitions"]
    assert main([*words, "1"]) == 0
    assert main([*words, "2"]) == 0, "what is there already is not measured again"
    assert len(set(measured)) == len(measured) == 2 * len(ARMS)
    assert main([*words, "2", "--seed", "2"]) == 2
    assert "results of other settings" in capsys.readouterr().err


def test_being_observed_is_compared_with_the_same_mode_unobserved() -> None:
    """A 10 ms longer pass of a million pages, half of it on the CPU: 5 ns a page."""
    drawn = list(overhead.overhead_jobs(3, seed=3))
    assert len(set(drawn)) == len(drawn) == 3 * sum(arm.turns for arm in overhead.ARMS)
    passes = [(TimeSpent(1.01, 0.505, 1_000_000), TimeSpent(1.0, 0.5, 1_000_000))] * 3
    parts = [overhead._Observed(passes, [0.25] * 3, 100 << 20, 1 << 20, 1)] * 2
    runs = [overhead._joined(job, parts) for job in drawn]
    console = Console(width=200)
    with console.capture() as capture:
        for table in overhead_tables(runs):
            console.print(table)
    text = capture.get()
    pays, collector = [line for line in text.splitlines() if " patched, pages " in line]
    assert " 12 " in pays
    assert pays.count("+1.00% (+1.00% to +1.00%)") == 2
    assert "+5 (+5 to +5)" in pays
    assert "+0.02% (+0.02% to +0.02%)" in pays
    assert "4,000,000" in collector
    assert "100 (100-100)" in collector
    assert " 24 " in collector


def test_what_one_guest_is_slower_by_in_itself_cancels_out() -> None:
    slow, fast = TimeSpent(1.2, 0.6, 1000), TimeSpent(1.0, 0.5, 1000)
    parts = [overhead._Observed([pair] * 3, [0.1], 1, 0, 0) for pair in ((slow, fast), (fast, slow))]
    made = overhead._joined(overhead.OverheadJob(1, "patched", 1), parts)
    assert made.time_share == pytest.approx(0)
    assert made.thread_share == pytest.approx(0)
    assert made.added_ns == pytest.approx(0)


def test_scrapes_are_measured_in_every_way(tmp_path: Path) -> None:
    assert Counter(scrape_jobs(2)) == Counter(ScrapeJob(number, *host) for number in (1, 2) for host in HOSTS)
    run = measure_scrapes(ScrapeJob(1, 3, 2, 3))
    assert list(run.ms) == list(NEWS)
    for figures in (*run.ms.values(), run.bytes):
        assert list(figures) == list(WAYS)
        assert all(figure > 0 for figure in figures.values())
    assert run.series > 2 * 13 * min(ROUNDS, ROUNDS_SHOWN)
    assert run.series == measure_scrapes(ScrapeJob(1, 3, 2, 3)).series
    assert run.late_ms > 0
    assert "3 VMs, 2 migrate" in scrape_line(run)
    Results(tmp_path, {}, {}, ScrapeSpeed, ScrapeJob).add(run.job, run)
    assert Results(tmp_path, {}, {}, ScrapeSpeed, ScrapeJob).runs == {run.job: run}
    console = Console(width=200)
    with console.capture() as capture:
        for table in scrape_tables([run]):
            console.print(table)
    assert all(news in capture.get() for news in NEWS)
