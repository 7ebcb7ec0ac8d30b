"""What an observer leaves behind in the kernel and in QEMU, also when it is killed: nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakedirty.lab.qemu import qemu_binary
from fakedirty.linux.process_memory import ProcessMemory
from fakedirty.model.enums import Level
from fakedirty.observe.host.elf import Binary
from fakedirty.observe.host.target import PROC, Target, by_pid
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from in_kernel import held
from migrating import pair, wait

ATTACH_AND_WAIT = """
import sys, time
from fakedirty.model.enums import Level
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.observe.host.target import by_pid
Observer(LiveTrace(by_pid(int(sys.argv[1])), Level[sys.argv[2]]), []).attach()
print("attached", flush=True)
time.sleep(600)
"""


def traces(target: Target) -> tuple[int, bytes]:
    """The first byte of a function where probes go, and the semaphores of the trace events."""
    binary = Binary(target.exe)
    memory = ProcessMemory(PROC, target.pid, binary)
    semaphores = [location.semaphore for name in ("fake_dirty_batch", "migrate_set_state")
                  for location in binary.usdt[name]]  # fmt: skip
    raised = b"".join(memory.read(address + memory.bias, 2) or b"??" for address in semaphores)
    location = binary.usdt["migrate_set_state"][0].address
    [instruction] = memory.read(location + memory.bias, 1) or b"?"
    binary.close()
    return instruction, raised


def descriptors() -> list[str]:
    return held("bpf", "perf", "pidfd")


@pytest.mark.parametrize("level", [Level.PATCHED, Level.STOCK])
def test_after_close(tmp_path: Path, level: Level) -> None:
    with pair(qemu_binary(), tmp_path) as vm:
        target = by_pid(vm.source.pid)
        before, open_before = traces(target), descriptors()
        observer = Observer(LiveTrace(target, level), [])
        observer.attach()
        assert traces(target) != before
        assert descriptors() != open_before
        observer.close()
        observer.close()
        assert traces(target) == before
        assert descriptors() == open_before


@pytest.mark.parametrize("level", [Level.PATCHED, Level.STOCK])
def test_after_the_collector_was_killed(tmp_path: Path, level: Level) -> None:
    with pair(qemu_binary(), tmp_path) as vm:
        target = by_pid(vm.source.pid)
        before = traces(target)
        command = [sys.executable, "-c", ATTACH_AND_WAIT, str(target.pid), level.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as collector:
            try:
                assert collector.stdout is not None
                assert collector.stdout.readline() == b"attached\n"
                assert traces(target) != before
            finally:
                collector.send_signal(signal.SIGKILL)
                collector.wait()
        wait(lambda: traces(target) == before)
        assert vm.source.qmp.execute("query-status")["running"]
