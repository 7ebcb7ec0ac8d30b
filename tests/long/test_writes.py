"""The series writes to the channel as often as the same QEMU without it, whatever the mode."""

from __future__ import annotations

import pytest
from fakedirty.lab.guests.workload import Workload
from fakedirty.lab.qemu import Builds, qemu_binary
from writes import FULL, MOST_MORE, ZEROS, writes


@pytest.mark.parametrize("workload", [pytest.param(ZEROS, id="zeros"), pytest.param(FULL, id="full")])
def test_the_series_writes_no_more_often(workload: Workload) -> None:
    without = writes(Builds(patched=False).build(), workload, (None,))[None]
    counted = writes(qemu_binary(), workload, ("off", "observe", "skip"))
    print(f"calls of sendmsg: {without} without the series, {counted}")
    for mode, calls in counted.items():
        assert calls <= MOST_MORE * without, mode
