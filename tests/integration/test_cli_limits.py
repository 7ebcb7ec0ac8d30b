"""The command at its limits: no privileges, no choice made, a busy port, a signal; each said clearly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakedirty.lab.machine import Machine, machine
from fakedirty.lab.qemu import qemu_binary, stock_binary

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: for BPF, network namespaces and mounts")

PATIENCE = 60
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")


@pytest.fixture(scope="module")
def idle() -> Iterator[list[Machine]]:
    """Two QEMUs that do nothing: one of the series, one of Debian."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(machine("idle-one", qemu_binary(), ["-m", "16"])),
            stack.enter_context(machine("idle-two", stock_binary(), ["-m", "16"])),
        ]


def command(*arguments: str, prefix: tuple[str, ...] = ()) -> list[str]:
    return [*prefix, sys.executable, "-m", "fakedirty.cli.main", *arguments]


def run(*arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments, prefix=prefix), capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def started(*arguments: str, prefix: tuple[str, ...] = ()) -> tuple[subprocess.Popen[str], list[str]]:
    """A running observer, and what it said up to being attached."""
    process = subprocess.Popen(
        command(*arguments, prefix=prefix), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    said = []
    while not said or not said[-1].startswith("attached"):
        said.append(process.stderr.readline())
        if not said[-1]:
            process.communicate()
            pytest.fail(f"it ended: {said}")
    return process, said


def test_doctor_says_the_level_of_each(idle: list[Machine]) -> None:
    two = idle[1]
    answers = [json.loads(run("doctor", "--json", "--pid", str(side.pid)).stdout)["targets"][0] for side in idle]
    assert [answer["vm"] for answer in answers] == ["idle-one", "idle-two"]
    assert [answer["level"] for answer in answers] == ["patched", "stock"]
    assert "patched" in answers[1]["reasons"]
    result = run("doctor", "--vm", "idle-two")
    assert result.returncode == 0
    assert f"idle-two, pid {two.pid}: level stock" in result.stdout
    assert "not at level patched" in result.stdout


def test_without_privileges_it_says_which_and_what_still_works(idle: list[Machine]) -> None:
    one, _ = idle
    result = run("doctor", "--pid", str(one.pid), prefix=UNPRIVILEGED)
    assert "CAP_" in result.stdout
    assert "level qmp" in result.stdout
    assert result.returncode == 0
    forced = run("observe", "--pid", str(one.pid), "--level", "patched", prefix=UNPRIVILEGED)
    assert forced.returncode == 1
    assert "CAP_" in forced.stderr
    process, said = started("observe", "--pid", str(one.pid), prefix=UNPRIVILEGED)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    assert said[-1] == f"attached: idle-one pid {one.pid} at level qmp\n"
    assert any(line.startswith("not at level patched: missing CAP_") for line in said)


def test_a_socket_alone_says_which_qemu(idle: list[Machine]) -> None:
    for side, level in zip(idle, ("patched", "stock"), strict=True):
        process, said = started("observe", "--qmp", str(side.observer_socket))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert said[-1] == f"attached: {side.name} pid {side.pid} at level {level}\n"


def test_a_socket_that_no_command_line_shows_is_traced_to_its_listener(tmp_path: Path) -> None:
    path = tmp_path / "inherited"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        result = run("doctor", "--qmp", str(path))
    assert result.returncode == 1
    assert "no QMP greeting" in result.stderr
    assert f"process {os.getpid()}" in result.stderr


def test_a_busy_socket_names_its_holder(idle: list[Machine]) -> None:
    held = idle[1].observer_socket
    with socket.socket(socket.AF_UNIX) as holder:
        holder.connect(str(held))
        assert b"QMP" in holder.recv(4096)
        result = run("observe", "--qmp", str(held), "--level", "qmp")
    assert result.returncode == 1
    assert f"process {os.getpid()}" in result.stderr


def test_without_a_choice_the_candidates_are_listed(idle: list[Machine]) -> None:
    result = run("observe")
    assert result.returncode == 2
    for side in idle:
        assert f"{side.name} (pid {side.pid})" in result.stderr
    near = run("observe", "--vm", "idle-tow")
    assert near.returncode == 1
    assert "did you mean idle-two" in near.stderr


def test_a_port_in_use(idle: list[Machine]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("observe", "--pid", str(idle[0].pid), "--listen", address)
    assert result.returncode == 2
    assert f"cannot listen on {address}" in result.stderr
    assert result.stderr.count("\n") == 1


def test_qemu_that_ends_ends_it(tmp_path: Path) -> None:
    with machine("short", qemu_binary(), ["-m", "16"]) as side:
        process, _ = started("observe", "--pid", str(side.pid), "--once", "--out", str(tmp_path))
        side.process.kill()
        _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "ended before a migration began" in stderr
    assert not list(tmp_path.iterdir())
