"""A page that needs no buffer of its own costs no write of its own: observe and skip write as often as off."""

from __future__ import annotations

import pytest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.qemu import qemu_binary
from writes import FULL, MOST_MORE, ZEROS, writes


@pytest.mark.parametrize("workload", [pytest.param(ZEROS, id="zeros"), pytest.param(FULL, id="full")])
def test_a_mode_writes_no_more_often(workload: Workload) -> None:
    counted = writes(qemu_binary(), workload, ("off", "observe", "skip"))
    print(counted)
    assert counted["off"]
    for mode in ("observe", "skip"):
        assert counted[mode] <= MOST_MORE * counted["off"], counted
