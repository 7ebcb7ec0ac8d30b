"""A QMP socket behind which there is no QEMU: whatever it says, it is named, and nothing else is disturbed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fakedirty.lab.qemu import qemu_binary
from fakedirty.record.load import load
from listener import listening
from migrating import PATIENCE_SECONDS, Pair, pair
from observing import observe

GREETING = {"QMP": {"version": {"qemu": {"major": 9, "minor": 0, "micro": 0}, "package": ""}, "capabilities": []}}


def says(data: bytes) -> Callable[[socket.socket], None]:
    return lambda link: link.sendall(data)


def says_nothing(link: socket.socket) -> None:
    link.recv(1)


def answers(nonsense: object, **sense: object) -> Callable[[socket.socket], None]:
    """Greets, and answers every command with the same, but for some."""

    def talk(link: socket.socket) -> None:
        link.sendall(json.dumps(GREETING).encode() + b"\n")
        with link.makefile() as commands:
            for line in commands:
                command = json.loads(line)
                said = {"qmp_capabilities": {}, **sense}.get(command["execute"].replace("-", "_"), nonsense)
                identity = {"id": command["id"]} if "id" in command else {}
                link.sendall(json.dumps({"return": said, **identity}).encode() + b"\n")

    return talk


LIES = {
    "garbage": says(b"\0\xffgarbage\n"),
    "a line without an end": says(b"x" * (16 << 20)),
    "nothing": says_nothing,
    "lists": answers([]),
    "words": answers("no"),
    "empty objects": answers({}),
    "a number for RAM": answers({"status": "active", "ram": 7}, query_commands=[{"name": "query-migrate"}]),
}


@pytest.fixture(scope="module")
def qemu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(qemu_binary(), tmp_path_factory.mktemp("lies")) as vm:
        yield vm


@contextmanager
def liar(path: Path, talk: Callable[[socket.socket], None]) -> Iterator[None]:
    """In the place of a QEMU's own socket."""
    path.unlink(missing_ok=True)

    def take(link: socket.socket) -> None:
        with link, suppress(OSError, ValueError):
            talk(link)

    with listening(path, take):
        yield


def fakedirty(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fakedirty.cli.main", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_peer_is_named(qemu: Pair, lie: str) -> None:
    path = qemu.source.observer_socket
    with liar(path, LIES[lie]):
        doctor = fakedirty("doctor", "--pid", str(qemu.source.pid), "--json")
        asked = fakedirty("observe", "--pid", str(qemu.source.pid), "--level", "qmp", "--qmp", str(path), "--once")
    assert doctor.returncode == 0, doctor.stderr
    [report] = json.loads(doctor.stdout)["targets"]
    assert report["level"] == "patched"
    told = {socket["path"]: socket["problem"] for socket in report["qmp"]}
    assert told[str(path)]
    assert asked.returncode == 1
    assert str(path) in asked.stderr or "the QMP socket answers" in asked.stderr
    for made in (doctor, asked):
        assert "Traceback" not in made.stderr
        assert len(made.stderr) < 2000
    qemu.source.check_alive()


def test_probes_need_no_word_of_it(tmp_path: Path) -> None:
    with pair(qemu_binary(), tmp_path) as vm, liar(vm.source.observer_socket, LIES["nothing"]):
        out = ("--once", "--out", str(tmp_path / "out"))
        with observe("--pid", str(vm.source.pid), "--level", "usdt", "--pages", *out) as (process, _):
            vm.migrate()
            ram = vm.converge()["ram"]
            stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 3, (stdout, stderr)  # there are no totals to hold it against
    assert "unchecked" in stdout
    assert "Traceback" not in stderr
    recording = load(tmp_path / "out")
    assert recording.rounds["valid"].all()
    assert list(recording.migrations["totals"]) == ["unchecked"]
    assert recording.rounds["normal_pages"].sum() == ram["normal"]
    assert set(recording.pages["block"]) == {"process"}
