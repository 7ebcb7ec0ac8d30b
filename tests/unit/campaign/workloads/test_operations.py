"""The output of a program in the guest of services: its lines, and the wait until the program is at work."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.campaign.workloads.operations import operations, wait_for_operations
from fakedirty.campaign.workloads.throughput import ThroughputSample
from fakedirty.errors import LabError


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("operations 250 100000 35.0 90.5", ThroughputSample(2500, 35.0, 90.5)),
        ("operations 250 50000 35.0 90.5", ThroughputSample(5000, 35.0, 90.5)),
        ("operations 0 100000", ThroughputSample(0, None, None)),
        ("", None),
        ("operation 1 2", None),
    ],
)
def test_a_line_is_a_sample_or_none(line: str, sample: ThroughputSample | None) -> None:
    assert operations(line) == sample


@pytest.mark.parametrize("values", ["", "5", "5 0", "5 100000 3", "5 100000 3 4 5", "some 100000"])
def test_a_line_that_is_broken_is_refused(values: str) -> None:
    with pytest.raises(LabError, match="not of the protocol"):
        operations(f"operations {values}")


def test_a_program_is_at_work_once_it_got_something_done_a_few_times(tmp_path: Path) -> None:
    port = tmp_path / "port"
    idle, busy = "operations 0 100000\n", "operations 7 100000 1.0 2.0\n"
    for text in ("", idle * 9, busy * 2 + idle, (busy * 3).removesuffix("\n")):
        port.write_text(text)
        with pytest.raises(LabError, match="not at work after 0 s; "):
            wait_for_operations(port, seconds=0)
    port.write_text(busy + idle + busy * 2)
    wait_for_operations(port, seconds=0)


def test_what_it_cannot_do_ends_the_wait(tmp_path: Path) -> None:
    port = tmp_path / "port"
    port.write_text("operations 7 100000 1.0 2.0\nerror memcaslap ended with status 1: no server\n")
    with pytest.raises(LabError, match="the guest reports an error: memcaslap ended with status 1: no server"):
        wait_for_operations(port, seconds=60)


def test_a_qemu_that_dies_ends_the_wait(tmp_path: Path) -> None:
    def dead() -> None:
        raise LabError("it ended")

    with pytest.raises(LabError, match="it ended"):
        wait_for_operations(tmp_path / "absent", seconds=60, check_alive=dead)
