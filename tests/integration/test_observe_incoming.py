"""At level qmp, a migration to the observed QEMU is none of its own; one that it then sends is."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.lab.machine import Machine
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.model.enums import Level
from migrating import SLOW, Notes, capable, observed, pair, wait

QEMUS = {"stock": stock_binary, "patched": qemu_binary}


def limits(vm: Machine, bandwidth: int, downtime: int) -> None:
    """Of what it sends."""
    vm.qmp.execute("migrate-set-parameters", {"max-bandwidth": bandwidth, "downtime-limit": downtime})


@pytest.mark.parametrize("postcopy", [False, True])
@pytest.mark.parametrize("qemu", QEMUS)
def test_what_arrives_is_not_sent_and_what_is_sent_on_is(qemu: str, postcopy: bool, tmp_path: Path) -> None:
    there, middle = Notes(), Notes()
    with pair(QEMUS[qemu](), tmp_path) as vm, observed(vm.source, Level.QMP, [there]):
        if postcopy:
            capable(vm, "postcopy-ram")
        destination = vm.receive(autostart=True)
        with observed(destination, Level.QMP, [middle]):
            vm.migrate(max_bandwidth=SLOW, downtime_limit=1)
            wait(lambda: bool(there.migrations))
            if postcopy:
                vm.source.qmp.execute("migrate-start-postcopy")
            vm.converge()
            wait(lambda: len(there.over) == 1)
            wait(lambda: destination.qmp.execute("query-migrate")["status"] == "completed")
            assert not middle.migrations
            # and now it is a source, for longer than between two looks, over a channel that knows no postcopy
            off = [{"capability": "postcopy-ram", "state": False}]
            destination.qmp.execute("migrate-set-capabilities", capabilities=off)
            limits(destination, SLOW, 1)
            destination.qmp.execute("migrate", uri=f"exec:cat > {tmp_path}/onward")
            wait(lambda: bool(middle.migrations))
            limits(destination, 1 << 40, 10_000)
            wait(lambda: len(middle.over) == 1)
    assert there.over[0].state == "completed"
    assert middle.over[0].state == "completed"
    assert not middle.over[0].incoming
    assert len(middle.migrations) == 1
