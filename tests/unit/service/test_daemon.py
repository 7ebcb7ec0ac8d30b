"""The service as a whole: it begins, answers, reads its configuration again, and ends with everything closed."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fakedirty.errors import TargetError
from fakedirty.linux.process import running
from fakedirty.log_levels import NOTICE
from fakedirty.model.enums import Level
from fakedirty.model.trace import Channel, Subject, TraceRecord
from fakedirty.observe.host.target import Target
from fakedirty.observe.live import LiveTrace
from fakedirty.observe.observer import Observer
from fakedirty.service import daemon, observed_qemus, single_qemu
from fakedirty.service.control import NoServiceError, request
from fakedirty.service.observation import LevelReasons, Observation
from fakedirty.service.options import ConfigurationSource, Options
from fakedirty.service.outputs import Outputs
from fakedirty.service.session import ObservationResult

PATIENCE_SECONDS = 60
WEB = Target(os.getpid(), "web", Path("/proc/self/exe"), "qemu", running(os.getpid()).start_ticks, ())

Watch = Callable[[], None]


class Trace(LiveTrace):
    """A QEMU that does nothing until `gone`; no probe is attached."""

    def __init__(self, target: Target) -> None:
        super().__init__(target, Level.STOCK)
        self.gone = threading.Event()

    def open(self) -> Subject:
        facts = {"states": [], "sees_xbzrle": True, "can_skip": False, "sample": 1, "blocks": []}
        return Subject(WEB.vm, Level.STOCK, f"{WEB.pid} {WEB.start_ticks}", facts)

    def poll(self, timeout: float) -> Sequence[TraceRecord]:
        self.gone.wait(0.01)
        return [TraceRecord(1, Channel.GONE if self.gone.is_set() else Channel.TICK)]

    def listen(self, ready: Callable[[], None]) -> bool:
        return False

    def close(self) -> None:
        pass


def options(tmp_path: Path, text: str = "", **given: object) -> Options:
    file = tmp_path / "fakedirty.toml"
    file.write_text(f'[metrics]\nlisten = "127.0.0.1:0"\n[control]\nsocket = "{tmp_path}/control"\n{text}')
    source = ConfigurationSource(file, {("observe", name): value for name, value in given.items()})
    return Options(source, source.read(), "run", json=True)


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def serve(wanted: Options, watch: Watch) -> ObservationResult:
    """Run the service here, in the main thread, and `watch` beside it; then it is ended by a signal."""
    faults: list[BaseException] = []

    def beside() -> None:
        try:
            wait(lambda: _answers(wanted))
            watch()
        except BaseException as fault:  # noqa: BLE001 - raised again in the main thread
            faults.append(fault)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGTERM, lambda *_: None)  # a service that fails to begin must not end the tests
    thread = threading.Thread(target=beside)
    thread.start()
    try:
        return daemon.run(wanted)
    finally:
        thread.join()
        for number, handler in before.items():
            if number != signal.SIGTERM:
                assert signal.getsignal(number) == handler, "the service has left its handler"
            signal.signal(number, handler)
        if faults:
            raise faults[0]


def _answers(wanted: Options) -> bool:
    assert wanted.control is not None
    try:
        return bool(request("status", path=wanted.control))
    except NoServiceError:
        return False


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "fakedirty")
    return caplog


@pytest.fixture
def qemus(monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """All QEMUs of the host, as the service finds them: none of those that really run."""
    found: list[Target] = []
    monkeypatch.setattr("fakedirty.observe.fleet.Finder.find", lambda _: found)
    return found


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> Trace:
    """The trace of whatever QEMU is observed."""
    made = Trace(WEB)

    def make(target: Target, observe: object, outputs: Outputs, reasons: LevelReasons, **_: object) -> Observation:
        reasons.report(target, {Level.PATCHED: "it has no such probes"})
        return Observation(Observer(made, outputs.sinks_for(target, None)), made, {"qemu": {}})  # type: ignore[arg-type]

    for module in (observed_qemus, single_qemu):
        monkeypatch.setattr(module, "make_observation", make)
    return made


def messages(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records]


def test_it_begins_answers_and_ends(tmp_path: Path, qemus: list[Target], log: pytest.LogCaptureFixture) -> None:
    wanted = options(tmp_path)

    def watch() -> None:
        [url] = [text.removeprefix("metrics: ") for text in messages(log) if text.startswith("metrics: ")]
        with urllib.request.urlopen(url) as answer:
            assert b"fakedirty_build_info" in answer.read()
        status = request("status", path=tmp_path / "control")
        assert (status["pid"], status["run_id"], status["vms"]) == (os.getpid(), "run", [])

    assert serve(wanted, watch) == ObservationResult(valid=True, recorded=True)
    assert not (tmp_path / "control").exists()
    assert [record.levelno for record in log.records if record.message.startswith("metrics: ")] == [NOTICE]


def test_a_qemu_that_comes_and_goes_is_logged(
    tmp_path: Path, qemus: list[Target], trace: Trace, log: pytest.LogCaptureFixture
) -> None:
    def watch() -> None:
        qemus.append(WEB)
        wait(lambda: request("status", path=tmp_path / "control")["vms"])
        trace.gone.set()
        wait(lambda: not request("status", path=tmp_path / "control")["vms"])

    serve(options(tmp_path), watch)
    assert [text for text in messages(log) if "web" in text] == [
        "web: not at level patched: it has no such probes",
        f"attached: web pid {WEB.pid} at level stock",
        f"web (pid {WEB.pid}) is no longer observed: it has ended",
    ]


def test_a_qemu_that_is_refused_is_logged(
    tmp_path: Path, qemus: list[Target], monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    def make(*_: object, **__: object) -> Observation:
        raise TargetError("no level is possible")

    monkeypatch.setattr(observed_qemus, "make_observation", make)
    refusal = f"web (pid {WEB.pid}) is not observed: no level is possible"

    def watch() -> None:
        qemus.append(WEB)
        wait(lambda: refusal in messages(log))

    assert serve(options(tmp_path), watch).valid
    assert [record.levelname for record in log.records if record.message == refusal] == ["WARNING"]


def test_it_reads_its_configuration_again(tmp_path: Path, qemus: list[Target], log: pytest.LogCaptureFixture) -> None:
    """The command line wins then, too: what it gives has not changed."""
    wanted = options(tmp_path, '[observe]\nlevel = "stock"\nsample = 4\n', sample=1)

    def watch() -> None:
        file = wanted.source.file
        assert file is not None
        file.write_text(file.read_text().replace('"stock"', '"qmp"').replace("sample = 4", "sample = 8"))
        os.kill(os.getpid(), signal.SIGHUP)
        wait(lambda: f"read {file} again" in messages(log))

    serve(wanted, watch)
    assert [text for text in messages(log) if "has changed" in text] == [
        "observe.level has changed: it takes effect when the service is started again"
    ]


def test_its_manager_is_notified(tmp_path: Path, qemus: list[Target], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        serve(options(tmp_path), lambda: None)
        assert [manager.recv(4096), manager.recv(4096)] == [b"READY=1\nSTATUS=observing", b"STOPPING=1"]


def test_one_qemu_is_observed_until_it_ends(tmp_path: Path, trace: Trace, log: pytest.LogCaptureFixture) -> None:
    trace.gone.set()
    source = ConfigurationSource()
    wanted = Options(source, source.read(), "run", json=True)
    assert single_qemu.observe(WEB, wanted) == ObservationResult(valid=True, recorded=True)
    assert messages(log) == [
        "not at level patched: it has no such probes",
        f"attached: web pid {WEB.pid} at level stock",
    ]
    with pytest.raises(TargetError, match="ended before a migration began"):
        single_qemu.observe(WEB, replace(wanted, once=True))
