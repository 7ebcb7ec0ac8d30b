"""QEMUs of this host are found by what they are, not by what they are called, and soon after they have come."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bare import bare, by_itself
from fakedirty.errors import TargetError
from fakedirty.lab.qemu import qemu_binary, stock_binary
from fakedirty.observe.host.target import Finder, by_pid, find_all
from migrating import wait


def vms() -> set[str]:
    return {target.vm for target in find_all()}


@pytest.mark.parametrize("name", ["qemu-virtiofs-system-x86_64", "kvm", "qemu", "anything"])
@pytest.mark.parametrize("original", [qemu_binary, stock_binary])
def test_whatever_the_executable_is_called(
    original: Callable[[], Path], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = Path("/usr/lib/x86_64-linux-gnu/qemu")  # Debian's looks for them beside itself
    monkeypatch.setenv("QEMU_MODULE_DIR", str(modules))
    program = tmp_path / name
    shutil.copy(original(), program)
    with bare(tmp_path, "renamed", qemu=program) as it:
        assert by_pid(it.pid).vm == "renamed"
        assert "renamed" in vms()
        program.unlink()
        assert by_pid(it.pid).program == str(program)
        assert "renamed" in vms()


def test_stripped_of_all_names(tmp_path: Path) -> None:
    program = tmp_path / "vm"
    command = ["strip", "--strip-all", "--remove-section=.note.stapsdt", "-o", str(program), str(qemu_binary())]
    subprocess.run(command, check=True)
    with bare(tmp_path, "stripped", qemu=program):
        assert "stripped" in vms()


@contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_what_has_only_the_name(tmp_path: Path) -> None:
    words = ["-name", "impostor", "-machine", "pc", "-nodefaults"]
    script, program = tmp_path / "script" / "qemu-system-x86_64", tmp_path / "program" / "qemu-system-x86_64"
    for path in (script, program):
        path.parent.mkdir()
    script.write_text("#!/bin/sh\n# QEMU emulator version [disk_image]\nread line\n")
    script.chmod(0o755)
    shutil.copy("/bin/sh", program)
    with (
        running(script, *words) as one,
        running(program, "-c", "read line", *words) as other,
        running("/bin/sh", "-c", "read line", str(qemu_binary()), *words) as third,
    ):
        for process in (one, other, third):
            with pytest.raises(TargetError, match="not a QEMU"):
                by_pid(process.pid)
        assert "impostor" not in vms()


@pytest.mark.skipif(not shutil.which("qemu-storage-daemon"), reason="qemu-storage-daemon is in qemu-system-common")
def test_the_storage_daemon_is_none() -> None:
    with (
        running("qemu-storage-daemon", "--chardev", "stdio,id=m", "--monitor", "m") as daemon,
        pytest.raises(TargetError),
    ):
        by_pid(daemon.pid)


def test_a_process_that_becomes_a_qemu(tmp_path: Path) -> None:
    """The shell is seen before: a finder that has looked at it must look again."""
    finder = Finder()
    script = 'read line <"$0" && exec "$@"'
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    command = [str(qemu_binary()), "-name", "later", "-machine", "none", "-S", "-nodefaults", "-display", "none"]
    with running("sh", "-c", script, gate, *command) as process:
        assert process.pid not in {target.pid for target in finder.find()}
        gate.write_text("go\n")
        wait(lambda: "later" in {target.vm for target in finder.find()})
        [target] = [target for target in finder.find() if target.vm == "later"]
        assert target.pid == process.pid
    assert "later" not in {target.vm for target in finder.find()}


def test_who_tears_its_memory_down_is_none(tmp_path: Path) -> None:
    with bare(tmp_path, "torn", "-run-with", "async-teardown=on") as it:
        alike = [pid for pid in by_itself(it.pid) if os.path.samefile(f"/proc/{pid}/exe", f"/proc/{it.pid}/exe")]
        assert len(alike) == 1
        assert [target.pid for target in find_all() if target.vm == "torn"] == [it.pid]
    for pid in alike:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
