"""When skip is switched off by the service: where hashing costs more time than it saves, and only there."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.errors import QmpError
from fakedirty.model.enums import Kind, Mode
from fakedirty.model.events import RoundEnded
from fakedirty.model.migration import Migration
from fakedirty.model.round import Round
from fakedirty.model.skip_economy import economy
from fakedirty.observe.host.target import Target
from fakedirty.service.mode_manager import State
from fakedirty.service.skip_policy import Policy
from made_migrations import START, again, bulk, made

TARGET = Target(1, "web", Path("exe"), "qemu", 2, ())
RATE = 100_000_000  # bytes a second


def skipping(number: int, *, hash_seconds: float, saved_bytes: int) -> Round:
    counts = again(number, True)
    return replace(counts, mode=Mode.SKIP, hash_seconds=hash_seconds, saved_bytes=saved_bytes, duration_seconds=0.01)


FULL = replace(bulk(), transferred_bytes=RATE, duration_seconds=1.0, hash_seconds=5.0, saved_bytes=0, mode=Mode.SKIP)
COSTS = [skipping(number, hash_seconds=0.5, saved_bytes=10_000_000) for number in (2, 3, 4)]  # 0.1 s saved
SAVES = [skipping(number, hash_seconds=0.5, saved_bytes=90_000_000) for number in (2, 3, 4)]


def test_what_skipping_costs_and_saves() -> None:
    found = economy([FULL, *COSTS], 1)
    assert found
    assert (found.rounds, found.hash_seconds, found.saved_bytes, found.link_rate) == (3, 1.5, 30_000_000, RATE)
    assert found.saved_seconds == pytest.approx(0.3)
    assert not found.pays
    saves = economy([FULL, *SAVES], 1)
    assert saves
    assert saves.pays


@pytest.mark.parametrize(
    "rounds",
    [
        [FULL, *COSTS[:2]],
        COSTS,  # too short to tell how fast the link is
        [FULL, *(replace(each, mode=Mode.OBSERVE) for each in COSTS)],
        [FULL, *(replace(each, kind=Kind.SWITCHOVER) for each in COSTS)],
        [FULL, *(replace(each, hash_seconds=None) for each in COSTS)],
        [FULL, *(replace(each, fake_pages=0, changed_pages=0) for each in COSTS)],
    ],
    ids=["too few", "no link", "observing", "switchover", "unseen", "only first pages"],
)
def test_where_nothing_can_be_said(rounds: list[Round]) -> None:
    assert economy(rounds, 1) is None


def decided(rounds: list[Round], policy: Policy, migration: Migration | None = None) -> None:
    sink, migration = policy.sink_for(TARGET), migration or replace(made(), channels=1)
    sink.started(migration)
    for each in rounds:
        migration.apply(event := RoundEnded(START, each))
        sink.changed(migration, event)
    policy.close()


@pytest.mark.parametrize(
    ("rounds", "hash_seconds", "times"),
    [([FULL, *COSTS], 1.0, 1), ([FULL, *COSTS, *COSTS], 1.0, 1), ([FULL, *SAVES], 0.0, 0), ([FULL, *COSTS], 1.6, 0)],
    ids=["costs", "once in a migration", "saves", "too little to bother"],
)
def test_it_is_switched_off_where_it_costs(rounds: list[Round], hash_seconds: float, times: int) -> None:
    done: list[tuple[Target, Mode]] = []

    def set_mode(target: Target, mode: Mode, hash_name: str | None) -> State:
        done.append((target, mode))
        return mode, "xxh3-64"

    policy = Policy(set_mode, 3, hash_seconds)
    decided(rounds, policy)
    assert done == [(TARGET, Mode.OFF)] * times
    assert policy.decisions == times


def test_what_cannot_be_switched_off_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(target: Target, mode: Mode, hash_name: str | None) -> State:
        raise QmpError("it is gone")

    with caplog.at_level(logging.WARNING):
        decided([FULL, *COSTS], Policy(refuse, 3, 1.0))
    [record] = caplog.records
    assert (
        "hashing took 1.50 s in the last 3 rounds and saved 30.0 MB, which are 0.30 s at the 100 MB/s" in record.message
    )
    assert "it is gone" in record.message


def test_a_destination_decides_nothing() -> None:
    policy = Policy(lambda target, mode, hash_name: (mode, ""), 3, 0.0)
    decided([FULL, *COSTS], policy, replace(made(), incoming=True, channels=1))
    assert not policy.decisions


@pytest.mark.parametrize(
    ("channels", "hash_seconds", "pays"),
    [(1, 1.5, False), (2, 0.75, False), (8, 0.1875, True), (None, None, None)],
)
def test_channels_hash_at_once(channels: int | None, hash_seconds: float | None, pays: bool | None) -> None:
    """1.5 s in the sum, against 0.3 s of sending: eight channels have done with it in 0.19 s."""
    found = economy([FULL, *COSTS], channels)
    assert found
    assert (found.hash_seconds, found.pays) == (hash_seconds, pays)
    policy = Policy(lambda target, mode, hash_name: (mode, ""), 3, 0.0)
    decided([FULL, *COSTS], policy, replace(made(), channels=channels))
    assert policy.decisions == (pays is False)
