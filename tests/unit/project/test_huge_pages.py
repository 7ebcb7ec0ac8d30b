"""The script that reserves huge pages for a command. The pool is a directory with the kernel's file."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "qemu" / "huge_pages.sh"


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A pool with 8 reserved pages."""
    (tmp_path / "nr_hugepages").write_text("8\n")
    return tmp_path


def pages(pool: Path) -> int:
    return int((pool / "nr_hugepages").read_text())


def command(pool: Path, text: str) -> subprocess.Popen[str]:
    interruptible = ["env", "--default-signal=INT"]  # a shell makes background commands ignore it
    return subprocess.Popen(
        [*interruptible, SCRIPT, "64", "sh", "-c", text],
        env={**os.environ, "HUGE_PAGES": str(pool)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("status", [0, 5])
def test_the_pages_are_reserved_for_the_command_alone(pool: Path, status: int) -> None:
    with command(pool, f"cat {pool}/nr_hugepages; exit {status}") as running:
        output, _ = running.communicate()
    assert (output, running.returncode, pages(pool)) == ("72\n", status, 8)


def test_pages_that_others_reserve_stay(pool: Path) -> None:
    """Another process reserves ten more meanwhile."""
    with command(pool, f"echo 82 >{pool}/nr_hugepages"):
        pass
    assert pages(pool) == 18


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_pages_are_returned_after_an_interruption(pool: Path, number: int) -> None:
    with command(pool, "echo begun; exec sleep 100") as running:
        assert running.stdout
        assert running.stdout.readline() == "begun\n"
        assert pages(pool) == 72
        os.killpg(running.pid, number)
    assert running.returncode != 0
    assert pages(pool) == 8


def test_a_kernel_without_huge_pages_is_an_error(tmp_path: Path) -> None:
    with command(tmp_path / "none", "echo no") as running:
        output, _ = running.communicate()
    assert running.returncode == 1
    assert output == f"this kernel has no huge pages in {tmp_path / 'none'}\n"
