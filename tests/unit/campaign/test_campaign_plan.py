"""The order of a campaign: drawn, in blocks, each run once; and what runs are expected to take."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from fakedirty.campaign.duration_estimate import expected_seconds, guessed_seconds
from fakedirty.campaign.plan import plan
from fakedirty.campaign.spec import CampaignFile, parse
from fakedirty.campaign.treatments import ARMS
from hypothesis import given
from hypothesis import strategies as st

TREATMENTS = list(ARMS)
LEVELS = {
    "workload": ["idle", "workingset"],
    "memory_mib": [256, 512, 1024],
    "mbit": [100, 400, 1000],
    "vcpus": [1, 2, 4],
}


@st.composite
def campaigns(draw: st.DrawFn) -> CampaignFile:
    """A file with some of the levels of every factor."""
    factors = {
        name: draw(st.lists(st.sampled_from(levels), min_size=1, unique=True)) for name, levels in LEVELS.items()
    }
    factors["treatment"] = draw(st.lists(st.sampled_from(TREATMENTS), min_size=1, max_size=6, unique=True))
    lines = [f"{name} = {levels!r}" for name, levels in factors.items()]
    seed, repetitions = draw(st.integers(0, 10**6)), draw(st.integers(1, 4))
    return parse("\n".join([f'name = "drawn"\nseed = {seed}\nrepetitions = {repetitions}\n[factors]', *lines]))


@given(campaigns())
def test_every_run_is_there_once_and_every_block_has_every_treatment_once(file: CampaignFile) -> None:
    factors = file.spec.factors
    runs = plan(file.spec, factors.treatment)
    cells = len(factors.workload) * len(factors.memory_mib) * len(factors.mbit) * len(factors.vcpus)
    assert len(runs) == cells * len(factors.treatment) * file.spec.repetitions
    assert [run.run for run in runs] == [f"{number:04d}" for number in range(1, len(runs) + 1)]
    named = Counter((r.repetition, r.workload, r.memory_mib, r.mbit, r.vcpus, r.treatment) for r in runs)
    assert set(named.values()) == {1}
    blocks = [list(block) for _, block in groupby(runs, key=lambda run: run.block)]
    assert [block[0].block for block in blocks] == list(range(1, len(blocks) + 1))
    for block in blocks:
        assert Counter(run.treatment for run in block) == Counter(factors.treatment)
        assert len({(r.repetition, r.workload, r.memory_mib, r.mbit, r.vcpus) for r in block}) == 1
    assert [block[0].repetition for block in blocks] == sorted(block[0].repetition for block in blocks)
    assert plan(file.spec, factors.treatment) == runs


@given(campaigns())
def test_expectations_are_of_what_is_left_and_become_what_was_measured(file: CampaignFile) -> None:
    runs = plan(file.spec, file.spec.factors.treatment)
    guessed = expected_seconds(runs, file, {})
    assert guessed == {run.run: guessed_seconds(run, file) for run in runs}
    assert all(seconds > 0 for seconds in guessed.values())
    first, last = runs[0], runs[-1]
    left = expected_seconds(runs, file, {first.run: 2 * guessed[first.run]})
    assert first.run not in left
    if len(runs) > 1:  # all else is taken to be as far off as what was measured, and its like to be as long
        assert abs(left[last.run] - 2 * guessed[last.run]) < 1e-6
    assert expected_seconds(runs, file, {run.run: 1.0 for run in runs}) == {}


def test_the_order_is_of_the_seed() -> None:
    text = "name = 'x'\nseed = {}\nrepetitions = 8\n[factors]\nworkload = ['idle']\ntreatment = ['vanilla', 'skip']\n"
    orders = [[run.treatment for run in plan(parse(text.format(seed)).spec, ["vanilla", "skip"])] for seed in (1, 2)]
    assert orders[0] != orders[1]
    assert any(order != orders[0][:2] for order in (orders[0][at : at + 2] for at in range(0, 16, 2)))
