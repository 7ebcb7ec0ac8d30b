"""Many QEMUs on one host: each is found, observed at its level, counted rightly, and let go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakedirty.lab.qemu import stock_binary
from fakedirty.observe.host.target import by_pid
from migrating import PATIENCE_SECONDS, pair

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF")


@contextmanager
def observing_all(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "fakedirty.cli.main", "observe", "--all", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_who_cannot_be_observed_does_not_stop_the_others(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pair(stock_binary(), tmp_path) as vm, observing_all("--out", str(out), "--level", "patched") as process:
        assert process.stderr
        while f"(pid {vm.source.pid}) is not observed" not in (line := process.stderr.readline()):
            assert line, "it ended"
        assert "without the fake dirty patch series" in line
        assert by_pid(vm.source.pid)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode in (0, 3)
