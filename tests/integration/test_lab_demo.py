"""The demo, from boot to the comparison of memory, and the switch of the mode, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fakedirty
import pytest
from fakedirty.cli.main import main
from fakedirty.lab.machine import machine
from fakedirty.lab.qemu import qemu_binary, stock_binary

SMALL = ("-m", "32", "-S")


def demo(capsys: pytest.CaptureFixture[str], out: Path, *options: str) -> list[dict[str, Any]]:
    """The runs of a demo that goes well."""
    arguments = ["demo", "--guest", "baremetal", "--time-limit", "6", "--out", str(out), "--json", *options]
    status = main(arguments)
    output = capsys.readouterr()
    assert status == 0, output.err
    runs: list[dict[str, Any]] = json.loads(output.out)["runs"]
    assert all(run["memory"]["equal"] for run in runs)
    assert all(run["valid"] is True for run in runs if run["converged"])
    assert not any(run["valid"] is False for run in runs)
    return runs


def test_demo_shows_that_skipping_converges_and_vanilla_does_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    vanilla, skip = demo(capsys, tmp_path, "--qemu", str(qemu_binary()))
    assert not vanilla["converged"]
    assert skip["converged"]
    assert skip["truth"]["judged_visits"] > 0
    assert skip["truth"]["wrong_visits"] == 0
    assert skip["saved_bytes"] > 0

    recording = fakedirty.load(tmp_path)
    assert set(recording.migrations["vm"]) == {"demo-vanilla", "demo-skip"}
    assert list(recording.toggles["to_mode"]) == ["observe", "skip"]
    for run in (vanilla, skip):
        experiment = json.loads((Path(run["directory"]) / "experiment.json").read_text())
        assert experiment["differing_pages"] == []
        assert {"fake", "changed"} == set(experiment["guest_sets"])


def test_demo_with_a_qemu_without_the_patch_series_is_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status = main(["demo", "--guest", "baremetal", "--out", str(tmp_path), "--qemu", str(stock_binary())])
    assert status == 1
    assert "fakedirty doctor" in capsys.readouterr().err


def test_mode_is_switched_and_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    with machine("switched", qemu_binary(), SMALL) as switched:
        for mode in ("observe", "skip", "off"):
            assert main(["mode", mode, "--qmp", str(switched.observer_socket), "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["mode"] == mode
            assert switched.qmp.execute("query-migrate-parameters")["fake-dirty-mode"] == mode


def test_mode_of_a_qemu_without_the_patch_series_names_the_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    with machine("plain", stock_binary(), SMALL) as plain:
        assert main(["mode", "skip", "--qmp", str(plain.observer_socket)]) == 1
    assert "fakedirty doctor" in capsys.readouterr().err


def test_mode_with_a_hash_that_is_not_built_in_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with machine("hashed", qemu_binary(), SMALL) as hashed:
        assert main(["mode", "observe", "--hash", "no-such-hash", "--qmp", str(hashed.observer_socket)]) == 1
        assert "no-such-hash" in capsys.readouterr().err
        assert hashed.qmp.execute("query-migrate-parameters")["fake-dirty-mode"] == "off"
