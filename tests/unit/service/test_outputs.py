"""Where an observation goes: screen, exporter, recorders, and what is added to them later."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from fakedirty.linux.process import running
from fakedirty.log_levels import NOTICE
from fakedirty.model.enums import Level, Mode
from fakedirty.observe.host.target import Target
from fakedirty.observe.live import LiveTrace
from fakedirty.record.manifest import Clock
from fakedirty.record.trace_file import TraceOrigin
from fakedirty.service.outputs import Outputs
from fakedirty.service.skip_policy import Policy, VmSkipPolicy
from made_migrations import made, tell

WEB = Target(os.getpid(), "web", Path("/proc/self/exe"), "qemu", running(os.getpid()).start_ticks, ())
ORIGIN = TraceOrigin("run", Clock(0, 0))


def test_sinks_and_the_policy_are_for_the_qemus_that_come_after_them() -> None:
    outputs = Outputs("run", out=None, exports=False, json=True)
    before = outputs.sinks_for(WEB, ORIGIN)
    added = Outputs("another", out=None, exports=False, json=True).exporter
    outputs.add_sink(added)
    assert outputs.sinks_for(WEB, ORIGIN) == [*before, added]
    policy = Policy(lambda target, mode, hash_name: (Mode.OFF, None), 3, 1.0)
    outputs.set_policy(policy)
    *others, last = outputs.sinks_for(WEB, ORIGIN)
    assert others == [*before, added]
    assert isinstance(last, VmSkipPolicy)
    policy.close()


def test_a_qemu_is_reported_while_it_is_observed() -> None:
    outputs = Outputs("run", out=None, exports=True, json=True)

    def reported() -> list[dict[str, str]]:
        [family] = [each for each in outputs.exporter.collect() if each.name == "fakedirty_qemu"] or [None]
        return [sample.labels for sample in family.samples] if family else []

    assert not reported()
    outputs.add_qemu(LiveTrace(WEB, Level.STOCK))
    [labels] = reported()
    assert (labels["vm"], labels["level"]) == ("web", "stock")
    assert "10.0.2" not in labels.values()
    outputs.set_qemu_version(WEB, "10.0.2")
    [labels] = reported()
    assert "10.0.2" in labels.values()
    outputs.remove_qemu(WEB)
    assert not reported()
    outputs.set_qemu_version(WEB, "10.0.2")
    assert not reported()


def test_what_was_recorded_is_named_when_a_qemu_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(NOTICE, "fakedirty")
    outputs = Outputs("run", out=tmp_path, exports=False, json=True)
    recorder, *_ = outputs.sinks_for(WEB, ORIGIN)
    migration = tell(made("web"), [recorder], end=False)
    [writing] = outputs.directories_in_use()
    assert writing.parent == tmp_path / "web"
    recorder.ended(migration)
    assert outputs.directories_in_use() == set()
    outputs.remove_qemu(WEB)
    [directory] = (tmp_path / "web").iterdir()
    assert caplog.record_tuples == [("fakedirty.service.outputs", NOTICE, f"recorded: {directory}")]
    assert not outputs.failed


def test_a_recording_that_fails_is_remembered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "fakedirty")
    outputs = Outputs("run", out=tmp_path / "file" / "below", exports=False, json=True)
    (tmp_path / "file").write_text("")
    recorder, *_ = outputs.sinks_for(WEB, ORIGIN)
    with pytest.raises(Exception, match="cannot record to"):
        recorder.started(made("web"))
    assert outputs.failed
    outputs.remove_qemu(WEB)
    assert outputs.failed
