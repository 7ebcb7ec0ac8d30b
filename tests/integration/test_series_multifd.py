"""The QEMU series with multifd: channels copy, hash and skip, and no page is wrong; one may break."""

from __future__ import annotations

import pytest
from fakedirty.lab.migrate import PORT, Settings, Step, migrate
from fakedirty.lab.tcp_connections import connections, shut
from fakedirty.model.enums import Mode
from fakedirty.qmp.client import Qmp
from migrating import wait
from series import SLOW, TIGHT_MS, assert_equal, bench, let_through, pair, rounds, toggling

SKIP: dict[str, object] = {"fake-dirty-mode": "skip", "fake-dirty-audit": True}
MULTIFD = {"multifd": True}
CHANNELS = 3
ROUNDS = 8
COMPRESSED = 64  # by so much smaller most of the guest's pages become


def by(compression: str, parameters: dict[str, object]) -> Settings:
    """Over some channels, at a bandwidth that makes rounds of many sweeps."""
    shared: dict[str, object] = {"multifd-channels": CHANNELS, "multifd-compression": compression}
    bandwidth = SLOW if compression == "none" else SLOW // COMPRESSED
    return Settings(TIGHT_MS, bandwidth, parameters, MULTIFD, shared)


@pytest.mark.parametrize("zero_pages", ["multifd", "legacy", "none"])
@pytest.mark.parametrize("compression", ["none", "zlib", "zstd"])
def test_every_page_is_equal(compression: str, zero_pages: str) -> None:
    settings = by(compression, {**SKIP, "zero-page-detection": zero_pages})
    with pair() as (source, destination):
        outcome = migrate(source, destination, settings, time_limit=60, steps=[let_through(ROUNDS)])
        assert outcome.status == "completed", outcome.final
        assert_equal(source, destination)
        assert all(each["exact"] for each in rounds(source.qmp))
        totals = outcome.final["fake-dirty"]
        assert totals["skipped"] > 1000
        assert totals["false-equal"] == 0


def test_modes_are_toggled_while_channels_work() -> None:
    modes = [Mode.SKIP, Mode.OFF, Mode.SKIP, Mode.OBSERVE, Mode.SKIP]
    steps = [Step(toggling(mode), after_round=number) for number, mode in enumerate(modes)]
    with pair() as (source, destination):
        outcome = migrate(source, destination, by("none", SKIP), time_limit=60, steps=[*steps, let_through(ROUNDS)])
        assert outcome.status == "completed", outcome.final
        assert_equal(source, destination)
        rounds(source.qmp)


@pytest.mark.parametrize("which", range(CHANNELS + 1))
def test_a_channel_breaks_and_the_next_migration_is_right(which: int) -> None:
    with bench() as both, both.source() as source:

        def cut(qmp: Qmp) -> None:
            channels = connections(source.pid, PORT)
            assert len(channels) == CHANNELS + 1
            shut(source.pid, channels[which])

        with both.destination() as destination:
            outcome = migrate(source, destination, by("none", SKIP), time_limit=60, steps=[Step(cut, after_round=3)])
            assert outcome.status == "failed"
        wait(lambda: source.qmp.execute("query-status")["status"] == "running")
        with both.destination() as second:
            outcome = migrate(source, second, by("none", SKIP), time_limit=60, steps=[let_through(ROUNDS)])
            assert outcome.status == "completed", outcome.final
            assert_equal(source, second)
            assert rounds(source.qmp)[0]["first"] > 0
