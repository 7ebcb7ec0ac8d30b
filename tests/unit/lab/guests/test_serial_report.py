"""The serial protocol of the guests: among other lines, incomplete, and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakedirty.errors import LabError
from fakedirty.lab.guests.page_frames import PageFrames
from fakedirty.lab.guests.serial_report import Sweeps, parse_report, read_report, wait_until_ready

LOG = """\
SeaBIOS (version 1.16)\r
guest: set fake 1024+3 2000+1\r
guest: set fake 3000+2*4\r
[    0.1] something of the kernel
guest: set changed 4000+1
guest: own 256+5
guest: status 260
guest: ready
guest: sweeps 30 1000 40
guest: sweeps 70 2000 60
guest: swee"""


def test_a_log_is_read_up_to_its_last_whole_line() -> None:
    report = parse_report(LOG)
    assert report.ready
    assert report.ranges == {
        "fake": [PageFrames(1024, 3), PageFrames(2000, 1), PageFrames(3000, 2, 4)],
        "changed": [PageFrames(4000, 1)],
    }
    assert report.frames("fake").tolist() == [1024, 1025, 1026, 2000, 3000, 3004]
    assert report.frames("zero").tolist() == []
    assert list(report.sets) == ["fake", "changed"]
    assert report.own == [PageFrames(256, 5)]
    assert report.status_frame == 260
    assert report.sweeps == [Sweeps(30, 1000, 40), Sweeps(70, 2000, 60)]
    assert report.sweeps_per_second == 40
    assert report.longest_sweep_seconds == 0.06
    assert not report.error


def test_every_beginning_of_a_log_can_be_read() -> None:
    for end in range(len(LOG)):
        report = parse_report(LOG[:end])
        assert report.ready == ("ready\n" in LOG[:end])


def test_the_first_report_counts_from_ready() -> None:
    assert parse_report("guest: sweeps 50 2000 41\n").sweeps_per_second == 25
    assert parse_report("guest: ready\n").sweeps_per_second is None
    assert parse_report("guest: ready\n").longest_sweep_seconds is None


@pytest.mark.parametrize("line", ["set", "set fake x", "status", "status x", "sweeps 1 2", "sweeps a b c", "hello"])
def test_a_line_against_the_protocol_is_an_error_that_quotes_it(line: str) -> None:
    with pytest.raises(LabError, match=line):
        parse_report(f"guest: {line}\n")


def test_a_log_that_does_not_exist_yet_is_an_empty_report(tmp_path: Path) -> None:
    assert not read_report(tmp_path / "absent").ready


def test_an_error_of_the_guest_ends_the_wait(tmp_path: Path) -> None:
    serial = tmp_path / "serial"
    serial.write_text("guest: error unknown word x=1\n")
    with pytest.raises(LabError, match="unknown word x=1"):
        wait_until_ready(serial, seconds=60)


def test_the_end_of_qemu_ends_the_wait(tmp_path: Path) -> None:
    def gone() -> None:
        raise LabError("QEMU ended")

    with pytest.raises(LabError, match="QEMU ended"):
        wait_until_ready(tmp_path / "serial", seconds=60, check_alive=gone)


def test_a_silent_guest_ends_the_wait(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="not ready after 0 s"):
        wait_until_ready(tmp_path / "serial", seconds=0)


def test_a_ready_guest_is_reported(tmp_path: Path) -> None:
    serial = tmp_path / "serial"
    serial.write_text(LOG)
    assert wait_until_ready(serial, seconds=0).status_frame == 260
