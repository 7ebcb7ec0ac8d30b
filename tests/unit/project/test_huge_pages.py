"""The script that runs a command while the host has more huge pages. The pool is a directory with the kernel's file."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "qemu" / "huge_pages.sh"


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A pool in which 8 pages were reserved before."""
    (tmp_path / "nr_hugepages").write_text("8\n")
    return tmp_path


def pages(pool: Path) -> int:
    return int((pool / "nr_hugepages").read_text())


def command(pool: Path, text: str) -> subprocess.Popen[str]:
    heeds = ["env", "--default-signal=INT"]  # a shell has it ignored by what it runs in the background
    return subprocess.Popen(
        [*heeds, SCRIPT, "64", "sh", "-c", text],
        env={**os.environ, "HUGE_PAGES": str(pool)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("status", [0, 5])
def test_they_are_there_for_the_command_and_not_after_it(pool: Path, status: int) -> None:
    with command(pool, f"cat {pool}/nr_hugepages; exit {status}") as running:
        said, _ = running.communicate()
    assert (said, running.returncode, pages(pool)) == ("72\n", status, 8)


def test_those_of_others_stay(pool: Path) -> None:
    """Somebody else reserves ten more meanwhile."""
    with command(pool, f"echo 82 >{pool}/nr_hugepages"):
        pass
    assert pages(pool) == 18


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_they_are_given_back_where_it_is_interrupted(pool: Path, number: int) -> None:
    with command(pool, "echo begun; exec sleep 100") as running:
        assert running.stdout
        assert running.stdout.readline() == "begun\n"
        assert pages(pool) == 72
        os.killpg(running.pid, number)
    assert running.returncode != 0
    assert pages(pool) == 8


def test_a_kernel_without_them_is_an_error(tmp_path: Path) -> None:
    with command(tmp_path / "none", "echo no") as running:
        said, _ = running.communicate()
    assert running.returncode == 1
    assert said == f"this kernel has no huge pages in {tmp_path / 'none'}\n"
