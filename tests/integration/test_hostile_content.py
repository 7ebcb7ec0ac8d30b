"""Every command on what hostile hands have made: QEMUs, files and peers with names that a terminal would obey."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grafana_server
import hostile
import pytest
from command_leaves import LEAVES, has_option
from fakedirty.lab.qemu import stock_binary
from harm import HOSTILE, HOSTILE_FILE, harm
from serving import Service, fakedirty, service

TRACE = Path(__file__).parents[1] / "unit/traces/patched.trace"


@dataclass(frozen=True)
class Made:
    """All that hostile hands have made."""

    directory: Path
    pid: int
    recordings: list[Path]
    trace: Path
    campaign: Path
    configuration: Path
    grafana: str
    service: Service

    @property
    def out(self) -> str:
        return str(self.recordings[0].parents[1])


@contextmanager
def qemu(directory: Path) -> Iterator[int]:
    """One whose VM and socket are hostile: its process id."""
    command = [
        *(str(stock_binary()), "-nodefaults", "-display", "none", "-machine", "none", "-S"),
        *("-name", "guest=" + HOSTILE.replace(",", ",,")),
        *("-qmp", f"unix:{directory / 'q'}{HOSTILE_FILE},server=on,wait=off"),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=directory)
    try:
        deadline = time.monotonic() + 30
        while not list(directory.glob("q*")) and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    directory = tmp_path_factory.mktemp("hostile")
    configuration = directory / f"{HOSTILE_FILE}.toml"
    configuration.write_text(hostile.CONFIGURATION)
    refusing = grafana_server.Grafana()
    refusing.answers[("GET", "/api/datasources")] = [(403, {"message": HOSTILE}) for _ in range(9)]
    with qemu(directory) as pid, service(directory) as it, grafana_server.serving(refusing) as url:
        it.wait_for(pid)
        yield Made(
            directory,
            pid,
            hostile.recordings(directory),
            hostile.trace(directory, TRACE),
            hostile.a_campaign(directory),
            configuration,
            url,
            it,
        )


#: what each command is given, and whether it can have JSON
GIVEN: dict[str, Callable[[Made], list[str]]] = {
    "doctor": lambda it: ["--pid", str(it.pid)],
    "observe": lambda it: ["--pid", str(it.pid), "--out", str(it.directory / HOSTILE_FILE)],
    "pages": lambda it: [str(it.recordings[0])],
    "replay": lambda it: [str(it.trace)],
    "status": lambda it: ["--control", str(it.service.control)],
    "watch": lambda it: ["--control", str(it.service.control)],
    "config check": lambda it: [str(it.configuration)],
    "what-if": lambda it: [str(it.recordings[0])],
    "runs list": lambda it: [it.out],
    "runs show": lambda it: [str(it.recordings[0])],
    "runs compare": lambda it: [str(each) for each in it.recordings],
    "runs export": lambda it: [it.out, "-"],
    "runs join": lambda it: [it.out],
    "dashboards push": lambda it: ["--url", it.grafana, "--token", grafana_server.TOKEN, "--folder", HOSTILE],
    "dashboards export": lambda it: [str(it.directory / f"boards{HOSTILE_FILE}")],
    "mode": lambda it: ["skip", "--pid", str(it.pid), "--control", str(it.directory / HOSTILE_FILE)],
    "campaign status": lambda it: [str(it.campaign)],
    "campaign report": lambda it: [str(it.campaign)],
    "campaign resume": lambda it: [str(it.campaign)],
    "campaign export": lambda it: [str(it.campaign)],
    "campaign run": lambda it: [str(it.configuration), "--dry-run"],
}
#: commands that show nothing but what they have made themselves; their arguments are tried elsewhere
OF_ITS_OWN = {"config example", "dashboards list", "demo", "fuzz", "bench", "qemu", "guest"}
LASTING = {"observe", "watch"}


def written(command: list[str], lasting: bool, *, terminal: bool) -> tuple[bytes, bytes]:
    """What reaches standard output and standard error; one that goes on is interrupted once it has written."""
    ours, its = pty.openpty() if terminal else (-1, -1)
    out = its if terminal else subprocess.PIPE
    environment = os.environ | {"COLUMNS": "200", "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    if lasting:
        time.sleep(6)
        process.send_signal(signal.SIGINT)
    if not terminal:
        return process.communicate(timeout=120)
    os.close(its)
    text = b""
    try:
        while part := os.read(ours, 1 << 16):
            text += part
    except OSError:  # the last who had it open has left
        pass
    os.close(ours)
    process.wait(120)
    return text, b""


def test_every_command_is_here() -> None:
    assert set(GIVEN) | OF_ITS_OWN == set(LEAVES)


@pytest.mark.parametrize("leaf", GIVEN)
def test_nothing_is_obeyed(leaf: str, made: Made) -> None:
    command = fakedirty(*LEAVES[leaf][0], *GIVEN[leaf](made))
    out, err = written(command, leaf in LASTING, terminal=False)
    assert b"forged" in out + err or leaf == "watch", err.decode()  # which has a line for what happens
    assert b"Traceback" not in err
    assert not harm(out)
    assert not harm(err)


@pytest.mark.parametrize("leaf", [leaf for leaf in GIVEN if has_option(leaf, "--json")])
def test_json_is_json_and_nothing_is_obeyed(leaf: str, made: Made) -> None:
    out, err = written(fakedirty(*LEAVES[leaf][0], *GIVEN[leaf](made), "--json"), leaf in LASTING, terminal=False)
    assert not harm(out)
    assert not harm(err)
    assert b"forged" in out + err
    if leaf in ("observe", "watch", "replay", "runs show"):
        [json.loads(line) for line in out.splitlines()]
    elif out:
        json.loads(out)


@pytest.mark.parametrize("leaf", [leaf for leaf in GIVEN if leaf != "watch"])
def test_a_terminal_is_given_colours_and_text(leaf: str, made: Made) -> None:
    text, _ = written(fakedirty(*LEAVES[leaf][0], *GIVEN[leaf](made)), leaf in LASTING, terminal=True)
    assert b"forged" in text
    assert not harm(text, styled=True)


def test_the_screen_of_watch_moves_the_cursor_and_obeys_nobody(made: Made) -> None:
    text, _ = written(fakedirty("watch", *GIVEN["watch"](made)), lasting=True, terminal=True)
    assert b"\x1b[?1049h" in text
    for each in (b"\x1b]", b"\a", b"\x7f", "\x9b".encode(), "\u202e".encode(), "\u2028".encode()):
        assert each not in text


def test_the_log_of_the_service_is_ours(made: Made) -> None:
    assert "forged" in made.service.log
    assert not harm(made.service.log.encode())
