"""A destination needs no series: Debian's own QEMU takes what a source sends that skips."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakedirty.lab.machine import Machine
from fakedirty.lab.migrate import Settings, migrate
from fakedirty.lab.qemu import stock_binary
from fakedirty.qmp.mode import supports
from series import SLOW, TIGHT_MS, assert_equal, bench, let_through, rounds

PARAMETERS = {"fake-dirty-mode": "skip", "fake-dirty-switchover": False, "fake-dirty-audit": True}


def machine_types(vm: Machine) -> set[str]:
    return {each["name"] for each in vm.qmp.execute("query-machines")}


@pytest.mark.parametrize("xbzrle", [False, True], ids=["plain", "xbzrle"])
def test_a_destination_without_the_series_is_sent_the_same_memory(xbzrle: bool) -> None:
    """Both sides are given a machine type that both have, as old as the older of the two."""
    with bench() as both:
        stock = replace(both, qemu=stock_binary())
        with stock.destination() as other:
            assert not supports(other.qmp)
            version = other.qmp.execute("query-version")["qemu"]
            known = machine_types(other)
        machine = f"pc-i440fx-{version['major']}.{version['minor']}"
        assert machine in known
        options = ("-machine", machine)
        with (
            replace(both, more=options).source() as source,
            replace(stock, more=options).destination() as destination,
        ):
            settings = Settings(TIGHT_MS, 2 * SLOW, parameters=PARAMETERS, capabilities={"xbzrle": xbzrle})
            outcome = migrate(source, destination, settings, time_limit=60, steps=[let_through(after_round=8)])
            assert outcome.status == "completed"
            assert_equal(source, destination)
            history = rounds(source.qmp)
    assert sum(each["skipped"] for each in history) > 1000
    assert outcome.final["fake-dirty"]["false-equal"] == 0
