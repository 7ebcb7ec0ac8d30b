"""The error of the wall clock: what the kernel reports, and what a status of it means."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from fakedirty.linux import libc, wall_clock
from fakedirty.linux.wall_clock import ClockError, boot_id, clock_error


def test_the_struct_is_as_large_as_the_kernels() -> None:
    """What the kernel writes beyond it would destroy other memory."""
    assert ctypes.sizeof(libc.Timex) == 208
    assert libc.Timex.max_error_us.offset == 24
    assert libc.Timex.status.offset == 40


def test_the_kernel_reports_its_own_clock() -> None:
    timex = libc.adjtimex()
    assert 0 <= timex.max_error_us <= 16_000_000  # the kernel lets it grow to 16 s, and no further
    assert timex.modes == 0


@pytest.mark.parametrize(
    ("status", "synchronised"),
    [(0, True), (1, True), (0x2001, True), (0x40, False), (0x2041, False), (0x1000, False)],
    ids=["no bit", "a PLL", "in nanoseconds", "unsynchronised", "unsynchronised in nanoseconds", "a clock's error"],
)
def test_the_status_decides_whether_the_error_is_a_bound(
    status: int, synchronised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    timex = libc.Timex(max_error_us=1_500, estimated_error_us=20, status=status)
    monkeypatch.setattr(wall_clock.libc, "adjtimex", lambda: timex)
    assert clock_error() == ClockError(synchronised, 1_500, 20)


def test_a_kernel_that_does_not_report_it_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError

    monkeypatch.setattr(wall_clock.libc, "adjtimex", refuse)
    assert clock_error() is None


def test_the_boot_is_that_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "boot_id"
    file.write_text("5f0c\n")
    assert boot_id(file) == "5f0c"
    file.write_text("")
    assert boot_id(file) is None
    assert boot_id(tmp_path / "none") is None
